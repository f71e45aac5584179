"""Training: `python -m lgg_demo.train`."""

"""Case to probability."""

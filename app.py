"""LGG Demo: `python app.py` opens the page on the weights in weights/; Hugging Face Spaces run this file too."""

import sys

from lgg_demo.page.server import main

if __name__ == "__main__":
    sys.exit(main())

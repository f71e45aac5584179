"""LGG Demo: `python app.py` opens the page on the weights in weights/; Hugging Face Spaces run this file too."""

from lgg_demo.inference import Segmenter
from lgg_demo.ui import Page, launch_page

if __name__ == "__main__":
    launch_page(Page(Segmenter.load()).build())

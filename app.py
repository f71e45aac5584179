"""LGG Demo: `python app.py` opens the page on the weights in weights/; Hugging Face Spaces run this file too."""

from lgg_demo.inference import Segmenter
from lgg_demo.ui import serve

if __name__ == "__main__":
    serve(Segmenter.load())

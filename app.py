"""LGG Demo: `python app.py` opens the page on the weights in weights/; Hugging Face Spaces run this file too."""

import sys

from lgg_demo.network.record import CheckpointError
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.server import serve

if __name__ == "__main__":
    try:
        segmenter = Segmenter.load()
    except CheckpointError as error:
        print(f"app: {error}", file=sys.stderr)
        sys.exit(2)
    serve(segmenter)

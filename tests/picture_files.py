"""Pictures drawn for the tests, and what reading them gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lgg_demo.case import ReadError
from lgg_demo.reading.pictures import read_scan

HEIGHT, WIDTH = 40, 48  # not square, so that an exchange of axes shows


def noise(*shape: int, dtype: type = np.uint8, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


GREY = noise(HEIGHT, WIDTH)
COLOUR = noise(HEIGHT, WIDTH, 3, seed=1)


def png(path: Path, values: np.ndarray = GREY) -> Path:
    """An 8-bit PNG, grey or RGB; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def tiff(path: Path, values: np.ndarray = GREY, **how: object) -> Path:
    tifffile.imwrite(path, values, **({"photometric": "minisblack", "metadata": None} | how))
    return path


def alpha(values: np.ndarray) -> np.ndarray:
    return np.dstack([values, noise(HEIGHT, WIDTH, seed=9)])


def with_palette(values: np.ndarray, colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(values, "P")
    picture.putpalette(colours.ravel().tolist())
    return picture


def refused(path: Path, read: Callable[[Path], object] = read_scan) -> str:
    """The key of the sentence a file is refused with, which names the file in both languages."""
    with pytest.raises(ReadError) as caught:
        read(path)
    error = caught.value
    assert error.file == path.name
    assert error.__context__ is None or error.__suppress_context__  # one sentence, no traceback of another kind
    english, french = error.sentence.say("en"), error.sentence.say("fr")
    assert str(error) == english != french
    assert path.name in english and path.name in french
    return error.sentence.key

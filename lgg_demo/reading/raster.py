"""What the formats of pictures share: bounds, transparency, the way a picture is turned when it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lgg_demo.case import ReadError
from lgg_demo.messages import Sentence
from lgg_demo.reading.limits import LARGEST_SIDE, MOST_SLICES, MOST_VALUES, SMALLEST_SIDE
from lgg_demo.reading.masks import over_black

ORIENTATION = 274  # the tag of EXIF and TIFF


class Decoded(NamedTuple):
    """values: (S, H, W, 1 or 3) float32. hidden: what is transparent, (S, H, W) bool, None for nothing."""

    values: np.ndarray
    hidden: np.ndarray | None = None
    warnings: tuple[Sentence, ...] = ()


def see_through(values: np.ndarray, opaque: float, mask: bool) -> Decoded:
    """Slices whose last channel is their opacity: a mask as it looks over black (`over_black`), a scan with what it hides.

    values: (S, H, W, 2 or 4) float32; opaque: the opacity that hides what is behind.
    """
    if mask:
        return Decoded(over_black(values, opaque))
    return Decoded(values[..., :-1], values[..., -1] == 0)


def turned(found: Decoded, orientation: int) -> Decoded:
    """Slices as they are shown; orientation: 1 to 8 as EXIF and TIFF have it, anything else is 1."""
    steps = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
    if orientation not in steps:
        return found
    quarters, mirrored = steps[orientation]

    def turn(values: np.ndarray) -> np.ndarray:
        out = np.rot90(values, quarters, axes=(1, 2))
        return np.ascontiguousarray(out[:, :, ::-1] if mirrored else out)

    return found._replace(values=turn(found.values), hidden=None if found.hidden is None else turn(found.hidden))


def check_header(path: Path, pages: int, height: int, width: int) -> None:
    """Raise ReadError where a picture is no study's: too small, too large, too many slices."""
    if max(height, width) > LARGEST_SIDE:
        raise ReadError(path.name, "too_large", side=LARGEST_SIDE)
    if min(height, width) < SMALLEST_SIDE:
        raise ReadError(path.name, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
    if pages > MOST_SLICES:
        raise ReadError(path.name, "too_many_slices", slices=pages, most=MOST_SLICES)
    if held_values(pages, height, width) > MOST_VALUES:
        raise ReadError(path.name, "too_much_at_once")


def held_values(slices: int, height: int, width: int) -> int:
    """How many values slices come to on their way to the network: three channels, padded to a square."""
    return slices * 3 * max(height, width) ** 2


def not_an_image(path: Path) -> ReadError:
    """What to say of a file that is no picture: DICOM is read, under a name of its own."""
    with path.open("rb") as file:
        dicom = file.read(132).endswith(b"DICM")
    return ReadError(path.name, "dicom_as_image" if dicom else "not_an_image")

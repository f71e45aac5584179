"""What the readers share: bounds on files and volumes, one sentence for any exception, one grid laid on another."""

from __future__ import annotations

import gzip
import logging
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from scipy.ndimage import affine_transform

from lgg_demo.case import ReadError, Volume
from lgg_demo.grid import Grid
from lgg_demo.reading.limits import (
    LARGEST_VALUE,
    MOST_BYTES,
    MOST_SLICES,
    MOST_VALUES,
    MOST_VOXELS,
    OUTSIDE_SHARE,
    SAME_PLACE,
    SMALLEST_SIDE,
    VOXEL_MM,
    WIDEST_SLICE,
)

_log = logging.getLogger(__name__)


def check_grid(file: str, grid: Grid) -> None:
    """Raise ReadError where the axial stack would be no study: too small, too large, not a head's geometry."""
    matrix = grid.affine[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    sane = bool(np.isfinite(grid.affine).all()) and bool((sizes >= VOXEL_MM[0]).all() and (sizes <= VOXEL_MM[1]).all())
    if not sane or abs(np.linalg.det(matrix / sizes)) < 0.2:
        raise ReadError(file, "volume_geometry")
    if math.prod(grid.shape) > MOST_VOXELS:
        raise ReadError(file, "too_much_at_once")
    if max(grid.shape) > WIDEST_SLICE:
        raise ReadError(file, "too_large", side=WIDEST_SLICE)
    slices, height, width = grid.to_stack(np.broadcast_to(np.uint8(0), grid.shape)).shape
    if min(height, width) < SMALLEST_SIDE:  # first: of one sagittal slice the rows would count as slices
        if min(sorted(grid.shape)[1:]) < SMALLEST_SIDE:
            raise ReadError(file, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
        raise ReadError(file, "volume_few_slices", slices=min(height, width), least=SMALLEST_SIDE)
    if slices > MOST_SLICES:
        raise ReadError(file, "too_many_slices", slices=slices, most=MOST_SLICES)
    if slices * 3 * max(height, width) ** 2 > MOST_VALUES:
        raise ReadError(file, "too_much_at_once")


def mend(file: str, values: np.ndarray, most: float = np.inf) -> int:
    """Replace, in place, what is no number by the darkest value, but by no more than `most`; returns how many.

    Raises ReadError where all are.
    """
    largest, least = float(values.max()), float(values.min())
    if least > -LARGEST_VALUE and largest < LARGEST_VALUE:
        return 0
    usable = np.abs(values) < LARGEST_VALUE
    if not usable.any():
        raise ReadError(file, "damaged")
    values[~usable] = min(float(values.min(initial=np.inf, where=usable)), most)
    return int(usable.size - usable.sum())


def darken_outside(values: np.ndarray) -> None:
    """Give what is around the head the darkest value, in place: the zeros around a z-scored brain, and a negative number
    that marks where nothing was measured beside values that are not negative, which becomes 0.

    Skull-stripped volumes are often scaled to mean 0 inside the brain and left at exactly 0 outside, which would then be
    grey, and the brain's darker half darker than air.
    """
    least = values.min()
    if least >= 0:
        return
    if 0 <= values.min(initial=np.inf, where=values > least) < np.inf:
        values[values == least] = 0
    elif np.count_nonzero(values == 0) > OUTSIDE_SHARE * values.size:
        values[values == 0] = least


def guard(path: Path, most: int = MOST_BYTES) -> None:
    """Raise ReadError where there is no file, an empty one, or one beyond what a study has."""
    try:
        if not path.is_file():
            raise ReadError(path.name, "not_found")
        size = path.stat().st_size
    except (OSError, ValueError):
        raise ReadError(path.name, "not_found") from None
    if size == 0:
        raise ReadError(path.name, "empty_file")
    if size > most:
        raise ReadError(path.name, "too_much_at_once")


def broken(file: str, error: Exception) -> ReadError:
    """What a user is told of a file on which a library raised something; what and where is logged, without its values."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    _log.debug("%s%s", type(error).__name__, "".join(f" at {p.filename}:{p.lineno}" for p in place))
    return ReadError(file, "damaged")


@contextmanager
def one_sentence(file: str) -> Iterator[None]:
    """Turn every exception into ReadError: a library may raise anything on a broken file."""
    try:
        with np.errstate(all="ignore"):
            yield
    except ReadError:
        raise
    except MemoryError:
        raise ReadError(file, "too_much_at_once") from None
    except Exception as error:
        raise broken(file, error) from None


def opened(path: Path) -> BinaryIO:
    """A file for reading, unpacked on the way where it is gzipped."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same voxels, to a hundredth of a millimetre at the corners."""
    if a.shape != b.shape:
        return False
    corners = np.array([[i, j, k, 1] for i in (0, a.shape[0]) for j in (0, a.shape[1]) for k in (0, a.shape[2])])
    return bool(np.abs(corners @ (a.affine - b.affine).T).max() < SAME_PLACE)


def resample(volume: Volume, onto: Grid) -> np.ndarray:
    """The volume on another grid, float32: a mask by nearest neighbour and 0 outside, anything else linear
    and its darkest value outside."""
    if same_grid(volume.grid, onto):
        return volume.values
    matrix = np.linalg.inv(volume.grid.affine) @ onto.affine
    order, outside = (0, 0.0) if volume.role == "mask" else (1, float(volume.values.min()))
    return np.asarray(
        affine_transform(
            volume.values, matrix[:3, :3], matrix[:3, 3], onto.shape, np.float32, order, "grid-constant", outside, False
        )
    )

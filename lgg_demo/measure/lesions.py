"""The connected abnormalities of a mask, each with its size, its place and its diameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lgg_demo.measure.diameters import Diameters, largest_diameters
from lgg_demo.measure.overlap import bounding_box

MOST_LESIONS = 100  # measured of one case, the largest; more are noise, which would take minutes


@dataclass(frozen=True)
class Lesion:
    """One connected abnormality.

    pixels: how many it has. first, last: its slices, as indices in the stack. diameters: see `largest_diameters`.
    """

    pixels: int
    first: int
    last: int
    diameters: Diameters


def find_lesions(mask: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> tuple[list[Lesion], int]:
    """The connected parts of a mask (S, H, W), the largest first, at most `MOST_LESIONS`; and how many there are.

    Voxels are connected that share a side, an edge or a corner (26 neighbours; 8 in a lone slice): then an area of one
    slice, which diameters are measured across, never belongs to two lesions. Slices must lie in order. Of equally large
    ones that comes first whose first voxel does. spacing: of rows and columns in mm, for the diameters.
    """
    if not mask.any():
        return [], 0
    labels, found, box = label_parts(mask)
    pixels, order = _by_size(labels, found)
    places = ndimage.find_objects(labels)
    return [_measured(labels, int(n), places[n], box, int(pixels[n]), spacing) for n in order], found


def lesion_labels(mask: np.ndarray) -> np.ndarray:
    """Which lesion of `find_lesions` each voxel of a mask (S, H, W) belongs to: int32 of its shape, the number in that list
    from 1 on, 0 for none.
    """
    numbers = np.zeros(mask.shape, dtype=np.int32)
    if mask.any():
        labels, found, box = label_parts(mask)
        _, order = _by_size(labels, found)
        number_of = np.zeros(found + 1, dtype=np.int32)
        number_of[order + 1] = np.arange(1, len(order) + 1)
        numbers[box] = number_of[labels]
    return numbers


def _by_size(labels: np.ndarray, found: int) -> tuple[np.ndarray, np.ndarray]:
    """How many voxels each of so many parts has, and their places in that list, the largest first, see `find_lesions`."""
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    first = np.empty(found + 1, dtype=np.int64)
    first[flat[inside[::-1]]] = inside[::-1]  # of several the last one assigned stays
    pixels = np.bincount(flat, minlength=found + 1)[1:]
    return pixels, np.lexsort((first[1:], -pixels))[:MOST_LESIONS]


def label_parts(mask: np.ndarray) -> tuple[np.ndarray, int, tuple[slice, ...]]:
    """The connected parts (26 neighbours) of a mask (S, H, W) that is not empty: their labels, int from 1 on, in the box
    around all of them; how many there are; the box.
    """
    box = bounding_box(mask)
    labels, found = ndimage.label(mask[box], structure=np.ones((3, 3, 3)))
    return labels, found, box


def _measured(
    labels: np.ndarray,
    n: int,
    place: tuple[slice, ...],
    box: tuple[slice, ...],
    pixels: int,
    spacing: tuple[float, float],
) -> Lesion:
    """The lesion with label n + 1; place: in the labels, box: of these in the stack."""
    lines = largest_diameters(labels[place] == n + 1, spacing)
    assert lines is not None
    corner = [outer.start + inner.start for outer, inner in zip(box, place, strict=True)]
    there = replace(lines, slice=lines.slice + corner[0], ends=lines.ends + corner[1:])
    return Lesion(pixels, corner[0], corner[0] + place[0].stop - place[0].start - 1, there)

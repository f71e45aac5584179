"""The two diameters that a radiologist draws on the slice where a lesion is longest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from lgg_demo.measure.overlap import bounding_box


@dataclass(frozen=True)
class Diameters:
    """The two lines a radiologist draws on the slice where a lesion is longest.

    longest, perpendicular: in the unit of the spacing. slice: index in the stack, from 0. ends: of both lines, (2, 2, 2):
    line, end, (row, column) in pixels, a pixel's middle being a whole number.
    """

    longest: float
    perpendicular: float
    slice: int
    ends: np.ndarray


def largest_diameters(mask: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> Diameters | None:
    """The longest line across one connected area of one slice of a mask (S, H, W), and the longest at a right angle to it.

    The bidimensional measure of RANO (Wen et al. 2010, doi:10.1200/JCO.2009.26.3541). Areas touch by side or corner. Lines
    end on the middles of outer pixel edges, so that a row of n pixels is n long, and may cross a notch of the outline: both
    are taken from its convex hull. `spacing`: (row, column) in mm. None where the mask is empty.
    """
    if not mask.any():
        return None
    box = bounding_box(mask)
    corner = np.array([box[1].start, box[2].start])
    scale = np.array(spacing)
    best: Diameters | None = None
    for s in range(box[0].start, box[0].stop):
        labels, _ = ndimage.label(mask[s][box[1:]], structure=np.ones((3, 3)))
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            sides = [(p.stop - p.start) * step for p, step in zip(place, spacing, strict=True)]
            if best is not None and math.hypot(*sides) <= best.longest:  # no line in the box is longer than its diagonal
                continue
            shift = np.array([p.start for p in place]) + corner
            hull = _hull((_edge_middles(labels[place] == label) + shift) * scale)
            distances = squareform(pdist(hull))
            first, second = np.unravel_index(int(distances.argmax()), distances.shape)
            longest = float(distances[first, second])
            if best is None or longest > best.longest:
                across = _longest_across(hull, int(first), int(second))
                length = float(np.linalg.norm(across[1] - across[0]))
                best = Diameters(longest, length, s, np.stack([hull[[first, second]], across]) / scale)
    return best


def _edge_middles(mask: np.ndarray) -> np.ndarray:
    """Middles of the outermost pixel edges of each row and column of a mask (H, W): (N, 2) of (row, column)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    h, w = mask.shape
    left, right = mask[rows].argmax(axis=1), w - 1 - mask[rows, ::-1].argmax(axis=1)
    top, bottom = mask[:, columns].argmax(axis=0), h - 1 - mask[::-1, columns].argmax(axis=0)
    sides = [(rows, left - 0.5), (rows, right + 0.5), (top - 0.5, columns), (bottom + 0.5, columns)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of (N, 2) points, in order around it."""
    return np.asarray(points[ConvexHull(points).vertices])


def _longest_across(hull: np.ndarray, first: int, second: int) -> np.ndarray:
    """Ends (2, 2) of the longest line inside a convex polygon at a right angle to that from corner `first` to `second`.

    The width of a convex polygon is concave along the line, so it is largest at a corner.
    """
    along = (hull[second] - hull[first]) / np.linalg.norm(hull[second] - hull[first])
    across = np.array([-along[1], along[0]])
    place, height = (hull - hull[first]) @ along, (hull - hull[first]) @ across
    n = len(hull)
    there = [(first + k) % n for k in range((second - first) % n + 1)]  # one way around, and the other
    back = [(first - k) % n for k in range((first - second) % n + 1)]
    sides = [np.interp(place, place[way], height[way]) for way in (there, back)]
    widest = int(np.abs(sides[0] - sides[1]).argmax())
    return np.stack([hull[first] + place[widest] * along + side[widest] * across for side in sides])

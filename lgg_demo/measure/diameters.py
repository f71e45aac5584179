"""The two diameters that a radiologist draws on the slice where a lesion is longest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lgg_demo.measure.overlap import bounding_box

SAME = 1e-9  # of a length: what differs by less is equally long, and floats alone tell it apart


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

    def exceeds(self, other: Diameters) -> bool:
        """Whether the longest line is longer, or as long and the other one longer."""
        if abs(self.longest - other.longest) > SAME * self.longest:
            return self.longest > other.longest
        return self.perpendicular > other.perpendicular * (1 + SAME)


def largest_diameters(mask: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> Diameters | None:
    """The longest line across one connected area of one slice of a mask (S, H, W), and the longest at a right angle to it.

    The bidimensional measure of RANO (Wen et al. 2010, doi:10.1200/JCO.2009.26.3541). Areas touch by side or corner. Lines
    end on the middles of outer pixel edges, so that a row of n pixels is n long, and may cross a notch of the outline: both
    are taken from its convex hull. Of lines that are equally long the one with the longer perpendicular counts, then the
    first. `spacing`: (row, column) in mm. None where the mask is empty. The viewer's diameters.js does the same, step by
    step, so that page and report agree to the last digit.
    """
    if not mask.any():
        return None
    box = bounding_box(mask)
    corner = np.array([box[1].start, box[2].start])
    best: Diameters | None = None
    for s in range(box[0].start, box[0].stop):
        labels, _ = ndimage.label(mask[s][box[1:]], structure=np.ones((3, 3)))
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            sides = [(p.stop - p.start) * step for p, step in zip(place, spacing, strict=True)]
            if best is not None and math.hypot(*sides) <= best.longest:  # no line in the box is longer than its diagonal
                continue
            shift = np.array([p.start for p in place]) + corner
            found = _across(_hull(_edge_middles(labels[place] == label)), spacing, s, shift)
            if best is None or found.exceeds(best):
                best = found
    return best


def _edge_middles(mask: np.ndarray) -> np.ndarray:
    """Middles of the outermost pixel edges of each row and column of a mask (H, W): (N, 2) int of (row, column), in halves
    of a pixel, so that they are whole numbers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    h, w = mask.shape
    left, right = mask[rows].argmax(axis=1), w - 1 - mask[rows, ::-1].argmax(axis=1)
    top, bottom = mask[:, columns].argmax(axis=0), h - 1 - mask[::-1, columns].argmax(axis=0)
    sides = [(2 * rows, 2 * left - 1), (2 * rows, 2 * right + 1), (2 * top - 1, 2 * columns), (2 * bottom + 1, 2 * columns)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of (N, 2) whole numbers, in order around it from the first row on."""
    ordered = np.unique(points, axis=0).tolist()
    half: list[list[list[int]]] = []
    for way in (ordered, ordered[::-1]):
        chain: list[list[int]] = []
        for point in way:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        half.append(chain[:-1])
    return np.array(half[0] + half[1])


def _turn(a: list[int], b: list[int], c: list[int]) -> int:
    """Above 0 where the way from `a` over `b` to `c` turns as the hull does."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _across(hull: np.ndarray, spacing: tuple[float, float], s: int, shift: np.ndarray) -> Diameters:
    """The two lines across a convex polygon (N, 2) in halves of a pixel; s, shift: of its slice and its box."""
    apart = (hull[:, None] - hull[None]) / 2 * spacing
    squares = apart[..., 0] * apart[..., 0] + apart[..., 1] * apart[..., 1]
    firsts, seconds = np.nonzero(np.triu(squares >= squares.max() * (1 - SAME)))
    best: Diameters | None = None
    for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
        width, ends = _longest_across(hull, first, second, spacing)
        lines = np.stack([hull[[first, second]] / 2, ends]) + shift
        found = Diameters(math.sqrt(squares[first, second]), width, s, lines)
        if best is None or found.exceeds(best):
            best = found
    assert best is not None
    return best


def _longest_across(hull: np.ndarray, first: int, second: int, spacing: tuple[float, float]) -> tuple[float, np.ndarray]:
    """Length and ends (2, 2) of the longest line inside a convex polygon at a right angle to that from corner `first` to
    `second`, its longest.

    The width of a convex polygon is concave along the line, so it is largest at a corner. Places and heights are in units
    of the line's own length.
    """
    y, x = ((hull - hull[first]) / 2 * spacing).T
    down, right = y[second], x[second]
    square = down * down + right * right
    place, height = y * down + x * right, x * down - y * right
    n = len(hull)
    there = [(first + k) % n for k in range((second - first) % n + 1)]  # one way around, and the other
    back = [(first - k) % n for k in range((first - second) % n + 1)]
    sides = [np.interp(place, place[way], height[way]) for way in (there, back)]
    widths = np.abs(sides[0] - sides[1])
    widest = int(widths.argmax())
    along, across = np.array([down, right]) / square, np.array([-right, down]) / square
    ends = [hull[first] / 2 + (place[widest] * along + side[widest] * across) / spacing for side in sides]
    return float(widths[widest] / math.sqrt(square)), np.stack(ends)

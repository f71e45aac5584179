"""Which connected parts of several visits are one lesion: those that lie on or beside each other in the first's space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np
from scipy import ndimage

NEAR_MM = 3.0  # parts of two visits that are no farther apart are one lesion

Part = tuple[int, int]  # a visit, and the label of a part of its mask


def resampled(labels: np.ndarray, to: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Labels (s, h, w) int of a later visit on the first one's stack, (S, H, W) = shape, by nearest neighbour, 0 outside.

    to: (4, 4) from indices of the first stack to those of the later one.
    """
    return np.asarray(
        ndimage.affine_transform(labels, to[:3, :3], to[:3, 3], shape, order=0, mode="grid-constant", prefilter=False)
    )


def match_parts(labels: Sequence[np.ndarray], affine: np.ndarray, near_mm: float = NEAR_MM) -> list[list[Part]]:
    """The lesions: lists of parts, each of a visit (its place in `labels`) and a label from 1 on.

    labels: the parts of each visit, all (S, H, W) int on one stack, 0 outside; affine: (4, 4) from its indices to mm. Parts
    of two visits belong together where two of their voxels' centres are no farther apart than near_mm; through others too.
    Parts of one visit only by way of another visit's: a lesion that has split, or that has run together, is one.
    """
    parts: list[Part] = [(v, int(n)) for v, own in enumerate(labels) for n in np.unique(own) if n]
    lesion = {part: {part} for part in parts}
    for (v, own), (w, other) in combinations(enumerate(labels), 2):
        for n, m in _touching(own, other, affine, near_mm):
            joined = lesion[v, n] | lesion[w, m]
            lesion |= dict.fromkeys(joined, joined)
    return [sorted(group) for group in {id(group): group for group in lesion.values()}.values()]


def _touching(own: np.ndarray, other: np.ndarray, affine: np.ndarray, near_mm: float) -> set[tuple[int, int]]:
    """The pairs of labels of two visits that are near each other."""
    inside = np.argwhere(own)
    found: set[tuple[int, int]] = set()
    if not len(inside) or not other.any():
        return found
    shape = np.array(other.shape)
    mine = own[tuple(inside.T)].astype(np.int64)
    for step in _steps(affine, near_mm):
        places = inside + step
        kept = ((places >= 0) & (places < shape)).all(axis=1)
        theirs = other[tuple(places[kept].T)]
        pairs = np.unique(np.stack([mine[kept], theirs])[:, theirs > 0], axis=1)
        found |= {(int(a), int(b)) for a, b in pairs.T}
    return found


def _steps(affine: np.ndarray, near_mm: float) -> Iterator[np.ndarray]:
    """Steps between indices that are no longer than so many mm, none included."""
    matrix = affine[:3, :3]
    reach = [math.floor(near_mm * float(np.linalg.norm(row)) + 1e-9) for row in np.linalg.inv(matrix)]
    for step in product(*(range(-n, n + 1) for n in reach)):
        if np.linalg.norm(matrix @ step) <= near_mm + 1e-9:
            yield np.array(step)

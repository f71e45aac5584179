"""Whether a sequence lies on FLAIR, or the patient has moved between the two; and the sequence moved back."""

from __future__ import annotations

import numpy as np

from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.registration import Registration, register, resampled

MOVED_MM = 3.0  # on average over the head, from which on a sequence counts as moved
ROUGH_MM = 4.0  # voxels of a first look, which is enough for a sequence that lies on FLAIR
LIES_MM = 2.0  # by how much it may be moved in a first look


def movement_of(flair: np.ndarray, grid: Grid, other: np.ndarray, other_grid: Grid) -> Registration | None:
    """How another sequence must move to lie on FLAIR, if the answer is `good`; None where it lies on FLAIR as its header
    says, or nobody knows what a millimetre is.

    flair, other: (S, H, W) real.
    """
    if grid.physical is None or other_grid.physical is None:
        return None
    if register(flair, grid, other, other_grid, ROUGH_MM).moved_mm < LIES_MM:
        return None
    found = register(flair, grid, other, other_grid)
    return found if found.moved_mm >= MOVED_MM else None


def laid_on(
    flair: np.ndarray, grid: Grid, other: np.ndarray, other_grid: Grid, asked: bool
) -> tuple[np.ndarray | None, Sentence | None]:
    """A sequence registered to FLAIR, float32 of FLAIR's shape, or None where it stays where its header lays it; and what
    there is to say of that, without the names of the two.

    asked: whether a sequence is to be registered where the patient has moved; else it is only said that it could be.
    """
    found = movement_of(flair, grid, other, other_grid)
    if found is None or not (found.good or asked):
        return None, None
    values = {"mm": round(found.moved_mm)}
    if not asked:
        return None, Sentence("sequence_moved", values)
    if not found.good:
        return None, Sentence("sequence_not_registered", values)
    registered = resampled(other, other_grid, found.matrix, grid, float(other.min()))
    return registered, Sentence("sequence_registered", values)

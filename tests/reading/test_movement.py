"""Whether sequences lie on one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate, shift

from lgg_demo.reading.movement import moved_mm

SPACING = (5.0, 2.0, 2.0)


def heads() -> tuple[np.ndarray, np.ndarray]:
    """A head and its second sequence, of other contrast, drawn with a skull, two ventricles and a texture: (24, 90, 90)."""
    z, y, x = np.indices((24, 90, 90), dtype=np.float32)
    far = ((z - 12) / 11) ** 2 + ((y - 45) / 38) ** 2 + ((x - 45) / 30) ** 2
    texture = gaussian_filter(np.random.default_rng(0).normal(size=far.shape), (1, 3, 3))
    brain, bone = far < 0.8, (far >= 0.8) & (far < 1)
    fluid = (((y - 42) / 16) ** 2 + ((np.abs(x - 45) - 9) / 4) ** 2 + ((z - 12) / 4) ** 2) < 1
    tissue = 0.6 + 8 * texture
    flair = np.where(fluid, 0.1, np.where(brain, tissue, np.where(bone, 0.9, 0.0)))
    other = np.where(fluid, 0.2, np.where(brain, 1.3 - tissue, np.where(bone, 0.4, 0.0)))
    return flair.astype(np.float32), other.astype(np.float32)


def test_two_contrasts_of_a_head_that_lay_still_lie_on_one_another() -> None:
    flair, other = heads()
    assert moved_mm(flair, other, SPACING) is None
    assert moved_mm(flair, other * np.linspace(0.7, 1.3, 90, dtype=np.float32), SPACING) is None, "a coil's own brightness"


@pytest.mark.parametrize("by", [(0, 4, 0), (0, 0, -5)])
def test_a_shift_is_measured(by: tuple[int, int, int]) -> None:
    flair, other = heads()
    moved = moved_mm(flair, shift(other, by, order=1), SPACING)
    assert moved is not None and moved == pytest.approx(2 * max(map(abs, by)), abs=1.5)


def test_a_turn_is_found() -> None:
    flair, other = heads()
    assert moved_mm(flair, rotate(other, 9, axes=(1, 2), reshape=False, order=1), SPACING) is not None


def test_what_shows_no_head_is_not_judged() -> None:
    flat = np.zeros((4, 20, 20), dtype=np.float32)
    assert moved_mm(flat, flat, SPACING) is None

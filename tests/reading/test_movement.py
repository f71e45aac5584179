"""Whether sequences lie on one another, and those that do not registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import only
from moved_study import OTHER, STILL, moved_study
from scipy.ndimage import gaussian_filter, rotate, shift

from lgg_demo.case import Case
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.movement import movement_of

GRID = Grid((90, 90, 24), np.array([[-2, 0, 0, 90], [0, -2, 0, 90], [0, 0, 5, -60], [0, 0, 0, 1.0]]))


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


def moved_mm(flair: np.ndarray, other: np.ndarray) -> float | None:
    """By how much a sequence has moved, where the answer may be used."""
    found = movement_of(flair, GRID, other, GRID)
    return found.moved_mm if found is not None and found.good else None


def test_two_contrasts_of_a_head_that_lay_still_lie_on_one_another() -> None:
    flair, other = heads()
    assert moved_mm(flair, other) is None
    assert moved_mm(flair, other * np.linspace(0.7, 1.3, 90, dtype=np.float32)) is None, "a coil's own brightness"


@pytest.mark.parametrize("by", [(0, 4, 0), (0, 0, -5)])
def test_a_shift_is_measured(by: tuple[int, int, int]) -> None:
    flair, other = heads()
    moved = moved_mm(flair, shift(other, by, order=1))
    assert moved is not None and moved == pytest.approx(2 * max(map(abs, by)), abs=1)


def test_a_turn_is_found() -> None:
    flair, other = heads()
    assert moved_mm(flair, rotate(other, 9, axes=(1, 2), reshape=False, order=1)) is not None


def test_what_shows_no_head_is_not_judged() -> None:
    flat = np.zeros((4, 20, 20), dtype=np.float32)
    assert movement_of(flat, GRID, flat, GRID) is None


def test_without_millimetres_nothing_is_judged() -> None:
    flair, other = heads()
    unknown = Grid(GRID.shape, GRID.affine, measured=False)
    moved = shift(other, (0, 5, 0), order=1)
    assert movement_of(flair, GRID, moved, unknown) is None and movement_of(flair, unknown, moved, GRID) is None


def said(case: Case) -> list[Sentence]:
    """What its user is told of where its sequences lie."""
    return [w for w in case.warnings if w.key.startswith("sequence_")]


def keys(*cases: Case) -> list[list[str]]:
    return [[sentence.key for sentence in said(case)] for case in cases]


def test_a_moved_sequence_is_registered_where_that_is_asked_for(tmp_path: Path) -> None:
    still = only(moved_study(tmp_path, STILL))
    files = moved_study(tmp_path)
    moved, registered = only(files), only(files, register=True)
    assert keys(still, moved, registered) == [[], ["sequence_moved"], ["sequence_registered"]]
    (sentence,) = said(registered)
    assert sentence.values == {"file": "x_t1", "other": "x_flair", "mm": 9}
    off = [np.abs(case.scan.pixels - still.scan.pixels)[2:-2, ..., 0].mean() for case in (moved, registered)]
    assert off[1] < 0.2 * off[0]
    np.testing.assert_array_equal(registered.scan.pixels[..., 1], still.scan.pixels[..., 1])


def test_one_study_alone_is_registered_by_its_choice(tmp_path: Path) -> None:
    files = moved_study(tmp_path)
    choice = {"flair": "x_flair", "pre": "x_t1", "post": "", "register": "x_flair"}
    assert keys(only(files, choices=(choice,))) == [["sequence_registered"]]


def test_a_poor_registration_is_said_and_not_used(tmp_path: Path) -> None:
    files = moved_study(tmp_path, STILL, OTHER)
    silent, asked = only(files), only(files, register=True)
    assert keys(silent, asked) == [[], ["sequence_not_registered"]]
    np.testing.assert_array_equal(asked.scan.pixels, silent.scan.pixels)

"""Where a stack lies: what of a slanted grid is measured by, and where programs that know right angles alone lay it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from lgg_demo.grid import Grid, without_shear


def tilted(order: tuple[int, ...] = (0, 1, 2), tilt: float = 1.7, turn: float = 0.2) -> np.ndarray:
    """An affine of slices 5.25 mm apart that slide by `tilt` mm along their columns; the axes in this order of the file."""
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[0.9, 0, 0], [0, 1.1, tilt], [0, 0, 5.25]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix[:, list(order)], (-40, -50, 60)
    return affine


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_slices_are_as_far_apart_as_their_planes(order: tuple[int, ...]) -> None:
    shape = tuple(np.array([10, 12, 8])[list(order)].tolist())
    grid = Grid(shape, tilted(order))
    assert grid.spacing_mm == pytest.approx((5.25, 1.1, 0.9))
    assert np.prod(grid.spacing_mm) == pytest.approx(abs(np.linalg.det(grid.affine[:3, :3])))


def test_of_thin_slices_those_of_the_file_are_meant() -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[1, 2] = 0.4
    assert Grid((9, 9, 9), affine).spacing_mm == pytest.approx((1, 1, 1))
    assert Grid((9, 9, 9), np.diag([1.0, 2.0, 3.0, 1.0])).spacing_mm == (3, 2, 1)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_without_shear_keeps_plane_origin_and_lengths(order: tuple[int, ...]) -> None:
    given = tilted(order)
    found = without_shear(given)
    matrix = found[:3, :3]
    np.testing.assert_allclose(matrix.T @ matrix, np.diag(np.linalg.norm(given[:3, :3], axis=0) ** 2), atol=1e-9)
    np.testing.assert_allclose(found[:3, 3], given[:3, 3])
    for own, axis in enumerate(order):
        if axis != 2:
            np.testing.assert_allclose(found[:3, own], given[:3, own], atol=1e-9)
    assert np.sign(np.linalg.det(matrix)) == np.sign(np.linalg.det(given[:3, :3]))
    np.testing.assert_allclose(without_shear(tilted(order, 0)), tilted(order, 0), atol=1e-9)

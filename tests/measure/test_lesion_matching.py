"""Parts of several visits that are one lesion."""

from __future__ import annotations

import numpy as np
import pytest

from lgg_demo.measure.lesion_matching import match_parts, resampled

SHAPE = (4, 20, 20)
AFFINE = np.diag([5.0, 1.0, 1.0, 1.0])


def drawn(**places: tuple[int, int, int]) -> np.ndarray:
    """Labels with a block of 3 by 3 pixels in a slice for each: the slice and its first row and column."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    for n, (s, row, column) in enumerate(places.values(), 1):
        labels[s, row : row + 3, column : column + 3] = n
    return labels


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        ([drawn(a=(1, 2, 2)), drawn(a=(1, 4, 2))], [[(0, 1), (1, 1)]]),
        ([drawn(a=(1, 2, 2)), drawn(a=(1, 2, 7))], [[(0, 1), (1, 1)]]),  # 3 mm from centre to centre
        ([drawn(a=(1, 2, 2)), drawn(a=(1, 2, 8))], [[(0, 1)], [(1, 1)]]),
        ([drawn(a=(1, 2, 2)), drawn(a=(2, 2, 2))], [[(0, 1)], [(1, 1)]]),  # a slice is 5 mm
        # Two of one visit, which the other visit's joins
        ([drawn(a=(1, 2, 2), b=(1, 2, 6)), drawn(a=(1, 2, 4))], [[(0, 1), (0, 2), (1, 1)]]),
        ([drawn(a=(1, 2, 2), b=(1, 2, 6)), drawn(a=(3, 9, 9))], [[(0, 1)], [(0, 2)], [(1, 1)]]),
        # Of three lesions one is new
        (
            [drawn(a=(0, 1, 1), b=(3, 9, 9)), drawn(a=(0, 2, 1), b=(3, 9, 8), c=(1, 14, 2))],
            [[(0, 1), (1, 1)], [(0, 2), (1, 2)], [(1, 3)]],
        ),
        # Absent from the first visit, and the same in the two others
        ([drawn(), drawn(a=(1, 2, 2)), drawn(a=(1, 3, 2))], [[(1, 1), (2, 1)]]),
        ([drawn(), drawn()], []),
    ],
)
def test_match_parts(visits: list[np.ndarray], expected: list[list[tuple[int, int]]]) -> None:
    assert match_parts(visits, AFFINE) == expected


def test_labels_of_another_grid_come_onto_the_first_by_the_nearest_voxel() -> None:
    fine = np.zeros((4, 40, 40), dtype=np.int32)
    fine[1, 10:16, 20:26] = 7  # half a millimetre a pixel, moved by 2 slices
    to = np.diag([1.0, 2.0, 2.0, 1.0])
    to[:3, 3] = -1, 0.4, 0.4
    on_first = resampled(fine, to, SHAPE)
    expected = np.zeros(SHAPE, dtype=np.int32)
    expected[2, 5:8, 10:13] = 7
    assert np.array_equal(on_first, expected)

"""The categories of RANO 2.0 at and beside each threshold."""

from __future__ import annotations

import numpy as np
import pytest

from lgg_demo.measure.diameters import Diameters
from lgg_demo.measure.rano import AREA, VOLUME, Criterion, categorise, measurable

COMPLETE, PARTIAL, MINOR = "complete_response", "partial_response", "minor_response"
STABLE, WORSE = "stable_disease", "progressive_disease"


@pytest.mark.parametrize(
    ("sizes", "criterion", "expected"),
    [
        ([10, 13.9], VOLUME, STABLE),
        ([10, 14.0], VOLUME, WORSE),
        ([10, 3.6], VOLUME, STABLE),
        ([10, 3.5], VOLUME, PARTIAL),
        ([10, 0.0], VOLUME, COMPLETE),
        ([23.84, 30.79], VOLUME, STABLE),  # the synthetic patient that grows: by 29 %
        ([1000, 1240], AREA, STABLE),
        ([1000, 1250], AREA, WORSE),
        ([1000, 760], AREA, STABLE),
        ([1000, 750], AREA, MINOR),
        ([1000, 510], AREA, MINOR),
        ([1000, 500], AREA, PARTIAL),
        # Progression from the smallest, a response from the first
        ([10, 5, 6.9], VOLUME, STABLE),
        ([10, 5, 7.0], VOLUME, WORSE),
        ([10, 2, 2.5], VOLUME, PARTIAL),
        ([10, 0, 0.5], VOLUME, WORSE),
        ([10, 0, 0.0], VOLUME, COMPLETE),
        ([10, None, 14], VOLUME, WORSE),
        # Nothing to compare with
        ([0, 5], VOLUME, None),
        ([None, 500], AREA, None),
        ([500, None], AREA, None),
    ],
)
def test_category(sizes: list[float | None], criterion: Criterion, expected: str | None) -> None:
    assert categorise(sizes, criterion) == expected


def test_a_new_measurable_lesion_is_progression_whatever_the_size() -> None:
    assert categorise([10, 5], VOLUME, new_lesion=True) == WORSE
    assert categorise([0, 5], VOLUME, new_lesion=True) == WORSE


@pytest.mark.parametrize(
    ("longest", "perpendicular", "slices", "expected"),
    [(10, 10, 2, True), (30, 9.9, 5, False), (30, 20, 1, False)],
)
def test_what_is_measurable(longest: float, perpendicular: float, slices: int, expected: bool) -> None:
    assert measurable(Diameters(longest, perpendicular, 0, np.zeros((2, 2, 2))), slices) is expected

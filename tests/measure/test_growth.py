"""Mean diameter, velocity and a change with its interval, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from lgg_demo.measure.growth import Repeatability, change_of, mean_diameter, velocity


@pytest.mark.parametrize(("volume_ml", "mm"), [(4.0, 20.0), (0.0, 0.0), (13.5, 30.0), (0.0005, 1.0)])
def test_mean_diameter_is_the_cube_root_of_twice_the_volume(volume_ml: float, mm: float) -> None:
    assert mean_diameter(volume_ml) == pytest.approx(mm)


def test_mean_diameter_is_about_that_of_an_ellipsoid() -> None:
    a, b, c = 30.0, 36.0, 33.0
    assert mean_diameter(math.pi / 6 * a * b * c / 1000) == pytest.approx((a + b + c) / 3, rel=0.02)


@pytest.mark.parametrize(
    ("months", "diameters", "expected"),
    [
        ([0, 12], [30.0, 34.0], 4.0),
        ([0, 9], [30.0, 36.0], 8.0),
        ([0, 6, 12], [30.0, 31.0, 35.0], 5.0),  # the line through all, not through first and last alone
        ([0, 12, 24], [30.0, 30.0, 36.0], 3.0),
        ([0, None, 12], [30.0, 90.0, 34.0], 4.0),
        ([0, 12], [30.0, 27.0], -3.0),
        ([0], [30.0], None),
        ([None, 4], [30.0, 31.0], None),
        ([5, 5], [30.0, 31.0], None),
    ],
)
def test_velocity_is_the_slope_through_all_visits(
    months: list[float | None], diameters: list[float], expected: float | None
) -> None:
    assert velocity(months, diameters) == pytest.approx(expected)


def test_a_change_stands_with_its_interval() -> None:
    repeatability = Repeatability(relative=0.03, absolute_ml=0.4)
    change = change_of(10.0, 12.0, repeatability)  # sd 0.5 and sqrt(0.36² + 0.4²)
    wide = 1.96 * math.sqrt(0.25 + 0.2896)
    assert change.volume_ml == pytest.approx(2.0) and change.percent == pytest.approx(20.0)
    assert change.interval_ml == pytest.approx((2 - wide, 2 + wide))
    assert change.percent_interval == pytest.approx(((2 - wide) * 10, (2 + wide) * 10))
    assert change.measurable is True
    assert change_of(10.0, 11.0, repeatability).measurable is False
    assert change_of(12.0, 10.0, repeatability).measurable is True


def test_what_is_not_known_is_none() -> None:
    unknown = change_of(10.0, 12.0, None)
    assert (unknown.interval_ml, unknown.percent_interval, unknown.measurable) == (None, None, None)
    from_nothing = change_of(0.0, 2.0, Repeatability(0.0, 0.1))
    assert (from_nothing.percent, from_nothing.percent_interval, from_nothing.measurable) == (None, None, True)

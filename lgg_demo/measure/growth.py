"""How a lesion changes from visit to visit: its mean diameter, how fast it grows, a change of volume with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MONTHS_A_YEAR = 12
DAYS_A_MONTH = 30.4375
FAST = (4.0, 8.0, 12.0)  # mm a year: the classes of velocity that Pallud 2013 found to differ in survival
NORMAL_95 = 1.96  # standard deviations around the mean that hold 95 % of a normal distribution


def mean_diameter(volume_ml: float) -> float:
    """The mean diameter in mm of a volume in mL: (2 V)^(1/3), V in mm³.

    The mean of three perpendicular diameters, as an ellipsoid of these has about half the volume of their product; its
    growth over time is close to a line (Mandonnet et al. 2003, doi:10.1002/ana.10528).
    """
    return math.cbrt(2000 * volume_ml)


def velocity(months: Sequence[float | None], diameters: Sequence[float]) -> float | None:
    """The velocity of diametric expansion in mm a year: the slope of mean diameters (mm) against time, by least squares.

    months: of each visit, None where nobody said; it is left out. None where fewer than two visits, or all at one time,
    are left. Mandonnet et al. 2003 (doi:10.1002/ana.10528); below 4, from 4, from 8 and from 12 mm a year survival differs
    (Pallud et al. 2013, doi:10.1093/neuonc/nos331).
    """
    known = [(m / MONTHS_A_YEAR, d) for m, d in zip(months, diameters, strict=True) if m is not None]
    if len(known) < 2:
        return None
    time = sum(t for t, _ in known) / len(known)
    size = sum(d for _, d in known) / len(known)
    spread = sum((t - time) ** 2 for t, _ in known)
    if spread == 0:
        return None
    return sum((t - time) * (d - size) for t, d in known) / spread


@dataclass(frozen=True)
class Repeatability:
    """How far volumes of one lesion lie apart when nothing but the scan has changed, as the model's record says it.

    relative: share of the volume; absolute_ml: mL, whatever the volume. Both are standard deviations of one measurement.
    """

    relative: float
    absolute_ml: float

    def deviation(self, volume_ml: float) -> float:
        """The standard deviation in mL of one measured volume in mL."""
        return math.hypot(self.relative * volume_ml, self.absolute_ml)


@dataclass(frozen=True)
class Change:
    """A change of volume. volume_ml: last minus first; percent: of the first, None where that is 0.

    interval_ml, percent_interval: lowest and highest of 95 %; None where the repeatability is not known. measurable:
    whether the interval leaves out 0; None where there is none.
    """

    volume_ml: float
    percent: float | None
    interval_ml: tuple[float, float] | None = None
    percent_interval: tuple[float, float] | None = None

    @property
    def measurable(self) -> bool | None:
        return None if self.interval_ml is None else not self.interval_ml[0] <= 0 <= self.interval_ml[1]


def change_of(first_ml: float, last_ml: float, repeatability: Repeatability | None) -> Change:
    """The change from one measured volume in mL to another.

    Its interval is ± 1.96 standard deviations of the difference of two independent measurements (Bland and Altman 1999,
    doi:10.1177/096228029900800204).
    """
    difference = last_ml - first_ml
    percent = difference / first_ml * 100 if first_ml else None
    if repeatability is None:
        return Change(difference, percent)
    wide = NORMAL_95 * math.hypot(repeatability.deviation(first_ml), repeatability.deviation(last_ml))
    interval = difference - wide, difference + wide
    share = (interval[0] / first_ml * 100, interval[1] / first_ml * 100) if first_ml else None
    return Change(difference, percent, interval, share)

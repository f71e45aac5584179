"""Categories of RANO 2.0 for disease that takes up no contrast agent, by figures alone: no assessment of a patient.

Wen et al. 2023, doi:10.1200/JCO.23.01059. A response is told from the first examination, progression from the smallest one
since (the nadir). What the criteria ask besides is not known here: steroids, how the patient is, confirmation after weeks,
and what takes up contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lgg_demo.measure.diameters import Diameters

Category = Literal["complete_response", "partial_response", "minor_response", "stable_disease", "progressive_disease"]

MEASURABLE_MM, MEASURABLE_SLICES = 10.0, 2
SLACK = 1e-9  # a share that is the threshold stays so, whatever floats make of it


@dataclass(frozen=True)
class Criterion:
    """Changes from which on a category begins, as shares: from the smallest up, or from the first down.

    minor: None where there is no such category.
    """

    progression: float
    partial: float
    minor: float | None = None


# The article's figures as two works that apply it give them: Kujawa et al., RANO2.0-assist
# (github.com/cai4cai/rano2.0-assist), and Leclercq et al., CFB-GBM 2.0. A minor
# response by volume stands in neither, so there is none here.
VOLUME = Criterion(progression=0.40, partial=-0.65)
# The minor response is that of van den Bent et al. 2011 (doi:10.1016/S1470-2045(11)70057-2), which the article keeps.
AREA = Criterion(progression=0.25, partial=-0.50, minor=-0.25)


def measurable(diameters: Diameters, slices: int) -> bool:
    """Whether a lesion can be measured by its diameters in mm: both of 10 mm at least, seen on two slices or more.

    van den Bent et al. 2011, doi:10.1016/S1470-2045(11)70057-2.
    """
    return min(diameters.longest, diameters.perpendicular) >= MEASURABLE_MM and slices >= MEASURABLE_SLICES


def categorise(sizes: Sequence[float | None], criterion: Criterion, new_lesion: bool = False) -> Category | None:
    """The category of the last of some visits by their sizes (mL, or mm²), in order of time.

    None among the sizes is a visit where nothing can be measured; new_lesion: a measurable one that the first visit has
    not. Returns None where the first visit, or the last, has nothing to compare with.
    """
    if new_lesion:
        return "progressive_disease"
    first, last = sizes[0], sizes[-1]
    if not first or last is None:
        return None
    nadir = min(size for size in sizes[:-1] if size is not None)
    if last > 0 and last >= nadir * (1 + criterion.progression - SLACK):
        return "progressive_disease"
    if last == 0:
        return "complete_response"
    change = last / first - 1
    if change <= criterion.partial + SLACK:
        return "partial_response"
    if criterion.minor is not None and change <= criterion.minor + SLACK:
        return "minor_response"
    return "stable_disease"

"""What a report says of a patient's visits: how large the lesions were at each, how they have changed, which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lgg_demo.grid import Grid
from lgg_demo.measure.growth import NORMAL_95, Change, Repeatability, change_of, mean_diameter, velocity
from lgg_demo.measure.lesion_matching import Part, match_parts, resampled
from lgg_demo.measure.lesions import Lesion, find_lesions, lesion_labels
from lgg_demo.measure.rano import AREA, VOLUME, categorise, measurable
from lgg_demo.measure.units import voxel_ml
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.output.report import diameter_figures
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Pair, Timeline, doubts, index_matrix, timelines
from lgg_demo.registration import Registration
from lgg_demo.rounding import rounded


def repeatability_of(record: Mapping[str, Any]) -> Repeatability | None:
    """What a model's record says of the repeatability of its volumes; None where it was not measured."""
    measured = record.get("repeatability")
    return Repeatability(measured["relative"], measured["absolute_ml"]) if measured else None


@dataclass(frozen=True)
class _Measured:
    """One visit: its mask (S, H, W) at the threshold, its grid, and the parts of the mask, as the report lists them."""

    mask: np.ndarray
    grid: Grid
    corrected: bool

    @cached_property
    def parts(self) -> list[Lesion]:
        return find_lesions(self.mask, self.grid.spacing_mm[1:])[0]

    @property
    def volume_ml(self) -> float:
        return int(self.mask.sum()) * voxel_ml(self.grid)

    def is_measurable(self, number: int) -> bool:
        """Whether a part can be measured by its diameters; number: from 1, in the list of parts."""
        part = self.parts[number - 1]
        return measurable(part.diameters, part.last - part.first + 1)

    @property
    def area_mm2(self) -> float | None:
        """The sum of the products of both diameters over what can be measured; None where nothing of the mask can."""
        products = [
            part.diameters.longest * part.diameters.perpendicular
            for n, part in enumerate(self.parts, 1)
            if self.is_measurable(n)
        ]
        return sum(products) if products or not self.parts else None


def follow_up_of(
    results: Sequence[Result],
    registered: Mapping[Pair, Registration | None],
    threshold: float,
    record: Mapping[str, Any],
    language: Language = "en",
    dates: bool = False,
) -> list[dict[str, Any]]:
    """`FollowUp.report` of each patient with several visits among these results; record: the model's."""
    repeatability = repeatability_of(record)
    return [
        FollowUp(timeline, results, registered, threshold, repeatability).report(language, dates)
        for timeline in timelines([r.visit for r in results])
    ]


class FollowUp:
    """The figures of one patient's visits at a threshold; see `report` for what they are.

    registered: how later scans lie to the first one's, by `timeline.pairs`; None, or none, where that is not known.
    """

    def __init__(
        self,
        timeline: Timeline,
        results: Sequence[Result],
        registered: Mapping[Pair, Registration | None],
        threshold: float,
        repeatability: Repeatability | None,
    ) -> None:
        self.timeline, self.results, self.registered = timeline, results, registered
        self.repeatability = repeatability
        self.visits: list[_Measured] = []
        for result in (results[case] for case in timeline.cases):
            if result.physical is not None:
                self.visits.append(_Measured(result.mask(threshold), result.physical, bool(result.touched.any())))
        self.complete = len(self.visits) == len(timeline.cases)
        self.volumes = [visit.volume_ml for visit in self.visits]
        self.areas = [visit.area_mm2 for visit in self.visits]

    def report(self, language: Language, dates: bool = False) -> dict[str, Any]:
        """Of one patient, for JSON: visits, in order of time, with volume, mean diameter and its interval of 95 %; changes
        of each visit from the first, and of each from the one before; the lesions, matched over all visits; warnings.

        See docs/follow-up.md. Without millimetres at one of the visits there are neither changes nor lesions, without a
        good registration no lesions. dates: whether to say the dates themselves.
        """
        sentences = list(doubts(self.timeline, self.results, self.registered))
        if self.repeatability is None:
            sentences.append(Sentence("repeatability_unknown"))
        return {
            "patient": self.timeline.patient,
            "visits": self._visits(dates),
            "changes": self._changes(language) if self.complete else [],
            "lesions": [self._lesion(n, own) for n, own in enumerate(self.lesions or [], 1)],
            "warnings": [sentence.say(language) for sentence in sentences],
        }

    def _visits(self, dates: bool) -> list[dict[str, Any]]:
        told = []
        timeline = self.timeline
        for n, (case, label) in enumerate(zip(timeline.cases, timeline.labels, strict=True)):
            entry: dict[str, Any] = {"visit": label, "file": self.results[case].entries[0][0]}
            entry["months"] = _optional(timeline.months[n], 1)
            date = timeline.dates[n]
            if dates and date is not None:
                entry["date"] = date.isoformat()
            told.append(entry | self._sizes(n if self.complete else None))
        return told

    def _sizes(self, n: int | None) -> dict[str, Any]:
        if n is None:
            return {"volume_ml": None, "volume_ml_interval": None, "mean_diameter_mm": None}
        volume, interval = self.volumes[n], None
        if self.repeatability is not None:
            wide = NORMAL_95 * self.repeatability.deviation(volume)
            interval = [rounded(max(0.0, volume - wide), 4), rounded(volume + wide, 4)]
        figures = {"volume_ml": rounded(volume, 4), "volume_ml_interval": interval}
        figures["mean_diameter_mm"] = rounded(mean_diameter(volume), 2)
        return figures | ({"corrected": True} if self.visits[n].corrected else {})

    # Changes

    def _changes(self, language: Language) -> list[dict[str, Any]]:
        told = []
        for n in range(1, len(self.visits)):
            months, diameters = self.timeline.months[: n + 1], [mean_diameter(v) for v in self.volumes[: n + 1]]
            told.append(self._change(0, n, velocity(months, diameters)) | {"rano_2_0": self._categories(n, language)})
            if n > 1:
                own = velocity(months[-2:], diameters[-2:])
                told.append(self._change(n - 1, n, own) | {"rano_2_0": None})
        return told

    def _change(self, first: int, last: int, mm_per_year: float | None) -> dict[str, Any]:
        labels, areas = self.timeline.labels, (self.areas[first], self.areas[last])
        by_area = None if not areas[0] or areas[1] is None else (areas[1] / areas[0] - 1) * 100
        change = change_of(self.volumes[first], self.volumes[last], self.repeatability)
        return {
            "from": labels[first],
            "to": labels[last],
            **_change_figures(change),
            "area_percent": _optional(by_area, 2),
            "velocity_mm_per_year": _optional(mm_per_year, 2),
        }

    def _categories(self, n: int, language: Language) -> dict[str, Any]:
        new = self._new_lesion(n)
        return {
            "by_volume": categorise(self.volumes[: n + 1], VOLUME, bool(new)),
            "by_area": categorise(self.areas[: n + 1], AREA, bool(new)),
            "new_lesion": new,
            "notice": say("rano_notice", language),
        }

    def _new_lesion(self, n: int) -> bool | None:
        """Whether a visit has a measurable lesion that the first one has not; None where lesions cannot be matched."""
        if self.lesions is None:
            return None
        new = [lesion for lesion in self.lesions if self._is_new(lesion)]
        return any(visit == n and self.visits[n].is_measurable(part) for lesion in new for visit, part in lesion)

    # Lesions

    @cached_property
    def lesions(self) -> list[list[Part]] | None:
        """The parts of each lesion, the largest lesion first; None where scans do not lie on each other."""
        found = [self.registered.get(pair) for pair in self.timeline.pairs]
        if not self.complete or any(registration is None or not registration.good for registration in found):
            return None
        lesions = match_parts(self._on_first, self.visits[0].grid.stack_affine)
        placed = {part for lesion in lesions for part in lesion}
        every = [(v, n) for v, visit in enumerate(self.visits) for n in range(1, len(visit.parts) + 1)]
        lesions += [[part] for part in every if part not in placed]  # beyond the first scan
        return sorted(lesions, key=lambda lesion: (-max(self._volumes(lesion)), lesion))

    @cached_property
    def _on_first(self) -> list[np.ndarray]:
        """The numbers of each visit's parts, on the first one's stack."""
        labels = [lesion_labels(visit.mask) for visit in self.visits]
        on_first = labels[:1]
        for pair, own in zip(self.timeline.pairs, labels[1:], strict=True):
            registration = self.registered[pair]
            assert registration is not None
            on_first.append(resampled(own, index_matrix(self.results, pair, registration), labels[0].shape))
        return on_first

    def _volumes(self, lesion: Sequence[Part]) -> list[float]:
        """The volume of a lesion at each visit, in mL."""
        volumes = [0.0] * len(self.visits)
        for v, n in lesion:
            volumes[v] += self.visits[v].parts[n - 1].pixels * voxel_ml(self.visits[v].grid)
        return volumes

    def _is_new(self, lesion: Sequence[Part]) -> bool:
        """Whether the first visit has nothing of a lesion, though it has its place."""
        return all(v > 0 for v, _ in lesion) and any(bool((self._on_first[v] == n).any()) for v, n in lesion)

    def _status(self, lesion: Sequence[Part], volumes: Sequence[float]) -> str:
        """What became of a lesion from the first to the last visit; one beyond the first scan may have been there."""
        if volumes[0] > 0:
            return "present" if volumes[-1] > 0 else "disappeared"
        return "new" if self._is_new(lesion) else "outside"

    def _lesion(self, number: int, lesion: Sequence[Part]) -> dict[str, Any]:
        volumes = self._volumes(lesion)
        own = velocity(self.timeline.months, [mean_diameter(volume) for volume in volumes])
        visits = [self._lesion_at(v, [n for at, n in lesion if at == v], volumes[v]) for v in range(len(volumes))]
        return {
            "lesion": number,
            "status": self._status(lesion, volumes),
            "visits": visits,
            **_change_figures(change_of(volumes[0], volumes[-1], self.repeatability)),
            "velocity_mm_per_year": _optional(own, 2),
        }

    def _lesion_at(self, v: int, parts: Sequence[int], volume: float) -> dict[str, Any]:
        """A lesion at one visit, with its longest part's diameters; parts: their numbers in the visit's list of lesions."""
        lines = [self.visits[v].parts[n - 1].diameters for n in parts]
        longest = max(lines, key=lambda one: (one.longest, one.perpendicular), default=None)
        return {
            "visit": self.timeline.labels[v],
            "parts": list(parts),
            "volume_ml": rounded(volume, 4),
            "mean_diameter_mm": rounded(mean_diameter(volume), 2),
            "diameters_mm": diameter_figures(longest),
        }


def _optional(value: float | None, digits: int) -> float | None:
    return None if value is None else rounded(value, digits)


def _change_figures(change: Change) -> dict[str, Any]:
    interval = change.percent_interval
    return {
        "volume_ml": rounded(change.volume_ml, 4),
        "volume_ml_interval": change.interval_ml and [rounded(end, 4) for end in change.interval_ml],
        "volume_percent": _optional(change.percent, 2),
        "volume_percent_interval": interval and [rounded(end, 2) for end in interval],
        "measurable": change.measurable,
    }

"""What a lesion is called in every DICOM object, and over a patient's visits: a tracking identifier with its UID."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lgg_demo.measure.lesions import lesion_labels
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Timeline, timelines

ABNORMALITY = "FLAIR abnormality"
_NAMESPACE = uuid.UUID("6f1c3a0e-5f0b-4c57-9d0c-3b1c6a1f6b52")  # of nobody else's UUIDs


def derived_uid(*parts: str | bytes) -> str:
    """A DICOM UID that the same parts give again: `2.25.` and a version 5 UUID (PS3.5 B.2)."""
    digest = hashlib.sha256()
    for part in parts:
        own = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(own).to_bytes(8, "big") + own)  # so that no two lists of parts are one
    return f"2.25.{uuid.uuid5(_NAMESPACE, digest.hexdigest()).int}"


@dataclass(frozen=True)
class Tracking:
    """What is tracked: an identifier for people and a UID, which always go together."""

    identifier: str
    uid: str


@dataclass(frozen=True)
class TimePoint:
    """One of several visits: what it is called, its number from 1, and months since the first where they are known."""

    label: str
    order: int
    months: float | None


@dataclass(frozen=True)
class Tracks:
    """What is tracked of a result.

    whole: all that is abnormal. lesions: the parts of the mask, in the order of `find_lesions`; the parts of one lesion
    that has split share theirs. visit: where the patient has several.
    """

    whole: Tracking
    lesions: tuple[Tracking, ...]
    visit: TimePoint | None = None


def sources_of(result: Result) -> tuple[str, ...]:
    """The UIDs of the files that a result was made of."""
    return tuple(sorted(str(instance.SOPInstanceUID) for instance in result.instances))


def tracks_of(result: Result, threshold: float) -> Tracks:
    """What is tracked of a result by itself.

    The whole abnormality of some images stays what it is, whatever outlines it; a lesion is known by its voxels.
    """
    labels = lesion_labels(result.mask(threshold)).ravel()
    inside = np.flatnonzero(labels)
    numbers = labels[inside]
    sources = sources_of(result)
    lesions = (
        Tracking(f"{ABNORMALITY} {n}", derived_uid("lesion", *sources, inside[numbers == n].astype("<i8").tobytes()))
        for n in range(1, int(numbers.max(initial=0)) + 1)
    )
    return Tracks(Tracking(ABNORMALITY, derived_uid("abnormality", *sources)), tuple(lesions))


def tracked(
    results: Sequence[Result], threshold: float, follow_up: Sequence[Mapping[str, Any]] = ()
) -> list[Tracks | None]:
    """What is tracked of each result, over the visits of each patient; None where it has no DICOM headers.

    follow_up: what `follow_up_of` says of the same results, whose lesions are matched there. A lesion keeps what it was
    called at the first visit that shows it.
    """
    tracks = [tracks_of(r, threshold) if r.instances else None for r in results]
    for timeline, said in zip(timelines([r.visit for r in results]), follow_up, strict=False):
        own = [tracks[case] for case in timeline.cases]
        lesions = _over_visits(own, said["lesions"])
        first = next((t for t in own if t is not None), None)
        for n, (case, track) in enumerate(zip(timeline.cases, own, strict=True)):
            if track is not None and first is not None:
                tracks[case] = Tracks(first.whole, lesions[n], _time_point(timeline, n))
    return tracks


def _time_point(timeline: Timeline, n: int) -> TimePoint:
    return TimePoint(timeline.labels[n], n + 1, timeline.months[n])


def _over_visits(own: Sequence[Tracks | None], lesions: Sequence[Mapping[str, Any]]) -> list[tuple[Tracking, ...]]:
    """What the parts of each visit are tracked as. lesions: matched, with the numbers of their parts at each visit."""
    known = [list(t.lesions) if t is not None else [] for t in own]
    taken: set[str] = set()
    for lesion in lesions:
        parts = [(v, n - 1) for v, visit in enumerate(lesion["visits"]) for n in visit["parts"] if n <= len(known[v])]
        if not parts:
            continue
        first, part = min(parts)
        called = known[first][part]
        if first:  # a number that a lesion of the first visit has is taken
            called = Tracking(next(_free(taken | {t.identifier for t in known[0]})), called.uid)
        taken.add(called.identifier)
        for v, n in parts:
            known[v][n] = called
    return [tuple(k) for k in known]


def _free(taken: set[str]) -> Iterator[str]:
    n = 1
    while True:
        if (name := f"{ABNORMALITY} {n}") not in taken:
            yield name
        n += 1

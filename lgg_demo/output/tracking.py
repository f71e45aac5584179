"""What a lesion is called in every DICOM object, and over a patient's visits: a tracking identifier with its UID."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

import numpy as np

from lgg_demo.measure.lesion_matching import NEAR_MM
from lgg_demo.measure.lesions import lesion_labels
from lgg_demo.output.dicom_frames import NoSegmentation, frames_of_source
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import timelines
from lgg_demo.reading.own_objects import ABNORMALITY

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
    """What is tracked: an identifier for people and a UID, which always go together. earlier: from an object before."""

    identifier: str
    uid: str
    earlier: bool = False


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


NOTHING = Tracks(Tracking(ABNORMALITY, ""), ())  # of what is no DICOM series


def sources_of(result: Result) -> tuple[str, ...]:
    """The UIDs of the files that a result was made of."""
    return tuple(sorted(str(instance.get("SOPInstanceUID", "")) for instance in result.instances))


def tracks_of(result: Result, threshold: float) -> Tracks:
    """What is tracked of a result by itself.

    The whole abnormality of some images stays what it is, whatever outlines it; a lesion is known by its voxels.
    """
    labels = lesion_labels(result.mask(threshold))
    sources = sources_of(result)
    whole, earlier = _earlier(result, labels)
    labels = labels.ravel()
    inside = np.flatnonzero(labels)
    numbers = labels[inside]
    taken = {tracking.identifier for tracking in earlier.values()}
    lesions = []
    for n in range(1, int(numbers.max(initial=0)) + 1):
        voxels = inside[numbers == n].astype("<i8").tobytes()
        own = earlier.get(n) or Tracking(_free(taken, n), derived_uid("lesion", *sources, voxels))
        taken.add(own.identifier)
        lesions.append(own)
    return Tracks(whole or Tracking(ABNORMALITY, derived_uid("abnormality", *sources)), tuple(lesions))


def _earlier(result: Result, labels: np.ndarray) -> tuple[Tracking | None, dict[int, Tracking]]:
    """What earlier objects call the whole abnormality, and lesions by their numbers in the labels (S, H, W).

    Those of the same study come first. A lesion is the one that a place in it, as it was then, is in or near.
    """
    if result.grid is None or not result.tracked:
        return None, {}
    try:
        frames = frames_of_source(result.grid, result.instances)
    except NoSegmentation:
        return None, {}
    study = result.instances[0].StudyInstanceUID
    known = sorted(result.tracked, key=lambda tracked: (tracked.study != study, tracked.uid))
    whole = next((Tracking(t.identifier, t.uid, True) for t in known if t.at is None), None)
    planes = frames.of(result.grid.to_own(labels))
    steps = np.linalg.norm(result.grid.affine[:3, [frames.rows, frames.columns]], axis=0)
    sources = {(str(header.SOPInstanceUID), n): k for k, (header, n) in enumerate(frames.sources)}
    lesions: dict[int, Tracking] = {}
    for tracked in known:
        if tracked.at is not None and (place := sources.get(tracked.at[:2])) is not None:
            inside = np.argwhere(planes[place])
            apart = np.linalg.norm((inside - tracked.at[:1:-1]) * steps, axis=1)
            if len(inside) and apart.min() <= NEAR_MM and tracked.uid not in (t.uid for t in lesions.values()):
                row, column = inside[int(apart.argmin())]
                lesions.setdefault(int(planes[place, row, column]), Tracking(tracked.identifier, tracked.uid, True))
    return whole, lesions


def tracked(results: Sequence[Result], threshold: float, follow_up: Sequence[Mapping[str, Any]] = ()) -> list[Tracks]:
    """What is tracked of each result, over the visits of each patient; nothing of what has no DICOM headers.

    follow_up: what `follow_up_of` says of the same results, whose lesions are matched there. A lesion keeps what it was
    called at the first visit that shows it.
    """
    tracks = [tracks_of(r, threshold) if r.instances else NOTHING for r in results]
    for timeline, said in zip(timelines([r.visit for r in results]), follow_up, strict=False):
        own = [tracks[case] for case in timeline.cases]
        lesions = _over_visits(own, said["lesions"])
        whole = min((t.whole for t in own), key=lambda tracking: (not tracking.uid, not tracking.earlier))
        for n, case in enumerate(timeline.cases):
            visit = TimePoint(timeline.labels[n], n + 1, timeline.months[n])
            tracks[case] = Tracks(whole, lesions[n], visit)
    return tracks


def _over_visits(own: Sequence[Tracks], lesions: Sequence[Mapping[str, Any]]) -> list[tuple[Tracking, ...]]:
    """What the parts of each visit are tracked as. lesions: matched, with the numbers of their parts at each visit."""
    known = [list(t.lesions) for t in own]
    taken: set[str] = set()
    for parts in filter(None, (_parts(lesion, known) for lesion in lesions)):
        first, part = min(parts, key=lambda place: (not known[place[0]][place[1]].earlier, place))
        called = known[first][part]
        if first and not called.earlier:  # a number that a lesion of the first visit has is taken
            called = replace(called, identifier=_free(taken | {t.identifier for t in known[0]}))
        taken.add(called.identifier)
        for v, n in parts:
            known[v][n] = called
    return [tuple(k) for k in known]


def _parts(lesion: Mapping[str, Any], known: Sequence[Sequence[Tracking]]) -> list[tuple[int, int]]:
    """Visit and place in its list of each part of a matched lesion that is tracked."""
    return [(v, n - 1) for v, visit in enumerate(lesion["visits"]) for n in visit["parts"] if n <= len(known[v])]


def _free(taken: Collection[str], first: int = 1) -> str:
    """A lesion's identifier that nothing has yet: with this number, else the lowest that is free."""
    numbers = chain([first], count(1))
    return next(name for n in numbers if (name := f"{ABNORMALITY} {n}") not in taken)

"""The visits of each patient in order of time, and how the later ones' scans lie to the first one's."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from lgg_demo.case import Visit
from lgg_demo.measure.growth import DAYS_A_MONTH
from lgg_demo.messages import Sentence
from lgg_demo.output.result import Result
from lgg_demo.registration import Registration, register

Pair = tuple[int, int]  # places, among all results, of a patient's first visit and of a later one


@dataclass(frozen=True)
class Timeline:
    """Two or more visits of one patient, in order of time.

    cases: the place of each among all results. labels: what it is called, none like another. months: since the first, None
    where nobody said. dates: which no output holds unless it is asked for. warnings: of their order.
    """

    patient: str
    cases: tuple[int, ...]
    labels: tuple[str, ...]
    months: tuple[float | None, ...]
    dates: tuple[datetime.date | None, ...]
    warnings: tuple[Sentence, ...] = ()

    @property
    def pairs(self) -> list[Pair]:
        """The first visit with each later one."""
        return [(self.cases[0], later) for later in self.cases[1:]]


def timelines(visits: Sequence[Visit | None]) -> list[Timeline]:
    """The patients with two or more visits among those of all results.

    In order of their dates where all have one, else of the months that a user has said, else as they were given.
    """
    of_patient: dict[str, list[tuple[int, Visit]]] = {}
    for case, visit in enumerate(visits):
        if visit is not None:
            of_patient.setdefault(visit.patient, []).append((case, visit))
    return [_timeline(patient, given) for patient, given in of_patient.items() if len(given) > 1]


def _timeline(patient: str, given: list[tuple[int, Visit]]) -> Timeline:
    dates = [v.date for _, v in given if v.date is not None]
    typed = [v.months for _, v in given if v.months is not None]
    keys: Sequence[datetime.date | float] | None = next((k for k in (dates, typed) if len(k) == len(given)), None)
    order = range(len(given)) if keys is None else sorted(range(len(given)), key=lambda n: (keys[n], n))
    visits = [given[n][1] for n in order]
    months = tuple(_months(visits))
    known = {
        "visits_undated": keys is None,
        "visits_reordered": list(order) != sorted(order) and any(v.name for v in visits),
        "visits_backwards": any(m is not None and m < 0 for m in months),
    }
    warnings = tuple(Sentence(key, {"patient": patient}) for key, so in known.items() if so)
    places = tuple(given[n][0] for n in order)
    return Timeline(patient, places, tuple(_labels(visits)), months, tuple(v.date for v in visits), warnings)


def _months(visits: Sequence[Visit]) -> Iterator[float | None]:
    """Months since the first visit: by dates where both have one, else as a user says them."""
    first = visits[0]
    for visit in visits:
        if visit.date is not None and first.date is not None:
            yield (visit.date - first.date).days / DAYS_A_MONTH
        elif visit.months is not None and first.months is not None:
            yield visit.months - first.months
        else:
            yield None


def _labels(visits: Sequence[Visit]) -> Iterator[str]:
    """The visits' names; of one without a name of its own its number."""
    taken: set[str] = set()
    for number, visit in enumerate(visits, 1):
        label = visit.name or str(number)
        while label in taken:
            label = f"{label} ({number})"
        taken.add(label)
        yield label


def register_visits(
    results: Sequence[Result],
    pictures: Sequence[np.ndarray | None],
    known: Mapping[Pair, Registration | None] | None = None,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> dict[Pair, Registration | None]:
    """How the scans of each patient's later visits lie to the first one's, beside what is known; see `register_pair`.

    turn: is held for one pair at a time, each of which takes seconds.
    """
    registered = dict(known or {})
    for pair in (pair for timeline in timelines([r.visit for r in results]) for pair in timeline.pairs):
        if pair not in registered:
            with turn():
                registered[pair] = register_pair(results, pictures, pair)
    return registered


def register_pair(results: Sequence[Result], pictures: Sequence[np.ndarray | None], pair: Pair) -> Registration | None:
    """How the scan of a later visit lies to the first one's; None where one has no millimetres, or no picture.

    pictures: (S, H, W) uint8 of each result, see `display.grey`.
    """
    first, later = ((pictures[case], results[case].physical) for case in pair)
    if first[0] is None or first[1] is None or later[0] is None or later[1] is None:
        return None
    return register(first[0], first[1], later[0], later[1])


def index_matrix(results: Sequence[Result], pair: Pair, registration: Registration) -> np.ndarray:
    """(4, 4) from (slice, row, column, 1) in the first visit's stack to those in the later one's."""
    first, later = (results[case].grid for case in pair)
    assert first is not None and later is not None
    return np.asarray(np.linalg.inv(later.stack_affine) @ registration.matrix @ first.stack_affine)


def doubts(
    timeline: Timeline, results: Sequence[Result], registered: Mapping[Pair, Registration | None]
) -> Iterable[Sentence]:
    """What a user should know of a patient's visits: of their order, their millimetres, and scans that do not lie on the
    first one's.
    """
    yield from timeline.warnings
    for case, label in zip(timeline.cases, timeline.labels, strict=True):
        if results[case].physical is None:
            yield Sentence("visit_unmeasured", {"patient": timeline.patient, "visit": label})
    for pair, label in zip(timeline.pairs, timeline.labels[1:], strict=True):
        registration = registered.get(pair)
        if registration is not None and not registration.good:
            yield Sentence("visit_apart", {"patient": timeline.patient, "visit": label})

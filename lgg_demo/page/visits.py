"""Which studies of a result are visits of one patient: what the viewer is told of it, and what its user says."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lgg_demo.case import Visit
from lgg_demo.messages import Language
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Pair, Timeline, doubts, index_matrix, timelines
from lgg_demo.page.faults import NotOurs
from lgg_demo.registration import Registration

MOST_SAID, MOST_LETTERS = 500_000, 200  # letters of all that is said, and of a name
MOST_MONTHS = 1200


def read_visits(said: str | None, cases: int) -> tuple[Visit | None, ...]:
    """What the viewer's user says of each case, None where it is nobody's visit.

    said: JSON, a list of {case, patient, visit, date (YYYY-MM-DD), months}; of each case that is not listed nothing is
    known. Raises NotOurs for anything else.
    """
    visits: list[Visit | None] = [None] * cases
    try:
        if said is None or len(said) > MOST_SAID:
            raise ValueError
        listed = json.loads(said)
        if not isinstance(listed, list):
            raise ValueError
        for one in listed:
            case = one["case"]
            if type(case) is not int or not 0 <= case < cases:
                raise ValueError
            visits[case] = _visit(one["patient"], one["visit"], one["date"], one["months"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotOurs from None
    return tuple(visits)


def _visit(patient: Any, name: Any, date: Any, months: Any) -> Visit | None:
    """Raises ValueError or TypeError for what is no visit."""
    for text in (patient, name):
        if text is not None and (not isinstance(text, str) or len(text) > MOST_LETTERS):
            raise ValueError
    if months is not None and (type(months) not in (int, float) or not abs(months) <= MOST_MONTHS):
        raise ValueError
    day = None if date is None else datetime.date.fromisoformat(date)
    whose = (patient or "").strip()
    return Visit(whose, (name or "").strip() or None, day, months) if whose else None


def viewer_follow_up(
    results: Sequence[Result], registered: Mapping[Pair, Registration | None], language: Language
) -> list[dict[str, Any]]:
    """For each patient with several visits, these in order of time: case, name, months and date of each, see `Timeline`.

    to: 16 numbers, row by row, from (slice, row, column, 1) in the first visit's stack to those in this one's; None where
    the scans do not lie on each other. overlap: of the heads, from 0 to 1, after registration. warnings: in this language.
    """
    return [_follow_up(one, results, registered, language) for one in timelines([r.visit for r in results])]


def _follow_up(
    timeline: Timeline, results: Sequence[Result], registered: Mapping[Pair, Registration | None], language: Language
) -> dict[str, Any]:
    visits: list[dict[str, Any]] = []
    for n, case in enumerate(timeline.cases):
        own, date = results[case].visit, timeline.dates[n]
        entry = {"case": case, "visit": own and own.name, "months": timeline.months[n], "date": date and date.isoformat()}
        visits.append(entry | _placed(results, registered, (timeline.cases[0], case)))
    warnings = [sentence.say(language) for sentence in doubts(timeline, results, registered)]
    return {"patient": timeline.patient, "visits": visits, "warnings": warnings}


def _placed(
    results: Sequence[Result], registered: Mapping[Pair, Registration | None], pair: Pair
) -> dict[str, list[float] | float | None]:
    """How a visit's scan lies to the first one's, or is it."""
    if pair[0] == pair[1]:
        return {"to": np.eye(4).ravel().tolist(), "overlap": 1.0}
    registration = registered.get(pair)
    if registration is None:
        return {"to": None, "overlap": None}
    to = index_matrix(results, pair, registration).ravel().tolist() if registration.good else None
    return {"to": to, "overlap": registration.head_overlap}

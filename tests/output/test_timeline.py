"""The visits of each patient in order of time, and what is said of that order."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lgg_demo.case import Visit
from lgg_demo.grid import Grid
from lgg_demo.output import timeline as timelines_of
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Timeline, doubts, index_matrix, register_visits, timelines
from lgg_demo.registration import Registration


def on(year: int, month: int = 1, day: int = 1) -> datetime.date:
    return datetime.date(year, month, day)


def only(*visits: Visit | None) -> Timeline:
    (one,) = timelines(visits)
    return one


def said(one: Timeline) -> list[str]:
    return [w.key for w in one.warnings]


def test_only_several_visits_of_one_patient_are_a_timeline() -> None:
    assert timelines([]) == timelines([None, None]) == timelines([Visit("a"), Visit("b"), None]) == []
    found = timelines([Visit("a", "1"), Visit("b", "1"), None, Visit("b", "2"), Visit("a", "2")])
    assert [(t.patient, t.cases, t.pairs) for t in found] == [("a", (0, 4), [(0, 4)]), ("b", (1, 3), [(1, 3)])]


def test_dates_decide_the_order_and_give_the_months() -> None:
    one = only(Visit("a", date=on(2002, 1, 1)), Visit("a", date=on(2000, 1, 1)), Visit("a", date=on(2000, 7, 1)))
    assert one.cases == (1, 2, 0) and one.pairs == [(1, 2), (1, 0)]
    assert one.months == pytest.approx((0, 182 / 30.4375, 731 / 30.4375))
    assert one.labels == ("1", "2", "3") and said(one) == []


def test_swapped_visits_are_put_in_order_and_that_is_said() -> None:
    one = only(Visit("a", "first", on(2002)), Visit("a", "second", on(2001)))
    assert one.labels == ("second", "first") and one.months == pytest.approx((0, 365 / 30.4375))
    assert said(one) == ["visits_reordered"]


def test_months_that_a_user_has_said_stand_in_for_dates() -> None:
    one = only(Visit("a", "y", months=9), Visit("a", "x", months=1.5))
    assert one.cases == (1, 0) and one.months == (0, 7.5)


def test_without_all_dates_the_order_is_the_given_one_and_that_is_said() -> None:
    one = only(Visit("a", "x", on(2001)), Visit("a", "y"), Visit("a", "z", on(2002)))
    assert one.cases == (0, 1, 2) and one.months == pytest.approx((0, None, 365 / 30.4375))
    assert said(one) == ["visits_undated"]
    backwards = only(Visit("a", "x", on(2001)), Visit("a", "y"), Visit("a", "z", on(2000)))
    assert said(backwards) == ["visits_undated", "visits_backwards"]
    assert only(Visit("a", "x"), Visit("a", "y", on(2000))).months == (None, None)
    assert only(Visit("a", months=2), Visit("a", date=on(2000))).months == (0, None)


def test_labels_are_each_their_own() -> None:
    assert only(Visit("a", "2"), Visit("a"), Visit("a", "2")).labels == ("2", "2 (2)", "2 (3)")


# Registration


def result(visit: Visit, measured: bool = True, shift: float = 0.0, slices: int = 3) -> Result:
    affine = np.array([[-1.0, 0, 0, 9 - shift], [0, -2.0, 0, 20], [0, 0, 5.0, -7], [0, 0, 0, 1]])
    grid = Grid((10, 12, slices), affine, measured)
    files = ((visit.name or "a", slices),)
    return Result(files, (Path("a"),), np.zeros((slices, 12, 10), np.uint8), None, None, grid=grid, visit=visit)


LAID = Registration(np.eye(4), 0.97, 1.2, 0.0, True)


def test_each_pair_is_registered_once_and_in_its_own_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(timelines_of, "register", lambda a, _, b, __: asked.append((len(a), len(b))) or LAID)
    visits = [Visit("a", "1"), Visit("a", "2"), Visit("b", "1"), Visit("a", "3")]
    results = [result(v, slices=3 + n) for n, v in enumerate(visits)]
    pictures = [r.probability for r in results]
    found = register_visits(results, pictures)
    assert asked == [(3, 4), (3, 6)] and found == {(0, 1): LAID, (0, 3): LAID}
    assert register_visits(results, pictures, found) == found and len(asked) == 2
    assert register_visits(results[:1], pictures[:1]) == {}
    unmeasured = [results[0], result(visits[1], measured=False)]
    assert register_visits(unmeasured, pictures[:2]) == {(0, 1): None} and len(asked) == 2


def test_a_matrix_of_millimetres_becomes_one_of_indices() -> None:
    moved = replace(LAID, matrix=np.eye(4))
    moved.matrix[0, 3] = 4  # the head lies 4 mm farther to the right in the later scan
    pair = [result(Visit("a", "1")), result(Visit("a", "2"))]
    to = index_matrix(pair, (0, 1), moved)
    assert np.allclose(to @ [1, 2, 3, 1], [1, 2, 3 - 4, 1])  # columns go to the patient's left
    assert np.allclose(index_matrix([pair[0], result(Visit("a"), shift=-4)], (0, 1), moved), np.eye(4))


def test_doubts_name_the_visit() -> None:
    pair = [result(Visit("a", "1")), result(Visit("a", "2"), measured=False)]
    (one,) = timelines([r.visit for r in pair])
    apart = replace(LAID, good=False)
    found = [(s.key, s.values.get("visit")) for s in doubts(one, pair, {(0, 1): apart})]
    assert found == [("visits_undated", None), ("visit_unmeasured", "2"), ("visit_apart", "2")]
    assert [s.key for s in doubts(one, [pair[0], pair[0]], {(0, 1): LAID})] == ["visits_undated"]

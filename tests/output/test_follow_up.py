"""What a report says of a patient's visits, on drawn masks whose sizes are known."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lgg_demo.case import Visit
from lgg_demo.grid import Grid
from lgg_demo.output.follow_up import follow_up_of
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, Result
from lgg_demo.registration import Registration

SHAPE = (6, 60, 60)  # voxels of 5 by 1 by 1 mm: 0.005 mL
RECORD = {"repeatability": {"relative": 0.03, "absolute_ml": 0.1}}
LAID = Registration(np.eye(4), 0.97, 1.2, 0.0, True)
Block = tuple[slice, slice, slice]
A: Block = (slice(1, 3), slice(5, 25), slice(5, 25))  # 800 voxels, 4 mL, 20 by 20 mm and so 28.3 by 28.3
B: Block = (slice(3, 5), slice(40, 52), slice(40, 52))  # 288 voxels


def visit(name: str, *blocks: Block, months: float | None = None, move: int = 0, thick: float = 5.0) -> Result:
    """A patient's visit with these blocks as the mask; move: of the head, in voxels to the left and back."""
    probability = np.zeros(SHAPE, np.uint8)
    for block in blocks:
        probability[block] = 200
    probability = np.roll(probability, (move, move), (1, 2))
    grid = Grid((60, 60, 6), np.diag([-1.0, -1.0, thick, 1.0]))
    said = Visit("ann", name, months=months)
    return Result(((f"{name}.nii", 6),), (Path(f"{name}.nii"),), probability, None, None, grid=grid, visit=said)


def figures(*visits: Result, record: dict[str, Any] = RECORD, laid: Registration | None = LAID) -> dict[str, Any]:
    registered = {(0, n): laid for n in range(1, len(visits))}
    (one,) = follow_up_of(visits, registered, 0.5, record)
    return one


def keys(entry: Any) -> set[str]:
    return set(entry)


def test_the_contract() -> None:
    one = figures(visit("x", A, months=0), visit("y", A, B, months=6))
    assert keys(one) == {"patient", "visits", "changes", "lesions", "warnings"} and one["patient"] == "ann"
    assert [v["visit"] for v in one["visits"]] == ["x", "y"] and [v["months"] for v in one["visits"]] == [0, 6]
    assert [v["volume_ml"] for v in one["visits"]] == [4.0, 5.44]
    assert [v["mean_diameter_mm"] for v in one["visits"]] == [20.0, 22.16]
    wanted = {"from", "to", "volume_ml", "volume_percent", "volume_percent_interval", "measurable", "velocity_mm_per_year"}
    (change,) = one["changes"]
    assert wanted | {"rano_2_0"} <= keys(change) and (change["from"], change["to"]) == ("x", "y")
    assert change["volume_ml"] == 1.44 and change["volume_percent"] == 36.0 and change["measurable"] is True
    low, high = change["volume_percent_interval"]
    assert low < 36.0 < high and low + high == pytest.approx(72.0)
    assert change["velocity_mm_per_year"] == pytest.approx((22.16 - 20) * 2, abs=0.02)
    assert json.loads(json.dumps(build_report([], 0.5, {}, follow_up=[one])))["follow_up"] == [one]
    assert build_report([], 0.5, {})["follow_up"] == []


def test_a_new_lesion_is_named_and_is_progression_though_the_volume_is_not() -> None:
    one = figures(visit("x", A, months=0), visit("y", A, B, months=6))
    assert [(n["status"], [v["parts"] for v in n["visits"]]) for n in one["lesions"]] == [
        ("present", [[1], [1]]),
        ("new", [[], [2]]),
    ]
    rano = one["changes"][0]["rano_2_0"]
    assert (rano["by_volume"], rano["new_lesion"]) == ("progressive_disease", True) and rano["notice"]
    speck: Block = (slice(3, 4), slice(40, 45), slice(40, 45))  # too small to be measured
    rano = figures(visit("x", A), visit("y", A, speck))["changes"][0]["rano_2_0"]
    assert (rano["by_volume"], rano["by_area"], rano["new_lesion"]) == ("stable_disease", "stable_disease", False)


def test_what_has_disappeared_and_what_has_split() -> None:
    halves: list[Block] = [(slice(1, 3), slice(5, 25), slice(5, 13)), (slice(1, 3), slice(5, 25), slice(17, 25))]
    one = figures(visit("x", A, B), visit("y", *halves))
    assert [(n["status"], [v["volume_ml"] for v in n["visits"]]) for n in one["lesions"]] == [
        ("present", [4.0, 3.2]),
        ("disappeared", [1.44, 0.0]),
    ]
    assert [v["parts"] for v in one["lesions"][0]["visits"]] == [[1], [1, 2]]
    assert one["lesions"][1]["visits"][1]["diameters_mm"] is None and one["lesions"][1]["volume_percent"] == -100.0


def test_a_head_that_has_moved_and_other_slices_change_nothing() -> None:
    moved = replace(LAID, matrix=np.array([[1.0, 0, 0, -12], [0, 1, 0, -12], [0, 0, 1, 0], [0, 0, 0, 1]]))
    one = figures(visit("x", A), visit("y", A, move=12), laid=moved)
    assert one["changes"][0]["volume_ml"] == 0 and one["changes"][0]["measurable"] is False
    assert [n["status"] for n in one["lesions"]] == ["present"]
    # The same blocks on slices of 2.5 mm are half as large: volumes are each visit's own
    thin = figures(visit("x", A), visit("y", A, thick=2.5))
    assert [v["volume_ml"] for v in thin["visits"]] == [4.0, 2.0]


def test_what_lies_beyond_the_first_scan_is_not_called_new() -> None:
    moved = replace(LAID, matrix=np.array([[1.0, 0, 0, -12], [0, 1, 0, -12], [0, 0, 1, 0], [0, 0, 0, 1]]))
    beyond: Block = (slice(1, 4), slice(48, 58), slice(48, 60))  # which `move` brings to the first rows
    one = figures(visit("x", A), visit("y", A, beyond, move=12), laid=moved)
    assert [n["status"] for n in one["lesions"]] == ["present", "outside"]
    assert one["changes"][0]["rano_2_0"]["new_lesion"] is False


def test_where_scans_do_not_lie_on_each_other_volumes_stand_and_lesions_are_not_matched() -> None:
    for laid in (replace(LAID, good=False), None):
        one = figures(visit("x", A), visit("y", A, B), laid=laid)
        assert one["changes"][0]["volume_ml"] == 1.44 and one["lesions"] == []
        assert one["changes"][0]["rano_2_0"]["new_lesion"] is None
        assert len(one["warnings"]) == (1 if laid is None else 2), "months are not known; and of a poor one, that it is"


def test_without_millimetres_nothing_is_compared() -> None:
    blind = visit("y", A)
    assert blind.grid is not None
    one = figures(visit("x", A), replace(blind, grid=replace(blind.grid, measured=False)))
    assert one["changes"] == one["lesions"] == [] and [v["volume_ml"] for v in one["visits"]] == [None, None]


def test_a_record_without_repeatability_gives_no_interval_and_says_why() -> None:
    one = figures(visit("x", A, months=0), visit("y", A, B, months=1), record={})
    assert one["changes"][0]["volume_percent_interval"] is one["changes"][0]["measurable"] is None
    assert one["visits"][0]["volume_ml_interval"] is None and len(one["warnings"]) == 1


def test_three_visits_go_from_the_first_and_from_the_one_before() -> None:
    grown: Block = (slice(1, 4), slice(5, 25), slice(5, 25))  # by half
    one = figures(visit("x", A, months=0), visit("y", A, months=12), visit("z", grown, months=24))
    assert [(c["from"], c["to"]) for c in one["changes"]] == [("x", "y"), ("x", "z"), ("y", "z")]
    first, whole, last = one["changes"]
    assert [c["volume_percent"] for c in one["changes"]] == [0, 50, 50]
    assert (first["rano_2_0"]["by_volume"], whole["rano_2_0"]["by_volume"]) == ("stable_disease", "progressive_disease")
    assert last["rano_2_0"] is None
    diameter = (2 * 6000) ** (1 / 3)
    assert whole["velocity_mm_per_year"] == pytest.approx((diameter - 20) / 2, abs=0.01)
    assert last["velocity_mm_per_year"] == pytest.approx(diameter - 20, abs=0.01)


def test_threshold_and_corrections_count() -> None:
    edits = np.zeros(SHAPE, np.uint8)
    edits[B] = ADDED
    one = figures(visit("x", A), replace(visit("y", A), edits=edits))
    assert [v.get("corrected") for v in one["visits"]] == [None, True]
    assert [v["volume_ml"] for v in one["visits"]] == [4.0, 5.44]
    (high,) = follow_up_of([visit("x", A), visit("y", A)], {(0, 1): LAID}, 0.9, RECORD)
    assert [v["volume_ml"] for v in high["visits"]] == [0, 0] and high["changes"][0]["volume_percent"] is None
    assert high["lesions"] == [] and high["changes"][0]["rano_2_0"]["by_volume"] is None


def test_dates_stay_at_home_unless_they_are_asked_for() -> None:
    day = datetime.date(2001, 5, 3)
    pair = [replace(r, visit=replace(r.visit, date=d)) for r, d in
            ((visit("x", A), day), (visit("y", A), datetime.date(2002, 5, 3)))]  # fmt: skip
    (plain,) = follow_up_of(pair, {}, 0.5, RECORD)
    (dated,) = follow_up_of(pair, {}, 0.5, RECORD, dates=True)
    assert "2001" not in json.dumps(plain) and plain["visits"][1]["months"] == 12.0
    assert [v["date"] for v in dated["visits"]] == ["2001-05-03", "2002-05-03"]

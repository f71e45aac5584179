"""Visits on the page's server: what the viewer is told of them, what its user says, what is kept, what the download has."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from helpers import SCAN, lay
from serving import Drawn

from lgg_demo.case import Visit
from lgg_demo.output import timeline
from lgg_demo.page.faults import NotOurs
from lgg_demo.page.handlers import Asked, Page
from lgg_demo.page.session import Session
from lgg_demo.page.showcase import Showcase, visits_of
from lgg_demo.page.visits import read_visits
from lgg_demo.registration import Registration

LAID = Registration(np.eye(4), 0.97, 1.2, 0.0, True)
FILES = ("ann_20010503_flair.nii", "ann_20020503_flair.nii", "bob_flair.nii")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were registered: an entry for each. Registration itself has tests of its own."""
    pairs: list[int] = []

    def register(*_: Any) -> Registration:
        pairs.append(len(pairs))
        return LAID

    monkeypatch.setattr(timeline, "register", register)
    return pairs


@pytest.fixture
def page() -> Page:
    return Page(Drawn())  # type: ignore[arg-type]


def opened(page: Page, folder: Path, *names: str) -> tuple[Session, dict[str, Any]]:
    lay(folder, dict.fromkeys(names, SCAN))
    session, value = page.run(page.read(sorted(folder.iterdir()), Asked(0.5, "en").stop), Asked(0.5, "en"))
    assert value is not None
    return session, value


def wire(*visits: tuple[int, str | None, str | None, str | None, float | None]) -> str:
    return json.dumps([dict(zip(("case", "patient", "visit", "date", "months"), v, strict=True)) for v in visits])


def test_visits_that_names_tell_come_with_the_result(page: Page, tmp_path: Path, registered: list[int]) -> None:
    page.segmenter.record |= {"repeatability": {"relative": 0.05, "absolute_ml": 0.2}}
    session, value = opened(page, tmp_path, *FILES)
    (ann,) = value["follow_up"]
    assert ann["patient"] == "ann" and ann["warnings"] == []
    assert [(v["case"], v["date"], v["visit"]) for v in ann["visits"]] == [(0, "2001-05-03", None), (1, "2002-05-03", None)]
    assert ann["visits"][0]["months"] == 0 and ann["visits"][1]["months"] == pytest.approx(365 / 30.4375)
    assert ann["visits"][0]["to"] == np.eye(4).ravel().tolist() and ann["visits"][1]["overlap"] == 0.97
    assert value["repeatability"] == {"relative": 0.05, "absolute_ml": 0.2}
    assert registered == [0] and list(session.kept.registered) == [(0, 1)]
    json.dumps(value)


def test_one_study_costs_no_registration(page: Page, tmp_path: Path, registered: list[int]) -> None:
    session, value = opened(page, tmp_path, "bob_flair.nii")
    assert value["follow_up"] == [] and value["repeatability"] is None and registered == []
    assert session.kept.registered == {}


def test_what_the_user_says_counts_and_masks_stay(page: Page, tmp_path: Path, registered: list[int]) -> None:
    session, value = opened(page, tmp_path, "ann_flair.nii", "bob_flair.nii", "carl_flair.nii")
    assert value["follow_up"] == [] and registered == []
    before = [r.probability for r in session.results]
    said = wire((0, "ann", "late", None, 7), (1, "ann", "early", None, 1), (2, None, None, None, None))
    session, value, _ = page.on_visits(said, session, 0.5, "en")
    assert value["id"] == session.identity and all("image" not in case for case in value["cases"])
    (one,) = value["follow_up"]
    assert [(v["case"], v["visit"], v["months"]) for v in one["visits"]] == [(1, "early", 0), (0, "late", 6)]
    assert all(a is b for a, b in zip(before, (r.probability for r in session.results), strict=True))
    # Again, with a third: what was registered before is not done once more; another first visit is another pair
    said = wire((0, "ann", None, None, 7), (1, "ann", None, None, 1), (2, "ann", None, None, 9))
    session, value, _ = page.on_visits(said, session, 0.5, "en")
    assert [v["case"] for v in value["follow_up"][0]["visits"]] == [1, 0, 2] and registered == [0, 1]
    session, value, _ = page.on_visits(wire((0, "ann", None, None, 0)), session, 0.5, "en")
    assert value["follow_up"] == [] and [r.visit for r in session.results][1:] == [None, None]


def test_the_download_has_the_figures_and_no_date(page: Page, tmp_path: Path, registered: list[int]) -> None:
    session, _ = opened(page, tmp_path, "x_flair.nii", "y_flair.nii")
    said = wire((0, "ann", None, "2001-05-03", None), (1, "ann", None, "2002-05-03", None))
    session, _, _ = page.on_visits(said, session, 0.5, "fr")
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(page.on_download(session, 0.5, "fr")))) as archive:
        text = archive.read("lgg-demo/report.json").decode()
    (one,) = json.loads(text)["follow_up"]
    assert [v["months"] for v in one["visits"]] == [0, 12] and "2001" not in text
    assert len(one["changes"]) == 1 and one["lesions"]


@pytest.mark.parametrize(
    "said",
    [
        None, "", "no JSON", "{}", "[1]", "[{}]", "[" * 100_000, wire((3, "a", None, None, None)),
        wire((-1, "a", None, None, None)), wire((True, "a", None, None, None)), wire((0, 5, None, None, None)),  # type: ignore[arg-type]
        wire((0, "a" * 201, None, None, None)), wire((0, "a", None, "yesterday", None)), wire((0, "a", None, None, 1e9)),
        '[{"case": 0, "patient": "a", "visit": null, "date": null, "months": NaN}]',
        '[{"case": 0, "patient": "a", "visit": null, "date": 5, "months": null}]',
    ],
)  # fmt: skip
def test_what_no_viewer_says_is_refused(said: str | None) -> None:
    with pytest.raises(NotOurs):
        read_visits(said, 3)


def test_blanks_are_nobody() -> None:
    assert read_visits(wire((1, " ", "x", None, None), (0, " a ", " ", None, 3)), 2) == (Visit("a", months=3), None)


def test_without_a_result_there_are_no_visits(page: Page, tmp_path: Path, registered: list[int]) -> None:
    session, _ = opened(page, tmp_path, "x_flair.nii", "y_flair.nii")
    session.kept.drop()
    for gone in (None, session):
        with pytest.raises(gr.Error):
            page.on_visits(wire(), gone, 0.5, "en")
    assert session.kept.registered == {}


def test_other_roles_leave_what_the_user_said(page: Page, tmp_path: Path, registered: list[int]) -> None:
    """They are read from the files again, which do not know of it."""
    session, _ = opened(page, tmp_path, "x_flair.nii", "y_flair.nii")
    session, _, _ = page.on_visits(wire((0, "ann", "1", None, 0), (1, "ann", "2", None, 3)), session, 0.5, "en")
    asked = Asked(0.5, "en", visits=session.visits)
    again, value = page.run(page.read(sorted(tmp_path.iterdir()), asked.stop), asked)
    assert value is not None and [v["months"] for v in value["follow_up"][0]["visits"]] == [0, 3]
    assert again.visits == session.visits


def test_the_synthetic_patient_that_grows_comes_with_its_months(registered: list[int]) -> None:
    assert [(v.name, v.months) for v in visits_of("growing")] == [("1", 0), ("2", 9)]
    showcase = Showcase(Page(Drawn()))  # type: ignore[arg-type]
    for _ in range(2):
        session, value, *_ = showcase.on_patient("growing", None, 0.5, "en")
        (one,) = value["follow_up"]
        assert [(v["case"], v["months"]) for v in one["visits"]] == [(0, 0), (1, 9)] and one["warnings"] == []
    assert registered == [0] and session.kept.size == 0
    _, value, *_ = showcase.on_patient("healthy", None, 0.5, "en")
    assert value["follow_up"] == []
    # What one session says is of that session alone
    page, said = showcase.page, wire((0, "x", None, None, 0), (1, "x", None, None, 4))
    page.on_visits(said, session, 0.5, "en")
    assert showcase.made["growing"].results[1].visit == visits_of("growing")[1]


def test_a_stopped_run_registers_nothing_more(page: Page, tmp_path: Path, registered: list[int]) -> None:
    session, _ = opened(page, tmp_path, "x_flair.nii", "y_flair.nii")
    asked = Asked(0.5, "en")

    class Left(Exception):
        pass

    def stop() -> None:
        raise Left

    visits = [replace(r, visit=Visit("a", str(n))) for n, r in enumerate(session.results)]
    with pytest.raises(Left):
        timeline.register_visits(visits, session.kept.pictures, turn=lambda: page.alone(stop))  # type: ignore[arg-type]
    assert registered == [] and asked.visits == ()

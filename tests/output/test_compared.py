"""The visits of a patient on the PDF's pages, and the lines of their charts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD
from test_follow_up import LAID, A, B, visit

from lgg_demo.messages import Language, say
from lgg_demo.output.chart import steps_of
from lgg_demo.output.follow_up import follow_up_of
from lgg_demo.output.pdf import write_pdf
from lgg_demo.output.report import build_report

MEASURED = RECORD | {"repeatability": {"relative": 0.03, "absolute_ml": 0.1}}


def pages(path: Path) -> str:
    """All text of a PDF. Skips where pdftotext is not installed."""
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("pdftotext is not installed (Debian's poppler-utils)")
    said = subprocess.run([program, "-raw", str(path), "-"], capture_output=True, check=True).stdout
    return " ".join(said.decode().split())


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_pdf_compares_visits_as_the_report_does(tmp_path: Path, language: Language) -> None:
    results = [visit("before", A, months=0), visit("after", A, B, months=6.5)]
    pictures = [np.zeros_like(r.probability) for r in results]
    follow_up = follow_up_of(results, {(0, 1): LAID}, 0.5, MEASURED, language)
    report = build_report(results, 0.5, MEASURED, language=language, follow_up=follow_up)
    for n in range(2):
        write_pdf(tmp_path / f"{n}.pdf", results, pictures, report, language)
    assert (tmp_path / "0.pdf").read_bytes() == (tmp_path / "1.pdf").read_bytes()
    said, point = pages(tmp_path / "0.pdf"), "," if language == "fr" else "."
    (change,) = follow_up[0]["changes"]
    for wanted in (
        say("pdf_follow_up", language, patient="ann"), f"6{point}5", f"+36{point}0 %", f"+1{point}4 mL",
        say("rano_progressive_disease", language), say("pdf_lesion_new", language), change["rano_2_0"]["notice"],
        say("pdf_months", language),
    ):  # fmt: skip
        assert " ".join(wanted.split()) in said, wanted


def test_what_is_not_known_is_a_dash_and_said(tmp_path: Path) -> None:
    """Neither months, nor an interval, nor millimetres at one visit; and a change that is too small."""
    blind = visit("after", A)
    assert blind.grid is not None
    for later, wanted in (
        (visit("after", A), say("pdf_not_measurable", "en")),
        (replace(blind, grid=replace(blind.grid, measured=False)), "–"),
    ):
        results = [visit("before", A), later]
        follow_up = follow_up_of(results, {(0, 1): LAID}, 0.5, MEASURED)
        write_pdf(tmp_path / "a.pdf", results, None, build_report(results, 0.5, MEASURED, follow_up=follow_up))
        said = pages(tmp_path / "a.pdf")
        assert wanted in said and all(" ".join(w.split()) in said for w in follow_up[0]["warnings"])


@pytest.mark.parametrize(
    ("highest", "expected"),
    [(33, [0, 10, 20, 30, 40]), (40, [0, 10, 20, 30, 40]), (0.7, [0, 0.2, 0.4, 0.6, 0.8]), (1000, [0, 500, 1000])],
)
def test_lines_of_a_chart_are_round_and_reach_the_highest(highest: float, expected: list[float]) -> None:
    assert steps_of(highest) == pytest.approx(expected)


def test_a_chart_of_nothing_has_lines_too() -> None:
    assert steps_of(0.0)[-1] > 0

"""The PDF says what the report does, on pages that hold whatever they must."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD, picture_result, series, volume_result

from lgg_demo.case import ReadError
from lgg_demo.grid import Grid
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.output.files import write_outputs
from lgg_demo.output.pdf import chosen_slices, write_pdf
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result
from lgg_demo.reading.earlier import PAGE, TABLE


def content(path: Path) -> list[str]:
    """The text of each page. Skips where pdftotext is not installed."""
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("pdftotext is not installed (Debian's poppler-utils)")
    said = subprocess.run([program, "-layout", str(path), "-"], capture_output=True, check=True).stdout
    return [" ".join(page.split()) for page in said.decode().split("\f")[:-1]]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_page_says_what_the_report_does(tmp_path: Path, language: Language) -> None:
    instances, grid = series()
    warned = (Sentence("colour_as_sequences", {"file": "series-3"}),)
    r = dataclasses.replace(volume_result(grid, instances, reference=True), warnings=warned)
    report = build_report([r], 0.35, RECORD, [ReadError("b.png", "damaged")], language)
    path = tmp_path / PAGE
    write_pdf(path, [r], [np.zeros(r.probability.shape, np.uint8)], report, language)
    raw = path.read_bytes()
    assert not [w for w in (b"/CreationDate", b"/ModDate", b"/Author", b"anonymous", str(tmp_path).encode()) if w in raw]
    assert set(re.findall(rb"/BaseFont /(\S+)", raw)) == {b"AAAAAA+DejaVuSans", b"AAAAAA+DejaVuSans-Bold"}, "embedded"
    (said,) = content(path)
    (entry,) = report["images"]

    def number(value: float, digits: int) -> str:
        return f"{value:.{digits}f}".replace(".", "," if language == "fr" else ".")

    for wanted in (
        report["notice"], say("report_title", language), "series-3", "lgg-unet", RECORD["sha256"][:16], report["software"],
        *report["warnings"], report["unreadable"][0]["message"], number(entry["dice"], 3), number(entry["hd95_mm"], 1),
        number(entry["surface_dice_2mm"], 3), number(entry["diameters_mm"]["longest"], 1), "mL", "mm²", "1/1",
        say("report_threshold", language, threshold=number(0.35, 2)), say("panel_reference", language),
    ):  # fmt: skip
        assert " ".join(wanted.split()) in said, wanted  # a no-break space is a space there
    assert RECORD["sha256"] not in said


HOSTILE = (
    "<b>bold</b>&amp;<para>.png", "a_very_long_name" * 40 + ".nii", "\x00\ttab\nline.png", "脳🧠.png", "\u202egnp.exe",
    "e\u0301\u0301" * 200, "<font size=900>", "&#x0;", "x y " * 300, b"\xe9t\xe9.png".decode("utf-8", "surrogateescape"),
)  # fmt: skip


def test_pages_hold_whatever_they_must(tmp_path: Path) -> None:
    _, grid = series()
    warned = tuple(Sentence("slices_blank", {"file": name, "blank": 1, "slices": 99}) for name in HOSTILE * 4)
    many = [
        dataclasses.replace(volume_result(grid, name=name, seed=n, reference=n == 0), warnings=warned)
        for n, name in enumerate(HOSTILE * 6)
    ]
    pictures = [None if n == 3 else np.full(r.probability.shape, 99, np.uint8) for n, r in enumerate(many)]
    problems = [ReadError(name, "damaged") for name in HOSTILE[1:] * 3]
    for results, shown in ((many, pictures), (many[:1], pictures[:1]), (many[:1], None), ([], None)):
        report = build_report(results, 0.5, RECORD, problems)
        write_pdf(tmp_path / PAGE, results, shown, report)
        pages = content(tmp_path / PAGE)
        assert len(pages) <= 4 and all(report["notice"] in page and RECORD["sha256"][:16] in page for page in pages)
        assert [f" {n}/{len(pages)} " in page for n, page in enumerate(pages, 1)] == [True] * len(pages)
        said = " ".join(pages)
        assert "damaged" in said and "see report.json" in said, "what went wrong is never left out"
    assert not results, "nothing at all has a page too"


def test_text_of_a_user_is_text(tmp_path: Path) -> None:
    name = "<b>a</b>&amp;$x_{1}$.png"
    r = picture_result((name, 1))
    write_pdf(tmp_path / PAGE, [r], [r.probability], build_report([r], 0.5, RECORD))
    assert name in content(tmp_path / PAGE)[0]


def test_page_of_pictures_without_reference_in_pixels(tmp_path: Path) -> None:
    picture = Result((("a.png", 1),), (Path("a.png"),), np.full((1, 700, 30), 200, np.uint8), None, None)
    write_pdf(tmp_path / PAGE, [picture], [picture.probability], build_report([picture], 0.5, RECORD))
    (said,) = content(tmp_path / PAGE)
    assert "21000 pixels" in said and "px" in said and " mm" not in said and "Ground truth" not in said


def test_every_output_says_the_same_of_the_same_pixels(tmp_path: Path) -> None:
    """128 pixels of 0.9375 mm a side are 112.5 mm²: Python's own rounding would say 112, the browser's 113."""
    r = dataclasses.replace(picture_result(("a.nii", 1)), grid=Grid((24, 20, 1), np.diag([0.9375, 0.9375, 5, 1])))
    r.probability[:] = 0
    r.probability[0].flat[:128] = 255
    report = build_report([r], 0.5, RECORD)
    write_outputs([r], 0.5, report, tmp_path, [r.probability])
    assert report["images"][0]["areas_mm2"] == [112.5] and "112.5" in (tmp_path / TABLE).read_text()
    assert content(tmp_path / PAGE)[0].count("113 mm²") == 2, "below the slice and as the largest area"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_several_lesions_have_a_row_each(tmp_path: Path, language: Language) -> None:
    _, grid = series()
    r = volume_result(grid)
    r.probability[:] = 0
    r.probability[0, 2:6, 2:9] = r.probability[-1, 10, 3:5] = 255
    report = build_report([r], 0.5, RECORD, language=language)
    write_pdf(tmp_path / PAGE, [r], None, report, language)
    (said,) = content(tmp_path / PAGE)
    lesions = report["series"][0]["lesions"]
    assert len(lesions) == 2 and say("report_extent", language) in said
    for lesion in lesions:
        assert f"{lesion['diameters_mm']['longest']:.1f}".replace(".", "," if language == "fr" else ".") in said
    r.probability[-1] = 0
    write_pdf(tmp_path / PAGE, [r], None, build_report([r], 0.5, RECORD, language=language), language)
    assert say("report_extent", language) not in content(tmp_path / PAGE)[0], "one lesion is what the figures above say"


def test_reports_of_one_moment_do_not_mix(tmp_path: Path) -> None:
    """And the same report is the same file: it says neither when nor where it was made."""
    given = [picture_result((f"{n}.png", n)) for n in range(1, 7)]
    reports = [build_report([r], 0.5, RECORD) for r in given]

    def write(n: int, turn: str) -> bytes:
        path = tmp_path / f"{turn}{n}.pdf"
        write_pdf(path, [given[n]], [given[n].probability], reports[n])
        return path.read_bytes()

    alone = [write(n, "alone") for n in range(len(given))]
    with ThreadPoolExecutor(len(given)) as pool:
        assert list(pool.map(lambda n: write(n, "together"), range(len(given)))) == alone


def test_the_slices_that_are_shown() -> None:
    probability = np.zeros((9, 4, 4), np.uint8)
    for s, n in ((1, 3), (4, 9), (7, 2)):
        probability[s].flat[:n] = 255
    r = Result((("a", 9),), (Path("a"),), probability, None, None, (), Grid((4, 4, 9), np.eye(4)))
    assert chosen_slices([r], 0.5) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([r], 0.5, most=2) == [(0, 1), (0, 4)]
    nothing = dataclasses.replace(r, probability=np.zeros_like(probability))
    assert chosen_slices([nothing], 0.5, most=3) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([nothing, r], 0.5) == [(1, 1), (1, 4), (1, 7)]
    truth = dataclasses.replace(nothing, reference=probability > 0, referenced=np.ones(9, bool))
    assert chosen_slices([truth], 0.5) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([dataclasses.replace(nothing, probability=probability[:1])], 0.5) == [(0, 0)]

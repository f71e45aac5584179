"""What a hand has corrected is in the report, by slice and by lesion, and in the table and the PDF."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD, SIDES, picture_result
from test_pdf import content

from lgg_demo.messages import Language, say
from lgg_demo.output.edits import MOST_LESIONS, manual_edits
from lgg_demo.output.files import write_outputs
from lgg_demo.output.pdf import write_pdf
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, REMOVED, Result
from lgg_demo.reading.earlier import PAGE, TABLE


def corrected() -> Result:
    """A lesion in slices 2 to 4 that grows, a false one in slices 5 and 6 that goes, a missed one in slice 6."""
    result = picture_result(("a.tif", 6), ("b.png", 1))
    result.probability[:] = 0
    result.probability[1:4, 2:6, 2:6] = 200
    result.probability[4:6, 12:15, 2:5] = 200
    edits = np.zeros((7, *SIDES), np.uint8)
    edits[2, 2:6, 6:8] = ADDED  # eight beside the lesion
    edits[2, 2, 2:6] = ADDED  # and four that it has already
    edits[3, 5, 2:6] = REMOVED
    edits[4:6, 12:15, 2:5] = REMOVED
    edits[5, 12:14, 20:22] = ADDED
    return replace(result, edits=edits)


def test_edits_are_counted_by_slice_and_by_lesion() -> None:
    result = corrected()
    report = build_report([result], 0.5, RECORD)
    edited, untouched = report["images"]
    assert edited["manual_edits"] == {
        "added_pixels": 12, "removed_pixels": 22,
        "slices": [
            {"slice": 3, "added_pixels": 8, "removed_pixels": 0}, {"slice": 4, "added_pixels": 0, "removed_pixels": 4},
            {"slice": 5, "added_pixels": 0, "removed_pixels": 9}, {"slice": 6, "added_pixels": 4, "removed_pixels": 9},
        ],
        "lesions": [
            {"first_slice": 5, "last_slice": 6, "pixels": 0, "added_pixels": 0, "removed_pixels": 18},
            {"first_slice": 2, "last_slice": 4, "pixels": 52, "added_pixels": 8, "removed_pixels": 4},
            {"first_slice": 6, "last_slice": 6, "pixels": 4, "added_pixels": 4, "removed_pixels": 0},
        ],
    }  # fmt: skip
    assert edited["corrected_pixels"] == 34 and "manual_edits" not in untouched
    # At a threshold that nothing of the network reaches, all that is there was added, and nothing removed.
    high = manual_edits(result, 0.9, slice(0, 6))
    assert (high["added_pixels"], high["removed_pixels"]) == (16, 0)
    assert sum(lesion["pixels"] for lesion in high["lesions"]) == 16


def test_edits_agree_with_the_masks_whatever_they_are() -> None:
    rng = np.random.default_rng()
    result = picture_result(("a.tif", 5))
    result = replace(result, edits=rng.choice(3, result.probability.shape, p=[0.9, 0.05, 0.05]).astype(np.uint8))
    for threshold in rng.uniform(0, 1, 5):
        edits = manual_edits(result, threshold)
        (image,) = build_report([result], threshold, RECORD)["images"]
        total = edits["added_pixels"] + edits["removed_pixels"]
        assert image["corrected_pixels"] == total
        for part in ("slices", "lesions"):
            whole = sum(e["added_pixels"] + e["removed_pixels"] for e in edits[part])
            assert whole == total or (part == "lesions" and len(edits[part]) == MOST_LESIONS)


def test_the_table_tells_added_from_removed(tmp_path: Path) -> None:
    result = corrected()
    write_outputs([result], 0.5, build_report([result], 0.5, RECORD), tmp_path, documents=True)
    rows = list(csv.DictReader((tmp_path / TABLE).read_text(encoding="utf-8").splitlines()))
    told = [[row[c] for c in ("corrected_pixels", "added_pixels", "removed_pixels")] for row in rows]
    assert told[1:] == [["", "", ""], ["8", "8", "0"], ["4", "0", "4"], ["9", "0", "9"], ["13", "4", "9"], ["", "", ""]]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_pdf_lists_them(tmp_path: Path, language: Language) -> None:
    result = corrected()
    write_pdf(tmp_path / PAGE, [result], None, build_report([result], 0.5, RECORD, language=language), language)
    said = " ".join(content(tmp_path / PAGE))
    for wanted in (say("report_edits", language), "a.tif 3 +8 −0", "a.tif 5–6 +0 −18", say("edits_lesions", language)):
        assert wanted in said, wanted


def test_many_edits_stay_on_their_page(tmp_path: Path) -> None:
    result = picture_result(("a.nii", 90))
    result = replace(result, edits=np.random.default_rng(0).integers(0, 3, result.probability.shape).astype(np.uint8))
    write_pdf(tmp_path / PAGE, [result], [result.probability], build_report([result], 0.5, RECORD))
    pages = content(tmp_path / PAGE)
    assert len(pages) <= 3 and "see report.json" in " ".join(pages)

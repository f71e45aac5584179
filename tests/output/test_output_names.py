"""The names of what is written: what they are named after, and that no two are alike."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD, SIDES, picture_result, series, volume_result

from lgg_demo.grid import Grid
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, Result
from lgg_demo.reading.earlier import REPORT
from lgg_demo.reading.layout import parse


def corrected(result: Result) -> Result:
    return replace(result, edits=np.full(result.probability.shape, ADDED, np.uint8))


@pytest.mark.parametrize(
    ("name", "slices", "mask", "probability"),
    [
        ("a.png", 1, "a_mask.png", "a_probability.png"),
        ("a.JPEG", 1, "a_mask.png", "a_probability.png"),
        ("a.tif", 1, "a_mask.tif", "a_probability.png"),
        ("a.TIFF", 1, "a_mask.TIFF", "a_probability.png"),
        ("a.tif", 5, "a_mask.tif", "a_probability.tif"),
        ("p1/s_1.tif", 1, "p1/s_1_mask.tif", "p1/s_1_probability.png"),
        ("v1.2.png", 1, "v1.2_mask.png", "v1.2_probability.png"),
        ("a_mask.png", 1, "a_mask_mask.png", "a_mask_probability.png"),
        ("été 1.png", 1, "été 1_mask.png", "été 1_probability.png"),
        (f"{'a' * 200}.png", 1, f"{'a' * 200}_mask.png", f"{'a' * 200}_probability.png"),
    ],
)
def test_names_of_pictures(name: str, slices: int, mask: str, probability: str) -> None:
    assert output_names([picture_result((name, slices))]) == [[(mask, probability)]]


def test_names_of_volumes() -> None:
    instances, grid = series()
    stems = {
        "brain.nii.gz": "brain", "p1/Brain.NII": "p1/Brain", "brain.nii": "brain_2", "1.2.840.3": "1.2.840.3",
        ".nii": ".nii", "/etc/../../brain.nii": "etc/brain", "..": "volume",
    }  # fmt: skip
    given = [volume_result(grid, instances if name == "1.2.840.3" else (), name) for name in stems]
    for stem, [names] in zip(stems.values(), output_names(given), strict=True):
        seg = (f"{stem}_seg.dcm",) if stem == "1.2.840.3" else ()
        assert names == (f"{stem}_mask.nii.gz", f"{stem}_probability.nii.gz", *seg)


def test_no_two_outputs_share_a_name() -> None:
    given = [
        picture_result(("a.png", 1), ("a_2.png", 1)),
        picture_result(("a.tif", 1)),
        picture_result(("A.jpg", 1)),  # one file with a.png on Windows and macOS
        picture_result(("a.png", 1)),
        picture_result(("p1/a.png", 1), ("p2/a.png", 1), ("a_mask.png", 1), ("a_probability.png", 1)),
    ]
    names = [name.lower() for files in output_names(given) for pair in files for name in pair]
    assert len(set(names)) == len(names) == 18
    assert output_names(given)[1] == [("a_3_mask.tif", "a_3_probability.png")]
    names_of_both = output_names([corrected(picture_result(("flair.png", 1))), picture_result(("flair_corrected.png", 1))])
    assert names_of_both[0] == [("flair_corrected_mask.png", "flair_probability.png")]
    assert names_of_both[1] == [("flair_corrected_2_mask.png", "flair_corrected_2_probability.png")]


@pytest.mark.parametrize("letter", ["a", "é", "王", "🧠", "e\u0301", b"\xe9".decode("utf-8", "surrogateescape")])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
def test_names_are_cut_where_an_output_would_be_too_long(tmp_path: Path, letter: str, suffix: str) -> None:
    long = letter * (240 // len(letter.encode("utf-8", "surrogateescape")))
    grid = Grid((*SIDES[::-1], 1), np.eye(4)) if suffix == ".nii.gz" else None
    given = [replace(picture_result((f"p/{long}{end}{suffix}", 1)), grid=grid) for end in ("xxxxxxx", "yyyyyyy", "")]
    given.append(corrected(given[0]))
    names = [name for of_one in output_names(given) for own in of_one for name in own]
    assert len({name.lower() for name in names}) == 8 and all(name.startswith(f"p/{letter * 9}") for name in names)
    assert max(len(os.fsencode(name.split("/")[1])) for name in names) <= 255
    files, failures = write_outputs(given, 0.5, build_report(given, 0.5, RECORD), tmp_path, documents=False)
    assert not failures and {p.relative_to(tmp_path).as_posix() for p in files} == {*names, REPORT}


def test_a_download_never_has_the_name_of_a_ground_truth() -> None:
    given = [picture_result(("p/a.png", 1)), corrected(picture_result(("b.tif", 1)))]
    assert output_names(given, download=True) == [
        [("p/a_pred.png", "p/a_pred_probability.png")],
        [("b_pred_corrected_mask.tif", "b_pred_probability.png")],
    ]
    assert (parse("b_pred_corrected_mask").subject, parse("b_pred_corrected_mask").role) == ("b", "mask")
    assert parse("a_pred").role == "other"

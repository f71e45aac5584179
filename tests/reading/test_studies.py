"""Case after case, within what memory holds; whoever goes on where another ended gets the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from helpers import (
    BROKEN,
    HEAD,
    PLANTED,
    SCAN,
    STACK,
    lay,
    nifti,
    only,
    read,
    rows_of,
    said,
    series,
    turned,
    warned,
)

from lgg_demo.case import Case, ReadError, Study
from lgg_demo.reading import studies
from lgg_demo.reading.limits import MOST_SLICES
from lgg_demo.reading.studies import Request, read_cases


def test_each_case_comes_as_soon_as_it_is_read(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"a.png": SCAN, "b.png": BROKEN, "c.png": SCAN, "d_flair.nii": SCAN, "e.nii": BROKEN})
    kinds = []
    for event in read_cases(Request((folder,)), tmp_path / "work"):
        kinds.append(event.file if isinstance(event, ReadError) else type(event).__name__)
        if isinstance(event, Case):
            (folder / "c.png").unlink(missing_ok=True)  # it is not yet read
    assert kinds == ["e.nii", "int", "Case", "int", "b.png", "int", "c.png", "int", "Study", "int"]


@pytest.mark.parametrize(("done", "skip", "rest"), [(1, "", ["b.png", "c"]), (1, "b.png", ["c"]), (3, "", []), (9, "", [])])
def test_the_rest_of_what_another_began(tmp_path: Path, done: int, skip: str, rest: list[str]) -> None:
    folder = lay(tmp_path / "in", {"a.png": SCAN, "b.png": SCAN, "c.nii": SCAN})
    found = read(folder, done=done, skip=frozenset({folder / skip} if skip else ()))
    assert list(rows_of(found)) == rest and not found.errors


def test_what_is_left_out_is_not_missed_as_nothing(tmp_path: Path) -> None:
    path = lay(tmp_path, {"a.png": SCAN}) / "a.png"
    assert read(path, skip=frozenset({path})) == ([], [], [])


def test_one_after_the_other_more_is_read_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MOST_VALUES", 4 * STACK.size + 10)
    lay(tmp_path, {f"{name}.nii": SCAN for name in ("ann", "bob", "cleo")} | {"cleo_mask.nii": 10})
    found = read(tmp_path)
    assert not found.errors and rows_of(found) == {"ann": None, "bob": None, "cleo": 10}
    found = read(tmp_path, most_slices=1000)  # held all at once
    assert len(found.cases) == 2 and [key for _, key in said(found)] == ["too_much_at_once"]


def test_a_study_too_large_with_all_its_sequences_is_flair_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MOST_VALUES", 5 * STACK.size - 1)
    lay(tmp_path, {"x_flair.nii": SCAN, "x_t1.nii": SCAN, "x_t1ce.nii": SCAN})
    found = read(tmp_path)
    assert said(found) == [("x_t1", "too_much_at_once"), ("x_t1ce", "too_much_at_once")]
    assert len(found.cases) == 1 and found.cases[0].scan.grey


def test_slices_of_all_cases_are_counted(tmp_path: Path) -> None:
    lay(tmp_path, {"ann.nii": SCAN, "bob.nii": SCAN, "cleo.nii": SCAN})
    found = read(tmp_path, most_slices=20)
    assert list(rows_of(found)) == ["ann", "bob"] and said(found) == [("cleo.nii", "too_many_slices")]


def test_too_many_slices_of_one_series(tmp_path: Path) -> None:
    for n in (1, 2):
        tifffile.imwrite(
            tmp_path / f"s_{n}.tif", np.zeros((MOST_SLICES // 2 + 1, 16, 16), np.uint8), photometric="minisblack"
        )
    found = read(tmp_path)
    assert not found.cases and said(found) == [("s_1.tif", "too_many_slices")]


def test_the_rest_of_a_series_is_read_when_one_slice_is_broken(tmp_path: Path) -> None:
    lay(tmp_path, {f"s_{n}.png": SCAN for n in (1, 2, 3)})
    path = tmp_path / "s_2.png"
    path.write_bytes(path.read_bytes()[:200])
    found = read(tmp_path)
    assert [[name for name, _ in c.scan.files] for c in found.cases] == [["s_1.png", "s_3.png"]]
    assert said(found) == [("s_2.png", "damaged")]


def test_outputs_are_named_below_the_folder_that_was_given(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"p1/s_1.png": SCAN, "p1/flair.nii.gz": SCAN})
    assert sorted(rows_of(read(tmp_path / "in"))) == ["p1/flair", "p1/s_1.png"]
    assert sorted(rows_of(read(sorted((tmp_path / "in" / "p1").iterdir())))) == ["flair", "s_1.png"]


def test_other_grids_are_resampled_onto_flair(tmp_path: Path) -> None:
    flair = nifti(tmp_path / "x_flair.nii", *turned("LPS"))
    fine = np.kron(STACK, np.ones((5, 1, 1), dtype=np.float32))
    values, affine = turned("SAL", fine, (1.0, 3.6, 3.6))
    post = nifti(tmp_path / "x_t1ce.nii", values, affine)
    case = only([flair, post])
    assert np.abs(case.scan.pixels[1:-1, ..., 2] - STACK[1:-1]).mean() < 8 and case.chosen["post"] == "x_t1ce"
    np.testing.assert_array_equal(case.scan.pixels[..., 0], STACK)
    affine[:3, 3] += 5000
    case = only([flair, nifti(post, values, affine)])
    assert warned(case) == ["sequence_apart"] and case.scan.grey


def test_pictures_are_no_studies(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "many.tif", HEAD.flair, photometric="minisblack")
    (case,) = read(tmp_path).cases
    assert type(case) is Case and not isinstance(case, Study) and case.slices == (12,)


def test_no_identity_on_the_console(tmp_path: Path) -> None:
    """What libraries say of odd tags would quote them; a process of its own has no pytest between it and the console."""
    odd = {"SpecificCharacterSet": PLANTED, "PatientName": PLANTED, "StudyDate": PLANTED, "EchoTime": "1"}
    for path in series(tmp_path / "s", STACK[:3], **odd):
        raw = path.read_bytes()
        uid = str(pydicom.dcmread(path).FrameOfReferenceUID).encode()
        path.write_bytes(raw.replace(uid, (PLANTED.encode() * 9)[: len(uid)]))
    code = (
        "import logging, sys, pathlib; logging.basicConfig(level=0);"
        "from lgg_demo.reading.studies import Request, read_all;"
        "found = read_all(Request((pathlib.Path(sys.argv[1]),))); print(found.cases[0].scan.name, found.errors)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True)
    assert run.returncode == 0 and "series-3" in run.stdout, run.stderr
    assert "ZZTOP" not in run.stdout + run.stderr

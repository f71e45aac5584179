"""Two visits through `predict`: synthetic heads whose growth is known, in whatever way their files come."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from helpers import series
from scipy import ndimage
from test_registration import true_between_visits

from lgg_demo import predict
from lgg_demo.case import Scan
from lgg_demo.page.patients import FACTS, HERE, files_of
from lgg_demo.reading.manifest import read_manifest
from lgg_demo.reading.studies import Request

FIRST, SECOND = (HERE / "growing" / f"sub-synthetic1_ses-{n}_FLAIR.nii.gz" for n in (1, 2))
TRUE_ML = [visit["volume_ml"] for visit in json.loads(FACTS.read_text(encoding="utf-8"))["growing"]]
OTHER = HERE / "two_lesions" / "sub-synthetic2_ses-1_FLAIR.nii.gz"
MEASURED = {"repeatability": {"relative": 0.03, "absolute_ml": 0.2}}


class Told:
    """Stands for a `Segmenter` that outlines what it is told: of each scan by its name a stack of bool."""

    record: dict[str, Any] = {"name": "told", "sha256": "0" * 64} | MEASURED

    def __init__(self, masks: dict[str, np.ndarray]) -> None:
        self.masks = masks

    def segment(self, scan: Scan) -> np.ndarray:
        assert scan.grid is not None
        return scan.grid.to_stack(self.masks[scan.name].astype(np.uint8) * 255)


def mask_of(flair: Path) -> np.ndarray:
    """The true mask of a visit, on its file's own grid."""
    return np.asarray(nib.load(str(flair).replace("FLAIR", "label-lesion_mask")).dataobj) > 0


def manifest(folder: Path, *rows: tuple[str, str, str, str, Path]) -> Request:
    """A request for visits: subject, visit, date, role and file of each."""
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject", "visit", "date", "role", "path"), *rows])
    return Request(tuple(read_manifest(folder / "cases.csv")))


def compared(request: Request, masks: dict[str, np.ndarray], out: Path) -> tuple[dict[str, Any], list[str]]:
    """The one patient's `follow_up`, and the keys of what could not be used."""
    problems, _ = predict.predict(request, out, Told(masks), 0.5)  # type: ignore[arg-type]
    (one,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["follow_up"]
    return one, [getattr(p, "sentence", p).key for p in problems]


def test_the_released_network_sees_how_much_the_synthetic_patient_has_grown(tmp_path: Path) -> None:
    """By BIDS's names alone, which say no time."""
    for file in files_of("growing"):
        if "mask" not in file.name:
            shutil.copy(file, tmp_path)
    assert predict.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    (one,) = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["follow_up"]
    assert one["patient"] == "sub-synthetic1" and [v["visit"] for v in one["visits"]] == ["1", "2"]
    assert [v["months"] for v in one["visits"]] == [None, None]
    (change,) = one["changes"]
    assert change["volume_ml"] == pytest.approx(TRUE_ML[1] - TRUE_ML[0], rel=0.05)
    assert (change["rano_2_0"]["by_volume"], change["rano_2_0"]["new_lesion"]) == ("stable_disease", False)
    assert change["velocity_mm_per_year"] is None
    assert [lesion["status"] for lesion in one["lesions"]] == ["present"]


def test_swapped_visits_another_orientation_and_spacing_and_one_without_flair(tmp_path: Path) -> None:
    image = nib.load(SECOND)
    fine = ndimage.zoom(np.asarray(image.dataobj), (2, 2, 1), order=1, grid_mode=True, mode="nearest")
    affine = image.affine @ np.diag([0.5, 0.5, 1, 1])
    affine[:3, 3] -= 0.25
    turned = nib.Nifti1Image(fine, affine).as_reoriented(nib.orientations.axcodes2ornt("PIL"))
    nib.save(turned, tmp_path / "later.nii.gz")
    mask = nib.Nifti1Image(mask_of(SECOND).repeat(2, 0).repeat(2, 1).astype(np.uint8), affine)
    mask = mask.as_reoriented(nib.orientations.axcodes2ornt("PIL"))
    pre = Path(str(FIRST).replace("FLAIR", "T1w"))
    request = manifest(
        tmp_path,
        ("ann", "control", "2002-05-03", "flair", tmp_path / "later.nii.gz"),
        ("ann", "baseline", "2001-08-03", "flair", FIRST),
        ("ann", "third", "2003-01-01", "pre", pre),
    )
    masks = {"later": np.asarray(mask.dataobj) > 0, FIRST.name.removesuffix(".nii.gz"): mask_of(FIRST)}
    one, problems = compared(request, masks, tmp_path / "out")
    assert problems == ["flair_missing"]
    assert [v["visit"] for v in one["visits"]] == ["baseline", "control"], "dates decide"
    assert [v["volume_ml"] for v in one["visits"]] == pytest.approx(TRUE_ML, abs=0.01)
    (change,) = one["changes"]
    assert change["volume_percent"] == pytest.approx((TRUE_ML[1] / TRUE_ML[0] - 1) * 100, abs=0.1)
    assert change["velocity_mm_per_year"] == pytest.approx(
        (np.cbrt(2000 * TRUE_ML[1]) - np.cbrt(2000 * TRUE_ML[0])) / (273 / 365.25), abs=0.02
    )
    assert [n["status"] for n in one["lesions"]] == ["present"], "they are registered though the head has moved"
    assert len(one["warnings"]) == 1
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert "2001" not in text and "2002" not in text


def ball(flair: Path, centre: np.ndarray, radius: float) -> np.ndarray:
    """A ball of so many mm around a place in mm, on a file's own grid."""
    image = nib.load(flair)
    places = np.indices(image.shape).reshape(3, -1).T @ image.affine[:3, :3].T + image.affine[:3, 3]
    return np.asarray((np.linalg.norm(places - centre, axis=1) < radius).reshape(image.shape))


def test_of_three_lesions_one_is_new_though_the_head_has_moved(tmp_path: Path) -> None:
    to = true_between_visits()
    kept, new = np.array([-40.0, -40.0, 30.0]), np.array([-35.0, 30.0, 40.0])
    there = [(to @ [*place, 1])[:3] for place in (kept, new)]
    masks = {
        FIRST.name.removesuffix(".nii.gz"): mask_of(FIRST) | ball(FIRST, kept, 9),
        SECOND.name.removesuffix(".nii.gz"): mask_of(SECOND) | ball(SECOND, there[0], 10) | ball(SECOND, there[1], 9),
    }
    request = manifest(tmp_path, ("ann", "1", "", "flair", FIRST), ("ann", "2", "", "flair", SECOND))
    one, problems = compared(request, masks, tmp_path / "out")
    assert problems == [] and [n["status"] for n in one["lesions"]] == ["present", "present", "new"]
    assert [[len(v["parts"]) for v in n["visits"]] for n in one["lesions"]] == [[1, 1], [1, 1], [0, 1]]
    rano = one["changes"][0]["rano_2_0"]
    assert (rano["by_volume"], rano["by_area"], rano["new_lesion"]) == ("progressive_disease",) * 2 + (True,)


def test_two_patients_given_as_visits_of_one_are_warned_of(tmp_path: Path) -> None:
    rows = [("ann", "1", "2001-01-01", "flair", FIRST), ("ann", "2", "2002-01-01", "flair", OTHER)]
    masks = {file.name.removesuffix(".nii.gz"): mask_of(file) for file in (FIRST, OTHER)}
    one, _ = compared(manifest(tmp_path, *rows), masks, tmp_path / "out")
    assert len(one["warnings"]) == 1 and "2" in one["warnings"][0]
    assert one["lesions"] == [] and one["changes"][0]["rano_2_0"]["new_lesion"] is None


def numbers_of(content: pydicom.Dataset, code: str) -> set[float]:
    """The values that the items of an SR have under a code."""
    found = set()
    for item in content.get("ContentSequence", []):
        if item.ConceptNameCodeSequence[0].CodeValue == code:
            found.add(float(item.MeasuredValueSequence[0].NumericValue))
        found |= numbers_of(item, code)
    return found


@pytest.mark.parametrize("dates", [False, True])
def test_dicom_studies_of_one_patient_are_compared_and_nobody_is_named(
    tmp_path: Path, dates: bool, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, date in (("late", "20020601"), ("early", "20010503")):
        series(tmp_path / "disc" / name, PatientID="ZZ-7-PLANTED", PatientName="ZZTOP^PLANTED", StudyDate=date)
    out = tmp_path / "out"
    flags = ["--checkpoint", str(run), "--out", str(out), *(["--dates"] if dates else [])]
    assert predict.main([str(tmp_path / "disc"), *flags]) == 0
    (one,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["follow_up"]
    assert one["patient"] == "patient 1" and [v["visit"] for v in one["visits"]] == ["1", "2"]
    assert [v["months"] for v in one["visits"]] == [0, 12.9]
    assert [v.get("date") for v in one["visits"]] == (["2001-05-03", "2002-06-01"] if dates else [None, None])
    assert one["changes"][0]["volume_ml"] == 0
    visits = [pydicom.dcmread(out / f"{visit['file']}_seg.dcm") for visit in one["visits"]]
    assert len({seg.StudyInstanceUID for seg in visits}) == 2
    assert len({(seg.SegmentSequence[0].TrackingID, seg.SegmentSequence[0].TrackingUID) for seg in visits}) == 1
    measured = [pydicom.dcmread(out / f"{visit['file']}_sr.dcm") for visit in one["visits"]]
    assert [numbers_of(sr, "126073") for sr in measured] == [{1.0}, {2.0}], "TID 1502: order of the time point"
    assert [numbers_of(sr, "128740") for sr in measured] == [set(), {12.9}], "months since the first"
    said = capsys.readouterr()
    for planted in (b"PLANTED", b"ZZ-7", *(() if dates else (b"2001-05-03", b"20010503"))):
        assert not any(planted in file.read_bytes() for file in out.rglob("*") if file.is_file())
        assert planted.decode() not in said.out + said.err


def test_one_visit_has_no_follow_up(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any) -> Any:
        raise AssertionError("nothing is registered")

    registering: Callable[..., Any] = nobody
    monkeypatch.setattr("lgg_demo.output.timeline.register", registering)
    series(tmp_path / "in", PatientID="ZZ-7", StudyDate="20010503")
    assert predict.main([str(tmp_path / "in"), "--checkpoint", str(run), "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["follow_up"] == []

"""Whole studies from end to end: the files that clinics have, through `predict`, the API and the page."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import needs_browser
from dicom_files import NAMES, PLANTED, segmentation, series
from drawn_heads import draw_head
from driver import download, give, page, served, shipped, shown, speak, uploads_left, url, wait_for_result
from gradio_client import Client, handle_file
from nifti_files import nifti, turned

from lgg_demo import predict
from lgg_demo.reading.earlier import REPORT

__all__ = ["page", "served", "shipped", "url"]  # fixtures

HEAD = draw_head(10, size=176, lesion="frontal")
_Z, _Y, _X = np.linspace(-0.5, 0.5, 10)[:, None, None], *np.mgrid[:176, :176] / 88 - 1
BRAIN = np.sqrt((_X / 0.72) ** 2 + (_Y / 0.88) ** 2 + (_Z / 0.95) ** 2) < 0.88
SIDE = (4.0, 1.25, 1.25)  # mm: 176 pixels are a field of 220


def as_nifti(folder: Path, codes: str = "RAS") -> tuple[Path, Path]:
    """A phantom and its lesion as NIfTI files of an orientation."""
    flair, affine = turned(codes, HEAD.flair.astype(np.int16), SIDE)
    mask, _ = turned(codes, HEAD.mask.astype(np.uint8), SIDE)
    return nifti(folder / "sub_flair.nii.gz", flair, affine), nifti(folder / "drawn_seg.nii.gz", mask, affine)


def planted(folder: Path) -> list[Path]:
    """A DICOM series of the phantom with a name in every tag that may hold one."""
    paths = series(folder, HEAD.flair.astype(np.uint16), SIDE)
    study = pydicom.uid.generate_uid()
    for path in paths:
        ds = pydicom.dcmread(path)
        for tag in NAMES:
            setattr(ds, tag, PLANTED)
        ds.PatientBirthDate, ds.StudyInstanceUID = "19010203", study
        ds.save_as(path)
    return paths


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "AIR"])
def test_nifti_through_predict(codes: str, tmp_path: Path) -> None:
    scan, truth = as_nifti(tmp_path, codes)
    out = tmp_path / "out"
    assert predict.main([str(scan), "--reference", str(truth), "--out", str(out)]) == 0
    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    own = report["images"][0]
    assert own["dice"] > 0.8
    assert own["spacing_mm"] == pytest.approx(SIDE)
    source, mask = nib.load(scan), nib.load(out / own["mask"])
    assert mask.shape == source.shape
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-5)
    voxels = np.asarray(mask.dataobj) > 0
    assert int(voxels.sum()) == own["predicted_pixels"]
    drawn = np.asarray(nib.load(truth).dataobj) > 0
    assert 2 * (voxels & drawn).sum() / (voxels.sum() + drawn.sum()) == pytest.approx(own["dice"])
    assert own["volume_ml"] == pytest.approx(voxels.sum() * np.prod(SIDE) / 1000, abs=1e-3)
    p = nib.load(out / own["probability"]).get_fdata()
    assert np.array_equal(p * 255 + 1e-6 >= 128, voxels)
    assert {f.name for f in out.iterdir()} >= {"report.pdf", "report.csv"}


def test_a_skull_stripped_study_in_a_zip(tmp_path: Path) -> None:
    """BraTS style: the brain alone, four sequences and the labels, packed together."""
    packed = tmp_path / "subject.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, share in (("flair", 1.0), ("t1", 0.6), ("t1ce", 0.7), ("t2", 0.5), ("seg", None)):
            values = HEAD.mask * 2 if share is None else HEAD.flair * BRAIN * share
            turned_values, affine = turned("LPS", values.astype(np.int16), SIDE)
            archive.write(nifti(tmp_path / f"BraTS_001_{name}.nii.gz", turned_values, affine), f"a/BraTS_001_{name}.nii.gz")
    out = tmp_path / "out"
    assert predict.main([str(packed), "--out", str(out)]) == 0
    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    assert [i["file"] for i in report["images"]] == ["BraTS_001_flair"]
    assert report["total"]["dice"] > 0.8


def test_a_z_scored_brain_on_zeros_is_segmented_like_the_plain_one(tmp_path: Path) -> None:
    plain = HEAD.flair * BRAIN
    inside = plain[BRAIN]
    scored = np.where(BRAIN, (plain - inside.mean()) / inside.std(), 0).astype(np.float32)
    found = {}
    for name, values in (("plain", plain.astype(np.float32)), ("scored", scored)):
        turned_values, affine = turned("LPS", values, SIDE)
        file = nifti(tmp_path / f"{name}_flair.nii.gz", turned_values, affine)
        assert predict.main([str(file), "--out", str(tmp_path / name)]) == 0
        found[name] = np.asarray(nib.load(tmp_path / name / f"{name}_flair_mask.nii.gz").dataobj) > 0
    both = found["plain"] & found["scored"]
    assert both.sum() > 100
    assert 2 * both.sum() / (found["plain"].sum() + found["scored"].sum()) > 0.9


def test_dicom_through_predict_names_nobody(tmp_path: Path) -> None:
    """In as a series whose every tag names somebody, out as NIfTI, DICOM SEG, PDF, CSV, JSON: none of them does."""
    planted(tmp_path / "study")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lgg_demo.predict", str(tmp_path / "study"), "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout + ran.stderr + "".join(f.name for f in out.rglob("*"))
    told += "".join(f.read_bytes().decode("latin-1") for f in out.rglob("*") if f.is_file())
    assert not [w for w in ("ZZTOP", "PLANTED", "19010203") if w in told.upper()]
    own = json.loads((out / REPORT).read_text(encoding="utf-8"))["images"][0]
    seg = pydicom.dcmread(out / own["segmentation"])
    source = pydicom.dcmread(next((tmp_path / "study").iterdir()))
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (source.StudyInstanceUID, source.FrameOfReferenceUID)
    assert int(seg.pixel_array.sum()) == own["predicted_pixels"]


def test_a_file_called_after_its_patient_is_not_named_in_the_report(tmp_path: Path) -> None:
    """DICOM files are often called after the patient: the console names a broken one, what is kept does not."""
    paths = series(tmp_path / "study", HEAD.flair.astype(np.uint16), SIDE)
    (tmp_path / "study" / "README").write_text("no image, and no reason to fail")
    out = tmp_path / "out"
    assert predict.main([str(tmp_path / "study"), "--out", str(out)]) == 0
    (tmp_path / "study" / "DOE_JANE_CT.dcm").write_bytes(paths[0].read_bytes().replace(b"CS\x02\0MR", b"CS\x02\0CT"))
    assert predict.main([str(tmp_path / "study"), "--out", str(out)]) in (0, 2)
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "DOE_JANE_CT.dcm").write_bytes((tmp_path / "study" / "DOE_JANE_CT.dcm").read_bytes())
    assert predict.main([str(tmp_path / "lone"), "--out", str(out)]) == 2
    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    assert [u["file"] for u in report["unreadable"]] == ["DICOM"]
    assert "DOE" not in (out / REPORT).read_text(encoding="utf-8") + (out / "report.csv").read_text(encoding="utf-8")


def test_api_takes_a_zip_of_dicom_and_its_segmentation(url: str, tmp_path: Path) -> None:
    paths = planted(tmp_path / "study")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in paths:
            archive.write(path, f"DICOM/{path.name}")
    truth = segmentation(tmp_path, paths, HEAD.mask)
    client = Client(url, verbose=False, download_files=str(tmp_path / "got"))
    # At 0.8 what a network makes of a drawing's empty corners is gone: a few such pixels would be the distance.
    report, files = client.predict([handle_file(packed)], [handle_file(truth)], 0.8, api_name="/segment")
    own = report["images"][0]
    assert own["dice"] > 0.8 and own["hd95_mm"] < 10 and report["unreadable"] == []
    names = {Path(f).name for f in files}
    assert names == {own["mask"], own["probability"], own["segmentation"], "report.csv", "report.pdf"}
    assert not [w for f in files for w in (b"ZZTOP", b"19010203") if w in Path(f).read_bytes()]
    assert not {p.name for p in uploads_left()} & {packed.name, truth.name}


@needs_browser
@pytest.mark.browser
def test_a_nifti_on_the_page(page: Any, tmp_path: Path) -> None:
    scan, truth = as_nifti(tmp_path)
    give(page, "scan", [scan])
    wait_for_result(page)
    give(page, "reference", [truth])
    page.wait_for_selector('#viewer [data-figure="dice"][data-of="all"]')
    archive = download(page)
    own = json.loads(archive.read(REPORT))["images"][0]
    assert shown(page, "dice", "all") == own["dice"]
    assert shown(page, "volume", "all") == pytest.approx(own["volume_ml"], abs=1e-3)
    assert {"sub_flair_pred.nii.gz", "sub_flair_pred_probability.nii.gz", "report.pdf", "report.csv"} <= set(
        archive.namelist()
    )
    assert page.errors == []


@needs_browser
@pytest.mark.browser
def test_the_sequence_is_shown_for_correction(page: Any, tmp_path: Path) -> None:
    """A study of two series: the FLAIR one is found by its description, and another can be chosen without the files."""
    study = pydicom.uid.generate_uid()
    frame = pydicom.uid.generate_uid()
    tags = {"StudyInstanceUID": study, "FrameOfReferenceUID": frame}
    dark = (HEAD.flair // 3 + 5).astype(np.uint16)
    dark[HEAD.mask] = 20
    files = series(tmp_path / "t1", dark, SIDE, SeriesDescription="AX T1", SeriesNumber=2, **tags)
    files += series(tmp_path / "fl", HEAD.flair.astype(np.uint16), SIDE, SeriesNumber=5, **tags)
    packed = tmp_path / "both.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for n, path in enumerate(files):
            archive.write(path, f"IM{n}")
    give(page, "scan", [packed])
    wait_for_result(page)
    roles = page.locator("#viewer .lgg-studies select")
    chosen = dict(roles.evaluate_all("all => all.map((s) => [s.dataset.series, s.value])"))
    assert chosen == {"series-5": "flair", "series-2": "pre"}
    before = shown(page, "predicted", "all")
    page.select_option("#viewer .lgg-studies [data-series=series-2]", "flair")
    page.wait_for_function(
        "n => Number(document.querySelector('#viewer [data-figure=predicted][data-of=all]').dataset.exact) !== n",
        arg=before,
    )
    names = zipfile.ZipFile.namelist(download(page))
    assert any(n.startswith("series-2_pred") for n in names)
    speak(page, "fr")
    assert "Ignorer" in page.inner_text("#viewer .lgg-studies [data-series=series-2]")
    assert page.errors == []


@needs_browser
@pytest.mark.browser
def test_a_study_is_shown_before_it_is_outlined(page: Any, tmp_path: Path) -> None:
    head = draw_head(20, size=128)
    flair, affine = turned("LPS", head.flair.astype(np.int16), (4.0, 1.7, 1.7))
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => {
        const body = document.querySelector('#viewer .lgg-panels');
        const panel = document.querySelector('[data-panel=prediction]');
        if (!body.hidden) window.seen.push(panel.hidden ? 'image' : 'prediction'); })
        .observe(document.querySelector('#viewer'), {subtree: true, attributes: true, childList: true}); }"""
    )
    give(page, "scan", [nifti(tmp_path / "head.nii", flair, affine)])
    page.wait_for_selector('#viewer [data-panel="prediction"]', state="visible", timeout=60_000)
    seen = page.evaluate("window.seen")
    assert seen[0] == "image" and seen[-1] == "prediction"
    assert shown(page, "predicted", "all") > 0
    assert page.errors == []

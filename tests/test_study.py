"""Uploads of every kind to cases: zips, sequences that belong together, references, and checks before use."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage
from test_volumes import (
    HEAD,
    PLANTED,
    SPACING,
    STACK,
    change,
    enhanced,
    nifti,
    segmentation,
    series,
    turned,
)

from lgg_demo import report, sequences
from lgg_demo.case import Case, Scan, Study
from lgg_demo.exports import write_segmentation
from lgg_demo.grid import Grid
from lgg_demo.messages import CATALOGUE
from lgg_demo.phantom import draw_head
from lgg_demo.reading import checks
from lgg_demo.reading.archive import find_volumes, says_mask
from lgg_demo.reading.checks import inspect
from lgg_demo.reading.references import attach
from lgg_demo.reading.studies import outline_studies, read_study
from lgg_demo.report import REMOVED, Result, build_report, result_of, warnings_of, write_outputs
from lgg_demo.transforms import frame_of, to_model

PIECES = {"flair": 1.0, "t1": 0.6, "t1ce": 0.8}


def only(paths: list[Path], choose: dict[str, str] | None = None) -> Study:
    cases, problems = read_study(paths, choose)
    assert [str(p) for p in problems] == []
    (case,) = cases
    assert isinstance(case, Study)
    assert np.shape(case.paths) == (1,) and case.slices == (len(case.scan),)
    return case


def keys(paths: list[Path]) -> list[str]:
    """The sentences of an upload of which nothing can be used."""
    cases, problems = read_study(paths)
    assert cases == []
    return [p.sentence.key for p in problems]


def warned(case: Study) -> list[str]:
    return [w.key for w in (*case.warnings, *case.reference_warnings)]


def brats(folder: Path, subject: str = "sub-01", codes: str = "LPS") -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for word, gain in PIECES.items():
        values, affine = turned(codes, (STACK * gain).astype(np.float32))
        paths.append(nifti(folder / f"{subject}_{word}.nii.gz", values, affine))
    values, affine = turned(codes, HEAD.mask.astype(np.float32) * 4)
    return [*paths, nifti(folder / f"{subject}_seg.nii.gz", values, affine)]


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


# Volumes to studies


def test_flair_alone_is_a_study(tmp_path: Path) -> None:
    values, affine = turned("PIR")
    case = only([nifti(tmp_path / "head.nii.gz", values, affine)])
    assert case.scan.pixels.shape == (12, 64, 64, 3) and case.scan.pixels.dtype == np.float32
    for channel in range(3):
        np.testing.assert_array_equal(case.scan.pixels[..., channel], STACK)
    assert case.scan.grey and case.scan.name == "head" and case.scan.files == (("head", 12),)
    assert case.scan.spacing_mm == pytest.approx(SPACING) and warnings_of(case) == () and warned(case) == []
    assert inspect(case.scan) == ()


@pytest.mark.parametrize("codes", ["LPS", "RAS", "ASL"])
def test_sequences_of_one_study(tmp_path: Path, codes: str) -> None:
    case = only(brats(tmp_path, codes=codes))
    for channel, gain in enumerate((0.6, 1.0, 0.8)):
        np.testing.assert_allclose(case.scan.pixels[..., channel], STACK * gain, rtol=1e-6)
    assert case.reference is not None and case.referenced is not None and case.referenced.all()
    np.testing.assert_array_equal(case.reference, HEAD.mask)
    assert not case.scan.grey and warned(case) == []
    assert case.chosen == {"flair": "sub-01_flair", "pre": "sub-01_t1", "post": "sub-01_t1ce", "mask": "sub-01_seg"}
    assert {(s.name, s.role, s.slices) for s in case.sequences} >= {("sub-01_flair", "flair", 12)}


def test_several_subjects_and_one_name_in_several_folders(tmp_path: Path) -> None:
    two = brats(tmp_path / "a", "one") + brats(tmp_path / "b", "two")
    cases, problems = read_study(two)
    assert not problems and [c.scan.name for c in cases] == ["one_flair", "two_flair"]
    same = brats(tmp_path / "c", "") + brats(tmp_path / "d", "")
    cases, problems = read_study(same)
    assert not problems and len(cases) == 2 and all(c.reference is not None for c in cases)


@pytest.mark.parametrize("inner", ["", "anat/"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_for_each_patient_whatever_the_files_are_called(tmp_path: Path, inner: str, packed: bool) -> None:
    """Neither `image` nor `mask` tells a patient, nor one sequence from another: only the folders do."""
    written = []
    for patient, rows in (("p1", slice(0, 20)), ("p2", slice(20, 64))):
        (tmp_path / patient / "masks").mkdir(parents=True)
        (tmp_path / patient / inner).mkdir(exist_ok=True)
        mask = np.zeros_like(HEAD.mask, dtype=np.float32)
        mask[:, rows] = 1
        written.append(nifti(tmp_path / patient / inner / "image.nii.gz", *turned("LPS")))
        written.append(nifti(tmp_path / patient / "masks" / "mask.nii.gz", *turned("LPS", mask)))
    if packed:
        inside = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in written}
        written = [zipped(tmp_path / "all.zip", inside)]
    cases, problems = read_study(written)
    assert not problems and [c.scan.name for c in cases] == ["image", "image (2)"]
    assert [c.scan.files for c in cases] == [(("image", 12),), (("image (2)", 12),)]
    first, second = (c.reference for c in cases)
    assert first is not None and second is not None
    assert first[:, :20].all() and not first[:, 20:].any() and second[:, 20:].all() and not second[:, :20].any()


def test_masks_in_a_folder_for_masks_have_the_names_of_their_images(tmp_path: Path) -> None:
    for folder, values in (("imagesTr", STACK), ("labelsTr", HEAD.mask.astype(np.float32))):
        (tmp_path / folder).mkdir()
        for name in ("glioma_001", "glioma_002_flair"):
            nifti(tmp_path / folder / f"{name}.nii.gz", *turned("LPS", values))
    cases, problems = read_study([tmp_path])
    assert not problems and [c.scan.name for c in cases] == ["glioma_001", "glioma_002_flair"]
    for case in cases:
        np.testing.assert_array_equal(case.reference, HEAD.mask)


@pytest.mark.parametrize(
    ("dataset", "chosen", "warning"),
    [
        ({"channel_names": {"0": "T1", "1": "T1-Gd", "2": "T2", "3": "T2-FLAIR"}}, {"flair": 3, "pre": 0, "post": 1}, []),
        ({"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}}, {"flair": 0, "pre": 1, "post": 2}, []),
        (None, {"flair": 0}, ["no_flair"]),
    ],
)
@pytest.mark.parametrize("way", ["folder", "zip", "later"])
def test_cases_of_nnunet(
    tmp_path: Path, way: str, dataset: dict[str, object] | None, chosen: dict[str, int], warning: list[str]
) -> None:
    cases_of = {"glioma_01": 10, "glioma_01_2": 20}
    folder = lay(tmp_path / "Dataset1", {f"imagesTr/{case}_{n:04d}.nii.gz": SCAN for case in cases_of for n in range(4)})
    masks = lay(folder if way != "later" else tmp_path, {f"labelsTr/{case}.nii.gz": n for case, n in cases_of.items()})
    if dataset is not None:
        (folder / "dataset.json").write_text(json.dumps(dataset))
    files = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    cases, problems = read_study([zipped(tmp_path / "x.zip", files) if way == "zip" else folder])
    if way == "later":
        cases, problems = attach(cases, [masks / "labelsTr"])
    assert not problems and len(cases) == 2
    for case, (name, rows) in zip(cases, cases_of.items(), strict=True):
        assert isinstance(case, Study) and warned(case) == warning
        assert {r: n for r, n in case.chosen.items() if r != "mask"} == {r: f"{name}_{n:04d}" for r, n in chosen.items()}
        assert case.reference is not None and int(case.reference.any(axis=(0, 2)).sum()) == rows


def test_a_single_channel_of_nnunet_is_flair_and_numbers_elsewhere_are_none(tmp_path: Path) -> None:
    for folder, kept in (("imagesTr", 2), ("scans", 2)):
        lay(tmp_path, {f"{folder}/{name}_0000.nii": SCAN for name in ("ann", "bob")})
        cases, problems = read_study([tmp_path / folder])
        assert not problems and len(cases) == kept and not any(warned(c) for c in cases if isinstance(c, Study))
    cases, _ = read_study([lay(tmp_path / "years", {f"scans/ann_{year}.nii": SCAN for year in (2019, 2020)})])
    assert len(cases) == 2
    (tmp_path / "years" / "dataset.json").write_text("[" * 100_000)
    assert len(read_study([tmp_path / "years"])[0]) == 2


def test_the_mask_of_what_cannot_be_read_is_nobody_elses(tmp_path: Path) -> None:
    ann = nifti(tmp_path / "ann.nii.gz", *turned("LPS"))
    mask = nifti(tmp_path / "bob_mask.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)))
    bob = tmp_path / "bob.nii.gz"
    bob.write_bytes(ann.read_bytes()[: ann.stat().st_size // 2])  # the header is whole
    (case,), problems = read_study([ann, bob, mask])
    assert case.scan.name == "ann" and case.reference is None and [p.file for p in problems] == ["bob.nii.gz"]
    bob.write_bytes(b"not a volume")
    (case,), problems = read_study([ann, bob, mask])
    assert case.scan.name == "ann" and case.reference is None
    assert [(p.file, p.sentence.key) for p in problems] == [
        ("bob.nii.gz", "not_a_nifti"),
        ("bob_mask.nii.gz", "mask_unmatched"),
    ]
    (case,), problems = read_study([ann, mask])
    assert not problems and case.reference is not None, "the only one beside the only volume"
    bob.rename(tmp_path / "ann_t1.nii.gz")
    (case,), problems = read_study([ann, tmp_path / "ann_t1.nii.gz", mask.rename(tmp_path / "ann_seg.nii.gz")])
    assert [p.file for p in problems] == ["ann_t1.nii.gz"] and case.reference is not None, (
        "a sequence less is no patient less"
    )
    own = nifti(tmp_path / "ann_mask.nii.gz", *turned("LPS", np.zeros_like(HEAD.mask, dtype=np.float32)))
    other = nifti(tmp_path / "carl_mask.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)[:, ::2], (5.0, 1.8, 0.9)))
    (case,), problems = read_study([ann, own, other])
    assert [p.file for p in problems] == ["carl_mask.nii.gz"] and not case.reference.any()


BROKEN, SCAN = "broken", "scan"  # of the table below; a number: a mask of the rows up to it


PAIR = ("FLAIR.nii", "FLAIR_mask.nii")


def lay(folder: Path, files: dict[str, str | int]) -> Path:
    for name, what in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if what == BROKEN:
            (folder / name).write_bytes(b"not a volume")
            continue
        values = STACK
        if isinstance(what, int):
            values = np.zeros_like(STACK)
            values[:, :what] = 1
        nifti(folder / name, *turned("LPS", values))
    return folder


@pytest.mark.parametrize(
    ("files", "expected", "problems"),
    [
        (  # the mask of somebody whose scan is broken, or not there, is not another's
            {"p1/flair.nii": BROKEN, "p1/seg.nii": 10, "p2/flair.nii": SCAN},
            {"flair": None},
            ["flair.nii", "seg.nii"],
        ),
        (
            {"p1/flair.nii": BROKEN, "p1/seg.nii": 10, "p2/flair.nii": SCAN, "p2/seg.nii": 20},
            {"flair": 20},
            ["flair.nii", "seg.nii"],
        ),
        ({"p1/seg.nii": 10, "p2/flair.nii": SCAN, "p2/seg.nii": 20}, {"flair": 20}, ["seg.nii"]),
        ({"ann.nii": SCAN, "ann_mask.nii": 20, "carl_mask.nii": 10}, {"ann": 20}, ["carl_mask.nii"]),
        ({"ann.nii": SCAN, "bob.nii": BROKEN, "bob_mask.nii": 10}, {"ann": None}, ["bob.nii", "bob_mask.nii"]),
        # a sequence less is no patient less
        ({"ann_flair.nii": SCAN, "ann_t1.nii": BROKEN, "lesion_mask.nii": 10}, {"ann_flair": 10}, ["ann_t1.nii"]),
        ({"p/flair.nii": SCAN, "p/t1.nii": BROKEN, "p/seg.nii": 10}, {"flair": 10}, ["t1.nii"]),
        # a patient with a lesion is no mask
        ({"control/flair.nii": SCAN, "tumor/flair.nii": SCAN}, {"flair": None, "flair (2)": None}, []),
        ({"sub-01/flair.nii": SCAN, "sub-02_lesion/flair.nii": SCAN}, {"flair": None, "flair (2)": None}, []),
        # several masks of the only scan are one reference
        ({"head.nii": SCAN, "core_mask.nii": 10, "oedema_mask.nii": 20}, {"head": 20}, []),
        # called after its scan, with a word more
        ({"ann_flair.nii": SCAN, "ann_seg.nii": 10, "ann_oedema_mask.nii": 20}, {"ann_flair": 20}, []),
        # in a folder for masks, whatever the file and its ending are called, beside what is in none
        ({"scans/ann.nii.gz": SCAN, "labels/ann.nii": 10}, {"ann": 10}, []),
        (
            {"imagesTr/ann_x.nii": SCAN, "imagesTr/bob_x.nii": SCAN, "labelsTr/ann.nii": 10},
            {"ann_x": None, "bob_x": None},
            ["ann.nii"],
        ),
        (
            {"ann_flair.nii": SCAN, "bob_flair.nii": SCAN, "ann_ground_truth.nii": 10, "bob_manual.nii": 20},
            {"ann_flair": 10, "bob_flair": 20},
            [],
        ),
        (
            {f"labelsVal/FLAIR_{n}.nii": 10 * n for n in (1, 2)} | {f"imagesVal/FLAIR_{n}_0000.nii": SCAN for n in (1, 2)},
            {"FLAIR_1_0000": 10, "FLAIR_2_0000": 20},
            [],
        ),
        ({"p1/scan.nii": SCAN, "p1/seg/roi_1.nii": 10}, {"scan": 10}, []),
        ({"my_segmentation_study/ann.nii": SCAN, "controls/bob.nii": SCAN}, {"ann": None, "bob": None}, []),
        ({"masks/ann.nii": SCAN, "masks/bob.nii": SCAN}, {"ann": None, "bob": None}, []),
        # words that a scan may have too make masks only of what others are there for
        ({"ann_manual.nii": SCAN, "bob_manual.nii": SCAN}, {"ann_manual": None, "bob_manual": None}, []),
        ({"ann_wmh.nii": SCAN, "ann_consensus.nii": SCAN}, {"ann_consensus": None, "ann_wmh": None}, []),
        ({"ann_manual.nii": SCAN, "bob_mask.nii": 10}, {}, ["ann_manual.nii", "bob_mask.nii"]),
        (  # a folder for each sequence
            {
                f"{place}/{n}.nii": what
                for n in (1, 2)
                for place, what in (("flair", SCAN), ("T1", SCAN), ("masks", 10 * n))
            },
            {"1_flair": 10, "2_flair": 20},
            [],
        ),
        (  # sequences beside a FLAIR are no patients; of somebody else, they are
            {"s/FLAIR.nii": SCAN, "s/ep2d_bold_moco.nii": SCAN, "s/T1_native_x.nii": SCAN, "bob_T1.nii": SCAN},
            {"FLAIR": None, "ep2d_bold_moco": None, "T1_native_x": None, "bob_T1": None},
            [],
        ),
        ({"s/FLAIR.nii": SCAN, "s/T1.nii": SCAN, "s/T1_native_x.nii": SCAN}, {"FLAIR": None}, []),
        ({"s/FLAIR.nii": SCAN, "s/T1.nii": SCAN, "bob_T1.nii": SCAN}, {"FLAIR": None, "bob_T1": None}, []),
        (
            {
                f"{who}_{name}": what
                for who in ("p1", "p2")
                for name, what in (
                    ("AX_FLAIR_20200102030405_4.nii", SCAN),
                    ("MPRAGE_ISO_20200102030405_5.nii", SCAN),
                    ("DWI_20200102030405_6a.nii", SCAN),
                    ("seg.nii", 10 * int(who[1])),
                )
            }
            | {"p1_AX_FLAIR_20210102030405_4.nii": SCAN},
            {
                "p1_AX_FLAIR_20200102030405_4": None,
                "p2_AX_FLAIR_20200102030405_4": None,
                "p1_AX_FLAIR_20210102030405_4": None,
            },
            ["p1_seg.nii", "p2_seg.nii"],
        ),
        (  # two runs, acquisitions, spaces, series of one visit: each has its own mask, and none where it has none
            {f"sub-1_run-{n}_{name}": 10 * n if "mask" in name else SCAN for n in (1, 2) for name in PAIR},
            {"sub-1_run-1_FLAIR": 10, "sub-1_run-2_FLAIR": 20},
            [],
        ),
        (
            {"sub-1_run-1_FLAIR.nii": SCAN, "sub-1_run-2_FLAIR.nii": SCAN, "sub-1_run-1_FLAIR_mask.nii": 10},
            {"sub-1_run-1_FLAIR": 10, "sub-1_run-2_FLAIR": None},
            [],
        ),
        (
            {"sub-1_acq-a_FLAIR.nii": SCAN, "sub-1_acq-b_FLAIR.nii": SCAN, "sub-1_acq-b_FLAIR_mask.nii": 10},
            {"sub-1_acq-a_FLAIR": None, "sub-1_acq-b_FLAIR": 10},
            [],
        ),
        (
            {"sub-1_FLAIR.nii": SCAN, "sub-1_space-MNI_FLAIR.nii": SCAN, "sub-1_space-MNI_FLAIR_mask.nii": 10},
            {"sub-1_FLAIR": None, "sub-1_space-MNI_FLAIR": 10},
            [],
        ),
        (
            {
                "p1_FLAIR_20200102030405_4.nii": SCAN,
                "p1_FLAIR_20200102030405_9.nii": SCAN,
                "p1_FLAIR_20200102030405_4_mask.nii": 10,
                "p1_T1_20200102030405_5.nii": SCAN,
            },
            {"p1_FLAIR_20200102030405_4": 10, "p1_FLAIR_20200102030405_9": None, "p1_T1_20200102030405_5": None},
            [],
        ),
        ({"IR_flair.nii": SCAN, "SE_flair.nii": SCAN, "SE_mask.nii": 10}, {"IR_flair": None, "SE_flair": 10}, []),
        ({"IR_flair.nii": SCAN, "IR_t1.nii": SCAN, "SE_t1.nii": SCAN}, {"IR_flair": None, "SE_t1": None}, []),
        (  # what a mask is called after stays by itself
            {
                "sub-1_FLAIR.nii": SCAN,
                "sub-1_T1w.nii": SCAN,
                "sub-1_acq-a_T1w.nii": SCAN,
                "sub-1_acq-a_label-x_mask.nii": 10,
            },
            {"sub-1_FLAIR": None, "sub-1_acq-a_T1w": None},
            ["sub-1_acq-a_label-x_mask.nii"],
        ),
        (
            {f"sub-{n}/anat/sub-{n}_{name}.nii": SCAN for n in (1, 2) for name in ("acq-a_T1w", "FLAIR", "task-x_bold")},
            {"sub-1_FLAIR": None, "sub-2_FLAIR": None},
            [],
        ),
        (  # visits
            {"s/sub-01_ses-1_FLAIR.nii": SCAN, "s/sub-01_ses-2_T1w.nii": SCAN, "s/sub-01_ses-2_lesion_mask.nii": 10},
            {"sub-01_ses-1_FLAIR": None, "sub-01_ses-2_T1w": 10},
            [],
        ),
        (  # a derivative of one name for all
            {
                f"{place}/sub-{n}{name}.nii": what
                for n in (1, 2)
                for place, name, what in (
                    (f"sub-{n}/anat", "_FLAIR", SCAN),
                    (f"derivatives/sub-{n}", "_lesion_mask", 10 * n),
                )
            }
            | {f"derivatives/sub-{n}/T1_brain.nii": SCAN for n in (1, 2)},
            {"sub-1_FLAIR": 10, "sub-2_FLAIR": 20, "T1_brain": None, "T1_brain (2)": None},
            [],
        ),
    ],
)
def test_whose_mask_is_whose(
    tmp_path: Path, files: dict[str, str | int], expected: dict[str, int | None], problems: list[str]
) -> None:
    cases, unread = read_study([tmp_path / name for name in files if (lay(tmp_path, files) / name).exists()])
    rows = {c.scan.name: None if c.reference is None else int(c.reference.any(axis=(0, 2)).sum()) for c in cases}
    assert (rows, [p.file for p in unread]) == (expected, problems)
    assert all(c.reference is None or c.reference[:, : rows[c.scan.name]].all() for c in cases)


@pytest.mark.parametrize(
    ("scans", "masks", "expected", "problems"),
    [
        (["ann_flair"], {"ann_seg": 10, "bob_seg": 20}, {"ann_flair": 10}, ["bob_seg.nii"]),
        (["ann_flair"], {"bob_seg": 20, "ann_seg": 10}, {"ann_flair": 10}, ["bob_seg.nii"]),
        (["flair", "ann_flair"], {"seg": 10, "ann_seg": 20}, {"flair": 10, "ann_flair": 20}, []),
        (["flair"], {"seg": 10, "t1_seg": 20}, {"flair": 20}, []),
        (["flair"], {"oedema_seg": 10, "core_seg": 20}, {"flair": 20}, []),
        (["ann_flair"], {"truth": 10}, {"ann_flair": 10}, []),
    ],
)
def test_whose_mask_is_whose_when_it_comes_later(
    tmp_path: Path, scans: list[str], masks: dict[str, int], expected: dict[str, int], problems: list[str]
) -> None:
    cases, _ = read_study([lay(tmp_path / "scans", {f"{name}.nii": SCAN for name in scans})])
    results = [
        replace(result_of(c, np.zeros(c.scan.pixels.shape[:3], np.uint8)), paths=(Path(c.paths[0].name),)) for c in cases
    ]
    lay(tmp_path / "masks", {f"{name}.nii": rows for name, rows in masks.items()})
    results, unread = attach(results, [tmp_path / "masks" / f"{name}.nii" for name in masks])
    rows = {r.files[0][0]: None if r.reference is None else int(r.reference.any(axis=(0, 2)).sum()) for r in results}
    assert (rows, [p.file for p in unread]) == (expected, problems)


def test_masks_beside_their_dicom_series(tmp_path: Path) -> None:
    for patient, rows in (("p1", 10), ("p2", 20)):
        series(tmp_path / patient)
        lay(tmp_path / patient, {"seg.nii": rows})
    cases, problems = read_study([tmp_path])
    assert not problems and [int(c.reference.any(axis=(0, 2)).sum()) for c in cases if c.reference is not None] == [10, 20]
    (tmp_path / "p1" / "IM0003").write_bytes(b"")
    (tmp_path / "p1" / "LEE.dcm").write_bytes(b"")
    (case,), problems = read_study([tmp_path / "p1"])
    assert case.reference is not None and [p.sentence.key for p in problems] == ["empty_file"], "a slice less"


def test_the_mask_of_a_scan_beyond_the_limit_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MOST_FILES", 2)
    lay(tmp_path, {"ann_flair.nii": SCAN, "bob_seg.nii": 10, "bob_flair.nii": SCAN})
    (case,), problems = read_study([tmp_path / f"{name}.nii" for name in ("ann_flair", "bob_seg", "bob_flair")])
    assert case.reference is None
    assert [p.sentence.key for p in problems] == ["too_many_files", "mask_unmatched"]


def test_a_choice_of_one_patients_sequence_leaves_the_others_alone(tmp_path: Path) -> None:
    folder = lay(tmp_path, {f"{p}/{name}.nii": SCAN for p in ("p1", "p2") for name in ("flair", "t1")})
    cases, _ = read_study([folder], {"flair": "t1 (2)", "pre": "", "post": ""})
    assert [(c.scan.name, c.chosen) for c in cases if isinstance(c, Study)] == [
        ("flair", {"flair": "flair", "pre": "t1"}),
        ("t1 (2)", {"flair": "t1 (2)"}),
    ]


def test_subjects_of_bids_are_studies_of_their_own(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    names = ("sub-01_FLAIR", "sub-02_T1w", "sub-03_seg")
    cases, problems = read_study([nifti(tmp_path / f"{n}.nii", values, affine) for n in names])
    assert [c.scan.name for c in cases] == ["sub-01_FLAIR", "sub-02_T1w"]
    assert all(c.reference is None for c in cases)
    assert [p.sentence.key for p in problems] == ["mask_unmatched"]


def test_names_that_share_nothing_are_together_where_each_role_comes_once(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    paths = [nifti(tmp_path / f"{n}.nii", values, affine) for n in ("study_flair", "exam_t1_post")]
    assert only(paths).chosen == {"flair": "study_flair", "post": "exam_t1_post"}
    plain = [nifti(tmp_path / "picture.nii", values, affine), nifti(tmp_path / "seg.nii", (values > 150) * 1.0, affine)]
    case = only(plain)
    assert case.scan.name == "picture" and case.reference is not None
    strangers = [nifti(tmp_path / f"{n}.nii", values, affine) for n in ("ann", "bob")]
    assert len(read_study(strangers)[0]) == 2


def test_sequences_beside_a_flair_may_be_chosen_and_are_not_by_themselves(tmp_path: Path) -> None:
    folder = lay(tmp_path, {f"{name}.nii": SCAN for name in ("ann_flair", "ann_t1_tse", "ann_swi_ax", "bob_flair")})
    cases, _ = read_study([folder])
    assert [c.chosen for c in cases if isinstance(c, Study)] == [{"flair": "ann_flair"}, {"flair": "bob_flair"}]
    cases, _ = read_study([folder], {"flair": "ann_flair", "pre": "ann_t1_tse"})
    assert [c.chosen for c in cases if isinstance(c, Study)] == [
        {"flair": "ann_flair", "pre": "ann_t1_tse"},
        {"flair": "bob_flair"},
    ]


def test_without_flair_the_axial_series_of_most_slices_is_taken(tmp_path: Path) -> None:
    for name, values in (("loc", STACK[:3]), ("swi", STACK)):
        nifti(tmp_path / f"ann_{name}.nii", *turned("LPS", values))
    case = only([tmp_path])
    assert case.scan.name == "ann_swi" and warned(case) == ["no_flair"]


def test_other_grids_are_resampled_onto_flair(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    flair = nifti(tmp_path / "x_flair.nii", values, affine)
    fine = np.kron(STACK, np.ones((5, 1, 1), dtype=np.float32))
    post_values, post_affine = turned("SAL", fine, (1.0, 3.6, 3.6))
    post = nifti(tmp_path / "x_t1ce.nii", post_values, post_affine)
    case = only([flair, post])
    inner = case.scan.pixels[1:-1, ..., 2]
    assert np.abs(inner - STACK[1:-1]).mean() < 8 and case.chosen["post"] == "x_t1ce"
    np.testing.assert_array_equal(case.scan.pixels[..., 0], STACK)
    far = post_affine.copy()
    far[:3, 3] += 5000
    case = only([flair, nifti(post, post_values, far)])
    assert warned(case) == ["sequence_apart"] and case.scan.grey


def test_without_flair_a_warning_and_a_correction(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    paths = [nifti(tmp_path / f"x_{n}.nii", values * (i + 1), affine) for i, n in enumerate(("t1", "t2"))]
    case = only(paths)
    assert warned(case) == ["no_flair"] and case.chosen["flair"] in str(case.warnings[0])
    case = only(paths, {"flair": "x_t2", "pre": ""})
    np.testing.assert_array_equal(case.scan.pixels[..., 0], STACK * 2)
    assert warned(case) == [] and case.chosen == {"flair": "x_t2"}
    assert only(paths, {"flair": "no such"}).chosen["flair"] == case.sequences[0].name


def test_a_whole_dicom_study(tmp_path: Path) -> None:
    flair = series(tmp_path / "a")
    first = pydicom.dcmread(flair[0])
    t1 = series(tmp_path / "b", (STACK * 0.5).round(), SeriesDescription="AX T1", SeriesNumber=2)
    post = series(tmp_path / "c", (STACK * 0.7).round(), SeriesDescription="AX T1 +C", SeriesNumber=7)
    scout = series(
        tmp_path / "d",
        STACK[:1],
        SeriesDescription="LOCALIZER",
        SeriesNumber=1,
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )
    colour = series(tmp_path / "e", STACK[:1], SamplesPerPixel=3, PhotometricInterpretation="RGB")
    for path in t1 + post + scout + colour:
        change(path, StudyInstanceUID=first.StudyInstanceUID, FrameOfReferenceUID=first.FrameOfReferenceUID)
    everything = t1 + post + scout + colour + flair
    random.Random(0).shuffle(everything)
    case = only(everything)
    assert case.chosen == {"flair": "series-3", "pre": "series-2", "post": "series-7"} and warned(case) == []
    np.testing.assert_array_equal(case.scan.pixels[..., 2], (STACK * 0.7).round())
    assert len(case.scan.instances) == 12 and case.scan.name == "series-3"
    assert only([tmp_path]).chosen == case.chosen  # the folder itself
    assert only(everything, {"flair": "series-7", "post": ""}).scan.name == "series-7"


def test_two_dicom_studies_and_an_enhanced_one(tmp_path: Path) -> None:
    cases, problems = read_study(series(tmp_path / "a") + series(tmp_path / "b") + [enhanced(tmp_path / "e.dcm")])
    assert not problems and len(cases) == 3


def test_a_choice_for_one_study_leaves_the_other_alone(tmp_path: Path) -> None:
    def study_of(folder: Path, numbers: dict[str, int], gain: float) -> list[Path]:
        uid, paths = pydicom.uid.generate_uid(), []
        for words, number in numbers.items():
            paths += series(folder / str(number), (STACK * gain).round(), SeriesDescription=words, SeriesNumber=number)
        for path in paths:
            change(path, StudyInstanceUID=uid)
        return paths

    paths = study_of(tmp_path / "a", {"AX FLAIR": 4, "AX T1": 5}, 1)
    paths += study_of(tmp_path / "b", {"AX T1": 4, "AX FLAIR": 5, "AX T1 +C": 6}, 0.5)
    before, _ = read_study(paths)
    names = [v.name for c in before if isinstance(c, Study) for v in c.sequences]
    assert len(set(names)) == len(names) == 5, "a name is one sequence's"
    second = before[1]
    assert isinstance(second, Study)
    after, problems = read_study(paths, {**{r: n for r, n in second.chosen.items() if r != "post"}, "post": ""})
    assert not problems and [c.scan.name for c in after] == [c.scan.name for c in before]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.scan.pixels[..., 1], other.scan.pixels[..., 1])
    assert isinstance(after[0], Study) and after[0].chosen == getattr(before[0], "chosen", None)
    assert isinstance(after[1], Study) and "post" not in after[1].chosen


@pytest.mark.parametrize("uids", [{"StudyInstanceUID": ""}, {"StudyInstanceUID": "", "SeriesInstanceUID": ""}])
@pytest.mark.parametrize("inner", [("", ""), ("a", "b")])
def test_patients_without_a_study_of_their_own(tmp_path: Path, uids: dict[str, str], inner: tuple[str, str]) -> None:
    one, two = ((STACK * gain).round() for gain in (1, 0.5))
    series(tmp_path / "p1" / inner[0], one, **uids)
    series(tmp_path / "p2" / inner[0], two, **uids)
    t1 = series(tmp_path / "t1", two + 5, SeriesDescription="AX T1", SeriesNumber=4, **uids)
    if "SeriesInstanceUID" not in uids or inner[1]:  # else nothing tells the series of one folder apart
        (tmp_path / "p2" / inner[1]).mkdir(exist_ok=True)
        for n, path in enumerate(t1):
            path.rename(tmp_path / "p2" / inner[1] / f"T1_{n}")
    shutil.rmtree(tmp_path / "t1")
    cases, problems = read_study([tmp_path])
    assert not problems and len(cases) == 2
    np.testing.assert_array_equal(cases[0].scan.pixels, np.repeat(one[..., None], 3, axis=-1))
    np.testing.assert_array_equal(cases[1].scan.pixels[..., 1], two)


def test_a_study_with_its_uid_is_one_whatever_its_folders(tmp_path: Path) -> None:
    """An axial FLAIR made twice, each with a T1 in its folder; masks in none of the two are still that study's."""
    for n in (2, 3):
        for more, words in ((0, "AX FLAIR"), (2, "AX T1")):
            made = series(tmp_path / "made", SeriesNumber=n + more, SeriesDescription=words, StudyInstanceUID="1.2.3")
            for m, path in enumerate(made):
                (tmp_path / "in" / str(n)).mkdir(parents=True, exist_ok=True)
                path.rename(tmp_path / "in" / str(n) / f"{words}_{m}")
    (tmp_path / "in" / "masks").mkdir()
    nifti(tmp_path / "in" / "masks" / "lesion.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)))
    assert only([tmp_path / "in"]).reference is not None
    (scored,), problems = attach([only([tmp_path / "in" / "2", tmp_path / "in" / "3"])], [tmp_path / "in" / "masks"])
    assert not problems and scored.reference is not None


def test_two_flair_of_one_study_in_a_folder_each_are_one_patient(tmp_path: Path) -> None:
    paths = [p for n in (2, 3) for p in series(tmp_path / str(n), SeriesNumber=n, StudyInstanceUID="1.2.3")]
    paths += series(tmp_path / "4", SeriesDescription="AX T1", SeriesNumber=4, StudyInstanceUID="1.2.3")
    assert warned(only(paths)) == ["flair_several"]


def test_axial_flair_comes_before_sagittal(tmp_path: Path) -> None:
    sagittal = series(
        tmp_path / "a", np.repeat(STACK, 3, axis=0), (5, 1, 1), ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        SeriesDescription="SAG FLAIR", SeriesNumber=2,
    )  # fmt: skip
    for n, path in enumerate(sagittal):
        change(path, ImagePositionPatient=[5 * n, 0, 0])
    axial = series(tmp_path / "b", spacing=(5, 1, 1))
    for path in axial:
        change(path, StudyInstanceUID=pydicom.dcmread(sagittal[0]).StudyInstanceUID)
    case = only(sagittal + axial)
    assert case.chosen["flair"] == "series-3" and warned(case)[0] == "flair_several"


# Pictures, folders and zips


def test_pictures_go_the_old_way(tmp_path: Path) -> None:
    for n in range(3):
        Image.fromarray(HEAD.flair[n]).save(tmp_path / f"p_{n}.png")
    tifffile.imwrite(tmp_path / "many.tif", HEAD.flair, photometric="minisblack")
    for given_paths in ([tmp_path], sorted(tmp_path.iterdir())):
        cases, problems = read_study(given_paths)
        assert not problems and sorted(len(c.scan) for c in cases) == [3, 12]
        assert not any(isinstance(c, Study) for c in cases)


def test_zips_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    files = {f"DICOM/{PLANTED}/{p.name}": p.read_bytes() for p in series(tmp_path / "s")}
    files |= {f"brats\\{p.name}": p.read_bytes() for p in brats(tmp_path / "n")}
    for n in range(3):
        data = io.BytesIO()
        Image.fromarray(HEAD.flair[n]).save(data, "PNG")
        files[f"png/p_{n}.png"] = data.getvalue()
    files |= {"__MACOSX/._p_0.png": b"x", ".DS_Store": b"x", "README.txt": b"x", "empty": b"", "odd.bin": b"PK", "d/": b""}
    archive = zipped(tmp_path / "all.zip", files)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2):
        zipped(archive, files, method)
        cases, problems = read_study([archive])
        assert [str(p) for p in problems] == []
        assert sorted(c.scan.name for c in cases) == ["p", "series-3", "sub-01_flair"]
        assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("image", "mask"), [("images/x.png", "masks/x.png"), ("x/x.png", "x/x_mask.png")])
def test_pictures_in_a_zip_find_their_masks(tmp_path: Path, image: str, mask: str) -> None:
    data = [io.BytesIO() for _ in range(2)]
    for file, pixels in zip(data, (HEAD.flair[1], HEAD.mask[1].astype(np.uint8) * 255), strict=True):
        Image.fromarray(pixels).save(file, "PNG")
    contents = {"ds": b"", f"DS/{image}": data[0].getvalue(), f"DS/{mask}": data[1].getvalue()}
    (case,), problems = read_study([zipped(tmp_path / "x.zip", contents)])
    assert not problems and case.reference is not None
    assert case.reference.sum() == HEAD.mask[1].sum()


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"])
def test_no_path_out_of_a_zip(tmp_path: Path, name: str) -> None:
    assert keys([zipped(tmp_path / "x.zip", {name: b"x"})]) == ["zip_unsafe"]


def test_links_nested_and_locked_zips(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert keys([tmp_path / "link.zip"]) == ["zip_unsafe"]
    inner = zipped(tmp_path / "inner.zip", {"a.txt": b"x"}).read_bytes()
    assert keys([zipped(tmp_path / "outer.zip", {"inner.zip": inner})]) == ["zip_nested"]
    assert keys([zipped(tmp_path / "hidden.zip", {"inner": inner})]) == ["zip_nested"]
    data = bytearray(zipped(tmp_path / "locked.zip", {"a.png": b"x"}).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    assert keys([tmp_path / "locked.zip"]) == ["zip_encrypted"]
    assert keys([zipped(tmp_path / "none.zip", {"a.txt": b"x"})]) == ["nothing_inside"]
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(50))
    assert keys([tmp_path / "broken.zip"]) == ["damaged"]


def test_only_a_zip_is_a_zip(tmp_path: Path) -> None:
    """A talk, or NumPy's arrays, are zips by content; what lies beside them, or beside a zip in a zip, is read."""
    nifti(tmp_path / "ann.nii.gz", *turned("LPS"))
    nifti(tmp_path / "bob_mask.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)))
    picture = io.BytesIO()
    Image.fromarray(HEAD.flair[3]).save(picture, "PNG")
    other = zipped(tmp_path / "x", {"ppt/media/image1.png": picture.getvalue()}).read_bytes()
    inside = {p.name: p.read_bytes() for p in tmp_path.glob("*.gz")}
    for name in ("talk.pptx", "case.npz"):
        (tmp_path / name).write_bytes(other)
        assert keys([tmp_path / name]) == ["unknown_type"]
        inside[name] = other
    (tmp_path / "x").unlink()
    for given_paths in ([tmp_path], [zipped(tmp_path.with_suffix(".zip"), inside)]):
        (case,), problems = read_study(given_paths)
        assert not problems and case.scan.name == "ann" and case.reference is not None
    assert {p.name for p in find_volumes(tmp_path)} == {"ann.nii.gz", "bob_mask.nii.gz"}
    (case,), problems = read_study([zipped(tmp_path.with_suffix(".zip"), inside | {"bob.zip": other, "carl.zip": other})])
    assert case.scan.name == "ann" and case.reference is None, "bob's scan may be in his zip"
    assert [p.sentence.key for p in problems] == ["zip_nested", "mask_unmatched"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("disc", [False, True])
def test_pictures_of_a_viewer_are_no_patients(tmp_path: Path, packed: bool, disc: bool) -> None:
    root = tmp_path / "disc"
    series(root / "DICOM")
    (root / "VIEWER").mkdir()
    for name in ("logo", "icon_1", "icon_2", "lone_mask"):
        Image.fromarray(HEAD.flair[3]).save(root / "VIEWER" / f"{name}.png")
    if disc:
        pydicom.FileDataset("", pydicom.Dataset(), preamble=bytes(128), file_meta=directory_meta()).save_as(
            root / "DICOMDIR"
        )
    inside = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    upload = zipped(tmp_path / "x.zip", inside) if packed else root
    loose = root / "VIEWER" / "logo.png"
    for more in ([], [loose]):
        cases, problems = read_study([upload, *more])
        assert [(p.sentence.key, p.sentence.values["pictures"]) for p in problems] == [
            ("pictures_beside", (4 if disc else 2) - bool(more and not packed))
        ]
        assert [c.scan.name for c in cases] == [*(["logo"] if more else []), *([] if disc else ["icon"]), "series-3"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("p0/flair.png", "p0/flair_mask.png"),
        ("p0/img_4.png", "p0/mask_4.png"),
        ("p0/img_4.png", "p0/img_4_seg.png"),
        ("images/a.png", "masks/a.png"),
    ],
)
def test_pictures_with_masks_beside_dicom_are_read(tmp_path: Path, packed: bool, image: str, mask: str) -> None:
    root = tmp_path / "in"
    series(root / "p1")
    for name, pixels in ((image, HEAD.flair[3]), (mask, HEAD.mask[3].astype(np.uint8) * 255), ("logo.png", HEAD.flair[3])):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    inside = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    cases, problems = read_study([zipped(tmp_path / "x.zip", inside) if packed else root])
    assert [(p.sentence.key, p.sentence.values["pictures"]) for p in problems] == [("pictures_beside", 1)]
    assert len(cases) == 2 and cases[0].reference is not None and cases[0].reference.sum() == HEAD.mask[3].sum()


def test_letters_beyond_ascii_in_a_zip(tmp_path: Path) -> None:
    scan = nifti(tmp_path / "x.nii", *turned("LPS")).read_bytes()
    for said, name, flagged in (("théo", "théo", True), ("théo", "théo", False), ("été", "été", None)):
        archive = zipped(tmp_path / "x.zip", {f"{name}.nii": scan})
        data = archive.read_bytes()
        if flagged is None:  # MS-DOS's own
            data = data.replace(name.encode(), name.encode("cp437") + b"_" * name.count("é"))
        if not flagged:
            for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
                at = data.index(mark) + place
                data = data[:at] + bytes(2) + data[at + 2 :]
        archive.write_bytes(data)
        assert only([archive]).scan.name.rstrip("_") == said


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MOST_UNPACKED", 1_000_000)
    bomb = zipped(tmp_path / "bomb.zip", {"a.nii": bytes(2_000_000)})
    assert keys([bomb]) == ["zip_too_large"]
    data = bytearray(bomb.read_bytes())
    for mark, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # the directory lies about the size
        at = data.index(mark) + place
        data[at : at + 4] = (1000).to_bytes(4, "little")
    bomb.write_bytes(data)
    assert keys([bomb]) in (["zip_too_large"], ["damaged"])
    half = [zipped(tmp_path / f"{n}.zip", {"a.txt": bytes(600_000)}) for n in range(2)]
    assert keys(half) == ["zip_too_large"]  # together
    monkeypatch.setattr(study, "MOST_FILES", 5)
    assert keys([zipped(tmp_path / "many.zip", {f"{n}.png": b"" for n in range(6)})]) == ["too_many_files"]
    assert "too_many_files" in keys([tmp_path / f"{n}.png" for n in range(6)])
    for n in range(6):
        (tmp_path / "folder" / str(n)).mkdir(parents=True)
        (tmp_path / "folder" / str(n) / "flair.nii").write_bytes(b"x")
    assert "too_many_files" in keys([tmp_path / "folder"])
    assert len(find_volumes(tmp_path / "folder")) == 6, "none is dropped without a word"


def directory_meta() -> pydicom.dataset.FileMetaDataset:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return meta


def test_what_is_nothing(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    empty = tmp_path / "a.dcm"
    empty.touch()
    assert keys([text, empty, tmp_path / "gone.nii", tmp_path / "gone"]) == [
        "unknown_type", "empty_file", "not_found", "not_found",
    ]  # fmt: skip
    assert read_study([]) == ([], [])
    pydicom.FileDataset(tmp_path / "DICOMDIR", pydicom.Dataset(), preamble=bytes(128), file_meta=directory_meta()).save_as(
        tmp_path / "DICOMDIR"
    )
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("hello")
    assert keys([tmp_path / "DICOMDIR"]) == keys([tmp_path / "bare"]) == ["nothing_inside"]
    assert [p.sentence.key for p in attach([], [tmp_path / "DICOMDIR"])[1]] == ["nothing_inside"]


def test_a_volume_of_another_program_is_not_passed_over(tmp_path: Path) -> None:
    nifti(tmp_path / "ann.nii.gz", *turned("LPS"))
    nifti(tmp_path / "bob_mask.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)))
    (tmp_path / "bob.mha").write_bytes(b"ObjectType = Image")
    (tmp_path / "notes.md").write_text("hello")
    inside = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for upload in (tmp_path, zipped(tmp_path.with_suffix(".zip"), inside)):
        (case,), problems = read_study([upload])
        assert case.scan.name == "ann" and case.reference is None
        assert [(p.file, p.sentence.key) for p in problems] == [
            ("bob.mha", "unknown_type"),
            ("bob_mask.nii.gz", "mask_unmatched"),
        ]
    assert {p.name for p in find_volumes(tmp_path)} == {"ann.nii.gz", "bob_mask.nii.gz", "bob.mha"}


def test_a_bad_sequence_costs_only_itself(tmp_path: Path) -> None:
    paths = brats(tmp_path)
    for path, gone in ((paths[2], 0.5), (paths[3], 0.1)):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * gone)])
    cases, problems = read_study(paths)
    assert [p.sentence.key for p in problems] == ["damaged", "damaged"]
    assert len(cases) == 1 and cases[0].reference is None
    np.testing.assert_array_equal(cases[0].scan.pixels[..., 2], STACK)


def test_a_budget_for_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MOST_VALUES", 5 * STACK.size + 10)
    values, affine = turned("LPS")
    cases, problems = read_study([nifti(tmp_path / f"{n}.nii", values, affine) for n in ("ann", "bob", "cleo")])
    assert len(cases) == 2 and [p.sentence.key for p in problems] == ["too_much_at_once"]
    mask = nifti(tmp_path / "cleo_mask.nii", *turned("LPS", HEAD.mask.astype(np.uint8)))
    paths = [tmp_path / f"{n}.nii" for n in ("ann", "bob", "cleo")]
    results, problems = outline_studies([*paths, mask], None, finished)  # one after the other they do
    assert not problems and [r.files[0][0] for r in results] == ["ann", "bob", "cleo"]
    assert [r.reference is not None for r in results] == [False, False, True]


@pytest.mark.parametrize("way", ["folder", "loose", "zip"])
def test_what_an_earlier_run_wrote_is_passed_over_but_for_what_a_hand_corrected(tmp_path: Path, way: str) -> None:
    folder = lay(tmp_path / "in", {"p1/flair.nii": SCAN, "p2/flair.nii": SCAN})
    cases, _ = read_study([folder])
    results = [
        result_of(c, np.full(c.scan.pixels.shape[:3], 255, np.uint8), [f"{p}/flair"])
        for c, p in zip(cases, ("p1", "p2"), strict=True)
    ]
    edits = np.zeros(results[1].levels.shape, np.uint8)
    edits[:, 10:] = REMOVED
    results[1] = replace(results[1], edits=edits)
    write_outputs(results, 0.5, build_report(results, 0.5, {}), folder)
    files = [p for p in folder.rglob("*") if p.is_file()]
    given = {"folder": [folder], "loose": files}.get(way) or [
        zipped(tmp_path / "x.zip", {f"top/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in files})
    ]
    cases, problems = read_study(given)
    assert [(p.sentence.key, p.sentence.values["files"]) for p in problems] == [("outputs_beside", 3)]
    assert [c.scan.files[0][0] for c in cases] == ["flair", "flair (2)"]
    assert cases[0].reference is None
    np.testing.assert_array_equal(cases[1].reference, results[1].mask(0.5))
    if way != "zip":  # its folders are gone, and both masks have one name
        (scored, _), problems = attach(cases, [folder / "p1" / "flair_mask.nii.gz"])
        assert not problems and scored.reference is not None, "given for what it is"


def write_report(folder: Path, *names: str) -> None:
    (folder / "report.json").write_text(json.dumps({"software": "lgg-demo 1", "images": [], "written": names}))


@pytest.mark.parametrize("packed", [False, True])
def test_a_report_hides_nothing_that_no_run_writes(tmp_path: Path, packed: bool) -> None:
    folder = lay(
        tmp_path / "in", {"p1/flair.nii": SCAN, "p2/flair.nii": SCAN, "p2/mask.nii": 10, "p1/x/ann_mask.nii.gz": 20}
    )
    (folder / "other").mkdir()
    hidden = folder / "p1" / "x" / "ann_mask.nii.gz"
    write_report(folder, "p2/flair.nii", "p2/mask.nii", "p1/flair.nii", "flair")
    write_report(folder / "other", "../p1/x/ann_mask.nii.gz", str(hidden))
    inside = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    cases, problems = read_study([zipped(tmp_path / "x.zip", inside) if packed else folder])
    assert not problems and [c.reference is not None for c in cases] == [True, True]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("later", "theirs"), [(-30, False), (30, False), (120, True)])
def test_a_mask_drawn_over_an_earlier_runs_is_the_users(tmp_path: Path, packed: bool, later: int, theirs: bool) -> None:
    folder = lay(tmp_path / "in", {"ann/flair.nii": SCAN, "ann/flair_mask.nii.gz": 10})
    write_report(folder, "ann/flair_mask.nii.gz")
    date = (folder / "report.json").stat().st_mtime
    os.utime(folder / "ann" / "flair_mask.nii.gz", (date + later, date + later))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    (case,), problems = read_study([tmp_path / "x.zip" if packed else folder])
    assert [p.sentence.key for p in problems] == ([] if theirs else ["outputs_beside"])
    assert (case.reference is not None) == theirs


def test_a_zip_of_no_date(tmp_path: Path) -> None:
    scan = lay(tmp_path, {"ann.nii": SCAN}) / "ann.nii"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        entry = zipfile.ZipInfo("ann.nii")
        entry.date_time = (1980, 0, 0, 31, 63, 62)
        archive.writestr(entry, scan.read_bytes())
    assert only([tmp_path / "x.zip"]).scan.name == "ann"


def test_lists_beside_many_folders_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [f"images{kind}" for kind in ("Tr", "Ts", "Val")]
    lay(tmp_path, {f"{folder}/{folder}_0000.nii": SCAN for folder in folders})
    for name in ("dataset.json", "report.json"):
        (tmp_path / name).write_text("{}")
    asked: list[Path] = []

    def read(file: Path) -> Any:
        asked.append(file)
        return report.read_json(file)

    monkeypatch.setattr(study, "read_json", read)
    monkeypatch.setattr(study, "written_by", lambda file: (asked.append(file), report.written_by(file))[1])
    assert len(read_study([tmp_path])[0]) == 3
    assert {*asked} >= {tmp_path / "dataset.json", tmp_path / "report.json"} and len(asked) == len({*asked})


# References


def finished(case: Case) -> Result:
    return result_of(case, np.zeros(case.scan.pixels.shape[:3], dtype=np.uint8))


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_a_mask_of_many_values_is_cut_at_half_with_a_warning(tmp_path: Path, top: float) -> None:
    """A probability, or a mask blurred by resampling: not everything above 0 is tumour."""
    soft = ndimage.gaussian_filter(HEAD.mask.astype(np.float32), (0, 2, 2))
    soft *= top / soft.max()
    head = nifti(tmp_path / "head.nii", *turned("LPS"))
    case = only([head, nifti(tmp_path / "head_mask.nii", *turned("LPS", soft))])
    assert warned(case) == ["mask_graded"]
    np.testing.assert_array_equal(case.reference, soft >= top / 2)
    labels = nifti(
        tmp_path / "labels.nii", *turned("LPS", HEAD.mask * np.arange(1.0, 1.0 + len(HEAD.mask))[:, None, None].clip(max=7))
    )
    (again,), _ = attach([case], [labels])
    assert warned(again) == []
    np.testing.assert_array_equal(again.reference, HEAD.mask)


def test_references_of_volumes(tmp_path: Path) -> None:
    values, affine = turned("RAS")
    case = only([nifti(tmp_path / "head.nii", values, affine)])
    lesion, lesion_affine = turned("PSR", HEAD.mask.astype(np.uint8))
    mask = nifti(tmp_path / "any name.nii.gz", lesion, lesion_affine)
    pages = tmp_path / "pages.tif"
    tifffile.imwrite(pages, HEAD.mask.astype(np.uint8) * 255, photometric="minisblack")
    for path in (mask, pages, zipped(tmp_path / "m.zip", {"m.nii.gz": mask.read_bytes()})):
        for one in (case, finished(case)):
            (attached,), problems = attach([one], [path])
            assert not problems and attached.reference is not None and attached.referenced is not None
            np.testing.assert_array_equal(attached.reference, HEAD.mask)
            assert attached.referenced.all() and attached.warnings == ()


def test_references_find_their_study(tmp_path: Path) -> None:
    one, two = brats(tmp_path / "a", "one"), brats(tmp_path / "b", "two")
    cases, _ = read_study([one[0], two[0]])
    dicom, _ = read_study(series(tmp_path / "s"))
    seg = segmentation(tmp_path, sorted((tmp_path / "s").iterdir()), HEAD.mask)
    attached, problems = attach([*cases, *dicom], [two[3], seg])
    assert not problems and [c.reference is not None for c in attached] == [False, True, True]
    np.testing.assert_array_equal(attached[2].reference, HEAD.mask)
    stray = nifti(tmp_path / "stray_mask.nii", *turned("LPS", HEAD.mask.astype(np.float32)))
    _, problems = attach(cases, [stray])
    assert [p.sentence.key for p in problems] == ["mask_unmatched"]
    assert [p.sentence.key for p in attach([], [stray])[1]] == ["mask_unmatched"]


def test_references_of_another_grid(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    case = only([nifti(tmp_path / "head.nii", values, affine)])
    fine = np.kron(HEAD.mask, np.ones((1, 2, 2))).astype(np.float32)
    moved, moved_affine = turned("LPS", fine, (5.0, 1.8, 1.8))
    moved_affine[:3, 3] += [0.9, 0.9, 0]  # 1.8 mm voxels, two for one
    (attached,), _ = attach([case], [nifti(tmp_path / "fine.nii", moved, moved_affine)])
    assert attached.reference is not None and warned(attached) == ["mask_resampled"]
    assert (attached.reference != HEAD.mask).mean() < 0.01
    plain, far = turned("LPS", HEAD.mask.astype(np.float32))
    far[:3, 3] += 3000
    (attached,), _ = attach([case], [nifti(tmp_path / "far.nii", plain, far)])
    assert warned(attached) == ["mask_by_voxel"]
    np.testing.assert_array_equal(attached.reference, HEAD.mask)


def test_a_mask_that_lies_nowhere_in_the_volume_is_refused(tmp_path: Path) -> None:
    case = only([nifti(tmp_path / "head.nii", *turned("LPS"))])
    values, affine = turned("LPS", HEAD.mask[:-1].astype(np.float32))
    affine[:3, 3] += 500
    (attached,), problems = attach([case], [nifti(tmp_path / "far.nii", values, affine)])
    assert attached.reference is None and [p.sentence.key for p in problems] == ["mask_unmatched"]


def test_a_small_lesion_between_thick_slices_is_no_stranger(tmp_path: Path) -> None:
    case = only([nifti(tmp_path / "head.nii", *turned("LPS"))])
    fine = np.zeros((36, 64, 64))
    fine[[9, 11, 13], 30, 30] = 1
    for n in range(9, 14):
        one = np.zeros_like(fine)
        one[n, 30, 30] = 1
        (attached,), problems = attach(
            [case], [nifti(tmp_path / f"{n}.nii", *turned("LPS", one, (SPACING[0] / 3, 1.8, 1.8)))]
        )
        assert not problems and attached.reference is not None


def test_a_new_reference_stands_instead_of_the_one_before(tmp_path: Path) -> None:
    case = only([nifti(tmp_path / "head.nii", *turned("LPS"))])
    wrong, right = HEAD.mask.copy(), HEAD.mask.copy()
    wrong[:, :32], right[:, 32:] = True, False
    files = [nifti(tmp_path / f"{n}.nii", *turned("LPS", m * 1.0)) for n, m in (("wrong", wrong), ("right", right))]
    (once,), _ = attach([case], files[:1])
    (twice,), _ = attach([once], files[1:])
    np.testing.assert_array_equal(once.reference, wrong)
    np.testing.assert_array_equal(twice.reference, right)
    finer = nifti(tmp_path / "finer.nii", *turned("LPS", np.kron(right, np.ones((1, 2, 2))), (5.0, 0.9, 0.9)))
    (resampled,), _ = attach([once], [finer])
    assert "mask_resampled" in warned(resampled)
    (exact,), _ = attach([resampled], files[1:])
    assert warned(exact) == [], "what was said of the mask before goes with it"
    holes = right * 1.0
    holes[0, 0, 0] = np.nan
    (mended,), _ = attach([exact], [nifti(tmp_path / "holes.nii", *turned("LPS", holes))])
    assert warned(mended) == ["not_finite"]
    page = tmp_path / "head_mask.tif"
    tifffile.imwrite(page, (right * 255).astype(np.uint8))
    for again in (files[1], page):
        assert warned(attach([mended], [again])[0][0]) == []
    (both,), _ = attach([twice], files)
    np.testing.assert_array_equal(both.reference, wrong | right)


def test_of_several_masks_the_lesions_is_taken_with_a_warning(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    whole = nifti(tmp_path / "y_brain_parenchyma_segmentation.nii", (values > 10) * 1.0, affine)
    flair = nifti(tmp_path / "y_FLAIR.nii", values, affine)
    lesion_values, _ = turned("LPS", HEAD.mask * 1.0)
    lesion = nifti(tmp_path / "y_tumor_segmentation.nii", lesion_values, affine)
    case = only([whole, flair, lesion])
    np.testing.assert_array_equal(case.reference, HEAD.mask)
    brain = nifti(tmp_path / "y_brain_mask.nii", (values > 10) * 1.0, affine)
    np.testing.assert_array_equal(only([brain, flair, lesion]).reference, HEAD.mask)
    case = only([nifti(tmp_path / "brain.nii", values, affine), nifti(tmp_path / "brain_mask.nii", lesion_values, affine)])
    np.testing.assert_array_equal(case.reference, HEAD.mask)
    case = only([flair, lesion, nifti(tmp_path / "y_label.nii", (values > 10) * 1.0, affine)])
    assert "mask_several" in warned(case)
    (replaced,), _ = attach([case], [lesion])
    assert warned(replaced) == [], "what was said of the choice goes with it"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"flair_bet.nii": SCAN, "flair_bet_mask.nii": 20}, None),
        ({"flair.nii": SCAN, "brain_mask.nii": 20}, None),
        ({"ann_flair.nii": SCAN, "ann_t1.nii": SCAN, "ann_brain_mask.nii": 20}, None),
        ({"ann_flair.nii": SCAN, "bet_mask.nii": 20, "lesion_mask.nii": 10}, 10),
        ({"images/ann.nii": SCAN, "brain_masks/ann.nii": 20}, None),
        ({"images/ann_brain.nii": SCAN, "labels/ann_brain.nii": 20}, 20),  # a skull-stripped scan's
    ],
)
def test_the_mask_of_a_brain_is_no_reference_unless_given_as_one(
    tmp_path: Path, files: dict[str, str | int], expected: int | None
) -> None:
    case = only([lay(tmp_path, files)])
    assert (None if case.reference is None else int(case.reference.any(axis=(0, 2)).sum())) == expected
    if expected is None:
        mask = next(tmp_path / name for name, what in files.items() if what == 20)
        (given_later,), problems = attach([case], [mask])
        assert not problems and given_later.reference is not None
        names = [s.name for s in case.sequences if s.role == "mask"]
        assert all(only([tmp_path], {"mask": name}).reference is not None for name in names)
        assert "mask" not in mask.name or keys([mask]) == ["mask_unmatched"]


def test_masks_of_a_dicom_series_in_another_order_of_voxels(tmp_path: Path) -> None:
    """As converters write them: never on the series' own grid. A series of another modality beside is no loss."""
    series(tmp_path / "mr")
    series(tmp_path / "pet", STACK[:2], Modality="PT")
    for name, rows in (("brain_mask", slice(0, 60)), ("lesion_mask", slice(0, 20)), ("oedema_mask", slice(40, 50))):
        values = np.zeros_like(STACK)
        values[:, rows] = 1
        nifti(tmp_path / f"{name}.nii.gz", *turned("LAS", values))
    (case,), problems = read_study([tmp_path])
    assert case.reference is not None and int(case.reference.any(axis=(0, 2)).sum()) == 30
    assert {p.sentence.key for p in problems} == {"dicom_modality"}


def test_a_segmentation_of_a_series_with_a_gap_comes_back_where_it_was(tmp_path: Path) -> None:
    paths = sorted(series(tmp_path / "s"), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])
    case = only(paths[:3] + paths[4:])
    assert warned(case) == ["series_missing"] and case.scan.grid is not None
    wanted = HEAD.mask.copy()
    wanted[3] = False
    write_segmentation(tmp_path / "seg.dcm", wanted, case.scan.grid, case.scan.instances, {"name": "m"})
    (attached,), problems = attach([case], [tmp_path / "seg.dcm"])
    assert not problems and warned(attached) == ["series_missing"]
    np.testing.assert_array_equal(attached.reference, wanted)
    (whole,), _ = attach([only(paths)], [tmp_path / "seg.dcm"])
    np.testing.assert_array_equal(whole.reference, wanted, "on the series without a gap it lies in the same place")
    t1 = series(tmp_path / "t", (STACK * 0.5).round(), SeriesDescription="AX T1", SeriesNumber=2)
    for path in t1:
        change(path, StudyInstanceUID=pydicom.dcmread(paths[0]).StudyInstanceUID)
    both = only(paths[:3] + paths[4:] + t1)
    np.testing.assert_array_equal(both.scan.pixels[..., 0], (STACK * 0.5).round())


@pytest.mark.parametrize(
    ("name", "told"),
    [("a_mask.png", True), ("flair_mask.nii.gz", True), ("x_seg.nii", True), ("FLAIR_seg.dcm", True),
     ("brain_mask.nii.gz", True), ("flair.nii.gz", False), ("IM0001", False), ("segura_1.png", False)],
)  # fmt: skip
def test_a_name_says_that_a_file_is_a_mask(name: str, told: bool) -> None:
    assert says_mask(Path(name)) is told


def test_a_segmentation_beside_its_series(tmp_path: Path) -> None:
    paths = series(tmp_path / "s")
    seg = segmentation(tmp_path, paths, HEAD.mask)
    for case in (only([*paths, seg]), only([*paths, nifti(tmp_path / "seg.nii", *turned("LPS", HEAD.mask * 1.0))])):
        assert case.reference is not None
        assert (case.reference == HEAD.mask).all() and warned(case) == []


# Checks before use


def scan_of(stack: np.ndarray, spacing: tuple[float, float, float] = SPACING, tilt: float = 0.0) -> Scan:
    values, affine = turned("LPS", stack.astype(np.float32), spacing)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    affine = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ affine
    pixels = np.repeat(stack.astype(np.float32)[..., None], 3, axis=-1)
    return Scan(pixels, "x", (("x", len(stack)),), True, Grid(values.shape, affine))


TALL = draw_head(40, size=64).flair


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        (scan_of(STACK), []),
        (scan_of(STACK, (1.0, 3.6, 3.6)), []),
        (scan_of(STACK, tilt=20), []),
        (scan_of(STACK, tilt=35), ["plane_tilted"]),
        (scan_of(TALL, (3.6, 6.0, 2.9)), ["plane_coronal", "not_a_head"]),
        (scan_of(TALL[:, 10:50], (2.9, 2.9, 4.8)), ["plane_sagittal"]),
        (scan_of(STACK, (5, 0.3, 0.3)), ["not_a_head"]),
        (scan_of(STACK, (9, 9, 9)), ["not_a_head"]),
        (scan_of(STACK - 1024.0), ["looks_like_ct"]),
        (scan_of(HEAD.mask), ["looks_like_mask"]),
        (scan_of(np.zeros_like(STACK)), []),
    ],
)  # fmt: skip
def test_inspect(scan: Scan, expected: list[str]) -> None:
    assert [s.key for s in inspect(scan)] == expected
    assert all(str(s).startswith("x: ") and s.say("fr") for s in inspect(scan))


def test_inspect_pictures_and_skull_stripped() -> None:
    pixels = np.repeat(STACK[..., None], 3, axis=-1)
    assert inspect(Scan(pixels, "p", (("p.png", 12),))) == ()
    brain = np.where(draw_head(12, size=64).flair > 60, STACK, 0)
    assert inspect(scan_of(brain)) == ()


# Privacy, and whatever comes


def test_a_study_too_large_with_all_its_sequences_is_flair_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MOST_VALUES", 5 * STACK.size)
    cases, problems = read_study(brats(tmp_path))
    assert [p.sentence.key for p in problems] == ["too_much_at_once"] * 3
    assert len(cases) == 1 and cases[0].scan.grey


def test_the_network_takes_what_comes_out(tmp_path: Path) -> None:
    for paths in (brats(tmp_path / "n"), series(tmp_path / "s")):
        scan = only(paths).scan
        x = to_model(scan.pixels, frame_of(scan.pixels, scan.spacing_mm))
        assert x.shape == (12, 3, 256, 256) and 0.5 < float(x.max()) <= 1.5


def test_no_identity_in_a_study(tmp_path: Path) -> None:
    paths = series(tmp_path / "s", PatientName=PLANTED, PatientID=PLANTED, SeriesDescription=f"FLAIR {PLANTED}")
    paths += series(tmp_path / "ct", STACK[:1], PatientName=PLANTED, Modality="CT", SeriesDescription=PLANTED)
    cases, problems = read_study(paths)
    told = "".join(map(str, problems)) + "".join(str(vars(c)) + str(vars(c.scan)) for c in cases)
    told += "".join(str(ds) for c in cases for ds in c.scan.instances)
    assert len(cases) == 1 and "ZZTOP" not in told and "PLANTED" not in told


def test_no_identity_on_the_console(tmp_path: Path) -> None:
    """What libraries say of odd tags would quote them; a process of its own has no pytest between it and the console."""
    odd = {"SpecificCharacterSet": PLANTED, "PatientName": PLANTED, "StudyDate": PLANTED, "EchoTime": "1"}
    for path in series(tmp_path / "s", STACK[:3], **odd):
        raw = path.read_bytes()
        uid = str(pydicom.dcmread(path).FrameOfReferenceUID).encode()
        path.write_bytes(raw.replace(uid, (PLANTED.encode() * 9)[: len(uid)]))
    code = (
        "import logging, sys, pathlib; logging.basicConfig(level=0); from lgg_demo.reading.studies import read_study;"
        "cases, problems = read_study([pathlib.Path(sys.argv[1])]); print(cases[0].scan.name, problems)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        cwd=Path(checks.__file__).parents[2],
    )
    assert run.returncode == 0 and "series-3" in run.stdout, run.stderr
    assert "ZZTOP" not in run.stdout + run.stderr


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broken_zips(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        values, affine = turned("LPS", STACK[:2])
        member = nifti(Path(folder) / "a.nii.gz", values, affine).read_bytes()
        path = zipped(Path(folder) / "x.zip", {"b/a.nii.gz": member, "p.png": b"\x89PNG"})
        raw = bytearray(path.read_bytes())
        ends = st.integers(0, 80) | st.integers(len(raw) - 250, len(raw) - 1)
        for place in data.draw(st.lists(ends, max_size=5)):
            raw[place] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(raw[: data.draw(st.none() | st.integers(0, len(raw)))]))
        cases, problems = read_study([path])
        assert all(p.sentence.key in CATALOGUE and str(p) for p in problems) and len(cases) <= 1


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["x", "x.nii", "x.nii.gz", "x.dcm", "x.zip", "x.png", "x.tif", "x.jpg", "x_mask.png"]),
    start=st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b\x08", bytes(128) + b"DICM", b"\x08\0", b"II*\0", b"\x89PNG"]),
    data=st.binary(max_size=300),
)
def test_any_bytes_under_any_name(name: str, start: bytes, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(start + data)
        for read in (read_study, lambda paths: attach([], paths)):
            cases, problems = read([path])
            assert all(p.sentence.key in CATALOGUE and str(p).startswith("x") for p in problems) and len(cases) <= 1
            assert cases or problems or name == "x_mask.png"


def test_sequences_out_of_order_are_told(tmp_path: Path) -> None:
    """A test of its own, fitted on drawn heads whose T1 differ from FLAIR, tells a swap and leaves order alone."""
    stacks = {}
    for seed in range(6):
        flair = draw_head(8, size=96, seed=seed).flair.astype(np.float32)
        t1 = np.clip(150 - flair, 0, None) * (flair > 30)
        stacks[str(seed)] = np.stack([t1, flair, t1 * 1.1], axis=-1)
    fitted = sequences.fit(stacks)
    assert fitted["flair_found"] == 1 and fitted["patients"] == 6
    stack = stacks["0"]
    coefficients = np.array(fitted["coefficients"])

    def margin(pixels: np.ndarray) -> float:
        score = sequences.channel_features(pixels) @ coefficients
        return float(score[1] - max(score[0], score[2]))

    assert margin(stack) > 0 > margin(stack[..., [1, 0, 2]])
    assert not sequences.out_of_order(stack[:1, ..., [1, 0, 2]])  # a lone slice says too little


def test_the_shipped_test_of_order_says_how_good_it_is() -> None:
    fitted = json.loads(sequences.FITTED.read_text(encoding="utf-8"))
    assert fitted["flair_found"] > 0.9 and fitted["false_alarms"] < 0.05
    assert np.isfinite(sequences.flair_margin(np.zeros((8, 32, 32, 3), dtype=np.float32)))


def test_text_in_a_corner_is_told() -> None:
    """Letters on every slice are seen in any corner; a head, noise and a lone bright spot are not."""
    head = draw_head(6, size=192).flair
    assert not checks.text_in_corners(head.astype(np.float32))
    noise = np.random.default_rng(0).integers(0, 255, (6, 96, 96))
    assert not checks.text_in_corners(noise.astype(np.float32))
    for place in ((3, 3), (130, 178)):
        written = []
        for pixels in head:
            picture = Image.fromarray(pixels)
            ImageDraw.Draw(picture).text(place, "DOE JANE", fill=230)
            written.append(np.asarray(picture, dtype=np.float32))
        assert checks.text_in_corners(np.stack(written))
        assert "text_in_corner" in [w.key for w in inspect(scan_of(np.stack(written)))]

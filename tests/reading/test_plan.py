"""Which volumes are one case, and which of them plays which role: by subject and folder, by study, by what a user says."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers import (
    BROKEN,
    HEAD,
    PLANTED,
    SCAN,
    SPACING,
    STACK,
    change,
    directory,
    enhanced,
    inside,
    lay,
    nifti,
    only,
    read,
    rows_of,
    said,
    series,
    turned,
    warned,
    zipped,
)

from lgg_demo.case import Study

GAINS = {"flair": 1.0, "t1": 0.6, "t1ce": 0.8}
Chosen = dict[str, str]


def brats(folder: Path, subject: str = "sub-01", codes: str = "LPS") -> list[Path]:
    """Three sequences and a mask of one subject."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        nifti(folder / f"{subject}_{word}.nii.gz", *turned(codes, (STACK * gain).astype(np.float32)))
        for word, gain in GAINS.items()
    ]
    return [*paths, nifti(folder / f"{subject}_seg.nii.gz", *turned(codes, HEAD.mask.astype(np.float32) * 4))]


def chosen(folder: Path, **more: object) -> dict[str, Chosen]:
    """For each study of a folder what plays which role, by the FLAIR's name."""
    return {c.scan.files[0][0]: dict(c.chosen) for c in read(folder, **more).cases if isinstance(c, Study)}


def test_flair_alone_is_a_study(tmp_path: Path) -> None:
    case = only([nifti(tmp_path / "ann_flair.nii.gz", *turned("PIR"))])
    assert case.scan.pixels.shape == (12, 64, 64, 3) and case.scan.pixels.dtype == np.float32
    np.testing.assert_array_equal(case.scan.pixels, np.repeat(STACK[..., None], 3, axis=-1))
    assert case.scan.grey and case.scan.files == (("ann_flair", 12),) and warned(case) == []
    assert case.scan.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "ASL"])
def test_sequences_of_one_subject(tmp_path: Path, codes: str) -> None:
    case = only(brats(tmp_path, codes=codes))
    for channel, gain in enumerate((0.6, 1.0, 0.8)):
        np.testing.assert_allclose(case.scan.pixels[..., channel], STACK * gain, rtol=1e-6)
    assert case.reference is not None and case.referenced is not None and case.referenced.all()
    np.testing.assert_array_equal(case.reference, HEAD.mask)
    assert not case.scan.grey and warned(case) == []
    assert case.chosen == {"flair": "sub-01_flair", "pre": "sub-01_t1", "post": "sub-01_t1ce"}
    assert {(s.name, s.role, s.slices) for s in case.sequences} >= {("sub-01_flair", "flair", 12)}


@pytest.mark.parametrize("way", ["folder", "zip"])
@pytest.mark.parametrize(
    ("files", "studies", "warnings"),
    [
        # Two patients are never one
        (["Locatelli_flair", "Lockwood_flair", "Angiolini_flair", "Tracey_flair"], [["Angiolini_flair"],
         ["Locatelli_flair"], ["Lockwood_flair"], ["Tracey_flair"]], []),
        (["Bravo_flair", "Bravo_t1", "Native_flair", "Native_t1_gd"], [["Bravo_flair", "Bravo_t1"],
         ["Native_flair", "Native_t1_gd"]], []),
        (["a/flair", "a/t1", "b/flair"], [["a/flair", "a/t1"], ["b/flair"]], []),
        (["2019/ann_flair", "2020/ann_flair"], [["2019/ann_flair"], ["2020/ann_flair"]], []),
        (["imagesTr/ann_flair", "imagesTs/ann_flair"], [["imagesTr/ann_flair"], ["imagesTs/ann_flair"]], []),
        (["sub-01_ses-1_FLAIR", "sub-01_ses-2_FLAIR"], [["sub-01_ses-1_FLAIR"], ["sub-01_ses-2_FLAIR"]], []),
        (["p_AX_FLAIR_20200102030405_4", "p_T1_20200102030405_5", "p_AX_FLAIR_20210102030405_4"],
         [["p_AX_FLAIR_20200102030405_4", "p_T1_20200102030405_5"], ["p_AX_FLAIR_20210102030405_4"]], []),
        # One is never two
        (["p/flair_ax", "p/flair_sag", "p/t1", "p/t1_gd"], [["p/flair_ax", "p/t1", "p/t1_gd"]], ["flair_several"]),
        (["p/FLAIR_3D_4", "p/T1_MPRAGE_5", "p/T1_MPRAGE_post_9"],
         [["p/FLAIR_3D_4", "p/T1_MPRAGE_5", "p/T1_MPRAGE_post_9"]], []),
        (["sub-1/anat/sub-1_FLAIR", "sub-1/anat/sub-1_T1w", "sub-1/dwi/sub-1_dwi", "sub-1/func/sub-1_task-x_bold"],
         [["sub-1/anat/sub-1_FLAIR", "sub-1/anat/sub-1_T1w"]], []),
        ([f"U/U_{n}" for n in ("FLAIR", "FLAIR_bias", "T1", "T1_bias", "T1gad", "DWI", "DTI_eddy_FA", "DTI_eddy_L1")],
         [["U/U_FLAIR", "U/U_T1", "U/U_T1gad"]], []),
        # What tells nothing is outlined by itself, and said to be
        (["ROI_1"], [["ROI_1"]], ["role_unknown"]),
        (["head"], [["head"]], ["role_unknown"]),
        (["ann", "bob"], [["ann"], ["bob"]], ["role_unknown", "role_unknown"]),
    ],
    ids=str,
)  # fmt: skip
def test_studies(tmp_path: Path, way: str, files: list[str], studies: list[list[str]], warnings: list[str]) -> None:
    folder = lay(tmp_path / "in", {f"{name}.nii.gz": SCAN for name in files})
    found = read(folder if way == "folder" else zipped(tmp_path / "x.zip", inside(folder)))
    got = [sorted(c.chosen.values()) for c in found.cases if isinstance(c, Study)]
    wanted = [sorted(name if way == "folder" else Path(name).name for name in names) for names in studies]
    if way == "zip":
        got = [[name.removesuffix(" (2)") for name in names] for names in got]
    assert sorted(got) == sorted(wanted) and not found.errors and not found.notices
    assert [w for c in found.cases for w in warned(c)] == warnings


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["ann_flair", "bob_t1"], ["bob_t1"]),
        (["ann_t1", "ann_t2"], ["ann_t1"]),
        (["ann_t1", "ann_t1_gd"], ["ann_t1"]),
        (["sub-01_ses-1_FLAIR", "sub-01_ses-2_T1w"], ["sub-01_ses-2_T1w"]),
        (["ann_adc"], ["ann_adc"]),
    ],
)
def test_nothing_but_flair_is_taken_for_it(tmp_path: Path, files: list[str], missing: list[str]) -> None:
    found = read(lay(tmp_path, {f"{name}.nii": SCAN for name in files}))
    assert said(found) == [(name, "flair_missing") for name in missing]
    assert len(found.cases) == ("flair" in str(files).lower())


def test_without_a_flair_what_tells_nothing_is_taken_with_a_warning_and_may_be_corrected(tmp_path: Path) -> None:
    for name, gain in (("t1", 1), ("x", 2)):
        nifti(tmp_path / f"sub-1_{name}.nii", *turned("LPS", STACK * gain))
    case = only(tmp_path)
    assert warned(case) == ["no_flair"] and case.chosen["flair"] == "sub-1_x" and "sub-1_x" in str(case.warnings[0])
    case = only(tmp_path, choose={"flair": "sub-1_t1", "pre": ""})
    np.testing.assert_array_equal(case.scan.pixels[..., 0], STACK)
    assert warned(case) == ["flair_called_pre"] and case.chosen == {"flair": "sub-1_t1"}
    assert only(tmp_path, choose={"flair": "no such"}).chosen["flair"] == "sub-1_x"


def test_a_choice_for_one_study_leaves_the_others_alone(tmp_path: Path) -> None:
    lay(tmp_path, {f"{p}/{name}.nii": SCAN for p in ("p1", "p2") for name in ("flair", "t1")})
    assert chosen(tmp_path, choose={"flair": "p2/t1", "pre": "", "post": ""}) == {
        "p1/flair": {"flair": "p1/flair", "pre": "p1/t1"},
        "p2/t1": {"flair": "p2/t1"},
    }


def test_names_of_volumes_are_no_two_alike(tmp_path: Path) -> None:
    lay(tmp_path, {f"{p}/flair.nii.gz": SCAN for p in ("p1", "p2", "p3")} | {"p3/flair.nii": SCAN})
    assert list(rows_of(read([p / "flair.nii.gz" for p in sorted(tmp_path.iterdir())]))) == [
        "flair",
        "flair (2)",
        "flair (3)",
    ]
    assert list(rows_of(read(zipped(tmp_path / "x.zip", inside(tmp_path))))) == ["flair", "flair (2)", "flair (3)"]


# nnU-Net

LISTS = [
    ({"channel_names": {"0": "T1", "1": "T1-Gd", "2": "T2", "3": "T2-FLAIR"}}, {"flair": 3, "pre": 0, "post": 1}, []),
    ({"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}}, {"flair": 0, "pre": 1, "post": 2}, []),
    (None, {"flair": 0}, ["no_flair"]),
]


@pytest.mark.parametrize(("dataset", "roles", "warning"), LISTS)
@pytest.mark.parametrize("way", ["folder", "zip"])
def test_cases_of_nnunet(
    tmp_path: Path, way: str, dataset: dict[str, object] | None, roles: dict[str, int], warning: list[str]
) -> None:
    cases_of = {"glioma_01": 10, "glioma_01_2": 20}
    folder = lay(tmp_path / "in", {f"imagesTr/{case}_{n:04d}.nii.gz": SCAN for case in cases_of for n in range(4)})
    lay(folder, {f"labelsTr/{case}.nii.gz": rows for case, rows in cases_of.items()})
    if dataset is not None:
        (folder / "dataset.json").write_text(json.dumps(dataset))
    found = read(zipped(tmp_path / "x.zip", inside(folder)) if way == "zip" else folder)
    assert not found.errors and list(rows_of(found).values()) == [10, 20]
    below = "" if way == "zip" else "imagesTr/"
    for case, name in zip(found.cases, cases_of, strict=True):
        assert isinstance(case, Study) and warned(case) == warning
        assert case.chosen == {role: f"{below}{name}_{n:04d}" for role, n in roles.items()}


def test_a_list_of_channels_that_is_none(tmp_path: Path) -> None:
    lay(tmp_path, {f"scans/ann_{year}.nii": SCAN for year in (2019, 2020)})
    for text in ("[" * 100_000, "[]", '{"channel_names": [1]}', "\0"):
        (tmp_path / "dataset.json").write_text(text)
        assert len(read(tmp_path).cases) == 2


# Public layouts


@pytest.mark.parametrize("way", ["folder", "zip", "loose"])
@pytest.mark.parametrize(
    ("named", "files", "expected", "over"),
    [
        ("bids", {"sub-1/anat/sub-1_FLAIR.nii": SCAN, "sub-1/anat/sub-1_desc-lesion_mask.nii": 10, "ann_flair.nii": SCAN,
                  "s.png": SCAN, "sub-1/anat/sub-1_x.nii": SCAN}, [10], 3),
        ("brats", {"B-1-t2f.nii": SCAN, "B-1-t1n.nii": SCAN, "B-1-seg.nii": 10, "head.nii": SCAN}, [10], 1),
        ("kaggle", {"p/TCGA_CS_4941_19960909_1.tif": SCAN, "p/TCGA_CS_4941_19960909_1_mask.tif": 10, "p/s_1.tif": SCAN},
         [10], 1),
        ("nnunet", {"imagesTr/a_0000.nii": SCAN, "imagesTr/a_0001.nii": SCAN, "labelsTr/a.nii": 10, "a_flair.nii": SCAN},
         [10], 1),
        ("nnunet", {"imagesTs/ann_0000.nii": SCAN}, [], 0),  # nothing says what its channel is
    ],
    ids=str,
)  # fmt: skip
def test_a_named_layout_guesses_no_other_name(
    tmp_path: Path, way: str, named: str, files: dict[str, str | int], expected: list[int], over: int
) -> None:
    folder = lay(tmp_path / "in", files)
    if expected:
        (folder / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "FLAIR"}}')
    paths = {"folder": [folder], "loose": [folder / name for name in files]}.get(way) or [
        zipped(tmp_path / "x.zip", inside(folder))
    ]
    found = read(paths, layout=named)
    assert list(rows_of(found).values()) == expected
    one_by_one = over if way == "loose" else 0
    assert [key for _, key in said(found)] == ["layout_differs"] * one_by_one + ["flair_missing"] * (not expected)
    assert sum(n.sentence.values["files"] for n in found.notices) == over - one_by_one


def test_a_named_layout_has_no_dicom(tmp_path: Path) -> None:
    series(tmp_path / "in")
    found = read(tmp_path / "in", layout="bids")
    assert not found.cases and not found.errors and [n.sentence.key for n in found.notices] == ["layout_beside"]


def test_two_flairs_of_one_bids_subject_are_said(tmp_path: Path) -> None:
    words = ("acq-a", "run-1", "run-2", "space-MNI")
    for named in ("auto", "bids"):
        case = only(lay(tmp_path, {f"sub-1/anat/sub-1_{word}_FLAIR.nii": SCAN for word in words}), layout=named)
        assert warned(case) == ["flair_several"] and case.warnings[0].values["count"] == 4
        assert {s.name.split("_")[1] for s in case.sequences} == set(words), "each may be chosen"
    name = "sub-1/anat/sub-1_run-2_FLAIR"
    assert only(tmp_path, choose={"flair": name}).chosen == {"flair": name}


# DICOM


def test_a_whole_dicom_study(tmp_path: Path) -> None:
    flair = series(tmp_path / "a")
    first = pydicom.dcmread(flair[0])
    t1 = series(tmp_path / "b", (STACK * 0.5).round(), SeriesDescription="AX T1", SeriesNumber=2)
    post = series(tmp_path / "c", (STACK * 0.7).round(), SeriesDescription="AX T1 +C", SeriesNumber=7)
    sagittal = [1, 0, 0, 0, 0, -1]
    scout = series(
        tmp_path / "d", STACK[:1], SeriesDescription="LOCALIZER", SeriesNumber=1, ImageOrientationPatient=sagittal
    )
    colour = series(tmp_path / "e", STACK[:1], SamplesPerPixel=3, PhotometricInterpretation="RGB")
    for path in t1 + post + scout + colour:
        change(path, StudyInstanceUID=first.StudyInstanceUID, FrameOfReferenceUID=first.FrameOfReferenceUID)
    case = read(tmp_path).cases[0]
    assert isinstance(case, Study) and warned(case) == [] and len(case.scan.instances) == 12
    assert case.chosen == {"flair": "series-3", "pre": "series-2", "post": "series-7"}
    np.testing.assert_array_equal(case.scan.pixels[..., 2], (STACK * 0.7).round())
    loose = t1 + post + flair
    random.Random(0).shuffle(loose)
    assert only(loose).chosen == case.chosen
    assert only(loose, choose={"flair": "series-7", "post": ""}).scan.name == "series-7"


def test_beside_a_series_what_is_no_mri_is_left_out_with_a_notice(tmp_path: Path) -> None:
    series(tmp_path / "mr")
    series(tmp_path / "pet", STACK[:2], Modality="PT", SeriesNumber=9)
    directory(tmp_path / "DICOMDIR")
    (tmp_path / "README.TXT").write_text("a disc")
    found = read(tmp_path)
    assert [c.scan.name for c in found.cases] == ["series-3"] and not found.errors
    assert {n.sentence.key for n in found.notices} == {"dicom_modality"}
    found = read(tmp_path / "pet")
    assert not found.cases and {key for _, key in said(found)} == {"dicom_modality"}
    named = sorted((tmp_path / "pet").iterdir())[0]
    found = read([tmp_path / "mr", named])
    assert said(found) == [(named.name, "dicom_modality")], "what was named itself is missed"


def test_a_study_is_one_whatever_its_folders_and_two_are_two(tmp_path: Path) -> None:
    paths = [p for n in (2, 3) for p in series(tmp_path / str(n), SeriesNumber=n, StudyInstanceUID="1.2.3")]
    paths += series(tmp_path / "4", SeriesDescription="AX T1", SeriesNumber=4, StudyInstanceUID="1.2.3")
    case = only(paths)
    assert warned(case) == ["flair_several"] and case.chosen["pre"] == "series-4"
    assert len(read([*paths, *series(tmp_path / "b"), enhanced(tmp_path / "e.dcm")]).cases) == 3


def test_a_name_is_one_sequences_over_all_studies(tmp_path: Path) -> None:
    for folder, words in (("a", ("AX FLAIR", "AX T1")), ("b", ("AX T1", "AX FLAIR", "AX T1 +C"))):
        for n, description in enumerate(words, 4):
            made = series(tmp_path / folder / str(n), SeriesDescription=description, SeriesNumber=n)
            for path in made:
                change(path, StudyInstanceUID=f"1.2.{ord(folder)}")
    before = [c for c in read(tmp_path).cases if isinstance(c, Study)]
    names = [v.name for c in before for v in c.sequences]
    assert len(set(names)) == len(names) == 5
    second = dict(before[1].chosen)
    after = [c for c in read(tmp_path, choose={**second, "post": ""}).cases if isinstance(c, Study)]
    assert [c.scan.name for c in after] == [c.scan.name for c in before] and after[0].chosen == before[0].chosen
    assert "post" in second and "post" not in after[1].chosen


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
    flairs = [c for c in read(tmp_path).cases if warned(c) == [] or "segmentation_left_out" in warned(c)]
    assert len(flairs) == 2
    np.testing.assert_array_equal(flairs[0].scan.pixels[..., 1], one)
    np.testing.assert_array_equal(flairs[1].scan.pixels[..., 1], two)


def test_axial_flair_comes_before_sagittal(tmp_path: Path) -> None:
    sagittal = series(
        tmp_path / "a", np.repeat(STACK, 3, axis=0), (5, 1, 1), ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        SeriesDescription="SAG FLAIR", SeriesNumber=2, StudyInstanceUID="1.2.3",
    )  # fmt: skip
    for n, path in enumerate(sagittal):
        change(path, ImagePositionPatient=[5 * n, 0, 0])
    case = only(sagittal + series(tmp_path / "b", spacing=(5, 1, 1), StudyInstanceUID="1.2.3"))
    assert case.chosen["flair"] == "series-3" and warned(case)[0] == "flair_several"


def test_a_bad_sequence_costs_only_itself(tmp_path: Path) -> None:
    paths = brats(tmp_path)
    for path, kept in ((paths[2], 0.5), (paths[3], 0.1)):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    found = read(tmp_path)
    assert sorted(key for _, key in said(found)) == ["damaged", "damaged"]
    (case,) = found.cases
    assert case.reference is None
    np.testing.assert_array_equal(case.scan.pixels[..., 2], STACK)
    lay(tmp_path, {"sub-01_t1.nii.gz": BROKEN})
    assert len(read(tmp_path).cases) == 1


def test_no_identity_in_a_study(tmp_path: Path) -> None:
    series(tmp_path / "s", PatientName=PLANTED, PatientID=PLANTED, SeriesDescription=f"FLAIR {PLANTED}")
    series(tmp_path / "ct", STACK[:1], PatientName=PLANTED, Modality="CT", SeriesDescription=PLANTED)
    found = read(tmp_path)
    told = "".join(str(e.sentence) for e in (*found.errors, *found.notices))
    told += "".join(str(vars(c)) + str(vars(c.scan)) + str(c.scan.instances) for c in found.cases)
    assert len(found.cases) == 1 and "ZZTOP" not in told and "PLANTED" not in told

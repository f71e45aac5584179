"""Whose a reference is: found among the scans, given with them, or given later. Never another's, never in silence."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from helpers import (
    BROKEN,
    HEAD,
    SCAN,
    SPACING,
    attach,
    change,
    inside,
    lay,
    nifti,
    only,
    read,
    rows_of,
    rows_up_to,
    said,
    segmentation,
    series,
    turned,
    warned,
    zipped,
)

Files = dict[str, str | int]


@pytest.mark.parametrize("way", ["folder", "zip"])
@pytest.mark.parametrize(
    ("files", "expected", "unmatched"),
    [
        # Its own subject's
        ({"ann_flair.nii": SCAN, "ann_seg.nii": 10, "bob_flair.nii": SCAN, "bob_seg.nii": 20}, [10, 20], []),
        ({"p1/flair.nii": SCAN, "p1/seg.nii": 10, "p2/flair.nii": SCAN, "p2/seg.nii": 20}, [10, 20], []),
        ({"p1/image.nii": SCAN, "p1/masks/mask.nii": 10, "p2/image.nii": SCAN, "p2/masks/mask.nii": 20}, [10, 20], []),
        ({"p1/anat/flair.nii": SCAN, "p1/seg.nii": 10, "p2/anat/flair.nii": SCAN, "p2/seg.nii": 20}, [10, 20], []),
        ({"images/a.nii": SCAN, "images/b.nii": SCAN, "masks/a.nii": 10, "masks/b.nii": 20}, [10, 20], []),
        ({"imagesTr/a_0000.nii": SCAN, "imagesTr/b_0000.nii": SCAN, "labelsTr/a.nii": 10, "labelsTr/b.nii": 20}, [10, 20],
         []),
        ({"imagesVal/FLAIR_1_0000.nii": SCAN, "labelsVal/FLAIR_1.nii": 10}, [10], []),
        ({"images/ann_flair.nii": SCAN, "GT/ann_flair.nii": 10}, [10], []),
        ({"IR_flair.nii": SCAN, "SE_flair.nii": SCAN, "SE_mask.nii": 10}, [None, 10], []),
        ({"sub-01/anat/sub-01_FLAIR.nii": SCAN, "derivatives/sub-01/sub-01_lesion_mask.nii": 10}, [10], []),
        (
            {f"sub-{n}/ses-1/anat/sub-{n}_ses-1_FLAIR.nii": SCAN for n in (1, 2)}
            | {f"derivatives/lesions/sub-{n}/ses-1/anat/sub-{n}_ses-1_label-lesion_mask.nii": 10 * n for n in (1, 2)},
            [10, 20],
            [],
        ),
        # Without a name of its own: of its folder, if it is of one case
        ({"head.nii": SCAN, "seg.nii": 10}, [10], []),
        ({"ann_flair.nii": SCAN, "truth/mask.nii": 10}, [None], ["mask.nii"]),
        ({"ann_flair.nii": SCAN, "masks/mask.nii": 10}, [10], []),
        # Nobody's
        ({"ann_flair.nii": SCAN, "bob_seg.nii": 10}, [None], ["bob_seg.nii"]),
        ({"ann_flair.nii": SCAN, "ann_seg.nii": 10, "carl_seg.nii": 20}, [10], ["carl_seg.nii"]),
        ({"p1/seg.nii": 10, "p2/flair.nii": SCAN}, [None], ["seg.nii"]),
        ({"p1/seg.nii": 10, "p2/flair.nii": SCAN, "p2/seg.nii": 20}, [20], ["seg.nii"]),
        ({"p1/bob_seg.nii": 10, "ann/flair.nii": SCAN}, [None], ["bob_seg.nii"]),
        ({"ann_flair.nii": SCAN, "bob_flair.nii": SCAN, "seg.nii": 10}, [None, None], ["seg.nii"]),
        ({"p1/x_flair.nii": SCAN, "p2/x_flair.nii": SCAN, "masks/x_seg.nii": 10}, [None, None], ["x_seg.nii"]),
        ({"masks/ann.nii": 10, "bob.nii": SCAN}, [None], ["ann.nii"]),
        ({"s/sub-01_ses-1_FLAIR.nii": SCAN, "s/sub-01_ses-2_mask.nii": 10}, [None], ["sub-01_ses-2_mask.nii"]),
        ({"bob_seg.nii": 10, "ann/flair.nii": SCAN}, [None], ["bob_seg.nii"]),
        ({"ann_flair.nii": SCAN, "ann_brain_mask.nii": 10, "ann_seg.nii": 20}, [20], []),
        # No masks, whatever words are in their names
        ({"control/flair.nii": SCAN, "tumor/flair.nii": SCAN}, [None, None], []),
        ({"sub-01/flair.nii": SCAN, "sub-02_lesion/flair.nii": SCAN}, [None, None], []),
        ({"segmentation/ann_flair.nii": SCAN, "segmentation/ann_seg.nii": 10}, [10], []),
        ({"GT_flair.nii": SCAN, "AB_flair.nii": SCAN}, [None, None], []),
        ({"SEG-001_flair.nii": SCAN}, [None], []),
        ({"Locatelli_flair.nii": SCAN, "Locatelli_mask.nii": 10, "Lockwood_flair.nii": SCAN, "Lockwood_mask.nii": 20},
         [10, 20], []),
        ({"Angiolini_flair.nii": SCAN, "Angiolini_seg.nii": 10, "Tracey_flair.nii": SCAN, "Tracey_seg.nii": 20}, [10, 20],
         []),
        # Pictures
        ({"s_1.png": SCAN, "s_2.png": SCAN, "s_2_mask.png": 10}, [10], []),
        ({"img_3.png": SCAN, "mask_3.png": 10}, [10], []),
        ({"images/x.png": SCAN, "masks/x.png": 10}, [10], []),
        ({"images/p1/1.png": SCAN, "masks/p1/1.png": 10, "images/p2/1.png": SCAN, "masks/p2/1.png": 20}, [10, 20], []),
        ({"p1/1.png": SCAN, "p2/1.png": SCAN, "p2/1_mask.png": 10}, [None, 10], []),
        ({"a.png": SCAN, "b_mask.png": 10}, [None], ["b_mask.png"]),
        ({"img_0.png": SCAN, "mask_1.png": 10}, [None], ["mask_1.png"]),
        ({"p1/x.png": SCAN, "p2/x.png": SCAN, "masks/x.png": 10}, [None, None], ["x.png"]),
        ({"images/ann/1.png": SCAN, "masks/bob/1.png": 10}, [None], ["1.png"]),
        ({"ab/1.png": SCAN, "gt/1.png": SCAN}, [None, None], []),
        ({"flair/1.png": SCAN, "t1/1.png": SCAN}, [None, None], []),
    ],
    ids=str,
)  # fmt: skip
def test_masks_among_the_scans(
    tmp_path: Path, way: str, files: Files, expected: list[int | None], unmatched: list[str]
) -> None:
    folder = lay(tmp_path / "in", files)
    found = read(folder if way == "folder" else zipped(tmp_path / "x.zip", inside(folder)))
    assert list(rows_of(found).values()) == expected
    assert said(found) == [(name, "mask_unmatched") for name in unmatched] and not found.notices
    for case, rows in zip(found.cases, expected, strict=True):
        assert case.reference is None or case.reference[..., : rows or 0, :].any(axis=0).all()


@pytest.mark.parametrize("broken", ["bob_flair.nii", "bob.mha"])
def test_the_mask_of_what_cannot_be_read_is_nobody_elses(tmp_path: Path, broken: str) -> None:
    """Alone it would be its folder's only scan's; with a scan missing nobody is the only one."""
    folder = lay(tmp_path, {"flair.nii": SCAN, "bob_mask.nii": 10})
    assert rows_of(read(folder)) == {"flair": 10}
    lay(tmp_path, {broken: BROKEN})
    found = read(folder)
    assert rows_of(found) == {"flair": None}
    assert [file for file, _ in said(found)] == [broken, "bob_mask.nii"]
    assert rows_of(read(zipped(tmp_path.with_suffix(".zip"), inside(folder)))) == {"flair": None}
    assert rows_of(read(folder, most_files=1)) == {}, "nor of a scan that is one file too many"


@pytest.mark.parametrize("place", ["", "p1", "masks"])
def test_a_mask_beside_a_dicom_series(tmp_path: Path, place: str) -> None:
    series(tmp_path / "p1")
    lay(tmp_path / place, {"seg.nii": 10})
    assert list(rows_of(read(tmp_path)).values()) == [10]


def test_masks_beside_their_dicom_series(tmp_path: Path) -> None:
    for patient, rows in (("p1", 10), ("p2", 20)):
        series(tmp_path / patient)
        lay(tmp_path / patient, {"seg.nii": rows})
    assert list(rows_of(read(tmp_path)).values()) == [10, 20]
    for path in (tmp_path / "p1").glob("IM*"):
        path.unlink()
    (tmp_path / "p1" / "seg.nii").unlink()
    nifti(tmp_path / "p1" / "seg.nii", *turned("LPS", rows_up_to(5), (5.0, 3.5, 3.5)))  # of another grid
    found = read(tmp_path)
    assert list(rows_of(found).values()) == [20] and said(found) == [("seg.nii", "mask_unmatched")]


def test_a_segmentation_goes_to_its_study_and_to_no_other(tmp_path: Path) -> None:
    paths = series(tmp_path / "a")
    other = series(tmp_path / "b")
    seg = segmentation(tmp_path, paths, HEAD.mask)
    found = read([*paths, *other, seg])
    assert not found.errors and [c.reference is not None for c in found.cases] == [True, False]
    found = read([*other, seg])
    assert found.cases[0].reference is None and said(found) == [("seg.dcm", "seg_of_other_study")]
    found = read(other, [seg])
    assert found.cases[0].reference is None and said(found) == [("seg.dcm", "seg_of_other_study")]
    attached, errors = attach(found.cases, [seg], tmp_path / "work")
    assert attached[0].reference is None and [e.sentence.key for e in errors] == ["seg_of_other_study"]
    lay(tmp_path / "n", {"head.nii": SCAN})
    assert only(tmp_path / "n", references=[seg]).reference is not None, "of a series that was converted since"


@pytest.mark.parametrize("when", ["among", "with", "later"])
@pytest.mark.parametrize(("shift", "thick", "matched"), [(0, 1, True), (1.3, 1, False), (0, 2, False)])
def test_a_segmentation_of_another_series_of_the_study_is_attached_on_its_own_grid_alone(
    tmp_path: Path, when: str, shift: float, thick: int, matched: bool
) -> None:
    spacing = (SPACING[0] * thick, *SPACING[1:])
    flair = series(tmp_path / "a", StudyInstanceUID="1.2.3")
    t1 = series(tmp_path / "b", spacing=spacing, StudyInstanceUID="1.2.3", SeriesDescription="AX T1", SeriesNumber=4)
    for path in t1:
        x, y, z = pydicom.dcmread(path).ImagePositionPatient
        change(path, ImagePositionPatient=[x + shift, y, z])
    seg = segmentation(tmp_path, t1, HEAD.mask)
    found = read([*flair, *t1, *([seg] if when == "among" else [])], [seg] if when == "with" else [])
    cases, errors = attach(found.cases, [seg], tmp_path / "work") if when == "later" else (found.cases, found.errors)
    assert [e.sentence.key for e in errors] == ([] if matched else ["seg_of_other_series"])
    assert [c.reference is not None for c in cases] == [matched]
    own = segmentation(tmp_path / "a", flair, HEAD.mask)
    change(own, StudyInstanceUID="1.2.4")
    assert only([*flair, own]).reference is not None, "by its images, where a careless anonymiser changed the study"


# Given as references


@pytest.mark.parametrize("when", ["with", "later"])
@pytest.mark.parametrize(
    ("scans", "masks", "expected", "unmatched"),
    [
        (["ann_flair.nii"], {"ann_seg.nii": 10, "bob_seg.nii": 20}, [10], ["bob_seg.nii"]),
        (["ann_flair.nii"], {"truth.nii": 10}, [10], []),
        (["ann_flair.nii"], {"bob_flair.nii": 10}, [10], []),  # the only one of the only scan, whatever its name
        (["ann_flair.nii", "flair.nii"], {"ann_seg.nii": 10, "seg.nii": 20}, [10, None], ["seg.nii"]),
        (["flair.nii"], {"oedema_seg.nii": 10, "core_seg.nii": 20}, [20], []),
        (["ann.nii", "bob.nii"], {"stray_mask.nii": 10}, [None, None], ["stray_mask.nii"]),
        (["ann.nii", "bob.nii"], {"labels/bob.nii": 10}, [None, 10], []),
        (["a.png", "b.png", "c.png"], {"a_mask.png": 10, "b.png": 20}, [10, 20, None], []),
        (["a.png"], {"zzz.png": 10}, [10], []),
        (["a.png", "b.png"], {"c_mask.png": 10}, [None, None], ["c_mask.png"]),
        (["p1/1.png", "p2/1.png"], {"p1/1_mask.png": 10, "p2/1_mask.png": 20}, [10, 20], []),
        (["p1/1.png", "p2/1.png"], {"1_mask.png": 10}, [None, None], ["1_mask.png"]),
        (["img_3.png", "x.png"], {"mask_3.png": 20, "X_label.png": 30}, [20, 30], []),
        (["imagesTr/a_0000.nii", "imagesTr/b_0000.nii"], {"labelsTr/b.nii": 10}, [None, 10], []),
    ],
    ids=str,
)  # fmt: skip
def test_masks_that_are_given(
    tmp_path: Path, when: str, scans: list[str], masks: Files, expected: list[int | None], unmatched: list[str]
) -> None:
    lay(tmp_path / "in", dict.fromkeys(scans, SCAN))
    lay(tmp_path / "truth", masks)
    inputs, references = [tmp_path / "in" / n for n in scans], [tmp_path / "truth" / n for n in masks]
    found = read(inputs, references if when == "with" else [])
    if when == "later":
        cases, errors = attach(found.cases, references, tmp_path / "work")
        found = found._replace(cases=cases, errors=errors)
    assert list(rows_of(found).values()) == expected
    assert said(found) == [(Path(n).name, "mask_unmatched") for n in unmatched]


def test_what_is_given_stands_instead_of_what_was_found(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"ann_flair.nii": SCAN, "ann_seg.nii": 10, "s.png": SCAN, "s_mask.png": 10})
    lay(tmp_path / "truth", {"ann_seg.nii": 20, "s_mask.png": 30})
    found = read(tmp_path / "in", [tmp_path / "truth"])
    assert sorted(filter(None, rows_of(found).values())) == [20, 30] and not found.errors


def test_a_scan_among_the_references_is_not_its_own(tmp_path: Path) -> None:
    lay(tmp_path, {"ann_flair.nii": SCAN, "t/ann_flair.nii": SCAN, "t/ann_seg.nii": 10, "t/ann_probability.nii": SCAN})
    for truth in (tmp_path / "t", zipped(tmp_path / "t.zip", inside(tmp_path / "t"))):
        found = read([tmp_path / "ann_flair.nii"], [truth])
        assert rows_of(found) == {"ann_flair": 10} and not found.errors and not warned(found.cases[0])
    found = read([tmp_path / "ann_flair.nii"], [tmp_path / "ann_flair.nii", tmp_path / "t" / "ann_seg.nii"])
    assert rows_of(found) == {"ann_flair": 10} and not found.errors


def test_a_picture_among_the_references_is_not_its_own(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": SCAN, "a_mask.png": 10})
    for order in (["a.png", "a_mask.png"], ["a_mask.png", "a.png"]):
        assert rows_of(read([tmp_path / "a.png"], [tmp_path / n for n in order])) == {"a.png": 10}


def test_masks_of_a_series_come_in_parts(tmp_path: Path) -> None:
    lay(tmp_path, {"s_1.png": SCAN, "s_2.png": SCAN, "t/s_1_mask.png": 10, "t/s_2_mask.png": 20})
    (case,) = read([tmp_path / "s_1.png", tmp_path / "s_2.png"]).cases
    (one,), _ = attach([case], [tmp_path / "t" / "s_1_mask.png"], tmp_path / "w1")
    assert one.referenced is not None and one.referenced.tolist() == [True, False]
    (both,), _ = attach([one], [tmp_path / "t" / "s_2_mask.png"], tmp_path / "w2")
    assert both.reference is not None and both.reference.any(axis=2).sum(axis=1).tolist() == [10, 20]
    assert one.reference is not None and not one.reference[1].any(), "what was there is left as it was"


def test_several_masks_of_one_scan_are_united_and_said_to_be(tmp_path: Path) -> None:
    lay(tmp_path, {"ann_flair.nii": SCAN, "ann_tumor_segmentation.nii": 10, "ann_label.nii": 20})
    found = read(tmp_path)
    assert rows_of(found) == {"ann_flair": 20} and warned(found.cases[0]) == ["masks_united"]
    (alone,), _ = attach(found.cases, [tmp_path / "ann_tumor_segmentation.nii"], tmp_path / "work")
    assert warned(alone) == [] and alone.reference is not None and not alone.reference[:, 10:].any()


def test_a_brains_mask_is_no_reference_unless_given_as_one(tmp_path: Path) -> None:
    lay(tmp_path, {"p/flair.nii": SCAN, "p/brain_mask.nii": 10})
    found = read(tmp_path)
    assert rows_of(found) == {"p/flair": None} and not found.errors and not found.notices
    assert list(rows_of(read(tmp_path, [tmp_path / "p" / "brain_mask.nii"])).values()) == [10]
    lay(tmp_path, {"q/x_brain_mask.nii": 10})
    found = read(tmp_path)
    assert not found.errors and [n.sentence.key for n in found.notices] == ["others_beside"]
    assert said(read(tmp_path / "q")) == [("q/x_brain_mask", "flair_missing")] or said(read(tmp_path / "q"))

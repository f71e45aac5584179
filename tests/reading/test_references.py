"""References on the slices of their cases: on whatever grid they were drawn, at once or one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from helpers import (
    HEAD,
    SCAN,
    SPACING,
    attach,
    change,
    directory,
    inside,
    lay,
    nifti,
    only,
    read,
    segmentation,
    series,
    turned,
    warned,
    zipped,
)
from PIL import Image
from scipy import ndimage

from lgg_demo.case import Case, Scan, Study
from lgg_demo.output.dicom import DicomChoice, write_dicom
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of

Spacing = tuple[float, ...]
Given = Callable[..., tuple[Case, list[str]]]


@pytest.fixture
def head(tmp_path: Path) -> Study:
    return only(lay(tmp_path / "head", {"x_flair.nii": SCAN}))


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A case with a mask that is given later, as an array, and the keys of what was said."""
    count = iter(range(1000))

    def call(
        case: Case, *masks: np.ndarray, spacing: tuple[float, ...] = SPACING, move: float = 0.0
    ) -> tuple[Case, list[str]]:
        folder = tmp_path / f"given{next(count)}"
        folder.mkdir()
        paths = []
        for name, mask in zip(("mask", "seg"), masks, strict=False):
            values, affine = turned("LPS", mask.astype(np.float32), spacing)
            affine[:3, 3] += move
            paths.append(nifti(folder / f"{name}.nii", values, affine))
        (attached,), errors = attach([case], paths, folder / "work")
        return attached, [e.sentence.key for e in errors]

    return call


def test_of_any_orientation_and_kind_of_file(tmp_path: Path, head: Study) -> None:
    mask = nifti(tmp_path / "any name.nii.gz", *turned("PSR", HEAD.mask.astype(np.uint8)))
    pages = tmp_path / "pages.tif"
    tifffile.imwrite(pages, HEAD.mask.astype(np.uint8) * 255, photometric="minisblack")
    packed = zipped(tmp_path / "m.zip", {"m.nii.gz": mask.read_bytes()})
    finished = result_of(head, np.zeros(head.scan.pixels.shape[:3], dtype=np.uint8))
    for n, path in enumerate((mask, pages, packed)):
        for one in (head, finished):
            (attached,), errors = attach([one], [path], tmp_path / f"{n}{type(one).__name__}")  # type: ignore[list-item]
            assert not errors and attached.reference is not None and attached.referenced is not None
            np.testing.assert_array_equal(attached.reference, HEAD.mask)
            assert attached.referenced.all() and attached.reference_warnings == ()


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_a_probability_is_cut_at_half_with_a_warning(head: Study, given: Given, top: float) -> None:
    soft = ndimage.gaussian_filter(HEAD.mask.astype(np.float32), (0, 2, 2))
    soft *= top / soft.max()
    case, _ = given(head, soft)
    assert warned(case) == ["mask_graded"]
    np.testing.assert_array_equal(case.reference, soft >= top / 2)


def test_of_another_grid_it_is_resampled_with_a_warning(head: Study, given: Given) -> None:
    fine = np.kron(HEAD.mask, np.ones((1, 2, 2)))
    case, _ = given(head, fine, spacing=(5.0, 1.8, 1.8), move=0.9)
    assert "mask_resampled" in warned(case) and (case.reference != HEAD.mask).mean() < 0.02


def test_where_it_lies_nowhere_in_the_volume(head: Study, given: Given) -> None:
    case, _ = given(head, HEAD.mask, move=3000.0)
    assert warned(case) == ["mask_by_voxel"]
    np.testing.assert_array_equal(case.reference, HEAD.mask)
    case, said = given(head, HEAD.mask[:-1], move=500.0)
    assert case.reference is None and said == ["mask_unmatched"]


def test_a_small_lesion_between_thick_slices_is_no_stranger(head: Study, given: Given) -> None:
    for n in range(9, 14):
        one = np.zeros((36, 64, 64))
        one[n, 30, 30] = 1
        case, said = given(head, one, spacing=(SPACING[0] / 3, 1.8, 1.8))
        assert not said and case.reference is not None


def test_a_new_one_stands_instead_of_the_one_before(tmp_path: Path, head: Study, given: Given) -> None:
    wrong, right = HEAD.mask.copy(), HEAD.mask.copy()
    wrong[:, :32], right[:, 32:] = True, False
    once, _ = given(head, wrong)
    twice, _ = given(once, right)
    np.testing.assert_array_equal(once.reference, wrong)
    np.testing.assert_array_equal(twice.reference, right)
    resampled, _ = given(once, np.kron(right, np.ones((1, 2, 2))), spacing=(5.0, 0.9, 0.9))
    assert "mask_resampled" in warned(resampled)
    exact, _ = given(resampled, right)
    assert warned(exact) == [], "what was said of the mask before goes with it"
    tifffile.imwrite(tmp_path / "x_mask.tif", (wrong * 255).astype(np.uint8))
    (again,), _ = attach([exact], [tmp_path / "x_mask.tif"], tmp_path / "work")
    np.testing.assert_array_equal(again.reference, wrong)
    both, _ = given(twice, wrong, right)
    np.testing.assert_array_equal(both.reference, wrong | right)
    assert warned(both) == ["masks_united"]


def test_masks_of_a_dicom_series_in_another_order_of_voxels(tmp_path: Path) -> None:
    """As converters write them: never on the series' own grid. A series of another modality beside is no loss."""
    series(tmp_path / "mr")
    series(tmp_path / "pet", np.zeros((2, 64, 64)), Modality="PT")
    for name, rows in (("brain_mask", 60), ("lesion_mask", 20)):
        values = np.zeros_like(HEAD.mask, dtype=np.float32)
        values[:, :rows] = 1
        nifti(tmp_path / f"{name}.nii.gz", *turned("LAS", values))
    found = read(tmp_path)
    (case,) = found.cases
    assert case.reference is not None and int(case.reference.any(axis=(0, 2)).sum()) == 20
    assert not found.errors and {n.sentence.key for n in found.notices} <= {"dicom_modality", "others_beside"}


def test_a_segmentation_beside_its_series(tmp_path: Path) -> None:
    paths = series(tmp_path / "s")
    segmentation(tmp_path / "s", paths, HEAD.mask)
    for upload in (tmp_path / "s", zipped(tmp_path / "x.zip", inside(tmp_path / "s"))):
        case = only(upload)
        np.testing.assert_array_equal(case.reference, HEAD.mask)


def test_a_segmentation_of_a_series_with_a_gap_comes_back_where_it_was(tmp_path: Path) -> None:
    paths = sorted(series(tmp_path / "s"), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])
    case = only(paths[:3] + paths[4:])
    assert warned(case) == ["series_missing"] and case.scan.grid is not None
    wanted = HEAD.mask.copy()
    wanted[3] = False
    result = result_of(case, np.uint8(wanted) * 255)
    report = build_report([result], 0.5, {"name": "m"})
    (seg,), _ = write_dicom(result, report, tmp_path, choice=DicomChoice(("seg",)))
    (attached,), errors = attach([case], [seg], tmp_path / "w1")
    assert not errors
    np.testing.assert_array_equal(attached.reference, wanted)
    (whole,), _ = attach([only(paths)], [seg], tmp_path / "w2")
    np.testing.assert_array_equal(whole.reference, wanted, "on the series without a gap it lies in the same place")
    t1 = series(tmp_path / "t", (HEAD.flair * 0.5).round(), SeriesDescription="AX T1", SeriesNumber=2)
    for path in t1:
        change(path, StudyInstanceUID=pydicom.dcmread(paths[0]).StudyInstanceUID)
    both = only(paths[:3] + paths[4:] + t1)
    np.testing.assert_array_equal(both.scan.pixels[..., 0], (HEAD.flair * 0.5).round())


# Pictures


def test_masks_of_another_shape(tmp_path: Path) -> None:
    for name, shape in (("a", (3, 64, 64)), ("b", (3, 64, 64)), ("a_mask", (2, 64, 64)), ("b_mask", (3, 64, 48))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.resize(HEAD.flair, shape), photometric="minisblack")
    found = read(tmp_path)
    assert all(c.reference is None for c in found.cases)
    assert [(e.file, e.sentence.key) for e in found.errors] == [
        ("a_mask.tif", "mask_slices_differ"),
        ("b_mask.tif", "mask_size_differs"),
    ]


def test_of_several_masks_of_a_picture_one_is_taken_and_told(tmp_path: Path) -> None:
    lay(tmp_path, {"x.png": SCAN, "x_seg.png": 10, "x_gt.png": 20})
    (case,) = read(tmp_path).cases
    assert case.reference is not None
    assert [(w.key, w.values["count"]) for w in case.reference_warnings] == [("mask_several", 2)]
    lay(tmp_path, {"x_mask.png": 30, "x_corrected_mask.png": 40})
    (case,) = read(tmp_path).cases
    assert case.reference is not None and case.reference.any(axis=(0, 2)).sum() == 40, "what a hand corrected comes first"


def test_a_mask_that_covers_the_picture_is_told(tmp_path: Path) -> None:
    hole = HEAD.mask[6]
    for n in (1, 2, 3):
        lay(tmp_path / "in", {f"s_{n}.png": SCAN})
        mask = ~hole if n < 3 else hole
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "in" / f"s_{n}_mask.png")
    (case,) = read(tmp_path / "in").cases
    assert case.reference is not None and case.reference[0].sum() == (~hole).sum()
    assert [(w.key, w.values) for w in case.reference_warnings] == [("mask_covers", {"file": "s_1_mask.png", "slices": 2})]
    lay(tmp_path / "truth", {"s_1_mask.png": 10, "s_2_mask.png": 10})
    (one,), _ = attach([case], [tmp_path / "truth" / "s_2_mask.png"], tmp_path / "w1")
    assert [w.values for w in one.reference_warnings] == [{"file": "s_1_mask.png", "slices": 1}]
    (both,), _ = attach([one], [tmp_path / "truth"], tmp_path / "w2")
    assert both.reference_warnings == ()


def test_no_sentence_on_a_mask_names_the_file_of_its_image(tmp_path: Path) -> None:
    scan = Scan(np.zeros((2, 64, 64, 3), np.float32), "series", (("series", 2),))
    case = Case(scan, (tmp_path / "DOE_JOHN_7.dcm",))  # one path stands for a DICOM series
    tifffile.imwrite(tmp_path / "truth.tif", np.full((2, 64, 64), 255, np.uint8), photometric="minisblack")
    (case,), errors = attach([case], [tmp_path / "truth.tif"], tmp_path / "w1")
    assert not errors and [w.values["file"] for w in case.reference_warnings] == ["truth.tif"]
    lay(tmp_path, {"truth.png": 10})
    _, errors = attach([case], [tmp_path / "truth.png"], tmp_path / "w2")
    assert errors and not any("DOE" in str(said) for said in (*errors, *case.reference_warnings))


def test_nothing_is_said_of_what_is_nothing(tmp_path: Path, head: Study) -> None:
    (tmp_path / "empty").mkdir()
    for paths, key in ((directory(tmp_path / "DICOMDIR"), "nothing_inside"), (tmp_path / "empty", "no_images")):
        assert [e.sentence.key for e in attach([head], [paths], tmp_path / "w")[1]] == [key]
        assert [e.sentence.key for e in read(tmp_path / "head", [paths]).errors] == [key]

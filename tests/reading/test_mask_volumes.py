"""What the values of a mask's volume mean, and where it lies."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lgg_demo.case import Case, Scan
from lgg_demo.grid import Grid
from lgg_demo.reading.archive import Item
from lgg_demo.reading.nifti import find_nifti
from lgg_demo.reading.plan import Header
from lgg_demo.reading.references import attach

SHAPE = (40, 48, 12)
TILT = np.deg2rad(7)
TURN = np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([-4.5, 4.5, 5.5])
AFFINE[:3, 3] = -AFFINE[:3, :3] @ (np.array(SHAPE) / 2)
LESION = np.zeros(SHAPE, dtype=bool)
LESION[8:19, 11:30, 3:9] = True
X, Y, Z = np.indices(SHAPE)


def case(affine: np.ndarray = AFFINE, shape: tuple[int, int, int] = SHAPE) -> Case:
    grid = Grid(shape, affine)
    stack = grid.to_stack(np.zeros(shape, np.float32))
    scan = Scan(np.repeat(stack[..., None], 3, -1), "flair", (("flair", len(stack)),), True, grid)
    return Case(scan, (Path("flair.nii"),))


def given(
    folder: Path, values: np.ndarray, affine: np.ndarray | None = AFFINE, to: Case | None = None, codes: int = 1
) -> tuple[np.ndarray | None, list[str]]:
    """What of a mask lands on a scan, on the scan's own grid, and what is said of it or why it is refused."""
    path = folder / "flair_mask.nii.gz"
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.set_sform(image.affine, codes)
    image.set_qform(image.affine, codes)
    nib.save(image, path)
    item = Item(path, path, path.name, 1, True, path)
    to = to or case()
    done, errors = attach(to, [], [Header(found, item, "mask") for found in find_nifti(path)])
    said = [e.sentence.key for e in errors] + [w.key for w in done.reference_warnings]
    assert to.scan.grid is not None
    return (None if done.reference is None else to.scan.grid.to_own(done.reference).astype(bool)), said


NUMBERED = np.where(LESION, 1 + (X + 2 * Y + 5 * Z) % 12, 0)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (LESION.astype(np.uint8), []),
        (LESION.astype(np.uint8) * 255, []),
        (LESION.astype(np.float32), []),
        (LESION.astype(np.float64) * 255, []),
        (LESION.astype(np.float32) * 0.2, []),
        (np.where(LESION, 1 + X % 3 + (X % 3 == 2), 0).astype(np.uint8), []),
        (NUMBERED.astype(np.int16), []),
        (NUMBERED.astype(np.int32) * 100, []),
        (NUMBERED.astype(np.float32), []),
        (np.where(LESION, 1, -1).astype(np.int16), []),
        (np.where(LESION, 1, np.nan).astype(np.float32), ["mask_not_finite"]),
        (np.where(LESION, 1 + X % 2, np.nan).astype(np.float32), ["mask_not_finite"]),
        (np.where(LESION, 1, np.inf).astype(np.float32), ["mask_not_finite"]),
        (np.where(LESION, 0.5 + X / 100, X / 100).astype(np.float32), ["mask_graded"]),
        (np.where(LESION, 0.6, 0.4).astype(np.float32), ["mask_graded"]),
        (np.where(LESION, 120.5 + X, X).astype(np.float32), ["mask_graded"]),
        (np.where(LESION, 1 + (X + 2 * Y + 5 * Z) % 99, 0).astype(np.int16), ["mask_numbered"]),
    ],
    ids=["0 and 1", "255", "float", "float 255", "one fraction", "BraTS", "numbered", "hundreds", "numbered floats", "-1",
         "NaN", "NaN around labels", "inf", "probability", "two fractions", "beyond 1", "as many as an image"],
)  # fmt: skip
def test_what_values_mean(tmp_path: Path, values: np.ndarray, keys: list[str]) -> None:
    got, said = given(tmp_path, values)
    np.testing.assert_array_equal(got, LESION)
    assert said == keys


def test_whole_numbers_by_a_scale_are_what_they_are_scaled_to(tmp_path: Path) -> None:
    probability = nib.Nifti1Image(np.where(LESION, 200, 40).astype(np.uint8), AFFINE)
    probability.header.set_slope_inter(1 / 255, 0)
    nib.save(probability, tmp_path / "flair_mask.nii")
    (found,) = find_nifti(tmp_path / "flair_mask.nii")
    item = Item(tmp_path, tmp_path, "", 1, True, tmp_path)
    done, _ = attach(case(), [], [Header(found, item, "mask")])
    assert done.reference is not None and done.reference.sum() == LESION.sum()
    assert [w.key for w in done.reference_warnings] == ["mask_graded"]


@pytest.mark.parametrize("values", [1 - LESION.astype(np.uint8), 1 + LESION.astype(np.uint8)], ids=["inverted", "from 1"])
def test_a_mask_that_covers_nearly_all_is_said(tmp_path: Path, values: np.ndarray) -> None:
    assert given(tmp_path, values)[1] == ["mask_covers"]


def test_a_mask_that_reaches_the_corners_is_said(tmp_path: Path) -> None:
    margin = LESION | (X < 3) | (Y > 44)
    assert given(tmp_path, margin.astype(np.uint8))[1] == ["mask_covers"]
    assert given(tmp_path, (~LESION & (X > 14) & (Y > 20)).astype(np.uint8))[1] == []


def test_channels_before_the_axes_are_volumes(tmp_path: Path) -> None:
    left, right = LESION & (X < 13), LESION & (X >= 13)
    got, said = given(tmp_path, np.stack([~LESION, left, right]).astype(np.int16))
    np.testing.assert_array_equal(got, LESION)
    assert said == ["mask_one_hot"]
    got, said = given(tmp_path, np.stack([~LESION, left, right]).astype(np.int16), np.eye(4))
    np.testing.assert_array_equal(got, LESION)
    assert set(said) == {"mask_one_hot", "mask_without_geometry"}


def test_of_one_hot_volumes_the_background_is_left_out(tmp_path: Path) -> None:
    left, right = LESION & (X < 13), LESION & (X >= 13)
    for volumes in ([~LESION, LESION], [LESION, ~LESION], [~LESION, left, right]):
        for scale in (1, 255):
            got, said = given(tmp_path, np.stack(volumes, -1).astype(np.uint8) * scale)
            np.testing.assert_array_equal(got, LESION)
            assert said == ["mask_one_hot"]
    soft = np.where(np.stack([~LESION, LESION], -1), 0.9, 0.1).astype(np.float32)
    got, said = given(tmp_path, soft)
    np.testing.assert_array_equal(got, LESION)
    assert set(said) == {"mask_one_hot", "mask_graded"}
    got, said = given(tmp_path, np.stack([left, right], -1).astype(np.uint8))
    np.testing.assert_array_equal(got, LESION)
    assert said == ["mask_united"]
    assert given(tmp_path, LESION[..., None].astype(np.uint8))[1] == []


MM = np.diag([-1.0, -1, 1, 1])
MM[:3, 3] = 20, 24, -6


@pytest.mark.parametrize("to", [AFFINE, MM], ids=["tilted", "whole mm"])
@pytest.mark.parametrize(
    "affine",
    [np.eye(4), np.diag([-1.0, -1, 1, 1]), np.diag([1.0, -1, 1, 1]), np.diag([4.5, 4.5, 5.5, 1])],
    ids=["unit", "unit of ITK", "mirrored", "sizes alone"],
)
def test_a_mask_without_geometry_is_laid_voxel_by_voxel_and_said(
    tmp_path: Path, affine: np.ndarray, to: np.ndarray
) -> None:
    got, said = given(tmp_path, LESION.astype(np.uint8), affine, case(to))
    np.testing.assert_array_equal(got, LESION)
    assert said == ["mask_without_geometry"]
    got, said = given(tmp_path, np.pad(LESION, 2).astype(np.uint8), affine, case(to))
    assert got is None and said == ["mask_nowhere"]


def test_a_mask_whose_header_has_no_form_is_laid_voxel_by_voxel(tmp_path: Path) -> None:
    shifted = MM.copy()
    shifted[:3, 3] += 3
    got, said = given(tmp_path, LESION.astype(np.uint8), shifted, codes=0)
    np.testing.assert_array_equal(got, LESION)
    assert said == ["mask_without_geometry"]


def test_where_scan_and_mask_both_know_no_place_nothing_is_said(tmp_path: Path) -> None:
    got, said = given(tmp_path, LESION.astype(np.uint8), np.eye(4), case(np.eye(4)))
    np.testing.assert_array_equal(got, LESION)
    assert said == []


def test_geometry_that_differs_is_believed_and_said(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += 3 * AFFINE[:3, 0] + 1
    got, said = given(tmp_path, LESION.astype(np.uint8), moved)
    assert got is not None and said == ["mask_resampled"]
    overlap = 2 * (got & np.roll(LESION, 3, axis=0)).sum() / (got.sum() + LESION.sum())
    assert overlap > 0.9


def test_a_mask_mostly_outside_is_said(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += 27 * AFFINE[:3, 0]
    _, said = given(tmp_path, LESION.astype(np.uint8), moved)
    assert "mask_outside" in said
    half = AFFINE.copy()
    half[:3, :3] /= 2
    fine = np.kron(LESION, np.ones((2, 2, 2))).astype(np.uint8)
    half[:3, 3] -= half[:3, :3] @ np.full(3, 0.5)
    assert "mask_outside" not in given(tmp_path, fine, half)[1], "voxels of another size are compared by volume"

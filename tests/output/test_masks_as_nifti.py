"""A NIfTI mask lies where its input does in every program: nibabel's and ITK's."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import read_dicom
from dicom_files import series as files_of_a_series
from drawn_results import RECORD, volume_result
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from nifti_files import read_nifti

from lgg_demo.grid import Grid
from lgg_demo.output.files import write_outputs
from lgg_demo.output.nifti import write_nifti
from lgg_demo.output.report import build_report
from lgg_demo.probability import binarise

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)


@pytest.mark.parametrize(
    "codes", ["".join(a[s] for a, s in zip(p, t, strict=True)) for p in permutations(("RL", "AP", "SI"))
              for t in ((0, 0, 0), (1, 0, 1), (0, 1, 1))]
)  # fmt: skip
def test_nifti_on_the_own_grid_of_any_orientation(tmp_path: Path, codes: str) -> None:
    shape = (6, 7, 8)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    tilt = np.eye(4)
    tilt[:3, :3] = nib.eulerangles.euler2mat(0.05, -0.1, 0.15)
    grid = Grid(shape, tilt @ np.diag([0.8, 0.9, 4.0, 1]) @ inv_ornt_aff(turn, shape))
    assert nib.aff2axcodes(grid.affine) == tuple(codes)
    r = volume_result(grid, name="scan.nii.gz")
    report = build_report([r], 0.4, RECORD)
    write_outputs([r], 0.4, report, tmp_path)
    (entry,) = report["images"]
    mask, probability = (nib.load(tmp_path / entry[kind]) for kind in ("mask", "probability"))
    np.testing.assert_array_equal(mask.get_fdata() > 0, binarise(grid.to_own(r.probability), 0.4))
    np.testing.assert_array_equal(np.asarray(probability.dataobj.get_unscaled()), grid.to_own(r.probability))
    np.testing.assert_allclose(probability.get_fdata(), grid.to_own(r.probability) / 255, atol=1e-6)
    for image in (mask, probability):
        assert image.get_data_dtype() == np.uint8 and image.shape == shape
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
        np.testing.assert_allclose(image.affine, grid.affine, atol=1e-5)
        np.testing.assert_allclose(image.get_qform(), grid.affine, atol=1e-4)


def corners_in_itk(path: Path) -> np.ndarray | None:
    """Where ITK lays the corners of a NIfTI, (8, 3) in mm, LPS+; None where it does not open it."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    corners = product(*((0, n - 1) for n in image.GetSize()))
    return np.array([image.TransformIndexToPhysicalPoint(tuple(c)) for c in corners])


def written_like(folder: Path, given: Any) -> Any:
    """What is written of a NIfTI that is read; ITK must lay both alike, if it opens the one given."""
    nib.save(given, folder / "given.nii")
    (volume,) = read_nifti(folder / "given.nii")
    write_nifti(folder / "out.nii", np.ones(given.shape), volume.grid)
    if type(given) is nib.Nifti1Image:  # ITK opens no NIfTI-2
        theirs, ours = (corners_in_itk(folder / f"{name}.nii") for name in ("given", "out"))
        assert (theirs is None) == (ours is None)
        if theirs is not None and ours is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    return nib.load(folder / "out.nii")


FORMS = {
    "sform alone": (1, 0),
    "qform alone": (0, 1),
    "neither": (0, 0),
    "both": (1, 1),
    "atlas beside scanner": (2, 1),
    "unknown codes": (7, 9),
    "negative codes": (-1, -2),
    "an unknown code alone": (6, 0),
}


@pytest.mark.parametrize("shear", [0, 0.002, 0.5])
@pytest.mark.parametrize("codes", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_mask_lies_where_its_nifti_does_in_every_program(
    tmp_path: Path, codes: tuple[int, int], shear: float, version: Any
) -> None:
    """Whichever form a program takes, and whatever it makes of one: the other one is turned, mirrored and moved."""
    affine, other = np.diag([-2.0, 2, 5, 1]), np.diag([2.0, 2, 5, 1])
    affine[:3, 3], affine[1, 2] = (-30, 20, 10), shear
    other[:3, :3] = nib.eulerangles.euler2mat(0.3, 0.1, -0.2) @ other[:3, :3]
    given = version(np.ones((20, 22, 9), np.float32), None)
    given.header.set_xyzt_units("mm", "sec")
    given.set_qform(other, 1)
    given.set_sform(affine, 1)
    given.header["sform_code"], given.header["qform_code"] = codes
    given.header["descrip"], given.header["intent_name"] = b"PLANTED^NAME", b"PLANTED"
    ours, theirs = written_like(tmp_path, given), nib.load(tmp_path / "given.nii")
    assert b"PLANTED" not in (tmp_path / "out.nii").read_bytes()
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    for form in ("sform", "qform"):
        assert int(ours.header[f"{form}_code"]) == int(theirs.header[f"{form}_code"])
        np.testing.assert_allclose(getattr(ours, f"get_{form}")(), getattr(theirs, f"get_{form}")(), atol=1e-5)
    assert ours.header.get_xyzt_units() == theirs.header.get_xyzt_units()


@pytest.mark.parametrize(("field", "value"), [("qfac", 0), ("quatern_b", 5), ("quatern_c", np.nan)])
def test_forms_that_are_none_are_no_more_in_the_output(tmp_path: Path, field: str, value: float) -> None:
    given = nib.Nifti1Image(np.ones((20, 20, 4), np.float32), np.diag([-2.0, -2, 5, 1]))
    given.set_qform(given.affine, 1)
    if field == "qfac":
        given.header["pixdim"][0] = value
    else:
        given.header[field] = value
    np.testing.assert_allclose(written_like(tmp_path, given).affine, given.affine)


def slide(tilt: float = 0.0, digits: int = 9, jitter: float = 0.0) -> Any:
    """How a series may depart from right angles: slices that slide by so many mm each, rounded, at random."""
    rng = np.random.default_rng(0)

    def move(n: int, position: list[float]) -> list[float]:
        x, y, z = position
        return [round(v, digits) for v in (x + rng.normal(0, jitter), y + tilt * n + rng.normal(0, jitter), z)]

    return move


@pytest.mark.parametrize(
    ("move", "sheared", "apart"),
    [
        (slide(), False, 1e-3),
        # ITK lays all slices by the first one's place, the reader by the line through all: no further apart than it is off.
        (slide(0.013, digits=1), False, 0.1),
        (slide(jitter=0.02), False, 0.06),
        (slide(0.4), True, 1e-3),
        (slide(-1.7), True, 1e-3),
        (slide(jitter=0.9), True, 2.0),
    ],
    ids=["even", "rounded", "slight jitter", "tilted", "strongly tilted", "jitter"],
)
def test_a_mask_lies_where_itk_reads_its_series(tmp_path: Path, move: Any, sheared: bool, apart: float) -> None:
    files = files_of_a_series(tmp_path / "in", spacing=(5.3, 3.6, 3.1))
    for path in files:
        header = pydicom.dcmread(path)
        x, y, z = map(float, header.ImagePositionPatient)
        header.ImagePositionPatient = move(round((z + 40) / 5.3), [x, y, z])
        header.save_as(path)
    (volume,), problems = read_dicom(files)
    assert not problems
    grid = volume.grid
    write_nifti(tmp_path / "out.nii.gz", np.ones(grid.shape), grid)
    image = nib.load(tmp_path / "out.nii.gz")
    far = np.abs(image.affine - grid.affine)[:3, :3] @ np.subtract(grid.shape, 1)
    assert far.max() < (1e-4 if sheared else 0.31), "in nibabel the grid itself, but for a tenth of a voxel"
    assert np.allclose(image.get_sform(), image.get_qform(), atol=1e-3) == (not sheared)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in")))
    read, made = reader.Execute(), SimpleITK.ReadImage(str(tmp_path / "out.nii.gz"))
    for row, column, k in product((0, 30), (0, 50), (0, len(files) - 1)):  # the file's own axes are rows, columns, slices
        theirs = read.TransformIndexToPhysicalPoint((column, row, k))
        np.testing.assert_allclose(made.TransformIndexToPhysicalPoint((row, column, k)), theirs, atol=apart)

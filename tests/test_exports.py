"""What other software opens: the same voxels, the same geometry, no identity; and a page that stays one page."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import shutil
import subprocess
import unicodedata
import zlib
from itertools import permutations, product
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import STACK, read_dicom
from dicom_files import series as files_of_a_series
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from nifti_files import read_nifti
from pydicom import Dataset
from pydicom.uid import generate_uid

from lgg_demo.case import Case, ReadError, Scan
from lgg_demo.grid import Grid
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.output.dicom_seg import NoSegmentation, source_frames, why_no_segmentation, write_segmentation
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.nifti import write_nifti
from lgg_demo.output.pdf import chosen_slices, write_pdf
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.output.table import COLUMNS, text_cell, write_csv
from lgg_demo.probability import binarise
from lgg_demo.reading.earlier import PAGE, REPORT, TABLE

RECORD = {"name": "lgg-unet", "sha256": "ab12" * 16, "created_by": "a test"}
MODEL = {k: RECORD[k] for k in ("name", "sha256")}
IDENTITY = {
    "PatientName": "PLANTED^NAME", "PatientID": "PLANTED-ID", "PatientBirthDate": "19010203", "PatientAge": "088Y",
    "PatientSex": "F", "AccessionNumber": "PLANTED-ACC", "StudyID": "PLANTED-STUDY", "StudyDate": "19990102",
    "InstitutionName": "PLANTED HOSPITAL", "ReferringPhysicianName": "PLANTED^DOCTOR", "StationName": "PLANTED-ST",
    "StudyDescription": "PLANTED DESCRIPTION", "OtherPatientIDs": "PLANTED-OTHER", "PatientComments": "PLANTED",
}  # fmt: skip
# Directions of a row and of a column (DICOM, LPS): axial, tilted, coronal, sagittal, upside down.
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "tilted": (0.9975641, 0, -0.0697565, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "prone": (-1, 0, 0, 0, -1, 0),
}  # fmt: skip
SLICES, ROWS, WIDTH = 5, 12, 10


def lps_affine(orientation: Any, spacing: tuple[float, float], between: float, origin: Any) -> np.ndarray:
    """From (column, row, slice) to millimetres, LPS+."""
    affine = np.eye(4)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * spacing[1], column * spacing[0], np.cross(row, column) * between
    affine[:3, 3] = origin
    return affine


def series(
    orientation: str = "axial", enhanced: bool = False, slices: int = SLICES, identity: bool = True
) -> tuple[list[Dataset], Grid]:
    """The headers of a series and its grid, axes (column, row, slice)."""
    spacing, between, origin = (0.9, 1.1), 3.3, (-50.5, -60.25, -20.125)
    affine = lps_affine(ORIENTATIONS[orientation], spacing, between, origin)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    headers = []
    positions = [(affine @ [0, 0, k, 1])[:3].round(6).tolist() for k in range(slices)]
    for position in positions[: 1 if enhanced else None]:
        header = Dataset()
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4" + (".1" if enhanced else "")
        header.SOPInstanceUID, header.StudyInstanceUID = generate_uid(), study
        header.SeriesInstanceUID, header.FrameOfReferenceUID = series, frame
        header.Modality, header.Rows, header.Columns = "MR", ROWS, WIDTH
        for keyword, value in (IDENTITY if identity else {}).items():
            setattr(header, keyword, value)
        if enhanced:
            header.NumberOfFrames = slices
            header.PerFrameFunctionalGroupsSequence = []
            for place in positions:
                group = Dataset()
                for name, keyword, value in (
                    ("PlanePositionSequence", "ImagePositionPatient", place),
                    ("PlaneOrientationSequence", "ImageOrientationPatient", list(ORIENTATIONS[orientation])),
                    ("PixelMeasuresSequence", "PixelSpacing", list(spacing)),
                ):
                    item = Dataset()
                    setattr(item, keyword, value)
                    setattr(group, name, [item])
                header.PerFrameFunctionalGroupsSequence.append(group)
        else:
            header.PixelSpacing, header.SliceThickness = list(spacing), 3
            header.ImageOrientationPatient = list(ORIENTATIONS[orientation])
            header.ImagePositionPatient = position
        headers.append(header)
    return headers, Grid((WIDTH, ROWS, slices), np.diag([-1.0, -1, 1, 1]) @ affine)


def result(grid: Grid, instances: Any = (), name: str = "series-3", reference: bool = False, seed: int = 0) -> Result:
    """A result of random levels with one slice that is empty."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, grid.shape).astype(np.uint8)
    levels[..., -1] = 0
    levels = grid.to_stack(levels)
    truth = rng.random(levels.shape) < 0.3 if reference else None
    known = np.ones(len(levels), bool) if reference else None
    return Result(((name, len(levels)),), (Path(name),), levels, truth, known, (), grid, tuple(instances))


# NIfTI


@pytest.mark.parametrize(
    "codes", ["".join(a[s] for a, s in zip(p, t, strict=True)) for p in permutations(("RL", "AP", "SI"))
              for t in ((0, 0, 0), (1, 0, 1), (0, 1, 1))]
)  # fmt: skip
def test_nifti_on_the_own_grid_of_any_orientation(tmp_path: Path, codes: str) -> None:
    shape = (6, 7, 8)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    tilt = np.eye(4)
    tilt[:3, :3] = nib.eulerangles.euler2mat(0.05, -0.1, 0.15)
    affine = tilt @ np.diag([0.8, 0.9, 4.0, 1]) @ inv_ornt_aff(turn, (6, 7, 8))
    grid = Grid(shape, affine)
    assert nib.aff2axcodes(affine) == tuple(codes)
    r = result(grid, name="scan.nii.gz")
    report = build_report([r], 0.4, RECORD)
    write_outputs([r], 0.4, report, tmp_path)
    (entry,) = report["images"]
    assert (entry["mask"], entry["probability"]) == ("scan_mask.nii.gz", "scan_probability.nii.gz")
    mask, probability = nib.load(tmp_path / entry["mask"]), nib.load(tmp_path / entry["probability"])
    np.testing.assert_array_equal(mask.get_fdata() > 0, binarise(grid.to_own(r.probability), 0.4))
    np.testing.assert_array_equal(np.asarray(probability.dataobj.get_unscaled()), grid.to_own(r.probability))
    np.testing.assert_allclose(probability.get_fdata(), grid.to_own(r.probability) / 255, atol=1e-6)
    for image in (mask, probability):
        assert image.get_data_dtype() == np.uint8 and image.shape == shape
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
        np.testing.assert_allclose(image.affine, affine, atol=1e-5)
        np.testing.assert_allclose(image.get_qform(), affine, atol=1e-4)


FORMS = {
    "sform alone": (1, 0),
    "qform alone": (0, 1),
    "neither": (0, 0),
    "atlas": (4, 0),
    "both": (1, 1),
    "atlas beside scanner": (2, 1),
    "unknown codes": (7, 9),
    "negative codes": (-1, -2),
    "an unknown code alone": (6, 0),
}  # fmt: skip


@pytest.mark.parametrize("shear", [0, 0.002, 0.5])
@pytest.mark.parametrize("codes", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_mask_lies_where_its_nifti_does_in_every_program(
    tmp_path: Path, codes: tuple[int, int], shear: float, version: Any
) -> None:
    """Whichever form a program takes, and whatever it makes of one: the other one is turned, mirrored and moved."""
    affine = np.diag([-2.0, 2, 5, 1])
    affine[:3, 3], affine[1, 2] = (-30, 20, 10), shear
    other = np.diag([2.0, 2, 5, 1])
    other[:3, :3] = nib.eulerangles.euler2mat(0.3, 0.1, -0.2) @ other[:3, :3]
    given = version(np.ones((20, 22, 9), np.float32), None)
    given.header.set_xyzt_units("mm", "sec")
    given.set_qform(other, 1)
    given.set_sform(affine, 1)
    given.header["sform_code"], given.header["qform_code"] = codes
    given.header["descrip"], given.header["intent_name"] = b"PLANTED^NAME", b"PLANTED"
    nib.save(given, tmp_path / "given.nii")
    (volume,) = read_nifti(tmp_path / "given.nii")
    write_nifti(tmp_path / "out.nii", np.ones((20, 22, 9)), volume.grid)
    assert b"PLANTED" not in (tmp_path / "out.nii").read_bytes()
    theirs, ours = (nib.load(tmp_path / f"{name}.nii") for name in ("given", "out"))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    for form in ("sform", "qform"):
        assert int(ours.header[f"{form}_code"]) == int(theirs.header[f"{form}_code"])
        np.testing.assert_allclose(getattr(ours, f"get_{form}")(), getattr(theirs, f"get_{form}")(), atol=1e-5)
    assert ours.header.get_xyzt_units() == theirs.header.get_xyzt_units()
    if version is nib.Nifti1Image:  # ITK opens no NIfTI-2
        assert_same_in_itk(tmp_path / "given.nii", tmp_path / "out.nii")


def in_itk(path: Path) -> np.ndarray | None:
    """Where ITK lays the corners of a NIfTI, (8, 3) in mm, LPS+; None where it does not open it."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    corners = product(*((0, n - 1) for n in image.GetSize()))
    return np.array([image.TransformIndexToPhysicalPoint(tuple(c)) for c in corners])


def assert_same_in_itk(image: Path, mask: Path) -> None:
    theirs, ours = in_itk(image), in_itk(mask)
    assert (theirs is None) == (ours is None)
    if theirs is not None and ours is not None:
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("odd", [{"qfac": 0}, {"quatern_b": 5}, {"quatern_c": np.nan}])
def test_forms_that_are_none_are_no_more_in_the_output(tmp_path: Path, odd: dict[str, float]) -> None:
    given = nib.Nifti1Image(np.ones((20, 20, 4), np.float32), np.diag([-2.0, -2, 5, 1]))
    given.set_qform(given.affine, 1)
    for field, value in odd.items():
        if field == "qfac":
            given.header["pixdim"][0] = value
        else:
            given.header[field] = value
    nib.save(given, tmp_path / "given.nii")
    (volume,) = read_nifti(tmp_path / "given.nii")
    write_nifti(tmp_path / "out.nii", np.ones((20, 20, 4)), volume.grid)
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii").affine, given.affine)
    assert_same_in_itk(tmp_path / "given.nii", tmp_path / "out.nii")


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
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in")))
    read = reader.Execute()
    made = SimpleITK.ReadImage(str(tmp_path / "out.nii.gz"))
    for row, column, k in product((0, 30), (0, 50), (0, len(files) - 1)):  # the file's own axes are rows, columns, slices
        theirs = read.TransformIndexToPhysicalPoint((column, row, k))
        ours = made.TransformIndexToPhysicalPoint((row, column, k))
        np.testing.assert_allclose(ours, theirs, atol=apart)


# DICOM SEG


def dciodvfy(path: Path) -> None:
    """No error from David Clunie's validator."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in said.stdout + said.stderr, said.stderr


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("orientation", "enhanced"), product(ORIENTATIONS, (False, True)))
def test_segmentation_lies_where_its_source_does(tmp_path: Path, orientation: str, enhanced: bool, empty: bool) -> None:
    instances, grid = series(orientation, enhanced)
    own = np.random.default_rng(1).random(grid.shape) < (0 if empty else 0.3)
    own[..., 2] = False
    path = tmp_path / "seg.dcm"
    write_segmentation(path, grid.to_stack(own), grid, instances, MODEL)
    seg = hd.seg.segread(path)
    assert seg.SegmentationType == "BINARY" and seg.number_of_segments == 1
    assert (seg.Rows, seg.Columns) == (ROWS, WIDTH)
    assert int(seg.NumberOfFrames) == (SLICES if empty else SLICES - 1)
    assert seg.StudyInstanceUID == instances[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == instances[0].FrameOfReferenceUID
    assert seg.SeriesInstanceUID != instances[0].SeriesInstanceUID
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == instances[0].SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in referenced.ReferencedInstanceSequence} == {
        i.SOPInstanceUID for i in instances
    }
    segment = seg.get_segment_description(1)
    assert segment.segment_label == "FLAIR abnormality" and segment.algorithm_type.value == "AUTOMATIC"
    assert segment.segmented_property_category.value == "49755003" and segment.segmented_property_type.value == "52988006"
    # Frame by frame: where the pixels of each frame lie, what they are, and which source image they come from.
    (orient,) = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    np.testing.assert_allclose(orient.ImageOrientationPatient, ORIENTATIONS[orientation], atol=1e-6)
    np.testing.assert_allclose(measures.PixelSpacing, (0.9, 1.1))
    assert float(measures.SpacingBetweenSlices) == pytest.approx(3.3, abs=1e-4)
    pixels = seg.pixel_array
    to_index = np.linalg.inv(grid.affine) @ np.diag([-1, -1, 1, 1])
    seen = []
    for frame, group in zip(pixels.reshape(-1, ROWS, WIDTH), seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        column, row, k = (to_index @ [*position, 1])[:3]
        assert abs(column) < 1e-4 and abs(row) < 1e-4 and abs(k - round(k)) < 1e-4
        np.testing.assert_array_equal(frame.astype(bool), own[:, :, round(k)].T)
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        if enhanced:
            assert source.ReferencedSOPInstanceUID == instances[0].SOPInstanceUID
            assert int(source.ReferencedFrameNumber) == round(k) + 1
        else:
            assert source.ReferencedSOPInstanceUID == instances[round(k)].SOPInstanceUID
        seen.append(round(k))
    assert sorted(seen) == [k for k in range(SLICES) if empty or k != 2]
    assert b"PLANTED" not in path.read_bytes() and b"19010203" not in path.read_bytes()
    dciodvfy(path)


def test_nobody_is_named_in_any_output(tmp_path: Path) -> None:
    instances, grid = series()
    r = result(grid, instances, reference=True)
    report = build_report([r], 0.5, RECORD)
    picture = np.zeros(r.probability.shape, np.uint8)
    written, _ = write_outputs([r], 0.5, report, tmp_path, [picture])
    assert {p.name for p in written} == {
        "series-3_mask.nii.gz", "series-3_probability.nii.gz", "series-3_seg.dcm", TABLE, PAGE, REPORT,
    }  # fmt: skip
    planted = [str(v).encode() for v in IDENTITY.values() if len(str(v)) > 3] + [b"PLANTED"]
    for path in written:
        content = path.read_bytes() + (zlib.decompress(path.read_bytes(), 47) if path.suffix == ".gz" else b"")
        assert not any(name in content or name in path.name.encode() for name in planted), path
    seg = pydicom.dcmread(tmp_path / "series-3_seg.dcm")
    assert all(not seg[k].value for k in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"))


def test_frames_are_found_whatever_the_axes_of_the_grid() -> None:
    """The reader may keep a series as (column, row, slice) or as (slice, row, column), in either direction."""
    instances, grid = series("tilted")
    volume = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    wanted = volume.transpose(2, 1, 0)
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            turn = np.stack([np.array(order), np.array(signs)], axis=1).astype(float)
            other = nib.orientations.apply_orientation(volume, turn)
            own = Grid(other.shape, grid.affine @ inv_ornt_aff(turn, grid.shape))
            found = source_frames(other, own, instances)
            np.testing.assert_array_equal(found, wanted)
            found = source_frames(other, own, instances[::-1])  # in the order of the headers, whichever that is
            np.testing.assert_array_equal(found, wanted[::-1])


def break_size(i: list[Dataset]) -> None:
    i[1].Rows = 3


def break_count(i: list[Dataset]) -> None:
    i.append(copy.deepcopy(i[0]))
    i[-1].SOPInstanceUID = generate_uid()


def break_uid(i: list[Dataset]) -> None:
    del i[0].FrameOfReferenceUID


def break_frame(i: list[Dataset]) -> None:
    i[1].FrameOfReferenceUID = generate_uid()


def break_instance(i: list[Dataset]) -> None:
    i[1].SOPInstanceUID = i[0].SOPInstanceUID


def break_position(i: list[Dataset]) -> None:
    i[2].ImagePositionPatient = [0, 0, 0]


def break_place(i: list[Dataset]) -> None:
    i[2].ImagePositionPatient = i[3].ImagePositionPatient


def break_orientation(i: list[Dataset]) -> None:
    i[0].ImageOrientationPatient = [0.7, 0.7, 0, -0.7, 0.7, 0]


def break_spacing(i: list[Dataset]) -> None:
    i[0].PixelSpacing = [2, 2]


def break_geometry(i: list[Dataset]) -> None:
    del i[3].ImagePositionPatient


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (break_size, "seg_off_grid"),
        (break_count, "seg_more_frames"),
        (break_uid, "seg_no_uid"),
        (break_frame, "seg_frames_of_reference"),
        (break_instance, "seg_shared_uids"),
        (break_position, "seg_off_grid"),
        (break_place, "seg_uneven"),
        (break_orientation, "seg_off_grid"),
        (break_spacing, "seg_off_grid"),
        (break_geometry, "seg_no_position"),
    ],
)
def test_headers_that_do_not_fit_give_no_segmentation_and_the_true_reason(tmp_path: Path, damage: Any, why: str) -> None:
    instances, grid = series()
    assert why_no_segmentation(grid, instances) is None
    damage(instances)
    assert why_no_segmentation(grid, instances) == why
    with pytest.raises(NoSegmentation, match=why):
        write_segmentation(tmp_path / "a.dcm", np.zeros((SLICES, ROWS, WIDTH), bool), grid, instances, MODEL)
    pixels = np.random.default_rng(0).random((SLICES, ROWS, WIDTH, 3)).astype(np.float32)
    case = Case(Scan(pixels, "series-3", (("series-3", SLICES),), True, grid, tuple(instances)), (Path("series-3"),))
    r = result_of(case, np.zeros(pixels.shape[:3], np.uint8))
    report = build_report([r], 0.5, RECORD)
    assert "segmentation" not in report["images"][0]
    assert report["warnings"] == [Sentence(why, {"file": "series-3"}).say("en")]
    files, failures = write_outputs([r], 0.5, report, tmp_path)
    assert not failures and {p.name for p in files} == {p.name for p in tmp_path.iterdir()}
    assert not [p for p in files if p.suffix == ".dcm"]


def test_frames_of_several_enhanced_files_name_their_own(tmp_path: Path) -> None:
    """A series in two halves, and one of a file for each frame, as Siemens' XA writes it."""
    (whole,), grid = series(enhanced=True)
    own = np.random.default_rng(1).random(grid.shape) < 0.3
    groups = whole.PerFrameFunctionalGroupsSequence
    for parts in ([[4, 3], [0, 1, 2]], [[k] for k in (3, 1, 4, 0, 2)]):
        files = []
        for part in parts:
            files.append(copy.deepcopy(whole))
            files[-1].SOPInstanceUID, files[-1].NumberOfFrames = generate_uid(), len(part)
            files[-1].PerFrameFunctionalGroupsSequence = [groups[k] for k in part]
        assert why_no_segmentation(grid, files) is None
        write_segmentation(tmp_path / "a.dcm", grid.to_stack(own), grid, files, MODEL)
        of_slice = {
            k: (file.SOPInstanceUID, n + 1) for file, part in zip(files, parts, strict=True) for n, k in enumerate(part)
        }
        assert lies_on_its_source(tmp_path / "a.dcm", grid, own) == of_slice
        seg = pydicom.dcmread(tmp_path / "a.dcm")
        (one,) = seg.ReferencedSeriesSequence
        assert [i.ReferencedSOPInstanceUID for i in one.ReferencedInstanceSequence] == [f.SOPInstanceUID for f in files]
        dciodvfy(tmp_path / "a.dcm")


def test_slices_of_series_of_their_own_are_named_by_series(tmp_path: Path) -> None:
    instances, grid = series()
    for instance in instances:
        instance.SeriesInstanceUID = generate_uid()
    own = np.random.default_rng(1).random(grid.shape) < 0.3
    write_segmentation(tmp_path / "a.dcm", grid.to_stack(own), grid, instances, MODEL)
    assert lies_on_its_source(tmp_path / "a.dcm", grid, own) == {
        k: (i.SOPInstanceUID, None) for k, i in enumerate(instances)
    }
    named = {
        (one.SeriesInstanceUID, i.ReferencedSOPInstanceUID)
        for one in pydicom.dcmread(tmp_path / "a.dcm").ReferencedSeriesSequence
        for i in one.ReferencedInstanceSequence
    }
    assert named == {(i.SeriesInstanceUID, i.SOPInstanceUID) for i in instances}
    dciodvfy(tmp_path / "a.dcm")


def lies_on_its_source(path: Path, grid: Grid, own: np.ndarray) -> dict[int, tuple[str, int | None]]:
    """Which file and frame each slice's frame of a segmentation says it is of, having checked its pixels by its place."""
    seg = pydicom.dcmread(path)
    to_index = np.linalg.inv(grid.affine) @ np.diag([-1, -1, 1, 1])
    named = {}
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        _, _, k, _ = to_index @ [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1]
        np.testing.assert_array_equal(frame.astype(bool), own[:, :, round(k)].T)
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        named[round(k)] = (source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber"))
    return named


def test_a_model_with_an_odd_name(tmp_path: Path) -> None:
    instances, grid = series()
    mask = np.ones((SLICES, ROWS, WIDTH), bool)
    write_segmentation(tmp_path / "a.dcm", mask, grid, instances, {"name": "modèle\\王" * 20, "sha256": None})
    assert pydicom.dcmread(tmp_path / "a.dcm").ManufacturerModelName.startswith("mod?le/?")
    dciodvfy(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("ratio", "method", "kept"),
    [
        ([7.5], ["ISO_10918_1"], (7.5, "ISO_10918_1")),
        ([7.5, 2], ["ISO_15444_1", "ISO_10918_1"], ([7.5, 2], ["ISO_15444_1", "ISO_10918_1"])),
        ([7.5], ["DOE^JANE"], (7.5, None)),
        ([7.5], None, (7.5, None)),
    ],
)
def test_a_source_that_was_compressed_with_loss_is_said_to_be(
    tmp_path: Path, ratio: list[float], method: list[str] | None, kept: tuple[object, object]
) -> None:
    tags = {"LossyImageCompression": "01", "LossyImageCompressionRatio": ratio, "LossyImageCompressionMethod": method}
    files = files_of_a_series(tmp_path / "in", **{key: value for key, value in tags.items() if value is not None})
    if method is None:  # a number, where words belong
        for path in files:
            header = pydicom.dcmread(path)
            header.add_new("LossyImageCompressionMethod", "US", 5)
            header.save_as(path)
    (volume,), problems = read_dicom(files)
    assert not problems
    mask = np.ones(STACK.shape, bool)
    write_segmentation(tmp_path / "a.dcm", mask, volume.grid, volume.instances, MODEL)
    made = pydicom.dcmread(tmp_path / "a.dcm")
    assert made.LossyImageCompression == "01"
    assert (made.get("LossyImageCompressionRatio"), made.get("LossyImageCompressionMethod")) == kept
    dciodvfy(tmp_path / "a.dcm")


def test_the_validator_would_say_so(tmp_path: Path) -> None:
    instances, grid = series()
    write_segmentation(tmp_path / "a.dcm", np.ones((SLICES, ROWS, WIDTH), bool), grid, instances, MODEL)
    damaged = pydicom.dcmread(tmp_path / "a.dcm")
    del damaged.SegmentSequence[0].SegmentLabel
    damaged.save_as(tmp_path / "b.dcm")
    with pytest.raises(AssertionError, match="Error"):
        dciodvfy(tmp_path / "b.dcm")


def test_slices_that_are_not_quite_evenly_spaced_stay_in_their_frames() -> None:
    """Nor does it matter that they slide in their plane: each frame has its own position."""
    instances, grid = series()
    for k, header in enumerate(instances):
        x, y, _ = header.ImagePositionPatient
        header.ImagePositionPatient = [x + 0.9 * (k % 3), y - 1.3 * (k % 2), -20.125 + 3.3 * k + (0.9 if k % 2 else 0)]
    volume = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    found = source_frames(volume, grid, instances)
    np.testing.assert_array_equal(found, volume.transpose(2, 1, 0))


# Names


def test_names_of_volumes() -> None:
    instances, grid = series()
    given = [
        result(grid, name="brain.nii.gz"),
        result(grid, name="p1/Brain.NII"),
        result(grid, name="brain.nii"),
        result(grid, instances, name="1.2.840.3"),
        result(grid, name=".nii"),
        result(grid, name="/etc/../../brain.nii"),
        result(grid, name=".."),
    ]
    assert output_names(given) == [
        [("brain_mask.nii.gz", "brain_probability.nii.gz")],
        [("p1/Brain_mask.nii.gz", "p1/Brain_probability.nii.gz")],
        [("brain_2_mask.nii.gz", "brain_2_probability.nii.gz")],
        [("1.2.840.3_mask.nii.gz", "1.2.840.3_probability.nii.gz", "1.2.840.3_seg.dcm")],
        [(".nii_mask.nii.gz", ".nii_probability.nii.gz")],
        [("etc/brain_mask.nii.gz", "etc/brain_probability.nii.gz")],
        [("volume_mask.nii.gz", "volume_probability.nii.gz")],
    ]


# The table


def test_table_has_a_row_for_each_slice(tmp_path: Path) -> None:
    _, grid = series()
    volume = result(grid, name='a, b;"c".nii', reference=True)
    levels = np.full((2, 4, 4), 255, np.uint8)
    truth = np.zeros((2, 4, 4), bool)
    truth[0, :2] = True
    picture = Result(
        (("s_1.png", 1), ("s_2.png", 1)), (Path("s_1.png"), Path("s_2.png")), levels, truth, np.array([True, False])
    )
    results = [volume, picture]
    report = build_report(results, 0.5, RECORD)
    write_outputs(results, 0.5, report, tmp_path)
    text = (tmp_path / TABLE).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert [(r["file"], r["slice"]) for r in rows] == [
        *(("a, b;\"c\".nii", str(k + 1)) for k in range(SLICES)), ("s_1.png", "1"), ("s_2.png", "1"),
    ]  # fmt: skip
    mask = binarise(volume.probability, 0.5)
    for row, m, t in zip(rows, mask, volume.reference, strict=False):
        assert int(row["predicted_pixels"]) == m.sum() and int(row["reference_pixels"]) == t.sum()
        assert float(row["predicted_mm2"]) == pytest.approx(m.sum() * 0.99, abs=0.01)
        assert float(row["dice"]) == pytest.approx(2 * (m & t).sum() / (m.sum() + t.sum()), abs=1e-6)
    assert rows[-2] == {
        "file": "s_1.png", "slice": "1", "predicted_pixels": "16", "predicted_mm2": "", "reference_pixels": "8",
        "reference_mm2": "", "dice": "0.666667", "iou": "0.5",
    }  # fmt: skip
    assert rows[-1]["reference_pixels"] == rows[-1]["dice"] == ""


@pytest.mark.parametrize(
    "name",
    [
        "=1+1.png", "+a.png", "-a.png", "@a.png", "\t=a.png", "\r=a.png", "\n=a.png", "\r\n@a", "  =a.png", "\x00=a",
        "a\r=1+1.png", "a\n=1+1.png", "a\r\n=1,=2.png", "a\x85=1", "a\u2028=1", "a\u2029+1", "a\x0b=1", "a\x0c=1",
        'a",=1+1.png', 'a";=1+1.png', "a;=1+1.png", "a\t=1+1.png", '"=1', "'=1", "，=1", "\ufeff=1", "\u200b=1",
        "\u202e=1", "\xa0=1", "＝1+1", "＋1", "－1", "＠SUM(1)", "﹦1", "﹣1", "−1", "\u3000＝1", "(=1", "_=1",
        b"\xe9=\r=1".decode("utf-8", "surrogateescape"),
    ],
)  # fmt: skip
def test_no_file_name_is_a_formula_a_cell_or_a_row_in_the_table(tmp_path: Path, name: str) -> None:
    rows = [{"file": f"{name}", "slice": 1, "predicted_pixels": 0}, {"file": "a=1.png", "slice": 2, "predicted_pixels": 7}]
    write_csv(tmp_path / TABLE, rows)
    text = (tmp_path / TABLE).read_bytes().decode("utf-8")
    assert len(text.splitlines()) == 3, "whatever counts as the end of a line"
    for delimiter in ",;\t":
        with (tmp_path / TABLE).open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file, delimiter=delimiter) for cell in row]
        assert not any(unicodedata.normalize("NFKC", cell).strip().startswith(tuple("=+-@−")) for cell in cells), cells
        if delimiter == ",":
            assert cells[len(COLUMNS) + 1 : 2 * len(COLUMNS)] == ["1", "0", "", "", "", "", ""]
            assert cells[2 * len(COLUMNS)] == "a=1.png" == text_cell("a=1.png")


@given(st.text())
def test_any_text_is_one_printable_cell(text: str) -> None:
    cell = text_cell(text)
    assert cell.isprintable() and text_cell(cell).lstrip("'") == cell.lstrip("'")
    assert not unicodedata.normalize("NFKC", cell).strip().startswith(tuple("=+-@−"))


def test_documents_are_a_matter_of_choice_for_pictures(tmp_path: Path) -> None:
    picture = Result((("a.png", 1),), (Path("a.png"),), np.full((1, 20, 20), 200, np.uint8), None, None)
    report = build_report([picture], 0.5, RECORD)
    assert [p.name for p in write_outputs([picture], 0.5, report, tmp_path)[0]] == [
        "a_mask.png",
        "a_probability.png",
        REPORT,
    ]
    written, _ = write_outputs([picture], 0.5, report, tmp_path, [picture.probability], documents=True)
    assert [p.name for p in written] == ["a_mask.png", "a_probability.png", TABLE, PAGE, REPORT]
    _, grid = series()
    written, _ = write_outputs([result(grid)], 0.5, build_report([result(grid)], 0.5, RECORD), tmp_path, documents=False)
    assert [p.name for p in written][-1] == REPORT and len(written) == 3


# The page


def content(path: Path) -> str:
    """The page's text. Skips where pdftotext is not installed."""
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("pdftotext is not installed (Debian's poppler-utils)")
    said = subprocess.run([program, "-layout", str(path), "-"], capture_output=True, check=True).stdout
    assert said.count(b"\f") == 1, "one page"
    return " ".join(said.decode().split())


def pages(path: Path) -> int:
    return path.read_bytes().count(b"/Type /Page ")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_page_says_what_the_report_does(tmp_path: Path, language: Language) -> None:
    instances, grid = series()
    r = dataclasses.replace(
        result(grid, instances, reference=True), warnings=(Sentence("colour_as_sequences", {"file": "series-3"}),)
    )
    report = build_report([r], 0.35, RECORD, [ReadError("b.png", "damaged")], language)
    path = tmp_path / PAGE
    write_pdf(path, [r], [np.zeros(r.probability.shape, np.uint8)], report, language)
    raw = path.read_bytes()
    assert pages(path) == 1
    assert b"CreationDate" not in raw and b"/Author" not in raw and str(tmp_path).encode() not in raw
    said = content(path)
    (entry,) = report["images"]

    def number(value: float, digits: int) -> str:
        return f"{value:.{digits}f}".replace(".", "," if language == "fr" else ".")

    for wanted in (
        report["notice"], say("report_title", language), "series-3", "lgg-unet", RECORD["sha256"][:16], report["software"],
        *report["warnings"], report["unreadable"][0]["message"], number(entry["dice"], 3), number(entry["hd95_mm"], 1),
        number(entry["surface_dice_2mm"], 3), number(entry["diameters_mm"]["longest"], 1), number(0.35, 2),
        say("report_threshold", language, threshold=number(0.35, 2)), "mL", "mm²",
    ):  # fmt: skip
        assert " ".join(wanted.split()) in said, wanted  # a no-break space is a space there
    assert RECORD["sha256"] not in said


def test_page_stays_one_page_whatever_it_must_hold(tmp_path: Path) -> None:
    _, grid = series()
    long = "$x_{1}$ été\n" + "a_very_long_name" * 40 + ".nii"
    warned = tuple(Sentence("slices_blank", {"file": long, "blank": n, "slices": 99}) for n in range(40))
    many = [dataclasses.replace(result(grid, name=long, seed=n, reference=n == 0), warnings=warned) for n in range(15)]
    pictures = [None if n == 3 else np.full(r.probability.shape, 99, np.uint8) for n, r in enumerate(many)]
    problems = [ReadError(long, "damaged")] * 30
    for n, (results, shown) in enumerate(((many, pictures), (many[:1], pictures[:1]), (many[:1], None), ([], None))):
        report = build_report(results, 0.5, RECORD, problems)
        path = tmp_path / f"{n}.pdf"
        write_pdf(path, results, shown, report)
        assert pages(path) == 1
        said = content(path)
        assert report["notice"] in said and "damaged" in said, "what went wrong is never left out"
        assert RECORD["sha256"][:16] in said and "see report.json" in said


def test_page_of_pictures_without_reference_and_of_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = b"\xe9t\xe9.png".decode("utf-8", "surrogateescape")
    picture = Result(((name, 1),), (Path(name),), np.full((1, 700, 30), 200, np.uint8), None, None)
    report = build_report([picture], 0.5, RECORD)
    write_pdf(tmp_path / "a.pdf", [picture], [picture.probability], report)
    said = content(tmp_path / "a.pdf")
    assert "21000 pixels" in said and "px" in said and " mm" not in said.replace("mm²", "")


def test_the_slices_that_are_shown() -> None:
    levels = np.zeros((9, 4, 4), np.uint8)
    for s, n in ((1, 3), (4, 9), (7, 2)):
        levels[s].flat[:n] = 255
    grid = Grid((4, 4, 9), np.eye(4))
    r = Result((("a", 9),), (Path("a"),), levels, None, None, (), grid)
    assert chosen_slices([r], 0.5) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([r], 0.5, most=2) == [(0, 1), (0, 4)]
    nothing = dataclasses.replace(r, probability=np.zeros_like(levels))
    assert chosen_slices([nothing], 0.5, most=3) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([nothing, r], 0.5) == [(1, 1), (1, 4), (1, 7)]
    truth = dataclasses.replace(nothing, reference=levels > 0, referenced=np.ones(9, bool))
    assert chosen_slices([truth], 0.5) == [(0, 1), (0, 4), (0, 7)]
    assert chosen_slices([dataclasses.replace(nothing, probability=levels[:1])], 0.5) == [(0, 0)]


def test_report_of_a_volume_is_json(tmp_path: Path) -> None:
    instances, grid = series()
    empty = dataclasses.replace(
        result(grid, instances, reference=True), probability=np.zeros((SLICES, ROWS, WIDTH), np.uint8)
    )
    report = build_report([empty], 0.5, RECORD)
    write_outputs([empty], 0.5, report, tmp_path)
    assert json.loads((tmp_path / REPORT).read_text(encoding="utf-8")) == json.loads(json.dumps(report, allow_nan=False))
    (entry,) = report["images"]
    assert (
        entry["hd95_mm"] is None and entry["diameters_mm"] is None and entry["volume_ml"] == entry["surface_dice_2mm"] == 0
    )

"""NIfTI and DICOM of every kind, whole and broken: voxels arrive on their own grid, no identity with them."""

from __future__ import annotations

import gzip
import struct
import tempfile
import tracemalloc
import zlib
from itertools import permutations, product
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from helpers import HEAD, PLANTED, SPACING, STACK, change, enhanced, nifti, segmentation, series, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from lgg_demo.case import UnreadableScan, Volume
from lgg_demo.grid import Grid, places_of
from lgg_demo.messages import CATALOGUE
from lgg_demo.phantom import draw_head
from lgg_demo.reading import limits
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.nifti import is_nifti, read_nifti
from lgg_demo.reading.series import find_dicom, read_dicom
from lgg_demo.reading.volumes import resample

ORIENTATIONS = ["".join(axes) for order in permutations(("RL", "AP", "SI")) for axes in product(*order)]


def one(paths: list[Path]) -> Volume:
    found, problems = read_dicom(paths)
    assert [str(p) for p in problems] == []
    assert len(found) == 1
    return found[0]


def stack_of(volume: Volume) -> np.ndarray:
    return volume.grid.to_stack(volume.values)


def warned(volume: Volume) -> list[str]:
    return [w.key for w in volume.warnings]


def refused(path: Path) -> str:
    """The key of the one sentence that a file gets."""
    if is_nifti(path):
        with pytest.raises(UnreadableScan) as error:
            read_nifti(path)
        errors = [error.value]
    else:
        found, errors = read_dicom([path])
        assert found == [] and len(errors) == 1
    assert errors[0].file == path.name and str(errors[0]).startswith(path.name)
    return errors[0].sentence.key


# NIfTI


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_becomes_the_same_stack(tmp_path: Path, codes: str) -> None:
    values, affine = turned(codes)
    (volume,) = read_nifti(nifti(tmp_path / "a_flair.nii", values.astype(np.int16), affine))
    assert volume.values.dtype == np.float32 and volume.values.shape == volume.grid.shape == values.shape
    np.testing.assert_array_equal(stack_of(volume), STACK)
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING, rtol=1e-6)
    np.testing.assert_array_equal(volume.grid.to_own(STACK), values)
    assert (volume.name, volume.role, volume.warnings) == ("a_flair", "flair", ())


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "f4", ">f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_kind_of_number(tmp_path: Path, dtype: str, suffix: str) -> None:
    values, affine = turned("LPS", STACK // 2)
    image = nib.Nifti1Image(values.astype(dtype), affine, dtype=np.dtype(dtype))
    if dtype.startswith(">"):
        image = nib.Nifti1Image(values.astype(dtype), affine, header=image.header.as_byteswapped(">"))
    nib.save(image, tmp_path / f"x{suffix}")
    (volume,) = read_nifti(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(stack_of(volume), STACK // 2)


def test_nifti_2_and_scaling(tmp_path: Path) -> None:
    values, affine = turned("RAS")
    image = nib.Nifti2Image(values.astype(np.int16), affine)
    image.header.set_slope_inter(0.5, 10)
    raw = tmp_path / "x.nii.gz"
    nib.save(image, raw)
    (volume,) = read_nifti(raw)
    np.testing.assert_allclose(volume.values, nib.load(raw).get_fdata(), rtol=1e-6)


def test_four_and_five_dimensions_give_one_volume_each(tmp_path: Path) -> None:
    values, affine = turned("LAS")
    many = np.stack([values * (n + 1) for n in range(10)], axis=-1)
    found = read_nifti(nifti(tmp_path / "case.nii.gz", many, affine))
    assert [v.name for v in found] == [f"case-{n}" for n in range(1, 9)]  # eight at most
    for n, volume in enumerate(found):
        np.testing.assert_array_equal(volume.values, values * (n + 1))
    assert [v.role for v in found] == ["flair", *["other"] * 7] and warned(found[0]) == ["volumes_several"]
    found = read_nifti(nifti(tmp_path / "five.nii", many[..., None, :2], affine))
    np.testing.assert_array_equal(found[1].values, values * 2)
    (single,) = read_nifti(nifti(tmp_path / "single.nii", many[..., :1], affine))
    assert single.name == "single"


def test_no_number_is_no_signal(tmp_path: Path) -> None:
    values, affine = turned("LPS", STACK + 5)
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0] = np.nan, np.inf, -np.inf
    (volume,) = read_nifti(nifti(tmp_path / "x.nii", values, affine))
    assert np.isfinite(volume.values).all() and volume.values[1, 0, 0] == volume.values.min()
    assert {w.key: w.values["count"] for w in volume.warnings} == {"not_finite": 3}
    assert refused(nifti(tmp_path / "nan.nii", np.full_like(values, np.nan), affine)) == "damaged"


def test_without_orientation_a_warning(tmp_path: Path) -> None:
    values, _ = turned("LAS")
    image = nib.Nifti1Image(values, None)
    image.header.set_zooms((1, 2, 3))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "x.nii")
    (volume,) = read_nifti(tmp_path / "x.nii")
    assert warned(volume) == ["volume_no_orientation"] and volume.grid.spacing_mm == (3, 2, 1)
    np.testing.assert_array_equal(stack_of(volume), STACK)


def patched(path: Path, header: dict[str, object]) -> Path:
    """A NIfTI with header fields overwritten, whatever nibabel thinks of it."""
    data = bytearray(path.read_bytes())
    head = nib.Nifti1Header(bytes(data[:348]), check=False)
    for key, value in header.items():
        head[key] = value
    data[:348] = head.binaryblock
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ({"srow_x": 0}, "volume_geometry"),
        ({"srow_x": [0.011, 0, 0, 0], "srow_y": [0, 0.011, 0, 0]}, "volume_geometry"),  # a frame of a head would be 20,000²
        ({"srow_x": np.nan}, "volume_geometry"),
        ({"srow_z": [1e9, 0, 0, 0]}, "volume_geometry"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "too_much_at_once"),
        ({"dim": [3, 4096, 100, 3, 1, 1, 1, 1]}, "too_large"),
        ({"dim": [3, 64, 64, 1500, 1, 1, 1, 1]}, "too_many_slices"),
        ({"dim": [3, 64, 64, 900, 1, 1, 1, 1]}, "damaged"),
        ({"dim": [3, 8, 8, 12, 1, 1, 1, 1]}, "too_small"),
        ({"dim": [3, 64, 12, 64, 1, 1, 1, 1]}, "volume_few_slices"),
        ({"dim": [3, 64, 0, 12, 1, 1, 1, 1]}, "damaged"),
        ({"dim": [9, 64, 64, 12, 1, 1, 1, 1]}, "damaged"),
        ({"dim": [4, 64, 64, 12, -3, 1, 1, 1]}, "damaged"),
        ({"datatype": 128}, "volume_colour"),
        ({"datatype": 32}, "not_a_nifti"),
        ({"datatype": 1}, "not_a_nifti"),
        ({"datatype": 999}, "damaged"),
        ({"vox_offset": 4e9}, "damaged"),
        ({"vox_offset": np.inf}, "damaged"),
        ({"vox_offset": 8}, "damaged"),
        ({"magic": b"ni1"}, "not_a_nifti"),
        ({"magic": b"abc"}, "not_a_nifti"),
    ],
)
def test_headers_that_cannot_be_used(tmp_path: Path, header: dict[str, object], key: str) -> None:
    values, affine = turned("LPS")
    image = nib.Nifti1Image(values, affine)
    image.header["qform_code"] = 0
    nib.save(image, tmp_path / "x.nii")
    assert refused(patched(tmp_path / "x.nii", {"qform_code": 0} | header)) == key


def test_a_good_qform_stands_in_for_a_broken_sform(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, code=1)
    nib.save(image, tmp_path / "x.nii")
    (volume,) = read_nifti(patched(tmp_path / "x.nii", {"srow_x": 0, "srow_y": 0}))
    np.testing.assert_array_equal(stack_of(volume), STACK)


def test_a_broken_qform_beside_a_good_sform_costs_nothing(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    path = patched(nifti(tmp_path / "x.nii", values, affine), {"qform_code": 1, "quatern_b": 5})
    (volume,) = read_nifti(path)
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert volume.grid.codes[0] > 0 and volume.grid.codes[1] == 0, "nor is its code taken over"


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(b"")
    assert refused(path) == "empty_file"
    path.write_bytes(b"no gzip at all" * 40)
    assert refused(path) == "not_a_nifti"
    values, affine = turned("LPS")
    nifti(path, values, affine)
    path.write_bytes(path.read_bytes()[:3000])
    assert refused(path) == "damaged"
    assert refused(tmp_path / "gone.nii") == "not_found"


def test_a_huge_header_and_a_gzip_bomb_cost_no_memory(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    plain = nifti(tmp_path / "x.nii", values, affine).read_bytes()
    head = nib.Nifti1Header(plain[:348], check=False)
    head["dim"] = [3, 400, 400, 400, 1, 1, 1, 1]
    head["datatype"] = 64
    packed = tmp_path / "claims.nii.gz"
    packed.write_bytes(gzip.compress(head.binaryblock + bytes(652)))
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(plain[:352] + values.tobytes() + bytes(50_000_000)))
    tracemalloc.start()
    try:
        assert refused(packed) == "damaged"
        assert len(read_nifti(bomb)) == 1  # what comes after the voxels is never unpacked
        assert tracemalloc.get_traced_memory()[1] < 320_000_000  # the float32 array that the first promises
    finally:
        tracemalloc.stop()


# DICOM


def test_slices_come_by_position(tmp_path: Path) -> None:
    volume = one(series(tmp_path))
    np.testing.assert_array_equal(stack_of(volume), STACK)
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING)
    assert (volume.name, volume.description, volume.role, volume.warnings) == ("series-3", "AX FLAIR", "flair", ())
    assert volume.grid.slice_direction is None and volume.grid.tilt_degrees < 1e-3
    assert [float(ds.ImagePositionPatient[2]) for ds in volume.instances] == [-40 + 5 * n for n in range(12)]
    again = [pydicom.dcmread(p).SOPInstanceUID for p in volume.paths]
    assert again == [ds.SOPInstanceUID for ds in volume.instances]


def test_affine_agrees_with_highdicom(tmp_path: Path) -> None:
    paths = series(tmp_path, draw_head(20, size=64).flair, ImageOrientationPatient=[0.98, 0.199, 0, 0, 0, -1])
    for n, path in enumerate(paths):
        change(path, ImagePositionPatient=[-0.199 * 7 * n, 0.98 * 7 * n, 30])
    volume = one(paths)
    theirs = highdicom.image.get_volume_from_series([pydicom.dcmread(p) for p in paths])
    np.testing.assert_allclose(stack_of(volume), theirs.to_patient_orientation("HPL").array)
    np.testing.assert_allclose(
        volume.grid.stack_affine, np.diag([-1, -1, 1, 1]) @ theirs.to_patient_orientation("HPL").affine, atol=1e-3
    )
    assert volume.grid.slice_direction == "coronal"


def test_enhanced_multiframe(tmp_path: Path) -> None:
    volume = one([enhanced(tmp_path / "enhanced.dcm")])
    np.testing.assert_array_equal(stack_of(volume), STACK * 2 - 7)
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING)
    (instance,) = volume.instances
    assert len(instance.PerFrameFunctionalGroupsSequence) == 12 and PLANTED not in str(instance)


def test_monochrome1_rescale_and_signed(tmp_path: Path) -> None:
    inverse = one(series(tmp_path / "a", 4095 - STACK, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(stack_of(inverse) - stack_of(inverse).min(), STACK - STACK.min())
    scaled = one(series(tmp_path / "b", RescaleSlope=1.5, RescaleIntercept=-20))
    np.testing.assert_allclose(stack_of(scaled), STACK * 1.5 - 20)
    signed = one(
        series(tmp_path / "c", STACK - 50 + 65536 * (STACK < 50), PixelRepresentation=1, BitsStored=16, HighBit=15)
    )
    np.testing.assert_allclose(stack_of(signed), STACK - 50)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless, DeflatedExplicitVRLittleEndian])
def test_compressed(tmp_path: Path, syntax: str) -> None:
    paths = series(tmp_path)
    for path in paths:
        ds = pydicom.dcmread(path)
        if syntax == DeflatedExplicitVRLittleEndian:
            ds.file_meta.TransferSyntaxUID = syntax
        else:
            compress(ds, syntax, generate_instance_uid=False)
        ds.save_as(path)
    np.testing.assert_array_equal(stack_of(one(paths)), STACK)


def test_a_code_stream_larger_than_its_header_is_not_decoded(tmp_path: Path) -> None:
    for syntax in (JPEG2000Lossless, JPEGLSLossless):
        path = series(tmp_path / syntax.name, STACK[:1])[0]
        ds = pydicom.dcmread(path)
        compress(ds, syntax)
        ds.Rows = 60
        ds.save_as(path)
        assert refused(path) == "damaged"


@pytest.mark.parametrize(
    ("tags", "warning"),
    [
        ({"ImagePositionPatient": None}, "dicom_no_position"),
        ({"ImageOrientationPatient": None}, "dicom_no_position"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "dicom_no_position"),
        ({"PixelSpacing": None}, "dicom_no_spacing"),
        ({"PixelSpacing": [0, 0]}, "dicom_no_spacing"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
    ],
)
def test_missing_and_odd_tags(tmp_path: Path, tags: dict[str, object], warning: str) -> None:
    paths = series(tmp_path, **tags)
    if warning == "dicom_no_position":
        for path in paths:
            change(path, InstanceNumber=int(pydicom.dcmread(path).PixelData[0:1] == b"") + int(path.name[2:]))
    volume = one(paths)
    assert warned(volume) == [warning]
    if warning == "dicom_no_position":
        assert [p.name for p in volume.paths] == sorted(p.name for p in paths) and volume.instances == ()
    else:
        np.testing.assert_array_equal(stack_of(volume), STACK)


def test_without_uids_and_modality(tmp_path: Path) -> None:
    volume = one(series(tmp_path, SeriesInstanceUID="", StudyInstanceUID="", Modality="", SeriesNumber=None))
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert volume.name == "series" and volume.instances == () and warned(volume) == ["segmentation_left_out"]


def test_gap_and_duplicate(tmp_path: Path) -> None:
    paths = series(tmp_path)
    by_place = sorted(paths, key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])
    by_place[5].unlink()
    copy = tmp_path / "copy"
    copy.write_bytes(by_place[0].read_bytes())
    volume = one([p for p in paths if p.exists()] + [copy])  # the same image again counts once
    assert warned(volume) == ["series_missing"] and volume.values.shape[2] == 12
    change(copy, SOPInstanceUID=generate_uid(), InstanceNumber=99)
    volume = one([p for p in paths if p.exists()] + [copy])
    assert warned(volume) == ["series_duplicates", "series_missing"]
    np.testing.assert_array_equal(np.delete(stack_of(volume), 5, axis=0), np.delete(STACK, 5, axis=0))
    assert (stack_of(volume)[5] == np.delete(STACK, 5, axis=0).min()).all() and len(volume.instances) == 11


@pytest.mark.parametrize(
    ("places", "missing", "key"),
    [
        ([0, 5, 10, 20, 25], [0, 0, 1, 0], "series_missing"),
        ([0, 5, 20, 25], [0, 2, 0], "series_missing"),
        ([0, 5, 10.4, 15.1], [0, 0, 0], None),
        ([0, 5, 12.5, 17.5], None, "series_gaps"),
        ([0, 5, 50, 55], None, "series_gaps"),  # more is missing than there is
    ],
)
def test_missing_slices_keep_their_place(
    tmp_path: Path, places: list[float], missing: list[int] | None, key: str | None
) -> None:
    found = places_of(np.diff(places))
    assert found is missing if missing is None else (np.diff(found) - 1).tolist() == missing
    for path in (paths := series(tmp_path, STACK[: len(places)])):
        place = round((pydicom.dcmread(path).ImagePositionPatient[2] + 40) / SPACING[0])
        change(path, ImagePositionPatient=[-110, -115, -40 + places[place]])
    volume = one(paths)
    assert warned(volume) == ([key] if key else [])
    if missing is not None:
        assert volume.grid.spacing_mm[0] == pytest.approx(5, abs=0.05)
        assert volume.values.shape[2] == len(places) + sum(missing)


def test_a_constant_uid_does_not_cost_a_slice(tmp_path: Path) -> None:
    volume = one(series(tmp_path, SOPInstanceUID=generate_uid()))
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert volume.instances == () and warned(volume) == ["segmentation_left_out"]


def test_without_position_slices_come_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    paths = series(tmp_path, ImagePositionPatient=None)
    stack = {path: int(pydicom.dcmread(path).InstanceNumber) for path in paths}
    renamed = []
    for path, number in stack.items():
        change(path, InstanceNumber=None)
        renamed.append(path.rename(tmp_path / f"s{number}"))
    assert [p.name for p in one(renamed).paths] == [f"s{n}" for n in range(1, 13)]


def test_a_thickness_that_nobody_gives_is_not_measured_by(tmp_path: Path) -> None:
    alone = one(series(tmp_path / "a", STACK[5:6], SliceThickness=None))
    unplaced = one(series(tmp_path / "b", SliceThickness=None, ImagePositionPatient=None))
    flat = nifti(tmp_path / "flat.nii", STACK[5].T[..., None].astype(np.float32), np.diag([-1.0, -1, 3, 1]))
    (picture,) = read_nifti(patched(flat, {"srow_z": 0, "qform_code": 0}))
    for volume in (alone, unplaced, picture):
        assert "no_thickness" in warned(volume)
        assert volume.grid.measured and volume.grid.ruler is None
    for known in (one(series(tmp_path / "c", STACK[5:6])), one(series(tmp_path / "d", SliceThickness=None))):
        assert known.grid.ruler is known.grid and warned(known) == []


def test_echoes_sizes_and_planes_are_volumes_of_their_own(tmp_path: Path) -> None:
    first = series(tmp_path / "a", EchoTime=10)
    second = series(tmp_path / "b", STACK * 2, EchoTime=90)
    third = series(tmp_path / "c", STACK[:, :40])
    sagittal = draw_head(20, size=64).flair
    fourth = series(tmp_path / "d", sagittal, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    uid = pydicom.dcmread(first[0]).SeriesInstanceUID
    study = pydicom.dcmread(first[0]).StudyInstanceUID
    for n, path in enumerate(fourth):
        change(path, ImagePositionPatient=[5 * n, 0, 0])
    for path in second + third + fourth:
        change(path, SeriesInstanceUID=uid, StudyInstanceUID=study)
    found, problems = read_dicom(second + third + first + fourth)
    assert not problems and [v.name for v in found] == ["series-3", "series-3-2", "series-3-3", "series-3-4"]
    assert sorted(v.values.shape for v in found) == [(40, 64, 12), (64, 64, 12), (64, 64, 12), (64, 64, 20)]
    axial = [v for v in found if v.values.shape == (64, 64, 12)]
    assert sorted(round(float(v.values.mean() / STACK.mean())) for v in axial) == [1, 2]


def test_a_damaged_slice_is_blank_and_the_others_keep_their_place(tmp_path: Path) -> None:
    paths = series(tmp_path)
    middle = sorted(paths, key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])[6]
    middle.write_bytes(middle.read_bytes()[:-1000])
    found, problems = read_dicom(paths)
    assert not problems and warned(found[0]) == ["series_damaged"]
    assert found[0].values.shape == (64, 64, 12) and len(found[0].instances) == 12
    stack = stack_of(found[0])
    np.testing.assert_array_equal(np.delete(stack, 6, axis=0), np.delete(STACK, 6, axis=0))
    assert len(np.unique(stack[6])) == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CT_small.dcm", "dicom_modality"), ("rtplan.dcm", "dicom_no_picture"), ("SC_rgb_rle.dcm", "volume_colour"),
        ("MR_truncated.dcm", "damaged"), ("examples_palette.dcm", "dicom_modality"),
        ("waveform_ecg.dcm", "dicom_no_picture"),
        ("reportsi.dcm", "dicom_no_picture"), ("rtdose.dcm", "dicom_modality"),
        ("examples_ybr_color.dcm", "dicom_modality"),
    ],
)  # fmt: skip
def test_what_is_no_mri(name: str, key: str) -> None:
    assert refused(Path(str(get_testdata_file(name)))) == key


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "MR_small_expb.dcm"],
)  # fmt: skip
def test_files_that_pydicom_ships(name: str) -> None:
    plain = pydicom.dcmread(str(get_testdata_file("MR_small.dcm"))).pixel_array
    volume = one([Path(str(get_testdata_file(name)))])
    np.testing.assert_array_equal(volume.values[..., 0], plain)
    assert "MR" in {ds.Modality for ds in volume.instances} and "CompressedSamples" not in str(volume.instances)


def test_every_file_that_pydicom_ships_is_read_or_refused() -> None:
    folder = Path(str(get_testdata_file("MR_small.dcm"))).parent
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and is_dicom(p)):
        found, problems = read_dicom([path])
        assert all(str(p) for p in problems) and all(np.isfinite(v.values).all() for v in found)


def test_a_directory_is_passed_over_and_many_refusals_are_few_sentences(tmp_path: Path) -> None:
    assert read_dicom([Path(str(get_testdata_file("DICOMDIR")))]) == ([], [])
    _, problems = read_dicom(series(tmp_path, Modality="CT"))
    assert [p.sentence.key for p in problems] == ["dicom_modality"] * 3


def test_without_preamble(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("no_meta.dcm")))
    assert is_dicom(path) and not is_nifti(path)
    bare = tmp_path / "bare"
    bare.write_bytes(series(tmp_path / "s", STACK[:1])[0].read_bytes()[132:])
    assert is_dicom(bare)
    np.testing.assert_array_equal(stack_of(one([bare])), STACK[:1])
    assert not is_dicom(tmp_path / "gone") and not is_nifti(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segmentation_is_a_mask_on_the_same_lattice(tmp_path: Path, kind: str) -> None:
    paths = series(tmp_path / "s")
    mask = HEAD.mask.copy()
    mask[[0, 1, 4, 11]] = False
    volume, seg = one(paths), one([segmentation(tmp_path, paths, mask, kind)])
    assert seg.role == "mask" and set(np.unique(seg.values)) == {0, 1}
    np.testing.assert_array_equal(volume.grid.to_stack(resample(seg, volume.grid)) > 0, mask)


def test_instances_are_enough_for_a_segmentation(tmp_path: Path) -> None:
    paths = series(tmp_path / "s")
    code = highdicom.sr.CodedConcept("108369006", "SCT", "Neoplasm")
    description = highdicom.seg.SegmentDescription(1, "lesion", code, code, "MANUAL")
    for volume in (one(paths), one([enhanced(tmp_path / "e.dcm")])):
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.affine
        mask = np.moveaxis(volume.grid.to_own(HEAD.mask), -1, 0).astype(np.uint8)
        cube = highdicom.Volume(mask, affine[:, [2, 0, 1, 3]], "PATIENT", volume.instances[0].FrameOfReferenceUID)
        seg = highdicom.seg.Segmentation(
            list(volume.instances), cube, "BINARY", [description], generate_uid(), 9, generate_uid(), 1, "m", "m", "1", "1"
        )
        seg.save_as(tmp_path / "out.dcm")
        back = one([tmp_path / "out.dcm"])
        np.testing.assert_array_equal(volume.grid.to_stack(resample(back, volume.grid)) > 0, HEAD.mask)


# Privacy

NAMES = (
    "PatientName", "PatientID", "OtherPatientIDs", "PatientComments", "PatientAddress", "AccessionNumber", "StudyID",
    "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName",
    "StudyDescription", "ImageComments", "ProtocolName", "ContrastBolusAgent", "StationName", "RequestingPhysician",
    "DeviceSerialNumber", "SequenceName",
)  # fmt: skip


def test_no_identity_leaves_the_reader(tmp_path: Path) -> None:
    names = dict.fromkeys(NAMES, PLANTED)
    paths = series(tmp_path / "s", SeriesDescription=f"{PLANTED} AX FLAIR ZZTOP PLANTED")
    for path in paths:
        ds = pydicom.dcmread(path)
        for tag, value in names.items():
            setattr(ds, tag, value)
        ds.PatientBirthDate = "19010203"
        ds.private_block(0x11, PLANTED, create=True).add_new(1, "LO", PLANTED)
        inner = Dataset()
        inner.PatientName = PLANTED
        ds.ReferencedPatientSequence = [inner]
        ds.save_as(path)
    found, problems = read_dicom(paths)
    told = "".join(str(v) for volume in found for v in (vars(volume), *volume.instances, *volume.warnings)).upper()
    told += "".join(str(f).upper() for f in find_dicom(paths)[0]) + "".join(map(str, problems)).upper()
    assert len(found) == 1 and found[0].description == "AX FLAIR"
    assert "ZZTOP" not in told and "PLANTED" not in told and "19010203" not in told


def test_names_in_tags_that_hold_none_are_dropped(tmp_path: Path) -> None:
    paths = series(tmp_path, STACK[:3])
    planted = b"ZZTOP^PLANTED "
    for path in paths:
        data = path.read_bytes()
        for tag in ("StudyInstanceUID", "FrameOfReferenceUID"):
            value = str(pydicom.dcmread(path)[tag].value).encode()
            data = data.replace(value, planted * 3 + value[: len(value) - 3 * len(planted)])
        data = data.replace(b"CS\x02\0MR", b"CS\x02\0ZZ")
        path.write_bytes(data)
    found, problems = read_dicom(paths)
    assert not found and [p.sentence.values.get("modality") for p in problems] == ["?"] * 3
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"CS\x02\0ZZ", b"CS\x02\0MR"))
    volume = one(paths)
    assert "ZZTOP" not in str(vars(volume)) and volume.instances == ()


# Resampling


def test_resample(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    (volume,) = read_nifti(nifti(tmp_path / "x.nii", values, affine))
    other_values, other_affine = turned("SAR")
    onto = Grid(other_values.shape, other_affine)
    np.testing.assert_allclose(resample(volume, onto), other_values, atol=1e-2)
    assert resample(volume, volume.grid) is volume.values
    away = other_affine.copy()
    away[:3, 3] += 1000
    assert not resample(volume, Grid(other_values.shape, away)).any()
    mask = Volume((values > 100).astype(np.float32), volume.grid, "m", "", "mask", volume.paths)
    np.testing.assert_array_equal(resample(mask, onto), other_values > 100)


# Whatever comes


def outcome(path: Path) -> None:
    """A file is read or refused; nothing else."""
    try:
        for volume in read_nifti(path) if is_nifti(path) else []:
            assert volume.values.shape == volume.grid.shape and np.isfinite(volume.values).all()
    except UnreadableScan as error:
        assert error.sentence.key in CATALOGUE and str(error)
    is_dicom(path)
    found, problems = read_dicom([path])
    assert all(np.isfinite(v.values).all() and v.values.shape == v.grid.shape for v in found)
    assert all(str(p) for p in problems)


SEEDS: dict[str, bytes] = {}


def seeds() -> dict[str, bytes]:
    if not SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            values, affine = turned("LPS", STACK[:2])
            SEEDS["a.nii"] = nifti(root / "a.nii", values.astype(np.int16), affine).read_bytes()
            SEEDS["b.nii.gz"] = nifti(root / "b.nii.gz", values, affine).read_bytes()
            path = series(root / "s", STACK[:1])[0]
            SEEDS["c.dcm"] = path.read_bytes()
            SEEDS["d.dcm"] = enhanced(root / "e.dcm", STACK[:2]).read_bytes()
            for n, syntax in enumerate((JPEG2000Lossless, JPEGLSLossless, RLELossless)):
                ds = pydicom.dcmread(path)
                compress(ds, syntax)
                ds.save_as(root / "x.dcm")
                SEEDS[f"{n}.dcm"] = (root / "x.dcm").read_bytes()
    return SEEDS


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=700), st.sampled_from(["x.nii", "x.nii.gz", "x.dcm", "x"]), st.sampled_from([b"", b"\x08\0", b"D"])
)
def test_random_bytes(data: bytes, name: str, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(128) + b"DICM" + data if start == b"D" else start + data)
        outcome(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_broken_bytes_of_whole_files(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(seeds())))
    raw = bytearray(seeds()[name])
    near = st.integers(0, min(len(raw), 1800) - 1)
    for place in data.draw(st.lists(near | st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(raw)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(raw[:cut]))
        outcome(path)


def test_a_deflated_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = series(tmp_path, STACK[:1])[0]
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    raw = path.read_bytes()
    (length,) = struct.unpack("<I", raw[140:144])
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(squeeze.compress(bytes(10_000_000)) for _ in range(40)) + squeeze.flush()
    path.write_bytes(raw[: 144 + length] + body)
    assert refused(path) == "too_much_at_once"


def test_a_bound_on_frames(tmp_path: Path) -> None:
    path = series(tmp_path, STACK[:1])[0]
    change(path, NumberOfFrames=2_000_000_000)
    assert refused(path) == "too_many_slices"
    change(path, NumberOfFrames=1, Rows=60000)
    assert refused(path) == "too_large"
    assert limits.MOST_VOXELS > 512 * 512 * 352

"""NIfTI and DICOM of every kind, whole and broken: voxels arrive on their own grid, no identity with them."""

from __future__ import annotations

import gzip
import tempfile
import tracemalloc
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_files import HEAD, NAMES, PLANTED, SPACING, STACK, change, enhanced, one, segmentation, series, stack_of, warned  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from pydicom.pixels import compress
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from lgg_demo.case import UnreadableScan, Volume
from lgg_demo.grid import AXES, Grid
from lgg_demo.messages import CATALOGUE
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.nifti import is_nifti, read_nifti
from lgg_demo.reading.series import read_dicom
from lgg_demo.reading.volumes import resample

ORIENTATIONS = ["".join(axes) for order in permutations(("RL", "AP", "SI")) for axes in product(*order)]


def turned(codes: str, stack: np.ndarray = STACK, spacing: tuple[float, ...] = SPACING) -> tuple[np.ndarray, np.ndarray]:
    """The stack as an array of an orientation, and its affine."""
    affine = np.array([[0, 0, -spacing[2], 110], [0, -spacing[1], 0, 115], [spacing[0], 0, 0, -40], [0, 0, 0, 1.0]])
    turn = ornt_transform(axcodes2ornt(AXES), axcodes2ornt(tuple(codes)))
    return apply_orientation(stack, turn), affine @ inv_ornt_aff(turn, stack.shape)


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


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


def test_a_thickness_that_nobody_gives_is_not_measured_by(tmp_path: Path) -> None:
    flat = nifti(tmp_path / "flat.nii", STACK[5].T[..., None].astype(np.float32), np.diag([-1.0, -1, 3, 1]))
    (picture,) = read_nifti(patched(flat, {"srow_z": 0, "qform_code": 0}))
    assert "no_thickness" in warned(picture) and picture.grid.measured and picture.grid.ruler is None


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

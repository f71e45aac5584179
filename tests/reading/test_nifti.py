"""NIfTI of every kind, whole and broken: voxels arrive on their own grid, in millimetres."""

from __future__ import annotations

import gzip
import tracemalloc
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import SPACING, STACK, stack_of, warned
from nifti_files import nifti, read_nifti, turned

from lgg_demo.case import ReadError, Volume
from lgg_demo.grid import Grid
from lgg_demo.reading.volumes import darken_outside, resample

ORIENTATIONS = ["".join(axes) for order in permutations(("RL", "AP", "SI")) for axes in product(*order)]


AFFINE = turned("LPS")[1]


def only(path: Path) -> Volume:
    (volume,) = read_nifti(path)
    return volume


def refused(path: Path) -> str:
    """The key of the one sentence that a file gets."""
    with pytest.raises(ReadError) as error:
        read_nifti(path)
    assert error.value.file == path.name and str(error.value).startswith(path.name)
    return error.value.sentence.key


def patched(path: Path, header: dict[str, object]) -> Path:
    """A NIfTI with header fields written over, whatever nibabel thinks of them."""
    data = bytearray(path.read_bytes())
    head = nib.Nifti1Header(bytes(data[:348]), check=False)
    for key, value in header.items():
        head[key] = value
    data[:348] = head.binaryblock
    path.write_bytes(data)
    return path


def written(path: Path, sform: np.ndarray | None, qform: np.ndarray | None, **header: object) -> Path:
    """The stack with forms of its own (None: code 0) and header fields written over."""
    image = nib.Nifti1Image(turned("LPS")[0], AFFINE)
    image.set_sform(AFFINE if sform is None else sform, 0 if sform is None else 2)
    image.set_qform(AFFINE if qform is None else qform, 0 if qform is None else 1)
    nib.save(image, path)
    return patched(path, header)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_becomes_the_same_stack(tmp_path: Path, codes: str) -> None:
    values, affine = turned(codes)
    volume = only(nifti(tmp_path / "a_flair.nii", values.astype(np.int16), affine))
    assert volume.values.dtype == np.float32 and volume.values.shape == volume.grid.shape == values.shape
    np.testing.assert_array_equal(stack_of(volume), STACK)
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING, rtol=1e-6)
    np.testing.assert_array_equal(volume.grid.to_own(STACK), values)
    assert (volume.name, volume.warnings) == ("a_flair", ())


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "f4", ">f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_kind_of_number(tmp_path: Path, dtype: str, suffix: str) -> None:
    values, affine = turned("LPS", STACK // 2)
    image = nib.Nifti1Image(values.astype(dtype), affine, dtype=np.dtype(dtype))
    if dtype.startswith(">"):
        image = nib.Nifti1Image(values.astype(dtype), affine, header=image.header.as_byteswapped(">"))
    nib.save(image, tmp_path / f"x{suffix}")
    volume = only(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(stack_of(volume), STACK // 2)


def test_nifti_2_and_scaling(tmp_path: Path) -> None:
    values, affine = turned("RAS")
    image = nib.Nifti2Image(values.astype(np.int16), affine)
    image.header.set_slope_inter(0.5, 10)
    raw = tmp_path / "x.nii.gz"
    nib.save(image, raw)
    volume = only(raw)
    np.testing.assert_allclose(volume.values, nib.load(raw).get_fdata(), rtol=1e-6)


def test_four_and_five_dimensions_give_one_volume_each(tmp_path: Path) -> None:
    values, affine = turned("LAS")
    many = np.stack([values * (n + 1) for n in range(10)], axis=-1)
    found = read_nifti(nifti(tmp_path / "case.nii.gz", many, affine))
    assert [v.name for v in found] == [f"case-{n}" for n in range(1, 9)]  # eight at most
    for n, volume in enumerate(found):
        np.testing.assert_array_equal(volume.values, values * (n + 1))
    assert warned(found[0]) == ["volumes_several"]
    found = read_nifti(nifti(tmp_path / "five.nii", many[..., None, :2], affine))
    np.testing.assert_array_equal(found[1].values, values * 2)
    (single,) = read_nifti(nifti(tmp_path / "single.nii", many[..., :1], affine))
    assert single.name == "single"


def test_no_number_is_no_signal(tmp_path: Path) -> None:
    values, affine = turned("LPS", STACK + 5)
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0] = np.nan, np.inf, -np.inf
    volume = only(nifti(tmp_path / "x.nii", values, affine))
    assert np.isfinite(volume.values).all() and volume.values[1, 0, 0] == volume.values.min()
    assert {w.key: w.values["count"] for w in volume.warnings} == {"not_finite": 3}
    assert refused(nifti(tmp_path / "nan.nii", np.full_like(values, np.nan), affine)) == "damaged"


def test_without_orientation_a_warning(tmp_path: Path) -> None:
    volume = only(written(tmp_path / "x.nii", None, None))
    assert warned(volume) == ["volume_no_orientation"]
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING, rtol=1e-6)


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
    assert refused(written(tmp_path / "x.nii", AFFINE, None, **header)) == key


@pytest.mark.parametrize("broken", [{"srow_x": 0, "srow_y": 0}, {"quatern_b": 5}])
def test_a_good_form_stands_in_for_a_broken_one(tmp_path: Path, broken: dict[str, object]) -> None:
    np.testing.assert_array_equal(stack_of(only(written(tmp_path / "x.nii", AFFINE, AFFINE, **broken))), STACK)


def test_a_thickness_that_nobody_gives_is_not_measured_by(tmp_path: Path) -> None:
    flat = nifti(tmp_path / "flat.nii", STACK[5].T[..., None].astype(np.float32), np.diag([-1.0, -1, 3, 1]))
    picture = only(patched(flat, {"srow_z": 0, "qform_code": 0}))
    assert "no_thickness" in warned(picture) and picture.grid.measured and picture.grid.physical is None


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


# Where the voxels lie


@pytest.mark.parametrize("qfac", [0, 1, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_any_qfac_but_minus_one_is_one(tmp_path: Path, qfac: float, order: str) -> None:
    values, affine = turned("RPS")  # right-handed: no axis is turned by qfac
    image = nib.Nifti1Image(values, affine, header=nib.Nifti1Header(endianness=order))
    image.set_sform(affine, 0)
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / "x.nii")
    data = bytearray((tmp_path / "x.nii").read_bytes())
    head = nib.Nifti1Header(bytes(data[:348]), endianness=order, check=False)
    head["pixdim"][0] = -1 if head["pixdim"][0] < 0 else qfac
    data[:348] = head.binaryblock
    (tmp_path / "x.nii").write_bytes(data)
    volume = only(tmp_path / "x.nii")
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(stack_of(volume), STACK)


def test_a_quaternion_that_rounding_made_too_long_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.nii", None, AFFINE)
    head = nib.load(path).header
    longer = {f"quatern_{axis}": float(head[f"quatern_{axis}"]) * 1.01 for axis in "bcd"}
    volume = only(patched(path, longer))
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_quaternion_that_is_none_is_no_place(tmp_path: Path, value: float) -> None:
    assert refused(written(tmp_path / "x.nii", None, AFFINE, quatern_b=value)) == "volume_geometry"


TURN = np.array([[0.96, -0.28, 0, 10], [0.28, 0.96, 0, -5], [0, 0, 1, 7], [0, 0, 0, 1]])
SHEARED = AFFINE + np.pad(0.25 * 5 / 3.6 * AFFINE[:3, 1:2], ((0, 1), (2, 1)))


@pytest.mark.parametrize(
    ("sform", "qform", "header", "expected", "keys"),
    [
        *((AFFINE, AFFINE, {"sform_code": s, "qform_code": q}, AFFINE, []) for s, q in
          ((6, 0), (0, 9), (300, -4), (2, 1), (4, 2), (5, 5))),
        (TURN @ AFFINE, AFFINE, {}, TURN @ AFFINE, []),
        (AFFINE, AFFINE @ np.diag([-1, 1, 1, 1]), {}, AFFINE, ["volume_mirrored"]),
        (SHEARED, None, {}, SHEARED, []),
        (AFFINE, None, {"xyzt_units": 1}, AFFINE, ["volume_unit"]),  # in metres no head is so large
        (AFFINE, None, {"xyzt_units": 3}, AFFINE, ["volume_unit"]),
    ],
)  # fmt: skip
def test_any_code_above_0_is_one_and_the_sform_comes_first(
    tmp_path: Path,
    sform: np.ndarray,
    qform: np.ndarray | None,
    header: dict[str, object],
    expected: np.ndarray,
    keys: list[str],
) -> None:
    volume = only(written(tmp_path / "x.nii", sform, qform, **header))
    np.testing.assert_allclose(volume.grid.affine, expected, atol=1e-4)
    assert warned(volume) == keys


@pytest.mark.parametrize(("code", "length"), [(0, 1.0), (1, 1e-3), (2, 1.0), (3, 1e3), (7, 1.0)])
@pytest.mark.parametrize("form", ["sform", "qform", "none"])
def test_lengths_are_in_the_units_of_the_header(tmp_path: Path, code: int, length: float, form: str) -> None:
    affine = np.diag([length, length, length, 1]) @ AFFINE
    path = written(tmp_path / "x.nii", affine if form == "sform" else None, affine if form == "qform" else None)
    sizes = [1, *(length * np.array([3.6, 3.6, 5])), 0, 0, 0, 0]
    (volume,) = read_nifti(
        patched(path, {"xyzt_units": code | 8, "pixdim": sizes if form == "none" else nib.load(path).header["pixdim"]})
    )
    np.testing.assert_allclose(volume.grid.spacing_mm, SPACING, rtol=1e-4)
    if form != "none":
        np.testing.assert_allclose(volume.grid.affine, AFFINE, rtol=1e-3, atol=1e-3)
    assert warned(volume) == (["volume_no_orientation"] if form == "none" else [])


# What is around the head


@pytest.mark.parametrize("number", [-1, -1024, -32768])
def test_a_negative_number_where_nothing_was_measured_is_as_dark_as_air(tmp_path: Path, number: int) -> None:
    values, affine = turned("LPS", STACK.copy())
    values[:6] = number
    volume = only(nifti(tmp_path / "x.nii", values.astype(np.int16), affine))
    assert volume.values.min() == 0 and not volume.values[:6].any()
    np.testing.assert_array_equal(volume.values[6:], values[6:])


def test_scores_below_0_stay(tmp_path: Path) -> None:
    scores = (STACK - STACK.mean()) / STACK.std()
    before = scores.copy()
    darken_outside(scores)
    np.testing.assert_array_equal(scores, before)


def test_outside_of_its_field_of_view_a_sequence_is_dark_and_a_mask_empty() -> None:
    small = Grid((4, 4, 4), np.diag([2.0, 2, 2, 1]))
    large = Grid((12, 4, 4), np.diag([2.0, 2, 2, 1]))
    scores = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    out = resample(Volume(scores, small, "t1", "", "pre", ()), large)
    np.testing.assert_array_equal(out[5:], scores.min())
    np.testing.assert_allclose(out[:4], scores, atol=1e-6)
    assert not resample(Volume(np.ones((4, 4, 4), np.float32), small, "m", "", "mask", ()), large)[5:].any()


def test_resample(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    volume = only(nifti(tmp_path / "x.nii", values, affine))
    other_values, other_affine = turned("SAR")
    onto = Grid(other_values.shape, other_affine)
    np.testing.assert_allclose(resample(volume, onto), other_values, atol=1e-2)
    assert resample(volume, volume.grid) is volume.values
    away = other_affine.copy()
    away[:3, 3] += 1000
    assert not resample(volume, Grid(other_values.shape, away)).any()
    mask = Volume((values > 100).astype(np.float32), volume.grid, "m", "", "mask", volume.paths)
    np.testing.assert_array_equal(resample(mask, onto), other_values > 100)

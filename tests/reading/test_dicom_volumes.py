"""DICOM as scanners write it becomes volumes: every slice in its place, nothing of a name."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import (
    HEAD,
    NAMES,
    PLANTED,
    SPACING,
    STACK,
    change,
    enhanced,
    one,
    read_dicom,
    refused,
    segmentation,
    series,
    stack_of,
    warned,
)  # fmt: skip
from drawn_heads import draw_head
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.pixels import compress
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, generate_uid

from lgg_demo.grid import places_of
from lgg_demo.reading import limits
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.nifti import is_nifti
from lgg_demo.reading.series import find_dicom
from lgg_demo.reading.volumes import resample


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


def test_deflated(tmp_path: Path) -> None:  # of other compressions pydicom ships files, see below
    for path in (paths := series(tmp_path)):
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
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
    [({"PixelSpacing": None}, "dicom_no_spacing"), ({"PixelSpacing": [0, 0]}, "dicom_no_spacing"),
     ({"BurnedInAnnotation": "YES"}, "burned_in")],
)  # fmt: skip
def test_odd_tags_are_said(tmp_path: Path, tags: dict[str, object], warning: str) -> None:
    volume = one(series(tmp_path, **tags))
    assert warned(volume) == [warning]
    np.testing.assert_array_equal(stack_of(volume), STACK)


@pytest.mark.parametrize(
    "tags",
    [{"ImagePositionPatient": None}, {"ImageOrientationPatient": None}, {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}],
)
@pytest.mark.parametrize("numbered", [True, False])
def test_without_a_place_slices_come_by_their_numbers_or_those_in_their_names(
    tmp_path: Path, tags: dict[str, object], numbered: bool
) -> None:
    paths = series(tmp_path, **tags)
    order = sorted(paths, key=lambda path: int(pydicom.dcmread(path).InstanceNumber))
    if not numbered:
        for n, path in enumerate(paths := order):
            change(path, InstanceNumber=None)
            order[n] = path.rename(tmp_path / f"s{n + 1}")
    volume = one(sorted(order))
    assert list(volume.paths) == order and warned(volume) == ["dicom_no_position"] and volume.instances == ()


def test_without_uids_and_modality(tmp_path: Path) -> None:
    volume = one(series(tmp_path, SeriesInstanceUID="", StudyInstanceUID="", Modality="", SeriesNumber=None))
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert volume.name == "series" and warned(volume) == []


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
        assert volume.grid.spacing_mm[0] == pytest.approx(5, abs=0.1)
        assert volume.values.shape[2] == len(places) + sum(missing)


def test_a_constant_uid_does_not_cost_a_slice(tmp_path: Path) -> None:
    volume = one(series(tmp_path, SOPInstanceUID=generate_uid()))
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert len(volume.instances) == len(STACK) and warned(volume) == []


def test_a_thickness_that_nobody_gives_is_not_measured_by(tmp_path: Path) -> None:
    alone = one(series(tmp_path / "a", STACK[5:6], SliceThickness=None))
    unplaced = one(series(tmp_path / "b", SliceThickness=None, ImagePositionPatient=None))
    for volume in (alone, unplaced):
        assert "no_thickness" in warned(volume)
        assert volume.grid.measured and volume.grid.physical is None
    for known in (one(series(tmp_path / "c", STACK[5:6])), one(series(tmp_path / "d", SliceThickness=None))):
        assert known.grid.physical is known.grid and warned(known) == []


def test_echoes_sizes_and_planes_are_volumes_of_their_own(tmp_path: Path) -> None:
    shared = {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2.4"}
    paths = series(tmp_path / "a", EchoTime=10, **shared) + series(tmp_path / "b", STACK * 2, EchoTime=90, **shared)
    paths += series(tmp_path / "c", STACK[:, :40], **shared)
    for n, path in enumerate(
        series(tmp_path / "d", draw_head(20, size=64).flair, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], **shared)
    ):
        change(path, ImagePositionPatient=[5 * n, 0, 0])
        paths.append(path)
    found, problems = read_dicom(paths[12:] + paths[:12])
    assert not problems and [v.name for v in found] == ["series-3", "series-3-2", "series-3-3", "series-3-4"]
    assert sorted(v.values.shape for v in found) == [(40, 64, 12), (64, 64, 12), (64, 64, 12), (64, 64, 20)]


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
    np.testing.assert_array_equal(one([Path(str(get_testdata_file(name)))]).values[..., 0], plain)


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


# Privacy


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
    assert "ZZTOP" not in "".join(map(str, (vars(volume), *volume.instances)))
    assert not any(tag in i for i in volume.instances for tag in ("StudyInstanceUID", "FrameOfReferenceUID"))


def test_a_bound_on_frames(tmp_path: Path) -> None:
    path = series(tmp_path, STACK[:1])[0]
    change(path, NumberOfFrames=2_000_000_000)
    assert refused(path) == "too_many_slices"
    change(path, NumberOfFrames=1, Rows=60000)
    assert refused(path) == "too_large"
    assert limits.MOST_VOXELS > 512 * 512 * 352

"""DICOM series as scanners and archives write them: in pieces, without places, with gaps, rounded, padded, damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import STACK, change, enhanced, one, read_dicom, series, stack_of, warned
from drawn_heads import draw_head
from pydicom.uid import generate_uid

from lgg_demo.case import Volume
from lgg_demo.output.dicom_frames import why_no_segmentation


def slices(folder: Path, stack: np.ndarray = STACK, **tags: object) -> list[Path]:
    """A series in the order of its positions."""
    return sorted(series(folder, stack, **tags), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])


def each(paths: list[Path], tags: Callable[[int], dict[str, object]]) -> list[Path]:
    for n, path in enumerate(paths):
        change(path, **tags(n))
    return paths


def keys_of(paths: list[Path]) -> tuple[list[Volume], list[str]]:
    found, problems = read_dicom(paths)
    return found, [p.sentence.key for p in problems]


# In pieces


@pytest.mark.parametrize("pieces", [12, 2])
def test_slices_with_series_of_their_own_are_one(tmp_path: Path, pieces: int) -> None:
    uids = [generate_uid() for _ in range(pieces)]
    frames = [generate_uid() for _ in range(pieces)]
    paths = each(
        slices(tmp_path), lambda n: {"SeriesInstanceUID": uids[n % pieces], "FrameOfReferenceUID": frames[n % pieces]}
    )
    random.Random(0).shuffle(paths)
    volume = one(paths)
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert warned(volume) == [] and len({ds.SeriesInstanceUID for ds in volume.instances}) == pieces


def test_slices_with_a_series_number_each_are_one(tmp_path: Path) -> None:
    paths = each(slices(tmp_path), lambda n: {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 20 + n})
    np.testing.assert_array_equal(stack_of(one(paths)), STACK)


def study(folder: Path, *parts: dict[str, object], uid: str | None = None) -> list[Path]:
    """Series of one study, the n-th of n times the stack. uid: of the series of all, None for one each slice."""
    shared, paths = {"StudyInstanceUID": generate_uid()}, []
    for n, tags in enumerate(parts, 1):
        own = slices(folder / str(n), STACK * n, **shared, **tags)
        paths += each(own, lambda n: {"SeriesInstanceUID": uid or generate_uid()})
    return paths


def multiples(found: list[Volume]) -> list[int]:
    """How many times the stack each volume is."""
    return [round(float(v.values.mean() / STACK.mean())) for v in found]


@pytest.mark.parametrize(
    ("first", "second", "uid", "expected"),
    [
        ({"SeriesNumber": 3}, {"SeriesNumber": 4, "SeriesDescription": "AX T1"}, None, [1, 2]),
        ({"EchoTime": 10}, {"EchoTime": 90}, None, [1, 2]),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, {"ImageType": ["ORIGINAL", "PRIMARY"]}, "1.2.3", [2, 1]),  # original first
    ],
)
def test_two_series_and_two_kinds_of_picture_are_two_volumes(
    tmp_path: Path, first: dict[str, object], second: dict[str, object], uid: str | None, expected: list[int]
) -> None:
    found, problems = read_dicom(study(tmp_path, first, second, uid=uid))
    assert not problems and multiples(found) == expected and [v.values.shape[2] for v in found] == [12, 12]


@pytest.mark.parametrize(
    ("shift", "tags"),
    [(2.0, {}), (2.5, {}), (0.0, {}), (60.0, {"SeriesDescription": "AX T1"}), (60.0, {"PixelSpacing": [1.8, 1.8]})],
)
def test_whole_series_of_one_number_stay_two(tmp_path: Path, shift: float, tags: dict[str, object]) -> None:
    first, study = slices(tmp_path / "a"), generate_uid()
    second = slices(tmp_path / "b", **tags)
    each(first, lambda n: {"StudyInstanceUID": study})
    each(second, lambda n: {"StudyInstanceUID": study, "ImagePositionPatient": [-110, -115, -40 + shift + 5 * n]})
    found, problems = read_dicom(first + second)
    assert not problems and [v.values.shape[2] for v in found] == [12, 12]


def test_two_patients_in_pieces_stay_two(tmp_path: Path) -> None:
    paths = [
        p
        for name in "ab"
        for p in each(slices(tmp_path / name, StudyInstanceUID=""), lambda n: {"SeriesInstanceUID": generate_uid()})
    ]
    found, _ = read_dicom(paths)
    assert [v.values.shape[2] for v in found] == [12, 12]


@pytest.mark.parametrize("parts", [[range(12)], [range(6), range(6, 12)], [range(0, 12, 2), range(1, 12, 2)]])
def test_enhanced_files_are_one_series(tmp_path: Path, parts: list[range]) -> None:
    groups = [[n] for n in range(12)] if parts == [range(12)] else parts
    uid, study, files = generate_uid(), generate_uid(), []
    for k, frames in enumerate(groups):
        (tmp_path / str(k)).mkdir()
        path = enhanced(tmp_path / str(k) / "e.dcm", STACK[list(frames)])
        ds = pydicom.dcmread(path)
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.InstanceNumber = uid, study, k + 1
        ds.FrameOfReferenceUID = "1.2.3"
        for group, n in zip(ds.PerFrameFunctionalGroupsSequence, reversed(frames), strict=True):
            group.PlanePositionSequence[0].ImagePositionPatient = [-110, -115, -40 + 5 * n]
        ds.save_as(path)
        files.append(path)
    volume = one(files)
    np.testing.assert_array_equal(stack_of(volume), STACK * 2 - 7)
    assert warned(volume) == [] and len(volume.instances) == len(groups)


def test_a_slice_less_of_one_echo_does_not_mix_the_two(tmp_path: Path) -> None:
    paths = study(tmp_path, {"EchoTime": 10}, {"EchoTime": 90}, uid="1.2.3")
    found, problems = read_dicom([*paths[:4], *paths[5:]])
    assert not problems and [warned(v) for v in found] == [["series_missing"], []]
    np.testing.assert_array_equal(np.delete(stack_of(found[0]), 4, axis=0), np.delete(STACK, 4, axis=0))
    np.testing.assert_array_equal(stack_of(found[1]), STACK * 2)


# Without places


@pytest.mark.parametrize("located", [True, False])
def test_one_position_for_all_is_none(tmp_path: Path, located: bool) -> None:
    order = (lambda n: {"InstanceNumber": 1, "SliceLocation": 6.0 * n}) if located else lambda n: {"InstanceNumber": n + 1}
    paths = each(slices(tmp_path), order)
    each(paths, lambda n: {"ImagePositionPatient": [-110, -115, 0]})
    volume = one(paths)
    np.testing.assert_array_equal(stack_of(volume), STACK)
    assert warned(volume) == ["dicom_one_position"] and volume.instances == ()
    assert volume.grid.spacing_mm[0] == (6 if located else 5)


def test_frames_at_one_position_come_in_their_order(tmp_path: Path) -> None:
    ds = pydicom.dcmread(path := enhanced(tmp_path / "e.dcm"))
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
    ds.save_as(path)
    volume = one([path])
    np.testing.assert_array_equal(stack_of(volume), STACK[::-1] * 2 - 7)
    assert warned(volume) == ["dicom_one_position"]


def test_one_slice_at_several_times_is_not_a_stack(tmp_path: Path) -> None:
    paths = each(
        slices(tmp_path, STACK[:4]),
        lambda n: {"ImagePositionPatient": [0, 0, 0], "TemporalPositionIdentifier": n + 1, "InstanceNumber": n + 1},
    )
    found, problems = read_dicom(paths)
    assert not problems and [v.values.shape[2] for v in found] == [1] * 4


def test_sagittal_slices_without_places_are_not_taken_as_axial(tmp_path: Path) -> None:
    stack = np.repeat(STACK, 2, axis=0)
    paths = series(tmp_path, stack, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[0, 0, 0])
    volume = one(paths)
    assert warned(volume) == ["dicom_no_order"] and volume.grid.slice_direction is None
    assert volume.grid.to_stack(volume.values).shape == (64, 64, 24)


# Directions at right angles


def test_rounded_and_jittery_positions_do_not_shear_the_grid(tmp_path: Path) -> None:
    tilt = np.deg2rad(7)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), np.sin(tilt)])
    normal = np.cross(row, column)
    draw = np.random.default_rng(3)
    true = np.array([[-110.03, -114.97, -40.02] + 5.5 * n * normal for n in range(12)])
    for name, moved, off in (
        ("decimal", np.round(true, 1), 0.06),
        ("jitter", true + draw.normal(0, 0.3, true.shape), 0.4),
        ("whole", true, 1e-6),
    ):
        turned = [*row.tolist(), *(np.round(column, 2) if name == "decimal" else column).tolist()]
        paths = slices(tmp_path / name, ImageOrientationPatient=turned)
        each(paths, lambda n, at=moved: {"ImagePositionPatient": [round(float(v), 6) for v in at[n]]})
        volume = one(paths)
        axes = volume.grid.affine[:3, :3] / np.linalg.norm(volume.grid.affine[:3, :3], axis=0)
        assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-6, name
        first, last = (volume.grid.affine @ [0, 0, k, 1] for k in (0, 11))
        assert np.abs(first[:3] * [-1, -1, 1] - true[0]).max() < off + 0.06 and warned(volume) == []
        assert np.abs(last[:3] * [-1, -1, 1] - true[11]).max() < off + (0.35 if name == "decimal" else 0.06)
        assert why_no_segmentation(volume.grid, volume.instances) is None


def test_a_tilted_gantry_stays_sheared_and_is_said(tmp_path: Path) -> None:
    paths = each(slices(tmp_path), lambda n: {"ImagePositionPatient": [-110, -115 + 1.5 * n, -40 + 5 * n]})
    volume = one(paths)
    assert warned(volume) == ["slices_slanted"] and volume.warnings[0].values["degrees"] == 17
    assert volume.grid.spacing_mm[0] == pytest.approx(5) and why_no_segmentation(volume.grid, volume.instances) is None
    np.testing.assert_allclose(volume.grid.affine[:3, 2], [0, -1.5, 5], atol=1e-6)
    np.testing.assert_allclose(volume.grid.affine[:3, 3], [110, 115, -40], atol=1e-6)


# Distances


@pytest.mark.parametrize(
    ("apart", "tags", "key"),
    [
        (5.0, {}, None), (6.5, {}, None), (7.5, {}, None), (10.0, {}, None),  # a gap as wide as the slices
        (11.0, {}, "slices_apart"), (16.5, {}, "slices_apart"), (27.0, {}, "slices_apart"),
        (11.0, {"SpacingBetweenSlices": 5.5}, "slices_apart"), (9.0, {"SpacingBetweenSlices": 5.5}, "slices_apart"),
        (9.0, {"SpacingBetweenSlices": 9}, None), (5.5, {"SpacingBetweenSlices": 0.5}, None),
        (1.0, {"SliceThickness": 2}, None), (7.0, {"SliceThickness": None}, None),
        (27.0, {"SliceThickness": None}, "slices_far"), (27.0, {"SliceThickness": 27}, "slices_far"),
        (27.0, {"SliceThickness": None, "SpacingBetweenSlices": 5}, "slices_far"),
    ],
)  # fmt: skip
def test_slices_further_apart_than_anybody_plans(
    tmp_path: Path, apart: float, tags: dict[str, object], key: str | None
) -> None:
    paths = slices(tmp_path, STACK[:6], **tags)
    volume = one(each(paths, lambda n: {"ImagePositionPatient": [-110, -115, -40 + apart * n]}))
    assert warned(volume) == ([key] if key else []) and volume.grid.spacing_mm[0] == pytest.approx(apart)
    assert volume.grid.physical is volume.grid and (key is None or f"{apart:g} mm" in str(volume.warnings[0]))


@pytest.mark.parametrize(
    ("thick", "between", "distance"),
    [
        (5, 0.5, 5.5), (4.5, 1.0, 5.5), (5, 5.5, 5.5), (5, None, 5), (None, 6, 6), (2, 1, None), (5, 4, None), (5, 5, 5),
        (5, -5.5, 5.5),
    ],
)  # fmt: skip
def test_a_stated_gap_is_no_distance(
    tmp_path: Path, thick: float | None, between: float | None, distance: float | None
) -> None:
    paths = slices(tmp_path, SliceThickness=thick)
    stated = {} if between is None else {"SpacingBetweenSlices": between}
    volume = one(each(paths, lambda n: {"ImagePositionPatient": None, "InstanceNumber": n + 1, **stated}))
    assert warned(volume) == ["dicom_no_position"] + ([] if distance else ["distance_unclear"])
    assert volume.grid.spacing_mm[0] == distance if distance else volume.grid.physical is None


def test_pixels_of_several_sizes_are_refused(tmp_path: Path) -> None:
    paths = each(slices(tmp_path), lambda n: {"PixelSpacing": [1.0, 1.0]} if n % 2 else {})
    assert keys_of(paths) == ([], ["spacing_varies"])
    rounded = each(slices(tmp_path / "b"), lambda n: {"PixelSpacing": [3.6001, 3.5999]} if n % 2 else {})
    assert warned(one(rounded)) == []


@pytest.mark.parametrize("turn", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]])
def test_one_sagittal_slice_is_refused_for_being_one(tmp_path: Path, turn: list[float]) -> None:
    big = np.kron(draw_head(1, size=64).flair, np.ones((1, 17, 16)))[:1]
    assert keys_of(series(tmp_path, big, (5, 0.25, 0.25), ImageOrientationPatient=turn)) == ([], ["volume_few_slices"])


# Padding


@pytest.mark.parametrize(
    ("value", "signed", "vr", "limit"),
    [
        (65535, 0, "US", None),
        (-32768, 1, "SS", None),
        (-2000, 1, "SS", None),
        (63536, 1, "US", None),  # -2000 by its bits
        (-1, 0, "SS", None),  # 65535
        (0, 0, "US", None),
        (-2000, 1, "SS", -1024),
        (63536, 1, "US", 64512),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_padding_is_the_darkest_value(
    tmp_path: Path, value: int, signed: int, vr: str, limit: int | None, photometric: str
) -> None:
    stored = STACK + 10
    seen = stored if photometric == "MONOCHROME2" else stored.max() - stored
    stored = stored.astype(np.int64).copy()
    stored[:, :6] = stored[:, :, :6] = value
    if limit is not None:
        stored[:, -6:] = (value + limit) // 2
    tags = {"PixelRepresentation": signed, "BitsStored": 16, "HighBit": 15, "PhotometricInterpretation": photometric}
    paths = slices(tmp_path, stored % 65536, **tags)
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.add_new("PixelPaddingValue", vr, value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", vr, limit)
        ds.save_as(path)
    stack = stack_of(volume := one(paths))
    inside = (slice(None), slice(6, -6 if limit is not None else None), slice(6, None))
    np.testing.assert_allclose(stack[inside] - stack[inside].min(), seen[inside] - seen[inside].min())
    assert (stack[:, :6] == stack.min()).all() and stack.min() == stack[inside].min() and warned(volume) == []


def test_padding_is_stored_and_not_rescaled(tmp_path: Path) -> None:
    stored = STACK + 20
    stored[:, :6] = 4000
    paths = slices(tmp_path, stored, PixelPaddingValue=4000, RescaleSlope=2, RescaleIntercept=-1000)
    stack = stack_of(one(paths))
    assert (stack[:, :6] == stack.min()).all() and stack.max() == stored[:, 6:].max() * 2 - 1000


def test_a_series_that_is_all_padding_is_blank(tmp_path: Path) -> None:
    assert not one(slices(tmp_path, STACK * 0 + 7, PixelPaddingValue=7)).values.any()


# Damaged files


@pytest.mark.parametrize("which", [0, 5, 11])
@pytest.mark.parametrize("left", [60, 150, 300, 420, "before the rows", "before the pixels"])
def test_a_slice_cut_off_in_its_header_is_said(tmp_path: Path, which: int, left: int | str) -> None:
    paths = slices(tmp_path)
    data = paths[which].read_bytes()
    if isinstance(left, str):
        left = data.index({"before the rows": b"\x28\0\x10\0US", "before the pixels": b"\xe0\x7f\x10\0OW"}[left])
    paths[which].write_bytes(data[:left])
    found, problems = keys_of(paths)
    (volume,) = found
    if problems:
        assert problems == ["damaged"] and "series_unread" in warned(volume)
        assert volume.values.shape[2] == (12 if which == 5 else 11)
    else:
        assert warned(volume) == ["series_damaged"] and volume.values.shape[2] == 12


def test_files_of_another_folder_do_not_trouble_a_series(tmp_path: Path) -> None:
    paths = slices(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.dcm").write_bytes(paths[0].read_bytes()[:200])
    found, problems = keys_of([*paths, tmp_path / "b" / "x.dcm"])
    assert problems == ["damaged"] and warned(found[0]) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"SeriesInstanceUID": ""}, []),  # it lies between the others
        ({"SeriesInstanceUID": "", "SeriesDescription": ""}, ["series_strays"]),
        ({"SeriesInstanceUID": generate_uid(), "SeriesDescription": ""}, ["series_strays"]),
        ({"Rows": 32, "SeriesDescription": ""}, ["series_strays"]),
        ({"Rows": 32, "SeriesInstanceUID": "", "SeriesDescription": "", "SeriesNumber": None}, ["series_strays"]),
        ({"ImageOrientationPatient": None, "SeriesDescription": ""}, ["series_strays"]),
        ({"SeriesInstanceUID": "", "SeriesDescription": "", "BitsAllocated": None}, ["damaged", "series_unread"]),
    ],
)
def test_a_slice_that_leaves_its_series_is_said(tmp_path: Path, damage: dict[str, object], said: list[str]) -> None:
    paths = slices(tmp_path)
    change(paths[0], **damage)
    found, problems = keys_of(paths)
    whole = next(volume for volume in found if volume.values.shape[2] > 1)
    assert problems + [key for key in warned(whole) if key != "series_missing"] == said
    assert sum(volume.values.shape[2] for volume in found) == (12 - ("damaged" in said))

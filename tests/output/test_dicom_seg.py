"""A DICOM SEG lies where its source does, names it frame by frame, and names nobody."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_files import STACK, read_dicom
from dicom_files import series as files_of_a_series
from drawn_results import ORIENTATIONS, RECORD, ROWS, SLICES, WIDTH, series, write_seg
from nibabel.orientations import inv_ornt_aff
from pydicom import Dataset
from pydicom.uid import generate_uid

from lgg_demo.case import Case, Scan
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.output.dicom_frames import NoSegmentation, frames_of_source, why_no_segmentation
from lgg_demo.output.files import write_outputs
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of


def dciodvfy(path: Path) -> None:
    """No error from David Clunie's validator."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in said.stdout + said.stderr, said.stderr


def random_mask(grid: Grid) -> np.ndarray:
    """On the grid's own axes (column, row, slice)."""
    return np.random.default_rng(1).random(grid.shape) < 0.3


def lies_on_its_source(path: Path, grid: Grid, own: np.ndarray) -> dict[int, tuple[str, int | None]]:
    """Which file and frame each slice's frame of a segmentation says it is of, having checked its pixels by its place."""
    seg = pydicom.dcmread(path)
    to_index = np.linalg.inv(grid.affine) @ np.diag([-1, -1, 1, 1])
    named = {}
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        column, row, k, _ = to_index @ [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1]
        assert np.abs([column, row, k - round(k)]).max() < 1e-4
        np.testing.assert_array_equal(frame.astype(bool), own[:, :, round(k)].T)
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        named[round(k)] = (source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber"))
    return named


@pytest.mark.parametrize(
    ("orientation", "enhanced", "empty"),
    [*product(ORIENTATIONS, (False, True), (False,)), ("axial", False, True), ("tilted", True, True)],
)
def test_segmentation_lies_where_its_source_does(tmp_path: Path, orientation: str, enhanced: bool, empty: bool) -> None:
    instances, grid = series(orientation, enhanced)
    own = random_mask(grid) & (not empty)
    own[..., -1] = False
    path = tmp_path / "seg.dcm"
    write_seg(path, grid.to_stack(own), grid, instances)
    named = lies_on_its_source(path, grid, own)
    uids = [instances[0 if enhanced else k].SOPInstanceUID for k in range(SLICES)]
    assert named == {k: (uids[k], k + 1 if enhanced else None) for k in range(SLICES) if empty or k < SLICES - 1}
    seg = hd.seg.segread(path)
    assert seg.SegmentationType == "BINARY" and (seg.Rows, seg.Columns) == (ROWS, WIDTH)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == instances[0][keyword].value
    (referenced,) = seg.ReferencedSeriesSequence
    assert seg.SeriesInstanceUID != referenced.SeriesInstanceUID == instances[0].SeriesInstanceUID
    assert [i.ReferencedSOPInstanceUID for i in referenced.ReferencedInstanceSequence] == list(dict.fromkeys(uids))
    segment = seg.get_segment_description(1)
    assert segment.segment_label == "FLAIR abnormality" and segment.algorithm_type.value == "AUTOMATIC"
    assert segment.segmented_property_category.value == "49755003" and segment.segmented_property_type.value == "52988006"
    (shared,) = seg.SharedFunctionalGroupsSequence
    np.testing.assert_allclose(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, ORIENTATIONS[orientation], atol=1e-6
    )
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, (0.9, 1.1))
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(3.3, abs=1e-4)
    assert b"PLANTED" not in path.read_bytes() and b"19010203" not in path.read_bytes()
    dciodvfy(path)


def test_the_validator_would_say_so(tmp_path: Path) -> None:
    instances, grid = series()
    write_seg(tmp_path / "a.dcm", np.ones((SLICES, ROWS, WIDTH), bool), grid, instances)
    damaged = pydicom.dcmread(tmp_path / "a.dcm")
    del damaged.SegmentSequence[0].SegmentLabel
    damaged.save_as(tmp_path / "b.dcm")
    with pytest.raises(AssertionError, match="Error"):
        dciodvfy(tmp_path / "b.dcm")


def test_frames_are_found_whatever_the_axes_of_the_grid() -> None:
    """The reader may keep a series as (column, row, slice) or as (slice, row, column), in either direction."""
    instances, grid = series("tilted")
    volume = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    wanted = volume.transpose(2, 1, 0)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turn = np.stack([np.array(order), np.array(signs)], axis=1).astype(float)
        other = nib.orientations.apply_orientation(volume, turn)
        own = Grid(other.shape, grid.affine @ inv_ornt_aff(turn, grid.shape))
        np.testing.assert_array_equal(frames_of_source(own, instances).of(other), wanted)
        np.testing.assert_array_equal(frames_of_source(own, instances[::-1]).of(other), wanted[::-1])


def test_slices_that_are_not_quite_evenly_spaced_stay_in_their_frames() -> None:
    """Nor does it matter that they slide in their plane: each frame has its own position."""
    instances, grid = series()
    for k, header in enumerate(instances):
        x, y, _ = header.ImagePositionPatient
        header.ImagePositionPatient = [x + 0.9 * (k % 3), y - 1.3 * (k % 2), -20.125 + 3.3 * k + (0.9 if k % 2 else 0)]
    volume = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    np.testing.assert_array_equal(frames_of_source(grid, instances).of(volume), volume.transpose(2, 1, 0))


def one_more(instances: list[Dataset]) -> None:
    instances.append(copy.deepcopy(instances[0]))
    instances[-1].SOPInstanceUID = generate_uid()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda i: setattr(i[1], "Rows", 3), "seg_off_grid"),
        (lambda i: setattr(i[2], "ImagePositionPatient", [0, 0, 0]), "seg_off_grid"),
        (lambda i: setattr(i[0], "ImageOrientationPatient", [0.7, 0.7, 0, -0.7, 0.7, 0]), "seg_off_grid"),
        (lambda i: setattr(i[0], "PixelSpacing", [2, 2]), "seg_off_grid"),
        (lambda i: setattr(i[2], "ImagePositionPatient", i[3].ImagePositionPatient), "seg_uneven"),
        (lambda i: delattr(i[3], "ImagePositionPatient"), "seg_no_position"),
        (lambda i: delattr(i[0], "FrameOfReferenceUID"), "seg_no_uid"),
        (lambda i: setattr(i[1], "FrameOfReferenceUID", generate_uid()), "seg_frames_of_reference"),
        (lambda i: setattr(i[1], "SOPInstanceUID", i[0].SOPInstanceUID), "seg_shared_uids"),
        (one_more, "seg_more_frames"),
    ],
)
def test_headers_that_do_not_fit_give_no_segmentation_and_the_true_reason(
    tmp_path: Path, damage: Callable[[list[Dataset]], None], why: str
) -> None:
    instances, grid = series()
    assert why_no_segmentation(grid, instances) is None
    damage(instances)
    assert why_no_segmentation(grid, instances) == why
    with pytest.raises(NoSegmentation, match=why):
        write_seg(tmp_path / "a.dcm", np.zeros((SLICES, ROWS, WIDTH), bool), grid, instances)
    pixels = np.random.default_rng(0).random((SLICES, ROWS, WIDTH, 3)).astype(np.float32)
    case = Case(Scan(pixels, "series-3", (("series-3", SLICES),), True, grid, tuple(instances)), (Path("series-3"),))
    r = result_of(case, np.zeros(pixels.shape[:3], np.uint8))
    report = build_report([r], 0.5, RECORD)
    assert "segmentation" not in report["images"][0]
    assert report["warnings"] == [Sentence(why, {"file": "series-3"}).say("en")]
    files, failures = write_outputs([r], 0.5, report, tmp_path)
    assert not failures and not [p for p in files if p.suffix == ".dcm"]


@pytest.mark.parametrize("parts", [[[4, 3], [0, 1, 2]], [[k] for k in (3, 1, 4, 0, 2)]], ids=["halves", "one frame each"])
def test_frames_of_several_enhanced_files_name_their_own(tmp_path: Path, parts: list[list[int]]) -> None:
    """A series in two halves, and one of a file for each frame, as Siemens' XA writes it."""
    (whole,), grid = series(enhanced=True)
    own, files = random_mask(grid), []
    for part in parts:
        files.append(copy.deepcopy(whole))
        files[-1].SOPInstanceUID, files[-1].NumberOfFrames = generate_uid(), len(part)
        files[-1].PerFrameFunctionalGroupsSequence = [whole.PerFrameFunctionalGroupsSequence[k] for k in part]
    write_seg(tmp_path / "a.dcm", grid.to_stack(own), grid, files)
    assert lies_on_its_source(tmp_path / "a.dcm", grid, own) == {
        k: (file.SOPInstanceUID, n + 1) for file, part in zip(files, parts, strict=True) for n, k in enumerate(part)
    }
    assert series_named(tmp_path / "a.dcm") == [(whole.SeriesInstanceUID, file.SOPInstanceUID) for file in files]
    dciodvfy(tmp_path / "a.dcm")


def test_slices_of_series_of_their_own_are_named_by_series(tmp_path: Path) -> None:
    instances, grid = series()
    for instance in instances:
        instance.SeriesInstanceUID = generate_uid()
    own = random_mask(grid)
    write_seg(tmp_path / "a.dcm", grid.to_stack(own), grid, instances)
    named = {k: (instance.SOPInstanceUID, None) for k, instance in enumerate(instances)}
    assert lies_on_its_source(tmp_path / "a.dcm", grid, own) == named
    assert series_named(tmp_path / "a.dcm") == [(i.SeriesInstanceUID, i.SOPInstanceUID) for i in instances]
    dciodvfy(tmp_path / "a.dcm")


def series_named(path: Path) -> list[tuple[str, str]]:
    """Each series that a segmentation refers to with each of its files."""
    return [
        (one.SeriesInstanceUID, i.ReferencedSOPInstanceUID)
        for one in pydicom.dcmread(path).ReferencedSeriesSequence
        for i in one.ReferencedInstanceSequence
    ]


def test_a_model_with_an_odd_name(tmp_path: Path) -> None:
    instances, grid = series()
    mask = np.ones((SLICES, ROWS, WIDTH), bool)
    write_seg(tmp_path / "a.dcm", mask, grid, instances, {"name": "modèle\\王" * 20, "sha256": None})
    assert pydicom.dcmread(tmp_path / "a.dcm").ManufacturerModelName.startswith("mod?le/?")
    dciodvfy(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("ratio", "method", "kept"),
    [
        ([7.5, 2], ["ISO_15444_1", "ISO_10918_1"], ["ISO_15444_1", "ISO_10918_1"]),
        ([7.5], ["DOE^JANE"], None),
        ([7.5], 5, None),  # a number, where words belong
    ],
)
def test_a_source_that_was_compressed_with_loss_is_said_to_be(
    tmp_path: Path, ratio: list[float], method: list[str] | int, kept: object
) -> None:
    files = files_of_a_series(tmp_path / "in", LossyImageCompression="01", LossyImageCompressionRatio=ratio)
    for path in files:
        header = pydicom.dcmread(path)
        header.add_new("LossyImageCompressionMethod", "CS" if isinstance(method, list) else "US", method)
        header.save_as(path)
    (volume,), problems = read_dicom(files)
    assert not problems
    write_seg(tmp_path / "a.dcm", np.ones(STACK.shape, bool), volume.grid, volume.instances)
    made = pydicom.dcmread(tmp_path / "a.dcm")
    assert made.LossyImageCompression == "01" and made.get("LossyImageCompressionMethod") == kept
    assert list(np.atleast_1d(made.LossyImageCompressionRatio)) == ratio
    dciodvfy(tmp_path / "a.dcm")

"""A mask as DICOM SEG, which refers to the series that it is of."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from lgg_demo import __version__
from lgg_demo.case import LggDemoError
from lgg_demo.grid import Grid, places_of
from lgg_demo.output.display import BLUE

SEGMENT = "FLAIR abnormality"
REFERRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip
RAS = np.diag([-1, -1, 1])  # DICOM counts towards the left and the back, NIfTI to the right and the front
SERIES_NUMBER = 9000  # far from a scanner's own, so that it is listed after them


class NoSegmentation(LggDemoError):
    """Why no DICOM SEG can refer to some headers; `key` is its sentence."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def source_frames(volume: np.ndarray, grid: Grid, instances: Sequence[Dataset]) -> np.ndarray:
    """A volume on the input's own grid as the frames of its source: (frames, rows, columns), in the source's order.

    Raises NoSegmentation where the headers do not lie on the grid, or lack what a segmentation must refer to.
    """
    if any(not i.get(keyword) for i in instances for keyword in REFERRED):
        raise NoSegmentation("seg_no_uid")
    if len({i.FrameOfReferenceUID for i in instances}) > 1:
        raise NoSegmentation("seg_frames_of_reference")
    if len({i.SOPInstanceUID for i in instances}) < len(instances):
        raise NoSegmentation("seg_shared_uids")
    try:
        planes = np.stack([_plane(instance, n) for instance, n in _frames_of(instances)])
        sizes = {(int(i.Rows), int(i.Columns)) for i in instances}
    except (AttributeError, IndexError, TypeError, ValueError):
        raise NoSegmentation("seg_no_position") from None
    inverse = np.linalg.inv(grid.affine)[:3]
    right, down = (inverse[:, :3] @ planes[0, :, :2]).T  # voxels of a step to the next column and to the next row
    rows, columns = int(np.abs(down).argmax()), int(np.abs(right).argmax())
    if rows == columns or sizes != {(grid.shape[rows], grid.shape[columns])}:
        raise NoSegmentation("seg_off_grid")
    through = 3 - rows - columns
    signs = np.sign([down[rows], right[columns]]).astype(int)
    whole = np.zeros((2, 3))
    whole[[0, 1], [rows, columns]] = signs
    # A frame is its own slice, pixel by pixel, wherever in the plane it lies: slices of a slanted or jittery series slide.
    corners = planes[:, :, 2] @ inverse[:, :3].T + inverse[:, 3]  # of each first pixel
    sides = np.array([grid.shape[rows], grid.shape[columns]])
    slid = np.abs(corners[:, [rows, columns]] - np.where(signs > 0, 0, sides - 1))
    if not np.allclose([down, right], whole, atol=0.01) or (slid > sides / 4).any():
        raise NoSegmentation("seg_off_grid")
    turned = volume.transpose(through, rows, columns)[:, :: signs[0], :: signs[1]]
    return np.asarray(turned[_places_of(corners[:, through], grid.shape[through])])


def _frames_of(instances: Sequence[Dataset]) -> list[tuple[Dataset, int]]:
    """Every frame of some headers, as its header and its number from 0."""
    return [(i, n) for i in instances for n in range(int(i.get("NumberOfFrames", None) or 1))]


def _places_of(along: np.ndarray, depth: int) -> np.ndarray:
    """The slice of the grid that each frame is, (frames,) int, by where they lie along its axis, (frames,) in slices.

    By rank and not by distance: slices are not always as evenly spaced as an affine says. Raises NoSegmentation.
    """
    if len(along) > depth:
        raise NoSegmentation("seg_more_frames")
    ranks, steps = np.argsort(np.argsort(along)), np.diff(np.sort(along))
    if len(along) > 1 and steps.min() < 0.1:  # two frames at one place
        raise NoSegmentation("seg_uneven")
    if len(along) == depth:
        return np.asarray(ranks)
    places = places_of(steps) if len(along) > 1 else None  # those of missing slices are blank on the grid
    if places is None or places[-1] + 1 != depth:
        raise NoSegmentation("seg_uneven")
    return np.asarray(places[ranks])


def _plane(instance: Dataset, frame: int) -> np.ndarray:
    """Steps to the next column and to the next row, and the first pixel's position: columns of (3, 3), in mm, RAS+.

    frame: from 0. Raises ValueError and whatever else a header without a geometry leads to.
    """
    groups = [instance]
    if "PerFrameFunctionalGroupsSequence" in instance:  # enhanced: what is a frame's own, and what all of them share
        both = [instance.PerFrameFunctionalGroupsSequence[frame], *instance.get("SharedFunctionalGroupsSequence", [])]
        groups += [element.value[0] for group in both for element in group if element.VR == "SQ" and element.value]
    position = _numbers(groups, "ImagePositionPatient", 3)
    orientation, spacing = _numbers(groups, "ImageOrientationPatient", 6), _numbers(groups, "PixelSpacing", 2)
    lps = np.stack([orientation[:3] * spacing[1], orientation[3:] * spacing[0], position], axis=1)
    return np.asarray(RAS @ lps)


def _numbers(groups: Iterable[Dataset], keyword: str, count: int) -> np.ndarray:
    """The values of the first group that has them, (count,) float64."""
    found = next((np.array(list(map(float, g[keyword].value))) for g in groups if g.get(keyword) is not None), np.zeros(0))
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(keyword)
    return found


def why_no_segmentation(grid: Grid, instances: Sequence[Dataset]) -> str | None:
    """The key of the sentence that says why no segmentation can refer to these headers; None where one can."""
    try:
        source_frames(np.broadcast_to(np.uint8(0), grid.shape), grid, instances)
    except NoSegmentation as reason:
        return reason.key
    return None


def write_segmentation(
    path: Path,
    mask: np.ndarray,
    grid: Grid,
    instances: Sequence[Dataset],
    model: Mapping[str, Any],
    corrected: bool = False,
) -> None:
    """A DICOM SEG of a mask (S, H, W) bool that refers to its source, frame by frame; BINARY, one segment.

    The type is Lesion: a FLAIR abnormality is tumour and oedema together, so that either name would say too much. Nothing
    of the source is taken over but the UIDs of study, frame of reference and instances, and the geometry. Slices without
    anything are left out, as is usual; where all are empty, all are written. model: the report's entry.
    corrected: whether by hand. Raises NoSegmentation, see `why_no_segmentation`, OSError where the file cannot be written,
    and whatever highdicom raises of headers that it will not take.
    """
    frames = source_frames(grid.to_own(mask), grid, instances)
    # Without a character set named, DICOM knows ASCII alone, and a backslash parts values.
    name = str(model.get("name") or "unknown").encode("ascii", "replace").decode().replace("\\", "/")[:64]
    sha = str(model.get("sha256") or "")
    algorithm = hd.AlgorithmIdentificationSequence(
        name=name, family=codes.DCM.ArtificialIntelligence, version=sha[:16] or __version__, source="LGG Demo"
    )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=SEGMENT,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        if corrected
        else hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=[codes.SCT.Brain],
        display_color=hd.color.CIELabColor.from_rgb(*BLUE),
    )
    with warnings.catch_warnings():  # of an empty mask
        warnings.simplefilter("ignore")
        segmentation = hd.seg.Segmentation(
            source_images=[_header_of_all(instances, grid)],
            pixel_array=np.ascontiguousarray(frames.astype(np.uint8)),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[segment],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="LGG Demo",
            manufacturer_model_name=name,
            software_versions=f"lgg-demo {__version__}",
            device_serial_number=sha[:16] or "0",
            content_label="FLAIR_ABNORMAL",
            content_description=f"{'Corrected by hand' if corrected else 'Outlined automatically'}, not for diagnosis",
            series_description="FLAIR abnormality, not for diagnosis",
            omit_empty_frames=bool(frames.any()),
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    _refer(segmentation, instances)
    segmentation.save_as(path)


def _header_of_all(instances: Sequence[Dataset], grid: Grid) -> Dataset:
    """One enhanced header with a frame for each of the source's: the geometry, the UIDs, and nothing else of a reader's.

    highdicom takes several files of one frame or one file of several, and of one series; a source may be several of either.
    `_refer` gives each frame its own file back. A `highdicom.Volume` has right angles and even distances alone: slices that
    slide, stand at a tilt or are rounded would not lie where their source does.
    """
    frames = _frames_of(instances)
    first, planes = instances[0], [RAS @ _plane(instance, n) for instance, n in frames]
    steps = np.linalg.norm(planes[0][:, 1::-1], axis=0)  # between rows, between columns
    between = abs(float(np.linalg.det(grid.affine[:3, :3]))) / float(steps.prod())
    header, shared = Dataset(), Dataset()
    for keyword in REFERRED:
        setattr(header, keyword, first[keyword].value)
    header.SOPClassUID = EnhancedMRImageStorage
    for keyword in EMPTY:
        setattr(header, keyword, "")
    header.Modality, header.Rows, header.Columns, header.NumberOfFrames = "MR", first.Rows, first.Columns, len(frames)
    shared.PixelMeasuresSequence = hd.PixelMeasuresSequence(steps, float(first.get("SliceThickness") or between), between)
    # One orientation for all: scanners round it from slice to slice, and a SEG has one.
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", (planes[0][:, :2] / steps[::-1]).T.ravel())
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], []
    for plane in planes:
        group = Dataset()
        group.PlanePositionSequence = hd.PlanePositionSequence("PATIENT", plane[:, 2])
        header.PerFrameFunctionalGroupsSequence.append(group)
    for lossy in (i for i in instances if i.get("LossyImageCompression") == "01" and i.get("LossyImageCompressionRatio")):
        header.update({e.tag: e for e in lossy if e.keyword.startswith("LossyImageCompression")})
    return header


def _refer(segmentation: Dataset, instances: Sequence[Dataset]) -> None:
    """Let a segmentation of `_header_of_all` name the files and series that its frames are of."""
    by_series: dict[str, list[Dataset]] = {}
    for instance in instances:
        by_series.setdefault(instance.SeriesInstanceUID, []).append(_reference_to(instance))
    segmentation.SourceImageSequence = [item for items in by_series.values() for item in items]
    segmentation.ReferencedSeriesSequence = []
    for uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = uid, items
        segmentation.ReferencedSeriesSequence.append(series)
    frames = _frames_of(instances)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for source in group.DerivationImageSequence[0].SourceImageSequence:
            instance, frame = frames[int(source.ReferencedFrameNumber) - 1]
            source.update(_reference_to(instance))
            source.ReferencedFrameNumber = frame + 1
            if "PerFrameFunctionalGroupsSequence" not in instance:
                del source.ReferencedFrameNumber


def _reference_to(instance: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
    return item

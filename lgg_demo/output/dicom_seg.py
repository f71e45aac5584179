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
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from lgg_demo import __version__
from lgg_demo.case import LggDemoError
from lgg_demo.grid import Grid, places_of
from lgg_demo.output.display import BLUE

SEGMENT = "FLAIR abnormality"
REFERRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
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
        planes = [_plane(i, n) for i, n in _frames_of(instances)]
        sizes = {(int(i.Rows), int(i.Columns)) for i in instances}
    except (AttributeError, IndexError, TypeError, ValueError):
        raise NoSegmentation("seg_no_position") from None
    _, (along_row, along_column), (row_step, column_step) = planes[0]
    inverse = np.linalg.inv(grid.affine)[:3]
    down, right = inverse[:, :3] @ (along_column * row_step), inverse[:, :3] @ (along_row * column_step)
    rows, columns = int(np.abs(down).argmax()), int(np.abs(right).argmax())
    if rows == columns or sizes != {(grid.shape[rows], grid.shape[columns])}:
        raise NoSegmentation("seg_off_grid")
    through = 3 - rows - columns
    corners = np.array([inverse[:, :3] @ position + inverse[:, 3] for position, _, _ in planes])  # of each first pixel
    corner = [0 if step > 0 else grid.shape[axis] - 1 for axis, step in ((rows, down[rows]), (columns, right[columns]))]
    whole = np.zeros((2, 3))
    whole[0, rows], whole[1, columns] = np.sign(down[rows]), np.sign(right[columns])
    # A frame is its own slice, pixel by pixel, wherever in the plane it lies: slices of a slanted or jittery series slide.
    room = [grid.shape[rows] / 4, grid.shape[columns] / 4]
    if not np.allclose([down, right], whole, atol=0.01) or (np.abs(corners[:, [rows, columns]] - corner) > room).any():
        raise NoSegmentation("seg_off_grid")
    turned = volume.transpose(through, rows, columns)[:, :: int(whole[0, rows]), :: int(whole[1, columns])]
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


def _plane(instance: Dataset, frame: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], tuple[float, float]]:
    """Position of the first pixel, directions along a row and along a column (all RAS+), steps between rows and columns.

    frame: from 0. Enhanced objects keep what all frames share apart from what is each frame's own.
    """
    groups = [instance]
    if "PerFrameFunctionalGroupsSequence" in instance:
        shared = list(instance.get("SharedFunctionalGroupsSequence", []))
        for group in (instance.PerFrameFunctionalGroupsSequence[frame], *shared):
            groups += [item for element in group if element.VR == "SQ" for item in element.value[:1]]

    def numbers(keyword: str, count: int) -> np.ndarray:
        value = next(g[keyword].value for g in groups if g.get(keyword) is not None)
        found = np.array([float(v) for v in value])
        if found.shape != (count,) or not np.isfinite(found).all():
            raise ValueError(keyword)
        return found

    try:
        position, spacing = numbers("ImagePositionPatient", 3), numbers("PixelSpacing", 2)
        orientation = numbers("ImageOrientationPatient", 6)
    except StopIteration:
        raise ValueError("no geometry") from None
    turn = np.array([-1, -1, 1])  # DICOM counts towards the left and the back, NIfTI to the right and the front
    return position * turn, (orientation[:3] * turn, orientation[3:] * turn), (float(spacing[0]), float(spacing[1]))


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
    corrected: whether a hand had a part in it. Raises NoSegmentation, see `why_no_segmentation`, OSError where the file
    cannot be written, and whatever highdicom raises of headers that it will not take.
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
            source_images=_headers_alone(instances, grid),
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


def _refer(segmentation: Dataset, instances: Sequence[Dataset]) -> None:
    """Let a segmentation of `_headers_alone` name the files and series that its frames are of, which may be several."""
    items = {}
    series: dict[str, list[Dataset]] = {}
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
        items[instance.SOPInstanceUID] = item
        series.setdefault(instance.SeriesInstanceUID, []).append(item)
    segmentation.SourceImageSequence = list(items.values())
    segmentation.ReferencedSeriesSequence = []
    for uid, referenced in series.items():
        one = Dataset()
        one.SeriesInstanceUID, one.ReferencedInstanceSequence = uid, referenced
        segmentation.ReferencedSeriesSequence.append(one)
    frames = _frames_of(instances)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for derived in group.DerivationImageSequence:
            for source in derived.SourceImageSequence:
                if "ReferencedFrameNumber" in source:
                    instance, frame = frames[int(source.ReferencedFrameNumber) - 1]
                    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = (
                        instance.SOPClassUID, instance.SOPInstanceUID,
                    )  # fmt: skip
                    source.ReferencedFrameNumber = frame + 1


def _headers_alone(instances: Sequence[Dataset], grid: Grid) -> list[Dataset]:
    """New headers with what a reference needs and nothing else, whatever a reader left in those given.

    highdicom takes one file of several frames, or several files of one: of several that have frames one is made of all. It
    takes one series: all are said to be of the first's. `_refer` puts both right in what it makes.
    """
    first = instances[0]
    _, directions, steps = _plane(first, 0)
    between = abs(float(np.linalg.det(grid.affine[:3, :3]))) / (steps[0] * steps[1])
    measures, turn = Dataset(), Dataset()
    measures.PixelSpacing = _decimal(steps)
    measures.SliceThickness = first.get("SliceThickness") or _decimal([between])[0]
    measures.SpacingBetweenSlices = _decimal([between])[0]
    # One orientation for all: scanners round it from slice to slice, and a SEG has one.
    turn.ImageOrientationPatient = _decimal(np.array(directions).ravel() * [-1, -1, 1, -1, -1, 1])
    places = []
    for instance, n in _frames_of(instances):
        place = Dataset()
        place.ImagePositionPatient = _decimal(_plane(instance, n)[0] * [-1, -1, 1])
        places.append(place)
    if not any("PerFrameFunctionalGroupsSequence" in i for i in instances):
        headers = [_bare(i, first) for i in instances]
        for header, place in zip(headers, places, strict=True):
            for part in (measures, turn, place):
                header.update(part)
        return headers
    header, shared = _bare(first, first), Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    header.NumberOfFrames, header.SharedFunctionalGroupsSequence = len(places), [shared]
    header.PerFrameFunctionalGroupsSequence = []
    for place in places:
        group = Dataset()
        group.PlanePositionSequence = [place]
        header.PerFrameFunctionalGroupsSequence.append(group)
    return [header]


def _bare(instance: Dataset, first: Dataset) -> Dataset:
    """UIDs, size and what became of the picture; the series is the first's."""
    header = Dataset()
    for keyword in REFERRED:
        setattr(header, keyword, instance[keyword].value)
    header.SeriesInstanceUID = first.SeriesInstanceUID
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(header, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"):
        setattr(header, keyword, "")
    header.Modality = "MR"
    header.Rows, header.Columns = instance.Rows, instance.Columns
    if instance.get("LossyImageCompression") == "01" and instance.get("LossyImageCompressionRatio"):
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in instance:
                setattr(header, keyword, instance[keyword].value)
    return header


def _decimal(values: Iterable[float]) -> list[Any]:
    """Numbers as DICOM's decimal strings, which have 16 characters at most."""
    return [DSfloat(float(v), auto_format=True) for v in values]

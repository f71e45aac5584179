"""A mask as DICOM SEG, which refers to the series that it is of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from lgg_demo import __version__
from lgg_demo.grid import Grid
from lgg_demo.output.dicom_frames import RAS, REFERRED, every_frame, plane_of
from lgg_demo.output.dicom_subject import EMPTY, SERIES_NUMBERS, Segment, Subject, by_series, reference_to
from lgg_demo.output.display import BLUE
from lgg_demo.output.result import ADDED, REMOVED
from lgg_demo.probability import LEVELS
from lgg_demo.reading.own_objects import MANUFACTURER

_KINDS = hd.seg.SegmentationTypeValues


def segmentation_of(subject: Subject) -> Dataset:
    """A DICOM SEG of a result, which refers to its source, frame by frame.

    The type of a segment is Lesion: a FLAIR abnormality is tumour and oedema together, so that either name would say too
    much. Slices without anything are left out, as is usual; where all are empty, all are written, and where some lie
    between others that are not: SimpleITK takes the frames of one segment for neighbours. Raises NoSegmentation, see
    `why_no_segmentation`, and whatever highdicom raises of headers that it will not take.
    """
    pixels = _pixels(subject)
    instances, single = subject.instances, len(subject.segments) == 1
    made = "Corrected by hand" if subject.corrected else "Outlined automatically"
    algorithm = hd.AlgorithmIdentificationSequence(
        name=subject.model, family=codes.DCM.ArtificialIntelligence, version=subject.weights, source=MANUFACTURER
    )
    with warnings.catch_warnings():  # of an empty mask
        warnings.simplefilter("ignore")
        segmentation: Dataset = hd.seg.Segmentation(
            source_images=[_header_of_all(instances, subject.grid)],
            pixel_array=pixels,
            segmentation_type=_KINDS[subject.choice.seg_type.upper()],
            segment_descriptions=[_described(segment, subject, algorithm) for segment in subject.segments],
            series_instance_uid=subject.uid("seg", "series"),
            series_number=SERIES_NUMBERS["seg"],
            sop_instance_uid=subject.seg_uid,
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=subject.model,
            software_versions=f"lgg-demo {__version__}",
            device_serial_number=subject.weights,
            content_label="FLAIR_ABNORMAL",
            content_description=f"{made}, not for diagnosis",
            content_creator_name="",
            series_description="FLAIR abnormality, not for diagnosis",
            omit_empty_frames=not (single and _gaps(pixels)),
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    _refer(segmentation, instances)
    subject.sign(segmentation, "seg")
    return segmentation


def _described(segment: Segment, subject: Subject, algorithm: Dataset) -> hd.seg.SegmentDescription:
    kinds = hd.seg.SegmentAlgorithmTypeValues
    return hd.seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.tracking.identifier[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=kinds.SEMIAUTOMATIC if subject.corrected else kinds.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=segment.tracking.uid,
        tracking_id=segment.tracking.identifier,
        anatomic_regions=[codes.SCT.Brain],
        display_color=hd.color.CIELabColor.from_rgb(*BLUE),
    )


def _pixels(subject: Subject) -> np.ndarray:
    """The frames of a segmentation: numbers of segments, (frames, rows, columns) uint8; of a fractional one the
    probability of each segment, (frames, rows, columns, segments) float32.
    """
    labels = subject.frames.of(subject.grid.to_own(subject.labels))
    if subject.choice.seg_type != "fractional":
        return np.ascontiguousarray(labels)
    probability = subject.result.probability.copy()
    if subject.result.edits is not None:
        probability[subject.result.edits == ADDED], probability[subject.result.edits == REMOVED] = LEVELS, 0
    values = subject.frames.of(subject.grid.to_own(probability)).astype(np.float32) / LEVELS
    if subject.choice.segments == "whole":
        return values[..., None]
    return np.stack([np.where(labels == segment.number, values, 0) for segment in subject.segments], axis=-1)


def _gaps(pixels: np.ndarray) -> bool:
    """Whether all frames must be written: frames without anything lie between others, or there is nothing at all."""
    (inside,) = np.nonzero(pixels.reshape(len(pixels), -1).any(axis=1))
    return not len(inside) or bool(inside[-1] - inside[0] + 1 > len(inside))


def _header_of_all(instances: Sequence[Dataset], grid: Grid) -> Dataset:
    """One enhanced header with a frame for each of the source's: the geometry, the UIDs, and nothing else of a reader's.

    highdicom takes several files of one frame or one file of several, and of one series; a source may be several of either.
    `_refer` gives each frame its own file back. A `highdicom.Volume` has right angles and even distances alone: slices that
    slide, stand at a tilt or are rounded would not lie where their source does.
    """
    frames = every_frame(instances)
    first, planes = instances[0], [RAS @ plane_of(instance, n) for instance, n in frames]
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
    segmentation.SourceImageSequence = [reference_to(instance) for instance in instances]
    segmentation.ReferencedSeriesSequence = by_series(instances)
    frames = every_frame(instances)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for source in group.DerivationImageSequence[0].SourceImageSequence:
            instance, frame = frames[int(source.ReferencedFrameNumber) - 1]
            source.update(reference_to(instance))
            source.ReferencedFrameNumber = frame + 1
            if "PerFrameFunctionalGroupsSequence" not in instance:
                del source.ReferencedFrameNumber

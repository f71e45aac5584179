"""Measurements as DICOM SR (TID 1500): each lesion's volume and diameters, on the images and the segmentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, SegmentationStorage

from lgg_demo.measure.diameters import Diameters
from lgg_demo.measure.lesions import Lesion
from lgg_demo.measure.rano import measurable
from lgg_demo.output.dicom_frames import RAS
from lgg_demo.output.dicom_subject import EMPTY, SERIES_NUMBERS, Subject
from lgg_demo.output.tracking import Tracking
from lgg_demo.output.wording import Wording
from lgg_demo.reading.own_objects import MANUFACTURER

LABEL_MAP = UID("1.2.840.10008.5.1.4.1.1.66.7")  # Label Map Segmentation Storage
MILLILITRE = sr.CodedConcept("mL", "UCUM", "milliliter")
PIXELS = sr.CodedConcept("{pixels}", "UCUM", "pixels")
LONGEST = sr.CodedConcept("103339001", "SCT", "Long Axis")  # viewers know an axis by these meanings
PERPENDICULAR = sr.CodedConcept("103340004", "SCT", "Short Axis")
BRAIN_MRI = sr.CodedConcept("816077007", "SCT", "MRI of brain")
QUALITATIVE = sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
LANGUAGES = {"en": ("en", "English"), "fr": ("fr", "French")}


class _Measured(NamedTuple):
    """What is measured of something that is tracked.

    volume: in mL, None where it is not known. diameters: the report's; lines: where they lie, None where nothing is there.
    lesion: where it is a single one.
    """

    tracking: Tracking
    volume: float | None
    diameters: Mapping[str, Any] | None
    lines: Diameters | None
    lesion: Lesion | None = None


def measurements_of(subject: Subject) -> Dataset:
    """A Comprehensive 3D SR of a result, with the figures of its report, to the digit.

    Of each segment a group with its volume, which refers to the segmentation, and one with both diameters as lines, under
    the same tracking UID: in this order, as viewers show the two as one. Several lesions that share a segment have a group
    each that refers to images alone, and the whole is a comment: a viewer would write its volume over that of the lesion
    whose diameters it has. Raises as `segmentation_of`.
    """
    if _shared(subject):
        groups = [_plain(subject, one, with_volume=True) for one in _lesions(subject)]
    else:
        groups = [group for n in range(len(subject.segments)) for group in _of_segment(subject, n)]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=subject.device_uid, name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=subject.model
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    value, meaning = LANGUAGES[subject.language]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=BRAIN_MRI,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            sr.CodedConcept(value, "RFC5646", meaning)
        ),
    )
    report[0].ContentSequence.append(_told(subject))
    # The figures and sentences are the report's, and it may say more of the same result another time.
    content = json.dumps([subject.language, [g[0].to_json() for g in groups], _sentences(subject)])
    document: Dataset = sr.Comprehensive3DSR(
        evidence=[*map(_bare, subject.instances), _segmentation(subject)],
        content=report[0],
        series_instance_uid=subject.uid("sr", "series", content),
        series_number=SERIES_NUMBERS["sr"],
        sop_instance_uid=subject.uid("sr", content),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description="Measurements, not for diagnosis",
        is_complete=True,
    )
    subject.sign(document, "sr")
    return document


def _shared(subject: Subject) -> bool:
    """Whether several lesions are one segment."""
    return subject.choice.segments == "whole" and len(subject.lesions) > 1


# Groups


def _of_segment(subject: Subject, n: int) -> Iterator[Any]:
    """The groups of a segment: its volume, and its diameters where there are any."""
    segment = subject.segments[n]
    if subject.choice.segments == "whole" or not subject.lesions:
        entry = subject.report["images"][0]
        alone = subject.lesions[0] if subject.lesions else None
        lines = alone.diameters if alone else None
        measured = _Measured(segment.tracking, entry.get("volume_ml"), _diameters(entry), lines, alone)
    elif n < len(subject.lesions):
        measured = list(_lesions(subject))[n]
    else:  # parts that the report does not measure
        measured = _Measured(segment.tracking, None, None, None)
    volumes = [] if measured.volume is None else [_volume(measured.volume)]
    yield sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        **_common(subject, measured), referenced_segment=_segment(subject, segment.number), measurements=volumes
    )
    if measured.lines is not None:
        yield _plain(subject, measured)


def _lesions(subject: Subject) -> Iterator[_Measured]:
    """The lesions of the report, with what they are tracked as."""
    entries = subject.report["series"][0]["lesions"]
    for entry, lesion, tracking in zip(entries, subject.lesions, subject.tracks.lesions, strict=True):
        yield _Measured(tracking, entry.get("volume_ml"), _diameters(entry), lesion.diameters, lesion)


def _diameters(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = entry.get("diameters_mm", entry.get("diameters_px"))
    return found


def _plain(subject: Subject, measured: _Measured, with_volume: bool = False) -> Any:
    """Both diameters as lines on the images; with_volume: also the volume, of what has no segment of its own."""
    lines = measured.lines
    assert measured.diameters is not None and lines is not None
    unit = PIXELS if subject.result.physical is None else codes.UCUM.Millimeter
    values = measured.diameters["longest"], measured.diameters["perpendicular"]
    axes = [
        sr.Measurement(name=name, value=value, unit=unit, referenced_coordinates=[_line(subject, lines.slice, ends)])
        for name, value, ends in zip((LONGEST, PERPENDICULAR), values, lines.ends, strict=True)
    ]
    volumes = [_volume(measured.volume)] if with_volume and measured.volume is not None else []
    return sr.MeasurementsAndQualitativeEvaluations(**_common(subject, measured), measurements=[*volumes, *axes])


def _volume(millilitres: float) -> sr.Measurement:
    return sr.Measurement(name=codes.SCT.Volume, value=millilitres, unit=MILLILITRE)


def _common(subject: Subject, measured: _Measured) -> dict[str, Any]:
    """What all groups say: what is tracked, when, and by what it was measured.

    The method is RANO's (CID 6147) where a lesion is measurable by its criteria.
    """
    lesion, visit = measured.lesion, subject.tracks.visit
    known = subject.result.physical is not None and lesion is not None
    rano = known and lesion is not None and measurable(lesion.diameters, lesion.last - lesion.first + 1)
    when = None
    if visit is not None:
        offset = None
        if visit.months is not None and visit.order > 1:
            offset = sr.LongitudinalTemporalOffsetFromEvent(
                value=round(visit.months, 1), unit=codes.UCUM.Month, event_type=codes.UMLS.Baseline
            )
        kind = codes.UMLS.Baseline if visit.order == 1 else None
        when = sr.TimePointContext(subject.text(visit.label), kind, visit.order, temporal_offset_from_event=offset)
    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=measured.tracking.uid, identifier=measured.tracking.identifier),
        "time_point_context": when,
        "finding_type": codes.SCT.Lesion,
        "finding_category": codes.SCT.MorphologicallyAbnormalStructure,
        "method": codes.cid6147.RANO if rano else None,
        "algorithm_id": sr.AlgorithmIdentification(name=subject.model, version=subject.weights, manufacturer=MANUFACTURER),
        "finding_sites": [sr.FindingSite(codes.SCT.Brain)],
    }


# What they refer to


def _line(subject: Subject, s: int, ends: np.ndarray) -> Any:
    """A line in a slice of the stack, ends (2, 2) of (row, column): on its image, where slices of the stack are images of
    the series, else in space.
    """
    in_grid = subject.on_grid(s, ends)
    on_image = subject.frames.pixels(in_grid[:, :3])
    if on_image is None:
        points = (in_grid @ subject.grid.affine.T)[:, :3] @ RAS
        uid = subject.instances[0].FrameOfReferenceUID
        return sr.CoordinatesForMeasurement3D("POLYLINE", points, uid)
    frame, pixels = on_image
    instance, number = subject.frames.sources[frame]
    frames = [number + 1] if "PerFrameFunctionalGroupsSequence" in instance else None
    source = sr.SourceImageForRegion(instance.SOPClassUID, instance.SOPInstanceUID, frames)
    return sr.CoordinatesForMeasurement("POLYLINE", pixels + 0.5, source)  # (0.5, 0.5) is the middle of the first pixel


def _segment(subject: Subject, number: int) -> sr.ReferencedSegment:
    """A segment, with the series that it is of, or its images where those are of several."""
    series = {str(i.SeriesInstanceUID) for i in subject.instances}
    segmentation = _segmentation(subject)
    refer = partial(sr.ReferencedSegment, segmentation.SOPClassUID, segmentation.SOPInstanceUID, number)
    if len(series) == 1:
        return refer(source_series=sr.SourceSeriesForSegmentation(series.pop()))
    images = [sr.SourceImageForSegmentation(i.SOPClassUID, i.SOPInstanceUID) for i in subject.instances]
    return refer(source_images=images)


def _segmentation(subject: Subject) -> Dataset:
    """As much of the segmentation as an object that refers to it must know."""
    label_map = subject.choice.seg_type == "labelmap"
    segmentation = _bare(subject.instances[0])
    segmentation.SOPClassUID = LABEL_MAP if label_map else SegmentationStorage
    segmentation.SOPInstanceUID, segmentation.SeriesInstanceUID = subject.seg_uid, subject.uid("seg", "series")
    return segmentation


def _bare(instance: Dataset) -> Dataset:
    """The UIDs of a file, and nobody's name."""
    bare = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(bare, keyword, instance[keyword].value)
    for keyword in EMPTY:
        setattr(bare, keyword, "")
    return bare


# What is said


def _sentences(subject: Subject) -> list[str]:
    """The volume of all lesions together, that it is no diagnosis, and all that the report warns of and leaves out."""
    report = subject.report
    told: Sequence[str] = [report["notice"], *report["warnings"], *(n["message"] for n in report["notices"])]
    volume = report["images"][0].get("volume_ml")
    if _shared(subject) and volume is not None:
        lesions = report["series"][0]["lesion_count"]
        said = Wording(subject.language)
        told = [said.say("sr_in_all", volume=said.number(volume, 4), lesions=lesions), *told]
    return [subject.text(sentence) for sentence in told]


def _told(subject: Subject) -> sr.ContainerContentItem:
    """The sentences as comments, where TID 1500 has evaluations that are text."""
    contains = sr.RelationshipTypeValues.CONTAINS
    container = sr.ContainerContentItem(name=QUALITATIVE, relationship_type=contains)
    container.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(codes.DCM.Comment, sentence, contains) for sentence in _sentences(subject)]
    )
    return container

"""What the DICOM objects of one result share: what is shown, what made it, whose it is, and UIDs that never change."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from lgg_demo import __version__
from lgg_demo.case import LggDemoError
from lgg_demo.grid import Grid
from lgg_demo.measure.lesions import Lesion, find_lesions, lesion_labels
from lgg_demo.messages import Language, Sentence
from lgg_demo.output.dicom_frames import Frames, frames_of_source
from lgg_demo.output.result import Result
from lgg_demo.output.tracking import Tracking, Tracks, derived_uid, sources_of
from lgg_demo.reading.own_objects import ABNORMALITY, MANUFACTURER
from lgg_demo.reading.patient import UTF_8

Kind = Literal["seg", "sr", "pdf", "capture"]
KINDS: tuple[Kind, ...] = ("seg", "sr", "pdf", "capture")
SERIES_NUMBERS: dict[Kind, int] = {kind: 9000 + n for n, kind in enumerate(KINDS)}  # after a scanner's own
# What every object must have, empty where nobody asks for the patient.
EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class DicomChoice:
    """Which DICOM objects are made of a series, and how its segmentation is.

    segments: one for all that is abnormal, or one a lesion. seg_type: what viewers differ in: BINARY is read by all.
    """

    kinds: tuple[Kind, ...] = KINDS
    segments: Literal["whole", "lesions"] = "whole"
    seg_type: Literal["binary", "fractional", "labelmap"] = "binary"

    def __post_init__(self) -> None:
        """Raises LggDemoError where measurements would refer to a segmentation that nobody writes."""
        if "sr" in self.kinds and "seg" not in self.kinds:
            raise LggDemoError(str(Sentence("dicom_sr_alone")))


ALL_OBJECTS = DicomChoice()


class Segment(NamedTuple):
    """A segment by its number from 1: what it is called and tracked as."""

    number: int
    tracking: Tracking


@dataclass(frozen=True)
class Subject:
    """One result on its way into DICOM.

    report: what `build_report` says of it and of nothing else. tracks: see `tracking`. Raises NoSegmentation, see
    `frames_of_source`, as soon as its frames are asked for.
    """

    result: Result
    report: Mapping[str, Any]
    tracks: Tracks
    choice: DicomChoice = ALL_OBJECTS
    language: Language = "en"

    @property
    def instances(self) -> Sequence[Dataset]:
        return self.result.instances

    @property
    def threshold(self) -> float:
        return float(self.report["threshold"])

    @property
    def corrected(self) -> bool:
        """Whether the outlines were corrected by hand."""
        return bool(self.result.touched.any())

    @cached_property
    def grid(self) -> Grid:
        assert self.result.grid is not None
        return self.result.grid

    @cached_property
    def frames(self) -> Frames:
        return frames_of_source(self.grid, self.instances)

    @cached_property
    def mask(self) -> np.ndarray:
        """(S, H, W) bool."""
        return self.result.mask(self.threshold)

    @cached_property
    def lesions(self) -> list[Lesion]:
        """As the report lists them."""
        spacing = self.result.physical.spacing_mm if self.result.physical else (1.0, 1.0, 1.0)
        return find_lesions(self.mask, spacing[1:])[0]

    @cached_property
    def labels(self) -> np.ndarray:
        """The number of each voxel's segment, (S, H, W) uint8, 0 for none.

        By lesion, what `find_lesions` leaves out as noise is one segment, the last.
        """
        if self.choice.segments == "whole":
            return self.mask.astype(np.uint8)
        labels = lesion_labels(self.mask)
        labels[self.mask & (labels == 0)] = labels.max(initial=0) + 1
        return labels.astype(np.uint8)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """One at least: where nothing is abnormal, an empty one."""
        count = int(self.labels.max(initial=0))
        if self.choice.segments == "whole" or not count:
            return (Segment(1, self.tracks.whole),)
        own = list(self.tracks.lesions)
        if count > len(own):
            rest = f"{ABNORMALITY}, smallest parts"
            own.append(Tracking(rest, derived_uid(rest, *sources_of(self.result))))
        return tuple(Segment(n, tracking) for n, tracking in enumerate(own, 1))

    def on_grid(self, s: int, points: np.ndarray) -> np.ndarray:
        """Points in slice s of the stack, (N, 2) of (row, column), on the input's own grid: (N, 4) with a 1 at the end."""
        in_stack = np.column_stack([np.full(len(points), s), points, np.ones(len(points))])
        return np.asarray(in_stack @ self.grid.from_stack.T)

    # What made it

    @property
    def model(self) -> str:
        """The network's name in ASCII, as other letters need a character set, without what parts values."""
        name = str(self.report["model"].get("name") or "unknown")
        return name.encode("ascii", "replace").decode().replace("\\", "/")[:64]

    @property
    def weights(self) -> str:
        """What tells the network's weights from others: the beginning of their SHA-256; else the program's version."""
        return str(self.report["model"].get("sha256") or "")[:16] or __version__

    # What it is called

    @cached_property
    def _fingerprint(self) -> bytes:
        """All that the objects of a result depend on but the time."""
        patient = self.result.patient
        parts: tuple[str | bytes, ...] = (
            *sources_of(self.result),
            str(self.report["model"]),
            repr(self.threshold),
            __version__,
            np.packbits(self.mask).tobytes(),
            repr((self.corrected, self.choice.segments, self.choice.seg_type, self.segments, self.tracks.visit)),
            "" if patient is None else "\n".join(f"{e.tag}{e.value!r}" for e in patient),
        )
        digest = hashlib.sha256()
        for part in parts:
            digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
        return digest.digest()

    def uid(self, kind: Kind, *more: str | bytes) -> str:
        """The UID of one of the objects, the same whenever the same result is written again: storing it twice makes no
        second one. more: what it depends on besides.
        """
        return derived_uid(self._fingerprint, kind, *more)

    @property
    def seg_uid(self) -> str:
        """Of the segmentation, which measurements refer to."""
        return self.uid("seg")

    @cached_property
    def _made(self) -> datetime.datetime:
        """When its objects are made: one moment for all, as the instances of a series have one time."""
        return datetime.datetime.now()

    # Whose it is

    def text(self, said: str) -> str:
        """A text as the objects' character set has it: what it lacks is a question mark."""
        patient = self.result.patient
        encodings = convert_encodings(UTF_8 if patient is None else patient.SpecificCharacterSet)
        return "".join(c if any(_has(e, c) for e in encodings) else "?" for c in re.sub(r"[\x00-\x1f]+", " ", said))

    def sign(self, ds: Dataset, kind: Kind) -> None:
        """Say in an object whose it is and what made it.

        Without the patient, what must be there is empty; with it, all that is known of patient and study is as it stands
        in the source, in the character set of the source.
        """
        first = self.instances[0]
        ds.StudyInstanceUID = first.StudyInstanceUID
        for keyword in EMPTY:
            setattr(ds, keyword, "")
        ds.SpecificCharacterSet = UTF_8
        if self.result.patient is not None:
            ds.update({element.tag: element for element in self.result.patient})
        ds.SeriesNumber = SERIES_NUMBERS[kind]
        ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, self.model
        ds.DeviceSerialNumber, ds.SoftwareVersions = self.weights, f"lgg-demo {__version__}"
        ds.SeriesDate = ds.ContentDate = self._made.strftime("%Y%m%d")
        ds.SeriesTime = ds.ContentTime = self._made.strftime("%H%M%S")
        ds.ContributingEquipmentSequence = [self._equipment()]

    def _equipment(self) -> Dataset:
        """The network, as IHE's AI Results ask for it: other weights are another device."""
        equipment, purpose, code = Dataset(), Dataset(), codes.DCM.ProcessingEquipment
        purpose.CodeValue, purpose.CodingSchemeDesignator = code.value, code.scheme_designator
        purpose.CodeMeaning = code.meaning
        equipment.PurposeOfReferenceCodeSequence = [purpose]
        equipment.Manufacturer, equipment.ManufacturerModelName = MANUFACTURER, self.model
        equipment.SoftwareVersions = [f"lgg-demo {__version__}", f"weights {self.weights}"]
        equipment.DeviceSerialNumber = self.weights
        equipment.DeviceUID = self.device_uid
        return equipment

    @property
    def device_uid(self) -> str:
        """Of the network with these weights."""
        return derived_uid("device", self.model, self.weights)

    @property
    def burned_in(self) -> str:
        """What Burned In Annotation is of: whether the source says that its pictures show whose they are. The outline and
        the label of a capture name nobody.
        """
        return "YES" if any(warning.key == "burned_in" for warning in self.result.warnings) else "NO"


def new_object(subject: Subject, kind: Kind, sop_class: str, *more: str | bytes) -> FileDataset:
    """An object of a kind that highdicom does not make, or only with less said, with what all of them have. more: what its
    UID depends on besides.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = UID(sop_class), ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = UID(subject.uid(kind, *more))
    ds = FileDataset("", Dataset(), preamble=bytes(128), file_meta=meta)
    subject.sign(ds, kind)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    return ds


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def reference_to(instance: Dataset) -> Dataset:
    """An item that refers to a file."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
    return item


def by_series(instances: Sequence[Dataset]) -> list[Dataset]:
    """Items of Referenced Series Sequence: each series with its files."""
    series: dict[str, Dataset] = {}
    for instance in instances:
        if instance.SeriesInstanceUID not in series:
            item = series[instance.SeriesInstanceUID] = Dataset()
            item.SeriesInstanceUID, item.ReferencedInstanceSequence = instance.SeriesInstanceUID, []
        series[instance.SeriesInstanceUID].ReferencedInstanceSequence.append(reference_to(instance))
    return list(series.values())

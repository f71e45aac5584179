"""DICOM headers: what a file is, and what of it is kept, which is no identity."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import io
import logging
import re
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset, config
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.uid import UID

from lgg_demo.case import ReadError, Role
from lgg_demo.reading.limits import (
    DICOM_SUFFIXES,
    MOST_DICOM_BYTES,
    MOST_SLICES,
    MOST_VOLUMES,
    MOST_VOXELS,
    VOXEL_MM,
    WIDEST_SLICE,
)
from lgg_demo.reading.names import MODALITIES, describe, role_of
from lgg_demo.reading.segments import Segment, read_segments
from lgg_demo.reading.tags import item, items, number, numbers, text, uid
from lgg_demo.reading.volumes import guard, one_sentence, opened

# Odd values are judged here; pydicom's warnings would quote them, and with them a name.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, the list of a disc's files
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_LABEL_MAP = SEGMENTATIONS[1]
_CONTOURS = ("1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.66.5")  # RT structure set, surface segmentation
BITS = (1, 8, 16, 32, 64)  # allocated for a pixel, of all that is decoded
_STANDARD = "1.2.840.10008."
_SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"  # has rows and columns, but no picture
# X-ray, CT, MR, secondary capture, angiography, scintigraphy, PET: classes of pictures, whatever a file lacks.
_PICTURES = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(1|2|4|7|12|20|128)(\.\d+)*")

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_NUMBERS = ("SeriesNumber", "InstanceNumber", "NumberOfFrames")
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_READ = (
    *_UIDS, *_COUNTS, *_NUMBERS, *_LENGTHS, "Modality", "PhotometricInterpretation", "AcquisitionNumber", "EchoTime",
    "TemporalPositionIdentifier", "SeriesDescription", "ProtocolName", "ContrastBolusAgent", "BurnedInAnnotation",
    "ImagerPixelSpacing", "SliceLocation", "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SegmentationType", "MaximumFractionalValue", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod", "ImageType", "InversionTime", "DiffusionBValue",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "SegmentSequence", "ReferencedSeriesSequence", "SourceImageSequence",
    "PatientID", "StudyDate",
)  # fmt: skip
# Of an enhanced image's functional groups, those that say of a frame what a plain image says at its top. The first three
# are what a segmentation copies; every value of theirs is a number.
_GROUPS = (
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence",
    "SegmentIdentificationSequence", "MREchoSequence", "MRDiffusionSequence", "FrameContentSequence",
)  # fmt: skip
# Defined terms of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1); whatever else stands there may be anything.
_LOSSY_METHODS = (
    "ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_18181_1", "ISO_13818_2", "ISO_14496_10",
    "ISO_23008_2",
)  # fmt: skip
_IDENTITY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip
_SECRET = secrets.token_bytes(32)  # of this process: what it makes of a patient's number says nothing to anybody else


@dataclass(frozen=True, eq=False)
class Head:
    """What is kept of one file's header.

    instance: numbers and UIDs that a segmentation of it refers to. fraction: of a segmentation, values above it count.
    segments: that a segmentation describes; label_map: its pixels are their numbers. refers_to: UIDs of the series and
    files that it was drawn on. patient: what files with the same patient's number share in this process, empty without
    one. date: of the study.
    """

    path: Path
    instance: Dataset
    size: tuple[int, int]
    study: str
    series: str
    number: int | None
    role: Role | None
    description: str
    inverted: bool
    burned_in: bool
    fraction: float = 0.0
    segments: tuple[Segment, ...] = ()
    label_map: bool = False
    refers_to: frozenset[str] = frozenset()
    patient: bytes = b""
    date: datetime.date | None = None

    @property
    def mask(self) -> bool:
        """Whether it is a segmentation."""
        return self.role == "mask"


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame of one file.

    kind: what tells apart pictures of one place (original or derived, echo, inversion, b-value, time, acquisition);
    number: of file and frame. position: of the first pixel, (3,) mm; directions: along a row and along a column, (2, 3) at
    right angles; both in patient coordinates (LPS) as DICOM has them. spacing: mm between rows and between columns.
    thickness, between: of the slice, and from slice to slice as the header says, mm. location: mm along no stated axis.
    padding: lowest and highest stored value that stand for no picture. segment: of a segmentation.
    """

    head: Head
    frame: int
    kind: tuple[float | str, ...]
    number: tuple[float, float]
    position: np.ndarray | None
    directions: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    between: float | None
    location: float | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    segment: int | None


def is_dicom(path: Path) -> bool:
    """Whether a file says by its suffix that it is DICOM, or is by its content, with or without the preamble, gzipped or
    not.
    """
    if path.name.lower().removesuffix(".gz").endswith(DICOM_SUFFIXES):
        return path.is_file()
    try:
        with opened(path) as file:
            start = file.read(132)
        if start[128:] == b"DICM" or (0 < len(start) < 132 and not any(start)):  # or the beginning of a preamble
            return True
        bare = start[:2] in (b"\x08\0", b"\0\x08", b"\x02\0")
        return bare and text(read_tags(path, ("SOPClassUID",)), "SOPClassUID").startswith("1.2.840.")
    except Exception:  # whatever gzip or pydicom raise on a file that is none
        return False


def read_tags(path: Path, keywords: Sequence[str]) -> Dataset:
    """The named tags of a file and no other; the pixels where they are named.

    Raises ReadError where it unpacks to more than a file may hold, or whatever pydicom raises.
    """
    with opened(path) as file:
        if isinstance(file, gzip.GzipFile):
            file = io.BytesIO(file.read(MOST_DICOM_BYTES + 1))
            if file.getbuffer().nbytes > MOST_DICOM_BYTES:
                raise ReadError(path.name, "too_much_at_once")
        preamble = file.read(132)[128:] == b"DICM"
        file.seek(0)
        tags: list[int] = [tag for k in keywords if (tag := tag_for_keyword(k)) is not None]
        return pydicom.dcmread(file, force=not preamble, specific_tags=tags, stop_before_pixels="PixelData" not in keywords)


def read_slices(path: Path) -> tuple[Slice, ...]:
    """A file's frames by its header; none of a disc's directory. Raises ReadError."""
    with one_sentence(path.name):
        guard(path, MOST_DICOM_BYTES)
        ds = read_tags(path, _READ)
        sop_class = uid(ds, "SOPClassUID")
        stated = uid(getattr(ds, "file_meta", None), "MediaStorageSOPClassUID")
        if DIRECTORY in (sop_class, stated):
            return ()
        _check_class(path.name, ds, sop_class or stated)
        _check_pixels(path.name, ds, sop_class or stated)
        head = _head(path, ds, sop_class in SEGMENTATIONS)
        padding = _padding(ds)
        return tuple(_slice(head, n, frame, padding) for n, frame in enumerate(_frames(ds)))


def _check_class(file: str, ds: Dataset, sop_class: str) -> None:
    """Raise ReadError where a file holds neither a picture nor a segmentation."""
    kind = _name_of(sop_class)
    if sop_class in _CONTOURS or text(ds, "Modality") == "RTSTRUCT":
        raise ReadError(file, "dicom_contours", kind=kind or "RT Structure Set")
    if sop_class == _SPECTROSCOPY:
        raise ReadError(file, "dicom_no_picture", kind=kind)
    if number(ds, "Rows") < 1 or number(ds, "Columns") < 1:
        cut_off = not sop_class or (sop_class.startswith(_STANDARD) and not kind)
        if cut_off or sop_class in SEGMENTATIONS or _PICTURES.fullmatch(sop_class):
            raise ReadError(file, "damaged")
        raise ReadError(file, "dicom_no_picture", kind=kind or "?")


def _check_pixels(file: str, ds: Dataset, sop_class: str) -> None:
    """Raise ReadError where a picture is none of MRI, not grey, of no known number of bits, or too large."""
    modality, rows, columns, frames = text(ds, "Modality"), int(number(ds, "Rows")), int(number(ds, "Columns")), _count(ds)
    if modality not in ("MR", "", "OT") and sop_class not in SEGMENTATIONS:
        raise ReadError(file, "dicom_modality", modality=modality if modality in MODALITIES else "?")
    grey = ("MONOCHROME1", "MONOCHROME2", "", *(("PALETTE COLOR",) if sop_class == _LABEL_MAP else ()))
    if number(ds, "SamplesPerPixel", 1) != 1 or text(ds, "PhotometricInterpretation") not in grey:
        raise ReadError(file, "volume_colour")
    if "MOSAIC" in _image_type(ds):
        raise ReadError(file, "dicom_mosaic")
    if max(rows, columns) > WIDEST_SLICE:
        raise ReadError(file, "too_large", side=WIDEST_SLICE)
    if frames > MOST_SLICES * MOST_VOLUMES:
        raise ReadError(file, "too_many_slices", slices=frames, most=MOST_SLICES)
    if frames * rows * columns > MOST_VOXELS * MOST_VOLUMES:
        raise ReadError(file, "too_much_at_once")
    if number(ds, "BitsAllocated") not in BITS:
        raise ReadError(file, "damaged")


def _name_of(sop_class: str) -> str:
    """What the standard calls a class of files; empty where it has no such class."""
    known = UID(sop_class).name if sop_class else ""
    return "" if known == sop_class else known.removesuffix(" Storage")


def _image_type(ds: Dataset) -> tuple[str, ...]:
    values = ds.get("ImageType") or ()
    return tuple(str(v).strip().upper() for v in ([values] if isinstance(values, str) else values))


def _count(ds: Dataset) -> int:
    return max(1, int(number(ds, "NumberOfFrames", 1)))


def _head(path: Path, ds: Dataset, segmentation: bool) -> Head:
    agent = bool(text(ds, "ContrastBolusAgent"))
    described = role_of(text(ds, "SeriesDescription"), agent)
    series_number = int(number(ds, "SeriesNumber", -1))
    head = Head(
        path,
        _instance(ds),
        (int(number(ds, "Rows")), int(number(ds, "Columns"))),
        uid(ds, "StudyInstanceUID"),
        uid(ds, "SeriesInstanceUID"),
        series_number if 0 <= series_number < 10**9 else None,
        "mask" if segmentation else described or role_of(text(ds, "ProtocolName"), agent),
        describe(text(ds, "SeriesDescription"), text(ds, "ProtocolName")),
        text(ds, "PhotometricInterpretation") == "MONOCHROME1",
        text(ds, "BurnedInAnnotation").upper() == "YES",
        patient=patient_of(ds),
        date=_date(ds),
    )
    if not segmentation:
        return head
    kind = text(ds, "SegmentationType")
    return replace(
        head,
        fraction=number(ds, "MaximumFractionalValue", 255) / 2 if kind == "FRACTIONAL" else 0.0,
        segments=read_segments(ds),
        label_map=kind == "LABELMAP" or uid(ds, "SOPClassUID") == _LABEL_MAP,
        refers_to=_referred(ds),
    )


def patient_of(ds: Dataset) -> bytes:
    """What tells a patient from others here, and is of no use elsewhere; empty where the file has no number of one."""
    own = text(ds, "PatientID").strip("\0 ").encode("utf-8", "surrogatepass")
    return hashlib.blake2b(own, key=_SECRET, digest_size=16).digest() if own else b""


def _date(ds: Dataset) -> datetime.date | None:
    """The date of the study, where the file has one."""
    try:
        return datetime.datetime.strptime(text(ds, "StudyDate"), "%Y%m%d").date()
    except ValueError:
        return None


def _referred(ds: Dataset) -> frozenset[str]:
    """The UIDs of series and files that a segmentation says it was drawn on."""
    series = list(items(ds, "ReferencedSeriesSequence"))
    sources = [*items(ds, "SourceImageSequence")]
    sources += [source for one in series for source in items(one, "ReferencedInstanceSequence")]
    for group in (*items(ds, "SharedFunctionalGroupsSequence"), *items(ds, "PerFrameFunctionalGroupsSequence")):
        for derived in items(group, "DerivationImageSequence"):
            sources += items(derived, "SourceImageSequence")
    found = {uid(one, "SeriesInstanceUID") for one in series} | {uid(one, "ReferencedSOPInstanceUID") for one in sources}
    return frozenset(found - {""})


def _frames(ds: Dataset) -> Iterator[Dataset]:
    """The header of each frame as if it were a file of its own: what its functional groups say is at the top."""
    count, shared = _count(ds), item(ds, "SharedFunctionalGroupsSequence")
    own = list(items(ds, "PerFrameFunctionalGroupsSequence"))
    per_frame: list[Dataset | None] = [*own] if len(own) == count else [None] * count
    enhanced = shared is not None or per_frame[0] is not None
    top = Dataset()
    top.update(ds)
    if enhanced or count > 1:  # one position is not that of every frame
        top.pop("ImagePositionPatient", None)
    if enhanced:
        top.pop("ImageOrientationPatient", None)
    for groups in per_frame:
        frame = Dataset()
        frame.update(top)
        for keyword in _GROUPS:
            frame.update(item(groups, keyword) or item(shared, keyword) or {})
        yield frame


def _slice(head: Head, n: int, ds: Dataset, padding: tuple[int, int] | None) -> Slice:
    """The n-th frame of a file by its own header."""
    location = number(ds, "SliceLocation", np.nan)
    segment = int(number(ds, "ReferencedSegmentNumber", -1))
    return Slice(
        head,
        n,
        _kind_of(ds),
        (number(ds, "InstanceNumber"), float(n)),
        numbers(ds, "ImagePositionPatient", 3),
        _directions(ds),
        _spacing(ds),
        _length(ds, "SliceThickness"),
        _length(ds, "SpacingBetweenSlices"),
        location if np.isfinite(location) else None,
        number(ds, "RescaleSlope", 1.0) or 1.0,
        number(ds, "RescaleIntercept"),
        padding,
        segment if segment > 0 else None,
    )


def _kind_of(ds: Dataset) -> tuple[float | str, ...]:
    kind = _image_type(ds)
    return (
        float("ORIGINAL" not in kind),
        "\\".join(kind),
        number(ds, "EffectiveEchoTime") or number(ds, "EchoTime"),
        number(ds, "InversionTime"),
        number(ds, "DiffusionBValue"),
        number(ds, "TemporalPositionIndex") or number(ds, "TemporalPositionIdentifier"),
        number(ds, "AcquisitionNumber"),
    )


def _length(ds: Dataset, keyword: str) -> float | None:
    """Millimetres, where they are those of a voxel; some writers give a direction by the sign."""
    value = abs(number(ds, keyword))
    return value if VOXEL_MM[0] < value < VOXEL_MM[1] else None


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    """Millimetres between rows and between columns, where they are those of a voxel."""
    spacing = numbers(ds, "PixelSpacing", 2)
    spacing = numbers(ds, "ImagerPixelSpacing", 2) if spacing is None else spacing
    if spacing is None or (spacing <= VOXEL_MM[0]).any() or (spacing >= VOXEL_MM[1]).any():
        return None
    return float(spacing[0]), float(spacing[1])


def _directions(ds: Dataset) -> np.ndarray | None:
    """Unit vectors along a row and along a column, (2, 3), at right angles, from which rounding takes them."""
    values = numbers(ds, "ImageOrientationPatient", 6)
    if values is None:
        return None
    stated = values.reshape(2, 3)
    lengths = np.linalg.norm(stated, axis=1)
    if (np.abs(lengths - 1) > 0.1).any() or abs(float(stated[0] @ stated[1])) > 0.05:
        return None
    left, _, right = np.linalg.svd(stated, full_matrices=False)
    return np.asarray(left @ right)


def _padding(ds: Dataset) -> tuple[int, int] | None:
    """The lowest and highest stored value that stand for no picture.

    Writers mix up signed and unsigned, so that what counts are the bits.
    """
    bits, signed = int(number(ds, "BitsAllocated")), number(ds, "PixelRepresentation") == 1
    ends = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = ds.get(keyword)
        if isinstance(value, bytes):  # of a representation that is not known
            value = int.from_bytes(value[:2], "little")
        if isinstance(value, int) and bits in (8, 16, 32):
            value %= 2**bits
            ends.append(value - 2**bits if signed and value >= 2 ** (bits - 1) else value)
        elif keyword == "PixelPaddingValue":
            return None
    return min(ends), max(ends)


def _instance(ds: Dataset) -> Dataset:
    """A header of numbers and UIDs alone: what a segmentation needs to refer to the image, and no identity."""
    inverted = text(ds, "PhotometricInterpretation") == "MONOCHROME1"
    kept: dict[str, object] = {keyword: UID(value) for keyword in _UIDS if (value := uid(ds, keyword))}
    kept |= {keyword: int(number(ds, keyword)) for keyword in (*_COUNTS, *_NUMBERS) if ds.get(keyword) is not None}
    kept |= _lengths(ds, _LENGTHS) | dict.fromkeys(_IDENTITY, "")
    kept["Modality"] = "SEG" if kept.get("SOPClassUID") in SEGMENTATIONS else "MR"
    kept["PhotometricInterpretation"] = "MONOCHROME1" if inverted else "MONOCHROME2"
    if text(ds, "LossyImageCompression") == "01":
        kept |= {"LossyImageCompression": "01"} | _lengths(ds, ["LossyImageCompressionRatio"])
        methods = np.atleast_1d(ds.get("LossyImageCompressionMethod")).tolist()
        if set(methods) <= set(_LOSSY_METHODS):
            kept["LossyImageCompressionMethod"] = methods
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if groups := [_numbers_of(group) for group in items(ds, keyword)]:
            kept[keyword] = groups
    return _dataset(kept)


def _numbers_of(groups: Dataset) -> Dataset:
    """What a segmentation copies of an enhanced image's functional groups."""
    found = {keyword: item(groups, keyword) for keyword in _GROUPS[:3]}
    return _dataset({k: [_dataset(_lengths(group, _LENGTHS))] for k, group in found.items() if group is not None})


def _lengths(ds: Dataset, keywords: Sequence[str]) -> dict[str, object]:
    """Numbers as they are written, so that positions stay equal to the digit."""
    found = {keyword: ds[keyword].value for keyword in keywords if keyword in ds}
    parts = {k: list(v) if isinstance(v, MultiValue) else [v] for k, v in found.items()}
    return {k: found[k] for k, own in parts.items() if own and all(isinstance(part, int | float) for part in own)}


def _dataset(values: Mapping[str, object]) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds

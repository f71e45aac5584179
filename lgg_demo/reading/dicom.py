"""DICOM headers."""

from __future__ import annotations

import gzip
import io
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset, config
from pydicom.datadict import tag_for_keyword
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
from lgg_demo.reading.volumes import broken, guard

# Odd values are judged here; pydicom's warnings would quote them, and with them a name.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, the list of a disc's files
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_LABEL_MAP = SEGMENTATIONS[1]
_CONTOURS = ("1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.66.5")  # RT structure set, surface segmentation
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
)  # fmt: skip
# Of an enhanced image's groups, what a segmentation copies; every value is a number.
_GROUPS = {
    "PixelMeasuresSequence": ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
}
# Defined terms of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1); whatever else stands there may be anything.
_LOSSY_METHODS = (
    "ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_18181_1", "ISO_13818_2", "ISO_14496_10",
    "ISO_23008_2",
)  # fmt: skip
_IDENTITY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """One frame of one file.

    kind: what tells apart pictures of one place (original or derived, echo, inversion, b-value, time, acquisition);
    number: of file and frame. position: of the first pixel, (3,) mm; directions: along a row and along a column, (2, 3) at
    right angles; both in patient coordinates (LPS) as DICOM has them. spacing: mm between rows and between columns.
    thickness, between: of the slice, and from slice to slice as the header says, mm. location: mm along no stated axis.
    padding: lowest and highest stored value that stand for no picture. segment: of a segmentation.
    """

    path: Path
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


@dataclass(frozen=True)
class Head:
    """What is kept of one file's header.

    instance: numbers and UIDs that a segmentation of it refers to. fraction: of a segmentation, values above it count.
    segments: that a segmentation describes; label_map: its pixels are their numbers. refers_to: UIDs of the series and
    files that it was drawn on.
    """

    path: Path
    instance: Dataset
    slices: tuple[Slice, ...]
    size: tuple[int, int]
    study: str
    series: str
    number: int | None
    role: Role | None
    description: str
    inverted: bool
    burned_in: bool
    fraction: float
    segments: tuple[Segment, ...]
    label_map: bool
    refers_to: frozenset[str]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, with or without the preamble, gzipped or not, or says so by its suffix."""
    named = path.name.lower().removesuffix(".gz").endswith(DICOM_SUFFIXES)
    try:
        with path.open("rb") as file:
            start = file.read(132)
        if start[:2] == _GZIP:
            with gzip.open(path) as file:
                start = file.read(132)
    except (OSError, EOFError, ValueError, zlib.error):
        return named and path.is_file()
    if start[128:] == b"DICM" or (0 < len(start) < 132 and not any(start)):  # or the beginning of a preamble
        return True
    if start[:2] in (b"\x08\0", b"\0\x08", b"\x02\0"):
        try:
            return text(read_tags(path, ("SOPClassUID",)), "SOPClassUID").startswith("1.2.840.")
        except Exception:  # whatever pydicom raises on a file that is none
            return named
    return named


_GZIP = b"\x1f\x8b"


def _opened(path: Path) -> BinaryIO:
    """A file, unpacked where it is gzipped. Raises ReadError beyond the bound of a file, OSError, zlib.error."""
    file = path.open("rb")
    packed = file.read(2) == _GZIP
    file.seek(0)
    if not packed:
        return file
    with file, gzip.open(file) as unpacked:
        data = unpacked.read(MOST_DICOM_BYTES + 1)
    if len(data) > MOST_DICOM_BYTES:
        raise ReadError(path.name, "too_much_at_once")
    return io.BytesIO(data)


def read_tags(path: Path, keywords: Sequence[str]) -> Dataset:
    """The named tags of a file and no other; the pixels where they are named. Raises whatever pydicom raises."""
    with _opened(path) as file:
        preamble = file.read(132)[128:] == b"DICM"
        file.seek(0)
        tags: list[int] = [tag for k in keywords if (tag := tag_for_keyword(k)) is not None]
        return pydicom.dcmread(file, force=not preamble, specific_tags=tags, stop_before_pixels="PixelData" not in keywords)


def read_head(path: Path) -> Head | None:
    """A file's header; None for a disc's directory. Raises ReadError."""
    try:
        guard(path, MOST_DICOM_BYTES)
        ds = read_tags(path, _READ)
        sop_class = uid(ds, "SOPClassUID")
        stated = uid(getattr(ds, "file_meta", None), "MediaStorageSOPClassUID")
        if DIRECTORY in (sop_class, stated):
            return None
        _check_picture(path, ds, sop_class or stated)
        return _head(path, ds, sop_class in SEGMENTATIONS)
    except ReadError:
        raise
    except MemoryError:
        raise ReadError(path.name, "too_much_at_once") from None
    except Exception as error:  # pydicom raises many things on a broken file
        raise broken(path.name, error) from None


def _check_picture(path: Path, ds: Dataset, sop_class: str) -> None:
    """Raise ReadError where a file holds no picture of MRI and no segmentation, or one too large."""
    segmentation, modality = sop_class in SEGMENTATIONS, text(ds, "Modality")
    rows, columns, frames = int(number(ds, "Rows")), int(number(ds, "Columns")), _frames(ds)
    if sop_class in _CONTOURS or modality == "RTSTRUCT":
        raise ReadError(path.name, "dicom_contours", kind=_name_of(sop_class) or "RT Structure Set")
    if sop_class == _SPECTROSCOPY:
        raise ReadError(path.name, "dicom_no_picture", kind=_name_of(sop_class))
    if rows < 1 or columns < 1:
        cut_off = (
            segmentation or _PICTURES.fullmatch(sop_class) or (sop_class.startswith(_STANDARD) and not _name_of(sop_class))
        )
        if cut_off or not sop_class:
            raise ReadError(path.name, "damaged")
        raise ReadError(path.name, "dicom_no_picture", kind=_name_of(sop_class) or "?")
    if modality not in ("MR", "", "OT") and not segmentation:
        raise ReadError(path.name, "dicom_modality", modality=modality if modality in MODALITIES else "?")
    grey = ("MONOCHROME1", "MONOCHROME2", "", *(("PALETTE COLOR",) if sop_class == _LABEL_MAP else ()))
    if number(ds, "SamplesPerPixel", 1) != 1 or text(ds, "PhotometricInterpretation") not in grey:
        raise ReadError(path.name, "volume_colour")
    if "MOSAIC" in _image_type(ds):
        raise ReadError(path.name, "dicom_mosaic")
    if max(rows, columns) > WIDEST_SLICE:
        raise ReadError(path.name, "too_large", side=WIDEST_SLICE)
    if frames > MOST_SLICES * MOST_VOLUMES:
        raise ReadError(path.name, "too_many_slices", slices=frames, most=MOST_SLICES)
    if frames * rows * columns > MOST_VOXELS * MOST_VOLUMES:
        raise ReadError(path.name, "too_much_at_once")


def _name_of(sop_class: str) -> str:
    """What the standard calls a class of files; empty where it has no such class."""
    known = UID(sop_class).name if sop_class else ""
    return "" if known == sop_class else known.removesuffix(" Storage")


def _image_type(ds: Dataset) -> tuple[str, ...]:
    values = ds.get("ImageType") or ()
    return tuple(str(v).strip().upper() for v in ([values] if isinstance(values, str) else values))


def _frames(ds: Dataset) -> int:
    return max(1, int(number(ds, "NumberOfFrames", 1)))


def _head(path: Path, ds: Dataset, segmentation: bool) -> Head:
    agent = bool(text(ds, "ContrastBolusAgent"))
    described = role_of(text(ds, "SeriesDescription"), agent)
    fractional = segmentation and text(ds, "SegmentationType") == "FRACTIONAL"
    series_number = int(number(ds, "SeriesNumber", -1))
    return Head(
        path,
        _instance(ds),
        tuple(_slices(path, ds)),
        (int(number(ds, "Rows")), int(number(ds, "Columns"))),
        uid(ds, "StudyInstanceUID"),
        uid(ds, "SeriesInstanceUID"),
        series_number if 0 <= series_number < 10**9 else None,
        "mask" if segmentation else described or role_of(text(ds, "ProtocolName"), agent),
        describe(text(ds, "SeriesDescription"), text(ds, "ProtocolName")),
        text(ds, "PhotometricInterpretation") == "MONOCHROME1",
        text(ds, "BurnedInAnnotation").upper() == "YES",
        number(ds, "MaximumFractionalValue", 255) / 2 if fractional else 0.0,
        read_segments(ds) if segmentation else (),
        segmentation and (uid(ds, "SOPClassUID") == _LABEL_MAP or text(ds, "SegmentationType") == "LABELMAP"),
        _referred(ds) if segmentation else frozenset(),
    )


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


def _slices(path: Path, ds: Dataset) -> Iterator[Slice]:
    """The frames of a file, by its functional groups where it has them."""
    frames = _frames(ds)
    shared = item(ds, "SharedFunctionalGroupsSequence")
    groups = list(items(ds, "PerFrameFunctionalGroupsSequence"))
    per_frame: list[Dataset | None] = [*groups] if len(groups) == frames else [None] * frames
    enhanced = shared is not None or per_frame[0] is not None
    padding = _padding(ds)
    for n, own in enumerate(per_frame):

        def group(keyword: str, own: Dataset | None = own) -> Dataset | None:
            if not enhanced:
                return ds
            return item(own, keyword) or item(shared, keyword)

        measures = group("PixelMeasuresSequence") or ds
        scale = group("PixelValueTransformationSequence") or ds
        location = number(ds, "SliceLocation", np.nan)
        segment = int(number(group("SegmentIdentificationSequence"), "ReferencedSegmentNumber", -1))
        yield Slice(
            path,
            n,
            _kind_of(ds, group),
            (number(ds, "InstanceNumber"), float(n)),
            numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3) if frames == 1 or enhanced else None,
            _directions(group("PlaneOrientationSequence")),
            _spacing(measures, ds),
            _length(measures, "SliceThickness"),
            _length(measures, "SpacingBetweenSlices"),
            location if np.isfinite(location) else None,
            number(scale, "RescaleSlope", 1.0) or 1.0,
            number(scale, "RescaleIntercept"),
            padding,
            segment if segment > 0 else None,
        )


def _kind_of(ds: Dataset, group: Callable[[str], Dataset | None]) -> tuple[float | str, ...]:
    kind = _image_type(ds)
    return (
        float("ORIGINAL" not in kind),
        "\\".join(kind),
        number(group("MREchoSequence"), "EffectiveEchoTime") or number(ds, "EchoTime"),
        number(ds, "InversionTime"),
        number(group("MRDiffusionSequence"), "DiffusionBValue") or number(ds, "DiffusionBValue"),
        number(group("FrameContentSequence"), "TemporalPositionIndex") or number(ds, "TemporalPositionIdentifier"),
        number(ds, "AcquisitionNumber"),
    )


def _length(ds: Dataset, keyword: str) -> float | None:
    """Millimetres, where they are those of a voxel; some writers give a direction by the sign."""
    value = abs(number(ds, keyword))
    return value if VOXEL_MM[0] < value < VOXEL_MM[1] else None


def _spacing(measures: Dataset, ds: Dataset) -> tuple[float, float] | None:
    """Millimetres between rows and between columns, where they are those of a voxel."""
    spacing = numbers(measures, "PixelSpacing", 2)
    spacing = numbers(ds, "ImagerPixelSpacing", 2) if spacing is None else spacing
    if spacing is None or (spacing <= VOXEL_MM[0]).any() or (spacing >= VOXEL_MM[1]).any():
        return None
    return float(spacing[0]), float(spacing[1])


def _directions(turn: Dataset | None) -> np.ndarray | None:
    """Unit vectors along a row and along a column, (2, 3), at right angles, from which rounding takes them."""
    values = numbers(turn, "ImageOrientationPatient", 6)
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
    out = Dataset()
    for keyword in _UIDS:
        if value := uid(ds, keyword):
            setattr(out, keyword, UID(value))
    for keyword in (*_COUNTS, *_NUMBERS):
        if keyword in ds and ds[keyword].value is not None:
            setattr(out, keyword, int(number(ds, keyword)))
    _copy_lengths(ds, out, _LENGTHS)
    for keyword in _IDENTITY:
        setattr(out, keyword, "")
    out.Modality = "SEG" if out.get("SOPClassUID") in SEGMENTATIONS else "MR"
    out.PhotometricInterpretation = "MONOCHROME2"
    if text(ds, "PhotometricInterpretation").strip() == "MONOCHROME1":
        out.PhotometricInterpretation = "MONOCHROME1"
    if text(ds, "LossyImageCompression").strip() == "01":
        out.LossyImageCompression = "01"
        _copy_lengths(ds, out, ["LossyImageCompressionRatio"])
        methods = ds.get("LossyImageCompressionMethod")
        methods = list(methods) if isinstance(methods, pydicom.multival.MultiValue) else [methods]
        if all(method in _LOSSY_METHODS for method in methods):
            out.LossyImageCompressionMethod = methods
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if groups := [_numbers_of_group(group) for group in items(ds, keyword)]:
            setattr(out, keyword, groups)
    return out


def _numbers_of_group(group: Dataset) -> Dataset:
    out = Dataset()
    for keyword, kept in _GROUPS.items():
        inner = item(group, keyword)
        if inner is not None:
            copy = Dataset()
            _copy_lengths(inner, copy, kept)
            setattr(out, keyword, [copy])
    return out


def _copy_lengths(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy numbers as they are written, so that positions stay equal to the digit."""
    for keyword in keywords:
        if keyword not in source:
            continue
        value = source[keyword].value
        parts = list(value) if isinstance(value, pydicom.multival.MultiValue) else [value]
        if parts and all(isinstance(p, int | float) or type(p).__name__ == "DSdecimal" for p in parts):
            setattr(target, keyword, parts if len(parts) > 1 else parts[0])

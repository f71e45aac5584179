"""DICOM headers and pixels."""

from __future__ import annotations

import logging
import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset, config
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from lgg_demo.case import Role, UnreadableScan
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
from lgg_demo.reading.volumes import guard

# Odd values are judged here; pydicom's warnings would quote them, and with them a name.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

# DICOM: headers

DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, the list of a disc's files
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_NUMBERS = ("SeriesNumber", "InstanceNumber", "NumberOfFrames")
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_PICTURE = (*_COUNTS, "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames")
_READ = (
    *_UIDS, *_COUNTS, *_NUMBERS, *_LENGTHS, "Modality", "PhotometricInterpretation", "AcquisitionNumber", "EchoTime",
    "TemporalPositionIdentifier", "SeriesDescription", "ProtocolName", "ContrastBolusAgent", "BurnedInAnnotation",
    "ImagerPixelSpacing", "SliceLocation", "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SegmentationType", "MaximumFractionalValue", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
_DATA = (*_PICTURE, "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable")
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
    """One frame of one file. position, orientation: patient coordinates (LPS) as DICOM has them."""

    path: Path
    frame: int
    order: tuple[float, ...]
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float


@dataclass(frozen=True)
class Head:
    """What is kept of one file's header."""

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
    fraction: float  # of a segmentation: values above this count


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, with or without the preamble, or says so by its suffix."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except (OSError, ValueError):
        return False
    if start[128:] == b"DICM":
        return True
    if start[:2] in (b"\x08\0", b"\0\x08", b"\x02\0"):
        try:
            return str(_dataset(path, ("SOPClassUID",)).get("SOPClassUID", "")).startswith("1.2.840.")
        except Exception:
            return path.suffix.lower() in DICOM_SUFFIXES
    return path.suffix.lower() in DICOM_SUFFIXES


def _dataset(path: Path, keywords: Sequence[str]) -> Dataset:
    """The named tags of a file and no other; the pixels where they are named. Raises whatever pydicom raises."""
    with path.open("rb") as file:
        preamble = file.read(132)[128:] == b"DICM"
        file.seek(0)
        if preamble:
            meta = read_file_meta_info(path)
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                _check_deflated(path)
        tags: list[int] = [tag for k in keywords if (tag := tag_for_keyword(k)) is not None]
        return pydicom.dcmread(file, force=not preamble, specific_tags=tags, stop_before_pixels="PixelData" not in keywords)


def _check_deflated(path: Path) -> None:
    """Raise UnreadableScan where a deflated data set would unpack to more than a study: pydicom unpacks it whole."""
    with path.open("rb") as file:
        file.seek(132)
        head = file.read(12)
        (length,) = struct.unpack("<I", head[8:12])
        file.seek(144 + length)
        inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        data = file.read(1 << 16)
        while data and total <= MOST_DICOM_BYTES // 2:
            total += len(inflate.decompress(data, 1 << 24))
            data = inflate.unconsumed_tail or file.read(1 << 16)
    if total > MOST_DICOM_BYTES // 2:
        raise UnreadableScan(path.name, "too_much_at_once")


def _number(ds: Dataset, keyword: str, default: float = 0.0) -> float:
    try:
        value = float(ds.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return default
    return value if math.isfinite(value) else default


def _numbers(ds: Dataset | None, keyword: str, count: int) -> np.ndarray | None:
    try:
        values = np.array([float(v) for v in ds[keyword].value]) if ds is not None else np.empty(0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return values if values.size == count and bool((np.abs(values) < 1e6).all()) else None


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return value if isinstance(value, str) else ""


def _uid(ds: Dataset, keyword: str) -> str:
    """A UID, or nothing where the value is none (it might be anything, a name too)."""
    value = _text(ds, keyword).strip("\0 ")
    return value if re.fullmatch(r"[0-9.]{3,64}", value) else ""


def _item(ds: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    if ds is None or keyword not in ds:
        return None
    items = ds[keyword].value
    first = items[0] if isinstance(items, pydicom.Sequence) and len(items) else None
    return first if isinstance(first, Dataset) else None


def read_head(path: Path) -> Head | None:
    """A file's header; None for a disc's directory. Raises UnreadableScan."""
    try:
        guard(path, MOST_DICOM_BYTES)
        return _judge_head(path, _dataset(path, _READ))
    except UnreadableScan:
        raise
    except MemoryError:
        raise UnreadableScan(path.name, "too_much_at_once") from None
    except Exception:
        raise UnreadableScan(path.name, "damaged") from None


def _judge_head(path: Path, ds: Dataset) -> Head | None:
    sop_class = _uid(ds, "SOPClassUID")
    meta_class = str(getattr(ds, "file_meta", Dataset()).get("MediaStorageSOPClassUID", ""))
    if DIRECTORY in (sop_class, meta_class):
        return None
    modality = _text(ds, "Modality").strip()
    segmentation = sop_class in SEGMENTATIONS
    rows, columns = int(_number(ds, "Rows")), int(_number(ds, "Columns"))
    if rows < 1 or columns < 1:
        if not sop_class:
            raise UnreadableScan(path.name, "damaged")
        raise UnreadableScan(path.name, "dicom_no_picture")
    if modality not in ("MR", "", "OT") and not segmentation:
        raise UnreadableScan(path.name, "dicom_modality", modality=modality if modality in MODALITIES else "?")
    photometric = _text(ds, "PhotometricInterpretation").strip()
    if _number(ds, "SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise UnreadableScan(path.name, "volume_colour")
    if max(rows, columns) > WIDEST_SLICE:
        raise UnreadableScan(path.name, "too_large", side=WIDEST_SLICE)
    frames = max(1, int(_number(ds, "NumberOfFrames", 1)))
    if frames > MOST_SLICES * MOST_VOLUMES:
        raise UnreadableScan(path.name, "too_many_slices", slices=frames, most=MOST_SLICES)
    if frames * rows * columns > MOST_VOXELS * MOST_VOLUMES:
        raise UnreadableScan(path.name, "too_much_at_once")
    agent = bool(_text(ds, "ContrastBolusAgent").strip())
    described = role_of(_text(ds, "SeriesDescription"), agent)
    role = "mask" if segmentation else described or role_of(_text(ds, "ProtocolName"), agent)
    if segmentation and _text(ds, "SegmentationType").strip() == "FRACTIONAL":
        fraction = _number(ds, "MaximumFractionalValue", 255) / 2
    else:
        fraction = 0.0
    number = int(_number(ds, "SeriesNumber", -1))
    return Head(
        path,
        _instance(ds),
        _slices(path, ds, frames),
        (rows, columns),
        _uid(ds, "StudyInstanceUID"),
        _uid(ds, "SeriesInstanceUID"),
        number if 0 <= number < 10**9 else None,
        role,
        describe(_text(ds, "SeriesDescription"), _text(ds, "ProtocolName")),
        photometric == "MONOCHROME1",
        _text(ds, "BurnedInAnnotation").strip().upper() == "YES",
        fraction,
    )


def _slices(path: Path, ds: Dataset, frames: int) -> tuple[Slice, ...]:
    """The frames of a file, by its functional groups where it has them."""
    shared = _item(ds, "SharedFunctionalGroupsSequence")
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    per_frame = list(groups) if isinstance(groups, pydicom.Sequence) and len(groups) == frames else [None] * frames

    def group(own: Dataset | None, keyword: str) -> Dataset | None:
        return _item(own, keyword) or _item(shared, keyword)

    enhanced = shared is not None or per_frame[0] is not None
    found = []
    for n, own in enumerate(per_frame):
        place = group(own, "PlanePositionSequence") if enhanced else ds
        turn = group(own, "PlaneOrientationSequence") if enhanced else ds
        measures = (group(own, "PixelMeasuresSequence") if enhanced else ds) or ds
        scale = (group(own, "PixelValueTransformationSequence") if enhanced else ds) or ds
        spacing = _numbers(measures, "PixelSpacing", 2)
        if spacing is None:
            spacing = _numbers(ds, "ImagerPixelSpacing", 2)
        sane = spacing is not None and bool((spacing > VOXEL_MM[0]).all() and (spacing < VOXEL_MM[1]).all())
        thickness = _number(measures, "SpacingBetweenSlices") or _number(measures, "SliceThickness")
        orientation = _numbers(turn, "ImageOrientationPatient", 6)
        if orientation is not None:
            lengths = [float(np.linalg.norm(orientation[:3])), float(np.linalg.norm(orientation[3:]))]
            if not all(0.9 < v < 1.1 for v in lengths) or abs(float(orientation[:3] @ orientation[3:])) > 0.05:
                orientation = None
        slope = _number(scale, "RescaleSlope", 1.0) or 1.0
        order = (
            _number(ds, "EchoTime"),
            _number(ds, "TemporalPositionIdentifier"),
            _number(ds, "AcquisitionNumber"),
            _number(ds, "InstanceNumber"),
            float(n),
        )
        found.append(
            Slice(
                path,
                n,
                order,
                _numbers(place, "ImagePositionPatient", 3) if frames == 1 or enhanced else None,
                orientation,
                (float(spacing[0]), float(spacing[1])) if spacing is not None and sane else None,
                thickness if VOXEL_MM[0] < thickness < VOXEL_MM[1] else None,
                slope,
                _number(scale, "RescaleIntercept"),
            )
        )
    return tuple(found)


def _instance(ds: Dataset) -> Dataset:
    """A header of numbers and UIDs alone: what a segmentation needs to refer to the image, and no identity."""
    out = Dataset()
    for keyword in _UIDS:
        if uid := _uid(ds, keyword):
            setattr(out, keyword, UID(uid))
    for keyword in (*_COUNTS, *_NUMBERS):
        if keyword in ds and ds[keyword].value is not None:
            setattr(out, keyword, int(_number(ds, keyword)))
    _copy_lengths(ds, out, _LENGTHS)
    for keyword in _IDENTITY:
        setattr(out, keyword, "")
    out.Modality = "SEG" if out.get("SOPClassUID") in SEGMENTATIONS else "MR"
    out.PhotometricInterpretation = "MONOCHROME2"
    if _text(ds, "PhotometricInterpretation").strip() == "MONOCHROME1":
        out.PhotometricInterpretation = "MONOCHROME1"
    if _text(ds, "LossyImageCompression").strip() == "01":
        out.LossyImageCompression = "01"
        _copy_lengths(ds, out, ["LossyImageCompressionRatio"])
        methods = ds.get("LossyImageCompressionMethod")
        methods = list(methods) if isinstance(methods, pydicom.multival.MultiValue) else [methods]
        if all(method in _LOSSY_METHODS for method in methods):
            out.LossyImageCompressionMethod = methods
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = ds.get(keyword)
        if isinstance(groups, pydicom.Sequence) and len(groups):
            setattr(out, keyword, [_numbers_of_group(item) for item in groups])
    return out


def _numbers_of_group(item: Dataset) -> Dataset:
    out = Dataset()
    for keyword, kept in _GROUPS.items():
        inner = _item(item, keyword)
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


# DICOM: series


# DICOM: pixels

_MARKERS_OF_SIZE = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def decode(path: Path, frames: list[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The named frames of a file, as they are stored. Raises UnreadableScan, or whatever pydicom raises."""
    ds = _dataset(path, _DATA)
    meta = getattr(ds, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = ds.original_encoding
        if not little:
            raise UnreadableScan(path.name, "dicom_compression")
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds.file_meta = meta
    if "SamplesPerPixel" not in ds:
        ds.SamplesPerPixel = 1
    if not _text(ds, "PhotometricInterpretation").strip():
        ds.PhotometricInterpretation = "MONOCHROME2"
    if (ds.Rows, ds.Columns) != size or ds.get("BitsAllocated") not in (1, 8, 16, 32, 64):
        raise UnreadableScan(path.name, "damaged")
    syntax = UID(str(meta.TransferSyntaxUID))
    plugin = ""
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise UnreadableScan(path.name, "dicom_compression")
    if syntax.is_encapsulated:
        plugin = "pydicom" if syntax == RLELossless else "pylibjpeg"
        if syntax.name.startswith(("MPEG", "HEVC", "JPIP", "SMPTE", "JPEG XL")):
            raise UnreadableScan(path.name, "dicom_compression")
        _check_coded(path, ds, syntax, size)
    for frame in iter_pixels(ds, indices=frames, raw=True, decoding_plugin=plugin):
        if frame.shape != size:
            raise UnreadableScan(path.name, "damaged")
        yield frame


def _check_coded(path: Path, ds: Dataset, syntax: UID, size: tuple[int, int]) -> None:
    """Raise UnreadableScan where a frame would decode to more than the header says: a picture carries its own size."""
    raw = size[0] * size[1] * ((int(ds.BitsAllocated) + 7) // 8)
    count = max(1, int(_number(ds, "NumberOfFrames", 1)))
    for data in generate_frames(ds.PixelData, number_of_frames=count):
        if syntax == RLELossless:
            if len(data) > 1.1 * raw + 4096:
                raise UnreadableScan(path.name, "damaged")
        elif _coded_size(data) != (*size, 1):
            raise UnreadableScan(path.name, "damaged")


def _coded_size(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, channels) that a JPEG, JPEG-LS or JPEG 2000 stream says of itself."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and not data.startswith(b"\xff\xd8"):
        if len(data) < start + 42:
            return None
        x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
        (channels,) = struct.unpack(">H", data[start + 40 : start + 42])
        return y1 - y0, x1 - x0, channels
    at = 2
    while data.startswith(b"\xff\xd8") and at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if marker in _MARKERS_OF_SIZE:
            height, width, channels = struct.unpack(">HHB", data[at + 5 : at + 10])
            return height, width, channels
        at += 2 + length
    return None

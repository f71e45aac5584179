"""The stored values of DICOM frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from lgg_demo.case import ReadError
from lgg_demo.reading.dicom import BITS, read_tags
from lgg_demo.reading.tags import text

_DATA = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "ExtendedOffsetTable",
)  # fmt: skip
_FILMS = ("MPEG", "HEVC", "JPIP", "SMPTE", "JPEG XL")  # transfer syntaxes that are not decoded


def decode(path: Path, frames: list[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The named frames of a file, (rows, columns) each, as stored. Raises ReadError, or whatever pydicom raises."""
    ds = read_tags(path, _DATA)
    ds.SamplesPerPixel = 1
    if text(ds, "PhotometricInterpretation") not in ("MONOCHROME1", "PALETTE COLOR"):
        ds.PhotometricInterpretation = "MONOCHROME2"
    if (ds.Rows, ds.Columns) != size or ds.get("BitsAllocated") not in BITS:
        raise ReadError(path.name, "damaged")
    for frame in iter_pixels(ds, indices=frames, raw=True, decoding_plugin=_plugin(path.name, ds)):
        if frame.shape != size:
            raise ReadError(path.name, "damaged")
        yield frame


def _plugin(file: str, ds: Dataset) -> str:
    """What decodes a file's transfer syntax, which is set where it is not stated. Raises ReadError where nothing does."""
    meta = getattr(ds, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    implicit, little = ds.original_encoding
    if not meta.get("TransferSyntaxUID") and little:
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds.file_meta = meta
    syntax = UID(str(meta.get("TransferSyntaxUID", "")))
    known = not syntax.is_private and syntax.is_transfer_syntax
    if not known or (syntax.is_encapsulated and syntax.name.startswith(_FILMS)):
        raise ReadError(file, "dicom_compression")
    return "" if not syntax.is_encapsulated else "pydicom" if syntax == RLELossless else "pylibjpeg"

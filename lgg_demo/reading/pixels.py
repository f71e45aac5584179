"""DICOM pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from lgg_demo.case import ReadError
from lgg_demo.reading.dicom import read_tags
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
    meta = getattr(ds, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = ds.original_encoding
        if not little:
            raise ReadError(path.name, "dicom_compression")
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds.file_meta = meta
    ds.SamplesPerPixel = 1
    if text(ds, "PhotometricInterpretation") not in ("MONOCHROME1", "PALETTE COLOR"):
        ds.PhotometricInterpretation = "MONOCHROME2"
    if (ds.Rows, ds.Columns) != size or ds.get("BitsAllocated") not in (1, 8, 16, 32, 64):
        raise ReadError(path.name, "damaged")
    syntax = UID(str(meta.TransferSyntaxUID))
    plugin = ""
    if syntax.is_private or not syntax.is_transfer_syntax or (syntax.is_encapsulated and syntax.name.startswith(_FILMS)):
        raise ReadError(path.name, "dicom_compression")
    if syntax.is_encapsulated:
        plugin = "pydicom" if syntax == RLELossless else "pylibjpeg"
    for frame in iter_pixels(ds, indices=frames, raw=True, decoding_plugin=plugin):
        if frame.shape != size:
            raise ReadError(path.name, "damaged")
        yield frame

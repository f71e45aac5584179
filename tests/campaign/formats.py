"""Small good files of every format that the product reads, drawn by this project: what the mutants are made of."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import imagecodecs
import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmwrite, uid
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import BaseTag
from pydicom.uid import UID, generate_uid

from tests.drawn_heads import Phantom, draw_head

SIDE, SLICES = 64, 3
Files = list[tuple[str, bytes]]  # name and content


def head(seed: int = 0, slices: int = SLICES) -> Phantom:
    return draw_head(slices, SIDE, "frontal", seed)


def picture(array: np.ndarray, kind: str, **options: object) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(array).save(memory, kind, **options)
    return memory.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    memory = io.BytesIO()
    tifffile.imwrite(memory, array, **options)
    return memory.getvalue()


def nifti(array: np.ndarray, packed: bool = True) -> bytes:
    """Axial slices (S, H, W) or (T, S, H, W) as NIfTI, 3 x 3 x 6 mm."""
    turned = np.moveaxis(array[..., ::-1, ::-1], (-1, -2, -3), (0, 1, 2))
    image = nib.Nifti1Image(np.ascontiguousarray(turned), np.diag([3.0, 3.0, 6.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    content = bytes(image.to_bytes())
    return gzip.compress(content, mtime=0) if packed else content


def archive(files: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as made:
        for name, content in files:
            made.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), content, method)
        made.comment = comment
    return memory.getvalue()


# DICOM


def uid_of(*what: object) -> UID:
    """The same for the same, as a campaign that is repeated wants it."""
    return generate_uid(entropy_srcs=["lgg-demo", *map(str, what)])


def header(seed: object, kind: str, sop_class: str) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = sop_class
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.Modality, made.SeriesDescription = "MR", "FLAIR axial"
    made.PatientID, made.PatientName = f"patient {seed}", "Phantom^Drawn"
    made.StudyInstanceUID, made.SeriesInstanceUID = uid_of(seed, kind, "study"), uid_of(seed, kind, "series")
    made.FrameOfReferenceUID = uid_of(seed, kind, "frame")
    made.SeriesNumber, made.ImageType = 1, ["ORIGINAL", "PRIMARY", "M", "NONE"]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    return made


def encode(frames: np.ndarray, syntax: str) -> list[bytes]:
    """One encoded fragment a frame (H, W) uint16."""
    if syntax == uid.JPEGLosslessSV1:
        return [imagecodecs.ljpeg_encode(frame, bitspersample=12) for frame in frames]
    if syntax == uid.JPEGLSLossless:
        return [imagecodecs.jpegls_encode(frame) for frame in frames]
    return [imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, level=0) for frame in frames]


def fill(made: Dataset, frames: np.ndarray, syntax: str) -> None:
    """Give a data set its pixels (S, H, W) uint16 in a transfer syntax."""
    made.Rows, made.Columns = frames.shape[1:]
    made.PixelData = frames.astype("<u2").tobytes()
    if syntax == uid.RLELossless:
        made.compress(syntax, encoding_plugin="pydicom")
    elif UID(syntax).is_compressed:
        made.PixelData = encapsulate(encode(frames, syntax))
        made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID(syntax)


def unchecked(tag: BaseTag, vr: str, text: str) -> RawDataElement:
    """An element of text as a file may hold it, whatever its kind allows."""
    content = text.encode()
    content += b" " * (len(content) % 2)
    return RawDataElement(tag, vr, len(content), content, 0, False, True)


def written(made: Dataset) -> bytes:
    memory = io.BytesIO()
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    dcmwrite(memory, made, enforce_file_format=True)
    return memory.getvalue()


def as_it_is(_: Dataset) -> None:
    pass


def classic(seed: object, syntax: str = uid.ExplicitVRLittleEndian, change: Callable[[Dataset], None] = as_it_is) -> Files:
    """A series of single slices. change: what is done to each before it is written."""
    files = []
    for n, slice_ in enumerate(head().flair.astype(np.uint16) * 8):
        made = header(seed, f"classic{syntax}", uid.MRImageStorage)
        made.SOPInstanceUID, made.InstanceNumber = uid_of(seed, syntax, n), n + 1
        made.PixelSpacing, made.SliceThickness = [3, 3], 6
        made.ImagePositionPatient, made.ImageOrientationPatient = [-96, -96, 6 * n], [1, 0, 0, 0, 1, 0]
        fill(made, slice_[None], syntax)
        change(made)
        files.append((f"IM{n}.dcm", written(made)))
    return files


def enhanced(seed: object, syntax: str = uid.ExplicitVRLittleEndian) -> Files:
    """A series in one file of several frames."""
    made = header(seed, f"enhanced{syntax}", uid.EnhancedMRImageStorage)
    made.SOPInstanceUID, made.InstanceNumber, made.NumberOfFrames = uid_of(seed, syntax, "e"), 1, SLICES
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [3, 3], 6
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    made.SharedFunctionalGroupsSequence, groups = [shared], []
    for n in range(SLICES):
        group, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-96, -96, 6 * n]
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", n + 1, [n + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    fill(made, head().flair.astype(np.uint16) * 8, syntax)
    return [("enhanced.dcm", written(made))]


SYNTAXES = {
    "RLE": uid.RLELossless,
    "JPEG lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}


def single(suffix: str, content: bytes, seed: object) -> Files:
    return [(f"{letters(seed)}{suffix}", content)]


def letters(seed: object) -> str:
    """A name of consonants alone, which is no word and no number, so that nothing is taken for a series or a mask."""
    number = sum(ord(c) * 31**n for n, c in enumerate(str(seed))) % 8**6
    return "".join("bcdfhjkm"[number // 8**n % 8] for n in range(6))


def formats() -> dict[str, Callable[[object], Files]]:
    """Format to a function of any name that makes the files of one good scan."""
    flair = head().flair
    grey, colour = flair[1], np.stack([flair[1] // 2, flair[1], flair[1] // 3 * 2], axis=-1)
    wide = grey.astype(np.uint16) * 100
    pages = {"photometric": "minisblack"}
    contents: dict[str, tuple[str, bytes]] = {
        "PNG grey": (".png", picture(grey, "PNG")),
        "PNG colour": (".png", picture(colour, "PNG")),
        "PNG 16 bit": (".png", picture(wide, "PNG")),
        "JPEG": (".jpg", picture(grey, "JPEG", quality=95)),
        "JPEG progressive": (".jpg", picture(colour, "JPEG", quality=95, progressive=True)),
        "JPEG named JFIF": (".jfif", picture(grey, "JPEG", quality=95)),
        "TIFF grey": (".tif", tiff(grey)),
        "TIFF colour": (".tif", tiff(colour, photometric="rgb")),
        "TIFF 16 bit": (".tif", tiff(wide)),
        "TIFF float": (".tif", tiff(grey.astype(np.float32) / 255)),
        "TIFF LZW": (".tif", tiff(grey, compression="lzw")),
        "TIFF deflate": (".tif", tiff(colour, photometric="rgb", compression="zlib", predictor=True)),
        "TIFF pages": (".tif", tiff(flair, **pages)),
        "TIFF ImageJ": (".tif", tiff(flair, imagej=True, metadata={"axes": "ZYX"})),
        "TIFF tiles": (".tif", tiff(grey, tile=(32, 32), bigtiff=True)),
        "NIfTI": (".nii", nifti(flair.astype(np.float32), packed=False)),
        "NIfTI packed": (".nii.gz", nifti(flair.astype(np.int16))),
        "NIfTI 4-D": (".nii.gz", nifti(np.stack([flair, flair[:, ::-1]]).astype(np.uint8))),
    }
    inside = [("pictures/bcd.png", picture(grey, "PNG")), ("volume/fhj.nii", nifti(flair, packed=False))]
    for method in ("stored", "deflated", "bzip2", "lzma"):
        contents[f"zip {method}"] = (".zip", archive(inside, getattr(zipfile, f"ZIP_{method.upper()}")))
    made: dict[str, Callable[[object], Files]] = {k: partial(single, *v) for k, v in contents.items()}
    made |= {"DICOM": classic, "DICOM implicit": partial(classic, syntax=uid.ImplicitVRLittleEndian)}
    made |= {"DICOM enhanced": enhanced, "DICOM enhanced JPEG 2000": partial(enhanced, syntax=uid.JPEG2000Lossless)}
    return made | {f"DICOM {name}": partial(classic, syntax=syntax) for name, syntax in SYNTAXES.items()}


def renamed(files: Sequence[tuple[str, bytes]], folder: str) -> Files:
    """The same files in a folder, as a zip or a disk holds them."""
    return [(f"{folder}/{name}", content) for name, content in files]

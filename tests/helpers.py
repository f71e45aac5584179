"""Small inputs that several tests write: heads as NIfTI, DICOM, pictures and zips, and the short ways to read them."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lgg_demo.case import Case, ReadError, Study
from lgg_demo.grid import AXES
from lgg_demo.phantom import draw_head
from lgg_demo.reading.archive import Given
from lgg_demo.reading.references import attachable, read_references
from lgg_demo.reading.studies import Read, Request, read_all

HEAD = draw_head(12, size=64)
STACK = HEAD.flair.astype(np.float32)  # (slices, rows, columns): S, P, L
PLANTED = "ZZTOP^PLANTED"
SPACING = (5.0, 3.6, 3.6)


def turned(codes: str, stack: np.ndarray = STACK, spacing: tuple[float, ...] = SPACING) -> tuple[np.ndarray, np.ndarray]:
    """The stack as an array of an orientation, and its affine."""
    affine = np.array([[0, 0, -spacing[2], 110], [0, -spacing[1], 0, 115], [spacing[0], 0, 0, -40], [0, 0, 0, 1.0]])
    turn = ornt_transform(axcodes2ornt(AXES), axcodes2ornt(tuple(codes)))
    return apply_orientation(stack, turn), affine @ inv_ornt_aff(turn, stack.shape)


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def series(
    folder: Path, stack: np.ndarray = STACK, spacing: tuple[float, float, float] = SPACING, **tags: object
) -> list[Path]:
    """An axial series whose file names and InstanceNumbers say nothing of the positions. `tags`: on every slice."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(range(len(stack)))
    random.Random(1).shuffle(names)
    uids = {k: generate_uid() for k in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    paths = []
    for n, pixels in enumerate(stack):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
        for key, value in uids.items():
            setattr(ds, key, value)
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 3, names[n] + 1
        ds.SeriesDescription = "AX FLAIR"
        ds.Rows, ds.Columns = pixels.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelSpacing = [spacing[1], spacing[2]]
        ds.SliceThickness = spacing[0]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-110, -115, -40 + n * spacing[0]]
        ds.PixelData = pixels.astype(np.uint16).tobytes()
        for key, value in tags.items():
            if value is None:
                delattr(ds, key)
            else:
                setattr(ds, key, value)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        paths.append(folder / f"IM{names[n]:04d}")
        ds.save_as(paths[-1], enforce_file_format=True)
    return sorted(paths)


def change(path: Path, **tags: object) -> None:
    ds = pydicom.dcmread(path)
    for key, value in tags.items():
        if value is None:
            delattr(ds, key)
        else:
            setattr(ds, key, value)
    ds.save_as(path)


def enhanced(path: Path, stack: np.ndarray = STACK, spacing: tuple[float, float, float] = SPACING) -> Path:
    """One enhanced MR file, its frames from the top down."""
    ds = pydicom.dcmread(series(path.parent / "classic", stack, spacing)[0])
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    for key in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, key)
    shared, per_frame = Dataset(), []
    measures, turn, scale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[2]], spacing[0]
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scale.RescaleSlope, scale.RescaleIntercept = 2, -7
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    shared.PixelValueTransformationSequence = [scale]
    for n in reversed(range(len(stack))):
        place, item, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-110, -115, -40 + n * spacing[0]]
        content.FrameComments = PLANTED
        item.PlanePositionSequence, item.FrameContentSequence = [place], [content]
        per_frame.append(item)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], per_frame
    ds.NumberOfFrames = len(stack)
    ds.PixelData = stack[::-1].astype(np.uint16).tobytes()
    ds.save_as(path)
    return path


def segmentation(folder: Path, paths: list[Path], mask: np.ndarray, kind: str = "BINARY") -> Path:
    """A DICOM segmentation of a series, as highdicom writes it; only slices with a mask have a frame."""
    images = sorted((pydicom.dcmread(p) for p in paths), key=lambda ds: ds.ImagePositionPatient[2])
    for ds in images:
        for key in (
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "PatientSex",
            "AccessionNumber",
            "StudyID",
            "StudyDate",
        ):
            setattr(ds, key, "")
        ds.StudyTime = ""
    code = highdicom.sr.CodedConcept("108369006", "SCT", "Neoplasm")
    description = highdicom.seg.SegmentDescription(1, "lesion", code, code, "MANUAL")
    seg = highdicom.seg.Segmentation(
        images, mask.astype(np.uint8) if kind == "BINARY" else mask.astype(np.float32), kind, [description],
        generate_uid(), 100, generate_uid(), 1, "m", "m", "1", "1",
    )  # fmt: skip
    path = folder / "seg.dcm"
    seg.save_as(path)
    return path


def directory(path: Path) -> Path:
    """A DICOMDIR, as a hospital's disc has it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.FileDataset("", Dataset(), preamble=bytes(128), file_meta=meta).save_as(path)
    return path


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def inside(folder: Path, below: Path | None = None) -> dict[str, bytes]:
    """The files of a folder by their names below it, or below another, for `zipped`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(below or folder).as_posix(): p.read_bytes() for p in files}


SCAN, BROKEN = "scan", "broken"  # of `lay`; a number is a mask of the rows up to it


def rows_up_to(rows: int) -> np.ndarray:
    """A mask that the number of its rows tells from others."""
    mask = np.zeros_like(STACK)
    mask[:, :rows] = 1
    return mask


def lay(folder: Path, files: dict[str, str | int]) -> Path:
    """NIfTI volumes and PNG slices below a folder: scans, masks of so many rows, broken files."""
    for name, what in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = rows_up_to(what) if isinstance(what, int) else STACK
        if what == BROKEN:
            path.write_bytes(b"no image")
        elif path.suffix == ".png":
            Image.fromarray((values[6] * (255 if isinstance(what, int) else 1)).astype(np.uint8)).save(path)
        else:
            nifti(path, *turned("LPS", values))
    return folder


def read(paths: Sequence[Path | Given] | Path, references: Sequence[Path] = (), **more: object) -> Read:
    """What comes of files, in this process."""
    inputs = [paths] if isinstance(paths, Path) else paths
    return read_all(Request(tuple(inputs), tuple(references), **more))  # type: ignore[arg-type]


def only(paths: Sequence[Path | Given] | Path, **more: object) -> Study:
    """The one study that volumes are, without an error or a notice."""
    (case,), errors, notices = read(paths, **more)
    assert [str(said.sentence) for said in (*errors, *notices)] == []
    assert isinstance(case, Study) and np.shape(case.paths) == (1,) and case.slices == (len(case.scan),)
    return case


def attach(cases: Sequence[Case], paths: Sequence[Path], work: Path) -> tuple[list[Case], list[ReadError]]:
    """Cases with references that are given later, in this process."""
    attached, errors = list(cases), []
    for event in read_references([attachable(case) for case in cases], paths, frozenset(), work):
        if isinstance(event, ReadError):
            errors.append(event)
        else:
            n, known = event
            given = {k: getattr(known, k) for k in ("reference", "referenced", "reference_warnings")}
            attached[n] = replace(attached[n], **given)
    return attached, errors


def warned(case: Case) -> list[str]:
    """The keys of what a case's user is warned of."""
    return [w.key for w in (*case.warnings, *case.reference_warnings)]


def said(found: Read) -> list[tuple[str, str]]:
    """File and key of each error."""
    return [(error.file, error.sentence.key) for error in found.errors]


def rows_of(found: Read) -> dict[str, int | None]:
    """For each case how many rows its reference has, None where it has none: whose mask is whose, of `lay`."""
    return {
        case.scan.files[0][0]: None if case.reference is None else int(case.reference.any(axis=(0, 2)).sum())
        for case in found.cases
    }

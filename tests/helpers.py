"""Small inputs that several tests write: heads as NIfTI, DICOM, pictures and zips, and the short ways to read them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from dicom_files import HEAD, PLANTED, SPACING, STACK, change, enhanced, segmentation, series
from nifti_files import nifti, turned
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lgg_demo.case import Case, ReadError, Study
from lgg_demo.reading.archive import Given
from lgg_demo.reading.references import attachable, read_references, with_events
from lgg_demo.reading.studies import Read, Request, read_all

__all__ = (
    "BROKEN",
    "HEAD",
    "PLANTED",
    "SCAN",
    "SPACING",
    "STACK",
    "attach",
    "change",
    "directory",
    "enhanced",
    "inside",
    "lay",
    "nifti",
    "only",
    "read",
    "rows_of",
    "rows_up_to",
    "said",
    "segmentation",
    "series",
    "turned",
    "warned",
    "zipped",
)  # fmt: skip


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
        elif path.suffix in (".png", ".tif"):
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
    return with_events(cases, read_references([attachable(case) for case in cases], paths, frozenset(), work))


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

"""Results of drawn volumes and pictures, and the headers of a series, shared by the tests of what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from lgg_demo.grid import Grid
from lgg_demo.output.dicom_seg import segmentation_of
from lgg_demo.output.dicom_subject import DicomChoice, Subject
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result
from lgg_demo.output.tracking import tracks_of

RECORD = {"name": "lgg-unet", "sha256": "ab12" * 16, "created_by": "a test", "split": {"train": ["nobody"]}}
IDENTITY = {
    "PatientName": "PLANTED^NAME", "PatientID": "PLANTED-ID", "PatientBirthDate": "19010203", "PatientAge": "088Y",
    "PatientSex": "F", "AccessionNumber": "PLANTED-ACC", "StudyID": "PLANTED-STUDY", "StudyDate": "19990102",
    "InstitutionName": "PLANTED HOSPITAL", "ReferringPhysicianName": "PLANTED^DOCTOR", "StationName": "PLANTED-ST",
    "StudyDescription": "PLANTED DESCRIPTION", "OtherPatientIDs": "PLANTED-OTHER", "PatientComments": "PLANTED",
}  # fmt: skip
# Directions of a row and of a column (DICOM, LPS).
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "tilted": (0.9975641, 0, -0.0697565, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "prone": (-1, 0, 0, 0, -1, 0),
}
SLICES, ROWS, WIDTH = 5, 12, 10  # of the series
SIDES = (20, 24)  # of the pictures


def series(orientation: str = "axial", enhanced: bool = False) -> tuple[list[Dataset], Grid]:
    """The headers of a series, with an identity, and its grid, axes (column, row, slice)."""
    row, column = np.reshape(ORIENTATIONS[orientation], (2, 3))
    affine = np.eye(4)
    affine[:3] = np.stack([row * 1.1, column * 0.9, np.cross(row, column) * 3.3, (-50.5, -60.25, -20.125)], axis=1)
    uids = {k: generate_uid() for k in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    geometry: list[dict[str, Any]] = [
        {"ImagePositionPatient": (affine @ [0, 0, k, 1])[:3].round(6).tolist(), "PixelSpacing": [0.9, 1.1],
         "ImageOrientationPatient": list(ORIENTATIONS[orientation])}
        for k in range(SLICES)
    ]  # fmt: skip
    headers = []
    for tags in geometry[: 1 if enhanced else None]:
        tags = tags | {"SliceThickness": 3} if not enhanced else {"NumberOfFrames": SLICES}
        headers.append(header := Dataset())
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4" + (".1" if enhanced else "")
        header.SOPInstanceUID, header.Modality, header.Rows, header.Columns = generate_uid(), "MR", ROWS, WIDTH
        for keyword, value in (uids | IDENTITY | tags).items():
            setattr(header, keyword, value)
        if enhanced:
            header.PerFrameFunctionalGroupsSequence = [_group(frame) for frame in geometry]
    return headers, Grid((WIDTH, ROWS, SLICES), np.diag([-1.0, -1, 1, 1]) @ affine)


def _group(frame: dict[str, Any]) -> Dataset:
    group = Dataset()
    names = ("PlanePositionSequence", "PixelMeasuresSequence", "PlaneOrientationSequence")
    for name, (keyword, value) in zip(names, frame.items(), strict=True):
        item = Dataset()
        setattr(item, keyword, value)
        setattr(group, name, [item])
    return group


def volume_result(
    grid: Grid, instances: Any = (), name: str = "series-3", reference: bool = False, seed: int = 0
) -> Result:
    """A result of random probability with one slice that is empty."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, 256, grid.shape).astype(np.uint8)
    own[..., -1] = 0
    stack = grid.to_stack(own)
    truth = rng.random(stack.shape) < 0.3 if reference else None
    known = np.ones(len(stack), bool) if reference else None
    return Result(((name, len(stack)),), (Path(name),), stack, truth, known, (), grid, tuple(instances))


def subject_of(mask: np.ndarray, grid: Grid, instances: Any, record: dict[str, Any] = RECORD, **choice: Any) -> Subject:
    """A result whose mask (S, H, W) is this one, on its way into DICOM. choice: fields of `DicomChoice`."""
    name = (("series-3", len(mask)),)
    result = Result(name, (Path("series-3"),), np.uint8(mask) * 255, None, None, (), grid, tuple(instances))
    report = build_report([result], 0.5, record)
    return Subject(result, report, tracks_of(result, 0.5), DicomChoice(**choice))


def write_seg(path: Path, mask: np.ndarray, grid: Grid, instances: Any, record: dict[str, Any] = RECORD) -> None:
    """The segmentation of a mask (S, H, W) as a file."""
    segmentation_of(subject_of(mask, grid, instances, record)).save_as(path)


def picture_result(
    *files: tuple[str, int], reference: np.ndarray | None = None, referenced: list[bool] | None = None
) -> Result:
    """A result of random probability for files of a name and a number of slices."""
    slices = sum(n for _, n in files)
    probability = np.random.default_rng(slices).integers(0, 256, (slices, *SIDES)).astype(np.uint8)
    known = None if referenced is None else np.array(referenced)
    return Result(files, tuple(Path(name) for name, _ in files), probability, reference, known)

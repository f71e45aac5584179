"""DICOM files drawn for the tests, and what reading them gives."""

from __future__ import annotations

import random
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from drawn_heads import draw_head
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lgg_demo.case import ReadError, Volume
from lgg_demo.reading.series import find_dicom

HEAD = draw_head(12, size=64)
STACK = HEAD.flair.astype(np.float32)  # (slices, rows, columns): S, P, L
PLANTED = "ZZTOP^PLANTED"
SPACING = (5.0, 3.6, 3.6)
NAMES = (
    "PatientName", "PatientID", "OtherPatientIDs", "PatientComments", "PatientAddress", "AccessionNumber", "StudyID",
    "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName",
    "StudyDescription", "ImageComments", "ProtocolName", "ContrastBolusAgent", "StationName", "RequestingPhysician",
    "DeviceSerialNumber", "SequenceName",
)  # fmt: skip


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
        _set(ds, tags)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        paths.append(folder / f"IM{names[n]:04d}")
        ds.save_as(paths[-1], enforce_file_format=True)
    return sorted(paths)


def change(path: Path, **tags: object) -> None:
    """A file with other tags; None removes one."""
    ds = pydicom.dcmread(path)
    _set(ds, tags)
    ds.save_as(path)


def _set(ds: Dataset, tags: dict[str, object]) -> None:
    for key, value in tags.items():
        if value is None:
            delattr(ds, key)
        else:
            setattr(ds, key, value)


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


def sources(paths: list[Path]) -> list[Dataset]:
    """The images of a series from the feet up, without identity, as a segmentation refers to them."""
    images = sorted((pydicom.dcmread(p) for p in paths), key=lambda ds: ds.ImagePositionPatient[2])
    names = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate")
    for ds in images:
        for key in (*names, "StudyTime"):
            setattr(ds, key, "")
    return images


NEOPLASM = highdicom.sr.CodedConcept("108369006", "SCT", "Neoplasm")
Part = tuple[str, highdicom.sr.CodedConcept, highdicom.sr.CodedConcept, np.ndarray]  # label, category, type, mask


def segmentation(folder: Path, paths: list[Path], mask: np.ndarray | list[Part], kind: str = "BINARY") -> Path:
    """A DICOM segmentation of a series, as highdicom writes it: of a mask, or with a segment for each part. Only slices
    with a mask have a frame.
    """
    parts = [("lesion", NEOPLASM, NEOPLASM, mask)] if isinstance(mask, np.ndarray) else mask
    described = [
        highdicom.seg.SegmentDescription(n, label, category, of, "MANUAL")
        for n, (label, category, of, _) in enumerate(parts, 1)
    ]
    masks = np.stack([part[-1] for part in parts], axis=-1)
    if kind == "LABELMAP":
        values = (masks * np.arange(1, len(parts) + 1)).max(axis=-1).astype(np.uint8)
    else:
        values = masks.astype(np.uint8 if kind == "BINARY" else np.float32)
    seg = highdicom.seg.Segmentation(
        sources(paths), values, kind, described, generate_uid(), 100, generate_uid(), 1, "m", "m", "1", "1"
    )
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def read_dicom(paths: list[Path]) -> tuple[list[Volume], list[ReadError]]:
    """Every volume, and one error for each file or series that cannot be used."""
    found, problems = find_dicom(paths)
    volumes: list[Volume] = []
    for one in found:
        try:
            volumes.append(one.load())
        except ReadError as error:
            problems.append(error)
    return volumes, problems


def one(paths: list[Path]) -> Volume:
    found, problems = read_dicom(paths)
    assert [str(p) for p in problems] == []
    assert len(found) == 1
    return found[0]


def stack_of(volume: Volume) -> np.ndarray:
    return volume.grid.to_stack(volume.values)


def warned(volume: Volume) -> list[str]:
    return [w.key for w in volume.warnings]


def refused(path: Path) -> str:
    """The key of the one sentence that a file gets."""
    found, errors = read_dicom([path])
    assert found == [] and len(errors) == 1
    assert errors[0].file == path.name and str(errors[0]).startswith(path.name)
    return errors[0].sentence.key

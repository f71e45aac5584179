"""Write the synthetic patients as DICOM studies, to try a PACS with: `python -m lgg_demo.experiments.dicom_study --out D`.

What a scanner would send: three classic MR series of a visit, with a name and a number that belong to nobody.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from lgg_demo.command import Folder, run
from lgg_demo.page.patients import PATIENTS, files_of, months_of

FIRST_VISIT = datetime.date(2025, 1, 10)
DAYS_A_MONTH = 30.4375
SERIES: dict[str, dict[str, Any]] = {  # by how a file's name ends: what the scanner says of such a series
    "_FLAIR": {"SeriesNumber": 3, "SeriesDescription": "AX FLAIR", "ScanningSequence": ["SE", "IR"],
               "RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500},
    "_T1w": {"SeriesNumber": 2, "SeriesDescription": "AX T1", "ScanningSequence": "SE",
             "RepetitionTime": 500, "EchoTime": 10},
    "_ce-gadolinium_T1w": {"SeriesNumber": 4, "SeriesDescription": "AX T1 POST GD", "ScanningSequence": "SE",
                           "RepetitionTime": 500, "EchoTime": 10, "ContrastBolusAgent": "Gadolinium"},
}  # fmt: skip


def patient_id(patient: str) -> str:
    """The PatientID of one of PATIENTS."""
    return f"SYNTHETIC-{PATIENTS.index(patient) + 1}"


def uid(*of: str) -> UID:
    """The UID of what these words name: the same at each run, so that a study sent again is the same study."""
    return generate_uid(entropy_srcs=["lgg-demo synthetic", *of])


def write_study(patient: str, visit: int, out: Path) -> str:
    """Write a visit of one of PATIENTS into a folder; returns its StudyInstanceUID.

    visit: from 1. Raises ValueError where the patient has no such visit, OSError where nothing can be written.
    """
    series = {
        ending: file
        for file in files_of(patient)
        for ending in sorted(SERIES, key=len)  # the longest that fits stays
        if file.name.endswith(f"_ses-{visit}{ending}.nii.gz")
    }
    if not series:
        raise ValueError(f"the synthetic patient {patient} has no visit {visit}")
    study = uid(patient, str(visit))
    for ending, file in series.items():
        folder = out / str(SERIES[ending]["SeriesDescription"]).replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        image = nib.load(file)
        # NIfTI counts to the right and the front, (x, y, z); DICOM from the right and the front, (slice, row, column).
        voxels = np.asarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)
        shared = _header(patient, visit) | SERIES[ending] | {"SeriesInstanceUID": uid(study, ending)}
        place = _geometry(image.affine, image.shape)
        for n, pixels in enumerate(voxels):
            _write_slice(folder / f"IM{n + 1:04d}.dcm", pixels, n, shared, place)
    return study


def _header(patient: str, visit: int) -> dict[str, Any]:
    """What all files of a visit say: patient, study and scanner."""
    date = FIRST_VISIT + datetime.timedelta(round(DAYS_A_MONTH * months_of(patient)[visit - 1]))
    day = date.strftime("%Y%m%d")
    return {
        "SpecificCharacterSet": "ISO_IR 192", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"], "Modality": "MR",
        "PatientName": f"Synthetic^{patient.replace('_', ' ').title()}", "PatientID": patient_id(patient),
        "PatientBirthDate": "19700101", "PatientSex": "O", "PatientPosition": "HFS",
        "StudyInstanceUID": uid(patient, str(visit)), "FrameOfReferenceUID": uid(patient, str(visit), "frame"),
        "StudyID": str(visit), "AccessionNumber": f"{patient_id(patient)}-{visit}", "ReferringPhysicianName": "",
        "StudyDescription": f"MR BRAIN VISIT {visit}, SYNTHETIC", "StudyDate": day, "SeriesDate": day,
        "AcquisitionDate": day, "ContentDate": day, "StudyTime": "090000", "SeriesTime": "090500",
        "AcquisitionTime": "090600", "ContentTime": "090600", "Manufacturer": "Synthetic", "BodyPartExamined": "BRAIN",
        "ManufacturerModelName": "No scanner", "InstitutionName": "", "PositionReferenceIndicator": "",
        "AcquisitionNumber": 1, "SequenceVariant": "SK", "ScanOptions": "", "MRAcquisitionType": "2D",
        "EchoTrainLength": 1, "MagneticFieldStrength": 3, "FlipAngle": 90,
    }  # fmt: skip


def _geometry(affine: np.ndarray, shape: tuple[int, ...]) -> dict[str, Any]:
    """Sizes in mm, and the position of the first pixel of the lowest slice, of an axial grid without a tilt."""
    width, height, between = (float(step) for step in np.diag(affine)[:3])
    x, y, z = (affine @ [shape[0] - 1, shape[1] - 1, 0, 1])[:3]
    return {"spacing": [height, width], "between": between, "first": (-x, -y, z)}


def _write_slice(path: Path, pixels: np.ndarray, n: int, shared: dict[str, Any], place: dict[str, Any]) -> None:
    """One file: a slice's pixels, (rows, columns) uint8; n: its number from the feet, from 0."""
    header, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = uid(shared["SeriesInstanceUID"], str(n))
    x, y, z = place["first"]
    own = {
        "SOPClassUID": MRImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "InstanceNumber": n + 1,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": place["spacing"],
        "ImagePositionPatient": [x, y, z + n * place["between"]], "SliceLocation": z + n * place["between"],
        "SliceThickness": place["between"], "SpacingBetweenSlices": place["between"], "Rows": pixels.shape[0],
        "Columns": pixels.shape[1], "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "WindowCenter": 90, "WindowWidth": 180, "PixelData": pixels.astype("<u2").tobytes(),
    }  # fmt: skip
    for keyword, value in (shared | own).items():
        setattr(header, keyword, value)
    header["PixelData"].VR = "OW"
    header.file_meta = meta
    header.save_as(path, enforce_file_format=True)


@dataclass(frozen=True)
class StudySettings:
    """Write a synthetic patient's visits as DICOM studies, to try a PACS with; nothing in them is of a patient."""

    out: Folder
    """where the studies go, a folder for each visit"""
    patient: Literal["growing", "two_lesions", "healthy"] = "growing"
    """which of them; growing has two visits"""


def write_studies(given: StudySettings) -> int:
    """What the command does; returns its exit code."""
    for visit in range(1, len(months_of(given.patient)) + 1):
        folder = given.out / f"{given.patient}-visit-{visit}"
        print(f"{folder}: study {write_study(given.patient, visit, folder)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.dicom_study", StudySettings, write_studies, arguments)


if __name__ == "__main__":
    sys.exit(main())

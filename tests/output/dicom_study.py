"""A DICOM study with two lesions and empty slices between them, whose patient's name is not ASCII, and its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import series
from drawn_results import RECORD
from pydicom import Dataset

from lgg_demo.messages import Language
from lgg_demo.output.dicom import DicomChoice, write_dicom
from lgg_demo.output.display import grey
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.reading.studies import Request, read_all

SPACING = (5.0, 1.3, 1.1)
SHAPE = (12, 72, 60)  # not square: rows and columns are not to be mixed up
PATIENT = {
    "SpecificCharacterSet": "ISO_IR 100", "PatientName": "Nuñez^Jörg", "PatientID": " Ø-7 ", "PatientBirthDate": "19610203",
    "PatientSex": "O", "StudyDate": "20250110", "StudyTime": "0900", "StudyID": "12", "AccessionNumber": "ACC9",
    "StudyDescription": "Tête", "ReferringPhysicianName": "Müller^X", "PatientComments": "Allergie déclarée",
    "IssuerOfPatientID": "HÔPITAL",
}  # fmt: skip


@dataclass(frozen=True)
class DicomStudy:
    """A result that was read with its patient. sources: the files of its series; picture: see `display.grey`."""

    result: Result
    sources: tuple[Path, ...]
    picture: np.ndarray

    def report(self, language: Language = "en") -> dict[str, Any]:
        return build_report([self.result], 0.5, RECORD, language=language)

    def write(self, folder: Path, keep: bool = False, language: Language = "en", **choice: Any) -> dict[str, Dataset]:
        """The objects by kind, the first capture; checked to be what was asked for. choice: fields of `DicomChoice`."""
        result = self.result if keep else replace(self.result, patient=None)
        files, failures = write_dicom(result, self.report(language), folder, self.picture, DicomChoice(**choice), language)
        assert [str(f) for f in failures] == []
        names = {"seg": "series-3_seg.dcm", "sr": "series-3_sr.dcm", "pdf": "series-3_report.dcm"}
        names |= {"capture": "series-3_capture/001.dcm"}
        return {kind: pydicom.dcmread(folder / name) for kind, name in names.items() if folder / name in files}

    def with_mask(self, mask: np.ndarray) -> DicomStudy:
        """The same with another mask (S, H, W) bool."""
        return replace(self, result=replace(self.result, probability=np.uint8(mask) * 255))


def two_lesions() -> np.ndarray:
    """(S, H, W) bool: a large lesion, three empty slices, a small one."""
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 20:40, 15:30] = True
    mask[3, 18:44, 20:22] = True
    mask[8:10, 40:50, 33:40] = True
    return mask


def read_study(folder: Path, mask: np.ndarray, tags: Mapping[str, object] = PATIENT) -> DicomStudy:
    """A series on the disk, read with its patient, with a mask (S, H, W) bool for the network's."""
    values = np.zeros(SHAPE, np.float32)
    values[:, 8:64, 8:52] = 300
    values += np.random.default_rng(0).random(SHAPE) * 20
    paths = series(folder, values, SPACING, **tags)
    (case,), errors, _ = read_all(Request((folder,), keep_patient=True))
    assert not errors
    return DicomStudy(result_of(case, np.uint8(mask) * 255), tuple(paths), grey(case.scan))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> DicomStudy:
    return read_study(tmp_path_factory.mktemp("study") / "in", two_lesions())

"""Whose a DICOM file is: the attributes of patient and study, which are read only where a site asks for them."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from lgg_demo.reading.dicom import read_tags
from lgg_demo.reading.volumes import one_sentence

# The modules Patient and General Study (PS3.3 C.7.1.1 and C.7.2.1), but for StudyInstanceUID, which is kept anyhow.
PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "SourcePatientGroupIdentificationSequence", "GroupOfPatientsIdentificationSequence", "PatientBirthDate",
    "PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar",
    "PatientSex", "ReferencedPatientSequence", "PatientBirthTime", "OtherPatientIDs", "OtherPatientIDsSequence",
    "OtherPatientNames", "QualityControlSubject", "EthnicGroup", "EthnicGroupCodeSequence", "PatientComments",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence",
    "BreedRegistrationSequence", "StrainDescription", "StrainNomenclature", "ResponsiblePerson", "ResponsiblePersonRole",
    "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
)  # fmt: skip
STUDY = (
    "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName", "ConsultingPhysicianIdentificationSequence",
    "StudyID", "RequestingServiceCodeSequence", "StudyDescription", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "RequestingService", "ReferencedStudySequence",
    "ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence", "TimezoneOffsetFromUTC",
)  # fmt: skip
UTF_8 = "ISO_IR 192"


def read_patient(path: Path) -> Dataset:
    """The attributes of patient and study of a file as they stand there, and the character set of their text.

    Where a file names no character set, its text is ASCII, or Latin 1 against the standard: it is told in UTF-8 then.
    Raises ReadError.
    """
    kept = Dataset()
    with one_sentence(path.name):
        ds = read_tags(path, ("SpecificCharacterSet", *PATIENT, *STUDY))
        for tag in filter(None, map(tag_for_keyword, (*PATIENT, *STUDY))):
            if tag in ds:
                kept[tag] = ds[tag]
    kept.SpecificCharacterSet = ds.get("SpecificCharacterSet") or UTF_8
    return kept

"""The report's page as Encapsulated PDF, for viewers that show no structured report."""

from __future__ import annotations

import hashlib

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from lgg_demo.messages import say
from lgg_demo.output.dicom_subject import Subject, new_object, reference_to


def encapsulated(subject: Subject, content: bytes, told: bytes) -> Dataset:
    """An Encapsulated PDF. content: the PDF; told: what it says, which its UID is of: no two PDFs of a page are alike."""
    said = hashlib.sha256(told).digest()
    ds = new_object(subject, "pdf", EncapsulatedPDFStorage, said)
    ds.SeriesInstanceUID = subject.uid("pdf", "series", said)
    ds.Modality, ds.ConversionType = "DOC", "SYN"
    ds.SeriesDescription = "Report, not for diagnosis"
    ds.InstanceNumber = 1
    ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation = subject.burned_in
    ds.SourceInstanceSequence = [reference_to(instance) for instance in subject.instances]
    ds.DocumentTitle = subject.text(say("report_title", subject.language))
    name, title = codes.DCM.ImagingMeasurementReport, Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = name.value, name.scheme_designator, name.meaning
    ds.ConceptNameCodeSequence = [title]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(content)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return ds

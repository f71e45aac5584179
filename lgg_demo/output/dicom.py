"""A result as DICOM objects: segmentation, measurements, the report's page, and pictures with the outline burned in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from lgg_demo.messages import Language, Sentence
from lgg_demo.output.dicom_capture import capture_of
from lgg_demo.output.dicom_frames import why_no_segmentation
from lgg_demo.output.dicom_pdf import encapsulated
from lgg_demo.output.dicom_seg import segmentation_of
from lgg_demo.output.dicom_sr import measurements_of
from lgg_demo.output.dicom_subject import ALL_OBJECTS, KINDS, DicomChoice, Kind, Subject
from lgg_demo.output.names import DICOM_KEYS
from lgg_demo.output.pdf import pdf_of
from lgg_demo.output.result import Result
from lgg_demo.output.tracking import Tracks, tracks_of
from lgg_demo.output.writing import Written
from lgg_demo.reading.earlier import OUTPUTS

__all__ = ("ALL_OBJECTS", "KINDS", "DicomChoice", "Kind", "write_dicom", "write_objects")

KEYS = dict(zip(KINDS, DICOM_KEYS, strict=True))  # of a report's entry
CALLED: dict[Kind, str] = {"sr": "DICOM SR", "pdf": "Encapsulated PDF", "capture": "Secondary Capture"}


def write_dicom(
    result: Result,
    report: Mapping[str, Any],
    folder: Path,
    picture: np.ndarray | None = None,
    choice: DicomChoice = ALL_OBJECTS,
    language: Language = "en",
    tracks: Tracks | None = None,
) -> tuple[list[Path], list[Sentence]]:
    """Write the DICOM objects of one result below a folder; returns the files, and what could not be made.

    report: what `build_report` says of this result alone, in this language; files are called what it says. picture: see
    `display.grey`; without one there are no captures. tracks: over visits, else the result's own. Into the patient's study
    where `result.patient` is known. The same result gives the same UIDs again. Nothing is written of what is no DICOM
    series, or where `why_no_segmentation` of its headers says why. Raises OSError where there is no such folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = Written(folder)
    if result.grid is not None and result.instances and why_no_segmentation(result.grid, result.instances) is None:
        own = tracks or tracks_of(result, report["threshold"])
        subject = Subject(result, report, own, choice, language)
        write_objects(beside, subject, dict(report["images"][0]), picture)
    return beside.files, beside.failures


def write_objects(beside: Written, subject: Subject, entry: MutableMapping[str, Any], picture: np.ndarray | None) -> None:
    """Write the objects that are wanted, under the names that an entry of the report gives; it loses the others' names.

    Measurements are of no use without the segmentation that they refer to.
    """
    makers: dict[Kind, Callable[[], Dataset]] = {
        "seg": lambda: segmentation_of(subject),
        "sr": lambda: measurements_of(subject),
        "pdf": lambda: _page(subject, picture),
    }
    for kind, make in makers.items():
        wanted = kind in subject.choice.kinds and (kind != "sr" or KEYS["seg"] in entry)
        if not (wanted and _written(beside, entry[KEYS[kind]], make, kind, entry)):
            entry.pop(KEYS[kind], None)
    drawn = _captured(beside, subject, entry, picture) if "capture" in subject.choice.kinds else []
    entry[KEYS["capture"]] = drawn
    if not drawn:
        del entry[KEYS["capture"]]


def _captured(beside: Written, subject: Subject, entry: Mapping[str, Any], picture: np.ndarray | None) -> list[str]:
    """The names of the captures that are written; the same failure is said once."""
    drawn: list[str] = []
    for s, name in enumerate(entry[KEYS["capture"]] if picture is not None else ()):
        assert picture is not None
        if not _written(beside, name, partial(capture_of, subject, s, picture[s]), "capture", entry):
            break
        drawn.append(name)
    return drawn


def _written(beside: Written, name: str, make: Callable[[], Dataset], kind: Kind, entry: Mapping[str, Any]) -> bool:
    file = {"file": entry["file"]}
    refused = Sentence("dicom_refused", file | {"kind": CALLED[kind]}) if kind in CALLED else Sentence("seg_refused", file)
    return beside.write(name, lambda path: make().save_as(path, enforce_file_format=True), refused)


def _page(subject: Subject, picture: np.ndarray | None) -> Dataset:
    report = subject.report
    content = pdf_of([subject.result], [picture], report, subject.language)
    names = {*OUTPUTS, *DICOM_KEYS}  # the page does not say them
    images = [{key: value for key, value in image.items() if key not in names} for image in report["images"]]
    said = [report[key] for key in ("series", "follow_up", "warnings", "unreadable")]
    told = json.dumps([images, said, picture is None, subject.language], sort_keys=True)
    return encapsulated(subject, content, told.encode())

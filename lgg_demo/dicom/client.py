"""The commands for a hand: fetch a study, store files, and all in one go."""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lgg_demo.command import Checkpoint, Folder, Threshold, threshold_or
from lgg_demo.dicom.archive import Archive, DicomError, FoundStudy, Query, checked_uid
from lgg_demo.dicom.connection import Aet, Connection, Host, Port
from lgg_demo.dicom.dimse import Listening
from lgg_demo.dicom.instance import kind_of
from lgg_demo.dicom.results import Pipeline
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import KINDS, DicomChoice, Kind
from lgg_demo.reading.layout import visible_files
from lgg_demo.scratch import clear_left_behind, scratch

Uid = Annotated[str | None, tyro.conf.arg(metavar="UID")]
PatientId = Annotated[str | None, tyro.conf.arg(metavar="ID")]
Date = Annotated[str | None, tyro.conf.arg(metavar="YYYY-MM-DD")]
Paths = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True, kw_only=True)
class Which(Connection):
    """A study of an archive, and how it comes."""

    study: Uid = None
    """its StudyInstanceUID"""
    patient: PatientId = None
    """the PatientID, to the letter; where several studies fit they are listed, and none is taken"""
    date: Date = None
    """the day of the study, with --patient"""
    aet: Aet = "LGGDEMO"
    """our own AE title"""
    retrieve: Literal["get", "move"] = "get"
    """by DIMSE: C-GET, or C-MOVE to our AE title, which the archive must know with this machine's address and --port"""
    host: Host = "127.0.0.1"
    """address to listen on for C-MOVE; that of the site's network where the archive is another machine"""
    port: Port = 11112
    """port to listen on for C-MOVE"""

    def archive(self) -> Archive:
        return self.open(self.aet, self.retrieve, Listening(self.host, self.port))

    def query(self) -> Query:
        """What is asked for. Raises DicomError and ValueError."""
        if self.study is None and self.patient is None:
            raise DicomError("dicom_no_query")
        study = self.study
        if study is not None:
            try:
                study = checked_uid(study)
            except ValueError:
                raise DicomError("dicom_no_uid", study=self.study) from None
        try:
            date = datetime.date.fromisoformat(self.date) if self.date else None
        except ValueError:
            raise DicomError("dicom_no_date", date=str(self.date)) from None
        return Query(study, self.patient, date)


@dataclass(frozen=True, kw_only=True)
class Fetch(Which):
    """Fetch a study into a folder, a file for each instance.

    By DICOMweb (--web) or DIMSE (--peer). Exit code 0 where every instance has come, else 2 with one line.
    """

    out: Folder
    """where the files go"""

    def run(self) -> int:
        archive = self.archive()
        study = only_study(archive, self.query())
        self.out.mkdir(parents=True, exist_ok=True)
        files = archive.fetch(study, self.out)
        print(f"{len(files)} instances of {study.uid} in {self.out}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Store(Connection):
    """Send DICOM files, or those of folders, to an archive.

    By DICOMweb (--web) or DIMSE (--peer). Exit code 0 where the archive has taken all, else 2 with one line for each that
    it has not.
    """

    paths: Paths
    """files, or folders of which every DICOM file is sent and others are left out"""
    aet: Aet = "LGGDEMO"
    """our own AE title"""

    def run(self) -> int:
        archive = self.open(self.aet)
        return store(archive, files_of(self.paths))


@dataclass(frozen=True, kw_only=True)
class Segment(Which):
    """Fetch a study, segment it, and store the results in it.

    Exit code 0 where every result is stored, else 2 with one line for whatever is not. Nothing stays on this machine.
    """

    keep_patient: bool = True
    """the patient's and the study's attributes in the results, so that they come into the patient's own study; without,
    an archive files them under no patient"""
    dicom: tuple[Kind, ...] = KINDS
    """which results: SEG, SR, encapsulated PDF, secondary capture"""
    threshold: Threshold = None
    """between 0 and 1; the checkpoint's, 0.5 as shipped, without"""
    checkpoint: Checkpoint = None
    """weights to use: a file or a Hub repository; those in weights/ without"""

    def run(self) -> int:
        clear_left_behind([tempfile.gettempdir()])
        archive, query = self.archive(), self.query()
        segmenter = Segmenter.load(self.checkpoint)
        threshold = threshold_or(self.threshold, segmenter.threshold)
        pipeline = Pipeline(segmenter, threshold, DicomChoice(kinds=self.dicom), self.keep_patient, labelled=False)
        study = only_study(archive, query)
        with scratch() as images, scratch() as out:
            archive.fetch(study, images)
            outcome = pipeline(images, out)
            for sentence in outcome.said:
                print(f"segment: {sentence}", file=sys.stderr)
            if not outcome.files:
                raise DicomError("dicom_no_results", study=study.uid)
            code = store(archive, outcome.files)
        return 2 if outcome.lost else code


def only_study(archive: Archive, query: Query) -> FoundStudy:
    """The one study that fits; several are listed on stdout. Raises DicomError where it is not one."""
    found = {study.uid: study for study in sorted(archive.find(query), key=lambda s: bool(s.patient))}
    if not found:
        raise DicomError("dicom_no_study", server=archive.name)
    if len(found) > 1:
        for study in sorted(found.values(), key=lambda s: (s.date, s.uid)):
            print(study)
        raise DicomError("dicom_several_studies", server=archive.name, studies=len(found))
    return next(iter(found.values()))


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The DICOM files of some files and folders. Raises DicomError for a file that is none, or where there is none."""
    files = []
    for path in paths:
        for file in visible_files(path) if path.is_dir() else [path]:
            try:
                kind_of(file)
                files.append(file)
            except ValueError:
                if file == path:
                    raise DicomError("dicom_no_instance", file=str(file)) from None
    if not files:
        raise DicomError("dicom_nothing_to_store")
    return files


def store(archive: Archive, files: Sequence[Path]) -> int:
    """Send files, and say what was refused; the exit code."""
    refused = 0
    for sent in archive.store(files):
        if sent.refused is not None:
            refused += 1
            print(f"store: {sent.refused}", file=sys.stderr)
    print(f"{len(files) - refused} of {len(files)} instances stored in {archive.name}")
    return 2 if refused else 0

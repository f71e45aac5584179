"""What an archive is asked and answers, whichever protocol it speaks."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lgg_demo.case import LggDemoError
from lgg_demo.messages import Sentence

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class DicomError(LggDemoError):
    """What an archive, or whoever set up the way to it, can mend."""

    def __init__(self, key: str, /, **values: object) -> None:
        super().__init__(key)
        self.sentence = Sentence(key, values)

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(frozen=True)
class Query:
    """Which studies are asked for: all that fit whatever is given; no wildcards."""

    study: str | None = None
    patient: str | None = None
    date: datetime.date | None = None

    def fits(self, found: FoundStudy) -> bool:
        """Whether a study is asked for: archives leave out conditions that they do not know, and some know wildcards."""
        date = f"{self.date:%Y%m%d}" if self.date else None
        own = ((self.study, found.uid), (self.patient and self.patient.strip(), found.patient), (date, found.date))
        return all(asked in (None, said) for asked, said in own)


@dataclass(frozen=True)
class FoundStudy:
    """A study that an archive has. date: YYYYMMDD; instances: how many, None where the archive does not say."""

    uid: str
    patient: str = ""
    date: str = ""
    description: str = ""
    modalities: str = ""
    instances: int | None = None

    def __str__(self) -> str:
        count = "?" if self.instances is None else self.instances
        told = f"{self.uid}  {self.date or 'no date'}  {self.modalities or '?'}  {count} instances  {self.description}"
        return "".join(c if c.isprintable() else "?" for c in told).rstrip()  # a terminal obeys what an archive may hold


@dataclass(frozen=True)
class Sent:
    """What became of a file that was sent. refused: why the archive has not taken it; None where it has. passing: it may
    take it later.
    """

    file: Path
    refused: Sentence | None = None
    passing: bool = False


class Archive(Protocol):
    """An archive. name: what its user calls it, without credentials."""

    @property
    def name(self) -> str: ...

    def find(self, query: Query) -> list[FoundStudy]:
        """The studies that fit. Raises DicomError."""

    def fetch(self, study: FoundStudy, folder: Path) -> list[Path]:
        """Write every instance of a study into a folder, as UID.dcm; the files. Raises DicomError, also where some are
        missing, and OSError.
        """

    def store(self, files: Sequence[Path]) -> Iterator[Sent]:
        """Send Part 10 files, one after the other; what became of each, as soon as it is known.

        Raises DicomError where the archive cannot be reached, and OSError where a file cannot be read.
        """


def checked_uid(uid: object) -> str:
    """A UID, which may name a file. Raises ValueError for anything else."""
    text = str(uid or "").strip("\0 ")
    if len(text) > 64 or not _UID.fullmatch(text):
        raise ValueError("no UID")
    return text

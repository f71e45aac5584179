"""What a user says of files instead of their names: a manifest for many cases, flags for one."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Mapping
from pathlib import Path

from lgg_demo.case import LggDemoError, Role, Visit
from lgg_demo.reading.archive import Given

COLUMNS = ("subject", "visit", "date", "role", "path")
ROLES: dict[str, Role] = {
    "flair": "flair",
    "pre": "pre",
    "t1": "pre",
    "post": "post",
    "t1c": "post",
    "mask": "mask",
    "reference": "mask",
    "ignore": "other",
}


class ManifestError(LggDemoError):
    """A manifest that cannot be used; the message names its line and what to do."""


def read_manifest(file: Path) -> list[Given]:
    """The files of a CSV with the columns subject, visit, date, role, path; paths are relative to its folder.

    visit and date (YYYY-MM-DD) may be left out, and keep the visits of one subject apart, which are one patient's. role:
    flair, pre (or t1), post (or t1c), mask (or reference), ignore. A path may be a folder, as of a DICOM series. Raises
    ManifestError.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise ManifestError(f"{file.name}: this manifest cannot be read ({type(error).__name__}); give a CSV.") from None
    if not rows or not {"subject", "role", "path"} <= set(rows[0]):
        raise ManifestError(
            f"{file.name}: a manifest has a line with the columns {', '.join(COLUMNS)} and one for each file."
        )
    found = [_given(file, number, row) for number, row in enumerate(rows, 2)]
    return [given for given in found if given.role != "other"]


def _given(file: Path, number: int, row: Mapping[str, str | None]) -> Given:
    """What a line says of its file. Raises ManifestError."""
    role = ROLES.get((row["role"] or "").strip().lower())
    subject, path = (row["subject"] or "").strip(), (row["path"] or "").strip()
    if role is None:
        raise ManifestError(f"{file.name}, line {number}: the role is none of {', '.join(ROLES)}.")
    if not subject or not path:
        raise ManifestError(f"{file.name}, line {number}: subject or path is missing.")
    name, date = ((row.get(column) or "").strip() for column in ("visit", "date"))
    try:
        visit = Visit(subject, name or None, datetime.date.fromisoformat(date) if date else None)
    except ValueError:
        raise ManifestError(f"{file.name}, line {number}: the date must be written YYYY-MM-DD.") from None
    return Given(file.parent / path, " ".join(filter(None, [subject, name, date])), role, visit)

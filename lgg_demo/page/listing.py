"""What the page lists of a case: whose it is, when it was, and which of its series plays which role."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from lgg_demo.case import Case, Listed, Study
from lgg_demo.page.session import CHOICES, Roles
from lgg_demo.page.uploads import LAID
from lgg_demo.reading.layout import numbered, parse

_SESSION = re.compile(r"(?P<patient>sub-[a-z0-9]+)_ses-(?P<visit>[a-z0-9]+)", re.IGNORECASE)
_DATED = re.compile(r"(?P<patient>.+?)[_-](?P<visit>(?:19|20)\d{6})")


def roles_of(case: Case) -> Roles | None:
    """What may be chosen in a case: None for pictures."""
    return Roles(case.sequences, case.chosen, case.masks) if isinstance(case, Study) else None


def patient_and_visit(subject: str) -> tuple[str, str | None]:
    """Of what a name says of its subject the patient and the visit: BIDS's session, or a date at its end, as YYYY-MM-DD."""
    if bids := _SESSION.fullmatch(subject):
        return bids["patient"], bids["visit"]
    if (dated := _DATED.fullmatch(subject)) and (day := _day(dated["visit"])):
        return dated["patient"], day
    return subject, None


def _day(digits: str) -> str | None:
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError:
        return None


def listed_case(case: Case) -> dict[str, Any]:
    """One entry of the viewer's list of studies.

    patient: as its files are called, None for DICOM, whose series have numbers alone; visit: where the name says one.
    series: each with its name, what it says of itself, how many slices it has, its role ("" for none), and the viewer's
    channel that shows it, if any does. open: whether roles may be chosen.
    """
    if not isinstance(case, Study):
        patient, visit = patient_and_visit(numbered(case.scan.name)[0] or case.scan.name)
        role, channel = ("flair", "flair") if case.scan.grey else ("colour", "flair")
        series = [_entry(case.scan.name, "", len(case.scan), role, channel)]
        if case.referenced is not None:
            series.append(_entry("", "", int(case.referenced.sum()), "mask", None))
        return {"patient": patient, "visit": visit, "series": series, "open": False}
    roles = Roles(case.sequences, case.chosen, case.masks)
    whose = (None, None) if case.scan.instances else patient_and_visit(_subject(case))
    series = [_of_volume(s, roles) for s in (*case.sequences, *case.masks)]
    return {"patient": whose[0], "visit": whose[1], "series": series, "open": roles.open}


def _of_volume(volume: Listed, roles: Roles) -> dict[str, Any]:
    role = roles.role_of(volume.name)
    return _entry(volume.name, volume.description, volume.slices, role, role if role in CHOICES else None)


def _entry(name: str, says: str, slices: int, role: str, channel: str | None) -> dict[str, Any]:
    return {"name": name, "says": says, "slices": slices, "role": role, "channel": channel}


def _subject(case: Study) -> str:
    """As its FLAIR's name says it, else its folder's or its zip's."""
    name = case.scan.name.rpartition("/")[2]
    folder = case.paths[0].parent.name if case.paths else ""
    return parse(name).subject or ("" if folder.startswith(LAID) else folder.removesuffix(".zip")) or name

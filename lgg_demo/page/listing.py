"""What the page lists of a case: whose it is, when it was, and which of its series plays which role."""

from __future__ import annotations

from typing import Any

from lgg_demo.case import Case, Listed, Study, Visit
from lgg_demo.page.session import CHOICES, Roles
from lgg_demo.page.uploads import LAID
from lgg_demo.reading.layout import numbered, parse
from lgg_demo.reading.visits import visit_of_name


def roles_of(case: Case) -> Roles | None:
    """What may be chosen in a case: None for pictures."""
    return Roles(case.sequences, case.chosen, case.masks) if isinstance(case, Study) else None


def listed_case(case: Case) -> dict[str, Any]:
    """One entry of the viewer's list of studies.

    patient: as its files are called, None for DICOM that says no patient; visit: its name or its date, where one is known.
    series: each with its name, what it says of itself, how many slices it has, its role ("" for none), and the viewer's
    channel that shows it, if any does. open: whether roles may be chosen.
    """
    if not isinstance(case, Study):
        said = case.visit or visit_of_name(numbered(case.scan.name)[0] or case.scan.name)
        role, channel = ("flair", "flair") if case.scan.grey else ("colour", "flair")
        series = [_entry(case.scan.name, "", len(case.scan), role, channel)]
        if case.referenced is not None:
            series.append(_entry("", "", int(case.referenced.sum()), "mask", None))
        return _whose(said) | {"series": series, "open": False}
    roles = Roles(case.sequences, case.chosen, case.masks)
    whose = case.visit or (None if case.scan.instances else visit_of_name(_subject(case)))
    series = [_of_volume(s, roles) for s in (*case.sequences, *case.masks)]
    return _whose(whose) | {"series": series, "open": roles.open}


def _whose(visit: Visit | None) -> dict[str, str | None]:
    if visit is None:
        return {"patient": None, "visit": None}
    return {"patient": visit.patient, "visit": visit.name or (visit.date.isoformat() if visit.date else None)}


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

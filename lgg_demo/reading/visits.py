"""Which studies of a request are one patient's visits, and when those were: by what names, a manifest or DICOM say.

Nothing is inferred: two studies are one patient's where a manifest gives them one subject, names in one place give them one
subject and each a session (BIDS) or a date at its end, or their DICOM headers have one patient's number.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

import lgg_demo.reading.layout as layout
from lgg_demo.case import Visit
from lgg_demo.reading.archive import Item
from lgg_demo.reading.plan import Header, PicturePlan, Plan, free_name

_SESSION = re.compile(r"(?P<patient>sub-[a-z0-9]+)_ses-(?P<visit>[a-z0-9]+)", re.IGNORECASE)
_DATED = re.compile(r"(?P<patient>.+?)[_-](?P<date>(?:19|20)\d{6})")


def visit_of_name(subject: str) -> Visit:
    """What a name says of its subject: the patient and BIDS's session, or a date at its end; else the patient alone."""
    if bids := _SESSION.fullmatch(subject):
        return Visit(bids["patient"], bids["visit"])
    if (dated := _DATED.fullmatch(subject)) and (day := _day(dated["date"])):
        return Visit(dated["patient"], date=day)
    return Visit(subject)


def _day(digits: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


def visits_of(plans: Sequence[Plan]) -> list[Visit | None]:
    """The visit of each of all cases of a request; None where nothing says whose others it may belong to.

    Patients of one name in two places are two, and the second is called `NAME (2)`; those of DICOM are `patient 1`,
    `patient 2` …, in the order of the cases.
    """
    names: dict[object, str] = {}
    taken: set[str] = set()
    numbered = 0
    visits: list[Visit | None] = []
    for plan in plans:
        whose, visit = _said_of(plan)
        if visit is None:
            visits.append(None)
            continue
        if whose not in names:
            numbered += not visit.patient
            names[whose] = free_name(visit.patient or f"patient {numbered}", taken)
        visits.append(replace(visit, patient=names[whose]))
    return visits


def _said_of(plan: Plan) -> tuple[object, Visit | None]:
    """What all visits of a case's patient share, and its visit; of DICOM without the patient's name."""
    if isinstance(plan, PicturePlan):
        return _of_pictures(plan.items)
    return _of_volume(plan.flair)


def _of_volume(flair: Header) -> tuple[object, Visit | None]:
    item, found = flair.item, flair.found
    if item.subject is not None:
        whose, visit = _of_manifest(item)
        return whose, visit and replace(visit, date=visit.date or found.date)
    if found.dicom:
        return found.patient, Visit("", date=found.date) if found.patient else None
    return _of_name(item.place, layout.parse(layout.nifti_name(item.place)).subject)


def _of_pictures(items: Sequence[Item]) -> tuple[object, Visit | None]:
    first = items[0]
    if first.subject is not None:
        return _of_manifest(first)
    return _of_name(first.place, layout.parse(layout.numbered(first.place.stem)[0]).subject)


def _of_manifest(item: Item) -> tuple[object, Visit | None]:
    return (layout.folded(item.visit.patient) if item.visit else None), item.visit


def _of_name(place: PurePath, subject: str) -> tuple[object, Visit | None]:
    """By the subject in a file's name, else by that of its folder.

    All visits of a patient lie in one place, of BIDS without the folders of subject, session and kind.
    """
    said = visit_of_name(subject or place.parent.name)
    if said.name is None and said.date is None:
        return None, None
    folder = place.parent if subject else place.parent.parent
    while folder.name.lower() in (*layout.DATATYPES, f"ses-{said.name}".lower(), said.patient.lower()):
        folder = folder.parent
    return (folder, layout.folded(said.patient)), said

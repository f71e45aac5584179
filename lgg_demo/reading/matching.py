"""Whose a reference is: its own subject's, its DICOM study's, that of its grid, or of the only scan; else nobody's.

A name that tells another subject is believed, but of the only reference that the user gave as one, which may be called
anything. Among the scans one without a subject is of its folder and what is below; with a scan missing nobody is the only
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from lgg_demo.case import ReadError
from lgg_demo.grid import Grid
from lgg_demo.reading import layout
from lgg_demo.reading.archive import Item
from lgg_demo.reading.plan import Header
from lgg_demo.reading.volumes import same_grid


@dataclass(frozen=True)
class Target:
    """What a reference can belong to: a file of pictures, or a volume. case: its place among the cases.

    grid, study: of a volume; the UID of a DICOM study, else empty.
    """

    case: int
    place: PurePath
    key: layout.Key
    grid: Grid | None = None
    study: str = ""


def target_of(case: int, place: PurePath, told: int = 1, grid: Grid | None = None, study: str = "") -> Target:
    """The target of a file at a place. told: see `layout.key_of`."""
    key = (layout.key_of if grid is not None else layout.key_of_picture)(place, told)
    return Target(case, place, key, grid, study)


Matched = list[tuple[Target, Item]]
Way = Callable[[Target], bool]


def match_pictures(targets: Sequence[Target], references: Sequence[Item], given: bool) -> tuple[Matched, list[ReadError]]:
    """The file that each picture of a reference was drawn on, and an error for each that is nobody's."""
    matched: Matched = []
    errors: list[ReadError] = []
    possible = [t for t in targets if t.grid is None] or targets
    only = possible[0] if len(possible) == len(references) == 1 else None
    for reference in references:
        own = layout.key_of_picture(reference.place, reference.told)
        if reference.subject is not None:
            own = layout.Key(PurePath(), layout.folded(reference.subject), own.number)
        ways = _ways_of_picture(reference, own, given, only)
        target = _first_alone(targets, ways, own.folder)
        if target is None:
            errors.append(ReadError(reference.place.name, "mask_unmatched"))
        else:
            matched.append((target, reference))
    return matched, errors


def _ways_of_picture(reference: Item, own: layout.Key, given: bool, only: Target | None) -> list[Way]:
    """How the file may be found that a picture was drawn on, the surest first. only: the one file, of one reference."""
    stem = layout.folded(reference.place.stem)

    def called(target: Target) -> str:
        return layout.folded(target.place.stem)

    ways: list[Way] = [
        lambda t: t.key.folder == own.folder and stem.startswith(called(t)) and t.key == own,
        lambda t: t.key == own,
    ]
    if given:
        ways.append(lambda t: called(t) == stem)
    if own.subject:
        ways.append(lambda t: (t.key.subject, t.key.number) == (own.subject, own.number))
    if given:
        ways.append(lambda t: own.number is not None and t.key.number == own.number)
        ways.append(lambda t: t is only)
    return ways


def match_volumes(
    targets: Sequence[Target], references: Sequence[Header], given: bool, incomplete: bool
) -> tuple[list[tuple[Target, Header]], list[ReadError]]:
    """The volume that each volume of a reference was drawn on, and an error for each that is nobody's.

    incomplete: a scan may be missing.
    """
    volumes = [t for t in targets if t.grid is not None]
    matched: list[tuple[Target, Header]] = []
    errors: list[ReadError] = []
    for header in references:
        target = _of_study(volumes, header) if header.found.dicom else _of_name(volumes, header)
        foreign = bool(header.found.dicom and header.found.study and any(t.study for t in volumes))
        if target is None and not foreign and (given or not incomplete):
            target = _of_grid(volumes, header, given, alone=given and len(references) == 1)
        if target is None:
            key = "seg_of_other_study" if foreign and volumes else "mask_unmatched"
            errors.append(ReadError(header.item.place.name, key))
        else:
            matched.append((target, header))
    return matched, errors


def _of_study(volumes: Sequence[Target], header: Header) -> Target | None:
    """The one case of a DICOM segmentation's study."""
    return _first_alone(volumes, [lambda t: bool(t.study) and t.study == header.found.study], header.item.place.parent)


def _of_name(volumes: Sequence[Target], header: Header) -> Target | None:
    """The one volume of a NIfTI's own subject: in its folder, else anywhere."""
    own = header.key
    if own is None:
        return None
    name = layout.folded(layout.nifti_name(header.item.place))
    ways: list[Way] = [
        lambda t: not t.study and t.key == own,
        lambda t: not t.study and layout.folded(layout.nifti_name(t.place)) == name,
        lambda t: not t.study and t.key.owner == own.owner,
    ]
    return _first_alone(volumes, ways, own.folder)


def _of_grid(volumes: Sequence[Target], header: Header, given: bool, alone: bool) -> Target | None:
    """The one volume of the same grid, or the only one, unless name or, not given, folder tell of another subject."""

    def may(target: Target) -> bool:
        own = header.key
        if alone or own is None:
            return True
        if own.subject and target.key.subject and not target.study:
            return False
        if given or own.folder == target.key.folder:
            return True
        return not own.subject and target.key.folder.is_relative_to(own.folder)

    def alike(target: Target) -> bool:
        return target.grid is not None and same_grid(target.grid, header.found.grid)

    def at_home(target: Target) -> bool:
        own = header.key
        return own is not None and not own.subject and target.key.folder.is_relative_to(own.folder)

    ways: list[Way] = [
        lambda t: alike(t) and (may(t) or bool(t.study)),
        lambda t: at_home(t) and not given,
        lambda t: may(t) and len(volumes) == 1,
    ]
    return _first_alone(volumes, ways, header.item.place.parent)


def _first_alone(targets: Sequence[Target], ways: Sequence[Way], folder: PurePath) -> Target | None:
    """The target of the first way that leads to one alone; of several with one name, that in a folder called alike."""
    for way in ways:
        found = [t for t in targets if way(t)]
        if len(found) > 1:
            found = [t for t in found if t.key.folder.name == folder.name] or found
        if len(found) == 1:
            return found[0]
    return None

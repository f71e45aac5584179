"""Whose a reference is: its own subject's, its DICOM study's, that of its grid, or of the only scan; else nobody's.

A name that tells another subject is believed, but of the only reference that the user gave as one, which may be called
anything. Among the scans one without a subject is of its folder and what is below; with a scan missing nobody is the only
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import lgg_demo.reading.layout as layout
from lgg_demo.case import ReadError
from lgg_demo.grid import Grid
from lgg_demo.reading.archive import Item
from lgg_demo.reading.plan import Header
from lgg_demo.reading.volumes import same_grid


@dataclass(frozen=True)
class Target:
    """What a reference can belong to: a file of pictures, or a volume. case: its place among the cases.

    grid: of a volume. study: the UID of a DICOM study, else empty; uids: those of its series and files.
    """

    case: int
    place: PurePath
    key: layout.Key
    grid: Grid | None = None
    study: str = ""
    uids: frozenset[str] = frozenset()


@dataclass
class Matched:
    """References by the case that they are of, those of pictures by their file too; an error for each that is nobody's."""

    pictures: dict[int, dict[Path, list[Item]]] = field(default_factory=dict)
    volumes: dict[int, list[Header]] = field(default_factory=dict)
    errors: list[ReadError] = field(default_factory=list)

    @property
    def cases(self) -> set[int]:
        return {*self.pictures, *self.volumes}

    def add(self, target: Target | None, key: str, reference: Item | Header) -> None:
        """Note whose a reference is, or, under a key, that it is nobody's."""
        if target is None:
            item = reference if isinstance(reference, Item) else reference.item
            self.errors.append(ReadError(item.place.name, key))
        elif isinstance(reference, Item):
            self.pictures.setdefault(target.case, {}).setdefault(Path(target.place), []).append(reference)
        else:
            self.volumes.setdefault(target.case, []).append(reference)


Way = Callable[[Target], bool]


def match(
    targets: Sequence[Target], volumes: Sequence[Header], pictures: Sequence[Item], given: bool, incomplete: bool = False
) -> Matched:
    """Each reference to the file or volume that it was drawn on.

    given: by the user as references, so that the only one may be called anything. incomplete: a scan may be missing.
    """
    matched = Matched()
    drawn_on = [t for t in targets if t.grid is None] or targets
    only = drawn_on[0] if len(drawn_on) == len(pictures) == 1 else None
    for item in pictures:
        matched.add(_of_picture(targets, item, given, only), "mask_unmatched", item)
    scans = [t for t in targets if t.grid is not None]
    for header in volumes:
        alone = given and len(volumes) == 1
        matched.add(*_of_volume(scans, header, given, alone, given or not incomplete), header)
    return matched


def _of_picture(targets: Sequence[Target], reference: Item, given: bool, only: Target | None) -> Target | None:
    """The file that a picture was drawn on, by the surest way that leads to one. only: the one file, of one reference."""
    own = layout.key_of_picture(reference.place, reference.told)
    if reference.subject is not None:
        own = layout.Key(PurePath(), layout.folded(reference.subject), own.number)
    stem = layout.folded(reference.place.stem)

    def called(target: Target) -> str:
        return layout.folded(target.place.stem)

    ways: list[tuple[bool, Way]] = [
        (True, lambda t: t.key == own and stem.startswith(called(t))),
        (True, lambda t: t.key == own),
        (given, lambda t: called(t) == stem),
        (bool(own.subject), lambda t: (t.key.subject, t.key.number) == (own.subject, own.number)),
        (reference.subject is not None, lambda t: t.key.subject == own.subject),
        (given and own.number is not None, lambda t: t.key.number == own.number),
        (given, lambda t: t is only),
    ]
    return _first_alone(targets, [way for open_, way in ways if open_], own.folder)


def _of_volume(
    scans: Sequence[Target], header: Header, given: bool, alone: bool, by_grid: bool
) -> tuple[Target | None, str]:
    """The volume that a volume was drawn on, and what to say where there is none. by_grid: whether a grid tells."""
    if header.found.dicom and header.found.study and any(t.study for t in scans):
        return _of_study(scans, header)
    ways = [*_ways_of_name(header), *(_ways_of_grid(scans, header, given, alone) if by_grid else [])]
    return _first_alone(scans, ways, header.key.folder if header.key else header.item.place.parent), "mask_unmatched"


def _of_study(volumes: Sequence[Target], header: Header) -> tuple[Target | None, str]:
    """The series that a segmentation was drawn on or, of the same study, one of the same grid; what to say of none."""
    found = header.found
    own = [t for t in volumes if t.study == found.study]
    ways: list[Way] = [
        lambda t: bool(t.uids & found.refers_to),
        lambda t: t in own and not (t.uids and found.refers_to),
        lambda t: t in own and t.grid is not None and t.grid.holds(found.grid),
    ]
    return _first_alone(volumes, ways, header.item.place.parent), "seg_of_other_series" if own else "seg_of_other_study"


def _ways_of_name(header: Header) -> list[Way]:
    """How the one volume of a NIfTI's own subject may be found: in its folder, else anywhere."""
    own = header.key
    if own is None:
        return []
    name = layout.folded(layout.nifti_name(header.item.place))
    return [
        lambda t: not t.study and t.key == own,
        lambda t: not t.study and layout.folded(layout.nifti_name(t.place)) == name,
        lambda t: not t.study and t.key.owner == own.owner,
    ]


def _ways_of_grid(volumes: Sequence[Target], header: Header, given: bool, alone: bool) -> list[Way]:
    """How the one volume of the same grid, or the only one, may be found, unless name or, not given, folder tell of
    another subject.
    """
    own = header.key

    def below(target: Target) -> bool:
        return own is not None and not own.subject and target.key.folder.is_relative_to(own.folder)

    def may(target: Target) -> bool:
        if alone or own is None:
            return True
        if own.subject and target.key.subject and not target.study:
            return False
        return given or own.folder == target.key.folder or below(target)

    def alike(target: Target) -> bool:
        return target.grid is not None and same_grid(target.grid, header.found.grid)

    return [
        lambda t: alike(t) and (may(t) or bool(t.study)),
        lambda t: below(t) and not given,
        lambda t: may(t) and len(volumes) == 1,
    ]


def _first_alone(targets: Sequence[Target], ways: Sequence[Way], folder: PurePath) -> Target | None:
    """The target of the first way that leads to one alone; of several with one name, that in a folder called alike."""
    for way in ways:
        found = [t for t in targets if way(t)]
        if len(found) > 1:
            found = [t for t in found if t.key.folder.name == folder.name] or found
        if len(found) == 1:
            return found[0]
    return None

"""From a walk to what will be read: which files are one case, which volume plays which role, whose a reference is.

Only headers are read here. Nothing is merged by inference: a case is one series of pictures, one DICOM study, or the
volumes of one subject in one folder; a reference goes to its own subject, to its DICOM study, to its grid, or to the only
scan there is, else to nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Literal

import lgg_demo.reading.layout as layout
from lgg_demo.case import Found, Notice, ReadError, Role
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import Given, Item, Walk
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.earlier import read_json
from lgg_demo.reading.limits import BESIDE, BESIDE_SERIES, IMAGE_SUFFIXES, OTHER_VOLUMES, TYPES
from lgg_demo.reading.names import describe, role_of
from lgg_demo.reading.nifti import find_nifti, is_nifti
from lgg_demo.reading.pictures import is_picture
from lgg_demo.reading.series import find_dicom
from lgg_demo.reading.watch import PICTURE_SECONDS, opening


@dataclass(frozen=True)
class Header:
    """A volume that was found, with whose it is. key: None for DICOM, which has its study's UID."""

    found: Found
    item: Item
    role: Role | None
    key: layout.Key | None = None


@dataclass(frozen=True)
class PicturePlan:
    """A series of pictures to read, scaled together."""

    items: tuple[Item, ...]

    @property
    def place(self) -> PurePath:
        return self.items[0].place


@dataclass(frozen=True)
class StudyPlan:
    """Volumes to read as one case: `picked` by role, of all that belong to it.

    reference: the name of the one that the user has chosen as such, empty for none; None where nobody has chosen.
    register: whether sequences that have moved are registered to FLAIR.
    """

    volumes: tuple[Header, ...]
    picked: Mapping[Role, Header]
    warnings: tuple[Sentence, ...] = ()
    reference: str | None = None
    register: bool = False

    @property
    def flair(self) -> Header:
        return self.picked["flair"]

    @property
    def place(self) -> PurePath:
        return self.flair.item.place


Plan = PicturePlan | StudyPlan
REGISTER = "register"  # beside the roles of a choice
_Kind = Literal["picture", "nifti", "dicom", "unfit", "beside"]
_ROLES: tuple[Role, ...] = ("flair", "pre", "post")
# What is said of a volume that plays FLAIR, by the role that its name tells.
_CALLED: dict[Role | None, str] = {
    "pre": "flair_called_pre",
    "post": "flair_called_post",
    "other": "flair_called_other",
    "mask": "flair_called_mask",
}


@dataclass
class Sorted(Walk):
    """The items of a walk by kind, headers of volumes read."""

    pictures: list[Item] = field(default_factory=list)
    volumes: list[Header] = field(default_factory=list)


def sort_items(walk: Walk, named: layout.Layout = "auto") -> Sorted:
    """Each item to its kind. What is no scan is an error where it was named itself, else lies beside and is left out.

    named: the layout that the user says names have; a file of another name is left out, and said to be.
    """
    found = Sorted(**vars(walk))
    nifti: list[tuple[Found, Item]] = []
    by_kind: dict[_Kind, list[Item]] = {"picture": found.pictures, "dicom": [], "unfit": [], "beside": []}
    for item in walk.items:
        opening(item.place, PICTURE_SECONDS)
        try:
            kind = _kind(item, named)
            if kind == "nifti":
                nifti += [(one, item) for one in find_nifti(item.path)]
            else:
                by_kind[kind].append(item)
        except (ReadError, OSError, ValueError) as error:
            found.errors.append(error if isinstance(error, ReadError) else ReadError(item.place.name, "not_found"))
            found.answered.add(item.root)
            found.incomplete |= item.suffix not in BESIDE
    found.answered |= {i.root for i in (*found.pictures, *(i for _, i in nifti))}
    found.volumes = _headers(nifti, walk.items)
    _add_dicom(found, {item.path: item for item in by_kind["dicom"]})
    _leave_out_logos(found, by_kind["dicom"])
    _leave_out_unfit(found, by_kind["unfit"], named)
    return found


def _kind(item: Item, named: layout.Layout) -> _Kind:
    """What a file is, by its content. Raises ReadError for what is nothing and should be something, and OSError."""
    kind: _Kind = "beside"
    if item.suffix in IMAGE_SUFFIXES:
        kind = "picture"
    elif not item.path.is_file():
        raise ReadError(item.place.name, "not_found")
    elif item.path.stat().st_size == 0:
        if item.named or item.place.name.lower().endswith((".nii", ".nii.gz", ".dcm")):
            raise ReadError(item.place.name, "empty_file")
    elif is_nifti(item.path):
        kind = "nifti"
    elif is_dicom(item.path):
        kind = "dicom"
    elif item.suffix not in BESIDE and is_picture(item.path):
        kind = "picture"
    elif item.named or item.suffix in OTHER_VOLUMES:
        raise ReadError(item.place.name, "unknown_type", types=", ".join(TYPES))
    return kind if kind == "beside" or item.role is not None or layout.fits(item.place, named) else "unfit"


def _leave_out_unfit(found: Sorted, unfit: Sequence[Item], named: layout.Layout) -> None:
    """Say which files have no name of the layout: of those named themselves each, of others one with their number."""
    if not unfit:
        return
    form, _ = layout.FORMS[named]
    for item in unfit:
        found.leave(item.root)
        if item.named:
            found.errors.append(ReadError(item.place.name, "layout_differs", layout=named, form=form))
    if beside := [i for i in unfit if not i.named]:
        found.notices.append(Notice(beside[0].place.name, "layout_beside", files=len(beside), layout=named, form=form))


# DICOM


def _add_dicom(found: Sorted, dicom: Mapping[Path, Item]) -> None:
    """The volumes of DICOM files. Beside a series that can be used, what is no MR image is left out with a notice."""
    volumes, errors = find_dicom(dicom, lambda path, seconds: opening(dicom[path].place, seconds))
    found.volumes += [Header(v, dicom[v.paths[0]], dicom[v.paths[0]].role or v.role) for v in volumes]
    if volumes or errors:
        found.answered |= {item.root for item in dicom.values()}
    named = {item.place.name for item in dicom.values() if item.named}
    for error in errors:
        beside = error.sentence.key in (*BESIDE_SERIES, "dicom_modality")
        if volumes and beside and error.file not in named:
            found.notices.append(Notice(error.file, error.sentence.key, **error.sentence.values))
        else:
            found.errors.append(error)
            found.incomplete |= not beside and not volumes


def _leave_out_logos(found: Sorted, dicom: Iterable[Item]) -> None:
    """Pictures of a folder or zip that holds DICOM too are a viewer's, with a notice: neither references and what has one
    nor, but on a disc, which has a DICOMDIR, numbered series.
    """
    beside: dict[PurePath, set[str]] = {}
    for item in dicom:
        if not item.named:
            beside.setdefault(item.root, set()).add(item.place.name.upper())
    for root, names in beside.items():
        pictures = [i for i in found.pictures if i.root == root]
        kept = _scans_among(pictures, disc="DICOMDIR" in names)
        if logos := [i for i in pictures if i not in kept]:
            found.pictures = [i for i in found.pictures if i.root != root or i in kept]
            found.notices.append(Notice(logos[0].place.name, "pictures_beside", pictures=len(logos)))


def _scans_among(pictures: Sequence[Item], disc: bool) -> set[Item]:
    """Of pictures beside DICOM those that are scans and references."""
    series, references = sort_pictures(pictures)
    keys = {layout.key_of_picture(i.place, i.told) for i in references}
    referenced = {i for group in series for i in group if layout.key_of_picture(i.place, i.told) in keys}
    counted = {i for group in series for i in group if len(group) > 1 and not disc}
    return referenced | counted | set(references)


# NIfTI


def _headers(nifti: Sequence[tuple[Found, Item]], items: Sequence[Item]) -> list[Header]:
    """NIfTI volumes with subject and role, by the grammar of names; channels by nnU-Net's dataset.json."""
    datasets = {item.place: item.path for item in items if item.place.name == "dataset.json"}
    channels = lru_cache(None)(lambda folder: _channel_names(folder, datasets))
    headers = [_header(found, item, channels(item.place.parent)) for found, item in nifti]
    scans = {h.key for h in headers if h.role != "mask" and not layout.in_reference_folder(h.item.place, h.item.told)}
    return [_by_folder(header, scans) for header in headers]


def _header(found: Found, item: Item, channels: Mapping[str, object]) -> Header:
    """One volume by its name, or by what was said of it. channels: see `_channel_names`."""
    name = layout.nifti_name(item.place)
    if (alias := layout.nifti_name(item.path)) != name:
        found = replace(found, name=found.name.replace(alias, name, 1), description=describe(name))
    key, role = layout.key_of(item.place, item.told), layout.parse(name).role
    if item.subject is not None:
        key, role = layout.Key(PurePath(), layout.folded(item.subject)), item.role
    elif channel := layout.channel_of(name):
        whose = layout.folded(channel[0])
        if channels or key.subject == whose:
            key, role = replace(key, subject=whose), role_of(str(channels.get(str(channel[1]), "")))
    if found.number and role != "mask":  # a further volume of a 4-D file: of no role but a reference's
        role = "other"
    return Header(found, item, role, key)


def _by_folder(header: Header, scans: Collection[layout.Key | None]) -> Header:
    """The same as a reference where its folder says so."""
    item = header.item
    if item.role is not None or header.key is None or not layout.in_reference_folder(item.place, item.told):
        return header
    whole = replace(header.key, subject=layout.folded(layout.nifti_name(item.place)))
    if whole in scans:  # as nnU-Net calls labels
        return replace(header, role="mask", key=whole)
    sure = header.role is None and not layout.of_initials(item.place)
    return replace(header, role="mask") if sure or header.key in scans else header


def _channel_names(folder: PurePath, datasets: Mapping[PurePath, Path]) -> dict[str, object]:
    """What nnU-Net's dataset.json in a folder, or in the one above it, calls its channels by number; else nothing."""
    for place in (folder, folder.parent):
        dataset = read_json(datasets.get(place / "dataset.json", Path(place / "dataset.json")))
        if isinstance(dataset, dict):
            names = dataset.get("channel_names", dataset.get("modality"))
            return names if isinstance(names, dict) else {}
    return {}


# What was given


def nothing_in(inputs: Iterable[Path | Given], found: Sorted) -> list[ReadError]:
    """An error for each input in which there is nothing to read, nor anything that was told."""
    known = found.answered | (found.skipped if found.answered else set())
    paths = [given if isinstance(given, Path) else given.path for given in inputs]
    return [
        ReadError(path.name, "no_images" if path.is_dir() else "nothing_inside", types=", ".join(TYPES))
        for path in paths
        if path.absolute() not in known
    ]


def given_references(found: Sorted, scans: Collection[PurePath]) -> tuple[list[Header], list[Item]]:
    """Of what was given as references the volumes and pictures that are: neither a scan itself nor, in a folder or zip,
    what is another sequence by name beside one that is not.
    """
    roles = {h.item: h.role for h in found.volumes}
    roles |= {i: i.role or layout.parse(i.place.stem).role for i in found.pictures}
    some = any(role in (None, "mask") for role in roles.values())
    kept = {i for i, role in roles.items() if i.place not in scans and (i.named or not some or role in (None, "mask"))}
    return [h for h in found.volumes if h.item in kept], [i for i in found.pictures if i in kept]


# Pictures


def sort_pictures(pictures: Iterable[Item]) -> tuple[list[list[Item]], list[Item]]:
    """Series of pictures in slice order, and those that are references.

    Files of one folder and type that differ in nothing but the number that counts them are one series, in the order of
    the numbers; any other file is a series of its own. A reference has a suffix that says so, or lies in a folder of
    references beside one of images.
    """
    items = list(pictures)
    references = _references_among(items)
    apart = set(references)
    groups: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        if item not in apart:
            shared = layout.counted(item.place.stem)
            own = (item.suffix, shared) if shared else (item.place.name,)
            groups.setdefault((item.place.parent, item.subject, *own), []).append(item)
    return [sorted(g, key=lambda i: layout.natural_key(i.place.name)) for g in groups.values()], references


def _references_among(items: Sequence[Item]) -> list[Item]:
    keys = {i: layout.key_of_picture(i.place, i.told) for i in items}
    inside = {i for i in items if i.role is None and layout.in_reference_folder(i.place, i.told)}
    images = {keys[i] for i in items if i not in inside}
    sure = {i for i in inside if keys[i] in images or not layout.of_initials(i.place)}
    return [i for i in items if i in sure or _says_reference(i)]


def _says_reference(item: Item) -> bool:
    if item.role is not None:
        return item.role == "mask"
    stem, _ = layout.numbered(item.place.stem)
    return "mask" in (layout.parse(item.place.stem).role, layout.parse(stem).role)


# Cases


def plan_cases(
    found: Sorted,
    choose: Mapping[str, str],
    named: layout.Layout = "auto",
    choices: Sequence[Mapping[str, str]] = (),
) -> tuple[list[Plan], list[Header], list[Item]]:
    """What will be read, and the references among it, volumes and pictures. Studies without FLAIR become errors.

    choose: role (flair, pre, post, mask) to the name of a volume, where what names say is to be corrected; an empty name
    leaves the role without one. named: see `sort_items`. choices: as choose, each for the one study whose volumes it names;
    with a mask only that volume is the reference of the study, and with REGISTER, to the name of FLAIR, the others are
    registered to that.
    """
    series, picture_references = sort_pictures(found.pictures)
    plans: list[Plan] = [PicturePlan(tuple(items)) for items in series]
    groups, references = _by_case(found.volumes, [choose, *choices])
    others: list[Header] = []
    for group in groups:
        try:
            own = _choice(group, choices) or {}
            plan = _pick(group, own or choose, named)
            plans.append(replace(plan, reference=own.get("mask"), register=bool(own.get(REGISTER))))
        except ReadError as error:
            if all(h.role == "other" and not h.item.named for h in group):
                others += group
            else:
                found.errors.append(error)
                found.incomplete = True
    if others:
        _leave_out(others, bool(plans), found)
    return plans, references, picture_references


def _leave_out(others: Sequence[Header], beside: bool, found: Sorted) -> None:
    """Say of volumes that are no sequence of ours that they are not read: a notice beside cases, else an error."""
    name = others[0].found.name
    if beside:
        found.notices.append(Notice(name, "others_beside", files=len(others)))
    else:
        found.errors.append(ReadError(name, "flair_missing"))


def _choice(group: Sequence[Header], choices: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The choice that names a volume of this study, if any does."""
    names = {h.found.name for h in group}
    return next((choice for choice in choices if names & set(choice.values())), None)


def _by_case(
    volumes: Sequence[Header], chosen_roles: Sequence[Mapping[str, str]]
) -> tuple[list[list[Header]], list[Header]]:
    """The volumes of each case, and those that are references."""
    groups: dict[object, list[Header]] = {}
    references: list[Header] = []
    taken: set[str] = set()
    for header in (_renamed(h, taken) for h in volumes):
        chosen = {role for choice in chosen_roles for role, name in choice.items() if name == header.found.name}
        if "mask" in chosen or (header.role == "mask" and not chosen):
            references.append(header)
        else:
            groups.setdefault(_group(header), []).append(header)
    return list(groups.values()), references


def _group(header: Header) -> object:
    """What the volumes of one case share."""
    if header.item.subject is not None:
        return layout.folded(header.item.subject)
    if header.key is None:
        return header.found.study or header.item.place.parent
    return header.key, layout.folder_of_kind(header.item.place, header.item.told)  # imagesTr's are not imagesTs'


def _renamed(header: Header, taken: set[str]) -> Header:
    """A volume named like none before it, below the folder that it was given in."""
    if header.found.dicom:
        return header
    shown = PurePath(header.item.shown).parent / header.found.name
    return replace(header, found=replace(header.found, name=free_name(shown.as_posix(), taken)))


def free_name(name: str, taken: set[str]) -> str:
    """The name, or where it is taken already `NAME (2)`, before an ending; it is taken from then on."""
    ending = next((s for s in TYPES if name.lower().endswith(s)), "")
    free, n = name, 1
    while free.casefold() in taken:
        n += 1
        free = f"{name[: len(name) - len(ending)]} ({n}){name[len(name) - len(ending) :]}"
    taken.add(free.casefold())
    return free


def _pick(group: Sequence[Header], choose: Mapping[str, str], named: layout.Layout) -> StudyPlan:
    """The volume of each role. Raises ReadError where none may be FLAIR."""
    by_name = {h.found.name: h for h in group}
    if not set(choose.values()) & set(by_name):  # they are of another study
        choose = {}
    picked = {role: by_name[choose[role]] for role in _ROLES if choose.get(role) in by_name}
    left = sorted((h for h in group if h not in picked.values()), key=_preference)
    best = {h.role: h for h in reversed(left)}
    if named == "auto" and None in best:
        best.setdefault("flair", best[None])
    picked = {role: best[role] for role in _ROLES if role in best and choose.get(role) != ""} | picked
    if "flair" not in picked:
        raise ReadError(group[0].found.name, "flair_missing")
    return StudyPlan(tuple(group), picked, (*_doubts(left, picked["flair"]), *_misplaced(picked)))


def _misplaced(picked: Mapping[Role, Header]) -> Iterator[Sentence]:
    """That a volume plays FLAIR though it says that it is another sequence, and that one volume plays two roles."""
    flair = picked["flair"]
    if flair.role in _CALLED:
        yield Sentence(_CALLED[flair.role], {"file": flair.found.name})
    names = [header.found.name for header in picked.values()]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield Sentence("sequence_twice", {"file": name})


def _doubts(left: Sequence[Header], flair: Header) -> tuple[Sentence, ...]:
    """What to say of the volume that is taken for FLAIR, of those that the user has not chosen."""
    if flair not in left:
        return ()
    count = sum(h.role == "flair" for h in left)
    if flair.role is None:
        return (Sentence("role_unknown" if len(left) == 1 else "no_flair", {"file": flair.found.name}),)
    return (Sentence("flair_several", {"file": flair.found.name, "count": count}),) if count > 1 else ()


def _preference(header: Header) -> tuple[bool, int]:
    """Sort key of the better volume: axial before any other plane, then more slices."""
    grid = header.found.grid
    return grid.slice_direction in ("coronal", "sagittal"), -min(grid.shape)

"""Studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from lgg_demo.case import Case, Found, Listed, R, Role, Scan, Study, UnreadableScan
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import unpacked
from lgg_demo.reading.checks import inspect
from lgg_demo.reading.limits import CHANNELS, MOST_VALUES, TYPES
from lgg_demo.reading.names import (
    CHANNEL,
    IMAGES_FOLDER,
    LABELS_FOLDER,
    VISIT,
    for_masks,
    literal,
    masks_among,
    nifti_name,
    of_anatomy,
    patient_of,
    role_of,
    sort_into_series,
    subject_of,
    visit_of,
)
from lgg_demo.reading.pictures import held_values, read_pages, stack_pages
from lgg_demo.reading.references import attach_volumes, with_masks
from lgg_demo.reading.volumes import resample, with_role
from lgg_demo.report import read_json


def read_cases(images: Iterable[Path]) -> tuple[list[Case], list[UnreadableScan]]:
    """Read all that can be read: a case for each series of one size, and one error for each file that cannot be used.

    A mask among the images becomes the reference of its own, see `masks_among`.
    """
    images = list(images)
    series, _ = sort_into_series(images)
    cases: list[Case] = []
    problems: list[UnreadableScan] = []
    values_read = 0
    for files in series:
        by_size: dict[tuple[int, ...], list[tuple[Path, np.ndarray]]] = {}
        for path in files:
            try:
                if values_read > MOST_VALUES:
                    raise UnreadableScan(path.name, "too_much_at_once")
                values = read_pages(path)
            except UnreadableScan as error:
                problems.append(error)
                continue
            values_read += held_values(*values.shape[:3])
            by_size.setdefault(values.shape[1:3], []).append((path, values))
        for members in by_size.values():
            try:
                cases.append(Case(stack_pages(members), tuple(path for path, _ in members)))
            except UnreadableScan as error:
                problems.append(error)
    cases, mask_problems = with_masks(cases, masks_among(images))
    return cases, problems + mask_problems


def read_study(paths: Iterable[Path], choose: Mapping[str, str] | None = None) -> tuple[list[Case], list[UnreadableScan]]:
    """Read all that can be read: a case for each series of pictures and each study of volumes, an error for the rest.

    Folders and zips are searched. choose: role (pre, flair, post, mask) to the name of a volume, where the choice by
    names and descriptions is to be corrected; an empty name leaves a role without one.
    """
    return _each_study(paths, choose, lambda case: case, all_held=True)


def outline_studies(
    paths: Iterable[Path], choose: Mapping[str, str] | None, outline: Callable[[Case], R], sifted: bool = False
) -> tuple[list[R], list[UnreadableScan]]:
    """What `outline` makes of each case of `read_study`, one volume after the other, so that they need not fit together.

    sifted: what `earlier_outputs` are is left out of the paths already.
    """
    return _each_study(paths, choose, outline, all_held=False, sifted=sifted)


def _each_study(
    paths: Iterable[Path],
    choose: Mapping[str, str] | None,
    use: Callable[[Case], R],
    all_held: bool,
    sifted: bool = False,
) -> tuple[list[R], list[UnreadableScan]]:
    """What `use` makes of every case, and the problems. all_held: it keeps the pixels, so all must fit together.

    sifted: see `outline_studies`.
    """

    taken: set[str] = set()

    def used(case: Case) -> R:
        case = _told_apart(case, taken)
        return use(replace(case, warnings=(*case.warnings, *inspect(case.scan))))

    with unpacked(paths, sifted=sifted) as files:
        cases, problems = read_cases(files.pictures)
        problems = files.problems + problems
        left = MOST_VALUES - (sum(c.scan.pixels.size for c in cases) if all_held else 0)
        made = [used(cases.pop(0)) for _ in range(len(cases))]
        lost = {patient_of(path) for path in files.lost}
        masks: list[Found] = []
        for group in _studies(files.volumes, lost):
            try:
                case, held, own = _read_group(group, _meant_for(group, choose or {}), left)
            except UnreadableScan as error:
                problems.append(error)
                lost |= {patient_of(v.paths[0]) for v in group}
                continue
            problems += own
            left -= held if all_held else 0
            if case is not None:
                made.append(used(case))
            else:
                masks += group
        made, own = attach_volumes(made, [m for m in masks if not (made and _of_anatomy(m))], lost)
        return made, problems + own


def _told_apart(case: Case, taken: set[str]) -> Case:
    """A case whose pictures are named like none before; volumes are already (`_studies`)."""
    if case.scan.grid is not None:
        return case
    files = tuple((_free_name(name, taken), slices) for name, slices in case.scan.files)
    return case if files == case.scan.files else replace(case, scan=replace(case.scan, files=files))


def _free_name(name: str, taken: set[str]) -> str:
    """The name, or where it is taken already `NAME (2)`, before an ending; it is taken from then on."""
    ending = next((s for s in TYPES if name.lower().endswith(s)), "")
    free, n = name, 1
    while free.lower() in taken:
        n += 1
        free = f"{name[: len(name) - len(ending)]} ({n}){name[len(name) - len(ending) :]}"
    taken.add(free.lower())
    return free


def _studies(volumes: Sequence[Found], lost: Collection[str]) -> list[list[Found]]:
    """Volumes that belong together: DICOM by its study (by folder where careless anonymisers leave none), NIfTI by its name
    without the words that tell the sequence.

    Each NIfTI is named like none before. lost: of whom something cannot be read, as `patient_of` says it.
    """
    studies: dict[str, list[Found]] = {}
    volumes = _scans_if_alone(volumes, lost)
    for v in volumes:
        if v.dicom:
            studies.setdefault(v.study, []).append(v)
    groups = [group for uid, study in studies.items() for group in ([study] if uid else _patients_of(study))]
    taken: set[str] = set()
    nifti = _labelled(_channels([v for v in volumes if not v.dicom]))
    masked = {v.study for v in nifti if v.role == "mask"}
    for patient in _by_folder(nifti, lambda v: (nifti_name(v.paths[0]), v.role)):
        groups += [[replace(v, name=_free_name(v.name, taken)) for v in group] for group in _by_name(patient, lost, masked)]
    # Masks alone last: they look for the study they belong to.
    return sorted(groups, key=lambda g: all(v.role == "mask" for v in g))


def _scans_if_alone(volumes: Sequence[Found], lost: Collection[str]) -> Sequence[Found]:
    """The volumes; as scans, where all are masks by no more than words that a scan's name may have too (`ann_manual`), as
    there is nothing that they could be masks of.
    """
    names = [literal(nifti_name(v.paths[0])) for v in volumes]
    if lost or any(v.dicom or v.role != "mask" or role_of(name) == "mask" for v, name in zip(volumes, names, strict=True)):
        return volumes
    first = {v.paths[0]: v for v in reversed(volumes)}
    return [
        replace(v, role=role_of(name) if v is first[v.paths[0]] else "other", study=subject_of(name))
        for v, name in zip(volumes, names, strict=True)
    ]


def _channels(nifti: Sequence[Found]) -> list[Found]:
    """Files laid out as nnU-Net has them, by case, each in the role of its channel in dataset.json; others as they are.

    Such a folder is called `imagesTr` or has a dataset.json beside it, and nothing in it but channels.
    """
    folders: dict[Path, list[Found]] = {}
    for v in nifti:
        folders.setdefault(v.paths[0].parent, []).append(v)
    channels: dict[Path, tuple[str, Role | None]] = {}
    read = lru_cache(4)(read_json)  # one for all folders beside each other; large ones are not kept
    for folder, members in folders.items():
        told = [CHANNEL.match(nifti_name(v.paths[0])) for v in members]
        listed = {} if None in told else _channel_names(folder, read)
        if None not in told and (listed or IMAGES_FOLDER.match(folder.name)):
            for v, name in zip(members, told, strict=True):
                if name:
                    channels[v.paths[0]] = name[1], role_of(str(listed.get(str(int(name[2])), "")), masks=False)

    def of_case(v: Found) -> Found:
        case, role = channels[v.paths[0]]
        return replace(v, study=subject_of(case), role=role)

    return [of_case(v) if v.paths[0] in channels else v for v in nifti]


def _channel_names(folder: Path, read: Callable[[Path], Any]) -> dict[str, object]:
    """What nnU-Net's dataset.json in a folder, or in the one above it, calls its channels by number; else nothing."""
    for place in (folder, folder.parent):
        dataset = read(place / "dataset.json")
        if isinstance(dataset, dict):
            names = dataset.get("channel_names", dataset.get("modality"))
            return names if isinstance(names, dict) else {}
    return {}


def _of_anatomy(mask: Found) -> bool:
    """Whether a mask is of the brain or the like by its own name or its folder's: no reference, unless given as one."""
    path = mask.paths[0]
    return of_anatomy(nifti_name(path)) or of_anatomy(path.parent.name)


def _labelled(nifti: Sequence[Found]) -> list[Found]:
    """Files whose names do not tell what they are, by their folders: masks (`labelsTr` beside others), and where files
    share their name, sequences too (`flair`, `t1`).
    """
    folders: dict[str, set[str]] = {}
    for v in nifti:
        folders.setdefault(nifti_name(v.paths[0]), set()).add(v.paths[0].parent.name)
    masks_alone = all(for_masks(v.paths[0].parent.name) for v in nifti)

    def told(folder: str) -> Role | None:
        return "mask" if for_masks(folder) else role_of(folder, masks=False)

    def labelled(v: Found) -> Found:
        folder = v.paths[0].parent.name
        role, all_told = told(folder), set(map(told, folders[nifti_name(v.paths[0])]))
        a_folder_each = len(all_told) > 1 and "flair" in all_told and None not in all_told
        silent = v.role is None or LABELS_FOLDER.match(folder)
        # (Where no scan has their name, `my_segmentation_study` may hold scans.)
        of_one = role == "mask" and (all_told != {"mask"} or (silent and for_masks(folder, alone=True) and not masks_alone))
        if role and ((a_folder_each and v.role is None) or of_one):
            return replace(v, role=role, name=f"{v.name}_{role}")
        return v

    return [labelled(v) for v in nifti]


def _patients_of(study: list[Found]) -> list[list[Found]]:
    """DICOM without a study's UID, apart where a FLAIR of one plane comes from several folders."""
    return _by_folder(study, lambda v: v.grid.slice_direction if v.role == "flair" else v.name)


def _by_folder(volumes: list[Found], kind: Callable[[Found], object]) -> list[list[Found]]:
    """Apart where files of one kind lie in several folders: these are a folder each for several patients, or visits.

    A file whose name tells its patient stays with the patient's others.
    """
    homes: dict[object, set[Path]] = {}
    for v in volumes:
        homes.setdefault(kind(v), set()).add(v.paths[0].parent.absolute())
    twice = [folder.parts for folders in homes.values() if len(folders) > 1 for folder in folders]
    if not twice:
        return [volumes]
    depth = next(n for n, level in enumerate(zip_longest(*twice)) if len(set(level)) > 1)
    shared = {v.study for v in volumes if len(homes[kind(v)]) > 1} | {""}
    first: dict[str, tuple[str, ...]] = {}
    parts: dict[tuple[str, ...], list[Found]] = {}
    for v in volumes:
        own = v.paths[0].parent.absolute().parts[: depth + 1]
        parts.setdefault(own if v.study in shared else first.setdefault(v.study, own), []).append(v)
    return [group for part in parts.values() for group in _by_folder(part, kind)]


def _by_name(nifti: list[Found], lost: Collection[str], masked: Collection[str]) -> list[list[Found]]:
    """The studies of one patient, or of several whose file names tell them apart. masked: whom masks are called after."""
    torn = {v.study for v in nifti if patient_of(v.paths[0]) in lost}  # what is left of one is no part of another
    by_name: dict[str, list[Found]] = {}
    for v in nifti:
        by_name.setdefault(v.study, []).append(v)
    groups: dict[tuple[str, str], list[Found]] = {}
    for study, members in by_name.items():
        several = _repeats(members) or study in torn  # flair.nii, t2_flair.nii: only their folders tell them apart
        for v in members:
            groups.setdefault((study, str(v.paths[0].parent) if several else ""), []).append(v)
    visits = {(m[1], m[2]) for v in nifti if (m := VISIT.search(v.name))}
    if len({v.paths[0] for v in nifti}) > 1 and not _repeats(nifti) and len(visits) < 2 and not torn:
        together = [v for v in nifti if v.role is not None]
        blank = {v.paths[0] for v in nifti if v.role is None}
        if together and len(blank) <= (0 if any(v.role == "flair" for v in together) else 1):
            return [nifti]
    return _joined(list(groups.values()), torn, masked)


def _joined(groups: list[list[Found]], torn: Collection[str], masked: Collection[str]) -> list[list[Found]]:
    """Sequences that are no FLAIR are no patient of their own where one FLAIR is theirs: they are listed there, for choice.

    It is the only one of their visit (`visit_of`) or, where its name tells nobody, the one beside them, with nobody else.
    Those that a mask is called after stay by themselves, as it would then be the FLAIR's, and so do those of the torn.
    """
    flairs = [(group, v) for group in groups for v in group if v.role == "flair"]
    several = len({v.study for group in groups for v in group} - {""}) > 1

    def of_one(flair: Found, other: Found) -> bool:
        if not flair.study:
            return not several and flair.paths[0].parent == other.paths[0].parent
        return visit_of(nifti_name(flair.paths[0])) == visit_of(nifti_name(other.paths[0])) != ""

    def alone(v: Found) -> bool:
        claimed = any(f"{study} ".startswith(f"{v.study} ") for study in masked)
        return v.role not in ("pre", "post", "other") or v.study in torn or not v.study or claimed

    kept: list[list[Found]] = []
    for group in groups:
        homes = [] if any(map(alone, group)) else [h for h, flair in flairs if all(of_one(flair, v) for v in group)]
        if len({id(home) for home in homes}) == 1:
            homes[0] += [replace(v, role="other") for v in group]
        else:
            kept.append(group)
    return kept


def _repeats(volumes: Iterable[Found]) -> bool:
    """Whether a role that a study has once comes from several files."""
    roles = Counter(role for role, _ in {(v.role, v.paths[0]) for v in volumes if v.role not in (None, "other")})
    return any(times > 1 for times in roles.values())


def _meant_for(group: Sequence[Found], choose: Mapping[str, str]) -> Mapping[str, str]:
    """The choice, where it names a volume of this study or none at all; a choice for another study is not this one's."""
    named = set(choose.values()) - {""}
    return choose if not named or named & {v.name for v in group} else {}


def _pick(
    group: Sequence[Found], choose: Mapping[str, str]
) -> tuple[dict[Role, Found], list[Sentence], tuple[Sentence, ...]]:
    """The volume of each role, and what the user should know of the choice: of the images, and of the mask."""
    by_name = {v.name: v for v in group}
    corrected: dict[Role, Found | None] = {}
    for role in (*CHANNELS, "mask"):
        wanted = choose.get(role)
        if wanted is not None and (wanted == "" or wanted in by_name):
            corrected[role] = by_name.get(wanted)
    taken = {v.name for v in corrected.values() if v is not None}
    picked: dict[Role, Found] = {}
    warnings: list[Sentence] = []
    of_mask: tuple[Sentence, ...] = ()
    for role in ("flair", "mask", "pre", "post"):
        own: Role = role
        if own in corrected:
            if (one := corrected[own]) is not None:
                picked[own] = one
            continue
        candidates = sorted((v for v in group if v.role == own and v.name not in taken), key=worth)
        if own == "mask":  # `brain_mask` is a brain's, but that of `brain` may be a lesion's in it
            brain = [f"{v.name}_mask" for v in picked.values() if v.role is None and v.name.isalpha()]
            candidates = [v for v in candidates if nifti_name(v.paths[0]) in brain or not _of_anatomy(v)]
        if not candidates and own == "flair":
            rest = [v for v in group if v.role != "mask" and v.name not in taken]
            candidates = sorted(rest, key=lambda v: (v.role is not None, *worth(v)))[:1]
            if candidates and (candidates[0].role is not None or len(rest) > 1):
                warnings.append(Sentence("no_flair", {"file": candidates[0].name}))
        elif len(candidates) > 1 and own == "flair":
            warnings.append(Sentence("flair_several", {"file": candidates[0].name, "count": len(candidates)}))
        elif len(candidates) > 1 and own == "mask":
            of_mask = (Sentence("mask_several", {"file": candidates[0].name, "count": len(candidates)}),)
        if candidates:
            picked[own] = candidates[0]
            taken.add(candidates[0].name)
    return picked, warnings, of_mask


def worth(v: Found) -> tuple[bool, int]:
    """Sort key of the better volume: axial before any other plane, then more slices."""
    return v.grid.slice_direction in ("coronal", "sagittal"), -min(v.grid.shape)


def _read_group(
    group: Sequence[Found], choose: Mapping[str, str], left: int
) -> tuple[Study | None, int, list[UnreadableScan]]:
    """One study, the values it holds, and the sequences that cannot be used; None where there are only masks.

    left: values that may be held yet. While it is read, three times the largest volume comes on top of what stays.
    """
    picked, warnings, of_mask = _pick(group, choose)
    problems: list[UnreadableScan] = []
    if "flair" not in picked:
        return None, 0, []
    flair_found = picked["flair"]
    held = flair_found.voxels * (3 if {"pre", "post"} & set(picked) else 1)
    if held + 3 * max(v.voxels for v in picked.values()) > left:
        dropped = [picked.pop(role) for role in tuple(picked) if role != "flair"]
        problems += [UnreadableScan(v.paths[0].name, "too_much_at_once") for v in dropped]
        held = flair_found.voxels
    if 4 * held > left and len(picked) == 1:
        raise UnreadableScan(flair_found.paths[0].name, "too_much_at_once")
    volume = flair_found.load()
    warnings += volume.warnings
    grid = volume.grid
    stack = np.ascontiguousarray(grid.to_stack(volume.values))
    volume = replace(volume, values=stack[:0])  # large; the stack has them
    others: dict[Role, np.ndarray] = {}
    for role in ("pre", "post"):
        if role not in picked:
            continue
        try:
            other = picked[role].load()
        except UnreadableScan as error:
            problems.append(error)
            continue
        warnings += [w for w in other.warnings if w not in warnings and w.key != "segmentation_left_out"]
        values = grid.to_stack(resample(with_role(other, "other"), grid))
        if float(values.min()) == float(values.max()):
            warnings.append(Sentence("sequence_apart", {"file": picked[role].name, "other": flair_found.name}))
            continue
        others[role] = values
    if others:
        pixels = np.empty((*stack.shape, 3), dtype=np.float32)
        for role, channel in CHANNELS.items():
            pixels[..., channel] = others.pop(role, stack)
        grey = False
    else:
        pixels, grey = np.broadcast_to(stack[..., None], (*stack.shape, 3)), True  # one stack in memory, not three
    name = flair_found.name
    scan = Scan(pixels, name, ((name, len(stack)),), grey, grid, volume.instances)
    sequences = tuple(Listed(v.name, v.description, v.role, v.grid.to_stack(_hollow(v.grid)).shape[0]) for v in group)
    chosen = {str(role): v.name for role, v in picked.items()}
    study = Study(scan, volume.paths[:1], None, None, tuple(warnings), of_mask, sequences, chosen)
    if "mask" in picked:
        attached, own = attach_volumes([study], [replace(picked["mask"], role="mask")])
        return attached[0], held, problems + own
    return study, held, problems


def _hollow(grid: Grid) -> np.ndarray:
    """An array of the grid's shape that takes no memory."""
    return np.broadcast_to(np.uint8(0), grid.shape)


# References

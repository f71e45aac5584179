"""References."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from lgg_demo.case import Case, Found, R, Referable, UnreadableScan, Volume
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import unpacked
from lgg_demo.reading.names import (
    CHANNEL,
    IMAGES_FOLDER,
    Stems,
    image_stem,
    is_mask_name,
    mask_worth,
    masks_among,
    nifti_name,
    own_subject,
    patient_of,
    subject_of,
)
from lgg_demo.reading.pictures import LABEL_VALUES, MOST_COVERED, read_labels
from lgg_demo.reading.volumes import resample, same_grid, with_role


def attach_references(cases: Sequence[R], references: Iterable[Path]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the reference masks that belong to their files, by name, as in `masks_among` or the same.

    One image and one reference belong together whatever their names; where several images or several references have
    one name, their folders must have one name too. A mask that cannot be read, does not fit or fits no image becomes an
    error, and its slices stay without one.
    """
    references = list(references)
    pictures = masks_among(references)  # given together with their masks
    references = [p for p in references if p not in pictures]
    images = [path for case in cases for path in case.paths]
    stems = Stems(image_stem(p) for p in images)
    meant = {p: stems.meant_by(p, alike=True) or image_stem(p) for p in references} | {p: image_stem(p) for p in images}
    times = [Counter(p.name for p in paths) for paths in (images, references)]
    ambiguous = {meant[p] for paths, t in zip((images, references), times, strict=True) for p in paths if t[p.name] > 1}

    def key(path: Path) -> tuple[str, str]:
        return path.parent.name if meant[path] in ambiguous else "", meant[path]

    by_key: dict[tuple[str, str], list[Path]] = {}
    for reference in sorted(references, key=mask_worth):
        by_key.setdefault(key(images[0] if len(images) == len(references) == 1 else reference), []).append(reference)
    masks = {path: by_key[key(path)] for path in images if key(path) in by_key}
    attached, problems = with_masks(cases, masks)
    used = {mask for own in masks.values() for mask in own}
    return attached, problems + [UnreadableScan(p.name, "mask_unmatched") for p in references if p not in used]


def with_masks(cases: Sequence[R], masks: Mapping[Path, Sequence[Path]]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the first of the masks of each of their files; one that cannot be read or does not fit is an error."""
    problems: list[UnreadableScan] = []
    attached = []
    for case in cases:
        shape = (sum(case.slices), *case.size)
        reference = np.zeros(shape, dtype=bool) if case.reference is None else case.reference.copy()
        referenced = np.zeros(shape[0], dtype=bool) if case.referenced is None else case.referenced.copy()
        renewed: dict[int, str] = {}  # by slice the mask's name
        several: list[Sentence] = []
        graded: list[str] = []
        start = 0
        for path, slices in zip(case.paths, case.slices, strict=True):
            place = slice(start, start + slices)
            start += slices
            if not masks.get(path):
                continue
            mask, *others = masks[path]
            try:
                values, many = read_labels(mask, case.size)
                if len(values) != slices:
                    raise UnreadableScan(mask.name, "mask_slices_differ", slices=len(values), expected=slices)
            except UnreadableScan as error:
                problems.append(error)
                continue
            reference[place], referenced[place] = values, True
            renewed |= dict.fromkeys(range(place.start, place.stop), mask.name)
            if many and not is_mask_name(mask):  # it may be an image after all
                graded.append(mask.name)
            if others:
                several.append(Sentence("mask_several", {"file": mask.name, "count": 1 + len(others)}))
        if renewed:
            before = [] if len(renewed) == referenced.sum() else list(case.reference_warnings)
            covering = _covering(reference, renewed, [w for w in before if w.key == "mask_covers"])
            telling = [Sentence("mask_graded", {"file": name}) for name in graded[:1]]
            warnings = (*(w for w in before if w.key != "mask_covers"), *several, *telling, *covering)
            changes = {"reference": reference, "referenced": referenced, "reference_warnings": warnings}
            case = replace(case, **changes)  # type: ignore[type-var]
        attached.append(case)
    return attached, problems


def _covering(reference: np.ndarray, masks: Mapping[int, str], before: Sequence[Sentence]) -> list[Sentence]:
    """What to say where a reference covers slices almost whole, under the name of the first such mask.

    masks: their names by slice; before: what was said when those of other slices were given. The image is not named: the
    name of a DICOM series' file may be its patient's, and what is said goes into the report.
    """
    covered = np.flatnonzero(reference.mean(axis=(1, 2)) > MOST_COVERED).tolist()
    names = [masks[n] for n in covered if n in masks] + [w.values["file"] for w in before]
    return [Sentence("mask_covers", {"file": names[0], "slices": len(covered)})] if covered and names else []


def attach_volumes(
    cases: Sequence[R], references: Sequence[Found], lost: Collection[str] = (), instead: bool = False
) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the volumes that are their references, together where a case has several, and an error for each that
    fits none. lost: of whom something cannot be read (`patient_of`): their masks are nobody else's. instead: what a case
    had before does not count.
    """
    attached = list(cases)
    problems: list[UnreadableScan] = []
    reached: set[int] = set()
    absent = set(lost) - {patient_of(path) for case in attached for path in case.paths}
    # Those that one is called after: others, given with it, are not theirs.
    names = [f for f in references if f.study and not f.dicom]
    claimed = {n for n, case in enumerate(attached) if any(_named_alike(case, f, later=True) for f in names)}
    for found in references:
        try:
            unmatched = UnreadableScan(found.paths[0].name, "mask_unmatched")
            if patient_of(found.paths[0]) in absent:
                raise unmatched
            n = _owner(attached, found, later=instead, sure=not absent)
            if instead and n in claimed and not _named_alike(attached[n], found, later=True):
                raise unmatched
            if absent and _headers(attached[n])[1] and not found.dicom:
                raise unmatched  # only their folder, which may be that of all, puts them together
            another = attached[n].reference is not None and n not in reached and not instead
            if another and not _named_alike(attached[n], found, later=False):
                raise unmatched
            mask = with_role(found.load(), "mask")
            attached[n] = _with_reference(attached[n], mask, together=not instead or n in reached)
            reached.add(n)
        except UnreadableScan as error:
            problems.append(error)
        except Exception:
            problems.append(UnreadableScan(found.paths[0].name, "damaged"))
    return attached, problems


def _headers(case: Referable) -> tuple[Grid | None, tuple[Dataset, ...], str]:
    """Grid, DICOM headers and name of a case or of a result."""
    source = case.scan if isinstance(case, Case) else case
    files: tuple[tuple[str, int], ...] = getattr(source, "files", ())
    return getattr(source, "grid", None), getattr(source, "instances", ()), files[0][0] if files else ""


def _named_alike(case: Referable, found: Found, later: bool) -> bool:
    """Whether a volume says that it belongs to a case: by its study's UID, by its name or, where that says nothing, by its
    folder. later: it was not given together with the case, so that their folders say nothing either.
    """
    grid, instances, _ = _headers(case)
    beside = case.paths[0].parent.absolute() == found.paths[0].parent.absolute()
    if grid is None:
        return False
    if instances:
        if found.dicom:
            return bool(instances[0].StudyInstanceUID == found.study)
        return not later and not found.study and beside
    subject = own_subject(case.paths[0])
    if not subject:
        return not found.study and (later or beside)
    return f"{found.study} ".startswith(f"{subject} ") or _exactly(case, found)  # `ann_oedema_mask` is of `ann`


def _exactly(case: Referable, found: Found) -> bool:
    """Whether a NIfTI is called like a case, but for the channel that nnU-Net's images end in."""
    path = case.paths[0]
    channel = CHANNEL.match(nifti_name(path)) if IMAGES_FOLDER.match(path.parent.name) else None
    return found.study == own_subject(path) or bool(channel and found.study and found.study == subject_of(channel[1]))


def _owner(cases: Sequence[Referable], found: Found, later: bool, sure: bool) -> int:
    """Which case a reference belongs to. Raises UnreadableScan where none, or several alike, could be meant.

    later: see `_named_alike`. sure: nobody's scan is missing, so that the only study, or the one of the same grid, is meant
    whatever they are called.
    """
    grids = {n: grid for n, case in enumerate(cases) if (grid := _headers(case)[0]) is not None}
    if sure and len(grids) == 1:
        return next(iter(grids))
    named = [n for n in grids if _named_alike(cases[n], found, later)]
    exactly = [n for n in named if _exactly(cases[n], found)]
    fits = [
        *([n for n in some if cases[n].paths[0].parent == found.paths[0].parent] for some in (exactly, named)),
        exactly,
        named,
        [n for n, grid in grids.items() if sure and same_grid(grid, found.grid)],
    ]
    for fit in fits:
        if len(fit) == 1:
            return fit[0]
    raise UnreadableScan(found.paths[0].name, "mask_unmatched")


def _with_reference(case: R, mask: Volume, together: bool = True) -> R:
    """A case with a mask on its own slices, together with what it has; one of another grid is resampled, with a warning.

    Raises UnreadableScan where nothing of the mask lies in the case's volume, unless it has the volume's own shape: then
    voxels are taken one for one, with a warning.
    """
    grid, _, name = _headers(case)
    if grid is None:
        raise UnreadableScan(mask.paths[0].name, "mask_unmatched")
    warnings = [w for w in mask.warnings if w.key not in ("volumes_several", "series_gaps")]
    inside = np.unique(mask.values[mask.values > 0])
    if len(inside) >= LABEL_VALUES:  # 0 counts too; a probability, or labels blurred by resampling
        np.greater_equal(mask.values, inside[-1] / 2, out=mask.values)  # in place: a second copy may be large
        warnings.append(Sentence("mask_graded", {"file": mask.name}))
    else:
        np.greater(mask.values, 0, out=mask.values)
    values = resample(mask, grid) > 0.5
    if not same_grid(mask.grid, grid):
        nowhere, alike = bool(mask.values.any() and not values.any()), mask.grid.shape == grid.shape
        if nowhere and not alike and _elsewhere(mask, grid):
            raise UnreadableScan(mask.paths[0].name, "mask_unmatched")
        if nowhere and alike:
            values = mask.values > 0.5  # written without its geometry
            warnings.append(Sentence("mask_by_voxel", {"file": mask.name, "other": name}))
        elif not _same_lattice(mask.grid, grid):
            warnings.append(Sentence("mask_resampled", {"file": mask.name, "other": name}))
    stack = np.ascontiguousarray(grid.to_stack(values))
    if together and case.reference is not None:
        stack = stack | case.reference
    changes: dict[str, object] = {"reference": stack, "referenced": np.ones(len(stack), dtype=bool)}
    changes["reference_warnings"] = (*(case.reference_warnings if together else ()), *warnings)
    return replace(case, **changes)  # type: ignore[type-var]


def _elsewhere(mask: Volume, grid: Grid) -> bool:
    """Whether the box around a mask, which holds something, lies beside a grid."""
    sides = [np.flatnonzero(mask.values.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] + [-0.5, 0.5] for axis in range(3)]
    corners = np.array([[i, j, k, 1] for i in sides[0] for j in sides[1] for k in sides[2]])
    places = (corners @ (np.linalg.inv(grid.affine) @ mask.grid.affine).T)[:, :3]
    return bool((places.max(axis=0) < -0.5).any() or (places.min(axis=0) > np.array(grid.shape) - 0.5).any())


def _same_lattice(a: Grid, b: Grid) -> bool:
    """Whether every voxel of `a` is one of `b`'s lattice: a DICOM segmentation holds some of the slices only."""
    matrix = np.linalg.inv(b.affine) @ a.affine
    corners = np.array([[i, j, k, 1] for i in (0, a.shape[0]) for j in (0, a.shape[1]) for k in (0, a.shape[2])])
    places = (corners @ matrix.T)[:, :3]
    whole = np.abs(np.sort(np.abs(matrix[:3, :3]), axis=0) - [[0], [0], [1]]).max() < 0.01
    return bool(whole and np.abs(places - np.round(places)).max() < 0.1)


# Checks before use


def attach(cases: Sequence[R], reference_paths: Iterable[Path]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases, or finished results, with the references that belong to them, instead of those that they had.

    Pictures go by name as in `attach_references`, to volumes too where they have one page a slice. A NIfTI or a
    DICOM segmentation goes to the study it was drawn on: the only one, that of the same name or study, or that with the
    same grid.
    """
    attached = list(cases)
    with unpacked(reference_paths, chosen=True) as files:
        problems = list(files.problems)
        if files.pictures:
            attached, own = attach_references(attached, files.pictures)
            problems += own
        attached, own = attach_volumes(attached, files.volumes, instead=True)
        problems += own
    return attached, problems

"""References onto the slices of their cases: masks of pictures file by file, masks of volumes on the volume's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

import lgg_demo.reading.layout as layout
from lgg_demo.case import Case, ReadError, Volume, uids_of
from lgg_demo.grid import Grid, corners
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import Item, Walk, walk
from lgg_demo.reading.masks import covering
from lgg_demo.reading.matching import Target, match
from lgg_demo.reading.pictures import read_labels
from lgg_demo.reading.plan import Header, given_references, nothing_in, sort_items
from lgg_demo.reading.volumes import resample, same_grid
from lgg_demo.reading.watch import PICTURE_SECONDS, opening

MOST_LABELS = 64  # lesions are numbered one by one; an image has more values
MOST_LOST = 0.5  # of a mask that is drawn on another grid
KNOWN = ("reference", "referenced", "reference_warnings")  # what a reference changes of a case


@dataclass(frozen=True)
class Attachable:
    """What a reference needs to know of a case or a finished result, without its pixels.

    name: what sentences call it. study, uids: of a DICOM series, see `matching.Target`.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    slices: tuple[int, ...]
    name: str
    grid: Grid | None = None
    study: str = ""
    uids: frozenset[str] = frozenset()
    reference: np.ndarray | None = None
    referenced: np.ndarray | None = None
    reference_warnings: tuple[Sentence, ...] = ()


Known = TypeVar("Known")  # a case, a finished result
C = TypeVar("C", bound=Case | Attachable)


def attachable(case: Any) -> Attachable:
    """A case or a result as a reference sees it. Of pictures with the references that it has: they come slice by slice."""
    source: Any = getattr(case, "scan", case)
    study = next((str(i.get("StudyInstanceUID", "")) for i in source.instances), "")
    uids = uids_of(source.instances)
    bare = Attachable(case.paths, case.size, case.slices, source.files[0][0], source.grid, study, uids)
    return bare if source.grid is not None else _with_reference_of(case, bare)


def _with_reference_of(known: Any, case: Known) -> Known:
    return replace(case, **{k: getattr(known, k) for k in KNOWN})  # type: ignore[type-var]


def read_references(
    cases: Sequence[Attachable], paths: Sequence[Path], skip: frozenset[PurePath], work: Path
) -> Iterator[tuple[int, Attachable] | ReadError]:
    """The cases that get a reference, by their places among all, with it; an error for each file that is nobody's.

    skip: places that are left out. work: an empty folder for what zips hold.
    """
    given = walk(paths, work, skip, outputs=True)
    for event in _events(cases, paths, given):
        if isinstance(event, ReadError):
            yield given.aliases.named(event)
        else:
            n, case = event
            yield n, replace(case, reference_warnings=tuple(map(given.aliases.sentence, case.reference_warnings)))


def with_events(
    cases: Sequence[Known], events: Iterable[tuple[int, Attachable] | ReadError]
) -> tuple[list[Known], list[ReadError]]:
    """Cases with the references that `read_references` found for them, and its errors."""
    attached, errors = list(cases), list[ReadError]()
    for event in events:
        if isinstance(event, ReadError):
            errors.append(event)
        else:
            attached[event[0]] = _with_reference_of(event[1], attached[event[0]])
    return attached, errors


def _events(
    cases: Sequence[Attachable], paths: Sequence[Path], given: Walk
) -> Iterator[tuple[int, Attachable] | ReadError]:
    """What `read_references` gives, under the names that the files have on the disk."""
    found = sort_items(given)
    yield from [*found.errors, *nothing_in(paths, found)]
    targets = [target for n, case in enumerate(cases) for target in _targets(n, case)]
    matched = match(targets, *given_references(found, {t.place for t in targets}), given=True)
    yield from matched.errors
    for n in sorted(matched.cases):
        case, errors = attach(cases[n], matched.pictures.get(n, {}), matched.volumes.get(n, []))
        yield from errors
        if case is not cases[n]:
            yield n, case


def _targets(n: int, case: Attachable) -> Iterator[Target]:
    """What references can belong to: each file of pictures, or the volume."""
    if case.grid is None:
        yield from (Target(n, path, layout.key_of_picture(path)) for path in case.paths)
    else:
        yield Target(n, case.paths[0], layout.key_of(case.paths[0]), case.grid, case.study, case.uids)


def attach(case: C, pictures: Mapping[Path, Sequence[Item]], volumes: Sequence[Header]) -> tuple[C, list[ReadError]]:
    """A case with its references, and an error for each that cannot be used. Volumes given together are united."""
    case, errors = _with_pictures(case, pictures) if pictures else (case, [])
    by_file: dict[tuple[Path, ...], list[Header]] = {}
    for header in volumes:
        by_file.setdefault(header.found.paths, []).append(header)
    united: list[str] = []
    for headers in by_file.values():
        name = headers[0].item.place.name
        opening(headers[0].item.place)
        try:
            for mask in _lesions([replace(h.found.load(), role="mask") for h in headers]):
                case = _with_volume(case, mask, together=bool(united))
                united.append(name)
        except ReadError as error:
            errors.append(error)
        except Exception:
            errors.append(ReadError(name, "damaged"))
    if len(files := list(dict.fromkeys(united))) > 1:
        told = Sentence("masks_united", {"file": files[0], "count": len(files)})
        case = replace(case, reference_warnings=(*case.reference_warnings, told))
    return case, errors


# Masks of pictures


def _with_pictures(case: C, masks: Mapping[Path, Sequence[Item]]) -> tuple[C, list[ReadError]]:
    """A case with the best of the pictures of each of its files; one that cannot be read or does not fit is an error."""
    errors: list[ReadError] = []
    shape = (sum(case.slices), *case.size)
    reference = np.zeros(shape, dtype=bool) if case.reference is None else case.reference.copy()
    referenced = np.zeros(shape[0], dtype=bool) if case.referenced is None else case.referenced.copy()
    renewed: dict[int, str] = {}  # by slice the mask's name
    said: dict[str, Sentence] = {}  # by key
    stops = np.cumsum(case.slices).tolist()
    for path, slices, stop in zip(case.paths, case.slices, stops, strict=True):
        if path not in masks:
            continue
        place, mask = slice(stop - slices, stop), min(masks[path], key=_preference)
        try:
            reference[place], warnings = _labels(mask, case.size, slices)
        except ReadError as error:
            errors.append(error)
            continue
        referenced[place] = True
        renewed |= dict.fromkeys(range(stop - slices, stop), mask.place.name)
        if len(masks[path]) > 1:
            warnings = [*warnings, Sentence("mask_several", {"file": mask.place.name, "count": len(masks[path])})]
        said = {w.key: w for w in warnings} | said
    if not renewed:
        return case, errors
    before = () if len(renewed) == referenced.sum() else case.reference_warnings
    covers = _covering(reference, renewed, [w for w in before if w.key == "mask_covers"])
    told = (*(w for w in before if w.key != "mask_covers"), *said.values(), *covers)
    return replace(case, reference=reference, referenced=referenced, reference_warnings=told), errors


def _labels(mask: Item, size: tuple[int, int], slices: int) -> tuple[np.ndarray, Sequence[Sentence]]:
    """One picture's mask, (slices, *size) bool, and what to say of it. Raises ReadError where it has another shape."""
    opening(mask.place, PICTURE_SECONDS)
    values, warnings = read_labels(mask.path, size)
    if len(values) != slices:
        raise ReadError(mask.place.name, "mask_slices_differ", slices=len(values), expected=slices)
    return values, warnings


def _preference(mask: Item) -> tuple[bool, bool]:
    """Sort key of the mask to take of several: what a hand corrected, then what says mask."""
    stem = mask.place.stem.lower()
    return not stem.endswith("_corrected_mask"), not stem.endswith("_mask")


def _covering(reference: np.ndarray, masks: Mapping[int, str], before: Sequence[Sentence]) -> list[Sentence]:
    """What to say where a reference covers slices almost whole, under the name of the first such mask.

    masks: their names by slice; before: what was said when those of other slices were given. The image is not named: the
    name of a DICOM series' file may be its patient's, and what is said goes into the report.
    """
    covered = np.flatnonzero(covering(reference)).tolist()
    names = [masks[n] for n in covered if n in masks] + [w.values["file"] for w in before]
    return [Sentence("mask_covers", {"file": names[0], "slices": len(covered)})] if covered and names else []


# Masks of volumes


def _lesions(masks: list[Volume]) -> list[Volume]:
    """Of the volumes of one mask those that mark a lesion: of a one-hot mask all but the background, which says so."""
    if len(masks) < 2:
        return masks
    marked = np.add.reduce([(m.values > 0.5).astype(np.uint8) for m in masks])
    shares = [float((m.values > 0.5).mean()) for m in masks]
    background = int(np.argmax(shares))
    one_hot = bool((marked == 1).mean() > 0.99) and shares[background] > 0.5
    kept = [m for n, m in enumerate(masks) if not (one_hot and n == background)]
    said = Sentence("mask_one_hot" if one_hot else "mask_united", {"file": masks[0].paths[0].name, "volumes": len(masks)})
    return [replace(kept[0], warnings=(*kept[0].warnings, said)), *kept[1:]]


def _with_volume(case: C, mask: Volume, together: bool) -> C:
    """A case with a mask on its own slices, together with what it has; one of another grid is resampled, with a warning.

    Where the header says nothing of where the mask lies, and where nothing of it lies in the case's volume, voxels are
    taken one for one, with a warning. Raises ReadError where there are not as many.
    """
    bare = case if isinstance(case, Attachable) else attachable(case)
    if bare.grid is None:
        raise ReadError(mask.paths[0].name, "mask_unmatched")
    marked, warnings = _marked(mask)
    values, more = _placed(replace(mask, values=marked), bare.grid, bare.name)
    stack = np.ascontiguousarray(bare.grid.to_stack(values))
    if covered := int(covering(stack).sum()):
        more.append(Sentence("mask_covers", {"file": mask.name, "slices": covered}))
    if together and case.reference is not None:
        stack = stack | case.reference
    before = case.reference_warnings if together else ()
    told = (*before, *(w for w in (*warnings, *more) if w not in before))
    referenced = np.ones(len(stack), dtype=bool)
    return replace(case, reference=stack, referenced=referenced, reference_warnings=told)


def _marked(mask: Volume) -> tuple[np.ndarray, list[Sentence]]:
    """What of a volume is marked, 0 or 1 float32 in place, and what to say: whole numbers are labels, however many, and
    fractions probabilities.
    """
    values = mask.values
    of_scans = ("volumes_several", "series_gaps", "not_finite", "volume_no_orientation")
    warnings = [w for w in mask.warnings if w.key not in of_scans]
    if count := sum(int(str(w.values["count"])) for w in mask.warnings if w.key == "not_finite"):
        warnings.append(Sentence("mask_not_finite", {"file": mask.name, "count": count}))
    inside = np.unique(values[values > 0])
    if len(inside) == 1 or (inside == np.round(inside)).all():
        np.greater(values, 0, out=values)
        if len(inside) > MOST_LABELS:
            warnings.append(Sentence("mask_numbered", {"file": mask.name, "labels": len(inside)}))
    else:
        cut = 0.5 if inside[-1] <= 1 else float(inside[-1]) / 2
        np.greater_equal(values, cut, out=values)  # in place: a second copy may be large
        warnings.append(Sentence("mask_graded", {"file": mask.name, "cut": round(cut, 3)}))
    return values, warnings


def _placed(mask: Volume, grid: Grid, name: str) -> tuple[np.ndarray, list[Sentence]]:
    """A mask of 0 and 1 on a grid, bool, and what to say of its place. Raises ReadError where it has none."""
    told = {"file": mask.name, "other": name}
    alike = mask.grid.shape == grid.shape
    marked = float(mask.values.sum())
    if same_grid(mask.grid, grid):
        return mask.values > 0.5, []
    if _unplaced(mask.grid.affine) or any(w.key == "volume_no_orientation" for w in mask.warnings):
        if alike:
            return mask.values > 0.5, [Sentence("mask_without_geometry", told)]
        if not _unplaced(grid.affine):
            raise ReadError(mask.paths[0].name, "mask_nowhere", other=name)
    values = resample(mask, grid) > 0.5
    if marked and not values.any() and alike:
        return mask.values > 0.5, [Sentence("mask_by_voxel", told)]
    if marked and not values.any() and _elsewhere(mask, grid):
        raise ReadError(mask.paths[0].name, "mask_unmatched")
    warnings = [] if grid.holds(mask.grid) else [Sentence("mask_resampled", told)]
    before, after = (abs(float(np.linalg.det(g.affine[:3, :3]))) for g in (mask.grid, grid))
    lost = 1 - values.sum() * after / max(marked * before, 1e-9)
    if marked and lost > MOST_LOST:
        warnings.append(Sentence("mask_outside", told | {"percent": round(100 * lost)}))
    return values, warnings


def _unplaced(affine: np.ndarray) -> bool:
    """Whether an affine is what programs write that know of none: nothing but voxel sizes, at the origin."""
    matrix = affine[:3, :3]
    return bool(np.abs(affine[:3, 3]).max() < 1e-3 and np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-6)


def _elsewhere(mask: Volume, grid: Grid) -> bool:
    """Whether the box around a mask, which holds something, lies beside a grid."""
    ends = [np.flatnonzero(mask.values.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    first, last = np.transpose(ends)
    box = corners(last + 1 - first) + np.append(first - 0.5, 0)
    places = (box @ (np.linalg.inv(grid.affine) @ mask.grid.affine).T)[:, :3]
    return bool((places.max(axis=0) < -0.5).any() or (places.min(axis=0) > np.array(grid.shape) - 0.5).any())

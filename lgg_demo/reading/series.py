"""DICOM series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from lgg_demo.case import Found, UnreadableScan, Volume
from lgg_demo.grid import EVEN, Grid, places_of
from lgg_demo.messages import Sentence
from lgg_demo.reading.dicom import Head, Slice, decode, read_head
from lgg_demo.reading.layout import natural_key
from lgg_demo.reading.limits import MOST_ALIKE, MOST_SLICES, MOST_VOLUMES, MOST_VOXELS, SAME_PLACE, SAME_PLANE
from lgg_demo.reading.volumes import check_grid, mend, reliable


def read_dicom(paths: Iterable[Path]) -> tuple[list[Volume], list[UnreadableScan]]:
    """Every volume of DICOM files, in whatever order, and one error for each file or series that cannot be used."""
    found, problems = find_dicom(paths)
    volumes: list[Volume] = []
    voxels = 0
    for one in found:
        try:
            voxels += one.voxels
            if voxels > MOST_VOXELS:
                raise UnreadableScan(one.paths[0].name, "too_much_at_once")
            volumes.append(one.load())
        except UnreadableScan as error:
            problems.append(error)
    return volumes, problems


def find_dicom(paths: Iterable[Path]) -> tuple[list[Found], list[UnreadableScan]]:
    """The volumes that DICOM headers promise: each series once, or once for each echo, time, size or plane it holds."""
    problems: list[UnreadableScan] = []
    series: dict[tuple[str, str], list[Head]] = {}
    refused: Counter[tuple[str, str]] = Counter()
    seen: set[tuple[object, ...]] = set()
    for path in dict.fromkeys(paths):
        try:
            head = read_head(path)
        except UnreadableScan as error:
            key = (error.sentence.key, str(path.parent))
            refused[key] += 1
            if refused[key] <= MOST_ALIKE:  # a CT of 300 files is not 300 sentences
                problems.append(error)
            continue
        if head is None:
            continue
        if uid := str(head.instance.get("SOPInstanceUID", "")):
            # Careless anonymisers give all slices one UID: where they lie tells them apart.
            at = head.slices[0].position
            same = (uid, head.instance.get("InstanceNumber"), None if at is None else tuple(at.tolist()))
            if same in seen:
                continue  # the same image once more, whatever its file is called
            seen.add(same)
        # Without a UID, files of several folders are hardly one series.
        series.setdefault((head.study, head.series or str(path.parent)), []).append(head)
    found: list[Found] = []
    names: Counter[str] = Counter()  # over all studies: a name is what a user chooses a sequence by
    for (study, _), heads in series.items():
        for members in _volumes_of(heads):
            first = members.heads[0]
            base = "series" if first.number is None else f"series-{first.number}"
            names[base] += 1
            name = base if names[base] == 1 else f"{base}-{names[base]}"
            try:
                found.append(_promise(name, study, members))
            except UnreadableScan as error:
                problems.append(error)
            except Exception:
                problems.append(UnreadableScan(first.path.name, "damaged"))
    return found, problems


@dataclass(frozen=True)
class _Members:
    """The slices of one volume in order of position, and their headers.

    placed: the headers say where they lie. repeated: others at the same positions were left out.
    """

    slices: list[Slice]
    heads: list[Head]
    placed: bool = True
    repeated: bool = False


def _volumes_of(heads: list[Head]) -> list[_Members]:
    """A series taken apart: by size and plane of the slices, then by how often each position comes."""
    kinds: list[tuple[Slice, Head, list[tuple[Slice, Head]]]] = []
    for head in heads:
        for s in head.slices:
            for other, other_head, pairs in kinds:
                if head.size == other_head.size and (head.role == "mask") == (other_head.role == "mask"):
                    if _placed(s) != _placed(other):
                        continue
                    if not _placed(s) or np.abs(s.orientation - other.orientation).max() < SAME_PLANE:  # type: ignore
                        pairs.append((s, head))
                        break
            else:
                kinds.append((s, head, [(s, head)]))
    found: list[_Members] = []
    for first, first_head, pairs in kinds:
        pairs.sort(key=lambda pair: (pair[0].order, pair[0].path.name))
        mask = first_head.role == "mask"
        if not _placed(first):
            pairs.sort(key=lambda pair: (pair[0].order[3:], natural_key(pair[0].path.name)))
            found.append(_Members([s for s, _ in pairs], _heads(pairs), placed=False))
            continue
        if mask:
            found.append(_Members([s for s, _ in pairs], _heads(pairs)))
            continue
        places = _places(pairs)
        copies = {len(place) for place in places}
        if len(copies) == 1:
            for n in range(min(copies.pop(), MOST_VOLUMES)):
                chosen = [place[n] for place in places]
                found.append(_Members([s for s, _ in chosen], _heads(chosen)))
        else:
            chosen = [place[0] for place in places]
            found.append(_Members([s for s, _ in chosen], _heads(chosen), repeated=True))
    return found


def _placed(s: Slice) -> bool:
    return s.position is not None and s.orientation is not None


def _heads(pairs: list[tuple[Slice, Head]]) -> list[Head]:
    return list({id(head): head for _, head in pairs}.values())


def _normal(s: Slice) -> np.ndarray:
    orientation = np.array([1.0, 0, 0, 0, 1, 0]) if s.orientation is None else s.orientation
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def _places(pairs: list[tuple[Slice, Head]]) -> list[list[tuple[Slice, Head]]]:
    """Slices grouped by their position along the normal, from the lowest on."""
    normal = _normal(pairs[0][0])
    along = [float(normal @ s.position) if s.position is not None else 0.0 for s, _ in pairs]
    places: list[list[tuple[Slice, Head]]] = []
    last = -math.inf
    for n in sorted(range(len(pairs)), key=lambda n: (along[n], n)):
        if along[n] - last > SAME_PLACE:
            places.append([])
            last = along[n]
        places[-1].append(pairs[n])
    for place in places:
        place.sort(key=lambda pair: (pair[0].order, pair[0].path.name))
    return places


def _promise(name: str, study: str, members: _Members) -> Found:
    """A volume of sorted slices with its grid. Raises UnreadableScan."""
    first, slices = members.heads[0], members.slices
    warnings: list[Sentence] = []
    if not members.placed:
        warnings.append(Sentence("dicom_no_position", {"file": name}))
    if members.repeated:
        warnings.append(Sentence("series_duplicates", {"file": name}))
    if any(head.burned_in for head in members.heads):
        warnings.append(Sentence("burned_in", {"file": name}))
    spacing = slices[0].spacing
    measured = spacing is not None
    if spacing is None:
        spacing = (1.0, 1.0)
        warnings.append(Sentence("dicom_no_spacing", {"file": name}))
    known = members.placed
    rows, columns = first.size
    orientation = slices[0].orientation if known else None
    if orientation is None:
        orientation = np.array([1.0, 0, 0, 0, 1, 0])
    normal = _normal(slices[0]) if known else np.array([0.0, 0, 1])
    origin = slices[0].position if known and slices[0].position is not None else np.zeros(3)
    step_mm = slices[0].thickness or 1.0
    thickness_known = slices[0].thickness is not None or (known and len(slices) > 1)
    if measured and not thickness_known:
        warnings.append(Sentence("no_thickness", {"file": name}))
    places = list(range(len(slices)))
    if first.role == "mask" and known:
        along = np.array([float(normal @ s.position) for s in slices if s.position is not None])
        steps = np.diff(np.unique(np.round(along, 3)))
        step_mm = slices[0].thickness or (float(steps.min()) if steps.size else 1.0)
        if steps.size and abs(round(float(steps.min()) / step_mm) * step_mm - float(steps.min())) > 0.05 * step_mm:
            step_mm = float(steps.min())
        places = [round(v) for v in (along - along.min()) / step_mm]
        lowest = slices[int(along.argmin())].position
        origin = lowest if lowest is not None else origin
        step = normal * step_mm
    elif len(slices) > 1 and known:
        positions = np.array([s.position for s in slices])
        steps = np.diff(positions @ normal)
        step_mm = float(np.median(steps))
        even = places_of(steps)
        if even is not None:
            places = even.tolist()
            step = (positions[-1] - positions[0]) / places[-1]  # along the normal, or sheared by a tilt
            if missing := places[-1] + 1 - len(places):
                warnings.append(Sentence("series_missing", {"file": name, "slices": missing}))
        else:
            gaps = int((np.abs(steps / step_mm - 1) > EVEN).sum())
            warnings.append(Sentence("series_gaps", {"file": name, "gaps": gaps}))
            step = normal * step_mm
    else:
        step = normal * step_mm
    depth = max(places) + 1
    if depth > MOST_SLICES:
        raise UnreadableScan(first.path.name, "too_many_slices", slices=depth, most=MOST_SLICES)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = orientation[3:] * spacing[0], orientation[:3] * spacing[1]
    lps[:3, 2], lps[:3, 3] = step, origin
    grid = Grid((rows, columns, depth), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, measured, thickness_known)
    check_grid(first.path.name, grid)
    paths = tuple(dict.fromkeys(s.path for s in slices))
    role = first.role
    instances = _instances(members) if known and role != "mask" else ()

    def load() -> Volume:
        values, kept = _dicom_values(name, grid.shape, members, places)
        damaged = len(places) - int(kept.sum()) if role != "mask" else 0
        told = [Sentence("series_damaged", {"file": name, "slices": damaged})] if damaged else []
        if first.inverted:
            np.subtract(values.max(), values, out=values)
        if role != "mask" and not kept.all():  # missing or damaged: their place stays, so that the others keep theirs
            values[..., ~kept] = values[..., kept].min()
        return Volume(values, grid, name, first.description, role or "flair", paths, instances, (*warnings, *told))

    return Found(
        name, first.description, role, study, paths, grid, reliable(first.path.name, load), True, 0, tuple(warnings)
    )


def _instances(members: _Members) -> tuple[Dataset, ...]:
    """The headers that a segmentation refers to, whether one can or not, which whoever writes it judges."""
    heads = {head.path: head for head in members.heads}
    return tuple(heads[path].instance for path in dict.fromkeys(s.path for s in members.slices))


def _dicom_values(
    name: str, shape: tuple[int, int, int], members: _Members, places: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns, slices) float32, and which slices are there and could be decoded, (slices,) bool.

    Raises UnreadableScan where too many could not.
    """
    rows, columns, depth = shape
    values = np.zeros((depth, rows, columns), dtype=np.float32)
    mask = members.heads[0].role == "mask"
    fraction = members.heads[0].fraction
    by_path: dict[Path, list[tuple[Slice, int]]] = {}
    for s, place in zip(members.slices, places, strict=True):
        by_path.setdefault(s.path, []).append((s, place))
    kept = np.zeros(depth, dtype=bool)
    problem: UnreadableScan | None = None
    for path, wanted in by_path.items():
        wanted.sort(key=lambda pair: pair[0].frame)
        try:
            pixels = decode(path, [s.frame for s, _ in wanted], (rows, columns))
            for (s, place), frame in zip(wanted, pixels, strict=True):
                kept[place] = True
                if mask:
                    np.maximum(values[place], frame > fraction, out=values[place])
                    continue
                values[place] = frame
                if (s.slope, s.intercept) != (1.0, 0.0):
                    values[place] *= np.float32(s.slope)
                    values[place] += np.float32(s.intercept)
        except UnreadableScan as error:
            problem = error
        except Exception:
            problem = UnreadableScan(path.name, "damaged")
    if problem is not None and (mask or not kept.any() or len(places) - int(kept.sum()) > len(places) // 4):
        raise problem
    mend(name, values)
    return np.moveaxis(values, 0, -1), kept

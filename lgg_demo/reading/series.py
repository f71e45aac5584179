"""DICOM series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from pydicom import Dataset

from lgg_demo.case import Found, ReadError, Volume, uids_of
from lgg_demo.grid import places_of
from lgg_demo.messages import Sentence
from lgg_demo.reading.dicom import Head, Slice, read_head
from lgg_demo.reading.layout import natural_key
from lgg_demo.reading.limits import LARGEST_VALUE, MOST_ALIKE, MOST_VOLUMES, MOST_VOXELS, SAME_PLACE, SAME_PLANE
from lgg_demo.reading.pixels import decode
from lgg_demo.reading.placement import Order, along_normal, has_place, place, same_spacing
from lgg_demo.reading.segments import choose_segments
from lgg_demo.reading.volumes import broken, check_grid, reliable
from lgg_demo.reading.watch import PICTURE_SECONDS, VOLUME_SECONDS

Pair = tuple[Slice, Head]
Opening = Callable[[Path, float], None]

_OVERLAP = 0.8  # of the thickness: pieces of one series do not lie closer
_WHOLE = 0.6  # of the places: a kind of picture that has these is a volume of its own


def read_dicom(paths: Iterable[Path]) -> tuple[list[Volume], list[ReadError]]:
    """Every volume of DICOM files, in whatever order, and one error for each file or series that cannot be used."""
    found, problems = find_dicom(paths)
    volumes: list[Volume] = []
    voxels = 0
    for one in found:
        try:
            voxels += one.voxels
            if voxels > MOST_VOXELS:
                raise ReadError(one.paths[0].name, "too_much_at_once")
            volumes.append(one.load())
        except ReadError as error:
            problems.append(error)
    return volumes, problems


def find_dicom(paths: Iterable[Path], opening: Opening = lambda path, seconds: None) -> tuple[list[Found], list[ReadError]]:
    """The volumes that DICOM headers promise: each series once, or once for each echo, time, size or plane it holds.

    opening: is told of every file before its header, and later its pixels, are read, and how many seconds that may take.
    """
    heads, problems, unread = _read_heads(paths, opening)
    series: dict[tuple[str, str], list[Head]] = {}
    for head in heads:
        # Without a UID, files of several folders are hardly one series.
        series.setdefault((head.study, head.series or str(head.path.parent)), []).append(head)
    found: list[Found] = []
    names: Counter[str] = Counter()  # over all studies: a name is what a user chooses a sequence by
    for members in (m for whole in _joined(list(series.values())) for m in _volumes_of(whole)):
        first = members.heads[0]
        base = "series" if first.number is None else f"series-{first.number}"
        names[base] += 1
        name = base if names[base] == 1 else f"{base}-{names[base]}"
        try:
            beside = sum(unread[folder] for folder in {h.path.parent for h in members.heads})
            found.append(_promise(name, members, beside, opening))
        except ReadError as error:
            problems.append(error)
        except Exception as error:  # a header may hold anything; it costs its own series alone
            problems.append(broken(first.path.name, error))
    return found, problems


def _read_heads(paths: Iterable[Path], opening: Opening) -> tuple[list[Head], list[ReadError], Counter[Path]]:
    """The headers of pictures, each once, the errors, and by folder how many files are damaged."""
    heads: list[Head] = []
    problems: list[ReadError] = []
    refused: Counter[tuple[str, Path]] = Counter()
    seen: set[tuple[object, ...]] = set()
    for path in dict.fromkeys(paths):
        opening(path, PICTURE_SECONDS)
        try:
            head = read_head(path)
        except ReadError as error:
            key = (error.sentence.key, path.parent)
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
        heads.append(head)
    return heads, problems, Counter({folder: n for (key, folder), n in refused.items() if key == "damaged"})


# Series in pieces


def _joined(series: list[list[Head]]) -> list[list[Head]]:
    """Series, together where they are pieces of one: some scanners and archives give every slice, or every other one, a
    UID of its own.

    Pieces are of one study and one series number, are described alike and lie between each other. Where each is one slice,
    the number may differ too.
    """
    alike: list[list[list[Head]]] = []
    for heads in series:
        group = next((g for g in alike if _alike(g[0], heads)), None)
        if group is None:
            alike.append([heads])
        else:
            group.append(heads)
    whole: list[list[Head]] = []
    for group in alike:
        by_number: dict[int | None, list[list[Head]]] = {}
        for heads in group:
            by_number.setdefault(heads[0].number, []).append(heads)
        parts = [_together(own) if _complementary(own) else own for own in by_number.values()]
        pieces = list(chain.from_iterable(parts))
        counted = len(pieces) > 2 and len(by_number) == len(pieces) and bool(pieces[0][0].description)
        singles = counted and all(len(_slices_of(heads)) == 1 for heads in pieces)
        whole += _together(pieces) if singles and _complementary(pieces) else pieces
    return whole


def _together(pieces: list[list[Head]]) -> list[list[Head]]:
    return [list(chain.from_iterable(pieces))]


def _alike(a: list[Head], b: list[Head]) -> bool:
    """Whether two series, each of one plane and size, may be pieces of one by all but their positions."""
    one, other = a[0], b[0]
    if (one.study, one.description, one.role, one.size) != (other.study, other.description, other.role, other.size):
        return False
    if one.role == "mask" or not (one.study or one.path.parent == other.path.parent):
        return False
    slices = _slices_of([*a, *b])
    return (
        all(map(has_place, slices))
        and len({head.size for head in (*a, *b)}) == 1
        and all(_same_plane(s, slices[0]) for s in slices)
        and same_spacing(slices)
    )


def _complementary(pieces: list[list[Head]]) -> bool:
    """Whether pieces make one even series: no two at one place, unless each is one slice and every place has as many."""
    if len(pieces) < 2:
        return False
    slices = _slices_of(chain.from_iterable(pieces))
    single = len(slices) == len(pieces)
    places = _places([(s, pieces[0][0]) for s in slices])
    if {len(same) for same in places} != {1}:
        return single and len({len(same) for same in places}) == 1
    steps = np.diff(along_normal([same[0][0] for same in places]))
    return places_of(steps) is not None and (single or float(np.median(steps)) >= _OVERLAP * (slices[0].thickness or 0.0))


def _slices_of(heads: Iterable[Head]) -> list[Slice]:
    return [s for head in heads for s in head.slices]


def _same_plane(s: Slice, other: Slice) -> bool:
    if s.directions is None or other.directions is None:
        return s.directions is other.directions
    return bool(np.abs(s.directions - other.directions).max() < SAME_PLANE)


# Series with several volumes


@dataclass(frozen=True)
class _Members:
    """The slices of one volume in their order, and their headers.

    order: what that is by. repeated: others at the same positions were left out.
    """

    slices: list[Slice]
    heads: list[Head]
    order: Order = "position"
    repeated: bool = False


def _volumes_of(heads: list[Head]) -> list[_Members]:
    """A series taken apart: by size and plane of the slices, then by how often each position comes."""
    found: list[_Members] = []
    for pairs in _planes_of(heads):
        mask = pairs[0][1].role == "mask"
        if not has_place(pairs[0][0]):
            pairs.sort(key=lambda pair: (pair[0].number, natural_key(pair[0].path.name)))
            found.append(_members(pairs, "number"))
        elif mask:
            pairs.sort(key=lambda pair: (pair[0].path.name, pair[0].number))
            found.append(_members(pairs))
        elif one := _without_a_place(pairs):
            found.append(one)
        else:
            found += _by_place(pairs)
    return found


def _planes_of(heads: list[Head]) -> list[list[Pair]]:
    """The slices of a series by size and plane, those without a place apart."""
    planes: list[list[Pair]] = []
    for head in heads:
        for s in head.slices:
            for pairs in planes:
                other, other_head = pairs[0]
                same_kind = head.size == other_head.size and (head.role == "mask") == (other_head.role == "mask")
                if same_kind and has_place(s) == has_place(other) and _same_plane(s, other):
                    pairs.append((s, head))
                    break
            else:
                planes.append([(s, head)])
    return planes


def _members(pairs: Sequence[Pair], order: Order = "position", repeated: bool = False) -> _Members:
    heads = {id(head): head for _, head in pairs}
    return _Members([s for s, _ in pairs], list(heads.values()), order, repeated)


def _without_a_place(pairs: list[Pair]) -> _Members | None:
    """Slices that all share one position, which is none then, by their locations or numbers; None where they do not.

    Pictures of different kinds, as of several echoes, may be of one slice indeed.
    """
    if len(pairs) < 2 or len(_places(pairs)) > 1:
        return None
    if len({s.location for s, _ in pairs if s.location is not None}) == len(pairs):
        return _members(sorted(pairs, key=lambda pair: pair[0].location or 0.0), "location")
    if len({s.kind for s, _ in pairs}) > 1:
        return None
    return _members(sorted(pairs, key=lambda pair: (pair[0].number, natural_key(pair[0].path.name))), "number")


def _places(pairs: list[Pair]) -> list[list[Pair]]:
    """Slices grouped by their position along the normal, from the lowest on."""
    along = along_normal([s for s, _ in pairs])
    places: list[list[Pair]] = []
    last = -math.inf
    for n in sorted(range(len(pairs)), key=lambda n: (along[n], n)):
        if along[n] - last > SAME_PLACE:
            places.append([])
            last = float(along[n])
        places[-1].append(pairs[n])
    for same in places:
        same.sort(key=lambda pair: (pair[0].kind, pair[0].number, pair[0].path.name))
    return places


def _by_place(pairs: list[Pair]) -> list[_Members]:
    """The volumes of slices with positions: as many as each place has slices or, where that differs, kinds of picture."""
    places = _places(pairs)
    copies = {len(same) for same in places}
    if len(copies) == 1:
        return [_members([same[n] for same in places]) for n in range(min(copies.pop(), MOST_VOLUMES))]
    kinds: dict[tuple[float | str, ...], list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault(pair[0].kind, []).append(pair)
    apart = [_places(kinds[kind]) for kind in sorted(kinds)]
    if len(kinds) > 1 and all(len(own) == sum(map(len, own)) >= _WHOLE * len(places) for own in apart):
        return [_members([same[0] for same in own]) for own in apart[:MOST_VOLUMES]]
    return [_members([same[0] for same in places], repeated=True)]


# Volumes


def _promise(name: str, members: _Members, unread: int, opening: Opening) -> Found:
    """A volume of sorted slices with its grid. unread: damaged files beside it. Raises ReadError."""
    first, slices = members.heads[0], members.slices
    mask = first.role == "mask"
    warnings: list[Sentence] = []
    if members.repeated:
        warnings.append(Sentence("series_duplicates", {"file": name}))
    if any(head.burned_in for head in members.heads):
        warnings.append(Sentence("burned_in", {"file": name}))
    if unread and not mask:
        warnings.append(Sentence("series_unread", {"file": name, "files": unread}))
    chosen: dict[Path, set[int]] | None = None
    if mask:
        chosen, told = _chosen_segments(name, members)
        warnings += told
    placement = place(first.path.name, name, slices, first.size, members.order, mask)
    warnings += placement.warnings
    grid, places = placement.grid, placement.places
    check_grid(first.path.name, grid)
    paths = tuple(dict.fromkeys(s.path for s in slices))
    by_path = {head.path: head.instance for head in members.heads}
    instances = tuple(by_path[path] for path in paths) if members.order == "position" and not mask else ()

    def load() -> Volume:
        if mask:
            values, told = _mask_values(grid.shape, members, places, chosen, opening), []
        else:
            values, damaged = _scan_values(name, grid.shape, members, places, opening)
            told = [Sentence("series_damaged", {"file": name, "slices": damaged})] if damaged else []
        values = np.moveaxis(values, 0, -1)
        return Volume(values, grid, name, first.description, first.role or "flair", paths, instances, (*warnings, *told))

    return Found(
        name,
        first.description,
        first.role,
        first.study,
        paths,
        grid,
        reliable(first.path.name, load),
        dicom=True,
        uids=uids_of(instances),
        warnings=tuple(warnings),
        frame_of_reference=str(first.instance.get("FrameOfReferenceUID", "")),
        refers_to=frozenset().union(*(head.refers_to for head in members.heads)),
    )


def _chosen_segments(name: str, members: _Members) -> tuple[dict[Path, set[int]] | None, list[Sentence]]:
    """The numbers of the segments that count, by file, None for all, and what to say of it. Raises ReadError."""
    file = members.heads[0].path.name
    described = [segment for head in members.heads for segment in head.segments]
    used = {(s.path, s.segment) for s in members.slices if s.segment is not None}
    count = len(described) or len(used)
    lesions, told = choose_segments(file, name, described, count)
    if lesions is None:
        return None, told
    if not used and not all(head.label_map for head in members.heads):
        raise ReadError(file, "segments_unnamed", segments=count)  # no frame says which it is of
    return {head.path: {s.number for s in head.segments if s in lesions} for head in members.heads}, told


def drawn_on(mask: Found, instances: Sequence[Dataset]) -> bool:
    """Whether a segmentation may belong to the series of these headers, as far as the UIDs of both tell.

    It does where it refers to the series or to one of its files, or is of the same study.
    """
    own = {str(i.get(keyword, "")) for i in instances for keyword in ("SeriesInstanceUID", "SOPInstanceUID")} - {""}
    studies = {str(i.get("StudyInstanceUID", "")) for i in instances} - {""}
    return bool(own & mask.refers_to) or not mask.study or not studies or mask.study in studies


def _by_path(members: _Members, places: Sequence[int]) -> dict[Path, list[tuple[Slice, int]]]:
    """The slices of each file in the order of its frames, and the place of each."""
    by_path: dict[Path, list[tuple[Slice, int]]] = {}
    for s, at in zip(members.slices, places, strict=True):
        by_path.setdefault(s.path, []).append((s, at))
    return {path: sorted(wanted, key=lambda pair: pair[0].frame) for path, wanted in by_path.items()}


def _mask_values(
    shape: tuple[int, int, int],
    members: _Members,
    places: Sequence[int],
    chosen: Mapping[Path, Collection[int]] | None,
    opening: Opening,
) -> np.ndarray:
    """(slices, rows, columns) float32 of 0 and 1. chosen: segments that count, by file, None for all. Raises
    ReadError.
    """
    rows, columns, depth = shape
    values = np.zeros((depth, rows, columns), dtype=np.float32)
    heads = {head.path: head for head in members.heads}
    for path, frames in _by_path(members, places).items():
        head = heads[path]
        wanted = [(s, at) for s, at in frames if chosen is None or head.label_map or s.segment in chosen[path]]
        if not wanted:
            continue
        opening(path, VOLUME_SECONDS)
        for (_, at), frame in zip(wanted, decode(path, [s.frame for s, _ in wanted], (rows, columns)), strict=True):
            inside = np.isin(frame, list(chosen[path])) if head.label_map and chosen is not None else frame > head.fraction
            np.maximum(values[at], inside, out=values[at])
    return values


def _scan_values(
    name: str, shape: tuple[int, int, int], members: _Members, places: Sequence[int], opening: Opening
) -> tuple[np.ndarray, int]:
    """(slices, rows, columns) float32 in the file's units, and how many slices are damaged.

    What is no picture (padding, slices that are missing or damaged) has the darkest value of the rest. Raises
    ReadError where more than a quarter of the slices is damaged.
    """
    rows, columns, depth = shape
    values = np.full((depth, rows, columns), np.nan, dtype=np.float32)
    kept = np.zeros(depth, dtype=bool)
    problem: ReadError | None = None
    for path, wanted in _by_path(members, places).items():
        opening(path, VOLUME_SECONDS)
        try:
            for (s, at), frame in zip(wanted, decode(path, [s.frame for s, _ in wanted], (rows, columns)), strict=True):
                values[at] = _in_units(s, frame)
                kept[at] = True
        except ReadError as error:
            problem = error
        except Exception as error:  # as in `reliable`, but one file costs no more than its slices
            problem = broken(path.name, error)
    damaged = len(places) - int(kept.sum())
    if problem is not None and (not kept.any() or damaged > len(places) // 4):
        raise problem
    least, most = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isnan(least):
        if not any(s.padding for s in members.slices):
            raise ReadError(name, "damaged")
        least = most = np.float32(0.0)  # all of it is said to be padding: blank, not damaged
    if members.heads[0].inverted:
        np.subtract(most, values, out=values)
        least = np.float32(0.0)
    values[np.isnan(values)] = least
    return values, damaged


def _in_units(s: Slice, frame: np.ndarray) -> np.ndarray:
    """Stored values (rows, columns) in the file's units, float32, NaN where they are padding or no intensity."""
    values = frame.astype(np.float32)
    if (s.slope, s.intercept) != (1.0, 0.0):
        values *= np.float32(s.slope)
        values += np.float32(s.intercept)
    if s.padding is not None:
        values[(frame >= s.padding[0]) & (frame <= s.padding[1])] = np.nan
    values[~(np.abs(values) < LARGEST_VALUE)] = np.nan
    return values

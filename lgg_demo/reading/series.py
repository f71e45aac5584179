"""DICOM series: which slices are one volume, and what it holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from lgg_demo.case import Found, ReadError, Volume, uids_of
from lgg_demo.grid import places_of
from lgg_demo.messages import Sentence
from lgg_demo.reading.dicom import Head, Slice, read_slices
from lgg_demo.reading.layout import natural_key
from lgg_demo.reading.limits import LARGEST_VALUE, MOST_ALIKE, MOST_VOLUMES, SAME_PLACE, SAME_PLANE
from lgg_demo.reading.pixels import decode
from lgg_demo.reading.placement import Order, along_normal, has_place, place, same_spacing
from lgg_demo.reading.segments import choose_segments
from lgg_demo.reading.volumes import check_grid, one_sentence
from lgg_demo.reading.watch import PICTURE_SECONDS, VOLUME_SECONDS

T = TypeVar("T")
Slices = list[Slice]
Placed = list[tuple[Slice, int]]  # with the place of each
Chosen = Mapping[Head, set[int]]  # numbers of segments by file
Opening = Callable[[Path, float], None]

_OVERLAP = 0.8  # of the thickness: pieces of one series do not lie closer
_WHOLE = 0.6  # of the places: a kind of picture that has these is a volume of its own


def find_dicom(paths: Iterable[Path], opening: Opening = lambda path, seconds: None) -> tuple[list[Found], list[ReadError]]:
    """The volumes that DICOM headers promise: each series once, or once for each echo, time, size or plane it holds.

    opening: is told of every file before its header, and later its pixels, are read, and how many seconds that may take.
    """
    files, problems, unread = _read_files(paths, opening)
    series: dict[tuple[str, str], Slices] = defaultdict(list)
    for head, slices in files.items():
        # Without a UID, files of several folders are hardly one series.
        series[head.study, head.series or str(head.path.parent)] += slices
    stacks = _named(stack for whole in _joined(list(series.values())) for stack in _stacks_of(whole))
    found: list[Found] = []
    for name, stack in stacks.items():
        beside = sum(unread[folder] for folder in {head.path.parent for head in stack.heads})
        strays = [other for other, own in stacks.items() if _may_be_pieces(own, stack)]
        try:
            with one_sentence(stack.first.path.name):  # a header may hold anything; it costs its own series alone
                found.append(_promise(name, stack, _beside(name, beside, strays), opening))
        except ReadError as error:
            problems.append(error)
    return found, problems


def _read_files(
    paths: Iterable[Path], opening: Opening
) -> tuple[dict[Head, tuple[Slice, ...]], list[ReadError], Counter[Path]]:
    """The slices of each image, the errors, and by folder how many files are damaged."""
    images: dict[object, tuple[Slice, ...]] = {}
    refused: dict[tuple[Path, str], list[ReadError]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        opening(path, PICTURE_SECONDS)
        try:
            if slices := read_slices(path):
                images.setdefault(_image_of(slices[0]), slices)  # the same once more, whatever its file is called
        except ReadError as error:
            refused[path.parent, error.sentence.key].append(error)
    problems = [error for alike in refused.values() for error in alike[:MOST_ALIKE]]  # of a CT not 300 sentences
    unread = Counter({folder: len(alike) for (folder, key), alike in refused.items() if key == "damaged"})
    return {slices[0].head: slices for slices in images.values()}, problems, unread


def _image_of(s: Slice) -> object:
    """What tells an image from others: careless anonymisers give all one UID, but they lie apart."""
    instance = s.head.instance
    at = None if s.position is None else tuple(s.position.tolist())
    return instance.get("SOPInstanceUID", s.head.path), instance.get("InstanceNumber"), at


# Series in pieces


def _grouped(members: Iterable[T], alike: Callable[[T, T], bool]) -> list[list[T]]:
    """Members in groups, each of what is like its first."""
    groups: list[list[T]] = []
    for member in members:
        group = next((group for group in groups if alike(group[0], member)), None)
        if group is None:
            groups.append([member])
        else:
            group.append(member)
    return groups


def _joined(series: list[Slices]) -> list[Slices]:
    """Series, together where they are pieces of one: some scanners and archives give every slice, or every other one, a
    UID of its own.

    Pieces are of one study and one series number, are described alike and lie between each other. Where each is one slice,
    the number may differ too.
    """
    whole: list[Slices] = []
    for group in _grouped(series, _alike):
        numbers: dict[int | None, list[Slices]] = defaultdict(list)
        for slices in group:
            numbers[slices[0].head.number].append(slices)
        pieces = [piece for own in numbers.values() for piece in _together(own)]
        single = len(pieces) > 2 and len(numbers) == len(pieces) and all(len(piece) == 1 for piece in pieces)
        whole += _together(pieces) if single and pieces[0][0].head.description else pieces
    return whole


def _together(pieces: list[Slices]) -> list[Slices]:
    """Pieces as one where they make one even series: no two at one place, unless each is one slice and every place has as
    many.
    """
    if len(pieces) < 2:
        return pieces
    slices = list(chain.from_iterable(pieces))
    single, places = len(slices) == len(pieces), _places(slices)
    copies = {len(same) for same in places}
    if copies == {1}:
        steps = np.diff(along_normal([same[0] for same in places]))
        apart = single or float(np.median(steps)) >= _OVERLAP * (slices[0].thickness or 0.0)
        complementary = apart and places_of(steps) is not None
    else:
        complementary = single and len(copies) == 1
    return [slices] if complementary else pieces


def _alike(a: Slices, b: Slices) -> bool:
    """Whether two series, each of one plane and size, may be pieces of one by all but their positions."""
    one, other, slices = a[0].head, b[0].head, [*a, *b]
    return (
        (one.study, one.description, one.role) == (other.study, other.description, other.role)
        and not one.mask
        and bool(one.study or one.path.parent == other.path.parent)
        and all(has_place(s) and s.head.size == one.size and _same_plane(s, a[0]) for s in slices)
        and same_spacing(slices)
    )


def _same_plane(s: Slice, other: Slice) -> bool:
    if s.directions is None or other.directions is None:
        return s.directions is other.directions
    return bool(np.abs(s.directions - other.directions).max() < SAME_PLANE)


# Series with several volumes


@dataclass(frozen=True)
class _Stack:
    """The slices of one volume in their order.

    order: what that is by. repeated: others at the same positions were left out.
    """

    slices: Slices
    order: Order = "position"
    repeated: bool = False

    @property
    def first(self) -> Head:
        """The header of the first slice."""
        return self.slices[0].head

    @property
    def heads(self) -> list[Head]:
        """The header of each file."""
        return list(dict.fromkeys(s.head for s in self.slices))


def _stacks_of(slices: Slices) -> list[_Stack]:
    """A series taken apart: by size and plane of the slices, then by how often each position comes."""
    found: list[_Stack] = []
    for plane in _grouped(slices, _of_one_plane):
        if not has_place(plane[0]):
            found.append(_Stack(sorted(plane, key=_by_number), "number"))
        elif plane[0].head.mask:
            found.append(_Stack(sorted(plane, key=lambda s: (s.head.path.name, s.number))))
        else:
            found += _without_a_place(plane) or _by_place(plane)
    return found


def _of_one_plane(s: Slice, other: Slice) -> bool:
    of = [(one.head.size, one.head.mask, has_place(one)) for one in (s, other)]
    return of[0] == of[1] and _same_plane(s, other)


def _by_number(s: Slice) -> tuple[object, ...]:
    return s.number, natural_key(s.head.path.name)


def _without_a_place(slices: Slices) -> list[_Stack]:
    """Slices that all share one position, which is none then, by their locations or numbers; nothing where they do not.

    Pictures of different kinds, as of several echoes, may be of one slice indeed.
    """
    if len(slices) < 2 or len(_places(slices)) > 1:
        return []
    if len({s.location for s in slices if s.location is not None}) == len(slices):
        return [_Stack(sorted(slices, key=lambda s: s.location or 0.0), "location")]
    return [_Stack(sorted(slices, key=_by_number), "number")] if len({s.kind for s in slices}) == 1 else []


def _places(slices: Slices) -> list[Slices]:
    """Slices grouped by their position along the normal, from the lowest on."""
    along = along_normal(slices)
    order = np.argsort(along, kind="stable")
    apart = np.flatnonzero(np.diff(along[order]) > SAME_PLACE) + 1
    places = [[slices[n] for n in same] for same in np.split(order, apart)]
    return [sorted(same, key=lambda s: (s.kind, s.number, s.head.path.name)) for same in places]


def _by_place(slices: Slices) -> list[_Stack]:
    """The volumes of slices with positions: as many as each place has slices or, where that differs, kinds of picture."""
    places = _places(slices)
    copies = {len(same) for same in places}
    if len(copies) == 1:
        return [_Stack(list(own)) for own in list(zip(*places, strict=True))[:MOST_VOLUMES]]
    kinds: dict[tuple[float | str, ...], Slices] = defaultdict(list)
    for s in slices:
        kinds[s.kind].append(s)
    apart = [_places(kinds[kind]) for kind in sorted(kinds)]
    if len(kinds) > 1 and all(len(own) == sum(map(len, own)) >= _WHOLE * len(places) for own in apart):
        return [_Stack([same[0] for same in own]) for own in apart[:MOST_VOLUMES]]
    return [_Stack([same[0] for same in places], repeated=True)]


# Volumes


def _named(stacks: Iterable[_Stack]) -> dict[str, _Stack]:
    """Stacks by the name of their volume, over all studies: a name is what a user chooses a sequence by."""
    named: dict[str, _Stack] = {}
    names: Counter[str] = Counter()
    for stack in stacks:
        base = "series" if stack.first.number is None else f"series-{stack.first.number}"
        names[base] += 1
        named[base if names[base] == 1 else f"{base}-{names[base]}"] = stack
    return named


def _may_be_pieces(other: _Stack, stack: _Stack) -> bool:
    """Whether a damaged header may have taken the slices of another volume out of one.

    They are fewer, say no other sequence, and have the same number of a series, or no number or UID. Where both say FLAIR
    the user is told anyway.
    """
    one, of = other.first, stack.first
    return (
        one.role in {None, of.role} - {"flair"}
        and one.study == of.study
        and len(other.slices) < len(stack.slices)
        and (not one.series or one.number in (None, of.number))
    )


def _beside(name: str, unread: int, strays: Sequence[str]) -> list[Sentence]:
    """What to say of damaged files beside a series, and of volumes that may be pieces of it."""
    told = [Sentence("series_unread", {"file": name, "files": unread})] if unread else []
    return told + ([Sentence("series_strays", {"file": name, "which": ", ".join(strays)})] if strays else [])


def _promise(name: str, stack: _Stack, beside: Sequence[Sentence], opening: Opening) -> Found:
    """A volume of sorted slices with its grid. beside: what to say of what lies beside it. Raises ReadError."""
    first, heads = stack.first, stack.heads
    flags = {"series_duplicates": stack.repeated, "burned_in": any(head.burned_in for head in heads)}
    warnings = [Sentence(key, {"file": name}) for key, so in flags.items() if so]
    chosen, told = _chosen_segments(name, stack) if first.mask else (None, beside)
    placement = place(first.path.name, name, stack.slices, stack.order)
    warnings += [*told, *placement.warnings]
    grid = placement.grid
    check_grid(first.path.name, grid)
    paths = tuple(head.path for head in heads)
    instances = tuple(head.instance for head in heads) if stack.order == "position" and not first.mask else ()

    def load() -> Volume:
        with one_sentence(first.path.name):
            files = _by_file(stack, placement.places)
            if first.mask:
                values, damaged = _mask_values(grid.shape, files, chosen, opening), 0
            else:
                values, damaged = _scan_values(name, grid.shape, files, opening)
            values, role, told = np.moveaxis(values, 0, -1), first.role or "flair", list(warnings)
            if damaged:
                told.append(Sentence("series_damaged", {"file": name, "slices": damaged}))
            return Volume(values, grid, name, first.description, role, paths, instances, tuple(told))

    return Found(
        name,
        first.description,
        first.role,
        first.study,
        paths,
        grid,
        load,
        dicom=True,
        uids=uids_of(instances),
        warnings=tuple(warnings),
        refers_to=frozenset().union(*(head.refers_to for head in heads)),
        patient=first.patient,
        date=first.date,
    )


def _chosen_segments(name: str, stack: _Stack) -> tuple[Chosen | None, list[Sentence]]:
    """The segments that count, None for all, and what to say of it. Raises ReadError."""
    file, heads = stack.first.path.name, stack.heads
    described = [segment for head in heads for segment in head.segments]
    used = {(s.head, s.segment) for s in stack.slices if s.segment is not None}
    count = len(described) or len(used)
    lesions, told = choose_segments(file, name, described, count)
    if lesions is None:
        return None, told
    if not used and not all(head.label_map for head in heads):
        raise ReadError(file, "segments_unnamed", segments=count)  # no frame says which it is of
    return {head: {s.number for s in head.segments if s in lesions} for head in heads}, told


def _by_file(stack: _Stack, places: Sequence[int]) -> dict[Head, Placed]:
    """The slices of each file in the order of its frames, and the place of each."""
    files: dict[Head, Placed] = defaultdict(list)
    for s, at in sorted(zip(stack.slices, places, strict=True), key=lambda pair: pair[0].frame):
        files[s.head].append((s, at))
    return files


def _frames(head: Head, wanted: Placed, opening: Opening) -> Iterator[tuple[Slice, int, np.ndarray]]:
    """The slices of one file, the place of each and its stored values, (rows, columns)."""
    opening(head.path, VOLUME_SECONDS)
    frames = decode(head.path, [s.frame for s, _ in wanted], head.size)
    for (s, at), frame in zip(wanted, frames, strict=True):
        yield s, at, frame


def _mask_values(
    shape: tuple[int, int, int], files: Mapping[Head, Placed], chosen: Chosen | None, opening: Opening
) -> np.ndarray:
    """(slices, rows, columns) float32 of 0 and 1. chosen: segments that count, None for all. Raises ReadError."""
    rows, columns, depth = shape
    values = np.zeros((depth, rows, columns), dtype=np.float32)
    for head, placed in files.items():
        labels = None if chosen is None else chosen[head]
        wanted = [(s, at) for s, at in placed if labels is None or head.label_map or s.segment in labels]
        for _, at, frame in _frames(head, wanted, opening) if wanted else ():
            inside = np.isin(frame, list(labels)) if head.label_map and labels is not None else frame > head.fraction
            np.maximum(values[at], inside, out=values[at])
    return values


def _scan_values(
    name: str, shape: tuple[int, int, int], files: Mapping[Head, Placed], opening: Opening
) -> tuple[np.ndarray, int]:
    """(slices, rows, columns) float32 in the file's units, and how many slices are damaged.

    What is no picture (padding, slices that are missing or damaged) has the darkest value of the rest. Raises
    ReadError where more than a quarter of the slices is damaged.
    """
    rows, columns, depth = shape
    values = np.full((depth, rows, columns), np.nan, dtype=np.float32)
    kept: set[int] = set()
    problem: ReadError | None = None
    for head, placed in files.items():
        try:
            with one_sentence(head.path.name):  # one file costs no more than its slices
                for s, at, frame in _frames(head, placed, opening):
                    values[at] = _in_units(s, frame)
                    kept.add(at)
        except ReadError as error:
            problem = error
    slices = [s for placed in files.values() for s, _ in placed]
    damaged = len(slices) - len(kept)
    if problem is not None and (not kept or damaged > len(slices) // 4):
        raise problem
    least, most = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isnan(least):
        if not any(s.padding for s in slices):
            raise ReadError(name, "damaged")
        least = most = np.float32(0.0)  # all of it is said to be padding: blank, not damaged
    if slices[0].head.inverted:
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

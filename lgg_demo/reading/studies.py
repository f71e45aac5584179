"""Files, folders and zips to cases, one after the other: `read_cases` plans by headers, then reads what was planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from lgg_demo.case import Case, Listed, Notice, ReadError, Role, Scan, Study
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import Given, Item, Walk, walk
from lgg_demo.reading.checks import inspect
from lgg_demo.reading.layout import Key, Layout, folded, key_of, key_of_picture, numbered, parse
from lgg_demo.reading.limits import CHANNELS, MOST_SLICES, MOST_VALUES
from lgg_demo.reading.matching import Target, match_pictures, match_volumes
from lgg_demo.reading.pictures import Pages, read_pages, stack_pages, told
from lgg_demo.reading.plan import (
    Header,
    PicturePlan,
    Plan,
    Sorted,
    StudyPlan,
    free_name,
    given_references,
    nothing_in,
    plan_cases,
    sort_items,
)
from lgg_demo.reading.raster import held_values
from lgg_demo.reading.references import attach
from lgg_demo.reading.volumes import resample, with_role
from lgg_demo.reading.watch import PICTURE_SECONDS, opening
from lgg_demo.scratch import scratch


@dataclass(frozen=True)
class Request:
    """What is to be read. references: given as that, whatever they are called. choose: see `plan.plan_cases`. layout: the
    public one that the names of the inputs are in; of `auto` by the grammar of `layout`.

    skip: places that ended an earlier try, and `done`: how many cases of it were read before. most_slices: of all cases
    together; most_files: of all inputs; None is no bound.
    """

    inputs: tuple[Path | Given, ...]
    references: tuple[Path, ...] = ()
    choose: Mapping[str, str] = field(default_factory=dict)
    most_slices: int | None = None
    most_files: int | None = None
    skip: frozenset[PurePath] = frozenset()
    done: int = 0
    layout: Layout = "auto"


def read_cases(request: Request, work: Path) -> Iterator[Case | ReadError | Notice | int]:
    """Each case with its references, as soon as it is read, and whatever could not be read or was left out.

    One file's error costs that file alone. work: an empty folder of the caller's for what zips hold. Once all is planned,
    and after each case, comes how many are done, see `Request.done`.
    """
    scans = walk(request.inputs, work / "scans", request.skip, request.most_files)
    references = walk(request.references, work / "references", request.skip, outputs=True)
    for event in _events(request, scans, references):
        yield scans.aliases.named(references.aliases.named(event))


def _events(request: Request, scans: Walk, references: Walk) -> Iterator[Case | ReadError | Notice | int]:
    """What `read_cases` gives, under the names that the files have on the disk."""
    found, given = sort_items(scans, request.layout), sort_items(references)
    plans, masks, pictures = plan_cases(found, request.choose, request.layout)
    matched = _match(plans, found, masks, pictures, given)
    yield from [*found.notices, *given.notices]
    yield from [*found.errors, *given.errors, *matched.errors]
    yield from [*nothing_in(request.inputs, found), *nothing_in(request.references, given)]
    yield request.done
    read = _Reader(request)
    for n, plan in enumerate(plans[request.done :], request.done):
        for case in read.cases(plan):
            case, problems = attach(case, matched.pictures.get(n, []), matched.volumes.get(n, []))
            yield from problems
            yield replace(case, warnings=(*case.warnings, *inspect(case.scan)))
        yield from read.errors
        read.errors.clear()
        yield n + 1


class Read(NamedTuple):
    """All that was read, and what could not be or was left out."""

    cases: list[Case]
    errors: list[ReadError]
    notices: list[Notice]


def read_all(request: Request) -> Read:
    """`read_cases` to its end, in this process: for files that are trusted, and fit into memory together."""
    with scratch() as work:
        events = list(read_cases(request, Path(work)))
    return Read(
        [e for e in events if isinstance(e, Case)],
        [e for e in events if isinstance(e, ReadError)],
        [e for e in events if isinstance(e, Notice)],
    )


@dataclass
class _Matched:
    """The references of each case, by its place among the plans."""

    pictures: dict[int, list[tuple[Target, Item]]] = field(default_factory=dict)
    volumes: dict[int, list[Header]] = field(default_factory=dict)
    errors: list[ReadError] = field(default_factory=list)


def _match(
    plans: Sequence[Plan], found: Sorted, references: Sequence[Header], pictures: Sequence[Item], given: Sorted
) -> _Matched:
    """Each reference to the case it was drawn on; those that were given as references come instead of those found."""
    targets = [t for n, plan in enumerate(plans) for t in _targets(n, plan)]
    matched = _Matched()
    own_volumes, own_pictures = given_references(given, {t.place for t in targets})
    for is_given, images, volumes in ((True, own_pictures, own_volumes), (False, pictures, references)):
        before = {*matched.pictures, *matched.volumes}
        drawn, errors = match_pictures(targets, images, is_given)
        placed, more = match_volumes(targets, volumes, is_given, found.incomplete)
        matched.errors += [*errors, *more]
        for target, item in drawn:
            if target.case not in before:
                matched.pictures.setdefault(target.case, []).append((target, item))
        for target, header in placed:
            if target.case not in before:
                matched.volumes.setdefault(target.case, []).append(header)
    return matched


def _targets(n: int, plan: Plan) -> Iterator[Target]:
    """What references can belong to in a case that is planned: each file of pictures, or FLAIR."""
    if isinstance(plan, PicturePlan):
        yield from (Target(n, i.place, _said_of(i, key_of_picture(i.place, i.told))) for i in plan.items)
        return
    item, found = plan.flair.item, plan.flair.found
    key = plan.flair.key or _said_of(item, key_of(item.place, item.told))
    yield Target(n, item.place, key, found.grid, found.study if found.dicom else "", found.uids)


def _said_of(item: Item, key: Key) -> Key:
    """The key of a file by what a manifest or a flag says of it, else this one, by its name."""
    return key if item.subject is None else replace(key, folder=PurePath(), subject=folded(item.subject))


OTHERS: tuple[Role, ...] = ("pre", "post")


class _Reader:
    """Reads what is planned, within what may be held of it. errors: what could not be used of the case at hand."""

    def __init__(self, request: Request) -> None:
        self.errors: list[ReadError] = []
        self._bounded = request.most_slices is not None  # then all cases are held at once, else one after the other
        self._slices_left = request.most_slices
        self._values_left = MOST_VALUES
        self._taken: set[str] = set()

    def cases(self, plan: Plan) -> Iterator[Case]:
        """The case of a plan, or several where pictures of one series have several sizes."""
        try:
            if self._slices_left is not None and self._slices_left <= 0:
                raise ReadError(plan.place.name, "too_many_slices", slices=f"> {MOST_SLICES}", most=MOST_SLICES)
            for case in self._pictures(plan) if isinstance(plan, PicturePlan) else [self._study(plan)]:
                if self._bounded:
                    self._values_left -= case.scan.pixels.size if not case.scan.grey else case.scan.pixels[..., 0].size
                if self._slices_left is not None:
                    self._slices_left -= len(case.scan)
                yield case
        except ReadError as error:
            self.errors.append(error)

    def _pictures(self, plan: PicturePlan) -> Iterator[Case]:
        by_size: dict[tuple[int, ...], list[tuple[Item, Pages]]] = {}
        values = 0
        for item in plan.items:
            opening(item.place, PICTURE_SECONDS)
            try:
                if values > self._values_left:
                    raise ReadError(item.place.name, "too_much_at_once")
                pages = read_pages(item.path)
            except ReadError as error:
                self.errors.append(error)
                continue
            values += held_values(*pages.values.shape[:3])
            by_size.setdefault(pages.values.shape[1:3], []).append((item, pages))
        for members in by_size.values():
            try:
                yield self._stacked([item for item, _ in members], [pages for _, pages in members])
            except ReadError as error:
                self.errors.append(error)

    def _stacked(self, items: Sequence[Item], pages: Sequence[Pages]) -> Case:
        scan = stack_pages([(item.path, values) for item, values in zip(items, pages, strict=True)])
        files = tuple((free_name(i.shown, self._taken), n) for i, (_, n) in zip(items, scan.files, strict=True))
        stems = [numbered(i.place.stem)[0] or i.place.stem for i in items] if len(items) > 1 else [items[0].place.stem]
        said = parse(stems[0]).role
        warnings = (Sentence("named_other", {"file": files[0][0]}),) if said in ("pre", "post", "other") else ()
        known = told(zip((name for name, _ in files), pages, strict=True))
        return Case(
            replace(scan, files=files, name=stems[0]), tuple(Path(i.place) for i in items), warnings=(*warnings, *known)
        )

    def _study(self, plan: StudyPlan) -> Study:
        """One study; sequences that cannot be used are errors of their own. Raises ReadError where FLAIR cannot be read.

        While it is read, three times the largest volume comes on top of what stays.
        """
        flair = plan.flair.found
        picked = {role: plan.picked[role] for role in OTHERS if role in plan.picked}
        largest = max(h.found.voxels for h in (plan.flair, *picked.values()))
        if picked and 3 * flair.voxels + 2 * largest > self._values_left:
            self.errors += [ReadError(h.found.name, "too_much_at_once") for h in picked.values()]
            picked = {}
        if 3 * flair.voxels > self._values_left:
            raise ReadError(plan.place.name, "too_much_at_once")
        opening(plan.place)
        volume = flair.load()
        warnings = [*plan.warnings, *volume.warnings]
        grid = volume.grid
        stack = np.ascontiguousarray(grid.to_stack(volume.values))
        volume = replace(volume, values=stack[:0])  # large; the stack has them
        others: dict[Role, np.ndarray] = {}
        for role, header in picked.items():
            if (values := self._other(header, flair.name, grid, warnings)) is not None:
                others[role] = values
        if others:
            pixels = np.empty((*stack.shape, 3), dtype=np.float32)
            for role, channel in CHANNELS.items():
                pixels[..., channel] = others.pop(role, stack)
        else:
            pixels = np.broadcast_to(stack[..., None], (*stack.shape, 3))  # one stack in memory, not three
        grey = pixels.strides[-1] == 0
        scan = Scan(pixels, flair.name, ((flair.name, len(stack)),), grey, grid, volume.instances)
        sequences = tuple(
            Listed(h.found.name, h.found.description, h.role, h.found.grid.to_stack(_hollow(h.found.grid)).shape[0])
            for h in plan.volumes
        )
        chosen = {str(role): h.found.name for role, h in plan.picked.items()}
        return Study(scan, (Path(plan.place),), None, None, tuple(warnings), (), sequences, chosen)

    def _other(self, header: Header, flair: str, grid: Grid, warnings: list[Sentence]) -> np.ndarray | None:
        """Another sequence on FLAIR's slices; None where it cannot be read or lies elsewhere."""
        opening(header.item.place)
        try:
            volume = header.found.load()
        except ReadError as error:
            self.errors.append(error)
            return None
        warnings += [w for w in volume.warnings if w not in warnings and not w.key.startswith("segmentation_")]
        values = grid.to_stack(resample(with_role(volume, "other"), grid))
        if float(values.min()) == float(values.max()):
            warnings.append(Sentence("sequence_apart", {"file": header.found.name, "other": flair}))
            return None
        return values


def _hollow(grid: Grid) -> np.ndarray:
    """An array of the grid's shape that takes no memory."""
    return np.broadcast_to(np.uint8(0), grid.shape)

"""Files, folders and zips to cases, one after the other: `read_cases` plans by headers, then reads what was planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from lgg_demo.case import Case, Listed, Notice, ReadError, Role, Scan, Study, Tracked
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.archive import Given, Item, Walk, walk
from lgg_demo.reading.checks import inspect
from lgg_demo.reading.layout import Key, Layout, folded, key_of, key_of_picture, numbered, parse
from lgg_demo.reading.limits import CHANNELS, MOST_PICTURE_VALUES, MOST_SLICES, MOST_VALUES
from lgg_demo.reading.matching import Target, match
from lgg_demo.reading.movement import laid_on
from lgg_demo.reading.own_objects import leave_out_own
from lgg_demo.reading.patient import read_patient
from lgg_demo.reading.pictures import Pages, read_pages, stack_pages
from lgg_demo.reading.pictures import told as told_of_pages
from lgg_demo.reading.plan import (
    Header,
    PicturePlan,
    Plan,
    StudyPlan,
    free_name,
    given_references,
    nothing_in,
    plan_cases,
    sort_items,
)
from lgg_demo.reading.raster import held_values
from lgg_demo.reading.references import attach
from lgg_demo.reading.visits import visits_of
from lgg_demo.reading.volumes import resample
from lgg_demo.reading.watch import PICTURE_SECONDS, opening
from lgg_demo.scratch import scratch


@dataclass(frozen=True)
class Request:
    """What is to be read. references: given as that, whatever they are called. choose: see `plan.plan_cases`. layout: the
    public one that the names of the inputs are in; of `auto` by the grammar of `layout`. choices: as
    choose for single studies, each for the one whose volumes it names. register: whether a sequence that does not lie on
    FLAIR, as the patient has moved, is registered to it. keep_patient: whether DICOM results are to go into the patient's
    own study, so that the attributes of patient and study are read; nothing else here ever knows them.

    skip: places that ended an earlier try, and `done`: how many cases of it were read before. most_slices: of all cases
    together; most_files: of all inputs; None is no bound.
    """

    inputs: tuple[Path | Given, ...]
    references: tuple[Path, ...] = ()
    choose: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Mapping[str, str], ...] = ()
    register: bool = False
    most_slices: int | None = None
    most_files: int | None = None
    skip: frozenset[PurePath] = frozenset()
    done: int = 0
    layout: Layout = "auto"
    keep_patient: bool = False


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
    tracked = [*leave_out_own(scans), *leave_out_own(references)]
    found, given = sort_items(scans, request.layout), sort_items(references)
    plans, masks, pictures = plan_cases(found, request.choose, request.layout, request.choices)
    visits = visits_of(plans)
    targets = [target for n, plan in enumerate(plans) for target in _targets(n, plan)]
    told = match(targets, *given_references(given, {t.place for t in targets}), given=True)
    among = match(targets, masks, pictures, given=False, incomplete=found.incomplete)
    yield from [*found.notices, *given.notices]
    yield from [*found.errors, *given.errors, *told.errors, *among.errors]
    yield from [*nothing_in(request.inputs, found), *nothing_in(request.references, given)]
    yield request.done
    read = _Reader(request)
    for n, plan in enumerate(plans[request.done :], request.done):
        own = told if n in told.cases else among  # those that were given as references come instead of those found
        visit = visits[n]
        for case in read.cases(plan):
            case, masks = _with_masks(case, plan, own.volumes.get(n, []))
            case, problems = attach(case, own.pictures.get(n, {}), masks)
            yield from problems
            warnings = (*case.warnings, *inspect(case.scan))
            yield replace(case, warnings=warnings, visit=visit, tracked=_tracked(plan, tracked))
            visit = None  # pictures of another size are no other visit
        yield from read.errors
        read.errors.clear()
        yield n + 1


def _tracked(plan: Plan, tracked: Iterable[Tracked]) -> tuple[Tracked, ...]:
    """What earlier objects of ours say of the patient of a DICOM study."""
    if not isinstance(plan, StudyPlan) or not plan.flair.found.dicom:
        return ()
    flair = plan.flair.found
    return tuple(t for t in tracked if t.study == flair.study or (t.patient and t.patient == flair.patient))


def _with_masks(case: Case, plan: Plan, masks: list[Header]) -> tuple[Case, list[Header]]:
    """A study with the references that were found for it, and those of them that the user has not said are none."""
    if not isinstance(case, Study) or not isinstance(plan, StudyPlan):
        return case, masks
    kept = [m for m in masks if plan.reference in (None, m.found.name)]
    return replace(case, masks=tuple(_listed(m, m in kept) for m in masks)), kept


def _listed(mask: Header, used: bool) -> Listed:
    return Listed(mask.found.name, mask.found.description, "mask" if used else None, mask.found.grid.stack_shape[0])


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


class _Onto(NamedTuple):
    """The FLAIR of a study, (S, H, W), that its other sequences are laid on. register: also those that have moved."""

    name: str
    stack: np.ndarray
    grid: Grid
    register: bool


class _Reader:
    """Reads what is planned, within what may be held of it. errors: what could not be used of the case at hand."""

    def __init__(self, request: Request) -> None:
        self.errors: list[ReadError] = []
        self._register, self._keep_patient = request.register, request.keep_patient
        self._bounded = request.most_slices is not None  # then what comes of all cases is held at once
        self._slices_left = request.most_slices
        self._values_left = MOST_VALUES
        self._picture_values_left = MOST_PICTURE_VALUES if self._bounded else MOST_VALUES
        self._taken: set[str] = set()

    def cases(self, plan: Plan) -> Iterator[Case]:
        """The case of a plan, or several where pictures of one series have several sizes."""
        try:
            if self._slices_left is not None and self._slices_left <= 0:
                raise ReadError(plan.place.name, "too_many_slices", slices=f"> {MOST_SLICES}", most=MOST_SLICES)
            for case in self._pictures(plan) if isinstance(plan, PicturePlan) else [self._study(plan)]:
                if self._bounded:
                    self._values_left -= case.scan.values_held
                    self._picture_values_left -= case.scan.values_held if isinstance(plan, PicturePlan) else 0
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
                if values > min(self._values_left, self._picture_values_left):
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
        known = told_of_pages(zip((name for name, _ in files), pages, strict=True))
        return Case(
            replace(scan, files=files, name=stems[0]), tuple(Path(i.place) for i in items), warnings=(*warnings, *known)
        )

    def _study(self, plan: StudyPlan) -> Study:
        """One study; sequences that cannot be used are errors of their own. Raises ReadError where FLAIR cannot be read."""
        flair = plan.flair.found
        picked = self._affordable(plan)
        opening(plan.place)
        volume = flair.load()
        warnings = [*plan.warnings, *volume.warnings]
        grid, instances = volume.grid, volume.instances
        stack = np.ascontiguousarray(grid.to_stack(volume.values))
        del volume  # large; the stack has its values
        onto = _Onto(flair.name, stack, grid, self._register or plan.register)
        read = {role: self._other(header, onto, warnings) for role, header in picked.items()}
        others = {role: values for role, values in read.items() if values is not None}
        pixels = np.broadcast_to(stack[..., None], (*stack.shape, 3))  # one stack in memory, not three
        if others:
            pixels = np.stack([others.get(role, stack) for role in CHANNELS], axis=-1)
        patient = read_patient(flair.paths[0]) if self._keep_patient and flair.dicom else None
        scan = Scan(pixels, flair.name, ((flair.name, len(stack)),), not others, grid, instances, patient=patient)
        sequences = tuple(
            Listed(h.found.name, h.found.description, h.role, h.found.grid.stack_shape[0]) for h in plan.volumes
        )
        chosen = {str(role): h.found.name for role, h in plan.picked.items()}
        return Study(scan, (Path(plan.place),), None, None, tuple(warnings), (), sequences, chosen)

    def _affordable(self, plan: StudyPlan) -> dict[Role, Header]:
        """The other sequences, where there is memory for them, else none, with an error for each. Raises ReadError where
        there is not enough for FLAIR.

        While a study is read, three times the largest volume comes on top of what stays.
        """
        flair = plan.flair.found.voxels
        picked: dict[Role, Header] = {role: header for role, header in plan.picked.items() if role != "flair"}
        largest = max(h.found.voxels for h in plan.picked.values())
        if picked and 3 * flair + 2 * largest > self._values_left:
            self.errors += [ReadError(h.found.name, "too_much_at_once") for h in picked.values()]
            picked = {}
        if 3 * flair > self._values_left:
            raise ReadError(plan.place.name, "too_much_at_once")
        return picked

    def _other(self, header: Header, flair: _Onto, warnings: list[Sentence]) -> np.ndarray | None:
        """Another sequence on FLAIR's slices; None where it cannot be read or lies elsewhere."""
        opening(header.item.place)
        try:
            volume = header.found.load()
        except ReadError as error:
            self.errors.append(error)
            return None
        warnings += [w for w in volume.warnings if w not in warnings and not w.key.startswith("segmentation_")]
        names = {"file": header.found.name, "other": flair.name}
        values = flair.grid.to_stack(resample(replace(volume, role="other"), flair.grid))
        if float(values.min()) == float(values.max()):
            warnings.append(Sentence("sequence_apart", names))
            return None
        own = volume.grid.to_stack(volume.values)
        registered, said = laid_on(flair.stack, flair.grid, own, volume.grid, flair.register)
        if said is not None:
            warnings.append(Sentence(said.key, {**said.values, **names}))
        return values if registered is None else registered

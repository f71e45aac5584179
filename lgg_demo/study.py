"""Whatever a user drops, pictures, NIfTI, DICOM, or zips of them, to cases: one for each study.

A study is a FLAIR volume with, where they were given, pre- and post-contrast on the same grid (resampled, where they have
their own), turned to axial slices, nose up, the patient's right on the left.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from pydicom import Dataset

from lgg_demo import readers
from lgg_demo.geometry import THICK, Grid
from lgg_demo.messages import Sentence
from lgg_demo.readers import (
    FLAIR,
    IMAGE_SUFFIXES,
    MOST_VALUES,
    Case,
    Referable,
    Scan,
    UnreadableScan,
    read_cases,
    sort_into_series,
    visible_files,
)
from lgg_demo.report import REPORT, read_json, written_by
from lgg_demo.sequences import out_of_order
from lgg_demo.volumes import (
    DICOM_SUFFIXES,
    NIFTI_SUFFIXES,
    VISIT,
    Found,
    Role,
    Volume,
    find_dicom,
    find_nifti,
    for_masks,
    is_dicom,
    is_nifti,
    literal,
    nifti_name,
    of_anatomy,
    resample,
    role_of,
    same_grid,
    subject_of,
    visit_of,
    with_role,
)

MOST_FILES = 5000
MOST_UNPACKED = 1_500_000_000  # bytes of all zips of one upload on the disk
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
CHANNELS: dict[Role, int] = {"pre": 0, "flair": FLAIR, "post": 2}
TYPES = (*IMAGE_SUFFIXES, ".nii", ".nii.gz", ".dcm", ".zip")
# What lies beside images on a disc or in an export, and is passed over without a word.
BESIDE = (
    ".txt", ".json", ".csv", ".tsv", ".bval", ".bvec", ".md", ".xml", ".html", ".htm", ".pdf", ".ini", ".inf", ".exe",
    ".dll", ".log", ".url", ".db", ".rtf", ".doc", ".docx", ".xlsx", ".js", ".css", ".gif", ".ico", ".jar", ".mat",
)  # fmt: skip
# Volumes of other programs: a scan that is not read must not go unsaid, even in a folder.
OTHER_VOLUMES = (".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".mnc", ".hdr", ".par")
BESIDE_SERIES = ("dicom_no_picture", "volume_colour", "volume_few_slices", "too_small")

TILTED = 25.0  # degrees
HEAD_MM = (80.0, 300.0)  # from the first to the last bright row or column of a head
HEAD_SHARE = (0.02, 0.85)  # of all voxels that are brighter than a tenth of the bright ones
AIR_OF_CT = -500.0
# nnU-Net: `imagesTr/CASE_0000.nii.gz`, `CASE_0001` … for the channels of a case, `labelsTr/CASE.nii.gz` for its mask.
_CHANNEL = re.compile(r"^(.+)_(\d{4})$")
_IMAGES, _LABELS = re.compile(r"^images(Tr|Ts|Val)$"), re.compile(r"^labels(Tr|Ts|Val)$")
REDRAWN = 60.0  # seconds that a file is newer than the report that lists it, at least, if a hand has drawn over it
LETTER_ROWS = 4  # pixels; no letter is lower
LETTERS_SHARE = 0.35  # letters leave most of a corner dark; noise does not


@dataclass(frozen=True)
class Listed:
    """One volume of a study as it is shown for correction: `name` is what `choose` takes."""

    name: str
    description: str
    role: Role | None
    slices: int


@dataclass(frozen=True)
class Study(Case):
    """A case read from volumes.

    sequences: every volume that was found; chosen: the name of the one that each role went to.
    """

    sequences: tuple[Listed, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)


R = TypeVar("R", bound=Referable)


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

    with _unpacked(paths, sifted=sifted) as files:
        cases, problems = read_cases(files.pictures)
        problems = files.problems + problems
        left = MOST_VALUES - (sum(c.scan.pixels.size for c in cases) if all_held else 0)
        made = [used(cases.pop(0)) for _ in range(len(cases))]
        lost = {_patient_of(path) for path in files.lost}
        masks: list[Found] = []
        for group in _studies(files.volumes, lost):
            try:
                case, held, own = _read_group(group, _meant_for(group, choose or {}), left)
            except UnreadableScan as error:
                problems.append(error)
                lost |= {_patient_of(v.paths[0]) for v in group}
                continue
            problems += own
            left -= held if all_held else 0
            if case is not None:
                made.append(used(case))
            else:
                masks += group
        made, own = _attach_volumes(made, [m for m in masks if not (made and _of_anatomy(m))], lost)
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


def attach(cases: Sequence[R], reference_paths: Iterable[Path]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases, or finished results, with the references that belong to them, instead of those that they had.

    Pictures go by name as in `readers.attach_references`, to volumes too where they have one page a slice. A NIfTI or a
    DICOM segmentation goes to the study it was drawn on: the only one, that of the same name or study, or that with the
    same grid.
    """
    attached = list(cases)
    with _unpacked(reference_paths, chosen=True) as files:
        problems = list(files.problems)
        if files.pictures:
            attached, own = readers.attach_references(attached, files.pictures)
            problems += own
        attached, own = _attach_volumes(attached, files.volumes, instead=True)
        problems += own
    return attached, problems


# Files, folders and zips


@dataclass
class _Files:
    """What was dropped, by kind, headers of volumes read."""

    pictures: list[Path] = field(default_factory=list)
    volumes: list[Found] = field(default_factory=list)
    problems: list[UnreadableScan] = field(default_factory=list)
    lost: list[Path] = field(default_factory=list)  # files that may have held a volume of somebody's


@contextmanager
def _unpacked(paths: Iterable[Path], chosen: bool = False, sifted: bool = False) -> Iterator[_Files]:
    """The files by kind; what was unpacked from zips is gone afterwards.

    What earlier runs wrote is passed over with a sentence, unless it was `chosen`: given for what it is. sifted: see
    `outline_studies`.
    """
    files = _Files()
    with tempfile.TemporaryDirectory(prefix="lgg-demo-") as name:  # goes at exit too, if a thread is cut off in here
        folder = Path(name)
        paths = list(paths)
        loose, inside = _listed(paths, files)
        zips = [p for p in (*loose, *inside) if _is_zip(p)]
        unpacked: list[Path] = []
        ours = set() if chosen or sifted else earlier_outputs([*loose, *inside])
        left = [MOST_UNPACKED]
        for n, path in enumerate(zips):
            try:
                entries = _unzip(path, folder / str(n), left, files)
                unpacked += entries.values()
                if not chosen:
                    ours |= _listed_by({place: p for place, p in entries.items() if place.name == REPORT}, entries)
            except UnreadableScan as error:
                files.problems.append(error)
                files.lost.append(path)
        over = ours.union(zips)
        dicom = _sort(files, [p for p in loose if p not in over], [p for p in (*inside, *unpacked) if p not in over])
        named = set(loose)
        roots = [*(p for p in paths if p not in named), *folder.iterdir()] if dicom and not chosen else []
        masks = readers.masks_among(files.pictures) if roots else {}
        for root in roots:
            held = [p for p in files.pictures if root in p.parents and p not in named]
            of_viewer, own = logos(held, (p for p in dicom if root in p.parents), masks)
            files.pictures = [p for p in files.pictures if p not in of_viewer]
            files.problems += own
        given = [*zips, *loose, *inside]
        if given and not (files.pictures or files.volumes or files.problems):
            files.problems.append(UnreadableScan(given[0].name, "nothing_inside", types=", ".join(TYPES)))
        files.problems += passed_over(ours)
        yield files


def _listed(paths: Iterable[Path], files: _Files) -> tuple[list[Path], list[Path]]:
    """Files named one by one, and files of folders without what is hidden."""
    loose: list[Path] = []
    inside: list[Path] = []
    for path in dict.fromkeys(paths):
        try:
            if not path.is_dir():
                loose.append(path)
                continue
            inside += visible_files(path)
        except (OSError, ValueError):
            files.problems.append(UnreadableScan(path.name, "not_found"))
    for some in (loose, inside):
        if beyond := some[MOST_FILES:]:
            files.problems.append(UnreadableScan(beyond[0].name, "too_many_files", most=MOST_FILES))
            files.lost += beyond
    return loose[:MOST_FILES], inside[:MOST_FILES]


def logos(
    pictures: Sequence[Path], dicom: Iterable[Path], masks: Mapping[Path, Sequence[Path]]
) -> tuple[set[Path], list[UnreadableScan]]:
    """Which pictures of a folder or zip are passed over because it holds DICOM too, and the sentence that says so.

    They are a viewer's, not a patient's: neither one that has a mask, or is one (`masks`, see `readers.masks_among`), nor,
    but on a disc, which has a DICOMDIR, one of a numbered series.
    """
    names = {p.name.upper() for p in dicom}
    if not names:
        return set(), []
    kept = {*masks, *(mask for own in masks.values() for mask in own)}
    if "DICOMDIR" not in names:
        kept |= {p for group in sort_into_series(pictures)[0] if len(group) > 1 for p in group}
    over = [p for p in pictures if p not in kept]
    return set(over), [UnreadableScan(p.name, "pictures_beside", pictures=len(over)) for p in over[:1]]


def earlier_outputs(files: Iterable[Path]) -> set[Path]:
    """Which of these files earlier runs wrote, as our reports beside or above them list it (`written_by`)."""
    places: dict[PurePath, Path] = {p.absolute(): p for p in files}
    above = {folder / REPORT: Path(folder / REPORT) for place in places for folder in place.parents}
    return _listed_by(above, places)


def passed_over(outputs: Iterable[Path]) -> list[UnreadableScan]:
    """The sentence about what earlier runs wrote and would have been read, if there is any."""
    some = sorted(p for p in outputs if p.suffix.lower() not in BESIDE)
    return [UnreadableScan(p.name, "outputs_beside", files=len(some)) for p in some[:1]]


def _listed_by(reports: Mapping[PurePath, Path], files: Mapping[PurePath, Path]) -> set[Path]:
    """Which files are listed by a report of ours; both by the place they had when it was written, which a zip keeps.

    One that is newer than its report was drawn over by hand, and is not the network's any more.
    """
    listed: set[Path] = set()
    for place, report in reports.items():
        own = [files[place.parent / name] for name in written_by(report) if place.parent / name in files]
        listed.update(p for p in own if p.is_file() and p.stat().st_mtime <= report.stat().st_mtime + REDRAWN)
    return listed


def find_volumes(folder: Path) -> list[Path]:
    """Files below a folder that hold volumes, by name or by content, also of a kind that is not read; whatever else lies
    there is passed over.
    """
    others = [p for p in visible_files(folder) if p.suffix.lower() not in (*IMAGE_SUFFIXES, *BESIDE)]
    named = (*NIFTI_SUFFIXES, *DICOM_SUFFIXES, *OTHER_VOLUMES, ".zip")
    return [p for p in others if p.name.lower().endswith(named) or is_nifti(p) or is_dicom(p) or _is_zip(p)]


def says_mask(path: Path) -> bool:
    """Whether a file's name says that it is a mask: `NAME_mask`, a NIfTI's `seg` and the like, our own `NAME_seg.dcm`."""
    name = path.name.lower().removesuffix(".gz")
    volume = name.endswith(NIFTI_SUFFIXES)
    return readers.is_mask_name(Path(name)) or name.endswith("_seg.dcm") or (volume and role_of(Path(name).stem) == "mask")


def _is_zip(path: Path) -> bool:
    """Whether a file is a zip by its content; with another ending, as a talk has, it is no bundle of scans."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6") and path.suffix.lower() in ("", ".zip")
    except (OSError, ValueError):
        return False


def _unzip(path: Path, folder: Path, left: list[int], files: _Files) -> dict[PurePath, Path]:
    """Unpack a zip, each of its folders into one of ours: place in the zip to file. UnreadableScan.

    left: bytes that may still be unpacked. files: learn of zips in it, which are passed over.
    """
    unpacked: dict[PurePath, Path] = {}
    nested: list[Path] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if not e.is_dir() and not _hidden(e.filename)]
            if len(entries) > MOST_FILES:
                raise UnreadableScan(path.name, "too_many_files", most=MOST_FILES)
            if any(e.flag_bits & 1 for e in entries):
                raise UnreadableScan(path.name, "zip_encrypted")
            if sum(e.file_size for e in entries) > left[0]:
                raise UnreadableScan(path.name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9)
            if any(_outside(e) for e in entries):
                raise UnreadableScan(path.name, "zip_unsafe")
            if any(e.compress_type not in ZIP_METHODS for e in entries):
                raise UnreadableScan(path.name, "damaged")
            folders = {PurePosixPath(): folder / "zip"}
            used = {_name_of(e).replace("\\", "/").casefold() for e in entries}  # no folder may be called as a file is
            taken: set[Path] = set()

            def place_of(inner: PurePosixPath) -> Path:
                # Our own folder for each of theirs, called alike, as references are matched by it; below a number where
                # that name is another's on a disk that does not tell case apart.
                if inner not in folders:
                    above, name = place_of(inner.parent), str(inner).casefold()
                    folders[inner] = above / str(len(folders)) / inner.name if name in used else above / inner.name
                    used.add(name)
                return folders[inner]

            for entry in entries:
                inner = PurePosixPath(_name_of(entry).replace("\\", "/"))
                place = place_of(inner.parent)
                place.mkdir(parents=True, exist_ok=True)
                target = place / inner.name
                if target in taken:
                    continue
                taken.add(target)
                if inner.suffix.lower() == ".zip":
                    nested.append(target)
                    continue
                _extract(archive, entry, target, path, left)
                with suppress(ValueError, OverflowError):  # a date that is none
                    date = time.mktime((*entry.date_time, 0, 0, -1))
                    os.utime(target, (date, date))
                if _is_zip(target):
                    nested.append(target)
                else:
                    unpacked[inner] = target
    except UnreadableScan:
        raise
    except Exception:  # zipfile raises many things on a broken file
        raise UnreadableScan(path.name, "damaged") from None
    if nested:
        files.problems.append(UnreadableScan(path.name, "zip_nested"))
        files.lost += nested
    return unpacked


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name; macOS writes UTF-8 without saying so, which zipfile then takes for the letters of MS-DOS."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, path: Path, left: list[int]) -> None:
    with archive.open(entry) as source, target.open("wb") as file:
        while data := source.read(1 << 20):
            left[0] -= len(data)
            if left[0] < 0:
                raise UnreadableScan(path.name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9)
            file.write(data)


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any((p.startswith(".") and p not in (".", "..")) or p == "__MACOSX" for p in parts)


def _outside(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry would land outside its folder, or is a link."""
    name = entry.filename.replace("\\", "/")
    drive = len(name) > 1 and name[1] == ":"
    return name.startswith("/") or drive or ".." in name.split("/") or stat.S_ISLNK(entry.external_attr >> 16)


def _sort(files: _Files, loose: list[Path], inside: list[Path]) -> list[Path]:
    """Each file to its kind; returns the DICOM files. What is no image is an error where it was named itself, else passed
    over.
    """
    dicom: list[Path] = []
    named = set(loose)
    for path in (*loose, *inside):
        try:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                files.pictures.append(path)
            elif not path.is_file():
                raise UnreadableScan(path.name, "not_found")
            elif path.stat().st_size == 0:
                if path in named or path.name.lower().endswith((".nii", ".nii.gz", ".dcm")):
                    raise UnreadableScan(path.name, "empty_file")
            elif is_nifti(path):
                files.volumes += find_nifti(path)
            elif is_dicom(path):
                dicom.append(path)
            elif path in named or path.suffix.lower() in OTHER_VOLUMES:
                raise UnreadableScan(path.name, "unknown_type", types=", ".join(TYPES))
        except UnreadableScan as error:
            files.problems.append(error)
            if path.suffix.lower() not in BESIDE:
                files.lost.append(path)
        except (OSError, ValueError):
            files.problems.append(UnreadableScan(path.name, "not_found"))
            files.lost.append(path)
    found, problems = find_dicom(dicom)
    files.volumes += found
    # Beside a series that can be used, scouts, colour maps and reports are no problem of anybody's.
    files.problems += [p for p in problems if not found or p.sentence.key not in BESIDE_SERIES]
    if found:  # a slice less is no patient less
        files.lost = [p for p in files.lost if p.suffix.lower() not in DICOM_SUFFIXES]
    else:
        files.lost += [Path(p.file) for p in problems if p.sentence.key not in ("dicom_modality", *BESIDE_SERIES)]
    return dicom


# Volumes to studies


def _studies(volumes: Sequence[Found], lost: Collection[str]) -> list[list[Found]]:
    """Volumes that belong together: DICOM by its study (by folder where careless anonymisers leave none), NIfTI by its name
    without the words that tell the sequence.

    Each NIfTI is named like none before. lost: of whom something cannot be read, as `_patient_of` says it.
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


def _patient_of(path: Path) -> str:
    """Whose a file is: its name without the words that tell the sequence or, where nothing is left, its folder."""
    return _subject(path) or str(path.parent.absolute())


def _subject(path: Path) -> str:
    """What the names of a subject's NIfTI files share; empty where they tell the sequence and no more."""
    return subject_of(nifti_name(path))


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
        told = [_CHANNEL.match(nifti_name(v.paths[0])) for v in members]
        listed = {} if None in told else _channel_names(folder, read)
        if None not in told and (listed or _IMAGES.match(folder.name)):
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
        silent = v.role is None or _LABELS.match(folder)
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
    torn = {v.study for v in nifti if _patient_of(v.paths[0]) in lost}  # what is left of one is no part of another
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
        candidates = sorted((v for v in group if v.role == own and v.name not in taken), key=_worth)
        if own == "mask":  # `brain_mask` is a brain's, but that of `brain` may be a lesion's in it
            brain = [f"{v.name}_mask" for v in picked.values() if v.role is None and v.name.isalpha()]
            candidates = [v for v in candidates if nifti_name(v.paths[0]) in brain or not _of_anatomy(v)]
        if not candidates and own == "flair":
            rest = [v for v in group if v.role != "mask" and v.name not in taken]
            candidates = sorted(rest, key=lambda v: (v.role is not None, *_worth(v)))[:1]
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


def _worth(v: Found) -> tuple[bool, int]:
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
        attached, own = _attach_volumes([study], [replace(picked["mask"], role="mask")])
        return attached[0], held, problems + own
    return study, held, problems


def _hollow(grid: Grid) -> np.ndarray:
    """An array of the grid's shape that takes no memory."""
    return np.broadcast_to(np.uint8(0), grid.shape)


# References


def _attach_volumes(
    cases: Sequence[R], references: Sequence[Found], lost: Collection[str] = (), instead: bool = False
) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the volumes that are their references, together where a case has several, and an error for each that
    fits none. lost: of whom something cannot be read (`_patient_of`): their masks are nobody else's. instead: what a case
    had before does not count.
    """
    attached = list(cases)
    problems: list[UnreadableScan] = []
    reached: set[int] = set()
    absent = set(lost) - {_patient_of(path) for case in attached for path in case.paths}
    # Those that one is called after: others, given with it, are not theirs.
    names = [f for f in references if f.study and not f.dicom]
    claimed = {n for n, case in enumerate(attached) if any(_named_alike(case, f, later=True) for f in names)}
    for found in references:
        try:
            unmatched = UnreadableScan(found.paths[0].name, "mask_unmatched")
            if _patient_of(found.paths[0]) in absent:
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
    subject = _subject(case.paths[0])
    if not subject:
        return not found.study and (later or beside)
    return f"{found.study} ".startswith(f"{subject} ") or _exactly(case, found)  # `ann_oedema_mask` is of `ann`


def _exactly(case: Referable, found: Found) -> bool:
    """Whether a NIfTI is called like a case, but for the channel that nnU-Net's images end in."""
    path = case.paths[0]
    channel = _CHANNEL.match(nifti_name(path)) if _IMAGES.match(path.parent.name) else None
    return found.study == _subject(path) or bool(channel and found.study and found.study == subject_of(channel[1]))


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
    if len(inside) >= readers.LABEL_VALUES:  # 0 counts too; a probability, or labels blurred by resampling
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


def inspect(scan: Scan) -> tuple[Sentence, ...]:
    """What makes a scan doubtful before it is segmented, in plain words: its plane, whether it is a head
    MRI, and whether its channels are in order."""
    found: list[Sentence] = []
    name = scan.files[0][0]
    flair = scan.pixels[..., FLAIR]
    grid = scan.grid
    if grid is not None:
        _, middle, longest = sorted(grid.spacing_mm)
        plane = grid.slice_direction if longest > THICK * middle else None
        if plane == "coronal":
            found.append(Sentence("plane_coronal", {"file": name, "mm": round(longest, 1)}))
        elif plane == "sagittal":
            found.append(Sentence("plane_sagittal", {"file": name, "mm": round(longest, 1)}))
        if grid.tilt_degrees > TILTED:
            found.append(Sentence("plane_tilted", {"file": name, "degrees": round(grid.tilt_degrees)}))
    thin = flair[:: max(1, len(flair) // 64), ::2, ::2]  # enough to judge by
    if float((thin < AIR_OF_CT).mean()) > 0.1:
        found.append(Sentence("looks_like_ct", {"file": name}))
    elif thin.size and len(np.unique(thin)) <= readers.LABEL_VALUES and float(thin.min()) < float(thin.max()):
        found.append(Sentence("looks_like_mask", {"file": name}))
    elif not _head_like(thin, scan.spacing_mm):
        found.append(Sentence("not_a_head", {"file": name}))
    elif not scan.grey and out_of_order(scan.pixels):
        found.append(Sentence("sequences_order", {"file": name}))
    if text_in_corners(flair):
        found.append(Sentence("text_in_corner", {"file": name}))
    return tuple(found)


def text_in_corners(flair: np.ndarray) -> bool:
    """Whether the slices (S, H, W) have letters in a corner, bright on dark and the same on most of them.

    Rows of a corner with three bright strokes or more are counted in the median slice, where anatomy and noise fade. Of
    the 88 patients of the training data none has one such row, and each has eight once a name is written in. Fewer than
    three slices have no median to speak of, and are not judged.
    """
    if len(flair) < 3:
        return False
    low, high = np.percentile(flair[:, ::2, ::2], [1, 99.5])
    some = flair[:: max(1, len(flair) // 16)]
    bright = np.median(some, axis=0) > (low + high) / 2
    height, width = bright.shape
    for rows in (slice(0, height // 6), slice(height - height // 6, height)):
        for columns in (slice(0, width // 3), slice(width - width // 3, width)):
            corner = bright[rows, columns]
            strokes = (corner[:, 1:] & ~corner[:, :-1]).sum(axis=1) + corner[:, 0]
            if int((strokes >= 3).sum()) >= LETTER_ROWS and corner.mean() < LETTERS_SHARE:
                return True
    return False


def _head_like(thin: np.ndarray, spacing_mm: tuple[float, float, float] | None) -> bool:
    """Whether something of a head's size stands out from the dark; every second row and column is given."""
    low = float(np.percentile(thin, 1))
    high = float(np.percentile(thin, 99))
    if high <= low:
        return True  # a blank scan is reported as such
    bright = thin > low + 0.1 * (high - low)
    share = float(bright.mean())
    if not HEAD_SHARE[0] <= share <= HEAD_SHARE[1] and spacing_mm is None:
        return False
    if spacing_mm is None:
        return True
    head = thin > thin.mean()
    sides = []
    for axis, step in ((2, spacing_mm[1]), (1, spacing_mm[2])):
        profile = np.flatnonzero(head.mean(axis=(0, axis)) > 0.01)
        sides.append((profile[-1] - profile[0] + 1) * 2 * step if profile.size else 0.0)
    return all(HEAD_MM[0] <= side <= HEAD_MM[1] for side in sides) and share >= HEAD_SHARE[0]

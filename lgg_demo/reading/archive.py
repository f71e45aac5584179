"""Files, folders and zips."""

from __future__ import annotations

import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from lgg_demo.case import Found, UnreadableScan
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.limits import (
    BESIDE,
    BESIDE_SERIES,
    DICOM_SUFFIXES,
    IMAGE_SUFFIXES,
    MOST_FILES,
    MOST_UNPACKED,
    NIFTI_SUFFIXES,
    OTHER_VOLUMES,
    TYPES,
    ZIP_METHODS,
)
from lgg_demo.reading.names import is_mask_name, masks_among, role_of, sort_into_series, visible_files
from lgg_demo.reading.nifti import find_nifti, is_nifti
from lgg_demo.reading.series import find_dicom
from lgg_demo.report import REPORT, written_by

# Files, folders and zips


REDRAWN = 60.0  # seconds that a file is newer than the report that lists it, at least, if a hand has drawn over it


@dataclass
class _Files:
    """What was dropped, by kind, headers of volumes read."""

    pictures: list[Path] = field(default_factory=list)
    volumes: list[Found] = field(default_factory=list)
    problems: list[UnreadableScan] = field(default_factory=list)
    lost: list[Path] = field(default_factory=list)  # files that may have held a volume of somebody's


@contextmanager
def unpacked(paths: Iterable[Path], chosen: bool = False, sifted: bool = False) -> Iterator[_Files]:
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
        masks = masks_among(files.pictures) if roots else {}
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

    They are a viewer's, not a patient's: neither one that has a mask, or is one (`masks`, see `masks_among`), nor,
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
    return is_mask_name(Path(name)) or name.endswith("_seg.dcm") or (volume and role_of(Path(name).stem) == "mask")


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

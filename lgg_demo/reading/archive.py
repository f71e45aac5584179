"""The one walk over what was given: files, folders and zips to a flat list of items, each with the place it was given in.

A zip is unpacked into a folder of the caller's, entry by entry, and each of its items keeps the place it had inside.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from lgg_demo.case import Notice, ReadError, Role
from lgg_demo.reading.aliases import Aliases
from lgg_demo.reading.earlier import earlier_outputs
from lgg_demo.reading.layout import natural_key, visible_files
from lgg_demo.reading.limits import BESIDE, MOST_FILES, MOST_UNPACKED
from lgg_demo.reading.watch import opening


@dataclass(frozen=True)
class Item:
    """One file to read.

    path: on the disk. place: where the user has it, inside a zip too. shown: what outputs are named after: the path below
    the folder that was given, else the name. told: how many parts of the place the user gave. named: given by itself, so
    that what cannot be read is an error and not something that lies beside. root: the input it came with. subject, role:
    where a manifest or a flag says them, instead of the name.
    """

    path: Path
    place: PurePath
    shown: str
    told: int
    named: bool
    root: PurePath
    subject: str | None = None
    role: Role | None = None

    @property
    def suffix(self) -> str:
        return self.place.suffix.lower()


@dataclass(frozen=True)
class Given:
    """A file or folder that a manifest or a flag says something of: whose it is, and its role."""

    path: Path
    subject: str
    role: Role


@dataclass
class Walk:
    """What a walk found. incomplete: something could not be read that may have held a scan.

    refused: the inputs something was said of. passed: those that had what another has too, or an earlier run wrote.
    aliases: the names of what came out of zips.
    """

    items: list[Item] = field(default_factory=list)
    errors: list[ReadError] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    incomplete: bool = False
    refused: set[PurePath] = field(default_factory=set)
    passed: set[PurePath] = field(default_factory=set)
    aliases: Aliases = field(default_factory=Aliases)

    def refuse(self, error: ReadError, root: PurePath) -> None:
        self.errors.append(error)
        self.leave(root)

    def leave(self, root: PurePath) -> None:
        """Leave out a file, of which something was said."""
        self.refused.add(root)
        self.incomplete = True


def walk(
    inputs: Iterable[Path | Given],
    work: Path,
    skip: frozenset[PurePath] = frozenset(),
    most_files: int | None = None,
    outputs: bool = False,
) -> Walk:
    """Every file of the inputs, without what is hidden and, unless outputs are wanted, what earlier runs wrote.

    work: an empty folder of the caller's for what zips hold. skip: places that are left out. most_files: in all.
    """
    found = Walk()
    bytes_left = [MOST_UNPACKED]
    by_place: dict[PurePath, Item] = {}  # a file that is given twice is one; what is said of it by itself counts
    for n, given in enumerate(dict.fromkeys(inputs)):
        path = given if isinstance(given, Path) else given.path
        for item in _listed(path, found):
            if isinstance(given, Given):
                item = replace(item, subject=given.subject, role=given.role)
            if item.place in skip:
                found.leave(item.root)
            elif is_zip(item):
                unpacked = _unpacked(item, work / f"{n}-{len(by_place)}", bytes_left, skip, found)
                by_place |= {i.place: i for i in unpacked}
            elif item.named or item.subject is not None or item.place not in by_place:
                if item.place in by_place:
                    found.passed.add(by_place[item.place].root)
                by_place[item.place] = item
            else:
                found.passed.add(item.root)
    listed = list(by_place.values())
    if most_files is not None and len(listed) > most_files:
        first = listed[most_files]
        found.refuse(ReadError(first.place.name, "too_many_files", most=most_files), first.root)
        listed = listed[:most_files]
    ours = set() if outputs else earlier_outputs({i.place: i.path for i in listed})
    if read := sorted(i.place.name for i in listed if i.place in ours and i.suffix not in BESIDE):
        found.notices.append(Notice(read[0], "outputs_beside", files=len(read)))
    found.passed |= {i.root for i in listed if i.place in ours}
    found.items = [i for i in listed if i.place not in ours]
    return found


def _listed(path: Path, found: Walk) -> Sequence[Item]:
    """The files of one input: itself, or those of a folder."""
    try:
        if not path.is_dir():
            return [Item(path, path.absolute(), path.name, 2, True, path.absolute())]
        root = path.absolute()
        files = visible_files(path)
    except (OSError, ValueError):
        found.refuse(ReadError(path.name, "not_found"), path.absolute())
        return []
    below = [(file, file.relative_to(path)) for file in files]
    return [Item(file, root / inner, inner.as_posix(), len(inner.parts) + 1, False, root) for file, inner in below]


def is_zip(item: Item) -> bool:
    """Whether a file is a zip by its content; with another ending, as a talk has, it is no bundle of scans."""
    if item.suffix not in ("", ".zip"):
        return False
    try:
        with item.path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except (OSError, ValueError):
        return False


def _unpacked(item: Item, folder: Path, bytes_left: list[int], skip: frozenset[PurePath], found: Walk) -> list[Item]:
    """The items of a zip. bytes_left: how much may still be unpacked."""
    opening(item.place)
    try:
        return _unzip(item, folder, bytes_left, skip, found)
    except ReadError as error:
        found.refuse(error, item.root)
    except NotImplementedError:  # a compression that zipfile has not
        found.refuse(ReadError(item.place.name, "zip_compression"), item.root)
    except MemoryError:
        found.refuse(ReadError(item.place.name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9), item.root)
    except OSError as error:
        found.refuse(ReadError(item.place.name, "disk_full" if error.errno == 28 else "damaged"), item.root)
    except Exception:  # zipfile raises many things on a broken file
        found.refuse(ReadError(item.place.name, "damaged"), item.root)
    return []


def _unzip(item: Item, folder: Path, bytes_left: list[int], skip: frozenset[PurePath], found: Walk) -> list[Item]:
    """Unpack a zip, each entry under an alias in a numbered folder. Raises ReadError, and what zipfile raises."""
    name = item.place.name
    items: list[Item] = []
    with zipfile.ZipFile(item.path) as archive:
        entries = [e for e in archive.infolist() if not e.is_dir() and not _hidden(_name_of(e))]
        _check(name, entries, bytes_left[0])
        folder.mkdir(parents=True, exist_ok=True)
        folders: dict[PurePosixPath, Path] = {}
        seen: set[PurePosixPath] = set()
        for entry in sorted(entries, key=lambda e: natural_key(_name_of(e))):
            inner = PurePosixPath(_name_of(entry))
            place = item.place / inner
            if place in skip:
                found.leave(item.root)
            if inner in seen or place in skip:
                continue
            seen.add(inner)
            if inner.suffix.lower() == ".zip":
                found.refuse(ReadError(name, "zip_nested"), item.root)
                continue
            # A folder of ours for each of theirs, by number: no disk then takes two of them for one.
            home = folders.setdefault(inner.parent, folder / str(len(folders)))
            home.mkdir(exist_ok=True)
            target = home / found.aliases.of(inner.name)
            _extract(archive, entry, target, name, bytes_left)
            own = replace(item, path=target, place=place, shown=inner.name, told=len(inner.parts) + 1, named=False)
            if is_zip(own):
                found.refuse(ReadError(name, "zip_nested"), item.root)
                target.unlink()
                continue
            items.append(own)
    return items


def _check(name: str, entries: Sequence[zipfile.ZipInfo], bytes_left: int) -> None:
    """Raise ReadError where a zip is not to be unpacked at all."""
    if len(entries) > MOST_FILES:
        raise ReadError(name, "too_many_files", most=MOST_FILES)
    if any(e.flag_bits & 1 for e in entries):
        raise ReadError(name, "zip_encrypted")
    if sum(e.file_size for e in entries) > bytes_left:
        raise ReadError(name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9)
    if any(_outside(e) for e in entries):
        raise ReadError(name, "zip_unsafe")


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name with `/`; macOS writes UTF-8 without saying so, which zipfile takes for the letters of MS-DOS."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str, bytes_left: list[int]) -> None:
    with archive.open(entry) as source, target.open("wb") as file:
        while data := source.read(1 << 20):
            bytes_left[0] -= len(data)
            if bytes_left[0] < 0:
                raise ReadError(name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9)
            file.write(data)
    with suppress(ValueError, OverflowError):  # a date that is none
        date = time.mktime((*entry.date_time, 0, 0, -1))
        os.utime(target, (date, date))


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any((p.startswith(".") and p not in (".", "..")) or p == "__MACOSX" for p in parts)


def _outside(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry would land outside its folder, or is a link."""
    name = entry.filename.replace("\\", "/")
    drive = len(name) > 1 and name[1] == ":"
    return name.startswith("/") or drive or ".." in name.split("/") or stat.S_ISLNK(entry.external_attr >> 16)

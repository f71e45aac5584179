"""The one walk over what was given: files, folders and zips to a flat list of items, each with the place it was given in.

A zip is unpacked into a folder of the caller's, entry by entry, and each of its items keeps the place it had inside.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from lgg_demo.case import Notice, ReadError, Role, Visit
from lgg_demo.reading.aliases import Aliases
from lgg_demo.reading.earlier import earlier_outputs
from lgg_demo.reading.layout import natural_key, visible_files
from lgg_demo.reading.limits import BESIDE, MOST_FILES, MOST_UNPACKED
from lgg_demo.reading.watch import opening

_UTF8 = 0x800  # of an entry's flags: its name is UTF-8
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Item:
    """One file to read.

    path: on the disk. place: where the user has it, inside a zip too. shown: what outputs are named after: the path below
    the folder that was given, else the name. told: how many parts of the place the user gave. named: given by itself, so
    that what cannot be read is an error and not something that lies beside. root: the input it came with. subject, role,
    visit: where a manifest or a flag says them, instead of the name.
    """

    path: Path
    place: PurePath
    shown: str
    told: int
    named: bool
    root: PurePath
    subject: str | None = None
    role: Role | None = None
    visit: Visit | None = None

    @property
    def suffix(self) -> str:
        return self.place.suffix.lower()


@dataclass(frozen=True)
class Given:
    """A file or folder that a manifest or a flag says something of: which case and visit it belongs to, and its role."""

    path: Path
    subject: str
    role: Role
    visit: Visit | None = None


@dataclass
class Walk:
    """What a walk found. incomplete: something could not be read that may have held a scan.

    answered: the inputs that something came of, be it an error. skipped: those that had what another has too, or an
    earlier run wrote. aliases: the names of what came out of zips. outputs: whether what earlier runs wrote is wanted.
    """

    items: list[Item] = field(default_factory=list)
    errors: list[ReadError] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    incomplete: bool = False
    answered: set[PurePath] = field(default_factory=set)
    skipped: set[PurePath] = field(default_factory=set)
    aliases: Aliases = field(default_factory=Aliases)
    outputs: bool = False

    def refuse(self, error: ReadError, root: PurePath) -> None:
        self.errors.append(error)
        self.leave(root)

    def leave(self, root: PurePath) -> None:
        """Leave out a file, of which something was said."""
        self.answered.add(root)
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
    found = Walk(outputs=outputs)
    unzip = _Unzip(work, skip, found)
    by_place: dict[PurePath, Item] = {}
    for item in (i for given in dict.fromkeys(inputs) for i in _listed(given, found)):
        if item.place in skip:
            found.leave(item.root)
        elif is_zip(item):
            by_place |= {i.place: i for i in unzip(item)}
        else:
            _keep(item, by_place, found)
    found.items = list(by_place.values())
    if most_files is not None and len(found.items) > most_files:
        first = found.items[most_files]
        found.refuse(ReadError(first.place.name, "too_many_files", most=most_files), first.root)
        del found.items[most_files:]
    if not outputs:
        _leave_out_outputs(found)
    return found


def _keep(item: Item, by_place: dict[PurePath, Item], found: Walk) -> None:
    """Keep one of each place: a file that is given twice is one, and what is said of it by itself counts."""
    before = by_place.get(item.place)
    if before and not item.named and item.subject is None:
        found.skipped.add(item.root)
        return
    if before:
        found.skipped.add(before.root)
    by_place[item.place] = item


def _leave_out_outputs(found: Walk) -> None:
    """Leave out what earlier runs wrote, with a notice."""
    written = earlier_outputs({i.place: i.path for i in found.items})
    ours = [i for i in found.items if i.place in written]
    if names := sorted(i.place.name for i in ours if i.suffix not in BESIDE):
        found.notices.append(Notice(names[0], "outputs_beside", files=len(names)))
    found.skipped |= {i.root for i in ours}
    found.items = [i for i in found.items if i.place not in written]


def _listed(given: Path | Given, found: Walk) -> Sequence[Item]:
    """The files of one input: itself, or those of a folder."""
    path, said = (given, ()) if isinstance(given, Path) else (given.path, (given.subject, given.role, given.visit))
    root = path.absolute()
    try:
        if not path.is_dir():
            return [Item(path, root, path.name, 2, True, root, *said)]
        below = [(file, file.relative_to(path)) for file in visible_files(path)]
    except (OSError, ValueError):
        found.refuse(ReadError(path.name, "not_found"), root)
        return []
    return [Item(file, root / inner, inner.as_posix(), len(inner.parts) + 1, False, root, *said) for file, inner in below]


def is_zip(item: Item) -> bool:
    """Whether a file is a zip by its content; with another ending, as a talk has, it is no bundle of scans."""
    if item.suffix not in ("", ".zip"):
        return False
    try:
        with item.path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except (OSError, ValueError):
        return False


class _Unzip:
    """Unpacks zips into folders below `work`, within what the disk may take of all of them."""

    def __init__(self, work: Path, skip: frozenset[PurePath], found: Walk) -> None:
        self._work, self._skip, self._found = work, skip, found
        self._bytes_left = MOST_UNPACKED
        self._zips = 0

    def __call__(self, item: Item) -> list[Item]:
        """The items of a zip; none, and an error, where it cannot be unpacked whole."""
        opening(item.place)
        self._zips += 1
        try:
            with zipfile.ZipFile(item.path) as archive:
                return list(self._entries(item, archive, self._work / str(self._zips)))
        except ReadError as error:
            self._found.refuse(error, item.root)
        except NotImplementedError:  # a compression that zipfile has not
            self._found.refuse(ReadError(item.place.name, "zip_compression"), item.root)
        except MemoryError:
            self._found.refuse(_too_large(item), item.root)
        except Exception as error:  # zipfile raises many things on a broken file
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            self._found.refuse(ReadError(item.place.name, "disk_full" if full else "damaged"), item.root)
        return []

    def _entries(self, item: Item, archive: zipfile.ZipFile, folder: Path) -> Iterator[Item]:
        """Each entry, unpacked under an alias. Raises ReadError, and what zipfile raises."""
        named = ((PurePosixPath(_name_of(e)), e) for e in reversed(archive.infolist()) if not e.is_dir())
        entries = {inner: e for inner, e in named if not _hidden(inner)}  # of two of one name the first
        self._check(item, list(entries.values()))
        folders: dict[PurePosixPath, Path] = {}
        for inner in sorted(entries, key=lambda inner: natural_key(str(inner))):
            # A folder of ours for each of theirs, by number: no disk then takes two of them for one.
            target = folders.setdefault(inner.parent, folder / str(len(folders))) / self._found.aliases.of(inner.name)
            place, told = item.place / inner, len(inner.parts) + 1
            own = replace(item, path=target, place=place, shown=inner.name, told=told, named=False)
            if place in self._skip:
                self._found.leave(item.root)
                continue
            if own.suffix != ".zip":
                self._extract(item, archive, entries[inner], target)
            if own.suffix == ".zip" or is_zip(own):
                self._found.refuse(ReadError(item.place.name, "zip_nested"), item.root)
            else:
                yield own

    def _check(self, item: Item, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Raise ReadError where a zip is not to be unpacked at all."""
        if len(entries) > MOST_FILES:
            raise ReadError(item.place.name, "too_many_files", most=MOST_FILES)
        if any(e.flag_bits & _ENCRYPTED for e in entries):
            raise ReadError(item.place.name, "zip_encrypted")
        if sum(e.file_size for e in entries) > self._bytes_left:
            raise _too_large(item)
        if any(_outside(e) for e in entries):
            raise ReadError(item.place.name, "zip_unsafe")

    def _extract(self, item: Item, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
        """Write one entry's bytes, counted as they come, and its date."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as file:
            while data := source.read(1 << 20):
                self._bytes_left -= len(data)
                if self._bytes_left < 0:
                    raise _too_large(item)
                file.write(data)
        with suppress(ValueError, OverflowError):  # a date that is none
            date = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(target, (date, date))


def _too_large(item: Item) -> ReadError:
    return ReadError(item.place.name, "zip_too_large", gigabytes=MOST_UNPACKED / 1e9)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name with `/`; macOS writes UTF-8 without saying so, which zipfile takes for the letters of MS-DOS."""
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _hidden(name: PurePosixPath) -> bool:
    return any((p.startswith(".") and p not in (".", "..")) or p == "__MACOSX" for p in name.parts)


def _outside(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry would land outside its folder, or is a link."""
    name = entry.filename.replace("\\", "/")
    drive = len(name) > 1 and name[1] == ":"
    return name.startswith("/") or drive or ".." in name.split("/") or stat.S_ISLNK(entry.external_attr >> 16)

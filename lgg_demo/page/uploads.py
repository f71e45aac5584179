"""What clients have uploaded, from its arrival to its end, and the files that the API gives back.

Nothing here knows Gradio. An upload lies alone in a folder with an unguessable name, which only its sender is told: to know
the path is to own the file. It is taken once; nothing but a regular file at such a place is ever touched, so neither a
folder, nor a link, nor a result, nor a path outside can be named in its stead.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

IDLE_SECONDS = 45  # that an upload may wait for its request, or for the next file of the same sender
LONGEST_SECONDS = 600  # that it may wait at all, outside the line
RESULT_SECONDS = 600  # that a result of the API can be fetched
LAID = "laid-"  # how the folders of uploads begin, whose names say nothing of a patient
_PLACE = re.compile(r"[0-9a-f]{64}")


class NotAnUpload(Exception):
    """A path that no client of this server can have been given for an upload of its own."""


class FilesGone(Exception):
    """Files that were held for another choice, and are deleted."""


@dataclass(frozen=True)
class _Arrival:
    sender: str
    at: float  # time.monotonic()


class UploadFolder:
    """`root/uploads/<64 hex>/<name>` are uploads, `root/taken/…` those of running requests, `root/results/<32 hex>/…` the
    API's files. All of mode 0700, on one file system, so that a full one does not keep an upload from being taken.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uploads, self.taken, self.results = (self.root / name for name in ("uploads", "taken", "results"))
        self.make()
        self._lock = threading.Lock()
        self._arrivals: dict[str, _Arrival] = {}  # by the folder's name
        self._last: dict[str, float] = {}  # when each sender sent something last
        self._receiving: dict[int, list[Path]] = {}  # files that are still being written, by request

    def make(self) -> None:
        """Make the folders, where they are not there."""
        for folder in (self.uploads, self.taken, self.results):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Arrival

    @contextmanager
    def receiving(self, sender: str) -> Iterator[list[Path]]:
        """A list for the files that are being written into `uploads`: what of it is still there on leaving is deleted."""
        files: list[Path] = []
        self._receiving[id(files)] = files
        self.heard_of(sender)
        try:
            yield files
        finally:
            self.heard_of(sender)
            for file in files:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
            del self._receiving[id(files)]

    def heard_of(self, sender: str) -> None:
        """That a sender goes on: what it has sent already is still waited with."""
        with self._lock:
            self._last[sender] = time.monotonic()

    def keep(self, file: Path, name: str, sender: str) -> Path:
        """Give a file that has arrived its own folder, and return where it lies."""
        place = self.uploads / secrets.token_hex(32)
        with self._lock:
            self._arrivals[place.name] = _Arrival(sender, time.monotonic())
        place.mkdir(mode=0o700)
        file.rename(place / name)
        return place / name

    # Use

    def check(self, path: object) -> Path:
        """The path, where it is one of an upload, whether it is still there or not. Raises NotAnUpload."""
        if not isinstance(path, str) or "\0" in path:
            raise NotAnUpload
        folder, _, name = path.rpartition("/")
        place = folder.rpartition("/")[2]
        # Compared as text, so that nothing is left to be resolved: neither `..` nor `//` nor a folder deeper down.
        if name in ("", ".", "..") or not _PLACE.fullmatch(place) or path != f"{self.uploads}/{place}/{name}":
            raise NotAnUpload
        for part, kind in ((folder, stat.S_ISDIR), (path, stat.S_ISREG)):
            try:
                if not kind(os.lstat(part).st_mode):
                    raise NotAnUpload
            except OSError:  # gone, or a name that no file can have
                break
        return Path(path)

    def take(self, paths: Sequence[str] | None) -> Uploads:
        """Take uploads over: they lie elsewhere now, and the caller deletes them. Raises NotAnUpload, and moves nothing."""
        return Uploads([self.check(p) for p in paths or []], self)

    def move(self, upload: Path, to: Path) -> bool:
        """Move a checked upload; whether it was still there."""
        try:
            upload.rename(to)
        except FileNotFoundError:
            return False
        finally:
            self._forget(upload.parent)
        return True

    def still_wanted(self, paths: Iterable[object]) -> None:
        """That a request with these uploads will come again."""
        for path in paths:
            with suppress(NotAnUpload):
                arrival = self._arrivals.get(self.check(path).parent.name)
                if arrival is not None:
                    self.heard_of(arrival.sender)

    def discard(self, paths: Sequence[object]) -> None:
        """Delete what of this is an upload: its request was refused."""
        for path in paths:
            with suppress(NotAnUpload, OSError):
                upload = self.check(path)
                upload.unlink(missing_ok=True)
                self._forget(upload.parent)

    def _forget(self, place: Path) -> None:
        with suppress(OSError):
            place.rmdir()
        with self._lock:
            self._arrivals.pop(place.name, None)

    # Results

    def new_result(self) -> Path:
        """A folder for the files of one answer of the API, which are served from there for ten minutes."""
        folder = self.results / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def is_result(self, path: str) -> bool:
        """Whether a path is that of a file that `new_result` holds."""
        inside = path.removeprefix(f"{self.results}/")
        plain = inside != path and "\0" not in path and str(Path(inside)) == inside and ".." not in Path(inside).parts
        return plain and Path(path).is_file() and not Path(path).is_symlink()

    # Cleaning

    def sweep(self, in_use: Collection[str]) -> None:
        """Delete what nobody waits for any more. in_use: the uploads of requests that wait in the line.

        Every deletion is tried by itself: one that fails keeps none of the others, nor the next sweep, from being done.
        """
        now = time.monotonic()
        kept = {Path(p).parent.name for p in in_use} | {p.name for files in list(self._receiving.values()) for p in files}
        for entry in _entries(self.uploads):
            if entry.name not in kept and self._given_up(entry, now):
                _remove(entry)
        for entry in _entries(self.results):
            if _age(entry) > RESULT_SECONDS:
                _remove(entry)
        with self._lock:
            self._arrivals = {n: a for n, a in self._arrivals.items() if (self.uploads / n).exists() or now - a.at < 60}
            self._last = {s: at for s, at in self._last.items() if now - at < LONGEST_SECONDS}

    def _given_up(self, entry: os.DirEntry[str], now: float) -> bool:
        """Whether an upload has waited too long for its request, or its sender has fallen silent."""
        with self._lock:
            arrival = self._arrivals.get(entry.name)
            heard = self._last.get(arrival.sender, arrival.at) if arrival else now
        if arrival is None:
            return _age(entry) > IDLE_SECONDS
        return now - max(arrival.at, heard) > IDLE_SECONDS or now - arrival.at > LONGEST_SECONDS

    def clear(self) -> None:
        """Delete everything."""
        for folder in (self.uploads, self.taken, self.results):
            shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _age(entry: os.DirEntry[str]) -> float:
    """Seconds since the last change; 0 of what is gone."""
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _remove(entry: os.DirEntry[str]) -> None:
    with suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()


class Uploads:
    """Uploaded files of one request in a folder of their own; gone with `delete`, or with the object."""

    def __init__(self, uploads: Sequence[Path], folder: UploadFolder) -> None:
        folder.make()
        self._folder = tempfile.TemporaryDirectory(dir=folder.taken)
        self._lock = threading.Lock()  # they are not deleted while they are read
        self._gone = False
        self._timer: threading.Timer | None = None
        self.paths: list[Path] = []
        self.gone: list[str] = []  # the names of those that were not there any more
        try:
            self._lay(uploads, folder)
        except BaseException:
            self.delete()
            raise

    def _lay(self, uploads: Sequence[Path], folder: UploadFolder) -> None:
        """Gradio drops the folders. Names that repeat are of several patients: the first of each together, the second, and
        so on; what has no namesake may be anybody's, and lies beside none of them.
        """
        times = Counter(upload.name for upload in uploads)
        met: Counter[str] = Counter()
        places: dict[int, Path] = {}  # of random names: the first masks of a name are not the first images'
        for upload in uploads:
            met[upload.name] += 1
            which = met[upload.name] if times[upload.name] > 1 else 0
            if which not in places:
                places[which] = Path(tempfile.mkdtemp(prefix=LAID, dir=self._folder.name))
            if folder.move(upload, places[which] / upload.name):
                self.paths.append(places[which] / upload.name)
            else:
                self.gone.append(upload.name)

    @contextmanager
    def reading(self) -> Iterator[list[Path]]:
        """The paths of those that are there, which stay while they are read. Raises FilesGone."""
        with self._lock:
            if self._gone:
                raise FilesGone
            yield self.paths

    def delete_after(self, seconds: float) -> None:
        """Delete the files then, whatever becomes of the session: Gradio keeps that of a closed tab for an hour."""
        self._timer = threading.Timer(seconds, self.delete)
        self._timer.daemon = True
        self._timer.start()

    def delete(self) -> None:
        """Delete the files now."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._gone = True
            self._folder.cleanup()


@contextmanager
def deleted_after(*some: Uploads) -> Iterator[None]:
    """Delete uploads on leaving."""
    try:
        yield
    finally:
        for uploads in some:
            uploads.delete()

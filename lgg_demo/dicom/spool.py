"""The node's state on the disk: a study is one folder, and each step of its way one rename, whatever ends the process.

    partial/     files being written; emptied at the start
    incoming/    KEY/images        studies that still arrive; KEY is made of the StudyInstanceUID, see `key_of`
    queue/       TIME-KEY/images   whole studies; the one that is segmented has results.part beside its images, and results
                                   once they are whole
    outbox/      TIME-KEY/results  results on their way to the archive
    dead/        TIME-KEY/...      what could not be done, with reason.txt

Nothing else is kept: a study that is done leaves no file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lgg_demo.dicom.archive import DicomError
from lgg_demo.dicom.instance import Instance

FOLDERS = ("partial", "incoming", "queue", "outbox", "dead")
IMAGES, RESULTS, PARTIAL, REASON = "images", "results", "results.part", "reason.txt"
ABORTED, TRIES = "aborted", "tries"
OURS = ".ours.dcm"  # how the names of images end that are results of this software, come back
LEAST_FREE_BYTES = 1_000_000_000  # on the spool's disk, for whoever wants to send


def key_of(uid: str) -> str:
    """What a study or instance is called in the log and on the disk: `printf %s UID | sha256sum | cut -c -16`."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Entry:
    """A study that has arrived, in queue, outbox or dead letters."""

    path: Path

    @property
    def key(self) -> str:
        return self.path.name.rpartition("-")[2]

    @property
    def since(self) -> float:
        """When it was whole, in seconds since the epoch."""
        return int(self.path.name.partition("-")[0]) / 1e9

    @property
    def images(self) -> Path:
        return self.path / IMAGES

    @property
    def ours(self) -> list[Path]:
        """Those of the images that are results of this software."""
        return sorted(self.images.glob(f"*{OURS}"))

    @property
    def partial(self) -> Path:
        """Where results are made."""
        return self.path / PARTIAL

    @property
    def results(self) -> list[Path]:
        return sorted((self.path / RESULTS).rglob("*.dcm"))

    @property
    def aborted(self) -> bool:
        """Whether whoever sent it broke off, and has not sent it again since."""
        return (self.path / ABORTED).exists()

    @property
    def tries(self) -> int:
        """How often segmenting it was begun and neither ended nor put off."""
        marks = self.path / TRIES
        return marks.stat().st_size if marks.exists() else 0


class Spool:
    """Of one node, which holds its lock. most: studies in it, beside dead letters.

    Raises DicomError where another node has it, OSError where it cannot be made.
    """

    def __init__(self, root: Path, most: int) -> None:
        self._most, self._alone = most, threading.Lock()
        self._busy: Path | None = None  # the entry of the queue that is being segmented
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(root / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DicomError("dicom_spool_used", folder=str(root)) from None
        self._partial, self._incoming, self._queue, self._outbox, self._dead = (root / name for name in FOLDERS)
        shutil.rmtree(self._partial, ignore_errors=True)
        for name in FOLDERS:
            (root / name).mkdir(exist_ok=True, mode=0o700)
        for study in self._incoming.iterdir():  # whoever was sending was cut off
            if any((study / IMAGES).glob("*")):
                (study / ABORTED).touch()
            else:  # before its first instance was kept
                shutil.rmtree(study)
        for entry in self.queue():
            if (entry.path / RESULTS).exists():
                self._dispatch(entry)

    def close(self) -> None:
        self._lock.release()

    def has_room(self, study: str) -> bool:
        """Whether an instance of a study may come: one of a study that has begun to arrive may while the disk has room."""
        if shutil.disk_usage(self._incoming).free < LEAST_FREE_BYTES:
            return False
        if (self._incoming / key_of(study)).exists():
            return True
        return sum(1 for folder in (self._incoming, self._queue, self._outbox) for _ in folder.iterdir()) < self._most

    def receive(self, instance: Instance, content: bytes) -> None:
        """Keep an instance; on return it is on the disk. Raises OSError."""
        study = self._incoming / key_of(instance.study)
        partial = self._partial / f"{threading.get_ident()}-{key_of(instance.uid)}"
        _write(partial, content)
        with self._alone:
            images = study / IMAGES
            if not images.exists():
                images.mkdir(parents=True)
                _synchronise(study, self._incoming)
            partial.replace(images / f"{key_of(instance.uid)}{OURS if instance.ours else '.dcm'}")
            _synchronise(images)

    def interrupt(self, key: str, broken: bool) -> None:
        """Say of a study that still arrives whether its sender broke off."""
        mark = self._incoming / key / ABORTED
        with self._alone:
            if broken and mark.parent.exists():
                mark.touch()
            elif not broken:
                mark.unlink(missing_ok=True)

    def arriving(self) -> dict[str, bool]:
        """The studies that still arrive, and whether their senders broke off."""
        return {study.name: (study / ABORTED).exists() for study in self._incoming.iterdir()}

    def instances(self, key: str) -> int:
        """How many have come of a study that still arrives."""
        return sum(1 for _ in (self._incoming / key / IMAGES).glob("*"))

    def enqueue(self, key: str) -> Entry:
        """A study has arrived. One that waits still takes in what comes after it; one that is segmented does not."""
        with self._alone:
            whole = self._incoming / key
            waiting = [e for e in self.queue() if e.key == key and e.path != self._busy]
            if not waiting:
                entry = Entry(self._queue / f"{time.time_ns():020d}-{key}")
                whole.replace(entry.path)
                _synchronise(self._queue, self._incoming)
                return entry
            if not (whole / ABORTED).exists():  # sent again, to its end
                (waiting[0].path / ABORTED).unlink(missing_ok=True)
            for file in whole.rglob("*"):
                if file.is_file():
                    file.replace(waiting[0].path / file.relative_to(whole))
            shutil.rmtree(whole)
            return waiting[0]

    def queue(self) -> list[Entry]:
        """The oldest first."""
        return _entries(self._queue)

    def outbox(self) -> list[Entry]:
        """The oldest first."""
        return _entries(self._outbox)

    def begin(self, entry: Entry) -> None:
        """Segmenting begins, in an empty folder of results; the beginning is counted."""
        with self._alone:
            self._busy = entry.path
        shutil.rmtree(entry.partial, ignore_errors=True)  # of a beginning that was cut off
        entry.partial.mkdir()
        with (entry.path / TRIES).open("ab") as marks:
            marks.write(b".")
            os.fsync(marks.fileno())

    def put_off(self, entry: Entry) -> None:
        """Segmenting is stopped on purpose: it does not count."""
        (entry.path / TRIES).unlink(missing_ok=True)

    def post(self, entry: Entry) -> None:
        """The partial results are whole: they go to the outbox, and the images go."""
        for file in entry.partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        entry.partial.replace(entry.path / RESULTS)
        _synchronise(entry.path)
        self._dispatch(entry)

    def _dispatch(self, entry: Entry) -> None:
        """An entry with whole results goes to the outbox, without its images."""
        shutil.rmtree(entry.images, ignore_errors=True)
        _unmark(entry)
        entry.path.replace(self._outbox / entry.path.name)
        _synchronise(self._outbox, self._queue)

    def remove(self, entry: Entry) -> None:
        """A study is done. It leaves its folder by one rename first, so that half of it is never taken for the whole."""
        gone = self._partial / entry.path.name
        with self._alone:
            entry.path.replace(gone)
        shutil.rmtree(gone)

    def bury(self, entry: Entry, reason: str) -> Path:
        """Put what is left of a study among the dead letters, with one line why; its folder there."""
        shutil.rmtree(entry.partial, ignore_errors=True)
        _write(entry.path / REASON, f"{reason}\n".encode())
        _unmark(entry)
        grave = self._dead / entry.path.name
        with self._alone:
            entry.path.replace(grave)
        _synchronise(self._dead)
        return grave


def _entries(folder: Path) -> list[Entry]:
    return [Entry(path) for path in sorted(folder.iterdir())]


def _unmark(entry: Entry) -> None:
    for name in (TRIES, ABORTED):
        (entry.path / name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _synchronise(*folders: Path) -> None:
    """Have the names in some folders on the disk."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

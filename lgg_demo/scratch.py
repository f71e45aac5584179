"""Temporary folders that a killed process does not leave behind for ever: a lock says whether its process lives."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "lgg-demo-"
LOCK = "lock"
UNLOCKED_SECONDS = 3600  # a folder without a lock is taken for another version's, or one being made, for as long


@contextmanager
def scratch(place: str | Path | None = None) -> Iterator[Path]:
    """An empty folder of mode 0700, gone on leaving, and at the next `clear_left_behind` if the process is killed before.

    place: the folder to make it in; None for the system's temporary one.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place) as name, FileLock(Path(name, LOCK)):
        inside = Path(name, "files")
        inside.mkdir(mode=0o700)
        yield inside


def clear_left_behind(places: Iterable[str | Path]) -> int:
    """Delete the `scratch` folders in these places whose process is dead; how many there were."""
    cleared = 0
    for folder in {p for place in places for p in Path(place).glob(f"{PREFIX}*")}:
        with suppress(OSError):
            if folder.is_symlink() or not folder.is_dir():
                continue
            if not (folder / LOCK).exists():
                if time.time() - folder.stat().st_mtime > UNLOCKED_SECONDS:
                    shutil.rmtree(folder)
                    cleared += 1
                continue
            with suppress(Timeout), FileLock(folder / LOCK, timeout=0):  # else its process lives
                shutil.rmtree(folder)
                cleared += 1
    return cleared

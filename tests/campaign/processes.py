"""Processes as the kernel counts them: the memory of a process with all its children, and the death of all of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def at_most(pids: Iterable[int]) -> int:
    """Bytes that processes hold, pages that they share counted for each: quick, and never too little."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return total


def memory(pids: Iterable[int]) -> int:
    """Bytes that processes hold, pages that they share counted once: takes the kernel some 15 ms for a GB."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            said = Path(f"/proc/{pid}/smaps_rollup").read_text()
            if match := re.search(r"^Pss:\s+(\d+) kB", said, re.MULTILINE):
                total += int(match[1]) * 1024
    return total


def end(root: int) -> None:
    """Kill a process and its descendants, as a machine that is switched off does."""
    for pid in tree(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Peak:
    """The most that a process tree held, and all names that its folder held, while the block ran."""

    def __init__(self, root: int, folder: Path | None = None) -> None:
        self.root, self.folder = root, folder
        self.bytes, self.names = 0, set[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.is_set():
            pids = tree(self.root)
            if at_most(pids) > self.bytes:
                self.bytes = max(self.bytes, memory(pids))
            if self.folder is not None:
                for place, folders, files in os.walk(self.folder):  # rglob would raise at what is deleted meanwhile
                    self.names |= {Path(place, name).as_posix() for name in (*folders, *files)}
            self._stop.wait(0.1)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@dataclass(frozen=True)
class Ran:
    """A command that ended, or was ended: code None for the latter. peak: bytes. names: what its temporary folder held."""

    code: int | None
    out: str
    err: str
    seconds: float
    peak: int
    names: frozenset[str]


def run(
    arguments: Sequence[str], seconds: float, environment: dict[str, str], folder: Path, watched: Path | None = None
) -> Ran:
    """Run this Python with such arguments in a folder to its end, or end it after so many seconds."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        cwd=folder,
    )
    with Peak(process.pid, watched) as peak:
        code: int | None
        try:
            out, err = process.communicate(timeout=seconds)
            code = process.returncode
        except subprocess.TimeoutExpired:
            end(process.pid)
            out, err = process.communicate()
            code = None
    return Ran(code, out, err, time.monotonic() - began, peak.bytes, frozenset(peak.names))

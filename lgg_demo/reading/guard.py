"""Reading in a child process: untrusted bytes are decoded where memory and time are bounded, whatever the format.

A child that dies or computes too long over a file costs that file: its name is known from what the child said it opens, and
the rest is read again without it. Nothing that a child leaves on the disk outlives the call.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO, Any

from lgg_demo.case import Case, Notice, ReadError
from lgg_demo.reading.references import Known, attachable, read_references, with_events
from lgg_demo.reading.studies import Request, read_cases
from lgg_demo.reading.watch import VOLUME_SECONDS, tell
from lgg_demo.scratch import scratch

MOST_DEATHS = 20  # files of one call that may end a child, before the call is given up
CASE_DEATHS = 3  # files of one case, before that is given up
_CHILD = "from lgg_demo.reading.guard import _serve; _serve()"


@dataclass(frozen=True)
class Limits:
    """What reading may take: bytes beside the interpreter and its libraries, seconds of computing for one file at most,
    and seconds of waiting for all files of one call.
    """

    memory: int = 1_200_000_000
    file_seconds: float = VOLUME_SECONDS
    seconds: float = 300.0


class Stopped(Exception):
    """The caller's `stop` said that nobody waits any more."""


def read(
    request: Request, stop: Callable[[], bool] = lambda: False, limits: Limits | None = None
) -> Generator[Case | ReadError | Notice]:
    """`studies.read_cases` in a child process. Raises Stopped."""
    call = _Call(stop, limits or Limits())
    said: set[str] = set()  # a child that goes on where another ended says the same again of what it left out
    deaths = Counter[int]()  # by case
    while True:
        planned = False
        for event in _unsaid(call.run(read_cases, (request,)), said):
            if isinstance(event, int):
                planned, request = True, replace(request, done=event)
            else:
                yield event
        if call.death is None:
            return
        yield call.death
        if call.given_up:
            yield ReadError(call.death.file, "reading_given_up")
            return
        deaths[request.done] += 1
        hopeless = planned and deaths[request.done] == CASE_DEATHS
        request = replace(request, skip=request.skip | call.skip, done=request.done + hopeless)


def _unsaid(events: Iterator[Any], said: set[str]) -> Iterator[Any]:
    """Events without what was `said` before, which grows by what is said now."""
    before = frozenset(said)
    for event in events:
        text = f"{event.file}\0{event.sentence}" if isinstance(event, ReadError | Notice) else None
        if text is None or text not in before:
            said |= {text} if text else set()
            yield event


def attach(
    results: Sequence[Known], paths: Sequence[Path], stop: Callable[[], bool] = lambda: False, limits: Limits | None = None
) -> tuple[list[Known], list[ReadError]]:
    """Cases, or finished results, with the references that belong to them; and errors.

    `references.read_references` in a child process. Raises Stopped.
    """
    call = _Call(stop, limits or Limits())
    bare = [attachable(result) for result in results]
    deaths: list[ReadError] = []
    while True:
        attached, errors = with_events(results, call.run(read_references, (bare, paths, call.skip)))
        if call.death is not None:
            deaths.append(call.death)
        if call.death is None or call.given_up:
            return attached, [*deaths, *errors]


class _Call:
    """One call's children, one after the other, and how the last of them ended.

    death: of the file that ended it; None where it did all its work. skip: the places that ended one. given_up: there were
    too many, or no time is left.
    """

    def __init__(self, stop: Callable[[], bool], limits: Limits) -> None:
        self._stop, self._limits, self._left = stop, limits, limits.seconds
        self.death: ReadError | None = None
        self.skip: frozenset[PurePath] = frozenset()
        self.given_up = False

    def run(self, job: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> Iterator[Any]:
        """What the job yields in a child process, until it ends. Raises Stopped."""
        self.death = None
        at: PurePath | None = None
        with scratch() as work, ThreadPoolExecutor(1) as thread, _child() as child:
            with suppress(BrokenPipeError):  # then it has died, which receiving says
                _write(child.stdin, (job.__module__, job.__name__, arguments, str(work), self._limits))
            while True:
                kind, value = self._receive(child, thread)
                if kind == _OPENING:
                    at = value
                elif kind == _EVENT:
                    yield value
                elif kind == _DONE:
                    return
                else:  # over the file that it opened last; without one there is none to leave out
                    self.death = ReadError(at.name if at else "?", value)
                    self.skip |= {at} if at else set()
                    self.given_up = kind == _LATE or at is None or len(self.skip) >= MOST_DEATHS
                    return

    def _receive(self, child: _Process, thread: ThreadPoolExecutor) -> tuple[str, Any]:
        """The next message, or the key of what to say of the file that ended the child. Raises Stopped."""
        begun = time.monotonic()
        message = thread.submit(_read, child.stdout)
        while not wait([message], _LOOK_SECONDS).done:
            if self._stop():
                raise Stopped
            if time.monotonic() - begun > self._left:
                return _LATE, "reading_too_long"
        self._left -= time.monotonic() - begun
        try:
            kind, value = message.result()
        except (EOFError, OSError, pickle.UnpicklingError):
            return _DIED, "reading_too_long" if child.wait() == -_PROF else "reading_ended"
        if kind == _FAILED:
            value, where = value
            _LOG.error("reading failed: %s", where)
        return kind, value


_Process = subprocess.Popen[bytes]
_OPENING, _EVENT, _DONE, _FAILED, _DIED, _LATE = "opening", "event", "done", "failed", "died", "late"
_LOOK_SECONDS = 0.2
_PROF = getattr(signal, "SIGPROF", 0)
_LOG = logging.getLogger(__name__)
_prepared: list[_Process] = []


def prepare() -> None:
    """Have a child ready for the next call, so that it does not wait for an interpreter to start."""
    if not _prepared:
        _prepared.append(_spawn())


@contextmanager
def _child() -> Iterator[_Process]:
    """A process that reads, killed on leaving."""
    process = _prepared.pop() if _prepared else _spawn()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(OSError):
                pipe.close()


def _spawn() -> _Process:
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders quote what they read, a name too
        env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _write(pipe: IO[bytes] | None, message: Any) -> None:
    """A message: the sizes of its arrays and of its pickle, the pickle, the arrays, so that no array is copied."""
    assert pipe is not None
    buffers: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    arrays = [b.raw() for b in buffers]
    pickle.dump((len(packed), [a.nbytes for a in arrays]), pipe)
    pipe.write(packed)
    for array in arrays:
        pipe.write(array)
    pipe.flush()


def _read(pipe: IO[bytes] | None) -> Any:
    """A message of `_write`. Raises EOFError where the other side has gone."""
    assert pipe is not None
    size, sizes = pickle.load(pipe)
    packed = pipe.read(size)
    arrays = [bytearray(n) for n in sizes]
    for array in arrays:
        if pipe.readinto(array) < len(array):  # type: ignore[attr-defined]
            raise EOFError
    return pickle.loads(packed, buffers=arrays)


# In the child


def _serve() -> None:
    """Do the job that comes on standard input; what it yields goes to standard output."""
    out = sys.stdout.buffer
    module, name, arguments, work, limits = _read(sys.stdin.buffer)
    _limit_memory(limits.memory)

    def opening(place: PurePath, seconds: float) -> None:
        _limit_time(min(seconds, limits.file_seconds))
        _write(out, (_OPENING, place))

    tell(opening)
    try:
        for event in getattr(importlib.import_module(module), name)(*arguments, Path(work)):
            _write(out, (_EVENT, event))
        _write(out, (_DONE, None))
    except MemoryError:
        _write(out, (_FAILED, ("reading_ended", "MemoryError")))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]  # no values: they may be names
        told = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
        _write(out, (_FAILED, ("damaged", told)))


def _limit_memory(most: int) -> None:
    """Where the system knows such a limit (Linux), an allocation beyond so many bytes fails, and is a MemoryError."""
    if sys.platform == "linux":
        import resource

        data = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (data + most, data + most))


def _limit_time(seconds: float) -> None:
    """End this process after so many seconds of computing from now on."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)

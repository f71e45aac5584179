"""What comes of a request step by step: how far it is, while a thread of its own works, and at last its result."""

from __future__ import annotations

import contextvars
import json
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import gradio as gr

from lgg_demo.output.result import Result
from lgg_demo.page.faults import ClientLeft, NotOurs
from lgg_demo.page.session import Session

T = TypeVar("T")
SOONEST = 0.2  # seconds between two things that are told


class _Work(threading.Thread):
    """Runs something to its end; `told` gets what it says, and None after all of it."""

    def __init__(self, work: Callable[[Callable[[int, int], None]], object]) -> None:
        super().__init__(daemon=True)
        self.told: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self.left = False
        self.result: object = None
        self.error: BaseException | None = None
        self._work = work
        self._context = contextvars.copy_context()

    def tell(self, done: int, total: int) -> None:
        if self.left:
            raise ClientLeft
        self.told.put((done, total))

    def run(self) -> None:
        try:
            self.result = self._context.run(self._work, self.tell)
        except BaseException as error:  # it is raised where it is waited for
            self.error = error
        finally:
            self.told.put(None)


def stepped(work: Callable[[Callable[[int, int], None]], T]) -> Generator[tuple[int, int], None, T]:
    """What `work` tells with (done, total), not more often than anybody can read; returns what it returns, raises what it
    raises. Where this is left early, `work` gets ClientLeft as soon as it tells something more.
    """
    thread = _Work(work)
    thread.start()
    last = 0.0
    try:
        while (told := thread.told.get()) is not None:
            if time.monotonic() - last >= SOONEST or told[0] == told[1]:
                last = time.monotonic()
                yield told
    finally:
        thread.left = True
    if (error := thread.error) is not None:
        thread.error = None  # its traceback holds the thread, and that all that was worked on
        try:
            raise error
        finally:
            del error
    return thread.result  # type: ignore[return-value]


def wanted_of(choice: str | None) -> tuple[int, str, str]:
    """Study, series and role of a choice, as the viewer sends it. Raises NotOurs for anything else."""
    try:
        wanted = json.loads(choice or "")
        study, series, role = wanted["study"], wanted["series"], wanted["role"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotOurs from None
    if type(study) is not int or not isinstance(series, str) or not isinstance(role, str):
        raise NotOurs
    return study, series, role


@dataclass(frozen=True)
class Step:
    """What comes of a request: how far it is, as text, or pictures to look at, or at last a session with its value."""

    told: str = ""
    session: Session | None = None
    value: dict[str, Any] | None = None

    def sent(self, before: Session | None, held: Any) -> tuple[Any, ...]:
        """For session, viewer, messages, files held and progress. Where nothing could be read, what was there stays.

        before: the session until now.
        """
        stays = [gr.skip()] * 4
        if self.told:
            return *stays, self.told
        if self.session is None:
            return gr.skip(), self.value, *stays[2:], gr.skip()
        if not self.session.results and before is not None and before.results:
            return *stays[:2], self.session.messages(), gr.skip(), ""
        return self.session, self.value, self.session.messages(), held, ""


def told_of(steps: Generator[tuple[int, int], None, list[Result]], before: int) -> Generator[Step, None, list[Result]]:
    """Each step of the network as a `Step`; returns its results. before: slices that were done before these."""
    with closing(steps):
        while True:
            try:
                done, total = next(steps)
            except StopIteration as end:
                return list(end.value)
            yield Step(f"{before + done}/{before + total}")

"""The synthetic patients as the page shows them: segmented once, shared by every session, written to by none.

They are public. Whatever a user adds, a correction or a ground truth or another choice of sequences, is of that session.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from lgg_demo.case import Visit
from lgg_demo.messages import Language, Sentence
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Pair
from lgg_demo.page.faults import log, raised_at, refusal
from lgg_demo.page.gradio_patches import Stop
from lgg_demo.page.handlers import Asked, Page
from lgg_demo.page.patients import PATIENTS, files_of, months_of
from lgg_demo.page.session import Held, Kept, Roles, Session
from lgg_demo.reading.layout import nifti_name, parse
from lgg_demo.reading.visits import visit_of_name
from lgg_demo.registration import Registration

FIRST = PATIENTS[0]  # is open when the page comes
FIRST_THRESHOLD = 0.5
ARRIVAL_SECONDS = 0.2  # between two looks whether it is there


def visits_of(patient: str) -> tuple[Visit, ...]:
    """The visits of a synthetic patient, with the months that no file says."""
    subjects = sorted({parse(nifti_name(file)).subject for file in files_of(patient)})
    months = months_of(patient)
    return tuple(replace(visit_of_name(s), months=m) for s, m in zip(subjects, months, strict=True))


class Shipped:
    """The files of a synthetic patient where a session holds those of an upload: they lie in the package, and stay."""

    def __init__(self, patient: str) -> None:
        self._paths = files_of(patient)

    @contextmanager
    def reading(self) -> Iterator[list[Path]]:
        yield self._paths

    def delete(self) -> None:
        """Nothing of a user's is here."""


@dataclass(frozen=True)
class Shown:
    """A synthetic patient's result and what the viewer is sent of it. No array of it can be written to."""

    results: tuple[Result, ...]
    pictures: tuple[np.ndarray, ...]
    registered: Mapping[Pair, Registration | None]
    studies: tuple[Roles | None, ...]
    done: tuple[Sentence, ...]
    views: list[dict[str, Any]]

    @classmethod
    def of(cls, session: Session, value: dict[str, Any]) -> Shown:
        """From what a session was given that has read the patient's files."""
        kept = Kept(session.results, session.kept.pictures, session.kept.registered)
        for array in kept.arrays:
            array.setflags(write=False)
        done = (Sentence("synthetic_patient"), *session.done)
        return cls(kept.results, kept.pictures, kept.registered, session.studies, done, value["cases"])

    def session(self, patient: str) -> Session:
        """A new session with this result, whose arrays it shares with the others."""
        kept = Kept(self.results, self.pictures, self.registered, shared=True)
        visits = tuple(r.visit for r in self.results)
        of = Shipped(patient)
        return Session(kept, done=self.done, studies=self.studies, files=of, visits=visits, synthetic=True)


class _Ending(Stop):
    """Of a run that no client has asked for: it stops with the server."""

    def __init__(self, ended: threading.Event) -> None:
        super().__init__()
        self._ended = ended

    @property
    def left(self) -> bool:
        return self._ended.is_set()


class Showcase:
    """Handlers of the page's synthetic patients.

    made: what the viewer is given of each that was segmented so far. first_is_awaited: the first one is on its way.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.made: dict[str, Shown] = {}
        self._one = threading.Lock()
        self._ended = threading.Event()
        self.first_is_awaited = False
        self._thread: threading.Thread | None = None

    # At the server's start

    def start(self) -> None:
        """Segment all patients, one after the other and the first one first, while the server begins to answer."""
        self.first_is_awaited = True
        self._thread = threading.Thread(target=self._make_all, name="showcase", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop where it still runs, and wait for that."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _make_all(self) -> None:
        for patient in PATIENTS:
            if self._ended.is_set():
                break
            try:
                self.get(patient, Asked(FIRST_THRESHOLD, "en", _Ending(self._ended)))
            except Exception as error:  # the page is of use without them, and a click tries again
                if not self._ended.is_set():
                    log(f"synthetic patient: {raised_at(error)}")
            finally:
                self.first_is_awaited = False

    def get(self, patient: str, asked: Asked) -> Shown:
        """A patient's result: read and segmented as any upload is, where that was not done before."""
        while not self._one.acquire(timeout=0.2):
            asked.stop()
        try:
            if patient not in self.made:
                asked = replace(asked, visits=visits_of(patient))
                session, value = self.page.run(self.page.read(files_of(patient), asked.stop), asked)
                if value is None or not session.results:  # they had to make room for another user's at once
                    raise refusal("result_dropped", asked.language)
                self.made[patient] = Shown.of(session, value)
            return self.made[patient]
        finally:
            self._one.release()

    # Events of the page

    async def on_arrival(self) -> None:
        """Wait for the first patient, where it is on its way. Not in a thread: that would be one less for who works."""
        while self.first_is_awaited:
            await asyncio.sleep(ARRIVAL_SECONDS)

    def on_first(self, session: Session | None, threshold: float, language: Language) -> tuple[Any, ...]:
        """Open the first patient, unless something else was opened while it was awaited."""
        first = self.made.get(FIRST)
        if session is not None or first is None:
            return tuple([gr.skip()] * 4)
        return self._opened(FIRST, first, threshold, language)

    def on_patient(self, patient: str, before: Held | None, threshold: float, language: Language) -> tuple[Any, ...]:
        """Open one of PATIENTS. before: the files of an earlier study, which go."""
        shown = self.get(patient, Asked(threshold, language))
        if before is not None:
            before.delete()
        return self._opened(patient, shown, threshold, language)

    def _opened(self, patient: str, shown: Shown, threshold: float, language: Language) -> tuple[Any, ...]:
        """What the page is given of a patient, in a session of its own."""
        session = shown.session(patient)
        self.page.memory.used(session.kept)
        value = self.page.value(session, threshold, language, shown.views)
        return *self.page.shown(session, value), None

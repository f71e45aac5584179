"""The node's two hands: one segments the studies of the queue, one at a time; the other sends results on."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from lgg_demo.case import Notice
from lgg_demo.dicom.archive import Archive, DicomError, Sent
from lgg_demo.dicom.results import Outcome, Pipeline
from lgg_demo.dicom.spool import Entry, Spool
from lgg_demo.reading import Stopped

MOST_TRIES = 5  # beginnings of a study that end the process, before it is a dead letter
MOST_SENTENCES = 5  # of one study, in the log
LOOK_SECONDS = 0.2
LONGEST_PAUSE = 600.0
_LOG = logging.getLogger(__name__)


@dataclass
class Worker:
    """Segments what is in the queue until `stop` is set; a study that is cut off stays there."""

    spool: Spool
    pipeline: Pipeline
    stop: Event

    def run(self) -> None:
        while not self.stop.is_set():
            queue = self.spool.queue()
            if queue:
                self._one(queue[0])
            else:
                self.stop.wait(LOOK_SECONDS)

    def _one(self, entry: Entry) -> None:
        if entry.tries >= MOST_TRIES:
            self._bury(entry, f"it has ended this program {MOST_TRIES} times")
            return
        self.spool.begin(entry)
        begun = time.monotonic()
        # Whoever reads the results should know that some images may not have come.
        notices = [Notice("study", "dicom_study_aborted")] if entry.aborted else []
        try:
            outcome = self.pipeline(entry.images, entry.partial, entry.ours, self.stop.is_set, notices)
        except Stopped:
            self.spool.put_off(entry)
            return
        except Exception as error:  # whatever it is, it is this study's and would come again
            self._bury(entry, f"unexpected: {where_of(error)}")
            return
        self._finish(entry, outcome, time.monotonic() - begun)

    def _finish(self, entry: Entry, outcome: Outcome, seconds: float) -> None:
        told = "; ".join(str(sentence) for sentence in outcome.said[:MOST_SENTENCES])
        if outcome.files:
            level = logging.WARNING if outcome.lost else logging.INFO
            _LOG.log(level, "study %s: %d results in %.0f s. %s", entry.key, len(outcome.files), seconds, told)
            self.spool.post(entry)
        elif outcome.lost:
            self._bury(entry, told)
        else:
            _LOG.info("study %s: nothing to segment, removed. %s", entry.key, told)
            self.spool.remove(entry)

    def _bury(self, entry: Entry, reason: str) -> None:
        grave = self.spool.bury(entry, reason)
        _LOG.error("study %s: not segmented, see %s: %s", entry.key, grave, reason)


@dataclass
class Sender:
    """Sends what is in the outbox until `stop` is set.

    pause: seconds before the second try; each later one is twice as long, up to `LONGEST_PAUSE`. give_up: seconds after
    which a study that waits is a dead letter. What the archive will never take is one at once.
    """

    spool: Spool
    archive: Archive
    stop: Event
    pause: float
    give_up: float
    _failed: dict[Path, tuple[int, float]] = field(default_factory=dict)  # how often, and when to try again

    def run(self) -> None:
        while not self.stop.is_set():
            for entry in self.spool.outbox():
                if not self.stop.is_set() and self._failed.get(entry.path, (0, 0.0))[1] <= time.monotonic():
                    self._one(entry)
            self.stop.wait(LOOK_SECONDS)

    def _one(self, entry: Entry) -> None:
        refused: list[Sent] = []
        reason = ""
        stored = 0
        try:
            for sent in self.archive.store(entry.results):
                if sent.refused is None:
                    sent.file.unlink()
                    stored += 1
                else:
                    refused.append(sent)
                if self.stop.is_set():
                    return
        except Exception as error:  # whatever it is, it is over one day, or this study is given up
            reason = str(error) if isinstance(error, DicomError) else where_of(error)
        left = len(entry.results)
        if stored:
            _LOG.info("study %s: %d results stored in %s", entry.key, stored, self.archive.name)
        if left == 0:
            self.spool.remove(entry)
            self._failed.pop(entry.path, None)
            return
        reason = reason or "; ".join(str(sent.refused) for sent in refused)
        hopeless = len(refused) == left and not any(sent.passing for sent in refused)
        self._again(entry, left, reason, hopeless or time.time() - entry.since > self.give_up)

    def _again(self, entry: Entry, left: int, reason: str, hopeless: bool) -> None:
        """Some results are left: try later, or never."""
        if hopeless:
            self._failed.pop(entry.path, None)
            grave = self.spool.bury(entry, reason)
            _LOG.error("study %s: %d results not stored, see %s: %s", entry.key, left, grave, reason)
            return
        times = self._failed.get(entry.path, (0, 0.0))[0]
        pause = min(self.pause * 2**times, LONGEST_PAUSE)
        self._failed[entry.path] = times + 1, time.monotonic() + pause
        _LOG.warning("study %s: %d results wait %.1f s: %s", entry.key, left, pause, reason)


def where_of(error: Exception) -> str:
    """What went wrong where, without the values, which may be names."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"

"""What the events of the page and the API do.

Nothing is kept longer than needed and nothing is shared: uploads are moved out of reach, read and deleted at once; a result
lives in its session's own state until an hour after its last change, or until newer ones need the memory; the files of a
download are gone before it is sent; no history, no telemetry.
"""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from lgg_demo.case import Case, Notice, ReadError, Visit
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import DicomChoice
from lgg_demo.output.display import grey
from lgg_demo.output.files import write_outputs
from lgg_demo.output.follow_up import follow_up_of, repeatability_of
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.output.timeline import register_visits
from lgg_demo.page.faults import NotOurs, language_of, refusal
from lgg_demo.page.gradio_patches import Stop
from lgg_demo.page.listing import listed_case, roles_of
from lgg_demo.page.parcel import without_spare, zip_of
from lgg_demo.page.payload import read_corrections, viewer_case, viewer_picture, viewer_reference
from lgg_demo.page.session import Held, Kept, Memory, NoFlair, NoSuchChoice, Roles, Session
from lgg_demo.page.steps import Step, stepped, told_of, wanted_of
from lgg_demo.page.uploads import FilesGone, UploadFolder, Uploads, deleted_after
from lgg_demo.page.visits import read_visits, viewer_follow_up
from lgg_demo.reading import guard
from lgg_demo.reading.layout import nifti_name, parse
from lgg_demo.reading.limits import MOST_FILES, MOST_SLICES
from lgg_demo.reading.studies import Read, Request
from lgg_demo.scratch import scratch

HOLD_SECONDS = 600  # the files of a study with several sequences, while another choice may be made
HELD_VALUES = 20_000_000  # of the scans of a request that are held together, float32
READING = "reading"  # before the network begins
OF_API = DicomChoice(("seg",))  # it returns each file by itself, and the figures and the page beside it
SHOW_EARLY = 16  # slices from which on a scan is shown before the network has run


def gone(*some: Uploads) -> list[ReadError]:
    """Of each upload that is not there any more, that it is to be dropped once more."""
    return [ReadError(name, "upload_gone") for uploads in some for name in uploads.gone]


def says_mask(upload: str) -> bool:
    """Whether a file's name says that it is a mask."""
    return parse(nifti_name(Path(upload))).role == "mask"


def segment_cases(
    segmenter: Segmenter, cases: Sequence[Case], say_progress: Callable[[int, int], None], stop: Callable[[], None]
) -> list[Result]:
    """Run the network over every case, counting slices over all of them. stop: see `Stop`."""
    total, before = sum(len(c.scan) for c in cases), 0
    results: list[Result] = []

    def forward(done: int, _: int) -> None:
        stop()
        say_progress(before + done, total)

    for case in cases:
        stop()
        results.append(result_of(case, segmenter.segment(case.scan, forward)))
        before += len(case.scan)
    return results


def scored_sentence(results: Sequence[Result]) -> tuple[Sentence, ...]:
    """How many slices have a reference, where any has."""
    scored = sum(int(r.referenced.sum()) for r in results if r.referenced is not None)
    return (Sentence("scored", {"slices": scored}),) if scored else ()


@dataclass(frozen=True)
class Asked:
    """What a request that shows a new result comes with. Made in its handler, see `Stop`.

    synthetic: the images are of no real person. visits: of each case, where they are said otherwise than by the files.
    """

    threshold: float
    language: Language
    stop: Stop = field(default_factory=Stop)
    synthetic: bool = False
    visits: tuple[Visit | None, ...] = ()


class Page:
    """Handlers of the page and of the API around one `Segmenter`; all that differs between users is in `Session`.

    keep_patient: see `studies.Request`.
    """

    def __init__(self, segmenter: Segmenter, keep_patient: bool = False) -> None:
        self.segmenter, self.keep_patient = segmenter, keep_patient
        self.folder = UploadFolder(Path(get_upload_folder()))
        self.memory = Memory()
        self._alone = threading.Lock()

    # What handlers share

    @contextmanager
    def alone(self, stop: Stop) -> Iterator[None]:
        """One at a time: the thread of a request that was cancelled runs on to its next `stop`, while the line moves up."""
        while not self._alone.acquire(timeout=0.2):
            stop()
        try:
            stop()
            yield
        finally:
            self._alone.release()

    @contextmanager
    def reading(self, stop: Stop) -> Iterator[None]:
        """Around a wait for the child process that decodes what users send."""
        with self.alone(stop):
            try:
                yield
            except guard.Stopped:
                stop()
                raise

    def read(self, paths: Sequence[Path], stop: Stop, **request: Any) -> Generator[Read]:
        """The one place where images that a user sent are decoded: in a child process. Some cases at a time, as many as
        may be held together, and at last what is said of files.

        request: further fields of `Request`.
        """
        asked = Request(
            tuple(paths), most_slices=MOST_SLICES, most_files=MOST_FILES, keep_patient=self.keep_patient, **request
        )
        read, values = Read([], [], []), 0
        try:
            with closing(guard.read(asked, stop.over)) as events:
                while True:
                    with self.reading(stop):
                        event = next(events, None)
                    if event is None:
                        break
                    if isinstance(event, Notice):
                        read.notices.append(event)
                    elif isinstance(event, ReadError):
                        read.errors.append(event)
                    else:
                        if values and values + event.scan.values_held > HELD_VALUES:
                            yield read
                            read, values = Read([], [], []), 0
                        read.cases.append(event)
                        values += event.scan.values_held
                    del event  # its arrays are large
        finally:
            guard.prepare()  # for the next request
        yield read

    def read_masks(
        self, results: Sequence[Result], paths: Sequence[Path], stop: Stop
    ) -> tuple[list[Result], list[ReadError]]:
        """The one place where masks that a user sends after the images are decoded: in a child process."""
        try:
            with self.reading(stop):
                return guard.attach(list(results), list(paths), stop.over)
        finally:
            guard.prepare()

    def segmented(
        self, cases: Sequence[Case], stop: Stop, tell: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Result]:
        """The network over cases, one request at a time."""
        with self.alone(stop):
            return segment_cases(self.segmenter, cases, tell, stop)

    def steps(self, batches: Generator[Read], asked: Asked) -> Iterator[Step]:
        """Read and segment: of a study first what there is to look at, then how far the network is, at last the result."""
        yield Step(READING)
        early = Session()
        early_value = {"id": early.identity, "threshold": asked.threshold, "synthetic": asked.synthetic}
        results, pictures, views = list[Result](), list[np.ndarray](), list[dict[str, Any]]()
        errors, notices, studies = list[ReadError](), list[Notice](), list[Roles | None]()
        with closing(batches):  # also where this ends early: it holds the files
            for found in batches:
                pictures += (grey(c.scan) for c in found.cases)
                views += (viewer_picture(c) | {"study": listed_case(c)} for c in found.cases)
                if not results and sum(len(p) for p in pictures) >= SHOW_EARLY:
                    yield Step(value=early_value | {"cases": views})
                before = sum(len(r.probability) for r in results)
                results += yield from told_of(stepped(partial(self.segmented, found.cases, asked.stop)), before)
                studies += map(roles_of, found.cases)
                errors += found.errors
                notices += found.notices
                del found  # before the next ones are read
        kept = self.kept(results, pictures, asked)
        session = Session(
            kept,
            tuple(errors),
            tuple(notices),
            done=self.done(results),
            studies=tuple(studies),
            visits=asked.visits,
            synthetic=asked.synthetic,
            identity=early.identity,  # the viewer goes on with what it shows: same slice, zoom and window
        )
        views = [viewer_case(v, r) for v, r in zip(views, results, strict=True)]
        value = self.value(session, asked.threshold, asked.language, views) if views else None
        yield Step(session=session, value=value)

    def kept(self, results: Sequence[Result], pictures: Sequence[np.ndarray], asked: Asked) -> Kept:
        """What a session keeps of a new result, each patient's visits registered."""
        visits = asked.visits if len(asked.visits) == len(results) else [r.visit for r in results]
        # Paths are kept to match a reference by name later: the folder they were in is gone and says nothing.
        bare = [
            replace(r, visit=v, paths=tuple(Path(p.name) for p in r.paths)) for r, v in zip(results, visits, strict=True)
        ]
        registered = register_visits(bare, pictures, turn=partial(self.alone, asked.stop))
        kept = Kept(tuple(bare), tuple(pictures), registered)
        self.memory.used(kept)
        return kept

    def run(self, batches: Generator[Read], asked: Asked) -> tuple[Session, dict[str, Any] | None]:
        """The end of `steps`: the session and the viewer's value."""
        *_, last = self.steps(batches, asked)
        assert last.session is not None
        return last.session, last.value

    def done(self, results: Sequence[Result]) -> tuple[Sentence, ...]:
        """How much was segmented, and how much of it has a reference."""
        if not results:
            return ()
        images, slices = sum(len(r.files) for r in results), sum(len(r.probability) for r in results)
        values = {"images": images, "slices": slices, "model": self.segmenter.record.get("name")}
        return Sentence("done", values), *scored_sentence(results)

    def value(self, session: Session, threshold: float, language: Language, cases: list[dict[str, Any]]) -> dict[str, Any]:
        """What the viewer is given: a result's cases, see `payload.viewer_case`, which are one patient's visits, and
        what the model's record says.
        """
        record, kept = self.segmenter.record, session.kept
        value: dict[str, Any] = {"id": session.identity, "threshold": threshold, "synthetic": session.synthetic}
        value |= {"model": record.get("name"), "cases": cases}
        value["follow_up"] = viewer_follow_up(kept.results, kept.registered, language)
        repeatability = repeatability_of(record)
        value["repeatability"] = repeatability and asdict(repeatability)
        best = record.get("best_threshold")  # found in cross-validation; not every record has it
        return value if best is None else value | {"best_threshold": float(best)}

    def shown(self, session: Session, value: dict[str, Any] | None) -> tuple[Any, ...]:
        """Session, viewer and messages after a result."""
        return session, value, session.messages()

    # Events of the page

    def on_scan(
        self,
        uploads: list[str] | None,
        session: Session | None,
        before: Held | None,
        threshold: float,
        language: Language,
    ) -> Iterator[tuple[Any, ...]]:
        """Segment what was dropped. before: the files of an earlier study, which go once there is a result."""
        if uploads and all(says_mask(u) for u in uploads):
            # Masks alone are no scan: segmenting them would throw away the result they were meant for.
            yield *self.on_reference(uploads, session, threshold, language), gr.skip(), ""
            return
        asked = Asked(threshold, language)
        taken = self.folder.take(uploads)
        held = None

        def read() -> Generator[Read]:
            with taken.reading() as paths:
                yield Read([], gone(taken), [])
                yield from self.read(paths, asked.stop)

        try:
            for step in self.steps(read(), asked):
                if step.session is not None and (step.session.results or session is None or not session.results):
                    if before is not None:
                        before.delete()
                    if step.session.open:
                        held = taken
                        held.delete_after(HOLD_SECONDS)
                yield step.sent(session, held)
        finally:
            if held is None:
                taken.delete()

    def on_choose(
        self,
        choice: str | None,
        session: Session | None,
        held: Held | None,
        threshold: float,
        language: Language,
    ) -> Iterator[tuple[Any, ...]]:
        """Read the files again with another role for one series of a study; the other studies' roles stay."""
        asked = Asked(threshold, language)
        if session is not None:
            asked = replace(asked, synthetic=session.synthetic, visits=session.visits)
        wanted = wanted_of(choice)
        try:
            files = held or (session.files if session else None)
            if files is None or session is None or not session.open:
                raise FilesGone
            choices = session.choose(*wanted)

            def read() -> Generator[Read]:
                with files.reading() as paths:
                    yield from self.read(paths, asked.stop, choices=choices)

            for step in self.steps(read(), asked):
                again = step.session and replace(step.session, choices=choices, files=session.files)
                yield replace(step, session=again).sent(session, held)
        except FilesGone:
            raise refusal("choose_again", language) from None
        except NoFlair:
            raise refusal("choose_flair_first", language) from None
        except NoSuchChoice:
            raise NotOurs from None

    def on_reference(
        self, uploads: list[str] | None, session: Session | None, threshold: float, language: Language
    ) -> tuple[Any, ...]:
        """Attach masks to the result that is there, without running the network again."""
        masks = self.folder.take(uploads)
        with deleted_after(masks), masks.reading() as paths:
            if session is not None and session.kept.dropped:
                raise refusal("result_dropped", language)
            if session is None or not session.results:
                warned = Session(done=(Sentence("images_first"),))
                return warned, gr.skip(), warned.messages()
            results, problems = self.read_masks(session.results, paths, Stop())
        session.kept.results = tuple(results)
        self.memory.used(session.kept)
        session = replace(session, reference_problems=(*gone(masks), *problems), done=self.done(results))
        value = self.value(session, threshold, language, [viewer_reference(r) for r in results])
        return session, value, session.messages()

    def on_visits(self, said: str | None, session: Session | None, threshold: float, language: Language) -> tuple[Any, ...]:
        """Take over whose studies these are and when they were, as the user says it; masks and corrections stay."""
        if session is None or not session.results:
            raise refusal("result_dropped", language)
        kept = session.kept
        visits = read_visits(said, len(kept.results))
        results = tuple(replace(r, visit=v) for r, v in zip(kept.results, visits, strict=True))
        registered = register_visits(results, kept.pictures, kept.registered, partial(self.alone, Stop()))
        if kept.dropped:
            raise refusal("result_dropped", language)
        kept.results, kept.registered = results, registered
        self.memory.used(kept)
        session = replace(session, visits=visits)
        value = self.value(session, threshold, language, [viewer_reference(r) for r in results])
        return session, value, session.messages()

    def on_clear(self, held: Held | None) -> tuple[Any, ...]:
        """Forget the result and the files."""
        if held is not None:
            held.delete()
        return None, None, "", None

    def on_download(
        self, session: Session | None, threshold: float, language: Language, corrections: str | None = ""
    ) -> str:
        """A zip of masks, probabilities and report, as base64: what was written for it is gone when it is sent.

        corrections: what the viewer's brush has drawn, see `payload.read_corrections`; used for this one zip, and not kept.
        """
        if session is not None and session.kept.dropped:
            raise refusal("result_dropped", language)
        if session is None or not session.results:
            raise refusal("nothing_to_download", language)
        self.memory.used(session.kept)
        results, pictures = session.kept.results, session.kept.pictures
        try:
            edits = read_corrections(corrections or "", session.identity, results)
        except ValueError:
            raise refusal("corrections_unusable", language) from None
        corrected = [replace(r, edits=e) for r, e in zip(results, edits, strict=True)]
        problems = [*session.problems, *session.reference_problems]
        said = threshold, self.segmenter.record, problems, language, session.notices
        follow_up = follow_up_of(corrected, session.kept.registered, threshold, self.segmenter.record, language)
        report = build_report(corrected, *said, download=True, follow_up=follow_up)
        with scratch() as folder:
            files, _ = write_outputs(corrected, threshold, report, Path(folder), pictures, language, documents=True)
            return base64.b64encode(zip_of(Path(folder), files)).decode("ascii")

    # The API

    def segment(
        self, scan: list[str], reference: list[str] | None, threshold: float, request: gr.Request
    ) -> tuple[dict[str, Any], list[str]]:
        """Outline the abnormality in image files of one or several patients.

        Args:
            scan: PNG, JPEG or TIFF slices, NIfTI volumes, DICOM files, or zips of them; NAME_mask among them is taken as
                the ground truth of NAME.
            reference: ground-truth masks, named like their images or drawn on the volume's grid, or None.
            threshold: probability from 0 to 1 from which on a pixel counts as abnormal.

        Returns:
            The report (the same as `python -m lgg_demo.predict` writes) and the mask files; of volumes also the
            probability, the DICOM segmentation, the table and the page.
        """
        language, stop = language_of(request), Stop()
        images, masks = self.folder.take(scan), self.folder.take(reference)
        with deleted_after(images, masks), images.reading() as scans, masks.reading() as references:
            problems, notices = list[ReadError](gone(images, masks)), list[Notice]()
            results, pictures = list[Result](), list[np.ndarray]()
            with closing(self.read(scans, stop, references=tuple(references))) as batches:
                for found in batches:
                    pictures += (grey(c.scan) for c in found.cases)
                    results += self.segmented(found.cases, stop)
                    problems += found.errors
                    notices += found.notices
                    del found  # before the next ones are read
            if not results:
                sentences = [p.sentence.say(language) for p in problems] or [say("nothing_given", language)]
                raise gr.Error(" ".join(sentences), print_exception=False)
        record = self.segmenter.record
        registered = register_visits(results, pictures, turn=partial(self.alone, stop))
        follow_up = follow_up_of(results, registered, threshold, record, language)
        report = build_report(results, threshold, record, problems, language, notices, follow_up=follow_up)
        folder = self.folder.new_result()
        try:
            files, _ = write_outputs(results, threshold, report, folder, pictures, language, choice=OF_API)
            return report, [str(f) for f in without_spare(folder, files, results)]
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

"""The page and the API: Blocks and handlers.

Nothing is kept longer than needed and nothing is shared: uploads are moved out of reach, read and deleted at once; a result
lives in its session's own state until an hour after its last change, or until newer ones need the memory; the files of a
download are gone before it is sent; no history, no telemetry.
"""

from __future__ import annotations

import base64
import ctypes
import io
import os
import re
import resource
import shutil
import signal
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from lgg_demo.case import Case, ReadError, Role, Study
from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language, Sentence, say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.display import grey
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.page.gate import Gate, swept
from lgg_demo.page.gradio_patches import KEEP_SECONDS, SESSIONS, PageBlocks, Stop, language_of, refusal
from lgg_demo.page.payload import read_corrections, viewer_case, viewer_picture, viewer_reference
from lgg_demo.page.phantom import draw_head, write_phantom
from lgg_demo.page.session import LANGUAGES, Kept, Memory, Session
from lgg_demo.page.uploads import FilesGone, UploadFolder, Uploads, deleted_after
from lgg_demo.reading import guard
from lgg_demo.reading.earlier import REPORT
from lgg_demo.reading.layout import nifti_name, parse
from lgg_demo.reading.limits import MOST_FILES, MOST_SLICES
from lgg_demo.reading.studies import Read, Request
from lgg_demo.scratch import clear_left_behind, scratch

VIEWER = Path(__file__).resolve().parent / "viewer"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
HOLD_SECONDS = 600  # the files of a study with several sequences, while another choice may be made
SHOW_EARLY = 16  # slices from which on a scan is shown before the network has run
CHOICES: tuple[Role, ...] = ("flair", "pre", "post")
UPLOAD_LIMIT = "500mb"
FIRST_THRESHOLD = 0.5
M_ARENA_MAX = -8  # of glibc's malloc.h
PHANTOMS: dict[str, dict[str, Any]] = {
    "phantom_single": {"slices": 1, "lesion": "frontal"},
    "phantom_series": {"slices": 12, "lesion": "parietal"},
    "phantom_healthy": {"slices": 1, "lesion": None},
}

THEME = gr.themes.Base(
    primary_hue="blue", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(  # Gradio's own pairs stay below a contrast of 4.5
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)
CSS = """
.gradio-container { max-width: 1500px !important; }
#head { align-items: end; }
#head h1 { margin: 0; font-size: 1.5rem; line-height: 1.3; }
#tagline p, #notice p, #hint p, #privacy p, #examples-label p { margin: 0; }
#head .column, #head .gap { gap: 4px !important; }
#notice { font-weight: 600; border-left: 4px solid #E69F00; padding-left: 10px; }
#hint, #privacy, #examples-label { color: var(--body-text-color-subdued); font-size: 13px; }
#language { flex: 0 0 auto !important; padding: 0 !important; border: 0; background: none; }
#language span[data-testid="block-info"] { position: absolute; clip-path: inset(50%); }
#language .wrap { flex-wrap: nowrap; }
#messages { min-height: 64px; }
#messages [data-language="en"] [lang="fr"], #messages [data-language="fr"] [lang="en"] { display: none; }
#viewer { padding: 0; }
@media (max-width: 700px) { /* one column: what one reads once comes below the result, and below what has a focus */
  #work { flex-direction: column; }
  #work > .column { display: contents; }
  #work:has(.lgg-body:not([hidden])) :is(#hint, #privacy) { order: 1; }
  #hint, #privacy { overflow-anchor: none; } /* or the page would move along with them */
}
#messages ul { margin: 0; padding: 0; list-style: none; display: grid; gap: 6px; }
#messages li { margin: 0; padding: 6px 10px; border-radius: 6px; border-left: 4px solid var(--border-color-primary);
  background: var(--background-fill-secondary); overflow-wrap: anywhere; font-size: 14px; }
#messages li.problem { border-left-color: #D55E00; }
#messages li.warning { border-left-color: #E69F00; }
#messages li.done { border-left-color: #56B4E9; }
#language input:focus-visible, #threshold input[type="range"]:focus-visible {
  outline: 2px solid var(--color-accent) !important; outline-offset: 3px; }
footer .divider { display: none; }
#messages .meta-text-center { position: static; transform: none; text-align: center; } /* not behind the spinner */
#messages .meta-text-center + div:has(svg) { display: none; }
#lgg-line { position: fixed; inset: auto 0 0 0; padding: 10px; text-align: center; z-index: 1000; font-weight: 600;
  background: var(--background-fill-secondary); border-top: 4px solid #E69F00; }
"""


def gone(*some: Uploads) -> list[ReadError]:
    """Of each upload that is not there any more, that it is to be dropped once more."""
    return [ReadError(name, "upload_gone") for uploads in some for name in uploads.gone]


def says_mask(upload: Path) -> bool:
    """Whether a file's name says that it is a mask."""
    return parse(nifti_name(upload)).role == "mask"


def viewer_script() -> str:
    """The viewer's ES modules as one script, each after those it imports: gr.HTML runs a text, which can fetch no other."""
    modules = {p.name: p.read_text(encoding="utf-8") for p in sorted(VIEWER.glob("*.js")) if p.name != "line.js"}
    order = TopologicalSorter({name: IMPORT.findall(text) for name, text in modules.items()}).static_order()
    return "\n".join(re.sub(r"^export ", "", IMPORT.sub("", modules[name]), flags=re.MULTILINE) for name in order)


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


class Page:
    """Handlers of the page and of the API around one `Segmenter`; all that differs between users is in `Session`."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.folder = UploadFolder(Path(get_upload_folder()))
        self.memory = Memory()
        self._alone = threading.Lock()

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
        """Around a call of the child process that decodes what users send; the next one is made ready meanwhile."""
        with self.alone(stop):
            try:
                yield
            except guard.Stopped:
                stop()
                raise
            finally:
                guard.prepare()

    def read(
        self, paths: Sequence[Path], stop: Stop, references: Sequence[Path] = (), choose: Mapping[str, str] | None = None
    ) -> Read:
        """The one place where images that a user sent are decoded: in a child process, all of them held together."""
        request = Request(tuple(paths), tuple(references), choose or {}, most_slices=MOST_SLICES, most_files=MOST_FILES)
        read = Read([], [], [])
        with self.reading(stop):
            for event in guard.read(request, stop.over):
                if isinstance(event, Case):
                    read.cases.append(event)
                elif isinstance(event, ReadError):
                    read.errors.append(event)
                else:
                    read.notices.append(event)
        return read

    def read_masks(
        self, results: Sequence[Result], paths: Sequence[Path], stop: Stop
    ) -> tuple[list[Result], list[ReadError]]:
        """The one place where masks that a user sends after the images are decoded: in a child process."""
        with self.reading(stop):
            return guard.attach(list(results), list(paths), stop.over)

    def run(
        self,
        read: Callable[[], Read],
        threshold: float,
        progress: gr.Progress,
        language: Language,
        stop: Stop,
    ) -> Iterator[tuple[Session, dict[str, Any] | None]]:
        """Read and segment: the session and the viewer's value; of a study first without a prediction, to look at."""
        progress(0, desc=say("reading", language))
        cases, problems, notices = read()
        pictures = tuple(grey(c.scan) for c in cases)
        views = [viewer_picture(c) for c in cases]
        early = Session()
        if sum(len(p) for p in pictures) >= SHOW_EARLY:
            yield early, {"id": early.identity, "threshold": threshold, "cases": views}
        with self.alone(stop):
            results = segment_cases(
                self.segmenter,
                cases,
                lambda done, total: progress((done, total), desc=say("segmenting", language), unit=say("slice", language)),
                stop,
            )
        done = []
        if results:
            values = {
                "images": sum(len(r.files) for r in results),
                "slices": sum(len(r.probability) for r in results),
                "model": self.segmenter.record.get("name"),
            }
            done = [Sentence("done", values), *scored_sentence(results)]
        # Paths are kept to match a reference by name later: the folder they were in is gone and says nothing.
        kept = Kept(tuple(replace(r, paths=tuple(Path(p.name) for p in r.paths)) for r in results), pictures)
        self.memory.used(kept)
        # Beside its own mask a lone sequence leaves nothing to choose.
        studies = [c for c in cases if isinstance(c, Study) and sum(v.role != "mask" for v in c.sequences) > 1]
        session = Session(
            kept,
            tuple(problems),
            tuple(notices),
            done=tuple(done),
            sequences=tuple(listed for c in studies for listed in c.sequences),
            chosen={role: name for c in studies for role, name in c.chosen.items()},
            identity=early.identity,  # the viewer goes on with what it shows: same slice, zoom and window
        )
        views = [viewer_case(v, r) for v, r in zip(views, results, strict=True)]
        yield session, self.value(session, threshold, views) if views else None

    def value(self, session: Session, threshold: float, cases: list[dict[str, Any]]) -> dict[str, Any]:
        """What the viewer is given: a result's cases, see `render.viewer_case`, and what the model's record says."""
        record = self.segmenter.record
        value = {"id": session.identity, "threshold": threshold, "model": record.get("name"), "cases": cases}
        best = record.get("best_threshold")  # found in cross-validation; not every record has it
        return value if best is None else value | {"best_threshold": float(best)}

    def shown(self, session: Session, value: dict[str, Any] | None, language: Language) -> tuple[Any, ...]:
        """Session, viewer, messages and buttons after a result; where nothing could be read, what was there goes."""
        usable = gr.update(interactive=bool(session.results))
        return session, value, session.messages(), usable, usable, *self.choices(session, language)

    def choices(self, session: Session, language: Language) -> list[Any]:
        """The group of sequences and its drop-downs: what was found, and which of it plays each role."""
        if not session.sequences:
            return [gr.update(visible=False), *(gr.update(choices=[], value=None) for _ in CHOICES)]
        updates = [
            gr.update(choices=self.listed(session, role, language), value=session.chosen.get(role, "")) for role in CHOICES
        ]
        return [gr.update(visible=True), *updates]

    def listed(self, session: Session, role: Role, language: Language) -> list[tuple[str, str]]:
        """What may play a role: (label, name)."""
        names = [
            (f"{v.name} ({v.description}, {v.slices})" if v.description else v.name, v.name) for v in session.sequences
        ]
        return names if role == "flair" else [(say("none", language), ""), *names]

    def on_scan(
        self,
        uploads: list[str] | None,
        session: Session | None,
        before: Uploads | None,
        threshold: float,
        language: Language,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[tuple[Any, ...]]:
        """Outline what was dropped. before: the files of an earlier study, which go."""
        if uploads and all(says_mask(Path(u)) for u in uploads):
            # Masks alone are no scan: outlining them would throw away the result they were meant for.
            rest = [gr.skip()] * (2 + 1 + len(CHOICES) + 1)
            yield *self.on_reference(uploads, session, threshold, language), *rest
            return
        stop = Stop()
        taken = self.folder.take(uploads)
        if before is not None:
            before.delete()
        held = None

        def read() -> Read:
            with taken.reading() as paths:
                found = self.read(paths, stop)
            return found._replace(errors=gone(taken) + found.errors)

        try:
            for session, value in self.run(read, threshold, progress, language, stop):
                if session.sequences:
                    held = taken
                    held.delete_after(HOLD_SECONDS)
                yield None, *self.shown(session, value, language), held
        finally:
            if held is None:
                taken.delete()

    def on_choose(
        self,
        held: Uploads | None,
        threshold: float,
        language: Language,
        flair: str | None,
        pre: str | None,
        post: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[tuple[Any, ...]]:
        """Read the study again with the sequences that the user chose."""
        stop = Stop()
        choose = {"pre": pre or "", "post": post or ""} | ({"flair": flair} if flair else {})

        def read() -> Read:
            if held is None:
                raise FilesGone
            with held.reading() as paths:
                return self.read(paths, stop, choose=choose)

        try:
            for session, value in self.run(read, threshold, progress, language, stop):
                yield *self.shown(session, value, language), held
        except FilesGone:
            raise refusal("choose_again", language) from None

    def on_phantom(
        self,
        kind: str,
        before: Uploads | None,
        threshold: float,
        language: Language,
        progress: gr.Progress = gr.Progress(),
    ) -> tuple[Any, ...]:
        stop = Stop()
        if before is not None:
            before.delete()
        with scratch() as folder:
            write_phantom(Path(folder), kind, draw_head(**PHANTOMS[kind]))
            files = sorted(Path(folder).iterdir())
            *_, (session, value) = self.run(lambda: self.read(files, stop), threshold, progress, language, stop)
        return *self.shown(session, value, language), None

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
                return None, warned, gr.skip(), warned.messages()
            results, problems = self.read_masks(session.results, paths, Stop())
            problems = gone(masks) + problems
        session.kept.results = tuple(results)
        self.memory.used(session.kept)
        done = tuple(s for s in session.done if s.key != "scored") + scored_sentence(results)
        session = replace(session, reference_problems=tuple(problems), done=done)
        cases = [viewer_reference(r) for r in results]
        value = self.value(session, threshold, cases)
        return None, session, value, session.messages()

    def on_clear(self, held: Uploads | None) -> tuple[Any, ...]:
        if held is not None:
            held.delete()
        off = gr.update(interactive=False)
        return None, None, "", off, off, *self.choices(Session(), "en"), None

    def on_download(
        self, session: Session | None, threshold: float, language: Language, corrections: str | None = ""
    ) -> str:
        """A zip of masks, probabilities and report, as base64: what was written for it is gone when it is sent.

        corrections: what the viewer's brush has drawn, see `render.read_corrections`; used for this one zip, and not kept.
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
        report = build_report(corrected, threshold, self.segmenter.record, problems, language, session.notices)
        with scratch() as folder:
            files, _ = write_outputs(corrected, threshold, report, Path(folder), pictures, language, documents=True)
            memory = io.BytesIO()
            with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, file.relative_to(folder))
        return base64.b64encode(memory.getvalue()).decode("ascii")

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
            cases, problems, notices = self.read(scans, stop, references)
            problems = gone(images, masks) + problems
            if not cases:
                sentences = [p.sentence.say(language) for p in problems] or [say("nothing_given", language)]
                raise gr.Error(" ".join(sentences), print_exception=False)
            with self.alone(stop):
                results = segment_cases(self.segmenter, cases, lambda done, total: None, stop)
        report = build_report(results, threshold, self.segmenter.record, problems, language, notices)
        folder = self.folder.new_result()
        try:
            return report, self.results_in(folder, cases, results, threshold, report, language)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def results_in(
        self,
        folder: Path,
        cases: Sequence[Case],
        results: Sequence[Result],
        threshold: float,
        report: dict[str, Any],
        language: Language,
    ) -> list[str]:
        """Write what the API returns beside the report into a folder that is served, and list it."""
        pictures = [grey(c.scan) for c in cases]
        written, _ = write_outputs(results, threshold, report, folder, pictures, language)
        # Of pictures the masks, of volumes all but the report, which is returned beside them.
        spare = {
            probability
            for result, outputs in zip(results, output_names(results), strict=True)
            if result.grid is None
            for _, probability in outputs
        }
        files = []
        for path in written:
            if path.name == REPORT or path.relative_to(folder).as_posix() in spare:
                path.unlink()
            else:
                files.append(str(path))
        return files

    def build(self) -> PageBlocks:
        """The page. Serve it with `launch_page`, which sets what belongs to the server."""
        demo = PageBlocks(self.folder, title="LGG Demo", analytics_enabled=False, fill_width=True)
        with demo:
            language = demo.spoken = gr.State("en")
            session = gr.State(None, time_to_live=KEEP_SECONDS)
            held = gr.State(None, time_to_live=HOLD_SECONDS, delete_callback=lambda files: files and files.delete())
            labels: list[tuple[Any, str, str]] = []  # component, property, key of the catalogue

            def named(component: Any, key: str, what: str = "label") -> Any:
                labels.append((component, what, key))
                return component

            with gr.Row(elem_id="head"):
                with gr.Column(scale=5, min_width=280):
                    gr.Markdown("# LGG Demo")
                    named(gr.Markdown(say("tagline", "en"), elem_id="tagline"), "tagline", "value")
                    named(gr.Markdown(say("not_for_diagnosis", "en"), elem_id="notice"), "not_for_diagnosis", "value")
                switch = named(
                    gr.Radio(LANGUAGES, value="en", label="Language", scale=1, min_width=220, elem_id="language"),
                    "language",
                )
            with gr.Row(elem_id="work"):
                with gr.Column(scale=1, min_width=300):
                    scan = named(
                        gr.File(label=say("scan", "en"), file_count="multiple", height=150, elem_id="scan"), "scan"
                    )
                    reference = named(
                        gr.File(label=say("reference", "en"), file_count="multiple", height=150, elem_id="reference"),
                        "reference",
                    )
                    messages = gr.HTML(
                        "",
                        elem_id="messages",
                        html_template="<div role='status' data-language='${language}'>${value}</div>",
                        language="en",
                    )
                    with gr.Group(visible=False, elem_id="sequences") as sequences:
                        chosen = [
                            named(
                                gr.Dropdown([], label=say(f"choose_{role}", "en"), elem_id=f"choose_{role}"),
                                f"choose_{role}",
                            )
                            for role in CHOICES
                        ]
                        named(chosen[0], "choose_info", "info")
                    named(gr.Markdown(say("hint", "en"), elem_id="hint"), "hint", "value")
                    named(gr.Markdown(say("examples", "en"), elem_id="examples-label"), "examples", "value")
                    with gr.Row():
                        phantoms = {
                            kind: named(gr.Button(say(kind, "en"), size="sm", min_width=80, elem_id=kind), kind, "value")
                            for kind in PHANTOMS
                        }
                    named(gr.Markdown(say("privacy", "en"), elem_id="privacy"), "privacy", "value")
                with gr.Column(scale=3, min_width=320):
                    threshold = gr.Slider(
                        0.01,
                        0.99,
                        FIRST_THRESHOLD,
                        step=0.01,
                        label=say("threshold", "en"),
                        info=say("threshold_info", "en"),
                        elem_id="threshold",
                        buttons=["reset"],
                    )
                    named(threshold, "threshold")
                    named(threshold, "threshold_info", "info")
                    viewer = gr.HTML(
                        None,
                        elem_id="viewer",
                        html_template=(VIEWER / "viewer.html").read_text(encoding="utf-8"),
                        css_template=(VIEWER / "viewer.css").read_text(encoding="utf-8"),
                        js_on_load=viewer_script(),
                        apply_default_css=False,
                        language="en",
                        strings={lang: {k: CATALOGUE[k][lang] for k in VIEWER_KEYS} for _, lang in LANGUAGES},
                    )
                    with gr.Row():
                        download = gr.Button(
                            say("download", "en"), variant="primary", interactive=False, elem_id="download"
                        )
                        named(download, "download", "value")
                        clear = named(gr.Button(say("clear", "en"), interactive=False, elem_id="clear"), "clear", "value")
                    parcel = gr.Textbox(visible="hidden", elem_id="parcel")
                    corrections = gr.Textbox(visible="hidden", elem_id="corrections")

            private = {"api_visibility": "private"}
            # One network, two cores: one scan at a time of all users', and a mask waits for the scan it was drawn on.
            alone = {"concurrency_id": "network", "concurrency_limit": 1}
            shown = [session, viewer, messages, download, clear, sequences, *chosen, held]
            once = {"show_progress_on": [messages], **alone, **private}
            scan.upload(self.on_scan, [scan, session, held, threshold, language], [scan, *shown], **once)
            reference.upload(
                self.on_reference,
                [reference, session, threshold, language],
                [reference, session, viewer, messages],
                **alone,
                **private,
            )
            for kind, button in phantoms.items():
                button.click(
                    lambda h, t, lang, progress=gr.Progress(), kind=kind: self.on_phantom(kind, h, t, lang, progress),
                    [held, threshold, language],
                    shown,
                    **once,
                )
            for dropdown in chosen:
                dropdown.input(self.on_choose, [held, threshold, language, *chosen], shown, **once)
            clear.click(self.on_clear, held, shown, **private)
            threshold.change(
                None,
                threshold,
                None,
                js="(t) => { document.querySelector('#viewer .lgg-viewer')?.dispatchEvent("
                "new CustomEvent('lgg-threshold', {detail: t, bubbles: true})); }",
                **private,
            )
            download.click(
                self.on_download,
                [session, threshold, language, corrections],
                parcel,
                js="async (s, t, l, c) => "
                "[s, t, l, await document.querySelector('#viewer .lgg-viewer')?.corrections?.() ?? '']",
                **private,
            ).success(
                None,
                [parcel, threshold],
                parcel,
                js="(data, t) => { const a = document.createElement('a');"
                "const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));"
                "a.href = URL.createObjectURL(new Blob([bytes], {type: 'application/zip'}));"
                "a.download = `lgg-demo-${t.toFixed(2)}.zip`; a.click();"
                "setTimeout(() => URL.revokeObjectURL(a.href), 10000); return ''; }",
                **private,
            )

            def relabel(lang: Language, session: Session | None) -> list[Any]:
                by_component: dict[Any, dict[str, Any]] = {}
                for component, what, key in labels:
                    by_component.setdefault(component, {})[what] = say(key, lang)
                if session and session.sequences:
                    for role, dropdown in zip(CHOICES, chosen, strict=True):
                        by_component[dropdown]["choices"] = self.listed(session, role, lang)
                updates = [gr.update(**values) for values in by_component.values()]
                return [lang, gr.update(language=lang), gr.update(language=lang), *updates]

            targets = [language, viewer, messages, *dict.fromkeys(component for component, _, _ in labels)]
            switch.input(relabel, [switch, session], targets, show_progress="hidden", **private)

            def at_first(session: Session | None, request: gr.Request) -> list[Any]:
                lang = language_of(request)
                updates = relabel(lang, session)
                updates[targets.index(switch)] = gr.update(value=lang, label=say("language", lang))
                return updates

            demo.load(at_first, [session], targets, show_progress="hidden", **private)

            # The API has components of its own, which the page never shows.
            api_scan = gr.File(file_count="multiple", visible=False, label="scan")
            api_reference = gr.File(file_count="multiple", visible=False, label="reference")
            api_threshold = gr.Slider(0, 1, FIRST_THRESHOLD, visible=False, label="threshold")
            api_report = gr.JSON(visible=False, label="report")
            api_files = gr.File(file_count="multiple", visible=False, label="files")
            gr.Button(visible=False).click(
                self.segment,
                [api_scan, api_reference, api_threshold],
                [api_report, api_files],
                api_name="segment",
                **alone,
            )
        return demo


def launch_page(demo: PageBlocks, **options: Any) -> Any:
    """Serve the page with the settings that patients' images ask for; `options` go to gradio's `launch`."""
    guard.prepare()
    return demo.launch(
        theme=THEME,
        css=CSS,
        head=f"<script>{(VIEWER / 'line.js').read_text(encoding='utf-8')}</script>",
        run_history=False,
        enable_monitoring=False,
        max_file_size=UPLOAD_LIMIT,
        footer_links=["api"],
        state_session_capacity=SESSIONS,
        # Other processes would receive uploads and serve files past the gate.
        num_workers=0,
        ssr_mode=False,
        mcp_server=False,
        app_kwargs={"middleware": [Middleware(Gate, blocks=demo)], "lifespan": lambda app: swept(demo)},
        **options,
    )


def serve(segmenter: Segmenter) -> None:
    """Serve the page until it is stopped, and leave nothing of its users behind.

    All temporary files are in one folder, for its user alone, that goes with the process, or where that is killed at the
    next start. A container is stopped by SIGTERM, which is taken as Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o077)
    with suppress(OSError, AttributeError):  # glibc keeps what each thread has freed in an arena of its own: two are enough
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an upload holds up to a thousand files open
    place = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    Path(place).mkdir(parents=True, exist_ok=True)
    clear_left_behind({place, tempfile.gettempdir()})
    with scratch(place) as house:
        for variable, name in (("GRADIO_TEMP_DIR", "gradio"), ("TMPDIR", "tmp")):
            (house / name).mkdir()
            os.environ[variable] = str(house / name)
        tempfile.tempdir = os.environ["TMPDIR"]
        with suppress(KeyboardInterrupt):  # Gradio takes it only once it waits
            launch_page(Page(segmenter).build())

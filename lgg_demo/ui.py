"""The page and the API: Blocks and handlers. The only file that imports gradio, but for the benchmark.

Nothing is kept longer than needed and nothing is shared: uploads are moved out of Gradio's folder, read and deleted at
once; a result lives in its session's own state until an hour after its last change; the files of a download are gone
before it is sent; no history, no telemetry.
"""

from __future__ import annotations

import base64
import html
import io
import os
import secrets
import shutil
import signal
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio import route_utils, routes
from gradio.state_holder import SessionState, StateHolder

from lgg_demo.case import Case, Listed, Role, Study, UnreadableScan
from lgg_demo.inference import Segmenter
from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language, Sentence, say
from lgg_demo.phantom import draw_head, write_phantom
from lgg_demo.reading.archive import says_mask
from lgg_demo.reading.references import attach
from lgg_demo.reading.studies import read_study
from lgg_demo.render import grey, read_corrections, viewer_case, viewer_picture, viewer_reference
from lgg_demo.report import REPORT, Result, build_report, output_names, result_of, write_outputs

VIEWER = Path(__file__).resolve().parent / "viewer"
SCRIPTS = ("counts.js", "paint.js", "volume.js", "viewer.js")  # one script: gr.HTML runs one, and modules would be fetched
LANGUAGES: list[tuple[str, Language]] = [("English", "en"), ("Français", "fr")]
KEEP_SECONDS = 3600  # a session's result
HOLD_SECONDS = 600  # the files of a study with several sequences, while another choice may be made
SHOW_EARLY = 16  # slices from which on a scan is shown before the network has run
CHOICES: tuple[Role, ...] = ("flair", "pre", "post")
UPLOAD_LIMIT = "500mb"
FIRST_THRESHOLD = 0.5
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
"""


class PrivateUpload(route_utils.GradioUploadFile):
    """An upload whose folder nobody else gets.

    Gradio names the folder after the content, so two users who send the same picture would share one file, and the first
    to be served would delete it from under the second. A random salt keeps them apart, and makes the path unguessable.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sha.update(secrets.token_bytes(16))


route_utils.GradioUploadFile = PrivateUpload

# Gradio leaves an empty file in its folder for each file it is given; only the path is wanted.
gr.File._process_single_file = lambda self, f: f.path

# It keeps what every component showed last, pictures and downloads too, until ten thousand sessions have followed; only
# deep links would read it.
SessionState._update_value_in_config = lambda self, key, value: None


class Sessions(StateHolder):
    """Gradio's sessions, of which nothing is left an hour after their last use: it would delete their states alone."""

    def delete_all_expired_state(self) -> None:
        super().delete_all_expired_state()
        for session, used in list(self.time_last_used.items()):
            if datetime.now() - used > timedelta(seconds=KEEP_SECONDS):
                self.delete_state(session)
                self.session_data.pop(session, None)
                self.time_last_used.pop(session, None)


routes.StateHolder = Sessions


class FilesGone(Exception):
    """Files that were held for another choice, and are deleted."""


class Uploads:
    """Uploaded files in a folder of their own, out of Gradio's; gone with `delete`, or with the object."""

    def __init__(self, uploads: Sequence[str] | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lgg-demo-")
        self._lock = threading.Lock()  # they are not deleted while they are read
        self._gone = False
        self._timer: threading.Timer | None = None
        self.paths: list[Path] = []
        times = Counter(Path(upload).name for upload in uploads or [])
        met: Counter[str] = Counter()
        places: dict[int, Path] = {}  # of random names: the first masks of a name are not the first images'
        for upload in uploads or []:
            source = Path(upload)
            # Gradio drops the folders. Names that repeat are of several patients: the first of each together, the second,
            # and so on; what has no namesake may be anybody's, and lies beside none of them.
            met[source.name] += 1
            which = met[source.name] if times[source.name] > 1 else 0
            if which not in places:
                places[which] = Path(tempfile.mkdtemp(dir=self._folder.name))
            place = places[which]
            if source.exists():  # else Gradio deleted it while it waited (`delete_cache`), or a client names what never was
                shutil.move(source, place / source.name)
                if not any(source.parent.iterdir()):
                    source.parent.rmdir()
            self.paths.append(place / source.name)

    def read(self, choose: Mapping[str, str] | None = None) -> tuple[list[Case], list[UnreadableScan]]:
        """`read_study` of the files. Raises FilesGone."""
        with self._lock:
            if self._gone:
                raise FilesGone
            cases, problems = read_study(self.paths, choose)
            return cases, too_late(problems)

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


def too_late(problems: Iterable[UnreadableScan]) -> list[UnreadableScan]:
    """Of an upload that is not there any more, that it is to be dropped once more."""
    return [UnreadableScan(p.file, "upload_gone") if p.sentence.key == "not_found" else p for p in problems]


@contextmanager
def taken_over(uploads: Sequence[str] | None) -> Iterator[list[Path]]:
    """The paths of uploads, which are deleted on leaving."""
    taken = Uploads(uploads)
    try:
        yield taken.paths
    finally:
        taken.delete()


@dataclass(frozen=True)
class Session:
    """What one tab keeps between two clicks.

    pictures: what the viewer shows of each result, (S, H, W) uint8, for the page to print. problems: of the scan's files;
    reference_problems: of the masks given last. sequences: the volumes of its studies, where there is a choice, and chosen:
    role to name. identity: a random name for the result, never derived from a file.
    """

    results: tuple[Result, ...] = ()
    pictures: tuple[np.ndarray, ...] = ()
    problems: tuple[UnreadableScan, ...] = ()
    reference_problems: tuple[UnreadableScan, ...] = ()
    done: tuple[Sentence, ...] = ()
    sequences: tuple[Listed, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    identity: str = field(default_factory=lambda: secrets.token_hex(8))

    def messages(self) -> str:
        """What went wrong, what to beware of and what was done, as an HTML list in each language.

        The page shows one of them: a run that began before the switch was turned still speaks the other language then.
        """
        lines = [("problem", p.sentence) for p in (*self.problems, *self.reference_problems)]
        lines += [("warning", s) for r in self.results for s in (*r.warnings, *r.reference_warnings)]
        lines += [("done", s) for s in self.done]

        def listed(language: Language) -> str:
            items = "".join(f'<li class="{kind}">{html.escape(s.say(language))}</li>' for kind, s in lines)
            return f'<ul lang="{language}">{items}</ul>'

        return "".join(listed(language) for _, language in LANGUAGES) if lines else ""


def viewer_script() -> str:
    """The viewer's JavaScript, in one piece."""
    return "\n".join((VIEWER / name).read_text(encoding="utf-8") for name in SCRIPTS)


def language_of(request: gr.Request | None) -> Language:
    """French where the browser prefers it, else English."""
    accepted = (request.headers.get("accept-language") or "") if request else ""
    return "fr" if accepted.lower().startswith("fr") else "en"


def segment_cases(segmenter: Segmenter, cases: Sequence[Case], say_progress: Callable[[int, int], None]) -> list[Result]:
    """Run the network over every case, counting slices over all of them."""
    total, before = sum(len(c.scan) for c in cases), 0
    results: list[Result] = []

    def forward(done: int, _: int) -> None:
        say_progress(before + done, total)

    for case in cases:
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

    def run(
        self,
        read: Callable[[], tuple[list[Case], list[UnreadableScan]]],
        threshold: float,
        progress: gr.Progress,
        language: Language,
    ) -> Iterator[tuple[Session, dict[str, Any] | None]]:
        """Read and segment: the session and the viewer's value; of a study first without a prediction, to look at."""
        progress(0, desc=say("reading", language))
        cases, problems = read()
        pictures = tuple(grey(c.scan) for c in cases)
        views = [viewer_picture(c) for c in cases]
        early = Session()
        if sum(len(p) for p in pictures) >= SHOW_EARLY:
            yield early, {"id": early.identity, "threshold": threshold, "cases": views}
        results = segment_cases(
            self.segmenter,
            cases,
            lambda done, total: progress((done, total), desc=say("segmenting", language), unit=say("slice", language)),
        )
        done = []
        if results:
            values = {
                "images": sum(len(r.files) for r in results),
                "slices": sum(len(r.levels) for r in results),
                "model": self.segmenter.record.get("name"),
            }
            done = [Sentence("done", values), *scored_sentence(results)]
        # Paths are kept to match a reference by name later: the folder they were in is gone and says nothing.
        kept = tuple(replace(r, paths=tuple(Path(p.name) for p in r.paths)) for r in results)
        # Beside its own mask a lone sequence leaves nothing to choose.
        studies = [c for c in cases if isinstance(c, Study) and sum(v.role != "mask" for v in c.sequences) > 1]
        session = Session(
            kept,
            pictures,
            tuple(problems),
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
            yield *self.on_reference(uploads, session, threshold), *rest
            return
        if before is not None:
            before.delete()
        taken = Uploads(uploads)
        held = None
        try:
            for session, value in self.run(taken.read, threshold, progress, language):
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
        flair: str,
        pre: str,
        post: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[tuple[Any, ...]]:
        """Read the study again with the sequences that the user chose."""
        choose = {"flair": flair, "pre": pre or "", "post": post or ""}
        try:
            if held is None:
                raise FilesGone
            for session, value in self.run(lambda: held.read(choose), threshold, progress, language):
                yield *self.shown(session, value, language), held
        except FilesGone:
            raise gr.Error(say("choose_again", language), duration=10, print_exception=False) from None

    def on_phantom(
        self,
        kind: str,
        before: Uploads | None,
        threshold: float,
        language: Language,
        progress: gr.Progress = gr.Progress(),
    ) -> tuple[Any, ...]:
        if before is not None:
            before.delete()
        with tempfile.TemporaryDirectory(prefix="lgg-demo-") as folder:
            write_phantom(Path(folder), kind, draw_head(**PHANTOMS[kind]))
            files = sorted(Path(folder).iterdir())
            *_, (session, value) = self.run(lambda: read_study(files), threshold, progress, language)
        return *self.shown(session, value, language), None

    def on_reference(self, uploads: list[str] | None, session: Session | None, threshold: float) -> tuple[Any, ...]:
        """Attach masks to the result that is there, without running the network again."""
        with taken_over(uploads) as masks:
            if session is None or not session.results:
                warned = Session(done=(Sentence("images_first"),))
                return None, warned, gr.skip(), warned.messages()
            results, problems = attach(session.results, masks)
        done = tuple(s for s in session.done if s.key != "scored") + scored_sentence(results)
        session = replace(session, results=tuple(results), reference_problems=tuple(too_late(problems)), done=done)
        cases = [viewer_reference(r) for r in results]
        value = self.value(session, threshold, cases)
        return None, session, value, session.messages()

    def on_clear(self, held: Uploads | None) -> tuple[Any, ...]:
        if held is not None:
            held.delete()
        off = gr.update(interactive=False)
        return None, None, "", off, off, *self.choices(Session(), "en"), None

    def on_download(self, session: Session | None, threshold: float, language: Language, corrections: str = "") -> str:
        """A zip of masks, probabilities and report, as base64: what was written for it is gone when it is sent.

        corrections: what the viewer's brush has drawn, see `render.read_corrections`; used for this one zip, and not kept.
        """
        if session is None or not session.results:
            raise gr.Error(say("nothing_to_download", language), duration=10, print_exception=False)
        try:
            edits = read_corrections(corrections, session.identity, session.results)
        except ValueError:
            raise gr.Error(say("corrections_unusable", language), duration=10, print_exception=False) from None
        results = [replace(r, edits=e) for r, e in zip(session.results, edits, strict=True)]
        problems = [*session.problems, *session.reference_problems]
        report = build_report(results, threshold, self.segmenter.record, problems, language)
        with tempfile.TemporaryDirectory(prefix="lgg-demo-") as folder:
            files, _ = write_outputs(results, threshold, report, Path(folder), session.pictures, language, documents=True)
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
        language = language_of(request)
        with taken_over(scan) as images, taken_over(reference) as masks:
            cases, problems = read_study(images)
            if masks:
                cases, more = attach(cases, masks)
                problems += more
            problems = too_late(problems)
            if not cases:
                sentences = [p.sentence.say(language) for p in problems] or [say("nothing_given", language)]
                raise gr.Error(" ".join(sentences), print_exception=False)
            results = segment_cases(self.segmenter, cases, lambda done, total: None)
        report = build_report(results, threshold, self.segmenter.record, problems, language)
        # Gradio serves what lies in its own folder, and deletes it after ten minutes (`delete_cache`).
        folder = Path(tempfile.mkdtemp(prefix="lgg-demo-", dir=self.served))
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
        self.api_files.temp_files.update(files)
        return report, files

    def build(self) -> gr.Blocks:
        """The page. Serve it with `launch_page`, which sets what belongs to the server."""
        with gr.Blocks(title="LGG Demo", analytics_enabled=False, delete_cache=(60, 600), fill_width=True) as demo:
            language = gr.State("en")
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
                [reference, session, threshold],
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
            self.api_files = gr.File(file_count="multiple", visible=False, label="files")
            gr.Button(visible=False).click(
                self.segment,
                [api_scan, api_reference, api_threshold],
                [api_report, self.api_files],
                api_name="segment",
                **alone,
            )
        self.served = Path(demo.GRADIO_CACHE)
        self.served.mkdir(parents=True, exist_ok=True)
        # It says no before it grows without bound, or so long that files are deleted before their turn.
        return demo.queue(max_size=12)


def launch_page(demo: gr.Blocks, **options: Any) -> Any:
    """Serve the page with the settings that patients' images ask for; `options` go to gradio's `launch`."""
    return demo.launch(
        theme=THEME,
        css=CSS,
        run_history=False,
        enable_monitoring=False,
        max_file_size=UPLOAD_LIMIT,
        footer_links=["api"],
        **options,
    )


def serve(segmenter: Segmenter) -> None:
    """Serve the page until it is stopped, and leave nothing of its users behind.

    Gradio's folder is one of our own that goes with the process: its own cleaning waits for open connections, and gives
    up. A container is stopped by SIGTERM, which is taken as Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="lgg-demo-", dir=os.environ.get("GRADIO_TEMP_DIR")) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        launch_page(Page(segmenter).build())

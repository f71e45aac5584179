"""The layout of the page, and which handler each of its events calls."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import gradio as gr

from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language
from lgg_demo.page.about import about
from lgg_demo.page.faults import language_of
from lgg_demo.page.gradio_patches import KEEP_SECONDS, PageBlocks
from lgg_demo.page.handlers import HOLD_SECONDS, Page
from lgg_demo.page.patients import PATIENTS
from lgg_demo.page.session import LANGUAGES
from lgg_demo.page.showcase import FIRST_THRESHOLD, Showcase

VIEWER = Path(__file__).resolve().parent / "viewer"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)

PRIVATE = {"api_visibility": "private"}
# One network, two cores: one scan at a time of all users', and a mask waits for the scan it was drawn on.
ALONE = {"concurrency_id": "network", "concurrency_limit": 1}

# What the viewer tells the server with an event: gr.HTML's `trigger` says that something happened, not to which component.
ADD_CORRECTIONS = """async (s, t, l, c) => { const viewer = document.querySelector('#viewer .lgg-viewer');
  viewer.asked = viewer.threshold();
  return [s, viewer.asked, l, await viewer.corrections()]; }"""
ADD_FILES = "(files, ...rest) => [document.querySelector('#viewer .lgg-viewer').uploads ?? [], ...rest]"
ADD_CHOICE = "(choice, ...rest) => [document.querySelector('#viewer .lgg-viewer').choice ?? '', ...rest]"
ADD_VISITS = "(visits, ...rest) => [document.querySelector('#viewer .lgg-viewer').visits ?? '', ...rest]"
RUN_ENDED = """() => { document.querySelector('#viewer .lgg-viewer')?.dispatchEvent(
  new CustomEvent('lgg-ended', {detail: %s})); }"""
ADD_LANGUAGE = "(l) => document.querySelector('#viewer .lgg-viewer').spoken"
# What the viewer shows of the server's words, messages and progress, are components of the page that hand them on.
TELL = """const tell = () => document.querySelector('#viewer .lgg-viewer')?.dispatchEvent(
  new CustomEvent('lgg-%s', {detail: props.value}));
watch('value', tell);
tell();"""
SAVE_ZIP = """(data, t) => {
  const a = document.createElement('a');
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  a.href = URL.createObjectURL(new Blob([bytes], {type: 'application/zip'}));
  a.download = `lgg-demo-${(document.querySelector('#viewer .lgg-viewer')?.asked ?? t).toFixed(2)}.zip`;
  a.click();
  document.querySelector('#viewer .lgg-viewer')?.saved();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  return '';
}"""


def viewer_script() -> str:
    """The viewer's ES modules as one script, each after those it imports: gr.HTML runs a text, which can fetch no other."""
    modules = {p.name: p.read_text(encoding="utf-8") for p in sorted(VIEWER.glob("*.js")) if p.name != "line.js"}
    order = TopologicalSorter({name: IMPORT.findall(text) for name, text in modules.items()}).static_order()
    return "\n".join(re.sub(r"^export ", "", IMPORT.sub("", modules[name]), flags=re.MULTILINE) for name in order)


def delete_aside(files: Any) -> None:
    """Delete held files from a thread: Gradio asks for it on its event loop, and a run that reads them needs that loop."""
    if files is not None:
        threading.Thread(target=files.delete, daemon=True).start()


class Layout:
    """The components of the page, drawn into the Blocks that are open.

    All that is seen is the viewer's; the others hold what goes to the server and comes back.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.language = gr.State("en")
        self.session = gr.State(None, time_to_live=KEEP_SECONDS)
        self.held = gr.State(None, time_to_live=HOLD_SECONDS, delete_callback=delete_aside)
        self.viewer = gr.HTML(
            None,
            elem_id="viewer",
            html_template=(VIEWER / "viewer.html").read_text(encoding="utf-8"),
            css_template=(VIEWER / "viewer.css").read_text(encoding="utf-8"),
            js_on_load=viewer_script(),
            apply_default_css=False,
            language="en",
            strings={language: {k: CATALOGUE[k][language] for k in VIEWER_KEYS} for _, language in LANGUAGES},
            about=told,
        )
        self.messages = gr.HTML("", elem_id="messages", js_on_load=TELL % "messages", visible="hidden")
        self.told = gr.HTML("", elem_id="told", js_on_load=TELL % "told", visible="hidden")
        self.switch = gr.Radio(LANGUAGES, value="en", visible=False)
        self.threshold = gr.Slider(0.01, 0.99, FIRST_THRESHOLD, step=0.01, visible=False)
        self.parcel = gr.Textbox(visible="hidden", elem_id="parcel")
        self.corrections = gr.Textbox(visible=False)
        # The viewer uploads files itself; these are how the server takes and checks what it names.
        self.scan, self.reference = (gr.File(file_count="multiple", visible=False) for _ in range(2))
        self.choice, self.visits = (gr.Textbox(visible=False) for _ in range(2))
        self.patients = {p: gr.Button(p, elem_id=f"patient_{p}", visible="hidden") for p in PATIENTS}

    def speak(self, language: Language) -> tuple[Any, Any]:
        """The updates of language and viewer to a language."""
        return language, gr.update(language=language)

    def at_first(self, request: gr.Request) -> tuple[Any, Any]:
        """`speak` in the language of the browser."""
        return self.speak(language_of(request))


def build(page: Page, showcase: Showcase | None = None) -> PageBlocks:
    """The page. Serve it with `launch_page`, which sets what belongs to the server.

    showcase: of the same `Page`, whoever has started one; the page begins empty where nobody has.
    """
    demo = PageBlocks(page.folder, title="LGG Demo", analytics_enabled=False, fill_width=True)
    with demo:
        layout = Layout(about(page.segmenter.record))
        demo.spoken = layout.language
        patients = showcase or Showcase(page)
        _segmenting(page, patients, layout)
        _exhibiting(patients, layout, demo)
        _downloading(page, layout)
        spoken = [layout.language, layout.viewer]
        layout.viewer.select(layout.speak, layout.switch, spoken, js=ADD_LANGUAGE, show_progress="hidden", **PRIVATE)
        demo.load(layout.at_first, None, spoken, show_progress="hidden", **PRIVATE)
        _api(page)
    return demo


def _of(handler: Callable[..., Any], one: str) -> Callable[..., Any]:
    """A handler with its first argument, under its own name, which the log gives."""
    of_one = partial(handler, one)
    of_one.__name__ = handler.__name__  # type: ignore[attr-defined]
    return of_one


def _segmenting(page: Page, showcase: Showcase, on: Layout) -> None:
    """What comes of files, other roles of series, visits, synthetic patients, of stopping all that, and of clearing."""
    shown = [on.session, on.viewer, on.messages, on.held]
    once = {"show_progress_on": [on.told], **ALONE, **PRIVATE}
    asked = [on.threshold, on.language]
    scan, choice = [on.scan, on.session, on.held, *asked], [on.choice, on.session, on.held, *asked]
    runs = [
        on.viewer.scan(page.on_scan, scan, [*shown, on.told], js=ADD_FILES, **once),
        on.viewer.reference(page.on_reference, [on.reference, on.session, *asked], shown[:3], js=ADD_FILES, **once),
        on.viewer.choose(page.on_choose, choice, [*shown, on.told], js=ADD_CHOICE, **once),
        on.viewer.visits(page.on_visits, [on.visits, on.session, *asked], shown[:3], js=ADD_VISITS, **once),
    ]
    for patient, button in on.patients.items():
        runs.append(button.click(_of(showcase.on_patient, patient), [on.held, *asked], shown, **once))
    for run in runs:
        run.success(None, None, None, js=RUN_ENDED % "true", **PRIVATE)
        run.failure(None, None, None, js=RUN_ENDED % "false", **PRIVATE)  # a run that is stopped is one too
    on.viewer.stop(None, None, None, cancels=runs, **PRIVATE)
    on.viewer.clear(page.on_clear, on.held, shown, **PRIVATE)


def _exhibiting(showcase: Showcase, on: Layout, demo: PageBlocks) -> None:
    """The synthetic patient that is open at first."""
    shown = [on.session, on.viewer, on.messages, on.held]
    # Two events: the second one sees what was opened while the first one waited.
    quiet = {"show_progress": "hidden", "concurrency_limit": None, **PRIVATE}
    arrived = demo.load(showcase.on_arrival, None, None, **quiet)
    arrived.success(showcase.on_first, [on.session, on.threshold, on.language], shown, **quiet)


def _downloading(page: Page, on: Layout) -> None:
    """The download, which the browser makes of what the server sends."""
    inputs = [on.session, on.threshold, on.language, on.corrections]
    packed = on.viewer.download(page.on_download, inputs, on.parcel, js=ADD_CORRECTIONS, **PRIVATE)
    packed.success(None, [on.parcel, on.threshold], on.parcel, js=SAVE_ZIP, **PRIVATE)


def _api(page: Page) -> None:
    """The API has components of its own, which the page never shows."""
    scan, reference, files = (
        gr.File(file_count="multiple", visible=False, label=label) for label in ("scan", "reference", "files")
    )
    threshold = gr.Slider(0, 1, FIRST_THRESHOLD, visible=False, label="threshold")
    report = gr.JSON(visible=False, label="report")
    gr.Button(visible=False).click(page.segment, [scan, reference, threshold], [report, files], api_name="segment", **ALONE)

"""The layout of the page, and which handler each of its events calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import gradio as gr

from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language, say
from lgg_demo.page.faults import language_of
from lgg_demo.page.gradio_patches import KEEP_SECONDS, PageBlocks
from lgg_demo.page.handlers import HOLD_SECONDS, PHANTOMS, Page, listed
from lgg_demo.page.session import CHOICES, LANGUAGES, Session

VIEWER = Path(__file__).resolve().parent / "viewer"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
FIRST_THRESHOLD = 0.5

PRIVATE = {"api_visibility": "private"}
# One network, two cores: one scan at a time of all users', and a mask waits for the scan it was drawn on.
ALONE = {"concurrency_id": "network", "concurrency_limit": 1}

TELL_THRESHOLD = """(t) => { document.querySelector('#viewer .lgg-viewer')?.dispatchEvent(
  new CustomEvent('lgg-threshold', {detail: t, bubbles: true})); }"""
ADD_CORRECTIONS = """async (s, t, l, c) =>
  [s, t, l, await document.querySelector('#viewer .lgg-viewer')?.corrections?.() ?? '']"""
SAVE_ZIP = """(data, t) => {
  const a = document.createElement('a');
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  a.href = URL.createObjectURL(new Blob([bytes], {type: 'application/zip'}));
  a.download = `lgg-demo-${t.toFixed(2)}.zip`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  return '';
}"""


def viewer_script() -> str:
    """The viewer's ES modules as one script, each after those it imports: gr.HTML runs a text, which can fetch no other."""
    modules = {p.name: p.read_text(encoding="utf-8") for p in sorted(VIEWER.glob("*.js")) if p.name != "line.js"}
    order = TopologicalSorter({name: IMPORT.findall(text) for name, text in modules.items()}).static_order()
    return "\n".join(re.sub(r"^export ", "", IMPORT.sub("", modules[name]), flags=re.MULTILINE) for name in order)


class Layout:
    """The components of the page, drawn into the Blocks that are open; what they say follows the language."""

    def __init__(self) -> None:
        self.language = gr.State("en")
        self.session = gr.State(None, time_to_live=KEEP_SECONDS)
        self.held = gr.State(None, time_to_live=HOLD_SECONDS, delete_callback=lambda files: files and files.delete())
        self.labels: list[tuple[Any, str, str]] = []  # component, property, key of the catalogue
        with gr.Row(elem_id="head"):
            self._head()
        with gr.Row(elem_id="work"):
            with gr.Column(scale=1, min_width=300):
                self._files()
            with gr.Column(scale=3, min_width=320):
                self._result()

    def _named(self, component: Any, key: str, what: str = "label") -> Any:
        self.labels.append((component, what, key))
        return component

    def _text(self, key: str, elem_id: str = "") -> None:
        self._named(gr.Markdown(say(key, "en"), elem_id=elem_id or key), key, "value")

    def _file(self, key: str) -> Any:
        return self._named(gr.File(label=say(key, "en"), file_count="multiple", height=150, elem_id=key), key)

    def _button(self, key: str, **options: Any) -> Any:
        return self._named(gr.Button(say(key, "en"), elem_id=key, **options), key, "value")

    def _head(self) -> None:
        with gr.Column(scale=5, min_width=280):
            gr.Markdown("# LGG Demo")
            self._text("tagline")
            self._text("not_for_diagnosis", "notice")
        switch = gr.Radio(LANGUAGES, value="en", label="Language", scale=1, min_width=220, elem_id="language")
        self.switch = self._named(switch, "language")

    def _files(self) -> None:
        self.scan, self.reference = self._file("scan"), self._file("reference")
        status = "<div role='status' data-language='${language}'>${value}</div>"
        self.messages = gr.HTML("", elem_id="messages", html_template=status, language="en")
        with gr.Group(visible=False, elem_id="sequences") as self.sequences:
            keys = [f"choose_{role}" for role in CHOICES]
            self.chosen = [self._named(gr.Dropdown([], label=say(k, "en"), elem_id=k), k) for k in keys]
            self._named(self.chosen[0], "choose_info", "info")
        self._text("hint")
        self._text("examples", "examples-label")
        with gr.Row():
            self.phantoms = {kind: self._button(kind, size="sm", min_width=80) for kind in PHANTOMS}
        self._text("privacy")

    def _result(self) -> None:
        said = {"label": say("threshold", "en"), "info": say("threshold_info", "en")}
        slider = gr.Slider(0.01, 0.99, FIRST_THRESHOLD, step=0.01, elem_id="threshold", buttons=["reset"], **said)
        self.threshold = self._named(self._named(slider, "threshold"), "threshold_info", "info")
        self.viewer = gr.HTML(
            None,
            elem_id="viewer",
            html_template=(VIEWER / "viewer.html").read_text(encoding="utf-8"),
            css_template=(VIEWER / "viewer.css").read_text(encoding="utf-8"),
            js_on_load=viewer_script(),
            apply_default_css=False,
            language="en",
            strings={language: {k: CATALOGUE[k][language] for k in VIEWER_KEYS} for _, language in LANGUAGES},
        )
        with gr.Row():
            self.download = self._button("download", variant="primary", interactive=False)
            self.clear = self._button("clear", interactive=False)
        self.parcel = gr.Textbox(visible="hidden", elem_id="parcel")
        self.corrections = gr.Textbox(visible="hidden", elem_id="corrections")

    @property
    def follows_language(self) -> list[Any]:
        """What `relabel` updates."""
        return [self.language, self.viewer, self.messages, *dict.fromkeys(component for component, _, _ in self.labels)]

    def relabel(self, language: Language, session: Session | None) -> list[Any]:
        """The updates of `follows_language` to a language."""
        by_component: dict[Any, dict[str, Any]] = {}
        for component, what, key in self.labels:
            by_component.setdefault(component, {})[what] = say(key, language)
        if session and session.studies:
            for role, dropdown in zip(CHOICES, self.chosen, strict=True):
                by_component[dropdown]["choices"] = listed(session, role, language)
        spoken = gr.update(language=language)
        return [language, spoken, spoken, *(gr.update(**values) for values in by_component.values())]

    def at_first(self, session: Session | None, request: gr.Request) -> list[Any]:
        """`relabel` to the language of the browser, with the switch set to it."""
        language = language_of(request)
        updates = self.relabel(language, session)
        switch = gr.update(value=language, label=say("language", language))
        updates[self.follows_language.index(self.switch)] = switch
        return updates


def build(page: Page) -> PageBlocks:
    """The page. Serve it with `launch_page`, which sets what belongs to the server."""
    demo = PageBlocks(page.folder, title="LGG Demo", analytics_enabled=False, fill_width=True)
    with demo:
        layout = Layout()
        demo.spoken = layout.language
        _segmenting(page, layout)
        _downloading(page, layout)
        follows = layout.follows_language
        layout.switch.input(layout.relabel, [layout.switch, layout.session], follows, show_progress="hidden", **PRIVATE)
        demo.load(layout.at_first, layout.session, follows, show_progress="hidden", **PRIVATE)
        _api(page)
    return demo


def _of(handler: Callable[..., Any], one: str) -> Callable[..., Any]:
    """A handler with its first argument, under its own name, which the log gives."""
    of_one = partial(handler, one)
    of_one.__name__ = handler.__name__  # type: ignore[attr-defined]
    return of_one


def _segmenting(page: Page, on: Layout) -> None:
    """What comes of files, phantoms, other roles of sequences, and of clearing."""
    shown = [on.session, on.viewer, on.messages, on.download, on.clear, on.sequences, *on.chosen, on.held]
    once = {"show_progress_on": [on.messages], **ALONE, **PRIVATE}
    asked = [on.threshold, on.language]
    on.scan.upload(page.on_scan, [on.scan, on.session, on.held, *asked], [on.scan, *shown], **once)
    on.reference.upload(
        page.on_reference,
        [on.reference, on.session, *asked],
        [on.reference, on.session, on.viewer, on.messages],
        **ALONE,
        **PRIVATE,
    )
    for kind, button in on.phantoms.items():
        button.click(_of(page.on_phantom, kind), [on.held, *asked], shown, **once)
    for role, dropdown in zip(CHOICES, on.chosen, strict=True):
        dropdown.input(_of(page.on_choose, role), [dropdown, on.session, on.held, *asked], shown, **once)
    on.clear.click(page.on_clear, on.held, shown, **PRIVATE)


def _downloading(page: Page, on: Layout) -> None:
    """The threshold, which acts in the browser, and the download, which the browser makes of what the server sends."""
    on.threshold.change(None, on.threshold, None, js=TELL_THRESHOLD, **PRIVATE)
    inputs = [on.session, on.threshold, on.language, on.corrections]
    packed = on.download.click(page.on_download, inputs, on.parcel, js=ADD_CORRECTIONS, **PRIVATE)
    packed.success(None, [on.parcel, on.threshold], on.parcel, js=SAVE_ZIP, **PRIVATE)


def _api(page: Page) -> None:
    """The API has components of its own, which the page never shows."""
    scan, reference, files = (
        gr.File(file_count="multiple", visible=False, label=label) for label in ("scan", "reference", "files")
    )
    threshold = gr.Slider(0, 1, FIRST_THRESHOLD, visible=False, label="threshold")
    report = gr.JSON(visible=False, label="report")
    gr.Button(visible=False).click(page.segment, [scan, reference, threshold], [report, files], api_name="segment", **ALONE)

"""The page as a server: how it is launched, and what is left of it when it ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from lgg_demo.case import LggDemoError
from lgg_demo.messages import Sentence
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.allocator import few_arenas
from lgg_demo.page.blocks import VIEWER, build
from lgg_demo.page.gate import Gate, swept
from lgg_demo.page.gradio_patches import SESSIONS, PageBlocks
from lgg_demo.page.handlers import Page
from lgg_demo.page.showcase import Showcase
from lgg_demo.reading import guard
from lgg_demo.scratch import clear_left_behind, scratch

UPLOAD_LIMIT = "500mb"
KEEP_PATIENT = "LGG_DEMO_KEEP_PATIENT"
THEME = gr.themes.Base(
    primary_hue="blue", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(  # Gradio's own pairs stay below a contrast of 4.5
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)


def launch_page(demo: PageBlocks, **options: Any) -> Any:
    """Serve the page with the settings that patients' images ask for; `options` go to gradio's `launch`."""
    guard.prepare()
    return demo.launch(
        theme=THEME,
        css_paths=Path(__file__).with_name("page.css"),
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


def keeps_patient(environment: Mapping[str, str]) -> bool:
    """Whether DICOM results go into the patient's own study, with name and number: a site says so of its own server.

    Raises LggDemoError on a Space, where patients' names have no place, and for what is neither yes nor no.
    """
    said = environment.get(KEEP_PATIENT, "")
    if said not in ("", "0", "1"):
        raise LggDemoError(str(Sentence("keep_patient_value", {"variable": KEEP_PATIENT})))
    if said == "1" and environment.get("SPACE_ID"):
        raise LggDemoError(str(Sentence("keep_patient_space", {"variable": KEEP_PATIENT})))
    return said == "1"


def serve(segmenter: Segmenter, keep_patient: bool = False) -> None:
    """Serve the page until it is stopped, and leave nothing of its users behind. keep_patient: see `keeps_patient`.

    All temporary files are in one folder, for its user alone, that goes with the process, or where that is killed at the
    next start. A container is stopped by SIGTERM, which is taken as Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o077)
    few_arenas()
    allow_open_files()
    place = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    Path(place).mkdir(parents=True, exist_ok=True)
    clear_left_behind({place, tempfile.gettempdir()})
    with scratch(place) as house:
        for variable, name in (("GRADIO_TEMP_DIR", "gradio"), ("TMPDIR", "tmp")):
            (house / name).mkdir()
            os.environ[variable] = str(house / name)
        tempfile.tempdir = os.environ["TMPDIR"]
        page = Page(segmenter, keep_patient)
        showcase = Showcase(page)
        demo = build(page, showcase)
        showcase.start()
        with suppress(KeyboardInterrupt):  # Gradio takes it only once it waits
            launch_page(demo)
        showcase.end()


def allow_open_files() -> None:
    """Let the process have as many files open as the system allows: an upload holds up to a thousand."""
    if sys.platform == "win32":  # has no such limit, nor the module
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS says that there is no limit, and does not take it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Serve the page on the shipped weights, or those that LGG_DEMO_CHECKPOINT names; returns the exit code."""
    try:
        keep_patient = keeps_patient(os.environ)
        segmenter = Segmenter.load()
    except LggDemoError as error:
        print(f"app: {error}", file=sys.stderr)
        return 2
    serve(segmenter, keep_patient)
    return 0

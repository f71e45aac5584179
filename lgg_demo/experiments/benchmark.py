"""How fast the viewer answers, measured in Chromium: `python -m lgg_demo.experiments.benchmark` (needs
tests/requirements.txt).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import nibabel
import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from lgg_demo.atomic import write_json
from lgg_demo.case import Scan
from lgg_demo.command import run
from lgg_demo.experiments.markdown import DOCS, VIEWER, read_facts, render, with_figures
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.display import grey
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.patients import PATIENTS, files_of
from lgg_demo.page.server import launch_page
from lgg_demo.probability import binarise
from lgg_demo.reading.studies import Request, read_all
from lgg_demo.scratch import scratch

FIGURES = DOCS / "benchmark.json"
START, END = "<!-- benchmark: python -m lgg_demo.experiments.benchmark -->", "<!-- end of benchmark -->"
SLICES = 155  # of a study at 1 mm
SIDE = 256
STEPS = 200
SERVER_STEPS = 40
BLUE = np.array([86, 180, 233])

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def through_the_server(picture: np.ndarray, probability: np.ndarray) -> gr.Blocks:
    """The same slider as an ordinary Gradio app has it: the server draws one slice, (H, W) uint8 each, at each step."""

    def overlay(threshold: float) -> Image.Image:
        shown = np.repeat(picture[..., None], 3, axis=-1).astype(float)
        mask = binarise(probability, threshold)
        shown[mask] = 0.4 * shown[mask] + 0.6 * BLUE
        drawn = shown.astype(np.uint8)
        drawn[0, 0] = round(threshold * 255)  # no two steps give the same file, or the browser would not see the second
        return Image.fromarray(drawn)

    with gr.Blocks(analytics_enabled=False) as demo:
        step = gr.Slider(0.01, 0.99, 0.5, step=0.01, elem_id="step")
        shown = gr.Image(format="png", elem_id="picture")
        step.input(overlay, step, shown, show_progress="hidden")
    return demo


def network_times(segmenter: Segmenter, scan: Scan) -> list[float]:
    """Milliseconds per slice of each batch of a scan, with normalisation, test-time augmentation and calibration."""
    times, last = [], time.perf_counter()
    for part in segmenter.probabilities(scan):
        now = time.perf_counter()
        times.append(1000 * (now - last) / len(part))
        last = now
    return times


def summary(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum of milliseconds."""
    return {
        "median_ms": round(float(np.median(values)), 2),
        "p95_ms": round(float(np.percentile(values, 95)), 2),
        "max_ms": round(float(np.max(values)), 2),
    }


def in_page(page: Any, function: str, steps: int) -> Any:
    """What a function of benchmark.js gives in a page of Playwright's."""
    return page.evaluate(f"(steps) => {{ {SCRIPT}; return {function}(steps); }}", steps)


def write_inputs(folder: Path) -> tuple[Path, list[Path]]:
    """A study of SLICES slices and one slice with its mask, each 256 x 256, of the first synthetic patient."""
    first = read_all(Request(tuple(files_of(PATIENTS[0])))).cases[0]
    assert first.reference is not None
    around = [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in first.size]
    flair, mask = (np.pad(stack, ((0, 0), *around)) for stack in (grey(first.scan), first.reference))
    study, picture = folder / "study.nii.gz", folder / "slice.png"
    fine = zoom(flair, (SLICES / len(flair), 1, 1), order=1)
    nibabel.save(nibabel.Nifti1Image(fine.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0])), study)
    most = int(mask.sum(axis=(1, 2)).argmax())
    Image.fromarray(flair[most]).save(picture)
    Image.fromarray(mask[most].astype(np.uint8) * 255).save(folder / "slice_mask.png")
    return study, [picture, folder / "slice_mask.png"]


def drive_viewer(
    page: Any, url: str, study: Path, pictures: Sequence[Path]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Drag the threshold of a slice and scroll through a study: `work` and `frames` of both."""
    page.goto(url)
    page.set_input_files("#viewer [data-choose=scan]", [str(p) for p in pictures])
    page.wait_for_selector('#viewer [data-figure="dice"]')
    page.wait_for_timeout(1500)
    in_page(page, "dragThreshold", 20)  # warm
    drag = in_page(page, "dragThreshold", STEPS)
    page.set_input_files("#viewer [data-choose=scan]", [str(study)])
    page.wait_for_selector('#viewer [data-figure="volume"]')
    page.wait_for_timeout(1500)
    in_page(page, "scrollSlices", 20)
    return drag, in_page(page, "scrollSlices", SLICES - 1)


def drive_server(page: Any, url: str) -> list[float]:
    """The same steps of the threshold through the server."""
    page.goto(url)
    page.wait_for_selector("#step input[type=range]")
    in_page(page, "stepThroughServer", 3)
    return list(in_page(page, "stepThroughServer", SERVER_STEPS))


def measure() -> dict[str, Any]:
    """The content of benchmark.json: milliseconds of the network, then of the viewer and of the server in one browser."""
    from playwright.sync_api import sync_playwright  # of the tests, not of what runs

    segmenter = Segmenter.load()
    with scratch() as folder:
        study, pictures = write_inputs(Path(folder))
        (whole,), (case,) = (read_all(Request((path,))).cases for path in (study, pictures[0]))
        network_times(segmenter, whole.scan)  # warm
        network = network_times(segmenter, whole.scan)
        page_app = build(Page(segmenter))
        _, url, _ = launch_page(page_app, prevent_thread_lock=True, quiet=True)
        server_app = through_the_server(grey(case.scan)[0], segmenter.segment(case.scan)[0])
        _, server_url, _ = server_app.launch(prevent_thread_lock=True, quiet=True)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = chromium.new_page(viewport={"width": 1440, "height": 1000}, locale="en-US")
            page.set_default_timeout(600_000)
            drag, scroll = drive_viewer(page, url, study, pictures)
            server = drive_server(page, server_url)
            version = chromium.version
            chromium.close()
    page_app.close()
    server_app.close()
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "chromium": version},
        "threshold": {**{k: summary(v) for k, v in drag.items()}, "steps": STEPS},
        "scroll": {**{k: summary(v) for k, v in scroll.items()}, "slices": SLICES},
        "server": {"step": summary(server), "steps": SERVER_STEPS},
        "network": {"slice": summary(network), "slices": SLICES, "engine": segmenter.engine.name},
    }


def processor() -> str:
    """What the machine calls its processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def said() -> str:
    """What docs/viewer.md says between its marks: the table of docs/benchmark.json, or that there is none yet."""
    return render("benchmark", **read_facts(FIGURES)) if FIGURES.exists() else "Not measured yet."


@dataclass(frozen=True)
class BenchmarkSettings:
    """Measure the viewer, and write docs/benchmark.json and the figures in docs/viewer.md.

    The page with the shipped weights is driven in a headless Chromium: the threshold of one 256 x 256 slice is dragged, and
    a study of 155 slices is scrolled. In the same run the same threshold step goes through the server, as a page without
    this viewer would do it: a Gradio event that draws the overlay there. The network's own time is that of the same study,
    before any page is open.
    """

    page: bool = False
    """only write docs/viewer.md from docs/benchmark.json"""


def write_benchmark(given: BenchmarkSettings) -> int:
    """What the command does; returns its exit code."""
    if not given.page:
        write_json(FIGURES, measure())
    VIEWER.write_text(with_figures(VIEWER.read_text(encoding="utf-8"), said(), START, END), encoding="utf-8")
    print(said())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.benchmark", BenchmarkSettings, write_benchmark, arguments)


if __name__ == "__main__":
    sys.exit(main())

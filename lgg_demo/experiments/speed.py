"""How fast and how large serving is, side by side with PyTorch and with two published networks:
`python -m lgg_demo.experiments.speed`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.ndimage import zoom

from lgg_demo import WEIGHTS
from lgg_demo.atomic import write_json
from lgg_demo.command import run
from lgg_demo.experiments.benchmark import processor
from lgg_demo.experiments.markdown import DOCS, ROOT, read_facts, render, with_figures
from lgg_demo.experiments.peers import BrainSegmentationUNet
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.frames import SIZE
from lgg_demo.network.graph import GraphEngine
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import Record
from lgg_demo.network.seed_unet import SeedUNet
from lgg_demo.page.patients import PATIENTS, files_of
from lgg_demo.reading.studies import Request, read_all
from lgg_demo.scratch import scratch

FIGURES, PAGE = DOCS / "speed.json", DOCS / "deployment.md"
START, END = "<!-- speed: python -m lgg_demo.experiments.speed -->", "<!-- end of speed -->"
STUDIES = (26, 155)  # slices: of a clinic's study, and of one at 1 mm
SETTLED_S = 20.0  # after the page answers: the synthetic patients are segmented by then

Slice = Callable[[np.ndarray], object]


def networks() -> dict[str, Slice]:
    """What takes a slice (1, 3, 256, 256) float32 through each network, by name; the first is what is served."""
    network, record = load_checkpoint()
    report, peer = SeedUNet().eval(), BrainSegmentationUNet().eval()
    return {
        "LGG Demo, as served: OpenVINO, float32, two views": GraphEngine(WEIGHTS / CHECKPOINT),
        "LGG Demo, the same network by PyTorch": TorchEngine(network, Record.of(record), "cpu"),
        "brain-segmentation-pytorch's network": _plain(peer),
        "the student report's network": _plain(report),
    }


def _plain(network: torch.nn.Module) -> Slice:
    def forward(x: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return torch.as_tensor(network(torch.from_numpy(x)))

    return forward


def milliseconds(rounds: int) -> dict[str, float]:
    """Of a slice, the median over rounds in which every network has its turn, so that all see the same machine."""
    x = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
    run_of = networks()
    times: dict[str, list[float]] = {name: [] for name in run_of}
    for n in range(rounds + 1):
        for name, forward in run_of.items():
            started = time.perf_counter()
            forward(x)
            if n:  # the first is for warming
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: round(statistics.median(own), 1) for name, own in times.items()}


def served(folder: Path) -> dict[str, Any]:
    """The page in a process of its own: seconds until it answers and for studies by /segment, and its memory in MB."""
    from gradio_client import Client, handle_file  # comes with Gradio

    port = 7000 + os.getpid() % 2000
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    command = [sys.executable, str(ROOT / "app.py")]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            while not _answers(f"http://127.0.0.1:{port}/config"):
                time.sleep(0.05)
            found: dict[str, Any] = {"start_s": round(time.perf_counter() - started, 1)}
            time.sleep(SETTLED_S)
            found["idle_mb"] = _memory_mb(server.pid, "VmRSS")
            client = Client(f"http://127.0.0.1:{port}", verbose=False)
            found["studies"] = []
            for slices in STUDIES:
                file = _study(folder, slices)
                client.predict([handle_file(str(file))], None, api_name="/segment")  # warm
                started = time.perf_counter()
                client.predict([handle_file(str(file))], None, api_name="/segment")
                found["studies"].append({"slices": slices, "seconds": round(time.perf_counter() - started, 1)})
            found["most_mb"] = _memory_mb(server.pid, "VmHWM")
        finally:
            server.terminate()
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


def _memory_mb(process: int, entry: str) -> int:
    """VmRSS: what a process has in memory now; VmHWM: the most it had."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) // 1024


def _study(folder: Path, slices: int) -> Path:
    """A NIfTI of so many slices, 256 x 256, of the first synthetic patient."""
    flair = read_all(Request(tuple(files_of(PATIENTS[0])))).cases[0].scan.pixels[..., 1]
    shape = np.array(flair.shape)
    fine = zoom(flair, np.array([slices, SIZE, SIZE]) / shape, order=1)
    path = folder / f"study_{slices}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(fine.transpose(2, 1, 0), np.diag([-0.9, -0.9, 140 / slices, 1.0])), path)
    return path


def said() -> str:
    """What docs/deployment.md says between its marks: the table of docs/speed.json, or that there is none yet."""
    return render("speed", **read_facts(FIGURES)) if FIGURES.exists() else "Not measured yet."


@dataclass(frozen=True)
class SpeedSettings:
    """Measure the network beside others, the start of the page, its studies and its memory; write docs/speed.json and the
    table in docs/deployment.md.

    The networks take turns in one run, so that their ratios hold whatever else the machine does. Linux only.
    """

    rounds: int = 30
    """slices that each network segments"""
    page: bool = False
    """only write docs/deployment.md from docs/speed.json"""


def write_speed(given: SpeedSettings) -> int:
    """What the command does; returns its exit code."""
    if not given.page:
        with scratch() as folder:
            facts: dict[str, Any] = {"served": served(Path(folder)), "network_ms": milliseconds(given.rounds)}
        facts["machine"] = {"processor": processor(), "cores": os.cpu_count()}
        write_json(FIGURES, facts, indent=1)
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), said(), START, END), encoding="utf-8")
    print(said())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.speed", SpeedSettings, write_speed, arguments)


if __name__ == "__main__":
    sys.exit(main())

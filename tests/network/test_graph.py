"""The exported graph: what PyTorch gives, of just these weights, and served without importing PyTorch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lgg_demo import WEIGHTS
from lgg_demo.case import Scan
from lgg_demo.network import export
from lgg_demo.network.checkpoint import load_checkpoint, save_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT, GRAPH_SUFFIXES, amend_record
from lgg_demo.network.graph import GraphEngine, has_graph
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import CheckpointError, NetworkSettings, Record
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.network.unet import build_network
from lgg_demo.page.patients import PATIENTS, files_of
from lgg_demo.reading.studies import Request, read_all

SMALL = NetworkSettings(family="seed", width=1)
CURVE = {"given": [-4.0, 0.0, 4.0], "meant": [-5.0, 0.5, 3.0]}
HEAVY = ("torch", "monai", "lightning", "sklearn", "torchvision", "segmentation_models_pytorch", "matplotlib")


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the shipped weights with their record and graph."""
    for suffix in (".json", ".safetensors", *GRAPH_SUFFIXES):
        shutil.copy((WEIGHTS / CHECKPOINT).with_suffix(suffix), tmp_path)
    return tmp_path / CHECKPOINT


def torch_segmenter(path: Path) -> Segmenter:
    network, record = load_checkpoint(path)
    return Segmenter(TorchEngine(network, Record.of(record), "cpu"), record)


def test_the_shipped_graph_gives_what_pytorch_gives() -> None:
    scan = read_all(Request(tuple(files_of(PATIENTS[0])))).cases[0].scan
    part = replace(scan, pixels=scan.pixels[8:16], files=(("part", 8),))
    served = Segmenter.load()
    assert served.engine.name == "OpenVINO, CPU" or torch.cuda.is_available()
    mine, theirs = Segmenter(GraphEngine(WEIGHTS / CHECKPOINT), served.record), torch_segmenter(WEIGHTS / CHECKPOINT)
    for one, other in zip(mine.probabilities(part), theirs.probabilities(part), strict=True):
        assert np.abs(one - other).max() <= 1 / 255
    first, second = (s.segment(part) for s in (mine, theirs))
    assert first.max() > 250, "a lesion is there"
    assert np.array_equal(first >= 128, second >= 128), "and its outline is the same"


@pytest.mark.parametrize("calibration", [CURVE, None])
def test_any_checkpoint_is_exported(tmp_path: Path, calibration: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / CHECKPOINT
    more = {"calibration": calibration, "views": [256, 192, 320]}
    save_checkpoint(path, build_network(SMALL).eval(), SMALL, more)
    assert not isinstance(Segmenter.load(path).engine, GraphEngine)
    assert export.main(["--checkpoint", str(path)]) == 0
    assert "MB" in capsys.readouterr().out
    engine = GraphEngine(path)
    x = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    assert np.abs(engine(x) - torch_segmenter(path).engine(x)).max() <= 1 / 255
    assert has_graph(path, load_checkpoint(path)[1])


def test_a_graph_of_other_weights_views_or_calibration_is_not_served(shipped: Path) -> None:
    record = json.loads(shipped.with_suffix(".json").read_text())
    assert has_graph(shipped, record)
    for change in ({"views": [256]}, {"calibration": None}, {"sha256": "0" * 64}):
        assert not has_graph(shipped, record | change)
    amend_record(shipped, views=[256])
    assert isinstance(Segmenter.load(shipped).engine, TorchEngine)


@pytest.mark.parametrize("suffix", GRAPH_SUFFIXES)
def test_a_damaged_graph_is_refused(shipped: Path, suffix: str) -> None:
    file = shipped.with_suffix(suffix)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"network\.export"):
        Segmenter.load(shipped)
    file.unlink()
    assert isinstance(Segmenter.load(shipped).engine, TorchEngine), "one that is not there is not missed"


def test_a_graph_that_is_not_pytorchs_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, build_network(SMALL).eval(), SMALL, {})
    monkeypatch.setattr(export, "MOST_APART", -1.0)
    assert export.main(["--checkpoint", str(path)]) == 2
    assert not has_graph(path, load_checkpoint(path)[1])


def test_slices_of_nothing_but_air_cost_nothing() -> None:
    class Counting(GraphEngine):
        calls = 0

        def __call__(self, x: np.ndarray) -> np.ndarray:
            self.calls += 1
            return super().__call__(x)

    engine = Counting(WEIGHTS / CHECKPOINT)
    pixels = np.zeros((5, 64, 64, 3), dtype=np.float32)
    pixels[2:4, 16:48, 16:48] = np.random.default_rng(0).random((2, 32, 32, 1))
    found = Segmenter(engine, Segmenter.load().record).segment(Scan(pixels, (("a", 5),), "a", grey=False))
    assert engine.calls == 2 and not found[[0, 1, 4]].any()


def test_what_serves_imports_no_training_library() -> None:
    code = (
        "import sys, numpy as np, lgg_demo.page.server, lgg_demo.predict\n"
        "from lgg_demo.case import Scan\n"
        "from lgg_demo.network.segmenter import Segmenter\n"
        "pixels = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)\n"
        "Segmenter.load().segment(Scan(pixels, (('a', 1),), 'a', grey=False))\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout

"""`Segmenter`: a `Scan` to the quantised probability of every pixel; thresholds need no second run of the network."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lgg_demo.case import Scan
from lgg_demo.intensity import NORMALISATIONS
from lgg_demo.network.checkpoint_files import find_checkpoint, read_signed
from lgg_demo.network.frames import Frame, frame_of, to_model, to_source
from lgg_demo.network.graph import GraphEngine, has_graph
from lgg_demo.network.record import CheckpointError, Record
from lgg_demo.probability import LEVELS


class Engine(Protocol):
    """What runs a network: normalised slices (N, 3, 256, 256) to calibrated probability (N, 1, 256, 256), both float32."""

    name: str  # what runs it, and where
    batch: int  # slices at a time, at most

    def __call__(self, x: np.ndarray, /) -> np.ndarray: ...


def quantise(probability: np.ndarray) -> np.ndarray:
    """Probability in [0, 1] to 255ths, uint8, nearest with halves up."""
    return np.asarray(np.clip(np.floor(probability * np.float32(LEVELS) + np.float32(0.5)), 0, LEVELS).astype(np.uint8))


def has_gpu() -> bool:
    """Whether PyTorch could use an NVIDIA GPU, told without importing it, which takes seconds and hundreds of megabytes."""
    if importlib.util.find_spec("torch") is None:
        return False
    try:
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _frame(scan: Scan) -> Frame:
    return Frame(*scan.frame) if scan.frame else frame_of(scan.pixels, scan.spacing_mm)


class Segmenter:
    """A network ready to serve: what the page, `predict` and `evaluate` share.

    Raises CheckpointError for a record that is not as it should be.
    """

    def __init__(self, engine: Engine, record: dict[str, Any]) -> None:
        checked = Record.of(record)
        self.engine, self.record = engine, record
        self.scale_of = NORMALISATIONS[checked.normalisation]
        self.threshold = checked.threshold  # the one the network was recorded with, in [0, 1]

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> Segmenter:
        """From a checkpoint file, a Hub repository, or the shipped weights for None. Raises CheckpointError.

        The exported graph serves where one of these very weights lies beside them and no GPU is there, else PyTorch.
        """
        path = find_checkpoint(checkpoint)
        weights, record = read_signed(path)
        if has_graph(path, record) and not has_gpu():
            return cls(GraphEngine(path), record)
        if importlib.util.find_spec("torch") is None:
            raise CheckpointError(
                f"Beside {path} there is no graph of these weights, and PyTorch, which could run them, is not installed: "
                "install requirements.txt."
            )
        from lgg_demo.network.checkpoint import build  # which imports PyTorch
        from lgg_demo.network.inference import TorchEngine

        return cls(TorchEngine(build(path, weights, record), Record.of(record)), record)

    def inputs(self, scan: Scan, frame: Frame | None = None) -> Iterator[np.ndarray]:
        """What the network is fed, some slices at a time: (at most the engine's batch, 3, 256, 256) float32.

        `frame` is the scan's own.
        """
        frame = frame or _frame(scan)
        scale = self.scale_of(frame.seen(scan.pixels) if scan.frame else scan.pixels)
        batch = self.engine.batch
        for start in range(0, len(scan), batch):
            yield to_model(scan.pixels[start : start + batch], frame, scale)

    def probabilities(self, scan: Scan) -> Iterator[np.ndarray]:
        """Calibrated probability on the grid of the scan, some at a time: (at most a batch, H, W) float32 in [0, 1]."""
        frame = _frame(scan)
        for x in self.inputs(scan, frame):
            # Slices without any content, as volumes have at their ends, need no network.
            p = self.engine(x) if x.any() else np.zeros((len(x), 1, *x.shape[2:]), dtype=np.float32)
            yield to_source(p, scan.size, frame)

    def segment(self, scan: Scan, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Probability of each pixel of a scan: (S, H, W) uint8, 255 for 1, on the scan's own grid.

        progress: called with (slices done, slices in all).
        """
        kept = np.empty((len(scan), *scan.size), dtype=np.uint8)
        done = 0
        for p in self.probabilities(scan):
            kept[done : done + len(p)] = quantise(p)
            done += len(p)
            if progress:
                progress(done, len(scan))
        return kept

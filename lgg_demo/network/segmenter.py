"""`Segmenter`: a `Scan` to the probability of every pixel. The network runs once; thresholds work on what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lgg_demo.case import Scan
from lgg_demo.intensity import NORMALISATIONS
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.frames import SIZE, Frame, frame_of, to_model, to_source, with_neighbours
from lgg_demo.network.record import Record
from lgg_demo.probability import LEVELS

# Slices at a time. One is as fast on a CPU, to the same byte, and ends the work of a client that left at the next slice.
BATCH_CPU, BATCH_GPU = 1, 8


def quantise(probability: torch.Tensor) -> np.ndarray:
    """Probability in [0, 1] to the kept level, uint8 in 0..255, nearest with halves up."""
    return np.asarray((probability * LEVELS + 0.5).floor().clamp(0, LEVELS).to(torch.uint8).cpu().numpy())


def predict_probability(network: torch.nn.Module, x: torch.Tensor, views: Sequence[int] = (SIZE,)) -> torch.Tensor:
    """Network input (N, C, H, W) to probability (N, 1, H, W): the mean over views of the slice.

    views: for each the side that 256 pixels are resized to, a multiple of 32; every second one is a mirror image.
    """
    size = x.shape[-2:]
    total = torch.zeros(len(x), 1, *size, dtype=torch.float32, device=x.device)
    for n, side in enumerate(views):
        view = x.flip(-1) if n % 2 else x
        if side != SIZE:
            sides = [length * side // SIZE for length in size]
            view = F.interpolate(view, size=sides, mode="bilinear", antialias=side < SIZE)
            view = view.contiguous(memory_format=torch.channels_last)
        p = torch.sigmoid(network(view).float())
        if side != SIZE:
            p = F.interpolate(p, size=size, mode="bilinear", antialias=side > SIZE)
        total += p.flip(-1) if n % 2 else p
    return total / len(views)


def _frame(scan: Scan) -> Frame:
    return Frame(*scan.frame) if scan.frame else frame_of(scan.pixels, scan.spacing_mm)


class Segmenter:
    """A network ready to serve: what the page, `predict` and `evaluate` share.

    `segment` is the expensive half; thresholding what it returns is the cheap one. Raises CheckpointError for a record
    that is not as it should be.
    """

    def __init__(self, network: torch.nn.Module, record: dict[str, Any], device: str | torch.device | None = None) -> None:
        checked = Record.of(record)
        self.record = record
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch = BATCH_CPU if self.device.type == "cpu" else BATCH_GPU
        self.views, self.calibration = checked.views, checked.calibration
        self.context = checked.network.context
        self.scale_of = NORMALISATIONS[checked.normalisation]
        self.threshold = checked.threshold  # the one the network was recorded with, in [0, 1]
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> Segmenter:
        """From a checkpoint file, a Hub repository, or the shipped weights for None. Raises CheckpointError."""
        return cls(*load_checkpoint(checkpoint))

    def inputs(self, scan: Scan, frame: Frame | None = None) -> Iterator[torch.Tensor]:
        """What the network is fed, some slices at a time: (at most `batch`, channels, 256, 256) float32.

        `frame` is the scan's own.
        """
        frame = frame or _frame(scan)
        scale = self.scale_of(frame.seen(scan.pixels) if scan.frame else scan.pixels)
        for start in range(0, len(scan), self.batch):
            first, end = max(start - self.context, 0), min(start + self.batch, len(scan))
            x = to_model(scan.pixels[first : end + self.context], frame, scale)
            yield with_neighbours(x, self.context, slice(start - first, end - first))

    @torch.inference_mode()
    def probabilities(self, scan: Scan) -> Iterator[torch.Tensor]:
        """Calibrated probability on the grid of the scan, some at a time: (at most `batch`, H, W) float32 in [0, 1]."""
        frame = _frame(scan)
        for x in self.inputs(scan, frame):
            p = predict_probability(self.network, x.to(self.device, memory_format=torch.channels_last), self.views)
            yield to_source(self.calibration.apply(p), scan.size, frame)

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

"""`Segmenter`: a `Scan` to the quantised probability of every pixel; thresholds need no second run of the network."""

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
from lgg_demo.network.frames import SIZE, Frame, frame_of, to_model, to_source
from lgg_demo.network.record import Record
from lgg_demo.probability import LEVELS

# Slices at a time. One is as fast on a CPU, to the same byte, and ends the work of a client that left at the next slice.
BATCH_CPU, BATCH_GPU = 1, 8


def quantise(probability: torch.Tensor) -> np.ndarray:
    """Probability in [0, 1] to 255ths, uint8, nearest with halves up."""
    return np.asarray((probability * LEVELS).add_(0.5).floor_().clamp_(0, LEVELS).to(torch.uint8).cpu().numpy())


def predict_probability(network: torch.nn.Module, x: torch.Tensor, scales: Sequence[int] = (SIZE,)) -> torch.Tensor:
    """Network input (N, 3, H, W) to probability (N, 1, H, W): the mean over test-time augmentation scales.

    scales: the sides that 256 pixels are resized to, multiples of 32; at every second one the slice is mirrored.
    """
    size = x.shape[-2:]
    total = torch.zeros(len(x), 1, *size, dtype=torch.float32, device=x.device)
    for n, side in enumerate(scales):
        scaled = x.flip(-1) if n % 2 else x
        if side != SIZE:
            sides = [length * side // SIZE for length in size]
            scaled = F.interpolate(scaled, size=sides, mode="bilinear", antialias=side < SIZE)
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        p = torch.sigmoid(network(scaled).float())
        if side != SIZE:
            p = F.interpolate(p, size=size, mode="bilinear", antialias=side > SIZE)
        total += p.flip(-1) if n % 2 else p
    return total / len(scales)


def _frame(scan: Scan) -> Frame:
    return Frame(*scan.frame) if scan.frame else frame_of(scan.pixels, scan.spacing_mm)


class Segmenter:
    """A network ready to serve: what the page, `predict` and `evaluate` share.

    Raises CheckpointError for a record that is not as it should be.
    """

    def __init__(self, network: torch.nn.Module, record: dict[str, Any], device: str | torch.device | None = None) -> None:
        checked = Record.of(record)
        self.record = record
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch = BATCH_CPU if self.device.type == "cpu" else BATCH_GPU
        self.views, self.calibration = checked.views, checked.calibration
        self.scale_of = NORMALISATIONS[checked.normalisation]
        self.threshold = checked.threshold  # the one the network was recorded with, in [0, 1]
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> Segmenter:
        """From a checkpoint file, a Hub repository, or the shipped weights for None. Raises CheckpointError."""
        return cls(*load_checkpoint(checkpoint))

    def inputs(self, scan: Scan, frame: Frame | None = None) -> Iterator[torch.Tensor]:
        """What the network is fed, some slices at a time: (at most `batch`, 3, 256, 256) float32.

        `frame` is the scan's own.
        """
        frame = frame or _frame(scan)
        scale = self.scale_of(frame.seen(scan.pixels) if scan.frame else scan.pixels)
        for start in range(0, len(scan), self.batch):
            yield to_model(scan.pixels[start : start + self.batch], frame, scale)

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

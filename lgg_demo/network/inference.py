"""The network as it is served, in PyTorch: test-time augmentation and calibration around it, and the engine that runs both.

`export` writes this very module as the graph that `graph` runs without PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from lgg_demo.network.calibration import TINY, Calibration
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import Record

# Slices at a time. One is as fast on a CPU, to the same byte, and ends the work of a client that left at the next slice.
BATCH_CPU, BATCH_GPU = 1, 8


def predict_probability(network: torch.nn.Module, x: torch.Tensor, scales: Sequence[int] = (SIZE,)) -> torch.Tensor:
    """Network input (N, 3, H, W) to probability (N, 1, H, W): the mean over test-time augmentation scales.

    scales: the sides that 256 pixels are resized to, multiples of 32; at every second one the slice is mirrored.
    """
    size = x.shape[-2:]
    total = torch.zeros(x.shape[0], 1, *size, dtype=torch.float32, device=x.device)
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


def calibrated(p: torch.Tensor, calibration: Calibration) -> torch.Tensor:
    """Probability of any shape, float32 in [0, 1], to the calibrated one."""
    if not calibration.given:
        return p
    given, meant = (torch.tensor(v, dtype=p.dtype, device=p.device) for v in (calibration.given, calibration.meant))
    chance = p.clamp(TINY, 1 - TINY)
    x = torch.log(chance / (1 - chance))  # torch.logit, which OpenVINO does not know
    inside = x.clamp(given[0], given[-1])
    right = torch.bucketize(inside, given).clamp(1, len(calibration.given) - 1)
    share = (inside - given[right - 1]) / (given[right] - given[right - 1])
    return torch.sigmoid(torch.lerp(meant[right - 1], meant[right], share) + (x - inside))


class ServedNetwork(torch.nn.Module):
    """Normalised slices (N, 3, 256, 256) float32 to calibrated probability (N, 1, 256, 256) float32 in [0, 1]."""

    def __init__(self, network: torch.nn.Module, record: Record) -> None:
        super().__init__()
        self.network, self.views, self.calibration = network, record.views, record.calibration

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return calibrated(predict_probability(self.network, x, self.views), self.calibration)


class TorchEngine:
    """What `segmenter.Segmenter` runs where there is a GPU, or no exported graph; see `segmenter.Engine`."""

    def __init__(self, network: torch.nn.Module, record: Record, device: str | torch.device | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch = BATCH_CPU if self.device.type == "cpu" else BATCH_GPU
        self.name = f"PyTorch, {self.device.type.upper()}"
        self.network = network.eval()
        served = ServedNetwork(network, record).eval()
        self.served = served.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, 3, 256, 256) float32 to calibrated probability (N, 1, 256, 256) float32 in [0, 1]."""
        slices = torch.from_numpy(x).to(self.device, memory_format=torch.channels_last)
        return np.asarray(self.served(slices).cpu().numpy())

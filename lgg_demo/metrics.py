"""Loss and scores. MONAI does the arithmetic; this file states the conventions once.

Counts (true and false positives and negatives) come first, ratios second. Where prediction and reference are both
empty, Dice and IoU are 1; where one is, they are 0. A volume's Dice is that of all its pixels together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.metrics import compute_hausdorff_distance, get_confusion_matrix

LEVELS = 255  # a kept probability is a whole number of 255ths


@dataclass(frozen=True)
class Counts:
    """Pixels of prediction and reference: hit, extra, missed, neither."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def predicted(self) -> int:
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """2 tp / (2 tp + fp + fn); 1 where both are empty."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 1.0

    @property
    def iou(self) -> float:
        """tp / (tp + fp + fn); 1 where both are empty."""
        total = self.tp + self.fp + self.fn
        return self.tp / total if total else 1.0

    @property
    def precision(self) -> float | None:
        """tp / (tp + fp); None where nothing is predicted."""
        return self.tp / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """tp / (tp + fn); None where the reference is empty."""
        return self.tp / self.reference if self.reference else None


def training_loss() -> DiceCELoss:
    """Soft Dice of the whole batch plus binary cross-entropy, on logits (N, 1, H, W) and masks of the same shape.

    Over the batch, because two slices of three are empty and have no Dice of their own.
    """
    return DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)


def threshold_level(threshold: float) -> int:
    """The smallest kept level (0..255) that reaches a threshold in [0, 1]; 0.5 gives 128.

    Whole numbers are compared, so a mask is the same on the page and on the server, to the pixel.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"The threshold must lie between 0 and 1, not {threshold}.")
    return math.ceil(threshold * LEVELS)


def binarise(levels: np.ndarray, threshold: float) -> np.ndarray:
    """Kept probability (..., uint8, 0..255) to a mask of the same shape, bool."""
    return np.asarray(levels >= threshold_level(threshold))


def count(predicted: np.ndarray, reference: np.ndarray) -> Counts:
    """Counts over two bool arrays of one shape."""
    if predicted.shape != reference.shape:
        raise ValueError(f"Prediction {predicted.shape} and reference {reference.shape} differ in shape.")
    flat = [torch.from_numpy(np.ascontiguousarray(a)).reshape(1, 1, -1).float() for a in (predicted, reference)]
    tp, fp, tn, fn = (int(v) for v in get_confusion_matrix(flat[0].double(), flat[1].double())[0, 0])
    return Counts(tp, fp, fn, tn)


def pooled(counts: Iterable[Counts]) -> Counts:
    """The counts of all pixels together."""
    return sum(counts, Counts(0, 0, 0, 0))


def hausdorff95_px(predicted: np.ndarray, reference: np.ndarray) -> float:
    """95th percentile of the distances between the two surfaces of a volume (S, H, W), in pixels, one slice a pixel.

    The dataset gives no spacing, so the distance between slices counts as one pixel. Infinite where one is empty, 0
    where both are.
    """
    if not predicted.any() and not reference.any():
        return 0.0
    if not predicted.any() or not reference.any():
        return math.inf
    either = predicted | reference  # the distance needs no more than the box around both
    box = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(either))
    pair = [torch.from_numpy(np.ascontiguousarray(np.pad(a[box], 1)))[None, None].float() for a in (predicted, reference)]
    with warnings.catch_warnings():  # MONAI 1.6 warns of its own argument
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(pair[0], pair[1], include_background=True, percentile=95)[0, 0])


def bootstrap_ci95(values: Iterable[float], seed: int = 0, draws: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean, by resampling patients (Efron 1979)."""
    sample = np.asarray(list(values), dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(0, len(sample), (draws, len(sample)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

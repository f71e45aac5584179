"""Overlap of two masks, and the conventions of every score, stated once.

Counts (true and false positives and negatives) come first, ratios second. Where prediction and reference are both
empty, Dice and IoU are 1; where one is, they are 0. A volume's Dice is that of all its pixels together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lgg_demo.probability import LEVELS, threshold_level


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


def expected_dice(probabilities: np.ndarray | Sequence[np.ndarray], threshold: float) -> float:
    """The Dice that calibrated probabilities (quantised, of any shape; one array or several) let expect of their own mask.

    2 sum of p inside the mask / (pixels of the mask + sum of p): no reference is needed, and a low value marks a scan to
    look at twice. 1 where nothing is predicted and nothing is likely; the sums stand for their expectations (the ratio
    of expectations, as in soft Dice).
    """
    at = threshold_level(threshold)
    by_level = np.zeros(LEVELS + 1, dtype=np.int64)
    for whole in [probabilities] if isinstance(probabilities, np.ndarray) else probabilities:
        for part in np.array_split(whole.reshape(-1), 1 + (whole.size >> 22)):  # bincount takes eight bytes a pixel
            by_level += np.bincount(part, minlength=LEVELS + 1)
    said = by_level * np.arange(LEVELS + 1)  # in 255ths
    total = int(by_level[at:].sum()) * LEVELS + int(said.sum())
    return 2 * int(said[at:].sum()) / total if total else 1.0


def count(predicted: np.ndarray, reference: np.ndarray) -> Counts:
    """Counts over two bool arrays of one shape."""
    if predicted.shape != reference.shape:
        raise ValueError(f"Prediction {predicted.shape} and reference {reference.shape} differ in shape.")
    tp, predicted_pixels, reference_pixels = (
        int(np.count_nonzero(a)) for a in (predicted & reference, predicted, reference)
    )
    fp, fn = predicted_pixels - tp, reference_pixels - tp
    return Counts(tp, fp, fn, predicted.size - tp - fp - fn)


def pooled(counts: Iterable[Counts]) -> Counts:
    """The counts of all pixels together."""
    return sum(counts, Counts(0, 0, 0, 0))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty."""
    others = [tuple(a for a in range(mask.ndim) if a != axis) for axis in range(mask.ndim)]
    inside = [np.flatnonzero(mask.any(axis=axes)) for axes in others]
    return tuple(slice(int(i[0]), int(i[-1]) + 1) for i in inside)

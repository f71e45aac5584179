"""Whether the sequences of a scan are in the order that the network was trained on, by a small fitted test."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from lgg_demo import WEIGHTS
from lgg_demo.intensity import CEILING, normalise, percentile_scale
from lgg_demo.reading.limits import FLAIR

FITTED = WEIGHTS / "sequences.json"
BINS = 16
FEWEST_SLICES = 8  # a slice alone says too little
MARGIN = 1.0  # log-odds by which another channel must look more like FLAIR before anybody is warned


def channel_features(pixels: np.ndarray) -> np.ndarray:
    """For each channel of a stack (S, H, W, 3) its features, (3, 33) float64.

    Square roots of its histogram inside the head, the difference to the others' mean, and how much more alike the two
    others are than either is to it.
    """
    step = max(1, max(pixels.shape[1:3]) // 64)
    thinned = pixels[::2, ::step, ::step]
    x = normalise(thinned, percentile_scale(thinned))
    brightness = x.mean(axis=-1)
    head = x[brightness > brightness.mean()]
    counts = [np.histogram(head[:, c], bins=BINS, range=(0, CEILING))[0] for c in range(3)]
    shape = np.sqrt(np.array(counts) / max(len(head), 1))
    with np.errstate(invalid="ignore"):  # a channel without contrast correlates with nothing
        alike = np.nan_to_num(np.corrcoef(head.T)) if len(head) > 1 else np.zeros((3, 3))
    rows = []
    for c in range(3):
        a, b = (k for k in range(3) if k != c)
        bond = alike[a, b] - max(alike[c, a], alike[c, b])
        rows.append(np.concatenate([shape[c], shape[c] - (shape[a] + shape[b]) / 2, [bond]]))
    return np.array(rows)


@cache
def _fitted() -> tuple[np.ndarray, float]:
    values = json.loads(FITTED.read_text(encoding="utf-8"))
    return np.array(values["coefficients"]), float(values["intercept"])


def flair_margin(pixels: np.ndarray) -> float:
    """By how much the second channel of a stack (S, H, W, 3) looks more like FLAIR than the others do, in log-odds."""
    coefficients, intercept = _fitted()
    score = channel_features(pixels) @ coefficients + intercept
    return float(score[FLAIR] - max(np.delete(score, FLAIR)))


def out_of_order(pixels: np.ndarray) -> bool:
    """Whether another channel than the second looks clearly more like FLAIR; never of fewer than eight slices."""
    return len(pixels) >= FEWEST_SLICES and flair_margin(pixels) < -MARGIN

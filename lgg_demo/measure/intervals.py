"""Intervals of a mean over patients."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def bootstrap_ci95(values: Iterable[float], seed: int = 0, draws: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean, by resampling patients (Efron 1979)."""
    sample = np.asarray(list(values), dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(0, len(sample), (draws, len(sample)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

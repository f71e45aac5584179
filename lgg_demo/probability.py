"""The quantised probability: a whole number of 255ths for each pixel, which every mask and figure is made from."""

from __future__ import annotations

import math

import numpy as np

LEVELS = 255  # a quantised probability is a whole number of 255ths


def threshold_level(threshold: float) -> int:
    """The smallest quantised probability (0..255) that reaches a threshold in [0, 1]; 0.5 gives 128.

    Whole numbers are compared, so a mask is the same on the page and on the server, to the pixel.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"The threshold must lie between 0 and 1, not {threshold}.")
    return math.ceil(threshold * LEVELS)


def binarise(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Quantised probability (..., uint8, 0..255) to a mask of the same shape, bool."""
    return np.asarray(probability >= threshold_level(threshold))

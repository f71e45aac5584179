"""What a screen or a page shows: intensities in 8 bits, and the colours of the two outlines."""

from __future__ import annotations

import numpy as np

from lgg_demo.case import Scan
from lgg_demo.reading.limits import FLAIR

BLUE, ORANGE = (86, 180, 233), (230, 159, 0)  # prediction and reference, as in the viewer (Okabe and Ito)
SHOWN = (0.5, 99.7)  # percentiles of a scan that are black and white at first
SENT = (0.1, 99.9)  # percentiles that the 8 bits span


def grey(scan: Scan) -> np.ndarray:
    """The FLAIR channel windowed for a screen: (S, H, W) uint8, from the 0.5th to the 99.7th percentile of the scan."""
    flair = scan.pixels[..., FLAIR]
    low, high = np.percentile(flair, SHOWN)
    return _between(flair, float(low), float(high))


def window(stack: np.ndarray) -> tuple[np.ndarray, list[float], list[float]]:
    """A channel (S, H, W) in 8 bits for the viewer, (S, H, W) uint8, which of its greys are black and white at first, and
    which of the scan's own values the first and the last grey stand for.

    The viewer's window and level act on these 8 bits, whatever depth the scan had: they span a little more than what is
    shown at first, so that a window can be widened, and a narrow one still has some two hundred greys. Sending 16 bits
    would double what a study takes in the tab, for noise: beyond the 99.9th percentile lie vessels and spikes.
    """
    low, dark, bright, high = (float(v) for v in np.percentile(stack, sorted((*SENT, *SHOWN))))
    if high <= low:
        return np.zeros(stack.shape, dtype=np.uint8), [0.0, 255.0], [low, low]
    if bright <= dark:
        dark, bright = low, high
    first = [(value - low) / (high - low) * 255 for value in (dark, bright)]
    return _between(stack, low, high), first, [low, high]


def _between(stack: np.ndarray, low: float, high: float) -> np.ndarray:
    shown = np.zeros(stack.shape, dtype=np.uint8)
    if high <= low:
        return shown
    for s, values in enumerate(stack):  # one at a time: a study of a thousand slices is a gigabyte of numbers
        shown[s] = np.clip((values - low) / (high - low) * 255 + 0.5, 0, 255)
    return shown

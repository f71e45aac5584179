"""What of a slice the network sees, and back: the frame around a head, the 256 x 256 input, the source's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from lgg_demo.intensity import Scale, landmark_scale, normalise
from lgg_demo.reading.limits import FLAIR

SIZE = 256  # side of the square the network sees, that of the dataset
CROP = 192  # side of the random crop it is trained on: three quarters of the time for the same pixels an epoch
FIELD_MM = 230.0  # side of the frame where the spacing is known
HEAD_MARGIN = 1.04  # a head that is larger than the field gets this much of air
HEAD_SHARE = 0.01  # a row of the stack belongs to the head where more than this share of it is bright


@dataclass(frozen=True)
class Frame:
    """The part of every slice that the network sees, in the slice's own pixels; it may reach beyond the slice."""

    top: int
    left: int
    height: int
    width: int

    def seen(self, pixels: np.ndarray) -> np.ndarray:
        """What of a stack (S, H, W, C) lies in the frame."""
        bottom, right = self.top + self.height, self.left + self.width
        return pixels[:, max(self.top, 0) : bottom, max(self.left, 0) : right]


def frame_of(pixels: np.ndarray, spacing_mm: tuple[float, float, float] | None = None) -> Frame:
    """The frame of a stack (S, H, W, 3), spacing (slice, row, column) in mm.

    Without a spacing it is the slice, made square at the bottom and right. With one it is a square of 230 mm around the
    head, or as much larger as the head, whatever the pixels' shape: in the training data heads fill about 232 of 256
    pixels from front to back.
    """
    height, width = pixels.shape[1:3]
    if spacing_mm is None:
        side = max(height, width)
        return Frame(0, 0, side, side)
    flair = pixels[..., FLAIR]
    head = flair > flair.mean()
    extent_mm, centre = [FIELD_MM], []
    for axis, step in ((2, spacing_mm[1]), (1, spacing_mm[2])):
        profile = np.flatnonzero(head.mean(axis=(0, axis)) > HEAD_SHARE)
        first, last = (int(profile[0]), int(profile[-1]) + 1) if profile.size else (0, head.shape[3 - axis])
        extent_mm.append((last - first) * step * HEAD_MARGIN)
        centre.append((first + last) / 2)
    side_mm = max(extent_mm)
    rows, columns = (max(1, round(side_mm / step)) for step in spacing_mm[1:])
    return Frame(round(centre[0] - rows / 2), round(centre[1] - columns / 2), rows, columns)


@lru_cache(maxsize=16)  # the same for every slice and sequence of a scan
def _steps(source: int, target: int, antialias: bool) -> sparse.csr_array:
    """(target, source) float32: what linear interpolation takes of which pixel, pixel areas aligned, edges repeated.

    antialias: where it shrinks, a pixel is the weighted mean of all that it covers. Both as PyTorch's `interpolate`.
    """
    step = source / target
    support = max(step, 1.0) if antialias else 1.0
    middle = (np.arange(target) + 0.5) * step  # in the source's pixels, 0 at the first one's edge
    if not antialias:
        middle = np.clip(middle, 0.5, source - 0.5)
    taps = np.arange(int(np.ceil(2 * support)) + 1)
    columns = np.floor(middle - support + 0.5).astype(int)[:, None] + taps
    weights = np.clip(1 - np.abs(columns + 0.5 - middle[:, None]) / support, 0, None)
    weights[(columns < 0) | (columns >= source)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(target), len(taps))
    kept = weights.ravel() > 0
    entries = weights.ravel()[kept].astype(np.float32), (rows[kept], columns.ravel()[kept])
    return sparse.csr_array(entries, shape=(target, source), dtype=np.float32)


def _resized(stack: np.ndarray, height: int, width: int, antialias: bool) -> np.ndarray:
    """A stack (N, H, W) float32, resized to (N, height, width)."""
    down, across = _steps(stack.shape[1], height, antialias), _steps(stack.shape[2], width, antialias)
    out = np.empty((len(stack), height, width), dtype=np.float32)
    for n, picture in enumerate(stack):
        out[n] = (across @ (down @ picture).T).T
    return out


def _cut(stack: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A part of a stack (N, H, W) from the pixel (top, left) on, (N, height, width); 0 outside the stack."""
    out = np.zeros((len(stack), height, width), dtype=stack.dtype)
    rows, columns = (slice(max(-at, 0), min(size, of - at)) for at, size, of in
                     ((top, height, stack.shape[1]), (left, width, stack.shape[2])))  # fmt: skip
    there = stack[:, rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    out[:, rows, columns] = there
    return out


def to_model(pixels: np.ndarray, frame: Frame | None = None, scale: Scale | None = None) -> np.ndarray:
    """Pixels (S, H, W, 3), any intensity unit, to the network's input (S, 3, 256, 256) float32 in [0, 1.5].

    What of the frame (see `frame_of`) lies outside the slice is 0 (air); `to_source` undoes crop and resizing. frame and
    scale: those of the whole scan, where some of its slices are given.
    """
    scale = scale or landmark_scale(pixels)
    f = frame or frame_of(pixels)
    alone = pixels.strides[-1] == 0  # one grey stack seen as three
    out = np.empty((len(pixels), pixels.shape[-1], SIZE, SIZE), dtype=np.float32)
    for c in range(1 if alone else pixels.shape[-1]):  # one at a time: a photograph is large
        stack = normalise(pixels[..., c : c + 1], scale[c : c + 1])[..., 0]
        if (f.top, f.left, f.height, f.width) != (0, 0, *pixels.shape[1:3]):
            stack = _cut(stack, f.top, f.left, f.height, f.width)
        if (f.height, f.width) != (SIZE, SIZE):
            stack = _resized(stack, SIZE, SIZE, antialias=max(f.height, f.width) > SIZE)
        out[:, c] = stack
    if alone:
        out[:, 1:] = out[:, :1]
    return out


def to_source(probability: np.ndarray, size: tuple[int, int], frame: Frame | None = None) -> np.ndarray:
    """Network output (S, 1, 256, 256) float32 back to the input's own slices: (S, height, width), 0 outside the frame."""
    f = frame or Frame(0, 0, max(size), max(size))
    stack = probability[:, 0]
    if (f.height, f.width) != (SIZE, SIZE):
        stack = _resized(stack, f.height, f.width, antialias=False)
    if (f.top, f.left, f.height, f.width) != (0, 0, *size):
        stack = _cut(stack, -f.top, -f.left, *size)
    return stack

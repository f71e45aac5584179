"""What of a slice the network sees, and back: the frame around a head, the 256 x 256 input, the source's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

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


def to_model(pixels: np.ndarray, frame: Frame | None = None, scale: Scale | None = None) -> torch.Tensor:
    """Pixels (S, H, W, 3), any intensity unit, to the network's input (S, 3, 256, 256) float32 in [0, 1.5].

    What of the frame (see `frame_of`) lies outside the slice is 0 (air); `to_source` undoes crop and resizing. frame and
    scale: those of the whole scan, where some of its slices are given.
    """
    scale = scale or landmark_scale(pixels)
    f = frame or frame_of(pixels)
    height, width = pixels.shape[1:3]
    channels = []
    for c in range(1 if pixels.strides[-1] == 0 else pixels.shape[-1]):  # one at a time: a photograph is large
        x = torch.from_numpy(normalise(pixels[..., c : c + 1], scale[c : c + 1])).permute(0, 3, 1, 2)
        if (f.top, f.left, f.height, f.width) != (0, 0, height, width):  # negative padding crops
            x = F.pad(x, (-f.left, f.left + f.width - width, -f.top, f.top + f.height - height))
        if (f.height, f.width) != (SIZE, SIZE):
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=max(f.height, f.width) > SIZE)
        channels.append(x)
    return torch.cat(channels if len(channels) > 1 else channels * pixels.shape[-1], dim=1).contiguous()


def to_source(probability: torch.Tensor, size: tuple[int, int], frame: Frame | None = None) -> torch.Tensor:
    """Network output (S, 1, 256, 256) back to the input's own slices: (S, height, width), 0 outside the frame."""
    height, width = size
    f = frame or Frame(0, 0, max(size), max(size))
    if (f.height, f.width) != (SIZE, SIZE):
        probability = F.interpolate(probability, size=(f.height, f.width), mode="bilinear", align_corners=False)
    if (f.top, f.left, f.height, f.width) != (0, 0, height, width):
        probability = F.pad(probability, (f.left, width - f.left - f.width, f.top, height - f.top - f.height))
    return probability[:, 0]

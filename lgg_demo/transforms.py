"""The only way from pixels to network input and back, and the augmentation beside it.

Training, evaluation, the command line and the page all call `to_model`; there is no second copy.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import (
    Compose,
    MapTransform,
    OneOf,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandCoarseDropoutd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    Randomizable,
    RandScaleIntensityd,
    ToTensord,
)

from lgg_demo.readers import FLAIR

SIZE = 256  # side of the square the network sees, that of the dataset
CROP = 192  # side of the random crop it is trained on: three quarters of the time for the same pixels an epoch
NORMALISATION = "stack-percentile-1"  # recorded with the weights; a network is only served with its own
LOW, HIGH, CEILING = 1.0, 99.0, 1.5


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Scale each channel of a stack (S, H, W, C) to about 0..1: float32 in [0, 1.5].

    0 is the 1st percentile of all values, 1 the 99th percentile of the foreground (values above the mean), both over
    the whole stack, so that the slices of a volume keep their relation. A gain or an offset of the input changes
    nothing. A channel without contrast becomes 0.
    """
    out = np.zeros(pixels.shape, dtype=np.float32)
    for c in range(pixels.shape[-1]):
        values = pixels[..., c].astype(np.float32)
        low = np.percentile(values, LOW)
        foreground = values[values > values.mean()]
        if foreground.size == 0:
            continue
        high = np.percentile(foreground, HIGH)
        if high > low:
            out[..., c] = np.clip((values - low) / (high - low), 0.0, CEILING)
    return out


def to_model(pixels: np.ndarray) -> torch.Tensor:
    """Pixels (S, H, W, 3), any intensity unit, to the network's input (S, 3, 256, 256) float32 in [0, 1.5].

    A slice that is not square is padded at the bottom and right with 0 (air), then resized; `to_source` undoes both.
    """
    x = torch.from_numpy(normalise(pixels)).permute(0, 3, 1, 2).contiguous()
    height, width = x.shape[-2:]
    side = max(height, width)
    if height != width:
        x = F.pad(x, (0, side - width, 0, side - height))
    if side != SIZE:
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=side > SIZE, align_corners=False)
    return x


def to_source(probability: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Network output (S, 1, 256, 256) back to the input's own grid: (S, height, width), same dtype and range."""
    height, width = size
    side = max(height, width)
    if side != SIZE:
        probability = F.interpolate(probability, size=(side, side), mode="bilinear", align_corners=False)
    return probability[:, 0, :height, :width]


class RandSequencesd(Randomizable, MapTransform):
    """Copy FLAIR over pre-contrast, post-contrast or both, as the dataset does where a sequence is missing."""

    def __init__(self, keys: str, prob: float) -> None:
        MapTransform.__init__(self, keys)
        self.prob = prob

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            if self.R.random() < self.prob:
                image = d[key].clone()
                lost = [(0,), (2,), (0, 2), (0, 2)][self.R.randint(4)]
                for channel in lost:
                    image[channel] = image[FLAIR]
                d[key] = image
        return d


class RandLoneSliced(Randomizable, MapTransform):
    """Normalise a slice by itself, as the page must when somebody drops a single slice."""

    def __init__(self, keys: str, prob: float) -> None:
        MapTransform.__init__(self, keys)
        self.prob = prob

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            if self.R.random() < self.prob:
                alone = normalise(d[key].permute(1, 2, 0).numpy()[None])[0]
                d[key] = torch.from_numpy(alone).permute(2, 0, 1).contiguous()
        return d


def augmentation(seed: int, crop: int = CROP) -> Compose:
    """Random changes of one training slice: dict of `image` (3, 256, 256) and `mask` (1, 256, 256), cropped to `crop`.

    Geometry moves image and mask together; intensity moves the image alone.
    """
    both, image = ["image", "mask"], "image"
    compose = Compose(
        [
            RandLoneSliced(image, prob=0.3),
            RandSequencesd(image, prob=0.4),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            RandAffined(
                both,
                prob=1.0,
                spatial_size=(crop, crop),
                rotate_range=0.35,
                scale_range=0.25,
                shear_range=0.1,
                translate_range=36,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandScaleIntensityd(image, factors=0.25, prob=0.5),
            RandAdjustContrastd(image, gamma=(0.65, 1.5), prob=0.4),
            RandBiasFieldd(image, degree=2, coeff_range=(0.0, 0.15), prob=0.15),
            OneOf(
                [
                    RandGaussianNoised(image, prob=0.5, std=0.06),
                    RandGaussianSmoothd(image, sigma_x=(0.4, 1.2), sigma_y=(0.4, 1.2), prob=0.5),
                    RandCoarseDropoutd(image, holes=3, spatial_size=24, fill_value=0.0, prob=0.3),
                ]
            ),
            ToTensord(both, track_meta=False),
        ]
    )
    compose.set_random_state(seed=seed)
    return compose

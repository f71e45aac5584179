"""What training does to slices, so that the network meets there what users upload."""

from __future__ import annotations

import io
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    Lambdad,
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
    RandSimulateLowResolutiond,
    ToTensord,
)
from PIL import Image

from lgg_demo.intensity import CEILING, landmark_scale, normalise
from lgg_demo.network.frames import CROP, SIZE
from lgg_demo.reading.limits import FLAIR

COARSE = (0.5, 1.0)  # what is left of the pixels along a side


class RandImaged(Randomizable, MapTransform):
    """Change an image, now and then: what `change` makes of (3, H, W), whatever else the sample holds."""

    def __init__(self, keys: str, prob: float) -> None:
        MapTransform.__init__(self, keys)
        self.prob = prob

    def change(self, image: torch.Tensor) -> torch.Tensor:
        """The changed image; the one that is given stays as it is."""
        raise NotImplementedError

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            if self.R.random() < self.prob:
                d[key] = self.change(d[key])
        return d


class RandSequencesd(RandImaged):
    """Copy FLAIR over pre-contrast, post-contrast or both, as the dataset does where a sequence is missing."""

    def change(self, image: torch.Tensor) -> torch.Tensor:
        image = image.clone()
        lost = [(0,), (2,), (0, 2), (0, 2), (0, 2)][self.R.randint(5)]
        for channel in lost:
            image[channel] = image[FLAIR]
        return image


class RandLoneSliced(RandImaged):
    """Normalise a slice by itself, as the page must when somebody drops a single slice.

    It begins from the slice as its stack was normalised, which gives what its file would, but for small differences
    between the landmarks.
    """

    def change(self, image: torch.Tensor) -> torch.Tensor:
        pixels = image.permute(1, 2, 0).numpy()[None]
        return torch.from_numpy(normalise(pixels, landmark_scale(pixels))[0]).permute(2, 0, 1)


class RandSaturatedd(RandImaged):
    """Cut bright values off and stretch the rest, as a picture saved with too much gain has them."""

    def change(self, image: torch.Tensor) -> torch.Tensor:
        top = float(self.R.uniform(0.45, 1.0))
        return image.clamp(max=top) / top


class RandJPEGd(RandImaged):
    """Save and read a slice as a colour JPEG whose chroma is halved, as what people send has often been."""

    def change(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image / CEILING * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(self.R.randint(60, 96)))
        read = torch.from_numpy(np.array(Image.open(file)))
        return read.permute(2, 0, 1).float() * (CEILING / 255)


def augmentation(
    seed: int,
    crop: int = CROP,
    strength: str = "full",
    lone: float = 0.3,
    missing: float = 0.5,
    coarse: float = 0.0,
) -> Compose:
    """Random changes of one training slice: dict of `image` (3, 256, 256) and `mask` (1, 256, 256), cropped.

    Geometry moves image and mask together; intensity moves the image alone. strength: `full`; `uploads`, which has of
    intensities only what an upload has often suffered and normalisation cannot mend (saturation, JPEG); or `geometry`,
    without any. lone: share of slices normalised without their volume; missing: share that loses sequences; coarse: share
    that loses detail, as a smaller picture has.
    """
    both, image = ["image", "mask"], "image"
    sequences = [RandLoneSliced(image, prob=lone), RandSequencesd(image, prob=missing)]
    uploads = [RandSaturatedd(image, prob=0.1), RandJPEGd(image, prob=0.15)]
    geometry = [
        RandFlipd(both, prob=0.5, spatial_axis=1),
        RandAffined(
            both,
            prob=1.0,
            spatial_size=(crop, crop),
            rotate_range=0.35,
            # One range for each axis: MONAI takes a single one for the rows alone.
            scale_range=((-0.2, 0.2), (-0.2, 0.2)),
            shear_range=(0.1, 0.1),
            translate_range=(36, 36),
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
    ]
    intensity = [
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
    ]
    smaller = RandSimulateLowResolutiond(
        image, prob=coarse, zoom_range=COARSE, downsample_mode="area", upsample_mode="bilinear"
    )
    end = ToTensord(both, track_meta=False)
    before, after = (uploads if strength in ("full", "uploads") else []), (intensity if strength == "full" else [])
    compose = Compose([*sequences, *before, *geometry, *after, smaller, end])
    compose.set_random_state(seed=seed)
    return compose


def _above_half(mask: torch.Tensor) -> torch.Tensor:
    return (mask > 0.5).float()


def report_augmentation(seed: int) -> Compose:
    """The report's changes of one training slice: dict of `image` (3, 256, 256) and `mask` (1, 256, 256), float32.

    Keras's ImageDataGenerator: rotation to 0.2 and shear to 0.05, both in degrees, which is next to nothing; shifts to
    5 % of the side; zoom to 5 %, height and width apart; a mirror image half of the time; what comes from outside is the
    nearest edge. Image and mask move together, both between pixels, and the mask is cut at 0.5 again.
    """
    both = ["image", "mask"]
    shift = 0.05 * SIZE
    compose = Compose(
        [
            RandAffined(
                both,
                prob=1.0,
                spatial_size=(SIZE, SIZE),
                rotate_range=math.radians(0.2),
                shear_range=math.tan(math.radians(0.05)),
                translate_range=(shift, shift),  # one number alone would be that of the rows
                scale_range=(0.05, 0.05),
                mode="bilinear",
                padding_mode="border",
                cache_grid=True,
            ),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            ToTensord(both, track_meta=False),
            Lambdad("mask", _above_half, track_meta=False),
        ]
    )
    compose.set_random_state(seed=seed)
    return compose

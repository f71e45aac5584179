"""What training does to slices, so that the network meets there what users upload."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
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
    RandSimulateLowResolutiond,
    ToTensord,
)
from PIL import Image
from scipy import ndimage

from lgg_demo.intensity import CEILING, NORMALISATION, NORMALISATIONS, Scale, landmark_scale, normalise
from lgg_demo.network.frames import CROP
from lgg_demo.reading.limits import FLAIR

FAINT_CONTRAST = (0.3, 1.0)  # what is left of a lesion's contrast
COARSE = (0.5, 1.0)  # what is left of the pixels along a side
FAINT_RING, FAINT_TISSUE, FAINT_PIXELS = 8, 0.1, 20  # its surroundings: so wide, brighter than air, no fewer pixels


# All of the augmentation; of intensities only what an upload has often suffered and normalisation cannot mend (saturation,
# JPEG); none of intensities; mirror and shift alone.
STRENGTHS = ("full", "uploads", "geometry", "mirror")


class RandImaged(Randomizable, MapTransform):
    """Change an image, now and then: what `change` makes of (3 + 6 context, H, W), whatever else the sample holds."""

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
            image[channel::3] = image[FLAIR::3]  # in the slice and its neighbours
        return image


class RandLoneSliced(RandImaged):
    """Normalise a slice by itself and make it its own neighbour, as the page must when somebody drops a single slice.

    It begins from the slice as its stack was normalised, which gives what its file would, but for small differences
    between the landmarks.
    """

    def __init__(self, keys: str, prob: float, scale_of: Callable[[np.ndarray], Scale] = landmark_scale) -> None:
        super().__init__(keys, prob)
        self.scale_of = scale_of

    def change(self, image: torch.Tensor) -> torch.Tensor:
        pixels = image[:3].permute(1, 2, 0).numpy()[None]
        alone = normalise(pixels, self.scale_of(pixels))[0]
        return torch.from_numpy(alone).permute(2, 0, 1).repeat(len(image) // 3, 1, 1)


class RandFaintd(Randomizable, MapTransform):
    """Take part of a lesion's contrast to its surroundings away, its borders and texture kept.

    Faint lesions are few in the dataset, and what a network trained on it misses most. Samples hold `image` and `mask`.
    """

    def __init__(self, prob: float) -> None:
        MapTransform.__init__(self, ["image", "mask"])
        self.prob = prob

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        inside = d["mask"][0].numpy() > 0.5
        if self.R.random() >= self.prob or inside.sum() < FAINT_PIXELS:
            return d
        lost = 1 - float(self.R.uniform(*FAINT_CONTRAST))
        rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
        box = tuple(slice(max(int(p[0]) - FAINT_RING - 4, 0), int(p[-1]) + FAINT_RING + 5) for p in (rows, columns))
        inside = inside[box]
        soft = torch.from_numpy(ndimage.gaussian_filter(inside.astype(np.float32), 1.5))
        ring = ndimage.binary_dilation(inside, iterations=FAINT_RING) & ~ndimage.binary_dilation(inside, iterations=2)
        image = d["image"].clone()
        for channel in image:
            x = channel[box]
            around = x.numpy()[ring & (x.numpy() > FAINT_TISSUE)]
            if around.size >= FAINT_PIXELS:
                x -= lost * float(np.median(x.numpy()[inside]) - np.median(around)) * soft
        d["image"] = image.clamp(0, CEILING)
        return d


class RandSaturatedd(RandImaged):
    """Cut bright values off and stretch the rest, as a picture saved with too much gain has them."""

    def change(self, image: torch.Tensor) -> torch.Tensor:
        top = float(self.R.uniform(0.45, 1.0))
        return image.clamp(max=top) / top


class RandJPEGd(RandImaged):
    """Save and read a slice as a colour JPEG whose chroma is halved, as what people send has often been."""

    def change(self, image: torch.Tensor) -> torch.Tensor:
        quality = int(self.R.randint(60, 96))
        return torch.cat([_through_jpeg(one, quality) for one in torch.split(image, 3)])


def _through_jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """(3, H, W) float32 in [0, 1.5], with the losses of JPEG."""
    levels = (image / CEILING * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    read = torch.from_numpy(np.array(Image.open(file)))
    return read.permute(2, 0, 1).float() * (CEILING / 255)


def augmentation(
    seed: int,
    crop: int = CROP,
    strength: str = "full",
    lone: float = 0.3,
    missing: float = 0.5,
    faint: float = 0.0,
    coarse: float = 0.0,
    normalisation: str = NORMALISATION,
    zoom: float = 1.0,
) -> Compose:
    """Random changes of one training slice: dict of `image` (3 + 6 context, 256, 256) and `mask` (1, 256, 256), cropped.

    Geometry moves image and mask together; intensity moves the image alone. strength: one of STRENGTHS; lone: share of
    slices normalised without their volume, by `normalisation`; missing: share of slices that lose sequences; faint: share
    of slices whose lesion loses contrast; coarse: share of slices that lose detail, as a smaller picture has; zoom: 2 makes
    everything twice as large before it is cropped, beside what chance adds.
    """
    both, image = ["image", "mask"], "image"
    sequences = [
        RandFaintd(prob=faint),
        RandLoneSliced(image, prob=lone, scale_of=NORMALISATIONS[normalisation]),
        RandSequencesd(image, prob=missing),
    ]
    uploads = [RandSaturatedd(image, prob=0.1), RandJPEGd(image, prob=0.15)]
    moved = 1.0 if strength != "mirror" else 0.0
    # Of the sampled grid, so that less than 1 enlarges; MONAI takes what is to be added to 1.
    scale = ((1 - 0.2 * moved) / zoom - 1, (1 + 0.2 * moved) / zoom - 1)
    geometry = [
        RandFlipd(both, prob=0.5, spatial_axis=1),
        RandAffined(
            both,
            prob=1.0,
            spatial_size=(crop, crop),
            rotate_range=0.35 * moved,
            # One number for each axis: MONAI takes a single one for the rows alone.
            scale_range=(scale, scale),
            shear_range=(0.1 * moved, 0.1 * moved),
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

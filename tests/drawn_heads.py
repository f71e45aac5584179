"""Synthetic heads: drawn FLAIR-like slices with a lesion and its mask, for examples, tests and pictures of the page.

Nothing here comes from a patient. An ellipsoid head with scalp, skull, cortex, white matter and ventricles, a smooth
random texture and a lesion with an uneven edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Phantom:
    """flair: (S, H, W) uint8. mask: (S, H, W) bool, the lesion."""

    flair: np.ndarray
    mask: np.ndarray


# Centre (x, y, z) and radii of the lesion as shares of the half-width, and the seed of the texture.
LESIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], int]] = {
    "frontal": ((-0.36, -0.30, 0.0), (0.20, 0.24, 0.55), 3),
    "parietal": ((0.38, 0.22, 0.15), (0.22, 0.20, 0.45), 7),
}


def draw_head(slices: int = 1, size: int = 256, lesion: str | None = "frontal", seed: int = 0) -> Phantom:
    """Draw axial slices (nose up), evenly spaced through the middle half of a head.

    lesion: a name of LESIONS, or None for a head without one. The same arguments give the same pixels.
    """
    z = np.linspace(-0.5, 0.5, slices) if slices > 1 else np.zeros(1)
    y, x = np.mgrid[:size, :size] / (size / 2) - 1
    z3, y3, x3 = (np.broadcast_to(a, (slices, size, size)) for a in (z[:, None, None], y[None], x[None]))
    rng = np.random.default_rng(seed)

    def texture(sigma: float) -> np.ndarray:
        depth = max(slices // 6, 1)
        field = gaussian_filter(rng.standard_normal((slices, size, size)), (depth, sigma * size / 256, sigma * size / 256))
        return np.asarray(field / max(field.std(), 1e-9))

    wobble = 0.015 * texture(18)
    radius = np.sqrt((x3 / 0.72) ** 2 + (y3 / 0.88) ** 2 + (z3 / 0.95) ** 2) + wobble
    ribbon = np.sqrt((x3 / 0.72) ** 2 + (y3 / 0.88) ** 2 + (z3 / 0.95) ** 2) + 0.05 * texture(7)
    image = np.zeros((slices, size, size))
    image[radius < 1.0] = 150  # scalp
    image[radius < 0.955] = 22  # skull
    image[radius < 0.91] = 35  # cerebrospinal fluid
    brain = radius < 0.885
    image[brain] = 92  # cortex
    image[brain & (ribbon < 0.76)] = 82  # white matter
    fissure = brain & (np.abs(x3 + 0.01 * texture(12)) < 0.008) & (np.abs(y3) > 0.34)
    image[fissure] = 40
    for side in (-1, 1):
        horn = ((x3 - side * (0.10 + 0.12 * np.abs(y3))) / 0.055) ** 2 + (y3 / 0.30) ** 2 + (z3 / 0.5) ** 2
        image[brain & (horn < 1)] = 28

    mask = np.zeros(image.shape, dtype=bool)
    if lesion is not None:
        (cx, cy, cz), (rx, ry, rz), own_seed = LESIONS[lesion]
        rng = np.random.default_rng(own_seed)
        distance = np.sqrt(((x3 - cx) / rx) ** 2 + ((y3 - cy) / ry) ** 2 + ((z3 - cz) / rz) ** 2) + 0.10 * texture(9)
        mask = (distance < 1) & brain
        soft = gaussian_filter(mask.astype(float), (0, 1.5, 1.5))
        image = image * (1 - soft) + (168 + 8 * texture(6)) * soft

    image = gaussian_filter(image, (0, 0.9, 0.9)) * (1 + 0.04 * texture(4)) * (1 + 0.05 * texture(60))
    noisy = np.hypot(image + 2.5 * rng.standard_normal(image.shape), 2.5 * rng.standard_normal(image.shape))  # Rician
    return Phantom(np.clip(noisy, 0, 255).astype(np.uint8), mask)


def write_phantom(folder: Path, name: str, phantom: Phantom) -> list[Path]:
    """Write grey PNG slices, and the masks where there is a lesion, as NAME.png or NAME_1.png, ...; returns the images."""
    images = []
    for s, (flair, mask) in enumerate(zip(phantom.flair, phantom.mask, strict=True), 1):
        stem = name if len(phantom.flair) == 1 else f"{name}_{s}"
        images.append(folder / f"{stem}.png")
        Image.fromarray(flair).save(images[-1])
        if phantom.mask.any():
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{stem}_mask.png")
    return images

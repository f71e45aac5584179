"""Distances between the surfaces of two masks: the 95th percentile of Hausdorff's, and surface Dice."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lgg_demo.measure.overlap import bounding_box

SURFACE_TOLERANCE_MM = 2.0  # two readers' outlines of one lesion lie about this far apart


def surface_distances(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """From each surface voxel of one mask (S, H, W) to the nearest of the other, in mm; predicted to reference, and back.

    Both must hold something. A surface is the voxels of a mask that have one outside beside a face; `spacing` (z, y, x).
    As MONAI's `get_surface_distance`, but from a distance map: the time of MONAI's search tree grows beyond bounds where
    the surfaces are large and far apart, which a threshold of 0 is enough for.
    """
    box = bounding_box(predicted | reference)
    masks = [np.pad(mask[box], 1) for mask in (predicted, reference)]
    first, second = (mask ^ ndimage.binary_erosion(mask) for mask in masks)
    there = ndimage.distance_transform_edt(~second, sampling=spacing)[first]
    back = ndimage.distance_transform_edt(~first, sampling=spacing)[second]
    return np.asarray(there), np.asarray(back)


def hausdorff95(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> float:
    """95th percentile of the distances between the surfaces of two masks (S, H, W), in the unit of `spacing` (z, y, x).

    Voxels by default, where a dataset gives no spacing. The larger of both directions, as MONAI's
    `compute_hausdorff_distance`. Infinite where one mask is empty, 0 where both are.
    """
    if not predicted.any() or not reference.any():
        return math.inf if predicted.any() or reference.any() else 0.0
    return max(float(np.percentile(d, 95)) for d in surface_distances(predicted, reference, spacing))


def surface_dice(
    predicted: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    tolerance: float = SURFACE_TOLERANCE_MM,
) -> float:
    """Normalised surface Dice of a volume (S, H, W): the share of both surfaces within `tolerance` mm of the other.

    Nikolov et al. 2021 (doi:10.2196/26151), counted in surface voxels as MONAI's `compute_surface_dice`; `spacing`
    (z, y, x) in mm. 1 where both masks are empty, 0 where one is.
    """
    if not predicted.any() or not reference.any():
        return float(not predicted.any() and not reference.any())
    distances = np.concatenate(surface_distances(predicted, reference, spacing))
    return float((distances <= tolerance).mean())

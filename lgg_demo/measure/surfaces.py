"""Distances between the surfaces of two masks: the 95th percentile of Hausdorff's, and surface Dice."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from lgg_demo.measure.overlap import bounding_box

SURFACE_TOLERANCE_MM = 2.0  # two readers' outlines of one lesion lie about this far apart


def hausdorff95_px(predicted: np.ndarray, reference: np.ndarray) -> float:
    """95th percentile of the distances between the two surfaces of a volume (S, H, W), in pixels, one slice a pixel.

    The dataset gives no spacing, so the distance between slices counts as one pixel. Infinite where one is empty, 0
    where both are.
    """
    if not predicted.any() or not reference.any():
        return math.inf if predicted.any() or reference.any() else 0.0
    box = bounding_box(predicted | reference)  # the distance needs no more than the box around both
    pair = [torch.from_numpy(np.ascontiguousarray(np.pad(a[box], 1)))[None, None].float() for a in (predicted, reference)]
    with warnings.catch_warnings():  # MONAI 1.6 warns of its own argument
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(pair[0], pair[1], include_background=True, percentile=95)[0, 0])


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


def hausdorff95_mm(predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """95th percentile of the distances between the two surfaces of a volume (S, H, W); `spacing` (z, y, x) in mm.

    The larger of both directions, as MONAI's `compute_hausdorff_distance`. Infinite where one mask is empty, 0 where both
    are.
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

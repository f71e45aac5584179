"""Distances between the surfaces of two masks: the 95th percentile of Hausdorff's, and surface Dice."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lgg_demo.measure.overlap import bounding_box

SURFACE_TOLERANCE_MM = 2.0  # two readers' outlines of one lesion lie about this far apart
SLACK = 1e-9  # mm: a distance that is the tolerance stays so, whatever floats make of it


def compare_surfaces(
    predicted: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    tolerance: float = SURFACE_TOLERANCE_MM,
) -> tuple[float, float]:
    """Hausdorff 95 and normalised surface Dice of two masks (S, H, W), by the distances between their surfaces.

    spacing: (z, y, x) in mm; voxels where a dataset gives none. The distance is the larger 95th percentile of both
    directions, as MONAI's `compute_hausdorff_distance` has it: infinite where one mask is empty, 0 where both are. The Dice
    is the share of both surfaces within `tolerance` of the other (Nikolov et al. 2021, doi:10.2196/26151), counted in
    surface voxels as MONAI's `compute_surface_dice`: 0 where one is empty, 1 where both are.
    """
    if not predicted.any() or not reference.any():
        return (math.inf, 0.0) if predicted.any() or reference.any() else (0.0, 1.0)
    there, back = surface_distances(predicted, reference, spacing)
    farthest = max(float(np.percentile(distances, 95)) for distances in (there, back))
    return farthest, float((np.concatenate([there, back]) <= tolerance + SLACK).mean())


def finite(distance: float) -> float | None:
    """A distance as JSON can hold it."""
    return distance if math.isfinite(distance) else None


def surface_distances(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """From each surface voxel of one mask (S, H, W) to the nearest of the other, in mm; predicted to reference, and back.

    Both must hold something. A surface is the voxels of a mask that have one outside beside a face. As MONAI's
    `get_surface_distance`, but from a distance map: the time of MONAI's search tree grows beyond bounds where the surfaces
    are large and far apart, which a threshold of 0 is enough for.
    """
    box = bounding_box(predicted | reference)
    masks = [np.pad(mask[box], 1) for mask in (predicted, reference)]
    first, second = (mask ^ ndimage.binary_erosion(mask) for mask in masks)
    there = ndimage.distance_transform_edt(~second, sampling=spacing)[first]
    back = ndimage.distance_transform_edt(~first, sampling=spacing)[second]
    return np.asarray(there), np.asarray(back)

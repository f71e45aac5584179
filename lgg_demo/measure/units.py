"""Pixels in mm² and voxels in mL, on a physical grid."""

from __future__ import annotations

import numpy as np

from lgg_demo.grid import Grid
from lgg_demo.rounding import rounded


def pixel_mm2(grid: Grid) -> float:
    """The area of a pixel of an axial slice."""
    _, down, right = grid.stack_affine[:3, :3].T
    return float(np.linalg.norm(np.cross(down, right)))


def area_mm2(pixels: int, grid: Grid) -> float:
    """The area of some pixels of an axial slice as every output has it, to a hundredth of a mm²."""
    return rounded(pixels * pixel_mm2(grid), 2)


def voxel_ml(grid: Grid) -> float:
    """The volume of a voxel in millilitres."""
    return abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000

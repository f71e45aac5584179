"""A phantom study with a made-up prediction, which no network has to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_heads import draw_head
from scipy.ndimage import gaussian_filter

from lgg_demo.case import Case, Scan
from lgg_demo.grid import Grid
from lgg_demo.output.result import Result, result_of


def study(slices: int = 12, size: int = 96, seed: int = 0, known: bool = True, grid: bool = True) -> tuple[Case, Result]:
    """A phantom in three sequences with a probability that somebody made up: a soft, shifted lesion."""
    head = draw_head(slices, size, seed=seed)
    pixels = np.stack([0.7 * head.flair, head.flair, np.sqrt(head.flair) * 16], axis=-1).astype(np.float32)
    soft = gaussian_filter(np.roll(head.mask.astype(float), (2, 3), (1, 2)), (0.7, 3, 3))
    probability = np.clip(soft * 290, 0, 255).astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    own = Grid((size, size, slices), affine) if grid else None
    scan = Scan(pixels, "study", (("study.nii.gz", slices),), False, own)
    case = Case(scan, (Path("study.nii.gz"),), head.mask if known else None, np.ones(slices, bool) if known else None)
    return case, result_of(case, probability)

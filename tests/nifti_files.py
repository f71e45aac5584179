"""NIfTI files drawn for the tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from dicom_files import SPACING, STACK
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from lgg_demo.case import Volume
from lgg_demo.grid import AXES
from lgg_demo.reading.nifti import find_nifti


def read_nifti(path: Path) -> list[Volume]:
    return [found.load() for found in find_nifti(path)]


def turned(codes: str, stack: np.ndarray = STACK, spacing: tuple[float, ...] = SPACING) -> tuple[np.ndarray, np.ndarray]:
    """The stack as an array of an orientation, and its affine."""
    affine = np.array([[0, 0, -spacing[2], 110], [0, -spacing[1], 0, 115], [spacing[0], 0, 0, -40], [0, 0, 0, 1.0]])
    turn = ornt_transform(axcodes2ornt(AXES), axcodes2ornt(tuple(codes)))
    return apply_orientation(stack, turn), affine @ inv_ornt_aff(turn, stack.shape)


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path

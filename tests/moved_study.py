"""A study in which the patient has moved, made of the synthetic patients."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from lgg_demo.page.patients import HERE

STILL = (0.0, 0.0, 0.0)
AWAY = (6.0, -6.0, 3.0)  # mm, together 9
OTHER = "two_lesions/sub-synthetic2"


def moved_study(folder: Path, mm: tuple[float, float, float] = AWAY, whose: str = "growing/sub-synthetic1") -> list[Path]:
    """The FLAIR of a synthetic patient beside a T1, as `x_flair` and `x_t1`, whose header lays it so many mm away."""
    files = [folder / "x_flair.nii.gz", folder / "x_t1.nii.gz"]
    shutil.copy(HERE / "growing" / "sub-synthetic1_ses-1_FLAIR.nii.gz", files[0])
    image = nib.load(HERE / f"{whose}_ses-1_T1w.nii.gz")
    affine = image.affine.copy()
    affine[:3, 3] += mm
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), files[1])
    return files

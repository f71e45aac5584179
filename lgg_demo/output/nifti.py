"""A mask or probability as NIfTI, placed as its input is."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from lgg_demo.grid import NIFTI_FORMS, Grid, without_shear

SLIGHT_SHEAR = 0.1  # of the shortest side of a voxel: how far the corners of a grid may move to have right angles
_SHORT = (-(2**15), 2**15 - 1)


def write_nifti(path: Path, values: np.ndarray, grid: Grid, slope: float | None = None) -> None:
    """Whole numbers on the input's own grid, (*grid.shape), as uint8, placed as the input is.

    A NIfTI's own forms and codes are copied as they stand, see `Grid.forms`: which of the two counts differs from program
    to program, and each lays the mask where it lays the image. slope: what software multiplies the stored numbers by; a
    quantised probability reads as 0 to 1. Raises OSError where the file cannot be written.
    """
    # Without an affine of its own nibabel leaves the header alone, also codes that it does not know.
    image = nib.Nifti1Image(values.astype(np.uint8), None)
    header = image.header
    for field, value in (_forms_of(grid) if grid.forms is None else grid.forms).items():
        if field == "pixdim":  # the sign of the third axis and three lengths; the rest is of other dimensions
            header[field][:4] = value[:4]
        elif field.endswith("_code"):
            header[field] = np.clip(value, *_SHORT)  # NIfTI-2 has longer ones
        else:
            header[field] = value
    if slope is not None:
        header.set_slope_inter(slope, 0)
    nib.save(image, path)


def _forms_of(grid: Grid) -> dict[str, np.ndarray]:
    """The forms of a DICOM series, both of code 1 (scanner).

    ITK's programs refuse a sform that is sheared and take the qform then, nibabel and most others the sform. So the sform
    says the truth, and the qform has the right angles, the origin and the steps' length that ITK's own reader of the series
    has, so that mask and image lie on each other in both. Where the shear is only of rounded positions neither has it.
    """
    upright = without_shear(grid.affine)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*np.subtract(grid.shape, 1), 1]
    moved = np.linalg.norm(corners @ (upright - grid.affine).T, axis=1).max()
    slight = moved < SLIGHT_SHEAR * np.linalg.norm(grid.affine[:3, :3], axis=0).min()
    header = nib.Nifti1Header()
    header.set_data_shape(grid.shape)
    header.set_qform(upright, 1)
    header.set_sform(upright if slight else grid.affine, 1)
    header.set_xyzt_units("mm")
    return {field: header[field] for field in NIFTI_FORMS}

"""Where a stack of slices lies in the patient and in its own file.

A volume of any orientation is turned, voxel by voxel and without resampling, into the stack the network was trained on:
axial slices from the feet up, nose up, the patient's right on the image's left. `Grid` remembers the turn, so that a mask
goes back to the input's own grid exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

AXES = ("S", "P", "L")  # what the stack's indices grow towards: slice, row, column
THICK = 1.5  # a voxel longer than this against its shortest side shows the direction of the slices
EVEN = 0.2  # of the distance between slices: by how much the distances of a series may differ
NIFTI_FORMS = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x",
    "srow_y", "srow_z", "pixdim", "xyzt_units",
)  # fmt: skip


def places_of(steps: np.ndarray) -> np.ndarray | None:
    """Which place of an even series each of N slices has, (N,) int from 0, by the distances between neighbours (N - 1,).

    None where the distances are no multiples of one, or more is missing than is there.
    """
    one = float(np.median(steps[steps < 1.5 * steps.min()]))
    times = np.round(steps / one)
    if np.abs(steps - times * one).max() > EVEN * one or times.sum() > 2 * len(steps):
        return None
    return np.concatenate([[0], np.cumsum(times.astype(int))])


def slanted_axis(matrix: np.ndarray) -> tuple[int, np.ndarray]:
    """Which axis of a matrix (3, 3) of columns leaves the right angles to the other two, and the unit normal (3,) to those,
    on its side.

    A tilt of the gantry slants the axis of the slices towards one of the plane; from the angle alone it might be either, so
    that the longer one is taken, as slices are thick, and of equal ones the last, as files have their slices there.
    """
    sizes = np.linalg.norm(matrix, axis=0)
    axes = matrix / sizes
    others = ((1, 2), (0, 2), (0, 1))
    cosines = [abs(float(axes[:, a] @ axes[:, b])) for a, b in others]
    square = [axis for axis in range(3) if cosines[axis] < min(cosines) + 0.01]  # the other two are
    axis = max(square, key=lambda axis: (round(float(sizes[axis]), 2), axis))
    a, b = others[axis]
    normal = np.cross(axes[:, a], axes[:, b])
    normal /= np.linalg.norm(normal)
    return axis, normal if normal @ axes[:, axis] > 0 else -normal


def without_shear(affine: np.ndarray) -> np.ndarray:
    """An affine (4, 4) as close as right angles allow: where a DICOM reader of ITK lays the same series.

    The first voxel, the plane of the slices and every step's length stay; the slanted axis is turned onto the normal of the
    other two, which share what they lack of a right angle.
    """
    matrix = affine[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    axis, normal = slanted_axis(matrix)
    plane = [a for a in range(3) if a != axis]
    left, _, right = np.linalg.svd(matrix[:, plane] / sizes[plane], full_matrices=False)
    upright = affine.copy()
    upright[:3, plane] = left @ right * sizes[plane]
    upright[:3, axis] = normal * sizes[axis]
    return np.asarray(upright)


def corners(shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """The corners of an array as homogeneous indices, (8, 4): from 0 to the shape."""
    return np.array([(*corner, 1) for corner in product(*((0, n) for n in shape))])


@dataclass(frozen=True)
class Grid:
    """The input's own voxel grid.

    shape: of the input's own array, three axes. affine: (4, 4) float64 from its indices to millimetres, RAS+ as NIfTI
    has it. measured: False where the file does not say how large a voxel is and 1 mm stands in: enough to know up from
    down, not to measure by. thickness_known: False where 1 mm stands in between slices alone. forms: of a NIfTI the
    header's fields that say where its voxels lie (`NIFTI_FORMS`), as they stand there, whatever they are worth: what is
    written back has the same, so that every program lays it where it lays the input. None for DICOM.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    measured: bool = True
    thickness_known: bool = True
    forms: Mapping[str, np.ndarray] | None = None

    @property
    def physical(self) -> Grid | None:
        """The grid itself where its millimetres may be measured by, else None."""
        return self if self.measured and self.thickness_known else None

    @property
    def _turn(self) -> np.ndarray:
        return np.asarray(ornt_transform(io_orientation(self.affine), axcodes2ornt(AXES)))

    def to_stack(self, volume: np.ndarray) -> np.ndarray:
        """The input's own array, (*shape) or (*shape, C), as axial slices (S, H, W) or (S, H, W, C)."""
        return np.asarray(apply_orientation(volume, self._turn))

    def to_own(self, stack: np.ndarray) -> np.ndarray:
        """A stack (S, H, W) back on the input's own grid, (*shape)."""
        back = ornt_transform(axcodes2ornt(AXES), io_orientation(self.affine))
        return np.asarray(apply_orientation(stack, back))

    @property
    def stack_shape(self) -> tuple[int, int, int]:
        """(slices, height, width) of the stack."""
        s, h, w = self.to_stack(np.broadcast_to(np.uint8(0), self.shape)).shape
        return s, h, w

    @property
    def stack_affine(self) -> np.ndarray:
        """(4, 4) from the stack's indices (slice, row, column) to millimetres, RAS+."""
        return np.asarray(self.affine @ self.from_stack)

    @property
    def from_stack(self) -> np.ndarray:
        """(4, 4) from the stack's indices (slice, row, column) to those of the input's own array."""
        return np.asarray(inv_ornt_aff(self._turn, self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between slices, rows and columns of the stack.

        Where the slices are sheared (a gantry tilt) the distance between them is that along their normal, which is less
        than the length of the slanted axis.
        """
        matrix = self.affine[:3, :3]
        sizes = np.linalg.norm(matrix, axis=0)
        axis, normal = slanted_axis(matrix)
        sizes[axis] = normal @ matrix[:, axis]
        s, h, w = (float(sizes[own]) for own in np.argsort(self._turn[:, 0]))
        return s, h, w

    def holds(self, other: Grid) -> bool:
        """Whether every voxel of another grid lies on this one's lattice, as a DICOM segmentation's of some slices does."""
        matrix = np.linalg.inv(self.affine) @ other.affine
        places = (corners(other.shape) @ matrix.T)[:, :3]
        whole = np.abs(np.sort(np.abs(matrix[:3, :3]), axis=0) - [[0], [0], [1]]).max() < 0.01
        return bool(whole and np.abs(places - np.round(places)).max() < 0.1)

    @property
    def slice_direction(self) -> str | None:
        """The plane the volume was acquired in: axial, coronal or sagittal; None where its voxels do not tell."""
        sizes = np.array(self.spacing_mm)
        if sizes.max() < THICK * sizes.min():
            return None
        return ("axial", "coronal", "sagittal")[int(sizes.argmax())]

    @property
    def tilt_degrees(self) -> float:
        """The angle between the stack's slices and the true axial plane."""
        normal = self.stack_affine[:3, 0]
        return float(np.degrees(np.arccos(min(1.0, abs(normal[2]) / max(float(np.linalg.norm(normal)), 1e-9)))))

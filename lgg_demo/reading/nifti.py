"""NIfTI: the volumes that a header promises, and their voxels in the units of the file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat

from lgg_demo.case import Found, ReadError, Volume
from lgg_demo.grid import NIFTI_FORMS, Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.layout import nifti_name
from lgg_demo.reading.limits import (
    FARTHEST_VOXELS,
    MOST_BYTES,
    MOST_VOLUMES,
    MOST_VOXELS,
    NIFTI_SUFFIXES,
    SMALLEST_SIDE,
    VOXEL_MM,
)
from lgg_demo.reading.names import describe
from lgg_demo.reading.volumes import check_grid, darken_outside, guard, mend, one_sentence, opened

UNITS_MM = {1: 1000.0, 3: 0.001}  # a unit of length in the header; anything but metres and micrometres is millimetres
_COLOURS = (128, 2304)  # types of voxels: RGB, RGBA
_PIECE = 4_000_000  # values read at a time


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its content, or says so by its suffix."""
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return True
    try:
        return _header(path) is not None
    except (OSError, EOFError, zlib.error, ValueError):
        return False


def _header(path: Path) -> nib.Nifti1Header | None:
    """A file's header as it stands there, NIfTI-1 or NIfTI-2; None where it has none."""
    with opened(path) as file:
        head = file.read(540)
    if head[344:347] == b"n+1" and len(head) >= 348:
        return nib.Nifti1Header(head[:348], check=False)
    return nib.Nifti2Header(head, check=False) if head[4:7] == b"n+2" and len(head) == 540 else None


def find_nifti(path: Path) -> list[Found]:
    """The volumes that a NIfTI header promises, several where it is 4-D or 5-D, eight at most. Raises ReadError."""
    with one_sentence(path.name):
        guard(path)
        header = _header(path)
        if header is None:
            raise ReadError(path.name, "not_a_nifti")
        voxels = _voxels(path, header)
        grid, warnings = _nifti_grid(path.name, header, voxels.shape)
        check_grid(path.name, grid)
        voxels.check()
        if voxels.volumes > 1:
            warnings += (Sentence("volumes_several", {"file": path.name, "volumes": voxels.volumes}),)
        scale = _scale(header)
        return [_promise(voxels, n, grid, scale, warnings) for n in range(min(voxels.volumes, MOST_VOLUMES))]


def _promise(voxels: _Voxels, number: int, grid: Grid, scale: tuple[float, float], warnings: tuple[Sentence, ...]) -> Found:
    """One volume of a file. scale: slope and intercept."""
    path, name = voxels.path, nifti_name(voxels.path)
    own, description = name if voxels.volumes == 1 else f"{name}-{number + 1}", describe(name)

    def load() -> Volume:
        with one_sentence(path.name):
            values = voxels.read(number)
            if scale != (1.0, 0.0):
                values *= np.float32(scale[0])
                values += np.float32(scale[1])
            mended = mend(path.name, values, most=0)  # beside the labels of a mask it is background
            darken_outside(values)
            told = (Sentence("not_finite", {"file": path.name, "count": mended}),) if mended else ()
            return Volume(values, grid, own, description, "flair", (path,), (), warnings + told)

    return Found(own, description, None, "", (path,), grid, load, False, number, warnings)


def _scale(header: nib.Nifti1Header) -> tuple[float, float]:
    """Slope and intercept; a slope that is none counts for nothing, and so does its intercept."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0


@dataclass(frozen=True)
class _Voxels:
    """Where a file has its voxels: from `offset` on, so many volumes of a shape, one after the other or, where they are
    mixed, value by value.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, int, int]
    volumes: int
    mixed: bool
    offset: int

    def check(self) -> None:
        """Raise ReadError where there are more than fit into memory, or than the file has."""
        nbytes = math.prod(self.shape) * self.dtype.itemsize * (self.volumes if self.mixed else 1)
        if nbytes > MOST_BYTES:
            raise ReadError(self.path.name, "too_much_at_once")
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if not packed and self.path.stat().st_size < self.offset + nbytes:
            raise ReadError(self.path.name, "damaged")

    def read(self, number: int) -> np.ndarray:
        """One volume as float32, read piece by piece: no more is unpacked than the header promises. Raises ReadError."""
        values = np.empty(math.prod(self.shape), dtype=np.float32)
        step, first = (self.volumes, number) if self.mixed else (1, 0)
        with opened(self.path) as file:
            file.seek(self.offset + (0 if self.mixed else number * values.size * self.dtype.itemsize))
            for start in range(0, values.size, _PIECE // step):
                piece = values[start : start + _PIECE // step]
                data = file.read(piece.size * step * self.dtype.itemsize)
                if len(data) < piece.size * step * self.dtype.itemsize:
                    raise ReadError(self.path.name, "damaged")
                piece[:] = np.frombuffer(data, self.dtype)[first::step]
        return values.reshape(self.shape, order="F")


def _voxels(path: Path, header: nib.Nifti1Header) -> _Voxels:
    """What a header says of its voxels. Raises ReadError where it cannot be, or is in colour."""
    if int(header["datatype"]) in _COLOURS:
        raise ReadError(path.name, "volume_colour")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ReadError(path.name, "not_a_nifti")
    axes, *dims = (int(d) for d in header["dim"])
    if not 2 <= axes <= 7 or min(dims[:axes]) < 1:
        raise ReadError(path.name, "damaged")
    sides = [*dims[:axes], 1][: max(3, axes)]
    # Channels before the voxels' axes, as training code saves them: the affine is that of the voxels all the same.
    mixed = len(sides) == 4 and sides[0] <= MOST_VOLUMES and min(sides[1:3]) >= SMALLEST_SIDE
    first, second, third, *more = [*sides[1:], sides[0]] if mixed else sides
    if first * second * third > MOST_VOXELS:
        raise ReadError(path.name, "too_much_at_once")
    offset = int(header.get_data_offset())
    if not len(header.binaryblock) <= offset <= FARTHEST_VOXELS:
        raise ReadError(path.name, "damaged")
    return _Voxels(path, dtype, (first, second, third), math.prod(more), mixed, offset)


def _nifti_grid(file: str, header: nib.Nifti1Header, shape: tuple[int, int, int]) -> tuple[Grid, tuple[Sentence, ...]]:
    """Where the voxels lie, in mm: by sform, qform, or, with a warning, the voxel sizes alone.

    A sform comes first, as in the standard and most programs, whatever the number of its code.
    """
    codes = int(header["sform_code"]), int(header["qform_code"])
    unit = UNITS_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    by_sform, by_qform, base = _placed(header, codes, shape, unit)
    warnings = []
    if unit != 1 and not (by_sform or by_qform or (max(codes) <= 0 and base)):
        by_sform, by_qform, base = _placed(header, codes, shape, 1.0)
        warnings.append(Sentence("volume_unit", {"file": file}))
    if by_sform and by_qform and np.linalg.det(by_sform[0][:3, :3]) * np.linalg.det(by_qform[0][:3, :3]) < 0:
        warnings.append(Sentence("volume_mirrored", {"file": file}))
    used = by_sform or by_qform
    if max(codes) <= 0:
        used = base
        warnings.append(Sentence("volume_no_orientation", {"file": file}))
    if used is None:
        raise ReadError(file, "volume_geometry")
    affine, known = used
    if not known:
        warnings.append(Sentence("no_thickness", {"file": file}))
    forms = {field: np.array(header[field]) for field in NIFTI_FORMS}
    return Grid(shape, affine, thickness_known=known, forms=forms), tuple(warnings)


_Place = tuple[np.ndarray, bool]


def _placed(
    header: nib.Nifti1Header, codes: tuple[int, int], shape: Sequence[int], unit: float
) -> tuple[_Place | None, _Place | None, _Place | None]:
    """The affines by sform, by qform and by voxel sizes alone, each as `_thick` gives it, None where it is not plausible.

    unit: millimetres in one of the header's units of length.
    """

    def of(make: Callable[[], np.ndarray]) -> _Place | None:
        affine = np.array(make(), dtype=np.float64)
        affine[:3] *= unit
        found = _thick(affine, shape)
        return found if _plausible(found[0]) else None

    return (
        of(header.get_sform) if codes[0] > 0 else None,
        of(lambda: _qform(header)) if codes[1] > 0 else None,
        of(header.get_base_affine),
    )


def _qform(header: nib.Nifti1Header) -> np.ndarray:
    """The qform as the standard says, from any numbers; nibabel refuses a qfac of 0, and what rounding does to a unit."""
    x, y, z = (float(header[f"quatern_{axis}"]) for axis in "bcd")
    rest = 1.0 - (x * x + y * y + z * z)
    w = math.sqrt(rest) if rest >= 1e-7 else 0.0
    if w == 0.0:
        norm = math.sqrt(x * x + y * y + z * z)
        x, y, z = x / norm, y / norm, z / norm
    qfac, *sizes = (float(v) for v in header["pixdim"][:4])
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([w, x, y, z]) * np.abs(sizes)
    affine[:3, 2] *= -1.0 if qfac < 0 else 1.0
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _thick(affine: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, bool]:
    """An affine with 1 mm across for each axis of one voxel that has no size of its own, and whether there was none."""
    known = True
    for axis in range(3):
        if shape[axis] == 1 and not np.linalg.norm(affine[:3, axis]) > VOXEL_MM[0]:
            normal = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
            affine[:3, axis] = normal / max(float(np.linalg.norm(normal)), 1e-9)
            known = False
    return affine, known


def _plausible(affine: np.ndarray) -> bool:
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6:
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    sane = VOXEL_MM[0] <= sizes.min() <= sizes.max() <= VOXEL_MM[1]
    return bool(sane and abs(np.linalg.det(affine[:3, :3] / sizes)) >= 0.2)

"""NIfTI."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

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
from lgg_demo.reading.volumes import check_grid, darken_outside, guard, mend, reliable

UNITS_MM = {1: 1000.0, 3: 0.001}  # a unit of length in the header; anything but metres and micrometres is millimetres


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its content, or says so by its suffix."""
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return True
    try:
        head = _nifti_head(path)
    except (OSError, EOFError, zlib.error, ValueError):
        return False
    return head[344:347] == b"n+1" or head[4:7] == b"n+2"


def _nifti_open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _nifti_head(path: Path) -> bytes:
    with _nifti_open(path) as file:
        return file.read(540)


def read_nifti(path: Path) -> list[Volume]:
    """Every volume of a NIfTI file, eight at most. Raises ReadError."""
    found = find_nifti(path)
    if sum(f.voxels for f in found) > MOST_VOXELS:
        raise ReadError(path.name, "too_much_at_once")
    return [f.load() for f in found]


def find_nifti(path: Path) -> list[Found]:
    """The volumes that a NIfTI header promises, several where it is 4-D or 5-D. Raises ReadError."""
    try:
        guard(path)
        return _find_nifti(path)
    except ReadError:
        raise
    except Exception:
        raise ReadError(path.name, "damaged") from None


def _find_nifti(path: Path) -> list[Found]:
    head = _nifti_head(path)
    if head[344:347] == b"n+1":
        header = nib.Nifti1Header(head[:348], check=False)
    elif head[4:7] == b"n+2":
        header = nib.Nifti2Header(head[:540], check=False)
    else:
        raise ReadError(path.name, "not_a_nifti")
    code = int(header["datatype"])
    if code in (128, 2304):  # RGB, RGBA
        raise ReadError(path.name, "volume_colour")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ReadError(path.name, "not_a_nifti")
    dims = [int(d) for d in header["dim"]]
    if not 2 <= dims[0] <= 7 or any(d < 1 for d in dims[1 : dims[0] + 1]):
        raise ReadError(path.name, "damaged")
    sides = [*dims[1 : dims[0] + 1], 1][: max(3, dims[0])]
    # Channels before the voxels' axes, as training code saves them: the affine is that of the voxels all the same.
    first = len(sides) == 4 and sides[0] <= MOST_VOLUMES and min(sides[1:3]) >= SMALLEST_SIDE
    shape, volumes = (
        ((sides[1], sides[2], sides[3]), sides[0]) if first else ((sides[0], sides[1], sides[2]), math.prod(sides[3:]))
    )
    offset = int(header.get_data_offset())
    voxels = math.prod(shape)
    if voxels > MOST_VOXELS:
        raise ReadError(path.name, "too_much_at_once")
    if not len(header.binaryblock) <= offset <= FARTHEST_VOXELS:
        raise ReadError(path.name, "damaged")
    grid, warnings = _nifti_grid(path.name, header, shape)
    check_grid(path.name, grid)
    together = volumes if first else 1  # values of as many volumes one after the other
    if voxels * together * dtype.itemsize > MOST_BYTES:
        raise ReadError(path.name, "too_much_at_once")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed and path.stat().st_size < offset + voxels * together * dtype.itemsize:
        raise ReadError(path.name, "damaged")

    name = nifti_name(path)
    if volumes > 1:
        warnings += (Sentence("volumes_several", {"file": path.name, "volumes": volumes}),)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        slope, intercept = 1.0, 0.0
    elif not math.isfinite(intercept):
        intercept = 0.0

    def one(number: int) -> Found:
        own = name if volumes == 1 else f"{name}-{number + 1}"

        def load() -> Volume:
            if first:
                values = _nifti_values(path, dtype, shape, offset, number, volumes)
            else:
                values = _nifti_values(path, dtype, shape, offset + number * voxels * dtype.itemsize)
            if (slope, intercept) != (1.0, 0.0):
                values *= np.float32(slope)
                values += np.float32(intercept)
            mended = mend(path.name, values, most=0)  # beside the labels of a mask it is background
            darken_outside(values)
            told = (*warnings, Sentence("not_finite", {"file": path.name, "count": mended})) if mended else warnings
            return Volume(values, grid, own, describe(name), "flair", (path,), (), told)

        return Found(own, describe(name), None, "", (path,), grid, reliable(path.name, load), False, number, warnings)

    return [one(n) for n in range(min(volumes, MOST_VOLUMES))]


def _nifti_values(
    path: Path, dtype: np.dtype, shape: tuple[int, int, int], start: int, number: int = 0, of: int = 1
) -> np.ndarray:
    """One volume as float32, the values with this number of so many each, read piece by piece: no more is unpacked than the
    header promises.
    """
    values = np.empty(math.prod(shape), dtype=np.float32)
    with _nifti_open(path) as file:
        file.seek(start)
        done, piece = 0, 4_000_000 // of
        while done < values.size:
            wanted = min(piece, values.size - done)
            data = file.read(wanted * of * dtype.itemsize)
            if len(data) < wanted * of * dtype.itemsize:
                raise ReadError(path.name, "damaged")
            values[done : done + wanted] = np.frombuffer(data, dtype)[number::of]
            done += wanted
    return values.reshape(shape, order="F")


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

    sform, qform = (code > 0 for code in codes)
    return (
        of(header.get_sform) if sform else None,
        of(lambda: _qform(header)) if qform else None,
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
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / sizes)) >= 0.2)

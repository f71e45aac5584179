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

from lgg_demo.case import Found, UnreadableScan, Volume
from lgg_demo.grid import NIFTI_FORMS, Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.layout import nifti_name
from lgg_demo.reading.limits import FARTHEST_VOXELS, MOST_BYTES, MOST_VOLUMES, MOST_VOXELS, NIFTI_SUFFIXES, VOXEL_MM
from lgg_demo.reading.names import describe
from lgg_demo.reading.volumes import check_grid, darken_outside, guard, mend, reliable


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
    """Every volume of a NIfTI file, eight at most. Raises UnreadableScan."""
    found = find_nifti(path)
    if sum(f.voxels for f in found) > MOST_VOXELS:
        raise UnreadableScan(path.name, "too_much_at_once")
    return [f.load() for f in found]


def find_nifti(path: Path) -> list[Found]:
    """The volumes that a NIfTI header promises, several where it is 4-D or 5-D. Raises UnreadableScan."""
    try:
        guard(path)
        return _find_nifti(path)
    except UnreadableScan:
        raise
    except Exception:
        raise UnreadableScan(path.name, "damaged") from None


def _find_nifti(path: Path) -> list[Found]:
    head = _nifti_head(path)
    if head[344:347] == b"n+1":
        header = nib.Nifti1Header(head[:348], check=False)
    elif head[4:7] == b"n+2":
        header = nib.Nifti2Header(head[:540], check=False)
    else:
        raise UnreadableScan(path.name, "not_a_nifti")
    code = int(header["datatype"])
    if code in (128, 2304):  # RGB, RGBA
        raise UnreadableScan(path.name, "volume_colour")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UnreadableScan(path.name, "not_a_nifti")
    dims = [int(d) for d in header["dim"]]
    if not 2 <= dims[0] <= 7 or any(d < 1 for d in dims[1 : dims[0] + 1]):
        raise UnreadableScan(path.name, "damaged")
    sides = [*dims[1 : dims[0] + 1], 1][: max(3, dims[0])]
    shape, volumes = (sides[0], sides[1], sides[2]), math.prod(sides[3:])
    offset = int(header.get_data_offset())
    voxels = math.prod(shape)
    if voxels > MOST_VOXELS:
        raise UnreadableScan(path.name, "too_much_at_once")
    if not len(header.binaryblock) <= offset <= FARTHEST_VOXELS:
        raise UnreadableScan(path.name, "damaged")
    grid, warnings = _nifti_grid(path.name, header, shape)
    check_grid(path.name, grid)
    if voxels * dtype.itemsize > MOST_BYTES:
        raise UnreadableScan(path.name, "too_much_at_once")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed and path.stat().st_size < offset + voxels * dtype.itemsize:
        raise UnreadableScan(path.name, "damaged")

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
            values = _nifti_values(path, dtype, shape, offset + number * voxels * dtype.itemsize)
            if (slope, intercept) != (1.0, 0.0):
                values *= np.float32(slope)
                values += np.float32(intercept)
            mended = mend(path.name, values)
            darken_outside(values)
            told = (*warnings, Sentence("not_finite", {"file": path.name, "count": mended})) if mended else warnings
            return Volume(values, grid, own, describe(name), "flair", (path,), (), told)

        return Found(own, describe(name), None, "", (path,), grid, reliable(path.name, load), False, number, warnings)

    return [one(n) for n in range(min(volumes, MOST_VOLUMES))]


def _nifti_values(path: Path, dtype: np.dtype, shape: tuple[int, int, int], start: int) -> np.ndarray:
    """One volume as float32, read piece by piece: no more is unpacked than the header promises."""
    values = np.empty(math.prod(shape), dtype=np.float32)
    with _nifti_open(path) as file:
        file.seek(start)
        done, piece = 0, 4_000_000
        while done < values.size:
            wanted = min(piece, values.size - done)
            data = file.read(wanted * dtype.itemsize)
            if len(data) < wanted * dtype.itemsize:
                raise UnreadableScan(path.name, "damaged")
            values[done : done + wanted] = np.frombuffer(data, dtype)
            done += wanted
    return values.reshape(shape, order="F")


def _nifti_grid(file: str, header: nib.Nifti1Header, shape: tuple[int, int, int]) -> tuple[Grid, tuple[Sentence, ...]]:
    """Where the voxels lie: by sform, qform, or, with a warning, the voxel sizes alone."""
    sform, qform = int(header["sform_code"]), int(header["qform_code"])

    def placed(code: int, make: Callable[[], np.ndarray]) -> tuple[np.ndarray, bool] | None:
        try:
            found = _thick(np.array(make(), dtype=np.float64), shape) if code > 0 else None
        except Exception:  # a quaternion that is none
            return None
        return found if found and _plausible(found[0]) else None

    by_sform, by_qform = placed(sform, header.get_sform), placed(qform, header.get_qform)
    used, warnings = by_sform or by_qform, []
    if used is None:
        if sform > 0 or qform > 0:
            raise UnreadableScan(file, "volume_geometry")
        used = _thick(np.array(header.get_base_affine(), dtype=np.float64), shape)
        warnings.append(Sentence("volume_no_orientation", {"file": file}))
    affine, known = used
    if not known:
        warnings.append(Sentence("no_thickness", {"file": file}))
    forms = {field: np.array(header[field]) for field in NIFTI_FORMS}
    return Grid(shape, affine, thickness_known=known, forms=forms), tuple(warnings)


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

"""One scan of a head laid on another, rigidly, by mutual information (Mattes et al. 2003, doi:10.1109/TMI.2003.809072).

The limits of a good one are drawn between 11 patients of kaggle_3m, each moved by up to 10 degrees and 15 mm, with other
slices, noise and shading, and two different ones: good are 11 of 11 FLAIR on FLAIR, 18 of 22 T1 on FLAIR, 0 of 33 others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lgg_demo.grid import Grid, corners

if TYPE_CHECKING:
    import SimpleITK

FINEST_MM = 2.0  # voxels of the last level
COARSEST_MM = 8.0  # and of the first
MOST_VOXELS = 4_000_000  # of a level; a scan that looks far beyond a head is seen in larger ones
BINS = 32
SAMPLES = 30_000  # voxels of the fixed head that are compared, at most
ROUNDS = 60  # of a level
LAST_STEP_MM = 0.02
SEED = 1
ROUND_HEAD_MM = 8.0  # of air that belongs to what is compared, as the outline of the head tells much
CLOSED_MM = 6.0  # narrower gaps are inside the head
DARK = 0.6  # of the mean, below which it is air
LEAST_OVERLAP = 0.95
LEAST_INFORMATION = 1.045
LEAST_SHARED = 0.55  # of the larger head, to be in both scans


@dataclass(frozen=True)
class Registration:
    """How one scan lies on another.

    matrix: (4, 4) float64, from millimetres (RAS+) of the fixed image to those of the moving one. head_overlap: Dice of the
    two heads afterwards, of what both scans show, 0 to 1. information: normalised mutual information afterwards (Studholme
    et al. 1999, doi:10.1016/S0031-3203(98)00091-0), over the fixed head, from 1 (none) to 2. moved_mm: by how much it moves
    the head, on average. good: whether quality suffices to be used.
    """

    matrix: np.ndarray
    head_overlap: float
    information: float
    moved_mm: float
    good: bool


def register(
    fixed: np.ndarray, fixed_grid: Grid, moving: np.ndarray, moving_grid: Grid, finest_mm: float = FINEST_MM
) -> Registration:
    """Find the rigid movement that lays one scan of a head on another, of the same or of another sequence.

    fixed, moving: (S, H, W), real. Their grids must be physical, see `Grid.physical`. finest_mm: of the last of the levels,
    the larger the faster; 4 mm take a third of the time and cost a few tenths of a millimetre. The same arrays give the
    same result. Where there is nothing to register, it is the identity, and not good.
    """
    a, b = _seen(fixed, fixed_grid, finest_mm), _seen(moving, moving_grid, finest_mm)
    matrix = _found(a, b) if a.head.any() and b.head.any() else None
    if matrix is None:
        return Registration(np.eye(4), 0.0, 1.0, 0.0, False)
    overlap, shared = _overlap(a, b, matrix)
    information = _information(a, b, matrix)
    good = overlap >= LEAST_OVERLAP and information >= LEAST_INFORMATION and shared >= LEAST_SHARED
    return Registration(matrix, overlap, information, _moved_mm(a, matrix), good)


def resampled(moving: np.ndarray, moving_grid: Grid, matrix: np.ndarray, onto: Grid, outside: float = 0.0) -> np.ndarray:
    """A stack (S, H, W) through a registration's matrix on another grid's stack: bool stays bool, by nearest neighbour;
    anything else linear, as float32. outside: what it has beyond its own slices.
    """
    to = np.linalg.inv(moving_grid.stack_affine) @ matrix @ onto.stack_affine
    kind, order = (np.uint8, 0) if moving.dtype == bool else (np.float32, 1)
    values = ndimage.affine_transform(
        moving.astype(kind), to[:3, :3], to[:3, 3], onto.stack_shape, kind, order, "grid-constant", outside, False
    )
    return np.asarray(values.astype(moving.dtype if moving.dtype == bool else np.float32))


@cache
def _itk() -> Any:
    """SimpleITK, imported when it is first needed, as that takes as long as for all of the readers."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums of several threads differ from run to run
    return SimpleITK


@dataclass(frozen=True)
class _Seen:
    """A scan as all are seen: on axes to the right, front and top, in voxels of `mm`, from 0 (dark) to 1 (bright).

    origin: of the first voxel, in mm. seen: where the scan has slices at all; head: where the head is.
    """

    values: np.ndarray
    origin: np.ndarray
    mm: float
    seen: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) from its indices to mm."""
        affine = np.diag([self.mm, self.mm, self.mm, 1.0])
        affine[:3, 3] = self.origin
        return affine

    @cached_property
    def head(self) -> np.ndarray:
        bright = (self.values > DARK * self.values[self.seen].mean()) & self.seen
        labels, count = ndimage.label(ndimage.binary_opening(bright))
        if not count:
            return np.zeros_like(self.seen)
        found = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        found = ndimage.binary_closing(found, iterations=max(1, round(CLOSED_MM / self.mm))) & self.seen
        filled = [ndimage.binary_fill_holes(found[..., z]) for z in range(found.shape[2])]
        return np.asarray(np.stack(filled, axis=-1))

    @cached_property
    def points(self) -> np.ndarray:
        """Of the head in mm, (N, 3)."""
        return np.asarray(np.argwhere(self.head) * self.mm + self.origin)

    def at(self, array: np.ndarray, points: np.ndarray, order: int) -> np.ndarray:
        """What one of its arrays has at points (N, 3) in mm, float32; 0 outside."""
        places = ((points - self.origin) / self.mm).T
        return np.asarray(ndimage.map_coordinates(array.astype(np.float32), places, order=order))

    def image(self, array: np.ndarray, times: int) -> SimpleITK.Image:
        """One of its arrays for SimpleITK, in voxels so many times as large."""
        itk = _itk()
        image = itk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32))
        image.SetSpacing([self.mm] * 3)
        image.SetOrigin(self.origin.tolist())
        return itk.BinShrink(image, [times] * 3)


def _seen(stack: np.ndarray, grid: Grid, mm: float) -> _Seen:
    affine = grid.stack_affine
    places = ((corners(stack.shape) - [0.5, 0.5, 0.5, 0]) @ affine.T)[:, :3]
    low, high = places.min(axis=0), places.max(axis=0)
    mm = max(mm, float((np.prod(high - low) / MOST_VOXELS) ** (1 / 3)))
    shape = tuple(int(n) for n in np.ceil((high - low) / mm))
    own = np.diag([mm, mm, mm, 1.0])
    own[:3, 3] = (low + high) / 2 - (np.array(shape) - 1) / 2 * mm
    to = np.linalg.inv(affine) @ own
    blocks = np.maximum(1, np.round(mm / np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    smooth = ndimage.uniform_filter(np.asarray(stack, dtype=np.float32), size=tuple(blocks))
    values = ndimage.affine_transform(smooth, to[:3, :3], to[:3, 3], shape, np.float32, 1, "nearest")
    inside = np.ones(stack.shape, dtype=np.uint8)
    seen = ndimage.affine_transform(inside, to[:3, :3], to[:3, 3], shape, np.uint8, 0, "grid-constant") > 0
    dark, bright = np.percentile(values[seen], [0.5, 99.5])
    return _Seen(np.clip((values - dark) / max(float(bright - dark), 1e-6), 0, 1), own[:3, 3], mm, seen)


def _found(a: _Seen, b: _Seen) -> np.ndarray | None:
    """The matrix that lays the moving scan on the fixed one; None where no start leads anywhere.

    Climbed to from where the headers lay the heads, and from where their centres meet.
    """
    itk = _itk()
    centre = a.points.mean(axis=0)
    times = int(COARSEST_MM / a.mm) or 1
    starts = []
    for shift in (np.zeros(3), b.points.mean(axis=0) - centre):
        pose = itk.Euler3DTransform()
        pose.SetCenter(centre.tolist())
        pose.SetTranslation(shift.tolist())
        starts.append((_climbed(a, b, pose, times), pose))
    cost, pose = min(starts, key=lambda start: start[0])
    while times > 1 and cost < np.inf:
        times //= 2
        cost = _climbed(a, b, pose, times)
    if cost == np.inf:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(pose.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = centre + pose.GetTranslation() - matrix[:3, :3] @ centre
    return matrix


def _climbed(a: _Seen, b: _Seen, pose: SimpleITK.Euler3DTransform, times: int) -> float:
    """Move a pose to where the mutual information is largest, in voxels so many times as large; minus that, or infinity
    where the scans come to show nothing of each other.
    """
    itk = _itk()
    around = ndimage.binary_dilation(a.head, iterations=max(1, round(ROUND_HEAD_MM / a.mm))) & a.seen
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(itk.Cast(a.image(around, times) > 0.5, itk.sitkUInt8))
    method.SetMetricMovingMask(itk.Cast(b.image(b.seen, times) > 0.5, itk.sitkUInt8))
    if (voxels := int(around.sum()) / times**3) > SAMPLES:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(SAMPLES / voxels, SEED)
    method.SetMetricUseFixedImageGradientFilter(False)  # as precise without, and much faster
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(itk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(times * a.mm / 2, LAST_STEP_MM, ROUNDS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(pose, inPlace=True)
    try:
        method.Execute(a.image(a.values, times), b.image(b.values, times))
    except RuntimeError:
        return np.inf
    return float(method.GetMetricValue())


def _moved_mm(a: _Seen, matrix: np.ndarray) -> float:
    return float(np.linalg.norm(_through(matrix, a.points) - a.points, axis=1).mean())


def _through(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _overlap(a: _Seen, b: _Seen, matrix: np.ndarray) -> tuple[float, float]:
    """Dice of the heads where both scans have slices, and the share of the larger head that lies there."""
    to = np.linalg.inv(b.affine) @ matrix @ a.affine
    there, second = (
        ndimage.affine_transform(array.astype(np.float32), to[:3, :3], to[:3, 3], a.seen.shape, order=order) >= 0.5
        for array, order in ((b.seen, 0), (b.head, 1))
    )
    both = there & a.seen
    first, second = a.head & both, second & both
    ones = int(first.sum()), int(second.sum())
    dice = 2 * int((first & second).sum()) / max(1, sum(ones))
    larger = max(int(a.head.sum()) * a.mm**3, int(b.head.sum()) * b.mm**3)
    return dice, min(ones) * a.mm**3 / larger


def _information(a: _Seen, b: _Seen, matrix: np.ndarray) -> float:
    """Normalised mutual information of the fixed head and what lies on it."""
    places = _through(matrix, a.points)
    there = b.at(b.seen, places, 0) > 0
    first = np.minimum(a.values[a.head][there] * BINS, BINS - 1).astype(np.int64)
    second = np.minimum(b.at(b.values, places[there], 1) * BINS, BINS - 1).astype(np.int64)
    joint = np.bincount(first * BINS + second, minlength=BINS**2).reshape(BINS, BINS)
    apart = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    return apart / together if (together := _entropy(joint)) > 0 else 1.0


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / max(1, counts.sum())
    return -float((shares * np.log(shares)).sum())

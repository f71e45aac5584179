"""Loss and scores. MONAI does the arithmetic; this file states the conventions once.

Counts (true and false positives and negatives) come first, ratios second. Where prediction and reference are both
empty, Dice and IoU are 1; where one is, they are 0. A volume's Dice is that of all its pixels together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses import DiceCELoss, DiceFocalLoss, DiceLoss, TverskyLoss
from monai.metrics import compute_hausdorff_distance, get_confusion_matrix
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

LEVELS = 255  # a kept probability is a whole number of 255ths
SURFACE_TOLERANCE_MM = 2.0  # two readers' outlines of one lesion lie about this far apart


def rounded(value: float, digits: int) -> float:
    """A figure as it is shown anywhere: half away from zero, at a number of decimals.

    Python's `round` takes halves to the even digit and the browser's do not; this does what `rounded` of the viewer's
    counts.js does, step by step, so that page, report, table and PDF say the same of the same pixels.
    """
    scale = 10**digits
    return math.copysign(math.floor(abs(value) * scale + 0.5) / scale, value) + 0.0  # of -0 too


@dataclass(frozen=True)
class Counts:
    """Pixels of prediction and reference: hit, extra, missed, neither."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def predicted(self) -> int:
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """2 tp / (2 tp + fp + fn); 1 where both are empty."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 1.0

    @property
    def iou(self) -> float:
        """tp / (tp + fp + fn); 1 where both are empty."""
        total = self.tp + self.fp + self.fn
        return self.tp / total if total else 1.0

    @property
    def precision(self) -> float | None:
        """tp / (tp + fp); None where nothing is predicted."""
        return self.tp / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """tp / (tp + fn); None where the reference is empty."""
        return self.tp / self.reference if self.reference else None


LOSSES: dict[str, Callable[[], torch.nn.Module]] = {
    "dice-ce": lambda: DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0),
    "slice-dice-ce": lambda: DiceCELoss(sigmoid=True, batch=False, smooth_nr=100.0, smooth_dr=100.0),
    "dice": lambda: DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0),
    "dice-focal": lambda: DiceFocalLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0, gamma=2.0),
    "tversky": lambda: TverskyLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0, alpha=0.3, beta=0.7),
}


def training_loss(name: str = "dice-ce") -> torch.nn.Module:
    """MONAI's loss of this name (see LOSSES), on logits (N, 1, H, W) and masks of the same shape.

    Dice is that of the whole batch, because two slices of three are empty and have none of their own.
    """
    return LOSSES[name]()


def threshold_level(threshold: float) -> int:
    """The smallest kept level (0..255) that reaches a threshold in [0, 1]; 0.5 gives 128.

    Whole numbers are compared, so a mask is the same on the page and on the server, to the pixel.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"The threshold must lie between 0 and 1, not {threshold}.")
    return math.ceil(threshold * LEVELS)


def binarise(levels: np.ndarray, threshold: float) -> np.ndarray:
    """Kept probability (..., uint8, 0..255) to a mask of the same shape, bool."""
    return np.asarray(levels >= threshold_level(threshold))


def expected_dice(levels: np.ndarray, threshold: float) -> float:
    """The Dice that calibrated probabilities (kept levels of any shape) lead one to expect of their own mask.

    2 sum of p inside the mask / (pixels of the mask + sum of p): no reference is needed, and a low value marks a scan to
    look at twice. 1 where nothing is predicted and nothing is likely; the sums stand for their expectations (the ratio
    of expectations, as in soft Dice).
    """
    at = threshold_level(threshold)
    parts = np.array_split(levels.reshape(-1), 1 + (levels.size >> 22))  # bincount takes eight bytes a pixel
    by_level = np.sum([np.bincount(part, minlength=LEVELS + 1) for part in parts], axis=0)
    said = by_level * np.arange(LEVELS + 1)  # in 255ths
    total = int(by_level[at:].sum()) * LEVELS + int(said.sum())
    return 2 * int(said[at:].sum()) / total if total else 1.0


def count(predicted: np.ndarray, reference: np.ndarray) -> Counts:
    """Counts over two bool arrays of one shape."""
    if predicted.shape != reference.shape:
        raise ValueError(f"Prediction {predicted.shape} and reference {reference.shape} differ in shape.")
    flat = [torch.from_numpy(np.ascontiguousarray(a)).reshape(1, 1, -1).float() for a in (predicted, reference)]
    tp, fp, tn, fn = (int(v) for v in get_confusion_matrix(flat[0].double(), flat[1].double())[0, 0])
    return Counts(tp, fp, fn, tn)


def pooled(counts: Iterable[Counts]) -> Counts:
    """The counts of all pixels together."""
    return sum(counts, Counts(0, 0, 0, 0))


def hausdorff95_px(predicted: np.ndarray, reference: np.ndarray) -> float:
    """95th percentile of the distances between the two surfaces of a volume (S, H, W), in pixels, one slice a pixel.

    The dataset gives no spacing, so the distance between slices counts as one pixel. Infinite where one is empty, 0
    where both are.
    """
    if not predicted.any() or not reference.any():
        return math.inf if predicted.any() or reference.any() else 0.0
    box = _box(predicted | reference)  # the distance needs no more than the box around both
    pair = [torch.from_numpy(np.ascontiguousarray(np.pad(a[box], 1)))[None, None].float() for a in (predicted, reference)]
    with warnings.catch_warnings():  # MONAI 1.6 warns of its own argument
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(pair[0], pair[1], include_background=True, percentile=95)[0, 0])


def surface_distances(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """From each surface voxel of one mask (S, H, W) to the nearest of the other, in mm; predicted to reference, and back.

    Both must hold something. A surface is the voxels of a mask that have one outside beside a face; `spacing` (z, y, x).
    As MONAI's `get_surface_distance`, but from a distance map: the time of MONAI's search tree grows beyond bounds where
    the surfaces are large and far apart, which a threshold of 0 is enough for.
    """
    box = _box(predicted | reference)
    masks = [np.pad(mask[box], 1) for mask in (predicted, reference)]
    first, second = (mask ^ ndimage.binary_erosion(mask) for mask in masks)
    there = ndimage.distance_transform_edt(~second, sampling=spacing)[first]
    back = ndimage.distance_transform_edt(~first, sampling=spacing)[second]
    return np.asarray(there), np.asarray(back)


def hausdorff95_mm(predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """95th percentile of the distances between the two surfaces of a volume (S, H, W); `spacing` (z, y, x) in mm.

    The larger of both directions, as MONAI's `compute_hausdorff_distance`. Infinite where one mask is empty, 0 where both
    are.
    """
    if not predicted.any() or not reference.any():
        return math.inf if predicted.any() or reference.any() else 0.0
    return max(float(np.percentile(d, 95)) for d in surface_distances(predicted, reference, spacing))


def surface_dice(
    predicted: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    tolerance: float = SURFACE_TOLERANCE_MM,
) -> float:
    """Normalised surface Dice of a volume (S, H, W): the share of both surfaces within `tolerance` mm of the other.

    Nikolov et al. 2021 (doi:10.2196/26151), counted in surface voxels as MONAI's `compute_surface_dice`; `spacing`
    (z, y, x) in mm. 1 where both masks are empty, 0 where one is.
    """
    if not predicted.any() or not reference.any():
        return float(not predicted.any() and not reference.any())
    distances = np.concatenate(surface_distances(predicted, reference, spacing))
    return float((distances <= tolerance).mean())


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty."""
    others = [tuple(a for a in range(mask.ndim) if a != axis) for axis in range(mask.ndim)]
    inside = [np.flatnonzero(mask.any(axis=axes)) for axes in others]
    return tuple(slice(int(i[0]), int(i[-1]) + 1) for i in inside)


@dataclass(frozen=True)
class Diameters:
    """The two lines a radiologist draws on the slice where a lesion is longest.

    longest, perpendicular: in the unit of the spacing. slice: index in the stack, from 0. ends: of both lines, (2, 2, 2):
    line, end, (row, column) in pixels, a pixel's middle being a whole number.
    """

    longest: float
    perpendicular: float
    slice: int
    ends: np.ndarray


def largest_diameters(mask: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> Diameters | None:
    """The longest line across one connected area of one slice of a mask (S, H, W), and the longest at a right angle to it.

    The bidimensional measure of RANO (Wen et al. 2010, doi:10.1200/JCO.2009.26.3541). Areas touch by side or corner. Lines
    end on the middles of outer pixel edges, so that a row of n pixels is n long, and may cross a notch of the outline: both
    are taken from its convex hull. `spacing`: (row, column) in mm. None where the mask is empty.
    """
    if not mask.any():
        return None
    box = _box(mask)
    corner = np.array([box[1].start, box[2].start])
    scale = np.array(spacing)
    best: Diameters | None = None
    for s in range(box[0].start, box[0].stop):
        labels, _ = ndimage.label(mask[s][box[1:]], structure=np.ones((3, 3)))
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            sides = [(p.stop - p.start) * step for p, step in zip(place, spacing, strict=True)]
            if best is not None and math.hypot(*sides) <= best.longest:  # no line in the box is longer than its diagonal
                continue
            shift = np.array([p.start for p in place]) + corner
            hull = _hull((_edge_middles(labels[place] == label) + shift) * scale)
            distances = squareform(pdist(hull))
            first, second = np.unravel_index(int(distances.argmax()), distances.shape)
            longest = float(distances[first, second])
            if best is None or longest > best.longest:
                across = _longest_across(hull, int(first), int(second))
                length = float(np.linalg.norm(across[1] - across[0]))
                best = Diameters(longest, length, s, np.stack([hull[[first, second]], across]) / scale)
    return best


def _edge_middles(mask: np.ndarray) -> np.ndarray:
    """Middles of the outermost pixel edges of each row and column of a mask (H, W): (N, 2) of (row, column)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    h, w = mask.shape
    left, right = mask[rows].argmax(axis=1), w - 1 - mask[rows, ::-1].argmax(axis=1)
    top, bottom = mask[:, columns].argmax(axis=0), h - 1 - mask[::-1, columns].argmax(axis=0)
    sides = [(rows, left - 0.5), (rows, right + 0.5), (top - 0.5, columns), (bottom + 0.5, columns)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of (N, 2) points, in order around it."""
    return np.asarray(points[ConvexHull(points).vertices])


def _longest_across(hull: np.ndarray, first: int, second: int) -> np.ndarray:
    """Ends (2, 2) of the longest line inside a convex polygon at a right angle to that from corner `first` to `second`.

    The width of a convex polygon is concave along the line, so it is largest at a corner.
    """
    along = (hull[second] - hull[first]) / np.linalg.norm(hull[second] - hull[first])
    across = np.array([-along[1], along[0]])
    place, height = (hull - hull[first]) @ along, (hull - hull[first]) @ across
    n = len(hull)
    there = [(first + k) % n for k in range((second - first) % n + 1)]  # one way around, and the other
    back = [(first - k) % n for k in range((first - second) % n + 1)]
    sides = [np.interp(place, place[way], height[way]) for way in (there, back)]
    widest = int(np.abs(sides[0] - sides[1]).argmax())
    return np.stack([hull[first] + place[widest] * along + side[widest] * across for side in sides])


def bootstrap_ci95(values: Iterable[float], seed: int = 0, draws: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean, by resampling patients (Efron 1979)."""
    sample = np.asarray(list(values), dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(0, len(sample), (draws, len(sample)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

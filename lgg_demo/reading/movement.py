"""Whether two sequences of one study lie on one another, or the patient has moved between them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import affine_transform, uniform_filter
from scipy.spatial.transform import Rotation

COARSE_MM = 5.0  # of the grid that is compared: shifts of half of it are still felt
BINS = 24
STEPS = ((4.0, 4.0), (2.0, 2.0), (1.0, 1.0))  # mm and degrees, tried one after the other in both directions
MOST_ROUNDS = 8  # of each step
MOVED_MM = 3.0  # on average over the head, from which on a sequence counts as moved
BETTER = 1.03  # the share of mutual information by which the place that was found must beat the one in the headers
FEWEST_VOXELS = 2000


def moved_mm(flair: np.ndarray, other: np.ndarray, spacing_mm: tuple[float, float, float]) -> float | None:
    """By how many mm, on average over the head, a sequence lies beside FLAIR; None where it lies on it, or nobody can tell.

    flair, other: (S, H, W) float32 on one grid of this spacing (between slices, rows, columns). Measured by mutual
    information over rigid movements on a coarse grid, from the place that the headers give: rough, but never a matter of
    contrast. Movements beyond about 3 cm are not found.
    """
    a, size = _coarse(flair, spacing_mm)
    b, _ = _coarse(other, spacing_mm)
    head = a > a.mean()
    if int(head.sum()) < FEWEST_VOXELS or a.min() == a.max() or b.min() == b.max():
        return None
    a_bins, b = _scaled(a).astype(np.int64), _scaled(b)
    first = _information(a_bins, b, np.zeros(6), size)
    pose, best = _best_pose(a_bins, b, size, first)
    moved = float(_displacement(pose, np.argwhere(head) * size, np.array(a.shape) * size / 2))
    return moved if moved >= MOVED_MM and best > BETTER * first else None


def _best_pose(a_bins: np.ndarray, b: np.ndarray, size: np.ndarray, best: float) -> tuple[np.ndarray, float]:
    """The pose with the most mutual information that small steps lead to, and how much that is. best: where it begins."""
    pose = np.zeros(6)
    for mm, degrees in STEPS:
        for _ in range(MOST_ROUNDS):
            before = best
            for step in (*np.diag([mm] * 3 + [degrees] * 3), *-np.diag([mm] * 3 + [degrees] * 3)):
                if (found := _information(a_bins, b, pose + step, size)) > best:
                    pose, best = pose + step, found
            if best == before:
                break
    return pose, best


def _coarse(stack: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of about COARSE_MM, and the blocks' size in mm."""
    steps = np.maximum(1, np.round(COARSE_MM / np.array(spacing_mm))).astype(int)
    smooth = uniform_filter(stack, size=tuple(steps)) if steps.max() > 1 else stack
    return np.asarray(smooth[tuple(slice(s // 2, None, s) for s in steps)], dtype=np.float32), steps * np.array(spacing_mm)


def _scaled(values: np.ndarray) -> np.ndarray:
    """From 0 to the number of the last bin."""
    low, high = (float(v) for v in np.percentile(values, [1, 99]))
    return np.asarray(np.clip((values - low) * (BINS / max(high - low, 1e-6)), 0, BINS - 1), dtype=np.float32)


def _information(a_bins: np.ndarray, b: np.ndarray, pose: np.ndarray, size: np.ndarray) -> float:
    """Mutual information, in nats, of FLAIR in bins and the other sequence, scaled to bins, moved by a pose."""
    if pose.any():
        turn = Rotation.from_euler("xyz", pose[3:], degrees=True).as_matrix()
        matrix = np.diag(1 / size) @ turn @ np.diag(size)
        middle = np.array(b.shape) / 2
        b = affine_transform(b, matrix, middle - matrix @ middle + pose[:3] / size, order=1, mode="nearest")
    pairs = (a_bins * BINS + b.astype(np.int64)).ravel()
    joint = np.bincount(pairs, minlength=BINS * BINS).reshape(BINS, BINS) / pairs.size
    apart = joint.sum(axis=1)[:, None] * joint.sum(axis=0)[None, :]
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _displacement(pose: np.ndarray, points: np.ndarray, middle: np.ndarray) -> float:
    """By how much a pose moves points, in mm, on average."""
    turn = Rotation.from_euler("xyz", pose[3:], degrees=True).as_matrix()
    moved = (points - middle) @ turn.T + middle + pose[:3]
    return float(np.linalg.norm(moved - points, axis=1).mean())

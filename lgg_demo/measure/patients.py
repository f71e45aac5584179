"""The protocol: one patient's score, and the figures over patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import Counts, count, expected_dice, pooled
from lgg_demo.measure.surfaces import compare_surfaces, finite
from lgg_demo.probability import LEVELS, binarise

PROTOCOL = (
    "whole patients, all slices, 256 x 256; volume Dice = all pixels of a patient together; both empty counts as 1; "
    "95 % interval by bootstrap over patients (10,000 draws); hd95 counts a slice gap as one pixel"
)


def dice_by_level(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Dice of a volume for every threshold level 0..255 at once: (256,) float64, from two histograms."""
    inside = np.bincount(probability[reference], minlength=LEVELS + 1)[::-1].cumsum()[::-1]
    predicted = np.bincount(probability.ravel(), minlength=LEVELS + 1)[::-1].cumsum()[::-1]
    total = predicted + int(reference.sum())
    return np.asarray(np.divide(2.0 * inside, total, out=np.ones(LEVELS + 1), where=total > 0))


@dataclass(frozen=True)
class Scored:
    """One patient: the row of metrics.json, the counts of each slice, HD95 in pixels (may be infinite), Dice by level."""

    row: dict[str, Any]
    slices: list[Counts]
    hd95: float
    curve: np.ndarray


def score(patient: str, probability: np.ndarray, reference: np.ndarray, threshold: float) -> Scored:
    """Score one patient's quantised probability, (S, H, W) uint8, against the reference, bool."""
    predicted = binarise(probability, threshold)
    own = [count(p, r) for p, r in zip(predicted, reference, strict=True)]
    whole = pooled(own)
    hd95, _ = compare_surfaces(predicted, reference)
    row = {
        "patient": patient,
        "slices": len(own),
        "dice": whole.dice,
        "iou": whole.iou,
        "predicted_pixels": whole.predicted,
        "reference_pixels": whole.reference,
        "hd95_px": finite(hd95),
        "expected_dice": expected_dice(probability, threshold),
    }
    return Scored(row, own, hd95, dice_by_level(probability, reference))


def summary(scored: list[Scored]) -> dict[str, Any]:
    """The figures over patients."""
    dice = [s.row["dice"] for s in scored]
    counts = [c for s in scored for c in s.slices]
    total = pooled(counts)
    return {
        "patients": len(scored),
        "slices": len(counts),
        "volume_dice_mean": float(np.mean(dice)),
        "volume_dice_median": float(np.median(dice)),
        "volume_dice_ci95": list(bootstrap_ci95(dice)),
        "pooled_dice": total.dice,
        "pooled_iou": total.iou,
        "tumour_slice_dice_mean": _mean(c.dice for c in counts if c.reference),
        "slice_dice_mean_empty_as_one": float(np.mean([c.dice for c in counts])),
        "empty_slice_false_positive_rate": _mean(c.predicted > 0 for c in counts if not c.reference),
        "hd95_px_median": finite(float(np.median([s.hd95 for s in scored]))),
    }


def smallest_quarter_dice(rows: Sequence[dict[str, Any]]) -> float:
    """Mean volume Dice of the quarter of the patients (rows of `Scored`, at least one) with the smallest references."""
    ascending = sorted(rows, key=lambda row: int(row["reference_pixels"]))
    return float(np.mean([row["dice"] for row in ascending[: max(1, len(ascending) // 4)]]))


def volume_errors(rows: Iterable[dict[str, Any]]) -> np.ndarray:
    """How far the volumes of patients (rows of `Scored`) are off, as shares of the reference's, above 0 too large; (N,)
    float64. Patients without a reference are left out.
    """
    return np.array([r["predicted_pixels"] / r["reference_pixels"] - 1 for r in rows if r["reference_pixels"]])


def _mean(values: Iterable[float]) -> float | None:
    """None where there are none."""
    known = list(values)
    return float(np.mean(known)) if known else None

"""What out-of-fold probabilities say: scores, calibration, the best threshold, and whether doubt finds the bad cases.

Calibration and best threshold of a fold come from the other folds' patients (for the threshold as they are served: by
curves that this fold helped to fit).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import spearmanr
from tqdm import tqdm

from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.patients import PROTOCOL, Scored, dice_by_level, score, summary
from lgg_demo.network import inference
from lgg_demo.network.calibration import FINE, Calibration
from lgg_demo.network.segmenter import quantise
from lgg_demo.probability import LEVELS, threshold_level
from lgg_demo.train.calibration import Tally, fit_calibration, fit_temperature, reliability
from lgg_demo.train.data import institution

matplotlib.use("Agg")


@dataclass(frozen=True)
class Predicted:
    """A patient by the network that never saw the patient: probability in 65535ths, (S, 256, 256) uint16; reference."""

    patient: str
    fold: int
    fine: np.ndarray
    reference: np.ndarray
    missing: str  # the sequences that are a copy of FLAIR: "", "pre", "post" or "pre and post"


def calibrated(fine: np.ndarray, calibration: Calibration) -> np.ndarray:
    """The quantised probability, uint8, that the app would serve for a probability in 65535ths."""
    table = quantise(inference.calibrated(torch.arange(FINE + 1, dtype=torch.float32) / FINE, calibration).numpy())
    return np.asarray(table[fine])


def best_quantised(curves: np.ndarray) -> int:
    """The threshold, in 255ths, of the highest mean Dice over patients, (P, 256)."""
    return int(curves[:, 1:].mean(axis=0).argmax()) + 1


def best_threshold(curves: np.ndarray, draws: int = 2000) -> dict[str, Any]:
    """Threshold of the highest mean volume Dice, its 95 % interval by bootstrap over patients, from (P, 256) curves."""
    rng = np.random.default_rng(0)
    drawn = [best_quantised(curves[rng.integers(0, len(curves), len(curves))]) for _ in range(draws)]
    low, high = np.percentile(drawn, [2.5, 97.5]) / LEVELS
    return {"threshold": best_quantised(curves) / LEVELS, "ci95": [float(low), float(high)]}


def ranking(scored: list[Scored]) -> dict[str, Any]:
    """Does the expected Dice find the bad cases? Error = 1 - Dice."""
    error = np.array([1 - s.row["dice"] for s in scored])
    expected = np.array([s.row["expected_dice"] for s in scored])
    fifth = max(1, round(len(error) / 5))
    by_error = np.sort(error)[::-1]
    differ = len(set(expected)) > 1 and len(set(error)) > 1  # else there is no rank to correlate
    return {
        "measure": "expected Dice: 2 sum p inside the mask / (mask + sum p), from calibrated probabilities alone",
        "spearman_with_dice": float(spearmanr(expected, 1 - error).statistic) if differ else None,
        "worst_fifth_patients": fifth,
        "worst_fifth_share_of_error": float(error[np.argsort(expected)[:fifth]].sum() / error.sum()),
        "share_if_drawn_at_random": fifth / len(error),
        "share_of_a_perfect_ranking": float(by_error[:fifth].sum() / error.sum()),
        "mean_expected_dice": float(expected.mean()),
    }


def group(scored: list[Scored], keys: dict[str, str]) -> dict[str, Any]:
    """Mean, median and interval of the volume Dice for each value of a patient's key."""
    out = {}
    for key in sorted(set(keys.values())):
        dice = [s.row["dice"] for s in scored if keys[s.row["patient"]] == key]
        out[key] = {
            "patients": len(dice),
            "volume_dice_mean": float(np.mean(dice)),
            "volume_dice_median": float(np.median(dice)),
            "volume_dice_ci95": list(bootstrap_ci95(dice)),
        }
    return out


def tally_by_fold(predicted: list[Predicted]) -> dict[int, Tally]:
    """The tally of each fold's patients, every lesion counting the same; in order of the folds."""
    tallies: dict[int, Tally] = {}
    for p in sorted(predicted, key=lambda p: p.fold):
        own = Tally.of(p.fine, p.reference).per_lesion()
        tallies[p.fold] = tallies[p.fold] + own if p.fold in tallies else own
    return tallies


def fit_by_fold(tallies: dict[int, Tally]) -> dict[str, dict[int, Calibration]]:
    """For each kind of calibration that is compared, and each fold, what fits the tallies of the others."""
    fitted: dict[str, dict[int, Calibration]] = {
        "uncalibrated": dict.fromkeys(tallies, Calibration()), "temperature": {}, "isotonic": {}, "served": {}
    }  # fmt: skip
    for fold in tallies:
        others = reduce(add, (tally for other, tally in tallies.items() if other != fold))
        fitted["temperature"][fold], fitted["isotonic"][fold] = fit_temperature(others), fit_calibration(others)
        fitted["served"][fold] = fitted["isotonic"][fold].pinned()
    return fitted


def score_all(predicted: list[Predicted], by_fold: dict[int, Calibration]) -> list[Scored]:
    """Every patient's score at 0.5, calibrated by what was fitted for the patient's fold."""
    return [
        score(p.patient, calibrated(p.fine, by_fold[p.fold]), p.reference, 0.5)
        for p in tqdm(predicted, unit="patient", disable=None)
    ]


def tuned_dice(served: list[Scored], folds: list[int]) -> list[float]:
    """Each patient's volume Dice at the threshold that is best for the other folds' patients; folds: each patient's."""
    curves, of = np.stack([s.curve for s in served]), np.array(folds)
    best = {fold: best_quantised(curves[of != fold]) for fold in set(folds)}
    return [float(curve[best[fold]]) for curve, fold in zip(curves, folds, strict=True)]


def assess(predicted: list[Predicted]) -> dict[str, Any]:
    """Everything that out-of-fold probabilities say, as in cross_validation.json."""
    tallies = tally_by_fold(predicted)
    fitted = fit_by_fold(tallies)
    plain, served = score_all(predicted, fitted["uncalibrated"]), score_all(predicted, fitted["served"])
    at_half = threshold_level(0.5)
    isotonic = [dice_by_level(calibrated(p.fine, fitted["isotonic"][p.fold]), p.reference)[at_half] for p in predicted]
    curves = np.stack([s.curve for s in served])
    pairs = {name: [(tallies[f], by[f]) for f in tallies] for name, by in fitted.items()}
    institutions = {p.patient: institution(p.patient) for p in predicted}
    missing = {p.patient: p.missing or "none" for p in predicted}
    tuned = float(np.mean(tuned_dice(served, [p.fold for p in predicted])))
    return {
        "protocol": f"{len(tallies)}-fold cross-validation by patient; each fold predicted by a network trained on the "
        "others for a length fixed beforehand, last epoch kept; calibrated on the other folds; threshold 0.5, no "
        "post-processing; " + PROTOCOL,
        "threshold": 0.5,
        **summary(served),
        "uncalibrated": summary(plain),
        "by_fold": group(served, {p.patient: str(p.fold) for p in predicted}),
        "by_institution": group(served, institutions) if all(institutions.values()) else {},
        "by_missing_sequence": group(served, missing),
        "best_threshold": best_threshold(curves) | {"volume_dice_mean_chosen_on_other_folds": tuned},
        "mean_dice_by_level": [round(float(v), 5) for v in curves.mean(axis=0)],
        "calibration": {
            "protocol": "curve and error with every patient's lesion counting the same, whatever its size: the patient's "
            "pixels outside it are weighed as those inside",
            "all_patients": fit_calibration(reduce(add, tallies.values())).pinned().as_record(),
            "by_fold": {str(f): c.as_record() for f, c in fitted["served"].items()},
            "error": {
                name: {"all_pixels": reliability(pair), "doubtful_pixels": reliability(pair, doubtful_only=True)}
                for name, pair in pairs.items()
            },
            "volume_dice_mean_plain_isotonic": float(np.mean(isotonic)),
        },
        "uncertainty": ranking(served),
        "per_patient": [
            {"fold": p.fold, "missing": missing[p.patient]} | s.row for p, s in zip(predicted, served, strict=True)
        ],
    }


def draw_reliability(error: dict[str, Any], path: Path) -> None:
    """Observed frequency against probability, before and after, for the pixels in doubt."""
    figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", lw=1, label="perfect")
    for name, colour, style in (("uncalibrated", "tab:red", "--"), ("served", "tab:blue", "-")):
        part = error[name]["doubtful_pixels"]
        x, y = ([b[k] for b in part["bins"]] for k in ("probability", "observed"))
        word = "after" if name == "served" else "before"
        axis.plot(x, y, style, marker=".", color=colour, label=f"{word}: error {part['ece']:.3f}")
    axis.set(xlabel="probability", ylabel="share of pixels inside the reference", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def print_result(result: dict[str, Any]) -> None:
    """The figures in short."""
    low, high = result["volume_dice_ci95"]
    print(f"{result['patients']} patients, {result['slices']} slices: mean volume Dice "
          f"{result['volume_dice_mean']:.4f} ({low:.4f} to {high:.4f}), median {result['volume_dice_median']:.4f}, "
          f"pooled {result['pooled_dice']:.4f}")  # fmt: skip
    for name in ("by_fold", "by_institution", "by_missing_sequence"):
        for key, part in result[name].items():
            print(f"  {name[3:]} {key}: {part['patients']} patients, mean {part['volume_dice_mean']:.4f}, "
                  f"median {part['volume_dice_median']:.4f}")  # fmt: skip
    best, error = result["best_threshold"], result["calibration"]["error"]
    print(f"best threshold {best['threshold']:.3f} ({best['ci95'][0]:.3f} to {best['ci95'][1]:.3f}), chosen on the other "
          f"folds it gives {best['volume_dice_mean_chosen_on_other_folds']:.4f}")  # fmt: skip
    for name, part in error.items():
        print(f"calibration error, {name}: {part['all_pixels']['ece']:.5f} of all pixels, "
              f"{part['doubtful_pixels']['ece']:.4f} of those in doubt")  # fmt: skip
    print(f"uncertainty: {result['uncertainty']}")
    print(f"({result['protocol']})")

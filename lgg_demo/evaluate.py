"""Score what the page serves on whole patients: `python -m lgg_demo.evaluate --data DIR --out DIR`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from tqdm import tqdm

from lgg_demo.command import Checkpoint, Folder, OptionalFile, Threshold, run, threshold_or
from lgg_demo.measure.patients import PROTOCOL, Scored, score, summary
from lgg_demo.network.record import lineage
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import threshold_level
from lgg_demo.train.data import index_dataset, read_patient, read_patients

matplotlib.use("Agg")

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)


def known_patients(record: dict[str, Any], patients: set[str]) -> dict[str, int]:
    """How many of these patients taught a network or chose its epoch, as its record says: their scores flatter it."""
    splits = [one.get("split", {}) for one in lineage(record)]
    trained, chose = ({name for split in splits for name in split.get(side, [])} for side in ("train", "validation"))
    return {
        "patients_the_network_was_trained_on": len(patients & trained),
        "patients_that_chose_its_epoch": len(patients & (chose - trained)),
    }


def evaluate(index: pd.DataFrame, segmenter: Segmenter, threshold: float, out: Path) -> dict[str, Any]:
    """Score every patient of an index (see `index_dataset`), write the files into `out`, return metrics.json's content."""
    scored: list[Scored] = []
    slices: list[dict[str, Any]] = []
    seconds = 0.0
    groups = list(index.groupby("patient", sort=True))
    for name, rows in tqdm(groups, unit="patient", disable=None):
        scan, reference = read_patient(rows)
        started = time.perf_counter()
        levels = segmenter.segment(scan)
        seconds += time.perf_counter() - started
        scored.append(score(str(name), levels, reference, threshold))
        for number, c in zip(rows["slice"], scored[-1].slices, strict=True):
            slices.append({"patient": name, "slice": number, "dice": c.dice, "iou": c.iou} | asdict(c))

    figures = summary(scored)
    metrics = {
        "protocol": PROTOCOL,
        "model": {k: segmenter.record.get(k) for k in ("name", "sha256")},
        "patients": figures.pop("patients"),
        "slices": figures.pop("slices"),
        **known_patients(segmenter.record, set(index["patient"])),
        "threshold": threshold,
        **figures,
        "seconds_per_slice": seconds / len(slices),
        "per_patient": [s.row for s in scored],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    pd.DataFrame(slices).to_csv(out / "per_slice.csv", index=False, float_format="%.6g")
    draw_by_patient(metrics["per_patient"], metrics, out / "dice_by_patient.png")
    draw_by_threshold(np.stack([s.curve for s in scored]), threshold, out / "dice_by_threshold.png")
    return metrics


def draw_by_patient(patients: list[dict[str, Any]], metrics: dict[str, Any], path: Path) -> None:
    """One bar a patient, worst first, with mean and interval."""
    ordered = sorted(patients, key=lambda p: p["dice"])
    low, high = metrics["volume_dice_ci95"]
    figure, axis = plt.subplots(figsize=(8, 1.6 + 0.2 * len(ordered)), layout="constrained")
    axis.barh([p["patient"] for p in ordered], [p["dice"] for p in ordered], color="tab:blue")
    axis.axvspan(low, high, color="tab:orange", alpha=0.25, label=f"mean's 95 % interval {low:.3f} to {high:.3f}")
    axis.axvline(metrics["volume_dice_mean"], color="tab:orange", label=f"mean {metrics['volume_dice_mean']:.3f}")
    axis.axvline(metrics["volume_dice_median"], color="black", ls=":", label=f"median {metrics['volume_dice_median']:.3f}")
    axis.set(xlim=(0, 1), xlabel=f"volume Dice at threshold {metrics['threshold']:g}")
    axis.margins(y=0.01)
    axis.tick_params(axis="y", labelsize=7)
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_by_threshold(curves: np.ndarray, threshold: float, path: Path) -> None:
    """Mean volume Dice against threshold with the middle half of the patients, (P, 256) float."""
    at = [threshold_level(t) for t in THRESHOLDS]
    low, high = np.percentile(curves[:, at], [25, 75], axis=0)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.fill_between(THRESHOLDS, low, high, alpha=0.25, label="middle half of the patients")
    axis.plot(THRESHOLDS, curves[:, at].mean(axis=0), marker=".", label="mean")
    axis.axvline(threshold, color="black", ls=":", label=f"threshold {threshold:g}")
    axis.set(xlabel="threshold", ylabel="volume Dice", ylim=(0, 1), title=f"{len(curves)} patients")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def print_table(metrics: dict[str, Any]) -> None:
    """Patients worst first, then the figures over all."""
    print(f"{'patient':<24}{'slices':>7}{'dice':>8}{'iou':>8}{'predicted':>11}{'reference':>11}")
    for p in sorted(metrics["per_patient"], key=lambda p: p["dice"]):
        print(f"{p['patient']:<24}{p['slices']:>7}{p['dice']:>8.4f}{p['iou']:>8.4f}"
              f"{p['predicted_pixels']:>11}{p['reference_pixels']:>11}")  # fmt: skip
    print()
    for key, value in metrics.items():
        if key in ("per_patient", "protocol", "model"):
            continue
        shown = " to ".join(f"{v:.4f}" for v in value) if isinstance(value, list) else value
        print(f"{key:<34}{f'{shown:.4f}' if isinstance(shown, float) else shown}")
    print(f"({metrics['protocol']})")


@dataclass(frozen=True)
class EvaluateSettings:
    """Score what the page serves on whole patients.

    Writes metrics.json, per_slice.csv, dice_by_patient.png and dice_by_threshold.png, and prints a table. All slices count,
    at the files' own 256 x 256; Dice and IoU are 1 where prediction and reference are both empty.
    """

    data: Folder
    """the kaggle_3m folder"""
    out: Folder
    """where the figures go"""
    patients: OptionalFile = None
    """score those of its `patient` column; all of DIR without"""
    checkpoint: Checkpoint = None
    """weights to score: a file or a Hub repository; those in weights/ without"""
    threshold: Threshold = None
    """between 0 and 1; the checkpoint's, 0.5 as shipped, without"""


def score_patients(given: EvaluateSettings) -> int:
    """What the command does; returns its exit code."""
    segmenter = Segmenter.load(given.checkpoint)
    threshold = threshold_or(given.threshold, segmenter.threshold)
    wanted = None if given.patients is None else read_patients(given.patients)["patient"]
    index = index_dataset(given.data, wanted)
    given.out.mkdir(parents=True, exist_ok=True)  # said now, not after the work, where it cannot be
    metrics = evaluate(index, segmenter, threshold, given.out)
    print_table(metrics)
    known, chose = metrics["patients_the_network_was_trained_on"], metrics["patients_that_chose_its_epoch"]
    if known or chose:
        print(
            f"evaluate: the network was trained on {known} of these patients, and {chose} chose its epoch; their scores "
            "flatter it.",
            file=sys.stderr,
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("evaluate", EvaluateSettings, score_patients, arguments)


if __name__ == "__main__":
    sys.exit(main())

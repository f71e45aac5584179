"""How much Dice is lost on what people upload: `python -m lgg_demo.robustness --data DIR --out FILE`.

Every patient is scored as it is and again after each change below, by the same network at the same threshold. With
--cross-validation RUNS each patient is scored by the network of `crossval` that never saw it. FILE is JSON; the change in
mean volume Dice has a 95 % interval by bootstrap over patients, the pairs kept.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from lgg_demo.crossval import RESULT
from lgg_demo.data import DatasetError, index_dataset, read_patient, read_patients
from lgg_demo.inference import Segmenter
from lgg_demo.metrics import binarise, bootstrap_ci95, count
from lgg_demo.model import CheckpointError, load_checkpoint
from lgg_demo.predict import probability
from lgg_demo.readers import FLAIR, Scan

BYTE = 255.0


def _same(levels: np.ndarray) -> np.ndarray:
    return levels


def _by_pixels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Scan], Scan]:
    return lambda scan: replace(scan, pixels=np.ascontiguousarray(change(scan.pixels), dtype=np.float32))


def _resized(values: np.ndarray, side: int) -> np.ndarray:
    """(S, H, W, C) to (S, side, side, C), bilinear, smoothed first where it shrinks."""
    x = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).permute(0, 3, 1, 2)
    x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=side < values.shape[1])
    return np.asarray(x.permute(0, 2, 3, 1).numpy())


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    """Each slice through a colour JPEG of quality 75, as Pillow writes it (chroma halved)."""
    out = np.empty_like(pixels)
    for s, one in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(np.clip(one, 0, BYTE).astype(np.uint8)).save(file, "JPEG", quality=75)
        out[s] = np.asarray(Image.open(file), dtype=np.float32)
    return out


def _turned(values: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(ndimage.rotate(values, degrees, axes=(1, 2), reshape=False, order=1, mode="constant"))


@dataclass(frozen=True)
class Change:
    """What is done to a scan, and how its levels (S, h, w) come back onto the slices of the reference (S, H, W).

    limit: how much mean Dice the project allows it to cost. lone: every slice is sent without its volume.
    """

    name: str
    limit: float | None
    change: Callable[[Scan], Scan]
    back: Callable[[np.ndarray], np.ndarray] = _same
    lone: bool = False


def changes(side: int = 256) -> list[Change]:
    """All changes, for slices of `side` pixels and values 0 to 255, as the dataset has them."""

    def resized(to: int) -> Change:
        return Change(
            f"{to} × {to} pixels",
            0.015,
            _by_pixels(lambda p: _resized(p, to).round()),
            lambda levels: _resized(levels[..., None], side)[..., 0].round().astype(np.uint8),
        )

    def turned(degrees: float) -> Change:
        return Change(
            f"rotated by {degrees:+g}°",
            0.01,
            _by_pixels(lambda p: _turned(p, degrees).round()),
            lambda levels: _turned(levels.astype(np.float32), -degrees).round().astype(np.uint8),
        )

    return [
        Change("FLAIR alone, in all three channels", 0.01, _by_pixels(lambda p: p[..., [FLAIR] * 3])),
        Change("every slice without its volume", 0.01, lambda scan: scan, lone=True),
        Change(
            "FLAIR alone and without its volume (a grey PNG)", None, _by_pixels(lambda p: p[..., [FLAIR] * 3]), lone=True
        ),
        Change("gain 0.5", 0.01, _by_pixels(lambda p: (p * 0.5).round())),
        Change("gain 2", 0.01, _by_pixels(lambda p: p * 2)),
        Change("gain 2, cut off at 255", None, _by_pixels(lambda p: np.minimum(p * 2, BYTE))),
        Change("gamma 0.7", 0.01, _by_pixels(lambda p: (BYTE * (p / BYTE) ** 0.7).round())),
        Change("gamma 1.4", 0.01, _by_pixels(lambda p: (BYTE * (p / BYTE) ** 1.4).round())),
        Change("16 bit", 0.01, _by_pixels(lambda p: p * 257)),
        Change("JPEG, quality 75", 0.01, _by_pixels(_jpeg)),
        resized(192),
        resized(512),
        Change("mirrored", 0.01, _by_pixels(lambda p: p[:, :, ::-1]), lambda levels: levels[:, :, ::-1]),
        turned(10),
        turned(-10),
    ]


def segment_changed(segmenter: Segmenter, scan: Scan, change: Change) -> np.ndarray:
    """The kept levels (S, H, W) uint8 of a changed scan, back on the slices of the unchanged one."""
    changed = change.change(scan)
    if change.lone:
        lone = (replace(changed, pixels=changed.pixels[s : s + 1]) for s in range(len(changed)))
        return change.back(np.concatenate([segmenter.segment(one) for one in lone]))
    return change.back(segmenter.segment(changed))


def robustness(
    index: pd.DataFrame, segmenter_of: Callable[[str], Segmenter], threshold: float | None, wanted: Iterable[str] = ()
) -> dict[str, Any]:
    """The table as JSON. segmenter_of: the network for a patient; threshold: its own for None; wanted: names of changes."""
    listed = [c for c in changes() if not wanted or any(w in c.name for w in wanted)]
    dice: dict[str, dict[str, float]] = {name: {} for name in ("unchanged", *(c.name for c in listed))}
    for name, rows in tqdm(list(index.groupby("patient", sort=True)), unit="patient", disable=None):
        patient = str(name)
        segmenter = segmenter_of(patient)
        at = segmenter.threshold if threshold is None else threshold
        scan, reference = read_patient(rows)
        dice["unchanged"][patient] = count(binarise(segmenter.segment(scan), at), reference).dice
        for change in listed:
            levels = segment_changed(segmenter, scan, change)
            dice[change.name][patient] = count(binarise(levels, at), reference).dice
    before = np.array(list(dice["unchanged"].values()))
    rows_out = []
    for change in listed:
        lost = before - np.array(list(dice[change.name].values()))
        rows_out.append(
            {
                "change": change.name,
                "volume_dice_mean": float(np.mean(before - lost)),
                "drop": float(np.mean(lost)),
                "drop_ci95": list(bootstrap_ci95(lost)),
                "limit": change.limit,
                "worst_patient_drop": float(lost.max()),
            }
        )
    return {
        "protocol": "mean volume Dice over whole patients, all slices; both empty counts as 1; drop = unchanged minus "
        "changed, patient by patient; 95 % interval by bootstrap over patients (10,000 draws)",
        "patients": len(before),
        "slices": len(index),
        "unchanged": {"volume_dice_mean": float(before.mean()), "volume_dice_ci95": list(bootstrap_ci95(before))},
        "changes": rows_out,
        "per_patient": dice,
    }


def calibrated(run: Path, result: dict[str, Any]) -> Segmenter:
    """The network of a fold with the calibration that the other folds gave it."""
    network, record = load_checkpoint(run)
    record["calibration"] = result["calibration"]["by_fold"][run.name.removeprefix("fold-")]
    return Segmenter(network, record)


def print_table(result: dict[str, Any]) -> None:
    """One line a change."""
    print(f"{result['patients']} patients, {result['slices']} slices; unchanged "
          f"{result['unchanged']['volume_dice_mean']:.4f}")  # fmt: skip
    for row in result["changes"]:
        low, high = row["drop_ci95"]
        limit = "" if row["limit"] is None else f"  allowed {row['limit']:g}"
        print(f"{row['change']:<50}{row['volume_dice_mean']:.4f}  drop {row['drop']:+.4f} "
              f"({low:+.4f} to {high:+.4f}){limit}")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the kaggle_3m folder")
    parser.add_argument("--patients", type=Path, metavar="CSV", help="score those of its `patient` column (all of DIR)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", metavar="FILE", help="weights to score: a file or a Hub repository (weights/)")
    which.add_argument("--cross-validation", type=Path, metavar="RUNS", help="the folder of a finished `crossval`")
    parser.add_argument("--threshold", type=probability, help="between 0 and 1 (the checkpoint's, 0.5 as shipped)")
    parser.add_argument("--only", nargs="+", default=(), metavar="TEXT", help="changes whose name has one of these (all)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the table as JSON")
    given = parser.parse_args(arguments)
    try:
        if given.cross_validation:
            result = json.loads((given.cross_validation / RESULT).read_text(encoding="utf-8"))
            run_of = {p["patient"]: given.cross_validation / f"fold-{p['fold']}" for p in result["per_patient"]}
            networks = {run: calibrated(run, result) for run in sorted(set(run_of.values()))}
            patients: Iterable[str] | None = sorted(run_of)
        else:
            one, patients = Segmenter.load(given.checkpoint), None
        if given.patients is not None:
            patients = read_patients(given.patients)["patient"]
        index = index_dataset(given.data, patients)
        given.out.parent.mkdir(parents=True, exist_ok=True)
    except (DatasetError, CheckpointError, OSError) as error:
        print(f"robustness: {error}", file=sys.stderr)
        return 2
    result = robustness(
        index, (lambda p: networks[run_of[p]]) if given.cross_validation else (lambda _: one), given.threshold, given.only
    )
    used = {run.name.removeprefix("fold-"): s for run, s in networks.items()} if given.cross_validation else {"all": one}
    result["networks"] = {name: segmenter.record["sha256"] for name, segmenter in used.items()}
    given.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

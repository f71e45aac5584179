"""How much Dice is lost on what people upload: `python -m lgg_demo.experiments.robustness --data DIR --out FILE`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from lgg_demo.atomic import write_json
from lgg_demo.case import Scan
from lgg_demo.command import Checkpoint, Folder, OptionalFile, OptionalFolder, Threshold, run, threshold_or
from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import count
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import Record
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.reading.limits import FLAIR
from lgg_demo.train.cross_validation import RESULT, network_of
from lgg_demo.train.data import DatasetError, index_dataset, read_patient, read_patients
from lgg_demo.train.runs import read_json

BYTE = 255.0
UNCHANGED = "unchanged"
PROTOCOL = (
    "mean volume Dice over whole patients, all slices; both empty counts as 1; drop = unchanged minus changed, patient by "
    "patient; 95 % interval by bootstrap over patients (10,000 draws); what is allowed concerns the mean drop"
)


def _same(probability: np.ndarray) -> np.ndarray:
    return probability


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


def _rotated(values: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(ndimage.rotate(values, degrees, axes=(1, 2), reshape=False, order=1, mode="constant"))


@dataclass(frozen=True)
class Change:
    """What is done to a scan, and how its quantised probability (S, h, w) is brought back to the reference (S, H, W).

    limit: how much mean Dice the project allows it to cost. single_slice: each slice is segmented, and normalised, alone.
    """

    name: str
    limit: float | None
    change: Callable[[Scan], Scan]
    back: Callable[[np.ndarray], np.ndarray] = _same
    single_slice: bool = False


def changes(side: int = 256) -> list[Change]:
    """All changes, for slices of `side` pixels and values 0 to 255, as the dataset has them."""
    flair_alone = _by_pixels(lambda p: p[..., [FLAIR] * 3])

    def resized(to: int) -> Change:
        return Change(
            f"{to} × {to} pixels",
            0.015,
            _by_pixels(lambda p: _resized(p, to).round()),
            lambda probability: _resized(probability[..., None], side)[..., 0].round().astype(np.uint8),
        )

    def rotated(degrees: float) -> Change:
        return Change(
            f"rotated by {degrees:+g}°",
            0.01,
            _by_pixels(lambda p: _rotated(p, degrees).round()),
            lambda probability: _rotated(probability.astype(np.float32), -degrees).round().astype(np.uint8),
        )

    return [
        Change("FLAIR alone, in all three channels", 0.01, flair_alone),
        Change("every slice without its volume", 0.01, lambda scan: scan, single_slice=True),
        Change("FLAIR alone and without its volume (a grey PNG)", None, flair_alone, single_slice=True),
        Change("gain 0.5", 0.01, _by_pixels(lambda p: (p * 0.5).round())),
        Change("gain 2", 0.01, _by_pixels(lambda p: p * 2)),
        Change("gain 2, cut off at 255", None, _by_pixels(lambda p: np.minimum(p * 2, BYTE))),
        Change("gamma 0.7", 0.01, _by_pixels(lambda p: (BYTE * (p / BYTE) ** 0.7).round())),
        Change("gamma 1.4", 0.01, _by_pixels(lambda p: (BYTE * (p / BYTE) ** 1.4).round())),
        Change("16 bit", 0.01, _by_pixels(lambda p: p * 257)),
        Change("JPEG, quality 75", 0.01, _by_pixels(_jpeg)),
        resized(192),
        resized(512),
        Change("mirrored", 0.01, _by_pixels(lambda p: p[:, :, ::-1]), lambda probability: probability[:, :, ::-1]),
        rotated(10),
        rotated(-10),
    ]


def segment_changed(segmenter: Segmenter, scan: Scan, change: Change) -> np.ndarray:
    """The quantised probability (S, H, W) uint8 of a changed scan, back on the slices of the unchanged one."""
    changed = change.change(scan)
    if not change.single_slice:
        return change.back(segmenter.segment(changed))
    slices = (replace(changed, pixels=changed.pixels[s : s + 1]) for s in range(len(changed)))
    return change.back(np.concatenate([segmenter.segment(one) for one in slices]))


def measure(
    segmenter: Segmenter, scan: Scan, reference: np.ndarray, threshold: float, listed: list[Change]
) -> dict[str, float]:
    """A patient's volume Dice, by the name of the change, UNCHANGED first."""
    probabilities = {UNCHANGED: segmenter.segment(scan)} | {c.name: segment_changed(segmenter, scan, c) for c in listed}
    return {name: count(binarise(own, threshold), reference).dice for name, own in probabilities.items()}


def summary(dice: dict[str, dict[str, float]], listed: list[Change]) -> dict[str, Any]:
    """The table as JSON, from what `measure` gave for each patient."""
    columns = {name: np.array([own[name] for own in dice.values()]) for name in (UNCHANGED, *(c.name for c in listed))}
    before = columns[UNCHANGED]
    rows = []
    for change in listed:
        lost = before - columns[change.name]
        rows.append(
            {
                "change": change.name,
                "volume_dice_mean": float(columns[change.name].mean()),
                "drop": float(lost.mean()),
                "drop_ci95": list(bootstrap_ci95(lost)),
                "limit": change.limit,
                "worst_patient_drop": float(lost.max()),
            }
        )
    return {
        "unchanged": {"volume_dice_mean": float(before.mean()), "volume_dice_ci95": list(bootstrap_ci95(before))},
        "changes": rows,
        "per_patient": {name: dict(zip(dice, column.tolist(), strict=True)) for name, column in columns.items()},
    }


def robustness(
    index: pd.DataFrame, segmenters: dict[str, Segmenter], threshold: float | None, listed: list[Change], part: Path
) -> dict[str, Any]:
    """Measure every patient of an index (see `index_dataset`), and the table as JSON.

    segmenters: the network for each patient; threshold: its own for None. part: a file that holds the patients that are
    done, from which the same call resumes.
    """
    of = {
        "networks": {patient: one.record["sha256"] for patient, one in segmenters.items()},
        "threshold": threshold,
        "changes": [c.name for c in listed],
    }
    try:
        kept = read_json(part)
    except ValueError:  # killed while it was written
        kept = {}
    dice: dict[str, dict[str, float]] = kept["dice"] if kept.get("of") == of else {}
    for name, rows in tqdm(list(index.groupby("patient", sort=True)), unit="patient", disable=None):
        patient = str(name)
        if patient not in dice:
            segmenter = segmenters[patient]
            at = threshold_or(threshold, segmenter.threshold)
            dice[patient] = measure(segmenter, *read_patient(rows), at, listed)
            write_json(part, {"of": of, "dice": dice})
    return {"patients": len(dice), "slices": len(index), **summary(dict(sorted(dice.items())), listed)}


def calibrated(runs: Path, fold: str, result: dict[str, Any]) -> Segmenter:
    """The network of a fold with the calibration that the other folds gave it."""
    network, record = load_checkpoint(network_of(runs, f"fold-{fold}", result))
    record["calibration"] = result["calibration"]["by_fold"][fold]
    return Segmenter(TorchEngine(network, Record.of(record)), record)


def read_runs(runs: Path) -> tuple[dict[str, Segmenter], dict[str, str]]:
    """The network of each fold of a finished cross-validation, and each patient's fold. Raises OSError or ValueError."""
    text = (runs / RESULT).read_text(encoding="utf-8")
    try:
        result = json.loads(text)
        fold_of = {p["patient"]: str(p["fold"]) for p in result["per_patient"]}
        if not fold_of:
            raise ValueError("it has no patients")
        return {fold: calibrated(runs, fold, result) for fold in sorted(set(fold_of.values()))}, fold_of
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{runs / RESULT} is not what `cross_validation` writes.") from error


def print_table(result: dict[str, Any]) -> None:
    """One line a change."""
    print(f"{result['patients']} patients, {result['slices']} slices; unchanged "
          f"{result['unchanged']['volume_dice_mean']:.4f}")  # fmt: skip
    for row in result["changes"]:
        low, high = row["drop_ci95"]
        limit = "" if row["limit"] is None else f"  allowed {row['limit']:g}"
        print(f"{row['change']:<50}{row['volume_dice_mean']:.4f}  drop {row['drop']:+.4f} "
              f"({low:+.4f} to {high:+.4f}){limit}")  # fmt: skip


@dataclass(frozen=True)
class RobustnessSettings:
    """Score every patient unchanged and after each change of the input, by the same network at the same threshold.

    The drop in mean volume Dice has a 95 % interval by bootstrap over patients, the pairs kept. FILE.part keeps what is
    done, and the same command resumes from there.
    """

    data: Folder
    """the kaggle_3m folder"""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """the table as JSON"""
    patients: OptionalFile = None
    """score those of its `patient` column; all of DIR without"""
    checkpoint: Checkpoint = None
    """weights to score: a file or a Hub repository; those in weights/ without"""
    cross_validation: OptionalFolder = None
    """the folder of a finished cross-validation: each patient is scored by the network that was not trained on them"""
    threshold: Threshold = None
    """between 0 and 1; the checkpoint's, 0.5 as shipped, without"""
    every: int = 1
    """score every Nth patient by name, where time is short"""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT ...")] = ()
    """changes whose name has one of these; all without"""


def chosen_changes(only: Sequence[str]) -> list[Change]:
    """The changes whose name has one of these texts, all for none. Raises ValueError for a text that no name has."""
    every = changes()
    for text in only:
        if not any(text in c.name for c in every):
            raise ValueError(f"no change is called {text!r}; there are: {'; '.join(c.name for c in every)}.")
    return [c for c in every if not only or any(text in c.name for text in only)]


def networks_of(given: RobustnessSettings) -> tuple[dict[str, Segmenter], dict[str, str], pd.DataFrame]:
    """The networks by name, which of them scores each patient, and the index of the patients to score.

    Raises DatasetError, CheckpointError, OSError or ValueError.
    """
    wanted = None if given.patients is None else set(read_patients(given.patients)["patient"])
    if not given.cross_validation:
        networks = {"all": Segmenter.load(given.checkpoint)}
        index = index_dataset(given.data, wanted)
        index = index[index["patient"].isin(sorted(set(index["patient"]))[:: given.every])]
        return networks, dict.fromkeys(index["patient"], "all"), index
    networks, fold_of = read_runs(given.cross_validation)
    unknown = sorted((wanted or set()) - fold_of.keys())
    if unknown:
        raise DatasetError(f"{unknown[0]} is not in {given.cross_validation / RESULT}.")
    return networks, fold_of, index_dataset(given.data, sorted(wanted or fold_of)[:: given.every])


def _protocol(given: RobustnessSettings) -> str:
    who = "every patient" if given.every == 1 else f"one patient in {given.every}, in the order of their names,"
    by = "the network of the cross-validation that was not trained on that patient"
    at = "its own threshold" if given.threshold is None else f"threshold {given.threshold:g}"
    return f"{who} by {by if given.cross_validation else 'the same network'}, at {at}; {PROTOCOL}"


def score_changes(given: RobustnessSettings) -> int:
    """What the command does; returns its exit code."""
    listed = chosen_changes(given.only)
    if given.every < 1:
        raise ValueError("--every must be at least 1.")
    if given.out.is_dir():
        raise ValueError(f"--out {given.out} is a folder; give the name of a file.")
    if given.checkpoint and given.cross_validation:
        raise ValueError("--checkpoint and --cross-validation do not go together.")
    networks, network_for, index = networks_of(given)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    segmenters = {patient: networks[network_for[patient]] for patient in sorted(set(index["patient"]))}
    part = given.out.with_name(f"{given.out.name}.part")
    result = {
        "protocol": _protocol(given),
        **robustness(index, segmenters, given.threshold, listed, part),
        "networks": {name: segmenter.record["sha256"] for name, segmenter in networks.items()},
    }
    write_json(given.out, result)
    part.unlink(missing_ok=True)
    print_table(result)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.robustness", RobustnessSettings, score_changes, arguments)


if __name__ == "__main__":
    sys.exit(main())

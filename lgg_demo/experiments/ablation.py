"""What helped and what did not: `python -m lgg_demo.experiments.ablation RUNS` writes docs/ablation.json and .md."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import tyro
from scipy import ndimage
from tqdm import tqdm

from lgg_demo.case import Scan
from lgg_demo.command import Folder, OptionalFolder, run
from lgg_demo.experiments.markdown import DOCS, read_facts, render, write_page
from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import count
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import Record
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.train.cross_validation import RESULT
from lgg_demo.train.data import index_dataset, read_patient
from lgg_demo.train.runs import METRICS, SPLIT, read_json, settings_of
from lgg_demo.train.settings import TrainSettings, usual_settings

COMPONENTS = (0.05, 0.2)  # what is smaller than this share of a volume's largest component is removed
SCALES = ((256,), (256, 256), (320,), (256, 320), (320, 320), (288, 352), (224, 256, 288, 320))
# What makes no row of its own: where the data lie, what every run of a table shares, and the seed.
SHARED = ("epochs", "slices_per_epoch", "validation_fold", "leave_out_fold", "validate", "validation_fraction")
ASIDE = ("data", "out", "folds", "seed", "workers", "device", *SHARED)
KEPT = ("volume_dice_mean", "volume_dice_ci95", "volume_dice_median", "pooled_dice", "patients", "epochs")


class FinishedRun(NamedTuple):
    """A run of `train`: its settings, the figures of its last epoch, and how many and which patients it had."""

    folder: Path
    settings: dict[str, Any]
    figures: dict[str, Any]
    patients: dict[str, Any]


def finished_runs(folder: Path) -> list[FinishedRun]:
    """The finished runs in a folder, by name; an unfinished one is named on stderr.

    Raises ValueError where there is none, or one without validation patients.
    """
    runs = []
    for file in sorted(folder.glob(f"*/{METRICS}")):
        own, table = file.parent, pd.read_csv(file)
        settings = settings_of(own, TrainSettings(data=Path(), out=Path()))
        if not settings["validate"] or "val_dice_pooled" not in table:
            raise ValueError(f"{own} is no run of `train` that was validated on patients; take it away.")
        if len(table) < settings["epochs"]:
            print(f"ablation: {own.name} is not finished; left out", file=sys.stderr)
            continue
        last, split = table.iloc[-1], read_json(own / SPLIT)
        figures = {
            "seed": settings["seed"],
            "volume_dice_mean": float(last["val_dice"]),
            "volume_dice_median": float(last["val_dice_median"]),
            "pooled_dice": float(last["val_dice_pooled"]),
            "minutes": round(float(table["seconds"].sum()) / 60, 1),
        }
        names = sorted(split["validation"])
        patients = {"train": len(split["train"]), "validation": len(names), "names": names}
        runs.append(FinishedRun(own, settings, figures, patients))
    if not runs:
        raise ValueError(f"{folder} holds no finished run.")
    return runs


def new_table(runs: Sequence[FinishedRun], baseline: str) -> dict[str, Any]:
    """A table without rows, for runs that are compared with the named one. Raises ValueError where it is not there."""
    for one in runs:
        if one.folder.name == baseline:
            return {"budget": {}, "baseline": one.settings, "patients": one.patients, "rows": []}
    raise ValueError(f"{runs[0].folder.parent} holds no finished run {baseline}.")


def joined(table: dict[str, Any], runs: Iterable[FinishedRun]) -> dict[str, Any]:
    """The table with these runs: a row for each set of changed settings, baseline first, the best next.

    A run of the same settings and seed replaces the one that is there. Raises ValueError where a run has not the table's
    budget or patients.
    """
    usual = usual_settings() | table["baseline"] | table["budget"]
    rows = {_key(row["changed"]): {run["seed"]: run for run in row["runs"]} for row in table["rows"]}
    for one in runs:
        _check_comparable(one, usual, table["patients"])
        changed = {k: v for k, v in one.settings.items() if k not in ASIDE and v != usual.get(k)}
        rows.setdefault(_key(changed), {})[one.figures["seed"]] = one.figures
    listed = [{"changed": json.loads(key), "runs": [own[seed] for seed in sorted(own)]} for key, own in rows.items()]
    return {
        "budget": {k: usual[k] for k in SHARED},
        "patients": table["patients"],
        "baseline": {k: v for k, v in usual.items() if k not in ASIDE},
        "rows": sorted(listed, key=lambda row: (bool(row["changed"]), -_mean_dice(row["runs"]))),
    }


def _check_comparable(one: FinishedRun, usual: dict[str, Any], patients: dict[str, Any]) -> None:
    """Raise ValueError where a run has not the budget or the patients of a table."""
    if any(one.settings[k] != usual[k] for k in SHARED):
        shared = ", ".join(SHARED)
        raise ValueError(f"The runs of one table share {shared}; {one.folder} does not. --baseline begins a new table.")
    if one.patients != patients:
        raise ValueError(f"{one.folder} has other patients than the table; --baseline begins a new one.")


def _key(changed: dict[str, Any]) -> str:
    return json.dumps(changed, sort_keys=True)


def _mean_dice(runs: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([one["volume_dice_mean"] for one in runs]))


def _scans(data: Path, runs: Sequence[Path]) -> Iterator[tuple[Scan, np.ndarray]]:
    """Scan and reference of each validation patient of the runs. Raises ValueError where they do not share them."""
    splits = [read_json(one / SPLIT).get("validation") for one in runs]
    if not splits[0] or any(split != splits[0] for split in splits):
        raise ValueError("The runs need the same validation patients.")
    for _, rows in tqdm(list(index_dataset(data, splits[0]).groupby("patient", sort=True)), unit="patient", disable=None):
        yield read_patient(rows)


def _mean_and_median(dice: list[float]) -> dict[str, float]:
    return {"volume_dice_mean": float(np.mean(dice)), "volume_dice_median": float(np.median(dice))}


def score_scales(folder: Path, data: Path) -> dict[str, Any]:
    """Mean and median volume Dice and relative cost of a run's network on its validation patients, for each of SCALES.

    Raises DatasetError, CheckpointError or ValueError.
    """
    network, record = load_checkpoint(folder)
    checked = Record.of(record)
    segmenters = {scales: Segmenter(TorchEngine(network, replace(checked, views=scales)), record) for scales in SCALES}
    dice: dict[tuple[int, ...], list[float]] = {scales: [] for scales in SCALES}
    seconds = dict.fromkeys(SCALES, 0.0)
    for scan, reference in _scans(data, [folder]):
        for scales in SCALES:
            started = time.perf_counter()
            probability = segmenters[scales].segment(scan)
            seconds[scales] += time.perf_counter() - started
            dice[scales].append(count(binarise(probability, 0.5), reference).dice)
    cost = {scales: spent / seconds[SCALES[0]] for scales, spent in seconds.items()}
    rows = [{"views": list(scales), **_mean_and_median(dice[scales]), "cost": cost[scales]} for scales in SCALES]
    return {"run": folder.name, "rows": rows}


def without_small(mask: np.ndarray, share: float) -> np.ndarray:
    """A mask (S, H, W) bool without its 26-connected components of less than `share` of the largest."""
    labels, found = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=found + 1)
    sizes[0] = 0
    return np.asarray((sizes >= max(share * sizes.max(), 1))[labels])


def ensemble_masks(probabilities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The masks of one scan by name: of each network, of their ensemble, and of both without small components.

    probabilities: for each network the quantised probabilities (S, H, W) uint8.
    """
    masks = {f"`{name}`": binarise(one, 0.5) for name, one in probabilities.items()}
    first, ensemble = next(iter(masks)), f"ensemble of {len(probabilities)}"
    masks[ensemble] = binarise(np.floor(np.mean(list(probabilities.values()), axis=0) + 0.5), 0.5)
    for name in (first, ensemble):
        for share in COMPONENTS:
            masks[f"{name}, from {share:.0%} of the largest component"] = without_small(masks[name], share)
    return masks


def score_ensemble(runs: Sequence[Path], data: Path) -> list[dict[str, Any]]:
    """Mean and median volume Dice of the runs' validation patients, for each of `ensemble_masks`.

    Raises DatasetError, CheckpointError, or ValueError where the runs do not share these patients.
    """
    segmenters = {one.name: Segmenter.load(one) for one in runs}
    dice: dict[str, list[float]] = {}
    for scan, reference in _scans(data, runs):
        masks = ensemble_masks({name: segmenter.segment(scan) for name, segmenter in segmenters.items()})
        for name, mask in masks.items():
            dice.setdefault(name, []).append(count(mask, reference).dice)
    return [{"mask": name, **_mean_and_median(values)} for name, values in dice.items()]


def _read_result(folder: Path) -> dict[str, Any]:
    result = read_facts(folder / RESULT)
    if not {"epochs", "networks"} <= result.keys():
        raise ValueError(f"{folder} is of an earlier version: repeat its cross-validation.")
    return result


def _relation(before: dict[str, Any], after: dict[str, Any]) -> str:
    """How the networks of two cross-validations are related: fine-tuned, again (from the same start), or apart."""
    if after.get("begun_from") == before["networks"]:
        return "fine-tuned"
    return "again" if before.get("begun_from") == after.get("begun_from") else "apart"


def _changed_between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The settings of training in which the second cross-validation differs from the first."""
    old, new = (usual_settings() | result["settings"] for result in (before, after))  # of settings that came later
    own = {*ASIDE, "begin"} - {"seed", "epochs", "slices_per_epoch"}
    changed = {k: v for k, v in new.items() if k not in own and old.get(k) != v}
    return changed | ({"blend": after["blend"]} if "blend" in after else {})


def compare_pair(before: Path, after: Path) -> dict[str, Any]:
    """Two cross-validations: how they are related (`made`), settings that changed, scores of both (`sides`), and mean, 95 %
    interval, median and sign of the change of a patient's Dice.

    before, after: the folders that `cross_validation` wrote, or of the released network. Raises OSError, or ValueError
    where the two do not go together.
    """
    results = [_read_result(folder) for folder in (before, after)]
    first, second = ({(p["patient"], p["fold"]): p["dice"] for p in result["per_patient"]} for result in results)
    if first.keys() != second.keys():
        raise ValueError(f"{before} and {after} are of different patients or folds.")
    gain = np.array([second[patient] - dice for patient, dice in first.items()])
    return {
        "networks": [result["networks"] for result in results],
        "made": _relation(*results),
        "changed": _changed_between(*results),
        "sides": [{k: result[k] for k in KEPT} for result in results],
        "gain_mean": float(gain.mean()),
        "gain_ci95": list(bootstrap_ci95(gain)),
        "gain_median": float(np.median(gain)),
        "better": int((gain > 0).sum()),
        "worse": int((gain < 0).sum()),
    }


def as_text(found: dict[str, Any]) -> str:
    """The content of ablation.json as Markdown."""
    sections = dict.fromkeys(("test_time_augmentation", "ensemble", "pairs"))
    return render("ablation", **sections | found) + "\n"


@dataclass(frozen=True)
class AblationSettings:
    """Write docs/ablation.json and docs/ablation.md.

    RUNS holds finished runs of `train` of one budget and validation fold. Runs that differ in nothing but the seed make one
    row, which is compared with the row of the baseline. Every run is scored at its last epoch, so that none is selected.
    With neither RUNS nor --pair the page is written again from the JSON.
    """

    runs: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RUNS")]] = None
    """the folder that holds the folders of the runs"""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """begin a new table: the run that the others are compared with; without, the runs join the table that is there"""
    data: OptionalFolder = None
    """with --test-time-augmentation or --ensemble: the kaggle_3m folder"""
    test_time_augmentation: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """with --data: the run to score with other scales too"""
    ensemble: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """with --data: runs to score alone and as an ensemble, with and without small components"""
    pair: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="BEFORE AFTER")] = None
    """the folders of two finished cross-validations, to be compared patient by patient"""
    out: Folder = DOCS
    """where both files go"""


def _check(given: AblationSettings) -> None:
    """Raise ValueError for flags that do not go together."""
    served = bool(given.test_time_augmentation or given.ensemble)
    if served != bool(given.data) or (served and not given.runs):
        raise ValueError("--test-time-augmentation and --ensemble go with --data and RUNS, and --data with one of them.")
    if given.runs and not (given.baseline or (given.out / "ablation.json").exists()):
        raise ValueError("name the run to compare with: --baseline NAME.")


def write_ablation(given: AblationSettings) -> int:
    """What the command does; returns its exit code."""
    _check(given)
    found = read_json(given.out / "ablation.json")
    if given.runs:
        runs = finished_runs(given.runs)
        if given.baseline:
            found = {k: v for k, v in found.items() if k == "pairs"} | new_table(runs, given.baseline)
        found |= joined(found, runs)
    if given.pair:
        pair = compare_pair(*given.pair)
        others = [one for one in found.get("pairs", []) if one["networks"] != pair["networks"]]
        found["pairs"] = [*others, pair]
    if given.runs and given.data and given.test_time_augmentation:
        found["test_time_augmentation"] = score_scales(given.runs / given.test_time_augmentation, given.data)
    if given.runs and given.data and given.ensemble:
        found["ensemble"] = score_ensemble([given.runs / name for name in given.ensemble], given.data)
    if "rows" not in found:
        raise ValueError("there is no table yet: give RUNS and --baseline NAME.")
    write_page(given.out, "ablation", found, as_text(found))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.ablation", AblationSettings, write_ablation, arguments)


if __name__ == "__main__":
    sys.exit(main())

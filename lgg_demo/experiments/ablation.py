"""What helped and what did not: `python -m lgg_demo.experiments.ablation RUNS` writes
docs/ablation.json and docs/ablation.md.

RUNS holds finished runs of `train` of one budget and validation fold. Runs that differ in nothing but the seed make one
row; the row of --baseline is what the others are compared with, and begins a new table. Without --baseline the runs join
the table that ablation.json has already, whose own runs may be gone. Every run is scored at its last epoch, so that nothing
is chosen. With --data the run --looks is also scored with other views of each slice, and the runs --together each alone, as
the mean of their probabilities, and without small components; neither trains anything. --pair sets two finished
cross-validations side by side, patient by patient, below the pairs that are there. With neither RUNS nor --pair the text is
written again from the JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from lgg_demo.case import Scan
from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import count
from lgg_demo.network.record import CheckpointError
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.train.cross_validation import RESULT
from lgg_demo.train.data import DatasetError, index_dataset, read_patient
from lgg_demo.train.runs import METRICS, SPLIT, flag, read_json, settings_of
from lgg_demo.train.training import TrainSettings

COMPONENTS = (0.05, 0.2)  # what is smaller than this share of a volume's largest component is left out
VIEWS = ((256,), (256, 256), (320,), (256, 320), (320, 320), (288, 352), (224, 256, 288, 320))
MADE = {
    "on": "Every network of the first was trained on, by the patients who had taught it already (`--begin`),",
    "anew": "The folds were trained anew,",
    "apart": "The folds of one of the two were trained in several legs (`--begin`), the last of the second",
}
DOCS = Path(__file__).resolve().parents[2] / "docs"
# What makes no row of its own: where the data lie, what every run of a table shares, and the seed.
SHARED = (
    "epochs",
    "slices_per_epoch",
    "validation_fold",
    "leave_out_fold",
    "validate",
    "validation_fraction",
)
ASIDE = ("data", "out", "folds", "seed", "workers", "device", *SHARED)


def finished_runs(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """By name the settings, the figures of the last epoch and the patients of the finished runs in a folder.

    Raises ValueError where a run chose on nobody.
    """
    runs = {}
    for file in sorted(folder.glob(f"*/{METRICS}")):
        name, table = file.parent.name, pd.read_csv(file)
        settings = settings_of(file.parent, TrainSettings(data=Path(), out=Path()))
        if not settings["validate"] or "val_dice_pooled" not in table:
            raise ValueError(f"{file.parent} is no run of `train` that was validated on patients; take it away.")
        if len(table) < settings["epochs"]:
            print(f"ablation: {name} is not finished; left out", file=sys.stderr)
            continue
        last = table.iloc[-1]
        figures = {
            "seed": settings["seed"],
            "volume_dice_mean": float(last["val_dice"]),
            "volume_dice_median": float(last["val_dice_median"]),
            "pooled_dice": float(last["val_dice_pooled"]),
            "minutes": round(float(table["seconds"].sum()) / 60, 1),
        }
        split = read_json(file.parent / SPLIT)
        names = sorted(split["validation"])
        runs[name] = settings, figures, {"train": len(split["train"]), "validation": len(names), "names": names}
    if not runs:
        raise ValueError(f"{folder} holds no finished run.")
    return runs


def read_runs(folder: Path, baseline: str | None, before: dict[str, Any]) -> dict[str, Any]:
    """Rows of the table, baseline first: settings that differ from its, seeds, Dice of the last epoch, minutes.

    baseline: name of one of the runs, or None: they join the table `before`, where one of the same settings and seed takes
    the other's place. Raises ValueError where the runs have no common budget or patients, or the baseline is no finished
    one of them.
    """
    runs = finished_runs(folder)
    rows: dict[str, dict[str, Any]] = {}
    if baseline is None:
        usual = TrainSettings(data=Path(), out=Path()).as_json() | before["baseline"] | before["budget"]
        patients = before["patients"]
        new = {(_key(_changed(settings, usual)), figures["seed"]) for settings, figures, _ in runs.values()}
        for row in before["rows"]:
            kept = [run for run in row["runs"] if (_key(row["changed"]), run["seed"]) not in new]
            rows[_key(row["changed"])] = {"changed": row["changed"], "runs": kept}
    elif baseline in runs:
        usual, _, patients = runs[baseline]
    else:
        raise ValueError(f"{folder} holds no finished run {baseline}.")
    for name, (settings, figures, theirs) in runs.items():
        if any(settings[k] != usual[k] for k in SHARED):
            raise ValueError(
                f"The runs of one table share {', '.join(SHARED)}; {folder / name} does not. --baseline begins a new table."
            )
        if theirs != patients:
            raise ValueError(f"{folder / name} has other patients than the table; --baseline begins a new one.")
        changed = _changed(settings, usual)
        rows.setdefault(_key(changed), {"changed": changed, "runs": []})["runs"].append(figures)
    for row in rows.values():
        row["runs"].sort(key=lambda run: int(run["seed"]))
    return {
        "budget": {k: usual[k] for k in SHARED},
        "patients": patients,
        "baseline": {k: v for k, v in usual.items() if k not in ASIDE},
        "rows": sorted(rows.values(), key=lambda row: (bool(row["changed"]), -_mean(row))),
    }


def _changed(settings: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k not in ASIDE and v != usual[k]}


def _key(changed: dict[str, Any]) -> str:
    return json.dumps(changed, sort_keys=True)


def _scans(data: Path, names: list[str]) -> Iterator[tuple[Scan, np.ndarray]]:
    """Scan and reference of each patient, with a bar."""
    for _, rows in tqdm(list(index_dataset(data, names).groupby("patient", sort=True)), unit="patient", disable=None):
        yield read_patient(rows)


def _mean_and_median(dice: list[float]) -> dict[str, float]:
    return {"volume_dice_mean": float(np.mean(dice)), "volume_dice_median": float(np.median(dice))}


def score_views(run: Path, data: Path) -> dict[str, Any]:
    """Mean and median volume Dice and relative cost of a run's checkpoint on its validation patients, for each of VIEWS.

    Raises DatasetError or CheckpointError.
    """
    names = json.loads((run / SPLIT).read_text(encoding="utf-8"))["validation"]
    segmenter = Segmenter.load(run)
    dice: dict[tuple[int, ...], list[float]] = {views: [] for views in VIEWS}
    seconds = dict.fromkeys(VIEWS, 0.0)
    for scan, reference in _scans(data, names):
        for views in VIEWS:
            segmenter.views, started = views, time.perf_counter()
            levels = segmenter.segment(scan)
            seconds[views] += time.perf_counter() - started
            dice[views].append(count(binarise(levels, 0.5), reference).dice)
    return {
        "run": run.name,
        "rows": [
            {"views": list(views), **_mean_and_median(dice[views]), "cost": seconds[views] / seconds[VIEWS[0]]}
            for views in VIEWS
        ],
    }


def without_small(mask: np.ndarray, share: float) -> np.ndarray:
    """A mask (S, H, W) bool without its components, touching at a corner or more, of less than `share` of the largest."""
    labels, found = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=found + 1)
    sizes[0] = 0
    return np.asarray((sizes >= max(share * sizes.max(), 1))[labels])


def score_together(runs: Sequence[Path], data: Path) -> list[dict[str, Any]]:
    """Mean and median volume Dice of the runs' validation patients: by each run, by all together, without small components.

    Raises DatasetError, CheckpointError, or ValueError where the runs do not share these patients.
    """
    splits = [read_json(run / SPLIT).get("validation") for run in runs]
    if not splits[0] or any(split != splits[0] for split in splits):
        raise ValueError("The runs --together need the same validation patients.")
    segmenters = [Segmenter.load(run) for run in runs]
    together = f"all {len(runs)} together"
    dice: dict[str, list[float]] = {}
    for scan, reference in _scans(data, splits[0]):
        levels = [segmenter.segment(scan) for segmenter in segmenters]
        masks = {f"`{run.name}`": binarise(one, 0.5) for run, one in zip(runs, levels, strict=True)}
        masks[together] = binarise(np.floor(np.mean(levels, axis=0) + 0.5), 0.5)
        for name in (f"`{runs[0].name}`", together):
            for share in COMPONENTS:
                masks[f"{name}, from {share:.0%} of the largest component"] = without_small(masks[name], share)
        for name, mask in masks.items():
            dice.setdefault(name, []).append(count(mask, reference).dice)
    return [{"mask": name, **_mean_and_median(values)} for name, values in dice.items()]


def compare_pair(before: Path, after: Path) -> dict[str, Any]:
    """Two cross-validations: settings that changed, how the second was `made` (one of MADE), scores of both (`sides`), and
    mean, 95 % interval, median and sign of the change of a patient's Dice.

    before, after: the folders that `crossval` wrote, or of the released network. Raises OSError, or ValueError where the
    two do not go together.
    """
    results = [json.loads((folder / RESULT).read_text(encoding="utf-8")) for folder in (before, after)]
    for folder, result in zip((before, after), results, strict=True):
        if not {"epochs", "networks"} <= result.keys():
            raise ValueError(f"{folder} is of an earlier version: repeat its `crossval`.")
    parents = [result.get("begun_from") for result in results]
    folds = [{(p["patient"], p["fold"]) for p in result["per_patient"]} for result in results]
    if folds[0] != folds[1]:
        raise ValueError(f"{before} and {after} are of different patients or folds.")
    dice = [{p["patient"]: p["dice"] for p in result["per_patient"]} for result in results]
    gain = np.array([dice[1][patient] - dice[0][patient] for patient in dice[0]])
    usual = TrainSettings(data=Path(), out=Path()).as_json()  # of settings that came after a run was made
    old, new = (usual | result["settings"] for result in results)
    kept = ("volume_dice_mean", "volume_dice_ci95", "volume_dice_median", "pooled_dice", "patients")
    own = {*ASIDE, "begin"} - {"seed", "epochs", "slices_per_epoch"}
    changed = {k: v for k, v in new.items() if k not in own and old[k] != v}
    if "blend" in results[1]:
        changed["blend"] = results[1]["blend"]
    return {
        "networks": [result["networks"] for result in results],
        "made": "on" if parents[1] == results[0]["networks"] else "anew" if parents[0] == parents[1] else "apart",
        "changed": changed,
        "sides": [{k: result[k] for k in kept} | {"epochs": result["epochs"]} for result in results],
        "gain_mean": float(gain.mean()),
        "gain_ci95": list(bootstrap_ci95(gain)),
        "gain_median": float(np.median(gain)),
        "better": int((gain > 0).sum()),
        "worse": int((gain < 0).sum()),
    }


def _pairs_text(pairs: list[dict[str, Any]]) -> str:
    return "\n## Cross-validated twice\n" + "".join(_pair_text(pair, n) for n, pair in enumerate(pairs, 1))


def _pair_text(pair: dict[str, Any], number: int) -> str:
    rows = "\n".join(
        f"| {name} | {' + '.join(map(str, side['epochs']))} | {side['volume_dice_mean']:.4f} "
        f"({side['volume_dice_ci95'][0]:.3f} to {side['volume_dice_ci95'][1]:.3f}) | {side['volume_dice_median']:.4f} "
        f"| {side['pooled_dice']:.4f} |"
        for name, side in zip(("first", "second"), pair["sides"], strict=True)
    )
    changed = ", ".join(f"`{flag(k, v)}`" for k, v in pair["changed"].items())
    low, high = pair["gain_ci95"]
    made = MADE[pair["made"]] + (
        f" with {changed or 'the same settings'}. All {pair['sides'][0]['patients']} patients out of fold, threshold 0.5."
    )
    change = (
        f"From the first to the second a patient's Dice changes by {pair['gain_mean']:+.4f} on average ({low:+.4f} to "
        f"{high:+.4f}, by bootstrap over patients), by {pair['gain_median']:+.4f} at the median; {pair['better']} patients "
        f"are better, {pair['worse']} worse."
    )
    return f"""
### {number}

{textwrap.fill(made, 122, break_on_hyphens=False)}

| cross-validation | epochs | mean volume Dice (95 % interval) | median | pooled |
|---|---|---|---|---|
{rows}

{textwrap.fill(change, 122, break_on_hyphens=False)}
"""


def _views_text(looks: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| `{' '.join(map(str, row['views']))}` | {row['volume_dice_mean']:.4f} | {row['volume_dice_median']:.4f} "
        f"| {row['cost']:.1f} |"
        for row in looks["rows"]
    )
    return f"""
## The same network, looking more than once

The best epoch of the run `{looks["run"]}` on the same patients, served with other `--views`: the side that a slice's 256
pixels are resized to, every second time mirrored; the mean of the probabilities. Cost: time of a slice, in looks at 256.

| views | mean volume Dice | median | cost |
|---|---|---|---|
{lines}
"""


def _together_text(rows: list[dict[str, Any]]) -> str:
    lines = "\n".join(f"| {r['mask']} | {r['volume_dice_mean']:.4f} | {r['volume_dice_median']:.4f} |" for r in rows)
    return f"""
## Several networks, and what is small left out

The best epochs of runs above on the same patients: alone; together, by the mean of their probabilities; and without the
components of a volume that are smaller than a share of its largest.

| mask | mean volume Dice | median |
|---|---|---|
{lines}
"""


def _mean(row: dict[str, Any], of: str = "volume_dice_mean") -> float:
    return float(np.mean([run[of] for run in row["runs"]]))


SECTIONS: dict[str, Callable[[Any], str]] = {"looks": _views_text, "together": _together_text, "pairs": _pairs_text}


def as_text(found: dict[str, Any]) -> str:
    """The table as Markdown."""
    helps = {f.name: f.metadata["help"] for f in fields(TrainSettings)}
    usual, base = found["baseline"], found["rows"][0]
    spread = [run["volume_dice_mean"] for run in base["runs"]]
    lines = []
    for row in found["rows"]:
        words = "; ".join(
            f"`{flag(k, v)}` (instead of {flag(k, usual[k]).partition(' ')[2]})" for k, v in row["changed"].items()
        )
        seeds = ", ".join(f"{run['volume_dice_mean']:.4f}" for run in row["runs"])
        change = "" if row is base else f"{_mean(row) - _mean(base):+.4f}"
        lines.append(
            f"| {words or 'baseline'} | {seeds} | {change} | {_mean(row, 'volume_dice_median'):.4f} "
            f"| {_mean(row, 'pooled_dice'):.4f} | {_mean(row, 'minutes'):.0f} |"
        )
    apart = (
        f"The seeds of the baseline lie {max(spread) - min(spread):.4f} apart: a change of that size is chance, and twice "
        "that may be where a row has one seed."
        if len(spread) > 1
        else "The baseline has one seed, so nothing here says how much is chance; expect about 0.005."
    )
    budget, patients = found["budget"], found["patients"]
    used = sorted({k for row in found["rows"] for k in row["changed"]})
    notes = "\n".join(f"- `--{k.replace('_', '-')}`: {helps[k]}" for k in used)
    fixed = ", ".join(f"`{flag(k, v)}`" for k, v in usual.items() if v is not None and not isinstance(v, bool))
    return f"""# What helped and what did not

One change at a time against a fixed baseline: {budget["epochs"]} epochs of {budget["slices_per_epoch"]} slices, trained on
{patients["train"]} patients, scored on the {patients["validation"]} of fold {budget["validation_fold"]} (mean volume Dice,
all slices, threshold 0.5, both empty counts as 1) at the last epoch: no epoch is chosen. A figure a seed. {apart}
Minutes are by the clock, on a machine that did other things too.

The baseline: {fixed}.

| change | mean volume Dice, a figure a seed | against the baseline | median | pooled | minutes |
|---|---|---|---|---|---|
{chr(10).join(lines)}

{notes}
{"".join(text(found[key]) for key, text in SECTIONS.items() if key in found)}
Written by `python -m lgg_demo.experiments.ablation` from `ablation.json`, which it makes from the folders of the runs.
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="?", metavar="RUNS", help="the folder that holds the folders of the runs")
    parser.add_argument("--baseline", metavar="NAME", help="begin a new table: the run that the others are compared with")
    parser.add_argument("--data", type=Path, metavar="DIR", help="with --looks or --together: the kaggle_3m folder")
    parser.add_argument("--looks", metavar="NAME", help="with --data: the run to serve with other views too")
    parser.add_argument("--together", nargs="+", metavar="NAME", help="with --data: runs to score alone and as one")
    parser.add_argument(
        "--pair", type=Path, nargs=2, metavar=("BEFORE", "AFTER"), help="the folders of two finished cross-validations"
    )
    parser.add_argument("--out", type=Path, default=DOCS, metavar="DIR", help="where both files go (docs)")
    given = parser.parse_args(arguments)
    facts = given.out / "ablation.json"
    try:
        served = bool(given.looks or given.together)
        if served != bool(given.data) or (served and not given.runs):
            raise ValueError("--looks and --together go with --data and RUNS, and --data with one of them.")
        if given.runs and not (given.baseline or facts.exists()):
            raise ValueError("name the run to compare with: --baseline NAME.")
        found = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
        if given.baseline:
            found = {k: v for k, v in found.items() if k == "pairs"}  # the rest is of another table
        if given.runs:
            found |= read_runs(given.runs, given.baseline, found)
        if given.pair:
            pair = compare_pair(*given.pair)
            others = [one for one in found.get("pairs", []) if one["networks"] != pair["networks"]]
            found["pairs"] = [*others, pair]
        if given.looks:
            found["looks"] = score_views(given.runs / given.looks, given.data)
        if given.together:
            found["together"] = score_together([given.runs / name for name in given.together], given.data)
        if "rows" not in found:
            raise ValueError("there is no table yet: give RUNS and --baseline NAME.")
        text = as_text(found)
    except (DatasetError, CheckpointError, ValueError, OSError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    facts.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (given.out / "ablation.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The student report against an honest protocol: `python -m lgg_demo.experiments.comparison RUNS` writes
docs/seed-report.json and .md.

RUNS holds the four runs of the table, by the names of TABLE; those that are not there are said to be not run. With --data
and --folds the missing ones are trained and tested first, and a killed one goes on: that is the one command for all of it.
Without RUNS the text is written again from the JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lgg_demo.intensity import BYTE_NORMALISATION
from lgg_demo.network.checkpoint import CHECKPOINT, load_checkpoint
from lgg_demo.network.record import CheckpointError
from lgg_demo.train.data import DatasetError, PatientDataset, index_dataset, of_fold, read_patients, rows_of_patients
from lgg_demo.train.runs import METRICS, SETTINGS, finished, flag, quiet, read_json, trained_already, write_json
from lgg_demo.train.seed import EPOCHS, HARD, RESULTS, SOFT, SeedSettings, assess, run
from lgg_demo.train.seed import sides_of as seed_sides_of
from lgg_demo.train.training import TrainSettings, sides_of, train

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAME = "seed-report"
FOLDS = "--folds weights/cross_validation.json"
VALIDATION_FOLD, TEST_FOLD = 1, 2  # of the runs by patient
# The released network, trained for slices as the data set has them: no intensity changes, all sequences, whole volumes.
OWN_EPOCHS = 16
OWN_SETTINGS: dict[str, Any] = {"augment": "geometry", "lone_share": 0.0, "missing_share": 0.0}
WIDTH = 122  # of a line of the page

# The report's figures under their right names; the test figures also under the names that the report prints.
REPORT: dict[str, dict[str, float]] = {
    "test": {"loss": -0.8627, "accuracy": 0.9975, "iou": 0.7630, "dice": 0.8635},
    "validation": {"loss": -0.7961, "iou": 0.6444, "dice": 0.7673},
    "train": {"iou": 0.7681, "dice": 0.8642},
}
REPORT_SLICES = {"train": 2828, "validation": 708, "test": 393}
PRINTED_AS = {"accuracy": "Test IOU", "iou": "Test Dice"}
WORDS = {"loss": "loss: minus soft Dice", "accuracy": "binary accuracy", "iou": "IoU, soft", "dice": "Dice, soft"}
WANTED = {"seed-slice": REPORT["test"]["dice"], "own-slice": 0.93}  # soft Dice; pooled hard Dice


@dataclass(frozen=True)
class Row:
    """A run of the table: its folder's name, whose recipe, and its split (`slice` or `patient`)."""

    name: str
    recipe: str
    split: str


SEED, OWN = "the report's recipe", "the released network retrained"
TABLE = (
    Row("seed-slice", SEED, "slice"),
    Row("seed-patient", SEED, "patient"),
    Row("own-slice", OWN, "slice"),
    Row("own-patient", OWN, "patient"),
)


def command(row: Row) -> str:
    """What trains one run of the table by itself, at full length."""
    common = f"--split {row.split} --data kaggle_3m {FOLDS} --out RUNS/{row.name}"
    if row.recipe == SEED:
        return f"python -m lgg_demo.train --preset seed {common}"
    folds = f" --validation-fold {VALIDATION_FOLD} --leave-out-fold {TEST_FOLD}" if row.split == "patient" else ""
    flags = " ".join(flag(name, value) for name, value in {"epochs": OWN_EPOCHS, **OWN_SETTINGS}.items())
    return f"python -m lgg_demo.train {common}{folds} {flags}"


def seed_run(settings: SeedSettings) -> None:
    """Train and test by the report's recipe what its folder does not have yet."""
    if not trained_already(settings.out, settings):
        run(settings)
    if not (settings.out / RESULTS).exists():  # killed between its last epoch and the end of its test
        index, sides = seed_sides_of(settings)
        assess(settings.out, PatientDataset(index, sorted(set(index["patient"])), BYTE_NORMALISATION), sides)


def own_run(settings: TrainSettings) -> None:
    """Train the released network for the comparison where its folder does not have it yet, and test it; by patient, on the
    fold that it leaves out.
    """
    assert settings.folds is not None
    if not trained_already(settings.out, settings):
        train(settings)
    if (settings.out / RESULTS).exists():
        return
    index, split, sides = sides_of(settings)
    if sides is None:
        folds = read_patients(settings.folds, "fold")
        test = of_fold(folds, settings.leave_out_fold)
        index = index_dataset(settings.data, [*split.train, *split.validation, *test])
        sides = rows_of_patients(index, split, test, settings.seed)
    normalisation = load_checkpoint(settings.out / CHECKPOINT)[1]["normalisation"]
    assess(settings.out, PatientDataset(index, sorted(set(index["patient"])), normalisation), sides)


def read_run(folder: Path) -> dict[str, Any] | None:
    """What the table needs of one run's folder; None where it has not been trained and tested to its end.

    Raises KeyError, ValueError or OSError where its files are not those of a run.
    """
    if not (finished(folder) and (folder / RESULTS).exists()):
        return None
    settings, results = read_json(folder / SETTINGS), read_json(folder / RESULTS)
    table = pd.read_csv(folder / METRICS)
    kept = table[table["epoch"] == results["epoch"]].iloc[0]
    sides = {
        side: {name: float(kept[f"{prefix}_{name}"]) for name in WORDS if f"{prefix}_{name}" in kept}
        for side, prefix in (("validation", "val"), ("train", "train"))
    }
    return {
        "epochs": len(table),
        "epoch_kept": results["epoch"],
        "batch_size": settings["batch_size"],
        "seed": settings["seed"],
        "precision": settings.get("precision", "bf16 where the machine has it"),
        "minutes": round(float(table["seconds"].sum()) / 60, 1),
        **{side: results[side] for side in ("train", "validation", "test")},
        "test_patients_also_in_training": results["test_patients_also_in_training"],
        "soft": {name: results["report_measure"][name] for name in WORDS},
        "hard": {k: v for k, v in results["hard"].items() if k not in ("definition", "volume_dice")},
        "at_kept_epoch": sides,
    }


def read_runs(folder: Path) -> dict[str, Any]:
    """The content of seed-report.json: what each run of TABLE left, None where it has not been run. Raises ValueError."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give the one that holds the folders of the runs.")
    found = {}
    for row in TABLE:
        try:
            found[row.name] = read_run(folder / row.name)
        except (KeyError, IndexError, ValueError, OSError) as error:
            raise ValueError(f"{folder / row.name} is not a run of this table ({type(error).__name__}).") from error
    if not any(found.values()):
        raise ValueError(f"{folder} holds none of the runs {', '.join(found)}, or none is finished.")
    return {"runs": found}


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _item(text: str) -> str:
    return textwrap.fill(f"- {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _row(row: Row, found: dict[str, Any] | None, full: int) -> str:
    name = f"{row.recipe}, by {row.split}"
    if found is None:
        return _line([name, "not run", *["–"] * 9])
    soft, hard = found["soft"], found["hard"]
    short = f" of {full}" if found["epochs"] < full else ""
    volume = (
        f"{_figure(hard['volume_dice_mean'])}, {_figure(hard['volume_dice_median'])} ({hard['whole_patients']})"
        if hard["whole_patients"]
        else "–"
    )
    return _line(
        [
            name,
            f"{found['epochs']}{short}, {found['epoch_kept']} kept",
            *(f"{found[side]['slices']} ({found[side]['patients']})" for side in ("train", "test")),
            str(found["test_patients_also_in_training"]),
            *(_figure(soft[k]) for k in ("dice", "iou", "accuracy")),
            _figure(hard["pooled_dice"]),
            f"{_figure(hard['tumour_slice_dice_mean'])} ({hard['tumour_slices']})",
            volume,
        ]
    )


def _leak(runs: dict[str, Any]) -> str:
    """The paragraph on what the split by slice adds, from the figures of both recipes."""
    sentences = []
    for recipe in (SEED, OWN):
        by = {row.split: runs[row.name] for row in TABLE if row.recipe == recipe}
        if None in by.values():
            missing = " and by ".join(split for split, found in by.items() if found is None)
            sentences.append(f"With {recipe} nothing was run by {missing}, so its leak has no figure yet.")
            continue
        a, b = by["slice"], by["patient"]
        full, least = EPOCHS if recipe == SEED else OWN_EPOCHS, min(a["epochs"], b["epochs"])
        if least < full / 2:  # a network that has hardly learnt has nothing to remember
            sentences.append(f"With {recipe} {least} of {full} epochs were run, too few for its leak to have a figure.")
            continue
        soft, hard = (a["soft"]["dice"], b["soft"]["dice"]), (a["hard"]["pooled_dice"], b["hard"]["pooled_dice"])
        also = [f"{r['test_patients_also_in_training']} of the {r['test']['patients']}" for r in (a, b)]
        sentences.append(
            f"With {recipe} the split by slice gives {soft[0]:.4f} and the split by patient {soft[1]:.4f} soft Dice, "
            f"{hard[0]:.4f} and {hard[1]:.4f} pooled hard Dice: the leak is worth {soft[0] - soft[1]:+.4f} and "
            f"{hard[0] - hard[1]:+.4f}. {also[0]} patients tested by slice also had slices in training, {also[1]} tested "
            "by patient."
        )
        if a["epochs"] != b["epochs"]:
            sentences.append(f"The two ran for {a['epochs']} and {b['epochs']} epochs, so not all of it is the leak.")
        if a["train"]["slices"] != b["train"]["slices"]:
            sentences.append(
                f"They had {a['train']['slices']} and {b['train']['slices']} slices to train on, which has a share in it "
                "too."
            )
    return " ".join(sentences)


def _goals(runs: dict[str, Any]) -> str:
    """Whether the two figures that were set as aims are reached."""
    lines = []
    for name, what, key in (
        ("seed-slice", "the report's recipe by slice, its own Dice", ("soft", "dice")),
        ("own-slice", "the released network retrained by slice, pooled hard Dice", ("hard", "pooled_dice")),
    ):
        found, wanted = runs[name], WANTED[name]
        if found is None:
            lines.append(f"- {what}: not run; {wanted} is wanted.")
            continue
        value = found[key[0]][key[1]]
        word = "reached" if value >= wanted else "not reached"
        epochs = f"{found['epochs']} epoch{'s' if found['epochs'] > 1 else ''}"
        lines.append(f"- {what}: {value:.4f} after {epochs}; {wanted} is wanted: {word}.")
    return "\n".join(lines)


def _shortened(runs: dict[str, Any]) -> str:
    """A sentence on runs of fewer epochs than the report's."""
    short = {row.name: runs[row.name] for row in TABLE if row.recipe == SEED}
    words = [f"`{name}` {run['epochs']}" for name, run in short.items() if run and run["epochs"] < EPOCHS]
    if not words:
        return ""
    said = (
        f"**Shortened runs:** the report trains for {EPOCHS} epochs; here {', '.join(words)}. Their figures are what so "
        "many epochs give, not what the recipe gives."
    )
    return f"\n{textwrap.fill(said, WIDTH, break_on_hyphens=False)}\n"


def as_text(facts: dict[str, Any]) -> str:
    """The page as Markdown, from the content of seed-report.json."""
    runs = facts["runs"]
    report = REPORT["test"]
    head = [
        "run", "epochs", "train slices (patients)", "test slices (patients)", "of these also in training", "Dice, soft",
        "IoU, soft", "binary accuracy", "Dice, hard, pooled", "Dice, hard, mean by slice (slices)",
        "volume Dice mean, median (patients)",
    ]  # fmt: skip
    table = [
        _line(head),
        _line(["---"] * len(head)),
        _line(
            [
                "the report itself, by slice",
                str(EPOCHS),
                f"{REPORT_SLICES['train']} (not stated)",
                f"{REPORT_SLICES['test']} (not stated)",
                "not stated",
                _figure(report["dice"]),
                _figure(report["iou"]),
                _figure(report["accuracy"]),
                "–",
                "–",
                "–",
            ]
        ),
        *(_row(row, runs[row.name], EPOCHS if row.recipe == SEED else OWN_EPOCHS) for row in TABLE),
    ]
    names = "\n".join(
        _line([_figure(report[k]), WORDS[k], f"“{PRINTED_AS[k]}”" if k in PRINTED_AS else ""]) for k in report
    )
    other = "\n".join(
        _line([f"{row.recipe}, by {row.split}, epoch {found['epoch_kept']}", side,
               *(_figure(found["at_kept_epoch"][side].get(k)) for k in ("loss", "iou", "dice"))])
        for row in TABLE
        if row.recipe == SEED and (found := runs[row.name])
        for side in ("validation", "train")
    )  # fmt: skip
    theirs = "\n".join(
        _line(["the report itself", side, *(_figure(REPORT[side].get(k)) for k in ("loss", "iou", "dice"))])
        for side in ("validation", "train")
    )
    everything = f"python -m lgg_demo.experiments.comparison RUNS --data kaggle_3m {FOLDS}"
    commands = "\n".join(command(row) for row in TABLE)
    costs = "\n".join(
        f"- `{name}`: batches of {run['batch_size']}, seed {run['seed']}, {run['precision']}, {run['minutes']:g} minutes."
        for name, run in runs.items()
        if run
    )
    not_run = [f"`{row.name}`" for row in TABLE if runs[row.name] is None]
    missing = f"\nNot run: {', '.join(not_run)}; the commands below make them.\n" if not_run else ""
    leak = (
        f"{_leak(runs)} The slices of one patient are near-copies of their neighbours, so a split by slice tests on what "
        "was nearly seen. Each figure is one run on one draw, and the two splits test other slices: differences of a few "
        "hundredths say little."
    )
    whole = all(run and run["epochs"] >= EPOCHS for run in (runs[row.name] for row in TABLE if row.recipe == SEED))
    text = f"""# The student report, {"reproduced and corrected" if whole else "its recipe begun, and corrected"}

A student report of 2023/24 trained a Keras U-Net of 31,152,833 parameters on the LGG data, split by slice. Its test
figures, under their right names (the report prints two of them under the name of another measure):

| figure | what it is | printed as |
|---|---|---|
{names}

The table has its recipe, redone with PyTorch, on its kind of split and on a split by patient, and a network of the
released one's design trained anew for both. The weights in weights/ have learnt from every patient of these folds, so these
patients cannot score them; and they have learnt to cope with the brightness, noise and missing sequences that people
upload, which these runs leave out: their slices are moved, turned and scaled, nothing else.

{chr(10).join(table)}
{missing}{_shortened(runs)}
{_item(f"Soft figures are the report's own measure: {SOFT}.")}
{_item(f"Hard figures: {HARD}.")}
- Slices and patients are those of the data here; the complete data have 3,929 slices of 110 patients. By patient: fold
  {VALIDATION_FOLD} chooses the epoch, fold {TEST_FOLD} is tested, the others train.

## What the leak is worth

{textwrap.fill(leak, WIDTH, break_on_hyphens=False)}

## What was wanted

{_goals(runs)}

## Validation and training

| run | side | loss | IoU, soft | Dice, soft |
|---|---|---|---|---|
{theirs}
{other}

The report does not say of which epoch its figures are. Training figures are of augmented slices, taken while the network
learns, as Keras takes them.

## Run it

All runs that are not there yet, then this page:

```bash
{everything}
```

One by one, to be followed by that command all the same, which tests what they do not test themselves:

```bash
{commands}
```

{costs}

Written by `python -m lgg_demo.experiments.comparison` from `{NAME}.json`, which it makes from the folders of the runs.
"""
    return re.sub(r"\n{3,}", "\n\n", text)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="?", metavar="RUNS", help="the folder that holds the folders of the runs")
    parser.add_argument("--out", type=Path, default=DOCS, metavar="DIR", help="where both files go (docs)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the kaggle_3m folder: train and test what RUNS has not")
    parser.add_argument("--folds", type=Path, metavar="CSV", help="with --data: the columns patient and fold")
    parser.add_argument(
        "--only", nargs="+", choices=[row.name for row in TABLE], metavar="NAME", help="with --data: these runs alone"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help=f"of the report's recipe ({EPOCHS})")
    parser.add_argument("--own-epochs", type=int, default=OWN_EPOCHS, metavar="N", help=f"of the other ({OWN_EPOCHS})")
    parser.add_argument(
        "--precision", choices=("float32", "bf16"), default="float32", help="of the report's recipe (float32)"
    )
    given = parser.parse_args(arguments)
    quiet()
    facts = given.out / f"{NAME}.json"
    try:
        if given.data:
            if given.runs is None or given.folds is None:
                raise ValueError("--data goes with RUNS and --folds.")
            for row in (row for row in TABLE if not given.only or row.name in given.only):
                out = given.runs / row.name
                print(f"{row.name}: {row.recipe}, by {row.split}", flush=True)
                if row.recipe == SEED:
                    seed_run(SeedSettings(given.data, out, given.folds, row.split, VALIDATION_FOLD, TEST_FOLD,
                                          epochs=given.epochs, precision=given.precision))  # fmt: skip
                    continue
                left_out = TEST_FOLD if row.split == "patient" else 0
                own_run(TrainSettings(given.data, out, given.folds, VALIDATION_FOLD, left_out, split=row.split,
                                      epochs=given.own_epochs, **OWN_SETTINGS))  # fmt: skip
        if given.runs:
            found = read_runs(given.runs)
            given.out.mkdir(parents=True, exist_ok=True)
            write_json(facts, found)
        text = as_text(json.loads(facts.read_text(encoding="utf-8")))
    except (DatasetError, CheckpointError, ValueError, KeyError, OSError) as error:
        print(f"comparison: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("comparison: interrupted; the same command goes on.", file=sys.stderr)
        return 130
    (given.out / f"{NAME}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

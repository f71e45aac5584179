"""The student report against an honest protocol: `python -m lgg_demo.experiments.comparison RUNS` writes
docs/seed-report.json and .md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import tyro

from lgg_demo.command import Folder, OptionalFile, OptionalFolder, run
from lgg_demo.experiments.markdown import DOCS, read_facts, render, write_page
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.train.assessment import HARD, RESULTS, assess
from lgg_demo.train.data import PatientDataset, index_dataset, of_fold, read_patients
from lgg_demo.train.loop import quiet
from lgg_demo.train.recipes import SOFT
from lgg_demo.train.runs import METRICS, SETTINGS, finished, flag, read_json, trained_already
from lgg_demo.train.settings import REPORT_EPOCHS as EPOCHS
from lgg_demo.train.settings import SeedSettings, TrainSettings
from lgg_demo.train.splits import Sides, Split, rows_of_patients, sides_of, split_by_fold
from lgg_demo.train.training import train

NAME = "seed-report"
FOLDS = "--folds weights/cross_validation.json"
VALIDATION_FOLD, TEST_FOLD = 1, 2  # of the runs by patient
# The released network, trained for slices as the data set has them: no intensity changes, all sequences, whole volumes.
OWN_EPOCHS = 16
OWN_SETTINGS: dict[str, Any] = {"augment": "geometry", "lone_share": 0.0, "missing_share": 0.0}

# The report's figures under their right names; the test figures also under the names that the report prints.
REPORT: dict[str, dict[str, float]] = {
    "test": {"loss": -0.8627, "accuracy": 0.9975, "iou": 0.7630, "dice": 0.8635},
    "validation": {"loss": -0.7961, "iou": 0.6444, "dice": 0.7673},
    "train": {"iou": 0.7681, "dice": 0.8642},
}
REPORT_SLICES = {"train": 2828, "validation": 708, "test": 393}
PRINTED_AS = {"accuracy": "Test IOU", "iou": "Test Dice"}
WORDS = {"loss": "loss: minus soft Dice", "accuracy": "binary accuracy", "iou": "IoU, soft", "dice": "Dice, soft"}


@dataclass(frozen=True)
class Recipe:
    """How a run is trained, and for how many epochs at full length."""

    name: str
    epochs: int


@dataclass(frozen=True)
class Row:
    """A run of the table: its folder's name, whose recipe, and its split (`slice` or `patient`)."""

    name: str
    recipe: Recipe
    split: str


SEED, OWN = Recipe("the report's recipe", EPOCHS), Recipe("the released network retrained", OWN_EPOCHS)
TABLE = (
    Row("seed-slice", SEED, "slice"),
    Row("seed-patient", SEED, "patient"),
    Row("own-slice", OWN, "slice"),
    Row("own-patient", OWN, "patient"),
)
# What was aimed at: the run, the measure in words and where its figure stands, and the least that is wanted.
TARGETS = (
    ("seed-slice", "the report's recipe by slice, its own Dice", ("soft", "dice"), REPORT["test"]["dice"]),
    ("own-slice", "the released network retrained by slice, pooled hard Dice", ("hard", "pooled_dice"), 0.93),
)


def command(row: Row) -> str:
    """What trains one run of the table by itself, at full length."""
    common = f"--split {row.split} --data kaggle_3m {FOLDS} --out RUNS/{row.name}"
    if row.recipe == SEED:
        return f"python -m lgg_demo.train --preset seed {common}"
    folds = f" --validation-fold {VALIDATION_FOLD} --leave-out-fold {TEST_FOLD}" if row.split == "patient" else ""
    flags = " ".join(flag(name, value) for name, value in {"epochs": OWN_EPOCHS, **OWN_SETTINGS}.items())
    return f"python -m lgg_demo.train {common}{folds} {flags}"


def _sides(settings: SeedSettings | TrainSettings) -> tuple[pd.DataFrame, Sides]:
    """The index of the data and its rows to train, select the epoch and test on; by patient an own run's test is the fold
    that it leaves out.
    """
    index, sides = sides_of(settings)
    if not sides.test:
        assert isinstance(settings, TrainSettings) and settings.folds is not None
        folds = read_patients(settings.folds, "fold")
        split = split_by_fold(folds, settings.validation_fold, settings.leave_out_fold)
        split = Split(split.train, split.validation, tuple(of_fold(folds, settings.leave_out_fold)))
        index = index_dataset(settings.data, [*split.train, *split.validation, *split.test])
        sides = rows_of_patients(index, split)
    return index, sides


def complete(settings: SeedSettings | TrainSettings) -> None:
    """Train and test what the run's folder does not have yet; a killed run is resumed."""
    if not trained_already(settings.out, settings):
        train(settings)
    if not (settings.out / RESULTS).exists():  # the other recipe does not test; or killed before the end of its test
        index, sides = _sides(settings)
        normalisation = load_checkpoint(settings.out / CHECKPOINT)[1]["normalisation"]
        assess(settings.out, PatientDataset(index, normalisation), sides)


def read_run(folder: Path) -> dict[str, Any] | None:
    """What the table needs of one run's folder; None where it has not been trained and tested to its end.

    Raises KeyError, IndexError, ValueError or OSError where its files are not those of a run.
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


def as_text(facts: dict[str, Any]) -> str:
    """The page as Markdown, from the content of seed-report.json."""
    runs = facts["runs"]
    targets = [
        {
            "what": what,
            "value": runs[name] and runs[name][side][figure],
            "epochs": runs[name] and runs[name]["epochs"],
            "wanted": wanted,
        }
        for name, what, (side, figure), wanted in TARGETS
    ]
    text = render(
        NAME,
        rows=[(row, runs[row.name]) for row in TABLE],
        targets=targets,
        commands=[command(row) for row in TABLE],
        seed=SEED,
        own=OWN,
        report=REPORT,
        report_slices=REPORT_SLICES,
        printed_as=PRINTED_AS,
        words=WORDS,
        soft=SOFT,
        hard=HARD,
        folds=FOLDS,
        validation_fold=VALIDATION_FOLD,
        test_fold=TEST_FOLD,
    )
    return f"{text}\n"


@dataclass(frozen=True)
class ComparisonSettings:
    """Write docs/seed-report.json and docs/seed-report.md.

    RUNS holds the four runs of the table: seed-slice, seed-patient, own-slice and own-patient; those that are not there are
    said to be not run. With --data and --folds the missing ones are trained and tested first, and a killed one is resumed.
    Without RUNS the page is written again from the JSON.
    """

    runs: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="RUNS")]] = None
    """the folder that holds the folders of the runs"""
    out: Folder = DOCS
    """where both files go"""
    data: OptionalFolder = None
    """the kaggle_3m folder: train and test what RUNS has not"""
    folds: OptionalFile = None
    """with --data: the columns patient and fold"""
    only: Annotated[
        tuple[Literal["seed-slice", "seed-patient", "own-slice", "own-patient"], ...], tyro.conf.arg(metavar="NAME ...")
    ] = ()
    """with --data: these runs alone; all without"""
    epochs: int = EPOCHS
    """of the report's recipe"""
    own_epochs: int = OWN_EPOCHS
    """of the other"""
    precision: Literal["float32", "bf16"] = "float32"
    """of the report's recipe"""


def settings_of(row: Row, given: ComparisonSettings, data: Path, out: Path) -> SeedSettings | TrainSettings:
    """The settings that train one run of the table."""
    shared: dict[str, Any] = {"data": data, "out": out, "folds": given.folds, "split": row.split}
    shared["validation_fold"] = VALIDATION_FOLD
    if row.recipe == SEED:
        return SeedSettings(test_fold=TEST_FOLD, epochs=given.epochs, precision=given.precision, **shared)
    left_out = TEST_FOLD if row.split == "patient" else 0
    return TrainSettings(leave_out_fold=left_out, epochs=given.own_epochs, **OWN_SETTINGS, **shared)


def write_comparison(given: ComparisonSettings) -> int:
    """What the command does; returns its exit code."""
    quiet()
    if given.data:
        if given.runs is None or given.folds is None:
            raise ValueError("--data goes with RUNS and --folds.")
        for row in (row for row in TABLE if not given.only or row.name in given.only):
            print(f"{row.name}: {row.recipe.name}, by {row.split}", flush=True)
            complete(settings_of(row, given, given.data, given.runs / row.name))
    facts = read_runs(given.runs) if given.runs else read_facts(given.out / f"{NAME}.json")
    write_page(given.out, NAME, facts, as_text(facts))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.comparison", ComparisonSettings, write_comparison, arguments)


if __name__ == "__main__":
    sys.exit(main())

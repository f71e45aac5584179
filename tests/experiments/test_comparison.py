"""The page on the student report: from made-up folders of runs to its text, and the command that completes the runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lgg_demo.experiments import comparison
from lgg_demo.experiments.comparison import TABLE
from lgg_demo.experiments.markdown import DOCS
from lgg_demo.train import training

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def write_run(folder: Path, name: str, soft: float, hard: float, epochs: int = 50) -> None:
    """The files of a finished run, with made-up figures; the third epoch is the kept one."""
    run = folder / name
    run.mkdir(parents=True)
    (run / "lgg-unet.safetensors").touch()
    (run / "settings.json").write_text(json.dumps({"epochs": epochs, "batch_size": 32, "seed": 0, "precision": "float32"}))
    numbers = range(1, epochs + 1)
    names = [f"{side}_{figure}" for side in ("train", "val") for figure in ("loss", "dice", "iou", "accuracy")]
    values = {"epoch": numbers, "seconds": [60.0] * epochs} | {name: [0.1 * n for n in numbers] for name in names}
    pd.DataFrame(values).to_csv(run / "metrics.csv", index=False)
    whole = name.endswith("patient")
    results = {
        "train": {"slices": 1500 if whole else 2000, "patients": 44 if whole else 88},
        "validation": {"slices": 500, "patients": 22 if whole else 85},
        "test": {"slices": 316, "patients": 22 if whole else 81},
        "test_patients_also_in_training": 0 if whole else 80,
        "epoch": 3,
        "report_measure": {"loss": -soft, "dice": soft, "iou": soft - 0.1, "accuracy": 0.99},
        "hard": {
            "pooled_dice": hard, "tumour_slices": 120, "tumour_slice_dice_mean": hard - 0.05,
            "whole_patients": 22 if whole else 0, "volume_dice_mean": 0.71 if whole else None,
            "volume_dice_median": 0.75 if whole else None, "volume_dice": {"TCGA_AA_0001_20000101": 0.7} if whole else {},
        },
    }  # fmt: skip
    (run / "results.json").write_text(json.dumps(results))


def written(runs: Path, docs: Path) -> str:
    assert comparison.main([str(runs), "--out", str(docs)]) == 0
    return " ".join((docs / "seed-report.md").read_text(encoding="utf-8").split())  # lines break anywhere


def test_all_four_runs_make_the_table(tmp_path: Path) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    for row, soft, hard in zip(TABLE, (0.87, 0.7, 0.91, 0.85), (0.9, 0.75, 0.94, 0.88), strict=True):
        write_run(runs, row.name, soft, hard)
    text = written(runs, docs)
    for said in (
        "| 0.9975 | binary accuracy | “Test IOU” |",
        "| 0.7630 | IoU, soft | “Test Dice” |",
        "| the report itself, by slice | 50 | 2828 (not stated) | 393 (not stated) | not stated | 0.8635 |",
        "| the report's recipe, by slice | 50, 3 kept | 2000 (88) | 316 (81) | 80 | 0.8700 | 0.7700 | 0.9900 | 0.9000 "
        "| 0.8500 (120) | – |",
        "| the released network retrained, by patient | 50, 3 kept | 1500 (44) | 316 (22) | 0 | 0.8500 | 0.7500 | 0.9900 "
        "| 0.8800 | 0.8300 (120) | 0.7100, 0.7500 (22) |",
        "0.8700 and the split by patient 0.7000 soft Dice, 0.9000 and 0.7500 pooled hard Dice",
        "the leak is worth +0.1700 and +0.1500. 80 of the 81 patients tested by slice",
        "They had 2000 and 1500 slices to train on",
        "its own Dice: 0.8700 after 50 epochs; the target is 0.8635: reached.",
        "pooled hard Dice: 0.9400 after 50 epochs; the target is 0.93: reached.",
        "| the report itself | validation | -0.7961 | 0.6444 | 0.7673 |",
        "| the report itself | train | – | 0.7681 | 0.8642 |",
        "| the report's recipe, by slice, epoch 3 | validation | 0.3000 | 0.3000 | 0.3000 |",
    ):
        assert said in text
    assert "not run" not in text.lower() and "Shortened" not in text
    assert "TCGA" not in (docs / "seed-report.json").read_text(), "figures alone"
    (docs / "seed-report.md").unlink()
    assert comparison.main(["--out", str(docs)]) == 0
    assert " ".join((docs / "seed-report.md").read_text(encoding="utf-8").split()) == text, "the page alone"


def test_what_was_not_run_or_shortened_is_said(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, epochs in (("seed-slice", 4), ("seed-patient", 4), ("own-slice", 10), ("own-patient", 12)):
        write_run(runs, name, 0.5, 0.6, epochs)
    (runs / "seed-patient" / "last.ckpt").touch()  # still running
    text = written(runs, tmp_path / "docs")
    for said in (
        "| the report's recipe, by patient | not run | – |",
        "Not run: `seed-patient`;",
        "4 of 50, 3 kept",
        "10 of 16, 3 kept",
        "**Shortened runs:** the report trains for 50 epochs; here `seed-slice` 4.",
        "With the report's recipe nothing was run by patient, so its leak",
        "The two ran for 10 and 12 epochs, so not all of it is the leak.",
        "0.5000 after 4 epochs; the target is 0.8635: not reached.",
        *(f"--out RUNS/{row.name}" for row in TABLE),
    ):
        assert said in text


def test_runs_that_are_hardly_trained_say_nothing_of_the_leak(tmp_path: Path) -> None:
    for name, epochs in (("seed-slice", 24), ("seed-patient", 50), ("own-slice", 8), ("own-patient", 16)):
        write_run(tmp_path / "runs", name, 0.8, 0.8, epochs)
    text = written(tmp_path / "runs", tmp_path / "docs")
    assert "With the report's recipe 24 of 50 epochs were run, too few for its leak to have a figure." in text
    assert "With the released network retrained the split by slice gives 0.8000" in text, "half of them is enough"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_commands_of_the_page_are_taken_by_train(row: comparison.Row, sentence: Sentence, tmp_path: Path) -> None:
    words = comparison.command(row).replace("RUNS/", f"{tmp_path}/").replace("kaggle_3m", str(tmp_path / "none")).split()
    assert "none is not a folder" in sentence(training.main, words[3:]), "the flags are, the data are not there"


def test_one_command_completes_the_runs(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has not been trained is, by both recipes, and what has not been tested."""
    small = {
        comparison.SEED: {"width": 1, "device": "cpu"},
        comparison.OWN: {"slices_per_epoch": 4, "batch_size": 4, "crop": 64, "views": (64,), "encoder_weights": "none",
                         "device": "cpu"},
    }  # fmt: skip
    settings_of = comparison.settings_of
    monkeypatch.setattr(comparison, "settings_of", lambda row, *a: replace(settings_of(row, *a), **small[row.recipe]))
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    given = [str(runs), "--data", str(dataset), "--folds", str(folds), "--out", str(docs), "--epochs", "1",
             "--own-epochs", "1"]  # fmt: skip
    assert comparison.main([*given, "--only", "seed-slice"]) == 0
    assert "Not run: `seed-patient`, `own-slice`, `own-patient`;" in (docs / "seed-report.md").read_text(encoding="utf-8")
    weights = (runs / "seed-slice" / "lgg-unet.safetensors").stat().st_mtime_ns
    (runs / "seed-slice" / "results.json").unlink()  # as if killed before the end of its test
    assert comparison.main([*given, "--only", "seed-slice", "own-slice", "own-patient"]) == 0
    assert (runs / "seed-slice" / "lgg-unet.safetensors").stat().st_mtime_ns == weights, "not trained again"
    found = json.loads((docs / "seed-report.json").read_text(encoding="utf-8"))["runs"]
    assert found["own-patient"]["test"] == {"slices": 5, "patients": 1}
    assert found["own-patient"]["hard"]["whole_patients"] == 1
    assert found["seed-slice"]["test"]["slices"] == found["own-slice"]["test"]["slices"] == 2


def test_what_cannot_be_compared_gets_one_sentence(tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "docs")]
    for arguments, said in (
        ([str(tmp_path / "none")], "is not a folder; give the one"),
        ([str(tmp_path)], "holds none of the runs seed-slice"),
        ([str(tmp_path), "--data", "d"], "--data goes with RUNS and --folds"),
        ([], "seed-report.json"),
    ):
        assert said in sentence(comparison.main, [*arguments, *out])
    write_run(tmp_path, "seed-slice", 0.5, 0.6)
    (tmp_path / "seed-slice" / "results.json").write_text("{}")
    assert "seed-slice is not a run of this table (KeyError)" in sentence(comparison.main, [str(tmp_path), *out])


def test_the_page_in_the_repository_is_that_of_its_file() -> None:
    found = json.loads((DOCS / "seed-report.json").read_text(encoding="utf-8"))
    assert (DOCS / "seed-report.md").read_text(encoding="utf-8") == comparison.as_text(found)

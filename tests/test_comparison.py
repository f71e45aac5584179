"""The page on the student report: from made-up run folders to its text, and the command that makes the runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TINY

from lgg_demo.experiments import comparison
from lgg_demo.experiments.comparison import TABLE
from lgg_demo.train.runs import parser_for
from lgg_demo.train.seed import SeedSettings
from lgg_demo.train.training import TrainSettings

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def write_run(folder: Path, name: str, soft: float, hard: float, epochs: int = 50, also: int = 80) -> None:
    """The files of a finished run, with made-up figures; the third epoch is the kept one."""
    run = folder / name
    run.mkdir(parents=True)
    (run / "lgg-unet.safetensors").touch()
    (run / "settings.json").write_text(json.dumps({"epochs": epochs, "batch_size": 32, "seed": 0, "precision": "float32"}))
    values: dict[str, Any] = {"epoch": range(1, epochs + 1), "seconds": [60.0] * epochs}
    names = [f"{side}_{figure}" for side in ("train", "val") for figure in ("loss", "dice", "iou", "accuracy")]
    table = pd.DataFrame(values | {name: [0.1 * n for n in range(1, epochs + 1)] for name in names})
    table.to_csv(run / "metrics.csv", index=False)
    whole = name.endswith("patient")
    results = {
        "level": "patient" if whole else "slice",
        "train": {"slices": 1500 if whole else 2000, "patients": 44 if whole else 88},
        "validation": {"slices": 500, "patients": 22 if whole else 85},
        "test": {"slices": 316, "patients": 22 if whole else 81},
        "test_patients_also_in_training": 0 if whole else also,
        "epoch": 3,
        "report_measure": {"definition": "", "loss": -soft, "dice": soft, "iou": soft - 0.1, "accuracy": 0.99},
        "hard": {
            "definition": "", "pooled_dice": hard, "pooled_iou": hard - 0.1, "tumour_slices": 120,
            "tumour_slice_dice_mean": hard - 0.05, "whole_patients": 22 if whole else 0,
            "volume_dice_mean": 0.71 if whole else None, "volume_dice_median": 0.75 if whole else None,
            "volume_dice": {"TCGA_AA_0001_20000101": 0.7} if whole else {},
        },
    }  # fmt: skip
    (run / "results.json").write_text(json.dumps(results))


def written(runs: Path, docs: Path) -> str:
    assert comparison.main([str(runs), "--out", str(docs)]) == 0
    return " ".join((docs / "seed-report.md").read_text(encoding="utf-8").split())  # lines break anywhere


def test_all_four_runs_make_the_table(tmp_path: Path) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    for name, soft, hard in (("seed-slice", 0.87, 0.9), ("seed-patient", 0.7, 0.75), ("own-slice", 0.91, 0.94),
                             ("own-patient", 0.85, 0.88)):  # fmt: skip
        write_run(runs, name, soft, hard)
    text = written(runs, docs)
    assert "| 0.9975 | binary accuracy | “Test IOU” |" in text
    assert "| 0.7630 | IoU, soft | “Test Dice” |" in text
    assert "| the report itself, by slice | 50 | 2828 (not stated) | 393 (not stated) |" in text
    assert (
        "| the report's recipe, by slice | 50, 3 kept | 2000 (88) | 316 (81) | 80 | 0.8700 | 0.7700 | 0.9900 | 0.9000 "
        "| 0.8500 (120) | – |" in text
    )
    assert (
        "| the released network retrained, by patient | 50, 3 kept | 1500 (44) | 316 (22) | 0 | 0.8500 | 0.7500 | 0.9900 "
        "| 0.8800 | 0.8300 (120) | 0.7100, 0.7500 (22) |" in text
    )
    assert "0.8700 and the split by patient 0.7000 soft Dice, 0.9000 and 0.7500 pooled hard Dice" in text
    assert "the leak is worth +0.1700 and +0.1500. 80 of the 81 patients tested by slice" in text
    assert "They had 2000 and 1500 slices to train on" in text
    assert "its own Dice: 0.8700 after 50 epochs; 0.8635 is wanted: reached." in text
    assert "pooled hard Dice: 0.9400 after 50 epochs; 0.93 is wanted: reached." in text
    assert "| the report itself | validation | -0.7961 | 0.6444 | 0.7673 |" in text
    assert "| the report's recipe, by slice, epoch 3 | validation | 0.3000 | 0.3000 | 0.3000 |" in text
    assert "not run" not in text.lower() and "Shortened" not in text
    assert "TCGA" not in (docs / "seed-report.json").read_text(), "figures alone"
    before = (docs / "seed-report.md").read_text(encoding="utf-8")
    (docs / "seed-report.md").unlink()
    assert comparison.main(["--out", str(docs)]) == 0
    assert (docs / "seed-report.md").read_text(encoding="utf-8") == before


def test_what_was_not_run_or_shortened_is_said(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs, "seed-slice", 0.5, 0.6, epochs=4)
    write_run(runs, "own-slice", 0.9, 0.92, epochs=10)
    write_run(runs, "own-patient", 0.8, 0.85, epochs=12)
    write_run(runs, "seed-patient", 0.4, 0.5, epochs=4)
    (runs / "seed-patient" / "last.ckpt").touch()  # still running
    text = written(runs, tmp_path / "docs")
    assert "| the report's recipe, by patient | not run |" in text
    assert "Not run: `seed-patient`" in text
    assert "4 of 50, 3 kept" in text and "10 of 16, 3 kept" in text
    assert "**Shortened runs:** the report trains for 50 epochs; here `seed-slice` 4." in text
    assert "With the report's recipe nothing was run by patient, so its leak" in text
    assert "The two ran for 10 and 12 epochs, so not all of it is the leak." in text
    assert "0.5000 after 4 epochs; 0.8635 is wanted: not reached." in text
    for row in TABLE:
        assert f"--out RUNS/{row.name}" in text


def test_runs_that_have_hardly_learnt_say_nothing_of_the_leak(tmp_path: Path) -> None:
    for name, epochs in (("seed-slice", 24), ("seed-patient", 50), ("own-slice", 8), ("own-patient", 16)):
        write_run(tmp_path / "runs", name, 0.8, 0.8, epochs=epochs)
    text = written(tmp_path / "runs", tmp_path / "docs")
    assert "With the report's recipe 24 of 50 epochs were run, too few for its leak to have a figure." in text
    assert "With the released network retrained the split by slice gives 0.8000" in text, "half of them is enough"


def test_the_commands_of_the_page_are_taken_by_train() -> None:
    for row in TABLE:
        words = comparison.command(row).split()
        kind, start = (SeedSettings, 5) if "--preset" in words else (TrainSettings, 3)
        given = parser_for(kind, None).parse_args(words[start:])
        assert given.split == row.split and given.out == Path("RUNS") / row.name
        fold = given.test_fold if kind is SeedSettings else given.leave_out_fold
        assert fold == (comparison.TEST_FOLD if row.split == "patient" or kind is SeedSettings else 0)
        assert given.validation_fold == comparison.VALIDATION_FOLD


def test_one_command_makes_all_runs(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = dict(zip([w[2:].replace("-", "_") for w in TINY[::2]], TINY[1::2], strict=True))
    options = {k: v if k in ("encoder_weights", "device") else int(v) for k, v in tiny.items() if k != "epochs"}
    monkeypatch.setattr(comparison, "TrainSettings", lambda *a, **k: TrainSettings(*a, **(k | options)))
    monkeypatch.setattr(comparison, "SeedSettings", lambda *a, **k: SeedSettings(*a, **k, width=1, device="cpu"))
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    arguments = [str(runs), "--data", str(dataset), "--folds", str(folds), "--out", str(docs), "--epochs", "1",
                 "--own-epochs", "1"]  # fmt: skip
    assert comparison.main([*arguments, "--only", "seed-slice", "own-slice"]) == 0
    assert sorted(p.name for p in runs.iterdir()) == ["own-slice", "seed-slice"]
    assert "Not run: `seed-patient`, `own-patient`" in (docs / "seed-report.md").read_text(encoding="utf-8")
    before = (runs / "seed-slice" / "lgg-unet.safetensors").stat().st_mtime_ns
    (runs / "seed-slice" / "results.json").unlink()  # as if killed before the end of its test
    assert comparison.main(arguments) == 0
    assert (runs / "seed-slice" / "lgg-unet.safetensors").stat().st_mtime_ns == before, "not trained again"
    found = json.loads((docs / "seed-report.json").read_text(encoding="utf-8"))["runs"]
    assert all(found[row.name] for row in TABLE)
    for recipe in ("seed", "own"):
        assert found[f"{recipe}-patient"]["test"] == {"slices": 5, "patients": 1}
        assert found[f"{recipe}-patient"]["hard"]["whole_patients"] == 1
        assert found[f"{recipe}-slice"]["test"]["slices"] == 2


def test_what_cannot_be_compared_gets_one_sentence(tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "docs")]
    assert "is not a folder; give the one" in sentence(comparison.main, [str(tmp_path / "none"), *out])
    assert "holds none of the runs seed-slice" in sentence(comparison.main, [str(tmp_path), *out])
    assert "--data goes with RUNS and --folds" in sentence(comparison.main, [str(tmp_path), "--data", "d", *out])
    assert "seed-report.json" in sentence(comparison.main, out)
    write_run(tmp_path, "seed-slice", 0.5, 0.6)
    (tmp_path / "seed-slice" / "results.json").write_text("{}")
    assert "seed-slice is not a run of this table (KeyError)" in sentence(comparison.main, [str(tmp_path), *out])


def test_the_page_in_the_repository_is_that_of_its_file() -> None:
    found = json.loads((comparison.DOCS / "seed-report.json").read_text(encoding="utf-8"))
    assert (comparison.DOCS / "seed-report.md").read_text(encoding="utf-8") == comparison.as_text(found)

"""The table of what helped: from the folders of runs to its page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lgg_demo.experiments import ablation
from lgg_demo.experiments.markdown import DOCS
from lgg_demo.measure.overlap import count
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import Record
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.train.data import index_dataset, read_patient
from lgg_demo.train.settings import usual_settings

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def write_run(folder: Path, name: str, dice: list[float], **changed: Any) -> None:
    run = folder / name
    run.mkdir(parents=True)
    settings = usual_settings() | {"data": "kaggle_3m", "out": name, "epochs": 2} | changed
    (run / "settings.json").write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
    (run / "split.json").write_text(json.dumps({"train": ["a", "b"], "validation": ["c"]}))
    values = {"epoch": list(range(1, len(dice) + 1)), "val_dice": dice, "val_dice_median": dice, "val_dice_pooled": dice}
    pd.DataFrame(values | {"seconds": [60.0] * len(dice)}).to_csv(run / "metrics.csv", index=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    write_run(folder, "one", [0.95, 0.80], zoom=1.25)  # a baseline that is not what `train` does by itself
    write_run(folder, "two", [0.70, 0.82], zoom=1.25, seed=1)
    write_run(folder, "wide", [0.70, 0.85], zoom=1.25, decoder_channels=[256, 128, 64, 32, 16])
    write_run(folder, "slow", [0.70, 0.75], zoom=1.25, learning_rate=1e-4, seed=4)
    return folder


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return tmp_path / "docs"


def written(docs: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    """What the command writes: the JSON, and the page without its line breaks."""
    assert ablation.main([*map(str, arguments), "--out", str(docs)]) == 0
    return json.loads((docs / "ablation.json").read_text()), " ".join((docs / "ablation.md").read_text().split())


def dice_of(found: dict[str, Any]) -> dict[str, list[float]]:
    return {json.dumps(row["changed"]): [run["volume_dice_mean"] for run in row["runs"]] for row in found["rows"]}


def test_runs_are_compared_at_their_last_epoch(runs: Path, docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs, "running", [0.99], average=0.5)
    found, text = written(docs, runs, "--baseline", "two")
    wide = json.dumps({"decoder_channels": [256, 128, 64, 32, 16]})
    assert list(dice_of(found).items()) == [("{}", [0.80, 0.82]), (wide, [0.85]), ('{"learning_rate": 0.0001}', [0.75])]
    assert "| baseline | 0.8000, 0.8200 | | 0.8100 |" in text and "differ by 0.0200" in text
    assert "`--decoder-channels 256 128 64 32 16` (instead of 128 64 32 16 8) | 0.8500 | +0.0400 |" in text
    assert "`--learning-rate 0.0001` (instead of 0.001) | 0.7500 | -0.0600 |" in text and "- `--learning-rate`: " in text
    assert "running is not finished" in capsys.readouterr().err
    assert written(docs) == (found, text), "the page alone"


def test_new_runs_join_a_table_whose_runs_are_gone(runs: Path, docs: Path, sentence: Sentence) -> None:
    written(docs, runs, "--baseline", "two")
    shutil.rmtree(runs)
    write_run(runs, "slow", [0.70, 0.77], zoom=1.25, learning_rate=1e-4, seed=4)  # in place of the one that is there
    write_run(runs, "again", [0.70, 0.79], zoom=1.25, learning_rate=1e-4, seed=2)
    write_run(runs, "three", [0.70, 0.84], zoom=1.25, seed=3)
    write_run(runs, "old", [0.70, 0.71], zoom=None)  # before the setting: what `train` does by itself, not the baseline
    got = dice_of(written(docs, runs)[0])
    assert got.pop("{}") == [0.80, 0.82, 0.84] and got.pop('{"learning_rate": 0.0001}') == [0.79, 0.77]
    assert got.pop('{"zoom": 1.0}') == [0.71] and len(got) == 1
    kept = (docs / "ablation.json").read_bytes()
    given = [str(runs), "--out", str(docs)]
    (runs / "three" / "split.json").write_text(json.dumps({"train": ["a", "c"], "validation": ["b"]}))
    assert "three has other patients than the table" in sentence(ablation.main, given)
    write_run(runs, "three-alone", [0.1, 0.2], validate=False)
    assert "three-alone is no run of `train` that was validated" in sentence(ablation.main, given)
    shutil.rmtree(runs)
    assert "holds no finished run" in sentence(ablation.main, given)
    assert (docs / "ablation.json").read_bytes() == kept, "nothing is lost by a refusal"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RUNS", "--baseline", "one"), "The runs of one table share epochs"),
        (("RUNS", "--baseline", "three"), "holds no finished run three."),
        (("RUNS",), "--baseline NAME"),
        (("--pair", "a", "b"), "a/cross_validation.json"),
        ((), "there is no table yet"),
        (("RUNS", "--baseline", "one", "--test-time-augmentation", "one"), "go with --data and RUNS"),
        (("--ensemble", "one", "--data", "kaggle_3m"), "go with --data and RUNS"),
        (("RUNS", "--baseline", "one", "--data", "kaggle_3m"), "go with --data and RUNS"),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(
    arguments: tuple[str, ...], said: str, runs: Path, docs: Path, sentence: Sentence
) -> None:
    write_run(runs, "longer", [0.1, 0.2, 0.3], zoom=1.25, epochs=3)
    given = [str(runs) if word == "RUNS" else word for word in arguments]
    assert said in sentence(ablation.main, [*given, "--out", str(docs)])
    assert not docs.exists()


def test_one_network_is_scored_with_other_scales(
    run: Path, runs: Path, docs: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "SCALES", ((256,), (64, 96)))
    patients = json.loads((run / "split.json").read_text(encoding="utf-8"))["validation"]
    scans = [read_patient(rows) for _, rows in index_dataset(dataset, patients).groupby("patient")]
    written(docs, runs, "--baseline", "one")
    found, text = written(docs, run.parent, "--baseline", run.name, "--data", dataset, "--test-time-augmentation", run.name)
    rows = found["test_time_augmentation"]["rows"]
    assert [row["views"] for row in rows] == [[256], [64, 96]] and rows[0]["cost"] == 1
    network, record = load_checkpoint(run)
    for row in rows:
        served = Segmenter(TorchEngine(network, replace(Record.of(record), views=tuple(row["views"]))), record)
        dice = [count(binarise(served.segment(scan), 0.5), reference).dice for scan, reference in scans]
        assert row["volume_dice_mean"] == np.mean(dice) and row["volume_dice_median"] == np.median(dice)
    assert f"| `64 96` | {rows[1]['volume_dice_mean']:.4f} |" in text


def test_small_components_are_removed() -> None:
    mask = np.zeros((4, 20, 20), bool)
    mask[0, :10, :10] = True  # 100 pixels
    mask[1, 10, 10] = mask[2, 11:13, 11] = True  # touch at corners, and the large one too
    mask[3, 15:19, 15] = True  # 4 of 103
    assert ablation.without_small(mask, 0.03).sum() == 107 and ablation.without_small(mask, 0.05).sum() == 103
    assert not ablation.without_small(np.zeros((2, 5, 5), bool), 0.05).any()


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    sure, doubtful, against = (np.full((1, 4, 4), level, np.uint8) for level in (255, 100, 0))
    three = ablation.ensemble_masks({"sure": sure, "doubtful": doubtful, "against": against})
    assert three["`sure`"].all() and not three["`doubtful`"].any()
    assert not three["ensemble of 3"].any(), "355 of 765 is below a half"
    two = ablation.ensemble_masks({"sure": sure, "doubtful": doubtful})
    assert two["ensemble of 2"].all() and two["ensemble of 2, from 20% of the largest component"].all()


def test_runs_are_scored_as_an_ensemble(run: Path, dataset: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(run, tmp_path / "twin")
    found = {row["mask"]: row["volume_dice_mean"] for row in ablation.score_ensemble([run, twin], dataset)}
    assert found[f"`{run.name}`"] == found["`twin`"] == found["ensemble of 2"] > 0
    (twin / "split.json").write_text(json.dumps({"train": [], "validation": ["c"]}))
    with pytest.raises(ValueError, match="need the same validation patients"):
        ablation.score_ensemble([run, twin], dataset)


FIRST = {"networks": {"1": "x"}, "epochs": [8], "settings": {"crop": 192, "out": "a"}}
FINE_TUNED = {"networks": {"1": "y"}, "begun_from": {"1": "x"}, "epochs": [8, 6], "settings": {"zoom": 1.25}}
AGAIN = {"networks": {"1": "z"}, "epochs": [5], "settings": {"epochs": 5, "seed": 3}, "blend": 0.5}
APART = {"networks": {"1": "w"}, "begun_from": {"1": "v"}, "epochs": [8, 6], "settings": {"zoom": 1.25}}


def write_result(folder: Path, dice: tuple[float, ...], result: dict[str, Any], fold: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    figures = {"volume_dice_mean": float(np.mean(dice)), "volume_dice_ci95": [0.5, 0.9], "patients": 3,
               "volume_dice_median": float(np.median(dice)), "pooled_dice": 0.8}  # fmt: skip
    patients = [{"patient": str(n), "fold": fold, "dice": d} for n, d in enumerate(dice)]
    (folder / "cross_validation.json").write_text(json.dumps(figures | result | {"per_patient": patients}))


def test_two_cross_validations_are_compared_patient_by_patient(
    runs: Path, docs: Path, tmp_path: Path, sentence: Sentence
) -> None:
    before, after = tmp_path / "a", tmp_path / "b"
    pair = ["--pair", str(before), str(after)]
    write_result(before, (0.5, 0.8, 0.9), FIRST)
    write_result(after, (0.6, 0.85, 0.88), FINE_TUNED)
    first, text = written(docs, runs, "--baseline", "two", *pair)
    assert "| second | 8 + 6 | 0.7767 (0.500 to 0.900) | 0.8500 | 0.8000 |" in text
    assert "changes by +0.0433 on average (-0.0200 to +0.1000" in text
    assert "by +0.0500 at the median; 2 patients are better, 1 worse" in text
    assert "was fine-tuned from that of the first" in text and "with `--zoom 1.25`." in text
    for result, said in (
        (AGAIN, "trained again from the same start, with `--seed 3`, `--epochs 5`, `--blend 0.5`."),
        (APART, "in several stages (`--begin`), the last of the second with `--zoom 1.25`."),
    ):
        write_result(after, (0.6, 0.85, 0.88), result)
        found, text = written(docs, *pair)
        assert said in text
    assert found["rows"] == first["rows"] and [one["made"] for one in found["pairs"]] == ["fine-tuned", "again", "apart"]
    assert written(docs, *pair)[0] == found, "the same pair takes its own place"
    write_result(after, (0.6, 0.85, 0.88), APART, fold=2)
    assert "of different patients or folds" in sentence(ablation.main, [*pair, "--out", str(docs)])
    write_result(after, (0.6,), {})
    assert "b is of an earlier version" in sentence(ablation.main, [*pair, "--out", str(docs)])


def test_the_page_in_the_repository_is_that_of_its_file() -> None:
    found = json.loads((DOCS / "ablation.json").read_text(encoding="utf-8"))
    assert (DOCS / "ablation.md").read_text(encoding="utf-8") == ablation.as_text(found)

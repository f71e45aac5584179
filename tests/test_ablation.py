"""The table of what helped: from run folders to its text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lgg_demo.experiments import ablation
from lgg_demo.measure.overlap import count
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.train.data import index_dataset, read_patient
from lgg_demo.train.training import TrainSettings

PAIR = {
    "made": "on", "changed": {}, "gain_mean": 0.0, "gain_ci95": [0, 0], "gain_median": 0.0, "better": 1, "worse": 1,
    "sides": 2 * [{"epochs": [1], "volume_dice_mean": 0.5, "volume_dice_ci95": [0, 1], "volume_dice_median": 0.5,
                   "pooled_dice": 0.5, "patients": 2}],
}  # fmt: skip
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def write_run(folder: Path, name: str, dice: list[float], **changed: Any) -> None:
    run = folder / name
    run.mkdir(parents=True)
    settings = TrainSettings(data=Path("kaggle_3m"), out=Path(name)).as_json() | {"epochs": 2} | changed
    (run / "settings.json").write_text(json.dumps(settings))
    (run / "split.json").write_text(json.dumps({"train": ["a", "b"], "validation": ["c"]}))
    values = {"epoch": list(range(1, len(dice) + 1)), "val_dice": dice, "val_dice_median": dice, "val_dice_pooled": dice}
    pd.DataFrame(values | {"seconds": [60.0] * len(dice)}).to_csv(run / "metrics.csv", index=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    write_run(folder, "one", [0.95, 0.80])
    write_run(folder, "two", [0.70, 0.82], seed=1)
    write_run(folder, "wide", [0.70, 0.85], decoder_channels=[256, 128, 64, 32, 16])
    write_run(folder, "focal", [0.70, 0.75], loss="dice-focal", seed=4)
    write_run(folder, "running", [0.99], average=0.5)
    return folder


def test_runs_are_compared_at_their_last_epoch(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main([str(runs), "--baseline", "two", "--out", str(tmp_path / "docs")]) == 0
    found = json.loads((tmp_path / "docs" / "ablation.json").read_text())
    assert [row["changed"] for row in found["rows"]] == [
        {},
        {"decoder_channels": [256, 128, 64, 32, 16]},
        {"loss": "dice-focal"},
    ]
    assert sorted(run["volume_dice_mean"] for run in found["rows"][0]["runs"]) == [0.80, 0.82], "not the best epoch"
    text = (tmp_path / "docs" / "ablation.md").read_text()
    assert "| baseline | 0.8000, 0.8200 |  | 0.8100 |" in text
    assert "`--decoder-channels 256 128 64 32 16` (instead of 128 64 32 16 8) | 0.8500 | +0.0400 |" in text
    assert "`--loss dice-focal` (instead of dice-ce) | 0.7500 | -0.0600 |" in text
    assert "lie 0.0200 apart" in text
    assert "running is not finished" in capsys.readouterr().err
    (tmp_path / "docs" / "ablation.md").unlink()
    assert ablation.main(["--out", str(tmp_path / "docs")]) == 0
    assert (tmp_path / "docs" / "ablation.md").read_text() == text


def test_new_runs_join_a_table_whose_runs_are_gone(runs: Path, tmp_path: Path, sentence: Sentence) -> None:
    docs = ["--out", str(tmp_path / "docs")]
    for run in runs.iterdir():  # a baseline that is not what `train` does by itself
        settings = json.loads((run / "settings.json").read_text())
        (run / "settings.json").write_text(json.dumps(settings | {"zoom": 1.25}))
    assert ablation.main([str(runs), "--baseline", "two", *docs]) == 0
    facts = tmp_path / "docs" / "ablation.json"
    before = json.loads(facts.read_text())
    before["budget"]["batch_size"] = before["baseline"].pop("batch_size")  # where tables had it once
    facts.write_text(json.dumps(before | {"pairs": [PAIR]}))
    shutil.rmtree(runs)
    assert "holds no finished run" in sentence(ablation.main, [str(runs), *docs])
    write_run(runs, "focal", [0.70, 0.77], loss="dice-focal", seed=4, zoom=1.25)
    write_run(runs, "again", [0.70, 0.79], loss="dice-focal", seed=2, zoom=1.25)
    write_run(runs, "three", [0.70, 0.84], seed=3, zoom=1.25)
    write_run(runs, "small", [0.70, 0.69], batch_size=8, zoom=1.25)
    write_run(runs, "old", [0.70, 0.71])
    old = json.loads((runs / "old" / "settings.json").read_text())
    del old["zoom"]  # made before the setting was there: what `train` does by itself, not what the baseline does
    (runs / "old" / "settings.json").write_text(json.dumps(old))
    assert ablation.main([str(runs), *docs]) == 0
    found = json.loads(facts.read_text())
    got = {json.dumps(row["changed"]): [run["volume_dice_mean"] for run in row["runs"]] for row in found["rows"]}
    assert got["{}"] == [0.80, 0.82, 0.84] and got['{"loss": "dice-focal"}'] == [0.79, 0.77]
    assert got['{"zoom": 1.0}'] == [0.71] and got['{"batch_size": 8}'] == [0.69]
    assert len(got) == 5 and found["pairs"] == [PAIR]
    write_run(runs, "longer", [0.1, 0.2, 0.3], epochs=3)
    assert "The runs of one table share epochs" in sentence(ablation.main, [str(runs), *docs])
    shutil.rmtree(runs / "longer")
    kept = facts.read_bytes()
    (runs / "three" / "split.json").write_text(json.dumps({"train": ["a", "c"], "validation": ["b"]}))
    assert "three has other patients than the table" in sentence(ablation.main, [str(runs), *docs])
    write_run(runs, "three-alone", [0.1, 0.2], validate=False)
    assert "three-alone is no run of `train` that was validated" in sentence(ablation.main, [str(runs), *docs])
    assert facts.read_bytes() == kept, "nothing is lost by a refusal"


def test_one_network_is_scored_with_several_views(run: Path, dataset: Path) -> None:
    found = ablation.score_views(run, dataset)
    assert [tuple(row["views"]) for row in found["rows"]] == list(ablation.VIEWS)
    patients = json.loads((run / "split.json").read_text(encoding="utf-8"))["validation"]
    served = Segmenter.load(run)
    for row in found["rows"]:
        served.views = tuple(row["views"])
        scans = [read_patient(rows) for _, rows in index_dataset(dataset, patients).groupby("patient")]
        dice = [count(binarise(served.segment(scan), 0.5), reference).dice for scan, reference in scans]
        assert row["volume_dice_mean"] == np.mean(dice) and row["volume_dice_median"] == np.median(dice)
    trained = found["rows"][ablation.VIEWS.index((256, 320))]
    text = ablation.as_text(
        {"rows": [{"changed": {}, "runs": [{"seed": 0, "volume_dice_mean": 0.5, "volume_dice_median": 0.5,
                                            "pooled_dice": 0.5, "minutes": 1.0}]}],
         "baseline": {}, "budget": {"epochs": 1, "slices_per_epoch": 16, "validation_fold": 1},
         "patients": {"train": 2, "validation": 1}, "looks": found}
    )  # fmt: skip
    assert f"| `256 320` | {trained['volume_dice_mean']:.4f} |" in text


def test_small_components_are_left_out() -> None:
    mask = np.zeros((4, 20, 20), bool)
    mask[0, :10, :10] = True  # 100 pixels
    mask[1, 10, 10] = mask[2, 11:13, 11] = True  # touch at corners, and the large one too
    mask[3, 15:19, 15] = True  # 4 of 103
    assert ablation.without_small(mask, 0.03).sum() == 107 and ablation.without_small(mask, 0.05).sum() == 103
    assert not ablation.without_small(np.zeros((2, 5, 5), bool), 0.05).any()


def test_runs_are_scored_together(
    run: Path, dataset: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    level = {"sure": 255, "doubtful": 100, "against": 0}

    class Fixed:
        def __init__(self, name: str) -> None:
            self.name = name

        def segment(self, scan: Any) -> np.ndarray:
            return np.full((len(scan), *scan.size), level[self.name], np.uint8)

    class Loader:
        @staticmethod
        def load(folder: Path) -> Fixed:
            return Fixed(folder.name)

    shutil.rmtree(runs / "running")
    assert ablation.main([str(runs), "--baseline", "two", "--out", str(tmp_path)]) == 0
    for name in level:
        shutil.copytree(runs / "one", runs / name)
        (runs / name / "split.json").write_text((run / "split.json").read_text())
    monkeypatch.setattr(ablation, "Segmenter", Loader)
    patients = json.loads((run / "split.json").read_text())["validation"]
    full = []
    for _, rows in index_dataset(dataset, patients).groupby("patient"):
        reference = read_patient(rows)[1]
        full.append(2 * reference.sum() / (reference.sum() + reference.size))
    found = ablation.score_together([runs / name for name in level], dataset)
    means = {row["mask"]: row["volume_dice_mean"] for row in found}
    assert means["`sure`"] == pytest.approx(np.mean(full)) and means["`doubtful`"] == means["`against`"] == 0
    assert means["all 3 together"] == 0, "355 of 765 is below a half"
    two = {
        row["mask"]: row["volume_dice_mean"] for row in ablation.score_together([runs / "sure", runs / "doubtful"], dataset)
    }
    assert two["all 2 together"] == two["all 2 together, from 5% of the largest component"] == means["`sure`"]
    assert "go with --data and RUNS" in sentence(ablation.main, ["--out", str(tmp_path), "--together", "one"])
    with pytest.raises(ValueError, match="need the same validation patients"):
        ablation.score_together([runs / "one", runs / "sure"], dataset)
    text = ablation.as_text(json.loads((tmp_path / "ablation.json").read_text()) | {"together": found})
    assert f"| `sure` | {means['`sure`']:.4f} |" in text


def test_two_cross_validations_are_compared_patient_by_patient(runs: Path, tmp_path: Path, sentence: Sentence) -> None:
    shutil.rmtree(runs / "running")
    first, second = {"networks": {"1": "x"}}, {"networks": {"1": "y"}, "begun_from": {"1": "x"}}
    sides = (
        ("a", [0.5, 0.8, 0.9], [8], {}, first),
        ("b", [0.6, 0.85, 0.88], [8, 6], {"zoom": 1.25}, second),
    )
    for name, dice, epochs, more, networks in sides:
        (tmp_path / name).mkdir()
        result = {
            "volume_dice_mean": float(np.mean(dice)), "volume_dice_ci95": [0.5, 0.9], "patients": 3,
            "volume_dice_median": float(np.median(dice)), "pooled_dice": 0.8, "epochs": epochs,
            "settings": {"crop": 192, "out": name} | more, **networks,
            "per_patient": [{"patient": str(n), "fold": 1, "dice": d} for n, d in enumerate(dice)],
        }  # fmt: skip
        (tmp_path / name / "cross_validation.json").write_text(json.dumps(result))
    pair = ["--pair", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "docs")]
    assert "there is no table yet" in sentence(ablation.main, pair)
    assert ablation.main([str(runs), "--baseline", "two", *pair]) == 0
    text = " ".join((tmp_path / "docs" / "ablation.md").read_text().split())
    assert "| second | 8 + 6 | 0.7767 (0.500 to 0.900) | 0.8500 | 0.8000 |" in text
    assert "changes by +0.0433 on average (-0.0200 to +0.1000" in text
    assert "by +0.0500 at the median; 2 patients are better, 1 worse" in text and "with `--zoom 1.25`." in text
    other = json.loads((tmp_path / "b" / "cross_validation.json").read_text())
    anew = {k: v for k, v in other.items() if k != "begun_from"} | {
        "settings": other["settings"] | {"epochs": 5, "seed": 3},
        "networks": {"1": "z"},
        "blend": 0.5,
    }
    (tmp_path / "b" / "cross_validation.json").write_text(json.dumps(anew))
    assert ablation.main(pair) == 0, "the table there is keeps its rows"
    text = " ".join((tmp_path / "docs" / "ablation.md").read_text().split())
    assert "trained anew, with `--seed 3`, `--epochs 5`, `--zoom 1.25`, `--blend 0.5`." in text
    assert "| baseline | 0.8000, 0.8200 |" in text and "with `--zoom 1.25`. All" in text, "the pair before is there yet"
    before = (tmp_path / "docs" / "ablation.json").read_text()
    assert ablation.main(pair) == 0
    assert (tmp_path / "docs" / "ablation.json").read_text() == before, "the same pair takes its own place"
    apart = other | {"begun_from": {"1": "somebody else's"}, "networks": {"1": "w"}}
    (tmp_path / "b" / "cross_validation.json").write_text(json.dumps(apart))
    assert ablation.main(pair) == 0
    text = " ".join((tmp_path / "docs" / "ablation.md").read_text().split())
    assert "in several legs (`--begin`), the last of the second with `--zoom 1.25`." in text
    others = anew | {"per_patient": [p | {"fold": 2} for p in anew["per_patient"]]}
    for wrong, said in (
        (others, "of different patients or folds"),
        ({k: v for k, v in anew.items() if k != "epochs"}, "b is of an earlier version"),
    ):
        (tmp_path / "b" / "cross_validation.json").write_text(json.dumps(wrong))
        assert said in sentence(ablation.main, pair)


def test_runs_that_cannot_be_compared_are_refused(runs: Path, tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "docs")]
    shutil.rmtree(runs / "running")
    write_run(runs, "longer", [0.1, 0.2, 0.3], epochs=3)
    assert "The runs of one table share epochs" in sentence(ablation.main, [str(runs), "--baseline", "one", *out])
    assert "holds no finished run three" in sentence(ablation.main, [str(runs), "--baseline", "three", *out])
    alone = tmp_path / "alone"
    write_run(alone, "wide", [0.70, 0.85], crop=128)
    said = sentence(ablation.main, [str(alone), "--baseline", "base", *out])
    assert said == f"ablation: {alone} holds no finished run base."
    assert "--baseline NAME" in sentence(ablation.main, [str(alone), *out])
    assert "--looks and --together go with --data" in sentence(
        ablation.main, [str(runs), "--baseline", "one", "--looks", "one", *out]
    )
    assert "go with --data and RUNS" in sentence(ablation.main, ["--looks", "one", "--data", "kaggle_3m", *out])


def test_the_table_in_the_repository_is_that_of_its_file() -> None:
    found = json.loads((ablation.DOCS / "ablation.json").read_text(encoding="utf-8"))
    assert (ablation.DOCS / "ablation.md").read_text(encoding="utf-8") == ablation.as_text(found)

"""Cross-validation and robustness: on drawn patients, from the command to the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PATIENTS, TINY

from lgg_demo.case import Scan
from lgg_demo.experiments import card, robustness
from lgg_demo.measure.overlap import count
from lgg_demo.measure.patients import dice_by_level
from lgg_demo.network.calibration import FINE, Calibration
from lgg_demo.network.checkpoint import CHECKPOINT
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.reading.limits import FLAIR
from lgg_demo.train import cross_validation, training
from lgg_demo.train.cross_validation import PROBABILITY, RESULT, Predicted, assess, best_level, calibrated_levels
from lgg_demo.train.data import index_dataset, read_patient

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
NAMES = {fold: name for name, (fold, *_) in PATIENTS.items()}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def arguments(tmp_path_factory: pytest.TempPathFactory, dataset: Path, folds: Path) -> list[str]:
    out = tmp_path_factory.mktemp("cv") / "runs"
    return ["--data", str(dataset), "--folds", str(folds), "--out", str(out), "--release", str(out / "weights"), *TINY]


@pytest.fixture(scope="session")
def runs(arguments: list[str]) -> Path:
    """A finished cross-validation; only to be read."""
    assert cross_validation.main(arguments) == 0
    return Path(arguments[5])


def test_every_patient_but_the_held_out_is_predicted_by_a_network_that_never_saw_him(runs: Path) -> None:
    result = read_json(runs / RESULT)
    assert sorted(p["patient"] for p in result["per_patient"]) == sorted(NAMES[f] for f in (1, 2, 3, 4))
    for p in result["per_patient"]:
        assert NAMES[p["fold"]] == p["patient"]
        split = read_json(runs / f"fold-{p['fold']}" / "split.json")
        assert sorted(split["train"]) == sorted(NAMES[f] for f in (1, 2, 3, 4) if f != p["fold"])
        assert split["validation"] == []
        record = read_json(runs / f"fold-{p['fold']}" / "lgg-unet.json")
        assert record["validation"] is None
        assert record["epoch"] == 2, "nothing was chosen: the last epoch"


def test_figures_are_those_of_the_probabilities(runs: Path, dataset: Path) -> None:
    result = read_json(runs / RESULT)
    index = index_dataset(dataset)
    for p in result["per_patient"]:
        fine = np.load(runs / f"fold-{p['fold']}" / PROBABILITY)[p["patient"]]
        calibration = Calibration.from_record(result["calibration"]["by_fold"][str(p["fold"])])
        _, reference = read_patient(index[index["patient"] == p["patient"]])
        mask = binarise(calibrated_levels(fine, calibration), 0.5)
        assert p["dice"] == count(mask, reference).dice
    dice = [p["dice"] for p in result["per_patient"]]
    assert result["volume_dice_mean"] == pytest.approx(np.mean(dice))
    assert result["patients"] == 4
    assert result["by_missing_sequence"]["pre and post"]["patients"] == 1
    assert result["by_missing_sequence"]["none"]["patients"] == 3
    assert result["by_institution"]["AA"]["patients"] == 4
    assert 0 < result["best_threshold"]["ci95"][0] <= result["best_threshold"]["ci95"][1] <= 1


def test_the_release_is_trained_on_all_and_served_with_the_calibration(runs: Path, dataset: Path) -> None:
    result = read_json(runs / RESULT)
    released = Segmenter.load(runs / "weights")
    assert sorted(released.record["split"]["train"]) == sorted(NAMES[f] for f in (1, 2, 3, 4))
    assert released.record["epoch"] == 3, "two epochs of three folds out of four, three of all: as many looks at each"
    assert released.calibration.as_record() == result["calibration"]["all_patients"]
    plain = Segmenter.load(runs / "all")
    assert plain.calibration == Calibration()
    index = index_dataset(dataset)
    scan, _ = read_patient(index[index["patient"] == NAMES[0]])
    fine = np.concatenate([(p * FINE).round().numpy() for p in plain.probabilities(scan)]).astype(np.uint16)
    served = released.segment(scan).astype(int)
    assert np.abs(served - calibrated_levels(fine, released.calibration)).max() <= 1


def test_the_same_command_goes_on_without_training_again(
    runs: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    before = read_json(runs / RESULT)

    def never(*_: Any) -> None:
        raise AssertionError("it trains, or predicts, again")

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "train", never)
        patch.setattr(Segmenter, "probabilities", never)
        assert cross_validation.main(arguments) == 0
    assert read_json(runs / RESULT) == before
    said = sentence(cross_validation.main, [*arguments, "--seed", "5"])
    assert f"{runs / 'fold-1'} was made with other settings (" in said and said.endswith("another folder for the runs.")


def test_each_run_begins_from_the_same_one_of_an_earlier_cross_validation(
    runs: Path, arguments: list[str], tmp_path: Path, sentence: Sentence
) -> None:
    on = [*arguments, "--out", str(tmp_path / "on"), "--release", str(tmp_path / "weights"), "--begin", str(runs)]
    assert cross_validation.main([*on, "--epochs", "1"]) == 0
    result = read_json(tmp_path / "on" / RESULT)
    assert result["epochs"] == [2, 1] and result["settings"]["begin"] == runs.name
    for name in [*(f"fold-{f}" for f in (1, 2, 3, 4)), "all"]:
        record = read_json(tmp_path / "on" / name / "lgg-unet.json")
        assert record["begun_from"]["sha256"] == Segmenter.load(runs / name).record["sha256"]
        assert record["split"] == record["begun_from"]["split"], "nobody is taught what is asked of him later"
    seconds = sum(pd.read_csv(folder / "all" / "metrics.csv")["seconds"].sum() for folder in (runs, tmp_path / "on"))
    released = read_json(tmp_path / "weights" / "lgg-unet.json")
    assert released["training_minutes"] == pytest.approx(seconds / 60, abs=0.11)
    assert result["begun_from"] == read_json(runs / RESULT)["networks"]
    for n, line in enumerate(card.made_by(released, result), 1):
        words = line.split()[3:]
        given = cross_validation.command_line().parse_args(words)
        assert (given.epochs, given.slices_per_epoch, given.crop) == (result["epochs"][n - 1], 16, 64)
        assert given.begin == (Path("runs/cv-1") if n == 2 else None)
    # The mean of the weights before and after, scored and released in their place.
    assert cross_validation.main([*on, "--epochs", "1", "--blend", "0.25"]) == 0
    mixed = read_json(tmp_path / "on" / RESULT)
    assert mixed["blend"] == 0.25 and mixed["begun_from"] == result["begun_from"]
    folders = (runs / "all", tmp_path / "on" / "all", tmp_path / "weights")
    first, second, both = (Segmenter.load(folder).network.state_dict() for folder in folders)
    for name, value in both.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * first[name] + 0.75 * second[name], atol=2e-3, rtol=2e-3)
    assert any(not torch.equal(both[name], second[name]) for name in both)
    assert mixed["networks"]["1"] == Segmenter.load(tmp_path / "on" / "fold-1" / "blended").record["sha256"]
    assert mixed["networks"]["1"] not in (result["networks"]["1"], result["begun_from"]["1"])
    assert read_json(tmp_path / "weights" / "lgg-unet.json")["training_minutes"] == released["training_minutes"]
    command = card.made_by(read_json(tmp_path / "weights" / "lgg-unet.json"), mixed)[-1]
    assert " --blend 0.25 " in command and "--blend" not in card.made_by(released, result)[-1]
    given = ["--data", arguments[1], "--cross-validation", str(tmp_path / "on"), "--only", "16 bit"]
    assert robustness.main([*given, "--out", str(tmp_path / "r.json")]) == 0
    assert read_json(tmp_path / "r.json")["networks"] == mixed["networks"]
    (tmp_path / "r.json.part").write_text('{"of": {"net')  # killed while it was written
    assert robustness.main([*given, "--out", str(tmp_path / "r.json")]) == 0
    # A third leg begins from what was scored.
    third = [*on, "--epochs", "1", "--out", str(tmp_path / "third"), "--begin", str(tmp_path / "on")]
    assert cross_validation.main(third) == 0
    after = read_json(tmp_path / "third" / RESULT)
    assert after["begun_from"] == mixed["networks"] and after["epochs"] == [2, 1, 1]
    commands = card.made_by(read_json(tmp_path / "weights" / "lgg-unet.json"), after)
    assert ["--blend 0.25" in c for c in commands] == [False, True, False]
    for wrong in ([*arguments, "--blend", "0.5"], [*on, "--blend", "1"]):
        assert "--blend goes with --begin, and lies between 0 and 1" in sentence(cross_validation.main, wrong)
    # Not on with networks that began from others, nor from where there are none.
    shutil.copytree(tmp_path / "on", tmp_path / "on-2")
    other = [*on, "--epochs", "1", "--out", str(tmp_path / "on-2"), "--begin", str(tmp_path / "third")]
    assert f"{tmp_path / 'on-2' / 'fold-1'} was begun from another network" in sentence(cross_validation.main, other)
    (tmp_path / "half").mkdir()
    shutil.copytree(runs / "fold-1", tmp_path / "half" / "fold-1")
    half = [*arguments, "--out", str(tmp_path / "x"), "--begin", str(tmp_path / "half")]
    said = sentence(cross_validation.main, half)
    assert "holds no finished fold-2 and no fold-3 and no fold-4 and no all; --begin takes" in said
    assert not (tmp_path / "x").exists()


def test_bad_folds_get_one_sentence(arguments: list[str], tmp_path: Path, sentence: Sentence) -> None:
    csv = tmp_path / "two.csv"
    csv.write_text(f"patient,fold\n{NAMES[1]},1\n{NAMES[2]},2\n")
    assert "needs at least three folds" in sentence(cross_validation.main, [*arguments, "--folds", str(csv)])


def made(fold: int, name: str, p: np.ndarray, reference: np.ndarray) -> Predicted:
    return Predicted(f"TCGA_XX_{name}", fold, (p * FINE).round().astype(np.uint16), reference, "")


def test_calibration_and_threshold_of_a_fold_come_from_the_others() -> None:
    """One fold's patients are predicted upside down: that must not teach its own curve anything."""
    rng = np.random.default_rng(0)
    predicted = []
    for fold in (1, 2, 3):
        chance = rng.random((8, 64, 64)) ** 3
        reference = rng.random(chance.shape) < chance
        predicted.append(made(fold, str(fold), 1 - chance if fold == 3 else chance, reference))
    result = assess(predicted)
    by_fold = result["calibration"]["by_fold"]
    said = {f: Calibration.from_record(by_fold[f]).apply(torch.tensor([0.9])).item() for f in ("1", "3")}
    assert said["3"] == pytest.approx(0.9, abs=0.03), "folds 1 and 2 are right as they are"
    assert said["1"] < 0.75, "the upside-down fold is among the others here"
    assert result["per_patient"][2]["dice"] < 0.3


def test_the_ranking_finds_the_bad_cases() -> None:
    """Ten volumes; the two whose probabilities are undecided are also the two that are wrong."""
    predicted = []
    for n in range(10):
        reference = np.zeros((1, 20, 20), dtype=bool)
        reference[0, :10] = True
        bad = n in (3, 7)
        p = np.where(reference, 0.6 if bad else 0.95, 0.4 if bad else 0.02)
        predicted.append(made(1 + n % 3, f"{n}", p, np.roll(reference, 5, axis=1) if bad else reference))
    found = assess(predicted)["uncertainty"]
    assert found["worst_fifth_patients"] == 2
    assert found["worst_fifth_share_of_error"] == found["share_of_a_perfect_ranking"] == pytest.approx(1)
    assert found["share_if_drawn_at_random"] == 0.2


def test_the_best_level_is_that_of_the_mean_curve() -> None:
    levels = np.array([[[10, 200, 200, 90]]], dtype=np.uint8)
    reference = np.array([[[False, True, True, True]]])
    curves = dice_by_level(levels, reference)[None]
    assert 11 <= best_level(curves) <= 90


# Robustness


def test_robustness_of_the_cross_validation(runs: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "robustness.json"
    assert robustness.main(["--data", str(dataset), "--cross-validation", str(runs), "--out", str(out)]) == 0
    result = read_json(out)
    whole = read_json(runs / RESULT)
    assert result["patients"] == 4
    assert result["networks"] == whole["networks"] and len(set(whole["networks"].values())) == 4
    assert result["unchanged"]["volume_dice_mean"] == pytest.approx(whole["volume_dice_mean"], abs=0.02)
    assert [row["change"] for row in result["changes"]] == [c.name for c in robustness.changes()]
    for row in result["changes"]:
        before, after = (result["per_patient"][k] for k in ("unchanged", row["change"]))
        assert row["drop"] == pytest.approx(np.mean([before[p] - after[p] for p in before]))
        assert row["drop_ci95"][0] <= row["drop"] <= row["drop_ci95"][1]
    exact = {row["change"]: row["drop"] for row in result["changes"]}
    assert exact["16 bit"] == pytest.approx(0, abs=1e-3)
    assert exact["gain 2"] == pytest.approx(0, abs=1e-3)


def test_robustness_of_one_checkpoint_and_some_changes(run: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    csv = tmp_path / "some.csv"
    csv.write_text(f"patient\n{NAMES[0]}\n{NAMES[2]}\n")
    out = tmp_path / "robustness.json"
    given = ["--data", str(dataset), "--patients", str(csv), "--checkpoint", str(run), "--only", "gain", "16 bit"]
    assert robustness.main([*given, "--out", str(out)]) == 0
    result = read_json(out)
    assert result["patients"] == 2
    assert [r["change"] for r in result["changes"]] == ["gain 0.5", "gain 2", "gain 2, cut off at 255", "16 bit"]


def test_robustness_refuses_with_one_sentence(dataset: Path, tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "r.json")]
    assert "no-such" in sentence(robustness.main, ["--data", "no-such", *out])
    assert "cross_validation.json" in sentence(
        robustness.main, ["--data", str(dataset), "--cross-validation", str(tmp_path), *out]
    )
    for damaged in ("{", "{}", '{"per_patient": []}', '{"per_patient": 3}'):
        (tmp_path / RESULT).write_text(damaged)
        assert f"{RESULT} is not what `cross_validation` writes" in sentence(
            robustness.main, ["--data", str(dataset), "--cross-validation", str(tmp_path), *out]
        )
    assert "no change is called 'gian'" in sentence(robustness.main, ["--data", str(dataset), "--only", "gian", *out])
    (tmp_path / "folder").mkdir()
    assert "--every must be" in sentence(robustness.main, ["--data", str(dataset), "--every", "0", *out])
    assert "is a folder" in sentence(robustness.main, ["--data", str(dataset), "--out", str(tmp_path / "folder")])


def test_robustness_knows_the_patients_of_a_cross_validation(
    runs: Path, dataset: Path, tmp_path: Path, sentence: Sentence
) -> None:
    csv = tmp_path / "some.csv"
    csv.write_text(f"patient\n{NAMES[0]}\n")  # of the held-out fold
    given = ["--data", str(dataset), "--cross-validation", str(runs), "--patients", str(csv)]
    assert f"{NAMES[0]} is not in" in sentence(robustness.main, [*given, "--out", str(tmp_path / "r.json")])


def test_robustness_goes_on_where_it_was_killed(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, out = tmp_path / "some.csv", tmp_path / "r.json"
    csv.write_text(f"patient\n{NAMES[0]}\n{NAMES[2]}\n")
    given = ["--data", str(dataset), "--patients", str(csv), "--checkpoint", str(run), "--out", str(out)]
    assert robustness.main([*given, "--only", "16 bit", "--every", "2"]) == 0
    assert list(read_json(out)["per_patient"]["unchanged"]) == [NAMES[2]]
    assert read_json(out)["protocol"].startswith("one patient in 2, in the order of their names, by the same network")
    out.unlink()
    measured: list[str] = []
    measure = robustness.measure

    def dies_at_the_second(segmenter: Segmenter, scan: Scan, *rest: Any) -> dict[str, float]:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(scan.name)
        return measure(segmenter, scan, *rest)

    monkeypatch.setattr(robustness, "measure", dies_at_the_second)
    assert robustness.main([*given, "--only", "gain"]) == 130
    assert not out.exists()
    monkeypatch.setattr(robustness, "measure", lambda *a: measured.append(a[1].name) or measure(*a))
    assert robustness.main([*given, "--only", "gain"]) == 0
    assert measured == [NAMES[2], NAMES[0]], "the first patient is not measured again"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "some.csv"]
    whole = read_json(out)
    assert robustness.main([*given, "--only", "gain"]) == 0
    assert read_json(out) == whole and measured == [NAMES[2], NAMES[0]] * 2, "nothing is left of a finished one"


def test_probabilities_of_another_network_are_not_scored(runs: Path, dataset: Path) -> None:
    index = index_dataset(dataset, [NAMES[1]])
    checkpoint = runs / "fold-1" / CHECKPOINT
    right = cross_validation.predict_fold(index, checkpoint, [NAMES[1]], 1)[0].fine
    file = checkpoint.parent / cross_validation.PROBABILITY
    kept = file.read_bytes()
    np.savez_compressed(file, **{NAMES[1]: np.full_like(right, 65535), cross_validation.NETWORK: np.array("another")})
    assert np.array_equal(cross_validation.predict_fold(index, checkpoint, [NAMES[1]], 1)[0].fine, right)
    file.write_bytes(kept)


class Echo:
    """A network that calls bright FLAIR tumour: what comes back must lie where it was."""

    def segment(self, scan: Scan) -> np.ndarray:
        return np.clip(scan.pixels[..., FLAIR] / scan.pixels.max() * 255, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", robustness.changes(), ids=lambda c: c.name)
def test_a_change_is_undone_on_the_way_back(change: robustness.Change) -> None:
    pixels = np.zeros((2, 256, 256, 3), dtype=np.float32)
    pixels[:, 60:120, 90:200] = 250
    scan = Scan(pixels, "s", (("s.tif", 2),))
    back = robustness.segment_changed(Echo(), scan, change)  # type: ignore[arg-type]
    assert back.shape == (2, 256, 256)
    assert count(binarise(back, 0.5), pixels[..., FLAIR] > 0).dice > 0.97
    assert np.array_equal(pixels[0, 60, 90], [250] * 3), "the scan itself is left alone"


def test_a_lone_slice_is_sent_alone() -> None:
    seen = []

    class Counter(Echo):
        def segment(self, scan: Scan) -> np.ndarray:
            seen.append(len(scan))
            return super().segment(scan)

    scan = Scan(np.random.default_rng(0).random((3, 32, 32, 3)).astype(np.float32), "s", (("s.tif", 3),))
    lone = next(c for c in robustness.changes(32) if c.single_slice)
    robustness.segment_changed(Counter(), scan, lone)  # type: ignore[arg-type]
    assert seen == [1, 1, 1]


def test_a_run_without_validation_keeps_its_last_average(dataset: Path, folds: Path, tmp_path: Path) -> None:
    given = ["--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / "run"), *TINY, "--no-validate"]
    assert training.main(given) == 0
    record = read_json(tmp_path / "run" / "lgg-unet.json")
    assert sorted(record["split"]["train"]) == sorted(NAMES[f] for f in (1, 2, 3, 4))
    assert record["split"]["validation"] == []
    table = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert table[0] == "epoch,train_loss,train_dice,learning_rate,seconds"
    assert len(table) == 3

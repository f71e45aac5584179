"""Cross-validation: on drawn patients, from the command to the files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import tyro
from conftest import PATIENTS

from lgg_demo.experiments import card
from lgg_demo.measure.overlap import count
from lgg_demo.measure.patients import dice_by_level
from lgg_demo.network import inference
from lgg_demo.network.calibration import FINE, Calibration
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.record import Record
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.train import cross_validation
from lgg_demo.train.cross_validation import PROBABILITY, RESULT
from lgg_demo.train.data import index_dataset, read_patient
from lgg_demo.train.out_of_fold import Predicted, assess, best_quantised, calibrated
from lgg_demo.train.runs import read_json

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
NAMES = {fold: name for name, (fold, *_) in PATIENTS.items()}


def test_every_patient_but_the_held_out_is_predicted_by_a_network_that_never_saw_the_patient(cv_runs: Path) -> None:
    result = read_json(cv_runs / RESULT)
    assert sorted(p["patient"] for p in result["per_patient"]) == sorted(NAMES[f] for f in (1, 2, 3, 4))
    for p in result["per_patient"]:
        assert NAMES[p["fold"]] == p["patient"]
        split = read_json(cv_runs / f"fold-{p['fold']}" / "split.json")
        assert sorted(split["train"]) == sorted(NAMES[f] for f in (1, 2, 3, 4) if f != p["fold"])
        assert split["validation"] == []
        record = read_json(cv_runs / f"fold-{p['fold']}" / "lgg-unet.json")
        assert record["validation"] is None
        assert record["epoch"] == 2, "nothing was chosen: the last epoch"


def test_figures_are_those_of_the_probabilities(cv_runs: Path, dataset: Path) -> None:
    result = read_json(cv_runs / RESULT)
    index = index_dataset(dataset)
    for p in result["per_patient"]:
        fine = np.load(cv_runs / f"fold-{p['fold']}" / PROBABILITY)[p["patient"]]
        calibration = Calibration.from_record(result["calibration"]["by_fold"][str(p["fold"])])
        _, reference = read_patient(index[index["patient"] == p["patient"]])
        mask = binarise(calibrated(fine, calibration), 0.5)
        assert p["dice"] == count(mask, reference).dice
    dice = [p["dice"] for p in result["per_patient"]]
    assert result["volume_dice_mean"] == pytest.approx(np.mean(dice))
    assert result["patients"] == 4
    assert result["by_missing_sequence"]["pre and post"]["patients"] == 1
    assert result["by_missing_sequence"]["none"]["patients"] == 3
    assert result["by_institution"]["AA"]["patients"] == 4
    assert 0 < result["best_threshold"]["ci95"][0] <= result["best_threshold"]["ci95"][1] <= 1


def test_the_release_is_trained_on_all_and_served_with_the_calibration(cv_runs: Path, dataset: Path) -> None:
    result = read_json(cv_runs / RESULT)
    released = Segmenter.load(cv_runs / "weights")
    assert sorted(released.record["split"]["train"]) == sorted(NAMES[f] for f in (1, 2, 3, 4))
    assert released.record["epoch"] == 3, "two epochs of three folds out of four, three of all: as many looks at each"
    assert Record.of(released.record).calibration.as_record() == result["calibration"]["all_patients"]
    plain = Segmenter.load(cv_runs / "all")
    assert Record.of(plain.record).calibration == Calibration()
    index = index_dataset(dataset)
    scan, _ = read_patient(index[index["patient"] == NAMES[0]])
    fine = np.concatenate([(p * np.float32(FINE)).round() for p in plain.probabilities(scan)]).astype(np.uint16)
    served = released.segment(scan).astype(int)
    assert np.abs(served - calibrated(fine, Record.of(released.record).calibration)).max() <= 1


def test_the_same_command_goes_on_without_training_again(
    cv_runs: Path, cv_arguments: list[str], monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    before = read_json(cv_runs / RESULT)

    def never(*_: Any) -> None:
        raise AssertionError("it trains, or predicts, again")

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "train", never)
        patch.setattr(Segmenter, "probabilities", never)
        assert cross_validation.main(cv_arguments) == 0
    assert read_json(cv_runs / RESULT) == before
    said = sentence(cross_validation.main, [*cv_arguments, "--seed", "5"])
    assert f"{cv_runs / 'fold-1'} was made with other settings (" in said and said.endswith("another folder for the runs.")


def on(cv_arguments: list[str], out: Path, begin: Path, *more: str) -> list[str]:
    """The arguments of one that fine-tunes the networks of another, for an epoch."""
    release = str(out.with_name(f"{out.name}-weights"))
    return [*cv_arguments, "--out", str(out), "--release", release, "--begin", str(begin), "--epochs", "1", *more]


@pytest.fixture(scope="module")
def second(cv_runs: Path, cv_arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation fine-tuned from `cv_runs`, its weights averaged with those before; only to be read."""
    out = tmp_path_factory.mktemp("on") / "on"
    assert cross_validation.main(on(cv_arguments, out, cv_runs, "--blend", "0.25")) == 0
    return out


def test_each_run_begins_from_the_same_one_of_an_earlier_cross_validation(cv_runs: Path, second: Path) -> None:
    result, before = read_json(second / RESULT), read_json(cv_runs / RESULT)
    assert result["epochs"] == [2, 1] and result["settings"]["begin"] == cv_runs.name
    for name in [*(f"fold-{f}" for f in (1, 2, 3, 4)), "all"]:
        record = read_json(second / name / "lgg-unet.json")
        assert record["begun_from"]["sha256"] == Segmenter.load(cv_runs / name).record["sha256"]
        assert record["split"] == record["begun_from"]["split"], "nobody is trained on who is scored later"
    assert result["begun_from"] == before["networks"]
    seconds = sum(pd.read_csv(folder / "all" / "metrics.csv")["seconds"].sum() for folder in (cv_runs, second))
    released = read_json(second.with_name("on-weights") / "lgg-unet.json")
    assert released["training_minutes"] == pytest.approx(seconds / 60, abs=0.11)


def test_the_mean_of_the_weights_is_scored_and_released(cv_runs: Path, second: Path) -> None:
    result = read_json(second / RESULT)
    assert result["blend"] == 0.25
    folders = (cv_runs / "all", second / "all", second.with_name("on-weights"))
    before, after, both = (load_checkpoint(folder)[0].state_dict() for folder in folders)
    for name, value in both.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * before[name] + 0.75 * after[name], atol=2e-3, rtol=2e-3)
    assert any(not torch.equal(both[name], after[name]) for name in both)
    assert result["networks"]["1"] == Segmenter.load(second / "fold-1" / "blended").record["sha256"]
    assert result["networks"]["1"] not in (Segmenter.load(second / "fold-1").record["sha256"], result["begun_from"]["1"])


def test_the_commands_on_the_card_are_taken(second: Path) -> None:
    result = read_json(second / RESULT)
    commands = card.made_by(read_json(second.with_name("on-weights") / "lgg-unet.json"), result)
    for n, line in enumerate(commands, 1):
        given = tyro.cli(cross_validation.CrossValidationSettings, args=line.split()[3:])
        assert (given.epochs, given.slices_per_epoch, given.crop) == (result["epochs"][n - 1], 16, 64)
        assert (given.begin, given.blend) == ((Path("runs/cv-1"), 0.25) if n == 2 else (None, 0))


def test_what_cannot_be_fine_tuned_gets_one_sentence(
    cv_runs: Path, second: Path, cv_arguments: list[str], tmp_path: Path, sentence: Sentence
) -> None:
    for wrong in ([*cv_arguments, "--blend", "0.5"], on(cv_arguments, tmp_path / "x", cv_runs, "--blend", "1")):
        assert "--blend goes with --begin, and lies between 0 and 1" in sentence(cross_validation.main, wrong)
    # Not on with networks that began from others, nor from where there are none.
    other = tmp_path / "other"
    for name in ("fold-1", "fold-2", "fold-3", "fold-4", "all"):
        shutil.copytree(second / name, other / name)
    said = sentence(cross_validation.main, on(cv_arguments, second, other))
    assert f"{second / 'fold-1'} was begun from another network" in said
    (tmp_path / "half").mkdir()
    shutil.copytree(cv_runs / "fold-1", tmp_path / "half" / "fold-1")
    said = sentence(cross_validation.main, on(cv_arguments, tmp_path / "x", tmp_path / "half"))
    assert "holds no finished fold-2 and no fold-3 and no fold-4 and no all; --begin takes" in said
    assert not (tmp_path / "x").exists()


def test_bad_folds_get_one_sentence(cv_arguments: list[str], tmp_path: Path, sentence: Sentence) -> None:
    csv = tmp_path / "two.csv"
    csv.write_text(f"patient,fold\n{NAMES[1]},1\n{NAMES[2]},2\n")
    assert "needs at least three folds" in sentence(cross_validation.main, [*cv_arguments, "--folds", str(csv)])


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
    said = {f: inference.calibrated(torch.tensor([0.9]), Calibration.from_record(by_fold[f])).item() for f in ("1", "3")}
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


def test_the_best_threshold_is_that_of_the_mean_curve() -> None:
    probability = np.array([[[10, 200, 200, 90]]], dtype=np.uint8)
    reference = np.array([[[False, True, True, True]]])
    curves = dice_by_level(probability, reference)[None]
    assert 11 <= best_quantised(curves) <= 90


def test_probabilities_of_another_network_are_not_scored(cv_runs: Path, dataset: Path) -> None:
    index = index_dataset(dataset, [NAMES[1]])
    checkpoint = cv_runs / "fold-1" / CHECKPOINT
    right = cross_validation.predict_fold(index, checkpoint, [NAMES[1]], 1)[0].fine
    file = checkpoint.parent / cross_validation.PROBABILITY
    kept = file.read_bytes()
    np.savez_compressed(file, **{NAMES[1]: np.full_like(right, 65535), cross_validation.NETWORK: np.array("another")})
    assert np.array_equal(cross_validation.predict_fold(index, checkpoint, [NAMES[1]], 1)[0].fine, right)
    file.write_bytes(kept)

"""The student report's recipe: its arithmetic by hand, its run from end to end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PATIENTS
from PIL import Image
from torch import nn

from lgg_demo.intensity import BYTE_NORMALISATION, NORMALISATION
from lgg_demo.measure.overlap import Counts
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import NetworkSettings
from lgg_demo.network.seed_unet import SeedUNet
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.reading.pictures import read_scan
from lgg_demo.train import assessment, recipes, training
from lgg_demo.train.augmentation import report_augmentation
from lgg_demo.train.data import PatientDataset, SliceDataset, index_dataset
from lgg_demo.train.losses import report_figures, soft_dice
from lgg_demo.train.recipes import ReportRecipe
from lgg_demo.train.runs import read_json
from lgg_demo.train.settings import SeedSettings

FILES = ["curves.png", "lgg-unet.json", "lgg-unet.safetensors", "metrics.csv", "results.json", "settings.json", "sheet.png",
         "split.json"]  # fmt: skip
FIGURES = ("loss", "dice", "iou", "accuracy")
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


# Augmentation


def sample() -> dict[str, torch.Tensor]:
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 90:160, 100:150] = 1
    return {"image": mask.repeat(3, 1, 1), "mask": mask}


def test_augmentation_moves_image_and_mask_together() -> None:
    augment = report_augmentation(0)
    given, places, areas = sample(), [], []
    for _ in range(40):
        out = augment(given)
        assert out["image"].shape == (3, SIZE, SIZE) and out["mask"].shape == (1, SIZE, SIZE)
        assert out["image"].dtype == out["mask"].dtype == torch.float32
        assert torch.equal(out["mask"][0], (out["image"][1] > 0.5).float())
        places.append((out["mask"][0].nonzero().float().mean(dim=0) - 124.5).numpy())
        areas.append(float(out["mask"].sum()) / (70 * 50))
    assert torch.equal(given["mask"], sample()["mask"])
    for moved in np.transpose(places):  # along rows, then columns
        # The mirror image lies 6 pixels further; a shift counts in the pixels of the zoomed picture, as in Keras.
        assert 9 < np.abs(moved).max() < 0.05 * SIZE / 0.95 + 6.5
        assert moved.min() < -5 and moved.max() > 5
    assert 0.88 < min(areas) < 0.97 and 1.03 < max(areas) < 1.12, "zoom of 5 %"


def test_augmentation_takes_the_nearest_edge_and_mirrors() -> None:
    augment = report_augmentation(1)
    left = torch.zeros(3, SIZE, SIZE)
    left[..., : SIZE // 2] = 1
    sides = [augment({"image": left, "mask": left[:1]})["image"][0, :, 0] for _ in range(20)]
    assert all(len(side.unique()) == 1 and side[0] in (0, 1) for side in sides), "no black border"
    assert 4 <= sum(side[0] == 0 for side in sides) <= 16


# Loss, metrics and schedule, by hand: p sums to 2.1, of which 0.5 + 1 = 1.5 lie inside the mask of 2 pixels


def test_the_reports_figures_by_hand() -> None:
    p = torch.tensor([[[[0.5, 1.0], [0.0, 0.0]]], [[[0.0, 0.6], [0.0, 0.0]]]])
    m = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    found = {k: float(v) for k, v in report_figures(p, m).items()}
    dice, iou = (2 * 1.5 + 100) / (2.1 + 2 + 100), (1.5 + 100) / (2.1 + 2 - 1.5 + 100)
    # 0.5 is not above 0.5, and 0.6 is.
    assert found == pytest.approx({"loss": -dice, "dice": dice, "iou": iou, "accuracy": 6 / 8}, rel=1e-5)
    assert float(report_figures(p, m, "jaccard")["loss"]) == pytest.approx(1 - iou, abs=1e-6)
    empty = torch.zeros(2, 1, 4, 4)
    assert {k: float(v) for k, v in report_figures(empty, empty).items()} == {
        "loss": -1,
        "dice": 1,
        "iou": 1,
        "accuracy": 1,
    }


def test_adam_decays_as_keras_had_it(tmp_path: Path) -> None:
    usual = SeedSettings(data=tmp_path, out=tmp_path)
    assert (usual.epochs, usual.batch_size, usual.learning_rate, usual.decay) == (50, 32, 1e-4, 2e-6)
    recipe = ReportRecipe(SeedSettings(data=tmp_path, out=tmp_path, decay=0.5))
    optimiser, schedule = recipe.optimiser(SeedUNet(width=1).parameters(), steps=4)
    assert (optimiser.defaults["betas"], optimiser.defaults["eps"]) == ((0.9, 0.999), 1e-7)
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([1e-4, 1e-4 / 1.5, 1e-4 / 2, 1e-4 / 2.5])


def test_hard_figures_by_hand() -> None:
    counts = [Counts(1, 1, 0, 2), Counts(0, 0, 0, 4), Counts(2, 0, 2, 0)]
    found = assessment.hard_figures(["a", "a", "b"], counts, {"a": 2, "b": 5})
    assert found == {
        "pooled_dice": pytest.approx(6 / 9),
        "pooled_iou": pytest.approx(3 / 6),
        "tumour_slices": 2,
        "tumour_slice_dice_mean": pytest.approx((2 / 3 + 4 / 6) / 2),
        "whole_patients": 1,  # only one of the five slices of b is tested
        "volume_dice_mean": pytest.approx(2 / 3),
        "volume_dice_median": pytest.approx(2 / 3),
        "volume_dice": {"a": pytest.approx(2 / 3)},
    }
    none = assessment.hard_figures(["b"], [Counts(0, 0, 0, 4)], {"b": 5})
    assert none["volume_dice_mean"] is none["volume_dice_median"] is none["tumour_slice_dice_mean"] is None


class Half(nn.Module):
    """Logits of a probability of 0.75 inside the mask, which the image's first channel holds, and 0.25 outside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, :1] > 0.5, 1.0, -1.0) * np.log(3)


def test_the_test_weights_batches_as_keras_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessment, "BATCH", 2)
    drawn = torch.zeros(3, 1, 32, 32)
    drawn[0, 0, :16] = 1
    slices = [{"image": m.repeat(3, 1, 1), "mask": m} for m in drawn]
    soft, quantised, references = assessment.predict_slices(Half(), slices, [SIZE])  # type: ignore[arg-type]
    batches = [soft_dice(0.25 + 0.5 * part, part).item() for part in (drawn[:2], drawn[2:])]
    assert soft["dice"] == pytest.approx(np.mean(batches), rel=1e-5)
    assert soft["loss"] == pytest.approx(-(2 * batches[0] + batches[1]) / 3, rel=1e-5)
    assert soft["accuracy"] == 1
    assert quantised.dtype == np.uint8 and sorted(set(quantised.ravel().tolist())) == [64, 191]
    assert np.array_equal(references, drawn[:, 0].bool().numpy())


# A run


@pytest.fixture(scope="module")
def given(dataset: Path, folds: Path) -> list[str]:
    return ["--preset", "seed", "--data", str(dataset), "--folds", str(folds), "--width", "1", "--epochs", "2",
            "--batch-size", "8", "--device", "cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def seed_run(tmp_path_factory: pytest.TempPathFactory, given: list[str]) -> Path:
    """The preset's own split, by slice; only to be read."""
    out = tmp_path_factory.mktemp("seed") / "run"
    assert training.main([*given, "--out", str(out)]) == 0
    return out


def test_the_preset_runs_end_to_end(seed_run: Path) -> None:
    assert sorted(p.name for p in seed_run.iterdir()) == FILES
    table = pd.read_csv(seed_run / "metrics.csv")
    names = [f"{side}_{name}" for side in ("train", "val") for name in FIGURES]
    assert list(table.columns) == ["epoch", *names, "learning_rate", "seconds"]
    assert list(table["epoch"]) == [1, 2] and np.isfinite(table.to_numpy()).all()
    for name in ("curves.png", "sheet.png"):
        with Image.open(seed_run / name) as picture:
            assert min(picture.size) > 150
    record = read_json(seed_run / "lgg-unet.json")
    assert record["network"] == {"family": "seed", "width": 1}
    assert record["normalisation"] == BYTE_NORMALISATION and record["views"] == [SIZE]
    assert record["epoch"] == table["val_loss"].argmin() + 1
    assert record["validation"]["loss"] == pytest.approx(table["val_loss"].min(), abs=1e-5)
    assert set(record["validation"]) == {"protocol", *FIGURES}
    assert record["split"] == read_json(seed_run / "split.json")

    found = read_json(seed_run / "results.json")
    assert found["level"] == record["settings"]["split"] == "slice"
    assert [found[side]["slices"] for side in ("train", "validation", "test")] == [11, 3, 2]
    slices = record["split"]["slices"]
    assert found["test_patients_also_in_training"] == len(slices["test"].keys() & slices["train"].keys())
    assert set(found["report_measure"]) == {"definition", *FIGURES}
    assert 0 <= found["hard"]["pooled_dice"] <= 1


def test_the_page_serves_it_with_its_own_normalisation(seed_run: Path, dataset: Path) -> None:
    index = index_dataset(dataset, list(PATIENTS)[:1])
    segmenter = Segmenter.load(seed_run)
    scan = read_scan(list(index["image"]))
    slices = SliceDataset(PatientDataset(index, BYTE_NORMALISATION))
    served = torch.from_numpy(np.concatenate(list(segmenter.inputs(scan))))
    assert all(torch.equal(slices[s]["image"], served[s]) for s in range(len(scan)))
    assert float(served.max()) <= 1
    assert segmenter.segment(scan).shape == (4, SIZE, SIZE)


def test_by_patient_it_scores_whole_volumes(given: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ["--out", str(out), "--split", "patient", "--epochs", "1", "--loss", "jaccard"]
    assert training.main([*given, *more]) == 0
    found = read_json(out / "results.json")
    (name,) = (name for name, (fold, *_) in PATIENTS.items() if fold == 2)
    assert found["test"] == {"slices": 5, "patients": 1} and found["test_patients_also_in_training"] == 0
    assert list(found["hard"]["volume_dice"]) == [name]
    assert pd.read_csv(out / "metrics.csv")["train_loss"].between(0, 1).all()


def test_our_recipe_trains_the_reports_network_by_slice(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "NetworkSettings", functools.partial(NetworkSettings, width=1))
    out = tmp_path / "run"
    arguments = ["--data", str(dataset), "--folds", str(folds), "--out", str(out), "--epochs", "1", "--batch-size", "4",
                 "--slices-per-epoch", "8", "--crop", "64", "--device", "cpu"]  # fmt: skip
    assert training.main([*arguments, "--network", "seed", "--split", "slice"]) == 0
    assert sorted(p.name for p in out.iterdir()) == FILES
    network, record = load_checkpoint(out)
    assert isinstance(network, SeedUNet) and record["normalisation"] == NORMALISATION
    assert record["split"]["level"] == "slice"
    assert sum(map(len, record["split"]["slices"]["test"].values())) == 2
    assert list(record["validation"]["per_patient"]) == record["split"]["validation"]
    assert read_json(out / "results.json")["test"]["slices"] == 2


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--epochs 0", "--epochs must be at least 1"),
        ("--batch-size 0", "--batch-size must be at least 1"),
        ("--decay -1", "--decay must not be negative"),
        ("--width 0", "--width must be at least 1"),
        ("--test-fold 0", "Fold 0 is held out"),
        ("--test-fold 1", "--validation-fold and --test-fold must differ"),
        ("--split patient --test-fold 7", "No patient is in fold 7"),
        ("--data no-such-folder", "no-such-folder is not a folder"),
    ],
)
def test_a_bad_argument_gets_one_sentence(
    arguments: str, said: str, given: list[str], tmp_path: Path, sentence: Sentence
) -> None:
    assert said in sentence(training.main, [*given, "--out", str(tmp_path / "run"), *arguments.split()])
    assert not (tmp_path / "run").exists()


def test_bf16_is_refused_where_it_would_be_emulated(tmp_path: Path) -> None:
    recipe: Any = ReportRecipe(SeedSettings(data=tmp_path, out=tmp_path, precision="bf16"))
    with pytest.raises(ValueError, match="this machine has no bfloat16 of its own"):
        recipe.bf16(fast=False)
    assert recipe.bf16(fast=True)

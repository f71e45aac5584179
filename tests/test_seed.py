"""The student report's recipe: its network to the parameter, its arithmetic by hand, its run from end to end."""

from __future__ import annotations

import functools
import json
import signal
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

from lgg_demo.intensity import BYTE_NORMALISATION, NORMALISATION, byte_scale, normalise
from lgg_demo.measure.overlap import Counts
from lgg_demo.network.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import NetworkSettings
from lgg_demo.network.seed_unet import SeedUNet, keras_parameters
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.network.unet import build_network
from lgg_demo.reading.pictures import read_scan
from lgg_demo.train import seed, training
from lgg_demo.train.data import DatasetError, PatientDataset, Sides, SliceDataset, index_dataset, split_by_slice
from lgg_demo.train.runs import STATE

SMALL = ["--width", "1", "--epochs", "2", "--batch-size", "8", "--device", "cpu"]
FILES = ["curves.png", "lgg-unet.json", "lgg-unet.safetensors", "metrics.csv", "results.json", "settings.json", "sheet.png",
         "split.json"]  # fmt: skip
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# The network


def test_the_network_has_the_reports_parameters() -> None:
    network = build_network(NetworkSettings(family="seed"))
    assert keras_parameters(network) == (31_152_833, 31_146_753, 6_080)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_what_keras_does_otherwise_than_pytorch() -> None:
    torch.manual_seed(0)
    network = SeedUNet(width=8)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 11, "one a block"
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 2 * 11 + 5 + 1
    for m in convolutions:
        bound = (6 / (m.weight[0, 0].numel() * (m.in_channels + m.out_channels))) ** 0.5  # glorot_uniform
        assert 0.5 * bound < m.weight.abs().max() <= bound
        assert m.bias is not None and not m.bias.any()
    widths = [m.out_channels for m in convolutions if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [128, 64, 32, 16, 8]
    assert network.head.in_channels == 16, "the last block has twice the filters of its transposed convolution"


def test_neighbours_widen_its_first_convolution() -> None:
    network = build_network(NetworkSettings(context=1, family="seed", width=1))
    assert network(torch.zeros(2, 9, 32, 32)).shape == (2, 1, 32, 32)


# The split


def test_the_split_of_the_complete_data_is_that_of_the_report() -> None:
    sides = split_by_slice(3929, seed=0)
    assert [len(rows) for rows in (sides.train, sides.validation, sides.test)] == [2828, 708, 393]
    assert sorted(sides.train + sides.validation + sides.test) == list(range(3929))
    assert split_by_slice(3929, seed=0) == sides != split_by_slice(3929, seed=1)
    with pytest.raises(DatasetError, match="1 slices are too few"):
        split_by_slice(1, seed=0)


def settings(dataset: Path, **more: Any) -> seed.SeedSettings:
    return seed.SeedSettings(data=dataset, out=Path("run"), **more)


def test_by_patient_nobody_is_on_two_sides(dataset: Path, folds: Path) -> None:
    names = {fold: name for name, (fold, *_) in PATIENTS.items()}
    index, sides = seed.sides_of(settings(dataset, split="patient", folds=folds))
    said = sides.as_json(index)
    assert said == {
        "level": "patient", "train": [names[3], names[4]], "validation": [names[1]], "test": [names[2]]
    }  # fmt: skip
    assert names[0] not in set(index["patient"]), "fold 0 is held out"
    assert sorted(sides.train + sides.validation + sides.test) == list(range(len(index)))

    index, sides = seed.sides_of(settings(dataset, split="patient"))
    said = sides.as_json(index)
    assert [len(said[side]) for side in ("train", "validation", "test")] == [3, 1, 1]
    assert len({name for side in ("train", "validation", "test") for name in said[side]}) == 5


def test_by_slice_the_split_names_every_slice(dataset: Path, folds: Path) -> None:
    index, sides = seed.sides_of(settings(dataset, folds=folds))
    said = sides.as_json(index)
    assert said["level"] == "slice"
    named = [(p, n) for part in said["slices"].values() for p, numbers in part.items() for n in numbers]
    assert sorted(named) == sorted(zip(index["patient"], index["slice"].tolist(), strict=True))
    assert [len(sides.train), len(sides.validation), len(sides.test)] == [11, 3, 2]


# Input and augmentation


def test_bytes_are_divided_by_255(dataset: Path) -> None:
    scan = read_scan(next((dataset / next(iter(PATIENTS))).glob("*_9.tif")))
    np.testing.assert_array_equal(normalise(scan.pixels, byte_scale(scan.pixels)), scan.pixels / np.float32(255))
    assert byte_scale(np.full((1, 2, 2, 3), 4095.0)) == (((0.0, 4095.0), (0.0, 1.0)),) * 3, "no bytes: not all of it white"
    assert byte_scale(np.zeros((0, 2, 2, 3))) == (((0.0, 255.0), (0.0, 1.0)),) * 3


def sample() -> dict[str, torch.Tensor]:
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 90:160, 100:150] = 1
    return {"image": mask.repeat(3, 1, 1), "mask": mask}


def test_augmentation_moves_image_and_mask_together() -> None:
    augment = seed.seed_augmentation(0)
    given, rows, columns, areas = sample(), [], [], []
    for _ in range(40):
        out = augment(given)
        assert out["image"].shape == (3, SIZE, SIZE) and out["mask"].shape == (1, SIZE, SIZE)
        assert out["image"].dtype == out["mask"].dtype == torch.float32
        assert torch.equal(out["mask"][0], (out["image"][1] > 0.5).float())
        place = out["mask"][0].nonzero().float().mean(dim=0)
        rows.append(float(place[0]) - 124.5)
        columns.append(float(place[1]) - 124.5)
        areas.append(float(out["mask"].sum()) / (70 * 50))
    assert torch.equal(given["mask"], sample()["mask"])
    for moved in (rows, columns):
        # The mirror image lies 6 pixels further; a shift counts in the pixels of the zoomed picture, as in Keras.
        assert 9 < max(abs(m) for m in moved) < 0.05 * SIZE / 0.95 + 6.5
        assert min(moved) < -5 and max(moved) > 5
    assert 0.88 < min(areas) < 0.97 and 1.03 < max(areas) < 1.12, "zoom of 5 %"


def test_augmentation_takes_the_nearest_edge_and_mirrors() -> None:
    augment = seed.seed_augmentation(1)
    left = torch.zeros(3, SIZE, SIZE)
    left[..., : SIZE // 2] = 1
    mirrored = 0
    for _ in range(20):
        out = augment({"image": left, "mask": left[:1]})["image"]
        side = out[0, :, 0].mean()
        assert side in (0, 1) and bool((out[0, :, 0] == side).all()), "no black border"
        mirrored += int(side == 0)
    assert 4 <= mirrored <= 16


def test_augmentation_depends_on_its_seed_alone() -> None:
    first, second = (seed.seed_augmentation(3) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(first(sample())["image"], second(sample())["image"])
    assert not torch.equal(first(sample())["image"], seed.seed_augmentation(4)(sample())["image"])


# Loss and metrics, by hand: p sums to 1.5 of which 0.5 + 1 = 1.5 lie inside the mask of 2 pixels


def test_the_reports_figures_by_hand() -> None:
    p = torch.tensor([[[[0.5, 1.0], [0.0, 0.0]]], [[[0.0, 0.6], [0.0, 0.0]]]])
    m = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    found = {k: float(v) for k, v in seed.batch_figures(p, m).items()}
    assert found["dice"] == pytest.approx((2 * 1.5 + 100) / (2.1 + 2 + 100))
    assert found["loss"] == pytest.approx(-found["dice"])
    assert found["iou"] == pytest.approx((1.5 + 100) / (2.1 + 2 - 1.5 + 100))
    assert found["accuracy"] == pytest.approx(6 / 8), "0.5 is not above 0.5, and 0.6 is"
    assert float(seed.batch_figures(p, m, "jaccard")["loss"]) == pytest.approx(1 - found["iou"])
    empty = torch.zeros(2, 1, 4, 4)
    assert float(seed.soft_dice(empty, empty)) == float(seed.soft_iou(empty, empty)) == 1


def test_adam_decays_as_keras_had_it(dataset: Path) -> None:
    chosen = settings(dataset)
    assert (chosen.epochs, chosen.batch_size, chosen.learning_rate, chosen.decay) == (50, 32, 1e-4, 2e-6)
    made = seed.SeedLearner(SeedUNet(width=1), settings(dataset, decay=0.5)).configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    assert (optimiser.defaults["betas"], optimiser.defaults["eps"]) == ((0.9, 0.999), 1e-7)
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([1e-4, 1e-4 / 1.5, 1e-4 / 2, 1e-4 / 2.5])


def test_hard_figures_by_hand() -> None:
    counts = [Counts(1, 1, 0, 2), Counts(0, 0, 0, 4), Counts(2, 0, 2, 0)]
    found = seed.hard_figures(["a", "a", "b"], counts, {"a": 2, "b": 5})
    assert found["pooled_dice"] == pytest.approx(6 / 9)
    assert found["pooled_iou"] == pytest.approx(3 / 6)
    assert found["tumour_slices"] == 2
    assert found["tumour_slice_dice_mean"] == pytest.approx((2 / 3 + 4 / 6) / 2)
    assert found["volume_dice"] == {"a": pytest.approx(2 / 3)}, "only two of the five slices of b are tested"
    assert (found["whole_patients"], found["volume_dice_mean"]) == (1, pytest.approx(2 / 3))
    none = seed.hard_figures(["b"], [Counts(0, 0, 0, 4)], {"b": 5})
    assert none["volume_dice_mean"] is none["volume_dice_median"] is none["tumour_slice_dice_mean"] is None


class Half(nn.Module):
    """Logits of a probability of 0.75 inside the mask, which the image's first channel holds, and 0.25 outside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, :1] > 0.5, 1.0, -1.0) * np.log(3)


def test_the_test_weights_batches_as_keras_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed, "BATCH", 2)
    drawn = torch.zeros(3, 1, 32, 32)
    drawn[0, 0, :16] = 1
    slices = [{"image": m.repeat(3, 1, 1), "mask": m} for m in drawn]
    soft, levels, masks = seed.predict_slices(Half(), slices, views=[SIZE])  # type: ignore[arg-type]
    batches = [seed.soft_dice(0.25 + 0.5 * part, part).item() for part in (drawn[:2], drawn[2:])]
    assert soft["dice"] == pytest.approx(np.mean(batches), rel=1e-5)
    assert soft["loss"] == pytest.approx(-(2 * batches[0] + batches[1]) / 3, rel=1e-5)
    assert soft["accuracy"] == 1
    assert levels.dtype == np.uint8 and sorted(set(levels.ravel().tolist())) == [64, 191]
    assert np.array_equal(masks, drawn[:, 0].bool().numpy())


# A run


def command(dataset: Path, folds: Path, out: Path, *more: str) -> list[str]:
    return ["--preset", "seed", "--data", str(dataset), "--folds", str(folds), "--out", str(out), *SMALL, *more]


@pytest.fixture(scope="module")
def seed_run(tmp_path_factory: pytest.TempPathFactory, dataset: Path, folds: Path) -> Path:
    """The preset's own split, by slice; only to be read."""
    out = tmp_path_factory.mktemp("seed") / "run"
    assert training.main(command(dataset, folds, out)) == 0
    return out


def test_the_preset_runs_end_to_end(seed_run: Path) -> None:
    assert sorted(p.name for p in seed_run.iterdir()) == FILES
    table = pd.read_csv(seed_run / "metrics.csv")
    names = [f"{side}_{name}" for side in ("train", "val") for name in ("loss", "dice", "iou", "accuracy")]
    assert list(table.columns) == ["epoch", *names, "learning_rate", "seconds"]
    assert list(table["epoch"]) == [1, 2] and np.isfinite(table.to_numpy()).all()
    for name in ("curves.png", "sheet.png"):
        with Image.open(seed_run / name) as picture:
            assert min(picture.size) > 150
    record = read_json(seed_run / "lgg-unet.json")
    assert record["network"] == {"family": "seed", "width": 1, "context": 0}
    assert record["normalisation"] == BYTE_NORMALISATION
    assert record["epoch"] == table["val_loss"].argmin() + 1
    assert record["validation"]["loss"] == pytest.approx(table["val_loss"].min(), abs=1e-5)
    assert record["split"] == read_json(seed_run / "split.json")
    assert record["settings"]["split"] == "slice" and record["views"] == [SIZE]


def test_its_results_have_both_measures(seed_run: Path) -> None:
    found = read_json(seed_run / "results.json")
    assert found["level"] == "slice"
    assert [found[side]["slices"] for side in ("train", "validation", "test")] == [11, 3, 2]
    slices = read_json(seed_run / "split.json")["slices"]
    assert found["test_patients_also_in_training"] == len(slices["test"].keys() & slices["train"].keys())
    assert set(found["report_measure"]) == {"definition", "loss", "dice", "iou", "accuracy"}
    assert 0 <= found["hard"]["pooled_dice"] <= 1


def test_the_page_serves_it_with_its_own_normalisation(seed_run: Path, dataset: Path) -> None:
    index = index_dataset(dataset, list(PATIENTS)[:1])
    segmenter = Segmenter.load(seed_run)
    scan = read_scan(list(index["image"]))
    slices = SliceDataset(PatientDataset(index, list(PATIENTS)[:1], BYTE_NORMALISATION))
    served = torch.cat(list(segmenter.inputs(scan)))
    assert all(torch.equal(slices[s]["image"], served[s]) for s in range(len(scan)))
    assert float(served.max()) <= 1
    assert segmenter.segment(scan).shape == (4, SIZE, SIZE)


def test_by_patient_it_scores_whole_volumes(dataset: Path, folds: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert training.main(command(dataset, folds, out, "--split", "patient", "--epochs", "1", "--loss", "jaccard")) == 0
    found = read_json(out / "results.json")
    (name,) = (name for name, (fold, *_) in PATIENTS.items() if fold == 2)
    assert found["test"] == {"slices": 5, "patients": 1} and found["test_patients_also_in_training"] == 0
    assert list(found["hard"]["volume_dice"]) == [name]
    assert pd.read_csv(out / "metrics.csv")["train_loss"].between(0, 1).all()


def test_an_interrupted_run_goes_on(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    arguments = command(dataset, folds, tmp_path / "run")
    begin = seed.SeedRecorder.on_train_epoch_start

    def stop(self: seed.SeedRecorder, trainer: Any, learner: Any) -> None:
        begin(self, trainer, learner)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(seed.SeedRecorder, "on_train_epoch_start", stop)
        assert training.main(arguments) == 130
    signal.signal(signal.SIGINT, handler)  # Lightning has it ignored while it shuts down
    assert (tmp_path / "run" / STATE).exists()
    first = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1]
    said = sentence(training.main, [*arguments, "--loss", "jaccard"])
    assert said == f"train: {tmp_path / 'run'} was begun with other settings (loss); give those, or another --out."
    assert training.main(arguments) == 0
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1] == first
    assert list(pd.read_csv(tmp_path / "run" / "metrics.csv")["epoch"]) == [1, 2]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == FILES
    assert "holds a finished run" in sentence(training.main, arguments)


# The report's network, and its kind of split, under our own recipe


def test_our_recipe_trains_the_reports_network_by_slice(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "NetworkSettings", functools.partial(NetworkSettings, width=1))
    out = tmp_path / "run"
    arguments = ["--data", str(dataset), "--folds", str(folds), "--out", str(out), "--epochs", "1", "--batch-size", "4",
                 "--slices-per-epoch", "8", "--crop", "64", "--device", "cpu"]  # fmt: skip
    assert training.main([*arguments, "--network", "seed", "--split", "slice"]) == 0
    assert sorted(p.name for p in out.iterdir()) == FILES
    network, record = load_checkpoint(out)
    assert isinstance(network, SeedUNet)
    assert record["normalisation"] == NORMALISATION
    assert record["split"]["level"] == "slice"
    _, sides = seed.sides_of(settings(dataset, folds=folds))
    assert sum(map(len, record["split"]["slices"]["test"].values())) == len(sides.test)
    assert list(record["validation"]["per_patient"]) == record["split"]["validation"]
    assert read_json(out / "results.json")["test"]["slices"] == len(sides.test)


def test_a_checkpoint_of_the_reports_network_comes_back(tmp_path: Path) -> None:
    made = NetworkSettings(family="seed", width=2)
    network = build_network(made).eval()
    save_checkpoint(tmp_path / CHECKPOINT, network, made, {"normalisation": BYTE_NORMALISATION}, half=False)
    after, record = load_checkpoint(tmp_path)
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(after(x), network(x))
    assert NetworkSettings.from_record(record["network"]) == made


def test_a_part_keeps_the_slices_asked_for(dataset: Path) -> None:
    patients = PatientDataset(index_dataset(dataset), list(PATIENTS)[:3])  # of 4, 5 and 3 slices
    parts = patients.part([10, 0, 3])
    assert [p["patient"] for p in parts] == list(PATIENTS)[:3:2]
    assert torch.equal(parts[0]["image"], patients.items[0]["image"][[0, 3]])
    assert torch.equal(parts[1]["mask"], patients.items[2]["mask"][[1]])
    chosen = SliceDataset(patients, rows=[10, 0])
    assert torch.equal(chosen[0]["image"], patients.items[2]["image"][1]) and len(chosen) == 2


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--learning-rate", "0"], "--learning-rate must be above 0"),
        (["--decay", "-1"], "--decay must not be negative"),
        (["--width", "0"], "--width must be at least 1"),
        (["--workers", "-1"], "--workers must not be negative"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--test-fold", "0"], "Fold 0 is held out"),
        (["--test-fold", "1"], "--validation-fold and --test-fold must differ"),
        (["--split", "patient", "--test-fold", "7"], "No patient is in fold 7"),
        (["--folds", "no-such.csv"], "no-such.csv cannot be read as CSV"),
        (["--data", "no-such-folder"], "no-such-folder is not a folder"),
        (["--out", __file__], "is a file, not a folder"),
    ],
)
def test_a_bad_argument_gets_one_sentence(
    arguments: list[str], said: str, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    assert said in sentence(training.main, [*command(dataset, folds, tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [["--no-validate"], ["--context", "1"], ["--leave-out-fold", "2"]])
def test_a_split_by_slice_refuses_what_it_cannot_do(
    more: list[str], dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    arguments = ["--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / "run"), "--split", "slice", *more]
    assert "--split slice goes without" in sentence(training.main, arguments)


def test_bf16_is_refused_where_it_would_be_emulated(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    monkeypatch.setattr(seed, "bf16_is_fast", lambda _: False)
    said = sentence(training.main, command(dataset, folds, tmp_path, "--precision", "bf16"))
    assert "this machine has no bfloat16 of its own" in said


def test_a_patient_on_two_sides_is_refused(dataset: Path) -> None:
    index = index_dataset(dataset)
    one, two, *_ = PATIENTS
    with pytest.raises(DatasetError, match=f"on both sides of the split: {two}"):
        seed.rows_of_patients(index, seed.split_by_fold(pd.DataFrame({"patient": [one, two], "fold": [1, 2]}), 1), [two], 0)
    assert Sides("slice", (0,), (1,), (2,)).as_json(index)["slices"]["train"] == {one: [9]}


@pytest.mark.parametrize("preset", [["--preset", "seed"], ["--preset=seed"], []])
def test_help_says_what_each_recipe_takes(preset: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training.main([*preset, "--help"])
    text = capsys.readouterr().out
    if preset:
        assert all(f"--{name.replace('_', '-')}" in text for name in seed.SeedSettings.__dataclass_fields__)
    else:
        assert "--preset" in text and "--encoder" in text

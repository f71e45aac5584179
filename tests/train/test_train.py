"""A run: what it leaves, what its record says, how it continues after Ctrl-C, and how it refuses."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAST, PATIENTS
from helpers import read
from PIL import Image
from safetensors.torch import load_file, save

from lgg_demo import evaluate
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.checkpoint_files import CHECKPOINT, write_checkpoint
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.train import learner, loop, training
from lgg_demo.train.data import PatientDataset, SliceDataset, index_dataset
from lgg_demo.train.losses import pooled_dice
from lgg_demo.train.recipes import OwnRecipe, draw_weights, warming_average
from lgg_demo.train.runs import STATE, UNFINISHED, changed_settings, read_json
from lgg_demo.train.settings import TrainSettings

FILES = ["curves.png", "lgg-unet.json", "lgg-unet.safetensors", "metrics.csv", "settings.json", "split.json"]
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


@pytest.fixture
def given(dataset: Path, folds: Path, tmp_path: Path) -> list[str]:
    """The arguments of a tiny training into `run`."""
    return ["--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / "run"), *FAST]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, dataset: Path, folds: Path) -> Path:
    """A finished training of the same settings, to fine-tune; only to be read."""
    out = tmp_path_factory.mktemp("first") / "first"
    assert training.main(["--data", str(dataset), "--folds", str(folds), "--out", str(out), *FAST]) == 0
    return out


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Run a training that gets Ctrl-C at the beginning of its second epoch."""

    def run(arguments: list[str]) -> int:
        begin = loop.Recorder.on_train_epoch_start

        def stop(self: loop.Recorder, trainer: Any, learner: Any) -> None:
            begin(self, trainer, learner)
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

        handler = signal.getsignal(signal.SIGINT)
        with monkeypatch.context() as patch:
            patch.setattr(loop.Recorder, "on_train_epoch_start", stop)
            code = training.main(arguments)
        signal.signal(signal.SIGINT, handler)  # Lightning has it ignored while it shuts down
        return code

    return run


# What a run leaves


def test_run_holds_these_files_and_no_pickle(run: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == FILES
    for path in run.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644, f"{path.name} follows the umask"
    with Image.open(run / "curves.png") as picture:
        assert min(picture.size) > 300


def test_metrics_have_a_row_an_epoch_and_the_best_is_kept(run: Path) -> None:
    table, record = pd.read_csv(run / "metrics.csv"), read_json(run / "lgg-unet.json")
    wanted = ["train_loss", "train_dice", "val_loss", "val_dice", "val_dice_median", "val_dice_pooled"]
    assert list(table.columns) == ["epoch", *wanted, "learning_rate", "seconds"]
    assert list(table["epoch"]) == [1, 2] and np.isfinite(table.to_numpy()).all()
    assert record["epoch"] == table["val_dice"].argmax() + 1
    validation = record["validation"]
    assert validation["volume_dice_mean"] == pytest.approx(table["val_dice"].max(), abs=1e-5)
    assert validation["volume_dice_mean"] == pytest.approx(np.mean(list(validation["per_patient"].values())))
    assert list(validation["per_patient"]) == record["split"]["validation"]


def test_record_says_all_that_loading_and_users_need(run: Path) -> None:
    record, settings = read_json(run / "lgg-unet.json"), read_json(run / "settings.json")
    names = {fold: name for name, (fold, *_) in PATIENTS.items()}
    assert record["split"] == read_json(run / "split.json")
    assert record["split"] == {"train": [names[2], names[3], names[4]], "validation": [names[1]]}
    built_from = {"encoder": "timm-tf_efficientnet_lite0", "decoder_channels": [128, 64, 32, 16, 8]}
    assert record["network"] == {"family": "smp"} | built_from
    assert (record["normalisation"], record["threshold"], record["views"]) == (NORMALISATION, 0.5, [256, 320])
    assert "not for diagnosis" in record["intended_use"] and "Buda" in record["training_data"]
    for package in ("torch", "segmentation-models-pytorch", "monai", "lightning", "numpy"):
        assert record["versions"][package] == version(package)
    assert record["settings"] == settings and settings["epochs"] == 2
    assert (settings["data"], settings["folds"]) == ("kaggle_3m", "folds.csv"), "no folder of this machine"


def test_training_and_the_page_feed_the_network_the_same_tensor(dataset: Path, segmenter: Segmenter) -> None:
    """For every slice of two patients, read once as training reads it and once as the page reads dropped files."""
    for name in list(PATIENTS)[:3:2]:
        slices = SliceDataset(PatientDataset(index_dataset(dataset, [name])))
        (case,), problems, _ = read(dataset / name)
        served = torch.from_numpy(np.concatenate(list(segmenter.inputs(case.scan))))
        assert problems == [] and case.reference is not None
        assert len(slices) == len(served) == PATIENTS[name][2]
        for s in range(len(slices)):
            assert slices[s]["image"].dtype == torch.float32
            assert torch.equal(slices[s]["image"], served[s])
            assert np.array_equal(slices[s]["mask"][0].numpy() == 1, case.reference[s])


def test_a_run_without_validation_keeps_its_last_average(given: list[str], tmp_path: Path) -> None:
    assert training.main([*given, "--no-validate"]) == 0
    record = read_json(tmp_path / "run" / "lgg-unet.json")
    assert len(record["split"]["train"]) == 4 and record["split"]["validation"] == [] and record["validation"] is None
    table = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert list(table.columns) == ["epoch", "train_loss", "train_dice", "learning_rate", "seconds"] and len(table) == 2


# Going on


def test_after_ctrl_c_the_same_command_continues(
    given: list[str],
    folds: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    interrupted: Callable[[list[str]], int],
    sentence: Sentence,
) -> None:
    run = tmp_path / "run"
    assert interrupted(given) == 130
    assert "train: interrupted; the same command goes on" in capsys.readouterr().err
    assert sorted(p.name for p in run.iterdir()) == sorted([*FILES, STATE, UNFINISHED])

    # What is kept is the average that was validated, not the weights the optimiser stands at.
    state = torch.load(run / STATE, weights_only=True)
    kept = load_file(run / "lgg-unet.safetensors")
    assert all(torch.equal(v, state["state_dict"][f"network.{k}"].half()) for k, v in kept.items())
    assert not all(torch.equal(v, state["current_model_state"][f"network.{k}"].half()) for k, v in kept.items())

    # Other settings or other patients are not mixed in.
    said = sentence(training.main, [*given, "--learning-rate", "0.002", "--seed", "3"])
    assert "was begun with other settings (seed, learning_rate)" in said
    one, two, *_ = PATIENTS
    other = tmp_path / folds.name
    other.write_text(f"patient,fold\n{one},1\n{two},2\n")
    assert "was begun with other patients (split.json)" in sentence(training.main, [*given, "--folds", str(other)])

    assert training.main(given) == 0
    assert read_json(run / "lgg-unet.json")["resumed_after_epochs"] == [1]
    assert list(pd.read_csv(run / "metrics.csv")["epoch"]) == [1, 2]
    assert sorted(p.name for p in run.iterdir()) == FILES


def test_a_run_begun_with_a_setting_that_went_is_of_other_settings(tmp_path: Path) -> None:
    settings = TrainSettings(data=tmp_path, out=tmp_path)
    for loss, changed in (("dice-ce", []), ("tversky", ["loss"])):
        (tmp_path / "settings.json").write_text(json.dumps(settings_before := {"loss": loss, "epochs": 8}))
        assert changed_settings(tmp_path, settings) == changed, settings_before


def test_a_finished_run_is_left_alone(run: Path, given: list[str], tmp_path: Path, sentence: Sentence) -> None:
    for name in ("lgg-unet.json", "lgg-unet.safetensors"):  # a folder of weights alone, as weights/ is
        shutil.copy(run / name, tmp_path)
    for folder in (run, tmp_path):
        said = sentence(training.main, [*given, "--out", str(folder)])
        assert said == f"train: {folder} holds a finished run; give another --out."


# Fine-tuning a finished run


def test_a_run_begins_where_another_ended(
    first: Path, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, training_of = [], OwnRecipe.training
    monkeypatch.setattr(OwnRecipe, "training", lambda *a: earlier.append(a[-1]) or training_of(*a))
    still = ["--learning-rate", "1e-12", "--weight-decay", "0", "--epochs", "1"]
    assert training.main([*given, *still, "--begin", str(first)]) == 0
    before, after = (load_file(folder / "lgg-unet.safetensors") for folder in (first, tmp_path / "run"))
    trained = [k for k in before if "running" not in k]  # batch normalisation counts on
    assert all(torch.equal(before[k], after[k]) for k in trained)
    begun, own = (read_json(folder / "lgg-unet.json") for folder in (first, tmp_path / "run"))
    assert own["begun_from"]["epoch"] == begun["epoch"] == earlier[0], "not the draws of its epochs again"
    assert all(own["begun_from"][k] == begun[k] for k in ("split", "settings", "sha256"))
    assert own["begun_from"]["minutes"] == round(pd.read_csv(first / "metrics.csv")["seconds"].sum() / 60, 1)
    assert read_json(tmp_path / "run" / "begun.json") == own["begun_from"]
    assert own["settings"]["begin"] == first.name and "begun_from" not in begun


def test_a_killed_run_continues_from_the_network_it_began_from_alone(
    first: Path, given: list[str], tmp_path: Path, interrupted: Callable[[list[str]], int], sentence: Sentence
) -> None:
    assert interrupted([*given, "--begin", str(first)]) == 130
    other = tmp_path / "other" / first.name  # another network in a folder of the same name
    shutil.copytree(first, other)
    weights = load_file(other / CHECKPOINT)
    write_checkpoint(other / CHECKPOINT, save({k: v + 1 for k, v in weights.items()}), read_json(other / "lgg-unet.json"))
    assert "was begun from another network than" in sentence(training.main, [*given, "--begin", str(other)])
    assert training.main([*given, "--begin", str(first)]) == 0
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 2


def test_no_run_begins_from_one_that_has_seen_its_patients(
    first: Path, given: list[str], folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    """`first` is trained on the folds 2 to 4 and chosen on 1."""
    few = tmp_path / "few.csv"  # names the patients of folds 2 and 3 alone, but more are in the data
    few.write_text("\n".join(line for line in folds.read_text().splitlines() if line[-2:] not in (",1", ",4", ",0")))
    for more, seen in (
        (["--validation-fold", "2"], 1),
        (["--leave-out-fold", "3"], 1),
        (["--no-validate", "--leave-out-fold", "1"], 1),
        (["--folds", str(few), "--validation-fold", "2"], 3),  # left out: those of 1 and 4; chosen on: 2
    ):
        said = sentence(training.main, [*given, "--begin", str(first), *more])
        assert f"has seen {seen} of the patients whom this run chooses on or leaves out" in said


def test_nor_over_a_run_on_other_patients(
    first: Path, given: list[str], dataset: Path, tmp_path: Path, sentence: Sentence, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    for n, folder in enumerate(sorted(p for p in dataset.iterdir() if p.is_dir())[:2]):
        name = f"TCGA_MY_000{n}_20000101"
        (mine / name).mkdir(parents=True)
        for file in folder.iterdir():
            shutil.copy(file, mine / name / file.name.replace(folder.name, name))
    middle = str(tmp_path / "middle")
    own = ["--data", str(mine), "--out", middle, *FAST, "--validation-fraction", "0.5", "--epochs", "1"]
    assert training.main([*own, "--begin", str(first)]) == 0
    said = sentence(training.main, [*given, "--validation-fold", "2", "--begin", middle])
    assert "(TCGA_AA_0002_20000101 is the first)" in said
    capsys.readouterr()
    assert evaluate.main(["--data", str(dataset), "--checkpoint", middle, "--out", str(tmp_path / "scores")]) == 0
    assert "the network was trained on 3 of these patients" in capsys.readouterr().err


def test_what_no_run_can_begin_from_gets_one_sentence(
    first: Path, given: list[str], tmp_path: Path, sentence: Sentence
) -> None:
    said = sentence(training.main, [*given, "--decoder-channels", "8", "8", "8", "8", "4", "--begin", str(first)])
    assert f"{first} is of another network or normalisation" in said
    assert "There is no run at no/such" in sentence(training.main, [*given, "--begin", "no/such"]), "the Hub is not asked"
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    record = read_json(copy / "lgg-unet.json")
    for broken in ({k: v for k, v in record.items() if k != "split"}, record | {"split": {}}):
        (copy / "lgg-unet.json").write_text(json.dumps(broken))
        assert "does not say whom it was trained on" in sentence(training.main, [*given, "--begin", str(copy)])
    (copy / STATE).touch()
    assert f"{copy} is not finished" in sentence(training.main, [*given, "--begin", str(copy)])


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--epochs 0", "--epochs must be at least 1"),
        ("--batch-size 1", "--batch-size must be at least 2"),
        ("--slices-per-epoch 3", "--slices-per-epoch must be at least --batch-size"),
        ("--tumour-share 1", "--tumour-share must lie between 0 and 1"),
        ("--balance 2", "--balance must lie between 0 and 1"),
        ("--validation-fraction nan", "--validation-fraction must lie between 0 and 1"),
        ("--average 1", "--average must be at least 0 and below 1"),
        ("--learning-rate -1", "--learning-rate must be above 0"),
        ("--weight-decay -1", "--weight-decay must not be negative"),
        ("--workers -1", "--workers must not be negative"),
        ("--crop 100", "--crop must be a multiple of 32"),
        ("--views 256 100", "--views must be one to 16 multiples of 32 from 64"),
        ("--decoder-channels 8 8 8 8 9999", "--decoder-channels must be at least 1 each, and at most 1024"),
        ("--decoder-channels 8 4", "--decoder-channels takes five numbers"),
        ("--seed -1", "--seed must be at least 0"),
        ("--leave-out-fold 1", "Fold 1 is held out"),
        ("--leave-out-fold 7", "No patient is in fold 7"),
        ("--validation-fold 0", "Fold 0 is held out"),
        ("--folds no-such.csv", "no-such.csv cannot be read as CSV"),
        ("--encoder resnet18 --encoder-weights package", "Packages have ImageNet weights of timm-tf_efficientnet_lite0, "),
        ("--encoder no-such", "builds no U-Net on no-such"),
        ("--data no-such-folder", "no-such-folder is not a folder"),
        (f"--out {__file__}", "is a file, not a folder"),
        ("--begin no-such-run", "There is no run at no-such-run"),
        ("--split slice --begin weights", "--split slice goes without --begin"),
        ("--split slice --no-validate", "--split slice goes without --no-validate"),
        ("--split slice --leave-out-fold 2", "--split slice goes without --no-validate and --leave-out-fold"),
    ],
)
def test_a_bad_argument_gets_one_sentence(
    arguments: str, said: str, given: list[str], tmp_path: Path, sentence: Sentence
) -> None:
    assert said in sentence(training.main, [*given, *arguments.split()])
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_trained_on_gets_one_sentence(dataset: Path, tmp_path: Path, sentence: Sentence) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "p").symlink_to(dataset / next(iter(PATIENTS)))
    out = ["--out", str(tmp_path / "run"), *FAST]
    assert "holds no slices" in sentence(training.main, ["--data", str(tmp_path / "empty"), *out])
    assert "at least two patients" in sentence(training.main, ["--data", str(tmp_path / "lone"), *out])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_gets_one_sentence(given: list[str], sentence: Sentence) -> None:
    assert "PyTorch sees no GPU" in sentence(training.main, [*given, "--device", "gpu"])


@pytest.mark.parametrize(
    "arguments", ["", "--out o --epochs many", "--out o --device tpu", "--out o --no-such-flag", "--preset other --out o"]
)
def test_a_flag_that_cannot_be_read_exits_with_2(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        training.main(["--data", "d", *arguments.split()])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("preset", "flags"), [("", "--encoder --no-validate --preset"), ("--preset seed", "--width --decay")]
)
def test_help_says_what_each_recipe_takes(preset: str, flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training.main([*preset.split(), "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in flags.split())


# The recipe's arithmetic


def test_slices_are_drawn_by_kind_and_balanced_by_patient() -> None:
    tumour = np.array([True] * 4 + [False] * 2 + [True] + [False] * 3)
    patients = ["few"] * 6 + ["one"] * 4
    assert draw_weights(tumour, 0.6) == pytest.approx([0.12] * 4 + [0.08] * 2 + [0.12] + [0.08] * 3)
    balanced = draw_weights(tumour, 0.6, patients, 1.0)
    assert balanced == pytest.approx([0.075] * 4 + [0.08] * 2 + [0.3] + [0.08] * 3)
    between = draw_weights(tumour, 0.6, patients, 0.5)
    assert between[:4].sum() == pytest.approx(2 * between[6]), "the root of four slices against that of one"


def test_the_average_of_weights_forgets_its_beginning() -> None:
    average = warming_average(0.995)
    ones, zeros = torch.ones(1), torch.zeros(1)
    found = [average(ones, zeros, n).item() for n in (0, torch.tensor(90), 10**6)]
    assert found == pytest.approx([0.1, 0.91, 0.995])


def test_the_dice_of_a_batch_is_that_of_all_its_pixels() -> None:
    predicted, mask = torch.zeros(2, 2, 1, 4, 4, dtype=torch.bool)
    assert pooled_dice(predicted, mask).item() == 1
    predicted[0, 0, 0], mask[0, 0, 0, :2], mask[1, 0, 1, 0] = True, True, True
    assert pooled_dice(predicted, mask).item() == pytest.approx(2 * 2 / (4 + 3))


def test_whole_patients_are_scored_together_and_alone(tmp_path: Path) -> None:
    """A network that is right on all of one patient, and on none of another that has half as many slices."""
    right = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        right.weight.zero_()[:, 1], right.bias[:] = 100.0, -50.0
    recipe = OwnRecipe(TrainSettings(data=tmp_path, out=tmp_path, views=(256,)))
    module = learner.Learner(right, recipe, steps=1)
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    module.on_validation_epoch_start()
    mask = torch.zeros(20, 1, 64, 64, dtype=torch.uint8)
    mask[..., :32] = 1
    for name, image, m in (("a", mask, mask), ("b", 1 - mask[:10], mask[:10])):
        module.validation_step({"patient": name, "image": image.float().repeat(1, 3, 1, 1), "mask": m}, 0)
    assert module.patient_dice == {"a": 1, "b": 0}
    module.on_validation_epoch_end()
    assert logged["val_dice_median"] == 0.5
    assert logged["val_dice_pooled"] == pytest.approx(2 / 3)

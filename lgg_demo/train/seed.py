"""The student report's recipe, faithfully: `python -m lgg_demo.train --preset seed --data DIR --out RUN`.

A Keras U-Net of 2023/24, trained here with PyTorch: its network, split, augmentation, loss, metrics and schedule, as
`docs/seed-report.md` describes them. `--split patient` is the same recipe on an honest split. RUN receives the best
checkpoint, metrics.csv, curves.png, settings.json, split.json, results.json (the test) and sheet.png (test slices of the
dataset: not to be published). A run that was killed goes on from its last epoch when the same command is given again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from monai.transforms import Compose, Lambdad, RandAffined, RandFlipd, ToTensord
from torch.utils.data import DataLoader
from tqdm import tqdm

from lgg_demo.intensity import BYTE_NORMALISATION
from lgg_demo.measure.overlap import Counts, count, pooled
from lgg_demo.network.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import MOST_WIDTH, CheckpointError, NetworkSettings, Record
from lgg_demo.network.seed_unet import WIDTH
from lgg_demo.network.segmenter import predict_probability, quantise
from lgg_demo.network.unet import build_network
from lgg_demo.probability import binarise
from lgg_demo.train.data import (
    HELD_OUT_FOLD,
    TEST_SHARE,
    VALIDATION_SHARE,
    DatasetError,
    PatientDataset,
    Sides,
    SliceDataset,
    index_dataset,
    of_fold,
    read_patients,
    rows_of_patients,
    split_by_fold,
    split_by_seed,
    split_by_slice,
)
from lgg_demo.train.draws import DrawnSlices, Draws
from lgg_demo.train.runs import (
    RESUMED,
    STATE,
    History,
    StateKeeper,
    accelerator_for,
    bf16_is_fast,
    check,
    check_split,
    finish,
    fit,
    goes_on,
    held,
    option,
    parser_for,
    provenance,
    quiet,
    read_json,
    trainer_for,
    write_json,
    write_start,
)

matplotlib.use("Agg")

RESULTS, SHEET = "results.json", "sheet.png"
SMOOTH = 100.0  # in pixels, added above and below the report's fractions
EPOCHS, BATCH, LEARNING_RATE = 50, 32, 1e-4
DECAY = LEARNING_RATE / EPOCHS  # the report's, whatever the number of epochs of a shortened run
METRICS = ("loss", "dice", "iou", "accuracy")
SHOWN = 6  # test slices on the sheet


# Loss and metrics: soft, of all pixels of a batch together


def soft_dice(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(2 I + 100) / (P + M + 100), a scalar in (0, 1]: the report's Dice of a whole batch.

    probability, mask: one shape, float, in [0, 1]. I: sum of their product; P, M: their sums. An empty prediction of an
    empty mask gives 1.
    """
    hit = (probability * mask).sum()
    return (2 * hit + SMOOTH) / (probability.sum() + mask.sum() + SMOOTH)


def soft_iou(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(I + 100) / (P + M - I + 100), a scalar in (0, 1]; see `soft_dice`."""
    hit = (probability * mask).sum()
    return (hit + SMOOTH) / (probability.sum() + mask.sum() - hit + SMOOTH)


def jaccard_distance(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 - `soft_iou`: the loss that the report names as an alternative."""
    return 1 - soft_iou(probability, mask)


def binary_accuracy(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Share of pixels on the mask's side of 0.5, a scalar: Keras's, which the empty pixels around a head keep near 1."""
    return ((probability > 0.5) == (mask > 0.5)).float().mean()


def minus_dice(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The report's loss."""
    return -soft_dice(probability, mask)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"dice": minus_dice, "jaccard": jaccard_distance}


def batch_figures(probability: torch.Tensor, mask: torch.Tensor, loss: str = "dice") -> dict[str, torch.Tensor]:
    """The report's figures of one batch, by the names of METRICS: scalars; loss: one of LOSSES."""
    return {
        "loss": LOSSES[loss](probability, mask),
        "dice": soft_dice(probability, mask),
        "iou": soft_iou(probability, mask),
        "accuracy": binary_accuracy(probability, mask),
    }


# Settings


@dataclass(frozen=True)
class SeedSettings:
    """A run's settings; each field is a flag of the command line, and has the report's value by itself."""

    data: Path = option(None, "the kaggle_3m folder", required=True)
    out: Path = option(None, "the folder of this run", required=True)
    folds: Path | None = option(None, "CSV with the columns patient and fold; fold 0 is never used")
    split: str = option(
        "slice",
        "slice: as the report, a tenth to test and a fifth of the rest to choose on; patient: none on two sides",
        choices=("slice", "patient"),
    )
    validation_fold: int = option(1, "with --split patient and --folds: the fold to choose the epoch on")
    test_fold: int = option(2, "with --split patient and --folds: the fold to test on")
    seed: int = option(0, "of the split, the weights and the augmentation")
    epochs: int = option(EPOCHS, "how many")
    batch_size: int = option(BATCH, "slices a step")
    learning_rate: float = option(LEARNING_RATE, "of Adam")
    decay: float = option(DECAY, "the rate after n steps is --learning-rate / (1 + decay n), as Keras's was")
    loss: str = option("dice", "minus the batch's soft Dice, or its Jaccard distance", choices=tuple(LOSSES))
    width: int = option(WIDTH, "filters of the network's first block")
    precision: str = option(
        "float32", "bf16: bfloat16 arithmetic, faster where the machine has it", choices=("float32", "bf16")
    )
    workers: int = option(0, "processes that augment; 0 does it in the main one")
    device: str = option("auto", "auto takes a GPU when there is one", choices=("auto", "cpu", "gpu"))

    def check(self) -> None:
        """Raise ValueError with one sentence for a setting that makes no sense."""
        check(
            [
                (self.epochs >= 1, "--epochs must be at least 1"),
                (self.batch_size >= 1, "--batch-size must be at least 1"),
                (self.learning_rate > 0, "--learning-rate must be above 0"),
                (self.decay >= 0, "--decay must not be negative"),
                (1 <= self.width <= MOST_WIDTH, f"--width must be at least 1, and at most {MOST_WIDTH}"),
                (self.workers >= 0, "--workers must not be negative"),
                (0 <= self.seed < 2**31, "--seed must be at least 0 and below 2**31"),
                (
                    HELD_OUT_FOLD not in (self.validation_fold, self.test_fold),
                    f"Fold {HELD_OUT_FOLD} is held out: neither --validation-fold nor --test-fold may be it",
                ),
                (self.validation_fold != self.test_fold, "--validation-fold and --test-fold must differ"),
                (not self.out.exists() or self.out.is_dir(), f"--out {self.out} is a file, not a folder"),
            ]
        )


def sides_of(settings: SeedSettings) -> tuple[pd.DataFrame, Sides]:
    """The index of the data, and its rows to train, choose and test on. Raises DatasetError."""
    folds = read_patients(settings.folds, "fold") if settings.folds else None
    if settings.split == "slice":
        index = index_dataset(settings.data, None if folds is None else split_by_fold(folds, None).train)
        return index, split_by_slice(len(index), settings.seed)
    if folds is not None:
        split = split_by_fold(folds, settings.validation_fold, settings.test_fold)
        test = of_fold(folds, settings.test_fold)
        index = index_dataset(settings.data, [*split.train, *split.validation, *test])
    else:
        index = index_dataset(settings.data)
        outer = split_by_seed(index["patient"], TEST_SHARE, settings.seed)
        split, test = split_by_seed(outer.train, VALIDATION_SHARE, settings.seed), list(outer.validation)
    return index, rows_of_patients(index, split, test, settings.seed)


# Augmentation and training


def _above_half(mask: torch.Tensor) -> torch.Tensor:
    return (mask > 0.5).float()


def seed_augmentation(seed: int) -> Compose:
    """The report's changes of one training slice: dict of `image` (3, 256, 256) and `mask` (1, 256, 256), float32.

    Keras's ImageDataGenerator: rotation to 0.2 and shear to 0.05, both in degrees, which is next to nothing; shifts to
    5 % of the side; zoom to 5 %, height and width apart; a mirror image half of the time; what comes from outside is the
    nearest edge. Image and mask move together, both between pixels, and the mask is cut at 0.5 again.
    """
    both = ["image", "mask"]
    shift = 0.05 * SIZE
    compose = Compose(
        [
            RandAffined(
                both,
                prob=1.0,
                spatial_size=(SIZE, SIZE),
                rotate_range=math.radians(0.2),
                shear_range=math.tan(math.radians(0.05)),
                translate_range=(shift, shift),  # one number alone would be that of the rows
                scale_range=(0.05, 0.05),
                mode="bilinear",
                padding_mode="border",
                cache_grid=True,
            ),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            ToTensord(both, track_meta=False),
            Lambdad("mask", _above_half, track_meta=False),
        ]
    )
    compose.set_random_state(seed=seed)
    return compose


class SeedLearner(L.LightningModule):
    """The report's network, loss and optimiser."""

    def __init__(self, network: torch.nn.Module, settings: SeedSettings) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings = settings

    def _step(self, batch: dict[str, torch.Tensor], side: str) -> torch.Tensor:
        probability = torch.sigmoid(self.network(batch["image"].to(memory_format=torch.channels_last)).float())
        figures = batch_figures(probability, batch["mask"], self.settings.loss)
        for name, value in figures.items():
            # Keras weights the loss of a batch by its slices, and takes the plain mean of a metric over batches.
            weight = len(probability) if name == "loss" else 1
            self.log(f"{side}_{name}", value, on_step=False, on_epoch=True, prog_bar=name == "dice", batch_size=weight)
        return figures["loss"]

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._step(batch, "val")

    def configure_optimizers(self) -> Any:
        """Adam with Keras's epsilon and the decay of Keras's former optimisers, step by step."""
        s = self.settings
        optimiser = torch.optim.Adam(self.network.parameters(), lr=s.learning_rate, betas=(0.9, 0.999), eps=1e-7)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + s.decay * step))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class SeedRecorder(History):
    """Writes metrics.csv and curves.png after each epoch, and the checkpoint when the validation loss is the lowest."""

    def __init__(
        self, settings: SeedSettings, network_settings: NetworkSettings, split: dict[str, Any], draws: Draws
    ) -> None:
        names = [f"{side}_{name}" for side in ("train", "val") for name in METRICS]
        super().__init__(settings.out, names, "augmented slices", "slices", draws)
        self.settings, self.network_settings, self.split = settings, network_settings, split

    def on_validation_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        """As Keras's ModelCheckpoint with save_best_only."""
        assert isinstance(learner, SeedLearner)
        figures = {name: float(trainer.callback_metrics[f"val_{name}"]) for name in METRICS}
        if trainer.sanity_checking or any(row["val_loss"] <= figures["loss"] for row in self.history):
            return
        record = {
            "normalisation": BYTE_NORMALISATION,
            "views": [SIZE],
            "threshold": 0.5,
            "epoch": trainer.current_epoch + 1,
            RESUMED: self.resumed,
            "validation": {"protocol": f"{SOFT}; the epoch of the lowest loss is kept", **figures},
            "split": self.split,
            **provenance(self.settings, self.split["train"]),
        }
        save_checkpoint(self.settings.out / CHECKPOINT, learner.network, self.network_settings, record)


def run(settings: SeedSettings) -> Path:
    """Train and test, and return the checkpoint's path. Raises DatasetError or ValueError with one sentence."""
    settings.check()
    accelerator = accelerator_for(settings.device)
    if settings.precision == "bf16" and not bf16_is_fast(accelerator):
        raise ValueError("--precision bf16: this machine has no bfloat16 of its own; use --precision float32.")
    with held(settings.out):
        resumed = goes_on(settings.out, settings)
        index, sides = sides_of(settings)
        split = sides.as_json(index)
        if resumed:
            check_split(settings.out, split)
        L.seed_everything(settings.seed, verbose=False)
        wanted = NetworkSettings(family="seed", width=settings.width)
        network = build_network(wanted)

        write_start(settings.out, settings, split, resumed)
        counts = [len(part) for part in (sides.train, sides.validation, sides.test)]
        print(f"{len(index)} slices of {index['patient'].nunique()} patients, split by {sides.level}: {counts[0]} slices "
              f"to train, {counts[1]} to validate, {counts[2]} to test. Reading them.", flush=True)  # fmt: skip
        patients = PatientDataset(index, sorted(set(index["patient"])), BYTE_NORMALISATION)
        draws = Draws(len(sides.train), settings.seed)
        training = DataLoader(
            DrawnSlices(SliceDataset(patients, rows=sides.train), seed_augmentation(settings.seed)),
            batch_size=settings.batch_size,
            sampler=draws,
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
        )
        validation = DataLoader(SliceDataset(patients, rows=sides.validation), batch_size=settings.batch_size)
        state = settings.out / STATE
        callbacks = [SeedRecorder(settings, wanted, split, draws), StateKeeper(state)]
        trainer = trainer_for(accelerator, settings.precision == "bf16", settings.epochs, callbacks)
        fit(trainer, SeedLearner(network, settings), training, validation, state)
        assess(settings.out, patients, sides)
        finish(settings.out)
    return settings.out / CHECKPOINT


# The test

SOFT = (
    "soft, of all pixels of a batch of 32 together, with 100 added above and below; loss: mean over slices, the others: "
    "mean over batches, as Keras's evaluate gives them"
)
HARD = (
    "probability cut at 0.5, 256 x 256; pooled: all pixels of all test slices together; by slice: mean over the slices "
    "with tumour; volume: mean over patients of whom every slice is tested"
)


def predict_slices(
    network: torch.nn.Module, slices: SliceDataset, views: Sequence[int]
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """The report's figures over the slices (see SOFT), the kept levels (N, 256, 256) uint8, and the masks, bool."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes, rows, levels, masks = [], [], [], []
    for batch in tqdm(DataLoader(slices, batch_size=BATCH), unit="batch", desc="test", disable=None):
        image, mask = batch["image"].to(device, memory_format=torch.channels_last), batch["mask"].to(device)
        with torch.inference_mode():
            probability = predict_probability(network, image, views)
            rows.append({name: float(value) for name, value in batch_figures(probability, mask).items()})
        sizes.append(len(mask))
        levels.append(quantise(probability[:, 0]))
        masks.append(mask[:, 0].bool().cpu().numpy())
    figures = {
        name: float(np.average([row[name] for row in rows], weights=sizes if name == "loss" else None)) for name in METRICS
    }
    return figures, np.concatenate(levels), np.concatenate(masks)


def hard_figures(owners: Sequence[str], counts: Sequence[Counts], slices_of: dict[str, int]) -> dict[str, Any]:
    """The figures of HARD, and the volume Dice of each patient of whom every slice is tested.

    owners: the patient of each slice; counts: of each slice; slices_of: how many slices each patient has.
    """
    tumour = [c.dice for c in counts if c.reference]
    whole = {
        name: pooled(c for owner, c in zip(owners, counts, strict=True) if owner == name).dice
        for name in sorted(set(owners))
        if owners.count(name) == slices_of[name]
    }
    every = pooled(counts)
    return {
        "pooled_dice": every.dice,
        "pooled_iou": every.iou,
        "tumour_slices": len(tumour),
        "tumour_slice_dice_mean": float(np.mean(tumour)) if tumour else None,
        "whole_patients": len(whole),
        "volume_dice_mean": float(np.mean(list(whole.values()))) if whole else None,
        "volume_dice_median": float(np.median(list(whole.values()))) if whole else None,
        "volume_dice": whole,
    }


def assess(out: Path, patients: PatientDataset, sides: Sides) -> dict[str, Any]:
    """Test a run's kept network and write results.json, which is returned, and sheet.png into its folder.

    patients: those of the index that `sides` counts in, with the normalisation of the run. Raises CheckpointError.
    """
    network, record = load_checkpoint(out / CHECKPOINT)
    served = Record.of(record)
    slices = SliceDataset(patients, context=served.network.context, rows=sides.test)
    soft, levels, masks = predict_slices(network, slices, served.views)
    counts = [count(binarise(p, 0.5), m) for p, m in zip(levels, masks, strict=True)]
    owner = [item["patient"] for item in patients.items for _ in range(len(item["image"]))]
    tested = [owner[row] for row in sides.test]
    of = {side: {owner[row] for row in getattr(sides, side)} for side in ("train", "validation", "test")}
    results = {
        "level": sides.level,
        **{
            side: {"slices": len(getattr(sides, side)), "patients": len(names)} for side, names in of.items()
        },
        "test_patients_also_in_training": len(of["test"] & of["train"]),
        "epoch": record["epoch"],
        "report_measure": {"definition": SOFT, **soft},
        "hard": {
            "definition": HARD,
            **hard_figures(tested, counts, {item["patient"]: len(item["image"]) for item in patients.items}),
        },
    }  # fmt: skip
    write_json(out / RESULTS, results)
    shown = [i for i, c in enumerate(counts) if c.reference][: SHOWN - 1]
    shown += [i for i, c in enumerate(counts) if not c.reference][: SHOWN - len(shown)]
    images = [slices[i]["image"][:3].permute(1, 2, 0).clamp(0, 1).numpy() for i in shown]
    draw_sheet(images, masks[shown], levels[shown], out / SHEET)
    return results


def draw_sheet(images: Sequence[np.ndarray], masks: np.ndarray, levels: np.ndarray, path: Path) -> None:
    """A row a slice: image (H, W, 3) in [0, 1], original mask, probability (uint8), and prediction cut at 0.5."""
    figure, axes = plt.subplots(len(images), 4, figsize=(10, 2.5 * len(images)), layout="constrained", squeeze=False)
    for row, image, mask, level in zip(axes, images, masks, levels, strict=True):
        row[0].imshow(image)
        for axis, grey, top in ((row[1], mask, 1), (row[2], level, 255), (row[3], binarise(level, 0.5), 1)):
            axis.imshow(grey, cmap="gray", vmin=0, vmax=top)
    for axis, title in zip(axes[0], ("image", "original mask", "probability", "prediction at 0.5"), strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = parser_for(SeedSettings, __doc__).parse_args(arguments)
    quiet()
    try:
        checkpoint = run(SeedSettings(**vars(given)))
    except (DatasetError, CheckpointError, ValueError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last whole epoch.", file=sys.stderr)
        return 130
    results = read_json(checkpoint.with_name(RESULTS))
    soft, hard = results["report_measure"], results["hard"]
    print(f"{checkpoint}: epoch {results['epoch']}; {results['test']['slices']} test slices of "
          f"{results['test']['patients']} patients, {results['test_patients_also_in_training']} of them also in training: "
          f"loss {soft['loss']:.4f}, binary accuracy {soft['accuracy']:.4f}, IoU {soft['iou']:.4f}, "
          f"Dice {soft['dice']:.4f}; pooled hard Dice {hard['pooled_dice']:.4f}.")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

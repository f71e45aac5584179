"""The one LightningModule: a network, trained and validated as its recipe says."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch

from lgg_demo.measure.overlap import Counts, count, pooled
from lgg_demo.network.inference import predict_probability
from lgg_demo.network.segmenter import quantise
from lgg_demo.probability import binarise
from lgg_demo.train.recipes import Recipe

BATCH_VALIDATION = 16


class Learner(L.LightningModule):
    """patient_counts: of each whole patient that was validated in this epoch; steps: of the whole run."""

    def __init__(self, network: torch.nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.steps = recipe, steps
        self.patient_counts: dict[str, Counts] = {}

    @property
    def patient_dice(self) -> dict[str, float]:
        """Volume Dice of each patient that was validated."""
        return {name: counts.dice for name, counts in self.patient_counts.items()}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        return self._slices(batch, "train")

    def on_validation_epoch_start(self) -> None:
        self.patient_counts = {}

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        if "patient" in batch:
            self._patient(batch)
        else:
            self._slices(batch, "val")

    def _slices(self, batch: dict[str, torch.Tensor], side: str) -> torch.Tensor:
        """Log the figures of a batch of slices and return its loss."""
        logits = self.network(batch["image"].to(memory_format=torch.channels_last)).float()
        figures = self.recipe.figures(logits, batch["mask"])
        for name, value in figures.items():
            weight = len(logits) if name == "loss" else 1
            self.log(f"{side}_{name}", value, on_step=False, on_epoch=True, prog_bar=name == "dice", batch_size=weight)
        return figures["loss"]

    def _patient(self, batch: dict[str, Any]) -> None:
        """Score the quantised probability of a whole patient at threshold 0.5, as the page serves it."""
        losses, quantised = [], []
        for image, mask in zip(batch["image"].split(BATCH_VALIDATION), batch["mask"].split(BATCH_VALIDATION), strict=True):
            p = predict_probability(self.network, image.to(memory_format=torch.channels_last), self.recipe.views)
            loss = self.recipe.figures(torch.logit(p, eps=1e-6), mask.float())["loss"]
            losses.append(loss.item() * len(image))
            quantised.append(quantise(p[:, 0].detach().cpu().numpy()))
        counts = count(binarise(np.concatenate(quantised), 0.5), batch["mask"][:, 0].bool().cpu().numpy())
        self.patient_counts[batch["patient"]] = counts
        slices = len(batch["image"])
        self.log("val_loss", sum(losses) / slices, batch_size=slices)
        self.log("val_dice", counts.dice, batch_size=1, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        if self.patient_counts:
            self.log("val_dice_median", float(np.median(list(self.patient_dice.values()))))
            self.log("val_dice_pooled", pooled(self.patient_counts.values()).dice)

    def configure_optimizers(self) -> Any:
        optimiser, schedule = self.recipe.optimiser(self.network.parameters(), self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

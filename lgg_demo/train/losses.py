"""The losses of training, MONAI's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses import DiceCELoss, DiceFocalLoss, DiceLoss, TverskyLoss

LOSSES: dict[str, Callable[[], torch.nn.Module]] = {
    "dice-ce": lambda: DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0),
    "slice-dice-ce": lambda: DiceCELoss(sigmoid=True, batch=False, smooth_nr=100.0, smooth_dr=100.0),
    "dice": lambda: DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0),
    "dice-focal": lambda: DiceFocalLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0, gamma=2.0),
    "tversky": lambda: TverskyLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0, alpha=0.3, beta=0.7),
}


def training_loss(name: str = "dice-ce") -> torch.nn.Module:
    """MONAI's loss of this name (see LOSSES), on logits (N, 1, H, W) and masks of the same shape.

    Dice is that of the whole batch, because two slices of three are empty and have none of their own.
    """
    return LOSSES[name]()

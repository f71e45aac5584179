"""The losses of training and the student report's figures, by MONAI; all take tensors (N, 1, H, W) of one shape."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.metrics import compute_dice

SMOOTH = 100.0  # in pixels, added above and below the report's fractions


def training_loss() -> torch.nn.Module:
    """Dice and cross-entropy, on logits and masks.

    Dice is that of the whole batch, because two slices of three are empty and have none of their own.
    """
    loss: torch.nn.Module = DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
    return loss


def pooled_dice(predicted: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Dice of all pixels of a batch together, a scalar in [0, 1]; predicted, mask: bool. 1 where both are empty."""
    one = [x.transpose(0, 1).unsqueeze(0) for x in (predicted, mask)]  # (1, 1, N, H, W): a single volume
    dice: torch.Tensor = compute_dice(*one, ignore_empty=False).squeeze()
    return dice


# The report's: soft, of all pixels of a batch together; probabilities and masks in [0, 1]

dice_distance = DiceLoss(batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH)
# MONAI doubles intersection and union of the Jaccard index, and adds the smoothing to the doubled ones.
jaccard_distance = DiceLoss(batch=True, jaccard=True, smooth_nr=2 * SMOOTH, smooth_dr=2 * SMOOTH)


def soft_dice(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(2 I + 100) / (P + M + 100), a scalar in (0, 1]; I: sum of the product; P, M: sums. Both empty gives 1."""
    dice: torch.Tensor = 1 - dice_distance(probability, mask)
    return dice


def report_figures(probability: torch.Tensor, mask: torch.Tensor, loss: str = "dice") -> dict[str, torch.Tensor]:
    """Scalars of one batch: loss (minus soft Dice, or the Jaccard distance for `jaccard`), dice, iou, accuracy.

    iou: (I + 100) / (P + M - I + 100), see `soft_dice`. accuracy: share of pixels on the mask's side of 0.5, Keras's
    binary accuracy, which the empty pixels around a head keep near 1.
    """
    dice, distance = soft_dice(probability, mask), jaccard_distance(probability, mask)
    return {
        "loss": distance if loss == "jaccard" else -dice,
        "dice": dice,
        "iou": 1 - distance,
        "accuracy": ((probability > 0.5) == (mask > 0.5)).float().mean(),
    }

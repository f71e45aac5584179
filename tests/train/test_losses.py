"""The loss that training lowers."""

from __future__ import annotations

import pytest
import torch

from lgg_demo.train.losses import training_loss


def test_loss_falls_towards_the_reference() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, 2:6, 2:6] = 1
    loss = training_loss()
    values = [float(loss(strength * (2 * mask - 1), mask)) for strength in (-10, -1, 0, 1, 10)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.01
    assert float(loss(torch.full_like(mask, -20.0), torch.zeros_like(mask))) == pytest.approx(0, abs=1e-3)

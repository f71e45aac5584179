"""Calibration: the fit finds a curve that was put there, and the error is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lgg_demo.calibration import FINE, Calibration, Tally, fit_calibration, reliability
from lgg_demo.metrics import binarise, expected_dice


def drawn(true: Calibration, pixels: int = 400_000, seed: int = 0) -> Tally:
    """Pixels whose chance to lie in the reference is the true curve of what they were given."""
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, FINE + 1, pixels).astype(np.uint16)
    chance = true.apply(torch.from_numpy(fine.astype(np.float32) / FINE)).numpy()
    return Tally.of(fine, rng.random(pixels) < chance)


@pytest.mark.parametrize("true", [Calibration(), Calibration(0.5, 0.5, 0.0), Calibration(0.4, 0.9, -0.5)])
def test_the_fit_finds_the_curve(true: Calibration) -> None:
    found = fit_calibration(drawn(true))
    assert (found.a, found.b, found.c) == pytest.approx((true.a, true.b, true.c), abs=0.03)


def test_a_temperature_moves_nothing_across_a_half() -> None:
    found = fit_calibration(drawn(Calibration(0.5, 0.5)), temperature=True)
    assert found.a == found.b == pytest.approx(0.5, abs=0.02)
    assert found.c == 0
    p = torch.tensor([0.0, 0.3, 0.5, 0.7, 1.0])
    q = found.apply(p)
    assert torch.equal(q > 0.5, p > 0.5)
    assert q[2].item() == pytest.approx(0.5)
    assert torch.all(q.diff() > 0)


def test_no_calibration_changes_no_bit() -> None:
    p = torch.rand(100)
    assert Calibration().apply(p) is p


def test_the_error_is_that_of_its_definition() -> None:
    # 100 pixels said 0.8, of which 50 are inside; 300 said 0, none inside.
    fine = np.repeat([round(0.8 * FINE), 0], [100, 300]).astype(np.uint16)
    reference = np.arange(400) < 50
    tally = Tally.of(fine, reference)
    whole = reliability([(tally, Calibration())])
    assert whole["ece"] == pytest.approx(100 / 400 * 0.3, abs=1e-4)
    assert [b["pixels"] for b in whole["bins"]] == [300, 100]
    doubtful = reliability([(tally, Calibration())], doubtful_only=True)
    assert doubtful["ece"] == pytest.approx(0.3, abs=1e-4)
    assert doubtful["pixels"] == 100


def test_calibration_mends_the_error() -> None:
    true = Calibration(0.5, 0.6, -0.3)
    found = fit_calibration(drawn(true, seed=1))
    fresh = drawn(true, seed=2)
    before, after = (reliability([(fresh, c)])["ece"] for c in (Calibration(), found))
    assert after < 0.01 < before


def test_expected_dice_is_met_by_references_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(3)
    levels = (255 * rng.random(200_000) ** 3).astype(np.uint8)
    reference = rng.random(levels.shape) < levels / 255
    mask = binarise(levels, 0.5)
    dice = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
    assert expected_dice(levels, 0.5) == pytest.approx(dice, abs=0.005)
    assert expected_dice(np.zeros((3, 4, 4), np.uint8), 0.5) == 1
    assert expected_dice(np.full((2, 2), 255, np.uint8), 0.5) == 1
    assert expected_dice(np.full((2, 2), 51, np.uint8), 0.5) == 0

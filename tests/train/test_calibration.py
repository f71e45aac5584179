"""Calibration: the fit finds a curve that was put there, and the error is what its definition says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lgg_demo.measure.overlap import expected_dice
from lgg_demo.network.calibration import FINE, Calibration
from lgg_demo.network.inference import calibrated
from lgg_demo.probability import binarise
from lgg_demo.train.calibration import Tally, fit_calibration, fit_temperature, reliability


def bent(*meant: float) -> Calibration:
    """A curve through these logits at -12, ..., 12."""
    return Calibration(tuple(np.linspace(-12, 12, len(meant)).tolist()), meant)


HALF = bent(-6, 6)  # a temperature of 2
CURVED = bent(-12, -8, -3, -1, 4)


def drawn(true: Calibration, pixels: int = 400_000, seed: int = 0) -> Tally:
    """Pixels whose chance to lie in the reference is the true curve of what they were given."""
    rng = np.random.default_rng(seed)
    fine = np.round(FINE / (1 + np.exp(-rng.uniform(-9, 9, pixels)))).astype(np.uint16)
    chance = calibrated(torch.from_numpy(fine.astype(np.float32) / FINE), true).numpy()
    return Tally.of(fine, rng.random(pixels) < chance)


@pytest.mark.parametrize("true", [Calibration(), HALF, CURVED])
def test_the_fit_finds_the_curve(true: Calibration) -> None:
    p = torch.linspace(0.001, 0.999, 500)
    found = fit_calibration(drawn(true))
    torch.testing.assert_close(calibrated(p, found), calibrated(p, true), atol=0.02, rtol=0)
    assert torch.all(calibrated(p, found).diff() > 0), "two probabilities stay two, in their order"


def test_a_curve_rises_where_the_data_would_have_it_fall_or_flat() -> None:
    fine = np.repeat(np.round(FINE * np.array([0.2, 0.4, 0.6, 0.8])).astype(np.uint16), 1000)
    reference = np.tile(np.arange(1000), 4) < np.repeat([300, 200, 900, 900], 1000)
    found = fit_calibration(Tally.of(fine, reference))
    low, lower, high, higher = calibrated(torch.tensor([0.2, 0.4, 0.6, 0.8]), found).tolist()
    assert (low, lower) == pytest.approx((0.25, 0.25), abs=0.005)
    assert (high, higher) == pytest.approx((0.9, 0.9), abs=0.005)
    assert low < lower < high < higher


def test_a_pinned_curve_keeps_a_half_and_both_ends() -> None:
    found = fit_calibration(drawn(CURVED, seed=1))
    pinned = found.pinned()
    p = torch.linspace(0.0005, 0.9995, 2000)
    q = calibrated(p, pinned)
    assert calibrated(torch.tensor(0.5), pinned).item() == pytest.approx(0.5, abs=1e-5)
    assert torch.equal(q >= 0.5, p >= 0.5), "the outline at 0.5 is the network's own"
    assert torch.all(q.diff() > 0)
    ends = torch.sigmoid(torch.tensor([-9.0, 9.0]))
    torch.testing.assert_close(calibrated(ends, pinned), calibrated(ends, found), atol=0.05, rtol=0)
    assert Calibration().pinned() == Calibration() and calibrated(p, Calibration()) is p
    assert Calibration.from_record(json.loads(json.dumps(found.as_record()))) == found
    assert calibrated(p, HALF.pinned()).allclose(calibrated(p, HALF), atol=2e-3), "a temperature holds a half already"


def test_a_temperature_moves_nothing_across_a_half() -> None:
    found = fit_temperature(drawn(HALF))
    p = torch.tensor([0.0, 0.3, 0.5, 0.7, 1.0])
    q = calibrated(p, found)
    torch.testing.assert_close(q[1:4], calibrated(p, HALF)[1:4], atol=0.01, rtol=0)
    assert q[2].item() == pytest.approx(0.5)
    assert torch.all(q.diff() > 0)


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


def test_every_lesion_counts_the_same() -> None:
    """Of what is given 0.6 nine tenths lie inside a large lesion, three tenths inside a small one."""

    def tally(pixels: int, share: float) -> Tally:
        fine = np.repeat(np.round(FINE * np.array([0.6, 0.02])).astype(np.uint16), pixels)
        return Tally.of(fine, np.arange(2 * pixels) < share * pixels)

    large, small = tally(100_000, 0.9), tally(1000, 0.3)
    found = {
        "plain": fit_calibration(large + small),
        "fair": fit_calibration(large.per_lesion() + small.per_lesion()),
    }
    at = {name: calibrated(torch.tensor(0.6), curve).item() for name, curve in found.items()}
    assert at["plain"] == pytest.approx(0.894, abs=0.003)
    assert at["fair"] == pytest.approx(2 / (1 / 0.9 + 1 / 0.3), abs=0.003)
    none = Tally.of(np.zeros(5, np.uint16), np.zeros(5, bool))
    assert np.array_equal(none.per_lesion().outside, none.outside)


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

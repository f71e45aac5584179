"""Scores one can check by eye, and the conventions at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import Counts, count, pooled
from lgg_demo.measure.patients import dice_by_level
from lgg_demo.probability import LEVELS, binarise, threshold_level

EMPTY, FULL = np.zeros((2, 4, 4), bool)[0], np.ones((4, 4), bool)
LEFT, MIDDLE, RIGHT = (np.roll(np.arange(4) < 2, n)[None].repeat(4, axis=0) for n in range(3))
CORNER = LEFT & (np.arange(16).reshape(4, 4) == 0)


@pytest.mark.parametrize(
    ("predicted", "reference", "counts", "ratios"),
    [
        (LEFT, LEFT, (8, 0, 0), (1, 1, 1, 1)),
        (LEFT, MIDDLE, (4, 4, 4), (1 / 2, 1 / 3, 1 / 2, 1 / 2)),
        (LEFT, RIGHT, (0, 8, 8), (0, 0, 0, 0)),
        (LEFT, FULL, (8, 0, 8), (2 / 3, 1 / 2, 1, 1 / 2)),
        (FULL, LEFT, (8, 8, 0), (2 / 3, 1 / 2, 1 / 2, 1)),
        (CORNER, LEFT, (1, 0, 7), (2 / 9, 1 / 8, 1, 1 / 8)),
        (EMPTY, EMPTY, (0, 0, 0), (1, 1, None, None)),
        (LEFT, EMPTY, (0, 8, 0), (0, 0, 0, None)),
        (EMPTY, LEFT, (0, 0, 8), (0, 0, None, 0)),
    ],
)
def test_counts_and_ratios(
    predicted: np.ndarray, reference: np.ndarray, counts: tuple[int, int, int], ratios: tuple[float | None, ...]
) -> None:
    c = count(predicted, reference)
    assert c == Counts(*counts, 16 - sum(counts)) and type(c.tp) is int
    assert (c.predicted, c.reference) == (c.tp + c.fp, c.tp + c.fn)
    for ratio, known in zip((c.dice, c.iou, c.precision, c.recall), ratios, strict=True):
        assert ratio == (None if known is None else pytest.approx(known))


def test_counts_of_a_volume_are_those_of_its_slices_together() -> None:
    predicted, reference = np.random.default_rng(0).random((2, 5, 16, 16)) < 0.3
    assert count(predicted, reference) == pooled(map(count, predicted, reference))
    assert count(predicted.T, reference.T) == count(predicted, reference)  # not contiguous
    assert pooled([]) == Counts(0, 0, 0, 0)
    every = np.ones((1, 4100, 4100), dtype=bool)  # more than 2**24 pixels, which float32 does not count
    assert count(every, every).tp == 4100 * 4100
    with pytest.raises(ValueError, match="differ in shape"):
        count(predicted, reference[1:])


@pytest.mark.parametrize("threshold", [-0.01, 1.01, np.nan, np.inf, -np.inf, 50])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_level(threshold)


def test_a_mask_is_what_reaches_the_threshold() -> None:
    probability = np.arange(LEVELS + 1, dtype=np.uint8).reshape(1, 16, 16)
    for threshold in (1e-9, *(n / 100 for n in range(101)), *(n / LEVELS for n in range(LEVELS + 1))):
        mask = binarise(probability, threshold)
        assert mask.dtype == bool and mask.shape == probability.shape
        np.testing.assert_array_equal(mask, probability / LEVELS >= threshold)


@settings(deadline=None, database=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.sampled_from([0, 1]))
def test_dice_by_level_is_that_of_count(seed: int, threshold: float, share: float, likely: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.choice([0, 1, 127, 128, 254, 255], (2, 8, 8)).astype(np.uint8) * np.uint8(likely)
    reference = rng.random((2, 8, 8)) < share
    curve = dice_by_level(probability, reference)
    assert curve.shape == (LEVELS + 1,)
    assert curve[threshold_level(threshold)] == pytest.approx(count(binarise(probability, threshold), reference).dice)


def test_interval_holds_the_mean_and_depends_on_its_seed_alone() -> None:
    values = np.random.default_rng(3).random(22)
    low, high = bootstrap_ci95(values)
    assert values.min() < low < values.mean() < high < values.max()
    np.random.seed(1)
    assert bootstrap_ci95(iter(values)) == (low, high)
    assert (low, high) not in (bootstrap_ci95(values, seed=1), bootstrap_ci95(values, draws=500))
    # For the mean of n values the interval is about 1.96 standard errors to each side.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / len(values) ** 0.5, rel=0.1)
    assert bootstrap_ci95([0.5] * 7) == (0.5, 0.5)

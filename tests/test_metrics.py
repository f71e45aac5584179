"""Scores one can check by eye, and the conventions at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.overlap import Counts, count, pooled
from lgg_demo.measure.patients import dice_by_level
from lgg_demo.measure.surfaces import hausdorff95
from lgg_demo.probability import LEVELS, binarise, threshold_level
from lgg_demo.train.losses import training_loss


def drawn(text: str) -> np.ndarray:
    """A mask from rows of `#` and `.`."""
    return np.array([[c == "#" for c in row] for row in text.split()])


EMPTY = "....  ....  ....  ...."
FULL = "####  ####  ####  ####"
LEFT = "##..  ##..  ##..  ##.."
MIDDLE = ".##.  .##.  .##.  .##."
RIGHT = "..##  ..##  ..##  ..##"
CORNER = "#...  ....  ....  ...."


@pytest.mark.parametrize(
    ("predicted", "reference", "tp", "fp", "fn", "dice", "iou", "precision", "recall"),
    [
        (LEFT, LEFT, 8, 0, 0, 1, 1, 1, 1),
        (LEFT, MIDDLE, 4, 4, 4, 1 / 2, 1 / 3, 1 / 2, 1 / 2),
        (LEFT, RIGHT, 0, 8, 8, 0, 0, 0, 0),
        (LEFT, FULL, 8, 0, 8, 2 / 3, 1 / 2, 1, 1 / 2),
        (FULL, LEFT, 8, 8, 0, 2 / 3, 1 / 2, 1 / 2, 1),
        (CORNER, LEFT, 1, 0, 7, 2 / 9, 1 / 8, 1, 1 / 8),
        (EMPTY, EMPTY, 0, 0, 0, 1, 1, None, None),
        (LEFT, EMPTY, 0, 8, 0, 0, 0, 0, None),
        (EMPTY, LEFT, 0, 0, 8, 0, 0, None, 0),
        (FULL, FULL, 16, 0, 0, 1, 1, 1, 1),
    ],
)
def test_counts_and_ratios(
    predicted: str,
    reference: str,
    tp: int,
    fp: int,
    fn: int,
    dice: float,
    iou: float,
    precision: float | None,
    recall: float | None,
) -> None:
    c = count(drawn(predicted), drawn(reference))
    assert c == Counts(tp, fp, fn, 16 - tp - fp - fn)
    assert all(type(v) is int for v in (c.tp, c.fp, c.fn, c.tn))
    assert (c.predicted, c.reference) == (tp + fp, tp + fn)
    assert c.dice == pytest.approx(dice) and c.iou == pytest.approx(iou)
    assert c.precision == (None if precision is None else pytest.approx(precision))
    assert c.recall == (None if recall is None else pytest.approx(recall))


def test_count_of_a_volume_is_that_of_its_slices_together() -> None:
    rng = np.random.default_rng(0)
    predicted, reference = rng.random((2, 5, 16, 16)) < 0.3
    assert count(predicted, reference) == pooled(map(count, predicted, reference))
    assert count(predicted.T, reference.T) == count(predicted, reference)  # not contiguous
    assert pooled([]) == Counts(0, 0, 0, 0)


def test_count_is_exact_where_float32_is_not() -> None:
    every = np.ones((1, 4100, 4100), dtype=bool)  # more than 2**24 pixels
    assert count(every, every).tp == 4100 * 4100


def test_count_wants_one_shape() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        count(drawn(LEFT), drawn(LEFT)[:2])


# Thresholds


@pytest.mark.parametrize(
    ("threshold", "level"), [(0, 0), (1e-9, 1), (0.5, 128), (0.2, 51), (0.6, 153), (0.999, 255), (1, 255)]
)
def test_threshold_level(threshold: float, level: int) -> None:
    assert threshold_level(threshold) == level


@pytest.mark.parametrize("threshold", [-0.01, 1.01, math.nan, math.inf, -math.inf, 50])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_level(threshold)


def test_level_is_the_smallest_that_reaches_the_threshold() -> None:
    for threshold in (*(n / 100 for n in range(101)), *(n / LEVELS for n in range(LEVELS + 1))):
        level = threshold_level(threshold)
        assert level / LEVELS >= threshold
        assert level == 0 or (level - 1) / LEVELS < threshold


def test_binarise() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert binarise(levels, 0).all()
    assert binarise(levels, 0.5).sum() == 128 and not binarise(levels, 0.5).ravel()[127]
    assert binarise(levels, 1).sum() == 1
    assert binarise(levels, 0.3).dtype == bool and binarise(levels, 0.3).shape == levels.shape


@settings(deadline=None, database=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.9, 1.0]))
def test_dice_by_level_is_that_of_count(seed: int, threshold: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.choice([0, 1, 127, 128, 254, 255], (2, 8, 8)).astype(np.uint8)
    reference = rng.random((2, 8, 8)) < share
    curve = dice_by_level(levels, reference)
    assert curve.shape == (LEVELS + 1,)
    assert curve[threshold_level(threshold)] == pytest.approx(count(binarise(levels, threshold), reference).dice)


def test_dice_by_level_where_both_are_empty() -> None:
    curve = dice_by_level(np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), bool))
    assert curve[0] == 0 and (curve[1:] == 1).all()


# Distances


def volume(*masks: str) -> np.ndarray:
    return np.stack([drawn(m) for m in masks])


def test_distance_of_equal_and_of_empty_masks() -> None:
    some, none = volume(EMPTY, CORNER, EMPTY), volume(EMPTY, EMPTY, EMPTY)
    assert hausdorff95(some, some) == 0
    assert hausdorff95(none, none) == 0
    assert hausdorff95(some, none) == hausdorff95(none, some) == math.inf
    assert hausdorff95(volume(FULL), volume(FULL)) == 0  # to the border of the picture


@pytest.mark.parametrize(("shift", "distance"), [((0, 0, 3), 3), ((0, 4, 0), 4), ((2, 0, 0), 2), ((0, 3, 4), 5)])
def test_distance_of_two_points(shift: tuple[int, int, int], distance: float) -> None:
    a, b = np.zeros((2, 8, 20, 20), dtype=bool)
    a[3, 10, 10] = True
    b[tuple(np.add((3, 10, 10), shift))] = True
    assert hausdorff95(a, b) == pytest.approx(distance)
    assert hausdorff95(b, a) == pytest.approx(distance)


def test_distance_of_a_shifted_column() -> None:
    assert hausdorff95(volume(LEFT), volume(RIGHT)) == pytest.approx(2)
    assert hausdorff95(volume(LEFT), volume(MIDDLE)) == pytest.approx(1)


def test_one_stray_pixel_of_many_is_forgiven() -> None:
    a = np.zeros((1, 60, 60), dtype=bool)
    a[0, 5:30, 5:30] = True
    b = a.copy()
    b[0, 55, 55] = True
    assert hausdorff95(b, a) == 0


# Interval


def test_interval_holds_the_mean_and_depends_on_its_seed_alone() -> None:
    values = np.random.default_rng(3).random(22)
    low, high = bootstrap_ci95(values)
    assert values.min() < low < values.mean() < high < values.max()
    np.random.seed(1)
    assert bootstrap_ci95(iter(values)) == (low, high)
    assert bootstrap_ci95(values, seed=1) != (low, high)
    assert bootstrap_ci95(values, draws=500) != (low, high)
    # For the mean of n values the interval is about 1.96 standard errors to each side.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(len(values)), rel=0.1)


def test_interval_without_spread() -> None:
    assert bootstrap_ci95([0.9]) == (0.9, 0.9)
    assert bootstrap_ci95([0.5] * 7) == (0.5, 0.5)


# Loss


def test_loss_falls_towards_the_reference() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, 2:6, 2:6] = 1
    loss = training_loss()
    values = [float(loss(strength * (2 * mask - 1), mask)) for strength in (-10, -1, 0, 1, 10)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.01
    assert float(loss(torch.full_like(mask, -20.0), torch.zeros_like(mask))) == pytest.approx(0, abs=1e-3)

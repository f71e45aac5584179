"""Intensities that a scanner's gain cannot move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from drawn_heads import draw_head
from hypothesis import given, settings
from hypothesis import strategies as st

from lgg_demo.intensity import CEILING, LANDMARKS, STANDARD, Scale, byte_scale, landmark_scale, normalise, percentile_scale

ScaleOf = Callable[[np.ndarray], Scale]


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """(3, 128, 128, 3) float32, three sequences that differ."""
    flair = draw_head(3, size=128).flair.astype(np.float32)
    return np.stack([0.6 * flair + 10, flair, 255 - flair], axis=-1)


def landmarks(pixels: np.ndarray) -> np.ndarray:
    return normalise(pixels, landmark_scale(pixels))


BOTH = pytest.mark.parametrize("scale_of", [landmark_scale, percentile_scale])


@BOTH
@settings(deadline=None, database=None, derandomize=True, max_examples=40)
@given(gain=st.floats(1e-3, 1e4), offset=st.floats(-1000, 1000))
def test_gain_and_offset_change_nothing(head: np.ndarray, scale_of: ScaleOf, gain: float, offset: float) -> None:
    moved = (head.astype(np.float64) * gain + offset * gain).astype(np.float32)
    np.testing.assert_allclose(normalise(moved, scale_of(moved)), normalise(head, scale_of(head)), atol=2e-3)


@pytest.mark.parametrize("gamma", [0.7, 1.4])
def test_gamma_changes_next_to_nothing(head: np.ndarray, gamma: float) -> None:
    def inside(scale_of: ScaleOf) -> float:
        bent = 255 * (head / head.max()) ** gamma
        return float(np.abs(normalise(bent, scale_of(bent)) - normalise(head, scale_of(head))).mean())

    assert inside(landmark_scale) < 0.4 * inside(percentile_scale)


@BOTH
def test_range_and_anchors(head: np.ndarray, scale_of: ScaleOf) -> None:
    out = normalise(head, scale_of(head))
    assert out.shape == head.shape
    assert out.min() == 0 and 1 < out.max() <= CEILING
    for c in range(3):
        values = head[..., c]
        assert (out[..., c][values <= np.percentile(values, 1)] == 0).all()
        top = np.percentile(values[values > values.mean()], 99)
        np.testing.assert_allclose(out[..., c][np.isclose(values, top)], 1, atol=0.02)


def test_landmarks_come_to_their_places() -> None:
    pixels = np.random.default_rng(0).gamma(2.0, 30.0, (2, 64, 64, 3)).astype(np.float32)
    out = landmarks(pixels)
    for c in range(3):
        values = pixels[..., c]
        foreground = values > np.minimum(values, np.percentile(values, 99)).mean()
        np.testing.assert_allclose(np.percentile(out[..., c][foreground], LANDMARKS), STANDARD, atol=2e-3)


def test_one_grey_stack_seen_as_three_is_scaled_once(head: np.ndarray) -> None:
    grey = np.broadcast_to(head[..., 1:2], head.shape)
    np.testing.assert_array_equal(landmarks(grey), landmarks(np.ascontiguousarray(grey)))


@BOTH
def test_one_bright_pixel_does_not_darken_the_rest(head: np.ndarray, scale_of: ScaleOf) -> None:
    spiked = head.copy()
    spiked[0, 5, 5] = 1e6
    out = normalise(spiked, scale_of(spiked))
    assert out.max() == CEILING
    np.testing.assert_allclose(np.delete(out.reshape(-1, 3), 5 * 128 + 5, axis=0),
                               np.delete(normalise(head, scale_of(head)).reshape(-1, 3), 5 * 128 + 5, axis=0),
                               atol=0.05)  # fmt: skip


def test_a_little_padding_far_below_air_leaves_air_dark(head: np.ndarray) -> None:
    padded = head.copy()
    padded[0, :1, :32] = -30_000
    air = head[..., 1] <= np.percentile(head[..., 1], 1)
    assert float(landmarks(padded)[..., 1][air].max()) < 0.02


@pytest.mark.parametrize("value", [0.0, 0.1, 255.0, -7.0, 1e20])
def test_channel_without_contrast_becomes_zero(head: np.ndarray, value: float) -> None:
    flat = head.copy()
    flat[..., 2] = value
    out = landmarks(flat)
    assert (out[..., 2] == 0).all()
    np.testing.assert_array_equal(out[..., :2], landmarks(head)[..., :2])


def test_slices_keep_their_relation(head: np.ndarray) -> None:
    dim = head.copy()
    dim[0] = 0.5 * dim[0]
    out = landmarks(dim)
    assert out[0, ..., 1].max() < 0.75 * out[1, ..., 1].max()


def test_bytes_are_divided_by_255() -> None:
    pixels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    np.testing.assert_array_equal(normalise(pixels, byte_scale(pixels)), pixels / np.float32(255))
    assert byte_scale(np.full((1, 2, 2, 3), 4095.0)) == (((0.0, 4095.0), (0.0, 1.0)),) * 3, "no bytes: not all of it white"
    assert byte_scale(np.zeros((0, 2, 2, 3))) == (((0.0, 255.0), (0.0, 1.0)),) * 3

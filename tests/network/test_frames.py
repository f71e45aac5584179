"""The one path to the network and back: pixels stay in place, and frames are told in millimetres."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_heads import draw_head
from scipy.ndimage import binary_dilation, binary_erosion

from lgg_demo.intensity import CEILING, landmark_scale, normalise
from lgg_demo.network.frames import HEAD_MARGIN, SIZE, Frame, frame_of, to_model, to_source

SIZES = [(192, 192), (180, 256), (320, 240), (16, 200)]


@pytest.mark.parametrize("size", SIZES)
def test_network_sees_one_size_and_range(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).normal(100, 30, (2, *size, 3)).astype(np.float32)
    x = to_model(pixels)
    assert x.shape == (2, 3, SIZE, SIZE) and x.dtype == np.float32
    assert float(x.min()) >= 0 and float(x.max()) <= CEILING + 1e-5
    assert to_source(x[:, :1], size).shape == (2, *size)


def test_dataset_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
    x = to_model(pixels)
    scaled = normalise(pixels, landmark_scale(pixels))
    np.testing.assert_array_equal(x.transpose(0, 2, 3, 1), scaled)
    np.testing.assert_array_equal(to_source(x[:, 1:2], (SIZE, SIZE)), scaled[..., 1])


@pytest.mark.parametrize("size", SIZES)
def test_way_back_keeps_the_range(size: tuple[int, int]) -> None:
    probability = np.random.default_rng(0).random((2, 1, SIZE, SIZE), dtype=np.float32)
    back = to_source(probability, size)
    assert float(back.min()) >= 0 and float(back.max()) <= 1 + 1e-6
    assert bool((to_source(np.ones_like(probability), size) > 1 - 1e-6).all())


def test_padding_lies_at_the_bottom_and_right() -> None:
    pixels = np.full((1, 128, SIZE, 3), 50.0, dtype=np.float32)
    pixels[:, ::2] = 100
    x = to_model(pixels)
    assert float(x[:, :, 128:].max()) == 0 < float(x[:, :, :128].max())
    x = to_model(pixels.transpose(0, 2, 1, 3))
    assert float(x[..., 128:].max()) == 0 < float(x[..., :128].max())


@pytest.mark.parametrize("size", [(256, 256), (192, 192), (256, 180), (400, 512), (700, 300)])
def test_mask_comes_back_within_a_pixel(size: tuple[int, int]) -> None:
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    disc = np.hypot(y / height - 0.6, x / width - 0.3) < 0.15
    square = (abs(y / height - 0.8) < 0.12) & (abs(x / width - 0.8) < 0.15)
    mask = disc | square
    # To the last row and column, as the far edges are where padding could move things.
    mask[-4:, -30:] = True
    drawn = np.repeat(mask[None, ..., None], 3, axis=-1).astype(np.float32)
    back = to_source(to_model(drawn)[:, 1:2], size)[0] >= 0.5
    if max(size) == SIZE:
        np.testing.assert_array_equal(back, mask)
    reach = np.ones((5, 5)) if max(size) > 2 * SIZE else np.ones((3, 3))  # one pixel of the network's grid
    assert not (back & ~binary_dilation(mask, reach)).any()
    assert not (binary_erosion(mask, reach, border_value=1) & ~back).any()


@pytest.mark.parametrize(
    ("spacing", "shape"), [((5, 0.9, 0.9), (256, 256)), ((5, 0.5, 1.0), (512, 230)), ((1, 1, 1), (240, 300))]
)
def test_frame_is_230_mm_around_the_head(spacing: tuple[float, float, float], shape: tuple[int, int]) -> None:
    pixels = np.zeros((3, *shape, 3), dtype=np.float32)
    rows, columns = slice(20, 20 + int(150 / spacing[1])), slice(30, 30 + int(120 / spacing[2]))
    pixels[:, rows, columns] = 100
    f = frame_of(pixels, spacing)
    assert (f.height, f.width) == (round(230 / spacing[1]), round(230 / spacing[2]))
    assert f.top + f.height / 2 == pytest.approx((rows.start + rows.stop) / 2, abs=1)
    assert f.left + f.width / 2 == pytest.approx((columns.start + columns.stop) / 2, abs=1)


def test_a_large_head_gets_a_larger_frame() -> None:
    pixels = np.zeros((2, 300, 300, 3), dtype=np.float32)
    pixels[:, 10:290, 30:270] = 1
    f = frame_of(pixels, (1.0, 1.0, 1.0))
    assert f.height == f.width == round(280 * HEAD_MARGIN)


def test_what_a_frame_cuts_comes_back_to_its_place() -> None:
    """A head of another spacing, off centre and partly outside the frame's square, is drawn back where it was."""
    pixels = np.zeros((1, 200, 320, 3), dtype=np.float32)
    pixels[0, 60:120, 200:280] = 50
    f = frame_of(pixels, (4.0, 1.5, 1.0))
    x = to_model(pixels, f)
    assert x.shape == (1, 3, SIZE, SIZE)
    back = to_source((x[:, 1:2] > 0.5).astype(np.float32), (200, 320), f)[0] > 0.5
    wanted = pixels[0, ..., 1] > 0
    assert (back ^ wanted).sum() <= 0.05 * wanted.sum()


def test_slices_of_a_scan_are_scaled_as_the_whole() -> None:
    head = np.stack([draw_head(3, size=128).flair.astype(np.float32)] * 3, axis=-1)
    whole = to_model(head)
    parts = np.concatenate([to_model(head[s : s + 1], frame_of(head), landmark_scale(head)) for s in range(len(head))])
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("size", [(192, 240), (300, 256), (700, 700), (64, 512), (1, 9)])
def test_resizing_is_pytorchs(size: tuple[int, int]) -> None:
    """The network was trained on what PyTorch made of other sizes, which places its taps in single precision."""
    pixels = np.random.default_rng(0).random((2, *size, 3), dtype=np.float32)
    scale = tuple(((0.0, 1.0), (0.0, 1.0)) for _ in range(3))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    theirs = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=max(size) > SIZE)
    np.testing.assert_allclose(to_model(pixels, Frame(0, 0, *size), scale), theirs.numpy(), atol=2e-5)
    back = F.interpolate(theirs[:, :1], size=size, mode="bilinear")[:, 0]
    np.testing.assert_allclose(to_source(theirs[:, :1].numpy(), size, Frame(0, 0, *size)), back.numpy(), atol=2e-5)

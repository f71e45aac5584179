"""The one path to the network and back: intensities that a scanner's gain cannot move, and pixels that stay in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, RandAffined, RandFlipd
from scipy.ndimage import binary_dilation, binary_erosion

from lgg_demo.intensity import (
    CEILING,
    LANDMARKS,
    NORMALISATION,
    NORMALISATIONS,
    PERCENTILE_NORMALISATION,
    STANDARD,
    Scale,
    landmark_scale,
    normalise,
    percentile_scale,
)
from lgg_demo.network.frames import CROP, HEAD_MARGIN, SIZE, frame_of, to_model, to_source, with_neighbours
from lgg_demo.page.phantom import draw_head
from lgg_demo.train.augmentation import (
    STRENGTHS,
    RandFaintd,
    RandJPEGd,
    RandLoneSliced,
    RandSaturatedd,
    RandSequencesd,
    augmentation,
)

ScaleOf = Callable[[np.ndarray], Scale]
SIZES = [(256, 256), (192, 192), (512, 512), (180, 256), (256, 180), (320, 240), (16, 200)]


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """(3, 128, 128, 3) float32, three sequences that differ."""
    flair = draw_head(3, size=128).flair.astype(np.float32)
    return np.stack([0.6 * flair + 10, flair, 255 - flair], axis=-1)


# Intensities


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float64])
def test_any_type_of_number(head: np.ndarray, dtype: type) -> None:
    whole = np.floor(head)
    out = landmarks(whole.astype(dtype))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, landmarks(whole))


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


def test_values_keep_their_order(head: np.ndarray) -> None:
    out = landmarks(head)
    for c in range(3):
        order = np.argsort(head[..., c], axis=None)
        assert (np.diff(out[..., c].ravel()[order]) >= 0).all()


def test_a_picture_of_two_values_keeps_both() -> None:
    pixels = np.zeros((1, 32, 32, 3), dtype=np.float32)
    pixels[:, 8:20, 8:20] = 200
    assert np.unique(landmarks(pixels)).tolist() == [0, 1]


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


# Geometry


@pytest.mark.parametrize("size", SIZES)
def test_network_sees_one_size_and_range(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).normal(100, 30, (2, *size, 3)).astype(np.float32)
    x = to_model(pixels)
    assert x.shape == (2, 3, SIZE, SIZE) and x.dtype == torch.float32
    assert float(x.min()) >= 0 and float(x.max()) <= CEILING + 1e-5
    assert to_source(x[:, :1], size).shape == (2, *size)


def test_dataset_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
    x = to_model(pixels)
    np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), landmarks(pixels))
    np.testing.assert_array_equal(to_source(x[:, 1:2], (SIZE, SIZE)).numpy(), landmarks(pixels)[..., 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_way_back_keeps_type_and_range(size: tuple[int, int], dtype: torch.dtype) -> None:
    probability = torch.rand((2, 1, SIZE, SIZE), dtype=dtype, generator=torch.Generator().manual_seed(0))
    back = to_source(probability, size)
    assert back.dtype == dtype
    assert float(back.min()) >= 0 and float(back.max()) <= 1 + 1e-6
    assert bool((to_source(torch.ones_like(probability), size) > 1 - 1e-6).all())


def test_padding_lies_at_the_bottom_and_right() -> None:
    pixels = np.full((1, 128, SIZE, 3), 50.0, dtype=np.float32)
    pixels[:, ::2] = 100
    x = to_model(pixels)
    assert float(x[:, :, 128:].max()) == 0 < float(x[:, :, :128].max())
    x = to_model(pixels.transpose(0, 2, 1, 3))
    assert float(x[..., 128:].max()) == 0 < float(x[..., :128].max())


@pytest.mark.parametrize("size", [(256, 256), (192, 192), (512, 512), (180, 256), (256, 180), (400, 512), (700, 300)])
def test_mask_comes_back_within_a_pixel(size: tuple[int, int]) -> None:
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    disc = np.hypot(y / height - 0.6, x / width - 0.3) < 0.15
    square = (abs(y / height - 0.8) < 0.12) & (abs(x / width - 0.8) < 0.15)
    mask = disc | square
    # To the last row and column, as the far edges are where padding could move things.
    mask[-4:, -30:] = True
    drawn = np.repeat(mask[None, ..., None], 3, axis=-1).astype(np.float32)
    back = to_source(to_model(drawn)[:, 1:2], size)[0].numpy() >= 0.5
    if max(size) == SIZE:
        np.testing.assert_array_equal(back, mask)
    reach = np.ones((5, 5)) if max(size) > 2 * SIZE else np.ones((3, 3))  # one pixel of the network's grid
    assert not (back & ~binary_dilation(mask, reach)).any()
    assert not (binary_erosion(mask, reach, border_value=1) & ~back).any()


# Augmentation


def sample(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.random((3, SIZE, SIZE), dtype=np.float32))
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 90:160, 100:150] = 1
    return {"image": image, "mask": mask}


def test_augmentation_gives_what_training_takes() -> None:
    augment = augmentation(0)
    for n in range(8):
        out = augment(sample(n))
        assert out["image"].shape == (3, CROP, CROP) and out["image"].dtype == torch.float32
        assert out["mask"].shape == (1, CROP, CROP) and set(out["mask"].unique().tolist()) <= {0.0, 1.0}
        assert bool(torch.isfinite(out["image"]).all())
    assert augmentation(0, crop=64)(sample())["mask"].shape == (1, 64, 64)


@pytest.mark.parametrize("zoom", [1.0, 1.25, 2.0])
def test_zoom_enlarges_before_the_crop(zoom: float) -> None:
    """Both ways by as much, and as much again whatever chance adds."""
    ratios = []
    for strength in ("mirror", "geometry"):
        plain, larger = (augmentation(0, SIZE, strength, 0, 0, zoom=z) for z in (1.0, zoom))
        for _ in range(6):
            given = {"image": torch.zeros(3, SIZE, SIZE), "mask": torch.zeros(1, SIZE, SIZE)}
            given["mask"][:, 123:133, 118:138] = 1
            before, after = (float(augment(given)["mask"].sum()) for augment in (plain, larger))
            if before and after > 0.8 * before * zoom**2:  # not moved over the border
                ratios.append((after / before) ** 0.5 / zoom)
    assert len(ratios) >= 6
    np.testing.assert_allclose(ratios, 1, atol=0.06)


def test_strengths_change_intensities_less_and_less() -> None:
    flat, mask = torch.full((3, SIZE, SIZE), 0.8), torch.zeros(1, SIZE, SIZE)
    changed, compressed = {}, {}
    for strength in STRENGTHS:
        augment = augmentation(0, SIZE, strength, 0, 0)
        tops = [float(augment({"image": flat, "mask": mask})["image"].max()) for _ in range(60)]
        changed[strength] = sum(abs(top - 0.8) > 0.02 for top in tops)
        compressed[strength] = any(isinstance(step, RandJPEGd) for step in augment.transforms)
    assert changed["geometry"] == changed["mirror"] == 0 < changed["uploads"] < 15 < changed["full"]
    assert compressed == {"full": True, "uploads": True, "geometry": False, "mirror": False}


def test_a_coarse_slice_keeps_its_brightness_and_loses_detail() -> None:
    stripes = torch.zeros(3, SIZE, SIZE)
    stripes[..., ::2] = 1
    sharp, coarse = (augmentation(0, SIZE, "mirror", 0, 0, coarse=share) for share in (0.0, 1.0))
    lost = 0
    for _ in range(12):
        before, after = (a({"image": stripes, "mask": torch.zeros(1, SIZE, SIZE)})["image"] for a in (sharp, coarse))
        assert abs(float(after.mean() - before.mean())) < 0.03
        lost += float(after.std()) < 0.7 * float(before.std())
    assert lost >= 6


def test_augmentation_leaves_what_it_was_given() -> None:
    given_, kept = sample(), sample()
    augment = augmentation(3)
    for _ in range(4):
        augment(given_)
    assert torch.equal(given_["image"], kept["image"]) and torch.equal(given_["mask"], kept["mask"])


def test_augmentation_depends_on_its_seed_alone() -> None:
    def draws(seed: int) -> list[dict[str, Any]]:
        augment = augmentation(seed)
        np.random.seed(seed + 17)
        torch.manual_seed(seed + 17)
        return [augment(sample(n)) for n in range(4)]

    first = draws(1)
    np.random.seed(0)
    torch.manual_seed(0)
    for a, b in zip(first, draws(1), strict=True):
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["mask"], b["mask"])
    assert not all(torch.equal(a["mask"], b["mask"]) for a, b in zip(first, draws(2), strict=True))
    assert not torch.equal(first[0]["mask"], first[1]["mask"])


def test_image_and_mask_move_together() -> None:
    whole = augmentation(5)
    geometry = Compose([t for t in whole.transforms if isinstance(t, RandFlipd | RandAffined)])
    assert len(geometry.transforms) == 2
    geometry.set_random_state(seed=5)
    seen = 0
    for _ in range(10):
        mask = sample()["mask"]
        out = geometry({"image": mask.repeat(3, 1, 1), "mask": mask})
        moved, target = np.asarray(out["image"])[1] >= 0.5, np.asarray(out["mask"])[0] >= 0.5
        around = binary_dilation(target, np.ones((3, 3))) & ~binary_erosion(target, np.ones((3, 3)), border_value=1)
        assert not ((moved != target) & ~around).any()
        seen += int(target.any())
    assert seen >= 8  # it is not shifted out of the picture as a rule


def test_geometry_reaches_both_axes() -> None:
    """Place, height and width of a square vary along rows and columns alike; MONAI takes one number for the rows alone."""
    whole = augmentation(7)
    move = next(t for t in whole.transforms if isinstance(t, RandAffined))
    move.set_random_state(seed=7)
    places, sizes = [], []
    for _ in range(60):
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, 108:148, 108:148] = 1
        moved = np.argwhere(np.asarray(move({"image": mask, "mask": mask})["mask"])[0] > 0.5)
        places.append(moved.mean(axis=0))
        sizes.append(np.ptp(moved, axis=0) + 1)
    assert (np.std(places, axis=0) > 12).all()
    assert (np.std(sizes, axis=0) > 3).all()
    height, width = np.std(sizes, axis=0)
    assert 0.5 < height / width < 2


def test_saturation_cuts_off_what_is_bright_and_nothing_else() -> None:
    before = sample()["image"]
    after = RandSaturatedd("image", prob=1.0).set_random_state(seed=2)({"image": before})["image"]
    top = float((before / after)[before < 0.4].median())
    assert 0.45 <= top <= 1
    torch.testing.assert_close(after, (before / top).clamp(max=1))
    assert float((after >= 1).float().mean()) == pytest.approx(1 - top, abs=0.02)


def test_a_jpeg_blurs_the_sequences_together_and_keeps_the_rest(head: np.ndarray) -> None:
    image = to_model(head)[0].repeat(2, 1, 1)  # with a neighbour
    for seed in range(3):
        read = RandJPEGd("image", prob=1.0).set_random_state(seed=seed)({"image": image})["image"]
        assert read.shape == image.shape
        assert read.dtype == torch.float32
        assert 0 <= float(read.min()) <= float(read.max()) <= 1.5
        assert 0 < float((read - image).abs().mean()) < 0.05
    assert RandJPEGd("image", prob=0.0)({"image": image})["image"] is image


def test_a_faint_lesion_keeps_its_place_and_texture() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(0.4, 0.02, (6, SIZE, SIZE)).astype(np.float32))  # with a neighbour
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 0:60, 100:160] = 1  # at the edge of the slice
    image[:, 0:60, 100:160] += 0.4
    given_ = {"image": image, "mask": mask}
    before = image.clone()
    contrasts = []
    for seed in range(12):
        out = RandFaintd(prob=1.0).set_random_state(seed=seed)(given_)
        assert torch.equal(out["mask"], mask) and torch.equal(given_["image"], before)
        assert torch.equal(out["image"][:, 80:], before[:, 80:])
        core = out["image"][:, 10:50, 110:150]
        contrasts.append(float(core.mean()) - 0.4)
        assert float(core.std()) == pytest.approx(0.02, rel=0.1)
    assert 0.1 < min(contrasts) < 0.2 and 0.3 < max(contrasts) < 0.41
    empty = {"image": image, "mask": torch.zeros_like(mask)}
    assert torch.equal(RandFaintd(prob=1.0)(empty)["image"], image)
    assert torch.equal(RandFaintd(prob=0.0)(given_)["image"], image)


def test_intensity_leaves_the_mask_alone() -> None:
    intensity = Compose([t for t in augmentation(5).transforms if not isinstance(t, RandFlipd | RandAffined)])
    intensity.set_random_state(seed=5)
    changed = 0
    for n in range(10):
        out = intensity(sample(n))
        assert torch.equal(out["mask"], sample(n)["mask"])
        changed += not torch.equal(out["image"], sample(n)["image"])
    assert changed >= 5


def test_lost_sequences_become_flair() -> None:
    lose = RandSequencesd("image", prob=1.0).set_random_state(seed=0)
    seen = set()
    for n in range(30):
        before = sample(n)["image"]
        given_ = {"image": before.clone(), "mask": 1}
        after = lose(given_)["image"]
        assert torch.equal(given_["image"], before)
        assert torch.equal(after[1], before[1])
        lost = tuple(c for c in (0, 2) if torch.equal(after[c], before[1]))
        assert lost and all(torch.equal(after[c], before[c]) for c in {0, 2} - set(lost))
        seen.add(lost)
    assert seen == {(0,), (2,), (0, 2)}
    never = RandSequencesd("image", prob=0.0)
    assert torch.equal(never(sample())["image"], sample()["image"])


@pytest.mark.parametrize("name", [NORMALISATION, PERCENTILE_NORMALISATION])
def test_lone_slice_is_normalised_as_the_page_would(head: np.ndarray, name: str) -> None:
    scale_of = NORMALISATIONS[name]
    stack = np.zeros((3, SIZE, SIZE, 3), dtype=np.float32)
    stack[:, :128, :128] = head
    stack[0] *= 0.4
    of_stack = to_model(stack, scale=scale_of(stack))
    alone = RandLoneSliced("image", 1.0, scale_of)({"image": of_stack[0]})["image"]
    as_page = to_model(stack[:1], scale=scale_of(stack[:1]))[0]
    # Landmarks of what has been scaled by landmarks lie in their places; between them the first scale's bends remain.
    np.testing.assert_allclose(alone.numpy(), as_page.numpy(), atol=0.02 if name == PERCENTILE_NORMALISATION else 0.1)
    assert float((alone - as_page).abs().mean()) < 0.003
    assert float((alone - of_stack[0]).abs().max()) > 0.2


# Frames in millimetres


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
    back = to_source((x[:, 1:2] > 0.5).float(), (200, 320), f)[0] > 0.5
    wanted = torch.from_numpy(pixels[0, ..., 1] > 0)
    assert (back ^ wanted).sum() <= 0.05 * wanted.sum()


def test_slices_of_a_scan_are_scaled_as_the_whole(head: np.ndarray) -> None:
    whole = to_model(head)
    parts = torch.cat([to_model(head[s : s + 1], frame_of(head), landmark_scale(head)) for s in range(len(head))])
    assert torch.equal(whole, parts)


def test_neighbours_stand_beside_their_slice() -> None:
    x = torch.arange(5.0)[:, None, None, None].expand(5, 3, 1, 1)
    one = with_neighbours(x, 1)[:, ::3, 0, 0]
    assert one.tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 4]]
    two = with_neighbours(x, 2, slice(1, 3))[:, ::3, 0, 0]
    assert two.tolist() == [[1, 0, 2, 0, 3], [2, 1, 3, 0, 4]]
    assert torch.equal(with_neighbours(x, 0), x)
    lone = with_neighbours(x[2:3], 2)
    assert lone.shape == (1, 15, 1, 1)
    assert (lone == 2).all()


def test_a_lone_slice_is_its_own_neighbour_and_loses_the_same_sequences() -> None:
    image = torch.rand(9, 16, 16)
    alone = RandLoneSliced("image", prob=1.0)({"image": image})["image"]
    assert torch.equal(alone[:3], alone[3:6])
    assert torch.equal(alone[:3], alone[6:])
    lose = RandSequencesd("image", prob=1.0).set_random_state(seed=1)
    for _ in range(10):
        lost = lose({"image": image})["image"].reshape(3, 3, 16, 16)
        copied = [(lost[n, c] == lost[n, 1]).all() for n in range(3) for c in (0, 2)]
        assert any(copied)
        assert copied[:2] == copied[2:4] == copied[4:]
        assert torch.equal(lost[:, 1], image[1::3])

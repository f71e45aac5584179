"""Augmentation: image and mask move together, intensities change as uploads do, and the seed alone decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn_heads import draw_head
from monai.transforms import Compose, RandAffined, RandFlipd
from scipy.ndimage import binary_dilation, binary_erosion

from lgg_demo.network.frames import CROP, SIZE, to_model
from lgg_demo.train.augmentation import (
    RandJPEGd,
    RandLoneSliced,
    RandSaturatedd,
    RandSequencesd,
    augmentation,
    report_augmentation,
)


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """(3, 128, 128, 3) float32, three sequences that differ."""
    flair = draw_head(3, size=128).flair.astype(np.float32)
    return np.stack([0.6 * flair + 10, flair, 255 - flair], axis=-1)


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


def test_strengths_change_intensities_less_and_less() -> None:
    flat, mask = torch.full((3, SIZE, SIZE), 0.8), torch.zeros(1, SIZE, SIZE)
    changed = {}
    for strength in ("full", "uploads", "geometry"):
        augment = augmentation(0, SIZE, strength, 0, 0)
        tops = [float(augment({"image": flat, "mask": mask})["image"].max()) for _ in range(40)]
        changed[strength] = sum(abs(top - 0.8) > 0.02 for top in tops)
    assert changed["geometry"] == 0 < changed["uploads"] < 10 < changed["full"]


def test_a_coarse_slice_keeps_its_brightness_and_loses_detail() -> None:
    stripes = torch.zeros(3, SIZE, SIZE)
    stripes[..., ::2] = 1
    sharp, coarse = (augmentation(0, SIZE, "geometry", 0, 0, coarse=share) for share in (0.0, 1.0))
    lost = 0
    for _ in range(12):
        before, after = (a({"image": stripes, "mask": torch.zeros(1, SIZE, SIZE)})["image"] for a in (sharp, coarse))
        assert abs(float(after.mean() - before.mean())) < 0.03
        lost += float(after.std()) < 0.7 * float(before.std())
    assert lost >= 6


@pytest.mark.parametrize("recipe", [augmentation, report_augmentation])
def test_augmentation_depends_on_its_seed_alone(recipe: Any) -> None:
    def draws(seed: int, other: int) -> list[torch.Tensor]:
        augment = recipe(seed)
        np.random.seed(other)
        torch.manual_seed(other)
        return [augment(sample(n))["image"] for n in range(3)]

    first, again, other = draws(1, 17), draws(1, 0), draws(2, 17)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


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
    image = torch.from_numpy(to_model(head))[0]
    for seed in range(3):
        read = RandJPEGd("image", prob=1.0).set_random_state(seed=seed)({"image": image})["image"]
        assert read.shape == image.shape
        assert read.dtype == torch.float32
        assert 0 <= float(read.min()) <= float(read.max()) <= 1.5
        assert 0 < float((read - image).abs().mean()) < 0.05
    assert RandJPEGd("image", prob=0.0)({"image": image})["image"] is image


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


def test_lone_slice_is_normalised_as_the_page_would(head: np.ndarray) -> None:
    stack = np.zeros((3, SIZE, SIZE, 3), dtype=np.float32)
    stack[:, :128, :128] = head
    stack[0] *= 0.4
    of_stack = torch.from_numpy(to_model(stack))
    alone = RandLoneSliced("image", 1.0)({"image": of_stack[0]})["image"]
    as_page = torch.from_numpy(to_model(stack[:1]))[0]
    # Landmarks of what has been scaled by landmarks lie in their places; between them the first scale's bends remain.
    np.testing.assert_allclose(alone.numpy(), as_page.numpy(), atol=0.1)
    assert float((alone - as_page).abs().mean()) < 0.003
    assert float((alone - of_stack[0]).abs().max()) > 0.2

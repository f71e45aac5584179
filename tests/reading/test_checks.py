"""What is doubtful of a scan before it is segmented."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_heads import draw_head
from helpers import HEAD as DRAWN
from helpers import SPACING, STACK, turned
from PIL import Image, ImageDraw

from lgg_demo.case import Scan
from lgg_demo.experiments.sequences import fit
from lgg_demo.grid import Grid
from lgg_demo.reading import checks, sequences
from lgg_demo.reading.checks import inspect

RNG = np.random.default_rng(2)
FLAIR = draw_head(6, size=128).flair.astype(np.float32)
HEAD = FLAIR > 20


def keys(values: np.ndarray) -> list[str]:
    pixels = np.repeat(values[..., None].astype(np.float32), 3, axis=-1)
    return [w.key for w in inspect(Scan(pixels, "a", (("a", len(values)),), grey=True))]


def ct() -> np.ndarray:
    """A head in Hounsfield units: skull around brain, in air."""
    y, x = np.indices(FLAIR.shape[1:])
    far = np.hypot((y - 64) / 52, (x - 64) / 42)
    values = np.full(FLAIR.shape, -1000.0) + RNG.normal(0, 15, FLAIR.shape)
    for edge, unit, spread in ((1.0, 40, 25), (0.93, 900, 250), (0.83, 35, 8)):
        values = np.where(far < edge, unit + RNG.normal(0, spread, FLAIR.shape), values)
    return np.where(far < 0.2, 10 + RNG.normal(0, 8, FLAIR.shape), values)


def test_a_ct_is_told() -> None:
    assert keys(ct()) == ["looks_like_ct"]
    padded = ct()
    padded[:, :20] = -2000
    assert keys(padded) == ["looks_like_ct"]
    assert keys(np.maximum(ct(), -1024).round()) == ["looks_like_ct"]


@pytest.mark.parametrize("number", [-1000, -1024, -2000, -32768])
@pytest.mark.parametrize("scale", [0.2, 1.0, 4.0, 20.0])
def test_a_negative_number_around_an_mri_makes_it_no_ct(number: int, scale: float) -> None:
    y, x = np.indices(FLAIR.shape[1:])
    values = np.where(np.hypot(y - 64, x - 64) > 60, number, FLAIR * scale + RNG.normal(3, 1, FLAIR.shape))
    assert "looks_like_ct" not in keys(values)
    assert "looks_like_ct" not in keys(np.where(HEAD, FLAIR * scale, number))


def test_an_mri_is_not_spoken_of() -> None:
    assert keys(FLAIR) == []


def scan_of(stack: np.ndarray, spacing: tuple[float, float, float] = SPACING, tilt: float = 0.0) -> Scan:
    values, affine = turned("LPS", stack.astype(np.float32), spacing)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    affine = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ affine
    pixels = np.repeat(stack.astype(np.float32)[..., None], 3, axis=-1)
    return Scan(pixels, "x", (("x", len(stack)),), True, Grid(values.shape, affine))


TALL = draw_head(40, size=64).flair


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        (scan_of(STACK), []),
        (scan_of(STACK, (1.0, 3.6, 3.6)), []),
        (scan_of(STACK, tilt=20), []),
        (scan_of(STACK, tilt=35), ["plane_tilted"]),
        (scan_of(TALL, (3.6, 6.0, 2.9)), ["plane_coronal", "not_a_head"]),
        (scan_of(TALL[:, 10:50], (2.9, 2.9, 4.8)), ["plane_sagittal"]),
        (scan_of(STACK, (5, 0.3, 0.3)), ["not_a_head"]),
        (scan_of(STACK, (9, 9, 9)), ["not_a_head"]),
        (scan_of(STACK - 1024.0), []),
        (scan_of(DRAWN.mask), ["looks_like_mask"]),
        (scan_of(np.zeros_like(STACK)), []),
    ],
)  # fmt: skip
def test_inspect(scan: Scan, expected: list[str]) -> None:
    assert [s.key for s in inspect(scan)] == expected
    assert all(str(s).startswith("x: ") and s.say("fr") for s in inspect(scan))


def test_inspect_pictures_and_skull_stripped() -> None:
    pixels = np.repeat(STACK[..., None], 3, axis=-1)
    assert inspect(Scan(pixels, "p", (("p.png", 12),))) == ()
    brain = np.where(draw_head(12, size=64).flair > 60, STACK, 0)
    assert inspect(scan_of(brain)) == ()


def test_sequences_out_of_order_are_told(tmp_path: Path) -> None:
    """A test of its own, fitted on drawn heads whose T1 differ from FLAIR, tells a swap and leaves order alone."""
    stacks = {}
    for seed in range(6):
        flair = draw_head(8, size=96, seed=seed).flair.astype(np.float32)
        t1 = np.clip(150 - flair, 0, None) * (flair > 30)
        stacks[str(seed)] = np.stack([t1, flair, t1 * 1.1], axis=-1)
    fitted = fit(stacks)
    assert fitted["flair_found"] == 1 and fitted["patients"] == 6
    stack = stacks["0"]
    coefficients = np.array(fitted["coefficients"])

    def margin(pixels: np.ndarray) -> float:
        score = sequences.channel_features(pixels) @ coefficients
        return float(score[1] - max(score[0], score[2]))

    assert margin(stack) > 0 > margin(stack[..., [1, 0, 2]])
    assert not sequences.out_of_order(stack[:1, ..., [1, 0, 2]])  # a lone slice says too little


def test_the_shipped_test_of_order_says_how_good_it_is() -> None:
    fitted = json.loads(sequences.FITTED.read_text(encoding="utf-8"))
    assert fitted["flair_found"] > 0.9 and fitted["false_alarms"] < 0.05
    assert np.isfinite(sequences.flair_margin(np.zeros((8, 32, 32, 3), dtype=np.float32)))


def test_text_in_a_corner_is_told() -> None:
    """Letters on every slice are seen in any corner; a head, noise and a lone bright spot are not."""
    head = draw_head(6, size=192).flair
    assert not checks.text_in_corners(head.astype(np.float32))
    noise = np.random.default_rng(0).integers(0, 255, (6, 96, 96))
    assert not checks.text_in_corners(noise.astype(np.float32))
    for place in ((3, 3), (130, 178)):
        written = []
        for pixels in head:
            picture = Image.fromarray(pixels)
            ImageDraw.Draw(picture).text(place, "DOE JANE", fill=230)
            written.append(np.asarray(picture, dtype=np.float32))
        assert checks.text_in_corners(np.stack(written))
        assert "text_in_corner" in [w.key for w in inspect(scan_of(np.stack(written)))]

"""Checks before use: what makes a scan doubtful is said before it is segmented."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import HEAD, SPACING, STACK, turned
from PIL import Image, ImageDraw

from lgg_demo import sequences
from lgg_demo.case import Scan
from lgg_demo.grid import Grid
from lgg_demo.phantom import draw_head
from lgg_demo.reading import checks
from lgg_demo.reading.checks import inspect


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
        (scan_of(STACK - 1024.0), ["looks_like_ct"]),
        (scan_of(HEAD.mask), ["looks_like_mask"]),
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
    fitted = sequences.fit(stacks)
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

"""What is doubtful of a scan before it is segmented."""

from __future__ import annotations

import numpy as np
import pytest

from lgg_demo.case import Scan
from lgg_demo.phantom import draw_head
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

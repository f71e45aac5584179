"""Probabilities that mean what they say: a curve fitted on patients the network never saw, and how far off it is.

Everything is counted once: how often each probability was given to a pixel inside the reference and outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

FINE = 65535  # probabilities are counted in this many steps
_TINY = 0.5 / FINE
BINS = 20


@dataclass(frozen=True)
class Calibration:
    """Beta calibration (Kull, Silva Filho and Flach 2017): logit q = a ln p - b ln(1 - p) + c, p and q in [0, 1].

    a = b = 1, c = 0 changes nothing; a = b, c = 0 is temperature scaling by 1 / a.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def apply(self, p: torch.Tensor) -> torch.Tensor:
        """Probability of any shape, float32 in [0, 1], to the calibrated one."""
        if self == Calibration():
            return p
        p = p.clamp(_TINY, 1 - _TINY)
        return torch.sigmoid(self.a * p.log() - self.b * torch.log1p(-p) + self.c)


@dataclass(frozen=True)
class Tally:
    """Pixels inside and outside the reference by the probability they were given: two (65536,) int64."""

    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, fine: np.ndarray, reference: np.ndarray) -> Tally:
        """From probability in 65535ths, uint16, and reference, bool, of one shape."""
        inside = np.bincount(fine[reference], minlength=FINE + 1)
        return cls(inside, np.bincount(fine.ravel(), minlength=FINE + 1) - inside)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.inside + other.inside, self.outside + other.outside)


def _steps() -> torch.Tensor:
    return torch.arange(FINE + 1, dtype=torch.float32) / FINE


def fit_calibration(tally: Tally, temperature: bool = False) -> Calibration:
    """The curve of greatest likelihood, every pixel counting the same; `temperature` restricts it to a = b, c = 0."""
    p = _steps().clamp(_TINY, 1 - _TINY).double().numpy()
    features = np.log(np.stack([p, 1 - p], axis=1)) * [1, -1]
    if temperature:
        features = features.sum(axis=1, keepdims=True)
    weights = np.concatenate([tally.inside, tally.outside]).astype(np.float64)
    used = weights > 0
    x, y = np.concatenate([features, features])[used], np.repeat([1, 0], FINE + 1)[used]
    model = LogisticRegression(C=np.inf, fit_intercept=not temperature, tol=1e-8, max_iter=1000)
    model.fit(x, y, sample_weight=weights[used] / weights.mean())
    a, b = (float(v) for v in np.broadcast_to(model.coef_[0], 2))
    return Calibration(a, b, 0.0 if temperature else float(model.intercept_[0]))


def reliability(tallies: list[tuple[Tally, Calibration]], doubtful_only: bool = False) -> dict[str, object]:
    """Bins of a reliability picture and the expected calibration error (Naeini et al. 2015), each tally by its own curve.

    doubtful_only: only pixels whose uncalibrated probability lies between 0.01 and 0.99; nearly all others are air.
    Returns `ece` and `bins`, each with mean probability, observed frequency and number of pixels.
    """
    p = _steps()
    chosen = ((p > 0.01) & (p < 0.99)).numpy() if doubtful_only else np.ones(FINE + 1, dtype=bool)
    total, hits, said = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for tally, calibration in tallies:
        q = calibration.apply(p).double().numpy()
        place = np.minimum((q * BINS).astype(int), BINS - 1)
        count = np.where(chosen, tally.inside + tally.outside, 0)
        total += np.bincount(place, count, BINS)
        hits += np.bincount(place, np.where(chosen, tally.inside, 0), BINS)
        said += np.bincount(place, count * q, BINS)
    filled = total > 0
    error = float(np.abs(hits - said).sum() / max(total.sum(), 1))
    bins = [
        {"probability": float(s / n), "observed": float(h / n), "pixels": int(n)}
        for s, h, n in zip(said[filled], hits[filled], total[filled], strict=True)
    ]
    return {"ece": error, "pixels": int(total.sum()), "bins": bins}

"""Probabilities that mean what they say: a curve fitted on patients the network never saw, and how far off it is.

Everything is told by how often each probability was given to a pixel inside the reference and outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from lgg_demo.network.calibration import FINE, RISE, TINY, Calibration
from lgg_demo.network.inference import calibrated

KNOTS = 45  # of a fitted curve, evenly spaced in logits: one each half
BINS = 20
LESION = 10_000.0  # pixels that every lesion counts as


@dataclass(frozen=True)
class Tally:
    """Pixels in and outside the reference by the probability they were given: two (65536,) int64, weighed float64."""

    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, fine: np.ndarray, reference: np.ndarray) -> Tally:
        """From probability in 65535ths, uint16, and reference, bool, of one shape."""
        inside = np.bincount(fine[reference], minlength=FINE + 1)
        return cls(inside, np.bincount(fine.ravel(), minlength=FINE + 1) - inside)

    def per_lesion(self) -> Tally:
        """The same with every lesion counting as one of 10,000 pixels; without a lesion as it is.

        A curve fitted on plain pixels is that of the few largest lesions, and the small ones, which networks doubt, come
        out smaller still.
        """
        lesion = int(self.inside.sum())
        weight = LESION / lesion if lesion else 1.0
        return Tally(self.inside * weight, self.outside * weight)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.inside + other.inside, self.outside + other.outside)


def _steps() -> torch.Tensor:
    return torch.arange(FINE + 1, dtype=torch.float32) / FINE


def _logits() -> np.ndarray:
    return np.asarray(torch.logit(_steps().double().clamp(TINY, 1 - TINY)).numpy())


def fit_calibration(tally: Tally) -> Calibration:
    """The rising curve of least squares (isotonic regression: Zadrozny and Elkan 2002) through a tally.

    Pixels are gathered by the logit they were given, and each knot is the logit of how many of them lie inside.
    """
    x = _logits()
    total = tally.inside + tally.outside
    place = np.round((x - x[0]) / (x[-1] - x[0]) * (KNOTS - 1)).astype(int)
    pixels, hits, sums = (np.bincount(place, v, KNOTS) for v in (total, tally.inside, total * x))
    filled = pixels > 0
    if filled.sum() < 2:
        return Calibration()
    given = sums[filled] / pixels[filled]
    # Half a pixel of each kind more: a bin without any is no certainty.
    share = (hits[filled] + 0.5) / (pixels[filled] + 1)
    rising = IsotonicRegression().fit_transform(given, share, sample_weight=pixels[filled])
    meant = np.log(rising / (1 - rising)) + RISE * given
    return Calibration(tuple(given.round(5).tolist()), tuple(meant.round(5).tolist()))


def fit_temperature(tally: Tally) -> Calibration:
    """The one factor of greatest likelihood on the logits (Guo et al. 2017), to compare with."""
    x = np.tile(_logits(), 2)[:, None]
    weights = np.concatenate([tally.inside, tally.outside]).astype(np.float64)
    used = weights > 0
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000)
    model.fit(x[used], np.repeat([1, 0], FINE + 1)[used], sample_weight=weights[used] / weights.mean())
    factor = float(model.coef_[0, 0])
    return Calibration((-12.0, 12.0), (-12.0 * factor, 12.0 * factor))


def reliability(tallies: list[tuple[Tally, Calibration]], doubtful_only: bool = False) -> dict[str, object]:
    """Bins of a reliability picture and the expected calibration error (Naeini et al. 2015), each tally by its own curve.

    doubtful_only: only pixels whose uncalibrated probability lies between 0.01 and 0.99; nearly all others are air.
    Returns `ece` and `bins`, each with mean probability, observed frequency and number of pixels, as weighed.
    """
    p = _steps()
    chosen = ((p > 0.01) & (p < 0.99)).numpy() if doubtful_only else np.ones(FINE + 1, dtype=bool)
    total, hits, said = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for tally, calibration in tallies:
        q = calibrated(p, calibration).double().numpy()
        place = np.minimum((q * BINS).astype(int), BINS - 1)
        count = np.where(chosen, tally.inside + tally.outside, 0)
        total += np.bincount(place, count, BINS)
        hits += np.bincount(place, np.where(chosen, tally.inside, 0), BINS)
        said += np.bincount(place, count * q, BINS)
    filled = total > 0
    error = float(np.abs(hits - said).sum() / max(total.sum(), 1))
    bins = [
        {"probability": float(s / n), "observed": float(h / n), "pixels": round(n)}
        for s, h, n in zip(said[filled], hits[filled], total[filled], strict=True)
    ]
    return {"ece": error, "pixels": round(total.sum()), "bins": bins}

"""Probabilities that mean what they say: a curve fitted on patients the network never saw, and how far off it is.

Everything is told by how often each probability was given to a pixel inside the reference and outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

FINE = 65535  # probabilities are counted in this many steps
_TINY = 0.5 / FINE
BINS = 20
LESION = 10_000.0  # pixels that every lesion counts as
MOST_LOGIT = 1000.0  # of a curve; float32's probabilities end at about 17
KNOTS = 45  # of a fitted curve, evenly spaced in logits: one each half
PIN = 1.0  # logits in which the bend of a pinned curve falls to a third
RISE = 1e-3  # of a curve where the data would have it flat: two probabilities stay two


@dataclass(frozen=True)
class Calibration:
    """A rising curve from the network's logit to the calibrated one, straight between its knots; none changes nothing.

    given, meant: logits, ascending, as many of one as of the other. Beyond the ends the curve goes on with slope 1.
    """

    given: tuple[float, ...] = ()
    meant: tuple[float, ...] = ()

    @classmethod
    def from_record(cls, record: dict[str, list[float]] | None) -> Calibration:
        """As a checkpoint's record has it; None is no calibration. Raises KeyError, TypeError or ValueError."""
        if record is None:
            return cls()
        given, meant = record["given"], record["meant"]
        if not all(isinstance(v, list) and all(type(x) in (int, float) for x in v) for v in (given, meant)):
            raise TypeError("A calibration is made of lists of numbers.")
        x, y = (np.array(v, dtype=np.float32) for v in (given, meant))  # as `apply` has them
        rising = x.shape == y.shape and len(x) != 1 and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
        if not rising or not (np.abs([x, y]) <= MOST_LOGIT).all():
            raise ValueError("A calibration needs two rising lists of as many logits.")
        return cls(tuple(given), tuple(meant))

    def as_record(self) -> dict[str, list[float]]:
        return {"given": list(self.given), "meant": list(self.meant)}

    def apply(self, p: torch.Tensor) -> torch.Tensor:
        """Probability of any shape, float32 in [0, 1], to the calibrated one."""
        if not self.given:
            return p
        given, meant = (torch.tensor(v, dtype=p.dtype, device=p.device) for v in (self.given, self.meant))
        x = torch.logit(p.clamp(_TINY, 1 - _TINY))
        inside = x.clamp(given[0], given[-1])
        right = torch.bucketize(inside, given).clamp(1, len(given) - 1)
        share = (inside - given[right - 1]) / (given[right] - given[right - 1])
        return torch.sigmoid(torch.lerp(meant[right - 1], meant[right], share) + (x - inside))

    def pinned(self) -> Calibration:
        """The same curve bent so that a half stays a half: the outline at 0.5 is then the network's own.

        A network trained for Dice puts that outline where the overlap is best, which is below a chance of one half (Lipton
        et al. 2014: at half of the best F1). The bend falls to a third in one logit, so that all but what lies about a
        half keeps its calibrated value.
        """
        if not self.given:
            return self
        given = np.union1d(self.given, [0.0])
        lift = float(np.interp(0.0, self.given, self.meant))
        meant = np.interp(given, self.given, self.meant) - lift * np.exp(-np.abs(given) / PIN)
        # Falls nowhere, and 0 stays 0: each side is levelled from the middle outwards.
        right, left = given >= 0, given <= 0
        meant[right] = np.maximum.accumulate(meant[right])
        meant[left] = np.minimum.accumulate(meant[left][::-1])[::-1]
        meant += RISE * given
        return Calibration(tuple(given.round(5).tolist()), tuple(meant.round(5).tolist()))


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
    return np.asarray(torch.logit(_steps().double().clamp(_TINY, 1 - _TINY)).numpy())


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
        q = calibration.apply(p).double().numpy()
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

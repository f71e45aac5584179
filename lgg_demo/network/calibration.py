"""Calibration of probabilities: the curve. `inference.calibrated` applies it, and `train.calibration` fits it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FINE = 65535  # probabilities are counted in this many steps where a calibration is fitted
TINY = 0.5 / FINE  # the smallest probability, and the distance to 1 of the largest, that has a logit
MOST_LOGIT = 1000.0  # of a curve; float32's probabilities end at about 17
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
        x, y = (np.array(v, dtype=np.float32) for v in (given, meant))  # as they are applied
        rising = x.shape == y.shape and len(x) != 1 and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
        if not rising or not (np.abs([x, y]) <= MOST_LOGIT).all():
            raise ValueError("A calibration needs two rising lists of as many logits.")
        return cls(tuple(given), tuple(meant))

    def as_record(self) -> dict[str, list[float]]:
        return {"given": list(self.given), "meant": list(self.meant)}

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

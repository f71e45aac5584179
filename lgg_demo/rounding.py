"""One rule for the digits of every figure that is shown."""

from __future__ import annotations

import math


def rounded(value: float, digits: int) -> float:
    """A figure as it is shown anywhere: half away from zero, at a number of decimals.

    Python's `round` takes halves to the even digit and the browser's do not; this does what `rounded` of the viewer's
    counts.js does, step by step, so that page, report, table and PDF say the same of the same pixels.
    """
    scale = 10**digits
    return math.copysign(math.floor(abs(value) * scale + 0.5) / scale, value) + 0.0  # of -0 too

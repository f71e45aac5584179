"""Values of DICOM tags, whatever stands there: a number, a text or a UID, or what stands in for none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pydicom
from pydicom import Dataset


def number(ds: Dataset | None, keyword: str, default: float = 0.0) -> float:
    """A finite number; of several values, or of none, the default."""
    try:
        value = float(ds.get(keyword)) if ds is not None else default
    except (TypeError, ValueError, OverflowError):
        return default
    return value if math.isfinite(value) else default


def numbers(ds: Dataset | None, keyword: str, count: int) -> np.ndarray | None:
    """(count,) float64, each below a million; None where there are others, or more or fewer."""
    try:
        values = np.array([float(v) for v in ds[keyword].value]) if ds is not None else np.empty(0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return values if values.size == count and bool((np.abs(values) < 1e6).all()) else None


def text(ds: Dataset | None, keyword: str) -> str:
    """A text without blanks around it, of several values the first; empty where it is none."""
    value = None if ds is None else ds.get(keyword)
    if isinstance(value, pydicom.multival.MultiValue) and len(value):
        value = value[0]
    return value.strip() if isinstance(value, str) else ""


def uid(ds: Dataset | None, keyword: str) -> str:
    """A UID, or nothing where the value is none (it might be anything, a name too)."""
    value = text(ds, keyword).strip("\0 ")
    return value if re.fullmatch(r"[0-9.]{3,64}", value) else ""


def items(ds: Dataset | None, keyword: str) -> Iterator[Dataset]:
    """The items of a sequence, if there is one."""
    if ds is None or keyword not in ds:
        return
    value = ds[keyword].value
    if isinstance(value, pydicom.Sequence):
        yield from (item for item in value if isinstance(item, Dataset))


def item(ds: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    return next(items(ds, keyword), None)

"""Arrays to what the viewer draws. No files, no Gradio."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lgg_demo.readers import FLAIR, Scan
from lgg_demo.report import Result


def grey(scan: Scan) -> np.ndarray:
    """The FLAIR channel windowed for a screen: (S, H, W) uint8, from the 0.5th to the 99.7th percentile of the scan."""
    flair = scan.pixels[..., FLAIR]
    low, high = np.percentile(flair, [0.5, 99.7])
    if high <= low:
        return np.zeros(flair.shape, dtype=np.uint8)
    return np.asarray(np.clip((flair - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8))


def pack(array: np.ndarray) -> str:
    """Bytes of an array, deflated, as base64: exact in any browser, where a canvas may colour-manage a PNG."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 4)).decode("ascii")


def viewer_reference(result: Result) -> dict[str, Any]:
    """The reference of a result for the viewer; None where there is none."""
    if result.reference is None or result.referenced is None:
        return {"reference": None}
    return {"reference": pack(result.reference.astype(np.uint8)), "referenced": result.referenced.tolist()}


def viewer_case(scan: Scan, result: Result) -> dict[str, Any]:
    """One case for the viewer: `image` and `probability` as packed (S, H, W) uint8, a label for each slice."""
    return {
        "labels": slice_labels(result.files),
        "width": result.size[1],
        "height": result.size[0],
        "image": pack(grey(scan)),
        "probability": pack(result.levels),
        **viewer_reference(result),
    }


def slice_labels(files: Sequence[tuple[str, int]]) -> list[str]:
    """A file name for each slice, with its page where the file has several."""
    return [name if slices == 1 else f"{name} [{s}]" for name, slices in files for s in range(1, slices + 1)]

"""Arrays to what the viewer draws. No files, no Gradio."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lgg_demo.geometry import Grid
from lgg_demo.readers import FLAIR, Scan
from lgg_demo.report import Result


def grey(scan: Scan) -> np.ndarray:
    """The FLAIR channel windowed for a screen: (S, H, W) uint8, from the 0.5th to the 99.7th percentile of the scan."""
    flair = scan.pixels[..., FLAIR]
    low, high = np.percentile(flair, [0.5, 99.7])
    if high <= low:
        return np.zeros(flair.shape, dtype=np.uint8)
    shown = np.empty(flair.shape, dtype=np.uint8)
    for s, values in enumerate(flair):  # one at a time: a study of a thousand slices is a gigabyte of numbers
        shown[s] = np.clip((values - low) / (high - low) * 255 + 0.5, 0, 255)
    return shown


def pack(array: np.ndarray) -> str:
    """Bytes of an array, deflated, as base64: exact in any browser, where a canvas may colour-manage a PNG."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 4)).decode("ascii")


def viewer_reference(result: Result) -> dict[str, Any]:
    """The reference of a result for the viewer; None where there is none."""
    if result.reference is None or result.referenced is None:
        return {"reference": None}
    return {"reference": pack(result.reference.astype(np.uint8)), "referenced": result.referenced.tolist()}


def viewer_picture(picture: np.ndarray, files: Sequence[tuple[str, int]], grid: Grid | None) -> dict[str, Any]:
    """What the viewer can show of one case before the network has run: its picture (see `grey`), labels, spacing in mm."""
    return {
        "labels": slice_labels(files),
        "width": int(picture.shape[2]),
        "height": int(picture.shape[1]),
        "spacing": grid.spacing_mm if grid and grid.measured else None,
        "image": pack(picture),
        "probability": None,
        "reference": None,
    }


def viewer_case(picture: np.ndarray, result: Result) -> dict[str, Any]:
    """One case for the viewer, with its probability and reference."""
    done = {"probability": pack(result.levels), **viewer_reference(result)}
    return viewer_picture(picture, result.files, result.grid) | done


def slice_labels(files: Sequence[tuple[str, int]]) -> list[str]:
    """A file name for each slice, with its page where the file has several."""
    return [name if slices == 1 else f"{name} [{s}]" for name, slices in files for s in range(1, slices + 1)]

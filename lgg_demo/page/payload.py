"""Arrays to what the viewer draws, and its corrections back. No files, no Gradio."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lgg_demo.case import Case
from lgg_demo.measure.units import pixel_mm2, voxel_ml
from lgg_demo.output.display import window
from lgg_demo.output.result import REMOVED, Result
from lgg_demo.reading.limits import CHANNELS, FLAIR

MOST_SENT = 40_000_000  # pixels of a scan beyond which only FLAIR is sent: a tab holds every byte of it in memory
NO_SIDES = ("volume_no_orientation", "dicom_no_position")  # warnings of a volume that may lie the other way round
MOST_CORRECTIONS = 50_000_000  # letters of all corrections of a download; a drawn outline packs a thousandfold


def pack(array: np.ndarray) -> str:
    """Bytes of an array, deflated, as base64: exact in any browser, where a canvas may colour-manage a PNG."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 4)).decode("ascii")


def viewer_reference(result: Result) -> dict[str, Any]:
    """The reference of a result for the viewer; None where there is none."""
    if result.reference is None or result.referenced is None:
        return {"reference": None}
    return {"reference": pack(result.reference.astype(np.uint8)), "referenced": result.referenced.tolist()}


def viewer_picture(case: Case) -> dict[str, Any]:
    """What the viewer can show of one case before the network has run.

    image, and in `channels` pre- and post-contrast where the scan has them: packed 8 bits with their first window, see
    `window`; range: the scan's own values of grey 0 and 255. spacing: mm between slices, rows and columns; pixel_mm2,
    voxel_ml: as the report measures; affine: mm to the right, front and top of (slice, row, column, 1); None where the file
    does not say. oriented: whether left and right are known.
    """
    scan = case.scan
    flair = scan.pixels[..., FLAIR]
    sent = {}
    if not scan.grey and flair.size <= MOST_SENT:
        for role, channel in CHANNELS.items():
            if channel != FLAIR and not np.array_equal(scan.pixels[..., channel], flair):
                sent[role] = _sent(scan.pixels[..., channel])
    physical = scan.grid.physical if scan.grid else None
    return {
        "labels": slice_labels(scan.files),
        "width": scan.size[1],
        "height": scan.size[0],
        "spacing": physical.spacing_mm if physical else None,
        "pixel_mm2": pixel_mm2(physical) if physical else None,
        "voxel_ml": voxel_ml(physical) if physical else None,
        "affine": _millimetres(physical.stack_affine) if physical else None,
        "oriented": scan.grid is not None and not any(w.key in NO_SIDES for w in case.warnings),
        **_sent(flair),
        "channels": sent,
        "probability": None,
        "reference": None,
    }


def _millimetres(affine: np.ndarray) -> list[list[float]]:
    """Right, front and up of a voxel as factors of (slice, row, column) and a shift, rounded to a thousandth."""
    return [[round(float(v), 3) for v in row] for row in affine[:3]]


def _sent(stack: np.ndarray) -> dict[str, Any]:
    shown, first, values = window(stack)
    return {"image": pack(shown), "window": first, "range": values}


def viewer_case(picture: dict[str, Any], result: Result) -> dict[str, Any]:
    """One case for the viewer: its picture, see `viewer_picture`, with its probability and reference."""
    return picture | {"probability": pack(result.probability), **viewer_reference(result)}


def slice_labels(files: Sequence[tuple[str, int]]) -> list[str]:
    """A file name for each slice, with its page where the file has several."""
    return [name if slices == 1 else f"{name} [{s}]" for name, slices in files for s in range(1, slices + 1)]


def read_corrections(text: str, identity: str, results: Sequence[Result]) -> list[np.ndarray | None]:
    """The viewer's corrections: for each result its edits, (S, H, W) uint8 as in `Result`, or None.

    text: JSON {id, cases: [{case, slices, edits}]}, where `edits` are the deflated bytes of the slices that are named, as
    base64; empty where nothing was corrected. identity: that of the result they must belong to. Raises ValueError for
    whatever does not fit it, before more is unpacked than the slices can hold.
    """
    edits: list[np.ndarray | None] = [None] * len(results)
    if not text:
        return edits
    if len(text) > MOST_CORRECTIONS:
        raise ValueError("more corrections than any result holds")
    try:
        value = json.loads(text)
        if value["id"] != identity:
            raise ValueError("corrections of another result")
        for one in value["cases"]:
            case = one["case"]
            if type(case) is not int or not 0 <= case < len(results) or edits[case] is not None:
                raise ValueError("no such case")
            edits[case] = _edits(one["slices"], one["edits"], results[case].probability.shape)
    except (KeyError, TypeError, binascii.Error, zlib.error, RecursionError) as error:
        raise ValueError(str(error)) from error
    return edits


def _edits(slices: list[int], data: str, shape: tuple[int, ...]) -> np.ndarray:
    """The edits of one case, of its shape. Raises ValueError, and what base64 and zlib raise."""
    numbers = all(type(s) is int and 0 <= s < shape[0] for s in slices)
    if not slices or not numbers or len(set(slices)) != len(slices):
        raise ValueError("no such slices")
    size = len(slices) * shape[1] * shape[2]
    raw = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), size + 1)
    if len(raw) != size:
        raise ValueError("another size")
    drawn = np.frombuffer(raw, dtype=np.uint8).reshape(len(slices), *shape[1:])
    if drawn.max(initial=0) > REMOVED:
        raise ValueError("neither added nor removed")
    edits = np.zeros(shape, dtype=np.uint8)
    edits[slices] = drawn
    return edits

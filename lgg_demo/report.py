"""Measurements of a segmented case, and what a user takes home: masks, probabilities and one report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from lgg_demo import __version__
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.metrics import Counts, binarise, count, pooled
from lgg_demo.readers import MASK_ENDING, TIFF_SUFFIXES, Case, UnreadableScan

REPORT = "report.json"


@dataclass(frozen=True)
class Result:
    """What is kept of a segmented case: no picture, only what masks and scores need.

    files: name and number of slices of each file, in slice order; outputs are named after it.
    paths: where each file was read, to match a reference by name. levels: probability (S, H, W) uint8, 255 for 1.
    reference and referenced: as in `Case`. warnings: what the user should know.
    """

    files: tuple[tuple[str, int], ...]
    paths: tuple[Path, ...]
    levels: np.ndarray
    reference: np.ndarray | None
    referenced: np.ndarray | None
    warnings: tuple[Sentence, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.levels.shape[1]), int(self.levels.shape[2])

    @property
    def slices(self) -> tuple[int, ...]:
        """How many slices each file has."""
        return tuple(slices for _, slices in self.files)


def result_of(case: Case, levels: np.ndarray, names: Sequence[str] | None = None) -> Result:
    """A result from a case and its probability; `names` replace the file names (a folder's keep their sub-folder)."""
    scan = case.scan
    files = scan.files if names is None else tuple((n, s) for n, (_, s) in zip(names, scan.files, strict=True))
    return Result(files, case.paths, levels, case.reference, case.referenced, warnings_of(case))


def warnings_of(case: Case) -> tuple[Sentence, ...]:
    """What in a scan makes its segmentation doubtful: blank slices, colours that may not be the three sequences."""
    scan = case.scan
    found = []
    start = 0
    for name, slices in scan.files:
        pixels = scan.pixels[start : start + slices]
        start += slices
        low, high = pixels.min(axis=(1, 2)), pixels.max(axis=(1, 2))
        blank = int((low == high).all(axis=-1).sum())
        if blank:
            found.append(Sentence("slices_blank", {"file": name, "blank": blank, "slices": slices}))
    if not scan.grey:
        found.append(Sentence("colour_as_sequences", {"file": scan.files[0][0]}))
    return tuple(found)


def measure(counts: Counts, scored: Counts | None) -> dict[str, Any]:
    """Figures of one image or of all together; `scored`: the counts over slices with a reference, None without any."""
    figures: dict[str, Any] = {"predicted_pixels": counts.predicted}
    if scored is not None:
        figures |= {
            "reference_pixels": scored.reference,
            "dice": scored.dice,
            "iou": scored.iou,
            "precision": scored.precision,
            "recall": scored.recall,
        }
    return figures


def slice_counts(result: Result, threshold: float) -> list[tuple[Counts, bool]]:
    """For each slice its counts and whether it has a reference (where not, the reference counts as empty)."""
    masks = binarise(result.levels, threshold)
    reference = np.zeros_like(masks) if result.reference is None else result.reference
    known = np.zeros(len(masks), dtype=bool) if result.referenced is None else result.referenced
    return [(count(m, r), bool(k)) for m, r, k in zip(masks, reference, known, strict=True)]


def _together(parts: Iterable[tuple[Counts, bool]]) -> dict[str, Any]:
    parts = list(parts)
    scored = [c for c, known in parts if known]
    return measure(pooled(c for c, _ in parts), pooled(scored) if scored else None)


def build_report(
    results: Sequence[Result],
    threshold: float,
    record: dict[str, Any],
    problems: Iterable[UnreadableScan] = (),
    language: Language = "en",
) -> dict[str, Any]:
    """The report of `predict`, the page and the API, ready for JSON.

    `images` has one entry a file, `series` one for the files that were scaled together (a patient's, as a rule), `total`
    all pixels together; Dice, IoU, precision and recall where a reference is known (Dice and IoU are 1 where prediction
    and reference are both empty; null is a ratio without a denominator).
    """
    images = []
    series = []
    everything: list[tuple[Counts, bool]] = []
    for result, outputs in zip(results, output_names(results), strict=True):
        parts = slice_counts(result, threshold)
        everything += parts
        series.append({"files": [name for name, _ in result.files], "slices": len(parts), **_together(parts)})
        start = 0
        for (name, slices), (mask, probability) in zip(result.files, outputs, strict=True):
            own = parts[start : start + slices]
            start += slices
            images.append(
                {
                    "file": name,
                    "slices": slices,
                    "width": int(result.levels.shape[2]),
                    "height": int(result.levels.shape[1]),
                    "pixels": int(slices * result.levels.shape[1] * result.levels.shape[2]),
                    **_together(own),
                    "mask": mask,
                    "probability": probability,
                }
            )
    return {
        "notice": say("not_for_diagnosis", language),
        "threshold": threshold,
        "model": {
            "name": record.get("name"),
            "sha256": record.get("sha256"),
            "created_by": record.get("created_by"),
        },
        "software": f"lgg-demo {__version__}",
        "images": images,
        "series": series,
        "total": {"images": len(images), "slices": len(everything), **_together(everything)},
        "warnings": [s.say(language) for r in results for s in r.warnings],
        "unreadable": [{"file": p.file, "message": p.sentence.say(language)} for p in problems],
    }


def output_names(results: Sequence[Result]) -> list[list[tuple[str, str]]]:
    """The mask and the probability file of each file of each result, no two alike.

    `NAME_mask` is a TIFF where the input was one, else a PNG; `NAME_probability` a PNG, or a TIFF of as many pages as
    the input where it has several.
    """
    taken: set[str] = set()
    everything = []
    for result in results:
        names = []
        for name, slices in result.files:
            path = PurePath(name)
            stem, n = path.with_suffix("").as_posix(), 1
            while stem.lower() in taken:
                n += 1
                stem = f"{path.with_suffix('').as_posix()}_{n}"
            taken.add(stem.lower())
            suffix = path.suffix if path.suffix.lower() in TIFF_SUFFIXES else ".png"
            names.append((f"{stem}{MASK_ENDING}{suffix}", f"{stem}_probability{'.png' if slices == 1 else '.tif'}"))
        everything.append(names)
    return everything


def write_outputs(results: Sequence[Result], threshold: float, report: dict[str, Any], folder: Path) -> list[Path]:
    """Write every mask (0 or 255), every probability (8 bit, 255 for 1) and report.json; returns the files.

    All on the input's own grid.
    """
    written = []
    for result, outputs in zip(results, output_names(results), strict=True):
        masks = binarise(result.levels, threshold).astype(np.uint8) * 255
        start = 0
        for (_, slices), names in zip(result.files, outputs, strict=True):
            place = slice(start, start + slices)
            start += slices
            for name, stack in zip(names, (masks[place], result.levels[place]), strict=True):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _write_picture(target, stack)
                written.append(target)
    path = folder / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file name that is no UTF-8 is written as the escape JSON knows.
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    return [*written, path]


def _write_picture(path: Path, stack: np.ndarray) -> None:
    """(pages, H, W) uint8 as PNG (one page) or TIFF."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        pages = stack[0] if len(stack) == 1 else stack
        tifffile.imwrite(path, pages, photometric="minisblack", compression="deflate", metadata=None)
    else:
        Image.fromarray(stack[0]).save(path, format="PNG")

"""Writing what a user takes home: masks, probabilities, report."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from lgg_demo.messages import Language, Sentence
from lgg_demo.output.dicom_seg import write_segmentation
from lgg_demo.output.names import exists
from lgg_demo.output.nifti import write_nifti
from lgg_demo.output.pdf import write_pdf
from lgg_demo.output.report import slice_rows
from lgg_demo.output.result import Result
from lgg_demo.output.table import write_csv
from lgg_demo.probability import LEVELS
from lgg_demo.reading.earlier import OUTPUTS, PAGE, REPORT, TABLE, WRITTEN
from lgg_demo.reading.limits import TIFF_SUFFIXES


def write_outputs(
    results: Sequence[Result],
    threshold: float,
    report: dict[str, Any],
    folder: Path,
    pictures: Sequence[np.ndarray | None] | None = None,
    language: Language = "en",
    documents: bool | None = None,
) -> tuple[list[Path], list[Sentence]]:
    """Write every mask, every probability and report.json; returns the files, report.json last, and what could not be made.

    They are called what the report says.

    All on the input's own grid. Of pictures, a mask is 0 or 255 and a probability 8 bit, 255 for 1; of a volume, NIfTI of
    0 or 1 and of 0 to 1, and a DICOM SEG. documents: whether to add report.csv and report.pdf; None adds them where there
    is a volume. pictures, language: see `write_pdf`; the language should be the report's.

    What one file cannot be costs that file alone: it is taken out of `report`, which gets a warning. Raises OSError where
    not even a first report can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _names_of(results, report)
    planned = {TABLE, PAGE, *report.get(WRITTEN, ()), *(name for of_one in names for own in of_one for name in own)}
    path = folder / REPORT
    _write_json(path, {"software": report["software"], "images": [], WRITTEN: sorted(planned)})  # ours, if cut off
    beside = _Written(folder)
    entries = iter(report["images"])
    for result, outputs in zip(results, names, strict=True):
        _write_masks(beside, result, outputs, entries, threshold, report["model"])
        path.touch()  # nothing it lists is newer: what is, a hand has drawn since
    report["warnings"] += [failure.say(language) for failure in beside.failures]
    if any(r.grid is not None for r in results) if documents is None else documents:
        before = len(beside.failures)
        beside.write(TABLE, lambda file: write_csv(file, slice_rows(results, threshold)))
        beside.write(PAGE, lambda file: write_pdf(file, results, pictures, report, language))
        report["warnings"] += [failure.say(language) for failure in beside.failures[before:]]
    if WRITTEN in report:
        report[WRITTEN] = [name for name in report[WRITTEN] if name == REPORT or exists(folder / name)]
    try:
        _write_json(path, report)
    except OSError as error:  # the first one is still there
        return beside.files, [*beside.failures, Sentence(_why_not(error), {"file": REPORT})]
    return [*beside.files, path], beside.failures


def _names_of(results: Sequence[Result], report: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """The outputs of each entry of each result, as the report has them; see `output_names`."""
    named = (tuple(entry[kind] for kind in OUTPUTS if kind in entry) for entry in report["images"])
    return [list(islice(named, len(result.entries))) for result in results]


def _write_masks(
    beside: _Written,
    result: Result,
    outputs: Sequence[tuple[str, ...]],
    entries: Iterator[dict[str, Any]],
    threshold: float,
    model: dict[str, Any],
) -> None:
    """Write mask, probability and segmentation of each entry of a result; an entry loses what could not be written."""
    masks = result.mask(threshold)
    for (_, place), names, entry in zip(result.entries, outputs, islice(entries, len(outputs)), strict=True):
        for kind, name, make in zip(OUTPUTS, names, _makers(result, masks, place, model), strict=False):
            if not beside.write(name, make, entry["file"]):
                entry.pop(kind, None)


def _makers(result: Result, masks: np.ndarray, place: slice, model: dict[str, Any]) -> tuple[Callable[[Path], None], ...]:
    """What writes mask, probability and segmentation of an entry of the report, given a path."""
    grid = result.grid
    if grid is None:
        stacks = masks[place].astype(np.uint8) * 255, result.probability[place]
        return tuple(partial(_write_picture, stack=stack) for stack in stacks)
    corrected = bool(result.touched.any())
    return (
        lambda file: write_nifti(file, grid.to_own(masks), grid),
        lambda file: write_nifti(file, grid.to_own(result.probability), grid, slope=1 / LEVELS),
        lambda file: write_segmentation(file, masks, grid, result.instances, model, corrected),
    )


@dataclass
class _Written:
    """Files below a folder, written one at a time, and what is to be said of those that could not be."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    failures: list[Sentence] = field(default_factory=list)

    def write(self, name: str, make: Callable[[Path], None], source: str = "") -> bool:
        """Whether a file is written; what is left of one that is not is deleted. source: what it is made of."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        except Exception as error:  # of a writer, a disk or the memory: it costs this file, whatever it is
            refused = name.endswith("_seg.dcm") and not isinstance(error, OSError | MemoryError)
            told = Sentence("seg_refused", {"file": source}) if refused else Sentence(_why_not(error), {"file": name})
            self.failures.append(told)
            with suppress(OSError, ValueError):
                path.unlink(missing_ok=True)
            return False
        self.files.append(path)
        return True


def _why_not(error: Exception) -> str:
    """The key of the sentence about a file that could not be written."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "output_no_room"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "output_not_allowed"
    if number in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return "output_name_refused"
    return "output_failed"


def _write_json(path: Path, report: dict[str, Any]) -> None:
    """Put a report in place of the one before, whole or not at all."""
    # A file name that is no UTF-8 is written as the escape JSON knows.
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _write_picture(path: Path, stack: np.ndarray) -> None:
    """(pages, H, W) uint8 as PNG (one page) or TIFF."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        pages = stack[0] if len(stack) == 1 else stack
        tifffile.imwrite(path, pages, photometric="minisblack", compression="deflate", metadata=None)
    else:
        Image.fromarray(stack[0]).save(path, format="PNG")

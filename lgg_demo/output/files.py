"""Writing what a user takes home: masks, probabilities, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from lgg_demo.messages import Language, Sentence
from lgg_demo.output.dicom import ALL_OBJECTS, DicomChoice, write_objects
from lgg_demo.output.dicom_subject import Subject
from lgg_demo.output.names import DICOM_KEYS, exists
from lgg_demo.output.nifti import write_nifti
from lgg_demo.output.pdf import write_pdf
from lgg_demo.output.report import report_of, slice_rows
from lgg_demo.output.result import Result
from lgg_demo.output.table import write_csv
from lgg_demo.output.tracking import tracked
from lgg_demo.output.writing import Written, why_not
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
    choice: DicomChoice = ALL_OBJECTS,
) -> tuple[list[Path], list[Sentence]]:
    """Write every mask, every probability and report.json; returns the files, report.json last, and what could not be made.

    They are called what the report says.

    All on the input's own grid. Of pictures, a mask is 0 or 255 and a probability 8 bit, 255 for 1; of a volume, NIfTI of
    0 or 1 and of 0 to 1; of a DICOM series also DICOM objects, all of them where no choice says which. documents: whether
    to add report.csv and report.pdf; None adds them where there is a volume. pictures, language: see `write_pdf`; the
    language should be the report's.

    What one file cannot be costs that file alone: it is taken out of `report`, which gets a warning. Raises OSError where
    not even a first report can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    _write_json(path, {"software": report["software"], "images": [], WRITTEN: _planned(report)})  # ours, if cut off
    beside = Written(folder)
    shown = pictures or [None] * len(results)
    tracks = tracked(results, threshold, report["follow_up"])
    entries = iter(report["images"])
    for n, result in enumerate(results):
        first, *more = (next(entries) for _ in result.entries)
        _write_masks(beside, result, [first, *more], threshold)
        if "segmentation" in first:
            part = report_of(report, results, n, language)
            write_objects(beside, Subject(result, part, tracks[n], choice, language), first, shown[n])
        path.touch()  # nothing it lists is newer: what is, a hand has drawn since
    report["warnings"] += [failure.say(language) for failure in beside.failures]
    if any(r.grid is not None for r in results) if documents is None else documents:
        _write_documents(beside, results, report, pictures, language)
    return _finished(beside, path, report)


def _finished(beside: Written, path: Path, report: dict[str, Any]) -> tuple[list[Path], list[Sentence]]:
    """The report as a file, with what is there; all files and failures."""
    if WRITTEN in report:
        report[WRITTEN] = [name for name in report[WRITTEN] if name == REPORT or exists(path.parent / name)]
    try:
        _write_json(path, report)
    except OSError as error:  # the first one is still there
        return beside.files, [*beside.failures, Sentence(why_not(error), {"file": REPORT})]
    return [*beside.files, path], beside.failures


def _write_documents(
    beside: Written,
    results: Sequence[Result],
    report: dict[str, Any],
    pictures: Sequence[np.ndarray | None] | None,
    language: Language,
) -> None:
    """Write report.csv and report.pdf; what cannot be written is a warning of the report."""
    before = len(beside.failures)
    beside.write(TABLE, lambda file: write_csv(file, slice_rows(results, report["threshold"])))
    beside.write(PAGE, lambda file: write_pdf(file, results, pictures, report, language))
    report["warnings"] += [failure.say(language) for failure in beside.failures[before:]]


def _planned(report: dict[str, Any]) -> list[str]:
    """All files that a report names, and those of earlier runs."""
    planned = {TABLE, PAGE, *report.get(WRITTEN, ())}
    for entry in report["images"]:
        for key in {*OUTPUTS, *DICOM_KEYS} & set(entry):
            planned |= set(entry[key]) if isinstance(entry[key], list) else {entry[key]}
    return sorted(planned)


def _write_masks(beside: Written, result: Result, entries: Sequence[dict[str, Any]], threshold: float) -> None:
    """Write mask and probability of each entry of a result; an entry loses what could not be written."""
    masks = result.mask(threshold)
    for (_, place), entry in zip(result.entries, entries, strict=True):
        for kind, make in zip(("mask", "probability"), _makers(result, masks, place), strict=True):
            if not beside.write(entry[kind], make):
                del entry[kind]


def _makers(result: Result, masks: np.ndarray, place: slice) -> tuple[Callable[[Path], None], ...]:
    """What writes mask and probability of an entry of the report, given a path."""
    grid = result.grid
    if grid is None:
        stacks = masks[place].astype(np.uint8) * 255, result.probability[place]
        return tuple(partial(_write_picture, stack=stack) for stack in stacks)
    return (
        lambda file: write_nifti(file, grid.to_own(masks), grid),
        lambda file: write_nifti(file, grid.to_own(result.probability), grid, slope=1 / LEVELS),
    )


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

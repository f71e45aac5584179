"""`Result`: what is kept of a segmented case."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset

from lgg_demo.case import Case, Tracked, Visit
from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence
from lgg_demo.output.dicom_frames import why_no_segmentation
from lgg_demo.probability import binarise

TINTED = 0.995  # correlation of all channels from which on they are one picture in a tint: sequences differ by far more
UNTOUCHED, ADDED, REMOVED = 0, 1, 2  # of a correction by hand; as in the viewer's counts.js


@dataclass(frozen=True)
class Result:
    """What is kept of a segmented case: no picture, only what masks and scores need.

    files: name and number of slices of each file, in slice order; outputs are named after it.
    paths: where each file was read, to match a reference by name. probability: quantised, (S, H, W) uint8, 255 for 1.
    reference, referenced, warnings, reference_warnings and visit: as in `Case`.
    grid, instances: as in `Scan`; None and empty for pictures.
    patient: as in `Scan`. tracked: as in `Case`.
    edits: corrections by hand, (S, H, W) uint8 of UNTOUCHED, ADDED and REMOVED; None where nobody did.
    """

    files: tuple[tuple[str, int], ...]
    paths: tuple[Path, ...]
    probability: np.ndarray
    reference: np.ndarray | None
    referenced: np.ndarray | None
    warnings: tuple[Sentence, ...] = ()
    grid: Grid | None = None
    instances: tuple[Dataset, ...] = ()
    edits: np.ndarray | None = None
    reference_warnings: tuple[Sentence, ...] = ()
    visit: Visit | None = None
    patient: Dataset | None = field(default=None, repr=False)
    tracked: tuple[Tracked, ...] = ()

    def mask(self, threshold: float, place: slice = slice(None)) -> np.ndarray:
        """The mask at a threshold in [0, 1], with the corrections: (S, H, W) bool, of these slices alone."""
        mask = binarise(self.probability[place], threshold)
        if self.edits is None:
            return mask
        edits = self.edits[place]
        return np.asarray((mask | (edits == ADDED)) & (edits != REMOVED))

    def corrected(self, threshold: float, place: slice = slice(None)) -> np.ndarray:
        """How many pixels of each of these slices the corrections change at a threshold: (S,) int."""
        probability = self.probability[place]
        if self.edits is None:
            return np.zeros(len(probability), dtype=int)
        return np.asarray((self.mask(threshold, place) != binarise(probability, threshold)).sum(axis=(1, 2)))

    @property
    def touched(self) -> np.ndarray:
        """Which slices were corrected by hand, (S,) bool."""
        if self.edits is None:
            return np.zeros(len(self.probability), dtype=bool)
        return np.asarray(self.edits.any(axis=(1, 2)))

    @property
    def physical(self) -> Grid | None:
        """The grid, where its millimetres are measured."""
        return self.grid.physical if self.grid else None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.probability.shape[1]), int(self.probability.shape[2])

    @property
    def entries(self) -> tuple[tuple[str, slice], ...]:
        """Name and place in the stack of each entry of the report: a picture's file, or a volume whatever its files."""
        if self.grid is not None:
            return ((self.files[0][0], slice(0, len(self.probability))),)
        ends = itertools.accumulate(self.slices)
        return tuple((name, slice(end - slices, end)) for (name, slices), end in zip(self.files, ends, strict=True))

    @property
    def slices(self) -> tuple[int, ...]:
        """How many slices each file has."""
        return tuple(slices for _, slices in self.files)


def result_of(case: Case, probability: np.ndarray, names: Sequence[str] | None = None) -> Result:
    """A result from a case and its probability; `names` replace the file names (a folder's keep their sub-folder)."""
    scan = case.scan
    files = scan.files if names is None else tuple((n, s) for n, (_, s) in zip(names, scan.files, strict=True))
    return Result(
        files,
        case.paths,
        probability,
        case.reference,
        case.referenced,
        case.warnings + warnings_of(case),
        scan.grid,
        scan.instances,
        reference_warnings=case.reference_warnings,
        visit=case.visit,
        patient=scan.patient,
        tracked=case.tracked,
    )


def warnings_of(case: Case) -> tuple[Sentence, ...]:
    """What in a scan makes its segmentation doubtful: blank slices, colours that may not be the three sequences; and why a
    DICOM series gets no DICOM SEG.
    """
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
    if not scan.grey and scan.grid is None:
        found.append(
            Sentence("colour_tinted" if _tinted(scan.pixels) else "colour_as_sequences", {"file": scan.files[0][0]})
        )
    if scan.grid is not None and scan.instances and (why := why_no_segmentation(scan.grid, scan.instances)):
        found.append(Sentence(why, {"file": scan.files[0][0]}))
    return tuple(found)


def _tinted(pixels: np.ndarray) -> bool:
    """Whether the channels of a stack (S, H, W, 3) are the same picture, each in another brightness."""
    values = pixels[:, ::2, ::2].reshape(-1, pixels.shape[-1]).T
    if bool((values.min(axis=1) == values.max(axis=1)).any()):
        return False
    return bool(np.corrcoef(values).min() > TINTED)

"""Measurements of a segmented case, and what a user takes home: masks, probabilities and one report.

Pictures give pictures; a volume gives NIfTI and, where it came as DICOM, a DICOM SEG, with measures in millimetres.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from pydicom import Dataset

from lgg_demo import __version__
from lgg_demo.case import Case, UnreadableScan
from lgg_demo.exports import can_refer, pixel_mm2, voxel_ml, write_csv, write_nifti, write_pdf, write_segmentation
from lgg_demo.grid import Grid
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.metrics import (
    LEVELS,
    Counts,
    Diameters,
    binarise,
    count,
    expected_dice,
    hausdorff95_mm,
    largest_diameters,
    pooled,
    surface_dice,
)
from lgg_demo.reading.earlier import OUTPUTS, PAGE, REPORT, SOFTWARE, TABLE
from lgg_demo.reading.limits import DICOM_SUFFIXES, IMAGE_SUFFIXES, MASK_ENDING, NIFTI_SUFFIXES, TIFF_SUFFIXES

UNTOUCHED, ADDED, REMOVED = 0, 1, 2  # of a correction by hand; as in the viewer's counts.js
NAMED = (*IMAGE_SUFFIXES, *NIFTI_SUFFIXES, ".zip")
NO_DICOM = ("not_found", "empty_file", "unknown_type", "no_images")  # said before a file is known to be DICOM
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".zip")


@dataclass(frozen=True)
class Result:
    """What is kept of a segmented case: no picture, only what masks and scores need.

    files: name and number of slices of each file, in slice order; outputs are named after it.
    paths: where each file was read, to match a reference by name. levels: probability (S, H, W) uint8, 255 for 1.
    reference, referenced, warnings and reference_warnings: as in `Case`.
    grid, instances: as in `Scan`; None and empty for pictures.
    edits: what a hand corrected, (S, H, W) uint8 of UNTOUCHED, ADDED and REMOVED; None where nobody did.
    """

    files: tuple[tuple[str, int], ...]
    paths: tuple[Path, ...]
    levels: np.ndarray
    reference: np.ndarray | None
    referenced: np.ndarray | None
    warnings: tuple[Sentence, ...] = ()
    grid: Grid | None = None
    instances: tuple[Dataset, ...] = ()
    edits: np.ndarray | None = None
    reference_warnings: tuple[Sentence, ...] = ()

    def mask(self, threshold: float, place: slice = slice(None)) -> np.ndarray:
        """What is outlined at a threshold in [0, 1], with the corrections: (S, H, W) bool; of these slices alone."""
        mask = binarise(self.levels[place], threshold)
        if self.edits is None:
            return mask
        edits = self.edits[place]
        return np.asarray((mask | (edits == ADDED)) & (edits != REMOVED))

    def corrected(self, threshold: float, place: slice = slice(None)) -> np.ndarray:
        """How many pixels of each of these slices the corrections change at a threshold: (S,) int."""
        levels = self.levels[place]
        if self.edits is None:
            return np.zeros(len(levels), dtype=int)
        return np.asarray((self.mask(threshold, place) != binarise(levels, threshold)).sum(axis=(1, 2)))

    @property
    def touched(self) -> np.ndarray:
        """Which slices a hand has corrected, (S,) bool."""
        if self.edits is None:
            return np.zeros(len(self.levels), dtype=bool)
        return np.asarray(self.edits.any(axis=(1, 2)))

    @property
    def ruler(self) -> Grid | None:
        """The grid, where its millimetres are measured."""
        return self.grid.ruler if self.grid else None

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
    return Result(
        files,
        case.paths,
        levels,
        case.reference,
        case.referenced,
        case.warnings + warnings_of(case),
        scan.grid,
        scan.instances,
        reference_warnings=case.reference_warnings,
    )


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
    if not scan.grey and scan.grid is None:
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
    masks = result.mask(threshold)
    reference = np.zeros_like(masks) if result.reference is None else result.reference
    known = np.zeros(len(masks), dtype=bool) if result.referenced is None else result.referenced
    return [(count(m, r), bool(k)) for m, r, k in zip(masks, reference, known, strict=True)]


def _together(parts: Iterable[tuple[Counts, bool]]) -> dict[str, Any]:
    parts = list(parts)
    scored = [c for c, known in parts if known]
    return measure(pooled(c for c, _ in parts), pooled(scored) if scored else None)


def _expected(results: Sequence[Result], threshold: float, place: slice = slice(None)) -> dict[str, float]:
    if not results or any(r.touched[place].any() for r in results):
        return {}
    levels = [r.levels[place].ravel() for r in results]
    return {"expected_dice": expected_dice(levels[0] if len(levels) == 1 else np.concatenate(levels), threshold)}


def measure_volume(result: Result, threshold: float) -> dict[str, Any]:
    """Figures in millimetres of a result with a grid.

    spacing_mm: between slices, rows and columns of the axial stack; areas_mm2: of each slice; diameters: see
    `metrics.largest_diameters`, null where nothing is there. Where every slice has a reference: its volume and diameters,
    the signed difference of volumes, hd95_mm (null where one of the two is empty), surface_dice_2mm.
    """
    grid = result.ruler
    if grid is None:
        return {}
    spacing = grid.spacing_mm
    millilitres = voxel_ml(grid)
    mask = result.mask(threshold)
    areas = mask.sum(axis=(1, 2)) * pixel_mm2(grid)
    volume = int(mask.sum()) * millilitres
    figures = {
        "spacing_mm": [round(v, 4) for v in spacing],
        "volume_ml": round(volume, 4),
        "areas_mm2": [round(float(v), 2) for v in areas],
        "diameters_mm": _lines(largest_diameters(mask, spacing[1:])),
    }
    if result.reference is None or result.referenced is None or not result.referenced.all():
        return figures  # a surface that ends where the reference does would be no surface
    reference = int(result.reference.sum()) * millilitres
    distance = hausdorff95_mm(mask, result.reference, spacing)
    return figures | {
        "reference_volume_ml": round(reference, 4),
        "volume_difference_ml": round(volume - reference, 4),
        "reference_diameters_mm": _lines(largest_diameters(result.reference, spacing[1:])),
        "hd95_mm": round(distance, 3) if math.isfinite(distance) else None,
        "surface_dice_2mm": surface_dice(mask, result.reference, spacing),
    }


def _lines(diameters: Diameters | None) -> dict[str, Any] | None:
    """Diameters for the report; slices are counted from 1, as on the page."""
    if diameters is None:
        return None
    longest, perpendicular = round(diameters.longest, 2), round(diameters.perpendicular, 2)
    return {"longest": longest, "perpendicular": perpendicular, "slice": diameters.slice + 1}


def _entries(result: Result) -> list[tuple[str, int]]:
    """Name and number of slices of each entry of the report: a picture's file, or a volume whatever its files."""
    if result.grid is None:
        return list(result.files)
    return [(result.files[0][0], len(result.levels))]


def build_report(
    results: Sequence[Result],
    threshold: float,
    record: dict[str, Any],
    problems: Iterable[UnreadableScan] = (),
    language: Language = "en",
) -> dict[str, Any]:
    """The report of `predict`, the page and the API, ready for JSON.

    `images` has one entry a file or volume, `series` one for what was scaled together (a patient's slices, as a rule),
    `total` all pixels together; Dice, IoU, precision and recall where a reference is known (Dice and IoU are 1 where
    prediction and reference are both empty; null is a ratio without a denominator). Millimetres where the spacing is
    known, see `measure_volume`; else diameters in pixels, where anything is outlined. `expected_dice`: what the
    probabilities alone lead one to expect (see `metrics.expected_dice`), left out where a hand changed the outline. What a
    hand corrected says `corrected: true` with the number of pixels that differ from the network's at this threshold.
    """
    images = []
    series = []
    warnings = []
    everything: list[tuple[Counts, bool]] = []
    for result, outputs in zip(results, output_names(results), strict=True):
        parts = slice_counts(result, threshold)
        everything += parts
        files = [name for name, _ in result.files]
        series.append({"files": files, "slices": len(parts), **_together(parts), **_expected([result], threshold)})
        warnings += [*result.warnings, *result.reference_warnings]
        start = 0
        for (name, slices), names in zip(_entries(result), outputs, strict=True):
            place = slice(start, start + slices)
            start += slices
            entry = {
                "file": name,
                "slices": slices,
                "width": int(result.levels.shape[2]),
                "height": int(result.levels.shape[1]),
                "pixels": int(slices * result.levels.shape[1] * result.levels.shape[2]),
                **_together(parts[place]),
                **_expected([result], threshold, place),
                **dict(zip(OUTPUTS, names, strict=False)),
            }
            if result.ruler is not None:
                entry |= measure_volume(result, threshold)
            elif lines := _lines(largest_diameters(result.mask(threshold, place))):
                entry["diameters_px"] = lines
            if result.touched[place].any():
                pixels = int(result.corrected(threshold, place).sum())
                entry |= {"corrected": True, "corrected_pixels": pixels}
                warnings.append(Sentence("corrected_by_hand", {"file": name, "pixels": pixels}))
            images.append(entry)
            if result.instances and len(names) < len(OUTPUTS):
                warnings.append(Sentence("segmentation_left_out", {"file": name}))
    total = {"images": len(images), "slices": len(everything), **_together(everything), **_expected(results, threshold)}
    if any(r.touched.any() for r in results):
        total |= {"corrected": True, "corrected_pixels": sum(i.get("corrected_pixels", 0) for i in images)}
    if images and all("volume_ml" in image for image in images):
        total["volume_ml"] = round(sum(image["volume_ml"] for image in images), 4)
    return {
        "notice": say("not_for_diagnosis", language),
        "threshold": threshold,
        "model": {
            "name": record.get("name"),
            "sha256": record.get("sha256"),
            "created_by": record.get("created_by"),
        },
        "software": f"{SOFTWARE}{__version__}",
        "images": images,
        "series": series,
        "total": total,
        "warnings": [s.say(language) for s in warnings],
        "unreadable": [{"file": p.file, "message": p.sentence.say(language)} for p in map(without_name, problems)],
    }


def without_name(problem: UnreadableScan) -> UnreadableScan:
    """A problem as a report may keep it: a DICOM file is often called after its patient, and is only "DICOM" there.

    The name stands in what the user reads at once, on the page and the console; pictures, NIfTI files and zips keep
    theirs, which their outputs take over.
    """
    name = problem.file.lower()
    if name.endswith(NAMED) or (problem.sentence.key in NO_DICOM and not name.endswith(DICOM_SUFFIXES)):
        return problem
    values = {k: v for k, v in problem.sentence.values.items() if k != "file"}
    return UnreadableScan("DICOM", problem.sentence.key, **values)


def slice_rows(results: Sequence[Result], threshold: float) -> list[dict[str, Any]]:
    """One row a slice for `exports.write_csv`; slices are counted from 1 in each file, or in the volume from the feet."""
    rows = []
    for result in results:
        parts = iter(slice_counts(result, threshold))
        area = None if result.ruler is None else pixel_mm2(result.ruler)
        corrected = iter(zip(result.touched, result.corrected(threshold), strict=True))
        for name, slices in _entries(result):
            for number in range(1, slices + 1):
                counts, known = next(parts)
                touched, pixels = next(corrected)
                row: dict[str, Any] = {"file": name, "slice": number, "predicted_pixels": counts.predicted}
                if touched:
                    row["corrected_pixels"] = int(pixels)
                if known:
                    row |= {
                        "reference_pixels": counts.reference,
                        "dice": round(counts.dice, 6),
                        "iou": round(counts.iou, 6),
                    }
                if area is not None:
                    row["predicted_mm2"] = round(counts.predicted * area, 2)
                    row |= {"reference_mm2": round(counts.reference * area, 2)} if known else {}
                rows.append(row)
    return rows


def output_names(results: Sequence[Result]) -> list[list[tuple[str, ...]]]:
    """The mask and the probability file of each file of each result, and the DICOM SEG where there is one; no two alike.

    `NAME_mask` is a TIFF where the input was one, else a PNG; `NAME_probability` a PNG, or a TIFF of as many pages as
    the input where it has several. A volume has one of each, `NAME_mask.nii.gz`, `NAME_probability.nii.gz` and, where
    its headers can be referred to, `NAME_seg.dcm`. What a hand corrected is `NAME_corrected_mask`, `NAME_corrected_seg`.
    """
    taken: set[str] = set()  # stems, and the files: `a_corrected_mask` is of `a`, corrected, or of `a_corrected`
    everything = []
    for result in results:
        names: list[tuple[str, ...]] = []
        start = 0
        for name, slices in _entries(result):
            corrected = "_corrected" if result.touched[start : start + slices].any() else ""
            start += slices
            path = PurePath(name)
            if result.grid is not None:
                whole = _volume_stem(path)
                endings = [f"{corrected}{MASK_ENDING}.nii.gz", "_probability.nii.gz"]
                endings += [f"{corrected}_seg.dcm"] if can_refer(result.grid, result.instances) else []
            else:
                whole = path.with_suffix("").as_posix()
                suffix = path.suffix if path.suffix.lower() in TIFF_SUFFIXES else ".png"
                endings = [f"{corrected}{MASK_ENDING}{suffix}", f"_probability{'.png' if slices == 1 else '.tif'}"]
            for n in itertools.count(1):
                stem = whole if n == 1 else f"{whole}_{n}"
                files = [f"{stem}{ending}" for ending in endings]
                own = {name.lower() for name in (stem, *files)}
                if not own & taken:
                    break
            taken |= own
            names.append(tuple(files))
        everything.append(names)
    return everything


def _volume_stem(path: PurePath) -> str:
    """A volume's name without its type; a series named `1.2.3` has none to lose. It stays below the folder of outputs."""
    path = PurePath(*(part for part in path.parts if part not in (path.anchor, ".."))) if path.parts else path
    name = path.as_posix() if path.name else "volume"
    ending = next((s for s in VOLUME_SUFFIXES if name.lower().endswith(s) and len(path.name) > len(s)), "")
    return name[: len(name) - len(ending)]


def write_outputs(
    results: Sequence[Result],
    threshold: float,
    report: dict[str, Any],
    folder: Path,
    pictures: Sequence[np.ndarray | None] | None = None,
    language: Language = "en",
    documents: bool | None = None,
) -> list[Path]:
    """Write every mask, every probability and report.json; returns the files, report.json last.

    All on the input's own grid. Of pictures, a mask is 0 or 255 and a probability 8 bit, 255 for 1; of a volume, NIfTI of
    0 or 1 and of 0 to 1, and a DICOM SEG. documents: whether to add report.csv and report.pdf; None adds them where there
    is a volume. pictures, language: see `exports.write_pdf`; the language should be the report's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT  # first: what it lists is known as ours if the rest is cut off
    # A file name that is no UTF-8 is written as the escape JSON knows.
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    written = []
    for result, outputs in zip(results, output_names(results), strict=True):
        masks = result.mask(threshold)
        start = 0
        for (_, slices), names in zip(_entries(result), outputs, strict=True):
            place = slice(start, start + slices)
            start += slices
            targets = [folder / name for name in names]
            targets[0].parent.mkdir(parents=True, exist_ok=True)
            if result.grid is None:
                for target, stack in zip(targets, (masks[place].astype(np.uint8) * 255, result.levels[place]), strict=True):
                    _write_picture(target, stack)
            else:
                write_nifti(targets[0], result.grid.to_own(masks), result.grid)
                write_nifti(targets[1], result.grid.to_own(result.levels), result.grid, slope=1 / LEVELS)
                for target in targets[2:]:
                    write_segmentation(
                        target, masks, result.grid, result.instances, report["model"], bool(result.touched.any())
                    )
            written += targets
        path.touch()  # nothing it lists is newer: what is, a hand has drawn since
    if documents is None:
        documents = any(r.grid is not None for r in results)
    if documents:
        write_csv(folder / TABLE, slice_rows(results, threshold))
        write_pdf(folder / PAGE, results, pictures, report, language)
        written += [folder / TABLE, folder / PAGE]
    return [*written, path]


def _write_picture(path: Path, stack: np.ndarray) -> None:
    """(pages, H, W) uint8 as PNG (one page) or TIFF."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        pages = stack[0] if len(stack) == 1 else stack
        tifffile.imwrite(path, pages, photometric="minisblack", compression="deflate", metadata=None)
    else:
        Image.fromarray(stack[0]).save(path, format="PNG")

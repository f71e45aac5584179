"""Measurements of a segmented case, and what a user takes home: masks, probabilities and one report.

Pictures give pictures; a volume gives NIfTI and, where it came as DICOM, a DICOM SEG, with measures in millimetres.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
import tifffile
from PIL import Image
from pydicom import Dataset

from lgg_demo import __version__
from lgg_demo.case import Case
from lgg_demo.exports import (
    area_mm2,
    voxel_ml,
    why_no_segmentation,
    write_csv,
    write_nifti,
    write_pdf,
    write_segmentation,
)
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
    rounded,
    surface_dice,
)
from lgg_demo.reading.earlier import OUTPUTS, PAGE, REPORT, SOFTWARE, TABLE, WRITTEN
from lgg_demo.reading.limits import DICOM_SUFFIXES, IMAGE_SUFFIXES, MASK_ENDING, NIFTI_SUFFIXES, TIFF_SUFFIXES

UNTOUCHED, ADDED, REMOVED = 0, 1, 2  # of a correction by hand; as in the viewer's counts.js
NAMED = (*IMAGE_SUFFIXES, *NIFTI_SUFFIXES, ".zip")
NO_DICOM = ("not_found", "empty_file", "unknown_type", "no_images")  # said before a file is known to be DICOM
LONGEST_NAME = 255  # bytes of UTF-8 that Linux takes; Windows and macOS take as many letters
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".zip")


class Said(Protocol):
    """Something to be told of a file: what could not be used of it, or only what became of it."""

    @property
    def sentence(self) -> Sentence: ...


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
        found.append(Sentence("colour_as_sequences", {"file": scan.files[0][0]}))
    if scan.grid is not None and scan.instances and (why := why_no_segmentation(scan.grid, scan.instances)):
        found.append(Sentence(why, {"file": scan.files[0][0]}))
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
    areas = [area_mm2(int(n), grid) for n in mask.sum(axis=(1, 2))]
    volume = int(mask.sum()) * millilitres
    figures = {
        "spacing_mm": [rounded(v, 4) for v in spacing],
        "volume_ml": rounded(volume, 4),
        "areas_mm2": areas,
        "diameters_mm": _lines(largest_diameters(mask, spacing[1:])),
    }
    if result.reference is None or result.referenced is None or not result.referenced.all():
        return figures  # a surface that ends where the reference does would be no surface
    reference = int(result.reference.sum()) * millilitres
    distance = hausdorff95_mm(mask, result.reference, spacing)
    return figures | {
        "reference_volume_ml": rounded(reference, 4),
        "volume_difference_ml": rounded(volume - reference, 4),
        "reference_diameters_mm": _lines(largest_diameters(result.reference, spacing[1:])),
        "hd95_mm": rounded(distance, 3) if math.isfinite(distance) else None,
        "surface_dice_2mm": surface_dice(mask, result.reference, spacing),
    }


def _lines(diameters: Diameters | None) -> dict[str, Any] | None:
    """Diameters for the report; slices are counted from 1, as on the page."""
    if diameters is None:
        return None
    longest, perpendicular = rounded(diameters.longest, 2), rounded(diameters.perpendicular, 2)
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
    problems: Iterable[Said] = (),
    language: Language = "en",
    notices: Iterable[Said] = (),
) -> dict[str, Any]:
    """The report of `predict`, the page and the API, ready for JSON.

    `images` has one entry a file or volume, `series` one for what was scaled together (a patient's slices, as a rule),
    `total` all pixels together; Dice, IoU, precision and recall where a reference is known (Dice and IoU are 1 where
    prediction and reference are both empty; null is a ratio without a denominator). Millimetres where the spacing is
    known, see `measure_volume`; else diameters in pixels, where anything is outlined. `expected_dice`: what the
    probabilities alone lead one to expect (see `metrics.expected_dice`), left out where a hand changed the outline. What a
    hand corrected says `corrected: true` with the number of pixels that differ from the network's at this threshold.
    `unreadable`: the files that could not be used; `notices`: those that were passed over as they should be.
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
    total = {"images": len(images), "slices": len(everything), **_together(everything), **_expected(results, threshold)}
    if any(r.touched.any() for r in results):
        total |= {"corrected": True, "corrected_pixels": sum(i.get("corrected_pixels", 0) for i in images)}
    if images and all("volume_ml" in image for image in images):
        total["volume_ml"] = rounded(sum(image["volume_ml"] for image in images), 4)
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
        "unreadable": [_told(p, language) for p in problems],
        "notices": [_told(n, language) for n in notices],
    }


def _told(said: Said, language: Language) -> dict[str, Any]:
    sentence = without_name(said.sentence)
    return {"file": sentence.values["file"], "message": sentence.say(language)}


def without_name(sentence: Sentence) -> Sentence:
    """A sentence about a file as a report may keep it: a DICOM file is often called after its patient, and is only "DICOM"
    there.

    The name stands in what the user reads at once, on the page and the console; pictures, NIfTI files and zips keep
    theirs, which their outputs take over.
    """
    name = str(sentence.values["file"]).lower()
    if name.endswith(NAMED) or (sentence.key in NO_DICOM and not name.endswith(DICOM_SUFFIXES)):
        return sentence
    return Sentence(sentence.key, {**sentence.values, "file": "DICOM"})


def slice_rows(results: Sequence[Result], threshold: float) -> list[dict[str, Any]]:
    """One row a slice for `exports.write_csv`; slices are counted from 1 in each file, or in the volume from the feet."""
    rows = []
    for result in results:
        parts = iter(slice_counts(result, threshold))
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
                        "dice": rounded(counts.dice, 6),
                        "iou": rounded(counts.iou, 6),
                    }
                if (ruler := result.ruler) is not None:
                    row["predicted_mm2"] = area_mm2(counts.predicted, ruler)
                    row |= {"reference_mm2": area_mm2(counts.reference, ruler)} if known else {}
                rows.append(row)
    return rows


def output_names(results: Sequence[Result]) -> list[list[tuple[str, ...]]]:
    """The mask and the probability file of each file of each result, and the DICOM SEG where there is one; no two alike.

    `NAME_mask` is a TIFF where the input was one, else a PNG; `NAME_probability` a PNG, or a TIFF of as many pages as
    the input where it has several. A volume has one of each, `NAME_mask.nii.gz`, `NAME_probability.nii.gz` and, where
    its headers can be referred to, `NAME_seg.dcm`. What a hand corrected is `NAME_corrected_mask`, `NAME_corrected_seg`. A
    name is cut where one of its outputs would be longer than file systems take.
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
                referable = result.instances and why_no_segmentation(result.grid, result.instances) is None
                endings += [f"{corrected}_seg.dcm"] if referable else []
            else:
                whole = path.with_suffix("").as_posix()
                suffix = path.suffix if path.suffix.lower() in TIFF_SUFFIXES else ".png"
                endings = [f"{corrected}{MASK_ENDING}{suffix}", f"_probability{'.png' if slices == 1 else '.tif'}"]
            for n in itertools.count(1):
                stem = _stem(whole, "" if n == 1 else f"_{n}", endings)
                files = [f"{stem}{ending}" for ending in endings]
                own = {name.lower() for name in (stem, *files)}
                if not own & taken:
                    break
            taken |= own
            names.append(tuple(files))
        everything.append(names)
    return everything


def _stem(whole: str, number: str, endings: Iterable[str]) -> str:
    """What outputs are named after: a file's name below its folder, cut so that the longest output's fits, and a number."""
    folder, slash, name = whole.rpartition("/")
    room = LONGEST_NAME - len(number) - max(map(len, endings))
    while len(name.encode("utf-8", "surrogatepass")) > room:
        name = name[:-1]
    return f"{folder}{slash}{name}{number}"


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
) -> tuple[list[Path], list[Sentence]]:
    """Write every mask, every probability and report.json; returns the files, report.json last, and what could not be made.

    All on the input's own grid. Of pictures, a mask is 0 or 255 and a probability 8 bit, 255 for 1; of a volume, NIfTI of
    0 or 1 and of 0 to 1, and a DICOM SEG. documents: whether to add report.csv and report.pdf; None adds them where there
    is a volume. pictures, language: see `exports.write_pdf`; the language should be the report's.

    What one file cannot be costs that file alone: it is taken out of `report`, which gets a warning. Raises OSError where
    not even a first report can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = output_names(results)
    beside = _Written(folder)
    path = folder / REPORT
    planned = {TABLE, PAGE, *report.get(WRITTEN, ()), *(name for of_one in names for own in of_one for name in own)}
    _write_json(path, {"software": report["software"], "images": [], WRITTEN: sorted(planned)})  # ours, if cut off
    entries = iter(report["images"])
    for result, outputs in zip(results, names, strict=True):
        masks = result.mask(threshold)
        start = 0
        for (_, slices), own in zip(_entries(result), outputs, strict=True):
            place = slice(start, start + slices)
            start += slices
            entry = next(entries)
            makers = _makers(result, masks, place, report["model"])
            for kind, name, make in zip(OUTPUTS, own, makers, strict=False):
                if not beside.write(name, make, entry["file"]):
                    entry.pop(kind, None)
        path.touch()  # nothing it lists is newer: what is, a hand has drawn since
    if documents is None:
        documents = any(r.grid is not None for r in results)
    said = [s.say(language) for s in beside.failures]
    report["warnings"] += said
    if documents:
        beside.write(TABLE, lambda file: write_csv(file, slice_rows(results, threshold)))
        beside.write(PAGE, lambda file: write_pdf(file, results, pictures, report, language))
    report["warnings"] += [s.say(language) for s in beside.failures[len(said) :]]
    if WRITTEN in report:
        report[WRITTEN] = [name for name in report[WRITTEN] if name == REPORT or exists(folder / name)]
    try:
        _write_json(path, report)
    except OSError as error:  # the first one is still there
        return beside.files, [*beside.failures, Sentence(_why_not(error), {"file": REPORT})]
    return [*beside.files, path], beside.failures


def _makers(result: Result, masks: np.ndarray, place: slice, model: dict[str, Any]) -> tuple[Callable[[Path], None], ...]:
    """What writes mask, probability and segmentation of an entry of the report, given a path."""
    grid = result.grid
    if grid is None:
        stacks = masks[place].astype(np.uint8) * 255, result.levels[place]
        return tuple(partial(_write_picture, stack=stack) for stack in stacks)
    corrected = bool(result.touched.any())
    return (
        lambda file: write_nifti(file, grid.to_own(masks), grid),
        lambda file: write_nifti(file, grid.to_own(result.levels), grid, slope=1 / LEVELS),
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


def exists(path: Path) -> bool:
    """Whether there is a file or folder, for any name, also one that no file can have."""
    try:
        return path.exists()
    except OSError:
        return False


def _write_picture(path: Path, stack: np.ndarray) -> None:
    """(pages, H, W) uint8 as PNG (one page) or TIFF."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        pages = stack[0] if len(stack) == 1 else stack
        tifffile.imwrite(path, pages, photometric="minisblack", compression="deflate", metadata=None)
    else:
        Image.fromarray(stack[0]).save(path, format="PNG")

"""Measurements of segmented cases as one report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lgg_demo import __version__
from lgg_demo.grid import Grid
from lgg_demo.measure.diameters import Diameters, largest_diameters
from lgg_demo.measure.lesions import Lesion, find_lesions
from lgg_demo.measure.overlap import Counts, count, expected_dice, pooled
from lgg_demo.measure.surfaces import compare_surfaces
from lgg_demo.measure.units import area_mm2, voxel_ml
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.output.edits import changes, manual_edits
from lgg_demo.output.names import dicom_names, output_names
from lgg_demo.output.result import Result
from lgg_demo.output.table import BY_HAND
from lgg_demo.output.timeline import timelines
from lgg_demo.reading.earlier import OUTPUTS, SOFTWARE
from lgg_demo.reading.limits import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES
from lgg_demo.rounding import rounded

NAMED = (*IMAGE_SUFFIXES, *NIFTI_SUFFIXES, ".zip")
SCORES = ("dice", "iou", "precision", "recall")
NO_DICOM = ("not_found", "empty_file", "unknown_type", "no_images")  # said before a file is known to be DICOM


class Said(Protocol):
    """Something to be told of a file: what could not be used of it, or only what became of it."""

    @property
    def sentence(self) -> Sentence: ...


def slice_counts(result: Result, threshold: float) -> list[tuple[Counts, bool]]:
    """For each slice its counts and whether it has a reference (where not, the reference counts as empty)."""
    masks = result.mask(threshold)
    reference = np.zeros_like(masks) if result.reference is None else result.reference
    known = np.zeros(len(masks), dtype=bool) if result.referenced is None else result.referenced
    return [(count(m, r), bool(k)) for m, r, k in zip(masks, reference, known, strict=True)]


def pooled_figures(parts: Sequence[tuple[Counts, bool]]) -> dict[str, Any]:
    """Figures of some slices together; scores where any of them has a reference, of those alone."""
    figures: dict[str, Any] = {"predicted_pixels": pooled(counts for counts, _ in parts).predicted}
    scored = [counts for counts, known in parts if known]
    if scored:
        whole = pooled(scored)
        figures["reference_pixels"] = whole.reference
        figures |= {key: getattr(whole, key) for key in SCORES}
    return figures


def _expected(results: Sequence[Result], threshold: float, place: slice = slice(None)) -> dict[str, float]:
    if not results or any(r.touched[place].any() for r in results):
        return {}
    return {"expected_dice": expected_dice([r.probability[place] for r in results], threshold)}


def measure_volume(result: Result, grid: Grid, threshold: float) -> dict[str, Any]:
    """Figures in millimetres of a result on its physical grid.

    spacing_mm: between slices, rows and columns of the axial stack; areas_mm2: of each slice; diameters: see
    `largest_diameters`, null where nothing is there. Where every slice has a reference: its volume and diameters,
    the signed difference of volumes, hd95_mm (null where one of the two is empty), surface_dice_2mm.
    """
    spacing = grid.spacing_mm
    millilitres = voxel_ml(grid)
    mask = result.mask(threshold)
    areas = [area_mm2(int(n), grid) for n in mask.sum(axis=(1, 2))]
    volume = int(mask.sum()) * millilitres
    figures = {
        "spacing_mm": [rounded(v, 4) for v in spacing],
        "volume_ml": rounded(volume, 4),
        "areas_mm2": areas,
        "diameters_mm": diameter_figures(largest_diameters(mask, spacing[1:])),
    }
    if result.reference is None or result.referenced is None or not result.referenced.all():
        return figures  # a surface that ends where the reference does would be no surface
    reference = int(result.reference.sum()) * millilitres
    distance, surface_dice = compare_surfaces(mask, result.reference, spacing)
    return figures | {
        "reference_volume_ml": rounded(reference, 4),
        "volume_difference_ml": rounded(volume - reference, 4),
        "reference_diameters_mm": diameter_figures(largest_diameters(result.reference, spacing[1:])),
        "hd95_mm": rounded(distance, 3) if math.isfinite(distance) else None,
        "surface_dice_2mm": surface_dice,
    }


def measure_lesions(result: Result, threshold: float) -> dict[str, Any]:
    """The connected abnormalities of a case, see `find_lesions`: how many, and of the largest its figures.

    slices: its first and last in the case, from 1. In millilitres and millimetres where the spacing is known;
    craniocaudal_mm: from the lower side of its first slice to the upper side of its last. Else diameters in pixels.
    """
    grid = result.physical
    spacing = grid.spacing_mm if grid else (1.0, 1.0, 1.0)
    lesions, found = find_lesions(result.mask(threshold), spacing[1:])
    return {"lesion_count": found, "lesions": [_lesion(lesion, grid, spacing[0]) for lesion in lesions]}


def _lesion(lesion: Lesion, grid: Grid | None, between: float) -> dict[str, Any]:
    places = {"pixels": lesion.pixels, "slices": [lesion.first + 1, lesion.last + 1]}
    lines = diameter_figures(lesion.diameters)
    if grid is None:
        return places | {"diameters_px": lines}
    return places | {
        "volume_ml": rounded(lesion.pixels * voxel_ml(grid), 4),
        "diameters_mm": lines,
        "craniocaudal_mm": rounded((lesion.last - lesion.first + 1) * between, 2),
    }


def diameter_figures(diameters: Diameters | None) -> dict[str, Any] | None:
    """Diameters for the report, in their own unit; slices are counted from 1, as on the page."""
    if diameters is None:
        return None
    longest, perpendicular = rounded(diameters.longest, 2), rounded(diameters.perpendicular, 2)
    return {"longest": longest, "perpendicular": perpendicular, "slice": diameters.slice + 1}


def build_report(
    results: Sequence[Result],
    threshold: float,
    record: dict[str, Any],
    problems: Iterable[Said] = (),
    language: Language = "en",
    notices: Iterable[Said] = (),
    download: bool = False,
    follow_up: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The report of `predict`, the page and the API, ready for JSON.

    `images` has one entry a file or volume, `series` one for what was scaled together (a patient's slices, as a rule),
    `total` all pixels together; Dice, IoU, precision and recall where a reference is known (Dice and IoU are 1 where
    prediction and reference are both empty; null is a ratio without a denominator). Millimetres where the spacing is
    known, see `measure_volume`; else diameters in pixels, where anything is segmented. `expected_dice`: what the
    probabilities alone lead one to expect (see `overlap.expected_dice`), left out where the mask was corrected by hand;
    there `corrected: true`, the number of pixels that differ from the network's at this threshold, and, of each image,
    `manual_edits` (see there): by slice and by lesion. `unreadable`: the files that could not be used; `notices`: those
    that were skipped as they should be. Each of `series` has its `lesions`, see `measure_lesions`. No volumes are added up
    over several of `series`: they may be visits of one patient. follow_up: of each patient with several visits, see
    `FollowUp.report`. download: see `output_names`.
    """
    images: list[dict[str, Any]] = []
    series, warnings = [], []
    everything: list[tuple[Counts, bool]] = []
    for result, outputs in zip(results, output_names(results, download), strict=True):
        before = len(images)
        parts = slice_counts(result, threshold)
        everything += parts
        files = [name for name, _ in result.files]
        figures = {**pooled_figures(parts), **_expected([result], threshold), **measure_lesions(result, threshold)}
        series.append({"files": files, "slices": len(parts), **figures})
        for (name, place), names in zip(result.entries, outputs, strict=True):
            images.append(_entry(result, name, place, names, parts[place], threshold))
        warnings += _warnings(result, images[before:])
    return {
        "notice": say("not_for_diagnosis", language),
        "threshold": threshold,
        "model": {key: record.get(key) for key in ("name", "sha256", "created_by")},
        "software": f"{SOFTWARE}{__version__}",
        "images": images,
        "series": series,
        "total": _total(results, images, everything, threshold),
        "follow_up": list(follow_up),
        "warnings": [s.say(language) for s in warnings],
        "unreadable": [_told(p, language) for p in problems],
        "notices": [_told(n, language) for n in notices],
    }


def _warnings(result: Result, entries: Iterable[Mapping[str, Any]]) -> list[Sentence]:
    """What is doubtful of a result, and that it was corrected."""
    corrected = [e for e in entries if "corrected" in e]
    by_hand = [Sentence("corrected_by_hand", {"file": e["file"], "pixels": e["corrected_pixels"]}) for e in corrected]
    return [*result.warnings, *result.reference_warnings, *by_hand]


def report_of(report: dict[str, Any], results: Sequence[Result], n: int, language: Language = "en") -> dict[str, Any]:
    """What the report of several volumes says of one of them and of its patient's visits, as if nothing else had been
    there: it goes into that patient's study.
    """
    if len(results) == 1:
        return report
    first = sum(len(result.entries) for result in results[:n])
    images = report["images"][first : first + len(results[n].entries)]
    figures = {
        key: value for key, value in images[0].items() if key in (*SCORES, "slices", "predicted_pixels", "volume_ml")
    }
    of_patients = zip(timelines([r.visit for r in results]), report["follow_up"], strict=False)
    return {
        **report,
        "images": images,
        "series": [report["series"][n]],
        "total": {"images": 1, **figures},
        "follow_up": [said for timeline, said in of_patients if n in timeline.cases],
        "warnings": [s.say(language) for s in _warnings(results[n], images)],
        "unreadable": [],
        "notices": [],
    }


def _entry(
    result: Result, name: str, place: slice, names: Sequence[str], parts: Sequence[tuple[Counts, bool]], threshold: float
) -> dict[str, Any]:
    """One file or volume; names: of its outputs, parts: the counts of its slices."""
    height, width = result.size
    entry = {
        "file": name,
        "slices": len(parts),
        "width": width,
        "height": height,
        "pixels": len(parts) * height * width,
        **pooled_figures(parts),
        **_expected([result], threshold, place),
        **dict(zip(OUTPUTS, names, strict=False)),
    }
    if "segmentation" in entry:
        entry |= dicom_names(entry["segmentation"], len(parts))
    if result.physical is not None:
        entry |= measure_volume(result, result.physical, threshold)
    elif lines := diameter_figures(largest_diameters(result.mask(threshold, place))):
        entry["diameters_px"] = lines
    if result.touched[place].any():
        entry |= {"corrected": True, "corrected_pixels": int(result.corrected(threshold, place).sum())}
        entry["manual_edits"] = manual_edits(result, threshold, place)
    return entry


def _total(
    results: Sequence[Result],
    images: Sequence[dict[str, Any]],
    everything: Sequence[tuple[Counts, bool]],
    threshold: float,
) -> dict[str, Any]:
    figures = pooled_figures(everything) | _expected(results, threshold)
    total = {"images": len(images), "slices": len(everything), **figures}
    if any("corrected" in image for image in images):
        total |= {"corrected": True, "corrected_pixels": sum(image.get("corrected_pixels", 0) for image in images)}
    if len(images) == 1 and "volume_ml" in images[0]:
        total["volume_ml"] = images[0]["volume_ml"]
    return total


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
    """One row a slice for `write_csv`; slices are counted from 1 in each file, or in the volume from the feet."""
    rows = []
    for result in results:
        parts = slice_counts(result, threshold)
        added, removed = (pixels.sum(axis=(1, 2)) for pixels in changes(result, threshold))
        for name, place in result.entries:
            for s in range(place.start, place.stop):
                row = {"file": name, "slice": s - place.start + 1, **_slice_figures(*parts[s], result.physical)}
                by_hand = dict(zip(BY_HAND, map(int, (added[s] + removed[s], added[s], removed[s])), strict=True))
                rows.append(row | by_hand if result.touched[s] else row)
    return rows


def _slice_figures(counts: Counts, known: bool, grid: Grid | None) -> dict[str, Any]:
    """What a table has of one slice, scores where its reference is known."""
    figures: dict[str, Any] = {"predicted_pixels": counts.predicted}
    if grid is not None:
        figures["predicted_mm2"] = area_mm2(counts.predicted, grid)
    if known:
        figures["reference_pixels"] = counts.reference
        figures |= {"dice": rounded(counts.dice, 6), "iou": rounded(counts.iou, 6)}
        if grid is not None:
            figures["reference_mm2"] = area_mm2(counts.reference, grid)
    return figures

"""The names of the files that are written, each its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from lgg_demo.output.dicom_frames import why_no_segmentation
from lgg_demo.output.result import Result
from lgg_demo.reading.limits import MASK_ENDING, TIFF_SUFFIXES

LONGEST_NAME = 255  # bytes of UTF-8 that Linux takes; Windows and macOS take as many letters
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".zip")


# Of a report's entry, in the order of `dicom_subject.KINDS`.
DICOM_KEYS = ("segmentation", "measurements", "encapsulated_report", "capture")
SEGMENTATION = "_seg.dcm"

PREDICTION = "_pred"  # what a download is called after, where `_mask` may be the ground truth beside the image


def output_names(results: Sequence[Result], download: bool = False) -> list[list[tuple[str, ...]]]:
    """The mask and the probability file of each file of each result, and the DICOM SEG where there is one; no two alike.

    `NAME_mask` is a TIFF where the input was one, else a PNG; `NAME_probability` a PNG, or a TIFF of as many pages as
    the input where it has several. A volume has one of each, `NAME_mask.nii.gz`, `NAME_probability.nii.gz` and, where
    its headers can be referred to, `NAME_seg.dcm`. Corrected by hand, mask and SEG are `NAME_corrected_mask` and
    `NAME_corrected_seg`. A name is cut where one of its outputs would be longer than file systems take.

    download: of files that a user unpacks beside the images, where `NAME_mask` is what the ground truth is called: the mask
    is `NAME_pred`, the others are `NAME_pred_probability` and `NAME_pred_seg`, by hand `NAME_pred_corrected_mask` (which is
    read back as the ground truth of NAME) and `NAME_pred_corrected_seg`.
    """
    taken: set[str] = set()  # stems, and the files: `a_corrected_mask` is of `a`, corrected, or of `a_corrected`
    return [[_unused(whole, endings, taken) for whole, endings in _wanted(result, download)] for result in results]


def dicom_names(segmentation: str, slices: int) -> dict[str, Any]:
    """The names of all DICOM objects beside a segmentation's, by `DICOM_KEYS`: captures are several, one a slice."""
    stem = segmentation.removesuffix(SEGMENTATION)
    captures = [f"{stem}_capture/{n:03d}.dcm" for n in range(1, slices + 1)]
    return dict(zip(DICOM_KEYS, (segmentation, f"{stem}_sr.dcm", f"{stem}_report.dcm", captures), strict=True))


def every_name(results: Sequence[Result]) -> set[str]:
    """All files that may be written of some results, beside the report's own."""
    names: set[str] = set()
    for result, outputs in zip(results, output_names(results), strict=True):
        for (_, place), own in zip(result.entries, outputs, strict=True):
            names |= set(own)
            if own[-1].endswith(SEGMENTATION):
                *single, captures = dicom_names(own[-1], place.stop - place.start).values()
                names |= {*single, *captures}
    return names


def _wanted(result: Result, download: bool) -> Iterator[tuple[str, list[str]]]:
    """For each entry of the report what its outputs are named after, and how they end."""
    for name, place in result.entries:
        path = PurePath(name)
        by_hand = bool(result.touched[place].any())
        said = (PREDICTION if download else "") + ("_corrected" if by_hand else "")
        mask = said if download and not by_hand else f"{said}{MASK_ENDING}"
        probability = f"{PREDICTION if download else ''}_probability"
        if result.grid is None:
            suffix = path.suffix if path.suffix.lower() in TIFF_SUFFIXES else ".png"
            several = ".tif" if place.stop - place.start > 1 else ".png"
            yield path.with_suffix("").as_posix(), [f"{mask}{suffix}", f"{probability}{several}"]
        else:
            endings = [f"{mask}.nii.gz", f"{probability}.nii.gz"]
            referable = result.instances and why_no_segmentation(result.grid, result.instances) is None
            yield _volume_stem(path), [*endings, f"{said}{SEGMENTATION}"] if referable else endings


def _unused(whole: str, endings: Sequence[str], taken: set[str]) -> tuple[str, ...]:
    """The first names, with a number if need be, that no output has yet; they are taken then."""
    for n in itertools.count(1):
        stem = _stem(whole, "" if n == 1 else f"_{n}", endings)
        files = tuple(f"{stem}{ending}" for ending in endings)
        own = {name.lower() for name in (stem, *files)}
        if not own & taken:
            break
    taken |= own
    return files


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


def exists(path: Path) -> bool:
    """Whether there is a file or folder, for any name, also one that no file can have."""
    try:
        return path.exists()
    except OSError:
        return False

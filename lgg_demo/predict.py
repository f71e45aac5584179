"""Outline the abnormality in files, folders or studies: `python -m lgg_demo.predict INPUT... --out DIR`.

Writes for each picture NAME_mask (0 or 255, PNG or TIFF as the input was) and NAME_probability (8 bit, 255 for probability
1); for each NIfTI or DICOM volume the same as NIfTI on its own grid, and a DICOM segmentation of a DICOM series; one
report.json, report.csv and report.pdf. A mask that lies beside its image as NAME_mask, or is given with --reference, is
scored. Exit code 0, or 2 with one line for each file that could not be used, the others being done all the same.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from lgg_demo.case import Case, UnreadableScan
from lgg_demo.inference import Segmenter
from lgg_demo.model import CheckpointError
from lgg_demo.reading.archive import earlier_outputs, find_volumes, logos, passed_over
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.limits import IMAGE_SUFFIXES, MASK_ENDING, TYPES
from lgg_demo.reading.names import find_images, is_mask_name, masks_among, nifti_name, sort_into_series, visible_files
from lgg_demo.reading.nifti import is_nifti
from lgg_demo.reading.references import attach
from lgg_demo.reading.studies import outline_studies
from lgg_demo.render import grey
from lgg_demo.report import (
    PAGE,
    REPORT,
    TABLE,
    WRITTEN,
    Result,
    build_report,
    output_names,
    result_of,
    write_outputs,
    written_by,
)

# The sequences of a study, where its own names do not tell: --flair series-4 (an empty name: none).
ROLES = {"flair": "FLAIR", "pre": "pre-contrast", "post": "post-contrast"}


def collect(inputs: list[Path], out: Path) -> tuple[dict[Path, str], dict[Path, str], list[UnreadableScan]]:
    """Pictures of files and folders, and the masks beside them, each with the name its outputs take (its path below the
    folder given); then whatever else may hold a study, volumes, DICOM files, zips, with that path too.

    What earlier runs wrote, and pictures that are a viewer's, are passed over, with a sentence but for what lies in `out`;
    an error where a folder, or all that was given, holds no more than that.
    """

    def files_of(path: Path) -> list[Path]:
        if path.is_dir():
            return [*find_images(path), *find_volumes(path)]
        return [path, *(masks_beside(path) if path.suffix.lower() in IMAGE_SUFFIXES and not is_mask_name(path) else [])]

    pictures: dict[Path, str] = {}
    others: dict[Path, str] = {}
    problems: list[UnreadableScan] = []
    listed = {path: files_of(path) for path in inputs}
    over = earlier_outputs(p for files in listed.values() for p in files)
    masks = masks_among(
        p for files in listed.values() for p in files if p.suffix.lower() in IMAGE_SUFFIXES and p not in over
    )
    problems += passed_over(p for p in over if out.resolve() not in p.resolve().parents)
    for path, files in listed.items():
        if path.is_dir():
            found = [p for p in files if p not in over]
            images = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES]
            of_viewer, own = logos(images, filter(is_dicom, found), masks)
            over |= of_viewer
            problems += own
        for file in (p for p in files if p not in over):
            kind = pictures if file.suffix.lower() in IMAGE_SUFFIXES else others
            kind.setdefault(file, file.relative_to(path).as_posix() if path.is_dir() else file.name)
        if path.is_dir() and over.issuperset(files):
            problems.append(UnreadableScan(path.name, "no_images"))
    if not (pictures or others or problems):
        problems.append(UnreadableScan(inputs[0].name, "nothing_inside", types=", ".join(TYPES)))
    return pictures, others, problems


def masks_beside(image: Path) -> list[Path]:
    """The NAME_mask files that lie beside an image."""
    return [p for suffix in IMAGE_SUFFIXES if (p := image.with_name(f"{image.stem}{MASK_ENDING}{suffix}")).is_file()]


def refuse_to_overwrite(out: Path, names: Iterable[str], written: Collection[str], read: Collection[Path] = ()) -> None:
    """Raise FileExistsError where a name below `out` is a file that was read, or that no earlier run has `written`."""
    for name in names:
        if (out / name).resolve() in read:
            raise FileExistsError(f"{out / name} was read and would be written over; give another --out.")
        if name not in written and (out / name).exists():
            raise FileExistsError(f"{out / name} is not of an earlier run, and would be written over; give another --out.")


def predict(
    inputs: list[Path],
    out: Path,
    references: list[Path],
    segmenter: Segmenter,
    threshold: float,
    choose: Mapping[str, str] | None = None,
) -> list[UnreadableScan]:
    """Segment, write, and return what could not be used. Raises FileExistsError rather than write over a file that no
    earlier run of its own wrote, or that it read.
    """
    written = written_by(out / REPORT)
    refuse_to_overwrite(out, [REPORT, TABLE, PAGE], written)
    files, others, problems = collect(inputs, out)
    masks = masks_among(files)
    series, _ = sort_into_series(files)
    results: list[Result] = []
    pictures: list[np.ndarray] = []

    def outline_one(case: Case) -> Result:
        # What lies in a folder keeps its sub-folder; what came out of a zip has its own name, and so has a DICOM series,
        # whose folder may be called after its patient.
        names = [files[p] for p in case.paths] if all(p in files for p in case.paths) else None
        place = PurePosixPath(others.get(case.paths[0], ""))
        if len(place.parts) > 1 and is_nifti(case.paths[0]):
            stem = nifti_name(case.paths[0])
            number = re.match(r"-\d+|", case.scan.name.removeprefix(stem))  # of a volume in a 4-D file
            names = [(place.parent / f"{stem}{number[0] if number else ''}").as_posix()]
        pictures.append(grey(case.scan))
        return result_of(case, segmenter.segment(case.scan), names)

    def outline(paths: Iterable[Path], roles: Mapping[str, str] | None = None) -> None:
        outlined, unreadable = outline_studies(paths, roles, outline_one, sifted=True)
        results.extend(outlined)
        problems.extend(unreadable)

    with tqdm(total=len(series) + bool(others), unit="series", disable=None) as bar:
        for group in series:  # one after the other, so that a whole dataset fits in memory
            outline([*group, *(m for p in group for m in masks.get(p, []))])
            bar.update()
        if others:
            outline(others, choose)
            bar.update()
    if references:
        results, unmatched = attach(results, references)
        problems += unmatched
    given = [file for path in references for file in (visible_files(path) if path.is_dir() else [path])]
    read = {p.resolve() for p in (*files, *others, *given)}
    own = {REPORT, TABLE, PAGE, *(name for result in output_names(results) for names in result for name in names)}
    refuse_to_overwrite(out, sorted(own), written, read)
    report = build_report(results, threshold, segmenter.record, problems) | {WRITTEN: sorted(own | written)}
    write_outputs(results, threshold, report, out, pictures, documents=True)
    total = report["total"]
    volume = f", {total['volume_ml']:.2f} mL" if "volume_ml" in total else ""
    scores = f", Dice {total['dice']:.4f}, IoU {total['iou']:.4f}" if "dice" in total else ""
    print(f"{total['images']} images, {total['slices']} slices, {total['predicted_pixels']} pixels{volume} at threshold "
          f"{threshold:g}{scores}; see {out / REPORT}")  # fmt: skip
    return problems


def probability(text: str) -> float:
    """A threshold given on the command line."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="image files or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where masks and report go")
    parser.add_argument("--reference", nargs="+", type=Path, default=[], metavar="FILE", help="ground-truth masks")
    for role in ROLES:
        parser.add_argument(f"--{role}", metavar="NAME", help=f"the volume of a study to take as {ROLES[role]}")
    parser.add_argument("--threshold", type=probability, help="between 0 and 1 (the checkpoint's, 0.5 as shipped)")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights to use: a file or a Hub repository (weights/)")
    given = parser.parse_args(arguments)
    try:
        segmenter = Segmenter.load(given.checkpoint)
    except CheckpointError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    threshold = segmenter.threshold if given.threshold is None else given.threshold
    try:
        given.out.mkdir(parents=True, exist_ok=True)  # said now, not after the work, where it cannot be
        choose = {role: name for role in ROLES if (name := getattr(given, role)) is not None}
        problems = predict(given.inputs, given.out, given.reference, segmenter, threshold, choose)
    except OSError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"predict: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""Outline the abnormality in files or folders: `python -m lgg_demo.predict INPUT... --out DIR`.

Writes for each image NAME_mask (0 or 255, PNG or TIFF as the input was), NAME_probability (8 bit, 255 for probability 1)
and one report.json. A mask that lies beside its image as NAME_mask, or is given with --reference, is scored. Exit code 0,
or 2 with one line for each file that could not be used, the others being done all the same.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from lgg_demo.inference import Segmenter
from lgg_demo.model import CheckpointError
from lgg_demo.readers import (
    IMAGE_SUFFIXES,
    MASK_ENDING,
    UnreadableScan,
    attach_references,
    find_images,
    image_stem,
    is_mask_name,
    read_cases,
    sort_into_series,
)
from lgg_demo.report import REPORT, Result, build_report, output_names, result_of, write_outputs


def collect(inputs: list[Path], out: Path) -> tuple[dict[Path, str], list[UnreadableScan]]:
    """The image files of files and folders, each with the name its outputs take: its path below the folder given.

    What an earlier run wrote into `out`, a folder below one given, is passed over.
    """
    files: dict[Path, str] = {}
    problems = []
    for path in inputs:
        if not path.is_dir():
            files.setdefault(path, path.name)
            continue
        found = find_images(path)
        if path.resolve() in out.resolve().parents:
            found = [p for p in found if not p.resolve().is_relative_to(out.resolve())]
        if not found:
            problems.append(UnreadableScan(path.name, "no_images"))
        for image in found:
            files.setdefault(image, image.relative_to(path).as_posix())
    return files, problems


def masks_beside(image: Path) -> list[Path]:
    """The NAME_mask files that lie beside an image."""
    return [p for suffix in IMAGE_SUFFIXES if (p := image.with_name(f"{image.stem}{MASK_ENDING}{suffix}")).is_file()]


def predict(
    inputs: list[Path], out: Path, references: list[Path], segmenter: Segmenter, threshold: float
) -> list[UnreadableScan]:
    """Segment, write, and return what could not be used. Raises FileExistsError rather than write over a file it read."""
    files, problems = collect(inputs, out)
    given, more = collect(references, out)
    problems += more
    for image in [p for p in files if not is_mask_name(p)]:
        for mask in masks_beside(image):
            files.setdefault(mask, mask.name)
    series, masks = sort_into_series(files)
    beside: dict[tuple[Path, str], list[Path]] = {}
    for mask in masks:
        beside.setdefault((mask.parent, image_stem(mask)), []).append(mask)
    results: list[Result] = []
    with tqdm(total=sum(map(len, series)), unit="file", disable=None) as bar:
        for group in series:  # one after the other, so that a whole dataset fits in memory
            cases, unreadable = read_cases([*group, *(m for p in group for m in beside.get((p.parent, p.stem), []))])
            problems += unreadable
            results += [result_of(case, segmenter.segment(case.scan), [files[p] for p in case.paths]) for case in cases]
            bar.update(len(group))
    if given:
        results, unmatched = attach_references(results, given)
        problems += unmatched
    read = {p.resolve() for p in (*files, *given)}
    for name in (name for result in output_names(results) for pair in result for name in pair):
        if (out / name).resolve() in read:
            raise FileExistsError(f"{out / name} was read and would be written over; give another --out.")
    report = build_report(results, threshold, segmenter.record, problems)
    write_outputs(results, threshold, report, out)
    total = report["total"]
    scores = f", Dice {total['dice']:.4f}, IoU {total['iou']:.4f}" if "dice" in total else ""
    print(f"{total['images']} images, {total['slices']} slices, {total['predicted_pixels']} pixels at threshold "
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
        problems = predict(given.inputs, given.out, given.reference, segmenter, threshold)
    except OSError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"predict: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

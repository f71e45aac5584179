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
from lgg_demo.readers import UnreadableScan, attach_references, find_images, read_cases
from lgg_demo.report import REPORT, Result, build_report, result_of, write_outputs


def collect(inputs: list[Path]) -> tuple[dict[Path, str], list[UnreadableScan]]:
    """The image files of files and folders, each with the name its outputs take: its path below the folder given."""
    files: dict[Path, str] = {}
    problems = []
    for path in inputs:
        if not path.is_dir():
            files.setdefault(path, path.name)
            continue
        found = find_images(path)
        if not found:
            problems.append(UnreadableScan(path.name, "no_images"))
        for image in found:
            files.setdefault(image, image.relative_to(path).as_posix())
    return files, problems


def predict(
    inputs: list[Path], out: Path, references: list[Path], segmenter: Segmenter, threshold: float
) -> list[UnreadableScan]:
    """Segment, write, and return what could not be used."""
    files, problems = collect(inputs)
    given, more = collect(references)
    cases, unreadable = read_cases(files)
    problems += more + unreadable
    if given:
        cases, unmatched = attach_references(cases, given)
        problems += unmatched
    results: list[Result] = []
    with tqdm(total=sum(len(c.scan) for c in cases), unit="slice", disable=None) as bar:
        for case in cases:
            levels = segmenter.segment(case.scan)
            results.append(result_of(case, levels, [files[p] for p in case.paths]))
            bar.update(len(levels))
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
    problems = predict(given.inputs, given.out, given.reference, segmenter, threshold)
    for problem in problems:
        print(f"predict: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

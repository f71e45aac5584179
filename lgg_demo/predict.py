"""Outline the abnormality in files, folders or studies: `python -m lgg_demo.predict INPUT... --out DIR`.

Writes for each picture NAME_mask (0 or 255, PNG or TIFF as the input was) and NAME_probability (8 bit, 255 for
probability 1); for each NIfTI or DICOM volume the same as NIfTI on its own grid, and a DICOM segmentation of a DICOM
series; one report.json, report.csv and report.pdf. A mask among the inputs, as NAME_mask of its image, or one given
with --reference, is scored. Exit code 0, or 2 with one line for each file that could not be used or written, the others
being done all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lgg_demo.case import Notice, ReadError, Role
from lgg_demo.messages import Sentence
from lgg_demo.network.record import CheckpointError
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.display import grey
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import exists, output_names
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.reading import guard
from lgg_demo.reading.archive import Given
from lgg_demo.reading.earlier import PAGE, REPORT, TABLE, WRITTEN, redrawn, written_by
from lgg_demo.reading.layout import visible_files
from lgg_demo.reading.manifest import ManifestError, read_manifest
from lgg_demo.reading.studies import Request
from lgg_demo.rounding import rounded
from lgg_demo.scratch import clear_left_behind

ROLES: dict[Role, str] = {"flair": "FLAIR", "pre": "pre-contrast", "post": "post-contrast", "mask": "reference"}
ONE_CASE = "case"  # the subject of the files that flags name


def refuse_to_overwrite(out: Path, names: Iterable[str], written: Collection[str], read: Collection[Path] = ()) -> None:
    """Raise FileExistsError where a name below `out` is a file that was read, or that no earlier run has `written`."""
    for name in names:
        if (out / name).resolve() in read:
            raise FileExistsError(f"{out / name} was read and would be written over; give another --out.")
        if name not in written and exists(out / name):
            raise FileExistsError(f"{out / name} is not of an earlier run, and would be written over; give another --out.")


def predict(
    request: Request, out: Path, segmenter: Segmenter, threshold: float
) -> tuple[list[ReadError | Sentence], list[Notice]]:
    """Segment, write, and return what could not be used or written, and what was left out.

    Raises FileExistsError rather than write over a file that no earlier run of its own wrote, or that it read.
    """
    report_file = out / REPORT
    listed = written_by(report_file)
    written = {name for name in listed if not ((out / name).is_file() and redrawn(out / name, report_file))}
    refuse_to_overwrite(out, [REPORT, TABLE, PAGE], written)
    problems: list[ReadError] = []
    notices: list[Notice] = []
    results: list[Result] = []
    pictures: list[np.ndarray] = []
    for event in tqdm(guard.read(request), unit="case", disable=None):  # one after the other, so that a dataset fits
        if isinstance(event, ReadError):
            problems.append(event)
        elif isinstance(event, Notice):
            notices.append(event)
        else:
            pictures.append(grey(event.scan))
            results.append(result_of(event, segmenter.segment(event.scan)))
    given = [file for path in request.references for file in (visible_files(path) if path.is_dir() else [path])]
    read = {p.resolve() for p in (*(p for r in results for p in r.paths), *given)}
    own = {REPORT, TABLE, PAGE, *(name for result in output_names(results) for names in result for name in names)}
    refuse_to_overwrite(out, sorted(own), written, read)
    report = build_report(results, threshold, segmenter.record, problems, notices=notices)
    report[WRITTEN] = sorted(own | written)
    _, failures = write_outputs(results, threshold, report, out, pictures, documents=True)
    total = report["total"]
    volume = f", {rounded(total['volume_ml'], 2):.2f} mL" if "volume_ml" in total else ""
    dice, iou = (f"{rounded(total.get(key, 0), 4):.4f}" for key in ("dice", "iou"))
    scores = f", Dice {dice}, IoU {iou}" if "dice" in total else ""
    print(f"{total['images']} images, {total['slices']} slices, {total['predicted_pixels']} pixels{volume} at threshold "
          f"{threshold:g}{scores}; see {out / REPORT}")  # fmt: skip
    # A segmentation that these headers do not allow is a warning of the report: the mask is there.
    return [*problems, *(s for s in failures if s.key != "seg_refused")], notices


def probability(text: str) -> float:
    """A threshold given on the command line."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def request_of(inputs: list[Path], references: list[Path], manifest: Path | None, roles: Mapping[Role, str]) -> Request:
    """What is to be read: inputs as their names tell, what a manifest says, and files that flags give a role.

    roles: role to a file, or to the name of a volume among the inputs (`series-4`; an empty name: none). Raises
    ManifestError.
    """
    given = list[Path | Given](inputs)
    given += read_manifest(manifest) if manifest else []
    choose: dict[str, str] = {}
    for role, name in roles.items():
        if name and Path(name).exists():
            given.append(Given(Path(name), ONE_CASE, role))
        else:
            choose[role] = name
    return Request(tuple(given), tuple(references), choose)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="files, zips or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where masks and report go")
    parser.add_argument("--reference", nargs="+", type=Path, default=[], metavar="FILE", help="ground-truth masks")
    parser.add_argument(
        "--manifest", type=Path, metavar="CSV", help="columns subject, visit, date, role, path: what files are"
    )
    for role in ROLES:
        parser.add_argument(f"--{role}", metavar="FILE", help=f"the {ROLES[role]} of one case: a file, or a volume's name")
    parser.add_argument("--threshold", type=probability, help="between 0 and 1 (the checkpoint's, 0.5 as shipped)")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights to use: a file or a Hub repository (weights/)")
    given = parser.parse_args(arguments)
    clear_left_behind([tempfile.gettempdir()])
    try:
        roles = {role: name for role in ROLES if (name := getattr(given, role)) is not None}
        request = request_of(given.inputs, given.reference, given.manifest, roles)
        if not request.inputs:
            parser.error("give files to segment: INPUT, --flair or --manifest")
        segmenter = Segmenter.load(given.checkpoint)
        threshold = segmenter.threshold if given.threshold is None else given.threshold
        given.out.mkdir(parents=True, exist_ok=True)  # said now, not after the work, where it cannot be
        problems, notices = predict(request, given.out, segmenter, threshold)
    except (CheckpointError, ManifestError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    for notice in notices:
        print(f"predict: {notice.sentence}", file=sys.stderr)
    for problem in problems:
        print(f"predict: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

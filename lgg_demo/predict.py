"""Segment the FLAIR abnormality in files, folders or studies: `python -m lgg_demo.predict INPUT... --out DIR`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from tqdm import tqdm

from lgg_demo.case import Notice, ReadError, Role
from lgg_demo.command import Checkpoint, Folder, OptionalFile, Threshold, run, threshold_or
from lgg_demo.messages import Sentence
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import ALL_OBJECTS, KINDS, DicomChoice, Kind
from lgg_demo.output.display import grey
from lgg_demo.output.files import write_outputs
from lgg_demo.output.follow_up import follow_up_of
from lgg_demo.output.names import every_name, exists
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result, result_of
from lgg_demo.output.timeline import register_visits
from lgg_demo.reading import Given, Layout, Request, read, read_manifest
from lgg_demo.reading.earlier import PAGE, REPORT, TABLE, WRITTEN, redrawn, written_by
from lgg_demo.reading.layout import visible_files
from lgg_demo.rounding import rounded
from lgg_demo.scratch import clear_left_behind

ROLES: tuple[Role, ...] = ("flair", "pre", "post", "mask")
ONE_CASE = "case"  # the subject of the files that flags name

Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")]
Inputs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="INPUT")]
Volume = Annotated[str | None, tyro.conf.arg(metavar="FILE")]


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Segment the FLAIR abnormality in files, folders or studies.

    Writes for each picture NAME_mask (0 or 255, PNG or TIFF as the input was) and NAME_probability (8 bit, 255 for
    probability 1); for each NIfTI or DICOM volume the same as NIfTI on its own grid; of a DICOM series also DICOM objects:
    segmentation, measurements (SR), the page as Encapsulated PDF, and Secondary Captures with the outline burned in; one
    report.json, report.csv and report.pdf. A mask among the inputs, as NAME_mask of its image, or one given with
    --reference, is scored. Exit code 0, or 2 with one line for each file that could not be used or written, the others
    being done all the same.
    """

    inputs: Inputs = ()
    """files, zips or folders of them"""
    out: Folder
    """where masks and report go"""
    reference: Files = ()
    """ground-truth masks"""
    layout: Layout = "auto"
    """the public layout that the names of the inputs are in; a file of another name is skipped"""
    manifest: OptionalFile = None
    """a CSV with the columns subject, visit, date, role, path: what files are"""
    flair: Volume = None
    """the FLAIR of one case: a file, or a volume's name"""
    pre: Volume = None
    """the pre-contrast T1 of one case: a file, or a volume's name"""
    post: Volume = None
    """the post-contrast T1 of one case: a file, or a volume's name"""
    mask: Volume = None
    """the reference of one case: a file, or a volume's name"""
    register: bool = False
    """register a sequence to its FLAIR where the patient has moved between the two; the report says by how many mm"""
    threshold: Threshold = None
    """between 0 and 1; the checkpoint's, 0.5 as shipped, without"""
    dates: bool = False
    """write the dates of a patient's visits into the report, not only the months between them"""
    dicom: tuple[Kind, ...] = KINDS
    """the DICOM objects to write of a DICOM series; sr needs seg"""
    segments: Literal["whole", "lesions"] = "whole"
    """one segment for all that is abnormal, or one a lesion"""
    seg_type: Literal["binary", "fractional", "labelmap"] = "binary"
    """the type of a DICOM segmentation; not every viewer reads the other two"""
    keep_patient: bool = False
    """put the DICOM objects into the patient's own study: with the patient's name and number, as the images have them"""
    checkpoint: Checkpoint = None
    """weights to use: a file or a Hub repository; those in weights/ without"""


def request_of(given: PredictSettings) -> Request:
    """What is to be read: inputs as their names tell, what a manifest says, and files that flags give a role.

    A flag names a file, or a volume among the inputs (`series-4`; an empty name: none). Raises ManifestError, and
    ValueError where there is nothing to read.
    """
    inputs: list[Path | Given] = [*given.inputs, *(read_manifest(given.manifest) if given.manifest else [])]
    choose: dict[str, str] = {}
    for role in ROLES:
        name = getattr(given, role)
        if name and Path(name).exists():
            inputs.append(Given(Path(name), ONE_CASE, role))
        elif name is not None:
            choose[role] = name
    if not inputs:
        raise ValueError("give files to segment: INPUT, --flair or --manifest")
    return Request(
        tuple(inputs),
        given.reference,
        choose,
        register=given.register,
        layout=given.layout,
        keep_patient=given.keep_patient,
    )


def refuse_to_overwrite(out: Path, names: Iterable[str], written: Collection[str], read: Collection[Path] = ()) -> None:
    """Raise FileExistsError where a name below `out` is a file that was read, or that no earlier run has `written`."""
    for name in names:
        if (out / name).resolve() in read:
            raise FileExistsError(f"{out / name} was read and would be written over; give another --out.")
        if name not in written and exists(out / name):
            raise FileExistsError(f"{out / name} is not of an earlier run, and would be written over; give another --out.")


def predict(
    request: Request,
    out: Path,
    segmenter: Segmenter,
    threshold: float,
    dates: bool = False,
    choice: DicomChoice = ALL_OBJECTS,
) -> tuple[list[ReadError | Sentence], list[Notice]]:
    """Segment, write, and return what could not be used or written, and what was left out. dates: see `FollowUp.report`;
    choice: see `write_outputs`.

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
    for event in tqdm(read(request), unit="case", disable=None):  # one after the other, so that a dataset fits
        if isinstance(event, ReadError):
            problems.append(event)
        elif isinstance(event, Notice):
            notices.append(event)
        else:
            pictures.append(grey(event.scan))
            results.append(result_of(event, segmenter.segment(event.scan)))
    given = [file for path in request.references for file in (visible_files(path) if path.is_dir() else [path])]
    was_read = {p.resolve() for p in (*(p for r in results for p in r.paths), *given)}
    own = {REPORT, TABLE, PAGE, *every_name(results)}
    refuse_to_overwrite(out, sorted(own), written, was_read)
    follow_up = follow_up_of(results, register_visits(results, pictures), threshold, segmenter.record, dates=dates)
    report = build_report(results, threshold, segmenter.record, problems, notices=notices, follow_up=follow_up)
    report[WRITTEN] = sorted(own | written)
    _, failures = write_outputs(results, threshold, report, out, pictures, documents=True, choice=choice)
    print(f"{told(report['total'], threshold)}; see {report_file}")
    # A DICOM object that these headers do not allow is a warning of the report: the mask is there.
    return [*problems, *(s for s in failures if s.key not in ("seg_refused", "dicom_refused"))], notices


def told(total: dict[str, Any], threshold: float) -> str:
    """A report's sums in one line."""
    volume = f", {rounded(total['volume_ml'], 2):.2f} mL" if "volume_ml" in total else ""
    dice, iou = (f"{rounded(total.get(key, 0), 4):.4f}" for key in ("dice", "iou"))
    scores = f", Dice {dice}, IoU {iou}" if "dice" in total else ""
    counts = f"{total['images']} images, {total['slices']} slices, {total['predicted_pixels']} pixels{volume}"
    return f"{counts} at threshold {threshold:g}{scores}"


def segment_files(given: PredictSettings) -> int:
    """What the command does; returns its exit code."""
    clear_left_behind([tempfile.gettempdir()])
    request, choice = request_of(given), DicomChoice(given.dicom, given.segments, given.seg_type)
    segmenter = Segmenter.load(given.checkpoint)
    threshold = threshold_or(given.threshold, segmenter.threshold)
    given.out.mkdir(parents=True, exist_ok=True)  # said now, not after the work, where it cannot be
    problems, notices = predict(request, given.out, segmenter, threshold, given.dates, choice)
    for said in (*(notice.sentence for notice in notices), *problems):
        print(f"predict: {said}", file=sys.stderr)
    return 2 if problems else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("predict", PredictSettings, segment_files, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""What earlier runs wrote: found by the reports that list it, so that no run reads its own outputs as scans."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

REPORT = "report.json"
TABLE = "report.csv"
PAGE = "report.pdf"
SOFTWARE = "lgg-demo "
WRITTEN = "written"  # of a report in a folder: the files of this run, and of those before
OUTPUTS = ("mask", "probability", "segmentation")  # of an entry, in the order of its names
MOST_JSON = 10_000_000  # bytes; a report of thousands of files has less
REDRAWN = 60.0  # seconds that a file is newer than the report that lists it, at least, if a hand has drawn over it
# What a run can write beside its report.
_WRITABLE = re.compile(
    r"(_(mask|pred|probability)\.(nii\.gz|png|tiff?)|_(seg|sr|report)\.dcm|_capture/\d{3,}\.dcm)$", re.IGNORECASE
)


def earlier_outputs(files: Mapping[PurePath, Path]) -> set[PurePath]:
    """Which of these files (place to file on the disk) earlier runs wrote, as reports of ours among them or above list it.

    One that is newer than its report was drawn over by hand, and is not the network's any more.
    """
    reports = {place: file for place, file in files.items() if place.name == REPORT}
    for place, file in files.items():
        for above, folder in zip(place.parents, file.parents, strict=False):
            if above.name != folder.name:  # beyond what was unpacked from a zip
                break
            reports.setdefault(above / REPORT, folder / REPORT)
    listed: set[PurePath] = set()
    for place, report in reports.items():
        for name in written_by(report):
            own = files.get(place.parent / name)
            if own is not None and own.is_file() and not redrawn(own, report):
                listed.add(place.parent / name)
    return listed


def redrawn(output: Path, report: Path) -> bool:
    """Whether an output that a report lists was changed since: then it is a user's."""
    return output.stat().st_mtime > report.stat().st_mtime + REDRAWN


def written_by(file: Path) -> set[str]:
    """Names, below its folder, of what a report of ours lists: what the run wrote, and those of `predict` before it.

    Without what a hand corrected, which is no longer the network's, and what no run writes: whoever made the report,
    it names no scan.
    """
    try:
        report = read_json(file)
        if not report["software"].startswith(SOFTWARE):
            return set()
        images = report["images"]
        own = {str(i[kind]) for i in images for kind in OUTPUTS if kind in i}  # before reports had such a list
        by_hand = {str(i[kind]) for i in images if i.get("corrected") for kind in ("mask", "segmentation") if kind in i}
        listed = {*own, *map(str, report.get(WRITTEN, []))} - by_hand
        below = (name for name in listed if not (PurePath(name).is_absolute() or ".." in PurePath(name).parts))
        return {REPORT, TABLE, PAGE, *filter(_WRITABLE.search, below)}
    except (KeyError, TypeError, AttributeError):
        return set()


def read_json(file: Path) -> Any:
    """What a JSON file holds, whoever wrote it; None where there is none, or more of it than any report or list needs."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= MOST_JSON else None
    except (OSError, ValueError, RecursionError):
        return None

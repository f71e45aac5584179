"""The table of slices, report.csv."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

COLUMNS = (
    "file", "slice", "predicted_pixels", "predicted_mm2", "reference_pixels", "reference_mm2", "dice", "iou",
)  # fmt: skip
BY_HAND = ("corrected_pixels", "added_pixels", "removed_pixels")

FORMULA = re.compile(r"[\W_]*[=+\-@−]")  # how one may begin, see OWASP's "CSV injection"


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One row a slice with the `COLUMNS`, comma-separated, UTF-8; what is not known stays empty.

    Where one was corrected by hand, the columns `BY_HAND` are the last. Text is cleaned, see `text_cell`, and always
    quoted: where a spreadsheet parts cells by semicolons, no name ends one either.
    """
    rows = list(rows)
    columns = (*COLUMNS, *BY_HAND) if any(BY_HAND[0] in row for row in rows) else COLUMNS
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(columns)
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerows({k: text_cell(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)


def text_cell(text: str) -> str:
    """Text that is one cell and no formula, whatever it holds.

    What does not print (line ends, tabs, marks of direction) is a space. An apostrophe leads where a sign that begins a
    formula, of any width, stands before the first letter or digit.
    """
    cell = printable(text)
    return f"'{cell}" if FORMULA.match(unicodedata.normalize("NFKC", cell).lstrip()) else cell


def printable(text: str) -> str:
    """Text without control characters, and with what is no UTF-8 as JSON escapes it."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in whole)

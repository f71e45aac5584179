"""The files that a client is given: the zip of a download, and of the API's what is of use beside its report."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePath

from lgg_demo.output.names import output_names
from lgg_demo.output.result import Result
from lgg_demo.reading.earlier import REPORT

INSIDE = PurePath("lgg-demo")  # the folder in the zip of a download


def zip_of(folder: Path, files: Sequence[Path]) -> bytes:
    """Files of a folder as a zip, in memory; inside they lie in a folder of their own, wherever it is unpacked."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, INSIDE / file.relative_to(folder))
    return packed.getvalue()


def without_spare(folder: Path, files: Sequence[Path], results: Sequence[Result]) -> list[Path]:
    """Of pictures the masks, of volumes all but the report, which the API returns beside them; the rest is deleted."""
    names = zip(results, output_names(results), strict=True)
    spare = {folder / probability for result, outputs in names if result.grid is None for _, probability in outputs}
    kept = []
    for file in files:
        if file.name == REPORT or file in spare:
            file.unlink()
        else:
            kept.append(file)
    return kept

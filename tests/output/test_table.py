"""report.csv: a row a slice, and no name that a spreadsheet takes for more than a name."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD, SLICES, picture_result, series, volume_result
from hypothesis import given
from hypothesis import strategies as st

from lgg_demo.output.files import write_outputs
from lgg_demo.output.report import build_report
from lgg_demo.output.table import COLUMNS, text_cell, write_csv
from lgg_demo.probability import binarise
from lgg_demo.reading.earlier import TABLE


def test_table_has_a_row_for_each_slice(tmp_path: Path) -> None:
    volume = volume_result(series()[1], name='a, b;"c".nii', reference=True)
    truth = np.zeros((2, 20, 24), bool)
    truth[0, :10] = True
    picture = picture_result(("s_1.png", 1), ("s_2.png", 1), reference=truth, referenced=[True, False])
    picture.probability[:] = 255
    results = [volume, picture]
    write_outputs(results, 0.5, build_report(results, 0.5, RECORD), tmp_path)
    lines = (tmp_path / TABLE).read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert lines[0] == ",".join(COLUMNS)
    assert [(r["file"], int(r["slice"])) for r in rows] == [
        *(('a, b;"c".nii', k + 1) for k in range(SLICES)), ("s_1.png", 1), ("s_2.png", 1),
    ]  # fmt: skip
    for row, m, t in zip(rows, binarise(volume.probability, 0.5), volume.reference, strict=False):
        assert (int(row["predicted_pixels"]), int(row["reference_pixels"])) == (m.sum(), t.sum())
        areas = [float(row[f"{who}_mm2"]) for who in ("predicted", "reference")]
        assert areas == pytest.approx([m.sum() * 0.99, t.sum() * 0.99], abs=0.01)
        assert float(row["dice"]) == pytest.approx(2 * (m & t).sum() / (m.sum() + t.sum()), abs=1e-6)
    assert list(rows[-2].values())[2:] == ["480", "", "240", "", "0.666667", "0.5"]
    assert list(rows[-1].values())[2:] == ["480", "", "", "", "", ""]


@pytest.mark.parametrize(
    "name",
    [
        "=1+1.png", "+a.png", "-a.png", "@a.png", "\t=a.png", "\r=a.png", "\n=a.png", "\r\n@a", "  =a.png", "\x00=a",
        "a\r=1+1.png", "a\n=1+1.png", "a\r\n=1,=2.png", "a\x85=1", "a\u2028=1", "a\u2029+1", "a\x0b=1", "a\x0c=1",
        'a",=1+1.png', 'a";=1+1.png', "a;=1+1.png", "a\t=1+1.png", '"=1', "'=1", "，=1", "\ufeff=1", "\u200b=1",
        "\u202e=1", "\xa0=1", "＝1+1", "＋1", "－1", "＠SUM(1)", "﹦1", "﹣1", "−1", "\u3000＝1", "(=1", "_=1",
        b"\xe9=\r=1".decode("utf-8", "surrogateescape"),
    ],
)  # fmt: skip
def test_no_file_name_is_a_formula_a_cell_or_a_row_in_the_table(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / TABLE, [{"file": name, "slice": 1, "predicted_pixels": 0}, {"file": "a=1.png", "slice": 2}])
    text = (tmp_path / TABLE).read_bytes().decode("utf-8")
    assert len(text.splitlines()) == 3, "whatever counts as the end of a line"
    for delimiter in ",;\t":
        with (tmp_path / TABLE).open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file, delimiter=delimiter) for cell in row]
        assert not any(unicodedata.normalize("NFKC", cell).strip().startswith(tuple("=+-@−")) for cell in cells), cells
        if delimiter == ",":
            assert cells[len(COLUMNS) + 1 : 2 * len(COLUMNS)] == ["1", "0", "", "", "", "", ""]
            assert cells[2 * len(COLUMNS)] == "a=1.png" == text_cell("a=1.png")


@given(st.text())
def test_any_text_is_one_printable_cell(text: str) -> None:
    cell = text_cell(text)
    assert cell.isprintable() and text_cell(cell).lstrip("'") == cell.lstrip("'")
    assert not unicodedata.normalize("NFKC", cell).strip().startswith(tuple("=+-@−"))

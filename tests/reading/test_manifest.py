"""What a user says of files instead of their names: a manifest of many cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import SCAN, lay, read, rows_of, said, series

from lgg_demo.case import Study
from lgg_demo.reading.archive import Given
from lgg_demo.reading.manifest import ManifestError, read_manifest


def listed(folder: Path, *rows: str, columns: str = "subject,role,path") -> Path:
    path = folder / "cases.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


def test_lines_become_files_with_what_is_said_of_them(tmp_path: Path) -> None:
    rows = ("ann,1,2020-01-02,FLAIR,a.nii", "ann, 2 ,,reference,sub/b.nii", "bob,,,ignore,c.nii", "bob,,,t1c,/abs/d.nii")
    found = read_manifest(listed(tmp_path, *rows, columns="subject,visit,date,role,path"))
    assert found == [
        Given(tmp_path / "a.nii", "ann 1 2020-01-02", "flair"),
        Given(tmp_path / "sub" / "b.nii", "ann 2", "mask"),
        Given(Path("/abs/d.nii"), "bob", "post"),
    ]


@pytest.mark.parametrize(
    ("text", "said_of_it"),
    [
        (b"", "has a line with the columns"),
        (b"subject,path\nann,a.nii\n", "has a line with the columns"),
        (b"subject,role,path\n", "has a line with the columns"),
        (b"subject,role,path\nann,t2,a.nii\n", "line 2: the role is none of"),
        (b"subject,role,path\nann,flair,a.nii\n,flair,b.nii\n", "line 3: subject or path is missing"),
        (b"subject,role,path\nann,flair\n", "line 2: subject or path is missing"),
        (b"\xff\xfe\0\0", "cannot be read"),
        (b'subject,role,path\n"' + b"x" * 200_000, "cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_used_gets_one_sentence(tmp_path: Path, text: bytes, said_of_it: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(text)
    with pytest.raises(ManifestError, match=said_of_it) as caught:
        read_manifest(path)
    assert str(caught.value).startswith("cases.csv") and "\n" not in str(caught.value)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "gone.csv")


def test_names_count_for_nothing_beside_a_manifest(tmp_path: Path) -> None:
    lay(tmp_path, {"GT.nii": SCAN, "bob_t2.nii": SCAN, "x/flair.nii": 10, "mask.nii": SCAN, "carl_flair.nii": 20})
    rows = (
        "ann,flair,GT.nii",
        "ann,pre,bob_t2.nii",
        "ann,mask,x/flair.nii",
        "bob,flair,mask.nii",
        "bob,mask,carl_flair.nii",
    )
    found = read(read_manifest(listed(tmp_path, *rows)))
    assert not found.errors and not found.notices and rows_of(found) == {"GT": 10, "mask": 20}
    first = found.cases[0]
    assert isinstance(first, Study) and first.chosen == {"flair": "GT", "pre": "bob_t2"}


def test_a_dicom_series_is_a_folder(tmp_path: Path) -> None:
    series(tmp_path / "one", SeriesDescription="unknown")
    series(tmp_path / "two", SeriesDescription="AX FLAIR", SeriesNumber=4)
    rows = ("ann,flair,one", "ann,pre,two")
    found = read(read_manifest(listed(tmp_path, *rows)))
    assert not found.errors and [c.chosen for c in found.cases if isinstance(c, Study)] == [
        {"flair": "series-3", "pre": "series-4"}
    ]


def test_pictures_and_their_masks_by_subject(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": SCAN, "b.png": SCAN, "one.png": 10, "two.png": 20})
    rows = ("ann,flair,a.png", "bob,flair,b.png", "bob,mask,two.png", "ann,mask,one.png")
    found = read(read_manifest(listed(tmp_path, *rows)))
    assert not found.errors and rows_of(found) == {"a.png": 10, "b.png": 20}


def test_visits_of_one_subject_are_cases_of_their_own(tmp_path: Path) -> None:
    lay(tmp_path, {"a.nii": SCAN, "b.nii": SCAN, "c.nii": 10})
    rows = ("ann,1,flair,a.nii", "ann,2,flair,b.nii", "ann,2,mask,c.nii")
    assert rows_of(read(read_manifest(listed(tmp_path, *rows, columns="subject,visit,role,path")))) == {"a": None, "b": 10}


def test_a_file_that_is_not_there_and_a_mask_of_another_subject(tmp_path: Path) -> None:
    lay(tmp_path, {"a.nii": SCAN, "m.nii": 10})
    found = read(read_manifest(listed(tmp_path, "ann,flair,a.nii", "bob,flair,b.nii", "bob,mask,m.nii")))
    assert rows_of(found) == {"a": None} and said(found) == [("b.nii", "not_found"), ("m.nii", "mask_unmatched")]

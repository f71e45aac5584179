"""What a user says of files instead of their names: a manifest of many cases."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from helpers import SCAN, lay, read, rows_of, said, series

from lgg_demo.case import Study, Visit
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
        Given(tmp_path / "a.nii", "ann 1 2020-01-02", "flair", Visit("ann", "1", datetime.date(2020, 1, 2))),
        Given(tmp_path / "sub" / "b.nii", "ann 2", "mask", Visit("ann", "2")),
        Given(Path("/abs/d.nii"), "bob", "post", Visit("bob")),
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
        (b"subject,date,role,path\nann,3.5.2001,flair,a.nii\n", "line 2: the date must be written"),
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


@pytest.mark.parametrize(
    ("rows", "expected", "errors"),
    [
        # Names count for nothing beside it
        (["GT,,flair,GT.nii", "GT,,pre,bob_t2.nii", "GT,,mask,x/flair.nii", "bob,,flair,mask.nii",
          "bob,,mask,carl_flair.nii"], {"GT": 10, "mask": 20}, []),
        (["ann,,flair,a.png", "bob,,flair,b.png", "bob,,mask,two.png", "ann,,mask,one.png"],
         {"a.png": 10, "b.png": 20}, []),
        # Visits of one subject are cases of their own
        (["ann,1,flair,GT.nii", "ann,2,flair,mask.nii", "ann,2,mask,x/flair.nii"], {"GT": None, "mask": 10}, []),
        (["ann,,flair,GT.nii", "bob,,flair,gone.nii", "bob,,mask,x/flair.nii"], {"GT": None},
         [("gone.nii", "not_found"), ("flair.nii", "mask_unmatched")]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_said_is_believed(
    tmp_path: Path, rows: list[str], expected: dict[str, int | None], errors: list[tuple[str, str]]
) -> None:
    lay(tmp_path, {"GT.nii": SCAN, "bob_t2.nii": SCAN, "x/flair.nii": 10, "mask.nii": SCAN, "carl_flair.nii": 20})
    lay(tmp_path, {"a.png": SCAN, "b.png": SCAN, "one.png": 10, "two.png": 20})
    found = read(read_manifest(listed(tmp_path, *rows, columns="subject,visit,role,path")))
    assert rows_of(found) == expected and said(found) == errors and not found.notices
    if "pre" in rows[1]:
        assert isinstance(found.cases[0], Study) and found.cases[0].chosen == {"flair": "GT", "pre": "bob_t2"}


def test_a_dicom_series_is_a_folder(tmp_path: Path) -> None:
    series(tmp_path / "one", SeriesDescription="unknown")
    series(tmp_path / "two", SeriesDescription="AX FLAIR", SeriesNumber=4)
    rows = ("ann,flair,one", "ann,pre,two")
    found = read(read_manifest(listed(tmp_path, *rows)))
    assert not found.errors and [c.chosen for c in found.cases if isinstance(c, Study)] == [
        {"flair": "series-3", "pre": "series-4"}
    ]

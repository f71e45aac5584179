"""Whose visits the studies of a request are, and when those were."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import SCAN, lay, read, series, zipped
from PIL import Image

from lgg_demo.case import Visit
from lgg_demo.reading import guard
from lgg_demo.reading.archive import Given
from lgg_demo.reading.manifest import read_manifest
from lgg_demo.reading.studies import Read, Request

MAY = datetime.date(2001, 5, 3)


def visits(found: Read) -> list[Visit | None]:
    assert not found.errors, [str(e) for e in found.errors]
    return [case.visit for case in found.cases]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz", "sub-01/ses-b/anat/sub-01_ses-b_FLAIR.nii.gz"],
         [Visit("sub-01", "a"), Visit("sub-01", "b")]),
        (["sub-1_ses-1_FLAIR.nii", "sub-1_ses-2_FLAIR.nii", "sub-2_ses-1_FLAIR.nii"],
         [Visit("sub-1", "1"), Visit("sub-1", "2"), Visit("sub-2", "1")]),
        # A subject of one name in two datasets is two people
        (["x/sub-1/ses-1/anat/sub-1_ses-1_FLAIR.nii", "y/sub-1/ses-2/anat/sub-1_ses-2_FLAIR.nii"],
         [Visit("sub-1", "1"), Visit("sub-1 (2)", "2")]),
        (["ann_20010503_flair.nii", "ann-20020601_flair.nii"],
         [Visit("ann", date=datetime.date(2002, 6, 1)), Visit("ann", date=MAY)]),
        (["ann_20010503/flair.nii", "ann_20020601/flair.nii"],
         [Visit("ann", date=MAY), Visit("ann", date=datetime.date(2002, 6, 1))]),
        # Nothing says that these are one person's, nor that this is a day
        (["ann_1_flair.nii", "ann_2_flair.nii", "bob_20011350_flair.nii", "scan.nii"], [None] * 4),
        (["a/ann_flair.nii", "b/ann_flair.nii"], [None] * 2),
        (["TCGA_CS_4941_19960909_1.tif", "TCGA_CS_4941_19960909_2.tif"],
         [Visit("TCGA_CS_4941", date=datetime.date(1996, 9, 9))]),
    ],
)  # fmt: skip
def test_names_tell_visits(tmp_path: Path, files: list[str], expected: list[Visit | None]) -> None:
    assert visits(read([lay(tmp_path / "in", dict.fromkeys(files, SCAN))])) == expected


def test_a_manifest_tells_visits(tmp_path: Path) -> None:
    folder = lay(tmp_path, dict.fromkeys(("a.nii", "b.nii", "c.nii", "sub-1_ses-1_FLAIR.nii"), SCAN))
    rows = ["subject,visit,date,role,path", "ann,baseline,2001-05-03,flair,a.nii", "Ann,second,,flair,b.nii"]
    rows += ["bob,,,flair,c.nii", "carl,,,flair,sub-1_ses-1_FLAIR.nii"]
    (folder / "cases.csv").write_text("\n".join(rows))
    found = visits(read(read_manifest(folder / "cases.csv")))
    assert found == [Visit("ann", "baseline", MAY), Visit("ann", "second"), Visit("bob"), Visit("carl")]


def studies(folder: Path) -> Path:
    """Two studies of one patient, one of another, and two without a patient's number."""
    for name, number, date in (("late", "ZZ-7", "20020601"), ("early", "ZZ-7 ", "20010503"), ("other", "ZZ-70", "20010503"),
                               ("x", "", "20010503"), ("y", "", "nonsense")):  # fmt: skip
        series(folder / name, PatientID=number, PatientName="ZZTOP^PLANTED", StudyDate=date)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_studies_of_one_patients_number_are_visits(tmp_path: Path, packed: bool) -> None:
    given = studies(tmp_path / "disc")
    if packed:
        files = {p.relative_to(given).as_posix(): p.read_bytes() for p in given.rglob("IM*")}
        given = zipped(tmp_path / "disc.zip", files)
    found = read(given)
    assert sorted(visits(found), key=str) == sorted(
        [Visit("patient 1", date=MAY), Visit("patient 1", date=datetime.date(2002, 6, 1)),
         Visit("patient 2", date=MAY), None, None], key=str,
    )  # fmt: skip
    for case in found.cases:
        assert not any(planted in pickle.dumps(case) for planted in (b"ZZ-7", b"ZZTOP", b"20010503"))


def test_a_patients_number_is_the_same_after_a_child_process_has_died(tmp_path: Path) -> None:
    """Tokens of two processes differ, so that they must not be what visits are told by."""
    folder = studies(tmp_path / "disc")
    runs = [[c.visit for c in guard.read(Request((folder,), done=done)) if hasattr(c, "visit")] for done in (0, 2)]
    assert runs[0][2:] == runs[1]


def test_dicom_of_a_manifest_has_its_own_date_unless_the_manifest_says_one(tmp_path: Path) -> None:
    for name in ("first", "second"):
        series(tmp_path / name, PatientID=name, StudyDate="20010503")
    later = datetime.date(2003, 1, 1)
    given = [Given(tmp_path / "first", "ann 1", "flair", Visit("ann", "1")),
             Given(tmp_path / "second", "ann 2", "flair", Visit("ann", "2", later))]  # fmt: skip
    assert visits(read(given)) == [Visit("ann", "1", MAY), Visit("ann", "2", later)]


def test_pictures_of_two_sizes_are_one_visit(tmp_path: Path) -> None:
    for n, side in enumerate((64, 64, 80), 1):
        Image.fromarray(np.tile(np.arange(side, dtype=np.uint8), (side, 1))).save(tmp_path / f"ann_20010503_{n}.png")
    assert [case.visit for case in read(tmp_path).cases] == [Visit("ann", date=MAY), None]

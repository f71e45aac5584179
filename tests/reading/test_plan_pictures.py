"""Which pictures are one series, whose masks they have, and which beside DICOM are none of a patient's."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import HEAD, SCAN, directory, inside, lay, read, rows_of, series, warned, zipped
from PIL import Image


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("disc", [False, True])
def test_pictures_of_a_viewer_are_no_patients(tmp_path: Path, packed: bool, disc: bool) -> None:
    root = tmp_path / "disc"
    series(root / "DICOM")
    lay(root, {f"VIEWER/{name}.png": SCAN for name in ("logo", "icon_1", "icon_2")})
    if disc:
        directory(root / "DICOMDIR")
    loose = root / "VIEWER" / "logo.png"
    for more in ([], [loose]):
        found = read([zipped(tmp_path / "x.zip", inside(root)) if packed else root, *more])
        assert not found.errors
        over = (3 if disc else 1) - bool(more and not packed)
        assert [(n.sentence.key, n.sentence.values["pictures"]) for n in found.notices] == [
            ("pictures_beside", over)
        ] * bool(over)
        series_of_icons = [] if disc else ["icon"]
        assert sorted(c.scan.name for c in found.cases) == sorted(
            [*(["logo"] if more else []), *series_of_icons, "series-3"]
        )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("p0/flair.png", "p0/flair_mask.png"),
        ("p0/img_4.png", "p0/mask_4.png"),
        ("p0/img_4.png", "p0/img_4_seg.png"),
        ("images/a.png", "masks/a.png"),
    ],
)
def test_pictures_with_masks_beside_dicom_are_read(tmp_path: Path, packed: bool, image: str, mask: str) -> None:
    root = lay(tmp_path / "in", {image: SCAN, mask: 10, "logo.png": SCAN})
    series(root / "p1")
    found = read(zipped(tmp_path / "x.zip", inside(root)) if packed else root)
    assert [(n.sentence.key, n.sentence.values["pictures"]) for n in found.notices] == [("pictures_beside", 1)]
    assert not found.errors and sorted(rows_of(found).values(), key=str) == [10, None]


@pytest.mark.parametrize(
    ("name", "warning"), [("x_flair.png", []), ("x.png", []), ("x_t1.png", ["named_other"]), ("t2.png", ["named_other"])]
)
def test_a_picture_of_another_sequence_by_name_is_read_and_told(tmp_path: Path, name: str, warning: list[str]) -> None:
    (case,) = read(lay(tmp_path, {name: SCAN})).cases
    assert warned(case) == warning


@pytest.mark.parametrize(
    ("files", "series_of"),
    [
        (["case_10", "case_2", "case_1", "case_11"], [["case_1", "case_2", "case_10", "case_11"]]),
        (["slice (2)", "slice (10)"], [["slice (2)", "slice (10)"]]),
        (["002_flair", "010_flair"], [["002_flair", "010_flair"]]),
        (["ann_1_Coupe2_flair", "ann_1_Coupe10_flair"], [["ann_1_Coupe2_flair", "ann_1_Coupe10_flair"]]),
        (["image 2 of 12", "image 10 of 12"], [["image 2 of 12", "image 10 of 12"]]),
        (["TCGA_CS_4941_19960909_2", "TCGA_CS_4941_19960909_10"],
         [["TCGA_CS_4941_19960909_2", "TCGA_CS_4941_19960909_10"]]),
        (["p1/s_1", "p1/s_2", "p2/s_1", "p2/scout"], [["p1/s_1", "p1/s_2"], ["p2/s_1"], ["p2/scout"]]),
        *(
            ([one, other], [[one], [other]])
            for one, other in [
                ("ann_1_t1", "bob_2_t1"), ("1_flair", "2_t2"), ("1_flair", "_flair_2"), ("image 1 of 4", "image 2 of 5"),
                ("TCGA_CS_4941_19960909_1", "TCGA_CS_4942_19960909_2"), ("slice (1)", "slice 2)"),
                ("ann1_flair", "ann2_flair"),
                ("patient_1_flair", "patient_2_flair"), ("2019_visit", "2021_visit"), ("img_2019_visit", "img_2021_visit"),
                ("0012345_flair", "0012346_flair"), ("kim_1_flair", "kim_2_flair"),
            ]
        ),
    ],
    ids=str,
)  # fmt: skip
def test_series_of_pictures(tmp_path: Path, files: list[str], series_of: list[list[str]]) -> None:
    found = read(lay(tmp_path, {f"{name}.png": SCAN for name in files}))
    assert not found.errors
    got = [[name.removesuffix(".png") for name, _ in case.scan.files] for case in found.cases]
    assert sorted(got) == sorted(series_of)


def test_a_series_of_two_sizes_is_two_cases(tmp_path: Path) -> None:
    for n in (1, 2, 3, 4):
        Image.fromarray(HEAD.flair[5, : 64 if n % 2 else 40]).save(tmp_path / f"s_{n}.png")
    found = read(tmp_path)
    assert not found.errors
    assert [[name for name, _ in c.scan.files] for c in found.cases] == [["s_1.png", "s_3.png"], ["s_2.png", "s_4.png"]]


def test_another_type_is_another_series(tmp_path: Path) -> None:
    lay(tmp_path, {"s_1.png": SCAN, "s_2.png": SCAN})
    Image.fromarray(HEAD.flair[3]).save(tmp_path / "s_3.tif")
    assert [len(c.scan) for c in read(tmp_path).cases] == [2, 1]

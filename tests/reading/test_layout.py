"""The grammar of names: only what ends a name tells its role, all before it is the subject, verbatim."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

import pytest

from lgg_demo.reading import layout
from lgg_demo.reading.layout import Key, Name, key_of, key_of_picture, parse


@pytest.mark.parametrize(
    ("name", "subject", "role"),
    [
        # Whoever's name is a word of this field keeps it
        ("Bravo_flair", "Bravo", "flair"), ("GT_flair", "GT", "flair"), ("Locatelli_mask", "Locatelli", "mask"),
        ("Lockwood_flair", "Lockwood", "flair"), ("SEG-001_flair", "SEG-001", "flair"),
        ("Angiolini_t1", "Angiolini", "pre"),
        ("Tracey_flair", "Tracey", "flair"), ("ROI_flair", "ROI", "flair"), ("Native_flair", "Native", "flair"),
        ("Native_t1", "Native", "pre"), ("Bravo_t1", "Bravo", "pre"), ("Perfetti_t1_gd", "Perfetti", "post"),
        ("consensus_flair", "consensus", "flair"), ("tumor_01_flair", "tumor_01", "flair"), ("FA_mask", "FA", "mask"),
        ("Jane Doe flair", "Jane Doe", "flair"), ("SEG-001", "SEG-001", None), ("Native", "Native", None),
        # Data sets
        ("BraTS2021_00000_t1ce", "BraTS2021_00000", "post"), ("BraTS-GLI-00001-000-t2f", "BraTS-GLI-00001-000", "flair"),
        ("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-000", "pre"),
        ("BraTS-GLI-00001-000-t1c", "BraTS-GLI-00001-000", "post"),
        ("BraTS-GLI-00001-000-t2w", "BraTS-GLI-00001-000", "other"),
        ("BraTS-GLI-00001-000-seg", "BraTS-GLI-00001-000", "mask"),
        ("UCSF-PDGM-0004_FLAIR_bias", "UCSF-PDGM-0004", "other"), ("UCSF-PDGM-0004_T1c_bias", "UCSF-PDGM-0004", "other"),
        ("UCSF-PDGM-0004_tumor_segmentation", "UCSF-PDGM-0004", "mask"), ("UCSF-PDGM-0004_T1gad", "UCSF-PDGM-0004", "post"),
        ("UCSF-PDGM-0004_brain_segmentation", "UCSF-PDGM-0004", "other"),
        ("UCSF-PDGM-0004_brain_parenchyma_segmentation", "UCSF-PDGM-0004", "other"),
        ("UCSF-PDGM-0004_DTI_eddy_FA", "UCSF-PDGM-0004", "other"),
        ("UCSF-PDGM-0004_DTI_eddy_L1", "UCSF-PDGM-0004", "other"),
        ("UPENN-GBM-00001_11_automated_approx_segm", "UPENN-GBM-00001_11", "mask"),
        ("UPENN-GBM-00001_11_T1GD", "UPENN-GBM-00001_11", "post"), ("UPENN-GBM-00001_11_T2", "UPENN-GBM-00001_11", "other"),
        ("sub-01_ses-1_FLAIR", "sub-01_ses-1", "flair"), ("sub-01_ses-1_label-lesion_mask", "sub-01_ses-1", "mask"),
        ("sub-01_acq-a_T1w", "sub-01", "pre"), ("sub-01_ce-gd_T1w", "sub-01", "post"),
        ("sub-01_task-rest_bold", "sub-01", "other"), ("sub-01_run-1_FLAIR", "sub-01", "flair"),
        ("sub-01_space-T1w_desc-brain_mask", "sub-01", "other"), ("sub-01_desc-lesion_mask", "sub-01", "mask"),
        ("LGG-104_Seg", "LGG-104", "mask"), ("LGG-104_FLAIR", "LGG-104", "flair"),
        ("p1_AX_FLAIR_20200102030405_4", "p1_20200102030405", "flair"),
        ("AX_FLAIR_20200102030405_4", "20200102030405", "flair"),
        ("p1_DWI_20200102030405_6a", "p1_20200102030405", "other"),
        # No subject of its own: the folder's
        ("FLAIR_3D_4", "", "flair"), ("T1_MPRAGE_5", "", "pre"), ("T1_MPRAGE_post_9", "", "post"),
        ("flair_sag", "", "flair"),
        ("flair_ax", "", "flair"), ("t1", "", "pre"), ("t1_gd", "", "post"), ("AX T2 FLAIR 12", "", "flair"),
        ("seg", "", "mask"),
        ("Ground Truth", "", "mask"), ("3d_flair", "", "flair"), ("t1_post_contrast", "", "post"),
        # A mask is of what it is drawn on; what is no reference, although a mask
        ("p1_flair_mask", "p1", "mask"), ("x_probability", "x", "other"), ("x_brain_mask", "x", "other"),
        # No role
        ("head", "head", None), ("img_12", "img_12", None), ("ann_2", "ann_2", None), ("segura_1", "segura_1", None),
        ("t1flair", "t1flair", None), ("Flairmont", "Flairmont", None), ("mask of ann", "mask of ann", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_subject_and_role_of_a_name(name: str, subject: str, role: str | None) -> None:
    assert parse(name) == Name(subject, role)  # type: ignore[arg-type]
    assert parse(name.upper()).role == role


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("p1/flair.nii.gz", Key(PurePath("p1"), "")),
        ("p1/P1_flair.nii.gz", Key(PurePath("p1"), "")),
        ("in/Bravo_t1.nii", Key(PurePath("in"), "bravo")),
        ("in/labels/Bravo.nii", Key(PurePath("in"), "bravo")),
        ("in/sub-01/anat/sub-01_FLAIR.nii", Key(PurePath("in/sub-01"), "")),
        ("in/sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii", Key(PurePath("in/sub-01/ses-1"), "sub-01_ses-1")),
        ("in/dwi/head.nii", Key(PurePath("in/dwi"), "head")),
        ("in/imagesTr/case_1_0003.nii.gz", Key(PurePath("in"), "case_1")),
        ("in/labelsTr/case_1.nii.gz", Key(PurePath("in"), "case_1")),
        ("in/scans/ann_2019.nii", Key(PurePath("in"), "ann_2019")),
        ("in/imagesTr/ann_2019.nii", Key(PurePath("in"), "ann_2019")),
    ],
)
def test_whose_a_volume_is(place: str, key: Key) -> None:
    assert key_of(PurePath(place), told=9) == key


@pytest.mark.parametrize(
    ("image", "other", "same"),
    [
        ("TCGA_CS_4941_19960909_12.tif", "TCGA_CS_4941_19960909_12_mask.tif", True),
        ("img_3.png", "mask_3.png", True),
        ("img_3.png", "img_3_seg.png", True),
        ("p/images/1.png", "p/masks/1.png", True),
        ("p/x_flair.png", "p/x_seg.png", True),
        ("slice (3).png", "slice (3)_mask.png", True),
        ("café_2.png", "cafe\N{COMBINING ACUTE ACCENT}_2_gt.png", True),
        ("img_3.png", "mask_4.png", False),
        ("ann_3.png", "bob_3_mask.png", False),
        ("p1/1.png", "p2/1_mask.png", False),
    ],
)
def test_a_slice_and_its_mask_share_a_key_and_no_others(image: str, other: str, same: bool) -> None:
    assert (key_of_picture(PurePath(image), told=9) == key_of_picture(PurePath(other), told=9)) is same


@pytest.mark.parametrize(
    ("named", "fitting", "others"),
    [
        ("bids", ["sub-01_FLAIR.nii.gz", "sub-1/ses-2/anat/sub-1_ses-2_acq-a_run-2_T1w.nii", "sub-1_label-lesion_mask.nii"],
         ["FLAIR.nii", "sub-01.nii", "sub-01_flair.png", "ann_FLAIR.nii", "sub-01_head.nii", "sub-01/anat/FLAIR.nii"]),
        ("brats", ["BraTS2021_00000_t1ce.nii.gz", "x/BraTS-GLI-00001-000-t2f.nii", "BraTS-GLI-1-seg.nii.gz"],
         ["BraTS2021_00000.nii", "BraTS2021_00000_mask.nii", "flair.nii", "BraTS2021_00000_flair.dcm"]),
        ("nnunet", ["imagesTr/BRATS_001_0003.nii.gz", "in/labelsTr/BRATS_001.nii.gz", "imagesTs/a_0000.nii"],
         ["BRATS_001_0003.nii.gz", "imagesTr/BRATS_001.nii.gz", "images/a_0000.nii", "imagesTr/a_2019.nii"]),
        ("kaggle", ["TCGA_CS_4941_19960909_12.tif", "TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1_mask.tif"],
         ["TCGA_CS_4941_19960909.tif", "TCGA_CS_4941_19960909_12.png", "s_1.tif", "TCGA_CS_4941_19960909_12_seg.tif"]),
    ],
)  # fmt: skip
def test_names_of_a_public_layout(named: layout.Layout, fitting: list[str], others: list[str]) -> None:
    for place in map(PurePath, [*fitting, *others]):
        assert layout.fits(place, named) is (str(place) in fitting), place
        assert layout.fits(place, "auto")
    assert re.fullmatch(f"(?:.*/)?{layout.FORMS[named][1]}", layout.FORMS[named][0], re.I), "what a user is told fits"


@pytest.mark.parametrize(
    ("folder", "told"),
    [("masks", True), ("labelsTr", True), ("Ground Truth", True), ("seg", True), ("GT", True), ("no_label", False),
     ("seg-2019", False), ("segura", False), ("controls", False), ("masks of ann", False)],
)  # fmt: skip
def test_a_folder_is_one_of_references_by_its_whole_name(folder: str, told: bool) -> None:
    assert layout.in_reference_folder(PurePath(folder) / "x" / "1.png", told=3) is told
    assert not layout.in_reference_folder(PurePath(folder) / "x" / "1.png", told=2), "the user gave no such folder"


@pytest.mark.parametrize(
    ("stem", "shared", "number"),
    [
        ("slice (2)", "slice", 2), ("002_flair", "flair", 2), ("ann_1_Coupe10_flair", "ann_1_Coupe", 10),
        ("image 10 of 12", "image", 10), ("TCGA_CS_4941_19960909_10", "TCGA_CS_4941_19960909", 10), ("head", "head", None),
        ("kim_1_flair", "kim_1_flair", None), ("2019_visit", "2019_visit", None),
        ("patient_1_flair", "patient_1_flair", None),
        ("0012345_flair", "0012345_flair", None), ("", "", None),
    ],
)  # fmt: skip
def test_the_number_that_counts_a_series(stem: str, shared: str, number: int | None) -> None:
    assert layout.numbered(stem) == (shared, number)


def test_a_channel_of_nnunet_is_no_year() -> None:
    assert layout.channel_of("BRATS_001_0003") == ("BRATS_001", 3)
    assert layout.channel_of("ann_2019") is layout.channel_of("head") is None


@pytest.mark.parametrize("name", ["1²3", "²", "a²", "٣", "", "9" * 200])
def test_any_name_can_be_sorted(name: str) -> None:
    assert sorted([name, "a_10", "a_2", "a_1"], key=layout.natural_key)[-3:] == ["a_1", "a_2", "a_10"] or name > "a"
    parse(name), layout.numbered(name), key_of(PurePath(name or "x"))


def test_a_long_name_is_parsed_at_once() -> None:
    for name in ("t1_" * 5000, "_" * 20000, "lesion_" * 3000 + "x", "3d-" * 5000 + "flairx"):
        assert parse(name[:255]).role is None or parse(name[:255])


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a_10.png", "a_2.png", ".b.png", ".hidden/c.png", "__MACOSX/._d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in layout.visible_files(tmp_path)] == ["a_2.png", "a_10.png"]

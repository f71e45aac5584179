"""The index names every fault at once; a split never puts a patient on two sides, nor touches the held-out fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from lgg_demo.train.data import (
    COLUMNS,
    PUBLISHED,
    DatasetError,
    PatientDataset,
    SliceDataset,
    Split,
    index_dataset,
    institution,
    of_fold,
    read_patient,
    read_patients,
    source_of,
    split_by_fold,
    split_by_seed,
)

A, B, C, D, E = (f"TCGA_AA_000{n}_20000101" for n in range(1, 6))


Shape = tuple[int, ...]


def write(folder: Path, name: str, shape: Shape = (256, 256, 3), mask: Shape | None = (256, 256)) -> None:
    """An image NAME.tif and, unless told otherwise, its mask: flat, for faults need no heads."""
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{name}.tif", np.full(shape, 7, np.uint8), photometric="rgb")
    if mask is not None:
        tifffile.imwrite(folder / f"{name}_mask.tif", np.zeros(mask, np.uint8), photometric="minisblack")


def test_index_has_one_row_a_slice_in_order_of_patient_and_number(dataset: Path) -> None:
    index = index_dataset(dataset)
    assert list(index.columns) == COLUMNS == ["patient", "slice", "image", "mask", "tumour"]
    assert index["slice"].dtype == np.int64
    assert index["tumour"].dtype == bool
    assert list(index["patient"].unique()) == [A, B, C, D, E]
    assert list(index.loc[index["patient"] == A, "slice"]) == [9, 10, 11, 12]
    assert list(index.loc[index["patient"] == A, "tumour"]) == [False, False, True, True]
    for row in index.itertuples():
        assert row.image == dataset / row.patient / f"{row.patient}_{row.slice}.tif"
        assert row.mask == dataset / row.patient / f"{row.patient}_{row.slice}_mask.tif"
        assert row.tumour == bool(tifffile.imread(row.mask).any())


def test_two_comes_before_ten(tmp_path: Path) -> None:
    for number in (10, 2, 1, 11):
        write(tmp_path / A, f"{A}_{number}")
    assert list(index_dataset(tmp_path)["slice"]) == [1, 2, 10, 11]


def test_a_subset_of_patients(dataset: Path) -> None:
    assert set(index_dataset(dataset, [D, B])["patient"]) == {B, D}


def test_the_folder_around_kaggle_3m_serves_as_well(dataset: Path) -> None:
    pd.testing.assert_frame_equal(index_dataset(dataset.parent), index_dataset(dataset))


def test_all_faults_stand_in_one_error(tmp_path: Path) -> None:
    write(tmp_path / A, f"{A}_1", mask=None)
    write(tmp_path / A, f"{A}_2")
    (tmp_path / A / f"{A}_2.tif").unlink()
    write(tmp_path / A, f"{A}_3", shape=(256, 192, 3))
    write(tmp_path / A, f"{A}_4", mask=(128, 128))
    write(tmp_path / A, f"{A}_5")  # whole
    write(tmp_path / B, "final")
    write(tmp_path / B, f"{B}_1", shape=(2, 256, 256, 3))
    write(tmp_path / B, f"{B}_2")
    for name in (f"{B}_2.tif", f"{B}_2_mask.tif"):
        (tmp_path / B / name).write_bytes(b"this is not a TIFF")
    write(tmp_path / B, f"{B}_3")
    (tmp_path / B / f"{B}_3_mask.tif").write_bytes(b"")
    (tmp_path / C).mkdir()
    (tmp_path / C / "notes.txt").write_text("no slices here")
    with pytest.raises(DatasetError) as caught:
        index_dataset(tmp_path, [A, B, C, D])
    head, *faults = str(caught.value).splitlines()
    assert head == f"{tmp_path} has 11 faults:"
    expected = [
        f"{D}: no folder of this patient",
        f"{C}: no slices in this patient's folder",
        f"{A}/{A}_1.tif: image without mask",
        f"{A}/{A}_2_mask.tif: mask without image",
        f"{A}/{A}_3.tif: 192×256 pixels instead of 256×256",
        f"{A}/{A}_4_mask.tif: 128×128 pixels instead of 256×256",
        f"{B}/final.tif: the name does not end in a slice number",
        f"{B}/{B}_1.tif: 2 pages instead of one slice",
        f"{B}/{B}_2.tif: the content is not the image",
        f"{B}/{B}_2_mask.tif: the content is not the image",
        f"{B}/{B}_3_mask.tif: the file is empty",
    ]
    assert len(faults) == len(expected)
    for fault, beginning in zip(sorted(f.strip() for f in faults), sorted(expected), strict=True):
        assert fault.startswith(beginning)


def test_two_patients_in_one_folder_are_no_patient(tmp_path: Path) -> None:
    for name in (A, B):
        for number in (1, 2):
            write(tmp_path / "test", f"{name}_{number}")
    with pytest.raises(DatasetError) as caught:
        index_dataset(tmp_path)
    fault = f"test/{B}_1.tif: another series than {A}_1.tif; a patient's folder holds one series"
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [fault]


def test_a_slice_twice_is_a_fault(tmp_path: Path) -> None:
    for number in ("1", "01", "2"):
        write(tmp_path / A, f"{A}_{number}")
    with pytest.raises(DatasetError, match=rf"{A}_1.tif: slice 1 is {A}_01.tif already"):
        index_dataset(tmp_path)


def test_a_stack_that_cannot_be_read_whole_gets_one_sentence(dataset: Path) -> None:
    rows = index_dataset(dataset, [A])
    with pytest.raises(DatasetError, match=f"^{A}: "):
        read_patient(pd.concat([rows] * 300))


def test_the_patients_of_a_json_of_results(tmp_path: Path) -> None:
    path = tmp_path / "cross_validation.json"
    path.write_text(json.dumps({"per_patient": [{"patient": "b", "fold": 2, "dice": 1.0}, {"patient": "a", "fold": 1}]}))
    assert read_patients(path, "fold").to_dict("list") == {"patient": ["b", "a"], "fold": [2, 1]}
    for text in ("{", "{}", "[]"):
        path.write_text(text)
        with pytest.raises(DatasetError, match="cannot be read as JSON of patients"):
            read_patients(path, "fold")


@pytest.mark.parametrize(("name", "word"), [("TCGA_CS_4941_19960909", "CS"), ("case_01", ""), ("TCGA", ""), ("a", "")])
def test_the_institution_is_that_of_a_tcga_name(name: str, word: str) -> None:
    assert institution(name) == word


def test_an_empty_folder_and_a_file_are_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty" / A).mkdir(parents=True)
    with pytest.raises(DatasetError, match="not a folder"):
        index_dataset(tmp_path / "file")
    with pytest.raises(DatasetError, match="holds no slices"):
        index_dataset(tmp_path / "empty")


def test_a_csv_of_slices_names_each_patient_once(tmp_path: Path) -> None:
    path = tmp_path / "slices.csv"
    path.write_text(f"slice,patient,dice\n1,{A},0.5\n2,{A},0.6\n1,007,1\n,,\n")
    assert list(read_patients(path)["patient"]) == [A, "007"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read as CSV"),
        ("", "cannot be read as CSV"),
        ("patient,fold\na,1\nb,1,2,3\n", "cannot be read as CSV"),
        ("name,fold\na,1\n", "has no column patient; it has name, fold"),
        ("patient\na\n", "has no column fold"),
        ("patient,fold\n", "names no patient"),
        ("patient,fold\na,1\nb,2\na,2\n", "names a twice"),
    ],
)
def test_a_csv_that_cannot_be_used_gets_one_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "folds.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=said) as caught:
        read_patients(path, "fold")
    assert "\n" not in str(caught.value)


def test_split_by_fold_leaves_the_held_out_fold_alone(folds: Path) -> None:
    table = read_patients(folds, "fold")
    split = split_by_fold(table, 1)
    assert split == Split((B, C, D), (A,))
    with pytest.raises(DatasetError, match="Fold 0 is held out"):
        split_by_fold(table, 0)
    with pytest.raises(DatasetError, match=r"No patient is in fold 7; the folds are 0, 1, 2, 3, 4\."):
        split_by_fold(table, 7)


@pytest.mark.parametrize("fold", ["", "test"])
def test_a_patient_without_a_fold_is_not_trained_on(tmp_path: Path, fold: str) -> None:
    (tmp_path / "folds.csv").write_text(f"patient,fold\na,1\nb,{fold}\nc,2\n")
    with pytest.raises(DatasetError, match="The fold of b is not a number"):
        split_by_fold(read_patients(tmp_path / "folds.csv", "fold"), 1)


def test_no_fold_table_puts_a_patient_on_two_sides() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        names = [f"p{n}" for n in range(int(rng.integers(12, 60)))]
        table = pd.DataFrame({"patient": rng.permutation(names), "fold": np.arange(len(names)) % 5})
        held_out = set(table.loc[table["fold"] == 0, "patient"])
        for fold in (1, 2, 3, 4):
            split = split_by_fold(table, fold)
            assert set(split.validation) == set(table.loc[table["fold"] == fold, "patient"])
            assert not set(split.train) & set(split.validation)
            assert not held_out & (set(split.train) | set(split.validation))
            assert len(split.train) + len(split.validation) + len(held_out) == len(names)
            other = fold % 4 + 1
            without = split_by_fold(table, fold, left_out=other)
            hidden = set(table.loc[table["fold"] == other, "patient"])
            assert set(without.train) == set(split.train) - hidden
            assert without.validation == split.validation
            everyone = split_by_fold(table, None, left_out=other)
            assert set(everyone.train) == set(names) - held_out - hidden
            assert everyone.validation == ()


def test_no_seed_puts_a_patient_on_two_sides() -> None:
    names = [f"p{n}" for n in range(23)]
    rows = np.repeat(names, 3)  # an index has a row a slice
    drawn = set()
    for seed in range(200):
        split = split_by_seed(rows, 0.2, seed)
        assert split == split_by_seed(reversed(names), 0.2, seed), "the order of the patients plays no part"
        assert not set(split.train) & set(split.validation)
        assert sorted(split.train + split.validation) == sorted(names)
        assert len(split.validation) == 5
        drawn.add(split.validation)
    assert len(drawn) > 150


def test_the_fold_left_out_is_one_of_the_table() -> None:
    table = pd.DataFrame({"patient": list("abcd"), "fold": [0, 1, 2, 3]})
    with pytest.raises(DatasetError, match="Fold 2 is held out"):
        split_by_fold(table, 2, left_out=2)
    with pytest.raises(DatasetError, match="No patient is in fold 9"):
        split_by_fold(table, 1, left_out=9)


def test_a_split_that_cannot_be_is_refused() -> None:
    with pytest.raises(DatasetError, match="on both sides of the split: b"):
        Split(("a", "b"), ("b", "c"))
    with pytest.raises(DatasetError, match="no patient to train on"):
        Split((), ("a",))
    with pytest.raises(DatasetError, match="at least two patients"):
        split_by_seed(["a", "a"], 0.5, 0)
    with pytest.raises(DatasetError, match=r"A share of 0\.99 of 4 patients"):
        split_by_seed("abcd", 0.99, 0)


def test_patients_are_held_whole_and_slices_drawn_from_them(dataset: Path) -> None:
    index = index_dataset(dataset)
    patients = PatientDataset(index, [B, A])
    assert [item["patient"] for item in patients] == [B, A]
    assert patients[0]["image"].shape == (5, 3, 256, 256)
    assert patients[0]["mask"].shape == (5, 1, 256, 256)
    slices = SliceDataset(patients)
    assert len(slices) == 9
    assert slices.tumour == list(index[index["patient"] == B]["tumour"]) + list(index[index["patient"] == A]["tumour"])
    assert torch.equal(slices[5]["image"], patients[1]["image"][0])
    assert slices[5]["mask"].dtype == torch.float32
    with pytest.raises(DatasetError, match="does not have: nobody"):
        PatientDataset(index, [A, "nobody"])


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        (["TCGA_CS_4941_19960909"], PUBLISHED),
        (["ann", "bob"], "2 patients of the folder mine"),
        (["TCGA_CS_4941_19960909", "ann"], f"{PUBLISHED}; 1 patient of the folder mine"),
    ],
)
def test_the_record_says_whose_patients_taught(patients: list[str], said: str) -> None:
    assert source_of(patients, Path("somewhere/mine")) == said


@pytest.mark.parametrize("name", ["folds.csv", "folds.json"])
def test_folds_are_numbers_however_they_are_written(tmp_path: Path, name: str) -> None:
    rows = [{"patient": "ann", "fold": "0"}, {"patient": "bob", "fold": "1"}, {"patient": "cem", "fold": " 1"}]
    file = tmp_path / name
    table = pd.DataFrame(rows)
    file.write_text(json.dumps({"per_patient": rows}) if name.endswith("json") else table.to_csv(index=False))
    read = read_patients(file, "fold")
    assert of_fold(read, 0) == ["ann"] and of_fold(read, 1) == ["bob", "cem"]
    file.write_text(file.read_text().replace(" 1", "one"))
    with pytest.raises(DatasetError, match="The fold of cem is not a number"):
        read_patients(file, "fold")

"""The index names every fault at once; tables of patients; what the network is fed."""

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
    index_dataset,
    institution,
    of_fold,
    read_patient,
    read_patients,
    source_of,
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


def test_a_subset_of_patients_from_the_folder_around_kaggle_3m(dataset: Path) -> None:
    assert set(index_dataset(dataset.parent, [D, B])["patient"]) == {B, D}


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


@pytest.mark.parametrize(
    ("stems", "fault"),
    [
        ((f"{A}_1", f"{A}_2", f"{B}_1", f"{B}_2"), f"{B}_1.tif: another series than {A}_1.tif"),
        ((f"{A}_1", f"{A}_01", f"{A}_2"), f"{A}_1.tif: slice 1 is {A}_01.tif already"),
    ],
)
def test_a_folder_holds_each_slice_of_one_series_once(tmp_path: Path, stems: tuple[str, ...], fault: str) -> None:
    for stem in stems:
        write(tmp_path / "test", stem)
    with pytest.raises(DatasetError) as caught:
        index_dataset(tmp_path)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.strip().startswith(f"test/{fault}")


def test_files_that_changed_since_they_were_indexed_get_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / A, f"{A}_1")
    rows = index_dataset(tmp_path)
    rows["image"][0].write_bytes(b"")
    with pytest.raises(DatasetError, match=f"^{A}: "):
        read_patient(rows)


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


def test_patients_are_held_whole_and_slices_drawn_from_them(dataset: Path) -> None:
    index = index_dataset(dataset)
    patients = PatientDataset(index)
    assert [item["patient"] for item in patients.items] == [A, B, C, D, E]
    assert patients[1]["image"].shape == (5, 3, 256, 256) and patients[1]["mask"].shape == (5, 1, 256, 256)
    slices = SliceDataset(patients)
    assert slices.tumour == index["tumour"].tolist() and slices.patients == index["patient"].tolist()
    assert torch.equal(slices[4]["image"], patients[1]["image"][0])
    assert slices[4]["mask"].dtype == torch.float32
    chosen = SliceDataset(patients, rows=[10, 0])
    assert torch.equal(chosen[0]["image"], patients[2]["image"][1]) and len(chosen) == 2
    parts = patients.part([10, 0, 3, *range(12, 16)])  # two of A, one of C, all of D
    assert [p["patient"] for p in parts] == [A, C, D]
    assert torch.equal(parts[0]["image"], patients[0]["image"][[0, 3]])
    assert torch.equal(parts[1]["mask"], patients[2]["mask"][[1]])
    assert len(parts[2]["image"]) == 4


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        (["TCGA_CS_4941_19960909"], PUBLISHED),
        (["ann", "bob"], "2 patients of the folder mine"),
        (["TCGA_CS_4941_19960909", "ann"], f"{PUBLISHED}; 1 patient of the folder mine"),
    ],
)
def test_the_record_says_whose_patients_it_was_trained_on(patients: list[str], said: str) -> None:
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

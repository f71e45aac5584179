"""The dataset: index of a `kaggle_3m` folder, tables of patients, and what a training step draws from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from lgg_demo.case import LggDemoError, ReadError, Scan
from lgg_demo.intensity import NORMALISATION, NORMALISATIONS
from lgg_demo.network.frames import to_model
from lgg_demo.reading.layout import is_mask_name, series_stem, slice_number
from lgg_demo.reading.limits import FLAIR, MASK_ENDING, TIFF_SUFFIXES
from lgg_demo.reading.pictures import read_mask, read_scan

SIDE = 256  # every slice of the dataset
PUBLISHED = "LGG MRI Segmentation (Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002)"
HELD_OUT_FOLD = 0  # patients of this fold are never trained on and never chosen on
COLUMNS = ["patient", "slice", "image", "mask", "tumour"]


class DatasetError(LggDemoError):
    """A folder or a split that cannot be used; the message names every file or patient at fault."""


def patient_folders(folder: Path) -> list[Path]:
    """The folders in a `kaggle_3m` folder, or in one that holds it, a patient each. Raises DatasetError."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give the kaggle_3m folder of the LGG MRI Segmentation data.")
    if (folder / "kaggle_3m").is_dir():
        folder = folder / "kaggle_3m"
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def index_dataset(folder: Path, patients: Iterable[str] | None = None) -> pd.DataFrame:
    """Index a `kaggle_3m` folder: one row a slice, columns patient, slice (int), image, mask (paths), tumour (bool).

    Rows are in order of patient and slice number. `patients` restricts it to folders of these names. Raises
    DatasetError, which lists every image without mask, mask without image, wrong size, wrong name and unreadable file.
    """
    folders = patient_folders(folder)
    problems: list[str] = []
    if patients is not None:
        folders, problems = _chosen(folders, set(patients))
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(_index_patient, folders))
    problems += [problem for _, faults in parts for problem in faults]
    if problems:
        count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
        raise DatasetError(f"{folder} has {count}:\n  " + "\n  ".join(problems))
    rows = [row for found, _ in parts for row in found]
    if not rows:
        raise DatasetError(
            f"{folder} holds no slices; it should be the kaggle_3m folder, with a folder of .tif files for each patient."
        )
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["patient", "slice"], ignore_index=True)


def _chosen(folders: list[Path], wanted: set[str]) -> tuple[list[Path], list[str]]:
    """The folders of these patients, and the faults: who has no folder, whose folder has no slices."""
    problems = [f"{name}: no folder of this patient" for name in sorted(wanted - {p.name for p in folders})]
    chosen = [p for p in folders if p.name in wanted]
    return chosen, problems + [f"{p.name}: no slices in this patient's folder" for p in chosen if not _pictures(p)]


def institution(patient: str) -> str:
    """The second field of a TCGA name (`TCGA_CS_4941_19960909` gives CS), empty for any other name."""
    fields = patient.split("_")
    return fields[1] if fields[0] == "TCGA" and len(fields) > 2 else ""


def source_of(patients: Collection[str], folder: Path) -> str:
    """Where these patients come from, in words: the public data set for its own names, else the folder alone."""
    others = sum(not institution(patient) for patient in patients)
    own = f"{others} patient{'s' if others > 1 else ''} of the folder {folder.name}"
    return own if others == len(patients) else f"{PUBLISHED}; {own}" if others else PUBLISHED


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in TIFF_SUFFIXES and not p.name.startswith("."))


def _index_patient(folder: Path) -> tuple[list[tuple[str, int, Path, Path, bool]], list[str]]:
    """Its rows of the index, and its faults."""
    files = _pictures(folder)
    images = {p.stem: p for p in files if not is_mask_name(p)}
    masks = {p.stem[: -len(MASK_ENDING)]: p for p in files if is_mask_name(p)}
    problems = [f"{images[k].name}: image without mask" for k in sorted(images.keys() - masks.keys())]
    problems += [f"{masks[k].name}: mask without image" for k in sorted(masks.keys() - images.keys())]
    stems = sorted(images.keys() & masks.keys())
    problems += _misnamed([images[stem] for stem in stems])
    rows = []
    for stem in stems:
        wrong, tumour = _check_pair(images[stem], masks[stem])
        problems += wrong
        number = slice_number(images[stem])
        if number is not None and not wrong:
            rows.append((folder.name, number, images[stem], masks[stem], tumour))
    return rows, [f"{folder.name}/{problem}" for problem in problems]


def _misnamed(images: list[Path]) -> list[str]:
    """The faults of names: two patients in one folder would be scaled, split and scored as one."""
    problems = []
    series: dict[str, Path] = {}  # the first image of each
    numbered: dict[int, Path] = {}
    for image in images:
        number = slice_number(image)
        if number is None:
            problems.append(f"{image.name}: the name does not end in a slice number")
        elif series.setdefault(series_stem(image), image) is image and len(series) > 1:
            one = next(iter(series.values())).name
            problems.append(f"{image.name}: another series than {one}; a patient's folder holds one series")
        elif len(series) == 1 and numbered.setdefault(number, image) is not image:
            problems.append(f"{image.name}: slice {number} is {numbered[number].name} already")
    return problems


def _check_pair(image: Path, mask: Path) -> tuple[list[str], bool]:
    """The faults of an image and its mask, and whether the mask holds tumour."""
    wrong = []
    tumour = False
    for path in (image, mask):
        try:
            values = read_mask(path) if path is mask else read_scan(path).pixels
        except ReadError as error:
            wrong.append(str(error))
            continue
        pages, height, width = values.shape[:3]
        if (height, width) != (SIDE, SIDE):
            wrong.append(f"{path.name}: {width}×{height} pixels instead of {SIDE}×{SIDE}")
        if pages != 1:
            wrong.append(f"{path.name}: {pages} pages instead of one slice")
        tumour = bool(values.any())  # the mask's, which comes last
    return wrong, tumour


def read_patients(csv: Path, *columns: str) -> pd.DataFrame:
    """A CSV's `patient` column and, where asked for, others: one row a patient, though the CSV may have one a slice.

    The JSON that `cross_validation` and `evaluate` write serves too: its patients, and of the first their folds. Raises
    DatasetError.
    """
    try:
        if csv.suffix.lower() == ".json":
            table = pd.DataFrame(json.loads(csv.read_text(encoding="utf-8"))["per_patient"])
        else:
            table = pd.read_csv(csv, dtype={"patient": str})
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = "JSON of patients" if csv.suffix.lower() == ".json" else "CSV"
        raise DatasetError(f"{csv} cannot be read as {kind}: {' '.join(str(error).split())}") from error
    missing = [c for c in ("patient", *columns) if c not in table.columns]
    if missing:
        raise DatasetError(f"{csv} has no column {', '.join(missing)}; it has {', '.join(table.columns)}.")
    table = table[["patient", *columns]].dropna(subset="patient").drop_duplicates(ignore_index=True)
    if table.empty:
        raise DatasetError(f"{csv} names no patient.")
    if "fold" in columns:
        table = table.assign(fold=fold_numbers(table))
    twice = table.loc[table["patient"].duplicated(), "patient"]
    if len(twice):
        raise DatasetError(f"{csv} names {twice.iloc[0]} twice, with more than one {' and '.join(columns)}.")
    return table


def fold_numbers(table: pd.DataFrame) -> pd.Series:
    """The column `fold` as numbers. Raises DatasetError: a patient without a fold may be a held-out one."""
    fold = pd.to_numeric(table["fold"], errors="coerce")
    if fold.isna().any():
        raise DatasetError(f"The fold of {table.loc[fold.isna(), 'patient'].iloc[0]} is not a number.")
    return fold


def of_fold(table: pd.DataFrame, fold: int) -> list[str]:
    """The patients of one fold in a table of `read_patients`, in alphabetical order."""
    return sorted(table.loc[table["fold"] == fold, "patient"])


def missing_sequences(pixels: np.ndarray) -> tuple[str, ...]:
    """Which of `pre` and `post` are copies of FLAIR in a stack (S, H, W, 3), as the dataset fills gaps."""
    return tuple(word for c, word in ((0, "pre"), (2, "post")) if np.array_equal(pixels[..., c], pixels[..., FLAIR]))


def read_patient(rows: pd.DataFrame) -> tuple[Scan, np.ndarray]:
    """The scan of one patient, in slice order, and its reference masks (S, H, W) bool. Raises DatasetError."""
    try:
        scan = read_scan(list(rows["image"]), name=str(rows["patient"].iloc[0]))
        return scan, np.concatenate([read_mask(p, scan.size) for p in rows["mask"]])
    except ReadError as error:  # a stack of too many slices, or files that have changed since they were indexed
        raise DatasetError(f"{rows['patient'].iloc[0]}: {error}") from error


class PatientDataset(Dataset[dict[str, Any]]):
    """The patients of an index as the network sees them: `image` (S, 3, 256, 256) float32, `mask` (S, 1, 256, 256) uint8.

    In order of their names, all held in memory: 0.9 MB a slice. normalisation: one of NORMALISATIONS.
    """

    def __init__(self, index: pd.DataFrame, normalisation: str = NORMALISATION) -> None:
        self.scale_of = NORMALISATIONS[normalisation]
        with ThreadPoolExecutor() as pool:
            self.items = list(pool.map(self._load, (rows for _, rows in index.groupby("patient", sort=True))))

    def _load(self, rows: pd.DataFrame) -> dict[str, Any]:
        scan, reference = read_patient(rows)
        return {
            "patient": scan.name,
            "image": torch.from_numpy(to_model(scan.pixels, scale=self.scale_of(scan.pixels))),
            "mask": torch.from_numpy(reference.astype(np.uint8))[:, None],
        }

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.items[position]

    def part(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Its items with these rows of the index alone; patients without any are left out."""
        wanted = np.array(sorted(rows), dtype=int)
        parts, first = [], 0
        for item in self.items:
            slices = len(item["image"])
            own = wanted[(wanted >= first) & (wanted < first + slices)] - first
            first += slices
            if own.size == slices:
                parts.append(item)
            elif own.size:
                parts.append(item | {"image": item["image"][own], "mask": item["mask"][own]})
        return parts


class SliceDataset(Dataset[dict[str, torch.Tensor]]):
    """Single slices for training: `image` (3, H, W), `mask` (1, H, W), float32; rows: of the index, in this order."""

    def __init__(self, patients: PatientDataset, rows: Sequence[int] | None = None) -> None:
        every = [(item, s) for item in patients.items for s in range(len(item["image"]))]
        self.places = every if rows is None else [every[row] for row in rows]

    @property
    def tumour(self) -> list[bool]:
        """Whether each slice has tumour."""
        return [bool(item["mask"][s].any()) for item, s in self.places]

    @property
    def patients(self) -> list[str]:
        """Whose each slice is."""
        return [item["patient"] for item, _ in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        item, s = self.places[position]
        return {"image": item["image"][s], "mask": item["mask"][s].float()}

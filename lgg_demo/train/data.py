"""The dataset: index of a `kaggle_3m` folder, splits by patient, and what a training step draws."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from torch.utils.data import Dataset

from lgg_demo.case import LggDemoError, ReadError, Scan
from lgg_demo.intensity import NORMALISATION, NORMALISATIONS
from lgg_demo.network.frames import to_model, with_neighbours
from lgg_demo.reading.layout import is_mask_name, series_stem, slice_number
from lgg_demo.reading.limits import FLAIR, MASK_ENDING, TIFF_SUFFIXES
from lgg_demo.reading.pictures import read_mask, read_scan

SIDE = 256  # every slice of the dataset
PUBLISHED = "LGG MRI Segmentation (Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002)"
HELD_OUT_FOLD = 0  # patients of this fold are never trained on and never chosen on
COLUMNS = ["patient", "slice", "image", "mask", "tumour"]
TEST_SHARE, VALIDATION_SHARE = 0.1, 0.2  # the student report's: of all slices, and of those that are left


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
        wanted = set(patients)
        absent = wanted - {p.name for p in folders}
        problems += [f"{name}: no folder of this patient" for name in sorted(absent)]
        folders = [p for p in folders if p.name in wanted]
        problems += [f"{p.name}: no slices in this patient's folder" for p in folders if not _pictures(p)]
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(_index_patient, folders))
    rows = [row for part, _ in parts for row in part]
    problems += [problem for _, part in parts for problem in part]
    if problems:
        count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
        raise DatasetError(f"{folder} has {count}:\n  " + "\n  ".join(problems))
    if not rows:
        raise DatasetError(
            f"{folder} holds no slices; it should be the kaggle_3m folder, with a folder of .tif files for each patient."
        )
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["patient", "slice"], ignore_index=True)


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
    files = _pictures(folder)
    images = {p.stem: p for p in files if not is_mask_name(p)}
    masks = {p.stem[: -len(MASK_ENDING)]: p for p in files if is_mask_name(p)}
    where = folder.name
    problems = [f"{where}/{images[k].name}: image without mask" for k in sorted(images.keys() - masks.keys())]
    problems += [f"{where}/{masks[k].name}: mask without image" for k in sorted(masks.keys() - images.keys())]
    rows = []
    series: dict[str, Path] = {}  # the first of each: two patients in one folder would be scaled, split and scored as one
    numbered: dict[int, Path] = {}
    for stem in sorted(images.keys() & masks.keys()):
        image, mask = images[stem], masks[stem]
        number = slice_number(image)
        if number is None:
            problems.append(f"{where}/{image.name}: the name does not end in a slice number")
            continue
        if series.setdefault(series_stem(image), image) is image and len(series) > 1:
            one = next(iter(series.values())).name
            problems.append(f"{where}/{image.name}: another series than {one}; a patient's folder holds one series")
        elif len(series) == 1 and numbered.setdefault(number, image) is not image:
            problems.append(f"{where}/{image.name}: slice {number} is {numbered[number].name} already")
        wrong: list[str] = []
        tumour = False
        for path in (image, mask):
            try:
                values = read_mask(path) if path is mask else read_scan(path).pixels
            except ReadError as error:
                wrong.append(f"{where}/{error}")
                continue
            pages, height, width = values.shape[:3]
            if (height, width) != (SIDE, SIDE):
                wrong.append(f"{where}/{path.name}: {width}×{height} pixels instead of {SIDE}×{SIDE}")
            if pages != 1:
                wrong.append(f"{where}/{path.name}: {pages} pages instead of one slice")
            tumour = bool(values.any())  # the mask's, which comes last
        problems += wrong
        if not wrong:
            rows.append((where, number, image, mask, tumour))
    return rows, problems


@dataclass(frozen=True)
class Split:
    """Patients to train on and, where there are any, patients to choose on. No patient is on both sides."""

    train: tuple[str, ...]
    validation: tuple[str, ...]

    def __post_init__(self) -> None:
        both = sorted(set(self.train) & set(self.validation))
        if both:
            raise DatasetError(f"These patients are on both sides of the split: {', '.join(both)}.")
        if not self.train:
            raise DatasetError("The split leaves no patient to train on.")


def read_patients(csv: Path, *columns: str) -> pd.DataFrame:
    """A CSV's `patient` column and, where asked for, others: one row a patient, though the CSV may have one a slice.

    The JSON that `crossval` and `evaluate` write serves too: its patients, and of `crossval` their folds. Raises
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
        table = table.assign(fold=_fold_numbers(table))
    twice = table.loc[table["patient"].duplicated(), "patient"]
    if len(twice):
        raise DatasetError(f"{csv} names {twice.iloc[0]} twice, with more than one {' and '.join(columns)}.")
    return table


def _fold_numbers(table: pd.DataFrame) -> pd.Series:
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


def split_by_fold(folds: pd.DataFrame, validation_fold: int | None, left_out: int = HELD_OUT_FOLD) -> Split:
    """Validate on one fold (none for None), train on all others but the held-out fold 0 and the fold `left_out`."""
    fold = _fold_numbers(folds)
    hidden = {HELD_OUT_FOLD, left_out}
    if validation_fold in hidden:
        raise DatasetError(f"Fold {validation_fold} is held out: nothing is trained or chosen on it.")
    inside = folds[fold == validation_fold]["patient"]
    outside = folds[~fold.isin([validation_fold, *hidden])]["patient"]
    for wanted in (validation_fold, left_out):
        if wanted not in (None, HELD_OUT_FOLD) and not (fold == wanted).any():
            there = ", ".join(f"{f:g}" for f in sorted(fold.unique()))
            raise DatasetError(f"No patient is in fold {wanted}; the folds are {there}.")
    return Split(tuple(sorted(outside)), tuple(sorted(inside)))


def split_by_seed(patients: Iterable[str], fraction: float, seed: int) -> Split:
    """Draw `fraction` of the patients for validation; the same seed and patients give the same split."""
    names = np.array(sorted(set(patients)))
    if len(names) < 2:
        raise DatasetError("A split by patient needs at least two patients.")
    shuffle = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    try:
        train, validation = next(shuffle.split(names, groups=names))
    except ValueError as error:
        raise DatasetError(f"A share of {fraction:g} of {len(names)} patients leaves one side empty.") from error
    return Split(tuple(names[train].tolist()), tuple(names[validation].tolist()))


@dataclass(frozen=True)
class Sides:
    """Rows of an index (see `index_dataset`), counted from 0: to train on, to choose the epoch on, to test on.

    level: `patient`, or `slice` where slices were drawn one by one, so that the neighbours of a test slice are trained on.
    """

    level: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def as_json(self, index: pd.DataFrame) -> dict[str, Any]:
        """The patients of each side (with `slice` one may be on several), then their slice numbers where those differ."""
        rows = {side: index.iloc[sorted(getattr(self, side))] for side in ("train", "validation", "test")}
        out: dict[str, Any] = {"level": self.level}
        out |= {side: sorted(set(part["patient"])) for side, part in rows.items()}
        if self.level == "slice":
            out["slices"] = {
                side: {str(name): own.tolist() for name, own in part.groupby("patient")["slice"]}
                for side, part in rows.items()
            }
        return out


def split_by_slice(count: int, seed: int) -> Sides:
    """The student report's split of `count` slices: 10 % to test, then 20 % of the rest to choose on, drawn one by one.

    Both by scikit-learn's `train_test_split`, which rounds the share up: of 3,929 slices 2,828, 708 and 393.
    """
    try:
        rest, test = train_test_split(range(count), test_size=TEST_SHARE, random_state=seed)
        train, validation = train_test_split(rest, test_size=VALIDATION_SHARE, random_state=seed)
    except ValueError as error:
        raise DatasetError(f"{count} slices are too few to train, choose and test on.") from error
    return Sides("slice", tuple(train), tuple(validation), tuple(test))


def rows_of_patients(index: pd.DataFrame, split: Split, test: Sequence[str], seed: int) -> Sides:
    """A split by patient as rows of an index, in random order: batches then mix patients as those of a split by slice.

    Raises DatasetError where a patient to test on is also trained or chosen on.
    """
    both = sorted(set(test) & set(split.train + split.validation))
    if both:
        raise DatasetError(f"These patients are on both sides of the split: {', '.join(both)}.")
    random = np.random.default_rng(seed)

    def rows(names: Sequence[str]) -> tuple[int, ...]:
        return tuple(random.permutation(np.flatnonzero(index["patient"].isin(names))).tolist())

    return Sides("patient", rows(split.train), rows(split.validation), rows(test))


def read_patient(rows: pd.DataFrame) -> tuple[Scan, np.ndarray]:
    """The scan of one patient, in slice order, and its reference masks (S, H, W) bool. Raises DatasetError."""
    try:
        scan = read_scan(list(rows["image"]), name=str(rows["patient"].iloc[0]))
        return scan, np.concatenate([read_mask(p, scan.size) for p in rows["mask"]])
    except ReadError as error:  # a stack of too many slices, or files that have changed since they were indexed
        raise DatasetError(f"{rows['patient'].iloc[0]}: {error}") from error


class PatientDataset(Dataset[dict[str, Any]]):
    """Whole patients as the network sees them: `image` (S, 3, 256, 256) float32, `mask` (S, 1, 256, 256) uint8.

    All of them are held in memory: 0.9 MB a slice. normalisation: one of NORMALISATIONS.
    """

    def __init__(self, index: pd.DataFrame, patients: Sequence[str], normalisation: str = NORMALISATION) -> None:
        self.patients = list(patients)
        self.scale_of = NORMALISATIONS[normalisation]
        groups = dict(tuple(index.groupby("patient")))
        absent = [p for p in self.patients if p not in groups]
        if absent:
            raise DatasetError(f"The split names patients that the data does not have: {', '.join(absent)}.")
        with ThreadPoolExecutor() as pool:
            self.items = list(pool.map(lambda p: self._load(groups[p]), self.patients))

    def _load(self, rows: pd.DataFrame) -> dict[str, Any]:
        scan, reference = read_patient(rows)
        return {
            "patient": scan.name,
            "image": to_model(scan.pixels, scale=self.scale_of(scan.pixels)),
            "mask": torch.from_numpy(reference.astype(np.uint8))[:, None],
        }

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.items[position]

    def part(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Its items with these slices alone, counted from 0 through all patients; patients without any are left out."""
        wanted = np.array(sorted(rows), dtype=int)
        parts, first = [], 0
        for item in self.items:
            own = wanted[(wanted >= first) & (wanted < first + len(item["image"]))] - first
            first += len(item["image"])
            if own.size:
                parts.append({"patient": item["patient"], "image": item["image"][own], "mask": item["mask"][own]})
        return parts


class SliceDataset(Dataset[dict[str, torch.Tensor]]):
    """Single slices for training: `image` (3 + 6 context, H, W), `mask` (1, H, W), float32.

    rows: these alone, in this order, counted from 0 through all patients.
    """

    def __init__(self, patients: PatientDataset, context: int = 0, rows: Sequence[int] | None = None) -> None:
        self.context = context
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
        image = with_neighbours(item["image"], self.context, slice(s, s + 1))[0]
        return {"image": image, "mask": item["mask"][s].float()}

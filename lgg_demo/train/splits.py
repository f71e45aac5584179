"""Who is trained on, who chooses the epoch and who is tested: by fold, by seed, or slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from lgg_demo.train.data import HELD_OUT_FOLD, DatasetError, fold_numbers, index_dataset, of_fold, read_patients
from lgg_demo.train.settings import SeedSettings, TrainSettings

TEST_SHARE, VALIDATION_SHARE = 0.1, 0.2  # the student report's: of all slices, and of those that are left


@dataclass(frozen=True)
class Split:
    """Names of patients to train on, to choose the epoch on and to test on. No patient is on two sides."""

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        everyone = pd.Series([*self.train, *self.validation, *self.test])
        twice = sorted(set(everyone[everyone.duplicated()]))
        if twice:
            raise DatasetError(f"These patients are on both sides of the split: {', '.join(twice)}.")
        if not self.train:
            raise DatasetError("The split leaves no patient to train on.")


def split_by_fold(folds: pd.DataFrame, validation_fold: int | None, left_out: int = HELD_OUT_FOLD) -> Split:
    """Validate on one fold (none for None), train on all others but the held-out fold 0 and the fold `left_out`."""
    fold = fold_numbers(folds)
    hidden = {HELD_OUT_FOLD, left_out}
    if validation_fold in hidden:
        raise DatasetError(f"Fold {validation_fold} is held out: nothing is trained or chosen on it.")
    for wanted in (validation_fold, left_out):
        if wanted not in (None, HELD_OUT_FOLD) and not (fold == wanted).any():
            there = ", ".join(f"{f:g}" for f in sorted(fold.unique()))
            raise DatasetError(f"No patient is in fold {wanted}; the folds are {there}.")
    outside = folds[~fold.isin([validation_fold, *hidden])]["patient"]
    return Split(tuple(sorted(outside)), tuple(sorted(folds[fold == validation_fold]["patient"])))


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
        """The patients of each side (with `slice` one may be on several), then their slice numbers where those differ.

        Without slices to test on, the patients to train and to choose on alone.
        """
        rows = {side: index.iloc[sorted(getattr(self, side))] for side in ("train", "validation", "test")}
        names: dict[str, Any] = {side: sorted(set(part["patient"])) for side, part in rows.items()}
        if not self.test:
            return {side: names[side] for side in ("train", "validation")}
        if self.level == "slice":
            names["slices"] = {
                side: {str(name): own.tolist() for name, own in part.groupby("patient")["slice"]}
                for side, part in rows.items()
            }
        return {"level": self.level} | names


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


def rows_of_patients(index: pd.DataFrame, split: Split, seed: int | None = None) -> Sides:
    """A split by patient as rows of an index, in its order, or with a seed in random order.

    Batches of slices in random order mix patients as those of a split by slice do.
    """
    random = None if seed is None else np.random.default_rng(seed)

    def rows(names: Sequence[str]) -> tuple[int, ...]:
        found = np.flatnonzero(index["patient"].isin(names))
        return tuple((found if random is None else random.permutation(found)).tolist())

    return Sides("patient", rows(split.train), rows(split.validation), rows(split.test))


def _by_fold(settings: TrainSettings | SeedSettings, folds: pd.DataFrame) -> Split:
    if isinstance(settings, TrainSettings):
        return split_by_fold(folds, settings.validation_fold if settings.validate else None, settings.leave_out_fold)
    split = split_by_fold(folds, settings.validation_fold, settings.test_fold)
    return Split(split.train, split.validation, tuple(of_fold(folds, settings.test_fold)))


def _by_seed(settings: TrainSettings | SeedSettings, names: Iterable[str]) -> Split:
    if isinstance(settings, SeedSettings):
        outer = split_by_seed(names, TEST_SHARE, settings.seed)
        inner = split_by_seed(outer.train, VALIDATION_SHARE, settings.seed)
        return Split(inner.train, inner.validation, outer.validation)
    if settings.validate:
        return split_by_seed(names, settings.validation_fraction, settings.seed)
    return Split(tuple(sorted(set(names))))


def sides_of(settings: TrainSettings | SeedSettings) -> tuple[pd.DataFrame, Sides]:
    """The index of the data, and its rows to train, choose and test on. Raises DatasetError."""
    folds = read_patients(settings.folds, "fold") if settings.folds else None
    if settings.split == "slice":
        index = index_dataset(settings.data, None if folds is None else split_by_fold(folds, None).train)
        return index, split_by_slice(len(index), settings.seed)
    if folds is not None:
        split = _by_fold(settings, folds)
        index = index_dataset(settings.data, [*split.train, *split.validation, *split.test])
    else:
        index = index_dataset(settings.data)
        split = _by_seed(settings, index["patient"])
    return index, rows_of_patients(index, split, settings.seed if isinstance(settings, SeedSettings) else None)

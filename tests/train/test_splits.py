"""A split never puts a patient on two sides, nor touches the held-out fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PATIENTS

from lgg_demo.train.data import DatasetError, read_patients
from lgg_demo.train.settings import SeedSettings
from lgg_demo.train.splits import Sides, Split, sides_of, split_by_fold, split_by_seed, split_by_slice

A, B, C, D, E = PATIENTS


def test_split_by_fold_leaves_the_held_out_fold_alone(folds: Path) -> None:
    table = read_patients(folds, "fold")
    assert split_by_fold(table, 1) == Split((B, C, D), (A,))
    for given, said in (
        ((0,), "Fold 0 is held out"),
        ((2, 2), "Fold 2 is held out"),
        ((1, 9), "No patient is in fold 9"),
        ((7,), r"No patient is in fold 7; the folds are 0, 1, 2, 3, 4\."),
    ):
        with pytest.raises(DatasetError, match=said):
            split_by_fold(table, *given)


def test_no_fold_table_puts_a_patient_on_two_sides() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        names = [f"p{n}" for n in range(int(rng.integers(12, 60)))]
        table = pd.DataFrame({"patient": rng.permutation(names), "fold": np.arange(len(names)) % 5})
        of = {fold: set(table.loc[table["fold"] == fold, "patient"]) for fold in range(5)}
        for fold in (1, 2, 3, 4):
            other = fold % 4 + 1
            split, without = split_by_fold(table, fold), split_by_fold(table, fold, left_out=other)
            assert set(split.train) == set(names) - of[0] - of[fold]
            assert set(without.train) == set(split.train) - of[other]
            assert set(split.validation) == set(without.validation) == of[fold]
            everyone = split_by_fold(table, None, left_out=other)
            assert (set(everyone.train), everyone.validation) == (set(names) - of[0] - of[other], ())


def test_no_seed_puts_a_patient_on_two_sides() -> None:
    names = [f"p{n}" for n in range(23)]
    rows = np.repeat(names, 3)  # an index has a row a slice
    drawn = set()
    for seed in range(50):
        split = split_by_seed(rows, 0.2, seed)
        assert split == split_by_seed(reversed(names), 0.2, seed), "the order of the patients plays no part"
        assert sorted(split.train + split.validation) == sorted(names)
        assert len(split.validation) == 5
        drawn.add(split.validation)
    assert len(drawn) > 40


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((("a", "b"), ("b", "c")), "on both sides of the split: b"),
        ((("a", "b"), ("c",), ("b",)), "on both sides of the split: b"),
        (((), ("a",)), "no patient to train on"),
    ],
)
def test_a_split_that_cannot_be_is_refused(names: tuple[tuple[str, ...], ...], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        Split(*names)


def test_a_share_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DatasetError, match="at least two patients"):
        split_by_seed(["a", "a"], 0.5, 0)
    with pytest.raises(DatasetError, match=r"A share of 0\.99 of 4 patients"):
        split_by_seed("abcd", 0.99, 0)
    with pytest.raises(DatasetError, match="1 slices are too few"):
        split_by_slice(1, seed=0)


def test_the_split_of_the_complete_data_is_that_of_the_report() -> None:
    sides = split_by_slice(3929, seed=0)
    assert [len(rows) for rows in (sides.train, sides.validation, sides.test)] == [2828, 708, 393]
    assert sorted(sides.train + sides.validation + sides.test) == list(range(3929))
    assert split_by_slice(3929, seed=0) == sides != split_by_slice(3929, seed=1)


def report(dataset: Path, **more: Any) -> tuple[pd.DataFrame, Sides, dict[str, Any]]:
    """The report's index and split, and what split.json says of it."""
    index, sides = sides_of(SeedSettings(data=dataset, out=Path("run"), **more))
    return index, sides, sides.as_json(index)


def test_by_patient_nobody_is_on_two_sides(dataset: Path, folds: Path) -> None:
    index, sides, said = report(dataset, split="patient", folds=folds)
    assert said == {"level": "patient", "train": [C, D], "validation": [A], "test": [B]}
    assert E not in set(index["patient"]), "fold 0 is held out"
    assert sorted(sides.train + sides.validation + sides.test) == list(range(len(index)))
    assert list(sides.train) != sorted(sides.train), "batches mix patients"
    _, _, said = report(dataset, split="patient")
    assert [len(said[side]) for side in ("train", "validation", "test")] == [3, 1, 1]
    assert len({name for side in ("train", "validation", "test") for name in said[side]}) == 5


def test_by_slice_the_split_names_every_slice(dataset: Path, folds: Path) -> None:
    index, sides, said = report(dataset, folds=folds)
    assert said["level"] == "slice"
    named = [(p, n) for part in said["slices"].values() for p, numbers in part.items() for n in numbers]
    assert sorted(named) == sorted(zip(index["patient"], index["slice"].tolist(), strict=True))
    assert [len(sides.train), len(sides.validation), len(sides.test)] == [11, 3, 2]

"""What is in the data: counts by hand on the drawn patients, and the files that are left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PATIENTS
from matplotlib import pyplot as plt
from PIL import Image

from lgg_demo.experiments import explore
from lgg_demo.reading.pictures import read_mask
from lgg_demo.train.data import index_dataset

FILES = ["counts.json", "missing_sequences.png", "pie.png", "position_map.png", "samples.png", "slices_per_patient.png",
         "tumour_area.png"]  # fmt: skip
Sentence = Callable[[Callable[[list[str]], int], list[str]], str]


def test_counts_and_figures_of_the_drawn_patients(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = sum(patient[2] for patient in PATIENTS.values())
    tumour = [sum(bool(read_mask(p).any()) for p in (dataset / name).glob("*_mask.tif")) for name in PATIENTS]
    ill, out = sum(tumour), tmp_path / "out"
    assert explore.main(["--data", str(dataset), "--out", str(out)]) == 0
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        f"{slices} images",
        f"{slices} masks",
        f"{ill} with tumour ({100 * ill / slices:.1f} %)",
        f"{slices - ill} without ({100 - 100 * ill / slices:.1f} %)",
        "5 patients, of 3 to 5 slices",
    ]
    assert sorted(p.name for p in out.iterdir()) == FILES
    for name in FILES[1:]:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200, name
    counts = json.loads((out / "counts.json").read_text(encoding="utf-8"))
    assert [counts[k] for k in ("images", "masks", "with_tumour", "without_tumour")] == [slices, slices, ill, slices - ill]
    assert counts["missing"] == {"none": 4, "pre-contrast": 0, "post-contrast": 0, "both": 1}
    assert list(counts["by_institution"]) == ["AA"]
    assert [(p["patient"], p["tumour_slices"]) for p in counts["per_patient"]] == list(zip(PATIENTS, tumour, strict=True))


def test_area_and_position_are_those_of_the_references(dataset: Path) -> None:
    index = index_dataset(dataset, list(PATIENTS)[:2])
    patients, position = explore.measure(index)
    references = np.concatenate([read_mask(path) for path in index["mask"]])
    assert int(patients["tumour_pixels"].sum()) == int(references.sum()) > 0
    np.testing.assert_array_equal(position, references.sum(axis=0))


def test_the_axis_of_the_area_begins_at_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "close", lambda figure: None)
    explore.draw_area(
        pd.DataFrame({"institution": list("AAAB"), "tumour_pixels": [0, 300, 9000, 40_000]}), tmp_path / "a.png"
    )
    (axis,) = plt.gcf().axes
    (low, high), ticks = axis.get_ylim(), axis.get_yticks()
    plt.clf()
    assert low == 0 and high > 40_000, "nothing negative, everybody inside"
    assert {1e2, 1e3, 1e4} <= set(ticks), "a logarithmic axis"


@pytest.mark.parametrize(
    ("copied", "said"), [((), "none"), ((0,), "pre-contrast"), ((2,), "post-contrast"), ((0, 2), "both")]
)
def test_a_missing_sequence_is_a_copy_of_flair(copied: tuple[int, ...], said: str) -> None:
    pixels = np.random.default_rng(0).random((2, 4, 4, 3))
    for channel in copied:
        pixels[..., channel] = pixels[..., 1]
    assert explore.missing_sequence(pixels) == said


def test_a_healthy_dataset_has_no_samples_to_show(dataset: Path, tmp_path: Path) -> None:
    index = index_dataset(dataset)
    explore.explore(index[~index["tumour"]], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name for name in FILES if name != "samples.png"]


def test_a_folder_without_data_gets_one_sentence(tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert "no-such is not a folder" in sentence(explore.main, ["--data", "no-such", *out])
    assert "holds no slices" in sentence(explore.main, ["--data", str(tmp_path), *out])
    assert not (tmp_path / "out").exists()

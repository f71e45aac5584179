"""metrics.json keeps its contract, its figures are those a person would compute by hand, and they score what is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PATIENTS
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt
from tifffile import imread

from lgg_demo import evaluate, predict
from lgg_demo.measure import patients
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.reading.pictures import read_scan

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
FILES = ["dice_by_patient.png", "dice_by_threshold.png", "metrics.json", "per_slice.csv"]
SCORED = [name for name, (fold, *_) in PATIENTS.items() if fold in (0, 1, 4)]


@pytest.fixture(scope="module")
def served(dataset: Path, segmenter: Segmenter) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each patient what the Segmenter serves and the reference, both read without the index: (levels, masks)."""
    found = {}
    for name, (_, first, slices, *_) in PATIENTS.items():
        images = [dataset / name / f"{name}_{n}.tif" for n in range(first, first + slices)]
        masks = np.stack([imread(p.with_name(f"{p.stem}_mask.tif")) for p in images]) > 0
        found[name] = (segmenter.segment(read_scan(images)), masks)
    return found


@pytest.fixture(scope="module")
def threshold(served: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """At which this barely trained network outlines a twentieth of all pixels, so that no figure is 0 or 1."""
    return round(float(np.quantile(np.concatenate([levels.ravel() for levels, _ in served.values()]), 0.95)) / 255, 4)


@pytest.fixture(scope="module")
def patients_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("csv") / "patients.csv"
    path.write_text("institution,patient\n" + "".join(f"AA,{name}\n" for name in SCORED))
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, dataset: Path, run: Path, patients_csv: Path, threshold: float) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "out"
    arguments = ["--data", str(dataset), "--patients", str(patients_csv), "--checkpoint", str(run), "--out", str(out)]
    assert evaluate.main([*arguments, "--threshold", str(threshold)]) == 0
    return out


@pytest.fixture(scope="module")
def metrics(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "metrics.json").read_text(encoding="utf-8")))


def test_files(out: Path) -> None:
    assert sorted(p.name for p in out.iterdir()) == FILES
    for name in FILES[:2]:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200


def test_metrics_have_the_keys_and_types_of_the_contract(metrics: dict[str, Any]) -> None:
    figures = [
        "threshold", "volume_dice_mean", "volume_dice_median", "pooled_dice", "pooled_iou", "tumour_slice_dice_mean",
        "slice_dice_mean_empty_as_one", "empty_slice_false_positive_rate", "hd95_px_median", "seconds_per_slice",
    ]  # fmt: skip
    for key in figures:
        assert type(metrics[key]) is float, key
    assert type(metrics["patients"]) is int
    assert type(metrics["slices"]) is int
    assert [type(v) for v in metrics["volume_dice_ci95"]] == [float, float]
    assert type(metrics["per_patient"]) is list
    types = {"patient": str, "slices": int, "dice": float, "iou": float, "predicted_pixels": int, "reference_pixels": int}
    for patient in metrics["per_patient"]:
        assert {key: type(patient[key]) for key in types} == types
    assert metrics["seconds_per_slice"] > 0


def by_hand(p: np.ndarray, r: np.ndarray) -> tuple[float, float]:
    """Dice and IoU of two masks, 1 where both are empty."""
    hit, either = int((p & r).sum()), int((p | r).sum())
    return (2 * hit / (int(p.sum()) + int(r.sum())), hit / either) if either else (1.0, 1.0)


def hd95_by_hand(p: np.ndarray, r: np.ndarray) -> float:
    def surface(m: np.ndarray) -> np.ndarray:
        return np.asarray(m & ~binary_erosion(m))

    p, r = (surface(np.pad(m, 1)) for m in (p, r))
    away = [distance_transform_edt(~b)[a] for a, b in ((p, r), (r, p))]
    return float(max(np.percentile(d, 95) for d in away))


def test_figures_are_those_computed_by_hand(
    metrics: dict[str, Any], served: dict[str, tuple[np.ndarray, np.ndarray]], threshold: float
) -> None:
    pairs = {name: (served[name][0] / 255 >= threshold, served[name][1]) for name in SCORED}
    assert all(p.any() for p, _ in pairs.values())
    volume = {name: by_hand(*pair) for name, pair in pairs.items()}
    for patient in metrics["per_patient"]:
        p, r = pairs[patient["patient"]]
        assert patient["slices"] == len(r) == PATIENTS[patient["patient"]][2]
        assert (patient["dice"], patient["iou"]) == pytest.approx(volume[patient["patient"]])
        assert (patient["predicted_pixels"], patient["reference_pixels"]) == (p.sum(), r.sum())
    assert [patient["patient"] for patient in metrics["per_patient"]] == SCORED

    dice = np.array([d for d, _ in volume.values()])
    slices = [(p, r) for ps, rs in pairs.values() for p, r in zip(ps, rs, strict=True)]
    everything = [np.concatenate([pair[side] for pair in pairs.values()]) for side in (0, 1)]
    assert metrics["patients"] == len(SCORED)
    assert metrics["slices"] == len(slices) == sum(PATIENTS[name][2] for name in SCORED)
    assert metrics["threshold"] == threshold
    assert metrics["volume_dice_mean"] == pytest.approx(dice.mean())
    assert metrics["volume_dice_median"] == pytest.approx(np.median(dice))
    assert (metrics["pooled_dice"], metrics["pooled_iou"]) == pytest.approx(by_hand(*everything))
    assert metrics["tumour_slice_dice_mean"] == pytest.approx(np.mean([by_hand(p, r)[0] for p, r in slices if r.any()]))
    assert metrics["slice_dice_mean_empty_as_one"] == pytest.approx(np.mean([by_hand(p, r)[0] for p, r in slices]))
    assert metrics["empty_slice_false_positive_rate"] == pytest.approx(np.mean([p.any() for p, r in slices if not r.any()]))
    assert metrics["hd95_px_median"] == pytest.approx(np.median([hd95_by_hand(*pair) for pair in pairs.values()]), abs=1e-3)

    rng = np.random.default_rng(1)  # another draw than that of the command: the same interval but for chance
    means = dice[rng.integers(0, len(dice), (10_000, len(dice)))].mean(axis=1)
    spread = dice.max() - dice.min()
    assert metrics["volume_dice_ci95"] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.1 * spread + 1e-9)


def test_slices_have_a_row_each(out: Path, served: dict[str, tuple[np.ndarray, np.ndarray]], threshold: float) -> None:
    table = pd.read_csv(out / "per_slice.csv")
    assert list(table.columns) == ["patient", "slice", "dice", "iou", "tp", "fp", "fn", "tn"]
    expected = [(name, first + s) for name in SCORED for _, first, n, *_ in [PATIENTS[name]] for s in range(n)]
    assert list(zip(table["patient"], table["slice"], strict=True)) == expected
    for row in table.itertuples():
        s = row.slice - PATIENTS[row.patient][1]
        p, r = served[row.patient][0][s] / 255 >= threshold, served[row.patient][1][s]
        assert (row.dice, row.iou) == pytest.approx(by_hand(p, r), abs=1e-5)
        assert (row.tp, row.fp, row.fn, row.tn) == ((p & r).sum(), (p & ~r).sum(), (~p & r).sum(), (~p & ~r).sum())


def test_evaluate_scores_what_predict_serves(
    out: Path, metrics: dict[str, Any], dataset: Path, run: Path, threshold: float, tmp_path: Path
) -> None:
    folders = [str(dataset / name) for name in SCORED]
    arguments = ["--checkpoint", str(run), "--threshold", str(threshold), "--out", str(tmp_path)]
    assert predict.main([*folders, *arguments]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["total"]["dice"] == metrics["pooled_dice"]
    assert report["total"]["iou"] == metrics["pooled_iou"]
    assert report["total"]["slices"] == metrics["slices"]
    assert report["total"]["predicted_pixels"] == sum(p["predicted_pixels"] for p in metrics["per_patient"])
    assert report["total"]["reference_pixels"] == sum(p["reference_pixels"] for p in metrics["per_patient"])
    assert report["model"]["sha256"] == metrics["model"]["sha256"]
    by_file = {image["file"]: image for image in report["images"]}
    for row in pd.read_csv(out / "per_slice.csv").itertuples():
        image = by_file[f"{row.patient}_{row.slice}.tif"]
        assert (image["dice"], image["iou"]) == pytest.approx((row.dice, row.iou), abs=1e-5)
        assert image["predicted_pixels"] == row.tp + row.fp


def test_all_patients_at_the_recorded_threshold(
    dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--data", str(dataset.parent), "--checkpoint", str(run), "--out", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["patients"] == len(PATIENTS)
    assert metrics["threshold"] == 0.5
    printed = capsys.readouterr()
    assert "trained on 3 of these patients, and 1 chose its epoch" in printed.err
    assert metrics["patients_the_network_was_trained_on"] == 3
    assert metrics["patients_that_chose_its_epoch"] == 1
    for name in PATIENTS:
        assert name in printed.out
    assert f"{metrics['volume_dice_mean']:.4f}" in printed.out


def test_dice_at_every_level_is_that_of_the_mask() -> None:
    rng = np.random.default_rng(0)
    levels, reference = rng.integers(0, 256, (3, 8, 8)).astype(np.uint8), rng.random((3, 8, 8)) < 0.3
    curve = patients.dice_by_level(levels, reference)
    assert curve == pytest.approx([by_hand(levels >= level, reference)[0] for level in range(256)])
    assert patients.dice_by_level(np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), bool))[128] == 1


def test_figures_that_do_not_exist_are_null(dataset: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    """At threshold 1 nothing is predicted: there is no distance between surfaces, and JSON knows no infinity."""
    index = evaluate.index_dataset(dataset, SCORED[:1])
    metrics = evaluate.evaluate(index[index["tumour"]], segmenter, 1.0, tmp_path)
    assert metrics["volume_dice_mean"] == 0
    assert metrics["hd95_px_median"] is None
    assert metrics["empty_slice_false_positive_rate"] is None
    assert "Infinity" not in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("patient\nTCGA_XX_0000_20000101\n", "TCGA_XX_0000_20000101: no folder of this patient"),
        ("name\nx\n", "has no column patient"),
        ("patient\n", "names no patient"),
        (None, "cannot be read as CSV"),
    ],
)
def test_a_wrong_list_of_patients_is_refused(
    content: str | None, said: str, dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "patients.csv"
    if content:
        path.write_text(content)
    out = tmp_path / "out"
    arguments = ["--data", str(dataset), "--patients", str(path), "--checkpoint", str(run), "--out", str(out)]
    assert evaluate.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("evaluate: ")
    assert said in printed
    assert not out.exists()


def test_wrong_arguments_get_one_sentence(dataset: Path, run: Path, tmp_path: Path, sentence: Sentence) -> None:
    (tmp_path / "file").touch()
    good = {"--data": str(dataset), "--checkpoint": str(run), "--out": str(tmp_path / "out")}
    for flag, value, said in (
        ("--data", tmp_path / "none", "is not a folder"),
        ("--data", tmp_path, "holds no slices"),
        ("--checkpoint", tmp_path / "none.safetensors", "There is no checkpoint at"),
        ("--out", tmp_path / "file", "File exists"),
    ):
        given = good | {flag: str(value)}
        assert said in sentence(evaluate.main, [text for pair in given.items() for text in pair])


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan"])
def test_a_threshold_out_of_range_gets_one_sentence(value: str, run: Path, tmp_path: Path, sentence: Sentence) -> None:
    given = ["--data", str(tmp_path), "--checkpoint", str(run), "--out", str(tmp_path / "out"), f"--threshold={value}"]
    assert "--threshold must lie between 0 and 1" in sentence(evaluate.main, given)

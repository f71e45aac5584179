"""Robustness of networks to what uploads suffer: on drawn patients, from the command to the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENTS

from lgg_demo.case import Scan
from lgg_demo.experiments import robustness
from lgg_demo.measure.overlap import count
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.probability import binarise
from lgg_demo.reading.limits import FLAIR
from lgg_demo.train.cross_validation import RESULT

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
NAMES = {fold: name for name, (fold, *_) in PATIENTS.items()}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_robustness_of_the_cross_validation(cv_runs: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "robustness.json"
    assert robustness.main(["--data", str(dataset), "--cross-validation", str(cv_runs), "--out", str(out)]) == 0
    result = read_json(out)
    whole = read_json(cv_runs / RESULT)
    assert result["patients"] == 4
    assert result["networks"] == whole["networks"] and len(set(whole["networks"].values())) == 4
    assert result["unchanged"]["volume_dice_mean"] == pytest.approx(whole["volume_dice_mean"], abs=0.02)
    assert [row["change"] for row in result["changes"]] == [c.name for c in robustness.changes()]
    for row in result["changes"]:
        before, after = (result["per_patient"][k] for k in ("unchanged", row["change"]))
        assert row["drop"] == pytest.approx(np.mean([before[p] - after[p] for p in before]))
        assert row["drop_ci95"][0] <= row["drop"] <= row["drop_ci95"][1]
    exact = {row["change"]: row["drop"] for row in result["changes"]}
    assert exact["16 bit"] == pytest.approx(0, abs=1e-3)
    assert exact["gain 2"] == pytest.approx(0, abs=1e-3)


def test_robustness_of_one_checkpoint_and_some_changes(run: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    csv = tmp_path / "some.csv"
    csv.write_text(f"patient\n{NAMES[0]}\n{NAMES[2]}\n")
    out = tmp_path / "robustness.json"
    given = ["--data", str(dataset), "--patients", str(csv), "--checkpoint", str(run), "--only", "gain", "16 bit"]
    assert robustness.main([*given, "--out", str(out)]) == 0
    result = read_json(out)
    assert result["patients"] == 2
    assert [r["change"] for r in result["changes"]] == ["gain 0.5", "gain 2", "gain 2, cut off at 255", "16 bit"]


def test_robustness_refuses_with_one_sentence(dataset: Path, tmp_path: Path, sentence: Sentence) -> None:
    out = ["--out", str(tmp_path / "r.json")]
    assert "no-such" in sentence(robustness.main, ["--data", "no-such", *out])
    assert "cross_validation.json" in sentence(
        robustness.main, ["--data", str(dataset), "--cross-validation", str(tmp_path), *out]
    )
    for damaged in ("{", "{}", '{"per_patient": []}', '{"per_patient": 3}'):
        (tmp_path / RESULT).write_text(damaged)
        assert f"{RESULT} is not what `cross_validation` writes" in sentence(
            robustness.main, ["--data", str(dataset), "--cross-validation", str(tmp_path), *out]
        )
    assert "no change is called 'gian'" in sentence(robustness.main, ["--data", str(dataset), "--only", "gian", *out])
    (tmp_path / "folder").mkdir()
    assert "--every must be" in sentence(robustness.main, ["--data", str(dataset), "--every", "0", *out])
    assert "is a folder" in sentence(robustness.main, ["--data", str(dataset), "--out", str(tmp_path / "folder")])


def test_robustness_knows_the_patients_of_a_cross_validation(
    cv_runs: Path, dataset: Path, tmp_path: Path, sentence: Sentence
) -> None:
    csv = tmp_path / "some.csv"
    csv.write_text(f"patient\n{NAMES[0]}\n")  # of the held-out fold
    given = ["--data", str(dataset), "--cross-validation", str(cv_runs), "--patients", str(csv)]
    assert f"{NAMES[0]} is not in" in sentence(robustness.main, [*given, "--out", str(tmp_path / "r.json")])


def test_robustness_goes_on_where_it_was_killed(
    run: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, out = tmp_path / "some.csv", tmp_path / "r.json"
    csv.write_text(f"patient\n{NAMES[0]}\n{NAMES[2]}\n")
    given = ["--data", str(dataset), "--patients", str(csv), "--checkpoint", str(run), "--out", str(out)]
    assert robustness.main([*given, "--only", "16 bit", "--every", "2"]) == 0
    assert list(read_json(out)["per_patient"]["unchanged"]) == [NAMES[2]]
    assert read_json(out)["protocol"].startswith("one patient in 2, in the order of their names, by the same network")
    out.unlink()
    measured: list[str] = []
    measure = robustness.measure

    def dies_at_the_second(segmenter: Segmenter, scan: Scan, *rest: Any) -> dict[str, float]:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(scan.name)
        return measure(segmenter, scan, *rest)

    monkeypatch.setattr(robustness, "measure", dies_at_the_second)
    assert robustness.main([*given, "--only", "gain"]) == 130
    assert not out.exists()
    monkeypatch.setattr(robustness, "measure", lambda *a: measured.append(a[1].name) or measure(*a))
    assert robustness.main([*given, "--only", "gain"]) == 0
    assert measured == [NAMES[2], NAMES[0]], "the first patient is not measured again"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "some.csv"]
    whole = read_json(out)
    assert robustness.main([*given, "--only", "gain"]) == 0
    assert read_json(out) == whole and measured == [NAMES[2], NAMES[0]] * 2, "nothing is left of a finished one"


class Echo:
    """A network that calls bright FLAIR tumour: what comes back must lie where it was."""

    def segment(self, scan: Scan) -> np.ndarray:
        return np.clip(scan.pixels[..., FLAIR] / scan.pixels.max() * 255, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", robustness.changes(), ids=lambda c: c.name)
def test_a_change_is_undone_on_the_way_back(change: robustness.Change) -> None:
    pixels = np.zeros((2, 256, 256, 3), dtype=np.float32)
    pixels[:, 60:120, 90:200] = 250
    scan = Scan(pixels, "s", (("s.tif", 2),))
    back = robustness.segment_changed(Echo(), scan, change)  # type: ignore[arg-type]
    assert back.shape == (2, 256, 256)
    assert count(binarise(back, 0.5), pixels[..., FLAIR] > 0).dice > 0.97
    assert np.array_equal(pixels[0, 60, 90], [250] * 3), "the scan itself is left alone"


def test_a_lone_slice_is_sent_alone() -> None:
    seen = []

    class Counter(Echo):
        def segment(self, scan: Scan) -> np.ndarray:
            seen.append(len(scan))
            return super().segment(scan)

    scan = Scan(np.random.default_rng(0).random((3, 32, 32, 3)).astype(np.float32), "s", (("s.tif", 3),))
    lone = next(c for c in robustness.changes(32) if c.single_slice)
    robustness.segment_changed(Counter(), scan, lone)  # type: ignore[arg-type]
    assert seen == [1, 1, 1]

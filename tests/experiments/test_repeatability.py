"""Other acquisitions of one scan, and the fit to the volumes they give."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lgg_demo.case import Scan
from lgg_demo.experiments import card, repeatability
from lgg_demo.experiments.repeatability import acquired, covered, drawn, fitted, left_out, pairs_of, summary, volume_ml
from lgg_demo.grid import Grid
from lgg_demo.measure.growth import Repeatability, change_of
from lgg_demo.network.record import Record

CALM = replace(drawn(1), degrees=0.0, shift=(0.0, 0.0, 0.0), thickness=1.0, pixel=1.0, noise=0.0, bias=0.0)


def ball(radius: float = 22.0) -> Scan:
    """A bright ball of so many mm in a dim one, on voxels of 5 by 1.25 by 1 mm; two of its sequences are one picture."""
    spacing = np.array([5.0, 1.25, 1.0])
    places = np.indices((28, 112, 140)).T * spacing
    far = np.linalg.norm(places - np.array([70, 70, 70]), axis=-1).T
    flair = np.where(far < radius, 100.0, np.where(far < 62, 30.0, 0.0)).astype(np.float32)
    grid = Grid((140, 112, 28), np.diag([-1.0, -1.25, 5.0, 1.0]))
    return Scan(np.stack([flair, flair, 2 * flair], axis=-1), "ball", (("ball", 28),), grid=grid)


class Bright:
    """Stands for a `Segmenter`: what is brighter than half."""

    threshold = 0.5
    record: dict[str, Any] = {"sha256": "b" * 64}  # noqa: RUF012
    asked = 0

    def segment(self, scan: Scan) -> np.ndarray:
        self.asked += 1
        flair = scan.pixels[..., 1]
        return np.where(flair > 65, 255, 0).astype(np.uint8)


def test_a_calm_draw_is_the_scan_with_air_beyond() -> None:
    scan = ball()
    other = acquired(scan, CALM)
    extra = len(other) - len(scan)
    assert extra > 0 and other.size == scan.size
    assert volume_ml(Bright(), other) == pytest.approx(volume_ml(Bright(), scan), rel=0.05)  # type: ignore[arg-type]
    assert other.grid is not None and scan.grid is not None and other.grid.spacing_mm == scan.grid.spacing_mm


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_keeps_the_volume_whatever_its_voxels_are(seed: int) -> None:
    scan = ball()
    other = acquired(scan, drawn(seed))
    assert other.grid is not None and other.grid.spacing_mm != (5.0, 1.25, 1.0)
    assert volume_ml(Bright(), other) == pytest.approx(4 / 3 * np.pi * 2.2**3, rel=0.12)  # type: ignore[arg-type]
    assert np.array_equal(other.pixels[..., 0], other.pixels[..., 1]) and not np.array_equal(
        other.pixels[..., 1], other.pixels[..., 2]
    )
    assert np.array_equal(other.pixels, acquired(scan, drawn(seed)).pixels), "the same number, the same draw"


def test_draws_stay_within_what_the_protocol_says() -> None:
    for draw in map(drawn, range(200)):
        assert 0 <= draw.degrees <= 10 and max(map(abs, draw.shift)) <= 0.5
        assert 0.8 <= draw.thickness <= 1.3 and 0.9 <= draw.pixel <= 1.1
        turn = repeatability._rotation(draw.axis, draw.degrees)
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)


def simulated(patients: int, relative: float, absolute: float, seed: int = 0) -> dict[str, list[float]]:
    """Volumes measured three times each, with a known deviation."""
    random = np.random.default_rng(seed)
    true = np.exp(random.uniform(np.log(1), np.log(120), patients))
    return {
        f"p{n:03d}": (v + np.hypot(relative * v, absolute) * random.standard_normal(3)).tolist() for n, v in enumerate(true)
    }


@pytest.mark.parametrize(("relative", "absolute"), [(0.05, 0.3), (0.10, 0.05)])
def test_the_fit_finds_what_was_put_in(relative: float, absolute: float) -> None:
    pairs = pairs_of(simulated(3000, relative, absolute))
    found = fitted(pairs, 0.95)
    assert found[0] == pytest.approx(relative, rel=0.1)
    for volume in (1.0, 10.0, 100.0):
        expected = Repeatability(relative, absolute).deviation(volume)
        assert Repeatability(*found).deviation(volume) == pytest.approx(expected, rel=0.15)
    assert covered(pairs, *found).mean() == pytest.approx(0.95, abs=0.002)


def test_covered_is_what_is_no_measurable_change() -> None:
    pairs = np.array([[10.0, 11.0], [10.0, 12.5], [0.0, 0.1], [0.0, 0.9]])
    found = covered(pairs, 0.05, 0.2)
    assert found.tolist() == [not change_of(a, b, Repeatability(0.05, 0.2)).measurable for a, b in pairs]


def test_at_least_95_of_100_pairs_of_left_out_patients_are_covered() -> None:
    volumes = simulated(80, 0.06, 0.2)
    volumes["p001"] = [20.0, 20.0, 31.0]  # one that failed in a draw
    facts = summary(volumes, None)
    assert facts["coverage"] >= 0.95 and facts["pairs"] == 240 and facts["scans"] == 80
    assert left_out(volumes, 0.9).mean() < facts["coverage"]
    with pytest.raises(ValueError, match="too few"):
        summary(simulated(4, 0.05, 0.1), None)


def test_visits_of_one_patient_are_never_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = {f"sub-{n}_ses-{v}_FLAIR": [10.0 * n + v, 10.0 * n + v] for n in range(1, 8) for v in (1, 2)}
    sides: list[set[int]] = []

    def fit(pairs: np.ndarray, _: float) -> tuple[float, float]:
        sides.append({int(v) // 10 for v in pairs[:, 0]})
        return 0.1, 0.1

    monkeypatch.setattr(repeatability, "fitted", fit)
    left_out(volumes, 0.95)
    assert len(sides) == 5 and all(len(side) in (5, 6) for side in sides)


def test_the_command_resumes_and_writes_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable[..., str]
) -> None:
    network = Bright()
    scans = [(f"p{n}", ball(12 + 2 * n)) for n in range(6)]
    monkeypatch.setattr(repeatability, "Segmenter", SimpleNamespace(load=lambda _: network))
    monkeypatch.setattr(repeatability, "scans_of", lambda *_: iter(scans))
    shipped = json.loads((card.WEIGHTS / card.FILES["record"]).read_text(encoding="utf-8"))
    record = {k: v for k, v in shipped.items() if k != "repeatability"}
    (tmp_path / "r.json").write_text(json.dumps(record))
    arguments = ["--record", str(tmp_path / "r.json"), "--state", str(tmp_path / "runs" / "s.json")]
    assert "not the record" in sentence(repeatability.main, arguments)
    network.record = {"sha256": record["sha256"]}
    assert "at least 1" in sentence(repeatability.main, [*arguments, "--draws", "0"])
    assert repeatability.main([*arguments, "--draws", "1"]) == 0 and network.asked == 12
    assert repeatability.main(arguments) == 0 and network.asked == 18, "what was done before is not done again"
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    Record.of(written)
    assert written["repeatability"]["pairs"] == 18 and {k: written[k] for k in record} == record
    validated = json.loads((card.WEIGHTS / card.FILES["validated"]).read_text(encoding="utf-8"))
    text = card.model_card(written, validated)
    assert f"On {written['repeatability']['pairs']} pairs" in text and written["repeatability"]["protocol"] in text
    assert "lgg_demo.experiments.repeatability" in card.model_card(record, validated)

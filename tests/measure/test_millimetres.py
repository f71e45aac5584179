"""Diameters and distances between surfaces that one can check by eye, or with MONAI; digits that the page has too."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

import lgg_demo
from lgg_demo.grid import Grid
from lgg_demo.measure.diameters import largest_diameters
from lgg_demo.measure.surfaces import compare_surfaces
from lgg_demo.measure.units import pixel_mm2
from lgg_demo.rounding import rounded


def drawn(*rows: str) -> np.ndarray:
    """A mask of one slice, as it looks."""
    return np.array([[c == "#" for c in row] for row in rows])[None]


@pytest.mark.parametrize(
    ("mask", "spacing", "longest", "perpendicular"),
    [
        (drawn("#"), (0.5, 0.5), 0.5, 0.5),
        (drawn("#####"), (1, 1), 5, 1),
        (drawn("#####"), (2, 3), 15, 2),
        (drawn("#", "#", "#"), (4, 1), 12, 1),
        (drawn(".#.", "###", ".#."), (1, 1), 3, 3),
        (drawn("#....", ".#...", "..#..", "...#.", "....#"), (1, 1), 32**0.5 + 0.5**0.5, 0.5**0.5),  # touching by corners
        (drawn("###..", "....#"), (1, 1), 3, 1),  # two areas: the longer, not the line between them
    ],
)
def test_diameters_by_eye(mask: np.ndarray, spacing: tuple[float, float], longest: float, perpendicular: float) -> None:
    found = largest_diameters(mask, spacing)
    assert found is not None and found.slice == 0
    assert found.longest == pytest.approx(longest, abs=0.05 * longest)
    assert found.perpendicular == pytest.approx(perpendicular, abs=0.6 * min(spacing))
    lines = np.diff(found.ends * spacing, axis=1)[:, 0]
    assert np.linalg.norm(lines, axis=1) == pytest.approx([found.longest, found.perpendicular])
    assert abs(lines[0] @ lines[1]) < 1e-6


def test_diameters_of_an_ellipse_in_its_slice() -> None:
    y, x = np.mgrid[:120, :160] * 0.5
    angle = np.radians(30)
    u = (x - 40) * np.cos(angle) + (y - 30) * np.sin(angle)
    v = -(x - 40) * np.sin(angle) + (y - 30) * np.cos(angle)
    mask = np.zeros((4, 120, 160), bool)
    mask[2] = (u / 25) ** 2 + (v / 10) ** 2 <= 1
    mask[0, :5, :5] = mask[3, :8, :8] = True
    found = largest_diameters(mask, (0.5, 0.5))
    assert found is not None and found.slice == 2
    assert (found.longest, found.perpendicular) == (pytest.approx(50, abs=1), pytest.approx(20, abs=1))
    assert largest_diameters(mask & False) is None


def box(*start: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((20, 60, 60), bool)
    mask[tuple(slice(s, s + side) for s in start)] = True
    return mask


@pytest.mark.parametrize(
    ("predicted", "reference", "spacing", "hd95"),
    [
        (box(5, 5, 5), box(5, 5, 5), (3, 1, 1), 0),
        (box(5, 5, 5), box(7, 5, 5), (3, 1, 1), 6),
        (box(5, 5, 5), box(5, 9, 5), (3, 1, 1), 4),
        (box(3, 9, 9, side=1), box(3, 12, 13, side=1), (1, 1, 1), 5),
        (box(0, 0, 0, side=60), box(0, 0, 0, side=60), (1, 1, 1), 0),  # to the border of the picture
        (box(5, 5, 5) | box(5, 55, 55, side=1), box(5, 5, 5), (1, 1, 1), 0),  # one stray pixel of many is forgiven
        (box(5, 5, 5), box(5, 5, 5) & False, (1, 1, 1), math.inf),
        (box(5, 5, 5) & False, box(5, 5, 5) & False, (1, 1, 1), 0),
    ],
)
def test_surfaces_by_eye(
    predicted: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float], hd95: float
) -> None:
    distance, dice = compare_surfaces(predicted, reference, spacing)
    assert distance == hd95 == compare_surfaces(reference, predicted, spacing)[0]
    assert dice == 0 if hd95 == math.inf else dice > 0.9 if hd95 == 0 else dice < 1
    if hd95 < math.inf and (predicted.sum() == reference.sum()):
        assert compare_surfaces(predicted, reference, spacing, tolerance=hd95)[1] == 1


@pytest.mark.parametrize("seed", range(4))
def test_surfaces_are_those_of_monai(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (ndimage.gaussian_filter(rng.random((12, 30, 25)), 2) > 0.5 for _ in range(2))
    spacing = (3.3, 0.9, 1.1)
    pair = [torch.from_numpy(m)[None, None].float() for m in (first, second)]
    distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=list(spacing))
    dice = compute_surface_dice(*pair, [2.0], include_background=True, spacing=list(spacing))
    assert compare_surfaces(first, second, spacing) == (
        pytest.approx(float(distance), abs=1e-4),
        pytest.approx(float(dice), abs=1e-6),
    )


def test_page_and_report_round_alike() -> None:
    """The viewer's `rounded` and ours, on what pixels and voxels of odd sizes come to, digit by digit."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    sides = [0.9375, 0.4297, 0.488281, 1.1, 0.43, 0.5, 0.8594, 1.0156, 0.3, 0.78125, 0.46875, 2 / 3]
    areas = [pixel_mm2(Grid((9, 9, 9), np.diag([a, b, 3.3, 1]))) for a in sides for b in sides[:4]]
    values = [n * area for area in areas for n in (*range(1, 40), 128, 129, 1000, 4095, 65535)]
    values += [n / 8 for n in range(-50, 50)] + [n / 1000 for n in range(2000)] + [-v for v in values[::7]]
    counts = (Path(lgg_demo.__file__).resolve().parent / "page" / "viewer" / "counts.js").as_uri()
    code = f"""
    import {{ readFileSync }} from "node:fs";
    import {{ rounded }} from "{counts}";
    const values = JSON.parse(readFileSync(0, "utf-8"));
    const formats = [0, 1, 2, 3, 4].map((d) => new Intl.NumberFormat("en",
      {{ minimumFractionDigits: d, maximumFractionDigits: d, useGrouping: false }}));
    console.log(JSON.stringify(values.map((v) => formats.map((f, d) => [rounded(v, d), f.format(rounded(v, d))]))));"""
    command = [node, "--input-type=module", "-e", code]
    said = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True).stdout
    for value, theirs in zip(values, json.loads(said), strict=True):
        ours = [[rounded(value, d), f"{rounded(value, d):.{d}f}"] for d in range(5)]
        assert ours == theirs, value
    assert [rounded(v, 0) for v in (112.5, 113.5, -0.5, 0.4999)] == [113, 114, -1, 0]
    assert (rounded(28.125, 2), rounded(1.005, 2), str(rounded(-0.0001, 2))) == (28.13, 1.0, "0.0")

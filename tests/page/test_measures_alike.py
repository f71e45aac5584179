"""Page and report measure alike: the viewer's lesions.js and distances.js, run by node, against lgg_demo.measure."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from lgg_demo.grid import Grid
from lgg_demo.measure import lesions
from lgg_demo.measure.units import pixel_mm2, voxel_ml
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, REMOVED, Result
from lgg_demo.page.blocks import VIEWER

node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="node is not installed")

SCRIPT = f"""
import {{ readFileSync }} from "node:fs";
import {{ cutoffOf, figuresOf, tally }} from "{(VIEWER / "counts.js").as_uri()}";
import {{ surfacesOf }} from "{(VIEWER / "distances.js").as_uri()}";
import {{ lesionsOf, whole }} from "{(VIEWER / "lesions.js").as_uri()}";
const {{ shape: [slices, height, width], spacing, of, threshold, ...stacks }} = JSON.parse(readFileSync(0, "utf-8"));
const pixels = width * height;
const part = (stack, s) => stack && Uint8Array.from(stack.slice(s * pixels, (s + 1) * pixels));
const frames = Array.from({{ length: slices }}, (_, slice) => {{
  const own = Object.fromEntries(["probability", "reference", "edits"].map((name) => [name, part(stacks[name], slice)]));
  const frame = {{ case: 0, slice, width, height, spacing, of, ...own }};
  tally(frame);
  return frame;
}});
const cutoff = cutoffOf(threshold);
console.log(JSON.stringify({{
  ...whole(lesionsOf(frames, cutoff)), figures: figuresOf(frames, cutoff),
  surfaces: spacing && frames[0].reference ? whole(surfacesOf(frames, cutoff, spacing)) : null,
}}));"""


def measured(result: Result, threshold: float) -> dict[str, Any]:
    """What the page says of a result."""
    grid = result.physical
    stacks = {"probability": result.probability, "reference": result.reference, "edits": result.edits}
    given = {
        "shape": result.probability.shape,
        "spacing": grid.spacing_mm if grid else None,
        "of": {"pixel_mm2": pixel_mm2(grid), "voxel_ml": voxel_ml(grid)} if grid else {},
        "threshold": threshold,
        **{name: None if s is None else s.ravel().astype(int).tolist() for name, s in stacks.items()},
    }
    command = [str(node), "--input-type=module", "-e", SCRIPT]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def drawn(seed: int, spacing: tuple[float, float, float] | None, edited: bool = False) -> Result:
    """Blobs in a stack of odd sizes, some of them at its edge, and a reference that is much like them."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers((1, 20, 20), (9, 60, 60)))
    soft = [ndimage.gaussian_filter(rng.random(shape), (0.6, 2, 2), mode="nearest") for _ in range(2)]
    levels = [(255 * (s - s.min()) / np.ptp(s)).astype(np.uint8) for s in (soft[0], 0.6 * soft[0] + 0.4 * soft[1])]
    edits = rng.choice([0, ADDED, REMOVED], shape, p=[0.997, 0.002, 0.001]).astype(np.uint8) if edited else None
    known = np.ones(shape[0], bool)
    grid = Grid((shape[2], shape[1], shape[0]), np.diag([*reversed(spacing), 1.0])) if spacing else None
    files = (("a.nii" if grid else "a.tif", shape[0]),)
    return Result(files, (), levels[0], levels[1] > 140, known, grid=grid, edits=edits)


def lesion_of(one: dict[str, Any], physical: bool) -> dict[str, Any]:
    """A lesion of the page as the report has it."""
    unit = "mm" if physical else "px"
    lines = {"longest": one["longest"], "perpendicular": one["perpendicular"], "slice": one["slice"] + 1}
    entry = {"pixels": one["pixels"], "slices": [one["first"] + 1, one["last"] + 1], f"diameters_{unit}": lines}
    return entry | ({"volume_ml": one["volume"], "craniocaudal_mm": one["height"]} if physical else {})


SPACINGS = [None, (1.0, 1.0, 1.0), (5.0, 0.4297, 0.4297), (3.3, 0.455, 1.205), (1.2, 0.9375, 0.9375), (6.5, 0.7, 0.3)]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(5))
def test_lesions_and_distances_of_page_and_report(seed: int, spacing: tuple[float, float, float] | None) -> None:
    result = drawn(seed + 10 * SPACINGS.index(spacing), spacing, edited=seed % 2 == 1)
    for threshold in (0.5, 0.66):
        page, report = measured(result, threshold), build_report([result], threshold, {})
        (entry,), (series,) = report["images"], report["series"]
        assert page["found"] == series["lesion_count"] > 0
        assert [lesion_of(one, spacing is not None) for one in page["lesions"]] == series["lesions"]
        assert series["lesion_count"] > lesions.MOST_LESIONS or (
            sum(one["pixels"] for one in series["lesions"]) == entry["predicted_pixels"]
        )
        if spacing:
            assert page["surfaces"]["hd95"] == pytest.approx(entry["hd95_mm"], abs=1e-6)
            assert page["surfaces"]["surface_dice"] == pytest.approx(entry["surface_dice_2mm"], abs=1e-6)
            for key, own in (("reference_volume", "reference_volume_ml"), ("volume_difference", "volume_difference_ml")):
                if len(result.probability) > 1:
                    assert page["figures"][key] == entry[own]


def test_empty_masks_have_the_same_conventions() -> None:
    result = drawn(3, (5.0, 0.5, 0.5))
    for probability, reference in ((0, True), (255, False), (0, False)):
        same = np.full_like(result.probability, probability)
        known = result.reference & reference if result.reference is not None else None
        empty = Result(result.files, (), same, known, result.referenced, grid=result.grid)
        page, (entry,) = measured(empty, 0.5), build_report([empty], 0.5, {})["images"]
        assert page["surfaces"] == {"hd95": entry["hd95_mm"], "surface_dice": entry["surface_dice_2mm"]}
        assert page["found"] == (1 if probability else 0)


def test_of_very_many_parts_the_largest_are_measured_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    specks = np.zeros((3, 90, 90), np.uint8)
    specks[:, ::3, ::3] = 255  # columns of three voxels
    specks[1, 0, 0] = 0  # and two single ones, which come last
    specks[0, 0:2, 3] = 255
    result = Result((("a.tif", 3),), (), specks, None, None)
    page, (series,) = measured(result, 0.5), build_report([result], 0.5, {})["series"]
    assert page["found"] == series["lesion_count"] == 901
    assert len(series["lesions"]) == lesions.MOST_LESIONS == len(page["lesions"])
    assert [lesion_of(one, False) for one in page["lesions"]] == series["lesions"]
    assert series["lesions"][0]["pixels"] == 4

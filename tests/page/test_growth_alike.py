"""Page and report tell growth alike: the viewer's growth.js and matching.js, run by node, against output/follow_up.py."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from lgg_demo.case import Visit
from lgg_demo.grid import Grid
from lgg_demo.measure.units import voxel_ml
from lgg_demo.output.follow_up import follow_up_of
from lgg_demo.output.result import ADDED, REMOVED, Result
from lgg_demo.output.timeline import Pair
from lgg_demo.page.blocks import VIEWER
from lgg_demo.page.visits import viewer_follow_up
from lgg_demo.registration import Registration

node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="node is not installed")
Registered = dict[Pair, Registration | None]
REPEATABILITY = {"relative": 0.06, "absolute_ml": 0.02}

SCRIPT = f"""
import {{ readFileSync }} from "node:fs";
import {{ cutoffOf, predictedOf, tally }} from "{(VIEWER / "counts.js").as_uri()}";
import * as growth from "{(VIEWER / "growth.js").as_uri()}";
import {{ lesionsOf, whole }} from "{(VIEWER / "lesions.js").as_uri()}";
import {{ matchedLesions }} from "{(VIEWER / "matching.js").as_uri()}";
const {{ visits, threshold, repeatability }} = JSON.parse(readFileSync(0, "utf-8")), cutoff = cutoffOf(threshold);
const measured = visits.map(({{ shape: [slices, height, width], spacing, voxel_ml, probability, edits, to, months }}) => {{
  const pixels = width * height, part = (stack, s) => stack && Uint8Array.from(stack.slice(s * pixels, (s + 1) * pixels));
  const frames = Array.from({{ length: slices }}, (_, slice) => {{
    const own = {{ probability: part(probability, slice), edits: part(edits, slice), reference: null }};
    const frame = {{ case: 0, slice, width, height, spacing, of: {{ voxel_ml }}, ...own }};
    tally(frame);
    return frame;
  }});
  const volume = frames.reduce((sum, f) => sum + predictedOf(f, cutoff), 0) * voxel_ml;
  return {{ frames, to, months, volume, lesions: whole(lesionsOf(frames, cutoff)).lesions }};
}});
const matched = measured.every(({{ to }}) => to) ? whole(matchedLesions(measured)) : null;
console.log(JSON.stringify({{
  volumes: measured.map(({{ volume }}) => volume),
  changes: measured.slice(1).map((visit, k) => {{
    const until = measured.slice(0, k + 2);
    const isNew = !!matched?.some((lesion) => lesion.isNew && lesion.parts[k + 1].some(growth.isMeasurable));
    return {{
      ...growth.volumeChange(measured[0].volume, visit.volume, repeatability),
      velocity: growth.lineThrough(until)?.slope ?? null,
      category: growth.categoryOf(until.map(({{ volume }}) => volume), isNew),
    }};
  }}),
  lesions: matched?.map(({{ volumes, isNew, parts }}) => ({{
    volumes, isNew, parts: parts.map((part, n) => part.map((lesion) => measured[n].lesions.indexOf(lesion) + 1)),
  }})),
}}));"""


def told(results: list[Result], registered: Registered, threshold: float, known: bool) -> dict[str, Any]:
    """What the page makes of the visits."""
    (patient,) = viewer_follow_up(results, registered, "en")
    visits = []
    for visit in patient["visits"]:
        result = results[visit["case"]]
        grid = result.physical
        assert grid is not None
        visits.append(
            {
                "shape": result.probability.shape,
                "spacing": grid.spacing_mm,
                "voxel_ml": voxel_ml(grid),
                "to": visit["to"],
                "months": visit["months"],
                "probability": result.probability.ravel().tolist(),
                "edits": None if result.edits is None else result.edits.ravel().tolist(),
            }
        )
    given = {"visits": visits, "threshold": threshold, "repeatability": REPEATABILITY if known else None}
    command = [str(node), "--input-type=module", "-e", SCRIPT]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def drawn(seed: int, months: list[float | None]) -> tuple[list[Result], Registered]:
    """Visits of one patient: blobs that grow or shrink, each visit on a grid of its own, turned and moved."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(rng.random((12, 40, 40)), (1.2, 4, 4), mode="nearest")
    results: list[Result] = []
    registered: Registered = {}
    for n, month in enumerate(months):
        level = np.clip(255 * (soft - soft.min()) / np.ptp(soft) + rng.uniform(-50, 30), 0, 255)
        level[:, :12, :12] = level[:, :12, :12] / (4 if n == 0 else 1)  # what is there later may be new
        probability = level.astype(np.uint8)[int(rng.integers(0, 3)) :, :, int(rng.integers(0, 5)) :]
        shape = probability.shape
        grid = Grid((shape[2], shape[1], shape[0]), np.diag([*rng.uniform(0.8, 1.6, 2), float(rng.uniform(2, 5)), 1.0]))
        edits = rng.choice([0, ADDED, REMOVED], shape, p=[0.99, 0.006, 0.004]).astype(np.uint8) if n % 2 else None
        files = ((f"{n}.nii", shape[0]),)
        visit = Visit("one", str(n + 1), months=month)
        results.append(Result(files, (), probability, None, None, grid=grid, edits=edits, visit=visit))
        if n:
            matrix = np.eye(4)
            angle = rng.uniform(-0.1, 0.1)
            matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            matrix[:3, 3] = rng.uniform(-4, 4, 3)
            registered[0, n] = Registration(matrix, 0.97, 1.2, 3.0, good=seed % 5 != 4)
    return results, registered


MONTHS: list[list[float | None]] = [[0, 9], [0, 4.5, 13], [None, None, None], [0, 6, 6, 20]]


@pytest.mark.parametrize("months", MONTHS, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 3, 4])  # 3: of unknown repeatability, 4: badly registered
def test_growth_on_page_and_in_report(seed: int, months: list[float | None]) -> None:
    results, registered = drawn(seed + 10 * len(months), months)
    known = seed != 3
    threshold = (0.5, 0.62)[seed % 2]
    page = told(results, registered, threshold, known)
    record = {"repeatability": REPEATABILITY} if known else {}
    (report,) = follow_up_of(results, registered, threshold, record)
    assert page["volumes"] == pytest.approx([v["volume_ml"] for v in report["visits"]], abs=5e-5)
    from_first = [c for c in report["changes"] if c["from"] == report["visits"][0]["visit"]]
    for own, other in zip(page["changes"], from_first, strict=True):
        assert own["ml"] == pytest.approx(other["volume_ml"], abs=5e-5)
        assert own["percent"] == (other["volume_percent"] and pytest.approx(other["volume_percent"], abs=5e-3))
        assert own["percentInterval"] == (
            other["volume_percent_interval"] and pytest.approx(other["volume_percent_interval"], abs=5e-3)
        )
        assert own["measurable"] is other["measurable"]
        velocity = other["velocity_mm_per_year"]
        assert own["velocity"] == (velocity and pytest.approx(velocity, abs=5e-3))
        assert own["category"] == other["rano_2_0"]["by_volume"]
    lesions = page.get("lesions") or []
    for mine, theirs in zip(lesions, report["lesions"], strict=True):
        assert mine["parts"] == [v["parts"] for v in theirs["visits"]]
        assert mine["volumes"] == pytest.approx([v["volume_ml"] for v in theirs["visits"]], abs=5e-5)
        first, last = mine["volumes"][0], mine["volumes"][-1]
        known = "present" if last else "disappeared"
        assert theirs["status"] == (known if first else "new" if mine["isNew"] else "outside")
    assert bool(lesions) == all(r is not None and r.good for r in registered.values())

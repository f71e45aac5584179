"""How far volumes of one lesion lie apart when only the scan differs: `python -m lgg_demo.experiments.repeatability`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from scipy import ndimage
from tqdm import tqdm

from lgg_demo import WEIGHTS
from lgg_demo.atomic import write_json
from lgg_demo.case import Scan
from lgg_demo.command import Checkpoint, OptionalFile, OptionalFolder, run
from lgg_demo.grid import Grid
from lgg_demo.measure.growth import NORMAL_95
from lgg_demo.measure.patients import volume_errors
from lgg_demo.measure.units import voxel_ml
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.frames import FIELD_MM, SIZE
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.patients import PATIENTS, files_of
from lgg_demo.probability import binarise
from lgg_demo.reading.studies import Request, read_all
from lgg_demo.train.cross_validation import RESULT
from lgg_demo.train.data import index_dataset, read_patient
from lgg_demo.train.runs import read_json

HEIGHT_MM = 140.0  # of the data set's stacks, which say no spacing: from the lowest slice to above the highest
MOST_DEGREES = 10.0
THICKNESS = (0.8, 1.3)  # of the scan's own distance between slices
PIXEL = (0.9, 1.1)  # of its own pixels' side
BEYOND_MM = 12.0  # of more slices below and above, so that what is turned stays inside
NOISE = (0.005, 0.02)  # standard deviation, of the 99th percentile
BIAS = 0.15  # of the signal: how much a coil brightens or darkens one side of the head, at most
COVERED = 0.95  # of the pairs, at least, on patients that the fit has not seen
ORDER = 3  # of the splines between slices and pixels; straight lines would blur what lies between two thick slices
PARTS = 5  # in each of which the patients are left out of a fit
RATIOS = np.geomspace(0.05, 50, 61)  # mL: absolute to relative part, which are tried
PROTOCOL = (
    "pairs of measurements of one scan: as it is, and in draws that are shifted by parts of a voxel, rotated by up to 10° "
    "about any axis, on other slices (0.8 to 1.3 of the thickness) and pixels, with noise and a bias field; segmented by "
    "the released network, which was trained on the patients, at its threshold. The data set states no spacing: "
    f"{FIELD_MM / SIZE:.2f} mm pixels and {HEIGHT_MM:g} mm from the lowest to the highest slice are assumed. Coverage: of "
    f"pairs of patients left out of the fit, one in {PARTS} in turn"
)

Volumes = Mapping[str, Sequence[float]]  # mL of each measurement, by scan


@dataclass(frozen=True)
class Draw:
    """One other acquisition of a scan. degrees: about an axis; shift: in voxels; thickness, pixel: to the scan's own."""

    axis: tuple[float, float, float]
    degrees: float
    shift: tuple[float, float, float]
    thickness: float
    pixel: float
    noise: float
    bias: float
    seed: int


def drawn(seed: int) -> Draw:
    """A draw; the same number gives the same one."""
    random = np.random.default_rng(seed)
    axis = random.standard_normal(3)
    axis /= np.linalg.norm(axis)
    a, b, c = (float(v) for v in axis)
    d, e, f = (float(v) for v in random.uniform(-0.5, 0.5, 3))
    limits = ((0.0, MOST_DEGREES), THICKNESS, PIXEL, NOISE, (0.0, BIAS))
    degrees, thickness, pixel, noise, bias = (float(random.uniform(*ends)) for ends in limits)
    return Draw((a, b, c), degrees, (d, e, f), thickness, pixel, noise, bias, seed)


def acquired(scan: Scan, draw: Draw) -> Scan:
    """A scan with a physical grid as another acquisition would have it; sequences that are one picture stay one."""
    assert scan.grid is not None
    spacing = np.array(scan.grid.spacing_mm)
    other = spacing * (draw.thickness, draw.pixel, draw.pixel)
    size = np.array(scan.pixels.shape[:3])
    shape = np.ceil(size * spacing / other).astype(int)
    shape[0] += 2 * int(np.ceil(BEYOND_MM / other[0]))
    turn = _rotation(draw.axis, draw.degrees)
    matrix = turn * other / spacing[:, None]
    middle = (size - 1) / 2 + np.array(draw.shift)
    offset = middle - matrix @ ((shape - 1) / 2)
    random = np.random.default_rng(draw.seed)
    pixels = np.empty((*shape, 3), dtype=np.float32)
    for c in range(3):
        same = next((k for k in range(c) if np.array_equal(scan.pixels[..., k], scan.pixels[..., c])), None)
        if same is not None:
            pixels[..., c] = pixels[..., same]
            continue
        stack = np.ascontiguousarray(scan.pixels[..., c], dtype=np.float32)
        moved = _moved(stack, matrix, offset, shape, draw.thickness)
        pixels[..., c] = _disturbed(moved, float(np.percentile(stack, 99)), draw, random)
    grid = _grid(shape, other)
    return replace(scan, pixels=pixels, files=((scan.name, int(shape[0])),), grid=grid, grey=False, instances=())


def _moved(stack: np.ndarray, matrix: np.ndarray, offset: np.ndarray, shape: np.ndarray, thickness: float) -> np.ndarray:
    """A stack on other slices, (*shape) float32; a thicker one is the mean of two within it."""
    halves = (-0.25, 0.25) if thickness > 1 else (0.0,)
    splines = ndimage.spline_filter(stack, ORDER, np.float32)
    outside = float(stack.min())
    parts = [
        ndimage.affine_transform(
            splines, matrix, offset + matrix[:, 0] * half, tuple(shape), order=ORDER, cval=outside, prefilter=False
        )
        for half in halves
    ]
    return np.asarray(np.mean(parts, axis=0, dtype=np.float32))


def _disturbed(stack: np.ndarray, bright: float, draw: Draw, random: np.random.Generator) -> np.ndarray:
    """A stack with a bias field and noise; bright: the 99th percentile."""
    rough = random.uniform(-1, 1, (3, 3, 3))
    field = ndimage.zoom(rough, np.array(stack.shape) / 3, order=1, grid_mode=True, mode="nearest")
    noise = random.standard_normal(stack.shape, dtype=np.float32)
    disturbed = stack * (1 + draw.bias * field) + draw.noise * bright * noise
    return np.asarray(np.clip(disturbed, float(stack.min()), None), dtype=np.float32)


def _rotation(axis: Sequence[float], degrees: float) -> np.ndarray:
    """(3, 3) that turns by an angle about a unit axis (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _grid(shape: np.ndarray, spacing: np.ndarray) -> Grid:
    """Of a stack (slices, rows, columns) with a spacing in mm."""
    between, down, across = (float(v) for v in spacing)
    return Grid((int(shape[2]), int(shape[1]), int(shape[0])), np.diag([-across, -down, between, 1.0]))


# Measuring


def scans_of(data: Path | None, patients: int | None) -> Iterator[tuple[str, Scan]]:
    """Name and scan, with a physical grid, of the synthetic patients' visits and of so many patients of the data set.

    Raises DatasetError.
    """
    for patient in PATIENTS:
        for case in read_all(Request(tuple(files_of(patient)))).cases:
            yield case.scan.name, case.scan
    if data is None:
        return
    for n, (name, rows) in enumerate(index_dataset(data).groupby("patient", sort=True)):
        if patients is not None and n >= patients:
            break
        scan, _ = read_patient(rows)
        pixel = FIELD_MM / SIZE
        spacing = np.array([HEIGHT_MM / len(scan), pixel, pixel])
        yield str(name), replace(scan, grid=_grid(np.array(scan.pixels.shape[:3]), spacing))


def volume_ml(segmenter: Segmenter, scan: Scan) -> float:
    """What the network outlines of a scan with a physical grid, at its threshold."""
    assert scan.grid is not None
    mask = binarise(segmenter.segment(scan), segmenter.threshold)
    return int(mask.sum()) * voxel_ml(scan.grid)


def seed_of(name: str, number: int, seed: int) -> int:
    """Of one draw of one scan."""
    return int.from_bytes(hashlib.sha256(f"{name} {number} {seed}".encode()).digest()[:6], "big")


def measured(
    segmenter: Segmenter, scans: Iterator[tuple[str, Scan]], draws: int, seed: int, state: Path
) -> dict[str, list[float]]:
    """The volumes of each scan in mL: as it is, then in each draw. state: a file from which the same call resumes."""
    of = {"sha256": segmenter.record.get("sha256"), "seed": seed}
    try:
        kept = read_json(state)
    except ValueError:  # killed while it was written
        kept = {}
    volumes: dict[str, list[float]] = kept["volumes"] if kept.get("of") == of else {}
    state.parent.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, list[float]] = {}
    for name, scan in tqdm(scans, unit="scan", disable=None):
        own = volumes.setdefault(name, [])
        while len(own) <= draws:
            other = acquired(scan, drawn(seed_of(name, len(own), seed))) if own else scan
            own.append(volume_ml(segmenter, other))
            write_json(state, {"of": of, "volumes": volumes})
        wanted[name] = own[: draws + 1]
    return wanted


# Fitting


def pairs_of(volumes: Volumes) -> np.ndarray:
    """Every two measurements of each scan, (N, 2) in mL."""
    return np.array([pair for own in volumes.values() for pair in combinations(own, 2)], dtype=np.float64).reshape(-1, 2)


def fitted(pairs: np.ndarray, share: float) -> tuple[float, float]:
    """The relative and the absolute part (mL) of the standard deviation of one measurement, see `growth.Repeatability`.

    Of those whose intervals hold this share of the pairs' differences, those of the narrowest intervals, in geometric mean:
    for each ratio of the two parts the quantile of the differences in its units says how large both must be.
    """
    apart = np.abs(pairs[:, 1] - pairs[:, 0])
    best: tuple[float, float, float] | None = None
    for ratio in RATIOS:
        unit = NORMAL_95 * np.sqrt((pairs**2).sum(axis=1) + 2 * ratio**2)
        size = float(np.quantile(apart / unit, share, method="higher"))
        width = float(np.log(size * unit).mean()) if size > 0 else -np.inf
        if best is None or width < best[0]:
            best = width, size, size * float(ratio)
    assert best is not None
    return best[1], best[2]


def covered(pairs: np.ndarray, relative: float, absolute_ml: float) -> np.ndarray:
    """Which pairs' intervals of a change hold 0, (N,) bool."""
    wide = NORMAL_95 * np.sqrt((relative**2 * pairs**2 + absolute_ml**2).sum(axis=1))
    return np.asarray(np.abs(pairs[:, 1] - pairs[:, 0]) <= wide)


def left_out(volumes: Volumes, share: float) -> np.ndarray:
    """Which pairs are covered by a fit to the other parts of the scans, (N,) bool. Visits of one patient stay together."""
    patients = sorted({name.partition("_ses-")[0] for name in volumes})
    part_of = {patient: n % PARTS for n, patient in enumerate(patients)}
    found = []
    for part in sorted(set(part_of.values())):
        inside = {name: own for name, own in volumes.items() if part_of[name.partition("_ses-")[0]] == part}
        others = {name: own for name, own in volumes.items() if name not in inside}
        found.append(covered(pairs_of(inside), *fitted(pairs_of(others), share)))
    return np.concatenate(found)


def summary(volumes: Volumes, cross_validation: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the record gets: the fit to all scans, with the smallest share to be covered for which `COVERED` of the pairs of
    left-out patients are. Raises ValueError where there are too few scans.
    """
    if len({name.partition("_ses-")[0] for name in volumes}) < PARTS or len(pairs_of(volumes)) < PARTS:
        raise ValueError(f"too few scans: at least {PARTS} patients, with a draw or more of each")
    shares = np.arange(COVERED, 1.0, 0.005)
    coverage = [float(left_out(volumes, float(share)).mean()) for share in shares]
    at = next((n for n, value in enumerate(coverage) if value >= COVERED), len(shares) - 1)
    relative, absolute = fitted(pairs_of(volumes), float(shares[at]))
    facts: dict[str, Any] = {"relative": relative, "absolute_ml": absolute, "coverage": coverage[at]}
    facts |= {"pairs": len(pairs_of(volumes)), "scans": len(volumes), "protocol": PROTOCOL}
    return facts if cross_validation is None else facts | {"out_of_fold": out_of_fold(cross_validation)}


def out_of_fold(cross_validation: Mapping[str, Any]) -> dict[str, Any]:
    """How far volumes are from their references, by networks that had not seen the patient, as shares of the reference.

    It is no repeatability: most of it is of the patient and of who drew the reference, and the same at each visit.
    """
    errors = volume_errors(cross_validation["per_patient"])
    low, middle, high = (float(v) for v in np.percentile(errors, [5, 50, 95]))
    return {"patients": len(errors), "median": middle, "percentile_5": low, "percentile_95": high}


@dataclass(frozen=True)
class RepeatabilitySettings:
    """Measure how far volumes of one lesion lie apart when only the scan differs, and write it into the network's record.

    The synthetic patients of the page and the data set's are segmented as they are and in draws. The same command resumes.
    """

    data: OptionalFolder = None
    """the kaggle_3m folder; the synthetic patients alone without"""
    patients: int | None = None
    """the first N patients of the folder; all of them without"""
    draws: int = 2
    """of each scan"""
    seed: int = 0
    """of the draws"""
    checkpoint: Checkpoint = None
    """weights to measure: a file; those in weights/ without"""
    record: OptionalFile = None
    """the record to write into; that of weights/ without"""
    state: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("runs/repeatability.json")
    """what is done so far"""


def write_repeatability(given: RepeatabilitySettings) -> int:
    """What the command does; returns its exit code."""
    if given.draws < 1:
        raise ValueError("--draws must be at least 1.")
    path = given.record or (WEIGHTS / CHECKPOINT).with_suffix(".json")
    record = json.loads(path.read_text(encoding="utf-8"))
    segmenter = Segmenter.load(given.checkpoint)
    if segmenter.record.get("sha256") != record.get("sha256"):
        raise ValueError(f"{path} is not the record of these weights.")
    volumes = measured(segmenter, scans_of(given.data, given.patients), given.draws, given.seed, given.state)
    scores = WEIGHTS / RESULT
    facts = summary(volumes, read_json(scores) if scores.is_file() and given.checkpoint is None else None)
    write_json(path, record | {"repeatability": facts})
    print(
        f"{facts['scans']} scans, {facts['pairs']} pairs: {facts['relative']:.2%} of the volume and "
        f"{facts['absolute_ml']:.3f} mL; {facts['coverage']:.1%} of the pairs of patients left out are covered"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.repeatability", RepeatabilitySettings, write_repeatability, arguments)


if __name__ == "__main__":
    sys.exit(main())

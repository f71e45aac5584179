"""One head laid on another: what movement is found, and when the answer may be used."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lgg_demo.experiments.synthetic_patients import Pose
from lgg_demo.grid import Grid
from lgg_demo.page.patients import FACTS, HERE
from lgg_demo.registration import Registration, register, resampled

Scan = tuple[np.ndarray, Grid]


def scan(patient: str, name: str) -> Scan:
    """A sequence of a synthetic patient, uint8 as its file has it."""
    image = nib.load(HERE / patient / f"sub-synthetic{name}.nii.gz")
    grid = Grid(image.shape, image.affine)
    return np.ascontiguousarray(grid.to_stack(np.asarray(image.dataobj))), grid


@pytest.fixture(scope="module")
def first() -> Scan:
    return scan("growing", "1_ses-1_FLAIR")


@pytest.fixture(scope="module")
def second() -> Scan:
    return scan("growing", "1_ses-2_FLAIR")


@pytest.fixture(scope="module")
def between_visits(first: Scan, second: Scan) -> Registration:
    return register(*first, *second)


def true_between_visits() -> np.ndarray:
    one, two = (Pose(v["turned_degrees"], v["moved_mm"])() for v in json.loads(FACTS.read_text("utf-8"))["growing"])
    return np.asarray(np.linalg.inv(two) @ one)


def movement(degrees: tuple[float, float, float], mm: tuple[float, float, float], about: Scan) -> np.ndarray:
    """(4, 4), in mm: turned about the middle of a scan, then moved."""
    values, grid = about
    middle = (grid.stack_affine @ [*(np.array(values.shape) / 2), 1])[:3]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + mm
    return matrix


def seen_elsewhere(of: Scan, moved: np.ndarray, grid: Grid) -> Scan:
    """What a scan on another grid sees of a head that has moved."""
    values, own = of
    return resampled(values, own, np.linalg.inv(moved), grid), grid


def errors(found: Registration, true: np.ndarray, of: Scan) -> tuple[float, float]:
    """Degrees, and mm on average over the head, by which a registration is wrong."""
    turn = Rotation.from_matrix(found.matrix[:3, :3] @ true[:3, :3].T).magnitude()
    values, grid = of
    places = np.argwhere(values > 20) @ grid.stack_affine[:3, :3].T + grid.stack_affine[:3, 3]
    off = places @ (found.matrix - true)[:3, :3].T + (found.matrix - true)[:3, 3]
    return float(np.degrees(turn)), float(np.linalg.norm(off, axis=1).mean())


def sagittal(shape: tuple[int, int, int], steps: tuple[float, float, float], corner: tuple[float, float, float]) -> Grid:
    """A grid whose own slices are sagittal, from the patient's left, with rows downwards."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -steps[2]], [-steps[0], 0, 0], [0, -steps[1], 0]])
    affine[:3, 3] = corner
    return Grid(shape, affine)


AXIAL = Grid((120, 140, 30), np.array([[1.6, 0, 0, -96], [0, 1.6, 0, -134], [0, 0, 4, -30], [0, 0, 0, 1.0]]))
SAGITTAL = sagittal((150, 70, 60), (1.5, 2.0, 3.2), (96, 92, 100))


def test_the_movement_between_two_visits_is_found(between_visits: Registration, first: Scan) -> None:
    degrees, mm = errors(between_visits, true_between_visits(), first)
    assert degrees < 1 and mm < 1 and between_visits.good
    assert between_visits.moved_mm == pytest.approx(7.4, abs=1)
    assert 0.95 < between_visits.head_overlap <= 1 and between_visits.information > 1.1


@pytest.mark.parametrize(("degrees", "mm", "grid"), [((4, -3, 10), (6, -9, 4), AXIAL), ((-8, 2, 3), (0, 12, -5), SAGITTAL)])
def test_a_known_movement_is_found_across_sequences_spacings_and_orientations(
    first: Scan, degrees: tuple[float, float, float], mm: tuple[float, float, float], grid: Grid
) -> None:
    true = movement(degrees, mm, first)
    found = register(*first, *seen_elsewhere(scan("growing", "1_ses-1_T1w"), true, grid))
    wrong_degrees, wrong_mm = errors(found, true, first)
    assert wrong_degrees < 1 and wrong_mm < 1 and found.good


def test_a_head_far_from_where_its_header_lays_it_is_found(first: Scan, second: Scan) -> None:
    values, grid = second
    far = np.eye(4)
    far[:3, 3] = 90, -60, 150
    found = register(*first, values, Grid(grid.shape, far @ grid.affine))
    assert max(errors(found, far @ true_between_visits(), first)) < 1 and found.good


def test_what_is_not_the_same_head_is_not_good(first: Scan) -> None:
    values, grid = first
    noise = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    for other in (scan("two_lesions", "2_ses-1_FLAIR"), (noise, grid), (np.zeros_like(values), grid)):
        assert not register(*first, *other).good


@pytest.mark.parametrize("kept", [np.s_[15:], np.s_[:9], np.s_[:, :, :80]])
def test_a_part_of_a_head_is_not_good(first: Scan, second: Scan, kept: tuple[slice, ...]) -> None:
    values, grid = second
    start = np.indices(values.shape)[(slice(None), *np.atleast_1d(kept))].reshape(3, -1)[:, 0]
    affine = grid.stack_affine
    affine[:3, 3] += affine[:3, :3] @ start
    part = values[kept]
    assert not register(*first, part, Grid(part.shape, affine)).good


def test_two_runs_find_the_same(between_visits: Registration, first: Scan, second: Scan) -> None:
    np.testing.assert_array_equal(register(*first, *second).matrix, between_visits.matrix)


def test_a_scan_comes_through_its_registration_onto_the_other(
    between_visits: Registration, first: Scan, second: Scan
) -> None:
    values, grid = second
    laid = resampled(values, grid, between_visits.matrix, first[1])
    assert laid.shape == first[0].shape and laid.dtype == np.float32
    assert np.corrcoef(laid.ravel(), first[0].ravel())[0, 1] > 0.95 > np.corrcoef(values.ravel(), first[0].ravel())[0, 1]
    mask = ndimage.binary_opening(values > 20)
    mask_there = resampled(mask, grid, between_visits.matrix, first[1])
    assert mask_there.dtype == bool and mask_there.sum() == pytest.approx(mask.sum(), rel=0.05)
    assert (resampled(values, grid, movement((0, 0, 0), (0, 0, 5000), first), first[1], outside=-3.0) == -3).all()


def test_reading_begins_without_what_is_slow_to_import() -> None:
    code = "import sys, lgg_demo.reading; print(sorted({'SimpleITK', 'torch', 'gradio'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

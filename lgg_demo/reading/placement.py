"""Where the slices of a DICOM series lie: the grid that they make, and what of it is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lgg_demo.case import ReadError
from lgg_demo.grid import EVEN, Grid, places_of
from lgg_demo.messages import Sentence
from lgg_demo.reading.dicom import Slice
from lgg_demo.reading.limits import MOST_SLICES

Order = Literal["position", "location", "number"]
Told = tuple[Sentence, ...]

_AXIAL = np.array([[1.0, 0, 0], [0, 1, 0]])
_SHEAR = 0.25  # of a pixel, over the whole stack: below it, what positions say of a shear is their rounding
_SLANT = 2.0  # degrees between the stack and the normal of its slices: more than jitter, as of a tilted gantry
_SAME_SIZE = 0.01  # of a pixel's side
_FAR = 2.1  # distances between slices in their thickness: gaps of up to a whole slice are usual
_FAR_STATED = 1.5  # the same, in what the header says of the distance
_FAR_MM = 12.0  # where nothing is said of it; nobody plans slices further apart
_ALL_GAP = 0.4  # slices overlap by half at most: a stated distance below this share of the thickness is a gap


@dataclass(frozen=True)
class Placement:
    """The grid of some slices, and the place of each along its last axis. warnings: under the volume's name."""

    grid: Grid
    places: tuple[int, ...]
    warnings: tuple[Sentence, ...]


@dataclass(frozen=True)
class _Line:
    """A line of slices: the place of each, the step from place to place and the first pixel of place 0, LPS mm."""

    places: np.ndarray
    step: np.ndarray
    origin: np.ndarray
    known: bool = True  # the length of the step
    warnings: Told = ()


def has_place(s: Slice) -> bool:
    """Whether the header says where a slice lies."""
    return s.position is not None and s.directions is not None


def normal_of(s: Slice) -> np.ndarray:
    """The unit vector (3,) that a slice's rows and columns are at right angles to; of one without directions the axial."""
    row, column = _AXIAL if s.directions is None else s.directions
    return np.asarray(np.cross(row, column))


def along_normal(slices: Sequence[Slice]) -> np.ndarray:
    """Where slices lie along the normal of the first, (N,) mm."""
    normal = normal_of(slices[0])
    return np.array([float(normal @ _position(s)) for s in slices])


def same_spacing(slices: Sequence[Slice]) -> bool:
    """Whether the pixels of slices, as far as their size is known, are of one size."""
    known = np.array([s.spacing for s in slices if s.spacing is not None])
    return not len(known) or bool((np.ptp(known, axis=0) <= _SAME_SIZE * known.min(axis=0)).all())


def place(file: str, name: str, slices: Sequence[Slice], order: Order) -> Placement:
    """The grid of slices in their order. file, name: what is refused, and what is warned of. Raises ReadError."""
    if not same_spacing(slices):
        sides = [side for s in slices if s.spacing for side in s.spacing]
        raise ReadError(file, "spacing_varies", least=round(min(sides), 3), most=round(max(sides), 3))
    line = _line(name, slices, order)
    depth = int(line.places.max()) + 1
    if depth > MOST_SLICES:
        raise ReadError(file, "too_many_slices", slices=depth, most=MOST_SLICES)
    spacing = next((s.spacing for s in slices if s.spacing is not None), None)
    first, (height, width) = slices[0], spacing or (1.0, 1.0)
    # Without positions nearly axial slices count as axial.
    axial = first.directions is None or (order != "position" and _axial(first))
    row, column = _AXIAL if axial or first.directions is None else first.directions
    lps = np.eye(4)
    lps[:3] = np.column_stack([height * column, width * row, line.step, line.origin])
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    grid = Grid((*first.head.size, depth), affine, spacing is not None, line.known)
    return Placement(grid, tuple(line.places.tolist()), line.warnings + _unknown_sizes(name, first, spacing, line.known))


def _unknown_sizes(name: str, s: Slice, spacing: tuple[float, float] | None, distance_known: bool) -> Told:
    """What to say where the size of a pixel, or the distance of slices, is not known."""
    if spacing is None:
        return (Sentence("dicom_no_spacing", {"file": name}),)
    if distance_known:
        return ()
    if s.thickness is None:
        return (Sentence("no_thickness", {"file": name}),)
    return (Sentence("distance_unclear", {"file": name, "thick": s.thickness, "between": s.between}),)


def _line(name: str, slices: Sequence[Slice], order: Order) -> _Line:
    """The line of slices in their order."""
    first = slices[0]
    if order != "position":
        return _unplaced(name, slices, order)
    if first.head.mask:
        return _frames_of_mask(slices)
    if len(slices) > 1:
        return _placed(name, slices)
    distance, known = _stated_distance(first)
    return _Line(np.zeros(1, dtype=int), normal_of(first) * distance, _position(first), known)


def _position(s: Slice) -> np.ndarray:
    return np.zeros(3) if s.position is None else s.position


def _axial(s: Slice) -> bool:
    return int(np.abs(normal_of(s)).argmax()) == 2


def _placed(name: str, slices: Sequence[Slice]) -> _Line:
    """Slices with positions, from the lowest on; one that is missing keeps its place."""
    normal = normal_of(slices[0])
    positions = np.array([s.position for s in slices])
    places, distance, told = _spaced(name, slices[0], np.diff(along_normal(slices)))
    if places is None:
        return _Line(np.arange(len(slices)), normal * distance, positions[0], warnings=told)
    # A straight line through all of them: rounding and jitter of the first and the last would tilt the whole stack.
    centred = places - places.mean()
    step = centred @ positions / (centred @ centred)
    straight = normal * float(normal @ step)
    if np.linalg.norm(step - straight) * places[-1] < _SHEAR * min(slices[0].spacing or (1.0, 1.0)):
        step = straight
    origin = positions.mean(axis=0) - places.mean() * step
    slant = float(np.degrees(np.arctan2(np.linalg.norm(step - straight), np.linalg.norm(straight))))
    if slant > _SLANT:
        told += (Sentence("slices_slanted", {"file": name, "degrees": round(slant)}),)
    return _Line(places, step, origin, warnings=told)


def _spaced(name: str, s: Slice, steps: np.ndarray) -> tuple[np.ndarray | None, float, Told]:
    """By the distances of neighbours the place of each slice, None where they are uneven, the millimetres from place to
    place, and what to say of gaps.
    """
    places = places_of(steps)
    if places is None:
        distance = float(np.median(steps))
        gaps = int((np.abs(steps / distance - 1) > EVEN).sum())
        told: Told = (Sentence("series_gaps", {"file": name, "gaps": gaps}),)
    else:
        distance, missing = float(steps.sum() / places[-1]), int(places[-1]) - len(steps)
        told = (Sentence("series_missing", {"file": name, "slices": missing}),) if missing else ()
    return places, distance, told + _apart(name, s, distance)


def _apart(name: str, s: Slice, distance: float) -> Told:
    """What to say of slices that are further apart than anybody plans them: every other may be missing."""
    mm, thick, stated = round(distance, 1), s.thickness, s.between or 0.0
    if thick is not None and (distance > _FAR * thick or (stated >= thick and distance > _FAR_STATED * stated)):
        return (Sentence("slices_apart", {"file": name, "mm": mm, "thick": round(thick, 1)}),)
    far = _FAR_STATED * stated if thick is None and stated else _FAR_MM
    return (Sentence("slices_far", {"file": name, "mm": mm}),) if distance > far else ()


def _stated_distance(s: Slice) -> tuple[float, bool]:
    """Millimetres from slice to slice where no positions tell, and whether they can be trusted.

    Some writers give the gap instead of the distance, which is less than the thickness then; so it is where slices overlap.
    """
    if s.thickness is None or s.between is None or s.between >= 0.99 * s.thickness:
        distance = s.between or s.thickness
        return distance or 1.0, distance is not None
    gap = s.between < _ALL_GAP * s.thickness
    return s.between + (s.thickness if gap else 0.0), gap


def _unplaced(name: str, slices: Sequence[Slice], order: Order) -> _Line:
    """Slices in the order of their locations or numbers, as far apart as these or the headers say."""
    first, axial = slices[0], _axial(slices[0])
    key = "dicom_no_order" if not axial else "dicom_one_position" if has_place(first) else "dicom_no_position"
    told: Told = (Sentence(key, {"file": name}),)
    normal = np.array([0.0, 0, 1]) if axial else normal_of(first)
    places = np.arange(len(slices))
    if order == "number":
        distance, known = _stated_distance(first)
        return _Line(places, normal * distance, np.zeros(3), known, told)
    even, distance, more = _spaced(name, first, np.diff([s.location or 0.0 for s in slices]))
    return _Line(places if even is None else even, normal * distance, np.zeros(3), True, told + more)


def _frames_of_mask(slices: Sequence[Slice]) -> _Line:
    """The frames of a segmentation, which leaves out empty slices and has as many frames at a place as segments there."""
    normal, along = normal_of(slices[0]), along_normal(slices)
    steps = np.diff(np.unique(np.round(along, 3)))
    stated = slices[0].between or slices[0].thickness
    step = stated or (float(steps.min()) if steps.size else 1.0)
    if steps.size and abs(round(float(steps.min()) / step) * step - float(steps.min())) > 0.05 * step:
        step = float(steps.min())
    places = np.round((along - along.min()) / step).astype(int)
    return _Line(places, normal * step, _position(slices[int(along.argmin())]), stated is not None or len(slices) > 1)

"""Where the frames of a DICOM series lie on the grid of its volume, for all that refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from lgg_demo.case import LggDemoError
from lgg_demo.grid import Grid, places_of

REFERRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
RAS = np.diag([-1, -1, 1])  # DICOM counts towards the left and the back, NIfTI to the right and the front


class NoSegmentation(LggDemoError):
    """Why no DICOM SEG can refer to some headers; `key` is its sentence."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


@dataclass(frozen=True)
class Frames:
    """How the frames of a source lie in a volume on the input's own grid.

    through, rows, columns: which axis of the grid goes from frame to frame, down and to the right. flipped: whether rows
    and columns of the grid count the other way. sides: rows and columns of a frame. places: the slice of the grid that each
    frame is, (frames,) int, in the source's order. sources: header and number from 0 of each frame.
    """

    through: int
    rows: int
    columns: int
    flipped: tuple[bool, bool]
    sides: tuple[int, int]
    places: np.ndarray
    sources: tuple[tuple[Dataset, int], ...]

    def of(self, volume: np.ndarray) -> np.ndarray:
        """A volume on the grid, (*shape), as frames (frames, rows, columns)."""
        up, left = (-1 if flipped else 1 for flipped in self.flipped)
        turned = volume.transpose(self.through, self.rows, self.columns)[:, ::up, ::left]
        return np.asarray(turned[self.places])

    def pixels(self, points: np.ndarray) -> tuple[int, np.ndarray] | None:
        """The frame, from 0, that points on the grid, (N, 3), lie in, and their (column, row) there, (N, 2); the middle of
        a pixel is a whole number. None where they lie in no single frame.
        """
        slices = np.unique(np.round(points[:, self.through], 3))
        (frames,) = np.nonzero(self.places == slices[0])
        if len(slices) > 1 or not len(frames):
            return None
        inside = points[:, [self.columns, self.rows]]
        last = np.array([self.sides[1], self.sides[0]]) - 1
        return int(frames[0]), np.where(self.flipped[::-1], last - inside, inside)


def frames_of_source(grid: Grid, instances: Sequence[Dataset]) -> Frames:
    """How the frames of some headers lie on the grid of their volume.

    Raises NoSegmentation where the headers do not lie on the grid, or lack what a segmentation must refer to.
    """
    if any(not i.get(keyword) for i in instances for keyword in REFERRED):
        raise NoSegmentation("seg_no_uid")
    if len({i.FrameOfReferenceUID for i in instances}) > 1:
        raise NoSegmentation("seg_frames_of_reference")
    if len({i.SOPInstanceUID for i in instances}) < len(instances):
        raise NoSegmentation("seg_shared_uids")
    try:
        planes = np.stack([plane_of(instance, n) for instance, n in every_frame(instances)])
        sizes = {(int(i.Rows), int(i.Columns)) for i in instances}
    except (AttributeError, IndexError, TypeError, ValueError):
        raise NoSegmentation("seg_no_position") from None
    inverse = np.linalg.inv(grid.affine)[:3]
    right, down = (inverse[:, :3] @ planes[0, :, :2]).T  # voxels of a step to the next column and to the next row
    rows, columns = int(np.abs(down).argmax()), int(np.abs(right).argmax())
    if rows == columns or sizes != {(grid.shape[rows], grid.shape[columns])}:
        raise NoSegmentation("seg_off_grid")
    through = 3 - rows - columns
    signs = np.sign([down[rows], right[columns]]).astype(int)
    whole = np.zeros((2, 3))
    whole[[0, 1], [rows, columns]] = signs
    # A frame is its own slice, pixel by pixel, wherever in the plane it lies: slices of a slanted or jittery series slide.
    corners = planes[:, :, 2] @ inverse[:, :3].T + inverse[:, 3]  # of each first pixel
    sides = np.array([grid.shape[rows], grid.shape[columns]])
    slid = np.abs(corners[:, [rows, columns]] - np.where(signs > 0, 0, sides - 1))
    if not np.allclose([down, right], whole, atol=0.01) or (slid > sides / 4).any():
        raise NoSegmentation("seg_off_grid")
    flipped = bool(signs[0] < 0), bool(signs[1] < 0)
    places = _places_of(corners[:, through], grid.shape[through])
    return Frames(through, rows, columns, flipped, (int(sides[0]), int(sides[1])), places, tuple(every_frame(instances)))


def every_frame(instances: Sequence[Dataset]) -> list[tuple[Dataset, int]]:
    """Every frame of some headers, as its header and its number from 0."""
    return [(i, n) for i in instances for n in range(int(i.get("NumberOfFrames", None) or 1))]


def _places_of(along: np.ndarray, depth: int) -> np.ndarray:
    """The slice of the grid that each frame is, (frames,) int, by where they lie along its axis, (frames,) in slices.

    By rank and not by distance: slices are not always as evenly spaced as an affine says. Raises NoSegmentation.
    """
    if len(along) > depth:
        raise NoSegmentation("seg_more_frames")
    ranks, steps = np.argsort(np.argsort(along)), np.diff(np.sort(along))
    if len(along) > 1 and steps.min() < 0.1:  # two frames at one place
        raise NoSegmentation("seg_uneven")
    if len(along) == depth:
        return np.asarray(ranks)
    places = places_of(steps) if len(along) > 1 else None  # those of missing slices are blank on the grid
    if places is None or places[-1] + 1 != depth:
        raise NoSegmentation("seg_uneven")
    return np.asarray(places[ranks])


def plane_of(instance: Dataset, frame: int) -> np.ndarray:
    """Steps to the next column and to the next row, and the first pixel's position: columns of (3, 3), in mm, RAS+.

    frame: from 0. Raises ValueError and whatever else a header without a geometry leads to.
    """
    groups = [instance]
    if "PerFrameFunctionalGroupsSequence" in instance:  # enhanced: what is a frame's own, and what all of them share
        both = [instance.PerFrameFunctionalGroupsSequence[frame], *instance.get("SharedFunctionalGroupsSequence", [])]
        groups += [element.value[0] for group in both for element in group if element.VR == "SQ" and element.value]
    position = _numbers(groups, "ImagePositionPatient", 3)
    orientation, spacing = _numbers(groups, "ImageOrientationPatient", 6), _numbers(groups, "PixelSpacing", 2)
    lps = np.stack([orientation[:3] * spacing[1], orientation[3:] * spacing[0], position], axis=1)
    return np.asarray(RAS @ lps)


def _numbers(groups: Iterable[Dataset], keyword: str, count: int) -> np.ndarray:
    """The values of the first group that has them, (count,) float64."""
    found = next((np.array(list(map(float, g[keyword].value))) for g in groups if g.get(keyword) is not None), np.zeros(0))
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(keyword)
    return found


def why_no_segmentation(grid: Grid, instances: Sequence[Dataset]) -> str | None:
    """The key of the sentence that says why no segmentation can refer to these headers; None where one can."""
    try:
        frames_of_source(grid, instances)
    except NoSegmentation as reason:
        return reason.key
    return None

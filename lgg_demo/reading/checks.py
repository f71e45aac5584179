"""What makes a scan doubtful before it is segmented: its plane, what it shows, the order of its sequences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lgg_demo.case import Scan
from lgg_demo.grid import THICK, Grid
from lgg_demo.messages import Sentence
from lgg_demo.reading.limits import FLAIR
from lgg_demo.reading.masks import LABEL_VALUES
from lgg_demo.reading.sequences import out_of_order

TILTED = 25.0  # degrees
PLANES = {"coronal": "plane_coronal", "sagittal": "plane_sagittal"}  # of thick slices, and what is said of them
HEAD_MM = (80.0, 300.0)  # from the first to the last bright row or column of a head
HEAD_SHARE = (0.02, 0.85)  # of all voxels that are brighter than a tenth of the bright ones
# Hounsfield units: air, brain, bone, and what lies between these two, which is little of a head.
AIR, BRAIN, BONE, BETWEEN = -500.0, (10.0, 80.0), 300.0, (100.0, 300.0)
LETTER_ROWS = 4  # pixels; no letter is lower
LETTERS_SHARE = 0.35  # letters leave most of a corner dark; noise does not


def inspect(scan: Scan) -> tuple[Sentence, ...]:
    """What makes a scan doubtful: its plane, that it is hardly an MRI of a head, channels out of order, letters in it."""
    found: list[Sentence] = []
    name = scan.files[0][0]
    flair = scan.pixels[..., FLAIR]
    if scan.grid is not None:
        found += _placed_oddly(name, scan.grid)
    thin = flair[:: max(1, len(flair) // 64), ::2, ::2]  # enough to judge by
    if _ct_like(thin):
        found.append(Sentence("looks_like_ct", {"file": name}))
    elif thin.size and len(np.unique(thin)) <= LABEL_VALUES and float(thin.min()) < float(thin.max()):
        found.append(Sentence("looks_like_mask", {"file": name}))
    elif not _head_like(thin, scan.spacing_mm):
        found.append(Sentence("not_a_head", {"file": name}))
    elif not scan.grey and out_of_order(scan.pixels):
        found.append(Sentence("sequences_order", {"file": name}))
    if text_in_corners(flair):
        found.append(Sentence("text_in_corner", {"file": name}))
    return tuple(found)


def _placed_oddly(name: str, grid: Grid) -> Iterator[Sentence]:
    """That thick slices are not axial, or that they are strongly tilted."""
    _, middle, longest = sorted(grid.spacing_mm)
    key = PLANES.get(grid.slice_direction or "")
    if key and longest > THICK * middle:
        yield Sentence(key, {"file": name, "mm": round(longest, 1)})
    if grid.tilt_degrees > TILTED:
        yield Sentence("plane_tilted", {"file": name, "degrees": round(grid.tilt_degrees)})


def _ct_like(thin: np.ndarray) -> bool:
    """Whether the intensities are those of a CT of a head. A negative number around an MRI alone does not make it one."""
    body = thin[thin > AIR]
    if not body.size or body.size > 0.9 * thin.size:
        return False
    brain, between = (float(((body >= low) & (body <= high)).mean()) for low, high in (BRAIN, BETWEEN))
    bone = float((body > BONE).mean())
    return brain > 0.3 and 0.01 < bone < 0.4 and between < 0.15


def text_in_corners(flair: np.ndarray) -> bool:
    """Whether the slices (S, H, W) have letters in a corner, bright on dark and the same on most of them.

    Rows of a corner with three bright strokes or more are counted in the median slice, where anatomy and noise fade. Of
    the 88 patients of the training data none has one such row, and each has eight once a name is written in. Fewer than
    three slices have no median to speak of, and are not judged.
    """
    if len(flair) < 3:
        return False
    low, high = np.percentile(flair[:, ::2, ::2], [1, 99.5])
    some = flair[:: max(1, len(flair) // 16)]
    bright = np.median(some, axis=0) > (low + high) / 2
    height, width = bright.shape
    for rows in (slice(0, height // 6), slice(height - height // 6, height)):
        for columns in (slice(0, width // 3), slice(width - width // 3, width)):
            corner = bright[rows, columns]
            strokes = (corner[:, 1:] & ~corner[:, :-1]).sum(axis=1) + corner[:, 0]
            if int((strokes >= 3).sum()) >= LETTER_ROWS and corner.mean() < LETTERS_SHARE:
                return True
    return False


def _head_like(thin: np.ndarray, spacing_mm: tuple[float, float, float] | None) -> bool:
    """Whether something of a head's size stands out from the dark; every second row and column is given."""
    low, high = (float(v) for v in np.percentile(thin, [1, 99]))
    if high <= low:
        return True  # a blank scan is reported as such
    share = float((thin > low + 0.1 * (high - low)).mean())
    if spacing_mm is None:
        return HEAD_SHARE[0] <= share <= HEAD_SHARE[1]
    head = thin > thin.mean()
    sides = []
    for axis, step in ((2, spacing_mm[1]), (1, spacing_mm[2])):
        profile = np.flatnonzero(head.mean(axis=(0, axis)) > 0.01)
        sides.append((profile[-1] - profile[0] + 1) * 2 * step if profile.size else 0.0)
    return all(HEAD_MM[0] <= side <= HEAD_MM[1] for side in sides) and share >= HEAD_SHARE[0]

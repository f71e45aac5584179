"""What lies around a slice in a picture: the page of a figure, a slide or a screenshot, which the network would segment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

# Shares of a picture's range of intensities.
BRIGHTER = 0.12  # than the darkest of the picture a page is, at least; air with a haze is less
LEVELS = 32  # of a picture that shows something; one that is nearly black has a few levels of noise
GREY = 0.03  # how far the channels of a grey picture differ, after JPEG too
PLAIN, EXACT = 0.6, 0.012  # so much of a page has its very colour, noise has not
ALIKE = 0.06  # pixels of one page, after JPEG too

LARGE = 1024  # pixels; of a longer side some are looked at
DEPTHS = (0, 1, 2, 3, 5, 8)  # pixels: how wide a line around a page may be
NESTED = 4  # pages one inside the other, at most: a window, its title bar, a figure's frame
STROKE = 5  # pixels; what is thinner in a margin is a letter, a line or the noise of JPEG
CAPTION = 0.1  # of the largest part of a picture; smaller parts beside it are words and logos
HEAD_MARGIN = 256 / 232  # of the frame to the head, as in the training data
HARMLESS = 0.02  # of the longer side: a margin no wider than this is darkened without a word
HEADS = 0.4  # of the largest head of a picture; smaller ones are parts of it
SHAPES = (0.6, 1.7)  # width to height of a slice, and of a head in any plane
HAZE = 0.15  # of the range: what is brighter is no air
HEAD_FILLS = 0.55  # of its box, at least; an ellipse fills 0.79
SMALLEST_HEAD = 0.02, 24  # of the picture, without its page; pixels a side


Box = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Border:
    """What lies around a slice: `outside` (H, W) bool, and what there is to see without it.

    frame: (top, left, height, width) in pixels, a square around the slice, or around its head and some air; it may reach
    beyond the picture. wide: the border would do harm. grey: the slice is grey, whatever colour the border has.
    """

    outside: np.ndarray
    frame: tuple[int, int, int, int]
    wide: bool
    grey: bool


def border_of(values: np.ndarray, hidden: np.ndarray | None = None) -> Border | None:
    """The border of a slice (H, W, 1 or 3) float32, any unit; None where it has none, as scanners write them.

    A page is of one colour that is brighter than air and reaches two corners of the picture or more; words and lines in it
    belong to it. hidden: what is transparent, (H, W) bool.
    """
    height, width = values.shape[:2]
    if (step := -(-max(height, width) // LARGE)) > 1:
        thin = border_of(values[::step, ::step], None if hidden is None else hidden[::step, ::step])
        return None if thin is None else _finer(thin, step, (height, width))
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return None
    shares = (values - low) / (high - low)
    inside, box = _uncovered(shares, hidden)
    if inside.all() or len(np.unique(values)) < LEVELS:
        return None
    grey = float(np.ptp(shares[inside], axis=-1).mean()) < GREY
    return Border(~inside, _frame(shares, inside, box), _widest(~inside) > HARMLESS * max(height, width), grey)


def _uncovered(shares: np.ndarray, hidden: np.ndarray | None) -> tuple[np.ndarray, Box]:
    """What of a picture (H, W, 1 or 3) belongs to no page, (H, W) bool, and the box around it."""
    inside = np.ones(shares.shape[:2], dtype=bool)
    box = _box(inside)
    page = None if hidden is None else _from_corners(_solid(hidden))
    for _ in range(NESTED):
        if page is None or not page.any():
            page = _page(shares[box])
        kept = None if page is None else _parts(_solid(~page))
        if kept is None or not kept.any():
            break  # no further page, a blank one, or no slice at all
        within = np.zeros_like(inside)
        within[box] = kept
        inside &= within
        box, page = _box(within), None
    return inside, box


def _finer(border: Border, step: int, size: tuple[int, int]) -> Border:
    """The border of a picture of which every so many pixels were looked at."""
    wider = ndimage.binary_dilation(border.outside)
    outside = np.repeat(np.repeat(wider, step, axis=0), step, axis=1)[: size[0], : size[1]]
    top, left, height, width = (step * length for length in border.frame)
    return replace(border, outside=outside, frame=(top, left, height, width))


def _solid(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool without letters, lines and specks."""
    opened = ndimage.binary_opening(np.pad(mask, STROKE, mode="edge"), np.ones((STROKE, STROKE)))
    return np.asarray(opened[STROKE:-STROKE, STROKE:-STROKE])


def _box(mask: np.ndarray) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _frame(shares: np.ndarray, inside: np.ndarray, box: Box) -> tuple[int, int, int, int]:
    """The square that shows what is inside a border as large as heads are in slices without one."""
    head = _solid(inside & _bright(shares, inside))
    tall, wide = (one.stop - one.start for one in (_box(head) if head.any() else box))
    side = max(box[0].stop - box[0].start, box[1].stop - box[1].start, round(max(tall, wide) * HEAD_MARGIN))
    top, left = (round((one.start + one.stop - side) / 2) for one in box)
    return top, left, side, side


def _bright(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What of a slice (H, W, 1 or 3) is no air, (H, W) bool, judged by what is inside its border."""
    brightness = values.mean(axis=-1)
    low, high = np.percentile(brightness[inside], [1, 99])
    return np.asarray(brightness > low + HAZE * (high - low))


def _widest(outside: np.ndarray) -> int:
    """How far a border reaches into a picture from its sides, in pixels."""
    turned = (outside, outside[::-1], outside.T, outside[:, ::-1].T)
    return max(int(np.where(side.all(axis=0), 0, side.argmin(axis=0)).max()) for side in turned)


def _page(shares: np.ndarray) -> np.ndarray | None:
    """Where a picture (H, W, 1 or 3), in shares of its range, shows a page: (H, W) bool."""
    dark = float(np.percentile(shares[::2, ::2].max(axis=-1), 1))
    for depth in DEPTHS:
        inner = shares[depth : shares.shape[0] - depth, depth : shares.shape[1] - depth]
        if min(inner.shape[:2]) < 3 * STROKE:
            return None
        for colour in _corner_colours(inner):
            if colour.max() < dark + BRIGHTER:
                continue
            away = np.abs(inner - colour).max(axis=-1)
            page = _from_corners(away <= ALIKE)
            if page.all() or (away[page] <= EXACT).mean() < PLAIN:
                continue
            rest = inner[~page]
            of_grey = float(np.ptp(rest, axis=-1).mean()) < GREY
            brightness = (rest.max if of_grey else rest.min)(axis=-1), (colour.max if of_grey else colour.min)()
            if brightness[1] > np.percentile(brightness[0], 1) + BRIGHTER:
                out = np.ones(shares.shape[:2], dtype=bool)
                out[depth : shares.shape[0] - depth, depth : shares.shape[1] - depth] = page
                return out
    return None


def _corner_colours(shares: np.ndarray) -> list[np.ndarray]:
    """The colours that two corners or more of a picture (H, W, 1 or 3) have."""
    ends = (slice(3), slice(-3, None))
    patches = [shares[rows, columns].reshape(9, -1) for rows in ends for columns in ends]
    colours = [np.median(patch, axis=0) for patch in patches]
    return [
        colour
        for n, colour in enumerate(colours)
        if sum(np.count_nonzero(np.abs(patch - colour).max(axis=-1) <= ALIKE) > 6 for patch in patches) > 1
        and all(np.abs(colour - other).max() > EXACT for other in colours[:n])
    ]


def _from_corners(alike: np.ndarray) -> np.ndarray:
    """The parts of (H, W) bool that reach a corner."""
    labels, _ = ndimage.label(alike)
    ends = (slice(3), slice(-3, None))
    reached = np.unique(np.concatenate([labels[rows, columns].ravel() for rows in ends for columns in ends]))
    return np.asarray(np.isin(labels, reached[reached > 0]))


def _parts(inside: np.ndarray) -> np.ndarray:
    """What of (H, W) bool belongs to a picture: its large parts."""
    labels, count = ndimage.label(inside, np.ones((3, 3)))
    if count < 2:
        return inside
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.isin(labels, np.flatnonzero(sizes >= CAPTION * sizes.max()))


def several_heads(values: np.ndarray, outside: np.ndarray | None = None) -> bool:
    """Whether a picture (H, W, 1 or 3) shows heads beside each other, as a light box does; outside: its border.

    They are of about one size and shaped as heads are. Two may be face and cerebellum, or the halves of a brain, unless
    half of the picture has the shape of a slice.
    """
    inside = np.ones(values.shape[:2], dtype=bool) if outside is None else ~outside
    step = max(1, min(inside.shape) // 256)
    bright = (inside & _bright(values, inside))[::step, ::step]
    solid = ndimage.binary_fill_holes(ndimage.binary_opening(bright, np.ones((STROKE, STROKE))))
    labels, _ = ndimage.label(solid)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.size < 2:
        return False
    least = max(HEADS * sizes.max(), SMALLEST_HEAD[0] * inside[::step, ::step].sum())
    heads = []
    for size, (rows, columns) in zip(sizes, ndimage.find_objects(labels), strict=True):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if step * min(height, width) < SMALLEST_HEAD[1]:
            continue
        if size >= least and size >= HEAD_FILLS * width * height and SHAPES[0] <= width / height <= SHAPES[1]:
            heads.append((rows, columns))
    if len(heads) != 2:
        return len(heads) > 2
    (above, left), (below, right) = heads
    stacked = abs(above.start + above.stop - below.start - below.stop) > abs(
        left.start + left.stop - right.start - right.stop
    )
    rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
    height, width = float(np.ptp(rows)) + 1, float(np.ptp(columns)) + 1
    half = 2 * width / height if stacked else width / 2 / height
    return SHAPES[0] <= half <= SHAPES[1]

"""What the values of a mask mean: labels, probabilities, soft edges, drawings in colour or in transparency."""

from __future__ import annotations

import numpy as np

# A mask with no more distinct values than this is a label map, where everything above 0 is tumour. One with more is one too
# where its values fill areas; else it was resampled or compressed, and is cut at half of its maximum.
LABEL_VALUES = 8
FILLED = 0.5  # of the pixels between background and full value, that are like three neighbours: in a label map
NEARLY_FULL = 0.9  # of the largest value
DRAWN = 0.5  # of what is marked has nearly the full value where a mask was drawn with soft edges

# A mask drawn in colour on white: shares of its largest value.
BRIGHT = 0.75  # a background's darkest channel, at least
ALIKE = 0.1  # how far the pixels of one background, and the channels of a grey, may differ
COLOURED = 0.25  # how far the channels of a colour differ, at least
MOST_COVERED = 0.9  # of a picture; no tumour fills it, a mask that is inverted or has a light background does


def covering(reference: np.ndarray) -> np.ndarray:
    """Which slices of a reference (S, H, W) bool it covers nearly whole, or in three corners or more: (S,) bool.

    No lesion does; a mask that is inverted does, and one with a white margin.
    """
    corners = reference[:, [0, 0, -1, -1], [0, -1, 0, -1]].sum(axis=1)
    return np.asarray((reference.mean(axis=(1, 2)) > MOST_COVERED) | (corners > 2))


def cut_of(values: np.ndarray) -> tuple[float | None, bool]:
    """From which value on a mask counts, None for all above 0, and whether that was assumed rather than plain.

    values: (S, H, W), some above 0. Whole numbers are labels, but for a picture's shades between none and full.
    """
    marked = np.unique(values[values > 0])
    top, whole = float(marked[-1]), bool((marked == np.round(marked)).all())
    if len(marked) == 1 or (whole and (len(marked) < LABEL_VALUES or _fill_areas(values, NEARLY_FULL * top))):
        return None, False
    if whole:
        return top / 2, bool((values >= NEARLY_FULL * top).sum() < DRAWN * (values > 0).sum())
    return 0.5 if top <= 1 else top / 2, True


def _fill_areas(values: np.ndarray, full: float) -> bool:
    """Whether of a mask (S, H, W) most of what is marked but not full is like three of its four neighbours."""
    between = (values > 0) & (values < full)
    around = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    alike = sum(
        (np.roll(around, step, axis)[:, 1:-1, 1:-1] == values).astype(np.uint8) for axis in (1, 2) for step in (1, -1)
    )
    return bool(between.any() and (alike[between] >= 3).mean() >= FILLED)


def drawn(values: np.ndarray) -> np.ndarray:
    """How much is drawn at each pixel of a mask (S, H, W, 1 or 3): (S, H, W), its brightest channel.

    Of a drawing in colour on white it is how far a pixel is from that white, which is the commonest colour, also at the
    border; black on white may as well be a large mask, and is taken as it is.
    """
    brightest = values.max(axis=-1)
    if values.shape[-1] == 1:
        return np.asarray(brightest)
    top = float(brightest.max())
    border = np.concatenate([values[:, [0, -1]].reshape(-1, 3), values[:, :, [0, -1]].reshape(-1, 3)])
    white = np.median(border, axis=0)
    if white.min() < BRIGHT * top or np.ptp(white) > ALIKE * top:
        return np.asarray(brightest)
    away = np.abs(values - white).max(axis=-1)
    around = np.abs(border - white).max(axis=-1) <= ALIKE * top
    colours = np.ptp(values[away > ALIKE * top], axis=-1)
    most = around.mean() > 0.5 and 0 < colours.size < away.size / 2
    return np.asarray(away if most and np.median(colours) > COLOURED * top else brightest)


def over_black(values: np.ndarray, opaque: float) -> np.ndarray:
    """A mask (S, H, W, 1 or 3 and its opacity) as it looks over black, or its opacity where all that shows has one colour.

    opaque: the opacity that hides what is behind. Where opacity is the same everywhere it tells nothing of a drawing that
    has several colours.
    """
    colours, opacity = values[..., :-1], values[..., -1:]
    shown = colours[opacity[..., 0] > 0]
    if (opacity == opacity.flat[0]).all() and not (colours == colours[0, 0, 0]).all():
        return colours
    if (opacity != opacity.flat[0]).any() and (shown == shown[0]).all():
        return opacity
    return np.asarray(colours * (opacity / opaque))

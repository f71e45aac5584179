"""Intensities of a stack to the range a network is trained on; numpy alone, as the reader judges scans by it too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NORMALISATION = "stack-landmarks-1"  # recorded with the weights; a network is only served with its own
PERCENTILE_NORMALISATION = "stack-percentile-1"  # of the first weights, and of what compares with them
BYTE_NORMALISATION = "byte-255"  # the student report's
LOW, HIGH, CEILING = 1.0, 99.0, 1.5
LANDMARKS = (10.0, 30.0, 50.0, 70.0, 90.0, HIGH)  # percentiles of the foreground
STANDARD = (0.20, 0.31, 0.37, 0.44, 0.67, 1.0)  # what they become: about where they lie in the FLAIR of folds 1 to 4

# For each channel ascending values and what they become, straight between them; a single value has no contrast.
Scale = tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]


def _scale_of(
    pixels: np.ndarray,
    percentiles: tuple[float, ...],
    become: tuple[float, ...],
    trusted: tuple[float, float] = (0.0, 100.0),
) -> Scale:
    """What makes the 1st percentile of all values of a channel 0, and these percentiles of the foreground these.

    The foreground lies above the mean of the values, those outside the `trusted` percentiles taken to their ends.
    """
    scale: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    for c in range(pixels.shape[-1]):
        if c and pixels.strides[-1] == 0:  # one grey stack seen as three
            scale.append(scale[0])
            continue
        values = pixels[..., c].astype(np.float32, copy=False)
        low, *ends = np.percentile(values, (LOW, *trusted))
        foreground = values[values > np.clip(values, *ends).mean()]
        marks = np.percentile(foreground, percentiles) if foreground.size else np.full(len(percentiles), low)
        rising = dict(zip([float(low), *map(float, marks)], (0.0, *become), strict=True))  # of equal values the last
        scale.append((tuple(rising), tuple(rising.values())))
    return tuple(scale)


def landmark_scale(pixels: np.ndarray) -> Scale:
    """What `normalise` does to each channel of a stack (S, H, W, C): landmarks of its histogram come to a standard place.

    Nyúl and Udupa 1999, doi:10.1002/(SICI)1522-2594(199912)42:6<1072::AID-MRM11>3.0.CO;2-M. The brain then has about the
    same values in every scan, however bright the fat of the scalp is, and a gain, an offset or a gamma of the input
    changes next to nothing. It is taken from the stack as a whole, so that slices keep their relation.
    """
    return _scale_of(pixels, LANDMARKS, STANDARD, trusted=(LOW, HIGH))  # no spike or padding moves the foreground


def percentile_scale(pixels: np.ndarray) -> Scale:
    """What makes the 99th percentile of the foreground 1, and all between it and 0 straight."""
    return _scale_of(pixels, (HIGH,), (1.0,))


def byte_scale(pixels: np.ndarray) -> Scale:
    """What divides the bytes of a stack (S, H, W, C) by 255, as the student report does.

    A stack with values above 255 holds no bytes; its largest value becomes 1, lest all of it be white.
    """
    highest = max(255.0, float(pixels.max(initial=0.0)))
    return tuple(((0.0, highest), (0.0, 1.0)) for _ in range(pixels.shape[-1]))


# Every normalisation that a network may have been trained with, by the name its record has.
NORMALISATIONS: dict[str, Callable[[np.ndarray], Scale]] = {
    NORMALISATION: landmark_scale,
    PERCENTILE_NORMALISATION: percentile_scale,
    BYTE_NORMALISATION: byte_scale,
}


def normalise(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """Scale each channel of a stack (S, H, W, C) to about 0..1: float32 in [0, 1.5]; see `landmark_scale`.

    Beyond the last value of its scale a channel goes on straight; without contrast it becomes 0.
    """
    out = np.zeros(pixels.shape, dtype=np.float32)
    for c, (given, become) in enumerate(scale):
        if c and pixels.strides[-1] == 0:
            out[..., c] = out[..., 0]
        elif len(given) > 1:
            rise = (given[-1] - given[-2]) / (become[-1] - become[-2])
            end = given[-1] + rise * (CEILING - become[-1])
            out[..., c] = np.interp(pixels[..., c], (*given, end), (*become, CEILING))
    return out

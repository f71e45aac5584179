"""What was corrected by hand in a result, by slice and by connected lesion."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from lgg_demo.measure.lesions import MOST_LESIONS, label_parts
from lgg_demo.output.result import Result
from lgg_demo.probability import binarise


def changes(result: Result, threshold: float, place: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that the hand added to the network's mask at a threshold, and those it removed: two (S, H, W) bool."""
    by_network, by_hand = binarise(result.probability[place], threshold), result.mask(threshold, place)
    return by_hand & ~by_network, by_network & ~by_hand


def manual_edits(result: Result, threshold: float, place: slice = slice(None)) -> dict[str, Any]:
    """What a report says of the corrections of these slices at a threshold in [0, 1].

    added_pixels, removed_pixels: in all. slices: one entry for each slice that differs from the network's, counted from 1.
    lesions: one for each connected lesion (26 neighbours) that differs, with its first and last slice, its pixels now (0
    where all of it was removed), and those added and removed; what was removed belongs to the lesion it was part of. The
    most changed come first, at most `MOST_LESIONS`.
    """
    added, removed = changes(result, threshold, place)
    by_slice = [(int(a.sum()), int(r.sum())) for a, r in zip(added, removed, strict=True)]
    return {
        "added_pixels": int(added.sum()),
        "removed_pixels": int(removed.sum()),
        "slices": [{"slice": s, "added_pixels": a, "removed_pixels": r} for s, (a, r) in enumerate(by_slice, 1) if a or r],
        "lesions": _lesions(result.mask(threshold, place), added, removed),
    }


def _lesions(mask: np.ndarray, added: np.ndarray, removed: np.ndarray) -> list[dict[str, int]]:
    """The lesions of `manual_edits`. A lesion is what is connected of the mask (S, H, W) and of what was removed of it."""
    if not (added.any() or removed.any()):
        return []
    labels, found, box = label_parts(mask | removed)
    now, more, less = (np.bincount(labels[pixels[box]], minlength=found + 1) for pixels in (mask, added, removed))
    places = ndimage.find_objects(labels)
    changed = more + less
    order = [int(n) for n in np.argsort(-changed, kind="stable") if n and changed[n]][:MOST_LESIONS]
    return [
        {
            "first_slice": box[0].start + places[n - 1][0].start + 1,
            "last_slice": box[0].start + places[n - 1][0].stop,
            "pixels": int(now[n]),
            "added_pixels": int(more[n]),
            "removed_pixels": int(less[n]),
        }
        for n in order
    ]

"""Are the three sequences in order? A small test of which channel looks like FLAIR: `python -m lgg_demo.sequences`.

A logistic regression on the channels' histograms inside the head. The command fits it on the patients of the dataset that
have all three sequences, scores it by cross-validation over patients, and writes weights/sequences.json, which is what
`flair_margin` reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lgg_demo.intensity import CEILING, normalise, percentile_scale
from lgg_demo.reading.limits import FLAIR

FITTED = Path(__file__).resolve().parent.parent / "weights" / "sequences.json"
BINS = 16
FEWEST_SLICES = 8  # a slice alone says too little
MARGIN = 1.0  # log-odds by which another channel must look more like FLAIR before anybody is warned


def channel_features(pixels: np.ndarray) -> np.ndarray:
    """For each channel of a stack (S, H, W, 3) its features, (3, 33) float64.

    Square roots of its histogram inside the head, the difference to the others' mean, and how much more alike the two
    others are than either is to it.
    """
    step = max(1, max(pixels.shape[1:3]) // 64)
    thinned = pixels[::2, ::step, ::step]
    x = normalise(thinned, percentile_scale(thinned))
    brightness = x.mean(axis=-1)
    head = x[brightness > brightness.mean()]
    counts = [np.histogram(head[:, c], bins=BINS, range=(0, CEILING))[0] for c in range(3)]
    shape = np.sqrt(np.array(counts) / max(len(head), 1))
    with np.errstate(invalid="ignore"):  # a channel without contrast correlates with nothing
        alike = np.nan_to_num(np.corrcoef(head.T)) if len(head) > 1 else np.zeros((3, 3))
    rows = []
    for c in range(3):
        a, b = (k for k in range(3) if k != c)
        bond = alike[a, b] - max(alike[c, a], alike[c, b])
        rows.append(np.concatenate([shape[c], shape[c] - (shape[a] + shape[b]) / 2, [bond]]))
    return np.array(rows)


@cache
def _fitted() -> tuple[np.ndarray, float]:
    values = json.loads(FITTED.read_text(encoding="utf-8"))
    return np.array(values["coefficients"]), float(values["intercept"])


def flair_margin(pixels: np.ndarray) -> float:
    """By how much the second channel of a stack (S, H, W, 3) looks more like FLAIR than the others do, in log-odds."""
    coefficients, intercept = _fitted()
    score = channel_features(pixels) @ coefficients + intercept
    return float(score[FLAIR] - max(np.delete(score, FLAIR)))


def out_of_order(pixels: np.ndarray) -> bool:
    """Whether another channel than the second looks clearly more like FLAIR; never of fewer than eight slices."""
    return len(pixels) >= FEWEST_SLICES and flair_margin(pixels) < -MARGIN


def fit(stacks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Coefficients from stacks (S, H, W, 3) of several patients in order, with their cross-validated score."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    features = np.concatenate([channel_features(pixels) for pixels in stacks.values()])
    flair = np.tile(np.arange(3) == FLAIR, len(stacks))
    patient = np.repeat(np.arange(len(stacks)), 3)
    model = LogisticRegression(C=10, max_iter=5000)
    folds = GroupKFold(min(10, len(stacks)))
    score = cross_val_predict(model, features, flair, groups=patient, cv=folds, method="decision_function").reshape(-1, 3)
    margin = score[:, FLAIR] - np.delete(score, FLAIR, axis=1).max(axis=1)
    model.fit(features, flair)
    return {
        "protocol": f"{folds.n_splits}-fold cross-validation over patients with all three sequences, whole volumes",
        "patients": len(stacks),
        "flair_found": float((margin > 0).mean()),
        "false_alarms": float((margin < -MARGIN).mean()),
        "swaps_caught": float((margin > MARGIN).mean()),  # FLAIR exchanged with the channel most like it
        "coefficients": model.coef_[0].tolist(),
        "intercept": float(model.intercept_[0]),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    from lgg_demo.data import DatasetError, index_dataset, read_patient

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the kaggle_3m folder")
    parser.add_argument("--out", type=Path, default=FITTED, metavar="FILE", help="what to write (weights/sequences.json)")
    given = parser.parse_args(arguments)
    try:
        index = index_dataset(given.data)
    except DatasetError as error:
        print(f"sequences: {error}", file=sys.stderr)
        return 2
    stacks = {}
    for name, rows in index.groupby("patient"):
        pixels = read_patient(rows)[0].pixels
        if not any((pixels[..., c] == pixels[..., FLAIR]).all() for c in (0, 2)):  # a copy stands in for a missing one
            stacks[str(name)] = pixels
    result = fit(stacks)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print({k: v for k, v in result.items() if k not in ("coefficients", "intercept")})
    return 0


if __name__ == "__main__":
    sys.exit(main())

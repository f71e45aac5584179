"""Are the three sequences in order? A small test of which channel looks like FLAIR:
`python -m lgg_demo.experiments.sequences`.

A logistic regression on the channels' histograms inside the head. The command fits it on the patients of the dataset that
have all three sequences, scores it by cross-validation over patients, and writes weights/sequences.json, which is what
`flair_margin` reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lgg_demo.reading.limits import FLAIR
from lgg_demo.reading.sequences import FITTED, MARGIN, channel_features


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
    from lgg_demo.train.data import DatasetError, index_dataset, read_patient

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

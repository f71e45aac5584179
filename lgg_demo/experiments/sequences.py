"""Fit the test of which channel looks like FLAIR: `python -m lgg_demo.experiments.sequences --data DIR`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from lgg_demo.command import Folder, run
from lgg_demo.reading.limits import FLAIR
from lgg_demo.reading.sequences import FITTED, MARGIN, channel_features
from lgg_demo.train.data import index_dataset, missing_sequences, read_patient


def fit(stacks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Coefficients from stacks (S, H, W, 3) of several patients in order, with their cross-validated score."""
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


@dataclass(frozen=True)
class SequencesSettings:
    """Fit a logistic regression on the channels' histograms inside the head, and score it.

    It is fitted on the patients that have all three sequences, and scored by cross-validation over them.
    """

    data: Folder
    """the kaggle_3m folder"""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = FITTED
    """what to write, and what the check of an upload reads"""


def fit_dataset(given: SequencesSettings) -> int:
    """What the command does; returns its exit code."""
    stacks = {str(name): read_patient(rows)[0].pixels for name, rows in index_dataset(given.data).groupby("patient")}
    result = fit({name: pixels for name, pixels in stacks.items() if not missing_sequences(pixels)})
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print({k: v for k, v in result.items() if k not in ("coefficients", "intercept")})
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.sequences", SequencesSettings, fit_dataset, arguments)


if __name__ == "__main__":
    sys.exit(main())

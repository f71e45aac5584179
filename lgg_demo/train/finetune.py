"""Beginning from the network of a finished run (--begin), which must not have seen those who are to score it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.record import CheckpointError, NetworkSettings, epochs_of, lineage
from lgg_demo.train.data import patient_folders, read_patients
from lgg_demo.train.recipes import Recipe
from lgg_demo.train.runs import finished, minutes_of
from lgg_demo.train.settings import SeedSettings, TrainSettings

BEGUN = "begun.json"  # where the network of a run with --begin came from, as its record says it


def seen_too_early(settings: TrainSettings | SeedSettings, split: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """The patients whom this run leaves out, or chooses on, though the network that it begins from was trained on them.

    Those whom this run leaves out must not have chosen its epoch either. record: of that network. Raises KeyError or
    TypeError where it does not say whom it was trained on.
    """
    named = set(read_patients(settings.folds, "fold")["patient"]) if settings.folds else set()
    there = {folder.name for folder in patient_folders(settings.data)}
    left_out = (named | there) - {*split["train"], *split["validation"]}
    seen: set[str] = set()
    for one in lineage(record):
        trained, chose = (set(one["split"][side]) for side in ("train", "validation"))
        seen |= trained & {*left_out, *split["validation"]} | chose & left_out
    return sorted(seen)


def begun_network(
    settings: TrainSettings | SeedSettings, begin: Path, recipe: Recipe, split: dict[str, Any]
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network of the run `begin`, in training mode, and what the record says of where it came from.

    Raises CheckpointError where it is not there, not finished, of another kind, or has seen patients too early.
    """
    if not begin.exists():
        raise CheckpointError(f"There is no run at {begin}; --begin takes the folder of a finished one.")
    if begin.is_dir() and not finished(begin):
        raise CheckpointError(f"{begin} is not finished; --begin takes the folder of a finished run.")
    network, record = load_checkpoint(begin)
    if (NetworkSettings.from_record(record["network"]), record["normalisation"]) != (recipe.network, recipe.normalisation):
        raise CheckpointError(f"{begin} is of another network or normalisation; give its settings here too.")
    try:
        seen = seen_too_early(settings, split, record)
        kept = {k: record[k] for k in ("epoch", "sha256", "split", "settings")}
        epochs_of(record)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{begin} does not say whom it was trained on; begin from a run of `train`.") from error
    if seen:
        raise CheckpointError(
            f"{begin} has seen {len(seen)} of the patients whom this run chooses on or leaves out ({seen[0]} is "
            "the first); begin from a run with the same split."
        )
    kept["minutes"] = round(minutes_of(begin if begin.is_dir() else begin.parent) or record.get("training_minutes", 0), 1)
    return network.train(), kept | {k: record[k] for k in ("begun_from", "blend") if k in record}

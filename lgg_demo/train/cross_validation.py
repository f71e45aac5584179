"""Cross-validate: `python -m lgg_demo.train.cross_validation --data DIR --folds CSV --out RUNS [--release weights]`."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import tyro
from tqdm import tqdm

from lgg_demo import command
from lgg_demo.atomic import write_json
from lgg_demo.network.calibration import FINE
from lgg_demo.network.checkpoint import load_checkpoint, save_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT, write_checkpoint
from lgg_demo.network.export import write_graph
from lgg_demo.network.record import CheckpointError, NetworkSettings, epochs_of, lineage
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.network.unet import average_weights
from lgg_demo.train.data import (
    HELD_OUT_FOLD,
    DatasetError,
    index_dataset,
    missing_sequences,
    of_fold,
    read_patient,
    read_patients,
)
from lgg_demo.train.loop import quiet
from lgg_demo.train.out_of_fold import Predicted, assess, draw_reliability, print_result
from lgg_demo.train.runs import finished, held, minutes_of, read_json, trained_already
from lgg_demo.train.settings import NetworkTraining, OptionalRun, Rule, TrainSettings, as_json
from lgg_demo.train.training import train

RESULT = "cross_validation.json"
PROBABILITY = "probability.npz"
NETWORK = "network's sha256"  # the name, beside the patients', of whose probabilities those are
RELIABILITY = "reliability.png"
AVERAGED = "blended"  # the folder, in that of a run, of the mean of its weights and of those that it was fine-tuned from


@dataclass(frozen=True, kw_only=True)
class CrossValidationSettings(NetworkTraining):
    """Predict each fold but the held-out fold 0 by a network trained on the others, for a length fixed beforehand.

    No patient chooses anything for itself. --out receives a run a fold, its probabilities, cross_validation.json and
    reliability.png. The same command continues after a kill.
    """

    folds: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """CSV with the columns patient and fold"""
    begin: OptionalRun = None
    """fine-tune the networks of an earlier cross-validation, each fold's from its own"""
    blend: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.0
    """with --begin: score and release the mean of the weights before and after, this share of those before"""
    release: OptionalRun = None
    """train on all folds too, each patient as often, and write that network here, calibrated on these patients"""

    def rules(self) -> list[Rule]:
        return [
            *super().rules(),
            (not self.blend or (self.begin is not None and 0 < self.blend < 1),
             "--blend goes with --begin, and lies between 0 and 1"),
        ]  # fmt: skip

    def of_train(self, **changed: Any) -> TrainSettings:
        """The same settings for `train`."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(NetworkTraining)}
        return TrainSettings(**shared | {"folds": self.folds, "begin": self.begin} | changed)

    def of_run(self, name: str, **changed: Any) -> TrainSettings:
        """The settings of one run, fine-tuned from the same run of an earlier cross-validation."""
        begin = network_of(self.begin, name, read_json(self.begin / RESULT)) if self.begin else None
        return self.of_train(out=self.out / name, begin=begin, validate=False, **changed)


# The flags of `train` that a cross-validation sets itself, or has of its own.
_SHARED = {f.name for f in dataclasses.fields(NetworkTraining)}
OURS = ("out", *(f.name for f in dataclasses.fields(TrainSettings) if f.name not in _SHARED))


def trained(settings: TrainSettings) -> None:
    """Train what is not there, and continue what was interrupted. Raises ValueError where another run is there."""
    if not trained_already(settings.out, settings):
        train(settings)
        return
    began = read_json((settings.out / CHECKPOINT).with_suffix(".json")).get("begun_from", {}).get("sha256")
    if began != (load_checkpoint(settings.begin)[1]["sha256"] if settings.begin else None):
        raise ValueError(f"{settings.out} was begun from another network; give --begin that, or another --out.")


def network_of(runs: Path, name: str, result: dict[str, Any]) -> Path:
    """The folder of the network that a finished cross-validation kept of one of its runs; result: what it wrote."""
    return runs / name / AVERAGED if result.get("blend") else runs / name


def kept(run: Path, begin: Path | None, share: float) -> Path:
    """The checkpoint of a finished run that is scored: its own, or averaged with the one that it was fine-tuned from.

    share: of that one; 0 for its own.
    """
    if not share:
        return run / CHECKPOINT
    assert begin is not None
    (first, _), (second, record) = load_checkpoint(begin), load_checkpoint(run)
    settings = NetworkSettings.from_record(record["network"])
    own = {k: v for k, v in record.items() if k not in ("name", "sha256")}
    own |= {"blend": share, "training_minutes": round(minutes_of(run), 1)}  # its folder has no metrics.csv of its own
    (run / AVERAGED).mkdir(exist_ok=True)
    save_checkpoint(run / AVERAGED / CHECKPOINT, average_weights(first, second, share), settings, own)
    return run / AVERAGED / CHECKPOINT


def predict_fold(index: pd.DataFrame, checkpoint: Path, patients: list[str], fold: int) -> list[Predicted]:
    """Predict a fold's patients with the network that never saw them; kept beside it for the next time."""
    file = checkpoint.parent / PROBABILITY
    segmenter = None
    network = load_checkpoint(checkpoint)[1]["sha256"]
    stored = np.load(file) if file.exists() else {}
    if NETWORK not in stored or str(stored[NETWORK]) != network:  # of another network that was in this folder
        stored = {}
    out = []
    for name, rows in tqdm(list(index[index["patient"].isin(patients)].groupby("patient", sort=True)), disable=None):
        scan, reference = read_patient(rows)
        if name in stored:
            fine = stored[name]
        else:
            segmenter = segmenter or Segmenter.load(checkpoint)
            p = np.concatenate(list(segmenter.probabilities(scan)))
            fine = (p * np.float32(FINE)).round().astype(np.uint16)
        out.append(Predicted(str(name), fold, fine, reference, " and ".join(missing_sequences(scan.pixels))))
    if segmenter is not None:
        partial = file.with_name("part.npz")
        np.savez_compressed(partial, allow_pickle=False, **{p.patient: p.fine for p in out}, **{NETWORK: np.array(network)})
        partial.replace(file)
    return out


def hardware() -> str:
    """What this runs on, in words."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{os.cpu_count()} cores of a {platform.machine()} CPU, no GPU"


def release(checkpoint: Path, run: Path, result: dict[str, Any], to: Path) -> None:
    """Put a run's network into the folder `to`, with the calibration and scores of its cross-validation in the record."""
    to.mkdir(parents=True, exist_ok=True)
    record = load_checkpoint(checkpoint)[1]
    record["calibration"] = result["calibration"]["all_patients"]
    record["best_threshold"] = result["best_threshold"]["threshold"]
    earlier = sum(one["minutes"] for one in lineage(record)[:-1])
    record["training_minutes"] = round(minutes_of(run) + earlier, 1)
    record["hardware"] = hardware()
    write_checkpoint(to / checkpoint.name, checkpoint.read_bytes(), {k: v for k, v in record.items() if k != "name"})
    write_graph(to / checkpoint.name)
    write_json(to / RESULT, result, indent=1)  # `card` sees by the calibration whether the two belong together
    draw_reliability(result["calibration"]["error"], to / RELIABILITY)


def folds_of(given: CrossValidationSettings) -> tuple[pd.DataFrame, list[int]]:
    """The patients with their folds, and the folds, but the held-out one. Raises DatasetError."""
    table = read_patients(given.folds, "fold")
    table = table[table["fold"] != HELD_OUT_FOLD]
    folds = sorted(int(f) for f in table["fold"].unique())
    if len(folds) < 3:
        raise DatasetError(f"{given.folds} needs at least three folds beside fold {HELD_OUT_FOLD}.")
    return table, folds


def check_begin(given: CrossValidationSettings, folds: list[int]) -> None:
    """Raise CheckpointError, before anything is trained, where a network to fine-tune is not there."""
    if given.begin is None:
        return
    wanted = [*(f"fold-{fold}" for fold in folds), *(["all"] if given.release else [])]
    missing = [name for name in wanted if not finished(given.begin / name)]
    if missing:
        raise CheckpointError(
            f"{given.begin} holds no finished {' and no '.join(missing)}; --begin takes the folder of a finished "
            "cross-validation, with --release one that was released too."
        )


def cross_validate(given: CrossValidationSettings) -> dict[str, Any]:
    """Train, predict and assess every fold, and release; returns what cross_validation.json says.

    Raises DatasetError, CheckpointError or ValueError with one sentence.
    """
    given.check()
    table, folds = folds_of(given)
    check_begin(given, folds)
    with held(given.out):
        result = scored_folds(given, table, folds)
        if given.release is not None:
            # Each patient as often as in a fold's training, which leaves a fold out.
            whole = given.of_run("all", epochs=round(given.epochs * len(folds) / (len(folds) - 1)))
            trained(whole)
            release(kept(whole.out, whole.begin, given.blend), whole.out, result, given.release)
    return result


def scored_folds(given: CrossValidationSettings, table: pd.DataFrame, folds: list[int]) -> dict[str, Any]:
    """The first half of `cross_validate`; table: the patients of these folds alone."""
    index = index_dataset(given.data, table["patient"])
    started = time.monotonic()
    predicted: list[Predicted] = []
    for fold in folds:
        own = given.of_run(f"fold-{fold}", leave_out_fold=fold)
        names = of_fold(table, fold)
        trained(own)
        predicted += predict_fold(index, kept(own.out, own.begin, given.blend), names, fold)
    result = assess(predicted) | ({"blend": given.blend} if given.blend else {})
    records = {str(f): load_checkpoint(network_of(given.out, f"fold-{f}", result))[1] for f in folds}
    result["networks"] = {f: record["sha256"] for f, record in records.items()}  # what `robustness` is measured on
    result["epochs"] = epochs_of(records[str(folds[0])])
    if given.begin:
        result["begun_from"] = {f: record["begun_from"]["sha256"] for f, record in records.items()}
    result["settings"] = as_json(given.of_train())
    result["hardware"] = hardware()
    write_json(given.out / RESULT, result, indent=1)
    draw_reliability(result["calibration"]["error"], given.out / RELIABILITY)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return result


def run_and_say(given: CrossValidationSettings) -> int:
    """What the command does; returns its exit code."""
    quiet()
    try:
        print_result(cross_validate(given))
    except KeyboardInterrupt:
        print("cross_validation: interrupted; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return command.run("train.cross_validation", CrossValidationSettings, run_and_say, arguments)


if __name__ == "__main__":
    sys.exit(main())

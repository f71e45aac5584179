"""Cross-validate: `python -m lgg_demo.train.cross_validation --data DIR --folds CSV --out RUNS [--release weights]`.

Each fold of CSV but the held-out fold 0 is predicted by a network trained on the others, for a length fixed beforehand:
no patient chooses anything for himself. Calibration and best threshold of a fold come from the other folds' patients (for
the threshold as they are served: by curves that this fold helped to fit). The flags of `train` are taken too. RUNS receives
a run a fold, its probabilities, cross_validation.json and reliability.png.
--release then trains on all folds with the same settings, as many looks at each patient included, and writes the network
there, calibrated on these patients. --begin takes the RUNS of an earlier cross-validation, and trains each of its networks
on; with --blend the mean of the weights before and after is what is scored and released. The same command goes on after a
kill.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from scipy.stats import spearmanr
from tqdm import tqdm

from lgg_demo.measure.intervals import bootstrap_ci95
from lgg_demo.measure.patients import PROTOCOL, Scored, dice_by_level, score, summary
from lgg_demo.network.calibration import FINE, Calibration
from lgg_demo.network.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint, write_checkpoint
from lgg_demo.network.record import CheckpointError, NetworkSettings, lineage
from lgg_demo.network.segmenter import Segmenter, quantise
from lgg_demo.network.unet import blend
from lgg_demo.probability import LEVELS, threshold_level
from lgg_demo.train.calibration import Tally, fit_calibration, fit_temperature, reliability
from lgg_demo.train.data import (
    HELD_OUT_FOLD,
    DatasetError,
    index_dataset,
    institution,
    missing_sequences,
    of_fold,
    read_patient,
    read_patients,
)
from lgg_demo.train.runs import finished, held, parser_for, quiet, read_json, settings_from, trained_already, write_json
from lgg_demo.train.training import TrainSettings, epochs_of, minutes_of, train

matplotlib.use("Agg")

RESULT = "cross_validation.json"
PROBABILITY = "probability.npz"
NETWORK = "network's sha256"  # the name, beside the patients', of whose probabilities those are
RELIABILITY = "reliability.png"
BLENDED = "blended"  # the folder, in that of a run, of the mean of its weights and of those that it began from
OURS = ("out", "validation_fold", "leave_out_fold", "validate", "validation_fraction", "split", "folds", "begin")


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A patient as the network that never saw him does: probability in 65535ths, (S, 256, 256) uint16, and reference."""

    patient: str
    fold: int
    fine: np.ndarray
    reference: np.ndarray
    missing: str  # the sequences that are a copy of FLAIR: "", "pre", "post" or "pre and post"


def trained(settings: TrainSettings) -> None:
    """Train what is not there, and go on with what was interrupted. Raises ValueError where another run is there."""
    if not trained_already(settings.out, settings):
        train(settings)
        return
    began = read_json((settings.out / CHECKPOINT).with_suffix(".json")).get("begun_from", {}).get("sha256")
    if began != (load_checkpoint(settings.begin)[1]["sha256"] if settings.begin else None):
        raise ValueError(f"{settings.out} was begun from another network; give --begin that, or another --out.")


def network_of(runs: Path, name: str, result: dict[str, Any]) -> Path:
    """The folder of the network that a finished cross-validation kept of one of its runs; result: what it wrote."""
    return runs / name / BLENDED if result.get("blend") else runs / name


def of_run(settings: TrainSettings, name: str, **changed: Any) -> TrainSettings:
    """The settings of one run of a cross-validation, begun where the same run of an earlier one ended."""
    begin = network_of(settings.begin, name, read_json(settings.begin / RESULT)) if settings.begin else None
    return dataclasses.replace(settings, out=settings.out / name, begin=begin, validate=False, **changed)


def kept(run: Path, begin: Path | None, share: float) -> Path:
    """The checkpoint of a finished run that is scored: its own, or blended with the one that it began from.

    share: of that one; 0 for its own.
    """
    if not share:
        return run / CHECKPOINT
    assert begin is not None
    (first, _), (second, record) = load_checkpoint(begin), load_checkpoint(run)
    settings = NetworkSettings.from_record(record["network"])
    own = {k: v for k, v in record.items() if k not in ("name", "sha256")}
    own |= {"blend": share, "training_minutes": round(minutes_of(run), 1)}  # its folder has no metrics.csv of its own
    (run / BLENDED).mkdir(exist_ok=True)
    save_checkpoint(run / BLENDED / CHECKPOINT, blend(first, second, share), settings, own)
    return run / BLENDED / CHECKPOINT


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
            p = torch.cat([part.cpu() for part in segmenter.probabilities(scan)])
            fine = (p * FINE).round().numpy().astype(np.uint16)
        out.append(Predicted(str(name), fold, fine, reference, " and ".join(missing_sequences(scan.pixels))))
    if segmenter is not None:
        partial = file.with_name("part.npz")
        np.savez_compressed(partial, allow_pickle=False, **{p.patient: p.fine for p in out}, **{NETWORK: np.array(network)})
        partial.replace(file)
    return out


def calibrated_levels(fine: np.ndarray, calibration: Calibration) -> np.ndarray:
    """The kept levels, uint8, that the app would serve for a probability in 65535ths."""
    table = quantise(calibration.apply(torch.arange(FINE + 1, dtype=torch.float32) / FINE))
    return np.asarray(table[fine])


def best_level(curves: np.ndarray) -> int:
    """The level of the highest mean Dice over patients, (P, 256)."""
    return int(curves[:, 1:].mean(axis=0).argmax()) + 1


def best_threshold(curves: np.ndarray, draws: int = 2000) -> dict[str, Any]:
    """Threshold of the highest mean volume Dice, its 95 % interval by bootstrap over patients, from (P, 256) curves."""
    rng = np.random.default_rng(0)
    drawn = [best_level(curves[rng.integers(0, len(curves), len(curves))]) for _ in range(draws)]
    low, high = np.percentile(drawn, [2.5, 97.5]) / LEVELS
    return {"threshold": best_level(curves) / LEVELS, "ci95": [float(low), float(high)]}


def ranking(scored: list[Scored]) -> dict[str, Any]:
    """Does the expected Dice find the bad cases? Error = 1 - Dice."""
    error = np.array([1 - s.row["dice"] for s in scored])
    expected = np.array([s.row["expected_dice"] for s in scored])
    fifth = max(1, round(len(error) / 5))
    by_error = np.sort(error)[::-1]
    differ = len(set(expected)) > 1 and len(set(error)) > 1  # else there is no rank to correlate
    return {
        "measure": "expected Dice: 2 sum p inside the mask / (mask + sum p), from calibrated probabilities alone",
        "spearman_with_dice": float(spearmanr(expected, 1 - error).statistic) if differ else None,
        "worst_fifth_patients": fifth,
        "worst_fifth_share_of_error": float(error[np.argsort(expected)[:fifth]].sum() / error.sum()),
        "share_if_drawn_at_random": fifth / len(error),
        "share_of_a_perfect_ranking": float(by_error[:fifth].sum() / error.sum()),
        "mean_expected_dice": float(expected.mean()),
    }


def group(scored: list[Scored], keys: dict[str, str]) -> dict[str, Any]:
    """Mean, median and interval of the volume Dice for each value of a patient's key."""
    out = {}
    for key in sorted(set(keys.values())):
        dice = [s.row["dice"] for s in scored if keys[s.row["patient"]] == key]
        out[key] = {
            "patients": len(dice),
            "volume_dice_mean": float(np.mean(dice)),
            "volume_dice_median": float(np.median(dice)),
            "volume_dice_ci95": list(bootstrap_ci95(dice)),
        }
    return out


def assess(predicted: list[Predicted]) -> dict[str, Any]:
    """Everything that out-of-fold probabilities say, as in cross_validation.json."""
    folds = sorted({p.fold for p in predicted})
    tallies = {p.patient: Tally.of(p.fine, p.reference).per_lesion() for p in predicted}
    of_fold = {f: sum_of([tallies[p.patient] for p in predicted if p.fold == f]) for f in folds}
    plain: list[Scored] = []
    served: list[Scored] = []
    curves: dict[int, list[np.ndarray]] = {f: [] for f in folds}
    used: dict[str, dict[int, Calibration]] = {"temperature": {}, "isotonic": {}, "served": {}}
    for f in folds:
        others = sum_of([of_fold[g] for g in folds if g != f])
        used["temperature"][f], used["isotonic"][f] = fit_temperature(others), fit_calibration(others)
        used["served"][f] = used["isotonic"][f].pinned()
    for p in tqdm(predicted, unit="patient", disable=None):
        plain.append(score(p.patient, calibrated_levels(p.fine, Calibration()), p.reference, 0.5))
        served.append(score(p.patient, calibrated_levels(p.fine, used["served"][p.fold]), p.reference, 0.5))
        curves[p.fold].append(served[-1].curve)
    plain_isotonic = [
        dice_by_level(calibrated_levels(p.fine, used["isotonic"][p.fold]), p.reference)[threshold_level(0.5)]
        for p in predicted
    ]
    tuned = [
        curve[best_level(np.stack([c for g in folds if g != f for c in curves[g]]))] for f in folds for curve in curves[f]
    ]
    none = dict.fromkeys(folds, Calibration())
    error = {
        name: {
            "all_pixels": reliability([(of_fold[f], by[f]) for f in folds]),
            "doubtful_pixels": reliability([(of_fold[f], by[f]) for f in folds], doubtful_only=True),
        }
        for name, by in (("uncalibrated", none), *used.items())
    }
    rows = [{"fold": p.fold, "missing": p.missing or "none"} | s.row for p, s in zip(predicted, served, strict=True)]
    return {
        "protocol": f"{len(folds)}-fold cross-validation by patient; each fold predicted by a network trained on the "
        "others for a length fixed beforehand, last epoch kept; calibrated on the other folds; threshold 0.5, no "
        "post-processing; " + PROTOCOL,
        "threshold": 0.5,
        **summary(served),
        "uncalibrated": summary(plain),
        "by_fold": group(served, {p.patient: str(p.fold) for p in predicted}),
        "by_institution": group(served, {p.patient: institution(p.patient) for p in predicted})
        if all(institution(p.patient) for p in predicted)
        else {},
        "by_missing_sequence": group(served, {p.patient: p.missing or "none" for p in predicted}),
        "best_threshold": best_threshold(np.stack([c for f in folds for c in curves[f]]))
        | {"volume_dice_mean_chosen_on_other_folds": float(np.mean(tuned))},
        "mean_dice_by_level": [round(float(v), 5) for v in np.mean([s.curve for s in served], axis=0)],
        "calibration": {
            "protocol": "curve and error with every patient's lesion counting the same, whatever its size: his pixels "
            "outside it are weighed as those inside",
            "all_patients": fit_calibration(sum_of(list(tallies.values()))).pinned().as_record(),
            "by_fold": {str(f): c.as_record() for f, c in used["served"].items()},
            "error": error,
            "volume_dice_mean_plain_isotonic": float(np.mean(plain_isotonic)),
        },
        "uncertainty": ranking(served),
        "per_patient": rows,
    }


def sum_of(tallies: list[Tally]) -> Tally:
    """All of them together."""
    whole = tallies[0]
    for one in tallies[1:]:
        whole += one
    return whole


def draw_reliability(error: dict[str, Any], path: Path) -> None:
    """Observed frequency against probability, before and after, for the pixels in doubt."""
    figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", lw=1, label="perfect")
    for name, colour, style in (("uncalibrated", "tab:red", "--"), ("served", "tab:blue", "-")):
        part = error[name]["doubtful_pixels"]
        x, y = ([b[k] for b in part["bins"]] for k in ("probability", "observed"))
        word = "after" if name == "served" else "before"
        axis.plot(x, y, style, marker=".", color=colour, label=f"{word}: error {part['ece']:.3f}")
    axis.set(xlabel="probability", ylabel="share of pixels inside the reference", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
    write_json(to / RESULT, result, indent=1)  # `card` sees by the calibration whether the two belong together
    draw_reliability(result["calibration"]["error"], to / RELIABILITY)


def cross_validate(settings: TrainSettings, to: Path | None = None, share: float = 0.0) -> dict[str, Any]:
    """Train, predict and assess every fold; `settings.out` is the folder of all runs, `to` that of a release.

    share: of the weights that a run began from in the network that is kept, see `kept`. Raises DatasetError,
    CheckpointError or ValueError with one sentence.
    """
    settings.check()
    if share and not (settings.begin and 0 < share < 1):
        raise ValueError("--blend goes with --begin, and lies between 0 and 1.")
    assert settings.folds is not None
    table = read_patients(settings.folds, "fold")
    table = table[table["fold"] != HELD_OUT_FOLD]
    folds = sorted(int(f) for f in table["fold"].unique())
    if len(folds) < 3:
        raise DatasetError(f"{settings.folds} needs at least three folds beside fold {HELD_OUT_FOLD}.")
    if settings.begin:  # said now, not after the folds
        wanted = [*(f"fold-{fold}" for fold in folds), *(["all"] if to else [])]
        missing = [name for name in wanted if not finished(settings.begin / name)]
        if missing:
            raise CheckpointError(
                f"{settings.begin} holds no finished {' and no '.join(missing)}; --begin takes the folder of a finished "
                "cross-validation, with --release one that was released too."
            )
    with held(settings.out):
        result = scored_folds(settings, table, folds, share)
        if to is not None:
            # As many looks at each patient as in a fold's training, which leaves a fold out.
            epochs = round(settings.epochs * len(folds) / (len(folds) - 1))
            whole = of_run(settings, "all", epochs=epochs)
            trained(whole)
            release(kept(whole.out, whole.begin, share), whole.out, result, to)
    return result


def scored_folds(settings: TrainSettings, table: pd.DataFrame, folds: list[int], share: float) -> dict[str, Any]:
    """The first half of `cross_validate`: what cross_validation.json says; table: the patients of these folds alone."""
    index = index_dataset(settings.data, table["patient"])
    started = time.monotonic()
    predicted: list[Predicted] = []
    for fold in folds:
        own = of_run(settings, f"fold-{fold}", leave_out_fold=fold)
        names = of_fold(table, fold)
        trained(own)
        predicted += predict_fold(index, kept(own.out, own.begin, share), names, fold)
    result = assess(predicted) | ({"blend": share} if share else {})
    records = {str(f): load_checkpoint(network_of(settings.out, f"fold-{f}", result))[1] for f in folds}
    result["networks"] = {f: record["sha256"] for f, record in records.items()}  # what `robustness` is measured on
    result["epochs"] = epochs_of(records[str(folds[0])])
    if settings.begin:
        result["begun_from"] = {f: record["begun_from"]["sha256"] for f, record in records.items()}
    result["settings"] = settings.as_json()
    result["hardware"] = hardware()
    write_json(settings.out / RESULT, result, indent=1)
    draw_reliability(result["calibration"]["error"], settings.out / RELIABILITY)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return result


def print_result(result: dict[str, Any]) -> None:
    """The figures in short."""
    low, high = result["volume_dice_ci95"]
    print(f"{result['patients']} patients, {result['slices']} slices: mean volume Dice "
          f"{result['volume_dice_mean']:.4f} ({low:.4f} to {high:.4f}), median {result['volume_dice_median']:.4f}, "
          f"pooled {result['pooled_dice']:.4f}")  # fmt: skip
    for name in ("by_fold", "by_institution", "by_missing_sequence"):
        for key, part in result[name].items():
            print(f"  {name[3:]} {key}: {part['patients']} patients, mean {part['volume_dice_mean']:.4f}, "
                  f"median {part['volume_dice_median']:.4f}")  # fmt: skip
    best, error = result["best_threshold"], result["calibration"]["error"]
    print(f"best threshold {best['threshold']:.3f} ({best['ci95'][0]:.3f} to {best['ci95'][1]:.3f}), chosen on the other "
          f"folds it gives {best['volume_dice_mean_chosen_on_other_folds']:.4f}")  # fmt: skip
    for name, part in error.items():
        print(f"calibration error, {name}: {part['all_pixels']['ece']:.5f} of all pixels, "
              f"{part['doubtful_pixels']['ece']:.4f} of those in doubt")  # fmt: skip
    print(f"uncertainty: {result['uncertainty']}")
    print(f"({result['protocol']})")


def command_line() -> argparse.ArgumentParser:
    """The flags: those of `train` that a cross-validation does not set itself, and its own."""
    parser = parser_for(TrainSettings, __doc__, without=OURS)
    parser.add_argument("--folds", type=Path, required=True, metavar="CSV", help="the columns patient and fold")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of all runs")
    parser.add_argument(
        "--begin", type=Path, metavar="RUNS", help="train on from the networks of an earlier cross-validation"
    )
    parser.add_argument(
        "--blend", type=float, default=0.0, metavar="SHARE",
        help="with --begin: keep the mean of the weights before and after, this share of those before",
    )  # fmt: skip
    parser.add_argument("--release", type=Path, metavar="DIR", help="train on all folds too, and write that network here")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = vars(command_line().parse_args(arguments))
    to, share = given.pop("release"), given.pop("blend")
    quiet()
    try:
        print_result(cross_validate(settings_from(TrainSettings, given), to, share))
    except (DatasetError, CheckpointError, ValueError, OSError) as error:
        print(f"crossval: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("crossval: interrupted; the same command goes on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Train a U-Net: `python -m lgg_demo.train --data DIR --out RUN` (`--help` lists the settings).

segmentation-models-pytorch gives the network, MONAI loss and augmentation, Lightning the loop.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning as L

from lgg_demo import command
from lgg_demo.atomic import write_json
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.record import epochs_of
from lgg_demo.train.assessment import RESULTS, assess
from lgg_demo.train.data import PatientDataset, SliceDataset
from lgg_demo.train.finetune import BEGUN, begun_network
from lgg_demo.train.learner import Learner
from lgg_demo.train.loop import Recorder, accelerator_for, bf16_is_fast, fit, quiet
from lgg_demo.train.recipes import recipe_of
from lgg_demo.train.runs import check_split, finish, goes_on, held, read_json, write_start
from lgg_demo.train.settings import SeedSettings, TrainSettings
from lgg_demo.train.splits import sides_of


def train(settings: TrainSettings | SeedSettings) -> Path:
    """Train, test where the split has slices to test on, and return the checkpoint's path.

    Raises DatasetError, CheckpointError or ValueError with one sentence.
    """
    settings.check()
    recipe = recipe_of(settings)
    accelerator = accelerator_for(settings.device)
    bf16 = recipe.bf16(bf16_is_fast(accelerator))
    out, begin = settings.out, getattr(settings, "begin", None)
    with held(out):
        resumed = goes_on(out, settings)
        index, sides = sides_of(settings)
        split = sides.as_json(index)
        if resumed:
            check_split(out, split)
        begun, begun_from = begun_network(settings, begin, recipe, split) if begin else (None, None)
        if resumed and begun_from and read_json(out / BEGUN).get("sha256") != begun_from["sha256"]:
            raise ValueError(f"{out} was begun from another network than {begin} now is; give another --out.")
        L.seed_everything(settings.seed, verbose=False)
        network = begun or recipe.build()

        write_start(out, settings, split, resumed)
        if begun_from:
            write_json(out / BEGUN, begun_from)
        counts = [len(rows) for rows in (sides.train, sides.validation, sides.test)]
        print(f"{len(index)} slices of {index['patient'].nunique()} patients, split by {sides.level}: {counts[0]} slices "
              f"to train, {counts[1]} to validate, {counts[2]} to test. Reading them.", flush=True)  # fmt: skip
        patients = PatientDataset(index, recipe.normalisation)
        # A run that begins where another ended does not draw again what that one drew.
        earlier = sum(epochs_of(begun_from)) if begun_from else 0
        training, draws = recipe.training(SliceDataset(patients, sides.train), earlier)
        validation = recipe.validation(patients, sides)
        learner = Learner(network, recipe, steps=len(training) * settings.epochs)
        recorder = Recorder(recipe, split, begun_from, draws)
        fit(learner, recorder, training, validation, accelerator, bf16)
        if validation is None:  # the averaged weights are in place when the fit has ended
            recorder.save(learner, settings.epochs, None)
        if sides.test:
            assess(out, patients, sides)
        finish(out)
    return out / CHECKPOINT


def train_and_say(settings: TrainSettings | SeedSettings) -> int:
    """What the command does; returns its exit code."""
    quiet()
    try:
        checkpoint = train(settings)
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last whole epoch.", file=sys.stderr)
        return 130
    record = read_json(checkpoint.with_suffix(".json"))
    chosen = record["validation"]
    if isinstance(settings, SeedSettings):
        results = read_json(checkpoint.with_name(RESULTS))
        soft, hard = results["report_measure"], results["hard"]
        said = (
            f"{results['test']['slices']} test slices of {results['test']['patients']} patients, "
            f"{results['test_patients_also_in_training']} of them also in training: loss {soft['loss']:.4f}, binary "
            f"accuracy {soft['accuracy']:.4f}, IoU {soft['iou']:.4f}, Dice {soft['dice']:.4f}; pooled hard Dice "
            f"{hard['pooled_dice']:.4f}."
        )
    elif chosen is None:
        said = f"trained on {len(record['split']['train'])} patients."
    else:
        said = (
            f"Dice {chosen['volume_dice_mean']:.4f}, median {chosen['volume_dice_median']:.4f} of {chosen['patients']} "
            f"validation patients ({chosen['protocol']})."
        )
    print(f"{checkpoint}: epoch {record['epoch']}; {said}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lgg_demo.train", add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=("seed",))
    preset, rest = parser.parse_known_args(arguments)
    if preset.preset:
        return command.run("train", SeedSettings, train_and_say, rest)
    return command.run("train", TrainSettings, train_and_say, rest)


if __name__ == "__main__":
    sys.exit(main())

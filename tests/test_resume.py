"""A run killed at any moment and given again reaches what one that was never killed does; no two runs share a folder.

Each run is a process of its own, forked from the tests', that kills itself at a moment of its work which it is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PATIENTS, TINY
from monai.transforms import Compose, RandAffined, RandGaussianNoised

from lgg_demo import crossval, runs, seed, train
from lgg_demo.data import PatientDataset, SliceDataset, index_dataset
from lgg_demo.draws import DrawnSlices, Draws, share_random
from lgg_demo.model import CHECKPOINT, load_checkpoint
from lgg_demo.transforms import STRENGTHS, augmentation

ROOT = Path(__file__).resolve().parent.parent
Main = Callable[[list[str]], int]
Sentence = Callable[[Main, list[str]], str]


def die_at(moment: str, nth: int) -> None:
    """Have this process killed the nth time that it is about to do this; of a file half of whose bytes are written.

    moment: `step` for a training step, else what is done to which file, as `write metrics.csv`.
    """
    left = [nth]

    def reached(what: str) -> bool:
        left[0] -= what == moment
        return left[0] == 0

    def before(owner: Any, name: str, what: Callable[..., str]) -> None:
        done = getattr(owner, name)

        def dying(*given: Any, **more: Any) -> Any:
            if reached(what(*given)):
                os.kill(os.getpid(), signal.SIGKILL)
            return done(*given, **more)

        setattr(owner, name, dying)

    before(Path, "replace", lambda path, target: f"rename {Path(target).name}")
    before(Path, "unlink", lambda path: f"remove {path.name}")
    for learner in (train.Learner, seed.SeedLearner):
        before(learner, "training_step", lambda *_: "step")
    sync = os.fsync

    def dying_sync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.removesuffix(".part")
        if reached(f"write {name}"):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = dying_sync


def process(main: Main, arguments: list[str], moment: str = "", nth: int = 1) -> int:
    """Run a command in a process of its own; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        torch.set_num_threads(1)  # the pool of threads did not come along
        if moment:
            die_at(moment, nth)
        os._exit(main(arguments))
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def figures(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "metrics.csv").drop(columns="seconds")


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def assert_same(run: Path, whole: Path, resumed: list[int]) -> None:
    """All that a run leaves, but for times, is what the other has."""
    assert figures(run).to_csv() == figures(whole).to_csv()
    assert (run / CHECKPOINT).read_bytes() == (whole / CHECKPOINT).read_bytes()
    record, other = (read_json(r / "lgg-unet.json") for r in (run, whole))
    assert record.pop("resumed_after_epochs") == resumed and other.pop("resumed_after_epochs") == []
    for one in (record, other):
        one["settings"].pop("out")
        one["settings"].pop("workers")
    assert record == other
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in whole.iterdir())
    load_checkpoint(run)


def killed_and_resumed(main: Main, arguments: list[str], out: Path, moments: list[tuple[str, int]]) -> None:
    """Kill a run at each of these moments, counted from when it was begun or given again, and let it end."""
    for moment, nth in moments:
        assert process(main, arguments, moment, nth) == -signal.SIGKILL, moment
        assert not runs.finished(out), moment
        if (out / CHECKPOINT).exists():
            load_checkpoint(out)
    assert process(main, arguments) == 0


SMALL = ["--epochs", "4", "--slices-per-epoch", "8", "--decoder-channels", "16", "8", "8", "8", "4", "--views", "256"]


def test_a_training_killed_anywhere_ends_as_one_that_was_not(dataset: Path, folds: Path, tmp_path: Path) -> None:
    def given(name: str) -> list[str]:
        return ["--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / name), *TINY, *SMALL]

    assert process(train.main, given("whole")) == 0
    moments = [
        ("step", 2),
        ("rename lgg-unet.json", 1),
        ("rename last.ckpt", 1),  # after the metrics of the epoch
        ("step", 4),  # in the middle of the second epoch
        ("write metrics.csv", 1),
        ("write curves.png", 2),
        ("step", 4),
        ("rename last.ckpt", 2),
        ("write metrics.csv", 1),
        ("remove unfinished.json", 1),
        ("remove last.ckpt", 1),
    ]
    killed_and_resumed(train.main, given("run"), tmp_path / "run", moments)
    assert_same(tmp_path / "run", tmp_path / "whole", [])

"""A run killed at any moment and given again reaches what one that was never killed does; no two runs share a folder.

Each run is a process of its own, forked from the tests', that kills itself at a moment of its work which it is told.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAST, PATIENTS

from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.train import cross_validation, learner, runs, training
from lgg_demo.train.augmentation import augmentation
from lgg_demo.train.data import PatientDataset, SliceDataset, index_dataset
from lgg_demo.train.draws import DrawnSlices, Draws
from lgg_demo.train.settings import TrainSettings

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
    before(learner.Learner, "training_step", lambda *_: "step")
    sync = os.fsync

    def dying_sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name.removesuffix(".part")
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if moment:
            die_at(moment, nth)
        os._exit(main(arguments))
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def figures(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "metrics.csv").drop(columns="seconds")


def assert_same(run: Path, whole: Path, resumed: list[int]) -> None:
    """All that a run leaves, but for times, is what the other has."""
    assert figures(run).to_csv() == figures(whole).to_csv()
    assert (run / CHECKPOINT).read_bytes() == (whole / CHECKPOINT).read_bytes()
    record, other = (runs.read_json(r / "lgg-unet.json") for r in (run, whole))
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


SMALL = [*FAST, "--epochs", "3", "--slices-per-epoch", "8"]


@pytest.fixture
def given(dataset: Path, folds: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The arguments of a small training into the folder of this name; two steps an epoch."""
    return lambda name: ["--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / name), *SMALL]


@pytest.fixture
def report(dataset: Path, folds: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The same by the report's recipe; three steps an epoch."""
    return lambda name: ["--preset", "seed", "--data", str(dataset), "--folds", str(folds), "--out", str(tmp_path / name),
                         "--width", "1", "--epochs", "3", "--batch-size", "4", "--device", "cpu"]  # fmt: skip


OWN_MOMENTS = [
    ("step", 2),  # in the middle of the first epoch
    ("rename lgg-unet.json", 1),  # its weights are in place
    ("step", 3),
    ("write metrics.csv", 1),  # of the second epoch
    ("rename last.ckpt", 1),
    ("remove unfinished.json", 1),  # of the third and last
    ("remove last.ckpt", 1),
]
REPORT_MOMENTS = [("step", 4), ("write lgg-unet.safetensors", 1), ("rename curves.png", 2), ("write results.json", 1)]


@pytest.mark.parametrize(
    ("recipe", "moments", "resumed"),
    [("given", OWN_MOMENTS, [1, 1, 1, 2, 2]), ("report", REPORT_MOMENTS, [1, 1, 2, 2])],
)
def test_a_training_killed_anywhere_ends_as_one_that_was_not(
    recipe: str, moments: list[tuple[str, int]], resumed: list[int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    arguments = request.getfixturevalue(recipe)
    assert process(training.main, arguments("whole")) == 0
    killed_and_resumed(training.main, arguments("run"), tmp_path / "run", moments)
    assert_same(tmp_path / "run", tmp_path / "whole", resumed)
    if recipe == "report":  # with any number of workers
        workers = [*arguments("workers"), "--workers", "2"]
        killed_and_resumed(training.main, workers, tmp_path / "workers", [("step", 5)])
        assert_same(tmp_path / "workers", tmp_path / "whole", [1])


def test_a_cross_validation_killed_anywhere_ends_as_one_that_was_not(dataset: Path, folds: Path, tmp_path: Path) -> None:
    few = tmp_path / "folds.csv"  # three folds
    few.write_text("\n".join(line for line in folds.read_text().splitlines() if not line.endswith(",4")) + "\n")

    def given(name: str) -> list[str]:
        return ["--data", str(dataset), "--folds", str(few), "--out", str(tmp_path / name),
                "--release", str(tmp_path / name / "weights"), *SMALL, "--epochs", "2"]  # fmt: skip

    assert process(cross_validation.main, given("whole")) == 0
    moments = [("step", 3), ("rename probability.npz", 1), ("step", 4), ("write cross_validation.json", 1)]
    for moment, nth in [*moments, ("rename lgg-unet.json", 3)]:  # of the release, after two of the run on all
        assert process(cross_validation.main, given("run"), moment, nth) == -signal.SIGKILL, moment
    weights = tmp_path / "run" / "weights"
    assert load_checkpoint(weights)[1]["calibration"], "already the new one: only the record's name was left to change"
    assert process(cross_validation.main, given("run")) == 0
    run, whole = tmp_path / "run", tmp_path / "whole"
    first, second = (runs.read_json(r / cross_validation.RESULT) for r in (run, whole))
    for one in (first, second):
        one["settings"].pop("out")
    assert first == second
    for name in ("fold-1", "fold-2", "fold-3", "all"):
        resumed = runs.read_json(run / name / "lgg-unet.json")["resumed_after_epochs"]
        assert_same(run / name, whole / name, resumed)
        assert resumed == ([1] if name in ("fold-1", "fold-2") else [])
    assert (weights / CHECKPOINT).read_bytes() == (whole / "weights" / CHECKPOINT).read_bytes()
    assert sorted(p.name for p in weights.iterdir()) == sorted(p.name for p in (whole / "weights").iterdir())


# One process a folder


def holder(out: Path) -> int:
    """Another process, which holds a folder of runs until it is killed; one that it forked outlives it."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        with runs.held(out):
            if not os.fork():
                time.sleep(5)
                os._exit(0)
            os.write(here, b"held")
            time.sleep(60)
        os._exit(0)
    assert os.read(there, 4) == b"held"
    return child


@pytest.mark.parametrize("main", [training.main, cross_validation.main], ids=["train", "crossval"])
def test_two_do_not_train_into_one_folder(
    main: Main, given: Callable[..., list[str]], tmp_path: Path, sentence: Sentence
) -> None:
    other = holder(tmp_path / "run")
    try:
        said = sentence(main, given("run"))
        assert f"Another training is writing into {tmp_path / 'run'}" in said
        assert [p.name for p in (tmp_path / "run").iterdir()] == [runs.LOCK]
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    with runs.held(tmp_path / "run"):  # its lock is gone with it, though a process that it forked lives on
        pass
    assert not list((tmp_path / "run").iterdir())


def test_several_processes_of_a_launcher_are_refused(
    given: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Sentence
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE is 2" in sentence(training.main, given("run"))
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    with runs.held(tmp_path / "deep" / "run"):
        assert (tmp_path / "deep" / "run").is_dir()
    assert not (tmp_path / "deep").exists(), "nothing was left in it"


# What a folder says of its run


def test_a_beginning_that_was_killed_is_no_finished_run(run: Path, tmp_path: Path) -> None:
    """Nor do its weights pass for those of a shorter run that is begun in its place."""
    (tmp_path / "run").mkdir()
    for name in ("lgg-unet.safetensors", "lgg-unet.json", "metrics.csv"):
        (tmp_path / "run" / name).write_bytes((run / name).read_bytes())
    short = TrainSettings(data=Path("data"), out=tmp_path / "run", epochs=1)
    runs.write_start(tmp_path / "run", short, {}, resumed=False)
    assert not runs.finished(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["settings.json", "split.json", "unfinished.json"]


def test_what_is_damaged_is_named(given: Callable[..., list[str]], tmp_path: Path, sentence: Sentence) -> None:
    run = tmp_path / "run"
    assert process(training.main, given("run"), "step", 3) == -signal.SIGKILL
    state = (run / runs.STATE).read_bytes()
    for content in (b"", state[: len(state) // 2]):
        (run / runs.STATE).write_bytes(content)
        assert f"{run / runs.STATE} is damaged" in sentence(training.main, given("run"))
    for content in ("", "[1, 2]"):
        (run / runs.SETTINGS).write_text(content)
        assert f"{run / runs.SETTINGS} is damaged" in sentence(training.main, given("run"))


# What is drawn


def test_an_epoch_draws_by_seed_and_number_alone() -> None:
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    draws = Draws(4000, seed=3, weights=weights)
    first = list(draws)
    draws.epoch = 1
    second = list(draws)
    assert list(draws) == second != first
    later = Draws(4000, seed=3, weights=weights, earlier=1)
    assert list(later) == second, "a run that begins after one epoch of another goes on with its draws"
    assert list(Draws(4000, seed=4, weights=weights)) != first
    places, seeds = np.array(first).T
    assert np.bincount(places, minlength=4) / 4000 == pytest.approx(weights, abs=0.03)
    assert len(set(seeds.tolist())) > 3990, "a slice drawn twice is not augmented alike"
    order = [place for place, _ in Draws(100, seed=3)]
    assert sorted(order) == list(range(100)) != order


@pytest.mark.parametrize("strength", ["full", "geometry"])
def test_augmentation_follows_the_draw_whatever_came_before(dataset: Path, strength: str) -> None:
    patients = PatientDataset(index_dataset(dataset, list(PATIENTS)[:1]))
    before = patients[0]["image"].clone()
    made = [DrawnSlices(SliceDataset(patients), augmentation(0, 64, strength, coarse=0.5)) for _ in range(2)]
    plain = [(place, number) for number in range(12) for place in (0, 3)]
    there = [made[0][draw] for draw in plain]
    back = [made[1][draw] for draw in reversed(plain)][::-1]
    for one, other in zip(there, back, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["mask"], other["mask"])
    assert not any(torch.equal(there[0]["image"], other["image"]) for other in there[2::2])
    assert torch.equal(patients[0]["image"], before)

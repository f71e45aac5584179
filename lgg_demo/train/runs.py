"""The folder of a training run: what it holds, whose it is, and how it continues after a kill.

A run's folder holds settings.json, split.json, metrics.csv, curves.png, the best checkpoint and, until it is complete,
what Lightning resumes from. A run that was killed at any moment and goes on reaches what one of the same seed that was not
does, to the last digit on one machine: what an epoch draws depends on the seed and the epoch alone (`draws`), each file is
written whole or not at all, and an epoch counts as done when the state after it, the last file, is in place.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import pandas as pd

from lgg_demo import __version__
from lgg_demo.atomic import write_json
from lgg_demo.network.checkpoint_files import CHECKPOINT, UPCOMING, amend_record
from lgg_demo.train.data import source_of
from lgg_demo.train.settings import FORMER, as_json

STATE = "last.ckpt"  # Lightning's own, to resume from; removed when the run is complete
SETTINGS, SPLIT, METRICS = "settings.json", "split.json", "metrics.csv"
UNFINISHED = "unfinished.json"  # there from the beginning of a run to its end: after which epochs it went on
RESUMED = "resumed_after_epochs"  # the entry, here and in the record
LOCK = "run.lock"
MOVABLE = ("data", "out", "device", "workers")  # settings that may differ where a run goes on


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises ValueError."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it holds no JSON object; put it back, or give another folder.") from error


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        """Lock a file for this process. Raises OSError where another has it."""
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        """Lock a file for this process. Raises OSError where another has it."""
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep a folder of runs for this process alone; it is made, and goes again where nothing is left in it.

    The system gives the lock back however the process ends. A POSIX lock is not passed on to the processes that augment, so
    that none of them keeps it after a kill. Raises ValueError where another process holds the folder, or where this one is
    one of several that a launcher started.
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        raise ValueError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}: each of these processes would train the same run; start one, "
            "without torchrun."
        )
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    path = out / LOCK
    try:
        with path.open("w") as file:
            try:
                _lock(file)
                ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except (BlockingIOError, PermissionError, FileNotFoundError):
                ours = False
            if not ours:  # another one has it, or has just let it go
                raise ValueError(f"Another training is writing into {out}; wait for its end, or give another --out.")
            try:
                yield
            finally:
                with contextlib.suppress(PermissionError):  # Windows keeps a file that is open
                    path.unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def finished(out: Path) -> bool:
    """Whether a folder holds a run that did all of its epochs, or weights alone.

    A run killed between its first checkpoint and its first state has the one without the other, and starts again.
    """
    if not (out / CHECKPOINT).exists() or (out / STATE).exists() or (out / UNFINISHED).exists():
        return False
    done = len(pd.read_csv(out / METRICS)) if (out / METRICS).exists() else 0  # runs of before there was UNFINISHED
    return bool(done >= read_json(out / SETTINGS).get("epochs", 0))


def settings_of(out: Path, settings: Any) -> dict[str, Any]:
    """What a run's folder says it was begun with; a setting that came in a later version has its default.

    settings: any of the same kind.
    """
    return FORMER | as_json(type(settings)(data=settings.data, out=settings.out)) | read_json(out / SETTINGS)


def changed_settings(out: Path, settings: Any) -> list[str]:
    """The settings in which the run in a folder differs from these, but for MOVABLE ones."""
    before = settings_of(out, settings)
    return [k for k, v in (FORMER | as_json(settings)).items() if before.get(k) != v and k not in MOVABLE]


def trained_already(out: Path, settings: Any) -> bool:
    """Whether the folder holds the finished run of these settings. Raises ValueError where it is of other ones."""
    if not finished(out):
        return False
    changed = changed_settings(out, settings)
    if changed:
        raise ValueError(
            f"{out} was made with other settings ({', '.join(changed)}); give those, or another folder for the runs."
        )
    return True


def goes_on(out: Path, settings: Any) -> bool:
    """Whether the run of these settings was begun in its folder. Raises ValueError where the folder is another run's."""
    if finished(out):
        raise ValueError(f"{out} holds a finished run; give another --out.")
    if not (out / STATE).exists():
        return False
    changed = changed_settings(out, settings)
    if changed:
        raise ValueError(f"{out} was begun with other settings ({', '.join(changed)}); give those, or another --out.")
    return True


def check_split(out: Path, split: dict[str, Any]) -> None:
    """Raise ValueError where a run that goes on was begun with another split."""
    if read_json(out / SPLIT) != split:
        raise ValueError(f"{out} was begun with other patients ({SPLIT}); give those, or another --out.")


def write_start(out: Path, settings: Any, split: dict[str, Any], resumed: bool) -> None:
    """Write a run's settings and split into its folder.

    A run that starts, and does not go on, first takes away what one left that was killed before its first state.
    """
    if not resumed:
        write_json(out / UNFINISHED, {RESUMED: []})
        checkpoint = out / CHECKPOINT
        for left in (checkpoint, checkpoint.with_suffix(UPCOMING), checkpoint.with_suffix(".json"), out / METRICS):
            left.unlink(missing_ok=True)
    write_json(out / SETTINGS, as_json(settings))
    write_json(out / SPLIT, split)


def finish(out: Path) -> None:
    """The end of a run: its record says after which epochs it went on, and what it would go on from is taken away."""
    amend_record(out / CHECKPOINT, **{RESUMED: resumed_after(out)})
    for partial in out.glob("*.part"):  # of a write that was cut off
        partial.unlink()
    (out / UNFINISHED).unlink(missing_ok=True)
    (out / STATE).unlink(missing_ok=True)


def minutes_of(run: Path) -> float:
    """How long a run's epochs took together, from its metrics.csv; 0 where there is none, beside weights alone."""
    table = run / METRICS
    return float(pd.read_csv(table)["seconds"].sum()) / 60 if table.exists() else 0.0


def resumed_after(out: Path) -> list[int]:
    """After how many whole epochs a run went on, each time; the record has it where only the state was left to remove."""
    there = out / UNFINISHED
    said = read_json(there if there.exists() else (out / CHECKPOINT).with_suffix(".json"))
    return list(said.get(RESUMED, []))


def provenance(settings: Any, trained_on: Collection[str]) -> dict[str, Any]:
    """What the record of every run says beside its figures: who made it, from what, for what. trained_on: names."""
    return {
        "created_by": f"lgg-demo {__version__}",
        "intended_use": "Research and teaching: outlines the FLAIR abnormality of a suspected lower-grade glioma. "
        "Not a medical device, not for diagnosis.",
        "training_data": source_of(trained_on, settings.data),
        "settings": as_json(settings),
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("torch", "segmentation-models-pytorch", "monai", "lightning", "numpy")},
        },
    }


def flag(name: str, value: Any) -> str:
    """A setting that has a value, one or several, as it is given on the command line."""
    return f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}"

"""What every training run shares: flags from a dataclass, its folder, its history, and how it goes on after a kill.

A run's folder holds settings.json, split.json, metrics.csv, curves.png, the best checkpoint and, until it is complete,
what Lightning resumes from. A run that was killed at any moment and goes on reaches what one of the same seed that was not
does, to the last digit on one machine: what an epoch draws depends on the seed and the epoch alone (`draws`), each file is
written whole or not at all, and an epoch counts as done when the state after it, the last file, is in place.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, TypeVar

import lightning as L
import matplotlib
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from matplotlib import pyplot as plt

from lgg_demo import __version__
from lgg_demo.network.checkpoint import CHECKPOINT, UPCOMING, amend_record, write_whole
from lgg_demo.train.data import source_of
from lgg_demo.train.draws import Draws

matplotlib.use("Agg")

Settings = TypeVar("Settings")
STATE = "last.ckpt"  # Lightning's own, to resume from; removed when the run is complete
SETTINGS, SPLIT, METRICS = "settings.json", "split.json", "metrics.csv"
UNFINISHED = "unfinished.json"  # there from the beginning of a run to its end: after which epochs it went on
RESUMED = "resumed_after_epochs"  # the entry, here and in the record
LOCK = "run.lock"
MOVABLE = ("data", "out", "device", "workers")  # settings that may differ where a run goes on


def option(default: Any, text: str, **more: Any) -> Any:
    """A field of a settings dataclass that `parser_for` makes a flag of, with its help."""
    return field(default=default, metadata={"help": text, **more})


def as_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as written into the run and the record; paths without the folders of this machine."""
    values = dataclasses.asdict(settings)
    return {k: v.name if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def check(rules: Iterable[tuple[bool, str]]) -> None:
    """Raise ValueError with the sentence of the first rule that does not hold."""
    for holds, sentence in rules:
        if not holds:
            raise ValueError(f"{sentence}.")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises ValueError."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it holds no JSON object; put it back, or give another folder.") from error


def write_json(path: Path, content: dict[str, Any], indent: int = 2) -> None:
    """Write an object as JSON, readable, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode())


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


def accelerator_for(device: str) -> str:
    """`gpu` or `cpu` for the setting auto, cpu or gpu. Raises ValueError where a GPU is wanted and there is none."""
    if device == "gpu" and not torch.cuda.is_available():
        raise ValueError("--device gpu: PyTorch sees no GPU here; use --device auto.")
    return "gpu" if device != "cpu" and torch.cuda.is_available() else "cpu"


def bf16_is_fast(accelerator: str) -> bool:
    """Whether this machine computes in bfloat16 by itself; elsewhere it would be emulated, and slower than float32."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    mkldnn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def epochs_done(run: Path) -> int:
    """How many epochs the metrics.csv of a run has."""
    table = run / METRICS
    return max(len(table.read_text(encoding="utf-8").splitlines()) - 1, 0) if table.exists() else 0


def finished(out: Path) -> bool:
    """Whether a folder holds a run that did all of its epochs, or weights alone.

    A run killed between its first checkpoint and its first state has the one without the other, and starts again.
    """
    if not (out / CHECKPOINT).exists() or (out / STATE).exists() or (out / UNFINISHED).exists():
        return False
    return bool(epochs_done(out) >= read_json(out / SETTINGS).get("epochs", 0))  # before there was UNFINISHED


def settings_of(out: Path, settings: Any) -> dict[str, Any]:
    """What a run's folder says it was begun with; a setting that came in a later version has its default.

    settings: any of the same kind.
    """
    return as_json(type(settings)(data=settings.data, out=settings.out)) | read_json(out / SETTINGS)


def changed_settings(out: Path, settings: Any) -> list[str]:
    """The settings in which the run in a folder differs from these, but for MOVABLE ones."""
    before = settings_of(out, settings)
    return [k for k, v in as_json(settings).items() if before.get(k) != v and k not in MOVABLE]


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


def resumed_after(out: Path) -> list[int]:
    """After how many whole epochs a run went on, each time; the record has it where only the state was left to remove."""
    there = out / UNFINISHED
    said = read_json(there if there.exists() else (out / CHECKPOINT).with_suffix(".json"))
    return list(said.get(RESUMED, []))


def provenance(settings: Any, taught: Collection[str]) -> dict[str, Any]:
    """What the record of every run says beside its figures: who made it, from what, for what. taught: names of patients."""
    return {
        "created_by": f"lgg-demo {__version__}",
        "intended_use": "Research and teaching: outlines the FLAIR abnormality of a suspected lower-grade glioma. "
        "Not a medical device, not for diagnosis.",
        "training_data": source_of(taught, settings.data),
        "settings": as_json(settings),
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("torch", "segmentation-models-pytorch", "monai", "lightning", "numpy")},
        },
    }


class History(Callback):
    """Writes metrics.csv and curves.png after each epoch.

    names: the figures logged in an epoch, in the order of the columns; those that were not logged are left out. trained,
    validated: what the curves' legends say. It is part of the resumable state, so a resumed run continues the same files.
    draws: of the run; what they, and the network while it trains, draw follows the number of epochs that are done.
    """

    def __init__(self, out: Path, names: Collection[str], trained: str, validated: str, draws: Draws) -> None:
        self.out, self.names, self.legends, self.draws = out, names, (trained, validated), draws
        self.history: list[dict[str, float]] = []
        self.resumed = resumed_after(out)
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]
        self.draws.epoch = len(self.history)  # now, because the first batches may be drawn before the epoch's start
        self.resumed.append(len(self.history))
        write_json(self.out / UNFINISHED, {RESUMED: self.resumed})

    def on_train_epoch_start(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        self.started = time.monotonic()
        self.draws.epoch = len(self.history)

    def on_train_batch_start(self, trainer: L.Trainer, learner: L.LightningModule, batch: Any, number: int) -> None:
        if number == 0:  # after the loader has begun, which draws too, once or twice
            torch.manual_seed(int(self.draws.random().integers(2**63)))  # of the network: the paths that it drops

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        figures = {k: float(trainer.callback_metrics[k]) for k in self.names if k in trainer.callback_metrics}
        row = {"epoch": float(trainer.current_epoch + 1)} | figures
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = time.monotonic() - self.started
        self.history.append(row)
        table = pd.DataFrame(self.history).astype({"epoch": int})
        write_whole(self.out / METRICS, table.to_csv(index=False, float_format="%.6g").encode())
        draw_curves(table, self.out / "curves.png", *self.legends)


class StateKeeper(Checkpoint):
    """Writes what a run goes on from after each epoch but the last, whole or not at all: Lightning's own way passes
    through /tmp, and a kill while it is copied from there would leave nothing to go on from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        if trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs:
            return  # there is nothing to go on to
        partial = self.path.with_suffix(".part")
        trainer.save_checkpoint(partial, weights_only=False)
        partial.replace(self.path)


def draw_curves(table: pd.DataFrame, path: Path, trained: str, validated: str) -> None:
    """Loss and Dice by epoch, train red and solid, validation blue and dashed, so that greyscale tells them apart."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, title in zip(axes, ("loss", "dice"), ("Loss", "Dice"), strict=True):
        axis.plot(table["epoch"], table[f"train_{name}"], color="tab:red", label=f"train, {trained}")
        if f"val_{name}" in table:
            axis.plot(table["epoch"], table[f"val_{name}"], color="tab:blue", ls="--", label=f"validation, {validated}")
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        axis.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_whole(path, picture.getvalue())
    plt.close(figure)


def trainer_for(
    accelerator: str, bf16: bool, epochs: int, callbacks: list[Callback], gradient_clip: float | None = None
) -> L.Trainer:
    """Lightning's trainer as every run has it; the progress bar comes beside `callbacks`."""
    return L.Trainer(
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if bf16 else "32-true",
        max_epochs=epochs,
        gradient_clip_val=gradient_clip,
        # A CPU adds up in one order anyway; where a GPU has no kernel that does, Lightning says so.
        deterministic="warn" if accelerator == "gpu" else None,
        num_sanity_val_steps=0,
        logger=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=10), *callbacks],
    )


def fit(trainer: L.Trainer, learner: L.LightningModule, training: Any, validation: Any | None, state: Path) -> None:
    """Train from the beginning, or from `state` where it is there. Ctrl-C raises KeyboardInterrupt.

    Raises ValueError where the state is damaged.
    """
    if state.exists():
        try:
            torch.load(state, map_location="cpu", weights_only=True)
        except Exception as error:  # of zip, pickle and torch, each with its own
            raise ValueError(f"{state} is damaged, so the run cannot go on; remove it to begin again.") from error
    try:
        trainer.fit(learner, training, validation, ckpt_path=str(state) if state.exists() else None, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None


def quiet() -> None:
    """Keep Lightning's tips, which advertise, and its advice on workers and loggers from the user."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")


def flag(name: str, value: Any) -> str:
    """A setting that has a value, one or several, as it is given on the command line."""
    return f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}"


def parser_for(
    settings: type, description: str | None, without: Collection[str] = (), parents: Sequence[argparse.ArgumentParser] = ()
) -> argparse.ArgumentParser:
    """Command-line flags from a dataclass of settings, `without` some of them; `parents` add theirs."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, parents=parents
    )
    for f in dataclasses.fields(settings):
        if f.name in without:
            continue
        flag, text = f"--{f.name.replace('_', '-')}", f.metadata["help"]
        if f.metadata.get("required"):
            parser.add_argument(flag, type=Path, required=True, metavar="DIR", help=text)
        elif isinstance(f.default, bool):
            shown = "yes" if f.default else "no"
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=f.default, help=f"{text} ({shown})")
        elif isinstance(f.default, tuple):
            shown = " ".join(map(str, f.default))
            parser.add_argument(flag, type=int, nargs="+", default=f.default, metavar="N", help=f"{text} ({shown})")
        elif f.default is None:
            parser.add_argument(flag, type=Path, metavar="FILE", help=text)
        else:
            kind, choices = type(f.default), f.metadata.get("choices")
            metavar = None if choices else {int: "N", float: "X", str: "NAME"}[kind]
            help_text = f"{text} ({f.default})"
            parser.add_argument(flag, type=kind, default=f.default, choices=choices, metavar=metavar, help=help_text)
    return parser


def settings_from(kind: type[Settings], given: dict[str, Any]) -> Settings:
    """A settings dataclass from what `parser_for` read, where several numbers are a list."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})

"""What every training run shares: flags from a dataclass, its folder, its history, and how it goes on after a kill.

A run's folder holds settings.json, split.json, metrics.csv, curves.png, the best checkpoint and, until it is complete,
what Lightning resumes from.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import platform
import time
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import matplotlib
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from lgg_demo import __version__
from lgg_demo.data import source_of
from lgg_demo.model import CHECKPOINT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Settings = TypeVar("Settings")
STATE = "last.ckpt"  # Lightning's own, to resume from; removed when the run is complete
SETTINGS, SPLIT, METRICS = "settings.json", "split.json", "metrics.csv"
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
    """The object in a JSON file; empty where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON, readable."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
    table = run / "metrics.csv"
    return max(len(table.read_text(encoding="utf-8").splitlines()) - 1, 0) if table.exists() else 0


def finished(out: Path) -> bool:
    """Whether a folder holds a run that did all of its epochs, or weights alone.

    A run killed between its first checkpoint and its first state has the one without the other, and starts again.
    """
    complete = epochs_done(out) >= read_json(out / SETTINGS).get("epochs", 0)
    return (out / CHECKPOINT).exists() and not (out / STATE).exists() and complete


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


def write_start(out: Path, settings: Any, split: dict[str, Any]) -> None:
    """Make the run's folder, with its settings and its split."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SETTINGS, as_json(settings))
    write_json(out / SPLIT, split)


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
    """

    def __init__(self, out: Path, names: Collection[str], trained: str, validated: str) -> None:
        self.out, self.names, self.legends = out, names, (trained, validated)
        self.history: list[dict[str, float]] = []
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]

    def on_train_epoch_start(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        figures = {k: float(trainer.callback_metrics[k]) for k in self.names if k in trainer.callback_metrics}
        row = {"epoch": float(trainer.current_epoch + 1)} | figures
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = time.monotonic() - self.started
        self.history.append(row)
        table = pd.DataFrame(self.history).astype({"epoch": int})
        table.to_csv(self.out / METRICS, index=False, float_format="%.6g")
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def fit(trainer: L.Trainer, learner: L.LightningModule, training: Any, validation: Any | None, state: Path) -> None:
    """Train from the beginning, or from `state` where it is there. Ctrl-C raises KeyboardInterrupt."""
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

"""Lightning's loop as every run has it: what is written after each epoch, and how a run continues.

Lightning's CSVLogger and ModelCheckpoint rewrite their files in place or by way of /tmp, and a kill in between would leave
half a file; so the callbacks here write, each file whole or not at all, and the state last.
"""

from __future__ import annotations

import io
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import matplotlib
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from matplotlib import pyplot as plt

from lgg_demo.atomic import write_json, write_whole
from lgg_demo.network.checkpoint import save_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.train.draws import Draws
from lgg_demo.train.learner import Learner
from lgg_demo.train.recipes import METRICS as FIGURES
from lgg_demo.train.recipes import Recipe
from lgg_demo.train.runs import METRICS, RESUMED, STATE, UNFINISHED, provenance, resumed_after

matplotlib.use("Agg")


class Recorder(Callback):
    """Writes metrics.csv and curves.png after each epoch, and the checkpoint when its validation is the best so far.

    It stands before the weight averaging in the list of callbacks, so that what it saves is the averaged network that was
    validated. split, begun_from: as the record has them. draws: what they, and the network while it trains, draw follows
    the number of whole epochs. Its history is part of the state that a run continues from.
    """

    def __init__(self, recipe: Recipe, split: dict[str, Any], begun_from: dict[str, Any] | None, draws: Draws) -> None:
        self.recipe, self.split, self.begun_from, self.draws = recipe, split, begun_from, draws
        self.out = recipe.settings.out
        self.history: list[dict[str, float]] = []
        self.resumed = resumed_after(self.out)
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

    def on_validation_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        """Averaged weights are in place here, and the epoch's means."""
        assert isinstance(learner, Learner)
        monitor, sign = self.recipe.monitor, self.recipe.sign
        figures = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if any(sign * row[monitor] >= sign * figures[monitor] for row in self.history):
            return
        validated = {k: figures[f"val_{k}"] for k in FIGURES if f"val_{k}" in figures}
        self.save(learner, trainer.current_epoch + 1, self.recipe.chosen(validated, learner.patient_dice))

    def save(self, learner: Learner, epoch: int, validation: dict[str, Any] | None) -> None:
        """Write the checkpoint of an epoch; validation: what chose it, None where nothing did."""
        record = {
            "normalisation": self.recipe.normalisation,
            "views": list(self.recipe.views),
            "threshold": 0.5,
            "epoch": epoch,
            RESUMED: self.resumed,
            "validation": validation,
            "split": self.split,
            **({"begun_from": self.begun_from} if self.begun_from else {}),
            **provenance(self.recipe.settings, self.split["train"]),
        }
        save_checkpoint(self.out / CHECKPOINT, learner.network, self.recipe.network, record)

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        figures = trainer.callback_metrics
        row = {"epoch": float(trainer.current_epoch + 1)}
        row |= {k: float(figures[k]) for k in self.recipe.columns if k in figures}
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = time.monotonic() - self.started
        self.history.append(row)
        table = pd.DataFrame(self.history).astype({"epoch": int})
        write_whole(self.out / METRICS, table.to_csv(index=False, float_format="%.6g").encode())
        draw_curves(table, self.out / "curves.png", self.recipe.validated)


class StateKeeper(Checkpoint):
    """Writes what a run continues from after each epoch but the last."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        if trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs:
            return
        partial = self.path.with_suffix(".part")
        trainer.save_checkpoint(partial, weights_only=False)
        partial.replace(self.path)


def draw_curves(table: pd.DataFrame, path: Path, validated: str) -> None:
    """Loss and Dice by epoch, train red and solid, validation blue and dashed, so that greyscale tells them apart."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, title in zip(axes, ("loss", "dice"), ("Loss", "Dice"), strict=True):
        axis.plot(table["epoch"], table[f"train_{name}"], color="tab:red", label="train, augmented slices")
        if f"val_{name}" in table:
            axis.plot(table["epoch"], table[f"val_{name}"], color="tab:blue", ls="--", label=f"validation, {validated}")
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        axis.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_whole(path, picture.getvalue())
    plt.close(figure)


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


class _InFloat32(torch.nn.Module):
    """Beside a convolution's own class: computes outside autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            y: torch.Tensor = super().forward(x.float())
        return y.to(x.dtype)


def compute_depthwise_in_float32(network: torch.nn.Module) -> None:
    """Take a network's large or strided depthwise convolutions out of autocast, in place.

    oneDNN (PyTorch 2.12) has slow bfloat16 backward kernels for these: in float32 they are 4 to 40 times as fast on a
    CPU, and a whole training step of the network takes 38 instead of 71 ms a slice.
    """
    for module in network.modules():
        if not isinstance(module, torch.nn.Conv2d):
            continue
        depthwise = module.groups == module.in_channels > 1
        if depthwise and (module.kernel_size[0] > 3 or module.stride[0] > 1):
            module.__class__ = type("InFloat32", (_InFloat32, type(module)), {})


def fit(learner: Learner, recorder: Recorder, training: Any, validation: Any | None, accelerator: str, bf16: bool) -> None:
    """Train all epochs, or those that are left of a run. Ctrl-C raises KeyboardInterrupt.

    Raises ValueError where the state of the run is damaged.
    """
    recipe, state = recorder.recipe, recorder.out / STATE
    if state.exists():
        try:
            torch.load(state, map_location="cpu", weights_only=True)
        except Exception as error:  # of zip, pickle and torch, each with its own
            raise ValueError(f"{state} is damaged, so the run cannot go on; remove it to begin again.") from error
    if bf16 and accelerator == "cpu":
        compute_depthwise_in_float32(learner.network)
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if bf16 else "32-true",
        max_epochs=recipe.settings.epochs,
        gradient_clip_val=recipe.gradient_clip,
        # A CPU adds up in one order anyway; where a GPU has no kernel that does, Lightning says so.
        deterministic="warn" if accelerator == "gpu" else None,
        num_sanity_val_steps=0,
        logger=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=10), recorder, *recipe.callbacks(), StateKeeper(state)],
    )
    try:
        trainer.fit(learner, training, validation, ckpt_path=str(state) if state.exists() else None, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None


def quiet() -> None:
    """Keep Lightning's tips, which advertise, and its advice on workers and loggers from the user."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")

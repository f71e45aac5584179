"""Checkpoints as PyTorch networks: saved, loaded, tried.

Checkpoints of versions before the SHA-256 get theirs from `python -m lgg_demo.network.checkpoint CHECKPOINT`, which tries
the weights first.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from safetensors.torch import load, save

from lgg_demo.command import run
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.checkpoint_files import amend_record, find_checkpoint, read_checkpoint, read_signed, write_checkpoint
from lgg_demo.network.record import RECORD_FORMAT, CheckpointError, NetworkSettings, Record
from lgg_demo.network.unet import COUNTER, build_network


def save_checkpoint(path: Path, network: torch.nn.Module, settings: NetworkSettings, record: dict[str, Any]) -> None:
    """Write `path` (.safetensors, half precision) and its record; see `write_checkpoint`.

    Raises CheckpointError where the weights are not finite, or not in half precision.
    """
    state = {
        k: (v.half() if v.is_floating_point() else v).detach().cpu().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith(COUNTER)
    }
    if not _finite(state):
        raise CheckpointError("The weights are no longer finite: the training went astray; try a lower --learning-rate.")
    full = {"format": RECORD_FORMAT, "network": settings.as_record(), "normalisation": NORMALISATION, **record}
    write_checkpoint(path, save(state), full)  # not save_file, whose files nobody else may read


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in state.items() if not k.endswith(COUNTER)}


def _finite(state: dict[str, torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point())


def build(path: Path, weights: bytes, record: dict[str, Any]) -> torch.nn.Module:
    """The network that the record describes, in evaluation mode, float32, with the weights. Raises CheckpointError."""
    try:
        state = {k: v.float() if v.is_floating_point() else v for k, v in load(weights).items()}
    except Exception as error:  # of safetensors, whose errors are of several kinds
        raise CheckpointError(f"{path} is damaged, or no safetensors file.") from error
    if not _finite(state):
        raise CheckpointError(f"{path} holds weights that are not finite, which segment nothing; train them again.")
    try:
        network = build_network(Record.of(record).network)
    except CheckpointError as error:
        raise CheckpointError(f"{path.with_suffix('.json')} describes a network that cannot be built: {error}") from error
    # Compared here, because smp's network only warns, at length, of a tensor of another shape.
    if _shapes(state) != _shapes(network.state_dict()):
        raise CheckpointError(f"{path} does not fit the network that its record describes.")
    network.load_state_dict(state, strict=False)
    return network.eval()


def load_checkpoint(name: str | Path | None = None) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network in evaluation mode, float32, and its checked record with `name` added.

    Raises CheckpointError where the file is missing, is not the one that its record has the SHA-256 of, holds weights that
    are not finite, or where anything in the record is not as it should be.
    """
    path = find_checkpoint(name)
    weights, record = read_signed(path)
    return build(path, weights, record), record


@dataclass(frozen=True)
class SignSettings:
    """Write the SHA-256 of weights that can be used into their record, where an earlier version wrote none."""

    checkpoints: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT [CHECKPOINT ...]")]
    """safetensors files, or folders of runs"""


def sign(given: SignSettings) -> int:
    """What the command does; returns its exit code."""
    for name in given.checkpoints:
        path = find_checkpoint(name)
        weights, record = read_checkpoint(path)
        build(path, weights, record)
        sha256 = hashlib.sha256(weights).hexdigest()
        amend_record(path, sha256=sha256)
        print(f"{path}: {sha256}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("network.checkpoint", SignSettings, sign, arguments)


if __name__ == "__main__":
    sys.exit(main())

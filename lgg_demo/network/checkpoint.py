"""The checkpoint: a safetensors file and, beside it, a JSON record that says everything loading needs.

The record holds the SHA-256 of the weights, and nothing is served that does not fit it. Checkpoints of versions before that
get theirs from `python -m lgg_demo.network.checkpoint CHECKPOINT`, which tries the weights first.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from huggingface_hub import hf_hub_download
from safetensors.torch import load, save

from lgg_demo import WEIGHTS
from lgg_demo.atomic import write_json, write_whole
from lgg_demo.command import run
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.record import RECORD_FORMAT, CheckpointError, NetworkSettings, Record
from lgg_demo.network.unet import COUNTER, build_network

CHECKPOINT = "lgg-unet.safetensors"
UPCOMING = ".next.json"  # the record of weights that are about to be in place; see `write_checkpoint`


def write_checkpoint(path: Path, weights: bytes, record: dict[str, Any]) -> None:
    """Write weights to `path` and their record beside it, as one step: after a kill both are of before, or both of now.

    The new record lies there under another name before the weights are put in place, and loading takes whichever of the two
    has the SHA-256 of the weights that are there.
    """
    record = record | {"sha256": hashlib.sha256(weights).hexdigest()}
    upcoming = path.with_suffix(UPCOMING)
    write_json(upcoming, record)
    write_whole(path, weights)  # from here on it is the new checkpoint
    upcoming.replace(path.with_suffix(".json"))


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


def amend_record(path: Path, **entries: Any) -> None:
    """Set entries of the record beside the weights at `path`. Raises CheckpointError."""
    _, record = _read(path)
    write_json(path.with_suffix(".json"), record | entries)
    # Of a save that was cut off: it is the one amended, or of no weights.
    path.with_suffix(UPCOMING).unlink(missing_ok=True)


def find_checkpoint(name: str | Path | None = None) -> Path:
    """A checkpoint file on this disk: the shipped one for None, a path, or a Hub repository `owner/name` (downloaded)."""
    if name is None:
        name = os.environ.get("LGG_DEMO_CHECKPOINT") or WEIGHTS / CHECKPOINT
    path = Path(name)
    try:
        if path.is_dir():
            path = path / CHECKPOINT
        if path.is_file():
            return path
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise CheckpointError(f"The checkpoint cannot be looked for: {error}.") from error
    text = str(name)
    if text.count("/") == 1 and path.suffix != ".safetensors" and not text.startswith((".", "/")):
        try:
            hf_hub_download(text, Path(CHECKPOINT).with_suffix(".json").name)
            return Path(hf_hub_download(text, CHECKPOINT))
        except Exception as error:  # of the network, the Hub, the name or the disk; the user needs one sentence
            raise CheckpointError(
                f"There is no checkpoint at {text}, and none could be downloaded from a Hub repository of this name "
                f"({type(error).__name__})."
            ) from error
    raise CheckpointError(f"There is no checkpoint at {path}; train one with `python -m lgg_demo.train`.")


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in state.items() if not k.endswith(COUNTER)}


def _finite(state: dict[str, torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point())


def _read_record(beside: Path) -> dict[str, Any]:
    """The checked record in a file. Raises CheckpointError."""
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{beside} is missing: the record that belongs to the weights beside it.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{beside} is not a record of this project ({type(error).__name__}).") from error
    Record.of(record, str(beside))
    return dict(record)


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the weights and the checked record of their SHA-256, or one that has none. Raises CheckpointError."""
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    digest = hashlib.sha256(weights).hexdigest()
    upcoming = path.with_suffix(UPCOMING)
    if upcoming.is_file():  # a save was cut off: before its weights were in place, or after
        record = _read_record(upcoming)
        if record.get("sha256") == digest:
            return weights, record
    record = _read_record(path.with_suffix(".json"))
    if record.get("sha256", digest) != digest:
        raise CheckpointError(
            f"{path} is damaged, or not the file that its record is of: its SHA-256 is not the one in "
            f"{path.with_suffix('.json').name}; copy or download both again."
        )
    return weights, record


def _build(path: Path, weights: bytes, record: dict[str, Any]) -> torch.nn.Module:
    """The network that the record describes, with the weights. Raises CheckpointError."""
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
    weights, record = _read(path)
    if "sha256" not in record:
        raise CheckpointError(
            f"{path.with_suffix('.json')} is of an earlier version and has no SHA-256 of its weights; if you trust them, "
            f"write it with `python -m lgg_demo.network.checkpoint {path}`."
        )
    network = _build(path, weights, record)
    record["name"] = path.stem
    return network, record


@dataclass(frozen=True)
class SignSettings:
    """Write the SHA-256 of weights that can be used into their record, where an earlier version wrote none."""

    checkpoints: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT [CHECKPOINT ...]")]
    """safetensors files, or folders of runs"""


def sign(given: SignSettings) -> int:
    """What the command does; returns its exit code."""
    for name in given.checkpoints:
        path = find_checkpoint(name)
        weights, record = _read(path)
        _build(path, weights, record)
        sha256 = hashlib.sha256(weights).hexdigest()
        amend_record(path, sha256=sha256)
        print(f"{path}: {sha256}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("network.checkpoint", SignSettings, sign, arguments)


if __name__ == "__main__":
    sys.exit(main())

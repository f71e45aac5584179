"""The files of a checkpoint: safetensors weights and, beside them, a JSON record that says everything loading needs.

The record holds the SHA-256 of the weights, and nothing is served that does not fit it. No PyTorch here: see `checkpoint`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lgg_demo import WEIGHTS
from lgg_demo.atomic import write_json, write_whole
from lgg_demo.network.record import CheckpointError, Record

CHECKPOINT = "lgg-unet.safetensors"
GRAPH = "graph"  # entry of the record; see `graph.graph_entry`
GRAPH_SUFFIXES = (".xml", ".bin")  # of the exported graph, which lies beside the weights under their name
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


def amend_record(path: Path, **entries: Any) -> None:
    """Set entries of the record beside the weights at `path`. Raises CheckpointError."""
    _, record = read_checkpoint(path)
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
        from huggingface_hub import hf_hub_download  # half a second, for those who need it

        try:
            hf_hub_download(text, Path(CHECKPOINT).with_suffix(".json").name)
            path = Path(hf_hub_download(text, CHECKPOINT))
        except Exception as error:  # of the network, the Hub, the name or the disk; the user needs one sentence
            raise CheckpointError(
                f"There is no checkpoint at {text}, and none could be downloaded from a Hub repository of this name "
                f"({type(error).__name__})."
            ) from error
        if GRAPH in _read_record(path.with_suffix(".json")):
            for suffix in GRAPH_SUFFIXES:
                with contextlib.suppress(Exception):  # PyTorch serves without
                    hf_hub_download(text, Path(CHECKPOINT).with_suffix(suffix).name)
        return path
    raise CheckpointError(f"There is no checkpoint at {path}; train one with `python -m lgg_demo.train`.")


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


def read_checkpoint(path: Path) -> tuple[bytes, dict[str, Any]]:
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


def read_signed(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the weights and their checked record, with `name` added, where they fit. Raises CheckpointError."""
    weights, record = read_checkpoint(path)
    if "sha256" not in record:
        raise CheckpointError(
            f"{path.with_suffix('.json')} is of an earlier version and has no SHA-256 of its weights; if you trust them, "
            f"write it with `python -m lgg_demo.network.checkpoint {path}`."
        )
    record["name"] = path.stem
    return weights, record

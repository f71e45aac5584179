"""The exported graph beside a checkpoint: OpenVINO runs it on a CPU, several times as fast as PyTorch and without it.

The record of the weights has the SHA-256 of the graph's two files and of all that the graph was made of, so that no other
one is served for them.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from lgg_demo.network.checkpoint_files import GRAPH, GRAPH_SUFFIXES
from lgg_demo.network.record import CheckpointError, Record


def graph_entry(checkpoint: Path, record: dict[str, Any]) -> dict[str, str]:
    """What the record says of the graph beside a checkpoint: the SHA-256 of each file, and of what the graph holds.

    Raises OSError where a file is not there.
    """
    return {suffix[1:]: _sha256(checkpoint.with_suffix(suffix)) for suffix in GRAPH_SUFFIXES} | {"of": _held(record)}


def _held(record: dict[str, Any]) -> str:
    """The SHA-256 of the weights, views and calibration that a record says."""
    checked = Record.of(record)
    held = [record["sha256"], checked.views, checked.calibration.as_record()]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()


def has_graph(checkpoint: Path, record: dict[str, Any]) -> bool:
    """Whether a graph of just this checkpoint lies beside it. Raises CheckpointError where that one is damaged."""
    listed = record.get(GRAPH)
    if listed is None or listed.get("of") != _held(record):
        return False
    if not all(checkpoint.with_suffix(suffix).is_file() for suffix in GRAPH_SUFFIXES):
        return False
    if graph_entry(checkpoint, record) != listed:
        raise CheckpointError(
            f"{checkpoint.with_suffix('.xml')} or {checkpoint.with_suffix('.bin').name} is damaged, or not the graph that "
            f"the record has the SHA-256 of; write it with `python -m lgg_demo.network.export {checkpoint}`."
        )
    return True


class GraphEngine:
    """What `segmenter.Segmenter` runs on a CPU; see `segmenter.Engine`. Always float32, on whatever CPU.

    As many threads as there are cores, or as OMP_NUM_THREADS says. Raises CheckpointError.
    """

    name = "OpenVINO, CPU"
    batch = 1  # the graph's own; see `inference.BATCH_CPU`

    def __init__(self, checkpoint: Path) -> None:
        # Where the CPU has bfloat16, OpenVINO would use it unasked, and another machine would give other masks.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        threads = os.environ.get("OMP_NUM_THREADS", "")
        if threads.isdigit() and int(threads) > 0:
            options["INFERENCE_NUM_THREADS"] = int(threads)
        try:
            core = openvino.Core()
            self.compiled = core.compile_model(core.read_model(checkpoint.with_suffix(".xml")), "CPU", options)
        except RuntimeError as error:  # OpenVINO's own
            raise CheckpointError(f"{checkpoint.with_suffix('.xml')} cannot be run ({type(error).__name__}).") from error

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(1, 3, 256, 256) float32 to calibrated probability (1, 1, 256, 256) float32 in [0, 1]."""
        # A request of its own, as several threads may be here at once.
        return np.array(self.compiled.create_infer_request().infer([x])[0])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Write the graph that serves without PyTorch beside a checkpoint: `python -m lgg_demo.network.export`.

It holds all between normalised slices and calibrated probability: views, resizing, the U-Net, calibration. Weights stay in
half precision, as the checkpoint has them: only constants that half precision holds exactly are stored so.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino
import torch
from openvino import opset15
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from lgg_demo.command import Checkpoint, run
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import GRAPH, GRAPH_SUFFIXES, amend_record, find_checkpoint
from lgg_demo.network.frames import SIZE
from lgg_demo.network.graph import GraphEngine, graph_entry
from lgg_demo.network.inference import ServedNetwork, TorchEngine
from lgg_demo.network.record import CheckpointError, Record

FEW = 64  # constants of no more elements stay in single precision: nothing is gained
MOST_APART = 1 / 255  # between a graph and PyTorch, in probability


def write_graph(path: Path) -> float:
    """Export the checkpoint at `path` and enter the graph into its record; how far it is from PyTorch, in probability.

    Raises CheckpointError where they lie further apart than `MOST_APART` on a noisy disc; nothing is then entered.
    """
    network, record = load_checkpoint(path)
    checked = Record.of(record)
    slices = _disc()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of shapes that are the same in every slice
        # Not `convert_model`: it merges batch normalisation into weights, which half precision then holds no longer.
        frontend = FrontEndManager().load_by_framework("pytorch")
        served = ServedNetwork(network, checked).eval()
        traced = TorchScriptPythonDecoder(served, example_input=torch.from_numpy(slices))
        model = frontend.convert(frontend.load(traced))
    model.reshape(list(slices.shape))
    _halve(model)
    openvino.save_model(model, path.with_suffix(GRAPH_SUFFIXES[0]), compress_to_fp16=False)
    apart = float(np.abs(GraphEngine(path)(slices) - TorchEngine(network, checked, "cpu")(slices)).max())
    if not apart <= MOST_APART:
        raise CheckpointError(f"The graph of {path} lies {apart:.4f} from PyTorch in probability; it is not entered.")
    amend_record(path, **{GRAPH: graph_entry(path, record)})
    return apart


def _halve(model: openvino.Model) -> None:
    """Store in half precision those constants that it holds exactly."""
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != openvino.Type.f32:
            continue
        values = np.asarray(node.get_data())
        half = values.astype(np.float16)
        if values.size > FEW and np.array_equal(half.astype(np.float32), values):
            constant = opset15.convert(opset15.constant(half), "f32")
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(constant.output(0))


def _disc() -> np.ndarray:
    """One slice, (1, 3, 256, 256) float32 in [0, 1.5]: a noisy head with a bright round."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    head = 0.4 * (np.hypot(rows / 0.9, columns / 0.7) < 0.5) + 0.5 * (np.hypot(rows + 0.1, columns - 0.1) < 0.1)
    noise = np.random.default_rng(0).normal(0, 0.03, (1, 3, SIZE, SIZE))
    return np.asarray(np.clip(head + noise, 0, 1.5), dtype=np.float32)


@dataclass(frozen=True)
class ExportSettings:
    """Write the OpenVINO graph of a checkpoint beside it: on a CPU it is served instead of PyTorch, and much faster.

    It is entered into the record only where it gives PyTorch's probability.
    """

    checkpoint: Checkpoint = None
    """weights: a file, or the folder of a run; those in weights/ without"""


def export(given: ExportSettings) -> int:
    """What the command does; returns its exit code."""
    path = find_checkpoint(given.checkpoint)
    apart = write_graph(path)
    size = sum(path.with_suffix(suffix).stat().st_size for suffix in GRAPH_SUFFIXES) / 1e6
    print(f"{path.with_suffix(GRAPH_SUFFIXES[0])}: {size:.1f} MB, at most {apart:.1e} from PyTorch in probability")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("network.export", ExportSettings, export, arguments)


if __name__ == "__main__":
    sys.exit(main())

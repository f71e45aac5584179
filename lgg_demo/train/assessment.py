"""The test of a run that has slices to test on: the report's soft figures, hard ones beside them, and a sheet of slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader
from tqdm import tqdm

from lgg_demo.atomic import write_json
from lgg_demo.measure.overlap import Counts, count, pooled
from lgg_demo.network.checkpoint import load_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.inference import predict_probability
from lgg_demo.network.record import Record
from lgg_demo.network.segmenter import quantise
from lgg_demo.probability import binarise
from lgg_demo.train.data import PatientDataset, SliceDataset
from lgg_demo.train.losses import report_figures
from lgg_demo.train.recipes import METRICS, SOFT
from lgg_demo.train.splits import Sides

matplotlib.use("Agg")

RESULTS, SHEET = "results.json", "sheet.png"
BATCH = 32  # of the report, whose figures depend on it
SHOWN = 6  # test slices on the sheet
HARD = (
    "probability cut at 0.5, 256 x 256; pooled: all pixels of all test slices together; by slice: mean over the slices "
    "with tumour; volume: mean over patients of whom every slice is tested"
)


def predict_slices(
    network: torch.nn.Module, slices: SliceDataset, views: Sequence[int]
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """The report's figures (see SOFT), the quantised probability (N, 256, 256) uint8, and the reference, bool."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes, rows, quantised, references = [], [], [], []
    for batch in tqdm(DataLoader(slices, batch_size=BATCH), unit="batch", desc="test", disable=None):
        image, mask = batch["image"].to(device, memory_format=torch.channels_last), batch["mask"].to(device)
        with torch.inference_mode():
            probability = predict_probability(network, image, views)
            rows.append({name: float(value) for name, value in report_figures(probability, mask).items()})
        sizes.append(len(mask))
        quantised.append(quantise(probability[:, 0].cpu().numpy()))
        references.append(mask[:, 0].bool().cpu().numpy())
    figures = {
        name: float(np.average([row[name] for row in rows], weights=sizes if name == "loss" else None)) for name in METRICS
    }
    return figures, np.concatenate(quantised), np.concatenate(references)


def hard_figures(owners: Sequence[str], counts: Sequence[Counts], slices_of: dict[str, int]) -> dict[str, Any]:
    """The figures of HARD, and the volume Dice of each patient of whom every slice is tested.

    owners: the patient of each slice; counts: of each slice; slices_of: how many slices each patient has.
    """
    tumour = [c.dice for c in counts if c.reference]
    whole = {
        name: pooled(c for owner, c in zip(owners, counts, strict=True) if owner == name).dice
        for name in sorted(set(owners))
        if owners.count(name) == slices_of[name]
    }
    every = pooled(counts)
    return {
        "pooled_dice": every.dice,
        "pooled_iou": every.iou,
        "tumour_slices": len(tumour),
        "tumour_slice_dice_mean": float(np.mean(tumour)) if tumour else None,
        "whole_patients": len(whole),
        "volume_dice_mean": float(np.mean(list(whole.values()))) if whole else None,
        "volume_dice_median": float(np.median(list(whole.values()))) if whole else None,
        "volume_dice": whole,
    }


def assess(out: Path, patients: PatientDataset, sides: Sides) -> dict[str, Any]:
    """Test a run's kept network and write results.json, which is returned, and sheet.png into its folder.

    patients: of the index that `sides` counts in, with the normalisation of the run. Raises CheckpointError.
    """
    network, record = load_checkpoint(out / CHECKPOINT)
    slices = SliceDataset(patients, sides.test)
    soft, quantised, references = predict_slices(network, slices, Record.of(record).views)
    counts = [count(binarise(p, 0.5), m) for p, m in zip(quantised, references, strict=True)]
    owner = [item["patient"] for item in patients.items for _ in range(len(item["image"]))]
    tested = [owner[row] for row in sides.test]
    of = {side: {owner[row] for row in getattr(sides, side)} for side in ("train", "validation", "test")}
    results = {
        "level": sides.level,
        **{
            side: {"slices": len(getattr(sides, side)), "patients": len(names)} for side, names in of.items()
        },
        "test_patients_also_in_training": len(of["test"] & of["train"]),
        "epoch": record["epoch"],
        "report_measure": {"definition": SOFT, **soft},
        "hard": {
            "definition": HARD,
            **hard_figures(tested, counts, {item["patient"]: len(item["image"]) for item in patients.items}),
        },
    }  # fmt: skip
    write_json(out / RESULTS, results)
    shown = [i for i, c in enumerate(counts) if c.reference][: SHOWN - 1]
    shown += [i for i, c in enumerate(counts) if not c.reference][: SHOWN - len(shown)]
    images = [slices[i]["image"][:3].permute(1, 2, 0).clamp(0, 1).numpy() for i in shown]
    draw_sheet(images, references[shown], quantised[shown], out / SHEET)
    return results


def draw_sheet(images: Sequence[np.ndarray], references: np.ndarray, quantised: np.ndarray, path: Path) -> None:
    """A row a slice: image (H, W, 3) in [0, 1], reference, quantised probability, and prediction cut at 0.5."""
    figure, axes = plt.subplots(len(images), 4, figsize=(10, 2.5 * len(images)), layout="constrained", squeeze=False)
    for row, image, mask, probability in zip(axes, images, references, quantised, strict=True):
        row[0].imshow(image)
        for axis, grey, top in ((row[1], mask, 1), (row[2], probability, 255), (row[3], binarise(probability, 0.5), 1)):
            axis.imshow(grey, cmap="gray", vmin=0, vmax=top)
    for axis, title in zip(axes[0], ("image", "original mask", "probability", "prediction at 0.5"), strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    plt.close(figure)

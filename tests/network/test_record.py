"""What a checkpoint's record may say: odd entries are refused with one sentence, those of earlier versions are read."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.checkpoint_files import CHECKPOINT, WEIGHTS
from lgg_demo.network.record import LITE0, RECORD_FORMAT, CheckpointError, Record, lineage

SMP = {"encoder": LITE0, "decoder_channels": [16, 8, 8, 8, 4]}
RIGHT: dict[str, Any] = {"format": RECORD_FORMAT, "network": SMP, "normalisation": NORMALISATION}
CURVE = {"given": [-1.0, 0.0, 2.0], "meant": [-2.0, 0.0, 0.0]}
NUMBERS: list[Any] = [9, -0.1, "0.5", True, [0.5], math.nan, math.inf]
ODD: list[dict[str, Any]] = [
    *({"format": v} for v in (2, 0, "1", 1.5, True, [1])),
    *({"normalisation": v} for v in ("z-score", 1, [NORMALISATION], {}, "\ud800")),
    *({"network": v} for v in ("resnet18", [], 3, {}, {"encoder": "resnet18"}, {"family": "seed"})),
    *({"network": SMP | {"family": v}} for v in ("vgg", ["smp"], 1)),
    *({"network": SMP | {"encoder": v}} for v in (5, ["resnet18"], "a\nb")),
    *({"network": SMP | {"decoder_channels": v}} for v in ("16", 16, [16], [16.0] * 5, [0] * 5, [10**30] * 5, {})),
    *({"network": SMP | {"context": v}} for v in (-1, 1, "0", True)),
    *({"network": {"family": "seed", "width": v}} for v in (0, -1, 10**9, "32", 1.5, [32])),
    *({"sha256": v} for v in ("", "0" * 63, "G" * 64, 5, ["0" * 64])),
    *({"views": v} for v in (256, "256", [], [300], ["256"], [0], [-256], [32 * 10**6], [256.0], [True], [256] * 99, {})),
    *({"test_time_flips": v} for v in ("yes", 1)),
    *({name: v} for name in ("threshold", "best_threshold", "blend") for v in NUMBERS),
    *({name: v} for name in ("minutes", "training_minutes") for v in NUMBERS[1:]),
    *({"calibration": v} for v in ("none", 5, [], {"a": 1.0}, {"given": [0, 1]}, [CURVE])),
    *({"calibration": CURVE | {"given": v}} for v in ([-1.0, 0.0], [0.0, 0.0, 1.0], [2.0, 1.0, 0.0], [0.0, 1.0, math.nan])),
    *({"calibration": CURVE | {"given": v}} for v in ("abc", [[0], [1], [2]], ["0", "1", "2"], [0, 1, 10**400], 1, [0.0])),
    *({"calibration": CURVE | {"meant": v}} for v in ([2.0, 1.0, 0.0], [0.0, 1.0, math.inf], [False, False, True], {})),
    *({"epoch": v} for v in ("three", 0, 1.5, [1], True)),
    *({"split": v} for v in ("all", [], {"train": "all"}, {"train": [1]}, {"validation": 3})),
    *({name: v} for name in ("settings", "versions") for v in ("all", [], 3)),
    *({"validation": v} for v in ("none", [])),
    *({"repeatability": v} for v in (None, 0.05, {}, {"relative": 0.05}, {"relative": 2, "absolute_ml": 0.1},
                                     {"relative": 0.05, "absolute_ml": -1})),
    *({"resumed_after_epochs": v} for v in (1, [0], ["1"])),
    *({name: v} for name in ("name", "created_by", "intended_use", "training_data") for v in (["a"], 5, {}, "a\nb")),
    *({"begun_from": v} for v in ("run", [{}], {"epoch": "three"}, {"begun_from": {"split": []}}, {"begun_from": "run"})),
]  # fmt: skip


def refused(record: Any) -> str:
    """The one sentence with which a record is refused."""
    with pytest.raises(CheckpointError) as caught:
        Record.of(record, "here")
    said = str(caught.value)
    assert said.startswith("here") and len(said) < 400 and "\n" not in said
    said.encode()
    return said


@pytest.mark.parametrize("changes", ODD, ids=lambda c: str(c)[:60])
def test_an_odd_record_is_one_sentence(changes: dict[str, Any]) -> None:
    refused(RIGHT | changes)


@pytest.mark.parametrize("name", list(RIGHT))
def test_what_a_record_must_hold_is_named(name: str) -> None:
    assert f"has no {name}; it must be" in refused({k: v for k, v in RIGHT.items() if k != name})
    refused([RIGHT])


def test_a_record_as_versions_before_wrote_it_is_right() -> None:
    split = {"level": "slice", "train": ["a"], "validation": [], "test": ["b"], "slices": {"train": {"a": [1]}}}
    for more in (
        {"network": SMP | {"family": "smp", "context": 0}, "settings": {"context": 0, "loss": "tversky", "zoom": 1.25}},
        {"calibration": None, "validation": None, "views": [256]},
        {"calibration": CURVE, "best_threshold": 1, "threshold": 0, "name": "mine"},
        {"split": split, "begun_from": {"epoch": 3, "split": split, "begun_from": {"epoch": 8, "minutes": 0}}},
        {"repeatability": {"relative": 0, "absolute_ml": 0.3, "anything": "else"}},
        {"validation": {"loss": -0.5}, "settings": {"folds": None}, "something": [[[["new"]]]]},
    ):
        Record.of(RIGHT | more)
    for more, views in (({"views": [256, 320]}, (256, 320)), ({"test_time_flips": True}, (256, 256)), ({}, (256,))):
        assert Record.of(RIGHT | more).views == views
    shipped = json.loads((WEIGHTS / CHECKPOINT).with_suffix(".json").read_text(encoding="utf-8"))
    assert len(shipped["sha256"]) == 64 and Record.of(shipped).calibration.given
    assert [one["epoch"] for one in lineage(shipped)] == [13, 8, 8]

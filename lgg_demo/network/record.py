"""A checkpoint's record: what it may say, checked in one place, and what it says builds and serves a network."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lgg_demo.case import LggDemoError
from lgg_demo.intensity import NORMALISATIONS
from lgg_demo.network.calibration import Calibration
from lgg_demo.network.frames import SIZE

WIDTH = 32  # filters of the first block of the report's network
DEPTH = 5  # times an encoder halves the slice; its sides are multiples of 2 ** DEPTH
LITE0 = "timm-tf_efficientnet_lite0"
RECORD_FORMAT = 1
STRIDE = 2**DEPTH  # the U-Nets halve a side five times
SMALLEST_VIEW, LARGEST_VIEW, MOST_VIEWS = 64, 1024, 16
MOST_WIDTH, MOST_CHANNELS = 128, 1024  # what no record can make the memory run out with


class CheckpointError(LggDemoError):
    """A checkpoint that cannot be found or used; the message says why and what to do."""


@dataclass(frozen=True)
class NetworkSettings:
    """What builds the network: three input channels and one logit a pixel.

    encoder, decoder_channels: of the family smp; width: of the family seed, the filters of its first block.
    """

    encoder: str = LITE0
    decoder_channels: tuple[int, ...] = (128, 64, 32, 16, 8)
    family: str = "smp"
    width: int = WIDTH

    def as_record(self) -> dict[str, Any]:
        """What a checkpoint's record says of the network: its family, and what that one is built from."""
        if self.family == "seed":
            return {"family": self.family, "width": self.width}
        return {"family": self.family, "encoder": self.encoder, "decoder_channels": list(self.decoder_channels)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> NetworkSettings:
        """The settings that `as_record` wrote; records without a family are of smp. `Record.of` checks them first."""
        if record.get("family") == "seed":
            return cls(family="seed", width=record["width"])
        return cls(record["encoder"], tuple(record["decoder_channels"]))


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    wanted: str
    required: bool = False


def _number(value: Any, low: float = 0.0, high: float = math.inf) -> bool:
    return type(value) in (int, float) and low <= value <= high and value < math.inf


def _whole(value: Any, low: int, high: float = math.inf) -> bool:
    return type(value) is int and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _calibration(value: Any) -> bool:
    try:
        Calibration.from_record(value)
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return True


def _repeatability(value: Any) -> bool:
    """What `experiments.repeatability` writes; see `measure.growth.Repeatability`."""
    return isinstance(value, dict) and _number(value.get("relative"), 0, 1) and _number(value.get("absolute_ml"))


def possible_views(views: Sequence[Any]) -> bool:
    """Whether slices can be resized to these sides for a network; see `inference.predict_probability`."""
    return 0 < len(views) <= MOST_VIEWS and all(
        _whole(side, SMALLEST_VIEW, LARGEST_VIEW) and side % STRIDE == 0 for side in views
    )


VIEWS = f"one to {MOST_VIEWS} multiples of {STRIDE} from {SMALLEST_VIEW} to {LARGEST_VIEW}"
_PROBABILITY = _Rule(lambda v: _number(v, 0, 1), "a number from 0 to 1")
_TIME = _Rule(_number, "a number of minutes")
_LINE = _Rule(_text, "one line of text")
_OBJECT = _Rule(lambda v: isinstance(v, dict), "an object")

# Every entry that anything reads of a record, or of those of the networks that its own was fine-tuned from.
_RULES: dict[str, _Rule] = {
    "format": _Rule(lambda v: _whole(v, RECORD_FORMAT, RECORD_FORMAT), f"{RECORD_FORMAT}, which this version reads", True),
    "network": _OBJECT._replace(required=True),
    "normalisation": _Rule(
        lambda v: isinstance(v, str) and v in NORMALISATIONS,
        f"one that this version serves: {', '.join(NORMALISATIONS)}",
        True,
    ),
    "sha256": _Rule(lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{64}", v)), "64 hexadecimal digits"),
    "views": _Rule(lambda v: isinstance(v, list) and possible_views(v), VIEWS),
    "test_time_flips": _Rule(lambda v: isinstance(v, bool), "true or false"),  # of the first weights, for views
    "threshold": _PROBABILITY,
    "best_threshold": _PROBABILITY,
    "calibration": _Rule(_calibration, "null, or two rising lists of as many logits, as this version writes it"),
    "graph": _Rule(
        lambda v: isinstance(v, dict) and all(isinstance(one, str) for one in v.values()), "an object with lines of text"
    ),
    "repeatability": _Rule(_repeatability, "an object with relative, from 0 to 1, and absolute_ml, from 0"),
    "epoch": _Rule(lambda v: _whole(v, 1), "a whole number from 1"),
    "resumed_after_epochs": _Rule(
        lambda v: isinstance(v, list) and all(_whole(one, 1) for one in v), "a list of whole numbers"
    ),
    "validation": _Rule(lambda v: v is None or isinstance(v, dict), "null or an object"),
    "split": _Rule(
        lambda v: isinstance(v, dict) and all(_texts(v.get(side, [])) for side in ("train", "validation", "test")),
        "an object with lists of patients",
    ),
    "begun_from": _OBJECT,
    "settings": _OBJECT,
    "versions": _OBJECT,
    "blend": _PROBABILITY,
    "minutes": _TIME,
    "training_minutes": _TIME,
    **dict.fromkeys(("name", "created_by", "intended_use", "training_data", "hardware"), _LINE),
}
_CONTEXT = _Rule(lambda v: _whole(v, 0, 0), "0: this version builds no network that sees neighbouring slices")
_NETWORK: dict[str, dict[str, _Rule]] = {
    "smp": {
        "encoder": _LINE._replace(required=True),
        "decoder_channels": _Rule(
            lambda v: isinstance(v, list) and len(v) == 5 and all(_whole(one, 1, MOST_CHANNELS) for one in v),
            f"five whole numbers from 1 to {MOST_CHANNELS}",
            True,
        ),
        "context": _CONTEXT,
    },
    "seed": {
        "width": _Rule(lambda v: _whole(v, 1, MOST_WIDTH), f"a whole number from 1 to {MOST_WIDTH}", True),
        "context": _CONTEXT,
    },
}
_FAMILY = {"family": _Rule(lambda v: isinstance(v, str) and v in _NETWORK, f"one of {', '.join(_NETWORK)}")}


def _judge(entries: dict[str, Any], rules: dict[str, _Rule], where: str, complete: bool = True) -> None:
    """Raise CheckpointError for the first entry that breaks its rule; complete: also for a required one that is missing."""
    for name, rule in rules.items():
        if name in entries and not rule.holds(entries[name]):
            raise CheckpointError(f"{where}: {name} is {reprlib.repr(entries[name])}; it must be {rule.wanted}.")
        if complete and rule.required and name not in entries:
            raise CheckpointError(f"{where} has no {name}; it must be {rule.wanted}.")


@dataclass(frozen=True)
class Record:
    """What serving reads of a checkpoint's record; `of` is the one place where a record is checked.

    views: see `inference.predict_probability`. threshold: in [0, 1].
    """

    network: NetworkSettings
    normalisation: str
    views: tuple[int, ...]
    threshold: float
    calibration: Calibration

    @classmethod
    def of(cls, record: Any, where: str = "The record of the weights") -> Record:
        """Check all of a record as JSON has it. Raises CheckpointError with one sentence that begins with `where`."""
        if not isinstance(record, dict):
            raise CheckpointError(f"{where} is not a record of this project: it holds no object.")
        _judge(record, _RULES, where)
        built = record["network"]
        _judge(built, _FAMILY, f"{where}, network")
        _judge(built, _NETWORK[built.get("family", "smp")], f"{where}, network")
        stage = record
        while stage := stage.get("begun_from", {}):  # whose rule holds, so it is an object
            _judge(stage, _RULES, f"{where}, begun_from", complete=False)
        # The first weights say their test-time augmentation otherwise.
        views = record.get("views", [SIZE] * (2 if record.get("test_time_flips") else 1))
        return cls(
            NetworkSettings.from_record(built),
            record["normalisation"],
            tuple(views),
            float(record.get("threshold", 0.5)),
            Calibration.from_record(record.get("calibration")),
        )


def lineage(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a network and of those that it was fine-tuned from (`train --begin`), the oldest first."""
    stages = [record]
    while earlier := stages[0].get("begun_from"):
        stages.insert(0, earlier)
    return stages


def epochs_of(record: dict[str, Any]) -> list[int]:
    """The epochs of a network's training, one number for each run that began where the one before ended."""
    return [int(one["epoch"]) for one in lineage(record)]

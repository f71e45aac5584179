"""What the page says of the network: its name, how good it was on patients it had not seen, the licence of its weights."""

from __future__ import annotations

import json
from typing import Any

from lgg_demo import WEIGHTS
from lgg_demo.measure.patients import smallest_quarter_dice
from lgg_demo.network.checkpoint_files import CHECKPOINT

VALIDATION = WEIGHTS / "cross_validation.json"
SHIPPED = (WEIGHTS / CHECKPOINT).with_suffix(".json")
LICENCE = "CC BY-NC-SA 4.0"


def about(record: dict[str, Any]) -> dict[str, Any]:
    """What `head.js` writes of a network's record; the figures of its cross-validation where it is the one that is shipped.

    Of any other network the repository holds no validation on patients, and the page says none.
    """
    told: dict[str, Any] = {"model": record.get("name"), "validated": None, "licence": None}
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    if record.get("sha256") != shipped["sha256"] or not VALIDATION.is_file():
        return told
    figures = json.loads(VALIDATION.read_text(encoding="utf-8"))
    low, high = figures["volume_dice_ci95"]
    told["licence"] = LICENCE
    told["validated"] = {
        "patients": figures["patients"],
        "dice": figures["volume_dice_mean"],
        "median": figures["volume_dice_median"],
        "low": low,
        "high": high,
        "empty_outlined": figures["empty_slice_false_positive_rate"],
        "smallest": smallest_quarter_dice(figures["per_patient"]),
    }
    return told

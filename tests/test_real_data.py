"""The shipped weights on real patients: broken weights or a broken transform fail here.

LGG_DEMO_DATA names a kaggle_3m folder with the patients below; without it these tests are skipped. `.ci/run` unpacks them.
The shipped network was trained on them, so nothing here says how good it is: cross_validation.json does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lgg_demo import evaluate
from lgg_demo.reading.sequences import out_of_order
from lgg_demo.train.data import index_dataset, read_patient

DATA = os.environ.get("LGG_DEMO_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="LGG_DEMO_DATA names no kaggle_3m folder")
PATIENTS = ("TCGA_CS_6667_20011105", "TCGA_DU_5849_19950405", "TCGA_FG_5964_20010511", "TCGA_HT_7693_19950520")


def test_shipped_weights_on_four_patients(tmp_path: Path) -> None:
    patients = tmp_path / "patients.csv"
    patients.write_text("patient\n" + "\n".join(PATIENTS) + "\n")
    assert evaluate.main(["--data", str(DATA), "--patients", str(patients), "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["patients"] == len(PATIENTS)
    assert min(p["dice"] for p in metrics["per_patient"]) >= 0.8, metrics["per_patient"]


def test_swapped_sequences_are_told(tmp_path: Path) -> None:
    """Real sequences in order raise no word; exchanged they do."""
    warned = []
    for name in PATIENTS:
        scan, _ = read_patient(index_dataset(Path(str(DATA)), [name]))
        if (scan.pixels[..., 0] == scan.pixels[..., 1]).all() or (scan.pixels[..., 2] == scan.pixels[..., 1]).all():
            continue
        warned.append(
            (
                out_of_order(scan.pixels),
                out_of_order(scan.pixels[..., [1, 0, 2]]) or out_of_order(scan.pixels[..., [0, 2, 1]]),
            )
        )
    assert warned and not any(straight for straight, _ in warned)
    assert sum(swapped for _, swapped in warned) >= len(warned) - 1

"""Synthetic patients, which the page opens for whoever has no images at hand. See NOTICE beside this file.

Made by `python -m lgg_demo.experiments.synthetic_patients`; nothing in them comes from a patient.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
FACTS = HERE / "facts.json"  # what is true of each visit: months after the first, volume, how the head lies
PATIENTS = ("growing", "two_lesions", "healthy")  # folders; the first is open when the page comes


def files_of(patient: str) -> list[Path]:
    """The files of one of PATIENTS, all visits. Raises ValueError for any other name."""
    if patient not in PATIENTS:
        raise ValueError(f"no such synthetic patient: {patient}")
    return sorted((HERE / patient).glob("*.nii.gz"))


def months_of(patient: str) -> list[float]:
    """When each visit of one of PATIENTS was, in months after the first."""
    return [visit["months"] for visit in json.loads(FACTS.read_text(encoding="utf-8"))[patient]]

"""Make the synthetic patients that the page shows: `python -m lgg_demo.experiments.synthetic_patients --wheel FILE`.

Each is a `Head`, laid into a scanner and seen in three sequences of 5 mm slices, as a hospital has them.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import tyro
from scipy import ndimage

from lgg_demo.atomic import write_json, write_whole
from lgg_demo.command import Folder, run
from lgg_demo.experiments.synthetic_head import Head, Lesion, Noise, read_atlas
from lgg_demo.page.patients import FACTS, PATIENTS

THICK = 5  # mm of a slice
SLICES, ROWS, COLUMNS = 24, 222, 186
CORNER = (-92.5, -130.0, -28.0)  # mm of the first voxel, in the scanner
SPECK_ML = 0.1
LEVELS = 90  # of the file, for a signal of 1
FLOOR = {"flair": 3, "pre": 2, "post": 2}  # what the scanner takes for the noise of air, and writes as 0
NOISE = {"flair": 0.009, "pre": 0.007, "post": 0.007}  # standard deviation
ENDINGS = {"flair": "FLAIR", "pre": "T1w", "post": "ce-gadolinium_T1w", "mask": "label-lesion_mask"}  # as BIDS has them


@dataclass(frozen=True)
class Pose:
    """How a head lies in the scanner: turned by degrees about the axes to the right, front and top, then moved by mm."""

    degrees: tuple[float, float, float]
    mm: tuple[float, float, float]

    def __call__(self) -> np.ndarray:
        """(4, 4) from mm in the scanner to mm in the head."""
        turn = np.eye(3)
        for axis, angle in enumerate(np.radians(self.degrees)):
            one = np.eye(3)
            a, b = (axis + 1) % 3, (axis + 2) % 3
            one[a, a] = one[b, b] = np.cos(angle)
            one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
            turn = one @ turn
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turn, self.mm
        return matrix


@dataclass(frozen=True)
class Visit:
    """One examination, so many months after the first; volumes of the patient's lesions then, in mL."""

    months: int
    volumes_ml: tuple[float, ...]
    pose: Pose


@dataclass(frozen=True)
class Patient:
    """A person with visits. Lesions: without a volume, which each visit has for itself."""

    seed: int
    size: tuple[float, float, float]
    lesions: tuple[Lesion, ...]
    visits: tuple[Visit, ...]


MADE = dict(
    zip(
        PATIENTS,
        (
            Patient(
                seed=11,
                size=(1.01, 0.99, 1.0),
                lesions=(Lesion((36, 4, 34), 0.0, (1.0, 1.25, 0.9), seed=5),),
                visits=(
                    Visit(0, (24.0,), Pose((2.0, -1.0, 1.5), (0.4, -1.3, 0.7))),
                    Visit(9, (31.0,), Pose((5.0, 1.5, -3.0), (2.4, 1.1, -2.2))),
                ),
            ),
            Patient(
                seed=23,
                size=(0.97, 1.0, 0.98),
                lesions=(
                    Lesion((-42, -14, -6), 0.0, (0.9, 1.4, 0.9), seed=8),
                    Lesion((24, 38, 22), 0.0, (0.9, 1.1, 1.0), seed=9),
                ),
                visits=(Visit(0, (21.0, 9.0), Pose((-1.0, 2.0, -2.5), (-0.6, 0.4, 0.3))),),
            ),
            Patient(
                seed=37,
                size=(1.02, 0.96, 1.01),
                lesions=(),
                visits=(Visit(0, (), Pose((3.0, 0.5, 1.0), (0.3, 0.7, -0.6))),),
            ),
        ),
        strict=True,
    )
)


def sampled(volume: np.ndarray, affine: np.ndarray, pose: Pose, order: int) -> np.ndarray:
    """What of a volume on the head's grid lies in each slice: the mean over its thickness, (COLUMNS, ROWS, SLICES) float32.

    order: of the interpolation.
    """
    steps = np.diag([1.0, 1.0, 1.0, 1.0])
    steps[:3, 3] = np.array(CORNER) - [0, 0, (THICK - 1) / 2]
    matrix = np.linalg.inv(affine) @ pose() @ steps
    fine = ndimage.affine_transform(
        volume.astype(np.float32), matrix[:3, :3], matrix[:3, 3], (COLUMNS, ROWS, SLICES * THICK), order=order
    )
    return np.asarray(fine.reshape(COLUMNS, ROWS, SLICES, THICK).mean(axis=-1))


def acquired(signal: np.ndarray, noise: Noise, role: str) -> np.ndarray:
    """A slice's signal as a file has it: shaded by the coil, with the noise of a magnitude image, uint8."""
    shade = 1 + 0.07 * noise.field(60)
    real, imaginary = (
        ndimage.gaussian_filter(noise.random.standard_normal(signal.shape, dtype=np.float32), (0.6, 0.6, 0))
        for _ in range(2)
    )
    scale = NOISE[role] / float(real.std())
    magnitude = np.hypot(np.clip(signal, 0, None) * shade + scale * real, scale * imaginary)
    levels = np.clip(np.round(magnitude * LEVELS), 0, 255)
    return np.where(levels > FLOOR[role], levels, 0).astype(np.uint8)


def examined(
    maps: dict[str, np.ndarray], affine: np.ndarray, patient: Patient, number: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The role and the voxels (uint8) of each file of a visit; of a mask 1 is lesion, and without one there is no mask."""
    visit = patient.visits[number]
    lesions = [
        Lesion(one.centre, volume, one.shape, one.seed)
        for one, volume in zip(patient.lesions, visit.volumes_ml, strict=True)
    ]
    head = Head(maps, affine, patient.seed, patient.size, lesions=tuple(lesions))
    noise = Noise((COLUMNS, ROWS, SLICES), patient.seed + 1000 * (number + 1))
    for role, signal in head.signals().items():
        yield role, acquired(sampled(signal, affine, visit.pose, 3), noise, role)
    if lesions:
        yield "mask", without_specks(sampled(head.lesion, affine, visit.pose, 1) >= 0.5).astype(np.uint8)


def without_specks(mask: np.ndarray) -> np.ndarray:
    """A mask (bool) without what its thick slices have cut off from a lesion."""
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    return np.asarray(np.isin(labels, 1 + np.flatnonzero(sizes * THICK / 1000 >= SPECK_ML)))


def write_nifti(path: Path, voxels: np.ndarray) -> None:
    """Voxels as NIfTI, the same bytes at each run."""
    affine = np.diag([1.0, 1.0, float(THICK), 1.0])
    affine[:3, 3] = CORNER
    image = nib.Nifti1Image(voxels, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"synthetic, no patient"
    write_whole(path, gzip.compress(image.to_bytes(), 9, mtime=0))


def made(name: str, patient: Patient, maps: dict[str, np.ndarray], affine: np.ndarray, out: Path) -> list[dict[str, Any]]:
    """Write a patient's files into `out`; what is true of each visit."""
    facts = []
    for number, visit in enumerate(patient.visits):
        fact: dict[str, Any] = {"months": visit.months, "lesions": len(patient.lesions), "volume_ml": 0.0}
        fact |= {"turned_degrees": visit.pose.degrees, "moved_mm": visit.pose.mm}
        for role, voxels in examined(maps, affine, patient, number):
            write_nifti(out / f"sub-synthetic{name}_ses-{number + 1}_{ENDINGS[role]}.nii.gz", voxels)
            if role == "mask":
                fact["volume_ml"] = round(int(voxels.sum()) * THICK / 1000, 3)
        facts.append(fact)
    return facts


@dataclass(frozen=True)
class PatientsSettings:
    """Make the synthetic patients that the page shows from the ICBM 2009a average brain.

    Its maps are read from nilearn's wheel: `pip download nilearn==0.12.1 --no-deps`. The wheel is not needed otherwise.
    """

    wheel: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """nilearn's wheel, version 0.12.1"""
    out: Folder = FACTS.parent
    """where the patients go, a folder each, with facts.json beside them"""


def write_patients(given: PatientsSettings) -> int:
    """What the command does; returns its exit code."""
    maps, affine = read_atlas(given.wheel)
    facts = {}
    for number, (key, patient) in enumerate(MADE.items(), 1):
        folder = given.out / key
        folder.mkdir(parents=True, exist_ok=True)
        facts[key] = made(str(number), patient, maps, affine, folder)
        print(f"{key}: " + ", ".join(f"{one['volume_ml']:.1f} mL" for one in facts[key]))
    write_json(given.out / FACTS.name, facts)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("experiments.synthetic_patients", PatientsSettings, write_patients, arguments)


if __name__ == "__main__":
    sys.exit(main())

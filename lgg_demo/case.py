"""The nouns of reading and segmenting: arrays and headers, without any file format. And the errors, as a tree:

LggDemoError            whatever a user can mend, in one sentence
  ReadError             a file that cannot be used, in any language
  ManifestError         a manifest that cannot be followed            reading.manifest
  CheckpointError       weights or a record that cannot be served     network.record
  NoSegmentation        headers that no DICOM SEG can refer to        output.dicom_frames
  DicomError            an archive, or the way to it                  dicom.archive
  DatasetError          a dataset that cannot be trained on           train.data

A `Notice` is no error: nothing went wrong.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import Dataset

from lgg_demo.grid import Grid
from lgg_demo.messages import Sentence


class LggDemoError(Exception):
    """Whatever a user can mend."""


class ReadError(LggDemoError):
    """One file that cannot be used. `file` is its name, `sentence` says what is wrong and what to do, in any language."""

    def __init__(self, file: str, key: str, /, **values: object) -> None:
        super().__init__(file, key)  # unpickling calls with these, then sets the attributes
        self.file = file
        self.sentence = Sentence(key, values | {"file": file})

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(frozen=True, init=False)
class Notice:
    """What a user should know of files that were left out on purpose: nothing went wrong."""

    file: str
    sentence: Sentence

    def __init__(self, file: str, key: str, /, **values: object) -> None:
        object.__setattr__(self, "file", file)
        object.__setattr__(self, "sentence", Sentence(key, values | {"file": file}))


@dataclass(frozen=True)
class Scan:
    """A stack of slices read from one or several files of one patient.

    pixels: (S, H, W, 3) float32, in the files' own intensity units, channels pre-contrast / FLAIR / post-contrast.
    files: the file each run of slices came from, in slice order: (name, number of slices).
    name: what all slices share, for display; no patient identity beyond what the user put in the file name.
    grey: the file had one channel, taken as FLAIR. grid: where a volume's slices lie in its own file; None for pictures.
    instances: of a DICOM series the headers, without identity, that a segmentation refers to. frame: of pictures with a
    border, which is as dark as air, the square (top, left, height, width) to be looked at; it may reach beyond them.
    patient: of a DICOM series the attributes of its patient and study, where a site asks for them.
    """

    pixels: np.ndarray
    name: str
    files: tuple[tuple[str, int], ...]
    grey: bool = False
    grid: Grid | None = None
    instances: tuple[Dataset, ...] = ()
    frame: tuple[int, int, int, int] | None = None
    patient: Dataset | None = field(default=None, repr=False)

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Millimetres between slices, rows and columns, where those in the plane are known."""
        return self.grid.spacing_mm if self.grid and self.grid.measured else None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every slice in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    @property
    def values_held(self) -> int:
        """How many numbers lie in memory: the three channels of a grey scan share one stack."""
        return self.pixels.size // 3 if self.grey else self.pixels.size

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def __getstate__(self) -> dict[str, Any]:
        """A grey scan is pickled as one stack, which its three channels share."""
        return vars(self) | ({"pixels": np.ascontiguousarray(self.pixels[..., 0])} if self.grey else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        pixels = state["pixels"]
        if state["grey"]:
            pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, 3))
        vars(self).update(state | {"pixels": pixels})


@dataclass(frozen=True)
class Visit:
    """Whose a study is and when it was, as far as its files or their user say it.

    patient: what all visits of one patient share: the subject of a name or a manifest; of DICOM a count. name: what the
    visit is called. date: which no output holds unless it is asked for. months: since the patient's first visit, where a
    user says that instead of a date.
    """

    patient: str
    name: str | None = None
    date: datetime.date | None = None
    months: float | None = None


@dataclass(frozen=True)
class Tracked:
    """What an earlier DICOM object of ours calls a lesion, or the abnormality as a whole.

    identifier, uid: which always go together. study, patient: whose, the patient as `dicom.Head` has it. at: where a lesion
    is: an image by its UID, its frame from 0, and (column, row) of a pixel; None for the whole.
    """

    identifier: str
    uid: str
    study: str
    patient: bytes
    at: tuple[str, int, float, float] | None = None


@dataclass(frozen=True)
class Case:
    """A scan with what is known of its reference.

    reference: (S, H, W) bool, or None where no slice has one; `referenced` (S,) bool says which slices do. A slice
    without a reference is never scored: to take it as empty would be a guess. paths: where the user has its files, inside
    a zip too, to match references by. warnings: what its user should know of the scan; reference_warnings: of the
    reference, which go with it. visit: None where nothing says which patient's others it belongs to. tracked: what
    earlier objects of ours say of the same patient.
    """

    scan: Scan
    paths: tuple[Path, ...]
    reference: np.ndarray | None = None
    referenced: np.ndarray | None = None
    warnings: tuple[Sentence, ...] = ()
    reference_warnings: tuple[Sentence, ...] = ()
    visit: Visit | None = field(default=None, kw_only=True)
    tracked: tuple[Tracked, ...] = field(default=(), kw_only=True)

    @property
    def size(self) -> tuple[int, int]:
        return self.scan.size

    @property
    def slices(self) -> tuple[int, ...]:
        """How many slices each file has."""
        return tuple(slices for _, slices in self.scan.files)


Role = Literal["pre", "flair", "post", "mask", "other"]


@dataclass(frozen=True)
class Volume:
    """One sequence of a study.

    values: (*grid.shape) float32 on the input's own grid, in its own units after rescale. name: what outputs are called:
    a NIfTI's file name without suffix, `series-N` for DICOM; never a patient's. description: what the series says of
    itself (sequence words only), for the user to choose by. role: as its name or description tells. paths: its files in
    slice order. instances: for DICOM the headers that a segmentation must refer to, in the order of the own grid's slice
    axis, with every identity but the UIDs removed, whether one can refer to them or not; empty for NIfTI, and where the
    headers do not say where the slices lie. warnings: what the user should know.
    """

    values: np.ndarray
    grid: Grid
    name: str
    description: str
    role: Role
    paths: tuple[Path, ...]
    instances: tuple[Dataset, ...] = ()
    warnings: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class Found:
    """A volume that a header promises, not yet read.

    role: None where neither name nor description tells. study: what the volumes of one study share (StudyInstanceUID, or
    the file name without the words that tell the sequence). `load` raises ReadError. uids: of a DICOM scan
    those of its series and files; refers_to: those that a DICOM segmentation was drawn on. patient, date: of a DICOM study,
    the patient as `dicom.Head` has it.
    """

    name: str
    description: str
    role: Role | None
    study: str
    paths: tuple[Path, ...]
    grid: Grid
    load: Callable[[], Volume] = field(repr=False)
    dicom: bool = False
    number: int = 0
    warnings: tuple[Sentence, ...] = ()
    uids: frozenset[str] = frozenset()
    refers_to: frozenset[str] = frozenset()
    patient: bytes = b""
    date: datetime.date | None = None

    @property
    def voxels(self) -> int:
        return math.prod(self.grid.shape)


def uids_of(instances: Iterable[Dataset]) -> frozenset[str]:
    """The UIDs of the series and files of some DICOM headers."""
    return frozenset(str(i.get(key, "")) for i in instances for key in ("SeriesInstanceUID", "SOPInstanceUID")) - {""}


@dataclass(frozen=True)
class Listed:
    """One volume of a study as it is shown for correction: `name` is what `choose` takes."""

    name: str
    description: str
    role: Role | None
    slices: int


@dataclass(frozen=True)
class Study(Case):
    """A case read from volumes.

    sequences: every volume that was found; chosen: the name of the one that each role went to. masks: the volumes that are
    its reference, or were said not to be, in which case their role is None.
    """

    sequences: tuple[Listed, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    masks: tuple[Listed, ...] = ()

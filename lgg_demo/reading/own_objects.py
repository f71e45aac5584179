"""DICOM objects of ours among the files of a study: they are no scans, but what they track goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from lgg_demo.case import Notice, ReadError, Tracked
from lgg_demo.reading.archive import Item, Walk
from lgg_demo.reading.dicom import SEGMENTATIONS, patient_of, read_tags
from lgg_demo.reading.limits import IMAGE_SUFFIXES, MOST_DICOM_BYTES
from lgg_demo.reading.pixels import decode
from lgg_demo.reading.tags import item, items, number, numbers, text, uid
from lgg_demo.reading.volumes import guard, one_sentence, opened
from lgg_demo.reading.watch import PICTURE_SECONDS, opening

MANUFACTURER = "LGG Demo"
ABNORMALITY = "FLAIR abnormality"
_BEGINNING = 4096  # bytes of a file, in which its manufacturer stands: no other file is read once more
_READ = (
    "SOPClassUID", "Manufacturer", "PatientID", "StudyInstanceUID", "Rows", "Columns", "SegmentSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ContentSequence",
)  # fmt: skip
_IDENTIFIER = re.compile(rf"{ABNORMALITY}( \d{{1,4}})?")  # another text may be anything, a name too
_MOST_ITEMS, _MOST_SEGMENTS = 20_000, 128  # of a document's tree, and of those that are looked for


@dataclass(frozen=True)
class OwnObject:
    """An earlier object. by_hand: a segmentation that somebody corrected, which is a reference like any other."""

    by_hand: bool
    tracked: tuple[Tracked, ...]


def leave_out_own(found: Walk) -> list[Tracked]:
    """Leave earlier objects of ours out of what was found, and return what they track.

    A segmentation that was corrected by hand is a reference, and so is any where outputs are wanted. Only of a file that
    was named by itself it is said that it is left out: a study that comes from an archive has them all.
    """
    tracked: list[Tracked] = []
    kept: list[Item] = []
    for one in found.items:
        ours = None
        if one.suffix not in IMAGE_SUFFIXES and one.path.is_file():
            opening(one.place, PICTURE_SECONDS)
            with suppress(ReadError, OSError):  # which reading it says as well
                ours = own_object(one.path)
        tracked += ours.tracked if ours else ()
        if ours is None or ours.by_hand or found.outputs:
            kept.append(one)
            continue
        found.skipped.add(one.root)
        if one.named:
            found.notices.append(Notice(one.place.name, "outputs_beside", files=1))
    found.items = kept
    return tracked


def own_object(path: Path) -> OwnObject | None:
    """What a DICOM file of ours says; None of another's. Raises ReadError where it is damaged."""
    with one_sentence(path.name):
        with opened(path) as file:
            if MANUFACTURER.encode() not in file.read(_BEGINNING):
                return None
        guard(path, MOST_DICOM_BYTES)
        ds = read_tags(path, _READ)
        if text(ds, "Manufacturer") != MANUFACTURER:
            return None
        segmentation = uid(ds, "SOPClassUID") in SEGMENTATIONS
        by_hand = any(text(s, "SegmentAlgorithmType") == "SEMIAUTOMATIC" for s in items(ds, "SegmentSequence"))
        return OwnObject(by_hand, tuple(_of_segments(path, ds) if segmentation else _of_measurements(ds)))


def _tracked(ds: Dataset, identifier: str, own_uid: str, at: tuple[str, int, float, float] | None) -> Iterator[Tracked]:
    """One lesion, or the abnormality as a whole, if it is called what we call it."""
    at = None if identifier == ABNORMALITY else at
    if own_uid and _IDENTIFIER.fullmatch(identifier) and (at is None) == (identifier == ABNORMALITY):
        yield Tracked(identifier, own_uid, uid(ds, "StudyInstanceUID"), patient_of(ds), at)


def _of_segments(path: Path, ds: Dataset) -> Iterator[Tracked]:
    """What a segmentation tracks, of a lesion with a pixel inside it."""
    frames: dict[int, list[tuple[int, Dataset]]] = {}
    shared = _segment_of(item(ds, "SharedFunctionalGroupsSequence"), -1)  # where there is one segment alone
    for n, group in enumerate(items(ds, "PerFrameFunctionalGroupsSequence")):
        frames.setdefault(_segment_of(group, shared), []).append((n, group))
    segments = list(items(ds, "SegmentSequence"))[:_MOST_SEGMENTS]
    lesions = {int(number(s, "SegmentNumber", -2)) for s in segments if text(s, "TrackingID") != ABNORMALITY}
    middle = {of: own[len(own) // 2] for of, own in frames.items() if of in lesions}
    size = int(number(ds, "Rows")), int(number(ds, "Columns"))
    pixels = decode(path, [n for n, _ in middle.values()], size) if middle else ()
    places = {of: _place_in(frame, group) for (of, (_, group)), frame in zip(middle.items(), pixels, strict=True)}
    for segment in segments:
        at = places.get(int(number(segment, "SegmentNumber", -2)))
        yield from _tracked(ds, text(segment, "TrackingID"), uid(segment, "TrackingUID"), at)


def _place_in(frame: np.ndarray, group: Dataset) -> tuple[str, int, float, float] | None:
    """The pixel of a segment's frame that is closest to its middle, in its source."""
    source = item(item(group, "DerivationImageSequence"), "SourceImageSequence")
    if not (inside := np.argwhere(frame)).size:
        return None
    row, column = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()].tolist()
    return _file_of(source), _frame_of(source), column, row


def _of_measurements(ds: Dataset) -> Iterator[Tracked]:
    """What measurements track, of a lesion once for the middle and each end of its longest diameter."""
    for group in _groups(ds):
        said = {text(item(i, "ConceptNameCodeSequence"), "CodeValue"): i for i in items(group, "ContentSequence")}
        identifier, own_uid = said.get("112039"), said.get("112040")
        line = item(said.get("103339001"), "ContentSequence")
        source = item(item(line, "ContentSequence"), "ReferencedSOPSequence")
        points: list[tuple[str, int, float, float] | None] = [None]
        ends = numbers(line, "GraphicData", 4)
        if ends is not None and text(line, "ValueType") == "SCOORD":
            first, last = ends.reshape(2, 2) - 0.5
            on = ((first + last) / 2, first, last)  # the middle may lie in a notch
            points = [(_file_of(source), _frame_of(source), float(x), float(y)) for x, y in on]
        for at in points:
            yield from _tracked(ds, text(identifier, "TextValue"), uid(own_uid, "UID"), at)


def _groups(ds: Dataset) -> Iterator[Dataset]:
    """The measurement groups of a document."""
    left, seen = list(items(ds, "ContentSequence")), 0
    while left and seen < _MOST_ITEMS:
        one, seen = left.pop(0), seen + 1
        if text(item(one, "ConceptNameCodeSequence"), "CodeValue") == "125007":
            yield one
        elif text(one, "ValueType") == "CONTAINER":
            left += items(one, "ContentSequence")


def _segment_of(group: Dataset | None, default: int) -> int:
    return int(number(item(group, "SegmentIdentificationSequence"), "ReferencedSegmentNumber", default))


def _file_of(source: Dataset | None) -> str:
    return uid(source, "ReferencedSOPInstanceUID")


def _frame_of(source: Dataset | None) -> int:
    """From 0."""
    return max(0, int(number(source, "ReferencedFrameNumber", 1)) - 1)

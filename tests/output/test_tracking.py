"""A lesion keeps its tracking UID: from an earlier SEG or SR of ours, and from visit to visit."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import segmentation
from dicom_study import SHAPE, DicomStudy, study, two_lesions
from helpers import read

from lgg_demo.case import Visit
from lgg_demo.output.result import result_of
from lgg_demo.output.tracking import Tracking, Tracks, _over_visits, derived_uid, tracked, tracks_of
from lgg_demo.reading.own_objects import MANUFACTURER, own_object

__all__ = ["study"]  # fixture
KINDS = {"seg": ["*_seg.dcm"], "sr": ["*_sr.dcm"], "all": ["**/*.dcm"]}


def beside(study: DicomStudy, folder: Path, made: Path, patterns: list[str]) -> Path:
    """The series in a folder, with objects that were made of it before."""
    folder.mkdir()
    for path in (*study.sources, *(p for pattern in patterns for p in made.glob(pattern))):
        shutil.copy(path, folder / f"{path.parent.name}_{path.name}")
    return folder


def grown() -> np.ndarray:
    """The lesions as other weights would outline them: the small one is the larger one now."""
    mask = two_lesions()
    mask[2] = mask[3, 18:20] = mask[4, :, 15:29] = False
    mask[7:11, 38:62, 33:50] = True
    return mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("segments", ["whole", "lesions"])
def test_what_earlier_objects_track_goes_on(study: DicomStudy, tmp_path: Path, kind: str, segments: str) -> None:
    before = study.write(tmp_path / "made", keep=True, segments=segments)
    (case,), errors, notices = read([beside(study, tmp_path / "in", tmp_path / "made", KINDS[kind])])
    assert not errors and not notices and case.reference is None, "ours are neither images nor a reference"
    own = tracks_of(study.result, 0.5)
    later = tracks_of(result_of(case, np.uint8(grown()) * 255), 0.5)
    by_sources = [tracks_of(dataclasses.replace(study.result, probability=np.uint8(grown()) * 255), 0.5)]
    assert all(t.uid not in {u.uid for u in own.lesions} for t in by_sources[0].lesions), "voxels alone would not do"
    if segments == "whole":
        assert later.whole.uid == own.whole.uid == before["seg"].SegmentSequence[0].TrackingUID
    if segments == "lesions" or kind != "seg":
        assert [(t.identifier, t.uid) for t in later.lesions] == [(t.identifier, t.uid) for t in own.lesions[::-1]]


def test_a_new_lesion_has_a_number_that_none_has(study: DicomStudy, tmp_path: Path) -> None:
    study.with_mask(two_lesions() & (np.arange(SHAPE[0]) > 6)[:, None, None]).write(tmp_path / "made", segments="lesions")
    (case,), _, _ = read([beside(study, tmp_path / "in", tmp_path / "made", KINDS["seg"])])
    tracks = tracks_of(result_of(case, np.uint8(two_lesions()) * 255), 0.5)
    assert [t.identifier for t in tracks.lesions] == ["FLAIR abnormality 2", "FLAIR abnormality 1"]


def test_of_another_patient_nothing_goes_on(study: DicomStudy, tmp_path: Path) -> None:
    study.write(tmp_path / "made")
    folder = beside(study, tmp_path / "in", tmp_path / "made", [])
    for path in (tmp_path / "made").glob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.StudyInstanceUID, ds.PatientID = "1.2.3", "another"
        ds.save_as(folder / path.name)
    (case,), _, _ = read([folder])
    assert case.tracked == ()


def test_what_a_hand_corrected_is_a_reference(study: DicomStudy, tmp_path: Path) -> None:
    study.write(tmp_path / "made", kinds=("seg",))
    path = tmp_path / "made" / "series-3_seg.dcm"
    ds = pydicom.dcmread(path)
    ds.SegmentSequence[0].SegmentAlgorithmType = "SEMIAUTOMATIC"
    ds.save_as(path)
    (case,), errors, _ = read([beside(study, tmp_path / "in", tmp_path / "made", KINDS["seg"])])
    assert not errors and case.reference is not None and case.tracked
    np.testing.assert_array_equal(case.reference, two_lesions())


def test_a_segmentation_given_as_reference_is_one(study: DicomStudy, tmp_path: Path) -> None:
    study.write(tmp_path / "made", kinds=("seg",))
    (case,), errors, _ = read(list(study.sources), [tmp_path / "made" / "series-3_seg.dcm"])
    assert not errors and case.reference is not None and case.reference.sum() == two_lesions().sum()


def test_a_file_of_ours_that_is_named_is_said_to_be_left_out(study: DicomStudy, tmp_path: Path) -> None:
    study.write(tmp_path / "made", kinds=("seg",))
    _, errors, notices = read([*study.sources, tmp_path / "made" / "series-3_seg.dcm"])
    assert not errors and [n.sentence.key for n in notices] == ["outputs_beside"]


def test_only_what_we_call_a_lesion_is_taken_over(study: DicomStudy, tmp_path: Path) -> None:
    """Whoever wrote a file under our name: its identifiers may be anything, a name too."""
    study.write(tmp_path / "made", segments="lesions")
    for name in ("series-3_seg.dcm", "series-3_sr.dcm"):
        path = tmp_path / "made" / name
        path.write_bytes(path.read_bytes().replace(b"FLAIR abnormality 1", b"PLANTED^Name^Person"))
        found = own_object(path)
        assert found is not None and {t.identifier for t in found.tracked} == {"FLAIR abnormality 2"}
    by_others = segmentation(tmp_path, list(study.sources), two_lesions())
    assert own_object(by_others) is None
    ds = pydicom.dcmread(by_others)
    ds.Manufacturer, ds.SeriesDescription = f"not {MANUFACTURER}", MANUFACTURER
    ds.save_as(by_others)
    assert own_object(by_others) is None


# Visits


def follow_up(*lesions: list[list[int]]) -> list[dict[str, object]]:
    """What a report says of matched lesions: for each the numbers of its parts at each visit."""
    return [{"lesions": [{"visits": [{"parts": parts} for parts in lesion]} for lesion in lesions]}]


def test_matched_lesions_share_what_they_are_tracked_as(study: DicomStudy) -> None:
    masks = [two_lesions(), grown()]
    masks[1][0, 5:8, 5:8] = True  # a new one, the third
    results = [
        dataclasses.replace(
            study.result, probability=np.uint8(mask) * 255, visit=Visit("patient 1", months=6.0 * n), tracked=()
        )
        for n, mask in enumerate(masks)
    ]
    own = [tracks_of(result, 0.5) for result in results]
    first, later = tracked(results, 0.5, follow_up([[1], [2]], [[2], [1]], [[], [3]]))
    assert first is not None and later is not None
    assert first.whole == later.whole == own[0].whole
    assert first.lesions == own[0].lesions and later.lesions[:2] == own[0].lesions[::-1]
    assert later.lesions[2] == Tracking("FLAIR abnormality 3", own[1].lesions[2].uid)
    assert [(t.visit.label, t.visit.order, t.visit.months) for t in (first, later) if t.visit] == [("1", 1, 0), ("2", 2, 6)]
    split, _ = tracked(results, 0.5, follow_up([[1, 2], [1, 2, 3]]))
    assert split is not None and len(set(split.lesions)) == 1, "the parts of one lesion are one"
    unmatched = tracked(results, 0.5, follow_up())
    assert [t.whole for t in unmatched if t] == [own[0].whole] * 2 and [t.lesions for t in unmatched if t] == [
        t.lesions for t in own
    ]


def test_an_earlier_object_of_a_later_visit_names_the_lesion_at_all(study: DicomStudy) -> None:
    known = Tracking("FLAIR abnormality 7", "1.2.3", earlier=True)
    results = [dataclasses.replace(study.result, visit=Visit("p", months=float(n))) for n in range(2)]
    tracks = [tracks_of(r, 0.5) for r in results]
    tracks[1] = Tracks(Tracking("FLAIR abnormality", "1.2.4", True), (tracks[1].lesions[0], known))
    over = _over_visits(tracks, follow_up([[1], [1]], [[2], [2]])[0]["lesions"])  # type: ignore[arg-type]
    assert over[0][1] == over[1][1] == known and over[0][0] == over[1][0] == tracks[0].lesions[0]


def test_derived_uids_tell_lists_of_parts_apart() -> None:
    uids = {derived_uid("ab", "c"), derived_uid("a", "bc"), derived_uid("abc"), derived_uid(b"abc", "")}
    assert len(uids) == 4 and derived_uid("abc") == derived_uid(b"abc")

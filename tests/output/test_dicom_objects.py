"""The DICOM objects of a result: figures, references, tracking, whose they are, and UIDs that stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_study import PATIENT, SHAPE, DicomStudy, read_study, study, two_lesions
from drawn_results import IDENTITY, series, subject_of, volume_result
from pydicom import Dataset
from test_dicom_seg import dciodvfy

from lgg_demo import predict
from lgg_demo.case import LggDemoError
from lgg_demo.messages import Sentence, say
from lgg_demo.output.dicom import KINDS, DicomChoice, write_dicom
from lgg_demo.output.dicom_capture import capture_of
from lgg_demo.output.dicom_frames import frames_of_source
from lgg_demo.output.dicom_sr import measurements_of
from lgg_demo.output.display import BLUE
from lgg_demo.output.edits import changes
from lgg_demo.output.report import build_report, report_of
from lgg_demo.output.result import ADDED

__all__ = ["study"]  # fixture
PATIENT_TAGS = (*PATIENT, "StudyInstanceUID")


def items(ds: Dataset) -> Iterator[Dataset]:
    """All content items of an SR."""
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items(item)


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def groups_of(sr: Dataset) -> list[dict[str, Any]]:
    """The measurement groups of an SR: what each item of it says, by its name; of a number also its coordinates."""
    found = []
    for group in (i for i in items(sr) if i.ValueType == "CONTAINER" and meaning(i) == "Measurement Group"):
        said: dict[str, Any] = {}
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                said[meaning(item)] = float(item.MeasuredValueSequence[0].NumericValue)
                unit = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue
                said[f"{meaning(item)} unit"] = unit
                said[f"{meaning(item)} line"] = next(iter(item.get("ContentSequence", [])), None)
            else:
                said[meaning(item)] = item.get("TextValue") or item.get("UID") or item.get("ConceptCodeSequence")
        found.append(said)
    return found


def label_at(mask: np.ndarray, study: DicomStudy, line: Dataset) -> list[bool]:
    """Whether the mask is on one side of each end of a line, which lies on the outer edge of a pixel."""
    (source,) = line.ContentSequence[0].ReferencedSOPSequence
    frame = [i.SOPInstanceUID for i in study.result.instances].index(source.ReferencedSOPInstanceUID)
    ends = np.reshape(line.GraphicData, (2, 2)) - 0.5  # (column, row); the standard's first pixel has its middle at 0.5
    around = [{(int(np.floor(r + d)), int(np.floor(c + d))) for d in (0.0, 0.5)} for c, r in ends]
    return [any(mask[frame, row, column] for row, column in pixels) for pixels in around]


def test_measurements_are_the_report_s_to_the_digit(study: DicomStudy, tmp_path: Path) -> None:
    report, mask = study.report(), two_lesions()
    lesions = [mask.copy(), mask.copy()]
    lesions[0][8:], lesions[1][:8] = False, False
    for segments in ("whole", "lesions"):
        made = study.write(tmp_path / segments, segments=segments)
        tracked = {s.TrackingUID: s.TrackingID for s in made["seg"].SegmentSequence}
        if segments == "whole":  # of several lesions it has no group: its axes would be drawn over those of one of them
            tracked = {}
            comments = [i.TextValue for i in items(made["sr"]) if i.ValueType == "TEXT" and meaning(i) == "Comment"]
            assert comments[0] == f"{report['images'][0]['volume_ml']:.4f} mL in 2 lesions in all."
        groups = groups_of(made["sr"])
        volumes, axes = [g for g in groups if "Volume" in g], [g for g in groups if "Long Axis" in g]
        each = report["series"][0]["lesions"]
        assert [g["Volume"] for g in volumes] == [m["volume_ml"] for m in each]
        for group, wanted in zip(axes, each, strict=True):
            lines = wanted["diameters_mm"]
            assert (group["Long Axis"], group["Short Axis"]) == (lines["longest"], lines["perpendicular"])
            assert (group["Volume unit"] if "Volume" in group else "mL", group["Long Axis unit"]) == ("mL", "mm")
        referring = [g for g in groups if "Referenced Segment" in g]
        assert {g["Tracking Unique Identifier"]: g["Tracking Identifier"] for g in referring} == tracked
        uids = [g["Tracking Unique Identifier"] for g in groups]
        assert [uids.count(uid) for uid in tracked] == [2] * len(tracked), (
            "a volume's group and its axes', as OHIF shows them"
        )
        assert all(uids[n] == uids[n + 1] for n in range(0, 2 * len(tracked), 2))
        for group, lesion in zip(axes[-2:], lesions, strict=True):
            assert label_at(lesion, study, group["Long Axis line"]) == [True, True]
        assert all(g["Algorithm Name"] == "lgg-unet" and g["Algorithm Version"] == "ab12" * 4 for g in groups)
        (method,) = axes[-2]["Measurement Method"]
        assert (method.CodeValue, method.CodeMeaning) == ("C114879", "RANO")
        assert "Measurement Method" not in axes[-1] or each[1]["diameters_mm"]["perpendicular"] >= 10


def test_references_and_warnings(study: DicomStudy, tmp_path: Path) -> None:
    warned = Sentence("flair_several", {"file": "series-3", "count": 2})
    own = dataclasses.replace(study, result=dataclasses.replace(study.result, warnings=(warned,)))
    for language in ("en", "fr"):
        made = own.write(tmp_path / language, language=language)
        comments = [i.TextValue for i in items(made["sr"]) if i.ValueType == "TEXT" and meaning(i) == "Comment"]
        assert comments[1:] == [say("not_for_diagnosis", language), warned.say(language)]
    (evidence,) = made["sr"].CurrentRequestedProcedureEvidenceSequence
    referred = {s.SeriesInstanceUID: len(s.ReferencedSOPSequence) for s in evidence.ReferencedSeriesSequence}
    assert referred == {study.result.instances[0].SeriesInstanceUID: SHAPE[0], made["seg"].SeriesInstanceUID: 1}
    assert made["pdf"].EncapsulatedDocument[:5] == b"%PDF-" and "diagnosis" in made["pdf"].SeriesDescription
    assert len({ds.SeriesInstanceUID for ds in made.values()}) == 4, "a series of each"


def test_one_lesion_is_measured_by_its_segment(study: DicomStudy, tmp_path: Path) -> None:
    own = study.with_mask(two_lesions() & (np.arange(SHAPE[0]) < 6)[:, None, None])
    made = own.write(tmp_path)
    volume, axes = groups_of(made["sr"])
    (segment,) = made["seg"].SegmentSequence
    assert volume["Volume"] == own.report()["images"][0]["volume_ml"] and "Long Axis" in axes
    for group in (volume, axes):
        assert group["Tracking Unique Identifier"] == segment.TrackingUID
        assert group["Tracking Identifier"] == segment.TrackingID


def test_each_object_says_what_made_it_and_when(study: DicomStudy, tmp_path: Path) -> None:
    made = study.write(tmp_path)
    for ds in made.values():
        (equipment,) = ds.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102" and ds.Manufacturer == "LGG Demo"
        assert (ds.SeriesDate, ds.SeriesTime) == (ds.ContentDate, ds.ContentTime)
    assert len({ds.ContributingEquipmentSequence[0].DeviceUID for ds in made.values()}) == 1


def test_nothing_abnormal_is_measured_as_nothing(study: DicomStudy, tmp_path: Path) -> None:
    made = study.with_mask(np.zeros(SHAPE, bool)).write(tmp_path, segments="lesions")
    (group,) = groups_of(made["sr"])
    assert group["Volume"] == 0 and made["seg"].NumberOfFrames == SHAPE[0]
    for path in tmp_path.glob("*.dcm"):
        dciodvfy(path)


@pytest.mark.parametrize("orientation", ["sagittal", "tilted"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_axes_lie_on_their_image_or_in_space(tmp_path: Path, orientation: str, enhanced: bool) -> None:
    """The stack is axial: a line of it lies across the images of a sagittal series."""
    instances, grid = series(orientation, enhanced)
    own = np.zeros(grid.shape, bool)
    own[2:7, 3:9, 1:4] = True
    subject = subject_of(grid.to_stack(own), grid, instances)
    sr = measurements_of(subject)
    sr.save_as(tmp_path / "a.dcm")
    lines = [g["Long Axis line"] for g in groups_of(sr) if "Long Axis" in g]
    assert [line.ValueType for line in lines] == ["SCOORD3D" if orientation == "sagittal" else "SCOORD"]
    if orientation == "tilted":
        (image,) = lines[0].ContentSequence[0].ReferencedSOPSequence
        assert ("ReferencedFrameNumber" in image) == enhanced
        (column, row), _ = np.reshape(lines[0].GraphicData, (2, 2))
        assert 2 <= column <= 7 and 3 <= row <= 9
    else:
        inside = np.linalg.inv(grid.affine) @ [*(np.array(lines[0].GraphicData[:3]) * [-1, -1, 1]), 1]
        assert (inside[:3] >= [1.4, 2.4, 0.4]).all() and (inside[:3] <= [6.6, 8.6, 3.6]).all()
    assert not any(str(v).encode() in (tmp_path / "a.dcm").read_bytes() for v in IDENTITY.values() if len(str(v)) > 3)
    dciodvfy(tmp_path / "a.dcm")
    capture = capture_of(subject, 1, np.zeros(subject.result.size, np.uint8))
    assert ("SourceImageSequence" in capture) == (orientation == "tilted"), "across the images it is of none"
    capture.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    dciodvfy(tmp_path / "b.dcm")


def test_points_on_the_grid_are_pixels_of_their_frame() -> None:
    instances, grid = series("prone")
    frames = frames_of_source(grid, instances)
    place = np.argwhere(np.ones(grid.shape))[::7]
    volume = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    for point in place:
        found = frames.pixels(point[None])
        assert found is not None
        frame, ((column, row),) = found
        assert frames.of(volume)[frame, row, column] == volume[tuple(point)]
    assert frames.pixels(np.array([[0, 0, 0], [0, 0, 1]])) is None, "two frames"


# Captures


def test_a_capture_shows_the_outline_and_says_what_it_is(study: DicomStudy, tmp_path: Path) -> None:
    study.write(tmp_path)
    made = [pydicom.dcmread(path) for path in sorted((tmp_path / "series-3_capture").iterdir())]
    assert len({(one.SeriesInstanceUID, one.SeriesDate, one.SeriesTime) for one in made}) == 1
    assert [ds.InstanceNumber for ds in made] == list(range(1, SHAPE[0] + 1))
    assert len({ds.SOPInstanceUID for ds in made}) == SHAPE[0] and len({ds.SeriesInstanceUID for ds in made}) == 1
    outlined = [bool((ds.pixel_array == BLUE).all(axis=-1).any()) for ds in made]
    assert outlined == two_lesions().any(axis=(1, 2)).tolist()
    sources = [ds.SourceImageSequence[0].ReferencedSOPInstanceUID for ds in made]
    assert sources == [instance.SOPInstanceUID for instance in study.result.instances]
    ds = made[3]
    assert ds.pixel_array.shape == (ds.Rows, ds.Columns, 3) and ds.Columns == 320
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY"] and "not for diagnosis" in ds.SeriesDescription
    assert ds.BurnedInAnnotation == "NO", "nobody's name: the standard's meaning of it"
    assert "PixelSpacing" not in ds, "nothing is to be measured on it"
    assert (ds.pixel_array[-15:] > 200).all(axis=-1).any(), "a label below the picture"
    _, columns = np.nonzero((ds.pixel_array[:-22] == BLUE).all(axis=-1))
    scale = ds.Columns / SHAPE[2]
    assert (columns.min() / scale, columns.max() / scale) == pytest.approx((15, 30), abs=0.5)
    burned = dataclasses.replace(study.result, warnings=(Sentence("burned_in", {"file": "series-3"}),))
    own = dataclasses.replace(study, result=burned).write(tmp_path / "burned")
    assert own["capture"].BurnedInAnnotation == own["pdf"].BurnedInAnnotation == "YES"


# Whose they are


def test_without_being_asked_nobody_is_named(study: DicomStudy, tmp_path: Path) -> None:
    for ds in study.write(tmp_path).values():
        assert not any(ds.get(keyword) for keyword in PATIENT if keyword != "SpecificCharacterSet")
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*.dcm"))
    for said in (v for k, v in PATIENT.items() if k not in ("PatientSex", "StudyID", "StudyTime", "SpecificCharacterSet")):
        for charset in ("latin-1", "utf-8"):
            assert said.strip().encode(charset) not in content


@pytest.mark.parametrize("language", ["en", "fr"])
def test_on_request_all_of_patient_and_study_goes_along(study: DicomStudy, tmp_path: Path, language: str) -> None:
    source = pydicom.dcmread(study.sources[0])
    made = study.write(tmp_path, keep=True, language=language)
    assert tuple(made) == KINDS
    for kind, ds in made.items():
        for keyword in PATIENT_TAGS:
            assert ds[keyword].value == source[keyword].value, f"{kind}: {keyword}"
        assert ds.PatientID == " Ø-7", "a blank before it is part of it, one behind it is padding"
        assert "PLANTED" not in str(ds)
    for path in tmp_path.glob("*.dcm"):
        dciodvfy(path)


def test_a_study_without_a_character_set_is_told_in_utf_8(tmp_path: Path) -> None:
    plain = {"PatientName": "Doe^Jane", "PatientID": "7", "StudyDescription": "MR", "ReferringPhysicianName": ""}
    own = read_study(tmp_path / "in", two_lesions(), plain)
    made = own.write(tmp_path / "out", keep=True, language="fr")
    assert {ds.SpecificCharacterSet for ds in made.values()} == {"ISO_IR 192"}
    assert {str(ds.PatientName) for ds in made.values()} == {"Doe^Jane"}
    comments = [i.TextValue for i in items(made["sr"]) if i.ValueType == "TEXT" and meaning(i) == "Comment"]
    assert comments[1] == say("not_for_diagnosis", "fr"), "accents and all"


def test_the_command_keeps_the_patient_on_request_alone(study: DicomStudy, run: Path, tmp_path: Path) -> None:
    for out, flags, number in (("private", [], ""), ("kept", ["--keep-patient"], " Ø-7")):
        arguments = [str(study.sources[0].parent), "--checkpoint", str(run), "--out", str(tmp_path / out), *flags]
        assert predict.main([*arguments, "--dicom", "seg", "sr"]) == 0
        made = sorted((tmp_path / out).rglob("*.dcm"))
        assert [p.name for p in made] == ["series-3_seg.dcm", "series-3_sr.dcm"]
        assert {pydicom.dcmread(path).PatientID for path in made} == {number}
        report = (tmp_path / out / "report.json").read_bytes()
        assert "Jörg".encode() not in report and b'"capture"' not in report


def test_measurements_without_a_segmentation_are_refused() -> None:
    with pytest.raises(LggDemoError, match="sr needs seg"):
        DicomChoice(("sr", "pdf"))


# UIDs


def uids(made: dict[str, Dataset]) -> dict[str, tuple[str, str]]:
    return {kind: (ds.SOPInstanceUID, ds.SeriesInstanceUID) for kind, ds in made.items()}


def test_the_same_result_has_the_same_uids_and_another_has_others(study: DicomStudy, tmp_path: Path) -> None:
    first = uids(study.write(tmp_path / "1"))
    assert uids(study.write(tmp_path / "2")) == first
    moved = two_lesions()
    moved[3, 18, 20] = False
    others = [
        uids(study.with_mask(moved).write(tmp_path / "3")),
        uids(study.write(tmp_path / "4", keep=True)),
        uids(study.write(tmp_path / "5", segments="lesions")),
    ]
    every = [uid for made in (first, *others) for pair in made.values() for uid in pair]
    assert len(set(every)) == len(every), "no two objects that differ share one"
    french = uids(study.write(tmp_path / "6", language="fr"))
    assert french["seg"] == first["seg"] and all(french[kind] != first[kind] for kind in ("sr", "pdf", "capture"))
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in every)


def test_corrected_outlines_are_semiautomatic_and_said_to_be(study: DicomStudy, tmp_path: Path) -> None:
    edits = np.zeros(SHAPE, np.uint8)
    edits[8:10, 50:55, 33:40] = ADDED
    result = dataclasses.replace(study.result, edits=edits)
    assert changes(result, 0.5)[0].sum() == 70
    own = dataclasses.replace(study, result=result)
    report = build_report([result], 0.5, {"name": "m"})
    files, failures = write_dicom(result, report, tmp_path, own.picture)
    assert not failures and files[0].name == "series-3_corrected_seg.dcm"
    seg, sr = pydicom.dcmread(files[0]), pydicom.dcmread(files[1])
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert any("corrected" in i.get("TextValue", "") for i in items(sr))


def test_what_is_no_dicom_series_has_no_objects(tmp_path: Path) -> None:
    result = volume_result(series()[1])
    assert write_dicom(result, build_report([result], 0.5, {"name": "m"}), tmp_path) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_a_pdf_of_one_patient_names_no_other_study(study: DicomStudy, tmp_path: Path) -> None:
    other = dataclasses.replace(study.result, files=(("somebody_else", SHAPE[0]),), visit=None)
    results = [study.result, other]
    whole = build_report(results, 0.5, {"name": "m"}, [])
    own = report_of(whole, results, 0)
    assert "somebody_else" not in str(own) and own["images"] == whole["images"][:1]
    alone = build_report(results[:1], 0.5, {"name": "m"})
    assert {k: own[k] for k in ("images", "series", "warnings", "notice")} == {
        k: alone[k] for k in ("images", "series", "warnings", "notice")
    }

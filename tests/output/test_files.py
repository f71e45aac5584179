"""What is written below a folder: the report lists it, and what cannot be written costs itself alone."""

from __future__ import annotations

import errno
import json
import zlib
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pydicom
import pytest
import tifffile
from dicom_files import series as files_of_a_series
from drawn_results import IDENTITY, RECORD, SIDES, SLICES, picture_result, series, volume_result
from PIL import Image

from lgg_demo.case import ReadError
from lgg_demo.messages import Sentence
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output import dicom, files
from lgg_demo.output.files import write_outputs
from lgg_demo.output.report import build_report
from lgg_demo.predict import predict
from lgg_demo.probability import binarise
from lgg_demo.reading.earlier import PAGE, REPORT, TABLE, written_by
from lgg_demo.reading.pictures import read_mask
from lgg_demo.reading.studies import Request

SEGMENTER = cast(Segmenter, type("Everything", (), {
    "record": RECORD, "threshold": 0.5, "segment": lambda _, scan: np.full(scan.pixels.shape[:3], 255, np.uint8),
})())  # fmt: skip


def stored(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / REPORT).read_text(encoding="utf-8")))


def pages(path: Path) -> np.ndarray:
    """(pages, H, W) of a file, whose content is what its name says."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            return np.asarray(picture)[None]
    with tifffile.TiffFile(path) as file:
        return np.stack([page.asarray() for page in file.pages])


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    given = [(("p1/s_1.png", 1), ("p1/s_2.tif", 1)), (("volume.tif", 3),), (("four.tiff", 4),)]
    results = [picture_result(*named) for named in given]
    report = build_report(results, 0.4, RECORD)
    out = tmp_path / "out" / "new"
    written, failures = write_outputs(results, 0.4, report, out)
    assert failures == [] and written[-1] == out / REPORT
    assert sorted(written) == sorted(p for p in out.rglob("*") if p.is_file())
    places = [r.probability[place] for r in results for _, place in r.entries]
    for entry, probability in zip(report["images"], places, strict=True):
        mask, of_file = binarise(probability, 0.4), pages(out / entry["mask"])
        assert of_file.dtype == np.uint8
        np.testing.assert_array_equal(of_file, mask * 255)
        np.testing.assert_array_equal(read_mask(out / entry["mask"], SIDES), mask)
        np.testing.assert_array_equal(pages(out / entry["probability"]), probability)
        assert entry["predicted_pixels"] == mask.sum()


def test_documents_are_a_matter_of_choice_for_pictures(tmp_path: Path) -> None:
    picture, volume = picture_result(("a.png", 1)), volume_result(series()[1])
    masks = ["a_mask.png", "a_probability.png"]
    for result, documents, names in (
        (picture, None, [*masks, REPORT]),
        (picture, True, [*masks, TABLE, PAGE, REPORT]),
        (volume, None, ["series-3_mask.nii.gz", "series-3_probability.nii.gz", TABLE, PAGE, REPORT]),
        (volume, False, ["series-3_mask.nii.gz", "series-3_probability.nii.gz", REPORT]),
    ):
        written, _ = write_outputs(
            [result], 0.5, build_report([result], 0.5, RECORD), tmp_path, [result.probability], documents=documents
        )
        assert [p.name for p in written] == names


def test_nobody_is_named_in_any_output(tmp_path: Path) -> None:
    instances, grid = series()
    r = volume_result(grid, instances, reference=True)
    written, _ = write_outputs([r], 0.5, build_report([r], 0.5, RECORD), tmp_path, [np.zeros_like(r.probability)])
    endings = ("_mask.nii.gz", "_probability.nii.gz", "_seg.dcm", "_sr.dcm", "_report.dcm")
    captures = {f"{n:03d}.dcm" for n in range(1, SLICES + 1)}
    assert {p.name for p in written} == {*(f"series-3{ending}" for ending in endings), *captures, TABLE, PAGE, REPORT}
    planted = [str(v).encode() for v in IDENTITY.values() if len(str(v)) > 3]
    for path in written:
        content = path.read_bytes() + (zlib.decompress(path.read_bytes(), 47) if path.suffix == ".gz" else b"")
        assert not any(name in content or name in path.name.encode() for name in planted), path
    for path in tmp_path.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        assert all(not ds[k].value for k in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"))


@pytest.mark.parametrize("name", ["cassé.png", b"\xe9t\xe9.png".decode("utf-8", "surrogateescape")])  # as old disks have it
def test_report_is_the_json_beside_the_masks(tmp_path: Path, name: str) -> None:
    results = [picture_result((name, 1), reference=np.ones((1, *SIDES), bool), referenced=[True])]
    report = build_report(results, 0.5, RECORD, [ReadError(name, "damaged")], "fr")
    written, _ = write_outputs(results, 0.5, report, tmp_path)
    assert all(p.is_file() for p in written)
    assert stored(tmp_path) == json.loads(json.dumps(report, allow_nan=False)) == report
    assert (tmp_path / REPORT).read_text(encoding="utf-8").endswith("}\n")


def test_nothing_at_all(tmp_path: Path) -> None:
    report = build_report([], 0.5, RECORD, [ReadError("a.png", "empty_file")])
    assert report["images"] == [] and report["total"] == {"images": 0, "slices": 0, "predicted_pixels": 0}
    assert write_outputs([], 0.5, report, tmp_path / "out") == ([tmp_path / "out" / REPORT], [])


def test_what_a_report_lists_is_what_a_run_writes_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = [picture_result(("a.png", 1)), picture_result(("s/b.TIF", 2))]
    report = build_report(r, 0.5, RECORD)
    written, _ = write_outputs(r, 0.5, report, tmp_path, documents=True)
    assert max(p.stat().st_mtime_ns for p in written if p.suffix in (".png", ".TIF")) <= written[-1].stat().st_mtime_ns
    theirs = ["a.png", "s/b.nii.gz", "../x_mask.png", "/x_mask.png", "x_mask.txt", "mask.png"]
    written[-1].write_text(json.dumps(report | {"written": theirs}))
    assert written_by(written[-1]) == {p.relative_to(tmp_path).as_posix() for p in written}
    monkeypatch.setattr("lgg_demo.reading.earlier.MOST_JSON", 10)
    assert written_by(written[-1]) == set()


# What cannot be written


def refuse(monkeypatch: pytest.MonkeyPatch, writer: str, error: BaseException, ending: str = "") -> None:
    """Let a writer of the report's raise for files of an ending, having begun them; or what makes a DICOM object."""
    if hasattr(dicom, writer):
        monkeypatch.setattr(dicom, writer, Mock(side_effect=error))
        return
    true = getattr(files, writer)

    def write(path: Path, *given: Any, **more: Any) -> None:
        if path.name.endswith(ending):
            path.write_bytes(b"half")
            raise error
        true(path, *given, **more)

    monkeypatch.setattr(files, writer, write)


@pytest.mark.parametrize(
    ("writer", "ending", "error", "key"),
    [
        ("segmentation_of", "", ValueError("highdicom will not"), "seg_refused"),
        ("segmentation_of", "", OSError(errno.ENOSPC, "full"), "output_no_room"),
        ("measurements_of", "", ValueError("highdicom will not"), "dicom_refused"),
        ("encapsulated", "", OSError(errno.ENOSPC, "full"), "output_no_room"),
        ("capture_of", "", ValueError("pydicom will not"), "dicom_refused"),
        ("write_pdf", "", RuntimeError("a font"), "output_failed"),
        ("write_pdf", "", MemoryError(), "output_failed"),
        ("write_csv", "", PermissionError(errno.EACCES, "no"), "output_not_allowed"),
        ("write_nifti", "_mask.nii.gz", OSError(errno.EROFS, "no"), "output_not_allowed"),
        ("write_nifti", "_probability.nii.gz", OSError(errno.EDQUOT, "full"), "output_no_room"),
        ("_write_picture", "a_mask.png", OSError(errno.ENAMETOOLONG, "long"), "output_name_refused"),
        ("_write_picture", "a_mask.png", OSError(errno.EIO, "worn"), "output_failed"),
    ],
)
def test_what_a_file_cannot_be_costs_that_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, ending: str, error: Exception, key: str
) -> None:
    instances, grid = series()
    results = [volume_result(grid, instances), picture_result(("a.png", 1)), picture_result(("b.png", 1))]
    whole = build_report(results, 0.5, RECORD)
    pictures = [results[0].probability, None, None]
    every, none = write_outputs(results, 0.5, whole, tmp_path / "whole", pictures, documents=True)
    assert none == [] and whole["warnings"] == [] and len(every) == 12 + SLICES
    refuse(monkeypatch, writer, error, ending)
    report = build_report(results, 0.5, RECORD) | {"written": [p.name for p in every]}
    written, (failure,) = write_outputs(results, 0.5, report, tmp_path / "out", pictures, documents=True)
    lost = [p.name for p in every if tmp_path / "out" / p.relative_to(tmp_path / "whole") not in written]
    assert set(written) == {p for p in (tmp_path / "out").rglob("*") if p.is_file()}, "nothing half is left"
    beside = {"segmentation_of": ["series-3_sr.dcm"], "capture_of": [f"{n:03d}.dcm" for n in range(2, SLICES + 1)]}
    assert lost[1:] == beside.get(writer, []), "measurements need the segmentation, one capture the others"
    assert failure.key == key and failure.values["file"] == (
        "series-3" if key in ("seg_refused", "dicom_refused") else lost[0]
    )
    assert stored(tmp_path / "out") == report and report["warnings"] == [str(failure)]
    listed = json.dumps({k: v for k, v in report.items() if k != "warnings"})
    assert not any(name in listed for name in lost), "nor listed"


def test_a_place_that_is_taken_costs_its_file_alone(tmp_path: Path) -> None:
    (tmp_path / "p1").touch()  # where a folder should be
    (tmp_path / "b_mask.png").mkdir()
    results = [picture_result(("p1/a.png", 1), ("b.png", 1)), picture_result(("c.png", 1))]
    report = build_report(results, 0.5, RECORD, language="fr")
    written, failures = write_outputs(results, 0.5, report, tmp_path, language="fr")
    assert [p.name for p in written] == ["b_probability.png", "c_mask.png", "c_probability.png", REPORT]
    assert report["warnings"] == [f.say("fr") for f in failures] and len(failures) == 3
    listed = [{"mask", "probability"} & set(image) for image in report["images"]]
    assert listed == [set(), {"probability"}, {"mask", "probability"}]


def test_what_a_run_that_was_cut_off_wrote_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [picture_result(("a.png", 1)), picture_result(("b.png", 1))]
    report = build_report(results, 0.5, RECORD) | {"written": ["of_before_mask.png"]}
    refuse(monkeypatch, "_write_picture", KeyboardInterrupt(), "b_probability.png")
    with pytest.raises(KeyboardInterrupt):
        write_outputs(results, 0.5, report, tmp_path)
    there = {p.name for p in tmp_path.iterdir()}
    assert {"a_mask.png", "b_probability.png"} < there < written_by(tmp_path / REPORT)
    assert "of_before_mask.png" in written_by(tmp_path / REPORT)


def test_a_full_disk_at_the_end_leaves_the_first_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [picture_result(("a.png", 1))]
    true = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *given: monkeypatch.setattr(Path, "replace", full) or true(*given))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    written, (failure,) = write_outputs(results, 0.5, build_report(results, 0.5, RECORD), tmp_path)
    assert (failure.key, failure.values["file"]) == ("output_no_room", REPORT)
    assert {p.name for p in written} == {"a_mask.png", "a_probability.png"} < written_by(tmp_path / REPORT)
    assert {p.name for p in tmp_path.iterdir()} == {"a_mask.png", "a_probability.png", REPORT}


def test_predict_says_what_it_could_not_write_and_does_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    inputs, out = tuple(sorted(tmp_path.iterdir())), tmp_path / "out"
    assert predict(Request(inputs), out, SEGMENTER, 0.5) == ([], [])
    refuse(monkeypatch, "_write_picture", OSError(errno.ENOSPC, "full"), "b_mask.png")
    (failure,), _ = predict(Request(inputs), out, SEGMENTER, 0.5)
    assert isinstance(failure, Sentence) and failure.key == "output_no_room"
    assert ["mask" in image for image in stored(out)["images"]] == [True, False]
    assert set(stored(out)["written"]) == {p.name for p in out.iterdir()}, "nor is the mask of the first run left"
    refuse(monkeypatch, "segmentation_of", ValueError("unknown"))
    files_of_a_series(tmp_path / "in")
    assert predict(Request((tmp_path / "in",)), tmp_path / "seg", SEGMENTER, 0.5) == ([], [])
    assert stored(tmp_path / "seg")["warnings"] == [str(Sentence("seg_refused", {"file": "series-3"}))]

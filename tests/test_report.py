"""What a user takes home: names, masks, probabilities and figures that agree with each other."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from PIL import Image
from scipy import ndimage
from test_exports import files_of_a_series, series

from lgg_demo import __version__
from lgg_demo.case import Case, Notice, ReadError, Scan
from lgg_demo.grid import Grid
from lgg_demo.measure.diameters import largest_diameters
from lgg_demo.measure.overlap import Counts
from lgg_demo.measure.surfaces import hausdorff95, surface_dice
from lgg_demo.measure.units import pixel_mm2
from lgg_demo.messages import Sentence, say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output import files, pdf
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.report import build_report, measure, slice_counts
from lgg_demo.output.result import ADDED, Result, result_of, warnings_of
from lgg_demo.predict import predict
from lgg_demo.probability import binarise
from lgg_demo.reading.earlier import REPORT, written_by
from lgg_demo.reading.pictures import read_mask
from lgg_demo.reading.studies import Request, read_all
from lgg_demo.rounding import rounded

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 20, 24
RECORD = {"name": "lgg-unet", "sha256": "ab" * 32, "created_by": "a test", "split": {"train": ["nobody"]}}


def result(*files: tuple[str, int], reference: np.ndarray | None = None, referenced: list[bool] | None = None) -> Result:
    """A result of random levels for files of a name and a number of slices."""
    slices = sum(n for _, n in files)
    levels = np.random.default_rng(slices).integers(0, 256, (slices, HEIGHT, WIDTH)).astype(np.uint8)
    known = None if referenced is None else np.array(referenced)
    return Result(files, tuple(Path(name) for name, _ in files), levels, reference, known)


def case(pixels: np.ndarray, *files: tuple[str, int], grey: bool = True) -> Case:
    colours = np.repeat(pixels[..., None], 3, axis=-1).astype(np.float32) if pixels.ndim == 3 else pixels
    return Case(Scan(colours, "scan", files, grey), tuple(Path(name) for name, _ in files))


# Names


@pytest.mark.parametrize(
    ("name", "slices", "mask", "probability"),
    [
        ("a.png", 1, "a_mask.png", "a_probability.png"),
        ("a.jpg", 1, "a_mask.png", "a_probability.png"),
        ("a.JPEG", 1, "a_mask.png", "a_probability.png"),
        ("a.tif", 1, "a_mask.tif", "a_probability.png"),
        ("a.TIFF", 1, "a_mask.TIFF", "a_probability.png"),
        ("a.tif", 5, "a_mask.tif", "a_probability.tif"),
        ("p1/s_1.tif", 1, "p1/s_1_mask.tif", "p1/s_1_probability.png"),
        ("v1.2.png", 1, "v1.2_mask.png", "v1.2_probability.png"),
        ("a_mask.png", 1, "a_mask_mask.png", "a_mask_probability.png"),
        ("été 1.png", 1, "été 1_mask.png", "été 1_probability.png"),
    ],
)
def test_names(name: str, slices: int, mask: str, probability: str) -> None:
    assert output_names([result((name, slices))]) == [[(mask, probability)]]


def test_no_two_outputs_share_a_name() -> None:
    given = [
        result(("a.png", 1), ("a_2.png", 1)),
        result(("a.tif", 1)),
        result(("A.jpg", 1)),  # one file with a.png on Windows and macOS
        result(("a.png", 1)),
        result(("p1/a.png", 1), ("p2/a.png", 1), ("a_mask.png", 1), ("a_probability.png", 1)),
    ]
    names = [name.lower() for files in output_names(given) for pair in files for name in pair]
    assert len(set(names)) == len(names) == 18
    assert output_names(given)[0][0] == ("a_mask.png", "a_probability.png")
    assert output_names(given)[1] == [("a_3_mask.tif", "a_3_probability.png")]


def test_a_corrected_mask_is_not_that_of_a_file_called_so() -> None:
    corrected = replace(result(("flair.png", 1)), edits=np.full((1, HEIGHT, WIDTH), ADDED, np.uint8))
    names = output_names([corrected, result(("flair_corrected.png", 1))])
    assert names[0] == [("flair_corrected_mask.png", "flair_probability.png")]
    assert names[1] == [("flair_corrected_2_mask.png", "flair_corrected_2_probability.png")]


# Files


def test_files_of_every_kind(tmp_path: Path) -> None:
    results = [result(("p1/s_1.png", 1), ("p1/s_2.tif", 1)), result(("volume.tif", 3)), result(("four.tiff", 4))]
    report = build_report(results, 0.4, RECORD)
    written, failures = write_outputs(results, 0.4, report, tmp_path / "out" / "new")
    assert failures == []
    out = tmp_path / "out" / "new"
    assert sorted(written) == sorted(p for p in out.rglob("*") if p.is_file())
    assert written[-1] == out / REPORT
    entries = iter(report["images"])
    for r in results:
        start = 0
        for _, slices in r.files:
            entry, place = next(entries), slice(start, start + slices)
            start += slices
            levels = r.probability[place]
            mask = binarise(levels, 0.4)
            stored = pages(out / entry["mask"])
            assert stored.dtype == np.uint8 and set(np.unique(stored)) <= {0, 255}
            np.testing.assert_array_equal(stored, mask * 255)
            np.testing.assert_array_equal(read_mask(out / entry["mask"], (HEIGHT, WIDTH)), mask)
            np.testing.assert_array_equal(pages(out / entry["probability"]), levels)
            assert entry["predicted_pixels"] == mask.sum()


def pages(path: Path) -> np.ndarray:
    """(pages, H, W) of a file, whose content is what its name says."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            return np.asarray(picture)[None]
    with tifffile.TiffFile(path) as file:
        return np.stack([page.asarray() for page in file.pages])


def test_report_is_the_json_beside_the_masks(tmp_path: Path) -> None:
    results = [result(("a.png", 1), reference=np.ones((1, HEIGHT, WIDTH), bool), referenced=[True])]
    problems = [ReadError("cassé.png", "damaged")]
    report = build_report(results, 0.5, RECORD, problems, "fr")
    write_outputs(results, 0.5, report, tmp_path)
    text = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(report)) == report
    assert "cassé.png" in text and text.endswith("}\n")
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_what_a_report_lists_is_what_a_run_writes_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = [result(("a.png", 1)), result(("s/b.TIF", 2))]
    report = build_report(r, 0.5, RECORD)
    files, _ = write_outputs(r, 0.5, report, tmp_path, documents=True)
    assert max(f.stat().st_mtime_ns for f in files if f.suffix in (".png", ".TIF")) <= files[-1].stat().st_mtime_ns
    theirs = ["a.png", "s/b.nii.gz", "../x_mask.png", "/x_mask.png", "x_mask.txt", "mask.png"]
    files[-1].write_text(json.dumps(report | {"written": theirs}))
    assert written_by(files[-1]) == {f.relative_to(tmp_path).as_posix() for f in files}
    monkeypatch.setattr("lgg_demo.reading.earlier.MOST_JSON", 10)
    assert written_by(files[-1]) == set()


def test_name_that_is_no_utf_8(tmp_path: Path) -> None:
    name = b"\xe9t\xe9.png".decode("utf-8", "surrogateescape")  # Latin-1, as old disks have it
    results = [result((name, 1))]
    report = build_report(results, 0.5, RECORD)
    written, _ = write_outputs(results, 0.5, report, tmp_path)
    assert all(p.is_file() for p in written)
    assert json.loads((tmp_path / REPORT).read_text(encoding="utf-8")) == report


def test_nothing_at_all(tmp_path: Path) -> None:
    report = build_report([], 0.5, RECORD, [ReadError("a.png", "empty_file")])
    assert report["images"] == [] and report["total"] == {"images": 0, "slices": 0, "predicted_pixels": 0}
    assert write_outputs([], 0.5, report, tmp_path / "out") == ([tmp_path / "out" / REPORT], [])


# What cannot be written


def refuse(monkeypatch: pytest.MonkeyPatch, writer: str, error: Exception, ending: str = "") -> None:
    """Let a writer of the report's raise for files of an ending, having begun them."""
    true = getattr(files, writer)

    def write(path: Path, *given: Any, **more: Any) -> None:
        if path.name.endswith(ending):
            path.write_bytes(b"half")
            raise error
        true(path, *given, **more)

    monkeypatch.setattr(files, writer, write)


def study() -> Result:
    headers, grid = series()
    levels = np.full((len(headers), *grid.shape[1::-1]), 200, np.uint8)
    return Result((("series-3", len(headers)),), (Path("series-3"),), levels, None, None, (), grid, tuple(headers))


@pytest.mark.parametrize(
    ("writer", "ending", "error", "key"),
    [
        ("write_segmentation", "", ValueError("highdicom will not"), "seg_refused"),
        ("write_segmentation", "", OSError(errno.ENOSPC, "full"), "output_no_room"),
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
    results = [study(), result(("a.png", 1)), result(("b.png", 1))]
    whole = build_report(results, 0.5, RECORD)
    every, none = write_outputs(results, 0.5, whole, tmp_path / "whole", documents=True)
    assert none == [] and whole["warnings"] == [] and len(every) == 10
    refuse(monkeypatch, writer, error, ending)
    report = build_report(results, 0.5, RECORD) | {"written": [p.name for p in every]}
    files, (failure,) = write_outputs(results, 0.5, report, tmp_path / "out", documents=True)
    (lost,) = {p.name for p in every} - {p.name for p in files}
    assert {p.name for p in files} == {p.name for p in (tmp_path / "out").iterdir()}, "nothing half is left"
    assert failure.key == key and failure.values["file"] == ("series-3" if key == "seg_refused" else lost)
    stored = json.loads((tmp_path / "out" / REPORT).read_text(encoding="utf-8"))
    assert stored == report and report["warnings"] == [str(failure)]
    assert lost not in json.dumps({k: v for k, v in report.items() if k != "warnings"}), "nor listed"
    assert written_by(tmp_path / "out" / REPORT) - {REPORT, "report.csv", "report.pdf"} <= {p.name for p in files}


def test_a_place_that_is_taken_costs_its_file_alone(tmp_path: Path) -> None:
    (tmp_path / "p1").touch()  # where a folder should be
    (tmp_path / "b_mask.png").mkdir()
    results = [result(("p1/a.png", 1), ("b.png", 1)), result(("c.png", 1))]
    report = build_report(results, 0.5, RECORD, language="fr")
    files, failures = write_outputs(results, 0.5, report, tmp_path, language="fr")
    assert [p.name for p in files] == ["b_probability.png", "c_mask.png", "c_probability.png", REPORT]
    assert report["warnings"] == [f.say("fr") for f in failures] and len(failures) == 3
    assert [sorted({"mask", "probability"} & set(i)) for i in report["images"]] == [
        [],
        ["probability"],
        ["mask", "probability"],
    ]


def test_what_a_run_that_was_cut_off_wrote_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [result(("a.png", 1)), result(("b.png", 1))]
    report = build_report(results, 0.5, RECORD) | {"written": ["of_before_mask.png"]}
    refuse(monkeypatch, "_write_picture", KeyboardInterrupt(), "b_probability.png")  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        write_outputs(results, 0.5, report, tmp_path)
    there = {p.name for p in tmp_path.iterdir()}
    assert {"a_mask.png", "b_probability.png"} < there < written_by(tmp_path / REPORT)
    assert "of_before_mask.png" in written_by(tmp_path / REPORT)


def test_a_full_disk_at_the_end_leaves_the_first_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [result(("a.png", 1))]
    true = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *given: monkeypatch.setattr(Path, "replace", full) or true(*given))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    files, (failure,) = write_outputs(results, 0.5, build_report(results, 0.5, RECORD), tmp_path)
    assert (failure.key, failure.values["file"]) == ("output_no_room", REPORT)
    assert {p.name for p in files} == {"a_mask.png", "a_probability.png"} < written_by(tmp_path / REPORT)
    assert {p.name for p in tmp_path.iterdir()} == {"a_mask.png", "a_probability.png", REPORT}


@pytest.mark.parametrize("letter", ["a", "é", "王", "🧠", "e\u0301", b"\xe9".decode("utf-8", "surrogateescape")])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
def test_names_are_cut_where_an_output_would_be_too_long(tmp_path: Path, letter: str, suffix: str) -> None:
    long = letter * (240 // len(letter.encode("utf-8", "surrogateescape")))
    grid = Grid((WIDTH, HEIGHT, 1), np.eye(4)) if suffix == ".nii.gz" else None
    given = [replace(result((f"p/{long}{end}{suffix}", 1)), grid=grid) for end in ("xxxxxxx", "yyyyyyy", "")]
    given.append(replace(given[0], edits=np.full((1, HEIGHT, WIDTH), ADDED, np.uint8)))
    names = [name for of_one in output_names(given) for own in of_one for name in own]
    assert len({name.lower() for name in names}) == 8 and all(name.startswith(f"p/{letter * 9}") for name in names)
    assert max(len(os.fsencode(name.split("/")[1])) for name in names) <= 255
    files, failures = write_outputs(given, 0.5, build_report(given, 0.5, RECORD), tmp_path, documents=False)
    assert not failures and {p.relative_to(tmp_path).as_posix() for p in files} == {*names, REPORT}


def test_a_short_name_is_not_touched() -> None:
    assert output_names([result((f"{'a' * 200}.png", 1))])[0][0][0] == f"{'a' * 200}_mask.png"


def test_notices_are_no_problems() -> None:
    notices = [Notice("logo.png", "pictures_beside", pictures=1), Notice("DOE^JANE.dcm", "dicom_no_picture", kind="SR")]
    problems = [ReadError("DOE^JANE.dcm", "damaged")]
    report = build_report([result(("a.png", 1))], 0.5, RECORD, problems, "fr", notices)
    assert report["notices"][0] == {"file": "logo.png", "message": notices[0].sentence.say("fr")}
    assert [n["file"] for n in (*report["notices"], *report["unreadable"])] == ["logo.png", "DICOM", "DICOM"]
    assert "JANE" not in json.dumps(report)
    assert build_report([], 0.5, RECORD)["notices"] == []


class Everything:
    """A network that outlines all there is."""

    record: dict[str, Any] = RECORD
    threshold = 0.5

    def segment(self, scan: Scan) -> np.ndarray:
        return np.full(scan.pixels.shape[:3], 255, np.uint8)


def test_predict_says_what_it_could_not_write_and_does_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    long = "x" * 249  # whose mask would have 258 letters
    for name in (long, "b"):
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    inputs = tuple(sorted(tmp_path.iterdir()))
    out = tmp_path / "out"
    assert predict(Request(inputs), out, cast(Segmenter, Everything()), 0.5) == ([], [])
    stored = json.loads((out / REPORT).read_text(encoding="utf-8"))
    assert [i["file"] for i in stored["images"]] == ["b.png", f"{long}.png"]
    assert all((out / i[kind]).is_file() for i in stored["images"] for kind in ("mask", "probability"))
    refuse(monkeypatch, "_write_picture", OSError(errno.ENOSPC, "full"), "b_mask.png")
    (failure,), _ = predict(Request(inputs), out, cast(Segmenter, Everything()), 0.5)
    assert isinstance(failure, Sentence) and failure.key == "output_no_room"
    stored = json.loads((out / REPORT).read_text(encoding="utf-8"))
    assert "mask" not in stored["images"][0] and "mask" in stored["images"][1]
    assert set(stored["written"]) == {p.name for p in out.iterdir()}, "nor is the mask of the first run left"
    refuse(monkeypatch, "write_segmentation", ValueError("unknown"))
    files_of_a_series(tmp_path / "in")
    assert predict(Request((tmp_path / "in",)), tmp_path / "seg", cast(Segmenter, Everything()), 0.5) == ([], [])
    stored = json.loads((tmp_path / "seg" / REPORT).read_text(encoding="utf-8"))
    assert stored["warnings"] == [str(Sentence("seg_refused", {"file": "series-3"}))]


# Figures


def test_page_and_report_round_alike() -> None:
    """The viewer's `rounded` and ours, on what pixels and voxels of odd sizes come to, digit by digit."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    sides = [0.9375, 0.4297, 0.488281, 1.1, 0.43, 0.5, 0.8594, 1.0156, 0.3, 0.78125, 0.46875, 2 / 3]
    areas = [pixel_mm2(Grid((9, 9, 9), np.diag([a, b, 3.3, 1]))) for a in sides for b in sides[:4]]
    values = [n * area for area in areas for n in (*range(1, 40), 128, 129, 1000, 4095, 65535)]
    values += [n / 8 for n in range(-50, 50)] + [n / 1000 for n in range(2000)] + [-v for v in values[::7]]
    counts = (ROOT / "lgg_demo" / "page" / "viewer" / "counts.js").as_uri()
    code = f"""
    import {{ readFileSync }} from "node:fs";
    import {{ rounded }} from "{counts}";
    const values = JSON.parse(readFileSync(0, "utf-8"));
    const formats = [0, 1, 2, 3, 4].map((d) => new Intl.NumberFormat("en",
      {{ minimumFractionDigits: d, maximumFractionDigits: d, useGrouping: false }}));
    console.log(JSON.stringify(values.map((v) => formats.map((f, d) => [rounded(v, d), f.format(rounded(v, d))]))));"""
    command = [node, "--input-type=module", "-e", code]
    said = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True).stdout
    for value, theirs in zip(values, json.loads(said), strict=True):
        ours = [[rounded(value, d), f"{rounded(value, d):.{d}f}"] for d in range(5)]
        assert ours == theirs, value
    assert [rounded(v, 0) for v in (112.5, 113.5, -0.5, 0.4999)] == [113, 114, -1, 0]
    assert (rounded(28.125, 2), rounded(1.005, 2), str(rounded(-0.0001, 2))) == (28.13, 1.0, "0.0")


def test_every_output_says_the_same_of_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """128 pixels of 0.9375 mm a side are 112.5 mm²: Python's own rounding would say 112, the browser's 113."""
    levels = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    levels[0].flat[:128] = 255
    grid = Grid((WIDTH, HEIGHT, 1), np.diag([0.9375, 0.9375, 5, 1]))
    r = Result((("a.nii", 1),), (Path("a.nii"),), levels, None, None, (), grid)
    said: list[str] = []
    true = pdf._Page.text
    monkeypatch.setattr(
        pdf._Page, "text", lambda page, x, y, text, *a, **k: (said.append(text), true(page, x, y, text, *a, **k))
    )
    report = build_report([r], 0.5, RECORD)
    write_outputs([r], 0.5, report, tmp_path, [levels])
    assert report["images"][0]["areas_mm2"] == [112.5] and "113 mm²" in said
    assert "112.5" in (tmp_path / "report.csv").read_text()


def test_a_tilted_gantry_does_not_lengthen_distances() -> None:
    """Two slices of the same mask 3 mm apart along their normal, whose corners are 3.4 mm apart."""
    levels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    levels[0, 4:9, 4:9] = 255
    reference = np.roll(levels > 0, 1, axis=0)
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[1, 2] = 1.6
    grid = Grid((WIDTH, HEIGHT, 3), affine)
    r = Result((("a.nii", 3),), (Path("a.nii"),), levels, reference, np.ones(3, bool), (), grid)
    (entry,) = build_report([r], 0.5, RECORD)["images"]
    assert entry["hd95_mm"] == 3 and entry["spacing_mm"] == [3, 1, 1]
    assert entry["volume_ml"] == pytest.approx(25 * 3 / 1000)


def test_figures_of_a_report() -> None:
    reference = np.zeros((3, HEIGHT, WIDTH), dtype=bool)
    reference[0, :5, :4] = True
    scored = result(("a.png", 1), ("b.tif", 2), reference=reference, referenced=[True, False, True])
    scored.probability[:] = 0
    scored.probability[0, :5, 2:6] = 200  # half of the reference, and as much beside it
    scored.probability[1, 0, :7] = 255  # without a reference: counted, never scored
    free = result(("c.png", 1))
    free.probability[:] = 0
    report = build_report([scored, free], 0.5, RECORD)
    first, second, third = report["images"]
    assert (first["file"], first["slices"], first["width"], first["height"]) == ("a.png", 1, WIDTH, HEIGHT)
    assert first["pixels"] == HEIGHT * WIDTH and second["pixels"] == 2 * HEIGHT * WIDTH
    assert (first["predicted_pixels"], first["reference_pixels"]) == (20, 20)
    assert first["dice"] == 0.5 and first["iou"] == pytest.approx(1 / 3)
    assert first["precision"] == first["recall"] == 0.5
    # Of the two slices of b.tif the one with a reference is empty on both sides.
    assert second["predicted_pixels"] == 7 and second["reference_pixels"] == 0
    assert second["dice"] == second["iou"] == 1 and second["precision"] is None and second["recall"] is None
    assert third["predicted_pixels"] == 0 and "dice" not in third and "reference_pixels" not in third
    assert report["total"] == {
        "images": 3, "slices": 4, "predicted_pixels": 27, "reference_pixels": 20,
        "dice": 0.5, "iou": pytest.approx(1 / 3), "precision": 0.5, "recall": 0.5,
        "expected_dice": 2 * (20 * 200 + 7 * 255) / (27 * 255 + 20 * 200 + 7 * 255),
    }  # fmt: skip
    # Probabilities of 200 / 255 lead one to expect this of their outline, whatever the reference says.
    assert first["expected_dice"] == 2 * 200 / (255 + 200)
    assert third["expected_dice"] == 1, "nothing is outlined, nothing likely"
    edits = np.zeros(scored.probability.shape, np.uint8)
    edits[0, 6, 6] = ADDED
    by_hand = build_report([replace(scored, edits=edits), free], 0.5, RECORD)
    has = ["expected_dice" in entry for entry in (*by_hand["images"], *by_hand["series"], by_hand["total"])]
    assert has == [False, True, True, False, True, False], "of what a hand drew the probabilities say nothing"


def test_total_is_of_all_pixels_together() -> None:
    rng = np.random.default_rng(0)
    results = [
        result((f"{n}.tif", n), reference=rng.random((n, HEIGHT, WIDTH)) < 0.4, referenced=[True] * n) for n in (1, 2, 5)
    ]
    report = build_report(results, 0.3, RECORD)
    predicted = np.concatenate([binarise(r.probability, 0.3) for r in results])
    reference = np.concatenate([r.reference for r in results if r.reference is not None])
    both = int((predicted & reference).sum())
    total = report["total"]
    assert (total["images"], total["slices"]) == (3, 8)
    assert total["predicted_pixels"] == predicted.sum() == sum(i["predicted_pixels"] for i in report["images"])
    assert total["reference_pixels"] == reference.sum()
    assert total["dice"] == pytest.approx(2 * both / (predicted.sum() + reference.sum()))
    assert total["precision"] == pytest.approx(both / predicted.sum())


def test_the_head_of_a_report_in_both_languages() -> None:
    problems = [ReadError("a.png", "damaged"), ReadError("b.gif", "unknown_type", types=".png")]
    for language in ("en", "fr"):
        report = build_report([result(("c.png", 1))], 0.25, RECORD, problems, language)
        assert report["notice"] == say("not_for_diagnosis", language)
        assert report["threshold"] == 0.25
        assert report["model"] == {k: RECORD[k] for k in ("name", "sha256", "created_by")}
        assert report["software"] == f"lgg-demo {__version__}"
        assert report["unreadable"] == [{"file": p.file, "message": p.sentence.say(language)} for p in problems]
    assert report["unreadable"][0]["message"].startswith("a.png\N{NO-BREAK SPACE}: le fichier est abîmé")


def test_measure_and_slice_counts_without_reference() -> None:
    assert measure(Counts(0, 7, 0, 3), None) == {"predicted_pixels": 7}
    r = result(("a.tif", 2))
    parts = slice_counts(r, 0.5)
    assert [known for _, known in parts] == [False, False]
    assert [c.predicted for c, _ in parts] == (r.probability >= 128).sum(axis=(1, 2)).tolist()


# Millimetres


def drawn(*rows: str) -> np.ndarray:
    """A mask of one slice, as it looks."""
    return np.array([[c == "#" for c in row] for row in rows])[None]


@pytest.mark.parametrize(
    ("mask", "spacing", "longest", "perpendicular"),
    [
        (drawn("#"), (0.5, 0.5), 0.5, 0.5),
        (drawn("#####"), (1, 1), 5, 1),
        (drawn("#####"), (2, 3), 15, 2),
        (drawn("#", "#", "#"), (4, 1), 12, 1),
        (drawn(".#.", "###", ".#."), (1, 1), 3, 3),
        (drawn("#....", ".#...", "..#..", "...#.", "....#"), (1, 1), 32**0.5 + 0.5**0.5, 0.5**0.5),  # touching by corners
        (drawn("###..", "....#"), (1, 1), 3, 1),  # two areas: the longer, not the line between them
    ],
)  # fmt: skip
def test_diameters_by_eye(mask: np.ndarray, spacing: tuple[float, float], longest: float, perpendicular: float) -> None:
    found = largest_diameters(mask, spacing)
    assert found is not None and found.slice == 0
    assert found.longest == pytest.approx(longest, abs=0.05 * longest)
    assert found.perpendicular == pytest.approx(perpendicular, abs=0.6 * min(spacing))
    ends = found.ends * spacing
    assert np.linalg.norm(ends[0, 0] - ends[0, 1]) == pytest.approx(found.longest)
    assert np.linalg.norm(ends[1, 0] - ends[1, 1]) == pytest.approx(found.perpendicular)
    assert abs((ends[0, 0] - ends[0, 1]) @ (ends[1, 0] - ends[1, 1])) < 1e-6


def test_diameters_of_an_ellipse_in_its_slice() -> None:
    y, x = np.mgrid[:120, :160] * 0.5
    angle = np.radians(30)
    u = (x - 40) * np.cos(angle) + (y - 30) * np.sin(angle)
    v = -(x - 40) * np.sin(angle) + (y - 30) * np.cos(angle)
    mask = np.zeros((4, 120, 160), bool)
    mask[2] = (u / 25) ** 2 + (v / 10) ** 2 <= 1
    mask[0, :5, :5] = mask[3, :8, :8] = True
    found = largest_diameters(mask, (0.5, 0.5))
    assert found is not None and found.slice == 2
    assert (found.longest, found.perpendicular) == (pytest.approx(50, abs=1), pytest.approx(20, abs=1))
    assert largest_diameters(mask & False) is None


def test_surfaces_in_millimetres() -> None:
    box, moved = np.zeros((2, 20, 30, 30), bool)
    box[5:15, 5:15, 5:15] = True
    moved[7:17, 5:15, 5:15] = True  # by two slices
    spacing = (3.0, 1.0, 1.0)
    assert hausdorff95(box, moved, spacing) == 6
    assert hausdorff95(box, box, spacing) == 0 == hausdorff95(box & False, box & False, spacing)
    assert hausdorff95(box, box & False, spacing) == np.inf
    assert surface_dice(box, box, spacing) == 1 == surface_dice(box & False, box & False, spacing)
    assert surface_dice(box, box & False, spacing) == 0
    assert 0 < surface_dice(box, moved, spacing) < 1 == surface_dice(box, moved, spacing, tolerance=6)


@pytest.mark.parametrize("seed", range(4))
def test_surfaces_are_those_of_monai(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (ndimage.gaussian_filter(rng.random((12, 30, 25)), 2) > 0.5 for _ in range(2))
    spacing = (3.3, 0.9, 1.1)
    pair = [torch.from_numpy(m)[None, None].float() for m in (first, second)]
    distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=list(spacing))
    dice = compute_surface_dice(*pair, [2.0], include_background=True, spacing=list(spacing))
    assert hausdorff95(first, second, spacing) == pytest.approx(float(distance), abs=1e-4)
    assert surface_dice(first, second, spacing) == pytest.approx(float(dice), abs=1e-6)


def test_figures_of_a_volume() -> None:
    affine = np.diag([0.5, 0.8, 5.0, 1])
    grid = Grid((WIDTH, HEIGHT, 3), affine)
    levels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    levels[1, 4:6, 2:12] = 255  # 20 pixels of 0.4 mm²
    reference = levels > 0
    reference[2, 4:6, 2:12] = True
    files = (("a.nii", 3),)
    plain = Result(files, (Path("a.nii"),), levels, None, None, (), grid)
    (entry,) = build_report([plain], 0.5, RECORD)["images"]
    assert entry["spacing_mm"] == [5, 0.8, 0.5]
    assert entry["volume_ml"] == pytest.approx(20 * 2 / 1000)
    assert entry["areas_mm2"] == [0, 8, 0]
    assert entry["diameters_mm"]["slice"] == 2 and entry["diameters_mm"]["longest"] == pytest.approx(5.06, abs=0.01)
    assert not {"reference_volume_ml", "hd95_mm", "surface_dice_2mm", "diameters_px", "dice"} & set(entry)
    scored = Result(files, (Path("a.nii"),), levels, reference, np.ones(3, bool), (), grid)
    report = build_report([scored], 0.5, RECORD)
    (entry,) = report["images"]
    assert entry["reference_volume_ml"] == 0.08 and entry["volume_difference_ml"] == -0.04
    assert (
        entry["hd95_mm"] == 5
        and entry["dice"] == pytest.approx(2 / 3)
        and entry["surface_dice_2mm"] == pytest.approx(2 / 3)
    )
    assert report["total"]["volume_ml"] == 0.04
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    partly = Result(files, (Path("a.nii"),), levels, reference, np.array([True, True, False]), (), grid)
    (entry,) = build_report([partly], 0.5, RECORD)["images"]
    assert entry["dice"] == 1 and "hd95_mm" not in entry, "a surface needs every slice"


def test_a_volume_of_several_files_is_one_entry() -> None:
    levels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    grid = Grid((WIDTH, HEIGHT, 3), np.eye(4))
    files = tuple((f"series-2/{n}.dcm", 1) for n in range(3))
    r = Result(files, tuple(Path(n) for n, _ in files), levels, None, None, (), grid)
    report = build_report([r, result(("b.png", 1))], 0.5, RECORD)
    assert [(i["file"], i["slices"]) for i in report["images"]] == [("series-2/0.dcm", 3), ("b.png", 1)]
    assert "volume_ml" not in report["total"], "millimetres and pixels are not added up"


def test_diameters_of_pictures_are_in_pixels() -> None:
    levels = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    levels[0, 3, 2:9] = 255
    r = Result((("a.png", 1), ("b.png", 1)), (Path("a.png"), Path("b.png")), levels, None, None)
    first, second = build_report([r], 0.5, RECORD)["images"]
    assert first["diameters_px"] == {"longest": 7, "perpendicular": 1, "slice": 1}
    assert "diameters_px" not in second and "volume_ml" not in first


# Warnings


def said(found: Case) -> list[tuple[str, dict[str, object]]]:
    return [(s.key, dict(s.values)) for s in warnings_of(found)]


def test_blank_slices_are_named_with_their_file() -> None:
    pixels = np.random.default_rng(0).random((4, HEIGHT, WIDTH))
    pixels[1], pixels[3] = 7, 0
    found = case(pixels, ("a.png", 1), ("b.tif", 2), ("c.png", 1))
    assert said(found) == [
        ("slices_blank", {"file": "b.tif", "blank": 1, "slices": 2}),
        ("slices_blank", {"file": "c.png", "blank": 1, "slices": 1}),
    ]
    assert said(case(pixels[:1], ("a.png", 1))) == []


def test_colour_is_warned_of_once() -> None:
    pixels = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3)).astype(np.float32)
    found = case(pixels, ("a.png", 1), ("b.png", 1), grey=False)
    assert said(found) == [("colour_as_sequences", {"file": "a.png"})]
    pixels[1] = (10, 20, 30)  # one colour all over is blank as well
    assert ("slices_blank", {"file": "b.png", "blank": 1, "slices": 1}) in said(found)


def test_warnings_reach_the_report() -> None:
    r = result_of(case(np.zeros((1, HEIGHT, WIDTH)), ("a.png", 1)), np.zeros((1, HEIGHT, WIDTH), np.uint8))
    (english,) = build_report([r], 0.5, RECORD)["warnings"]
    (french,) = build_report([r], 0.5, RECORD, language="fr")["warnings"]
    assert english.startswith("a.png:") and french.startswith("a.png\N{NO-BREAK SPACE}:")


# From files to files


def test_outputs_are_references_of_their_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)).save(tmp_path / f"s_{n}.png")
    tifffile.imwrite(tmp_path / "volume.tif", rng.integers(0, 256, (3, HEIGHT, WIDTH), dtype=np.uint8))
    inputs = tuple(sorted(tmp_path.iterdir()))
    read = read_all(Request(inputs))
    results = [result_of(c, rng.integers(0, 256, c.scan.pixels.shape[:3]).astype(np.uint8)) for c in read.cases]
    report = build_report(results, 0.5, RECORD)
    write_outputs(results, 0.5, report, tmp_path / "out")
    masks = tuple(tmp_path / "out" / image["mask"] for image in report["images"])
    (tmp_path / "out" / REPORT).unlink()  # which says whose masks they are
    again = read_all(Request(inputs, masks))
    assert not read.errors and not again.errors
    scored = [result_of(c, r.probability) for c, r in zip(again.cases, results, strict=True)]
    total = build_report(scored, 0.5, RECORD)["total"]
    assert total["dice"] == total["iou"] == 1 and total["reference_pixels"] == total["predicted_pixels"] > 0


def test_result_takes_the_names_it_is_given() -> None:
    found = case(np.zeros((2, HEIGHT, WIDTH)), ("s_1.png", 1), ("s_2.png", 1))
    r = result_of(found, np.zeros((2, HEIGHT, WIDTH), np.uint8), ["p/s_1.png", "p/s_2.png"])
    assert r.files == (("p/s_1.png", 1), ("p/s_2.png", 1)) and r.paths == found.paths
    assert r.size == (HEIGHT, WIDTH) and r.slices == (1, 1)
    assert output_names([r])[0][1] == ("p/s_2_mask.png", "p/s_2_probability.png")

"""Files and folders in; masks, probabilities and one report out; a bad file costs one line and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers import BROKEN, HEAD, SCAN, lay, series
from moved_study import moved_study
from PIL import Image

from lgg_demo import predict
from lgg_demo.messages import say
from lgg_demo.output import files

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
Predict = Callable[..., dict[str, Any]]
REPORTS = {"report.csv", "report.json", "report.pdf"}


@pytest.fixture
def run_predict(run: Path, tmp_path: Path) -> Predict:
    """Run the command into `tmp_path/out`, or another folder; returns the report."""

    def call(*arguments: object, code: int = 0, out: Path = tmp_path / "out") -> dict[str, Any]:
        assert predict.main([*map(str, arguments), "--checkpoint", str(run), "--out", str(out)]) == code
        return dict(json.loads((out / "report.json").read_text(encoding="utf-8")))

    return call


def pixels(path: Path) -> np.ndarray:
    return tifffile.imread(path) if path.suffix.startswith(".tif") else np.asarray(Image.open(path))


def names(report: dict[str, Any]) -> list[str]:
    return [image["file"] for image in report["images"]]


def scored(report: dict[str, Any]) -> list[int | None]:
    """Of each image the pixels of its reference."""
    return [image.get("reference_pixels") for image in report["images"]]


# Outputs


@pytest.mark.parametrize(
    ("name", "kind", "mask_name"),
    [("a.png", np.uint8, "a_mask.png"), ("b.tif", np.uint16, "b_mask.tif"), ("c.TIFF", np.float32, "c_mask.TIFF"),
     ("d.jpg", np.uint8, "d_mask.png")],
)  # fmt: skip
def test_outputs_of_one_picture(tmp_path: Path, run_predict: Predict, name: str, kind: type, mask_name: str) -> None:
    image = HEAD.flair[6, 2:62, 5:].astype(kind)
    tifffile.imwrite(tmp_path / name, image) if "tif" in name.lower() else Image.fromarray(image).save(tmp_path / name)
    report = run_predict(tmp_path / name, "--threshold", "0.4")
    out, probability_name = tmp_path / "out", f"{name[0]}_probability.png"
    assert {p.name for p in out.iterdir()} == {mask_name, probability_name, *REPORTS}
    mask, probability = pixels(out / mask_name), pixels(out / probability_name)
    assert mask.shape == probability.shape == (60, 59) and mask.dtype == probability.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255} and np.array_equal(mask == 255, probability / 255 >= 0.4)
    (entry,) = report["images"]
    assert (entry["file"], entry["mask"], entry["probability"]) == (name, mask_name, probability_name)
    assert (entry["width"], entry["height"], entry["pixels"]) == (59, 60, 3540)
    assert entry["predicted_pixels"] == (mask == 255).sum() == report["total"]["predicted_pixels"]
    assert "dice" not in entry and "dice" not in report["total"]
    assert (report["threshold"], report["unreadable"], len(report["model"]["sha256"])) == (0.4, [], 64)


def test_a_multipage_file_keeps_its_pages(tmp_path: Path, run_predict: Predict) -> None:
    tifffile.imwrite(tmp_path / "volume.tif", HEAD.flair[:3], photometric="minisblack")
    (image,) = run_predict(tmp_path / "volume.tif")["images"]
    assert image["slices"] == 3
    assert (
        pixels(tmp_path / "out" / image["mask"]).shape
        == pixels(tmp_path / "out" / image["probability"]).shape
        == (3, 64, 64)
    )


def test_a_folder_with_masks_beside_and_the_report_over_all(tmp_path: Path, run_predict: Predict) -> None:
    folder = lay(tmp_path / "in", {"one/s_1.png": SCAN, "one/s_2.png": SCAN, "two/s.png": SCAN, "two/flair.nii.gz": SCAN})
    lay(folder, {"one/s_1_mask.png": 10, "one/s_2_mask.png": 40})
    report = run_predict(folder)
    assert names(report) == ["one/s_1.png", "one/s_2.png", "two/s.png", "two/flair"]
    assert scored(report) == [640, 2560, None, None] and report["images"][3]["mask"] == "two/flair_mask.nii.gz"
    found = [pixels(tmp_path / "out" / image["mask"]) == 255 for image in report["images"][:2]]
    hits = [int(mask[:rows].sum()) for mask, rows in zip(found, (10, 40), strict=True)]
    both = [int(mask.sum()) + rows * 64 for mask, rows in zip(found, (10, 40), strict=True)]
    for image, mask, hit, of in zip(report["images"], found, hits, both, strict=False):
        assert image["predicted_pixels"] == mask.sum()
        assert (image["dice"], image["iou"]) == pytest.approx((2 * hit / of, hit / (of - hit)))
    total = report["total"]
    assert (total["images"], total["slices"], total["reference_pixels"]) == (4, 15, 3200)
    assert total["predicted_pixels"] == sum(image["predicted_pixels"] for image in report["images"])
    assert total["dice"] == pytest.approx(2 * sum(hits) / sum(both)), "where a reference is known"


def test_two_of_one_name_do_not_share_an_output(tmp_path: Path, run_predict: Predict) -> None:
    lay(tmp_path, {f"{folder}/{name}": SCAN for folder in ("one", "two") for name in ("s.png", "flair.nii")})
    report = run_predict(*(tmp_path / folder / name for folder in ("one", "two") for name in ("s.png", "flair.nii")))
    masks = {image["mask"] for image in report["images"]}
    assert len(masks) == 4 and all((tmp_path / "out" / mask).is_file() for mask in masks)


def test_a_folder_of_dicom_called_after_its_patient_names_no_output(tmp_path: Path, run_predict: Predict) -> None:
    series(
        tmp_path / "in" / "DOE^JANE" / "flair", FrameOfReferenceUID=None
    )  # careless anonymisers take that, and leave this
    assert names(run_predict(tmp_path / "in")) == ["series-3"]
    out = tmp_path / "out"
    assert not any("JANE" in str(p.relative_to(out)) or b"JANE" in p.read_bytes() for p in out.rglob("*") if p.is_file())


# What is said of files


def test_each_bad_input_costs_one_line_and_the_rest_is_done(
    tmp_path: Path, run_predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay(tmp_path / "in", {"s_1.png": SCAN, "s_2.png": BROKEN, "s_3.png": SCAN, "x_adc.nii": SCAN})
    (folder / "empty").mkdir()
    (folder / "zero.tif").touch()
    (folder / "report.pdf").write_text("not a picture")
    small = tmp_path / "other_mask.png"
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(small)
    report = run_predict(folder, folder / "report.pdf", folder / "empty", "missing.png", "--reference", small, code=2)
    bad = ["s_2.png", "zero.tif", "report.pdf", "empty", "missing.png", "other_mask.png"]
    lines = [line.split(": ")[:2] for line in capsys.readouterr().err.splitlines()]
    assert sorted(lines) == sorted(["predict", file] for file in [*bad, "x_adc"]), "a notice too"
    assert sorted(entry["file"] for entry in report["unreadable"]) == sorted(bad)
    assert names(report) == ["s_1.png", "s_3.png"] and (tmp_path / "out" / "s_3_mask.png").exists()
    report = run_predict("missing.png", code=2)
    assert report["images"] == [] and report["total"] == {"images": 0, "slices": 0, "predicted_pixels": 0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["s_2.png"], [None]),  # only what is given is read
        (["s_2.png", "s_2_mask.png"], [640]),
        (["s_1.png", "s_2.png", "--reference", "gt/s_2.png"], [None, 1280]),
        (["s_1.png", "s_2.png", "--reference", "gt"], [None, 1280]),
        (["s_1.png", "--reference", "any.png"], [1920]),
        (["--flair", "s_1.png", "--mask", "any.png"], [1920]),
        (["--manifest", "cases.csv"], [None, 1920]),
        ([".", "--layout", "brats"], [7680]),
    ],
)
def test_whose_a_reference_is(tmp_path: Path, run_predict: Predict, given: list[str], expected: list[int | None]) -> None:
    folder = lay(tmp_path / "in", {"s_1.png": SCAN, "s_2.png": SCAN, "s_2_mask.png": 10, "gt/s_2.png": 20, "any.png": 30})
    lay(folder, {"BraTS-GLI-1-t2f.nii": SCAN, "BraTS-GLI-1-seg.nii": 10})
    rows = ("ann,flair,s_1.png", "bob,flair,s_2.png", "bob,mask,any.png", "bob,ignore,gone.png")
    (folder / "cases.csv").write_text("\n".join(["subject,role,path", *rows]))
    paths = [value if value.startswith("--") or value == "brats" else folder / value for value in given]
    assert scored(run_predict(*paths)) == expected


def test_a_sequence_that_has_moved_is_registered_where_that_is_asked_for(tmp_path: Path, run_predict: Predict) -> None:
    (tmp_path / "in").mkdir()
    files = moved_study(tmp_path / "in")
    for flags, key in (([], "sequence_moved"), (["--register"], "sequence_registered")):
        assert say(key, "en", file="x_t1", other="x_flair", mm=9) in run_predict(*files, *flags)["warnings"]


def test_a_flag_may_name_a_volume_of_the_inputs(tmp_path: Path, run_predict: Predict) -> None:
    for number, words in ((2, "AX FLAIR"), (4, "AX T1"), (5, "AX T2")):
        series(tmp_path / "in" / words, SeriesDescription=words, SeriesNumber=number, StudyInstanceUID="1.2.3")
    report = run_predict(tmp_path / "in", "--flair", "series-4", "--pre", "", "--mask", "series-5")
    assert names(report) == ["series-4"] and scored(report) != [None]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--out", "s.png"], "File exists"),
        (["--checkpoint", "none.safetensors"], "There is no checkpoint at"),
        (["--threshold", "1.5"], "--threshold must lie between 0 and 1"),
        (["--manifest", "cases.csv"], "cases.csv, line 2: the role"),
    ],
)
def test_wrong_arguments_get_one_sentence(
    tmp_path: Path, run: Path, sentence: Sentence, given: list[str], said: str
) -> None:
    lay(tmp_path, {"s.png": SCAN})
    (tmp_path / "cases.csv").write_text("subject,role,path\nann,t2,a.nii\n")
    flags = {"--out": str(tmp_path / "out"), "--checkpoint": str(run)}
    flags |= {given[0]: given[1] if given[1] == "1.5" else str(tmp_path / given[1])}
    arguments = [part for flag in flags.items() for part in flag]
    assert said in sentence(predict.main, [str(tmp_path / "s.png"), *arguments])
    assert "give files to segment" in sentence(predict.main, ["--out", str(tmp_path / "out")])


# What is never written over, nor read


def test_what_was_read_or_what_no_run_wrote_is_never_written_over(tmp_path: Path, run: Path, sentence: Sentence) -> None:
    lay(tmp_path, {"in/s.png": SCAN, "truth/s_mask.png": 10, "beside/s.png": SCAN, "beside/s_mask.png": 10})
    for name in REPORTS:
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("[1]")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    read, foreign = "was read and would be", "is not of an earlier run, and would be"
    for given, out, name, why in (
        ("beside/s.png", "beside", "s_mask.png", foreign),
        ("beside", "beside", "s_mask.png", foreign),
        ("in/s.png --reference truth", "truth", "s_mask.png", read),
        ("in/s.png", "truth", "s_mask.png", foreign),
        *(("in/s.png", report, report, foreign) for report in REPORTS),
    ):
        paths = [part if part.startswith("--") else str(tmp_path / part) for part in given.split()]
        said = sentence(predict.main, [*paths, "--checkpoint", str(run), "--out", str(tmp_path / out)])
        assert said == f"predict: {tmp_path / out / name} {why} written over; give another --out."
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_what_an_earlier_run_wrote_is_but_not_what_a_hand_drew_over_it(
    tmp_path: Path, run: Path, run_predict: Predict, sentence: Sentence
) -> None:
    lay(tmp_path, {"s.png": SCAN, "other/t.png": SCAN})
    first = run_predict(tmp_path / "s.png")
    assert run_predict(tmp_path / "s.png") == first
    run_predict(tmp_path / "other" / "t.png")
    again = run_predict(tmp_path / "s.png")
    assert again["images"] == first["images"], "and over one before another's"
    assert set(again["written"]) == {p.name for p in (tmp_path / "out").iterdir()} > set(first["written"])
    drawn = tmp_path / "out" / "s_mask.png"
    Image.fromarray(np.uint8(HEAD.mask[6]) * 255).save(drawn)
    date = (tmp_path / "out" / "report.json").stat().st_mtime + 3600
    os.utime(drawn, (date, date))
    arguments = [str(tmp_path / "s.png"), str(drawn), "--checkpoint", str(run), "--out", str(tmp_path / "out")]
    assert str(drawn) in sentence(predict.main, arguments)
    assert np.array_equal(pixels(drawn) > 0, HEAD.mask[6])


def test_a_run_that_was_cut_off_may_be_given_again(
    tmp_path: Path, run: Path, run_predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    lay(tmp_path, {"s.png": SCAN})
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_pdf", cut_off)
        arguments = [str(tmp_path / "s.png"), "--checkpoint", str(run), "--out", str(tmp_path / "out")]
        assert predict.main(arguments) == 130
    assert run_predict(tmp_path / "s.png")["total"]["images"] == 1


@pytest.mark.parametrize("place", ["out/scans", ".", "out"])  # below --out, above it, and it itself
def test_no_run_reads_what_another_wrote(
    tmp_path: Path, run_predict: Predict, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    folder = lay(tmp_path / place, {"s.png": SCAN, "ann_flair.nii.gz": SCAN})
    first = run_predict(folder / "s.png", folder / "ann_flair.nii.gz")
    again = run_predict(folder)
    assert len(again["images"]) == 2 and scored(again) == [None, None]
    loose = [p for p in sorted(tmp_path.rglob("*")) if p.is_file() and p.name not in REPORTS]
    capsys.readouterr()
    other = run_predict(*loose, out=tmp_path / "second")
    assert names(other) == names(first) and scored(other) == [None, None]
    assert "of an earlier run" in capsys.readouterr().err
    for given in (tmp_path / "second", tmp_path / "second" / "s_mask.png"):
        assert names(run_predict(given, code=2)) == [], "outputs alone are nothing to segment"

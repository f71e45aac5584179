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
from helpers import BROKEN, HEAD, SCAN, STACK, lay, nifti, series, turned
from PIL import Image

from lgg_demo import predict
from lgg_demo.case import Notice
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output import files
from lgg_demo.page.phantom import Phantom, draw_head, write_phantom
from lgg_demo.reading.studies import Request

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
Predict = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return draw_head(3, lesion="parietal", seed=4)


@pytest.fixture
def run_predict(run: Path, tmp_path: Path) -> Predict:
    """Run the command into `tmp_path/out`; returns the report."""

    def call(*arguments: object, code: int = 0) -> dict[str, Any]:
        given = [str(a) for a in arguments]
        assert predict.main([*given, "--checkpoint", str(run), "--out", str(tmp_path / "out")]) == code
        return dict(json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")))

    return call


def pixels(path: Path) -> np.ndarray:
    return tifffile.imread(path) if path.suffix.startswith(".tif") else np.asarray(Image.open(path))


def by_hand(p: np.ndarray, r: np.ndarray) -> tuple[float, float]:
    hit, both = int((p & r).sum()), int(p.sum()) + int(r.sum())
    return 2 * hit / both, hit / (both - hit)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", np.uint8), ("b.tif", np.uint16), ("c.TIFF", np.float32), ("d.jpg", np.uint8)]
)
def test_outputs_of_one_file(tmp_path: Path, run_predict: Predict, phantom: Phantom, name: str, kind: type) -> None:
    image = phantom.flair[1, 20:220, 10:190].astype(kind) * (1 if kind is np.uint8 else 3)
    if name.lower().endswith("tiff") or name.endswith("tif"):
        tifffile.imwrite(tmp_path / name, image)
    else:
        Image.fromarray(image).save(tmp_path / name)
    report = run_predict(tmp_path / name, "--threshold", "0.4")
    stem, suffix = Path(name).stem, Path(name).suffix
    mask_name = f"{stem}_mask{suffix if 'tif' in suffix.lower() else '.png'}"
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [mask_name, f"{stem}_probability.png", "report.csv", "report.json", "report.pdf"]
    )
    mask, probability = pixels(out / mask_name), pixels(out / f"{stem}_probability.png")
    assert mask.shape == probability.shape == (200, 180)
    assert mask.dtype == probability.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}
    assert np.array_equal(mask == 255, probability / 255 >= 0.4)
    (entry,) = report["images"]
    assert (entry["file"], entry["mask"], entry["probability"]) == (name, mask_name, f"{stem}_probability.png")
    assert (entry["width"], entry["height"], entry["pixels"]) == (180, 200, 36000)
    assert entry["predicted_pixels"] == (mask == 255).sum() == report["total"]["predicted_pixels"]
    assert "dice" not in entry
    assert "dice" not in report["total"]
    assert report["threshold"] == 0.4
    assert report["model"]["name"] == "lgg-unet"
    assert len(report["model"]["sha256"]) == 64
    assert report["unreadable"] == []


def test_a_folder_with_masks_beside_and_the_report_over_all(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    folder = tmp_path / "in"
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    write_phantom(folder / "one", "s", phantom)
    write_phantom(folder / "two", "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))  # without masks
    report = run_predict(folder)
    assert [image["file"] for image in report["images"]] == ["one/s_1.png", "one/s_2.png", "one/s_3.png", "two/s.png"]
    masks = np.stack([pixels(tmp_path / "out" / image["mask"]) == 255 for image in report["images"]])
    for image, mask, reference in zip(report["images"], masks, phantom.mask, strict=False):
        assert image["predicted_pixels"] == mask.sum()
        assert image["reference_pixels"] == reference.sum()
        assert (image["dice"], image["iou"]) == pytest.approx(by_hand(mask, reference))
    assert "dice" not in report["images"][3]
    total = report["total"]
    assert (total["images"], total["slices"]) == (4, 4)
    assert total["predicted_pixels"] == masks.sum()
    assert total["reference_pixels"] == phantom.mask.sum()
    assert (total["dice"], total["iou"]) == pytest.approx(by_hand(masks[:3], phantom.mask)), "where a reference is known"


def test_only_what_is_given_is_read(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    image = write_phantom(tmp_path, "s", phantom)[1]
    (alone,) = run_predict(image)["images"]
    assert alone["file"] == "s_2.png" and "dice" not in alone
    (scored,) = run_predict(image, tmp_path / "s_2_mask.png")["images"]
    assert scored["reference_pixels"] == phantom.mask[1].sum() > 0


@pytest.mark.parametrize("name", ["s_2.png", "s_2_mask.tif"])
def test_references_given_are_matched_by_name(tmp_path: Path, run_predict: Predict, phantom: Phantom, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "gt").mkdir()
    images = write_phantom(tmp_path / "in", "s", Phantom(phantom.flair, np.zeros_like(phantom.mask)))
    mask = phantom.mask[1].astype(np.uint8) * 255
    if name.endswith("tif"):
        tifffile.imwrite(tmp_path / "gt" / name, mask)
    else:
        Image.fromarray(mask).save(tmp_path / "gt" / name)
    report = run_predict(*images, "--reference", tmp_path / "gt" / name)
    assert [image.get("reference_pixels") for image in report["images"]] == [None, phantom.mask[1].sum(), None]
    report = run_predict(*images, "--reference", tmp_path / "gt")  # a folder of them
    assert report["total"]["reference_pixels"] == phantom.mask[1].sum()


def test_one_image_and_one_reference_belong_together(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    (image,) = write_phantom(tmp_path, "image", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))
    Image.fromarray(phantom.mask[1]).save(tmp_path / "truth.png")
    report = run_predict(image, "--reference", tmp_path / "truth.png")
    assert report["total"]["reference_pixels"] == phantom.mask[1].sum()


def test_each_bad_input_costs_one_line_and_the_rest_is_done(
    tmp_path: Path, run_predict: Predict, phantom: Phantom, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    (folder / "empty").mkdir(parents=True)
    images = write_phantom(folder, "s", Phantom(phantom.flair, np.zeros_like(phantom.mask)))
    images[1].write_bytes(images[1].read_bytes()[:1000])
    (folder / "zero.tif").touch()
    (folder / "text.png").write_text("not a picture")
    (folder / "report.pdf").write_text("not a picture either")
    small = tmp_path / "other_mask.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(small)
    report = run_predict(folder, folder / "report.pdf", folder / "empty", "missing.png", "--reference", small, code=2)
    lines = capsys.readouterr().err.splitlines()
    names = ["s_2.png", "zero.tif", "text.png", "report.pdf", "empty", "missing.png", "other_mask.png"]
    assert sorted(line.split(": ")[1] for line in lines) == sorted(names)
    assert all(line.startswith("predict: ") for line in lines)
    assert sorted(entry["file"] for entry in report["unreadable"]) == sorted(names)
    assert [image["file"] for image in report["images"]] == ["s_1.png", "s_3.png"]
    assert (tmp_path / "out" / "s_3_mask.png").exists()


def test_nothing_readable_leaves_an_empty_report(tmp_path: Path, run_predict: Predict) -> None:
    report = run_predict(tmp_path / "missing.png", code=2)
    assert report["images"] == []
    assert report["total"] == {"images": 0, "slices": 0, "predicted_pixels": 0}


def test_two_files_of_one_name_do_not_share_an_output(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_phantom(tmp_path / folder, "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))
    report = run_predict(tmp_path / "one" / "s.png", tmp_path / "two" / "s.png")
    assert len({image["mask"] for image in report["images"]}) == 2
    assert len(list((tmp_path / "out").iterdir())) == 7


def test_what_was_read_is_never_written_over(tmp_path: Path, run: Path, phantom: Phantom, sentence: Sentence) -> None:
    (image,) = write_phantom(tmp_path, "s", Phantom(phantom.flair[1:2], phantom.mask[1:2]))
    truth = (tmp_path / "s_mask.png").read_bytes()
    for given in (image, tmp_path):
        said = sentence(predict.main, [str(given), "--checkpoint", str(run), "--out", str(tmp_path)])
        assert said.startswith(f"predict: {tmp_path / 's_mask.png'} ")
        assert said.endswith("would be written over; give another --out.")
    assert (tmp_path / "s_mask.png").read_bytes() == truth
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.png", "s_mask.png"]


def test_nor_is_a_folder_of_references_or_what_no_run_wrote(
    tmp_path: Path, run: Path, phantom: Phantom, sentence: Sentence, run_predict: Predict
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "truth").mkdir()
    (image,) = write_phantom(tmp_path / "in", "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))
    mask = tmp_path / "truth" / "s_mask.png"
    Image.fromarray(phantom.mask[1]).save(mask)
    truth = mask.read_bytes()
    arguments = [str(image), "--checkpoint", str(run), "--out", str(tmp_path / "truth")]
    said = sentence(predict.main, [*arguments, "--reference", str(tmp_path / "truth")])
    assert said == f"predict: {mask} was read and would be written over; give another --out."
    foreign = "is not of an earlier run, and would be written over; give another --out."
    assert sentence(predict.main, arguments) == f"predict: {mask} {foreign}"
    for name in ("report.csv", "report.json"):
        (tmp_path / name).write_text("[1]")
        assert sentence(predict.main, [*arguments[:-1], str(tmp_path)]) == f"predict: {tmp_path / name} {foreign}"
        assert (tmp_path / name).read_text() == "[1]"
        (tmp_path / name).unlink()
    assert mask.read_bytes() == truth and [p.name for p in mask.parent.iterdir()] == ["s_mask.png"]
    (tmp_path / "other").mkdir()
    write_phantom(tmp_path / "other", "t", Phantom(phantom.flair[1:2], phantom.mask[1:2]))
    first = run_predict(image)
    assert run_predict(image) == first, "over what an earlier run wrote"
    run_predict(tmp_path / "other" / "t.png")
    again = run_predict(image)
    assert again["images"] == first["images"], "and over one before another's"
    assert set(again["written"]) == {p.name for p in (tmp_path / "out").iterdir()} > set(first["written"])


def test_nor_is_what_a_hand_drew_over_an_earlier_runs(
    tmp_path: Path, run: Path, run_predict: Predict, phantom: Phantom, sentence: Sentence
) -> None:
    (image,) = write_phantom(tmp_path, "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))
    run_predict(image)
    drawn = tmp_path / "out" / "s_mask.png"
    Image.fromarray(phantom.mask[1].astype(np.uint8) * 255).save(drawn)
    date = (tmp_path / "out" / "report.json").stat().st_mtime + 3600
    os.utime(drawn, (date, date))
    arguments = [str(image), str(drawn), "--checkpoint", str(run), "--out", str(tmp_path / "out")]
    assert str(drawn) in sentence(predict.main, arguments)
    assert pixels(drawn).any() == phantom.mask[1].any()


def test_a_run_that_was_cut_off_may_be_given_again(
    tmp_path: Path, run_predict: Predict, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = write_phantom(tmp_path, "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "write_pdf", cut_off)
        run_predict(image)
    assert run_predict(image)["total"]["images"] == 1


def test_volumes_of_one_name_in_several_folders(tmp_path: Path, run_predict: Predict) -> None:
    for patient, gain in (("ann", 1.0), ("bob", 0.9)):
        (tmp_path / "in" / patient).mkdir(parents=True)
        nifti(tmp_path / "in" / patient / "flair.nii.gz", *turned("LPS", STACK * np.float32(gain)))
        nifti(tmp_path / "in" / patient / "seg.nii.gz", *turned("LPS", HEAD.mask.astype(np.float32)))
    report = run_predict(tmp_path / "in")
    assert [image["file"] for image in report["images"]] == ["ann/flair", "bob/flair"]
    assert [image["mask"] for image in report["images"]] == ["ann/flair_mask.nii.gz", "bob/flair_mask.nii.gz"]
    assert all((tmp_path / "out" / image["mask"]).is_file() and "dice" in image for image in report["images"])


def test_a_folder_of_dicom_called_after_its_patient_names_no_output(tmp_path: Path, run_predict: Predict) -> None:
    series(
        tmp_path / "in" / "DOE^JANE" / "flair", FrameOfReferenceUID=None
    )  # careless anonymisers take that, and leave this
    report = run_predict(tmp_path / "in")
    assert [image["file"] for image in report["images"]] == ["series-3"]
    out = tmp_path / "out"
    assert not any("JANE" in str(p.relative_to(out)) or b"JANE" in p.read_bytes() for p in out.rglob("*") if p.is_file())


def test_a_discs_logo_is_no_patient(tmp_path: Path, run_predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    series(tmp_path / "in" / "DICOM")
    for name, pixels in (("logo", HEAD.flair[3]), ("img_4", HEAD.flair[3]), ("mask_4", HEAD.mask[3].astype(np.uint8))):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    report = run_predict(tmp_path / "in")  # exit code 0: nothing went wrong
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("predict: logo.png: 1 picture beside DICOM")
    assert [(image["file"], "dice" in image) for image in report["images"]] == [("img_4.png", True), ("series-3", False)]
    assert report["unreadable"] == []


def test_a_second_run_does_not_read_what_the_first_wrote(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    write_phantom(tmp_path, "s", Phantom(phantom.flair[1:2], phantom.mask[1:2]))
    first, second = (run_predict(tmp_path) | {"notices": []} for _ in range(2))
    assert first == second, "out lies below the folder given"


def test_nor_does_a_run_into_another_folder(
    tmp_path: Path, run_predict: Predict, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, {"ann_flair.nii.gz": SCAN, "s.png": SCAN})
    first = run_predict(tmp_path)
    again = ["--checkpoint", str(run), "--out", str(tmp_path / "second")]
    loose = [tmp_path / "s.png", *sorted(tmp_path.glob("*/*.nii.gz")), tmp_path / "ann_flair.nii.gz"]
    for given in ([tmp_path], loose):
        assert predict.main([*map(str, given), *again]) == 0
        assert "files of an earlier run passed over" in capsys.readouterr().err
        second = json.loads((tmp_path / "second" / "report.json").read_text(encoding="utf-8"))
        assert len(second["images"]) == len(first["images"]) == 2
        assert not any("dice" in image for image in second["images"])


def test_outputs_beside_their_picture_are_no_reference_of_the_next_run(tmp_path: Path, run_predict: Predict) -> None:
    (tmp_path / "out").mkdir()
    Image.fromarray(HEAD.flair[3]).save(tmp_path / "out" / "s.png")
    first = run_predict(tmp_path / "out" / "s.png")
    assert run_predict(tmp_path / "out" / "s.png") == first
    assert run_predict(tmp_path / "out") | {"notices": []} == first


def test_outputs_alone_are_nothing_to_outline(
    tmp_path: Path, run_predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(HEAD.flair[3]).save(tmp_path / "s.png")
    run_predict(tmp_path / "s.png")
    for given, said in (
        (tmp_path / "out", "no image in this folder"),
        (tmp_path / "out" / "s_mask.png", "no image inside"),
    ):
        assert run_predict(given, code=2)["images"] == [] and said in capsys.readouterr().err


def test_what_lies_in_out_but_is_none_of_ours_is_read(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    (tmp_path / "out" / "scans").mkdir(parents=True)
    write_phantom(tmp_path / "out" / "scans", "s", Phantom(phantom.flair[1:2], phantom.mask[1:2]))
    for _ in range(2):
        assert [image["file"] for image in run_predict(tmp_path)["images"]] == ["out/scans/s.png"]


def test_out_may_lie_above_the_folder_given(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    (tmp_path / "out" / "in").mkdir(parents=True)
    write_phantom(tmp_path / "out" / "in", "s", Phantom(phantom.flair[1:2], phantom.mask[1:2]))
    assert run_predict(tmp_path / "out" / "in")["total"]["images"] == 1


def test_a_multipage_file_keeps_its_pages(tmp_path: Path, run_predict: Predict, phantom: Phantom) -> None:
    tifffile.imwrite(tmp_path / "volume.tif", phantom.flair, photometric="minisblack")
    report = run_predict(tmp_path / "volume.tif")
    assert report["images"][0]["slices"] == 3
    assert pixels(tmp_path / "out" / "volume_mask.tif").shape == (3, 256, 256)
    assert pixels(tmp_path / "out" / report["images"][0]["probability"]).shape == (3, 256, 256)


def test_wrong_arguments_get_one_sentence(tmp_path: Path, run: Path, sentence: Sentence) -> None:
    (tmp_path / "file").touch()
    arguments = [str(tmp_path / "s.png"), "--out"]
    assert "File exists" in sentence(predict.main, [*arguments, str(tmp_path / "file"), "--checkpoint", str(run)])
    said = sentence(predict.main, [*arguments, str(tmp_path / "out"), "--checkpoint", str(tmp_path / "none.safetensors")])
    assert said.startswith("predict: There is no checkpoint at")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x.png", "x_seg.png"),
        ("Scan.png", "scan_mask.png"),
        ("img_0.png", "mask_0.png"),
        ("images/x.png", "masks/x.png"),
    ],
)
def test_a_mask_of_another_name_is_scored(
    tmp_path: Path, run_predict: Predict, phantom: Phantom, image: str, mask: str
) -> None:
    for name in (image, mask):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
    (one,) = write_phantom(tmp_path, "s", Phantom(phantom.flair[1:2], np.zeros_like(phantom.mask[1:2])))
    one.rename(tmp_path / "in" / image)
    Image.fromarray(phantom.mask[1].astype(np.uint8) * 255).save(tmp_path / "in" / mask)
    report = run_predict(tmp_path / "in")
    assert report["total"]["images"] == 1
    assert report["total"]["reference_pixels"] == phantom.mask[1].sum()


# What is said of files instead of their names


def test_flags_say_what_files_are(tmp_path: Path, run_predict: Predict) -> None:
    folder = lay(tmp_path / "in", {"GT.nii": SCAN, "ann_t2.nii": SCAN, "x/flair.nii": SCAN, "scan.nii": 10})
    flags = ["--flair", folder / "GT.nii", "--pre", folder / "ann_t2.nii", "--post", folder / "x" / "flair.nii"]
    (image,) = run_predict(*flags, "--mask", folder / "scan.nii")["images"]
    assert image["file"] == "GT" and image["reference_pixels"] == 10 * 64 * 12


def test_a_flag_may_name_a_volume_of_the_inputs(tmp_path: Path, run_predict: Predict) -> None:
    for number, words in ((2, "AX FLAIR"), (4, "AX T1")):
        series(tmp_path / "in" / words, SeriesDescription=words, SeriesNumber=number, StudyInstanceUID="1.2.3")
    assert [image["file"] for image in run_predict(tmp_path / "in")["images"]] == ["series-2"]
    report = run_predict(tmp_path / "in", "--flair", "series-4", "--pre", "")
    assert [image["file"] for image in report["images"]] == ["series-4"]


def test_a_manifest_says_what_files_are(tmp_path: Path, run_predict: Predict, run: Path, sentence: Sentence) -> None:
    lay(tmp_path, {"a.nii": SCAN, "b.nii": SCAN, "m/c.nii": 10, "d.nii": BROKEN})
    manifest = tmp_path / "cases.csv"
    manifest.write_text("subject,role,path\nann,flair,a.nii\nbob,flair,b.nii\nbob,mask,m/c.nii\nbob,ignore,d.nii\n")
    report = run_predict("--manifest", manifest)
    assert [(image["file"], "dice" in image) for image in report["images"]] == [("a", False), ("b", True)]
    manifest.write_text("subject,role,path\nann,t2,a.nii\n")
    arguments = ["--manifest", str(manifest), "--checkpoint", str(run), "--out", str(tmp_path / "out")]
    assert sentence(predict.main, arguments).startswith("predict: cases.csv, line 2: the role")


def test_without_inputs_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        predict.main(["--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and "give files to segment" in capsys.readouterr().err


def test_what_is_not_used_is_returned(tmp_path: Path, segmenter: Segmenter) -> None:
    folder = lay(tmp_path / "in", {"p/s.png": SCAN, "p/bad.png": BROKEN, "p/x_adc.nii": SCAN})
    errors, notices = predict.predict(Request((folder,)), tmp_path / "out", segmenter, 0.5)
    assert [(e.file, e.sentence.key) for e in errors] == [("bad.png", "not_an_image")]
    assert all(isinstance(n, Notice) for n in notices) and [n.sentence.key for n in notices] == ["others_beside"]
    assert (tmp_path / "out" / "p" / "s_mask.png").is_file(), "below the folder that it came from"

"""The figures of report.json, and what it warns of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_results import RECORD, SIDES, picture_result

from lgg_demo import __version__
from lgg_demo.case import Case, Notice, ReadError, Scan
from lgg_demo.grid import Grid
from lgg_demo.messages import say
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, REMOVED, Result, result_of, warnings_of
from lgg_demo.probability import binarise

HEIGHT, WIDTH = SIDES


def volume(probability: np.ndarray, affine: np.ndarray, reference: np.ndarray | None = None) -> Result:
    """Of one file, a.nii, scored in every slice if at all."""
    slices = len(probability)
    known = None if reference is None else np.ones(slices, bool)
    grid = Grid((WIDTH, HEIGHT, slices), affine)
    return Result((("a.nii", slices),), (Path("a.nii"),), probability, reference, known, (), grid)


def blank(slices: int) -> np.ndarray:
    return np.zeros((slices, *SIDES), np.uint8)


def test_the_head_of_a_report_in_both_languages() -> None:
    problems = [ReadError("a.png", "damaged"), ReadError("DOE^JANE.dcm", "damaged")]
    notices = [Notice("logo.png", "pictures_beside", pictures=1), Notice("DOE^JANE.dcm", "dicom_no_picture", kind="SR")]
    for language in ("en", "fr"):
        report = build_report([picture_result(("c.png", 1))], 0.25, RECORD, problems, language, notices)
        assert report["notice"] == say("not_for_diagnosis", language)
        assert report["threshold"] == 0.25
        assert report["model"] == {k: RECORD[k] for k in ("name", "sha256", "created_by")}
        assert report["software"] == f"lgg-demo {__version__}"
        assert report["unreadable"][0] == {"file": "a.png", "message": problems[0].sentence.say(language)}
        assert report["notices"][0] == {"file": "logo.png", "message": notices[0].sentence.say(language)}
        assert [n["file"] for n in (report["unreadable"][1], report["notices"][1])] == ["DICOM", "DICOM"]
        assert "JANE" not in json.dumps(report)
    assert build_report([], 0.5, RECORD)["notices"] == []


def test_figures_of_pictures() -> None:
    reference = np.zeros((3, *SIDES), dtype=bool)
    reference[0, :5, :4] = True
    scored = picture_result(("a.png", 1), ("b.tif", 2), reference=reference, referenced=[True, False, True])
    scored.probability[:] = 0
    scored.probability[0, :5, 2:6] = 200  # half of the reference, and as much beside it
    scored.probability[1, 0, :7] = 255  # without a reference: counted, never scored
    free = picture_result(("c.png", 1))
    free.probability[:] = 0
    report = build_report([scored, free], 0.5, RECORD)
    first, second, third = report["images"]
    pixels = HEIGHT * WIDTH
    # Probabilities of 200 / 255 lead one to expect their Dice of their mask, whatever the reference says.
    assert first == {
        "file": "a.png", "slices": 1, "width": WIDTH, "height": HEIGHT, "pixels": pixels, "predicted_pixels": 20,
        "reference_pixels": 20, "dice": 0.5, "iou": pytest.approx(1 / 3), "precision": 0.5, "recall": 0.5,
        "expected_dice": 2 * 200 / (255 + 200), "mask": "a_mask.png", "probability": "a_probability.png",
        "diameters_px": {"longest": 5.83, "perpendicular": 4.66, "slice": 1},
    }  # fmt: skip
    # Of the two slices of b.tif the one with a reference is empty on both sides.
    assert (second["pixels"], second["predicted_pixels"], second["reference_pixels"]) == (2 * pixels, 7, 0)
    assert second["dice"] == second["iou"] == 1 and second["precision"] is None and second["recall"] is None
    assert second["diameters_px"] == {"longest": 7, "perpendicular": 1, "slice": 1}
    assert third["predicted_pixels"] == 0 and not {"dice", "reference_pixels", "diameters_px", "volume_ml"} & set(third)
    assert third["expected_dice"] == 1, "nothing is segmented, nothing likely"
    assert report["total"] == {
        "images": 3, "slices": 4, "predicted_pixels": 27, "reference_pixels": 20,
        "dice": 0.5, "iou": pytest.approx(1 / 3), "precision": 0.5, "recall": 0.5,
        "expected_dice": 2 * (20 * 200 + 7 * 255) / (27 * 255 + 20 * 200 + 7 * 255),
    }  # fmt: skip
    edits = np.zeros(scored.probability.shape, np.uint8)
    edits[0, 6, 6] = ADDED
    by_hand = build_report([replace(scored, edits=edits), free], 0.5, RECORD)
    has = ["expected_dice" in entry for entry in (*by_hand["images"], *by_hand["series"], by_hand["total"])]
    assert has == [False, True, True, False, True, False], "of what a hand drew the probabilities say nothing"
    assert by_hand["images"][0]["corrected_pixels"] == by_hand["total"]["corrected_pixels"] == 1
    assert "a.png" in by_hand["warnings"][0] and not report["warnings"]


def test_total_is_of_all_pixels_together() -> None:
    rng = np.random.default_rng(0)
    results = [
        picture_result((f"{n}.tif", n), reference=rng.random((n, *SIDES)) < 0.4, referenced=[True] * n) for n in (1, 2, 5)
    ]
    total = build_report(results, 0.3, RECORD)["total"]
    predicted = np.concatenate([binarise(r.probability, 0.3) for r in results])
    reference = np.concatenate([r.reference for r in results if r.reference is not None])
    both = int((predicted & reference).sum())
    assert (total["images"], total["slices"]) == (3, 8)
    assert (total["predicted_pixels"], total["reference_pixels"]) == (predicted.sum(), reference.sum())
    assert total["dice"] == pytest.approx(2 * both / (predicted.sum() + reference.sum()))
    assert total["precision"] == pytest.approx(both / predicted.sum())


def test_figures_of_a_volume() -> None:
    probability = blank(3)
    probability[1, 4:6, 2:12] = 255  # 20 pixels of 0.4 mm²
    reference = probability > 0
    reference[2, 4:6, 2:12] = True
    affine = np.diag([0.5, 0.8, 5.0, 1])
    (entry,) = build_report([volume(probability, affine)], 0.5, RECORD)["images"]
    assert entry["spacing_mm"] == [5, 0.8, 0.5] and entry["areas_mm2"] == [0, 8, 0]
    assert entry["volume_ml"] == pytest.approx(20 * 2 / 1000)
    assert entry["diameters_mm"]["slice"] == 2 and entry["diameters_mm"]["longest"] == pytest.approx(5.06, abs=0.01)
    assert not {"reference_volume_ml", "hd95_mm", "surface_dice_2mm", "diameters_px", "dice"} & set(entry)
    scored = volume(probability, affine, reference)
    report = build_report([scored], 0.5, RECORD)
    (entry,) = report["images"]
    assert entry["reference_volume_ml"] == 0.08 and entry["volume_difference_ml"] == -0.04 and entry["hd95_mm"] == 5
    assert entry["dice"] == pytest.approx(2 / 3) and entry["surface_dice_2mm"] == pytest.approx(2 / 3)
    assert report["total"]["volume_ml"] == 0.04
    (entry,) = build_report([replace(scored, referenced=np.array([True, True, False]))], 0.5, RECORD)["images"]
    assert entry["dice"] == 1 and "hd95_mm" not in entry, "a surface needs every slice"
    report = build_report([replace(scored, probability=blank(3))], 0.5, RECORD)
    (entry,) = json.loads(json.dumps(report, allow_nan=False))["images"]
    assert entry["hd95_mm"] is entry["diameters_mm"] is None and entry["surface_dice_2mm"] == entry["volume_ml"] == 0


def test_a_tilted_gantry_does_not_lengthen_distances() -> None:
    """Two slices of the same mask 3 mm apart along their normal, whose corners are 3.4 mm apart."""
    probability, affine = blank(3), np.diag([1.0, 1.0, 3.0, 1.0])
    probability[0, 4:9, 4:9] = 255
    affine[1, 2] = 1.6
    (entry,) = build_report([volume(probability, affine, np.roll(probability > 0, 1, axis=0))], 0.5, RECORD)["images"]
    assert entry["hd95_mm"] == 3 and entry["spacing_mm"] == [3, 1, 1]
    assert entry["volume_ml"] == pytest.approx(25 * 3 / 1000)


def test_a_volume_of_several_files_is_one_entry() -> None:
    files = tuple((f"series-2/{n}.dcm", 1) for n in range(3))
    r = replace(volume(blank(3), np.eye(4)), files=files, paths=tuple(Path(name) for name, _ in files))
    report = build_report([r, picture_result(("b.png", 1))], 0.5, RECORD)
    assert [(i["file"], i["slices"]) for i in report["images"]] == [("series-2/0.dcm", 3), ("b.png", 1)]
    assert "volume_ml" not in report["total"], "millimetres and pixels are not added up"


def test_no_volume_is_added_up_over_cases() -> None:
    report = build_report([volume(blank(3), np.eye(4)), volume(blank(3), np.eye(4))], 0.5, RECORD)
    assert "volume_ml" not in report["total"], "they may be two visits of one patient"
    assert [image["volume_ml"] for image in report["images"]] == [0, 0]


def test_lesions_of_a_case_the_largest_first() -> None:
    probability = blank(5)
    probability[0, 0:2, 0:2] = 255  # 4 pixels, touching the next slice's by a corner only
    probability[1, 2, 2:8] = 200
    probability[3:, 10, 3:7] = 140
    affine = np.diag([0.5, 0.8, 5.0, 1])
    (series,) = build_report([volume(probability, affine)], 0.5, RECORD)["series"]
    assert series["lesion_count"] == 2
    first, second = series["lesions"]
    assert first == {
        "pixels": 10, "slices": [1, 2], "volume_ml": 0.02, "craniocaudal_mm": 10,
        "diameters_mm": {"longest": 3, "perpendicular": 0.8, "slice": 2},
    }  # fmt: skip
    assert (second["pixels"], second["slices"], second["volume_ml"]) == (8, [4, 5], 0.016)
    (series,) = build_report([volume(probability, affine)], 0.6, RECORD)["series"]
    assert [lesion["pixels"] for lesion in series["lesions"]] == [10]
    edits = np.zeros_like(probability)
    edits[:2, :3] = REMOVED
    (series,) = build_report([replace(volume(probability, affine), edits=edits)], 0.5, RECORD)["series"]
    assert [lesion["slices"] for lesion in series["lesions"]] == [[4, 5]], "what a hand removed is no lesion"
    tied = picture_result(("a.png", 1), ("b.png", 1))
    tied.probability[:] = 0
    tied.probability[0, 5, :3] = tied.probability[0, 0, 9:12] = 255
    (series,) = build_report([tied], 0.5, RECORD)["series"]
    assert [lesion["diameters_px"] for lesion in series["lesions"]] == [{"longest": 3, "perpendicular": 1, "slice": 1}] * 2
    (series,) = build_report([volume(blank(2), affine)], 0.5, RECORD)["series"]
    assert (series["lesion_count"], series["lesions"]) == (0, [])


# Results and their warnings


def case(pixels: np.ndarray, *files: tuple[str, int], grey: bool = True) -> Case:
    colours = np.repeat(pixels[..., None], 3, axis=-1).astype(np.float32) if pixels.ndim == 3 else pixels
    return Case(Scan(colours, "scan", files, grey), tuple(Path(name) for name, _ in files))


def said(found: Case) -> list[tuple[str, dict[str, object]]]:
    return [(s.key, dict(s.values)) for s in warnings_of(found)]


def test_blank_slices_are_named_with_their_file() -> None:
    pixels = np.random.default_rng(0).random((4, *SIDES))
    pixels[1], pixels[3] = 7, 0
    assert said(case(pixels, ("a.png", 1), ("b.tif", 2), ("c.png", 1))) == [
        ("slices_blank", {"file": "b.tif", "blank": 1, "slices": 2}),
        ("slices_blank", {"file": "c.png", "blank": 1, "slices": 1}),
    ]
    assert said(case(pixels[:1], ("a.png", 1))) == []


def test_colour_is_warned_of_once() -> None:
    pixels = np.random.default_rng(0).random((2, *SIDES, 3)).astype(np.float32)
    found = case(pixels, ("a.png", 1), ("b.png", 1), grey=False)
    assert said(found) == [("colour_as_sequences", {"file": "a.png"})]
    pixels[1] = (10, 20, 30)  # one colour all over is blank as well
    assert ("slices_blank", {"file": "b.png", "blank": 1, "slices": 1}) in said(found)


def test_result_takes_the_names_it_is_given_and_warns_by_the_file() -> None:
    found = case(blank(2), ("s_1.png", 1), ("s_2.png", 1))
    r = result_of(found, blank(2), ["p/s_1.png", "p/s_2.png"])
    assert r.files == (("p/s_1.png", 1), ("p/s_2.png", 1)) and r.paths == found.paths
    assert r.size == SIDES and r.slices == (1, 1)
    assert build_report([r], 0.5, RECORD)["images"][1]["mask"] == "p/s_2_mask.png"
    for language in ("en", "fr"):
        assert build_report([r], 0.5, RECORD, language=language)["warnings"] == [s.say(language) for s in r.warnings]

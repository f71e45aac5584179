"""Lesions, diameters, distances and the text for a report, on the page; its figures are the report's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from driver import FIXTURES as PAGE_FIXTURES
from driver import do, download, opened, series, served, set_threshold, settle, shipped, url
from phantom_study import study
from test_viewer import alone, put, stage, value_of

from lgg_demo.case import Case
from lgg_demo.messages import say
from lgg_demo.output.report import build_report
from lgg_demo.output.result import Result
from lgg_demo.page.payload import read_corrections

__all__ = ["alone", "opened", "series", "served", "shipped", "url"]  # fixtures
assert {"opened", "served", "series", "shipped", "url"} <= set(PAGE_FIXTURES)
pytestmark = [needs_browser, pytest.mark.browser]

ROWS = "#stage .lgg-lesion-list li, #viewer .lgg-lesion-list li"


def two_lesions(grid: bool = True, known: bool = True) -> tuple[Case, Result]:
    """A study of 12 slices with two lesions, the smaller one in slices 3 to 5; the other one has a less likely rim."""
    case, result = study(known=known, grid=grid)
    probability = np.zeros_like(result.probability)
    probability[5:10, 30:60, 20:40] = 100
    probability[5:10, 34:56, 24:36] = 220
    probability[2:5, 60:70, 60:75] = 180
    return case, replace(result, probability=probability)


def measured(page: Any) -> None:
    """Wait until the lesions of what is on screen are listed."""
    page.wait_for_function("() => { const all = casesNow().map(lesionsIn); return all.every((one) => one?.isFresh); }")
    settle(page)


def texts(page: Any) -> list[str]:
    return [" ".join(row.split()) for row in page.locator(ROWS).all_inner_texts()]


def lesions_of(result: Result, threshold: float = 0.5) -> list[dict[str, Any]]:
    return list(build_report([result], threshold, {})["series"][0]["lesions"])


def test_lesions_are_listed_as_the_report_has_them_and_a_click_goes_to_one(alone: Any) -> None:
    case, result = two_lesions()
    put(alone, stage(value_of((case, result))))
    measured(alone)
    first, second = lesions_of(result)
    for text, own in zip(texts(alone), (first, second), strict=True):
        lines = own["diameters_mm"]
        size = f"{lines['longest']:.1f} × {lines['perpendicular']:.1f} × {own['craniocaudal_mm']:.1f} mm"
        volume = own["volume_ml"]
        assert size in text and f"slice {lines['slice']}" in text
        assert (f"{volume:.2f} mL" if volume < 1 else f"{volume:.1f} mL") in text
    alone.click(f"{ROWS.split(',')[0]}:nth-child(2) button")
    assert alone.evaluate("[state.place + 1, state.cross]") == [second["diameters_mm"]["slice"], {"x": 67, "y": 64}]
    alone.evaluate("setThreshold(0.3)")
    measured(alone)
    assert len(texts(alone)) == 2 and texts(alone)[0] != ""
    assert alone.evaluate("lesionsIn(series()).lesions[0].pixels") == lesions_of(result, 0.3)[0]["pixels"]


def test_a_tick_takes_a_lesion_out_of_everything_and_brings_it_back(alone: Any) -> None:
    case, result = two_lesions()
    put(alone, stage(value_of((case, result))))
    measured(alone)
    everything = alone.evaluate("figuresOf(series(), 128).predicted")
    tick = alone.locator("[data-lesion^=tick]").first
    tick.focus()
    alone.keyboard.press("Space")
    measured(alone)
    assert alone.evaluate("document.activeElement.dataset.lesion.startsWith('tick/')"), "the focus stays"
    (edits,) = read_corrections(alone.evaluate("root.corrections()"), "one", [result])
    (left,) = lesions_of(replace(result, edits=edits))
    assert left["slices"] == [3, 5]
    assert alone.evaluate("figuresOf(series(), 128).predicted") == left["pixels"]
    assert [row.startswith("–") for row in texts(alone)] == [True, False]
    alone.evaluate("setThreshold(0.2)")
    measured(alone)
    assert alone.evaluate("lesionsIn(series()).found") == 1, "its rim went with it"
    alone.evaluate("setThreshold(0.5)")
    measured(alone)

    alone.evaluate("undo()")
    measured(alone)
    assert alone.evaluate("figuresOf(series(), 128).predicted") == everything and len(texts(alone)) == 2
    alone.evaluate("redo()")
    measured(alone)
    alone.locator("[data-lesion^=tick]").first.check()
    measured(alone)
    assert alone.evaluate("[figuresOf(series(), 128).predicted, root.corrections() === '']")[0] == everything
    assert alone.evaluate("root.corrections()") == ""
    for row in (0, 1):  # both, and then there is nothing
        alone.locator("[data-lesion^=tick]").nth(row).uncheck()
        measured(alone)
    assert say("nothing_found", "en", threshold="0.50") in alone.inner_text(".lgg-lesion-list")
    assert alone.locator("[data-lesion^=tick]").count() == 2


def test_nothing_found_is_said_with_the_threshold_as_the_language_writes_it(alone: Any) -> None:
    case, result = study()
    nothing = replace(result, probability=np.zeros_like(result.probability))
    put(alone, stage(value_of((case, nothing)), language="fr"))
    measured(alone)
    assert say("nothing_found", "fr", threshold="0,50") in alone.inner_text(".lgg-lesion-list")
    assert alone.inner_text('[data-figure="expected"][data-of="all"]') == "–"


def test_several_cases_have_lists_of_their_own_and_no_common_volume(alone: Any) -> None:
    one, two = two_lesions(), two_lesions(known=False)
    put(alone, stage(value_of(one, two)))
    measured(alone)
    assert alone.locator(".lgg-lesion-list h3").count() == 2 and alone.locator(ROWS).count() == 4
    assert alone.inner_text('[data-figure="volume"][data-of="all"]') == "–"
    assert alone.inner_text('[data-figure="volume"][data-of="series"]') != "–"
    alone.locator("[data-lesion^=go]").last.click()
    assert alone.evaluate("[frameNow().case, frameNow().slice]") == [1, 2]


def test_surfaces_are_compared_as_in_the_report_a_moment_later(alone: Any) -> None:
    case, result = two_lesions()
    put(alone, stage(value_of((case, result))))
    for threshold in (0.5, 0.3):
        alone.evaluate("(t) => setThreshold(t)", threshold)
        settle(alone)
        alone.wait_for_function("document.querySelector('[data-figure=hd95][data-of=all]').textContent !== '…'")
        (entry,) = build_report([result], threshold, {})["images"]
        said = {
            name: float(alone.get_attribute(f'[data-figure="{name}"][data-of="all"]', "data-exact"))
            for name in ("hd95", "surface_dice", "reference_volume", "volume_difference")
        }
        assert said["hd95"] == pytest.approx(entry["hd95_mm"], abs=1e-6)
        assert said["surface_dice"] == pytest.approx(entry["surface_dice_2mm"], abs=1e-6)
        assert said["reference_volume"] == entry["reference_volume_ml"]
        assert said["volume_difference"] == entry["volume_difference_ml"]


def test_a_distance_is_drawn_listed_and_deleted_with_or_without_a_mouse(alone: Any) -> None:
    put(alone, stage(value_of(two_lesions())))
    measured(alone)
    do_ = "[data-do='{}']".format
    alone.click(do_("ruler"))
    box = alone.locator('[data-panel="prediction"] canvas').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    alone.mouse.move(x, y)
    alone.mouse.down()
    alone.mouse.move(x + 60, y + 25, steps=3)
    alone.mouse.up()
    (line,) = alone.evaluate("linesNow()")
    length = float(np.hypot(line["to"]["x"] - line["from"]["x"], line["to"]["y"] - line["from"]["y"]))
    assert f"{length:.1f} mm" in alone.inner_text(".lgg-rulers"), "a pixel is 1 mm there"
    assert alone.evaluate("state.history.done.length") == 0, "it corrects nothing"

    alone.focus(".lgg-viewer")
    for key in ("Enter", *["ArrowRight"] * 7, "Enter"):
        alone.keyboard.press(key)
    assert "7.0 mm" in alone.inner_text(".lgg-rulers")
    go = alone.locator(".lgg-rulers li button").first
    alone.evaluate("go(0)")
    go.click()
    assert alone.evaluate("state.place") == line["at"]
    for left in (1, 0):
        alone.locator("[data-ruler]").first.focus()
        alone.keyboard.press("Enter")
        assert alone.locator("[data-ruler]").count() == left == len(alone.evaluate("linesNow()"))
    assert alone.evaluate("document.activeElement.dataset.do") == "ruler", "the focus is not lost"


def test_diameters_are_drawn_on_the_picture_and_can_be_left_out(alone: Any) -> None:
    case, result = two_lesions()
    put(alone, stage(value_of((case, result))))
    measured(alone)
    watch = """() => { const said = []; const was = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (t, ...a) { said.push(t); was.call(this, t, ...a); };
      go(lesionsIn(series()).lesions[0].slice); draw(); CanvasRenderingContext2D.prototype.fillText = was; return said; }"""
    lines = lesions_of(result)[0]["diameters_mm"]
    wanted = f"1: {lines['longest']:.1f} × {lines['perpendicular']:.1f} mm"
    for is_drawn in (True, False):
        alone.evaluate("go(0)")
        settle(alone)
        assert (wanted in alone.evaluate(watch)) == is_drawn
        alone.click("[data-do='diameters']")


def copied(page: Any) -> str:
    return str(
        page.evaluate(
            """async () => { let text; Object.defineProperty(navigator, 'clipboard', { configurable: true,
            value: { writeText: async (t) => (text = t) } }); await copyReport(); return text; }"""
        )
    )


def test_the_text_for_a_report_says_what_is_known_and_no_more(alone: Any) -> None:
    case, result = two_lesions()
    put(alone, stage(value_of((case, result), model="lgg-unet")))
    measured(alone)
    first, _ = lesions_of(result)
    text = copied(alone)
    lines = first["diameters_mm"]
    size = f"{lines['longest']:.0f} × {lines['perpendicular']:.0f} × {first['craniocaudal_mm']:.0f} mm"
    assert size in text and f"slice {lines['slice']} of 12" in text and "2 separate lesions" in text
    assert say("not_for_diagnosis", "en") in text and "lgg-unet" in text
    assert "threshold" not in text and "study.nii" not in text and "NaN" not in text and "undefined" not in text
    assert f"Dice {build_report([result], 0.5, {})['images'][0]['dice']:.3f}" in text
    assert "Site" not in text, "nobody has said it"
    alone.fill(".lgg-site input", "left frontal")
    assert say("text_site", "en", site="left frontal") in copied(alone)
    alone.evaluate("setThreshold(0.3)")
    assert "threshold 0.30" in copied(alone), "at once, though nothing is measured yet"
    alone.evaluate("give('language', 'fr')")
    assert "Seuil de probabilité 0,30" in copied(alone)


def test_the_text_for_a_report_of_pictures_knows_neither_millimetres_nor_sides(alone: Any) -> None:
    put(alone, stage(value_of(two_lesions(grid=False, known=False))))
    measured(alone)
    text = copied(alone)
    assert " mm" not in text and " mL" not in text and "pixels" in text and "Dice" not in text
    assert "right" not in text and "left" not in text, "nobody knows the sides of a picture"


def test_the_download_follows_the_ticks(series: Any) -> None:
    page = series
    set_threshold(page, 0.5)
    page.wait_for_selector("#viewer .lgg-lesion-list [data-lesion^=tick]")
    before = json.loads(download(page).read("report.json"))["series"][0]
    page.locator("#viewer [data-lesion^=tick]").first.uncheck()
    page.wait_for_selector("#viewer .lgg-lesion-list .lgg-out")
    after = json.loads(download(page).read("report.json"))
    assert after["series"][0]["lesion_count"] == before["lesion_count"] - 1
    assert after["series"][0]["lesions"] == before["lesions"][1:]
    assert after["total"]["corrected"] and after["total"]["corrected_pixels"] == before["lesions"][0]["pixels"]
    page.locator("#viewer [data-lesion^=tick]").first.check()
    page.wait_for_selector("#viewer .lgg-lesion-list .lgg-out", state="detached")
    do(page, "undo")
    do(page, "undo")

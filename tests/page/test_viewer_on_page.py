"""The viewer on the page, with a series and its ground truth: mouse, keys, scores, corrections, outputs."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from drawn_heads import draw_head, write_phantom
from driver import (
    DRAWN,
    coloured,
    do,
    download,
    drag,
    middle,
    no_request,
    opened,
    picture,
    place,
    pressed,
    series,
    served,
    set_threshold,
    settle,
    shipped,
    shown,
    url,
)  # fmt: skip
from PIL import Image

from lgg_demo.messages import say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of
from lgg_demo.reading.studies import Request, read_all

__all__ = ["opened", "series", "served", "shipped", "url"]  # fixtures
PLACE = "Number(document.querySelector('#viewer .lgg-steps output').textContent.split('/')[0])"
SCORES = ("dice", "iou", "precision", "recall")
pytestmark = [needs_browser, pytest.mark.browser]


def test_what_the_hand_does_needs_no_request(series: Any) -> None:
    page = series
    at = middle(page, "prediction")
    with no_request(page):
        first = {name: picture(page, name) for name in ("image", "prediction")}
        drag(page, middle(page, "image"), (60, -40), "right")  # window and level
        assert picture(page, "image") != first["image"]
        do(page, "reset")
        assert picture(page, "image") == first["image"]
        page.mouse.move(*middle(page, "prediction", 0.3, 0.3))
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        zoomed = picture(page, "prediction")
        assert zoomed != first["prediction"]
        drag(page, at, (30, 20))  # a zoomed picture moves
        assert picture(page, "prediction") != zoomed
        do(page, "reset")
        assert picture(page, "prediction") == first["prediction"]
        before = place(page)
        page.mouse.move(*at)
        page.mouse.wheel(0, 120)
        page.wait_for_function(f"{PLACE} > {before}")
        page.mouse.wheel(0, -120)
        page.wait_for_function(f"{PLACE} == {before}")
        page.locator('#viewer [data-dial="opacity"]').fill("20")
        faint = picture(page, "prediction")
        assert faint != first["prediction"]
        page.locator('#viewer [data-dial="opacity"]').fill("60")
        do(page, "fill")
        assert picture(page, "prediction") not in (faint, first["prediction"])
        do(page, "fill")
        for name in ("agreement", "uncertainty"):
            do(page, name)
            assert picture(page, name) != first["image"]
        for layout in ("overlay", "swipe", "planes"):
            do(page, layout)
            settle(page)
        do(page, "swipe")
        halves = picture(page, "main")
        drag(page, middle(page, "main"), (-120, 0))  # the divider
        assert picture(page, "main") != halves
        set_threshold(page, 0.7)
        page.keyboard.press("n")


def test_image_prediction_and_ground_truth_are_in_step(series: Any) -> None:
    """Zoomed in one, moved in another, windowed in the third, on another slice: without their colours they are one."""
    page = series
    page.mouse.move(*middle(page, "image", 0.3, 0.4))
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Shift")
    drag(page, middle(page, "reference"), (25, -15), "middle")
    drag(page, middle(page, "prediction"), (-40, 30), "right")
    page.keyboard.press("ArrowDown")

    def different() -> int:
        return len({picture(page, name) for name in ("image", "prediction", "reference")})

    assert different() == 3
    page.keyboard.down(" ")  # blink: held, the layers are off
    assert different() == 1
    page.keyboard.up(" ")
    assert different() == 3


@pytest.fixture(scope="module")
def predicted(shipped: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `predict` makes of the series on the page."""
    folder = tmp_path_factory.mktemp("series")
    write_phantom(folder, "phantom_series", draw_head(**DRAWN["phantom_series"]))
    (case,) = read_all(Request(tuple(sorted(folder.iterdir())))).cases
    return result_of(case, shipped.segment(case.scan))


def test_the_numbers_are_those_of_predict(series: Any, shipped: Segmenter, predicted: Any) -> None:
    for threshold in np.random.default_rng().uniform(0.02, 0.98, 6).round(2).tolist():
        set_threshold(series, threshold)
        settle(series)
        report = build_report([predicted], threshold, shipped.record)
        own = report["images"][place(series) - 1]
        for of, entry in (("all", report["total"]), ("slice", own)):
            for name in SCORES:
                if entry[name] is not None:
                    assert shown(series, name, of) == entry[name], (threshold, name, of)
            assert shown(series, "predicted", of) == entry["predicted_pixels"], threshold


def test_curve_sets_the_threshold_and_warns(series: Any) -> None:
    assert series.is_hidden('#viewer [data-note="caution"]')
    canvas = series.locator("#viewer .lgg-curve canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    with no_request(series):
        series.mouse.click(box["x"] + 26 + 0.8 * (box["width"] - 34), box["y"] + 60)
        series.wait_for_function("document.querySelector('#viewer .lgg-threshold input[type=text]').value === '0.80'")
    assert series.inner_text('#viewer [data-note="caution"]') == say("caution", "en")
    set_threshold(series, 0.5)
    settle(series)
    assert series.is_hidden('#viewer [data-note="caution"]')
    assert "0.5" in str(canvas.get_attribute("aria-label"))


def test_strip_and_findings(series: Any) -> None:
    """The strip says where the tumour is, a key jumps there, a click on it too."""
    label = str(series.get_attribute("#viewer .lgg-strip", "aria-label"))
    tumour = int(re.search(r"\((\d+) of 12", label)[1])  # type: ignore[index]
    assert 0 < tumour <= 12
    series.keyboard.press("Home")
    seen = {place(series)}
    for _ in range(12):
        series.keyboard.press("n")
        seen.add(place(series))
    assert len(seen) >= tumour
    series.keyboard.press("n")
    assert series.inner_text("#viewer .lgg-said") == say("no_finding", "en")
    do(series, "previous")
    assert place(series) < max(seen)
    box = series.locator("#viewer .lgg-strip").bounding_box()
    series.mouse.click(box["x"] + box["width"] * 2.5 / 12, box["y"] + 20)
    assert place(series) == 3


def test_correct_by_hand(series: Any) -> None:
    """A stroke changes the scores, outlives the threshold, can be undone, and goes out as what it is."""
    page = series
    before = shown(page, "predicted")
    with no_request(page):
        do(page, "brush")
        drag(page, middle(page, "prediction", 0.45, 0.6), (60, 15))
        painted = shown(page, "predicted")
        assert painted > before and shown(page, "corrected") == painted - before
        page.keyboard.press("z")
        settle(page)
        assert shown(page, "predicted") == before
        drag(page, middle(page, "prediction", 0.45, 0.6), (60, 15))
        do(page, "eraser")
        drag(page, middle(page, "prediction", 0.64, 0.6), (40, 0))
        page.keyboard.press("Escape")
        set_threshold(page, 0.9)
        settle(page)
        assert shown(page, "corrected", "all") > 0
        set_threshold(page, 0.6)
        settle(page)
    name = page.inner_text("#viewer .lgg-name").removesuffix(".png")
    archive = download(page)
    report = json.loads(archive.read("report.json"))
    own = report["images"][place(page) - 1]
    assert own["corrected"] is True and own["corrected_pixels"] == shown(page, "corrected")
    assert report["total"]["corrected"] is True and report["total"]["dice"] == shown(page, "dice", "all")
    assert (own["dice"], own["predicted_pixels"]) == (shown(page, "dice"), shown(page, "predicted"))
    mask = np.asarray(Image.open(io.BytesIO(archive.read(f"{name}_pred_corrected_mask.png"))))
    assert int((mask > 0).sum()) == shown(page, "predicted")
    assert sum("corrected" in n for n in archive.namelist()) == 1
    assert "corrected_pixels" in archive.read("report.csv").decode().splitlines()[0]
    page.focus("#viewer .lgg-viewer")
    for _ in range(2):
        page.keyboard.press("z")
    again = json.loads(download(page).read("report.json"))  # the server has kept nothing of it
    assert "corrected" not in again["total"]


def test_three_planes_and_a_surface(series: Any) -> None:
    do(series, "planes")
    do(series, "reference")  # its surface would lie over the prediction's
    for panel in ("axial", "coronal", "sagittal", "surface"):
        assert series.is_visible(f'#viewer [data-panel="{panel}"] canvas')
    series.wait_for_timeout(400)
    assert coloured(series, "surface") > 0.001
    turned = picture(series, "surface")
    drag(series, middle(series, "surface"), (80, 10))
    assert picture(series, "surface") != turned
    series.mouse.click(*middle(series, "coronal", 0.5, 0.02))  # the cross goes to the top of the head
    assert place(series) == 12
    axial, sagittal = picture(series, "axial"), picture(series, "sagittal")
    series.mouse.click(*middle(series, "axial", 0.7, 0.5))
    assert picture(series, "axial") != axial and picture(series, "sagittal") != sagittal
    series.focus('#viewer [data-dial="sagittal"]')  # and without a mouse
    sagittal = picture(series, "sagittal")
    series.keyboard.press("ArrowLeft")
    series.keyboard.press("ArrowLeft")
    assert picture(series, "sagittal") != sagittal
    do(series, "reference")
    do(series, "side")


def test_everything_by_keyboard(series: Any) -> None:
    page = series
    keys = page.keyboard
    for key, name in zip("12345", ("image", "prediction", "reference", "agreement", "uncertainty"), strict=True):
        before = pressed(page, name)
        keys.press(key)
        assert pressed(page, name) != before
        keys.press(key)
    before_zoom = picture(page, "image")
    keys.press("+")
    assert picture(page, "image") != before_zoom
    keys.press("Control+ArrowRight")
    keys.press("-")
    keys.press("r")
    assert picture(page, "image") == before_zoom
    keys.press("Shift+ArrowRight")
    assert picture(page, "image") != before_zoom
    keys.press("r")
    keys.press(".")
    page.wait_for_function("document.querySelector('#viewer .lgg-threshold input[type=text]').value === '0.51'")
    keys.press(",")
    keys.press("v")
    assert pressed(page, "overlay")
    do(page, "side")
    page.focus("#viewer .lgg-viewer")
    keys.press("f")
    assert not pressed(page, "fill")
    keys.press("f")
    keys.press("i")
    assert pressed(page, "invert") and picture(page, "image") != before_zoom
    keys.press("i")
    first = place(page)
    keys.press("ArrowDown")
    assert place(page) == first + 1
    keys.press("b")
    keys.press("ArrowRight")  # moves the brush
    assert place(page) == first + 1
    keys.press("Enter")
    settle(page)
    assert shown(page, "corrected") > 0
    keys.press("z")
    keys.press("Escape")
    keys.press("?")
    assert page.is_visible("#viewer .lgg-help")
    keys.press("Escape")
    assert page.is_hidden("#viewer .lgg-help")


def test_picture_and_report_of_what_is_shown(series: Any) -> None:
    series.keyboard.press("4")
    with series.expect_download() as waiting:
        do(series, "save")
    assert "phantom" not in waiting.value.suggested_filename
    saved = Image.open(waiting.value.path())
    assert saved.format == "PNG" and saved.width > 600 and np.asarray(saved).std() > 10
    caption = " ".join(series.evaluate("document.querySelector('#viewer .lgg-viewer').caption"))
    dice = series.inner_text('#viewer [data-figure="dice"][data-of="slice"]')
    for part in (say("panel_agreement", "en"), "0.50", dice, say("not_for_diagnosis", "en")):
        assert part in caption
    do(series, "copy")
    series.wait_for_selector(f"#viewer .lgg-said:has-text('{say('copied', 'en')}')")
    text = series.evaluate("navigator.clipboard.readText()")
    whole = series.inner_text('#viewer [data-figure="dice"][data-of="all"]')
    assert whole in text and say("not_for_diagnosis", "en") in text
    assert "phantom" not in text + caption and "http" not in text

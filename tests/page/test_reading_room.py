"""The reading room at the sizes of screens that people have: nothing is cut, overlaps, is blank or jumps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import needs_browser
from driver import do, give, served, set_threshold, settle, shipped, shown, slices, url, wait_for_result, watched

from lgg_demo.messages import say

__all__ = ["served", "shipped", "slices", "url"]  # fixtures
SCREENS = [(1280, 720), (1440, 900), (1920, 1080), (2560, 1440), (3840, 2160)]
PHONE = (360, 800)
pytestmark = [needs_browser, pytest.mark.browser]

# Name to [left, top, right, bottom] of what is on screen.
BOXES = """(names) => Object.fromEntries(names.map((name) => {
  const found = document.querySelector(`#viewer ${name}`), b = found?.getBoundingClientRect();
  return [name, b && b.width && b.height ? [b.left, b.top, b.right, b.bottom] : null]; }))"""
ALWAYS_SEEN = (".lgg-head", ".lgg-notice", ".lgg-stage", ".lgg-threshold", ".lgg-dice", ".lgg-strip", "[data-do=download]")
ROOMS = (".lgg-head", ".lgg-left", ".lgg-tools", ".lgg-stage", ".lgg-scroll", ".lgg-right")
# Texts that are wider than their place, and not scrolled.
CUT = """() => [...document.querySelectorAll('#viewer :is(button, th, td, .lgg-notice, figcaption)')]
  .filter((e) => e.offsetWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture
def study(browser: Any, url: str, slices: tuple[list[Path], list[Path]]) -> Iterator[Any]:
    """Opens a page of a size with a series and its ground truth on it."""
    contexts = []

    def at(size: tuple[int, int], **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            **{"locale": "en-US", "permissions": ["clipboard-read"], **options},
        )
        contexts.append(context)
        page = watched(context)
        page.goto(url)
        page.wait_for_selector("#viewer .lgg-head")
        give(page, "scan", [*slices[0], *slices[1]])
        page.wait_for_selector('#viewer .lgg-name:has-text("case_")', timeout=60_000)
        wait_for_result(page)
        settle(page)
        return page

    yield at
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_study_fills_the_screen(study: Any, size: tuple[int, int]) -> None:
    """Pictures, threshold, Dice and strip together without scrolling, in every layout; the rooms tile the screen."""
    page = study(size)
    for layout in ("side", "overlay", "swipe"):
        do(page, layout)
        settle(page)
        boxes = page.evaluate(BOXES, [*ALWAYS_SEEN, *ROOMS])
        for name in (*ALWAYS_SEEN, *ROOMS):
            left, top, right, bottom = boxes[name]
            assert left >= -1 and top >= -1 and right <= size[0] + 1 and bottom <= size[1] + 1, (layout, name, boxes[name])
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == list(size)
        areas = {name: (b[2] - b[0]) * (b[3] - b[1]) for name, b in boxes.items() if name in ROOMS}
        assert sum(areas.values()) == pytest.approx(size[0] * size[1], rel=0.01)  # nothing overlaps, nothing is blank
        assert areas[".lgg-stage"] > 0.37 * size[0] * size[1]
        drawn = page.evaluate(
            """[...document.querySelectorAll('#viewer .lgg-panels figure:not([hidden]) canvas')].map((c) => {
            const b = c.getBoundingClientRect(); return [b.width, b.height]; })"""
        )
        assert sum(w * h for w, h in drawn) > 0.97 * areas[".lgg-stage"], layout  # no empty place among the pictures
        assert page.evaluate(CUT) == []
    assert page.errors == []


def test_a_phone_shows_one_picture_first(study: Any) -> None:
    page = study(PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert page.get_attribute('#viewer [data-do="overlay"]', "aria-pressed") == "true"
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    small = page.evaluate(
        """[...document.querySelectorAll('#viewer button, #viewer select, #viewer input:not([type=file])')]
        .map((e) => [e, e.getBoundingClientRect()])
        .filter(([e, b]) => b.width && b.height && getComputedStyle(e).opacity !== '0' && e.type !== 'checkbox'
          && (b.width < 43.5 || b.height < 43.5)).map(([e]) => e.outerHTML.slice(0, 150))"""
    )
    assert small == []
    assert page.evaluate(CUT) == []
    do(page, "help")
    assert page.evaluate("document.querySelector('#viewer .lgg-help').scrollTop") == 0
    assert page.is_visible("#viewer .lgg-help h2")


def test_nothing_jumps_when_a_result_comes(browser: Any, url: str, slices: tuple[list[Path], list[Path]]) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-head")
    rooms = [".lgg-left", ".lgg-centre", ".lgg-right"]
    before = page.evaluate(BOXES, rooms)
    give(page, "scan", slices[0])
    wait_for_result(page)
    assert page.evaluate(BOXES, rooms) == before
    page.close()


def test_dark_at_first_and_light_by_a_switch_that_is_remembered(browser: Any, url: str) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    for theme in ("dark", "light", "light"):
        page.goto(url)
        page.wait_for_selector("#viewer .lgg-head")
        ground = "getComputedStyle(document.querySelector('#viewer .lgg-left')).backgroundColor"
        if page.get_attribute("#viewer .lgg-viewer", "data-theme") != theme:
            do(page, "theme")
        assert page.get_attribute("#viewer .lgg-viewer", "data-theme") == theme
        brightness = [int(v) for v in re.findall(r"\d+", page.evaluate(ground))[:3]]
        assert (max(brightness) < 60) is (theme == "dark")
    context.close()
    page = browser.new_context().new_page()  # another browser knows nothing of it
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-head")
    assert page.get_attribute("#viewer .lgg-viewer", "data-theme") == "dark"
    page.context.close()


def test_what_it_is_how_good_and_that_it_is_no_medical_device(browser: Any, url: str) -> None:
    page = browser.new_page(locale="fr-FR")
    page.goto(url)
    page.wait_for_selector(f'#viewer .lgg-tagline:has-text("{say("tagline", "fr")}")')
    notice = page.locator("#viewer .lgg-notice")
    assert notice.inner_text() == say("not_for_diagnosis", "fr")
    assert int(notice.evaluate("(e) => getComputedStyle(e).fontWeight")) >= 600
    assert page.locator("body").inner_text().count(say("not_for_diagnosis", "fr")) == 1  # once, well
    assert "0,86" in page.inner_text("#viewer .lgg-quality") and "88" in page.inner_text("#viewer .lgg-quality")
    do(page, "about")
    assert "Buda" in page.inner_text("#viewer .lgg-about") and "CC BY-NC-SA" in page.inner_text("#viewer .lgg-about")
    page.close()


def test_a_threshold_that_is_not_one_half_is_said_and_ends_with_its_study(
    study: Any, slices: tuple[list[Path], list[Path]]
) -> None:
    page = study((1440, 900))
    set_threshold(page, 0.8)
    settle(page)
    for place in ('[data-note="threshold"]', ".lgg-dice small"):
        assert "0.80" in page.inner_text(f"#viewer {place}")
    give(page, "scan", slices[0][:1])
    page.wait_for_selector('#viewer [data-figure="dice"]', state="detached")
    assert page.input_value("#viewer .lgg-threshold input[type=text]") == "0.50"
    assert shown(page, "predicted") > 0


def test_one_panel_fills_the_stage_and_gives_it_back(study: Any) -> None:
    page = study((1440, 900))
    stage = page.locator("#viewer .lgg-stage").bounding_box()
    canvas = page.locator("#viewer [data-panel=prediction] canvas")
    small = canvas.bounding_box()["width"]
    canvas.dblclick()
    settle(page)
    assert canvas.bounding_box()["width"] == pytest.approx(stage["width"], abs=2)
    assert page.is_hidden("#viewer [data-panel=image]")
    page.keyboard.press("Escape")
    settle(page)
    assert canvas.bounding_box()["width"] == pytest.approx(small, abs=2)


def test_value_probability_and_window_stand_in_the_corners(study: Any) -> None:
    page = study((1440, 900))
    corner = "#viewer [data-panel=prediction] [data-corner={}]"
    box = page.locator("#viewer [data-panel=prediction] canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    settle(page)
    under = page.inner_text(corner.format("cursor"))
    assert re.fullmatch(r"value \d+\np [01]\.\d\d", under), under
    window = page.inner_text(corner.format("window"))
    assert re.fullmatch(r"W \d+ L \d+\n100 %", window), window
    page.focus("#viewer .lgg-viewer")
    page.keyboard.press("Shift+ArrowRight")
    settle(page)
    assert page.inner_text(corner.format("window")) != window
    page.keyboard.press("a")
    settle(page)
    assert page.inner_text(corner.format("window")) == window
    assert page.inner_text(corner.format("place")) == f"{page.inner_text('#viewer .lgg-steps output')}"

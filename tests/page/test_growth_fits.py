"""Two visits on screens of all sizes, on a phone, and for who cannot see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import needs_browser
from test_growth_on_page import matched, opened
from test_reading_room import CUT, PHONE
from test_viewer import alone

FIXTURES = (alone,)
pytestmark = [needs_browser, pytest.mark.browser]
SCREENS = [(1280, 720), (1440, 900), (1920, 1080), (2560, 1440)]
# Texts over the pictures that lie on each other.
OVERLAPPING = """() => { const heads = [...document.querySelectorAll(
    '.lgg-panels figure:not([hidden]) :is(figcaption, .lgg-visit-head, .lgg-corner)')].filter((e) => e.textContent)
    .map((e) => [e.textContent, e.getBoundingClientRect()]);
  const apart = (a, b) => a.left >= b.right - 1 || b.left >= a.right - 1 || a.top >= b.bottom - 1 || b.top >= a.bottom - 1;
  const on = (a, k) => heads.slice(k + 1).filter(([, b]) => !apart(a, b));
  return heads.flatMap(([text, a], k) => on(a, k).map(([other]) => [text, other])); }"""


@pytest.mark.parametrize("size", SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def test_growth_fits_beside_the_pictures(browser: Any, alone: Any, size: tuple[int, int]) -> None:
    alone.set_viewport_size({"width": size[0], "height": size[1]})
    for language in ("en", "fr"):
        opened(alone, new=True, language=language)
        matched(alone)
        assert alone.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == list(size)
        inside = alone.evaluate("(({ scrollHeight, clientHeight }) => [scrollHeight, clientHeight])(find('.lgg-result'))")
        assert inside[0] <= inside[1] + 1, (language, inside)
        assert alone.evaluate(CUT) == []
        assert alone.evaluate(OVERLAPPING) == []


def test_a_phone_shows_one_visit_over_the_other(browser: Any) -> None:
    context = browser.new_context(viewport={"width": PHONE[0], "height": PHONE[1]}, has_touch=True, is_mobile=True)
    page = context.new_page()
    opened(page, new=True)
    shown = "[...document.querySelectorAll('.lgg-panels figure:not([hidden])')].map((f) => f.dataset.panel)"
    assert page.evaluate(shown) == ["flicker"] and page.evaluate("state.flickers") is False
    page.tap('[data-side="later"]')
    assert page.evaluate("state.flicker") == "later"
    page.locator(".lgg-pencil").first.tap()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    small = """[...document.querySelectorAll('button, select, input:not([type=file])')]
      .map((e) => [e, e.getBoundingClientRect()]).filter(([e, b]) => b.width && b.height
      && getComputedStyle(e).opacity !== '0' && e.type !== 'checkbox'
      && (b.width < 43.5 || b.height < 43.5)).map(([e]) => e.outerHTML.slice(0, 150))"""
    assert page.evaluate(small) == []
    page.tap('[data-do="flicker"]')
    assert page.evaluate(shown) == ["earlier", "later", "change"]
    context.close()


@pytest.mark.parametrize(("theme", "language"), [("dark", "en"), ("light", "fr")])
def test_axe_finds_nothing_serious(alone: Any, theme: str, language: str) -> None:
    import axe_playwright_python

    opened(alone, (0, 4, 9), new=True, language=language)
    matched(alone)
    if theme == "light":
        alone.click('[data-do="theme"]')
    alone.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    for step in (".lgg-pencil >> nth=0", '[data-do="flicker"]', '[data-do="side"]'):
        found = alone.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        bad = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [f"{v['id']}: {n['html'][:150]} {n['failureSummary'][:200]}" for v in bad for n in v["nodes"]] == [], step
        alone.click(step)

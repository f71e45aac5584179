"""Two visits on the page: linked in space, one over the other, gained and lost; growth live; whose study is whose."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from driver import download, give, settle
from phantom_study import study
from scipy import ndimage
from serving import served, server
from test_files_on_page import idle, page, sequences
from test_lesions import copied, measured
from test_viewer import alone, put, stage, value_of

from lgg_demo.case import Case, Visit
from lgg_demo.messages import say
from lgg_demo.output.follow_up import follow_up_of
from lgg_demo.output.result import Result, result_of
from lgg_demo.page.payload import read_corrections
from lgg_demo.page.visits import viewer_follow_up
from lgg_demo.registration import Registration

FIXTURES = (alone, page, served, server)
pytestmark = [needs_browser, pytest.mark.browser]
REPEATABILITY = {"relative": 0.03, "absolute_ml": 0.02}
MOVED = (0, 4, -3)  # slices, rows and columns by which each visit's head lies farther on than the first one's
NAMED = "ses-b"
Pairs = list[tuple[Case, Result]]


def visits(months: tuple[float | None, ...] = (0, 9), new: bool = False, good: bool = True) -> tuple[Pairs, dict[str, Any]]:
    """Visits with a lesion that grows, and what the viewer is told of them. new: with another lesion at the last."""
    case, first = study()
    pairs: Pairs = []
    for n, month in enumerate(months):
        shift = tuple(n * step for step in MOVED)
        probability = np.asarray(ndimage.grey_dilation(first.probability, (1, 2 * n + 1, 2 * n + 1)))
        if new and n == len(months) - 1:
            probability[3:6, 66:80, 10:24] = 200
        scan = replace(case.scan, pixels=np.roll(case.scan.pixels, shift, (0, 1, 2)))
        reference = np.roll(case.reference, shift, (0, 1, 2)) if case.reference is not None else None
        moved = replace(case, scan=scan, reference=reference)
        name = NAMED if n == 1 else None
        own = replace(result_of(moved, np.roll(probability, shift, (0, 1, 2))), visit=Visit("Ann", name, months=month))
        pairs.append((moved, own))
    results = [result for _, result in pairs]
    return pairs, {
        "follow_up": viewer_follow_up(results, registered(results, good), "en"),
        "repeatability": REPEATABILITY,
    }


def registered(results: list[Result], good: bool = True) -> dict[tuple[int, int], Registration | None]:
    found: dict[tuple[int, int], Registration | None] = {}
    for n in range(1, len(results)):
        step = np.eye(4)
        step[:3, 3] = [n * s for s in MOVED]
        assert results[0].grid is not None
        affine = results[0].grid.stack_affine
        found[0, n] = Registration(affine @ step @ np.linalg.inv(affine), 0.97, 1.2, 5.0, good)
    return found


def opened(page: Any, *given: Any, language: str = "en", layout: bool = True, **options: Any) -> Pairs:
    """A page with visits, in the layout that compares them."""
    pairs, more = visits(*given, **options)
    given_to(page, *pairs, language=language, **more)
    measured(page)
    if layout:
        page.click('[data-do="visits"]')
        settle(page)
    return pairs


def given_to(page: Any, *pairs: tuple[Case, Result], language: str = "en", **more: Any) -> None:
    """Put a viewer with cases into a page, where another may have been."""
    page.goto("about:blank")
    put(page, stage(value_of(*pairs, **more), language=language))


def matched(page: Any) -> None:
    """Wait until the lesions of all visits are matched."""
    page.wait_for_function("matchedNow(patientNow())?.key === matchingKey(patientNow())")
    settle(page)


def exact(page: Any, name: str, attribute: str = "data-exact") -> float | str | None:
    text = page.get_attribute(f'.lgg-growth [data-growth="{name}"]', attribute)
    return float(text) if text and re.fullmatch(r"[-\d.e]+", text) else text or None


def drawn(page: Any, panel: str) -> str:
    settle(page)
    return str(page.evaluate(f"document.querySelector('[data-panel={panel}] canvas').toDataURL()"))


# Side by side


def test_the_later_visit_is_seen_in_the_slices_of_the_earlier_one(alone: Any) -> None:
    opened(alone)
    shown = alone.evaluate("[...document.querySelectorAll('.lgg-panels figure:not([hidden])')].map((f) => f.dataset.panel)")
    assert shown == ["earlier", "later", "change"]
    same = """() => { const mine = frameNow(), other = laterSource(); const inner = (i) => { const x = i % mine.width,
      y = Math.floor(i / mine.width); return x > 8 && y > 8 && x < mine.width - 8 && y < mine.height - 8; };
      return [mine.image.flair.every((v, i) => !inner(i) || v === other.image[i]), mine.case, laterFrame().case,
      laterFrame().slice === mine.slice]; }"""
    assert alone.evaluate(same) == [True, 0, 1, True]
    for place in (0, 23, 40):  # also where the slice is one of the later visit
        alone.evaluate("(place) => go(place)", place)
        assert alone.evaluate(same) == [True, 0, 1, True]


def test_slice_zoom_and_place_move_both(alone: Any) -> None:
    opened(alone)
    box = alone.locator('[data-panel="later"] canvas').bounding_box()
    alone.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = {panel: drawn(alone, panel) for panel in ("earlier", "later", "change")}
    place = alone.evaluate("state.place")
    alone.mouse.wheel(0, 120)
    alone.wait_for_function(f"state.place === {place + 1}")
    moved = {panel: drawn(alone, panel) for panel in before}
    assert all(before[panel] != moved[panel] for panel in before)
    alone.keyboard.down("Control")
    alone.mouse.wheel(0, -300)
    alone.keyboard.up("Control")
    assert all(drawn(alone, panel) != moved[panel] for panel in before)
    placed = "['earlier', 'later', 'change'].map((p) => placedOn(document.querySelector(`[data-panel=${p}] canvas`)))"
    one, two, three = alone.evaluate(placed)
    assert one == two == three and one["scaleX"] > 1
    alone.evaluate("goOn(1000)")
    assert alone.evaluate("[state.place, frameNow().case]") == [11, 0], "the end of the visit is the end"


def test_what_was_gained_and_lost_is_told_by_colour_and_stripes(alone: Any) -> None:
    opened(alone)
    alone.evaluate("goOn(0); document.querySelector('[data-panel=change] canvas')")
    count = """() => { draw(); const c = document.querySelector('[data-panel=change] canvas');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let [gained, lost] = [0, 0];
      for (let i = 0; i < d.length; i += 4) { if (d[i] > 90 && d[i] > 2 * d[i + 2] + 40) gained++;
        if (d[i + 1] > 60 && d[i + 1] > 2 * d[i] + 30) lost++; } return [gained, lost]; }"""
    gained, lost = alone.evaluate(count)
    assert gained > 100 and lost == 0
    for key in ("gained", "lost"):
        assert say(key, "en") in alone.inner_text(".lgg-change-legend")
    swatches = alone.evaluate(
        "[...document.querySelectorAll('.lgg-change-legend .lgg-swatch')].map((e) => getComputedStyle(e).backgroundImage)"
    )
    assert swatches[0] != swatches[1] and all("repeating" in s for s in swatches[:2]), "no colour has to be told"
    # Taken out of the later visit, all of the earlier one is lost.
    alone.locator("[data-lesion^='tick/1']").first.uncheck()
    measured(alone)
    gained, lost = alone.evaluate(count)
    assert gained == 0 and lost > 100


def test_visits_that_are_not_registered_are_shown_without_a_link(alone: Any) -> None:
    opened(alone, good=False)
    assert alone.is_visible(".lgg-unlinked") and alone.is_hidden('[data-panel="change"]')
    assert say("visits_unlinked", "en") in alone.inner_text(".lgg-unlinked")
    assert alone.evaluate("laterSource().image === laterFrame().image.flair")
    assert "Ann" in alone.inner_text(".lgg-growth .lgg-caution"), "the server's own sentence"
    assert alone.evaluate("matchedNow(patientNow())") is None


def test_of_several_visits_two_are_chosen_and_time_goes_from_left_to_right(alone: Any) -> None:
    opened(alone, (0, 3, 9))
    assert alone.evaluate("[comparedNow().earlier.number, comparedNow().later.number]") == [0, 2]
    alone.select_option('[data-panel="later"] select', "1")
    settle(alone)
    assert NAMED in alone.inner_text(".lgg-change small")
    alone.focus('[data-panel="earlier"] select')
    alone.select_option('[data-panel="earlier"] select', "1")
    assert alone.evaluate("[comparedNow().earlier.number, comparedNow().later.number, frameNow().case]") == [1, 2, 1]
    assert alone.evaluate("document.activeElement.matches('[data-panel=earlier] select')"), "the focus stays"
    assert alone.evaluate("laterSource().image.some((v) => v)")


def test_flicker_by_itself_by_hand_and_never_by_itself_where_calm_is_asked_for(browser: Any, alone: Any) -> None:
    opened(alone)
    alone.focus(".lgg-viewer")
    alone.keyboard.press("k")
    one = drawn(alone, "flicker")
    assert alone.evaluate("state.flicker") == "later"
    alone.keyboard.press("k")
    assert drawn(alone, "flicker") != one and alone.evaluate("state.flicker") == "earlier"
    alone.keyboard.press("Escape")
    assert alone.is_visible('[data-panel="change"]')
    alone.click('[data-do="flicker"]')
    for side in ("later", "earlier"):
        alone.wait_for_function(f"state.flicker === '{side}'")
    alone.click('[data-side="later"]')  # a hand on it stops it
    assert alone.evaluate("[state.flickers, state.flicker]") == [False, "later"]
    alone.emulate_media(reduced_motion="reduce")
    for _ in range(2):
        alone.click('[data-do="flicker"]')
    assert alone.evaluate("[state.flickers, state.flicker]") == [False, "earlier"]


def test_a_visit_is_corrected_on_its_own_grid_alone(alone: Any) -> None:
    opened(alone)
    alone.evaluate("setTool('brush')")
    for panel in ("later", "change", "earlier"):
        alone.click(f'[data-panel="{panel}"] canvas', position={"x": 60, "y": 200})
        assert alone.inner_text(".lgg-said") == say("not_here_visit", "en"), "said of the others"
        assert alone.evaluate("state.history.done.length") == (1 if panel == "earlier" else 0)


# Growth


@pytest.mark.parametrize("new", [False, True])
def test_growth_is_the_report_s_at_every_threshold_and_after_corrections(alone: Any, new: bool) -> None:
    results = [result for _, result in opened(alone, (0, 4, 9), new=new)]
    record = {"repeatability": REPEATABILITY}
    for threshold, correct in ((0.5, False), (0.7, False), (0.2, False), (0.5, True)):
        alone.evaluate("(t) => setThreshold(t)", threshold)
        measured(alone)
        if correct:
            alone.locator("[data-lesion^='tick/0']").first.uncheck()
            measured(alone)
            edits = read_corrections(alone.evaluate("root.corrections()"), "one", results)
            results = [replace(r, edits=e) for r, e in zip(results, edits, strict=True)]
        matched(alone)
        (report,) = follow_up_of(results, registered(results), threshold, record)
        change = next(c for c in report["changes"] if (c["from"], c["to"]) == ("1", "3"))
        assert exact(alone, "change") == pytest.approx(change["volume_ml"], abs=5e-5)
        percent = exact(alone, "change", "data-percent")
        assert percent == (None if change["volume_percent"] is None else pytest.approx(change["volume_percent"], abs=5e-3))
        assert alone.get_attribute("[data-growth=change]", "data-measurable") == str(change["measurable"]).lower()
        assert exact(alone, "velocity") == pytest.approx(change["velocity_mm_per_year"], abs=5e-3)
        assert exact(alone, "category") == change["rano_2_0"]["by_volume"]
        rows = alone.locator('.lgg-growth [data-growth="lesion"]').count()
        whole = len(report["lesions"]) == 1 and report["lesions"][0]["status"] == "present"
        assert rows == (0 if whole else min(8, len(report["lesions"])))


def test_it_says_so_where_no_change_can_be_measured_and_where_nobody_knows(alone: Any) -> None:
    pairs, more = visits()
    given_to(alone, *pairs, **more | {"repeatability": {"relative": 0.9, "absolute_ml": 1.0}})
    alone.click('[data-do="visits"]')
    assert say("growth_none", "en") in alone.inner_text(".lgg-change")
    given_to(alone, *pairs, **more | {"repeatability": None})
    alone.click('[data-do="visits"]')
    assert say("interval_unknown", "en") in alone.inner_text(".lgg-growth")
    assert exact(alone, "change", "data-measurable") == "null"
    assert alone.locator(".lgg-chart-bar").count() == 0


def test_without_a_time_there_is_no_velocity_and_it_is_asked_for(alone: Any) -> None:
    opened(alone, (None, None))
    assert exact(alone, "velocity") is None and say("months_unknown", "en") in alone.inner_text(".lgg-growth")
    assert alone.locator(".lgg-chart-line").count() == 0 and alone.locator(".lgg-chart-point").count() == 4


def test_the_chart_and_every_category_say_what_they_are(alone: Any) -> None:
    opened(alone, (0, 4, 9))
    matched(alone)
    assert alone.locator(".lgg-chart-point").count() == alone.locator(".lgg-chart-bar").count() == 6
    assert alone.locator(".lgg-chart-line").count() == 1
    assert "mL" in alone.get_attribute(".lgg-chart", "aria-label")
    assert say("growth_no_assessment", "en") in alone.inner_text('[data-growth="category"]')
    assert "%" in alone.inner_text('[data-growth="category"] small')


def test_other_layouts_have_a_line_that_leads_there_and_one_study_has_nothing(alone: Any) -> None:
    opened(alone, layout=False)
    assert alone.is_visible("[data-column=all]")
    alone.click(".lgg-short")
    assert alone.is_visible('[data-panel="change"]') and alone.is_hidden("[data-column=all]")
    given_to(alone, study())
    for gone in (".lgg-growth", '[data-do="visits"]', '[data-do="flicker"]'):
        assert alone.is_hidden(gone)


def test_the_strip_shows_both_places_and_where_one_visit_ends(alone: Any) -> None:
    opened(alone, layout=False)
    at = """([x]) => { draw(); const c = document.querySelector('.lgg-strip');
      return [...c.getContext('2d').getImageData(Math.round(x * c.width) - 1, c.height - 3, 1, 1).data].slice(0, 3); }"""
    assert min(alone.evaluate(at, [0.5])) > 150, "a line"
    alone.click('[data-do="visits"]')
    assert alone.evaluate("placesNow()") == [alone.evaluate("state.place"), alone.evaluate("state.place") + 12]


def test_the_copied_text_has_the_change_without_a_name_or_a_date(alone: Any) -> None:
    pairs, more = visits()
    more["follow_up"][0]["visits"][0]["date"] = "2001-05-03"
    given_to(alone, *pairs, **more)
    measured(alone)
    text = copied(alone)
    results = [result for _, result in pairs]
    (report,) = follow_up_of(results, registered(results), 0.5, {"repeatability": REPEATABILITY})
    assert f"{report['changes'][0]['volume_percent']:+.0f} %" in text and "RANO" in text
    assert "Ann" not in text and NAMED not in text and "2001" not in text and "undefined" not in text and "NaN" not in text
    alone.evaluate("give('language', 'fr')")
    assert "mm/an" in copied(alone)
    alone.click('[data-do="visits"]')
    alone.evaluate("savePicture()")
    alone.wait_for_function("root.caption")
    assert NAMED not in " ".join(alone.evaluate("root.caption"))


def test_a_threshold_step_holds_up_no_frame(alone: Any) -> None:
    """What is drawn needs no lesion, no matching and no new slice: those come a moment later."""
    opened(alone, (0, 4, 9))
    matched(alone)
    alone.evaluate("setThreshold(0.3)")
    settle(alone)
    assert alone.evaluate("[matchedNow(patientNow()).key === matchingKey(patientNow()), lesionsIn(series()).isFresh]") == [
        False,
        False,
    ]
    before = exact(alone, "change")
    alone.evaluate("setThreshold(0.6)")
    settle(alone)
    assert exact(alone, "change") != before


# Whose and when


def test_whose_a_study_is_is_set_right_in_place(alone: Any) -> None:
    pairs, more = visits()
    given_to(alone, *pairs)  # two studies that nobody takes for one patient's
    measured(alone)
    assert alone.locator(".lgg-patient").count() == 0
    alone.locator(".lgg-pencil").nth(1).click()
    form = alone.locator(".lgg-visit-form")
    form.locator("[name=months]").fill("nine")
    form.locator("[name=patient]").press("Enter")
    assert alone.evaluate("window.triggered") is None, "no number of months"
    form.locator("[name=months]").press("Escape")
    assert form.count() == 0 and alone.evaluate("document.activeElement.dataset.edit") == "1"
    alone.keyboard.press("Enter")
    for name, text in (("patient", " Ann "), ("visit", NAMED), ("months", "9,5")):
        form.locator(f"[name={name}]").fill(text)
    form.locator("[name=months]").press("Enter")
    alone.wait_for_function("window.triggered === 'visits'")
    told = json.loads(alone.evaluate("root.visits"))
    assert told[1] == {"case": 1, "patient": "Ann", "visit": NAMED, "date": None, "months": 9.5}
    assert told[0]["case"] == 0 and set(told[0]) == set(told[1])
    # Painted meanwhile; the answer has no pictures.
    alone.evaluate("state.frames[0].edits = null; setTool('brush'); keep(beginStroke({ x: 30, y: 30 }))")
    answer = {"id": "one", "threshold": 0.5, "cases": [{"reference": None}] * 2, **more}
    alone.evaluate("(value) => give('value', value)", answer)
    alone.wait_for_selector(".lgg-patient")
    alone.evaluate("root.dispatchEvent(new CustomEvent('lgg-ended', { detail: true }))")
    assert alone.inner_text(".lgg-patient h3") == "Ann" and alone.locator(".lgg-patient .lgg-study").count() == 2
    assert alone.evaluate("state.history.done.length") == 1 and alone.evaluate("state.frames.some((f) => f.touched)")
    assert alone.is_visible('[data-do="visits"]')


def test_files_of_one_name_do_not_become_one_patient_by_the_edit_of_another(alone: Any) -> None:
    pairs, _ = visits((0, 4, 9))
    given_to(alone, *pairs)
    measured(alone)
    alone.locator(".lgg-pencil").nth(2).click()
    alone.fill(".lgg-visit-form [name=patient]", "Bob")
    alone.press(".lgg-visit-form [name=patient]", "Enter")
    alone.wait_for_function("window.triggered === 'visits'")
    assert [v["patient"] for v in json.loads(alone.evaluate("root.visits"))] == [None, None, "Bob"]


def test_visits_are_listed_in_order_of_time_below_their_patient(alone: Any) -> None:
    pairs, more = visits((0, 4))
    more["follow_up"][0]["visits"].reverse()
    given_to(alone, *pairs, study(), **more)
    measured(alone)
    names = [name.replace("\n", " ") for name in alone.locator(".lgg-study").all_inner_texts()]
    assert NAMED in names[0] and len(names) == 3 and alone.locator(".lgg-studies > ol > li").count() == 2


def test_two_studies_become_one_patient_s_visits_and_the_download_says_so(page: Any, tmp_path: Path) -> None:
    give(page, "scan", [*sequences(tmp_path, "ann", "FLAIR"), *sequences(tmp_path, "bob", "FLAIR")])
    idle(page)
    assert page.is_hidden('#viewer [data-do="visits"]')
    page.locator("#viewer .lgg-pencil").nth(1).click()
    form = page.locator("#viewer .lgg-visit-form")
    form.locator("[name=patient]").fill("ann")
    form.locator("[name=date]").fill("2001-05-03")
    form.locator("[type=submit]").click()
    page.wait_for_selector("#viewer .lgg-patient", timeout=60_000)
    idle(page)
    page.click('#viewer [data-do="visits"]')
    assert page.is_visible('#viewer [data-panel="change"]'), "one head twice lies on itself"
    packed = download(page).read("report.json").decode()
    (patient,) = json.loads(packed)["follow_up"]
    assert len(patient["visits"]) == 2 and "2001-05" not in packed

"""Each tool that corrects the outline, on the real page: by mouse, keys and finger; undone, redone, in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from correcting import FALSE, FALSE_AT, FOUND, LESION, MISSED, MISSED_AT, SIDE, Hand, dice, made_up, outline, page_of_study
from driver import download, no_request, settle

from lgg_demo.messages import say
from lgg_demo.output.result import ADDED, REMOVED

pytestmark = [needs_browser, pytest.mark.browser]
S = MISSED_AT[0]
MISSED_XY, FALSE_XY = ((at[2] + 0.5, at[1] + 0.5) for at in (MISSED_AT, FALSE_AT))
LESION_XY = tuple(v + 0.5 for v in np.argwhere(LESION[S]).mean(axis=0)[::-1])


@pytest.fixture(scope="module")
def study(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    folder = tmp_path_factory.mktemp("correcting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with page_of_study(browser, folder) as hand:
            yield hand


@pytest.fixture
def hand(study: Hand) -> Hand:
    """The page with nothing corrected, side by side, no tool in the hand."""
    study.take(None)
    study.undo_all()
    study.layout("side")
    study.go(S)
    return study


def test_a_click_adds_a_missed_lesion_and_removes_a_false_one_in_all_slices(hand: Hand) -> None:
    with no_request(hand.page):
        hand.take("object")
        hand.click(*MISSED_XY)
    assert "11.6" in hand.said() and hand.said().startswith(say("object_added", "en", size=0, slices=0)[:6])
    added = hand.edits()
    assert dice(added == ADDED, MISSED) > 0.95 and not (added == REMOVED).any()
    hand.click(*FALSE_XY)
    assert np.array_equal(hand.edits() == REMOVED, FALSE)
    both = hand.edits()
    hand.press("Control+z")
    assert np.array_equal(hand.edits(), added)
    hand.press("Control+Shift+z")
    assert np.array_equal(hand.edits(), both)
    hand.press("Control+z", "Control+z")
    assert not hand.edits().any() and hand.page.is_disabled("#viewer [data-do=undo]")
    hand.press("Control+y")
    assert np.array_equal(hand.edits(), added)
    hand.click(2, 2)  # air
    assert hand.said() == say("object_nothing", "en") and np.array_equal(hand.edits(), added)


def test_a_line_splits_an_object_and_a_click_takes_one_part(hand: Hand) -> None:
    x, y = LESION_XY
    hand.take("object")
    hand.draw([(x - 30, y + 0.3), (x + 30, y + 0.3)])
    gone = hand.edits() == REMOVED
    assert say("object_cut", "en", parts=2) == hand.said()
    assert 24 <= np.ptp(np.argwhere(gone)[:, 0]) + 1 <= 24 and gone.sum() < 0.1 * FOUND.sum(), "through its depth"
    hand.click(x, y + 6)
    rows = np.argwhere(hand.mask() & LESION)[:, 1]
    assert rows.max() < y and hand.mask()[FALSE].all()
    hand.press("z", "z")
    hand.draw([(x, y), (x + 7, y)])  # ends within it
    assert hand.said() == say("object_uncut", "en") and not hand.edits().any()


def test_brush_and_eraser_on_the_planes_are_round_in_millimetres(hand: Hand) -> None:
    hand.layout("planes")
    hand.take("brush")
    hand.page.locator("#viewer [data-dial=brush]").fill("20")  # of 1.25 mm
    for panel, axis in (("coronal", 2), ("sagittal", 1)):
        before = hand.edits()
        hand.take("brush")
        hand.click(80.5, 12.5, panel)
        new = np.argwhere(hand.edits() != before)
        across, slices = np.ptp(new[:, axis]) + 1, np.ptp(new[:, 0]) + 1
        assert abs(across * 1.25 - 25) <= 2.5 and abs(slices * 5.0 - 25) <= 5, panel
        assert np.ptp(new[:, 3 - axis]) == 0, "one plane thick"
        hand.take("eraser")
        hand.draw([(70, 12.5), (90, 12.5)], panel)
        assert (hand.edits() == REMOVED).any() and not ((hand.edits() == ADDED) & (before == 0)).sum() > len(new) / 2
    hand.press("z", "z", "z", "z")
    assert not hand.edits().any()


def test_the_ground_truth_is_not_painted(hand: Hand) -> None:
    hand.take("brush")
    hand.draw([MISSED_XY, FALSE_XY], "reference")
    assert not hand.edits().any() and hand.said() == say("not_here", "en")
    style = "document.querySelector('#viewer [data-panel=reference] canvas')"
    assert hand.page.evaluate(f"getComputedStyle({style}).cursor") == "not-allowed"


def test_the_smart_brush_stops_at_the_edge_of_the_lesion(hand: Hand) -> None:
    x, y = MISSED_XY
    way = [(x, y), (x + 8, y), (x - 8, y + 2), (x, y - 8), (x + 2, y + 8)]
    hand.take("smart")
    hand.page.locator("#viewer [data-dial=brush]").fill("16")
    outside = {}
    for tool in ("smart", "brush"):
        hand.take(tool)
        hand.draw(way)
        painted = hand.edits()[S] == ADDED
        outside[tool] = int((painted & ~MISSED[S]).sum())
        assert (painted & MISSED[S]).sum() > 0.85 * MISSED[S].sum(), tool
        hand.press("z")
    assert outside["smart"] < 0.1 * MISSED[S].sum() < outside["brush"], outside


def test_a_lasso_adds_and_with_alt_or_its_switch_removes(hand: Hand) -> None:
    round_missed, round_false = (outline(lesion[S]) for lesion in (MISSED, FALSE))
    hand.take("lasso")
    hand.draw(round_missed)
    assert dice(hand.edits()[S] == ADDED, MISSED[S]) > 0.93
    hand.page.keyboard.down("Alt")
    hand.draw(round_false)
    hand.page.keyboard.up("Alt")
    assert dice(hand.edits()[S] == REMOVED, FALSE[S]) > 0.93
    hand.press("z", "x")
    assert hand.page.get_attribute("#viewer [data-do=removing]", "aria-pressed") == "true"
    hand.draw(round_false)
    assert dice(hand.edits()[S] == REMOVED, FALSE[S]) > 0.93
    hand.press("x")
    assert np.array_equal(np.argwhere(hand.edits().any(axis=(1, 2))).ravel(), [S])


def test_slices_between_two_corrected_ones_are_filled_and_others_are_not(hand: Hand) -> None:
    hand.take("lasso")
    hand.press("w")
    assert hand.said() == say("between_nothing", "en")
    for s in (6, 14):
        hand.go(s)
        hand.draw(outline(LESION[s]))
    hand.press("w")
    assert say("between_filled", "en", slices=7) == hand.said()
    mask = hand.mask()
    assert min(dice(mask[s] & ~FALSE[s], LESION[s]) for s in range(6, 15)) > 0.93
    assert not hand.edits()[[*range(6), *range(15, 24)]].any() and mask[FALSE].all()
    hand.press("Control+z")
    assert np.array_equal(np.argwhere(hand.edits().any(axis=(1, 2))).ravel(), [6, 14])


def test_every_tool_without_a_mouse(hand: Hand) -> None:
    """Tools begin in the middle of the picture; arrows move them, Enter uses them."""
    page = hand.page
    page.focus("#viewer .lgg-viewer")
    page.mouse.move(5, 5)
    dx, dy = (int(to - SIDE / 2) for to in MISSED_XY)
    right, down = ("ArrowRight" if dx > 0 else "ArrowLeft"), ("ArrowDown" if dy > 0 else "ArrowUp")
    hand.press("o", *[right] * abs(dx), *[down] * abs(dy), "Enter")
    assert dice(hand.edits() == ADDED, MISSED) > 0.95
    hand.press("z", "l", "Enter", *["Shift+ArrowRight"] * 2, "Enter", *["Shift+ArrowDown"], "Shift+Enter")
    assert abs(int((hand.edits()[S] == ADDED).sum()) - 100) < 15, "a triangle of 20 by 10"
    hand.press("z", "g", "Enter")
    assert hand.edits()[S].any()
    hand.press("z", "Escape")
    hand.layout("planes")
    hand.press("b", "q", "Enter")  # in the coronal plane
    assert np.count_nonzero(hand.edits().any(axis=(1, 2))) > 1
    hand.press("z", "Escape")


def test_a_finger_corrects_as_a_mouse_does(browser: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    small = {"viewport": {"width": 360, "height": 800}, "has_touch": True, "is_mobile": True}
    with page_of_study(browser, tmp_path, **small) as hand:
        fingers = hand.page.context.new_cdp_session(hand.page)

        def touch(*points: tuple[float, float]) -> None:
            for n, point in enumerate(points):
                x, y = hand.at(*point, "main")
                fingers.send(
                    "Input.dispatchTouchEvent",
                    {"type": "touchMove" if n else "touchStart", "touchPoints": [{"x": x, "y": y}]},
                )
            fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            settle(hand.page)

        hand.go(S)
        hand.take("object")
        hand.page.locator("#viewer [data-panel=main] canvas").scroll_into_view_if_needed()
        touch(MISSED_XY)
        assert dice(hand.edits() == ADDED, MISSED) > 0.95
        hand.take("lasso")
        hand.page.click("#viewer [data-do=removing]")
        hand.page.locator("#viewer [data-panel=main] canvas").scroll_into_view_if_needed()
        touch(*outline(FALSE[S]))
        assert dice(hand.edits()[S] == REMOVED, FALSE[S]) > 0.9


def test_the_download_says_what_was_done_and_then_it_is_saved(hand: Hand) -> None:
    unsaved = """(() => { const leaving = new Event('beforeunload', { cancelable: true });
        window.dispatchEvent(leaving); return leaving.defaultPrevented; })()"""
    assert hand.page.evaluate(unsaved) is False
    hand.take("object")
    hand.click(*MISSED_XY)
    hand.click(*FALSE_XY)
    assert hand.page.evaluate(unsaved) is True
    mask, edits = hand.mask(), hand.edits()
    with download(hand.page) as archive:
        report = next(n for n in archive.namelist() if n.endswith("report.json"))
        (image,) = json.loads(archive.read(report))["images"]
    done = image["manual_edits"]
    added, removed = mask & (made_up() < 128), ~mask & (made_up() >= 128)
    assert (done["added_pixels"], done["removed_pixels"]) == (added.sum(), removed.sum())
    assert [e["slice"] - 1 for e in done["slices"]] == np.flatnonzero(edits.any(axis=(1, 2))).tolist()
    assert {(e["added_pixels"], e["removed_pixels"]) for e in done["lesions"]} == {(added.sum(), 0), (0, removed.sum())}
    hand.page.wait_for_function(f"!{unsaved}")
    hand.page.focus("#viewer .lgg-viewer")
    hand.press("z")
    assert hand.page.evaluate(unsaved) is True

"""The viewer alone in Chromium, without Gradio: its figures are the report's, its words the catalogue's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from phantom_study import study

from lgg_demo.case import Case
from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language, say
from lgg_demo.output.report import build_report
from lgg_demo.output.result import ADDED, REMOVED, Result
from lgg_demo.page.blocks import VIEWER, viewer_script
from lgg_demo.page.listing import listed_case
from lgg_demo.page.payload import read_corrections, viewer_case, viewer_picture

pytestmark = [needs_browser, pytest.mark.browser]

STYLE = "body { margin: 0; }"


def stage(value: dict[str, Any] | None, strings: dict[str, dict[str, str]] | None = None, language: str = "en") -> str:
    """A page with the viewer alone, given what gr.HTML would give it."""
    strings = strings or {lang: {k: CATALOGUE[k][lang] for k in VIEWER_KEYS} for lang in ("en", "fr")}
    props = json.dumps({"value": value, "language": language, "strings": strings})
    body, css = ((VIEWER / f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return f"""<!doctype html><html lang="{language}"><meta name="viewport" content="width=device-width">
    <title>Viewer</title><style>{STYLE}</style>
    <style>#stage {{ {css} }}</style>
    <main id="stage">{body}</main><script>
    const element = document.querySelector("#stage"), props = {props}, watched = {{}};
    const watch = (name, act) => (watched[name] = act), trigger = (name) => (window.triggered = name);
    window.give = (name, value) => {{ props[name] = value; watched[name](); }};
    {viewer_script()}
    </script></html>"""


def value_of(*pairs: tuple[Case, Result], threshold: float = 0.5, **more: Any) -> dict[str, Any]:
    cases = [viewer_case(viewer_picture(case) | {"study": listed_case(case)}, result) for case, result in pairs]
    return {"id": "one", "threshold": threshold, "cases": cases, **more}


@pytest.fixture
def alone(browser: Any) -> Iterator[Any]:
    """A page that `stage` can be put into; any error in it fails the test."""
    context = browser.new_context(locale="en-US", viewport={"width": 1000, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def put(page: Any, html: str) -> None:
    page.set_content(html)
    page.wait_for_selector("[data-figure=predicted]")


FIGURES = """() => { draw(); return Object.fromEntries([...document.querySelectorAll('[data-figure]')]
    .map(({ dataset: d }) => [d.figure + '/' + d.of, JSON.parse(d.exact === 'undefined' ? 'null' : d.exact)])); }"""


def expect_equal(page: Any, result: Result, threshold: float, place: int) -> None:
    """Every figure of the viewer is that of the report, to the last digit."""
    page.evaluate("(t) => setThreshold(t)", threshold)
    shown = page.evaluate(FIGURES)
    (entry,) = build_report([result], threshold, {})["images"]
    own = {"predicted": "predicted_pixels", "reference": "reference_pixels", "volume": "volume_ml"}
    for name in ("dice", "iou", "precision", "recall", *own):
        assert shown[f"{name}/all"] == entry[own.get(name, name)], (name, threshold)
    mask, reference = result.mask(threshold)[place], result.reference[place]
    assert shown["area/slice"] == entry["areas_mm2"][place]
    both = int(mask.sum()) + int(reference.sum())
    assert shown["dice/slice"] == (2 * int((mask & reference).sum()) / both if both else 1.0)
    if result.edits is None:
        assert shown["expected/all"] == entry["expected_dice"]
    else:
        assert shown["corrected/all"] == entry["corrected_pixels"]


def test_figures_equal_the_report_at_random_thresholds(alone: Any) -> None:
    case, result = study()
    put(alone, stage(value_of((case, result))))
    place = alone.evaluate("state.place")
    for threshold in (*np.random.default_rng(6).uniform(0.01, 0.99, 8).round(2), 0.2, 0.6):
        expect_equal(alone, result, float(threshold), place)

    # Painted, then packed as for the server: the same figures again, whatever the threshold does afterwards.
    painted = alone.evaluate(
        """() => { for (const [tool, x] of [['brush', 20], ['eraser', 40]]) {
        setTool(tool); const stroke = beginStroke({ x, y: 30 });
        mark(stroke, { x, y: 30 }, { x: x + 25, y: 44 }); keep(stroke); }
        return root.corrections(); }"""
    )
    (edits,) = read_corrections(painted, "one", [result])
    assert edits is not None and {ADDED, REMOVED} <= set(np.unique(edits[place]))
    assert not np.delete(edits, place, axis=0).any()
    for threshold in (0.5, 0.07, 0.93):
        expect_equal(alone, replace(result, edits=edits), threshold, place)
    alone.evaluate("undo(); undo();")
    assert alone.evaluate("root.corrections()") == ""
    expect_equal(alone, result, 0.5, place)


def test_the_best_threshold_is_marked_on_the_curve(alone: Any) -> None:
    put(alone, stage(value_of(study(), best_threshold=0.42)))
    texts = alone.evaluate(
        """() => { const said = []; const was = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (t, ...a) { said.push(t); was.call(this, t, ...a); };
        draw(); return said; }"""
    )
    assert CATALOGUE["best_mark"]["en"].format(threshold="0.42") in texts


def test_nothing_listens_once_the_viewer_is_gone(alone: Any) -> None:
    """Gradio makes it anew for each page it renders: it listens within itself alone."""
    put(alone, stage(value_of(study())))
    devtools = alone.context.new_cdp_session(alone)
    document = devtools.send("Runtime.evaluate", {"expression": "document"})["result"]["objectId"]
    assert devtools.send("DOMDebugger.getEventListeners", {"objectId": document})["listeners"] == []


def test_a_threshold_is_typed_with_a_comma_and_a_slip_changes_nothing(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    box = alone.locator(".lgg-threshold input[type=text]")
    for typed, threshold in (("0,7", 0.7), ("7", 0.7), ("70", 0.7), ("-1", 0.7), ("", 0.7), ("0.35", 0.35)):
        box.fill(typed)
        box.press("Enter")
        assert alone.evaluate("(draw(), state.threshold)") == threshold, typed
        assert "NaN" not in alone.inner_text(".lgg-result")
    box.blur()
    assert box.input_value() == "0.35"
    assert "0.35" in alone.inner_text('[data-note="threshold"]')
    alone.click('[data-do="half"]')
    assert (alone.evaluate("state.threshold"), box.input_value()) == (0.5, "0.50")


# From one case to the next


def early(value: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a study while the network still runs."""
    nothing = {"probability": None, "reference": None}
    return value | {"cases": [{**case, **nothing} for case in value["cases"]]}


def test_a_second_case_finds_nothing_of_the_first(alone: Any) -> None:
    """And the hand may move while it is unpacked, even behind one that cannot be."""
    put(alone, stage(value_of(study())))
    second = value_of(study(3, seed=1)) | {"id": "two"}
    broken = second | {"id": "broken", "cases": [{**second["cases"][0], "image": "AAAA"}]}
    left = alone.evaluate(
        """async ([broken, second]) => {
        setTool('brush'); keep(beginStroke({ x: 20, y: 20 })); tell('x'); go(11);
        give('value', broken); give('value', second);
        for (let k = 0; k < 200 && state.shown !== 'two'; k++) { // a draw at every step of the unpacking
          draw(); go(state.place); setThreshold(0.4); await new Promise((done) => setTimeout(done)); }
        await loading; draw();
        return [state.shown, state.frames.length, state.history.done.length, state.tool, state.threshold,
          find('.lgg-said').textContent, await root.corrections()]; }""",
        [broken, second],
    )
    assert left == ["two", 3, 0, None, 0.5, "", ""]  # a threshold was chosen for the study before
    assert alone.evaluate("tell(say('saved')); give('language', 'fr'); find('.lgg-said').textContent") == ""


def test_a_plane_judges_only_slices_with_a_reference(alone: Any) -> None:
    case, result = study()
    known = np.arange(12) < 6
    assert result.mask(0.5)[6:].any()
    put(
        alone, stage(value_of((case, replace(result, referenced=known, reference=result.reference & known[:, None, None]))))
    )
    judged = alone.evaluate(
        """() => { state.fill = true; const source = sourceOf('coronal'), [part] = parts.agreement(source);
        const at = part.sheet.canvas.getContext('2d').getImageData(0, 0, source.width, source.height).data;
        return [...source.mask.keys()].map((i) => [source.mask[i], at[4 * i + 3], Math.floor(i / source.width)]); }"""
    )
    shown = {True: 0, False: 0}
    for ours, painted, row in judged:
        shown[row < 6] += bool(ours and painted)  # the head is up: the rows of the last slices come first
    assert shown[True] == 0 and shown[False] > 0
    assert any(ours for ours, _, row in judged if row < 6)


def test_a_stroke_stays_on_the_slice_it_began_on(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    left = alone.evaluate(
        """() => { const { frames } = state, [a, b, c] = [20, 30, 60].map((x) => ({ x, y: 20 }));
        go(3); setTool('brush'); const stroke = beginStroke(a);
        go(4); mark(stroke, b, c); go(3); mark(stroke, a, b); keep(stroke);
        const touched = frames.map((f) => f.touched);
        undo(); return [touched[3], touched.filter((t) => t).length, frames[3].touched, state.place]; }"""
    )
    assert left == [True, 1, False, 3]


def test_the_result_of_a_study_that_is_looked_at_moves_nothing(alone: Any) -> None:
    """Slice, zoom and threshold stay as the hand has left them; where it has done nothing, the largest area is shown."""
    case, result = study()
    value = value_of((case, result))
    largest = int(np.argmax((result.probability >= 128).sum(axis=(1, 2))))
    for moved in (False, True):
        alone.goto("about:blank")
        alone.set_content(stage(None))
        alone.evaluate("(v) => { run.phase = 'running'; give('value', v); }", early(value) | {"id": str(moved)})
        alone.wait_for_selector(".lgg-panels", state="visible")
        assert alone.evaluate("[frameNow().pending, buttons.get('copy').disabled, state.place]") == [True, True, 6]
        assert alone.get_attribute('[data-do="prediction"]', "aria-pressed") == "false"  # it is not on the screen yet
        alone.evaluate(
            """(moved) => { setThreshold(0.7); // while the network runs
            setTool('brush'); goFinding(1); if (moved) { go(2); zoomAt(2); } draw(); }""",
            moved,
        )
        assert alone.get_attribute(".lgg-strip", "aria-label") == CATALOGUE["slice"]["en"]
        alone.evaluate("async (v) => { give('value', v); await loading; draw(); }", value | {"id": str(moved)})
        now = alone.evaluate("[state.place, state.view.zoom, state.threshold, state.tool, frameNow().pending]")
        assert now == [2 if moved else largest, 2 if moved else 1, 0.7, None, False]
        expect_equal(alone, result, 0.7, now[0])


def test_cases_that_come_with_the_result_alone_are_shown_too(alone: Any) -> None:
    """Two large studies are read one after the other: the first is looked at while the second is not there yet."""
    value = value_of(study(), study(3, seed=1))
    first = early(value | {"cases": value["cases"][:1]})
    alone.set_content(stage(None))
    alone.evaluate("async (v) => { run.phase = 'running'; give('value', v); await loading; }", first)
    assert alone.evaluate("[state.frames.length, frameNow().pending]") == [12, True]
    alone.evaluate("async (v) => { give('value', v); await loading; }", value)
    assert alone.evaluate("[state.frames.length, state.studies.length, state.frames.some((f) => f.pending)]") == [
        15,
        2,
        False,
    ]
    alone.wait_for_selector(".lgg-result", state="visible")


def test_a_lone_picture_has_no_strip_and_one_slice(alone: Any) -> None:
    put(alone, stage(value_of(study(1))))
    assert alone.is_hidden(".lgg-strip") and alone.inner_text(".lgg-studies .lgg-small >> nth=0") == "1 slice"


# What a hand may do


def test_keys_after_a_click_and_on_a_french_keyboard(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    alone.click('[data-do="prediction"]')
    alone.keyboard.press(" ")  # blinks; it does not press the button again
    assert alone.evaluate("[state.layers.side.prediction, document.activeElement === root]") == [False, True]
    press = "(event) => root.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...event }))"
    alone.evaluate(press, {"key": "é", "code": "Digit2"})
    assert alone.evaluate("state.layers.side.prediction") is True
    alone.evaluate(press, {"key": "(", "code": "Digit5"})
    alone.evaluate(press, {"key": "[", "code": "Digit5", "altKey": True})  # and not uncertainty once more
    assert alone.evaluate("[state.layers.side.uncertainty, state.brush]") == [True, 7]


def test_a_mouse_let_go_outside_and_one_over_another_plane(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    box = alone.locator('[data-panel="image"] canvas').bounding_box()
    alone.mouse.move(box["x"] + 50, box["y"] + 50)
    alone.mouse.down()
    alone.mouse.move(2, 2)  # the margin of the page
    alone.mouse.up()
    assert alone.evaluate("pointers.size") == 0  # else the next finger would be a second one
    alone.click('[data-do="planes"]')
    alone.click('[data-do="brush"]')
    for panel in ("axial", "coronal", "sagittal"):
        alone.hover(f'[data-panel="{panel}"] canvas')
        assert alone.evaluate("state.cursor.plane") == panel
    alone.hover('[data-panel="surface"] canvas')
    assert alone.evaluate("state.cursor") is None


def test_a_finger_scrolls_the_page_before_it_sets_anything(browser: Any) -> None:
    """From a plane, the strip and the curve; a tap and a drag to the side set them. Two fingers take no stroke back."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = context.new_page()
    put(page, stage(value_of(study())))
    page.evaluate("document.body.style.paddingBottom = '2000px'; show({ layout: 'planes' });")
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    def swipe(x: float, y: float, dx: float = 0, dy: float = 0) -> None:
        touch("touchStart", (x, y))
        for step in range(1, 6):
            touch("touchMove", (x + dx * step / 5, y + dy * step / 5)) if dx or dy else None
        touch("touchEnd")
        page.wait_for_timeout(100)

    def middle(selector: str) -> tuple[float, float]:
        page.locator(selector).scroll_into_view_if_needed()
        page.wait_for_timeout(200)  # the page may still glide
        box = page.locator(selector).bounding_box()
        return box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4

    state = "[state.place, state.cross.x, state.cross.y, state.threshold]"
    for selector in ('[data-panel="coronal"] canvas', ".lgg-strip", ".lgg-curve canvas"):
        at = middle(selector)
        before, scrolled = page.evaluate(state), page.evaluate("scrollY")
        swipe(*at, dy=-150)
        assert page.evaluate("scrollY") > scrolled + 50, selector
        assert page.evaluate(state) == before, selector
        swipe(*middle(selector))
        tapped = page.evaluate(state)
        assert tapped != before, selector
        swipe(*middle(selector), dx=60)
        assert page.evaluate(state) != tapped, selector

    page.evaluate("show({ layout: 'side' }); setTool('brush');")
    x, y = middle('[data-panel="prediction"] canvas')
    swipe(x, y, dx=20)
    painted = page.evaluate("[state.history.done.length, frameNow().added]")
    assert painted[0] == 1 and painted[1] > 0
    touch("touchStart", (x, y))  # where everything is painted already
    touch("touchStart", (x, y), (x + 30, y))
    touch("touchEnd")
    assert page.evaluate("[state.history.done.length, frameNow().added]") == painted
    context.close()


# No word outside the catalogue


def test_words_go_with_their_number_as_on_the_server(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    languages: tuple[Language, ...] = ("en", "fr")
    for language in languages:
        alone.evaluate("(language) => give('language', language)", language)
        for n in (0, 1, 2):
            text = alone.evaluate("(n) => say('corrected_note', { pixels: number(n, 0) })", n)
            assert text == say("corrected_note", language, pixels=n)


def test_every_word_comes_from_the_catalogue(alone: Any) -> None:
    """With a language of brackets: no letter on the page, in a label, a picture or a report stands outside of one."""
    strings = {}
    for key in VIEWER_KEYS:
        places = "".join(re.findall(r"\{\w+\}", CATALOGUE[key]["en"]))
        strings[key] = f"⟦{key}{places}⟧" if not key.startswith("help_") else f"⟦{key}⟧ : ⟦{key}⟧"
    case, result = study()
    alone.context.grant_permissions(["clipboard-read", "clipboard-write"])
    other = (replace(case, scan=replace(case.scan, files=(("a.png", 12),))), result)
    put(alone, stage(value_of((case, result), other, threshold=0.4, best_threshold=0.3, model="0"), {"en": strings}))
    said = alone.evaluate(
        """async () => { const said = new Set(); const was = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (t, ...a) { said.add(t); was.call(this, t, ...a); };
        Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => said.add(t) } });
        const look = () => { draw(); const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) said.add(walk.currentNode.data);
          for (const node of root.querySelectorAll('*')) for (const name of ['aria-label', 'title', 'alt', 'placeholder'])
            if (node.hasAttribute(name)) said.add(node.getAttribute(name)); };
        look(); for (const tool of TOOLS) { setTool(tool); look(); keep(beginStroke({ x: 5, y: 5 })); look(); }
        setTool('object'); keep(beginStroke({ x: 48, y: 30 })); look(); const line = beginStroke({ x: 1, y: 1 });
        mark(line, { x: 1, y: 1 }, { x: 9, y: 9 }); keep(line); look(); setTool('object'); fillBetween(); look();
        for (const layout of LAYOUTS) { show({ layout }); makeSurface();
          for (const fill of [true, false]) { show({ fill }); look(); } await savePicture();
          for (const one of root.caption) said.delete(one); said.add(root.caption.join(' ')); } // not as it is wrapped
        show({ layout: 'side' }); for (const n of ['agreement', 'uncertainty']) toggleLayer(n); setTool('brush'); look();
        await copyReport(); go(0); goFinding(-1); look(); await loadNext(null); look(); return [...said]; }"""
    )
    assert len(said) > 60
    for text in said:
        rest = text
        while re.search(r"⟦[^⟦⟧]*⟧", rest):
            rest = re.sub(r"⟦[^⟦⟧]*⟧", "", rest)
        if text in ("LGG Demo", "English", "Français", "study", "a"):  # names
            continue
        rest = re.sub(r"(study\.nii\.gz|a\.png)( \[\d+\])?| \([A-Z]\)$", "", rest)  # a file's name, the key of a button
        assert not re.search(r"[^\W\d_]", rest), text

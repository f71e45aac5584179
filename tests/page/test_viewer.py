"""The viewer alone in Chromium, without Gradio: its arithmetic against metrics.py, and its words against the catalogue."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser

from lgg_demo.case import Case, Scan
from lgg_demo.grid import Grid
from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Language, say
from lgg_demo.output.display import grey, window
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.report import build_report, slice_rows
from lgg_demo.output.result import ADDED, REMOVED, Result, result_of
from lgg_demo.page.app import VIEWER, viewer_script
from lgg_demo.page.payload import pack, read_corrections, viewer_case, viewer_picture
from lgg_demo.page.phantom import draw_head
from lgg_demo.probability import binarise

STYLE = """:root { --body-text-color: #1f2933; --body-text-color-subdued: #475569; --border-color-primary: #cbd5e1;
--background-fill-primary: #fff; --background-fill-secondary: #f1f5f9; --color-accent: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --body-text-color: #e6eaee; --body-text-color-subdued: #a3b0bf;
--border-color-primary: #334155; --background-fill-primary: #0f172a; --background-fill-secondary: #1e293b; } }
body { margin: 12px; font-family: system-ui, sans-serif; background: var(--background-fill-primary); }"""


def stage(value: dict[str, Any] | None, strings: dict[str, dict[str, str]] | None = None, language: str = "en") -> str:
    """A page with the viewer alone, given what gr.HTML would give it."""
    strings = strings or {lang: {k: CATALOGUE[k][lang] for k in VIEWER_KEYS} for lang in ("en", "fr")}
    props = json.dumps({"value": value, "language": language, "strings": strings})
    body, css = ((VIEWER / f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return f"""<!doctype html><html lang="{language}"><title>Viewer</title><style>{STYLE}</style>
    <style>#stage {{ {css} }}</style>
    <main id="stage">{body}</main><script>
    const element = document.querySelector("#stage"), props = {props}, watched = {{}};
    const watch = (name, act) => (watched[name] = act);
    window.give = (name, value) => {{ props[name] = value; watched[name](); }};
    {viewer_script()}
    </script></html>"""


def study(slices: int = 12, size: int = 96, seed: int = 0, known: bool = True, grid: bool = True) -> tuple[Case, Result]:
    """A phantom in three sequences with a probability that somebody made up: a soft, shifted lesion."""
    from scipy.ndimage import gaussian_filter

    head = draw_head(slices, size, seed=seed)
    pixels = np.stack([0.7 * head.flair, head.flair, np.sqrt(head.flair) * 16], axis=-1).astype(np.float32)
    soft = gaussian_filter(np.roll(head.mask.astype(float), (2, 3), (1, 2)), (0.7, 3, 3))
    levels = np.clip(soft * 290, 0, 255).astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    own = Grid((size, size, slices), affine) if grid else None
    scan = Scan(pixels, "study", (("study.nii.gz", slices),), False, own)
    case = Case(scan, (Path("study.nii.gz"),), head.mask if known else None, np.ones(slices, bool) if known else None)
    return case, result_of(case, levels)


def value_of(*pairs: tuple[Case, Result], threshold: float = 0.5, **more: Any) -> dict[str, Any]:
    cases = [viewer_case(viewer_picture(case), result) for case, result in pairs]
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
    page.wait_for_function("frames.length > 0 && document.querySelector('[data-figure=predicted]')")


FIGURES = """() => { draw(); return Object.fromEntries([...document.querySelectorAll('[data-figure]')]
    .map(({ dataset: d }) => [d.figure + '/' + d.of, JSON.parse(d.exact === 'undefined' ? 'null' : d.exact)])); }"""


def expect_equal(page: Any, result: Result, threshold: float, place: int) -> None:
    """Every figure of the viewer is that of the report, to the last digit."""
    page.evaluate("(t) => useThreshold(t)", threshold)
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


@needs_browser
@pytest.mark.browser
def test_figures_equal_the_report_at_random_thresholds(alone: Any) -> None:
    case, result = study()
    put(alone, stage(value_of((case, result))))
    place = alone.evaluate("place")
    for threshold in (*np.random.default_rng(6).uniform(0.01, 0.99, 8).round(2), 0.2, 0.6):
        expect_equal(alone, result, float(threshold), place)

    # Painted, then packed as for the server: the same figures again, whatever the threshold does afterwards.
    painted = alone.evaluate(
        """async () => { for (const [kind, x] of [[ADDED, 20], [REMOVED, 40]]) {
        const before = new Map(), frame = frames[place]; dab(frame, kind, x, 30, x + 25, 44, 7, 1, before);
        keep({frame, before}); tally(frame); } render(); return packCorrections(shown, frames); }"""
    )
    (edits,) = read_corrections(painted, "one", [result])
    assert edits is not None and {ADDED, REMOVED} <= set(np.unique(edits[place]))
    assert not np.delete(edits, place, axis=0).any()
    for threshold in (0.5, 0.07, 0.93):
        expect_equal(alone, replace(result, edits=edits), threshold, place)
    alone.evaluate("undo(); undo();")
    assert alone.evaluate("packCorrections(shown, frames)") == ""
    expect_equal(alone, result, 0.5, place)


@needs_browser
@pytest.mark.browser
def test_uncertainty_and_expected_dice_are_what_they_are_defined_as(alone: Any) -> None:
    case, result = study()
    put(alone, stage(value_of((case, result))))
    p = result.probability / 255
    doubt = np.minimum(p, 1 - p).sum(axis=(1, 2))
    assert alone.evaluate("frames.map(doubtOf)") == pytest.approx(doubt)
    unsure = (doubt >= p[0].size / 4096) & (doubt >= 0.2 * p.sum(axis=(1, 2)))
    assert alone.evaluate("frames.map(isUnsure)") == unsure.tolist()
    for threshold in (0.3, 0.5, 0.8):
        mask = binarise(result.probability, threshold)
        alone.evaluate("(t) => useThreshold(t)", threshold)
        expected = 2 * p[mask].sum() / (mask.sum() + p.sum())
        assert alone.evaluate(FIGURES)["expected/all"] == pytest.approx(expected)


@needs_browser
@pytest.mark.browser
def test_the_curve_is_dice_at_each_threshold(alone: Any) -> None:
    case, result = study()
    put(alone, stage(value_of((case, result), best_threshold=0.42)))
    curve = alone.evaluate("curveOf(frames)")
    for t in (1, 37, 50, 99):
        mask = binarise(result.probability, t / 100)
        assert curve[t - 1] == 2 * int((mask & result.reference).sum()) / int(mask.sum() + result.reference.sum())
    texts = alone.evaluate(
        """() => { const said = []; const was = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (t, ...a) { said.push(t); was.call(this, t, ...a); };
        draw(); return said; }"""
    )
    assert CATALOGUE["best_mark"]["en"].format(threshold="0.42") in texts


@needs_browser
@pytest.mark.browser
def test_a_surface_faces_outwards_and_has_its_size(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    radius, outward = alone.evaluate(
        """() => { const masks = []; for (let z = 0; z < 20; z++) { const m = new Uint8Array(1600);
        for (let i = 0; i < 1600; i++) { const y = Math.floor(i / 40) - 19.5, x = i % 40 - 19.5;
          m[i] = ((z - 9.5) * 2) ** 2 + y ** 2 + x ** 2 < 225; }
        masks.push(m); }
        const { vertices: v, normals: n } = surfaceOf(masks, 40, 40, [2, 1, 1]); let r = 0, out = 0;
        for (let p = 0; p < v.length; p += 3) { const far = Math.hypot(v[p], v[p + 1], v[p + 2]); r += far;
        out += (v[p] * n[p] + v[p + 1] * n[p + 1] + v[p + 2] * n[p + 2]) / far; }
        return [3 * r / v.length, 3 * out / v.length]; }"""
    )
    assert radius == pytest.approx(15, abs=0.7) and outward > 0.95
    assert alone.evaluate("surfaceOf([new Uint8Array(4)], 2, 2, [1, 1, 1])") is None


# From one case to the next


def early(value: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a study while the network still runs."""
    nothing = {"probability": None, "reference": None}
    return value | {"cases": [{**case, **nothing} for case in value["cases"]]}


@needs_browser
@pytest.mark.browser
def test_a_second_case_finds_nothing_of_the_first(alone: Any) -> None:
    """And the hand may move while it is unpacked, even behind one that cannot be."""
    put(alone, stage(value_of(study())))
    second = value_of(study(3, seed=1), threshold=0.3) | {"id": "two"}
    broken = second | {"id": "broken", "cases": [{**second["cases"][0], "image": "AAAA"}]}
    left = alone.evaluate(
        """async ([broken, second]) => {
        setTool('brush'); const stroke = { frame: frames[place], before: new Map() };
        mark(20, 20, 30, 20, stroke); keep(stroke); tell('x'); go(11);
        give('value', broken); give('value', second);
        for (let k = 0; k < 200 && shown !== 'two'; k++) { // a draw at every step of the unpacking
          draw(); go(place); useThreshold(0.4); await new Promise((done) => setTimeout(done)); }
        await loading; draw();
        return [shown, frames.length, strokes.length, tool, threshold, find('.lgg-said').textContent,
          await packCorrections(shown, frames)]; }""",
        [broken, second],
    )
    assert left == ["two", 3, 0, None, 0.3, "", ""]
    assert alone.evaluate("tell(say('saved')); give('language', 'fr'); find('.lgg-said').textContent") == ""


@needs_browser
@pytest.mark.browser
def test_a_plane_judges_only_slices_with_a_reference(alone: Any) -> None:
    case, result = study()
    known = np.arange(12) < 6
    assert result.mask(0.5)[6:].any()
    put(
        alone, stage(value_of((case, replace(result, referenced=known, reference=result.reference & known[:, None, None]))))
    )
    judged = alone.evaluate(
        """() => { const source = acrossSource('coronal'), [part] = parts.agreement(source);
        const at = part.sheet.canvas.getContext('2d').getImageData(0, 0, source.width, source.height).data;
        return [...source.mask.keys()].map((i) => [source.mask[i], at[4 * i + 3], Math.floor(i / source.width)]); }"""
    )
    shown = {True: 0, False: 0}
    for ours, painted, row in judged:
        shown[row < 6] += bool(ours and painted)  # the head is up: the rows of the last slices come first
    assert shown[True] == 0 and shown[False] > 0
    assert any(ours for ours, _, row in judged if row < 6)


@needs_browser
@pytest.mark.browser
def test_a_volume_beside_a_picture_keeps_its_millilitres(alone: Any) -> None:
    picture = study(1, seed=3, grid=False)
    case, result = study()
    put(alone, stage(value_of((case, result), picture)))
    alone.evaluate("go(5)")
    shown = alone.evaluate(FIGURES)
    (entry,) = build_report([result], 0.5, {})["images"]
    assert shown["volume/series"] == entry["volume_ml"] and shown["volume/all"] is None
    assert shown["area/slice"] == entry["areas_mm2"][5]
    alone.evaluate("go(12)")
    assert "volume/series" not in alone.evaluate(FIGURES)


@needs_browser
@pytest.mark.browser
def test_a_stroke_stays_on_the_slice_it_began_on(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    left = alone.evaluate(
        """() => { setTool('brush'); go(3); const stroke = { frame: frames[3], before: new Map() };
        mark(20, 20, 30, 20, stroke); go(4); mark(30, 20, 60, 20, stroke); go(3); mark(30, 20, 32, 20, stroke);
        keep(stroke);
        const edits = frames.map((f) => f.edits?.reduce((n, e) => n + (e !== 0), 0) ?? 0);
        undo(); return [edits[3] > 0, edits.filter((n) => n).length, frames[3].edits.every((e) => e === 0), place]; }"""
    )
    assert left == [True, 1, True, 3]


@needs_browser
@pytest.mark.browser
def test_the_result_of_a_study_that_is_looked_at_moves_nothing(alone: Any) -> None:
    """Slice, zoom and threshold stay as the hand has left them; where it has done nothing, the largest area is shown."""
    case, result = study()
    value = value_of((case, result))
    largest = int(np.argmax((result.probability >= 128).sum(axis=(1, 2))))
    for moved in (False, True):
        alone.goto("about:blank")
        alone.set_content(stage(early(value) | {"id": str(moved)}))
        alone.wait_for_function("frames.length > 0")
        assert alone.evaluate("[frames[place].pending, buttons.get('copy').disabled, place]") == [True, True, 6]
        assert alone.get_attribute('[data-do="prediction"]', "aria-pressed") == "false"  # it is not on the screen yet
        alone.evaluate(
            """(moved) => { // Gradio's slider, which can be moved while the network runs
            document.body.insertAdjacentHTML('beforeend', '<p id=threshold><input type=number value=0.7></p>');
            setTool('brush'); goFinding(1); if (moved) { go(2); zoomAt(2); } draw(); }""",
            moved,
        )
        assert alone.get_attribute(".lgg-strip", "aria-label") == CATALOGUE["slice"]["en"]
        alone.evaluate("async (v) => { give('value', v); await loading; draw(); }", value | {"id": str(moved)})
        now = alone.evaluate("[place, view.zoom, threshold, tool, frames[place].pending]")
        assert now == [2 if moved else largest, 2 if moved else 1, 0.7, None, False]
        expect_equal(alone, result, 0.7, now[0])


# What a hand may do


@needs_browser
@pytest.mark.browser
def test_keys_after_a_click_and_on_a_french_keyboard(alone: Any) -> None:
    put(alone, stage(value_of(study())))
    alone.click('[data-do="prediction"]')
    alone.keyboard.press(" ")  # blinks; it does not press the button again
    assert alone.evaluate("[layers.side.prediction, document.activeElement === root]") == [False, True]
    press = "(event) => root.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...event }))"
    alone.evaluate(press, {"key": "é", "code": "Digit2"})
    assert alone.evaluate("layers.side.prediction") is True
    alone.evaluate(press, {"key": "(", "code": "Digit5"})
    alone.evaluate(press, {"key": "[", "code": "Digit5", "altKey": True})  # and not uncertainty once more
    assert alone.evaluate("[layers.side.uncertainty, brush]") == [True, 7]


@needs_browser
@pytest.mark.browser
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
    for panel, there in (("axial", True), ("coronal", False)):
        alone.hover(f'[data-panel="{panel}"] canvas')
        assert alone.evaluate("cursor !== null") is there  # the ring is one of the axial plane


@needs_browser
@pytest.mark.browser
def test_a_finger_scrolls_the_page_before_it_sets_anything(browser: Any) -> None:
    """From a plane, the strip and the curve; a tap and a drag to the side set them. Two fingers take no stroke back."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = context.new_page()
    put(page, stage(value_of(study())))
    page.evaluate("document.body.style.paddingBottom = '2000px'; setLayout('planes');")
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
        box = page.locator(selector).bounding_box()
        return box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4

    state = "[place, cross.x, cross.y, threshold]"
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

    page.evaluate("setLayout('side'); setTool('brush');")
    x, y = middle('[data-panel="prediction"] canvas')
    swipe(x, y, dx=20)
    painted = page.evaluate("[strokes.length, frames[place].added]")
    assert painted[0] == 1 and painted[1] > 0
    touch("touchStart", (x, y))  # where everything is painted already
    touch("touchStart", (x, y), (x + 30, y))
    touch("touchEnd")
    assert page.evaluate("[strokes.length, frames[place].added]") == painted
    context.close()


# No word outside the catalogue


def test_the_template_has_no_words() -> None:
    text = (VIEWER / "viewer.html").read_text(encoding="utf-8")
    assert not re.search(r">[^<]*[A-Za-z][^<]*<", text)
    assert not re.search(r"\b(aria-label|title|alt|placeholder)=", text)


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("language", ["en", "fr"])
def test_words_go_with_their_number_as_on_the_server(alone: Any, language: Language) -> None:
    put(alone, stage(value_of(study(), threshold=0.5), language=language))
    for pixels in (0, 1, 2):
        text = alone.evaluate("(n) => say('corrected_note', { pixels: number(n, 0) })", pixels)
        assert text == say("corrected_note", language, pixels=pixels)


@needs_browser
@pytest.mark.browser
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
        look(); dab(frames[place], ADDED, 5, 5, 9, 9, 3, 1, new Map()); tally(frames[place]);
        for (const [name] of LAYOUTS) { setLayout(name); makeSurface();
          for (const on of [true, false]) { setFill(on); look(); } await savePicture();
          for (const one of root.caption) said.delete(one); said.add(root.caption.join(' ')); } // not as it is wrapped
        setLayout('side'); for (const n of ['agreement', 'uncertainty']) toggleLayer(n); setTool('brush'); look();
        await copyReport(); go(0); goFinding(-1); look(); await load(null); look(); return [...said]; }"""
    )
    assert len(said) > 60
    for text in said:
        rest = text
        while re.search(r"⟦[^⟦⟧]*⟧", rest):
            rest = re.sub(r"⟦[^⟦⟧]*⟧", "", rest)
        rest = re.sub(r"(study\.nii\.gz|a\.png) \[\d+\]| \([A-Z]\)$", "", rest)  # a file's name, the key of a button
        assert not re.search(r"[^\W\d_]", rest), text


# What the server sends, and what it takes back


def test_eight_bits_span_more_than_is_shown_at_first() -> None:
    case, _ = study()
    flair = case.scan.pixels[..., 1] * 16  # as a 12-bit scan
    sent, (dark, bright) = window(flair)
    assert sent.dtype == np.uint8 and 0 <= dark < bright <= 255
    shown = np.clip((sent.astype(float) - dark) / (bright - dark) * 255, 0, 255)
    same = replace(case.scan, pixels=np.stack([flair] * 3, axis=-1))
    assert np.abs(shown - grey(same)).max() <= 2  # the first look is the report's
    assert window(np.full((1, 4, 4), 7.0))[0].max() == 0


def test_only_sequences_that_differ_are_sent() -> None:
    case, _ = study()
    assert set(viewer_picture(case)["channels"]) == {"pre", "post"}
    pixels = case.scan.pixels.copy()
    pixels[..., 0] = pixels[..., 1]
    assert set(viewer_picture(replace(case, scan=replace(case.scan, pixels=pixels)))["channels"]) == {"post"}
    assert viewer_picture(replace(case, scan=replace(case.scan, grey=True)))["channels"] == {}


def drawn(case: int = 0, slices: tuple[int, ...] = (2,), value: int = 1, size: int = 96 * 96) -> dict[str, Any]:
    return {"case": case, "slices": list(slices), "edits": pack(np.full((len(slices), size), value, np.uint8))}


def test_corrections_are_read() -> None:
    _, result = study()
    assert read_corrections("", "one", [result, result]) == [None, None]
    text = json.dumps({"id": "one", "cases": [drawn(1, (3, 1), 2)]})
    first, second = read_corrections(text, "one", [result, result])
    assert first is None and second is not None
    assert np.flatnonzero(second.any(axis=(1, 2))).tolist() == [1, 3]


BOMB = base64.b64encode(zlib.compress(bytes(10**7))).decode()


@pytest.mark.parametrize(
    "cases",
    [
        [drawn(case=1)], [drawn(case=-1)], [{**drawn(), "case": True}], [drawn(slices=(12,))], [drawn(slices=(-1,))],
        [drawn(slices=())], [drawn(slices=(1, 1))], [drawn(value=3)], [drawn(size=96)], [drawn(size=96 * 97)],
        [{**drawn(), "edits": BOMB}], [{**drawn(), "edits": "no base64!"}], [{**drawn(), "edits": "AAAA"}],
        [drawn(), drawn()],
        [{"case": 0}], [7], 7, [{**drawn(), "slices": 5}], [{**drawn(), "slices": ["1"]}],
    ],
)  # fmt: skip
def test_corrections_that_do_not_fit_are_refused(cases: Any) -> None:
    _, result = study()
    with pytest.raises(ValueError):
        read_corrections(json.dumps({"id": "one", "cases": cases}), "one", [result])


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "other", "cases": []}', "[" * 100_000, "1"])
def test_what_is_no_correction_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_corrections(text, "one", [study()[1]])


def test_a_corrected_mask_goes_out_as_such(tmp_path: Path) -> None:
    _, result = study(grid=False)
    result = replace(result, files=(("a.png", 1), ("b.png", 11)))
    edits = np.zeros_like(result.probability)
    edits[0, :4, :5] = ADDED
    edits[0, 40:44] = REMOVED
    touched = replace(result, edits=edits)
    mask = touched.mask(0.5)
    assert mask[0, :4, :5].all() and not mask[0, 40:44].any()
    assert np.array_equal(mask[1:], result.mask(0.5)[1:])
    report = build_report([touched], 0.5, {})
    first, second = report["images"]
    changed = int((mask != result.mask(0.5)).sum())
    assert (first["corrected"], first["corrected_pixels"], first["mask"]) == (True, changed, "a_corrected_mask.png")
    assert "corrected" not in second and second["mask"] == "b_mask.png"
    assert report["total"]["corrected_pixels"] == changed
    assert any("corrected by hand" in w for w in report["warnings"])
    assert slice_rows([touched], 0.5)[0]["corrected_pixels"] == changed
    assert "corrected_pixels" not in slice_rows([touched], 0.5)[1]
    write_outputs([touched], 0.5, report, tmp_path, documents=True)
    assert (tmp_path / "a_corrected_mask.png").is_file()
    assert (tmp_path / "report.csv").read_text().splitlines()[0].endswith(",corrected_pixels")
    assert output_names([result])[0][0][0] == "a_mask.png"

"""The page as its users meet it, in Chromium: two users, both languages, a phone, a Space, the viewer with a result."""

from __future__ import annotations

import io
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from drawn_heads import draw_head, write_phantom
from driver import (
    MESSAGES,
    coloured,
    do,
    download,
    give,
    give_drawn,
    middle,
    no_request,
    opened,
    page,
    picture,
    place,
    series,
    served,
    set_threshold,
    settle,
    shipped,
    shown,
    slices,
    speak,
    threshold_shown,
    uploads_left,
    url,
    wait_for_result,
)  # fmt: skip
from gradio_client import Client, handle_file
from PIL import Image

from lgg_demo.messages import say

__all__ = ["opened", "page", "series", "served", "shipped", "slices", "url"]  # fixtures
PLACE = "Number(document.querySelector('#viewer .lgg-steps output').textContent.split('/')[0])"
SCORES = ("dice", "iou", "precision", "recall")
pytestmark = [needs_browser, pytest.mark.browser]


def test_example_threshold_download(page: Any, url: str, tmp_path: Path) -> None:
    """Open, load an example, move the threshold, see the numbers change, download, compare with the API's mask."""
    give_drawn(page, "phantom_single")
    wait_for_result(page)
    assert threshold_shown(page) == "0.50"
    assert shown(page, "dice") >= 0.8
    before = shown(page, "predicted")
    with no_request(page):
        set_threshold(page, 0.9)
        page.wait_for_function(
            "n => Number(document.querySelector('#viewer [data-figure=predicted]').dataset.exact) < n", arg=before
        )
    archive = download(page)
    report = json.loads(archive.read("report.json"))
    assert report["threshold"] == 0.9
    own = report["images"][0]
    assert {name: shown(page, name) for name in SCORES} == {name: own[name] for name in SCORES}  # to the last digit
    assert shown(page, "predicted") == own["predicted_pixels"]
    image = write_phantom(tmp_path, "phantom_single", draw_head(1, lesion="frontal"))[0]
    _, files = Client(url, verbose=False).predict([handle_file(image)], None, 0.9, api_name="/segment")
    mask = np.asarray(Image.open(io.BytesIO(archive.read("phantom_single_pred.png"))))
    assert np.array_equal(mask, np.asarray(Image.open(files[0])))
    assert int((mask > 0).sum()) == own["predicted_pixels"]
    assert page.errors == []
    assert page.hosts == {url.partition("://")[2].strip("/")}  # no request to any other host


def test_images_then_ground_truth_in_either_box(page: Any, slices: tuple[list[Path], list[Path]]) -> None:
    """Masks alone in the box of images are compared with the result that is there, and segmented never."""
    images, masks = slices
    give(page, "scan", masks)
    page.wait_for_selector(f"{MESSAGES} li")
    assert page.inner_text(MESSAGES) == say("images_first", "en")
    assert page.is_hidden('#viewer [data-do="download"]')
    for box in ("reference", "scan"):
        give(page, "scan", images)
        page.wait_for_selector('#viewer [data-figure="dice"]', state="detached")
        wait_for_result(page)
        assert page.is_hidden('#viewer [data-panel="reference"]') and uploads_left() == []
        give(page, box, masks)
        page.wait_for_selector('#viewer [data-figure="dice"][data-of="all"]')
        assert shown(page, "dice", "all") > 0.8
        assert page.is_visible('#viewer [data-panel="reference"]') and page.is_enabled('#viewer [data-do="download"]')
    page.locator("#viewer .lgg-scroll input").fill("1")
    assert page.inner_text("#viewer .lgg-name") == "case_1.png"
    page.focus("#viewer .lgg-viewer")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#viewer .lgg-name") == "case_2.png"
    assert uploads_left() == [] and page.errors == []


def test_two_patients_have_scores_of_their_own(page: Any, tmp_path: Path) -> None:
    for seed, name in enumerate(("first", "second")):
        write_phantom(tmp_path, name, draw_head(3, seed=seed))
    give(page, "scan", sorted(tmp_path.iterdir()))
    wait_for_result(page)
    page.focus("#viewer .lgg-viewer")
    of_series = []
    for key, name in (("Home", "first_1.png"), ("End", "second_3.png")):
        page.keyboard.press(key)
        assert page.inner_text("#viewer .lgg-name") == name
        of_series.append(shown(page, "predicted", "series"))
    assert sum(of_series) == shown(page, "predicted", "all")
    give_drawn(page, "phantom_series")
    page.wait_for_selector("#viewer [data-of=series]", state="detached")


def test_panels_show_what_they_say(page: Any) -> None:
    """Same size in all panels; the prediction panel is tinted exactly where the mask is."""
    give_drawn(page, "phantom_single")
    wait_for_result(page)
    for name in ("agreement", "uncertainty", "fill"):
        do(page, name)
    settle(page)
    sizes = page.evaluate(
        "[...document.querySelectorAll('#viewer .lgg-panels figure:not([hidden]) canvas')].map((c) => [c.width, c.height])"
    )
    assert len(sizes) == 5
    assert len({tuple(s) for s in sizes}) == 1
    width, height = sizes[0]
    picture = min(width, height) ** 2 / (width * height)  # its share of the canvas; black lies beside it
    do(page, "diameters")  # their lines would cover some of it
    assert coloured(page, "prediction") == pytest.approx(picture * shown(page, "predicted") / 256**2, rel=0.05)


def test_bad_file_on_the_page_in_french(browser: Any, url: str, tmp_path: Path) -> None:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(f"text={say('not_for_diagnosis', 'fr')}")
    broken = tmp_path / "cassé.tif"
    broken.write_bytes(b"II*\0" + bytes(40))
    give(page, "scan", [broken])
    page.wait_for_selector(f"{MESSAGES} [lang=fr] li.problem")
    assert page.inner_text(MESSAGES) == say("damaged", "fr", file="cassé.tif")
    assert "Traceback" not in page.content()
    speak(page, "en")
    page.wait_for_selector(f"{MESSAGES} [lang=en] li.problem")
    assert page.inner_text(MESSAGES) == say("damaged", "en", file="cassé.tif")
    speak(page, "fr")
    give_drawn(page, "phantom_single")  # the page goes on
    wait_for_result(page)
    speak(page, "en")
    page.wait_for_selector(f"#viewer [data-do=download]:has-text('{say('download', 'en')}')")
    assert page.inner_text('#viewer [data-panel="reference"] figcaption') == "Ground truth"
    context.close()


def test_a_run_that_began_in_another_language_ends_in_the_one_that_is_chosen(page: Any) -> None:
    give_drawn(page, "phantom_series")
    speak(page, "fr")
    wait_for_result(page)
    page.wait_for_selector(f"{MESSAGES} [lang=fr] li.done")
    assert page.inner_text(MESSAGES).splitlines()[-1] == say("scored", "fr", slices=12)
    assert page.errors == []


def test_two_users_share_nothing(browser: Any, url: str, page: Any, slices: tuple[list[Path], list[Path]]) -> None:
    give(page, "scan", slices[0])
    wait_for_result(page)
    other = browser.new_context(locale="en-US").new_page()
    other.goto(url)
    other.wait_for_selector("#viewer .lgg-empty")
    assert other.is_visible("#viewer .lgg-empty")
    assert other.is_hidden('#viewer [data-do="download"]')
    give(other, "reference", slices[1])  # masks find no result of somebody else's to be compared with
    other.wait_for_selector(f"{MESSAGES} li")
    assert other.inner_text(MESSAGES) == say("images_first", "en")
    give_drawn(other, "phantom_healthy")
    wait_for_result(other)
    assert {n.rpartition("_")[0] for n in download(page).namelist()} >= {"case_1", "case_2", "case_3"}
    assert not any("case" in n for n in download(other).namelist())
    do(page, "clear")
    page.wait_for_selector("#viewer .lgg-empty", state="visible")
    assert page.is_hidden('#viewer [data-do="download"]')
    other.context.close()


def test_sequences_of_a_slice(page: Any, tmp_path: Path) -> None:
    """Pre- and post-contrast can be looked at where the file has them, and are no question where it has not."""
    flair = draw_head(1).flair[0]
    colour = tmp_path / "three.png"
    Image.fromarray(np.stack([flair // 2, flair, 255 - flair], axis=-1)).save(colour)
    give(page, "scan", [colour])
    wait_for_result(page)
    seen = set()
    with no_request(page):
        for name in ("pre", "flair", "post"):
            do(page, f"channel-{name}")
            seen.add(picture(page, "image"))
    assert len(seen) >= 2  # pre is FLAIR in half the light: one window shows both alike
    give_drawn(page, "phantom_single")
    page.wait_for_selector("#viewer [data-group=tools_channel]", state="hidden")


def test_a_study_in_millilitres(page: Any, tmp_path: Path) -> None:
    """A volume's millilitres are those of the report, and left and right are marked."""
    import nibabel

    head = draw_head(10, 128)
    affine = np.diag([-1.8, -1.8, 5.0, 1.0])
    for name, stack in (("study", head.flair), ("study_mask", head.mask.astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(stack.transpose(2, 1, 0), affine), tmp_path / f"{name}.nii.gz")
    give(page, "scan", [tmp_path / "study.nii.gz"])
    page.wait_for_selector('#viewer [data-figure="volume"]', timeout=60_000)
    give(page, "scan", [tmp_path / "study_mask.nii.gz"])  # a mask alone is the ground truth of what is there
    page.wait_for_selector('#viewer [data-figure="dice"]', timeout=60_000)
    set_threshold(page, 0.37)
    settle(page)
    report = json.loads(download(page).read("report.json"))
    assert shown(page, "volume", "all") == report["images"][0]["volume_ml"] == report["total"]["volume_ml"]
    assert shown(page, "area") == report["images"][0]["areas_mm2"][place(page) - 1]
    assert page.errors == []


def test_a_phone(browser: Any, url: str) -> None:
    """360 pixels: nothing to scroll sideways, targets for a finger, two fingers zoom, a stroke does not move the page."""
    context = browser.new_context(
        locale="en-US", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    give_drawn(page, "phantom_series")
    wait_for_result(page)
    settle(page)
    tops = page.evaluate(
        """['.lgg-stage', '.lgg-threshold', '.lgg-result', '.lgg-privacy']
        .map((q) => document.querySelector(`#viewer ${q}`).getBoundingClientRect().top)"""
    )
    assert abs(tops[0]) < 50 and tops == sorted(tops)  # the result is what one sees, and the small print is below it
    do(page, "side")
    for layout in ("planes", "swipe", "overlay", "side"):
        do(page, layout)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """[...document.querySelectorAll('#viewer button, #viewer input:not([type=file]), #viewer canvas')]
        .map((e) => [e, e.getBoundingClientRect()])
        .filter(([, b]) => b.width && (b.width < 24 || b.height < 24)).map(([e]) => e.outerHTML)"""
    )
    assert small == []
    action = "getComputedStyle(document.querySelector('#viewer [data-panel=prediction] canvas')).touchAction"
    assert page.evaluate(action) == "pan-y"  # one finger scrolls the page
    fingers = context.new_cdp_session(page)
    x, y = middle(page, "prediction")

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)]},
        )

    before = picture(page, "prediction")
    touch("touchStart", (x - 15, y), (x + 15, y))
    for step in (20, 30, 40):
        touch("touchMove", (x - step, y), (x + step, y))
    touch("touchEnd")
    assert picture(page, "prediction") != before
    assert page.evaluate(action) == "none"  # zoomed, a finger moves the picture
    do(page, "reset")
    do(page, "brush")
    assert page.evaluate(action) == "none"
    x, y = middle(page, "prediction")
    scrolled = page.evaluate("scrollY")
    touch("touchStart", (x, y))
    for step in (10, 20, 30, 40):
        touch("touchMove", (x, y + step))
    touch("touchEnd")
    settle(page)
    assert shown(page, "corrected") > 0
    assert page.evaluate("scrollY") == scrolled
    context.close()


@pytest.mark.parametrize(("theme", "locale"), [("dark", "en-US"), ("light", "fr-FR")])
def test_no_serious_finding_of_axe(browser: Any, url: str, theme: str, locale: str) -> None:
    """axe-core finds nothing serious: the page empty, with a result in each layout, and with its help open."""
    import axe_playwright_python

    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(locale=locale, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    if theme == "light":
        do(page, "theme")
    page.evaluate(script)

    def serious() -> list[str]:
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        bad = [v for v in found if v["impact"] in ("serious", "critical")]
        return [f"{v['id']}: {n['html'][:150]} {n['failureSummary'][:200]}" for v in bad for n in v["nodes"]]

    assert serious() == []
    give_drawn(page, "phantom_series")
    wait_for_result(page)
    set_threshold(page, 0.6)
    page.wait_for_timeout(800)  # the progress fades: a text on its way out has no contrast
    for step in ((), ("brush", "swipe"), ("planes",), ("help",)):
        for name in step:
            do(page, name)
        assert serious() == [], step
    context.close()


def test_in_the_frame_of_a_space(browser: Any, url: str, tmp_path: Path) -> None:
    """A Space is a frame in a page of another host: here `localhost`, which is another one than 127.0.0.1."""
    frame = f"<iframe src={url} style='width:1200px;height:900px' title=app></iframe>"
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Space</title>{frame}")
    server = ThreadingHTTPServer(("localhost", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(f"http://localhost:{server.server_port}/")
    app = page.frame_locator("iframe")
    give_drawn(app, "phantom_single")
    app.locator('#viewer [data-figure="dice"]').first.wait_for(timeout=60_000)
    assert app.locator('#viewer [data-do="overlay"]').get_attribute("aria-label") == say("layout_overlay", "fr")
    app.locator('#viewer [data-do="copy"]').click()
    app.locator(f"#viewer .lgg-said:has-text('{say('copied', 'fr')}')").wait_for()
    context.close()
    server.shutdown()

"""Files and studies on the real page: how they come in, what a run shows, what stays when it ends early."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from drawn_heads import draw_head
from driver import download, downloaded, give, wait_for_result, watched
from loopback import until
from nifti_files import nifti
from serving import Server, served, server

from lgg_demo.messages import say

FIXTURES = (served, server)
pytestmark = [needs_browser, pytest.mark.browser]
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
SLICES = 20


HEAD = draw_head(SLICES)


def sequences(folder: Path, subject: str, *names: str) -> list[Path]:
    """A study of drawn heads, a volume for each name."""
    stack = HEAD.flair.transpose(2, 1, 0)
    return [nifti(folder / f"{subject}_{name}.nii.gz", stack + n, AFFINE) for n, name in enumerate(names)]


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", accept_downloads=True, viewport={"width": 1440, "height": 900})
    page = watched(context)
    page.goto(server.url)
    page.wait_for_selector("#viewer [data-take=scan]")
    yield page
    assert page.errors == []
    context.close()


def label(page: Any) -> str:
    return str(page.inner_text("#viewer .lgg-name"))


def idle(page: Any) -> None:
    page.wait_for_selector("#viewer .lgg-progress", state="hidden", timeout=60_000)


def running(page: Any) -> None:
    """Wait until the network is at work, and its progress is seen."""
    page.wait_for_selector(f"#viewer .lgg-progress:has-text('of {SLICES}')", timeout=60_000)


def opened(page: Any, *files: Path) -> None:
    give(page, "scan", list(files))
    wait_for_result(page)
    idle(page)


def answer(page: Any, key: str) -> None:
    page.click(f"#viewer .lgg-ask [data-answer={key}]")


def paint(page: Any) -> None:
    """One stroke of the brush in the middle of the prediction."""
    page.evaluate("document.querySelector('#viewer [data-do=brush]').click()")
    box = page.locator("#viewer [data-panel=prediction] canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 9, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()


# Ways in


def test_windows_beside_the_automatic_one(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    widths = {}
    for name in ("auto", "contrast", "full"):
        page.click(f"#viewer [data-do={name}]")
        widths[name] = float(page.input_value("#viewer [data-dial=width]"))
    assert widths["full"] == 255 and abs(widths["contrast"] - widths["auto"] / 2) <= 1 < widths["contrast"]
    page.click("#viewer [data-do=auto]")
    assert float(page.input_value("#viewer [data-dial=width]")) == widths["auto"]


def drop(page: Any, x: float, y: float, *paths: Path) -> None:
    """What an operating system does where a hand drops files or folders."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(p) for p in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


def test_a_folder_is_dropped_on_the_middle_with_its_ground_truth(page: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ann" / "visit 1"
    folder.mkdir(parents=True)
    sequences(folder, "ann", "flair", "t1")
    stack = HEAD.mask.astype(np.uint8).transpose(2, 1, 0)
    nifti(folder / "ann_seg.nii.gz", stack, AFFINE)
    (folder / ".DS_Store").write_bytes(b"hidden")
    drop(page, 700, 450, tmp_path / "ann")
    wait_for_result(page)
    idle(page)
    rows = page.locator("#viewer .lgg-studies select").evaluate_all("all => all.map(s => s.value)")
    assert rows == ["flair", "pre", "mask"]
    assert page.inner_text("#viewer .lgg-study") == "ann"
    assert page.url.startswith("http") and page.inner_text("#viewer .lgg-messages").count("\n") == 1  # nothing left out


def test_a_folder_is_chosen(page: Any, tmp_path: Path) -> None:
    (tmp_path / "bob").mkdir()
    sequences(tmp_path / "bob", "bob", "flair")
    page.set_input_files('#viewer [data-folder="scan"]', str(tmp_path / "bob"))
    wait_for_result(page)
    assert page.inner_text("#viewer .lgg-study") == "bob"


def test_a_drop_never_leaves_the_page_and_the_two_places_have_names(page: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    drop(page, 700, 20, tmp_path / "empty")
    page.wait_for_function(
        "said => document.querySelector('#viewer .lgg-said').textContent === said", arg=say("nothing_dropped", "en")
    )
    names = page.locator("#viewer .lgg-files [data-drop]").evaluate_all("all => all.map(b => b.ariaLabel)")
    assert names == [say("scan", "en"), say("reference", "en")] and page.is_hidden("#viewer .lgg-drop")


# Runs


def test_a_stopped_run_leaves_what_was_there(page: Any, server: Server, tmp_path: Path) -> None:
    first, second = (sequences(tmp_path, who, "flair") for who in ("ann", "bob"))
    opened(page, *first)
    before = label(page)
    server.drawn.seconds = 0.5
    give(page, "scan", second)
    running(page)
    assert label(page).startswith("bob") and page.is_disabled("#viewer [data-do=download]")
    page.click("#viewer [data-run=stop]")
    idle(page)
    done = server.drawn.slices
    assert label(page) == before and page.is_enabled("#viewer [data-do=download]")
    assert until(lambda: not server.page._alone.locked(), 5) and server.drawn.slices <= done + 2 < 2 * SLICES
    server.drawn.seconds = 0.0
    assert any("ann_flair_pred.nii.gz" in name for name in download(page).namelist())


@pytest.mark.parametrize("choice", ["ask_after", "ask_instead", "ask_cancel"])
def test_a_second_drop_waits_replaces_or_is_dropped_by_choice(
    page: Any, server: Server, tmp_path: Path, choice: str
) -> None:
    first, second = (sequences(tmp_path, who, "flair") for who in ("ann", "bob"))
    server.drawn.seconds = 0.5
    give(page, "scan", first)
    running(page)
    give(page, "scan", second)
    answer(page, choice)
    if choice == "ask_after":
        page.wait_for_selector("#viewer .lgg-progress:has-text('bob_flair')")
    server.drawn.seconds = 0.0
    expected = "ann" if choice == "ask_cancel" else "bob"
    page.wait_for_function("who => document.querySelector('#viewer .lgg-study')?.textContent === who", arg=expected)
    wait_for_result(page)
    idle(page)
    assert label(page).startswith(expected)
    assert all(expected in n for n in download(page).namelist() if "_pred" in n)


def test_a_refused_file_leaves_the_result(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.4 no image")
    give(page, "scan", [tmp_path / "letter.pdf"])
    page.wait_for_selector("#viewer .lgg-messages li.problem:has-text('letter.pdf')")
    idle(page)
    assert label(page).startswith("ann")
    assert any("ann_flair_pred" in name for name in download(page).namelist())


def test_a_closed_tab_ends_its_run(browser: Any, server: Server, tmp_path: Path) -> None:
    context = browser.new_context()
    page = watched(context)
    page.goto(server.url)
    server.drawn.seconds = 0.3
    give(page, "scan", sequences(tmp_path, "ann", "flair"))
    running(page)
    context.close()
    assert until(lambda: not server.demo._queue.event_ids_to_events, 10)
    assert until(lambda: not server.page._alone.locked(), 5) and server.drawn.slices < SLICES


def test_corrections_are_asked_for_before_they_go(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    paint(page)
    for leave in (
        lambda: give(page, "scan", sequences(tmp_path, "bob", "flair")),
        lambda: page.click("#viewer [data-do=clear]"),
    ):
        leave()
        answer(page, "ask_keep")
        idle(page)
        assert label(page).startswith("ann")
    unloading = (
        "() => { const e = new Event('beforeunload', {cancelable: true}); dispatchEvent(e); return e.defaultPrevented; }"
    )
    assert page.evaluate(unloading)
    assert any("ann_flair_pred_corrected_mask" in name for name in download(page).namelist())
    until(lambda: not page.evaluate(unloading))
    assert not page.evaluate(unloading), "they are in a download now"
    give(page, "scan", sequences(tmp_path, "bob", "flair"))
    page.wait_for_function("() => document.querySelector('#viewer .lgg-study')?.textContent === 'bob'")


def test_what_is_drawn_while_files_go_out_is_asked_about_too(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    going_out: list[Any] = []
    page.route("**/gradio_api/upload*", lambda route: going_out.append(route))
    give(page, "scan", sequences(tmp_path, "bob", "flair"))
    assert until(lambda: bool(page.evaluate("1") and going_out))
    paint(page)
    going_out[0].continue_()
    answer(page, "ask_keep")
    idle(page)
    assert label(page).startswith("ann")
    assert any("ann_flair_pred_corrected_mask" in name for name in download(page).namelist())


def test_nothing_is_drawn_on_what_is_about_to_go(page: Any, server: Server, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    server.drawn.seconds = 0.5
    page.evaluate("document.querySelector('#viewer [data-do=brush]').click()")
    with server.page._alone:  # its turn has not come: nothing of it is on screen yet
        give(page, "scan", sequences(tmp_path, "bob", "flair"))
        page.wait_for_selector("#viewer .lgg-progress:has-text('bob_flair')")
        page.wait_for_selector(f"#viewer .lgg-progress:has-text('{say('run_reading', 'en', file='bob_flair.nii.gz')}')")
        box = page.locator("#viewer [data-panel=prediction] canvas").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.inner_text("#viewer .lgg-said") == say("tool_waits", "en")
        assert page.is_disabled("#viewer [data-do=undo]")
    server.drawn.seconds = 0.0
    idle(page)
    assert label(page).startswith("bob")


def test_closing_the_images_ends_the_run(page: Any, server: Server, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    server.drawn.seconds = 0.5
    give(page, "scan", sequences(tmp_path, "bob", "flair"))
    running(page)
    page.evaluate("document.querySelector('#viewer [data-do=clear]').click()")
    idle(page)
    page.wait_for_selector("#viewer .lgg-study", state="detached")
    assert until(lambda: not server.page._alone.locked(), 5)
    page.wait_for_timeout(500)
    assert not page.locator("#viewer .lgg-study").count(), "neither its pictures nor those before come back"


def test_a_newer_question_takes_the_place_of_an_older_one(page: Any, server: Server, tmp_path: Path) -> None:
    server.drawn.seconds = 0.5
    give(page, "scan", sequences(tmp_path, "ann", "flair"))
    running(page)
    give(page, "scan", sequences(tmp_path, "bob", "flair"))
    page.wait_for_selector("#viewer .lgg-ask:has-text('bob_flair')")
    give(page, "scan", sequences(tmp_path, "eve", "flair"))
    page.wait_for_selector("#viewer .lgg-ask:has-text('eve_flair')")
    page.wait_for_timeout(200)
    assert page.locator("#viewer .lgg-ask").count() == 1
    answer(page, "ask_instead")
    server.drawn.seconds = 0.0
    page.wait_for_function("() => document.querySelector('#viewer .lgg-study')?.textContent === 'eve'")
    idle(page)


def test_lines_of_the_ruler_are_there_after_a_stopped_run(page: Any, server: Server, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair"))
    page.evaluate("document.querySelector('#viewer [data-do=ruler]').click()")
    box = page.locator("#viewer [data-panel=prediction] canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    page.wait_for_selector("#viewer .lgg-rulers li")
    server.drawn.seconds = 0.5
    give(page, "scan", sequences(tmp_path, "bob", "flair"))
    running(page)
    page.click("#viewer [data-run=stop]")
    idle(page)
    server.drawn.seconds = 0.0
    assert label(page).startswith("ann") and page.locator("#viewer .lgg-rulers li").count() == 1


# Studies


def test_a_ground_truth_that_is_none_can_be_ignored(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair", "seg"))
    assert roles(page) == {"ann_flair": "flair", "ann_seg": "mask"}
    page.focus("#viewer [data-series=ann_seg]")
    page.select_option("#viewer [data-series=ann_seg]", "")
    page.wait_for_function("() => !document.querySelector('#viewer [data-figure=dice]')")
    idle(page)
    assert roles(page) == {"ann_flair": "flair", "ann_seg": ""}
    assert page.evaluate("document.activeElement.dataset.series") == "ann_seg", "the focus stays where it was"


def roles(page: Any) -> dict[str, str]:
    found = page.locator("#viewer .lgg-studies select").evaluate_all("all => all.map(s => [s.dataset.series, s.value])")
    return dict(found)


def test_each_study_has_its_own_roles_and_none_is_given_twice(page: Any, tmp_path: Path) -> None:
    names = ("flair", "t1", "t1ce", "t2")
    opened(page, *sequences(tmp_path, "ann", *names), *sequences(tmp_path, "bob", *names))
    bob = {"bob_flair": "flair", "bob_t1": "pre", "bob_t1ce": "post", "bob_t2": ""}
    assert roles(page) == {k.replace("bob", "ann"): v for k, v in bob.items()} | bob
    page.select_option("#viewer [data-series=ann_t1]", "flair")
    page.wait_for_selector("#viewer .lgg-messages li.warning:has-text('ann_t1 is used as FLAIR')", timeout=90_000)
    page.wait_for_function("() => document.querySelector('#viewer [data-series=ann_flair]').value === 'pre'")
    idle(page)
    assert roles(page) == {"ann_flair": "pre", "ann_t1": "flair", "ann_t1ce": "post", "ann_t2": ""} | bob
    page.select_option("#viewer [data-series=ann_t1]", "")  # a study needs a FLAIR
    page.wait_for_selector(f"text={say('choose_flair_first', 'en')}")
    idle(page)
    assert roles(page)["ann_t1"] == "flair"
    page.click("#viewer .lgg-study >> nth=1")
    assert label(page).startswith("bob") and page.get_attribute("#viewer .lgg-study >> nth=1", "aria-current") == "true"


def test_downloads_lie_in_one_folder_and_never_have_the_names_of_the_ground_truth(page: Any, tmp_path: Path) -> None:
    opened(page, *sequences(tmp_path, "ann", "flair", "seg"))
    archive = downloaded(page)
    assert {name.split("/")[0] for name in archive.namelist()} == {"lgg-demo"}
    (image,) = json.loads(archive.read("lgg-demo/report.json"))["images"]
    assert (image["mask"], image["probability"]) == ("ann_flair_pred.nii.gz", "ann_flair_pred_probability.nii.gz")
    assert f"lgg-demo/{image['mask']}" in archive.namelist()

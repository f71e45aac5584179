"""The page and the API as their users meet them: gradio_client, two sessions, and the real page in Chromium."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from lgg_demo.inference import Segmenter
from lgg_demo.messages import say
from lgg_demo.phantom import draw_head, write_phantom
from lgg_demo.predict import predict
from lgg_demo.readers import read_cases
from lgg_demo.report import build_report, result_of
from lgg_demo.ui import PHANTOMS, Page, launch_page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    return Segmenter.load()


@pytest.fixture(scope="module")
def url(shipped: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gradio")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    demo = Page(shipped).build()
    _, address, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
    yield address
    demo.close()
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


def uploads_left() -> list[Path]:
    """What lies in Gradio's folder beside the masks it serves."""
    files = (p for p in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if p.is_file())
    return [p for p in files if not p.stem.endswith("_mask")]


@pytest.fixture
def slices(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Three phantom slices and, in another folder, their masks."""
    images = write_phantom(tmp_path, "case", draw_head(3))
    masks = []
    (tmp_path / "masks").mkdir()
    for image in images:
        mask = image.with_name(f"{image.stem}_mask.png")
        masks.append(mask.rename(tmp_path / "masks" / mask.name))
    return images, masks


def test_segment_equals_predict(
    url: str, shipped: Segmenter, slices: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    images, masks = slices
    report, files = Client(url, verbose=False).predict(
        [handle_file(p) for p in images], [handle_file(p) for p in masks], 0.4, api_name="/segment"
    )
    assert predict(images, tmp_path / "out", masks, shipped, 0.4) == []
    assert report == json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["total"]["dice"] > 0.8
    assert [Path(f).name for f in files] == ["case_1_mask.png", "case_2_mask.png", "case_3_mask.png"]
    for file in files:
        served, written = np.asarray(Image.open(file)), np.asarray(Image.open(tmp_path / "out" / Path(file).name))
        assert np.array_equal(served, written)
        assert set(np.unique(served)) <= {0, 255}


def test_segment_deletes_uploads(url: str, slices: tuple[list[Path], list[Path]]) -> None:
    Client(url, verbose=False).predict([handle_file(slices[0][0])], None, 0.5, api_name="/segment")
    assert uploads_left() == []


def test_two_clients_with_the_same_picture(url: str, slices: tuple[list[Path], list[Path]]) -> None:
    """The same bytes from two users, both uploaded before either is served: each gets an answer."""
    clients = [Client(url, verbose=False) for _ in range(2)]
    image = slices[0][1]
    waiting = [c.submit([handle_file(image)], None, 0.5, api_name="/segment") for c in clients for _ in range(3)]
    reports = [job.result()[0] for job in waiting]
    assert all(r == reports[0] and r["images"][0]["predicted_pixels"] > 0 for r in reports)


def test_a_wrong_file_gets_a_sentence_and_the_server_goes_on(
    url: str, slices: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_text("not a picture")
    client = Client(url, verbose=False)
    with pytest.raises(AppError) as error:
        client.predict([handle_file(wrong)], None, 0.5, api_name="/segment")
    assert str(error.value) == say("not_an_image", "en", file="notes.png")
    report, files = client.predict([handle_file(wrong), handle_file(slices[0][0])], None, 0.5, api_name="/segment")
    assert [u["file"] for u in report["unreadable"]] == ["notes.png"]
    assert len(files) == 1


def test_the_language_of_the_caller(url: str, tmp_path: Path) -> None:
    empty = tmp_path / "vide.png"
    empty.touch()
    client = Client(url, verbose=False, headers={"Accept-Language": "fr-FR,fr;q=0.9"})
    with pytest.raises(AppError) as error:
        client.predict([handle_file(empty)], None, 0.5, api_name="/segment")
    assert str(error.value) == say("empty_file", "fr", file="vide.png")


def test_the_api_is_one_endpoint(url: str) -> None:
    described = Client(url, verbose=False).view_api(return_format="dict")
    assert list(described["named_endpoints"]) == ["/segment"]
    names = [p["parameter_name"] for p in described["named_endpoints"]["/segment"]["parameters"]]
    assert names == ["scan", "reference", "threshold"]


def test_no_history_no_monitoring(url: str) -> None:
    import httpx

    assert httpx.get(f"{url}monitoring/summary").status_code in (403, 404)
    assert httpx.get(f"{url}gradio_api/run_history").status_code == 404
    config = httpx.get(f"{url}config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")


@pytest.mark.parametrize("kind", [k for k, v in PHANTOMS.items() if v["lesion"]])
def test_the_shipped_weights_find_the_phantom_lesion(shipped: Segmenter, tmp_path: Path, kind: str) -> None:
    write_phantom(tmp_path, kind, draw_head(**PHANTOMS[kind]))
    (case,), problems = read_cases(sorted(tmp_path.iterdir()))
    assert problems == []
    report = build_report([result_of(case, shipped.segment(case.scan))], 0.5, shipped.record)
    assert report["total"]["dice"] >= 0.8


# The page in Chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", accept_downloads=True)
    page = context.new_page()
    page.errors, page.hosts = [], set()
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.hosts.add(re.split("[/?#]", request.url.partition("://")[2])[0]))
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    yield page
    context.close()


def shown(page: Any, name: str, of: str = "slice") -> float:
    return float(page.get_attribute(f'#viewer [data-figure="{name}"][data-of="{of}"]', "data-exact"))


def wait_for_result(page: Any) -> None:
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=60_000)


def set_threshold(page: Any, value: float) -> None:
    box = page.locator("#threshold input[type=number]")
    box.fill(str(value))
    box.press("Enter")


def give(page: Any, where: str, files: list[Path]) -> None:
    page.set_input_files(f"#{where} input[type=file]", [str(f) for f in files])


def download(page: Any) -> zipfile.ZipFile:
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename.startswith("lgg-demo-")
    return zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))


@needs_browser
@pytest.mark.browser
def test_example_threshold_download(page: Any, url: str, tmp_path: Path) -> None:
    """Open, load an example, move the threshold, see the numbers change, download, compare with the API's mask."""
    page.click("#phantom_single")
    wait_for_result(page)
    assert float(page.input_value("#threshold input[type=number]")) == 0.5
    assert shown(page, "dice") >= 0.8
    before = shown(page, "predicted")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    set_threshold(page, 0.9)
    page.wait_for_function(
        "before => Number(document.querySelector('#viewer [data-figure=predicted]').dataset.exact) !== before", arg=before
    )
    assert shown(page, "predicted") < before
    assert [u for u in requests if not u.startswith(("data:", "blob:"))] == []  # no request: the server is not asked

    archive = download(page)
    report = json.loads(archive.read("report.json"))
    assert report["threshold"] == 0.9
    own = report["images"][0]
    for name, key in (("dice", "dice"), ("iou", "iou"), ("precision", "precision"), ("recall", "recall")):
        assert shown(page, name) == own[key]  # to the last digit
    assert shown(page, "predicted") == own["predicted_pixels"]

    image = write_phantom(tmp_path, "phantom_single", draw_head(1, lesion="frontal"))[0]
    _, files = Client(url, verbose=False).predict([handle_file(image)], None, 0.9, api_name="/segment")
    mask = np.asarray(Image.open(io.BytesIO(archive.read("phantom_single_mask.png"))))
    assert np.array_equal(mask, np.asarray(Image.open(files[0])))
    assert int((mask > 0).sum()) == own["predicted_pixels"]
    assert page.errors == []
    assert page.hosts == {url.partition("://")[2].strip("/")}  # no request to any other host


@needs_browser
@pytest.mark.browser
def test_upload_then_ground_truth(page: Any, slices: tuple[list[Path], list[Path]]) -> None:
    images, masks = slices
    give(page, "scan", images)
    wait_for_result(page)
    assert page.locator('#viewer [data-figure="dice"]').count() == 0
    assert page.is_hidden('#viewer [data-panel="reference"]')
    assert uploads_left() == []
    give(page, "reference", masks)
    page.wait_for_selector('#viewer [data-figure="dice"][data-of="all"]')
    assert shown(page, "dice", "all") > 0.8
    assert page.is_visible('#viewer [data-panel="agreement"]')
    page.locator("#viewer .lgg-scroll input").fill("1")
    assert page.inner_text("#viewer .lgg-name") == "case_1.png"
    page.focus("#viewer .lgg-viewer")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#viewer .lgg-name") == "case_2.png"
    assert page.errors == []


@needs_browser
@pytest.mark.browser
def test_masks_alone_in_the_box_of_images(page: Any, slices: tuple[list[Path], list[Path]]) -> None:
    """They are compared with the result that is there, and outlined never."""
    images, masks = slices
    give(page, "scan", masks)
    page.wait_for_selector("#messages li")
    assert page.inner_text("#messages") == say("images_first", "en")
    assert page.is_disabled("#download")
    give(page, "scan", images)
    wait_for_result(page)
    give(page, "scan", masks)
    page.wait_for_selector('#viewer [data-figure="dice"][data-of="all"]')
    assert page.inner_text("#viewer .lgg-name") == "case_2.png"
    assert page.is_enabled("#download")
    assert uploads_left() == []


@needs_browser
@pytest.mark.browser
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
    page.click("#phantom_series")
    page.wait_for_selector("#viewer [data-of=series]", state="detached")


@needs_browser
@pytest.mark.browser
def test_panels_show_what_they_say(page: Any) -> None:
    """Same size in all panels; the prediction panel is tinted exactly where the mask is."""
    page.click("#phantom_single")
    wait_for_result(page)
    sizes = page.evaluate(
        "[...document.querySelectorAll('#viewer figure:not([hidden]) canvas')].map((c) => [c.width, c.height])"
    )
    assert len(sizes) == 5
    assert len({tuple(s) for s in sizes}) == 1
    tinted = page.evaluate(
        """() => { const c = document.querySelector('#viewer [data-panel=prediction] canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) if (d[i + 2] - d[i] > 30) n++;
        return n / (d.length / 4); }"""
    )
    assert tinted == pytest.approx(shown(page, "predicted") / 256**2, rel=0.05)


@needs_browser
@pytest.mark.browser
def test_bad_file_on_the_page_in_french(browser: Any, url: str, tmp_path: Path) -> None:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(f"text={say('not_for_diagnosis', 'fr')}")
    broken = tmp_path / "cassé.tif"
    broken.write_bytes(b"II*\0" + bytes(40))
    give(page, "scan", [broken])
    page.wait_for_selector("#messages li.problem")
    assert "cassé.tif" in page.inner_text("#messages")
    assert "Traceback" not in page.content()
    page.click("#phantom_single")  # the page goes on
    wait_for_result(page)
    page.click("#language >> text=English")
    page.wait_for_selector(f"text={say('download', 'en')}")
    assert page.inner_text('#viewer [data-panel="image"] figcaption') == "Image"
    assert page.inner_text('#viewer [data-panel="reference"] figcaption') == "Ground truth"
    context.close()


@needs_browser
@pytest.mark.browser
def test_two_users_share_nothing(browser: Any, url: str, page: Any, slices: tuple[list[Path], list[Path]]) -> None:
    give(page, "scan", slices[0])
    wait_for_result(page)
    other = browser.new_context(locale="en-US").new_page()
    other.goto(url)
    other.wait_for_selector("#viewer .lgg-empty")
    assert other.is_visible("#viewer .lgg-empty")
    assert other.is_disabled("#download")
    give(other, "reference", slices[1])  # masks find no result of somebody else's to be compared with
    other.wait_for_selector("#messages li")
    assert other.inner_text("#messages") == say("images_first", "en")
    other.click("#phantom_healthy")
    wait_for_result(other)
    assert {n.rpartition("_")[0] for n in download(page).namelist()} >= {"case_1", "case_2", "case_3"}
    assert not any("case" in n for n in download(other).namelist())
    page.click("#clear")
    page.wait_for_selector("#viewer .lgg-empty", state="visible")
    assert page.is_disabled("#download")
    other.context.close()

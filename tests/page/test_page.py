"""The page and the API as their users meet them: gradio_client, two sessions, and the real page in Chromium."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import pytest
from conftest import needs_browser
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from nifti_files import nifti, turned
from PIL import Image

from lgg_demo.messages import say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of
from lgg_demo.page.blocks import build
from lgg_demo.page.gradio_patches import KEEP_SECONDS
from lgg_demo.page.handlers import PHANTOMS, Page
from lgg_demo.page.phantom import draw_head, write_phantom
from lgg_demo.page.server import launch_page
from lgg_demo.page.uploads import FilesGone, UploadFolder
from lgg_demo.predict import predict
from lgg_demo.reading.studies import Request, read_all


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    return Segmenter.load()


@pytest.fixture(scope="module")
def served(shipped: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Where the page is served, and its Blocks."""
    folder = tmp_path_factory.mktemp("gradio")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    demo = build(Page(shipped))
    _, address, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
    yield address, demo
    demo.close()
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="module")
def url(served: tuple[str, Any]) -> str:
    return served[0]


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
    assert predict(Request(tuple(images), tuple(masks)), tmp_path / "out", shipped, 0.4) == ([], [])
    of_predict = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert of_predict.pop("written") == sorted(p.name for p in (tmp_path / "out").iterdir())
    assert report == of_predict
    assert report["total"]["dice"] > 0.8
    assert [Path(f).name for f in files] == ["case_1_mask.png", "case_2_mask.png", "case_3_mask.png"]
    for file in files:
        served, written = np.asarray(Image.open(file)), np.asarray(Image.open(tmp_path / "out" / Path(file).name))
        assert np.array_equal(served, written)
        assert set(np.unique(served)) <= {0, 255}


def test_segment_deletes_uploads(url: str, slices: tuple[list[Path], list[Path]]) -> None:
    Client(url, verbose=False).predict([handle_file(slices[0][0])], None, 0.5, api_name="/segment")
    assert uploads_left() == []


def test_the_server_keeps_nothing_of_a_call(served: tuple[str, Any], slices: tuple[list[Path], list[Path]]) -> None:
    """Gradio would keep what every component was given and showed last, and sessions until ten thousand have followed."""
    url, demo = served
    report, _ = Client(url, verbose=False).predict([handle_file(p) for p in slices[0]], None, 0.5, api_name="/segment")
    assert "case_1" in json.dumps(report)
    sessions = demo.app.state_holder
    kept = [component for session in sessions.session_data.values() for component in session.components]
    assert kept and "case_1" not in repr(kept)
    last = max(sessions.time_last_used, key=lambda session: sessions.time_last_used[session])
    sessions.delete_all_expired_state()
    assert last in sessions.session_data
    sessions.time_last_used[last] -= timedelta(seconds=KEEP_SECONDS + 60)
    sessions.delete_all_expired_state()
    assert last not in sessions.session_data and last not in sessions.time_last_used


def test_one_network_runs_at_a_time(served: tuple[str, Any]) -> None:
    fns = {fn.name: fn for fn in served[1].fns.values() if fn.fn is not None}
    together = {name for name, fn in fns.items() if fn.concurrency_id == "network" and fn.concurrency_limit == 1}
    assert together == {"on_scan", "on_reference", "on_choose", "on_phantom", "segment"}


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    return UploadFolder(tmp_path / "server")


def uploaded(folder: UploadFolder, files: list[Path]) -> list[str]:
    """Files as they lie once they were uploaded."""
    paths = []
    for file in files:
        with folder.receiving("me"):
            paths.append(str(folder.keep(Path(shutil.copy(file, folder.uploads / "arriving")), file.name, "me")))
    return paths


def test_uploads_of_one_name_and_their_end(folder: UploadFolder, tmp_path: Path) -> None:
    files = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for name in ("1", "2"):
            files.append(write_phantom(tmp_path, name, draw_head(1))[0].rename(tmp_path / place / name))
    given = uploaded(folder, files)
    uploads = folder.take(given)
    assert [p.name for p in uploads.paths] == ["1", "2", "1", "2"] and all(p.is_file() for p in uploads.paths)
    assert not any(Path(p).parent.exists() for p in given)
    assert uploads.paths[0].parent == uploads.paths[1].parent != uploads.paths[2].parent == uploads.paths[3].parent
    with uploads.reading() as paths:
        assert paths == uploads.paths
    uploads.delete_after(0.05)
    for _ in range(100):
        if not any(p.exists() for p in uploads.paths):
            break
        sleep(0.05)
    assert not any(p.exists() for p in uploads.paths)
    with pytest.raises(FilesGone), uploads.reading():
        pass


def test_what_has_no_namesake_lies_beside_none(folder: UploadFolder, tmp_path: Path) -> None:
    """Of two patients' folders the page knows the files alone: what only one of them has may be either's."""
    files = []
    for name in ("ann/flair.nii", "bob/flair.nii", "bob/seg.nii", "bob/t1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nifti(tmp_path / name, *turned("LPS"))
        files.append(tmp_path / name)
    with folder.take(uploaded(folder, files)).reading() as paths:
        cases = read_all(Request(tuple(paths))).cases
    assert {c.scan.name: c.reference is None for c in cases} == {"flair": True, "flair (2)": True}


def test_masks_of_one_name_are_not_matched_by_their_order(folder: UploadFolder, tmp_path: Path) -> None:
    (image,) = write_phantom(tmp_path, "s", draw_head(1, lesion="frontal"))
    mask = tmp_path / "s_mask.png"
    boxes: dict[str, list[Path]] = {"scan": [], "reference": []}
    for box, file in (("scan", image), ("reference", mask)):
        for patient in ("ann", "bob"):
            (tmp_path / box / patient).mkdir(parents=True)
            boxes[box].append(Path(shutil.copy(file, tmp_path / box / patient)))
    scan, reference = (folder.take(uploaded(folder, files)) for files in (boxes["scan"], boxes["reference"][::-1]))
    read = read_all(Request(tuple(scan.paths), tuple(reference.paths)))
    assert len(read.cases) == 2 and all(c.reference is None for c in read.cases)
    assert [p.sentence.key for p in read.errors] == ["mask_unmatched"] * 2


def test_an_upload_whose_turn_comes_too_late_is_to_be_dropped_again(shipped: Segmenter, tmp_path: Path) -> None:
    drawn = write_phantom(tmp_path, "drawn", draw_head(1))[0]
    page = Page(shipped)
    for names, results in ((["gone.png"], 0), (["gone.png", "here.png"], 1)):
        gone, *rest = uploaded(page.folder, [Path(shutil.copy(drawn, tmp_path / name)) for name in names])
        page.folder.discard([gone])
        *_, shown = page.on_scan([gone, *rest], None, None, 0.5, "fr")
        session = shown[1]
        assert len(session.results) == results
        assert [str(p.sentence.say("fr")) for p in session.problems] == [say("upload_gone", "fr", file="gone.png")]
        assert html.escape(say("upload_gone", "fr", file="gone.png")) in shown[3]


def test_what_replaces_a_study_deletes_its_files(shipped: Segmenter, tmp_path: Path) -> None:
    page = Page(shipped)
    for n, leave in enumerate(
        (
            page.on_clear,
            lambda held: page.on_phantom("phantom_single", held, 0.5, "en"),
            lambda held: list(page.on_scan([], None, held, 0.5, "en")),
        )
    ):
        held = page.folder.take(uploaded(page.folder, write_phantom(tmp_path, f"case{n}", draw_head(1))[:1]))
        held.delete_after(600)
        assert held.paths[0].exists()
        leave(held)
        assert not held.paths[0].exists() and not held.paths[0].parent.exists()


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
    (case,), problems, _ = read_all(Request(tuple(sorted(tmp_path.iterdir()))))
    assert problems == []
    report = build_report([result_of(case, shipped.segment(case.scan))], 0.5, shipped.record)
    assert report["total"]["dice"] >= 0.8


# The page in Chromium


def watched(context: Any) -> Any:
    """A new page that collects its errors and the hosts it asks."""
    page = context.new_page()
    page.errors, page.hosts = [], set()
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.hosts.add(re.split("[/?#]", request.url.partition("://")[2])[0]))
    return page


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", accept_downloads=True)
    page = watched(context)
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


def settle(page: Any) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def picture(page: Any, panel: str) -> str:
    """What a panel shows, as a data URL."""
    settle(page)
    return str(page.evaluate(f"document.querySelector('#viewer [data-panel={panel}] canvas').toDataURL()"))


def coloured(page: Any, panel: str) -> float:
    """The share of a panel that is tinted blue."""
    return float(
        page.evaluate(
            """(panel) => { const c = document.querySelector(`#viewer [data-panel=${panel}] canvas`);
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
            for (let i = 0; i < d.length; i += 4) if (d[i + 2] - d[i] > 30) n++;
            return n / (d.length / 4); }""",
            panel,
        )
    )


def place(page: Any) -> int:
    return int(page.inner_text("#viewer .lgg-scroll output").split("/")[0])


def middle(page: Any, panel: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """A point of a panel on the screen, in shares of it."""
    canvas = page.locator(f"#viewer [data-panel={panel}] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Any, start: tuple[float, float], by: tuple[float, float], button: str = "left") -> None:
    page.mouse.move(*start)
    page.mouse.down(button=button)
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=4)
    page.mouse.up(button=button)
    settle(page)


def do(page: Any, name: str) -> None:
    page.click(f'#viewer [data-do="{name}"]')


def pressed(page: Any, name: str) -> bool:
    return bool(page.get_attribute(f'#viewer [data-do="{name}"]', "aria-pressed") == "true")


@contextmanager
def no_request(page: Any) -> Iterator[None]:
    requests: list[str] = []

    def keep(request: Any) -> None:
        requests.append(request.url)

    page.on("request", keep)
    yield
    settle(page)
    page.remove_listener("request", keep)
    assert [u for u in requests if not u.startswith(("data:", "blob:"))] == []


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
    assert page.is_visible('#viewer [data-panel="reference"]')
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
    page.click('#viewer [data-do="agreement"]')
    page.click('#viewer [data-do="uncertainty"]')
    settle(page)
    sizes = page.evaluate(
        "[...document.querySelectorAll('#viewer .lgg-panels figure:not([hidden]) canvas')].map((c) => [c.width, c.height])"
    )
    assert len(sizes) == 5
    assert len({tuple(s) for s in sizes}) == 1
    assert coloured(page, "prediction") == pytest.approx(shown(page, "predicted") / 256**2, rel=0.05)


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
    page.wait_for_selector("#messages [lang=fr] li.problem")
    assert page.inner_text("#messages") == say("damaged", "fr", file="cassé.tif")
    assert "Traceback" not in page.content()
    page.click("#language >> text=English")
    page.wait_for_selector("#messages [lang=en] li.problem")
    assert page.inner_text("#messages") == say("damaged", "en", file="cassé.tif")
    page.click("#language >> text=Français")
    page.wait_for_selector("#messages [lang=fr] li.problem")
    page.click("#phantom_single")  # the page goes on
    wait_for_result(page)
    page.click("#language >> text=English")
    page.wait_for_selector(f"text={say('download', 'en')}")
    assert page.inner_text('#viewer [data-panel="image"] figcaption') == "Image"
    assert page.inner_text('#viewer [data-panel="reference"] figcaption') == "Ground truth"
    context.close()


@needs_browser
@pytest.mark.browser
def test_a_run_that_began_in_another_language_ends_in_the_one_that_is_chosen(page: Any) -> None:
    page.click("#phantom_series")
    page.click("#language >> text=Français")
    wait_for_result(page)
    page.wait_for_selector("#messages [lang=fr] li.done")
    assert page.inner_text("#messages").splitlines()[-1] == say("scored", "fr", slices=12)
    assert page.errors == []


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


# The viewer on the page


@pytest.fixture(scope="module")
def opened(browser: Any, url: str) -> Iterator[Any]:
    """A page with a series of twelve slices and their ground truth, loaded once."""
    context = browser.new_context(locale="en-US", accept_downloads=True, viewport={"width": 1440, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = watched(context)
    page.goto(url)
    page.click("#phantom_series")
    wait_for_result(page)
    yield page
    context.close()


@pytest.fixture
def series(opened: Any, url: str) -> Iterator[Any]:
    """That page as a new result shows it; afterwards no error may have come, and no other host been asked."""
    page = opened
    for name in ("side", "fill"):
        do(page, name)
    for name in ("image", "prediction", "reference", "agreement", "uncertainty"):
        if pressed(page, name) != (name in ("image", "prediction", "reference")):
            do(page, name)
    do(page, "reset")
    set_threshold(page, 0.5)
    page.focus("#viewer .lgg-viewer")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    settle(page)
    yield page
    assert page.errors == []
    assert {h for h in page.hosts if h} <= {url.partition("://")[2].strip("/")}


@needs_browser
@pytest.mark.browser
def test_what_the_hand_does_needs_no_request(series: Any) -> None:
    page = series
    at = middle(page, "prediction")
    with no_request(page):
        first = {name: picture(page, name) for name in ("image", "prediction")}
        drag(page, middle(page, "image"), (60, -40), "right")  # window and level
        assert picture(page, "image") != first["image"]
        page.mouse.dblclick(*at)
        assert picture(page, "image") == first["image"]
        page.mouse.move(*middle(page, "prediction", 0.3, 0.3))
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        zoomed = picture(page, "prediction")
        assert zoomed != first["prediction"]
        drag(page, at, (30, 20))  # a zoomed picture moves
        assert picture(page, "prediction") != zoomed
        page.mouse.dblclick(*at)
        assert picture(page, "prediction") == first["prediction"]
        before = place(page)
        page.mouse.wheel(0, 120)
        page.wait_for_function(
            "n => Number(document.querySelector('#viewer .lgg-scroll output').textContent.split('/')[0]) > n", arg=before
        )
        page.mouse.wheel(0, -120)
        page.wait_for_function(
            "n => Number(document.querySelector('#viewer .lgg-scroll output').textContent.split('/')[0]) == n", arg=before
        )
        page.locator('#viewer [data-dial="opacity"]').fill("20")
        faint = picture(page, "prediction")
        assert faint != first["prediction"]
        page.locator('#viewer [data-dial="opacity"]').fill("60")
        do(page, "outline")
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


@needs_browser
@pytest.mark.browser
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
    assert len({picture(page, name) for name in ("image", "prediction", "reference")}) == 3
    page.keyboard.down(" ")  # blink: held, the layers are off
    assert len({picture(page, name) for name in ("image", "prediction", "reference")}) == 1
    page.keyboard.up(" ")
    assert len({picture(page, name) for name in ("image", "prediction", "reference")}) == 3


@pytest.fixture(scope="module")
def predicted(shipped: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `predict` makes of the series on the page."""
    folder = tmp_path_factory.mktemp("series")
    write_phantom(folder, "phantom_series", draw_head(**PHANTOMS["phantom_series"]))
    (case,) = read_all(Request(tuple(sorted(folder.iterdir())))).cases
    return result_of(case, shipped.segment(case.scan))


@needs_browser
@pytest.mark.browser
def test_the_numbers_are_those_of_predict(series: Any, shipped: Segmenter, predicted: Any) -> None:
    for threshold in np.random.default_rng().uniform(0.02, 0.98, 6).round(2).tolist():
        set_threshold(series, threshold)
        settle(series)
        report = build_report([predicted], threshold, shipped.record)
        own = report["images"][place(series) - 1]
        for of, entry in (("all", report["total"]), ("slice", own)):
            for name in ("dice", "iou", "precision", "recall"):
                if entry[name] is not None:
                    assert shown(series, name, of) == entry[name], (threshold, name, of)
            assert shown(series, "predicted", of) == entry["predicted_pixels"], threshold


@needs_browser
@pytest.mark.browser
def test_curve_sets_the_threshold_and_warns(series: Any) -> None:
    assert series.is_hidden('#viewer [data-note="caution"]')
    canvas = series.locator("#viewer .lgg-curve canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    with no_request(series):
        series.mouse.click(box["x"] + 26 + 0.8 * (box["width"] - 34), box["y"] + 60)
        series.wait_for_function("document.querySelector('#threshold input[type=number]').value === '0.8'")
    assert series.inner_text('#viewer [data-note="caution"]') == say("caution", "en")
    set_threshold(series, 0.5)
    settle(series)
    assert series.is_hidden('#viewer [data-note="caution"]')
    assert "0.5" in str(canvas.get_attribute("aria-label"))


@needs_browser
@pytest.mark.browser
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


@needs_browser
@pytest.mark.browser
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
    mask = np.asarray(Image.open(io.BytesIO(archive.read(f"{name}_corrected_mask.png"))))
    assert int((mask > 0).sum()) == shown(page, "predicted")
    assert sum("corrected" in n for n in archive.namelist()) == 1
    assert "corrected_pixels" in archive.read("report.csv").decode().splitlines()[0]
    page.focus("#viewer .lgg-viewer")
    for _ in range(2):
        page.keyboard.press("z")
    again = json.loads(download(page).read("report.json"))  # the server has kept nothing of it
    assert "corrected" not in again["total"]


@needs_browser
@pytest.mark.browser
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


@needs_browser
@pytest.mark.browser
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
    page.wait_for_function("document.querySelector('#threshold input[type=number]').value === '0.51'")
    keys.press(",")
    keys.press("v")
    assert pressed(page, "overlay")
    do(page, "side")
    page.focus("#viewer .lgg-viewer")
    keys.press("f")
    assert pressed(page, "outline")
    keys.press("f")
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


@needs_browser
@pytest.mark.browser
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
    assert dice in text and say("not_for_diagnosis", "en") in text
    assert "phantom" not in text + caption and "http" not in text


@needs_browser
@pytest.mark.browser
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
    page.click("#phantom_single")
    page.wait_for_selector("#viewer [data-group=tools_channel]", state="hidden")


@needs_browser
@pytest.mark.browser
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
    assert page.is_hidden("#sequences")  # a scan and its mask: there is nothing to choose
    set_threshold(page, 0.37)
    settle(page)
    report = json.loads(download(page).read("report.json"))
    assert shown(page, "volume", "all") == report["images"][0]["volume_ml"] == report["total"]["volume_ml"]
    assert shown(page, "area") == report["images"][0]["areas_mm2"][place(page) - 1]
    assert page.errors == []


@needs_browser
@pytest.mark.browser
def test_a_phone(browser: Any, url: str) -> None:
    """360 pixels: nothing to scroll sideways, targets for a finger, two fingers zoom, a stroke does not move the page."""
    context = browser.new_context(
        locale="en-US", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.click("#phantom_series")
    wait_for_result(page)
    settle(page)
    tops = page.evaluate(
        "['#threshold', '#viewer', '#privacy'].map((q) => document.querySelector(q).getBoundingClientRect().top)"
    )
    assert abs(tops[0]) < 50 and tops == sorted(tops)  # the result is what one sees, and the small print is below it
    for layout in ("planes", "swipe", "overlay", "side"):
        do(page, layout)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """[...document.querySelectorAll('#viewer button, #viewer input, #viewer canvas')]
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


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding_of_axe(browser: Any, url: str, scheme: str) -> None:
    """axe-core finds nothing serious: the page empty, with a result in each layout, and with its help open."""
    import axe_playwright_python

    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(locale="en-US", color_scheme=scheme, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    page.evaluate(script)

    def serious() -> list[str]:
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        bad = [v for v in found if v["impact"] in ("serious", "critical")]
        return [f"{v['id']}: {n['html'][:150]} {n['failureSummary'][:200]}" for v in bad for n in v["nodes"]]

    assert serious() == []
    page.click("#phantom_series")
    wait_for_result(page)
    set_threshold(page, 0.6)
    page.wait_for_timeout(800)  # the progress fades: a text on its way out has no contrast
    assert serious() == []
    do(page, "brush")
    do(page, "swipe")
    assert serious() == []
    do(page, "planes")
    assert serious() == []
    do(page, "help")
    assert serious() == []
    context.close()


@needs_browser
@pytest.mark.browser
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
    app.locator("#phantom_single").click()
    app.locator('#viewer [data-figure="dice"]').first.wait_for(timeout=60_000)
    assert app.locator('#viewer [data-do="overlay"]').inner_text() == say("layout_overlay", "fr")
    app.locator('#viewer [data-do="copy"]').click()
    app.locator(f"#viewer .lgg-said:has-text('{say('copied', 'fr')}')").wait_for()
    context.close()
    server.shutdown()

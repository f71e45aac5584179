"""The page with the shipped weights, and the hands of a user on it in Chromium."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from drawn_heads import draw_head, write_phantom
from folders import files_below

from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import launch_page

FIXTURES = ("opened", "page", "series", "served", "shipped", "slices", "url")  # to be imported where they are used


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    return Segmenter.load()


@pytest.fixture(scope="module")
def served(shipped: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Where the page is served, and its Blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        demo = build(Page(shipped))
        _, address, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
        yield address, demo
        demo.close()


@pytest.fixture(scope="module")
def url(served: tuple[str, Any]) -> str:
    return served[0]


def uploads_left() -> list[Path]:
    """What lies in Gradio's folder beside the masks it serves."""
    return [p for p in files_below(Path(os.environ["GRADIO_TEMP_DIR"])) if not p.stem.endswith("_mask")]


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
    box = page.locator("#viewer .lgg-threshold input[type=text]")
    box.fill(str(value))
    box.press("Enter")


def give(page: Any, where: str, files: list[Path]) -> None:
    page.set_input_files(f'#viewer [data-choose="{where}"]', [str(f) for f in files])


DRAWN: dict[str, dict[str, Any]] = {
    "phantom_single": {"slices": 1, "lesion": "frontal"},
    "phantom_series": {"slices": 12, "lesion": "parietal"},
    "phantom_healthy": {"slices": 1, "lesion": None},
}


def drawn(kind: str) -> list[Any]:
    """Slices of one of DRAWN and their masks, as a page is given files that lie nowhere."""
    with TemporaryDirectory() as folder:
        write_phantom(Path(folder), kind, draw_head(**DRAWN[kind]))
        files = sorted(Path(folder).iterdir())
        return [{"name": f.name, "mimeType": "image/png", "buffer": f.read_bytes()} for f in files]


def give_drawn(page: Any, kind: str) -> None:
    """Give one of DRAWN to a page, or to a frame of it."""
    page.locator("#viewer [data-choose=scan]").set_input_files(drawn(kind))


def settle(page: Any) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def picture(page: Any, panel: str) -> str:
    """What a panel shows, as a data URL."""
    settle(page)
    return str(page.evaluate(f"document.querySelector('#viewer [data-panel={panel}] canvas').toDataURL()"))


def coloured(page: Any, panel: str) -> float:
    """The share of a panel that is tinted blue, once what was asked for is drawn."""
    settle(page)
    return float(
        page.evaluate(
            """(panel) => { const c = document.querySelector(`#viewer [data-panel=${panel}] canvas`);
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
            for (let i = 0; i < d.length; i += 4) if (d[i + 2] - d[i] > 30) n++;
            return n / (d.length / 4); }""",
            panel,
        )
    )


MESSAGES = "#viewer .lgg-messages"


def speak(page: Any, language: str) -> None:
    page.click(f"#viewer [data-language={language}]")
    page.wait_for_selector(f"#viewer [data-language={language}][aria-pressed=true]")


def threshold_shown(page: Any) -> str:
    return str(page.input_value("#viewer .lgg-threshold input[type=text]"))


def place(page: Any) -> int:
    return int(page.inner_text("#viewer .lgg-steps output").split("/")[0])


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
    """What the download holds, without the folder that it lies in."""
    return inside(downloaded(page))


def downloaded(page: Any) -> zipfile.ZipFile:
    with page.expect_download() as waiting:
        do(page, "download")
    assert waiting.value.suggested_filename.startswith("lgg-demo-")
    return zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))


def inside(archive: zipfile.ZipFile) -> zipfile.ZipFile:
    """What is in the one folder of a download, as if it were unpacked there."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as within:
        for name in archive.namelist():
            folder, _, own = name.partition("/")
            assert folder == "lgg-demo"
            within.writestr(own, archive.read(name))
    return zipfile.ZipFile(packed)


@pytest.fixture(scope="module")
def opened(browser: Any, url: str) -> Iterator[Any]:
    """A page with a series of twelve slices and their ground truth, loaded once."""
    context = browser.new_context(locale="en-US", accept_downloads=True, viewport={"width": 1440, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = watched(context)
    page.goto(url)
    give_drawn(page, "phantom_series")
    wait_for_result(page)
    yield page
    context.close()


@pytest.fixture
def series(opened: Any, url: str) -> Iterator[Any]:
    """That page as a new result shows it; afterwards no error may have come, and no other host been asked."""
    page = opened
    do(page, "side")
    if not pressed(page, "fill"):
        do(page, "fill")
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

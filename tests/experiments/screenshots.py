"""Make the pictures in docs/ from the synthetic patients: `python -m tests.experiments.screenshots` (needs Chromium)."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import launch_page
from lgg_demo.page.showcase import Showcase

DOCS = Path(__file__).resolve().parents[2] / "docs"
VIEWS = {  # file: language, width, height, what is clicked in the viewer
    "page.png": ("en-US", 1440, 900, ()),
    "page-planes.png": ("fr-FR", 1440, 900, ("planes",)),
    "page-light.png": ("en-US", 1440, 900, ("theme", "sequences")),
    "page-phone.png": ("en-US", 360, 800, ()),
}
MOVING, MOVING_SIZE, FRAME_MS = "page.webp", (1280, 720), 160
THRESHOLD = "#viewer .lgg-threshold input[type=range]"


def still(page: Any, clicks: tuple[str, ...]) -> bytes:
    for button in clicks:
        page.click(f'#viewer [data-do="{button}"]')
    page.wait_for_timeout(1500)  # the surface is made
    return bytes(page.screenshot())


def moving(page: Any) -> list[Image.Image]:
    """Threshold, slices, curtain and surface, as a hand moves them."""
    frames: list[Image.Image] = []

    def step(act: Callable[[], object]) -> None:
        act()
        page.wait_for_timeout(60)
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((960, 540), Image.Resampling.LANCZOS))

    for value in (0.5, 0.4, 0.3, 0.2, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.8, 0.65, 0.5):
        step(lambda value=value: page.locator(THRESHOLD).fill(str(value)))  # type: ignore[misc]
    page.focus("#viewer .lgg-viewer")
    for key in ("ArrowDown",) * 4 + ("ArrowUp",) * 4:
        step(lambda key=key: page.keyboard.press(key))  # type: ignore[misc]
    page.click('#viewer [data-do="swipe"]')
    for share in (50, 40, 30, 40, 55, 65, 50):
        step(lambda share=share: page.locator('#viewer [data-dial="swipe"]').fill(str(share)))  # type: ignore[misc]
    page.click('#viewer [data-do="planes"]')
    page.wait_for_timeout(800)
    for turn in range(35, 130, 8):
        step(lambda turn=turn: page.locator('#viewer [data-dial="turn"]').fill(str(turn)))  # type: ignore[misc]
    return frames


def main() -> None:
    """Start the page, which opens a synthetic patient, and take a picture of each view."""
    pages = Page(Segmenter.load())
    showcase = Showcase(pages)
    demo = build(pages, showcase)
    showcase.start()
    _, url, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
    DOCS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"]
        )

        def opened(locale: str, width: int, height: int) -> Any:
            page = chromium.new_page(locale=locale, viewport={"width": width, "height": height})
            page.goto(url)
            page.wait_for_selector('#viewer [data-figure="dice"]', timeout=120_000)
            return page

        for name, (locale, width, height, clicks) in VIEWS.items():
            page = opened(locale, width, height)
            (DOCS / name).write_bytes(still(page, clicks))
            page.close()
        first, *rest = moving(opened("en-US", *MOVING_SIZE))
        first.save(DOCS / MOVING, save_all=True, append_images=rest, duration=FRAME_MS, loop=0, quality=60, method=6)
    demo.close()
    showcase.end()


if __name__ == "__main__":
    main()

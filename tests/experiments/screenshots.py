"""Make the pictures in docs/ from the synthetic patients: `python -m tests.experiments.screenshots` (needs Chromium)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import launch_page
from lgg_demo.page.showcase import Showcase

DOCS = Path(__file__).resolve().parents[2] / "docs"
VIEWS = {  # file: colour scheme, language, width, height, what is clicked in the viewer
    "page.png": ("light", "en-US", 1440, 960, ("agreement", "uncertainty")),
    "page-dark.png": ("dark", "fr-FR", 1440, 960, ("planes",)),
    "page-phone.png": ("light", "en-US", 360, 800, ()),
}


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
        for name, (scheme, locale, width, height, clicks) in VIEWS.items():
            context = chromium.new_context(color_scheme=scheme, locale=locale, viewport={"width": width, "height": height})
            page = context.new_page()
            page.goto(url)
            page.wait_for_selector('#viewer [data-figure="dice"]', timeout=60_000)
            for button in clicks:
                page.click(f'#viewer [data-do="{button}"]')
            page.wait_for_timeout(1500)  # the progress overlay fades, the surface is made
            page.screenshot(path=DOCS / name, full_page=True)
            context.close()
    demo.close()
    showcase.end()


if __name__ == "__main__":
    main()

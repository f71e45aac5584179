"""Make the pictures in docs/ from a phantom: `python -m tests.screenshots` (needs Chromium)."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from lgg_demo.inference import Segmenter
from lgg_demo.ui import Page, launch_page

DOCS = Path(__file__).resolve().parent.parent / "docs"
VIEWS = {  # file: colour scheme, language, width, height
    "page.png": ("light", "en-US", 1440, 960),
    "page-dark.png": ("dark", "fr-FR", 1440, 960),
    "page-phone.png": ("light", "en-US", 390, 844),
}


def main() -> None:
    """Start the page, load the phantom in each view, take the picture."""
    demo = Page(Segmenter.load()).build()
    _, url, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
    DOCS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (scheme, locale, width, height) in VIEWS.items():
            context = chromium.new_context(color_scheme=scheme, locale=locale, viewport={"width": width, "height": height})
            page = context.new_page()
            page.goto(url)
            page.click("#phantom_series")
            page.wait_for_selector('#viewer [data-figure="dice"]', timeout=60_000)
            page.wait_for_timeout(1000)  # the progress overlay fades
            page.screenshot(path=DOCS / name, full_page=True)
            context.close()
    demo.close()


if __name__ == "__main__":
    main()

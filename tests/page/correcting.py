"""A study with a made-up prediction on the real page, and the hands of who corrects it there.

The network finds one lesion too small, misses another one, and finds one that is none.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from drawn_heads import draw_head
from driver import settle, watched
from nifti_files import nifti, turned
from scipy import ndimage

from lgg_demo.case import Scan
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import launch_page

SLICES, SIDE = 24, 160
SPACING = (5.0, 1.25, 1.25)  # mm
Point = tuple[float, float]


def _ball(centre: Sequence[float], radius: float) -> np.ndarray:
    """A ball with its centre (slice, row, column) and its radius in mm: (S, H, W) bool."""
    axes = np.ogrid[:SLICES, :SIDE, :SIDE]
    return np.asarray(sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, SPACING, strict=True)) <= radius**2)


HEAD = draw_head(SLICES, SIDE, seed=4)
LESION = HEAD.mask
MISSED_AT, FALSE_AT = (12, 95, 108), (11, 106, 52)  # slice, row, column
MISSED, FALSE = _ball(MISSED_AT, 14), _ball(FALSE_AT, 11)
FOUND = np.stack([ndimage.binary_erosion(m, np.ones((3, 3)), iterations=2) for m in LESION])


def made_up() -> np.ndarray:
    """The probability, (S, H, W) uint8."""
    likely = np.where(FOUND | FALSE, 220, np.where(MISSED, 60, 0))
    return np.where(LESION & ~FOUND, 30, likely).astype(np.uint8)


class MadeUp:
    """Stands for a `Segmenter`."""

    def __init__(self) -> None:
        self.record = {"name": "made up", "sha256": "0" * 64}

    def segment(self, scan: Scan, progress: Callable[[int, int], None]) -> np.ndarray:
        progress(len(scan), len(scan))
        return made_up()


def write_study(folder: Path) -> tuple[Path, Path]:
    """The FLAIR and the ground truth, as NIfTI."""
    flair = np.where(MISSED, 0.7 * HEAD.flair + 60, HEAD.flair).astype(np.int16)
    truth, affine = turned("RAS", (LESION | MISSED).astype(np.uint8), SPACING)
    scan, _ = turned("RAS", flair, SPACING)
    return nifti(folder / "study_flair.nii.gz", scan, affine), nifti(folder / "study_seg.nii.gz", truth, affine)


@contextmanager
def page_of_study(browser: Any, folder: Path, **context: Any) -> Iterator[Hand]:
    """The real page, served, with the study opened."""
    demo = build(Page(MadeUp()))  # type: ignore[arg-type]
    _, address, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
    usual = {"locale": "en-US", "accept_downloads": True, "viewport": {"width": 1440, "height": 900}}
    own = browser.new_context(**usual | context)
    page = watched(own)
    page.goto(address)
    page.wait_for_selector("#viewer .lgg-empty")
    page.set_input_files("#viewer [data-choose=scan]", [str(p) for p in write_study(folder)])
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=60_000, state="attached")
    yield Hand(page)
    assert page.errors == []
    own.close()
    demo.close()


class Hand:
    """What a user does to the pictures, in pixels of a plane."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def at(self, x: float, y: float, panel: str = "prediction") -> Point:
        """Where a point of a plane is on the screen; the picture is whole and in the middle of its panel."""
        box = self.page.locator(f"#viewer [data-panel={panel}] canvas").bounding_box()
        high = SLICES if panel in ("coronal", "sagittal") else SIDE
        tall = SPACING[0] / SPACING[1] if high == SLICES else 1.0
        scale = min(box["width"] / SIDE, box["height"] / (high * tall))
        left, top = box["x"] + (box["width"] - SIDE * scale) / 2, box["y"] + (box["height"] - high * tall * scale) / 2
        return left + x * scale, top + y * tall * scale

    def go(self, s: int) -> None:
        """To slice s, from 0."""
        slider = self.page.locator("#viewer .lgg-scroll input[type=range]").first
        slider.fill(str(s + 1))
        settle(self.page)

    def take(self, tool: str | None) -> None:
        """Have this tool in the hand, or none."""
        self.page.focus("#viewer .lgg-viewer")
        on = self.page.locator("#viewer [data-group=tools_correct] [aria-pressed=true]")
        if on.count() and on.first.get_attribute("data-do") != tool:
            self.page.keyboard.press("Escape")
        if tool and self.page.get_attribute(f"#viewer [data-do={tool}]", "aria-pressed") != "true":
            self.page.click(f"#viewer [data-do={tool}]")

    def click(self, x: float, y: float, panel: str = "prediction") -> None:
        self.page.mouse.click(*self.at(x, y, panel))
        settle(self.page)

    def draw(self, points: Sequence[Point], panel: str = "prediction", steps: int = 4) -> None:
        self.page.mouse.move(*self.at(*points[0], panel))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point, panel), steps=steps)
        self.page.mouse.up()
        settle(self.page)

    def layout(self, name: str) -> None:
        self.page.click(f"#viewer [data-do={name}]")
        settle(self.page)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        settle(self.page)

    def said(self) -> str:
        return str(self.page.inner_text("#viewer .lgg-said"))

    def edits(self) -> np.ndarray:
        """The corrections as they would be sent, (S, H, W) uint8."""
        edits = np.zeros((SLICES, SIDE, SIDE), np.uint8)
        text = self.page.evaluate("document.querySelector('#viewer .lgg-viewer').corrections()")
        for case in json.loads(text)["cases"] if text else ():
            raw = zlib.decompress(base64.b64decode(case["edits"]))
            edits[case["slices"]] = np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE)
        return edits

    def mask(self) -> np.ndarray:
        """The corrected mask at 0.5, (S, H, W) bool."""
        edits = self.edits()
        return np.asarray((made_up() >= 128) & (edits != 2) | (edits == 1))

    def undo_all(self) -> None:
        self.page.focus("#viewer .lgg-viewer")
        for _ in range(200):
            if self.page.is_disabled("#viewer [data-do=undo]"):
                return
            self.page.keyboard.press("Control+z")
        raise AssertionError("too much to undo")


def outline(mask: np.ndarray, step: int = 4) -> list[Point]:
    """A freehand line (x, y) round the largest area of a slice's mask (H, W)."""
    import contourpy

    lines = contourpy.contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    longest = max(lines, key=len)
    return [(float(x) - 0.5, float(y) - 0.5) for x, y in longest[::step]]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))

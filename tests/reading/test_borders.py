"""A page around a slice is air, whatever it looks like, and a slice without one stays as it is."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_heads import draw_head
from PIL import Image, ImageDraw
from scipy import ndimage

from lgg_demo.reading.borders import several_heads
from lgg_demo.reading.pictures import Pages, read_pages, read_scan

SIDE = 192
RNG = np.random.default_rng(4)
SLICE = np.clip(draw_head(1, size=SIDE, lesion="frontal").flair[0] + RNG.normal(4, 3, (SIDE, SIDE)), 0, 255).astype(
    np.uint8
)
COLOUR = np.dstack([SLICE // 2, SLICE, SLICE // 3])  # three sequences
HEAD = ndimage.binary_fill_holes(SLICE > 40)


def on_page(
    values: np.ndarray, colour: int | tuple[int, int, int], sides: tuple[int, int, int, int] = (40, 50, 30, 35)
) -> np.ndarray:
    """A slice with so many pixels of a colour above, below, left and right of it."""
    if not isinstance(colour, int) and values.ndim == 2:
        values = np.dstack([values] * 3)
    (top, bottom, left, right), (height, width) = sides, values.shape[:2]
    page = np.empty((height + top + bottom, width + left + right, *values.shape[2:]), np.uint8)
    page[:] = colour
    page[top : top + height, left : left + width] = values
    return page


def jpeg(values: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def captioned(values: np.ndarray, colour: int | tuple[int, int, int]) -> np.ndarray:
    picture = Image.fromarray(values)
    draw = ImageDraw.Draw(picture)
    draw.text((30, 8), "A", fill=colour, font_size=24)
    draw.text((12, values.shape[0] - 40), "Figure 3. Axial FLAIR: the lesion (arrow)", fill=colour)
    draw.text((12, values.shape[0] - 22), "of the left frontal lobe", fill=colour)
    return np.asarray(picture)


def framed(values: np.ndarray, colour: int | tuple[int, int, int], width: int) -> np.ndarray:
    return on_page(values, colour, (width,) * 4)


ROUND = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < 88
RECTANGLE = Image.new("L", (SIDE, SIDE))
ImageDraw.Draw(RECTANGLE).rounded_rectangle((0, 0, SIDE - 1, SIDE - 1), 24, fill=255)

PAGES = {
    "white": on_page(SLICE, 255),
    "light grey": on_page(SLICE, 225),
    "grey": on_page(SLICE, 128),
    "dark grey": on_page(SLICE, 60),
    "right": on_page(SLICE, 255, (0, 0, 0, 50)),
    "left and top": on_page(SLICE, 255, (20, 0, 56, 0)),
    "bottom": on_page(SLICE, 200, (0, 90, 0, 0)),
    "narrow": on_page(SLICE, 255, (8, 8, 8, 8)),
    "wide": on_page(SLICE, 255, (150, 150, 150, 150)),
    "three sequences": on_page(COLOUR, (255, 255, 255)),
    "blue": on_page(SLICE, (10, 40, 130)),
    "cream": on_page(SLICE, (250, 240, 215)),
    "JPEG": jpeg(on_page(SLICE, 255), 60),
    "poor JPEG": jpeg(on_page(SLICE, 235), 40),
    "blue JPEG": jpeg(on_page(SLICE, (10, 40, 130)), 75),
    "caption": captioned(on_page(SLICE, 255), 0),
    "caption in grey": captioned(on_page(SLICE, 210), 0),
    "caption of a slide": captioned(on_page(SLICE, (20, 40, 90)), (255, 255, 0)),
    "caption, JPEG": jpeg(captioned(on_page(SLICE, 255), 0), 70),
    "black line": framed(on_page(framed(SLICE, 0, 2), 255), 0, 2),
    "grey line": on_page(framed(SLICE, 120, 3), 255),
    "red line": on_page(framed(np.dstack([SLICE] * 3), (255, 0, 0), 2), (255, 255, 255)),
    "window": framed(on_page(on_page(SLICE, (255, 255, 255)), (40, 90, 200), (24, 0, 0, 0)), (0, 0, 0), 1),
    "round": np.where(ROUND, SLICE, 255).astype(np.uint8),
    "rounded corners": np.where(np.asarray(RECTANGLE) > 0, SLICE, 255).astype(np.uint8),
    "cut out": on_page(np.where(HEAD, SLICE, 255).astype(np.uint8), 255),
    "made smaller": np.asarray(Image.fromarray(on_page(SLICE, 255)).resize((200, 212), Image.Resampling.BICUBIC)),
}


def read(folder: Path, values: np.ndarray) -> Pages:
    Image.fromarray(values).save(folder / "a.png")
    return read_pages(folder / "a.png")


def keys(pages: Pages) -> list[str]:
    return [w.key for w in pages.warnings]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_becomes_air_and_the_head_stays(tmp_path: Path, name: str) -> None:
    page = PAGES[name]
    pages = read(tmp_path, page)
    assert keys(pages) == ["border"] and pages.values.shape[:3] == (1, *page.shape[:2])
    assert pages.values.shape[-1] == (3 if name == "three sequences" else 1), "the page's colour is none of the slice"
    flair = pages.values[0, ..., pages.values.shape[-1] // 2]
    shown = page if page.ndim == 2 else page[..., 1]
    small = name == "made smaller"
    assert (flair > 60).sum() == pytest.approx((SLICE > 60).sum() * (0.585 if small else 1), rel=0.1)
    inside = ndimage.binary_erosion(flair > 60, iterations=4)
    assert inside.sum() > 5000 * (0.5 if small else 1) and np.abs(flair - shown)[inside].max() <= (
        0 if page.ndim == 2 else 40
    )
    assert pages.frame is not None
    top, left, height, width = pages.frame
    rows, columns = np.nonzero(inside)
    assert top <= rows.min() and left <= columns.min() and top + height > rows.max() and left + width > columns.max()
    assert height == width <= round(SIDE * 1.03), "the head is as large in the frame as it is in a slice"


@pytest.mark.parametrize("colour", [255, 128])
def test_a_margin_that_does_no_harm_is_not_spoken_of(tmp_path: Path, colour: int) -> None:
    pages = read(tmp_path, on_page(SLICE, colour, (3, 3, 3, 3)))
    assert keys(pages) == [] and pages.frame == (3, 3, SIDE, SIDE)


def test_a_large_picture_is_looked_at_in_good_time(tmp_path: Path) -> None:
    large = np.kron(captioned(on_page(SLICE, (255, 255, 255)), (0, 0, 0)), np.ones((14, 14, 1), np.uint8))
    begun = time.process_time()
    pages = read(tmp_path, large)
    assert time.process_time() - begun < 6
    assert keys(pages) == ["border"] and pages.frame is not None
    assert np.abs(np.subtract(pages.frame, (40 * 14, 30 * 14, SIDE * 14, SIDE * 14))).max() <= 8
    clear = (slice(50 * 14, (30 + SIDE) * 14), slice(40 * 14, (20 + SIDE) * 14))
    np.testing.assert_array_equal(pages.values[0][clear][..., 0], large[clear][..., 0])
    assert pages.values[0, : 40 * 14].max() < 20


WITHOUT = {
    "plain": SLICE,
    "three sequences": COLOUR,
    "haze": np.clip(SLICE + 25.0, 0, 255).astype(np.uint8),
    "noise": np.clip(SLICE + np.abs(RNG.normal(0, 30, SLICE.shape)), 0, 255).astype(np.uint8),
    "head to the border": SLICE[30:-30, 40:-40],
    "fat in the corner": np.maximum(SLICE, (np.indices(SLICE.shape).sum(axis=0) < 40) * np.uint8(255)),
    "black page": captioned(on_page(SLICE, 0), 255),
    "nearly black": (SLICE // 60).astype(np.uint8),
    "JPEG": jpeg(SLICE, 50),
    "T1 with an offset": np.dstack([SLICE // 2 + 60, SLICE, SLICE]),
    "one grey": np.full((64, 64), 255, np.uint8),
    "black and white": np.where(HEAD, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_slice_without_a_page_stays_as_it_is(tmp_path: Path, name: str) -> None:
    pages = read(tmp_path, WITHOUT[name])
    assert keys(pages) == [] and pages.frame is None
    np.testing.assert_array_equal(np.squeeze(pages.values), WITHOUT[name])


def test_what_is_transparent_around_a_slice_is_air(tmp_path: Path) -> None:
    opacity = on_page(np.full((SIDE, SIDE), 255, np.uint8), 0)
    for hidden in (255, 0):
        values = np.dstack([on_page(SLICE, hidden)] * 3 + [opacity])
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
        for pages in (read(tmp_path, values), read_pages(tmp_path / "a.tif")):
            assert keys(pages) == ["border"] and pages.values[0, 0, 0].max() < 20
            np.testing.assert_array_equal(pages.values[0, 45:-55, 35:-40, 0], SLICE[5:-5, 5:-5])


def test_a_stack_has_one_frame_around_all_its_slices(tmp_path: Path) -> None:
    stack = np.stack([on_page(SLICE, 255), on_page(SLICE, 255, (50, 40, 30, 35))])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    pages = read_pages(tmp_path / "a.tif")
    assert keys(pages) == ["border"] and pages.frame is not None and pages.frame[2] == SIDE + 10
    paths = []
    for n, values in enumerate((on_page(SLICE, 255), on_page(SLICE, 0))):
        Image.fromarray(values).save(tmp_path / f"s_{n}.png")
        paths.append(tmp_path / f"s_{n}.png")
    assert read_scan(paths[:1]).frame is not None
    assert read_scan(paths).frame is None, "of one slice all is to be seen"


@pytest.mark.parametrize("colour", [0, 255, 128])
@pytest.mark.parametrize("gap", [0, 6, 20])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (2, 2), (2, 3), (3, 4)])
def test_several_heads_are_spoken_of(tmp_path: Path, rows: int, columns: int, gap: int, colour: int) -> None:
    tile = on_page(SLICE, colour, (gap, 0, gap, 0))
    tiles = np.tile(tile, (rows, columns))
    assert "several_heads" in keys(read(tmp_path, on_page(tiles, colour, (0, gap, 0, gap))))


def test_parts_of_one_head_are_no_heads() -> None:
    y, x = np.indices((256, 256))
    halves = (np.hypot((y - 128) / 90, (x - 128) / 80) < 1) & (abs(x - 128) > 6)
    face = (np.hypot((y - 75) / 45, (x - 128) / 62) < 1) | (np.hypot((y - 180) / 50, (x - 128) / 65) < 1)
    for shape in (halves, face):
        assert not several_heads((shape * 200.0 + RNG.normal(0, 5, shape.shape))[..., None].astype(np.float32))

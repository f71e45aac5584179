"""What the values of a mask that is a picture mean: labels, probabilities, soft edges, drawings in colour, transparency."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from picture_files import HEIGHT, WIDTH, png, refused, tiff, with_palette
from PIL import Image

from lgg_demo.reading.pictures import read_labels, read_mask

SQUARE = np.zeros((HEIGHT, WIDTH), dtype=bool)
SQUARE[9:21, 13:30] = True
DISC = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - 20)) < 9
Y, X = np.indices((HEIGHT, WIDTH)) - np.array([9, 13])[:, None, None]
INK = SQUARE[..., None]
WHITE = np.full((HEIGHT, WIDTH, 3), 255)
RED = np.where(INK, [255, 0, 0], WHITE)


def in_blocks(labels: int, first: int = 1, step: int = 1) -> np.ndarray:
    """The square in blocks of four rows and three columns, of so many values in turn."""
    return np.where(SQUARE, first + step * ((Y // 4 + 3 * (X // 3)) % labels), 0)


def with_alpha(colours: np.ndarray | int, opacity: np.ndarray = SQUARE) -> np.ndarray:
    """An RGBA picture, (HEIGHT, WIDTH, 4) uint8; opacity: (HEIGHT, WIDTH) bool."""
    return np.dstack([np.broadcast_to(colours, (HEIGHT, WIDTH, 3)), opacity * 255]).astype(np.uint8)


# All of these mark the square.
PLAIN: dict[str, np.ndarray] = {
    "0/1": SQUARE.astype(np.uint8),
    "0/255": SQUARE.astype(np.uint8) * 255,
    "0/65535": SQUARE.astype(np.uint16) * 65535,
    "one fraction": SQUARE.astype(np.float32) * 0.3,
    "bool": SQUARE,
    "one colour": np.dstack([SQUARE * 0, SQUARE * 200, SQUARE * 0]).astype(np.uint8),
    "labels 1, 2, 4": SQUARE * np.tile([1, 2, 4], WIDTH // 3).astype(np.uint8),
    "15 labels": in_blocks(15).astype(np.uint8),
    "labels far apart": in_blocks(15, step=10).astype(np.uint8),
    "labels of 16 bits": in_blocks(15, first=200, step=20).astype(np.uint16),
    "labels of 32 bits": in_blocks(12).astype(np.int32),
    "labels as floats": in_blocks(12).astype(np.float32),
    "labels in colour": np.dstack([in_blocks(15, 10, 15), in_blocks(15, 5, 11), in_blocks(15, 0, 8)]).astype(np.uint8),
    "black in alpha": with_alpha(0),
    "white in alpha": with_alpha(255),
    "black on white with alpha": with_alpha(np.where(INK, 0, WHITE)),
    "red with alpha": with_alpha(RED),
    "opaque": with_alpha(INK * 255, SQUARE | True),
    "alpha says nothing": with_alpha(INK * 255, SQUARE & False),
    "red on white, opaque": with_alpha(RED, SQUARE | True),
    "red on white": RED.astype(np.uint8),
    "red and orange on white": np.where(INK & (X < 7)[..., None], [255, 200, 0], RED).astype(np.uint8),
}
SAID: dict[str, tuple[np.ndarray, str]] = {
    "NaN": (np.where(SQUARE, 1, np.nan).astype(np.float32), "mask_not_finite"),
    "inf": (np.where(SQUARE, 1, np.inf).astype(np.float32), "mask_not_finite"),
    "-inf": (np.where(SQUARE, 1, -np.inf).astype(np.float32), "mask_not_finite"),
    "probability": (np.where(SQUARE, 0.9, 0.2).astype(np.float32), "mask_graded"),
}


def tiff_of(path: Path, values: np.ndarray) -> Path:
    how = {"photometric": "rgb"} if values.shape[2:] in ((3,), (4,)) else {}
    return tiff(path, values, **how, **({"extrasamples": ["unassalpha"]} if values.shape[2:] == (4,) else {}))


@pytest.mark.parametrize("name", PLAIN)
def test_what_marks_the_square(tmp_path: Path, name: str) -> None:
    paths = [tiff_of(tmp_path / "a_mask.tif", PLAIN[name])]
    if PLAIN[name].dtype == np.uint8:
        paths.append(png(tmp_path / "a_mask.png", PLAIN[name]))
    for path in paths:
        mask, warnings = read_labels(path, (HEIGHT, WIDTH))
        assert mask.dtype == bool and warnings == ()
        np.testing.assert_array_equal(mask, SQUARE[None])


@pytest.mark.parametrize("name", SAID)
def test_what_marks_the_square_and_is_said(tmp_path: Path, name: str) -> None:
    values, key = SAID[name]
    mask, warnings = read_labels(tiff_of(tmp_path / "a_mask.tif", values), None)
    np.testing.assert_array_equal(mask, SQUARE[None])
    assert [w.key for w in warnings] == [key]


def test_each_page_of_a_drawing_is_a_slice(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", np.stack([with_alpha(RED)] * 2), photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_mask(path), np.stack([SQUARE, SQUARE]))


def test_masks_with_a_palette_or_grey_transparency(tmp_path: Path) -> None:
    red, white = [255, 0, 0], [255, 255, 255]
    dark = np.array([[6 * n, 90 - 6 * n, n] if n else [0, 0, 0] for n in range(16)])
    with_palette(in_blocks(15).astype(np.uint8), dark).save(tmp_path / "labels.png")
    with_palette(SQUARE.astype(np.uint8), np.array([white, red])).save(tmp_path / "white.png")
    with_palette(SQUARE.astype(np.uint8), np.array([red, red])).save(tmp_path / "clear.png", transparency=0)
    Image.fromarray(np.dstack([SQUARE * 0, SQUARE * 255]).astype(np.uint8), "LA").save(tmp_path / "grey.png")
    deep = with_alpha(0).astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    tiff(tmp_path / "grey.tif", deep[..., [0, 3]], extrasamples=["unassalpha"], planarconfig="contig")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_mask(path)[0], SQUARE, err_msg=path.name)


def test_empty_full_and_softened_masks(tmp_path: Path) -> None:
    assert not read_mask(png(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))).any()
    assert read_mask(png(tmp_path / "b.png", np.full((HEIGHT, WIDTH), 7, np.uint8))).all()
    ramp = np.tile(np.arange(WIDTH, dtype=np.uint8) * 5, (HEIGHT, 1))
    np.testing.assert_array_equal(read_mask(png(tmp_path / "c.png", ramp))[0], ramp >= ramp.max() / 2)


@pytest.mark.parametrize("top", [200, 255, 40, 65535])
@pytest.mark.parametrize("mask", [SQUARE, DISC], ids=["square", "disc"])
def test_soft_edges_are_cut_at_half_without_a_word(tmp_path: Path, mask: np.ndarray, top: int) -> None:
    large = Image.fromarray(np.kron(mask, np.ones((8, 8), np.float32)))
    values = np.round(np.asarray(large.resize((101, 83), Image.Resampling.BILINEAR)) * top)
    got, warnings = read_labels(tiff(tmp_path / "a.tif", values.astype(np.uint16 if top > 255 else np.uint8)), None)
    np.testing.assert_array_equal(got[0], values >= top / 2)
    assert warnings == ()


@pytest.mark.parametrize(("scale", "cut"), [(1.0, 0.5), (0.8, 0.5), (40.0, 20.0)])
def test_fractions_are_probabilities_and_said(tmp_path: Path, scale: float, cut: float) -> None:
    ramp = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32) * np.float32(scale), (HEIGHT, 1))
    mask, warnings = read_labels(tiff(tmp_path / "a.tif", ramp), None)
    np.testing.assert_array_equal(mask[0], ramp >= cut)
    assert [(w.key, w.values["cut"]) for w in warnings] == [("mask_graded", cut)]


@pytest.mark.parametrize("quality", [75, 90, 95, 100])
@pytest.mark.parametrize("mask", [SQUARE, DISC], ids=["square", "disc"])
def test_noise_of_jpeg_is_no_tumour(tmp_path: Path, mask: np.ndarray, quality: int) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "a.jpg", quality=quality)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg")[0], mask)


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_a_png_that_was_a_jpeg_is_cut_at_half(tmp_path: Path, quality: int) -> None:
    Image.fromarray(SQUARE.astype(np.uint8) * 255).save(tmp_path / "a.jpg", quality=quality)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png")[0], SQUARE)


def test_jpeg_of_a_drawing_on_white(tmp_path: Path) -> None:
    Image.fromarray(RED.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg")[0], SQUARE)


@pytest.mark.parametrize("opaque", [False, True])
def test_mask_of_one_colour_is_empty_where_it_is_transparent(tmp_path: Path, opaque: bool) -> None:
    opacity = np.full((HEIGHT, WIDTH), opaque)
    assert read_mask(png(tmp_path / "a.png", with_alpha(255, opacity))).all() == opaque
    assert read_mask(png(tmp_path / "a.png", with_alpha(255, opacity))).any() == opaque
    assert not read_mask(png(tmp_path / "b.png", with_alpha(0, opacity))).any()


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    assert refused(png(tmp_path / "a_mask.png"), lambda p: read_mask(p, (WIDTH, HEIGHT))) == "mask_size_differs"

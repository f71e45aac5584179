"""Pictures of every kind: pixels arrive as they were written, and anything else is one sentence."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from lgg_demo.case import ReadError
from lgg_demo.reading import limits, raster
from lgg_demo.reading.pictures import is_picture, read_labels, read_mask, read_pages, read_scan

HEIGHT, WIDTH = 40, 48  # not square, so that an exchange of axes shows


def noise(*shape: int, dtype: type = np.uint8, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


GREY = noise(HEIGHT, WIDTH)
COLOUR = noise(HEIGHT, WIDTH, 3, seed=1)


def png(path: Path, values: np.ndarray = GREY) -> Path:
    """An 8-bit PNG, grey or RGB; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def tiff(path: Path, values: np.ndarray = GREY, **how: object) -> Path:
    tifffile.imwrite(path, values, **({"photometric": "minisblack", "metadata": None} | how))
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + rest


def raw_tiff(width: int, height: int, data: bytes, compression: int = 1) -> bytes:
    """A little grey TIFF of one page, written tag by tag: no library writes broken ones."""
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory(tags) + bytes(4)


def directory(tags: dict[int, int]) -> bytes:
    """A page's tags, without the offset of the next page."""
    return struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in sorted(tags.items()))


def endless_tiff(pages: int) -> bytes:
    """A chain of pages that share one picture, the last of which points back at the second last."""
    data = bytes(16 * 16)
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: len(data)}
    entries = directory(tags)
    size, first = len(entries) + 4, 8 + len(data)
    after = [first + size * (n + 1) for n in range(pages - 1)] + [first + size * max(pages - 2, 0)]
    return b"II*\0" + struct.pack("<I", first) + data + b"".join(entries + struct.pack("<I", a) for a in after)


def refused(path: Path, read: Callable[[Path], object] = read_scan) -> str:
    """The key of the sentence a file is refused with, which names the file in both languages."""
    with pytest.raises(ReadError) as caught:
        read(path)
    error = caught.value
    assert error.file == path.name
    assert error.__context__ is None or error.__suppress_context__  # one sentence, no traceback of another kind
    english, french = error.sentence.say("en"), error.sentence.say("fr")
    assert str(error) == english != french
    assert path.name in english and path.name in french
    return error.sentence.key


def same_pixels(path: Path, expected: np.ndarray) -> None:
    """A file is one slice of these values, (HEIGHT, WIDTH) or (HEIGHT, WIDTH, 3); a grey one has them in each channel."""
    scan = read_scan(path)
    assert scan.pixels.dtype == np.float32 and scan.size == (HEIGHT, WIDTH) and scan.grey == (expected.ndim == 2)
    wanted = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    np.testing.assert_array_equal(scan.pixels, wanted.astype(np.float32)[None], err_msg=path.name)


# What is written is what arrives


def alpha(values: np.ndarray) -> np.ndarray:
    return np.dstack([values, noise(HEIGHT, WIDTH, seed=9)])


GREY_16 = noise(HEIGHT, WIDTH, dtype=np.uint16, high=65536)
COLOUR_16 = noise(HEIGHT, WIDTH, 4, dtype=np.uint16, high=4096)  # as a scanner fills them
FLOAT = noise(HEIGHT, WIDTH, dtype=np.float32) / 7
PLANES = np.moveaxis(COLOUR, -1, 0)
PALETTE = noise(3, 256, dtype=np.uint16, high=65536)
DEFLATE = {"compression": "deflate", "predictor": True}
ALPHA = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}


def with_palette(values: np.ndarray, colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(values, "P")
    picture.putpalette(colours.ravel().tolist())
    return picture


# For each file what is written, how, and what arrives where that is something else.
PNGS: dict[str, tuple[Image.Image | np.ndarray, np.ndarray]] = {
    "grey": (Image.fromarray(GREY), GREY),
    "grey 16 bit": (Image.fromarray(GREY_16), GREY_16),
    "RGB": (Image.fromarray(COLOUR), COLOUR),
    "RGBA": (Image.fromarray(alpha(COLOUR), "RGBA"), COLOUR),
    "LA": (Image.fromarray(alpha(GREY), "LA"), GREY),
    "palette of greys": (Image.fromarray(GREY).convert("P"), GREY),
    "palette": (with_palette(GREY, (PALETTE.T % 256)), (PALETTE.T % 256)[GREY]),
    "1 bit": (Image.fromarray(GREY > 99), (GREY > 99) * 255),
    "RGB 16 bit": (COLOUR_16[..., :3], COLOUR_16[..., :3]),
    "RGBA 16 bit": (COLOUR_16, COLOUR_16[..., :3]),
    "LA 16 bit": (COLOUR_16[..., :2], COLOUR_16[..., 0]),
}
TIFFS: dict[str, tuple[np.ndarray, dict[str, object], np.ndarray | None]] = {
    "uint8": (GREY, {}, None),
    "uint16": (GREY_16, {}, None),
    "int16": (GREY.astype(np.int16) - np.int16(100), {}, None),
    "float32": (FLOAT, {}, None),
    "float64": (GREY.astype(np.float64), {}, None),
    "bool": (GREY > 99, {}, None),
    "big endian": (GREY_16, {"byteorder": ">"}, None),
    "bigtiff": (GREY, {"bigtiff": True}, None),
    "LZW": (GREY, {"compression": "lzw"}, None),
    "LZW with predictor": (GREY_16, {"compression": "lzw", "predictor": True}, None),
    "deflate": (GREY, {"compression": "deflate"}, None),
    "float predictor": (FLOAT, DEFLATE, None),
    "packbits": (GREY, {"compression": "packbits"}, None),
    "strips": (GREY, {"rowsperstrip": 7}, None),
    "tiles": (GREY, {"tile": (16, 16), "compression": "deflate"}, None),
    "RGB": (COLOUR, {"photometric": "rgb"}, None),
    "RGB 16 bit": (COLOUR_16[..., :3], {"photometric": "rgb"}, None),
    "RGB float": (COLOUR.astype(np.float32) / 7, {"photometric": "rgb"}, None),
    "RGB deflate": (COLOUR, {"photometric": "rgb"} | DEFLATE, None),
    "three channels": (COLOUR, {"planarconfig": "contig"}, None),
    "planes": (PLANES, {"photometric": "rgb", "planarconfig": "separate", "compression": "deflate"}, COLOUR),
    "RGBA": (alpha(COLOUR), {"photometric": "rgb"} | ALPHA, COLOUR),
    "LA": (alpha(GREY), ALPHA, GREY),
    "palette": (GREY, {"photometric": "palette", "colormap": PALETTE}, PALETTE.T[GREY]),
    "white is zero": (GREY, {"photometric": "miniswhite"}, GREY.max() - GREY),
}


@pytest.mark.parametrize("name", PNGS)
def test_png(tmp_path: Path, name: str) -> None:
    written, expected = PNGS[name]
    if isinstance(written, Image.Image):
        written.save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(written)))
    same_pixels(tmp_path / "a.png", expected)


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(tmp_path: Path, name: str) -> None:
    values, how, expected = TIFFS[name]
    same_pixels(tiff(tmp_path / "a.tif", values, **how), values if expected is None else expected)


def test_jpeg(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grey, colour = (3 * x + y).astype(np.uint8), np.dstack([3 * x, 4 * y, 200 - 3 * x]).astype(np.uint8)
    for picture, mode, off in ((grey, "L", 4), (colour, "RGB", 8), (colour, "CMYK", 12)):
        Image.fromarray(picture).convert(mode).save(tmp_path / "a.jpg", quality=95, subsampling=0)
        scan = read_scan(tmp_path / "a.jpg")
        assert scan.grey == (mode == "L") and np.abs(scan.pixels[0] - np.atleast_3d(picture)).max() <= off


def test_broken_exif_is_passed_over(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01")
    assert read_scan(tmp_path / "a.jpg").size == (HEIGHT, WIDTH)


def test_of_a_stack_the_brightest_is_white_and_what_is_no_number_is_not(tmp_path: Path) -> None:
    Image.fromarray(GREY > 99).save(tmp_path / "g4_mask.tif", compression="group4")
    np.testing.assert_array_equal(read_mask(tmp_path / "g4_mask.tif")[0], GREY > 99)
    pages = noise(2, HEIGHT, WIDTH).astype(np.float32)
    pages[0, 0, :3] = np.nan, np.inf, -np.inf
    got = read_scan(tiff(tmp_path / "b.tif", pages, photometric="miniswhite")).pixels[..., 0]
    np.testing.assert_array_equal(got[:, 1:], pages[:, 1:].max() - pages[:, 1:])


@pytest.mark.parametrize("slices", [2, 3, 4, 5])
def test_stacks(tmp_path: Path, slices: int) -> None:
    pages = noise(slices, HEIGHT, WIDTH)
    tiff(tmp_path / "plain.tif", pages)
    tifffile.imwrite(tmp_path / "imagej.tif", pages, imagej=True, metadata={"axes": "ZYX"})
    first, *rest = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "pillow.tif", save_all=True, append_images=rest, compression="tiff_lzw")
    for path in sorted(tmp_path.iterdir()):
        scan = read_scan(path)
        assert scan.files == ((path.name, slices),)
        np.testing.assert_array_equal(scan.pixels[..., 0], pages)


def test_what_is_no_number_becomes_the_darkest_value(tmp_path: Path) -> None:
    values = GREY.astype(np.float32) + 5
    values[0, :4] = np.nan, np.inf, -np.inf, -3.4e38  # the last is how some programs write "no value"
    mended = values.copy()
    mended[0, :4] = values[1:].min()
    same_pixels(tiff(tmp_path / "a.tif", values), mended)
    wide = GREY.astype(np.float64)
    wide[0, 0] = 1e300
    assert read_scan(tiff(tmp_path / "b.tif", wide)).pixels.max() == 255
    assert refused(tiff(tmp_path / "c.tif", np.full((HEIGHT, WIDTH), np.nan, np.float32))) == "damaged"


def test_thumbnail_and_transparency_mask_are_no_slices(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY, photometric="minisblack")
        file.write(GREY[:20, :20], photometric="minisblack", subfiletype=1)
        file.write(GREY > 99, photometric="minisblack", subfiletype=4)
    assert len(read_scan(tmp_path / "a.tif")) == 1
    tifffile.imwrite(tmp_path / "b.tif", GREY, photometric="minisblack", subfiletype=1)
    assert len(read_scan(tmp_path / "b.tif")) == 1


# How a picture is turned when it is shown

CORNER = np.zeros((HEIGHT, WIDTH), np.uint8)
CORNER[:9, :5] = 255  # which corner, and which way up
SHOWN = {  # what viewers show of it, by the number of the tag
    1: CORNER, 2: CORNER[:, ::-1], 3: CORNER[::-1, ::-1], 4: CORNER[::-1], 5: CORNER.T, 6: CORNER.T[:, ::-1],
    7: CORNER.T[::-1, ::-1], 8: CORNER.T[::-1], 9: CORNER, 0: CORNER,
}  # fmt: skip


@pytest.mark.parametrize("tag", SHOWN)
def test_pictures_are_turned_as_they_are_shown(tmp_path: Path, tag: int) -> None:
    turned = {"extratags": [(274, "H", 1, tag, True)]}
    exif = Image.Exif()
    exif[274] = tag
    Image.fromarray(CORNER).save(tmp_path / "a.png", exif=exif)
    stack = np.stack([CORNER, CORNER])
    tifffile.imwrite(tmp_path / "imagej.tif", stack, imagej=True, metadata={"axes": "TYX"}, **turned)
    for path in (tiff(tmp_path / "a.tif", **turned, values=CORNER), tmp_path / "a.png", tmp_path / "imagej.tif"):
        np.testing.assert_array_equal(read_scan(path).pixels[-1, ..., 1], SHOWN[tag], err_msg=path.name)
        np.testing.assert_array_equal(read_mask(path)[-1], SHOWN[tag] > 0, err_msg=path.name)
    rgba = np.dstack([CORNER * 0, CORNER * 0, CORNER * 0, CORNER])  # a mask drawn in transparency
    Image.fromarray(CORNER).save(tmp_path / "a.jpg", quality=95, exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg")[0], SHOWN[tag] > 0)
    path = tiff(tmp_path / "rgba.tif", rgba, photometric="rgb", extrasamples=["unassalpha"], **turned)
    np.testing.assert_array_equal(read_mask(path)[0], SHOWN[tag] > 0)


# Channels, times, frames


def said(path: Path) -> list[str]:
    return [w.key for w in read_pages(path).warnings]


def stack(path: Path, axes: str, *shape: int, ome: bool = False, **metadata: object) -> tuple[Path, np.ndarray]:
    """A TIFF of ImageJ, or of OME, and its values: every plane different."""
    values = noise(*shape, HEIGHT, WIDTH)
    tifffile.imwrite(path, values, imagej=not ome, ome=ome, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path, values


@pytest.mark.parametrize(
    ("ome", "axes", "shape", "order"),
    [
        (False, "ZCYX", (4, 3), (0, 2, 3, 1)),
        (True, "ZCYX", (4, 3), (0, 2, 3, 1)),
        (True, "CZYX", (3, 4), (1, 2, 3, 0)),
        (True, "TCZYX", (1, 3, 4), (0, 2, 3, 4, 1)),
    ],
)
def test_three_channels_are_sequences(
    tmp_path: Path, ome: bool, axes: str, shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    path, values = stack(tmp_path / "a.tif", axes, *shape, ome=ome, **({} if ome else {"mode": "composite"}))
    scan = read_scan(path)
    assert len(scan) == 4 and not scan.grey and said(path) == []
    np.testing.assert_array_equal(scan.pixels, values.transpose(order).reshape(4, HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("ome", [False, True])
@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (4, 2)), ("ZCYX", (4, 4)), ("CYX", (2,)), ("TZCYX", (2, 2, 5))])
def test_other_channels_are_refused(tmp_path: Path, ome: bool, axes: str, shape: tuple[int, ...]) -> None:
    path, _ = stack(tmp_path / "a.tif", axes, *shape, ome=ome)
    assert refused(path) == "channels"


@pytest.mark.parametrize("ome", [False, True])
def test_times(tmp_path: Path, ome: bool) -> None:
    path, values = stack(tmp_path / "a.tif", "TYX", 5, ome=ome)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    assert said(path) == ["times_as_slices"]
    path, values = stack(tmp_path / "b.tif", "TZYX", 3, 4, ome=ome)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values[0])
    assert said(path) == ["first_time"]


def test_images_that_a_program_without_axes_calls_channels(tmp_path: Path) -> None:
    path, values = stack(tmp_path / "a.tif", "CYX", 7)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    assert said(path) == ["channels_as_slices"]
    assert refused(stack(tmp_path / "b.tif", "CYX", 7, mode="composite")[0]) == "channels"


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_an_imagej_stack_with_one_directory_has_all_its_slices(tmp_path: Path, axes: str) -> None:
    path, values = stack(tmp_path / "a.tif", axes, 8)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        first = opened.pages.first.offset
        after = first + 2 + 12 * struct.unpack(f"{opened.byteorder}H", data[first : first + 2])[0]
    data[after : after + 4] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    path.write_bytes(data[: len(data) * 2 // 3])
    assert refused(path) == "damaged"


def test_an_ome_tiff_does_not_open_other_files(tmp_path: Path) -> None:
    stack(tmp_path / "secret.ome.tif", "ZYX", 2, ome=True)
    xml = (
        tifffile.tiffcomment(tmp_path / "secret.ome.tif")
        .replace('<TiffData IFD="0" PlaneCount="2">', "")
        .replace("</TiffData>", "")
    )
    uid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{n}" PlaneCount="1"><UUID FileName="{f}">{uid[:-1]}{n}</UUID></TiffData>'
        for n, f in enumerate(("a.ome.tif", "secret.ome.tif"))
    )
    head, tail = xml.split("</Pixels>")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, GREY, photometric="minisblack", description=f"{head.split('<TiffData')[0]}{data}</Pixels>{tail}".encode()
    )
    try:
        assert len(read_scan(path)) == 1
    except ReadError as error:
        assert error.sentence.key == "damaged"


def test_of_an_animated_png_the_first_frame_is_read_and_said(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(page) for page in noise(4, HEIGHT, WIDTH))
    first.save(tmp_path / "a.png", save_all=True, append_images=rest)
    assert said(tmp_path / "a.png") == ["first_frame"] and len(read_scan(tmp_path / "a.png")) == 1
    np.testing.assert_array_equal(read_scan(tmp_path / "a.png").pixels[0, ..., 0], np.asarray(first))
    assert said(png(tmp_path / "b.png")) == []


# Masks

SQUARE = np.zeros((HEIGHT, WIDTH), dtype=bool)
SQUARE[9:21, 13:30] = True


@pytest.mark.parametrize(
    "values",
    [
        SQUARE.astype(np.uint8),
        SQUARE.astype(np.uint8) * 255,
        SQUARE.astype(np.uint16) * 65535,
        SQUARE.astype(np.float32) * 0.3,
        SQUARE,
        np.dstack([SQUARE * 0, SQUARE * 200, SQUARE * 0]).astype(np.uint8),
        SQUARE * np.tile([1, 2, 4], WIDTH // 3).astype(np.uint8),
    ],
    ids=["0/1", "0/255", "0/65535", "float", "bool", "one colour", "labels 1, 2, 4"],
)
def test_mask_values(tmp_path: Path, values: np.ndarray) -> None:
    how = {"photometric": "rgb"} if values.ndim == 3 else {}
    mask = read_mask(tiff(tmp_path / "a_mask.tif", values, **how), (HEIGHT, WIDTH))
    assert mask.dtype == bool and mask.shape == (1, HEIGHT, WIDTH)
    np.testing.assert_array_equal(mask[0], SQUARE)


def test_empty_full_and_softened_masks(tmp_path: Path) -> None:
    assert not read_mask(png(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))).any()
    assert read_mask(png(tmp_path / "b.png", np.full((HEIGHT, WIDTH), 7, np.uint8))).all()
    ramp = np.tile(np.arange(WIDTH, dtype=np.uint8) * 5, (HEIGHT, 1))
    np.testing.assert_array_equal(read_mask(png(tmp_path / "c.png", ramp))[0], ramp >= ramp.max() / 2)


def in_blocks(labels: int, first: int = 1, step: int = 1) -> np.ndarray:
    """The square in blocks of four rows and three columns, of so many values in turn."""
    y, x = np.indices((HEIGHT, WIDTH)) - np.array([9, 13])[:, None, None]
    return np.where(SQUARE, first + step * ((y // 4 + 3 * (x // 3)) % labels), 0)


@pytest.mark.parametrize(
    "values",
    [
        in_blocks(15).astype(np.uint8),
        in_blocks(15, step=10).astype(np.uint8),
        in_blocks(15, first=200, step=20).astype(np.uint16),
        in_blocks(12).astype(np.int32),
        in_blocks(12).astype(np.float32),
        np.dstack([in_blocks(15, 10, 15), in_blocks(15, 5, 11), in_blocks(15, 0, 8)]).astype(np.uint8),
    ],
    ids=["uint8", "far apart", "uint16", "int32", "float", "colours"],
)
def test_labels_however_many_are_all_lesion(tmp_path: Path, values: np.ndarray) -> None:
    how = {"photometric": "rgb"} if values.ndim == 3 else {}
    mask, warnings = read_labels(tiff(tmp_path / "a_mask.tif", values, **how), None)
    np.testing.assert_array_equal(mask[0], SQUARE)
    assert warnings == ()


def test_labels_with_a_palette(tmp_path: Path) -> None:
    dark = np.array([[6 * n, 90 - 6 * n, n] if n else [0, 0, 0] for n in range(16)])
    with_palette(in_blocks(15).astype(np.uint8), dark).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png")[0], SQUARE)


@pytest.mark.parametrize("top", [200, 255, 40, 65535])
def test_soft_edges_are_cut_at_half_without_a_word(tmp_path: Path, top: int) -> None:
    large = np.kron(SQUARE, np.ones((8, 8)))
    disc = np.hypot(*(np.mgrid[:320, :384] - 160)) < 97
    for mask in (large > 0, disc):
        soft = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((101, 83), Image.Resampling.BILINEAR))
        values = np.round(soft * top).astype(np.uint16 if top > 255 else np.uint8)
        got, warnings = read_labels(tiff(tmp_path / "a.tif", values), None)
        np.testing.assert_array_equal(got[0], values >= top / 2)
        assert warnings == ()


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_a_png_that_was_a_jpeg_is_cut_at_half(tmp_path: Path, quality: int) -> None:
    Image.fromarray(SQUARE.astype(np.uint8) * 255).save(tmp_path / "a.jpg", quality=quality)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png")[0], SQUARE)


def test_fractions_are_probabilities_and_said(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, WIDTH))
    for scale, cut in ((1.0, 0.5), (0.8, 0.5), (40.0, 20.0)):
        mask, warnings = read_labels(tiff(tmp_path / "a.tif", ramp * np.float32(scale)), None)
        np.testing.assert_array_equal(mask[0], ramp * np.float32(scale) >= cut)
        assert [(w.key, w.values["cut"]) for w in warnings] == [("mask_graded", cut)]
    few = np.where(SQUARE, 0.9, 0.2).astype(np.float32)
    np.testing.assert_array_equal(read_mask(tiff(tmp_path / "b.tif", few))[0], SQUARE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_in_a_mask_is_background_and_said(tmp_path: Path, value: float) -> None:
    path = tiff(tmp_path / "a_mask.tif", np.where(SQUARE, 1, value).astype(np.float32))
    mask, warnings = read_labels(path, None)
    np.testing.assert_array_equal(mask[0], SQUARE)
    assert [w.key for w in warnings] == ["mask_not_finite"]


@pytest.mark.parametrize("quality", [75, 90, 95, 100])
@pytest.mark.parametrize("mask", [SQUARE, np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - 20)) < 9], ids=["square", "disc"])
def test_noise_of_jpeg_is_no_tumour(tmp_path: Path, mask: np.ndarray, quality: int) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "a.jpg", quality=quality)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg")[0], mask)


INK = SQUARE[..., None]
WHITE = np.full((HEIGHT, WIDTH, 3), 255)
RED = np.where(INK, [255, 0, 0], WHITE)


def with_alpha(colours: np.ndarray | int, opacity: np.ndarray = SQUARE) -> np.ndarray:
    """An RGBA picture, (HEIGHT, WIDTH, 4) uint8; opacity: (HEIGHT, WIDTH) bool."""
    return np.dstack([np.broadcast_to(colours, (HEIGHT, WIDTH, 3)), opacity * 255]).astype(np.uint8)


@pytest.mark.parametrize(
    "values",
    [
        with_alpha(0),
        with_alpha(255),
        with_alpha(np.where(INK, 0, WHITE)),
        with_alpha(RED),
        with_alpha(INK * 255, SQUARE | True),
        with_alpha(INK * 255, SQUARE & False),
        with_alpha(RED, SQUARE | True),
        RED.astype(np.uint8),
        np.where(INK & (np.arange(WIDTH) < 20)[:, None], [255, 200, 0], RED).astype(np.uint8),
    ],
    ids=["black in alpha", "white in alpha", "black on white with alpha", "red with alpha", "opaque", "alpha says nothing",
         "red on white, opaque", "red on white", "red and orange on white"],
)  # fmt: skip
def test_mask_drawn_in_transparency_or_on_white(tmp_path: Path, values: np.ndarray) -> None:
    extra = {"extrasamples": ["unassalpha"]} if values.shape[-1] == 4 else {}
    pages = np.stack([values, values])
    for mask in (png(tmp_path / "a.png", values), tiff(tmp_path / "a.tif", pages, photometric="rgb", **extra)):
        np.testing.assert_array_equal(
            read_mask(mask), np.broadcast_to(SQUARE, (1 + (mask.suffix == ".tif"), *SQUARE.shape))
        )


def test_mask_with_a_palette_or_grey_transparency(tmp_path: Path) -> None:
    red, white = [255, 0, 0], [255, 255, 255]
    with_palette(SQUARE.astype(np.uint8), np.array([white, red])).save(tmp_path / "white.png")
    with_palette(SQUARE.astype(np.uint8), np.array([red, red])).save(tmp_path / "clear.png", transparency=0)
    Image.fromarray(np.dstack([SQUARE * 0, SQUARE * 255]).astype(np.uint8), "LA").save(tmp_path / "grey.png")
    deep = with_alpha(0).astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    tiff(tmp_path / "grey.tif", deep[..., [0, 3]], extrasamples=["unassalpha"], planarconfig="contig")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_mask(path)[0], SQUARE, err_msg=path.name)


def test_jpeg_of_a_drawing_on_white(tmp_path: Path) -> None:
    Image.fromarray(RED.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg")[0], SQUARE)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 0), (255, HEIGHT * WIDTH)])
def test_mask_of_one_colour_is_empty_where_it_is_transparent(tmp_path: Path, alpha: int, expected: int) -> None:
    mask = png(tmp_path / "a.png", with_alpha(255, np.full((HEIGHT, WIDTH), alpha > 0)))
    assert read_mask(mask).sum() == expected
    assert not read_mask(png(tmp_path / "b.png", with_alpha(0, np.full((HEIGHT, WIDTH), alpha > 0)))).any()


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = png(tmp_path / "a_mask.png")
    assert refused(path, lambda p: read_mask(p, (WIDTH, HEIGHT))) == "mask_size_differs"


# Files that cannot be used


@pytest.mark.parametrize(
    ("content", "key"),
    [(b"", "empty_file"), (b"patient, slice\n" * 20, "not_an_image"), (bytes(128) + b"DICM" + bytes(99), "dicom_as_image")],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_what_only_has_the_name_of_a_picture(tmp_path: Path, content: bytes, suffix: str, key: str) -> None:
    path = tmp_path / f"coupe{suffix}"
    path.write_bytes(content)
    assert refused(path) == refused(path, read_mask) == key


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jfif", ".tif", ".dat", ""])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_the_content_tells_the_kind_of_a_picture(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(SQUARE.astype(np.uint8) * 255).save(path, format=form)
    assert is_picture(path)
    np.testing.assert_array_equal(read_scan(path).pixels[0, ..., 0] > 127, SQUARE)
    np.testing.assert_array_equal(read_mask(path)[0], SQUARE)


@pytest.mark.parametrize("form", ["BMP", "GIF", "WEBP"])
def test_other_kinds_are_refused_under_any_name(tmp_path: Path, form: str) -> None:
    for name, key in (("b.png", "not_an_image"), (f"b.{form.lower()}", "unknown_type"), ("b", "unknown_type")):
        Image.fromarray(GREY).save(tmp_path / name, format=form)
        assert not is_picture(tmp_path / name) and refused(tmp_path / name) == key


@pytest.mark.parametrize("name", ["a.nii.gz", "a.dcm", "a", "a.gif", "{file}.pdf"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x" * 100)
    assert refused(tmp_path / name) == "unknown_type"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.png") == "not_found"
    (tmp_path / "folder.png").mkdir()
    assert refused(tmp_path / "folder.png") == "not_found"
    assert refused(tmp_path / f"{'a' * 300}.png") in ("not_found", "damaged")


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    assert refused(png(tmp_path / "a.png", noise(*size))) == refused(tiff(tmp_path / "a.tif", noise(*size))) == "too_small"


def test_smallest_and_largest_are_read(tmp_path: Path) -> None:
    assert read_scan(png(tmp_path / "a.png", noise(16, 16))).size == (16, 16)
    assert read_scan(png(tmp_path / "b.png", noise(16, 4096))).size == (16, 4096)


def test_too_large_is_refused_on_its_header(tmp_path: Path) -> None:
    bombs = {
        "wide.png": png_header(4097, 16),
        "bomb.png": png_header(60000, 60000),
        "bomb.tif": raw_tiff(60000, 60000, zlib.compress(bytes(100)), compression=8),
        "wide.tif": raw_tiff(16, 4097, bytes(16 * 4097)),
    }
    tracemalloc.start()
    try:
        for name, content in bombs.items():
            (tmp_path / name).write_bytes(content)
            assert refused(tmp_path / name) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_too_many_pages(tmp_path: Path) -> None:
    pages = np.zeros((limits.MOST_SLICES + 1, 16, 16), np.uint8)
    assert refused(tiff(tmp_path / "a.tif", pages)) == "too_many_slices"
    assert len(read_scan(tiff(tmp_path / "b.tif", pages[1:]))) == limits.MOST_SLICES


@pytest.mark.parametrize("pages", [1, 2, 90, 150, 1200])
def test_pages_in_a_circle(tmp_path: Path, pages: int) -> None:
    (tmp_path / "a.tif").write_bytes(endless_tiff(pages))
    assert refused(tmp_path / "a.tif") == ("damaged" if pages <= limits.MOST_SLICES else "too_many_slices")


def test_more_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "MOST_VALUES", 3 * WIDTH * WIDTH * 2)  # two slices, padded to a square
    assert refused(tiff(tmp_path / "three.tif", noise(3, HEIGHT, WIDTH))) == "too_much_at_once"
    assert len(read_scan(tiff(tmp_path / "two.tif", noise(2, HEIGHT, WIDTH)))) == 2


def pages_of(path: Path, *pages: tuple[np.ndarray, str]) -> None:
    with tifffile.TiffWriter(path) as file:
        for values, photometric in pages:
            file.write(values, photometric=photometric)


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_nobody_can_tell_apart(tmp_path: Path, channels: int, planar: str) -> None:
    values = noise(*(HEIGHT, WIDTH, channels) if planar == "contig" else (channels, HEIGHT, WIDTH))
    assert refused(tiff(tmp_path / "a.tif", values, planarconfig=planar)) == "channels"


@pytest.mark.parametrize(
    ("write", "key"),
    [
        (lambda path: Image.fromarray(alpha(COLOUR), "CMYK").save(path), "channels"),
        (lambda path: tiff(path, GREY.astype(np.complex64)), "damaged"),
        (lambda path: pages_of(path, (GREY, "minisblack"), (GREY[:20], "minisblack")), "size_differs"),
        (lambda path: pages_of(path, (GREY, "minisblack"), (COLOUR, "rgb")), "damaged"),
        (lambda path: path.write_bytes(raw_tiff(32, 32, b"", compression=8)), "damaged"),
    ],
    ids=["ink", "complex numbers", "pages of two sizes", "pages of two kinds", "a page without data"],
)
def test_a_tiff_that_is_no_scan(tmp_path: Path, write: Callable[[Path], object], key: str) -> None:
    write(tmp_path / "a.tif")
    assert refused(tmp_path / "a.tif") == key


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: png(folder / "a.png", COLOUR),
        lambda folder: tiff(folder / "a.tif"),
        lambda folder: tiff(folder / "a.tif", compression="lzw"),
        lambda folder: tiff(folder / "a.tif", noise(4, HEIGHT, WIDTH)),
        lambda folder: tiff(folder / "a.tif", noise(4, HEIGHT, WIDTH), compression="deflate"),
    ],
    ids=["png", "tiff", "LZW", "pages", "deflate pages"],
)
def test_cut_file_is_refused_and_never_half_read(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    whole, pixels = path.read_bytes(), read_scan(path).pixels
    for length in range(1, len(whole), max(len(whole) // 80, 1)):
        path.write_bytes(whole[:length])
        try:
            scan = read_scan(path)
        except ReadError as error:
            assert error.sentence.key in ("damaged", "not_an_image")
        else:  # nothing but an end mark is missing
            np.testing.assert_array_equal(scan.pixels, pixels)
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path) == "damaged"


def test_pillow_stack_that_lost_its_last_pages(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(page) for page in noise(4, HEIGHT, WIDTH))
    path = tmp_path / "a.tif"
    first.save(path, save_all=True, append_images=rest)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    assert refused(path) == "damaged"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png")
    path.chmod(0)
    assert refused(path) == "damaged"

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
from picture_files import COLOUR, GREY, HEIGHT, WIDTH, alpha, noise, png, refused, tiff, with_palette
from PIL import Image

from lgg_demo.case import ReadError
from lgg_demo.reading import limits, raster
from lgg_demo.reading.pictures import is_picture, read_mask, read_pages, read_scan


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


def same_pixels(path: Path, expected: np.ndarray) -> None:
    """A file is one slice of these values, (HEIGHT, WIDTH) or (HEIGHT, WIDTH, 3); a grey one has them in each channel."""
    scan = read_scan(path)
    assert scan.pixels.dtype == np.float32 and scan.size == (HEIGHT, WIDTH) and scan.grey == (expected.ndim == 2)
    wanted = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    np.testing.assert_array_equal(scan.pixels, wanted.astype(np.float32)[None], err_msg=path.name)


# What is written is what arrives


GREY_16 = noise(HEIGHT, WIDTH, dtype=np.uint16, high=65536)
COLOUR_16 = noise(HEIGHT, WIDTH, 4, dtype=np.uint16, high=4096)  # as a scanner fills them
FLOAT = noise(HEIGHT, WIDTH, dtype=np.float32) / 7
PLANES = np.moveaxis(COLOUR, -1, 0)
PALETTE = noise(3, 256, dtype=np.uint16, high=65536)
DEFLATE = {"compression": "deflate", "predictor": True}
ALPHA = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}


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


def said(path: Path) -> list[str]:
    return [w.key for w in read_pages(path).warnings]


def test_of_an_animated_png_the_first_frame_is_read_and_said(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(page) for page in noise(4, HEIGHT, WIDTH))
    first.save(tmp_path / "a.png", save_all=True, append_images=rest)
    assert said(tmp_path / "a.png") == ["first_frame"] and len(read_scan(tmp_path / "a.png")) == 1
    np.testing.assert_array_equal(read_scan(tmp_path / "a.png").pixels[0, ..., 0], np.asarray(first))
    assert said(png(tmp_path / "b.png")) == []


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
    Image.fromarray(CORNER).save(path, format=form, quality=95)
    assert is_picture(path)
    np.testing.assert_array_equal(read_scan(path).pixels[0, ..., 0] > 127, CORNER > 0)
    np.testing.assert_array_equal(read_mask(path)[0], CORNER > 0)


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

"""Pictures."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from lgg_demo.case import Scan, UnreadableScan
from lgg_demo.reading.layout import counted
from lgg_demo.reading.limits import (
    IMAGE_SUFFIXES,
    JPEG_SUFFIXES,
    LARGEST_SIDE,
    LARGEST_VALUE,
    MOST_SLICES,
    MOST_VALUES,
    SMALLEST_SIDE,
    TIFF_SUFFIXES,
)

# Compressions that decode to no more than the header promises. JPEG, PNG, WebP and the like carry a size of their own,
# which may be gigabytes.
TIFF_COMPRESSIONS = tuple(
    tifffile.COMPRESSION[name]
    for name in (
        "NONE", "CCITTRLE", "CCITTFAX3", "CCITTFAX4", "LZW", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA", "ZSTD",
    )
)  # fmt: skip
ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
NOT_A_SLICE = tifffile.FILETYPE.REDUCEDIMAGE | tifffile.FILETYPE.MASK  # thumbnails and transparency masks

Image.MAX_IMAGE_PIXELS = None  # Pillow would warn in the log; the bounds above are checked before it decodes

# A mask with no more distinct values than this is a label map, where everything above 0 is tumour; one with more was
# resampled or compressed, and is cut at half of its maximum.
LABEL_VALUES = 8

# A mask drawn in colour on white: shares of its largest value.
BRIGHT = 0.75  # a background's darkest channel, at least
ALIKE = 0.1  # how far the pixels of one background, and the channels of a grey, may differ
COLOURED = 0.25  # how far the channels of a colour differ, at least
MOST_COVERED = 0.9  # of a picture; no tumour fills it, a mask that is inverted or has a light background does


def read_scan(paths: Path | Sequence[Path], name: str | None = None) -> Scan:
    """Read one file, or several of one patient in the order given, into a `Scan`.

    Raises UnreadableScan, naming the file, where one cannot be read or differs in size from the first.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    return stack_pages([(path, read_pages(path)) for path in files], name)


def stack_pages(members: Sequence[tuple[Path, np.ndarray]], name: str | None = None) -> Scan:
    """Pages of several files as one scan. Raises UnreadableScan where sizes differ or there are too many slices."""
    first, size = members[0][0], members[0][1].shape[1:3]
    grey = all(values.shape[-1] == 1 or bool((values == values[..., :1]).all()) for _, values in members)
    slices = sum(len(values) for _, values in members)
    if slices > MOST_SLICES:
        raise UnreadableScan(first.name, "too_many_slices", slices=slices, most=MOST_SLICES)
    pixels = np.empty((slices, *size, 3), dtype=np.float32)
    start = 0
    for path, values in members:
        if values.shape[1:3] != size:
            (h, w), (h0, w0) = values.shape[1:3], size
            raise UnreadableScan(path.name, "size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}", other=first.name)
        pixels[start : start + len(values)] = values  # a grey page is copied into all three channels
        start += len(values)
    if name is None:
        shared = counted(first.stem) if len(members) > 1 else None
        name = "".join(shared or ()).lstrip(" _-") or first.stem
    return Scan(pixels, name, tuple((path.name, len(values)) for path, values in members), grey)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a reference mask: (S, H, W) bool. `size`: the (height, width) it must have, that of its image.

    Up to eight distinct values are labels, all above 0 taken; more, and any JPEG, are cut at half of the maximum. A
    colour mask counts where any of its channels does, one in colour on white where it is not white; what is transparent
    is no mask. Raises UnreadableScan.
    """
    return read_labels(path, size)[0]


def read_labels(path: Path, size: tuple[int, int] | None) -> tuple[np.ndarray, bool]:
    """What `read_mask` gives, and whether the file has more distinct values than labels have."""
    values = _drawn(read_pages(path, mask=True))
    if size is not None and values.shape[1:] != size:
        (h, w), (h0, w0) = values.shape[1:], size
        raise UnreadableScan(path.name, "mask_size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}")
    top = float(values.max())
    if top <= 0:
        return np.zeros(values.shape, dtype=bool), False
    many = len(np.unique(values)) > LABEL_VALUES
    labels = path.suffix.lower() not in JPEG_SUFFIXES and not many
    return np.asarray(values > 0 if labels else values >= top / 2, dtype=bool), many


def _drawn(values: np.ndarray) -> np.ndarray:
    """How much is drawn at each pixel of a mask (S, H, W, 1 or 3): (S, H, W), its brightest channel.

    Of a drawing in colour on white it is how far a pixel is from that white, which is the commonest colour, also at the
    border; black on white may as well be a large mask, and is taken as it is.
    """
    brightest = values.max(axis=-1)
    if values.shape[-1] == 1:
        return np.asarray(brightest)
    top = float(brightest.max())
    border = np.concatenate([values[:, [0, -1]].reshape(-1, 3), values[:, :, [0, -1]].reshape(-1, 3)])
    white = np.median(border, axis=0)
    if white.min() < BRIGHT * top or np.ptp(white) > ALIKE * top:
        return np.asarray(brightest)
    away = np.abs(values - white).max(axis=-1)
    around = np.abs(border - white).max(axis=-1) <= ALIKE * top
    colours = np.ptp(values[away > ALIKE * top], axis=-1)
    most = around.mean() > 0.5 and 0 < colours.size < away.size / 2
    return np.asarray(away if most and np.median(colours) > COLOURED * top else brightest)


def _over_black(values: np.ndarray, opaque: float) -> np.ndarray:
    """A mask (S, H, W, 1 or 3 and its opacity) as it looks over black, or its opacity where all that shows has one colour.

    opaque: the opacity that hides what is behind. Where opacity is the same everywhere it tells nothing of a drawing that
    has several colours.
    """
    colours, opacity = values[..., :-1], values[..., -1:]
    shown = colours[opacity[..., 0] > 0]
    if (opacity == opacity.flat[0]).all() and not (colours == colours[0, 0, 0]).all():
        return colours
    if (opacity != opacity.flat[0]).any() and (shown == shown[0]).all():
        return opacity
    return np.asarray(colours * (opacity / opaque))


def read_pages(path: Path, mask: bool = False) -> np.ndarray:
    """The pixels of one file as (pages, H, W, 1 or 3) float32. Raises UnreadableScan.

    Transparency is dropped, but for a mask, which may be drawn in it: see `_over_black`.
    """
    try:
        if not path.is_file():
            raise UnreadableScan(path.name, "not_found")
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UnreadableScan(path.name, "unknown_type", types=", ".join(IMAGE_SUFFIXES))
        if path.stat().st_size == 0:
            raise UnreadableScan(path.name, "empty_file")
        with np.errstate(over="ignore"):  # a float64 that is too large for float32 becomes infinite, see below
            values = (_read_tiff if path.suffix.lower() in TIFF_SUFFIXES else _read_picture)(path, mask)
    except UnreadableScan:
        raise
    except UnidentifiedImageError:
        raise _not_an_image(path) from None
    except MemoryError:
        raise UnreadableScan(path.name, "too_large", side=LARGEST_SIDE) from None
    except Exception:  # a decoder may raise anything on a broken file; the user needs one sentence whatever it is
        raise UnreadableScan(path.name, "damaged") from None
    usable = np.abs(values) < LARGEST_VALUE
    if not usable.all():
        if not usable.any():
            raise UnreadableScan(path.name, "damaged")
        # Voxels that are no number lie outside the head in practice: they become its darkest value.
        values = np.where(usable, values, values[usable].min())
    return values


def _not_an_image(path: Path) -> UnreadableScan:
    """What to say of a file that is no picture: DICOM is read, under a name of its own."""
    with path.open("rb") as file:
        dicom = file.read(132).endswith(b"DICM")
    return UnreadableScan(path.name, "dicom_as_image") if dicom else UnreadableScan(path.name, "not_an_image")


def held_values(slices: int, height: int, width: int) -> int:
    """How many values slices come to on their way to the network: three channels, padded to a square."""
    return slices * 3 * max(height, width) ** 2


def _check_header(path: Path, pages: int, height: int, width: int) -> None:
    if max(height, width) > LARGEST_SIDE:
        raise UnreadableScan(path.name, "too_large", side=LARGEST_SIDE)
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableScan(path.name, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
    if pages > MOST_SLICES:
        raise UnreadableScan(path.name, "too_many_slices", slices=pages, most=MOST_SLICES)
    if held_values(pages, height, width) > MOST_VALUES:
        raise UnreadableScan(path.name, "too_much_at_once")


def _read_picture(path: Path, mask: bool) -> np.ndarray:
    """PNG or JPEG: (1, H, W, 1 or 3) float32. A palette is resolved, transparency dropped or, of a mask, applied."""
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        _check_header(path, 1, picture.height, picture.width)
        if str(picture.tile[0].args).endswith(";16B") and picture.mode.startswith("RGB"):
            values = imagecodecs.png_decode(path.read_bytes())  # Pillow cuts 16-bit colour to 8 bits
            values = values[None].astype(np.float32)
            if mask and values.shape[-1] in (2, 4):
                return _over_black(values, 65535)
            return values[..., : 1 if values.shape[-1] == 2 else 3]
        picture.load()
        plain: Image.Image = _as_shown(picture)
        if mask and picture.has_transparency_data and picture.mode != "I;16":
            return _over_black(np.asarray(picture.convert("RGBA"), dtype=np.float32)[None], 255)
        if picture.mode in ("P", "PA", "CMYK", "YCbCr", "RGBA", "RGBX"):
            plain = plain.convert("RGB")
        elif picture.mode in ("LA", "La", "1"):
            plain = plain.convert("L")
        values = np.asarray(plain, dtype=np.float32)
    return values[None, ..., None] if values.ndim == 2 else values[None]


def _as_shown(picture: ImageFile.ImageFile) -> Image.Image:
    """A JPEG turned as its EXIF says, which is how everybody sees it and draws its mask; any other picture as it is."""
    if picture.format == "PNG":
        return picture
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF raises many things, and viewers pass over it
        return picture


def _read_tiff(path: Path, mask: bool) -> np.ndarray:
    """TIFF, each page a slice, as `_read_picture`; tifffile keeps 16-bit and float in colour where Pillow does not."""
    try:
        tiff = tifffile.TiffFile(path)
    except tifffile.TiffFileError:
        raise _not_an_image(path) from None
    with tiff:
        pages = _tiff_pages(path, tiff)
        first = pages[0]
        inverted = first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        see_through = mask and not inverted and all(len(p.extrasamples) == 1 and p.extrasamples[0] in ALPHA for p in pages)
        values = np.concatenate([_tiff_values(page, see_through) for page in pages])
    if see_through:
        values = _over_black(
            values, 1 if first.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP else 2**first.bitspersample - 1
        )
    if inverted:
        values = values.max(initial=0, where=np.abs(values) < LARGEST_VALUE) - values
    return values


def _tiff_pages(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that are slices, all of one size and kind. Raises UnreadableScan where they are not, or cannot be read."""
    pages = [p for i in range(_count_pages(path, tiff)) if isinstance(p := tiff.pages.get(i), tifffile.TiffPage)]
    slices = [p for p in pages if not p.subfiletype & NOT_A_SLICE] or pages
    first = slices[0]
    _check_header(path, sum(p.imagedepth for p in slices), first.imagelength, first.imagewidth)
    for page in slices:
        if (page.imagelength, page.imagewidth) != (first.imagelength, first.imagewidth):
            size, expected = (f"{p.imagewidth}×{p.imagelength}" for p in (page, first))
            raise UnreadableScan(path.name, "size_differs", size=size, expected=expected, other=f"{path.name} [1]")
        if page.compression not in TIFF_COMPRESSIONS:
            raise UnreadableScan(path.name, "tiff_compression")
        if _colours(page) not in (1, 3):
            raise UnreadableScan(path.name, "channels", channels=page.samplesperpixel)
        kind = page.dtype.kind if page.dtype is not None else ""
        tile = page.tiledepth * page.tilelength * page.tilewidth * page.samplesperpixel
        absent = 0 in page.databytecounts and not page.is_contiguous  # tifffile would fill it in
        if kind not in tuple("buif") or page.photometric != first.photometric or tile > MOST_VALUES or absent:
            raise UnreadableScan(path.name, "damaged")
    return slices


def _count_pages(path: Path, tiff: tifffile.TiffFile) -> int:
    """Length of the chain of pages, followed to its end: tifffile passes over one that is cut, and runs in circles."""
    file, layout = tiff.filehandle, tiff.tiff
    offset, seen = tiff.pages.first.offset, set[int]()
    while offset:
        if offset in seen:
            raise UnreadableScan(path.name, "damaged")
        seen.add(offset)
        if len(seen) > MOST_SLICES:
            raise UnreadableScan(path.name, "too_many_slices", slices=f"> {MOST_SLICES}", most=MOST_SLICES)
        file.seek(offset)
        (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
        file.seek(offset + layout.tagnosize + tags * layout.tagsize)
        (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    return len(seen)


def _colours(page: tifffile.TiffPage) -> int:
    """Channels of a page without its transparency; 0 where they are not what a scan has."""
    if page.photometric == tifffile.PHOTOMETRIC.RGB:
        return 3 if page.samplesperpixel in (3, 4) else 0
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return 1 if page.samplesperpixel == 1 else 0
    if page.photometric not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE):
        return 0
    return page.samplesperpixel - sum(extra in ALPHA for extra in page.extrasamples)


def _tiff_values(page: tifffile.TiffPage, opacity: bool) -> np.ndarray:
    """(depth, H, W, 1 or 3) float32 of one page; a palette is resolved, transparency dropped. opacity: it is kept instead,
    as a last channel.
    """
    values = page.asarray(squeeze=False)  # (separate samples, depth, H, W, samples together)
    values = np.moveaxis(values, 0, -2).reshape(*values.shape[1:4], page.samplesperpixel)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        values = np.moveaxis(page.colormap[:, values[..., 0]], 0, -1)
    else:
        values = values[..., : _colours(page) + opacity]
    return values.astype(np.float32)

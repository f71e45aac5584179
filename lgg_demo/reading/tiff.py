"""TIFF: pages, and the stacks with channels and times that ImageJ and OME write."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import tifffile

from lgg_demo.case import ReadError
from lgg_demo.messages import Sentence
from lgg_demo.reading.limits import LARGEST_VALUE, MOST_SLICES
from lgg_demo.reading.raster import ORIENTATION, Decoded, check_header, not_an_image, see_through, turned

ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
NOT_A_SLICE = tifffile.FILETYPE.REDUCEDIMAGE | tifffile.FILETYPE.MASK  # thumbnails and transparency masks


def read_tiff(path: Path, mask: bool) -> Decoded:
    """Each page a slice, turned as it is shown; channels are no slices. tifffile keeps 16-bit and float in colour."""
    try:
        tiff = tifffile.TiffFile(path, _multifile=False)  # an OME-TIFF may name other files, which nobody gave
    except tifffile.TiffFileError:
        raise not_an_image(path) from None
    with tiff:
        pages = _pages(path, tiff)
        first = pages[0]
        named = tiff.series[0].axes if tiff.is_ome or tiff.is_imagej else ""
        if named and (len(pages) == 1 or not set(named) <= set("ZIQYXS")):
            found = _hyperstack(path, tiff)
        else:
            found = _stack(pages, mask)
        if first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = found.values
            found = found._replace(values=values.max(initial=0, where=np.abs(values) < LARGEST_VALUE) - values)
        return turned(found, first.tags.valueof(ORIENTATION, 1))


def _stack(pages: list[tifffile.TiffPage], mask: bool) -> Decoded:
    """Each page a slice, or several where it is deep."""
    first = pages[0]
    transparent = first.photometric != tifffile.PHOTOMETRIC.MINISWHITE and all(
        len(p.extrasamples) == 1 and p.extrasamples[0] in ALPHA for p in pages
    )
    values = np.concatenate([_values(page, transparent) for page in pages])
    if not transparent:
        return Decoded(values)
    opaque = 1 if first.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP else 2**first.bitspersample - 1
    return see_through(values, opaque, mask)


def _hyperstack(path: Path, tiff: tifffile.TiffFile) -> Decoded:
    """A stack with axes by name: slices, channels, times. Raises ReadError where the channels are not those of a scan.

    Times are slices where each is one picture, else the first is read; and so are many channels of ImageJ that are not
    meant to be seen together (composite), as programs write that know of no axes.
    """
    series, imagej = tiff.series[0], tiff.imagej_metadata or {}
    axes, told = series.axes, dict[str, dict[str, int]]()
    lengths = dict.fromkeys("TCS", 1) | dict(zip(axes, series.shape, strict=True))
    together = tiff.is_ome or imagej.get("mode") in ("composite", "color")
    if lengths["C"] > 3 and not together and set(axes) <= set("CYX"):
        told["channels_as_slices"] = {"channels": lengths["C"]}
        axes, lengths["C"] = axes.replace("C", "Z"), 1
    times, channels, samples, height, width = (lengths[axis] for axis in "TCSYX")
    slices = math.prod(series.shape) // (channels * samples * times * height * width)
    if channels not in (1, 3) or samples not in (1, 3, 4) or channels * samples > 4:
        raise ReadError(path.name, "channels", channels=channels * samples)
    check_header(path, slices * times, height, width)
    cut = series.dataoffset is not None and series.dataoffset + series.nbytes > path.stat().st_size
    if None in series.pages or cut or (tiff.is_imagej and slices * times * channels < int(imagej.get("images", 1))):
        raise ReadError(path.name, "damaged")
    if times > 1:
        told["times_as_slices" if slices == 1 else "first_time"] = {"times": times}
    have = axes + "".join(axis for axis in "TCS" if axis not in axes)
    order = "T" + "".join(axis for axis in axes if axis not in "TYXCS") + "YXCS"
    values = series.asarray().reshape(*series.shape, *[1] * (len(have) - len(axes)))
    values = values.transpose([have.index(axis) for axis in order])
    values = (values if slices == 1 else values[:1]).reshape(-1, height, width, channels * samples)
    warnings = tuple(Sentence(key, {"file": path.name, **counts}) for key, counts in told.items())
    return Decoded(values[..., :3].astype(np.float32), None, warnings)


def _pages(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that are slices, all of one size and kind. Raises ReadError where they are not, or cannot be read."""
    pages = [p for i in range(_count_pages(path, tiff)) if isinstance(p := tiff.pages.get(i), tifffile.TiffPage)]
    slices = [p for p in pages if not p.subfiletype & NOT_A_SLICE] or pages
    first = slices[0]
    check_header(path, sum(p.imagedepth for p in slices), first.imagelength, first.imagewidth)
    for page in slices:
        _check_page(path, page, first)
    return slices


def _check_page(path: Path, page: tifffile.TiffPage, first: tifffile.TiffPage) -> None:
    """Raise ReadError where a page differs from the first or cannot be read."""
    size, expected = (f"{p.imagewidth}×{p.imagelength}" for p in (page, first))
    if size != expected:
        raise ReadError(path.name, "size_differs", size=size, expected=expected, other=f"{path.name} [1]")
    if _colours(page) not in (1, 3):
        raise ReadError(path.name, "channels", channels=page.samplesperpixel)
    numeric = page.dtype is not None and page.dtype.kind in "buif"
    absent = 0 in page.databytecounts and not page.is_contiguous  # tifffile would fill it in
    if not numeric or page.photometric != first.photometric or absent:
        raise ReadError(path.name, "damaged")


def _count_pages(path: Path, tiff: tifffile.TiffFile) -> int:
    """Length of the chain of pages, followed to its end: tifffile skips one that is cut, and runs in circles."""
    file, layout = tiff.filehandle, tiff.tiff
    offset, seen = tiff.pages.first.offset, set[int]()
    while offset:
        if offset in seen:
            raise ReadError(path.name, "damaged")
        seen.add(offset)
        if len(seen) > MOST_SLICES:
            raise ReadError(path.name, "too_many_slices", slices=f"> {MOST_SLICES}", most=MOST_SLICES)
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


def _values(page: tifffile.TiffPage, opacity: bool) -> np.ndarray:
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

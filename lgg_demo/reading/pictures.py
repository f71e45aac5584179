"""Pictures: PNG, JPEG and TIFF to slices, and the masks that are drawn in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from lgg_demo.case import ReadError, Scan
from lgg_demo.messages import Sentence
from lgg_demo.reading.borders import Border, border_of, several_heads
from lgg_demo.reading.layout import counted
from lgg_demo.reading.limits import IMAGE_SUFFIXES, LARGEST_VALUE, MOST_SLICES
from lgg_demo.reading.masks import cut_of, drawn
from lgg_demo.reading.raster import ORIENTATION, Decoded, check_header, not_an_image, see_through, turned
from lgg_demo.reading.tiff import read_tiff
from lgg_demo.reading.volumes import guard, one_sentence

Image.MAX_IMAGE_PIXELS = None  # Pillow would warn in the log; the bounds are checked before it decodes
# Modes of Pillow that are no values yet, and what they are resolved to.
SHOWN = {"P": "RGB", "CMYK": "RGB", "RGBA": "RGB", "LA": "L", "1": "L"}
Frame = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pages:
    """What one file holds: `values` (S, H, W, 1 or 3) float32, in its own units, any border taken for air.

    frame: see `Scan`. warnings: what the user should know, each with the file's name.
    """

    values: np.ndarray
    warnings: tuple[Sentence, ...] = ()
    frame: Frame | None = None


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG, JPEG or TIFF by its content. Raises OSError."""
    return _kind_of(path) is not None


def _kind_of(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "tiff" if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else None


def read_scan(paths: Path | Sequence[Path], name: str | None = None) -> Scan:
    """Read one file, or several of one patient in the order given, into a `Scan`.

    Raises ReadError, naming the file, where one cannot be read or differs in size from the first.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    return stack_pages([(path, read_pages(path)) for path in files], name)


def stack_pages(members: Sequence[tuple[Path, Pages]], name: str | None = None) -> Scan:
    """Pages of several files as one scan. Raises ReadError where sizes differ or there are too many slices."""
    first, size = members[0][0], members[0][1].values.shape[1:3]
    grey = all(_grey(pages.values) for _, pages in members)
    slices = sum(len(pages.values) for _, pages in members)
    if slices > MOST_SLICES:
        raise ReadError(first.name, "too_many_slices", slices=slices, most=MOST_SLICES)
    pixels = np.empty((slices, *size, 3), dtype=np.float32)
    start = 0
    for path, pages in members:
        values = pages.values
        if values.shape[1:3] != size:
            (h, w), (h0, w0) = values.shape[1:3], size
            raise ReadError(path.name, "size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}", other=first.name)
        pixels[start : start + len(values)] = values  # a grey page is copied into all three channels
        start += len(values)
    if name is None:
        shared = counted(first.stem) if len(members) > 1 else None
        name = "".join(shared or ()).lstrip(" _-") or first.stem
    files = tuple((path.name, len(pages.values)) for path, pages in members)
    return Scan(pixels, name, files, grey, frame=_around([pages.frame for _, pages in members]))


def _around(frames: Sequence[Frame | None]) -> Frame | None:
    """The square around all frames; None where one is the whole picture."""
    known = [f for f in frames if f is not None]
    if not known or len(known) < len(frames):
        return None
    top, left = (min(f[n] for f in known) for n in (0, 1))
    bottom, right = max(f[0] + f[2] for f in known), max(f[1] + f[3] for f in known)
    side = max(bottom - top, right - left)
    return (top + bottom - side) // 2, (left + right - side) // 2, side, side


def told(members: Iterable[tuple[str, Pages]]) -> tuple[Sentence, ...]:
    """What the user should know of the pages of several files, each thing once, under the first name it is true of."""
    found: dict[str, Sentence] = {}
    for name, pages in members:
        for warning in pages.warnings:
            found.setdefault(warning.key, Sentence(warning.key, {**warning.values, "file": name}))
    return tuple(found.values())


def read_mask(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a reference mask: (S, H, W) bool, see `read_labels`."""
    return read_labels(path, size)[0]


def read_labels(path: Path, size: tuple[int, int] | None) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    """Read a reference mask, (S, H, W) bool, and what the user should know of it.

    size: the (height, width) it must have, that of its image. Of labels all above 0 counts: of up to eight whole values, or
    of more that fill areas; other masks, and any JPEG, are cut at half of their maximum. A colour mask counts where any of
    its channels does, one in colour on white where it is not white; what is transparent is no mask. Raises ReadError.
    """
    pages = read_pages(path, mask=True)
    values = drawn(pages.values)
    if size is not None and values.shape[1:] != size:
        (h, w), (h0, w0) = values.shape[1:], size
        raise ReadError(path.name, "mask_size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}")
    top = float(values.max())
    if top <= 0:
        return np.zeros(values.shape, dtype=bool), pages.warnings
    cut, graded = (top / 2, False) if _kind_of(path) == "jpeg" else cut_of(values)
    if cut is None:
        return values > 0, pages.warnings
    said = (Sentence("mask_graded", {"file": path.name, "cut": round(cut, 3)}),) if graded else ()
    return values >= cut, pages.warnings + said


def read_pages(path: Path, mask: bool = False) -> Pages:
    """The slices of one file. Raises ReadError.

    Of a scan what is transparent, and the page around a slice, becomes air (see `border_of`). A mask may be drawn in
    transparency: see `_over_black`.
    """
    with one_sentence(path.name):
        guard(path)
        kind = _kind_of(path)
        if kind is None:
            named = path.suffix.lower() in IMAGE_SUFFIXES
            raise not_an_image(path) if named else ReadError(path.name, "unknown_type", types=", ".join(IMAGE_SUFFIXES))
        found = (read_tiff if kind == "tiff" else _read_picture)(path, mask)
    values = _mended(path, found.values, mask)
    if mask:
        count = int(np.count_nonzero(values != found.values))
        said = (Sentence("mask_not_finite", {"file": path.name, "count": count}),) if count else ()
        return Pages(values, found.warnings + said)
    return _without_borders(path, found._replace(values=values))


def _mended(path: Path, values: np.ndarray, mask: bool) -> np.ndarray:
    """The values, with what is no number as background: it lies outside the head in practice. Raises ReadError."""
    usable = np.abs(values) < LARGEST_VALUE
    if usable.all():
        return values
    if not usable.any():
        raise ReadError(path.name, "damaged")
    return np.where(usable, values, 0 if mask else values[usable].min())


def _without_borders(path: Path, found: Decoded) -> Pages:
    """Slices whose borders are air, and what to say of that."""
    hidden = [None] * len(found.values) if found.hidden is None else found.hidden
    borders = [border_of(page, transparent) for page, transparent in zip(found.values, hidden, strict=True)]
    heads = sum(several_heads(page, b.outside if b else None) for page, b in zip(found.values, borders, strict=True))
    said = {"border": any(b is not None and b.wide for b in borders), "several_heads": 2 * heads > len(borders)}
    warnings = tuple(Sentence(key, {"file": path.name}) for key, so in said.items() if so)
    values = _darkened(found.values, borders) if any(borders) else found.values
    return Pages(values, found.warnings + warnings, _around([None if b is None else b.frame for b in borders]))


def _darkened(values: np.ndarray, borders: Sequence[Border | None]) -> np.ndarray:
    """A copy of slices with each border as dark as the darkest of its slice; grey where they are, whatever colour the page
    had.
    """
    darkened, grey = values.copy(), True
    for page, border in zip(darkened, borders, strict=True):
        grey &= _grey(page) if border is None else border.grey
        if border is not None:
            page[border.outside] = np.percentile(page[~border.outside], 1, axis=0)
    return darkened.mean(axis=-1, keepdims=True, dtype=np.float32) if grey else darkened


def _grey(values: np.ndarray) -> bool:
    return bool((values == values[..., :1]).all())


def _read_picture(path: Path, mask: bool) -> Decoded:
    """PNG or JPEG, turned as it is shown; a palette is resolved."""
    try:
        picture = Image.open(path, formats=("PNG", "JPEG"))
    except UnidentifiedImageError:
        raise not_an_image(path) from None
    with picture:
        check_header(path, 1, picture.height, picture.width)
        if str(picture.tile[0].args).endswith(";16B") and picture.mode.startswith("RGB"):
            values, opaque = imagecodecs.png_decode(path.read_bytes()), 65535  # Pillow cuts 16-bit colour to 8 bits
            transparent = values.shape[-1] in (2, 4)
        else:
            picture.load()
            opaque, transparent = 255, picture.has_transparency_data and picture.mode != "I;16"
            mode = "RGBA" if transparent else SHOWN.get(picture.mode, picture.mode)
            values = np.asarray(picture.convert(mode) if mode != picture.mode else picture)
        orientation = _orientation(picture)
        frames = getattr(picture, "n_frames", 1) if picture.format == "PNG" else 1
    values = np.atleast_3d(values).astype(np.float32)[None]
    found = turned(see_through(values, opaque, mask) if transparent else Decoded(values), orientation)
    said = (Sentence("first_frame", {"file": path.name, "frames": frames}),) if frames > 1 else ()
    return found._replace(warnings=said)


def _orientation(picture: Image.Image) -> int:
    """How a picture is turned when it is shown, as everybody sees it and draws its mask: 1 to 8 as EXIF has it."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF raises many things, and viewers skip it
        return 1

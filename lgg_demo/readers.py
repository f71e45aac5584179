"""Files to a `Scan`: the only way pixels enter, for training, evaluation, the command line and the page.

Every image is a stack of slices (S, H, W, 3), channels pre-contrast / FLAIR / post-contrast as in the LGG MRI
Segmentation data; a single PNG has S = 1. A grey image is taken as FLAIR and copied into the other two channels, which
is what the dataset itself does where a sequence is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from lgg_demo.messages import Sentence

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
TIFF_SUFFIXES = (".tif", ".tiff")
MASK_ENDING = "_mask"
FLAIR = 1  # its place among the three channels

# A slice of a clinical scanner has at most 1024 pixels a side; what is far beyond is a photograph or a bomb. The bounds
# are checked on the header, before any pixel is decoded.
LARGEST_SIDE = 4096
SMALLEST_SIDE = 16
MOST_SLICES = 1000
MOST_VALUES = 400_000_000  # of one file: 1.6 GB as float32

# A mask with no more distinct values than this is a label map, where everything above 0 is tumour; one with more was
# resampled or compressed, and is cut at half of its maximum.
LABEL_VALUES = 8

_NUMBERED = re.compile(r"^(?P<stem>.*?)[ _-]?(?P<number>\d+)$")


class UnreadableScan(Exception):
    """One file that cannot be used. `file` is its name, `sentence` says what is wrong and what to do, in any language."""

    def __init__(self, file: str, key: str, **values: object) -> None:
        self.file = file
        self.sentence = Sentence(key, {"file": file, **values})
        super().__init__(str(self.sentence))


@dataclass(frozen=True)
class Scan:
    """A stack of slices read from one or several files of one patient.

    pixels: (S, H, W, 3) float32, in the files' own intensity units, channels pre-contrast / FLAIR / post-contrast.
    files: the file each run of slices came from, in slice order: (name, number of slices).
    name: what all slices share, for display; no patient identity beyond what the user put in the file name.
    grey: the file had one channel, taken as FLAIR.
    """

    pixels: np.ndarray
    name: str
    files: tuple[tuple[str, int], ...]
    grey: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every slice in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def __len__(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Series:
    """Image files that belong together (one patient, one size), in slice order, and the mask file of each, or None."""

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path | None, ...]


@dataclass
class Pairing:
    """Which files go together, and which were left over."""

    series: list[Series] = field(default_factory=list)
    unmatched_masks: list[Path] = field(default_factory=list)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which `_2` comes before `_10`."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part.lower()) for part in re.split(r"(\d+)", name)]


def slice_number(path: Path) -> int | None:
    """The number that ends the file's stem (`TCGA_CS_4941_19960909_12` gives 12), or None."""
    match = _NUMBERED.match(path.stem)
    return int(match["number"]) if match else None


def is_mask_name(path: Path) -> bool:
    """Whether the stem ends in `_mask`."""
    return path.stem.lower().endswith(MASK_ENDING)


def image_stem(path: Path) -> str:
    """The stem that an image and its mask share."""
    return path.stem[: -len(MASK_ENDING)] if is_mask_name(path) else path.stem


def find_images(folder: Path) -> list[Path]:
    """Every image file below `folder`, masks included, in natural order; hidden files and folders are passed over."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(visible, key=lambda p: natural_key(str(p.relative_to(folder))))


def pair(images: Iterable[Path], references: Iterable[Path] = ()) -> Pairing:
    """Sort files into series, each image with its mask.

    `NAME_mask` among the images is the mask of `NAME`; a reference file is matched by name too, with or without
    `_mask`. One image and one reference belong together whatever their names. Numbered files of one folder that differ
    in nothing but the number are one series, in the order of the numbers.
    """
    images, references = list(images), list(references)
    stems = {(p.parent, p.stem) for p in images if not is_mask_name(p)}
    plain = [p for p in images if not is_mask_name(p) or (p.parent, image_stem(p)) not in stems]
    beside = {(p.parent, image_stem(p)): p for p in images if p not in set(plain)}
    given = {image_stem(p): p for p in references}
    if len(plain) == 1 and len(references) == 1:
        given = {plain[0].stem: references[0]}

    pairing = Pairing()
    groups: dict[tuple[Path, str, str], list[Path]] = {}
    for path in plain:
        match = _NUMBERED.match(path.stem)
        key = (path.parent, match["stem"] if match else path.stem, path.suffix.lower() if match else str(path))
        groups.setdefault(key, []).append(path)
    used: set[Path] = set()
    for (_, stem, _), members in groups.items():
        members.sort(key=lambda p: natural_key(p.name))
        masks = [given.get(p.stem) or beside.get((p.parent, p.stem)) for p in members]
        used.update(m for m in masks if m is not None)
        name = stem if len(members) > 1 and stem else members[0].stem
        pairing.series.append(Series(name, tuple(members), tuple(masks)))
    pairing.unmatched_masks = [p for p in references if p not in used]
    return pairing


def read_scan(paths: Path | Sequence[Path], name: str | None = None) -> Scan:
    """Read one file, or several of one patient in the order given, into a `Scan`.

    Raises UnreadableScan, naming the file, where one cannot be read or differs in size from the first.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    stacks: list[np.ndarray] = []
    grey = True
    for path in files:
        values = _read_pages(path)
        if not np.isfinite(values).all():
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        if stacks and values.shape[1:3] != stacks[0].shape[1:3]:
            (h, w), (h0, w0) = values.shape[1:3], stacks[0].shape[1:3]
            raise UnreadableScan(path.name, "size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}", other=files[0].name)
        one = values.shape[-1] == 1 or bool((values == values[..., :1]).all())
        grey = grey and one
        stacks.append(np.repeat(values[..., :1], 3, axis=-1) if values.shape[-1] == 1 else values)
    pixels = stacks[0] if len(stacks) == 1 else np.concatenate(stacks)
    if len(pixels) > MOST_SLICES:
        raise UnreadableScan(files[0].name, "too_many_slices", slices=len(pixels), most=MOST_SLICES)
    counts = tuple((p.name, len(s)) for p, s in zip(files, stacks, strict=True))
    return Scan(pixels=pixels, name=name or files[0].stem, files=counts, grey=grey)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a reference mask: (S, H, W) bool. `size`: the (height, width) it must have, that of its image.

    Up to eight distinct values are labels, all above 0 taken; more are cut at half of the maximum. A colour mask counts
    where any of its channels does. Raises UnreadableScan.
    """
    values = _read_pages(path).max(axis=-1)
    if not np.isfinite(values).all():
        raise UnreadableScan(path.name, "mask_not_finite")
    if size is not None and values.shape[1:] != size:
        (h, w), (h0, w0) = values.shape[1:], size
        raise UnreadableScan(path.name, "mask_size_differs", size=f"{w}×{h}", expected=f"{w0}×{h0}")
    top = float(values.max())
    if top <= 0:
        return np.zeros(values.shape, dtype=bool)
    labels = len(np.unique(values)) <= LABEL_VALUES
    return np.asarray(values > 0 if labels else values >= top / 2, dtype=bool)


def read_reference(series: Series, scan: Scan) -> np.ndarray | None:
    """The reference of a series as (S, H, W) bool, or None where no file of it has a mask.

    A file without a mask in a series that has some is an error: scoring it as empty would be a guess.
    """
    if not any(series.masks):
        return None
    parts = []
    for image, mask, (_, slices) in zip(series.images, series.masks, scan.files, strict=True):
        if mask is None:
            raise UnreadableScan(image.name, "mask_missing")
        values = read_mask(mask, scan.size)
        if len(values) != slices:
            raise UnreadableScan(mask.name, "mask_slices_differ", slices=len(values), expected=slices)
        parts.append(values)
    return np.concatenate(parts)


def _read_pages(path: Path) -> np.ndarray:
    """The pixels of one file as (pages, H, W, 1 or 3) float32. Raises UnreadableScan."""
    if not path.is_file():
        raise UnreadableScan(path.name, "not_found")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UnreadableScan(path.name, "unknown_type", types=", ".join(IMAGE_SUFFIXES))
    if path.stat().st_size == 0:
        raise UnreadableScan(path.name, "empty_file")
    try:
        values = _read_tiff(path) if path.suffix.lower() in TIFF_SUFFIXES else _read_picture(path)
    except UnreadableScan:
        raise
    except (UnidentifiedImageError, tifffile.TiffFileError):
        raise UnreadableScan(path.name, "not_an_image") from None
    except MemoryError:
        raise UnreadableScan(path.name, "too_large", side=LARGEST_SIDE) from None
    except Exception:  # a decoder may raise anything on a broken file; the user needs one sentence whatever it is
        raise UnreadableScan(path.name, "damaged") from None
    return values


def _check_header(path: Path, pages: int, height: int, width: int, channels: int) -> None:
    if max(height, width) > LARGEST_SIDE or pages * height * width * channels > MOST_VALUES:
        raise UnreadableScan(path.name, "too_large", side=LARGEST_SIDE)
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableScan(path.name, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
    if pages > MOST_SLICES:
        raise UnreadableScan(path.name, "too_many_slices", slices=pages, most=MOST_SLICES)


def _read_picture(path: Path) -> np.ndarray:
    """PNG or JPEG through Pillow: (1, H, W, 1 or 3) float32. Transparency is dropped, a palette resolved."""
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        _check_header(path, 1, picture.height, picture.width, 3)
        picture.load()
        if picture.mode in ("P", "PA", "CMYK", "YCbCr", "RGBA", "RGBX"):
            picture = picture.convert("RGB")
        elif picture.mode in ("LA", "La", "1"):
            picture = picture.convert("L")
        values = np.asarray(picture, dtype=np.float32)
    return values[None, ..., None] if values.ndim == 2 else values[None]


def _read_tiff(path: Path) -> np.ndarray:
    """TIFF through tifffile, which keeps 16-bit and float in colour where Pillow does not."""
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first
        pages = [p for p in tiff.pages if (p.imagelength, p.imagewidth) == (first.imagelength, first.imagewidth)]
        samples = first.samplesperpixel
        _check_header(path, len(pages) * first.imagedepth, first.imagelength, first.imagewidth, max(samples, 1))
        if first.dtype is None or first.dtype.kind not in "buif":
            raise UnreadableScan(path.name, "damaged")
        stack = []
        for page in pages:
            values = page.asarray()
            if page.axes.startswith("S") and samples > 1:  # planar: channels first
                values = np.moveaxis(values, 0, -1)
            stack.append(values.reshape(-1, first.imagelength, first.imagewidth, samples))
        values = np.concatenate(stack)
        if first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = values.max() - values.astype(np.float32)
        elif first.photometric == tifffile.PHOTOMETRIC.PALETTE and first.colormap is not None:
            values = np.moveaxis(first.colormap[:, values[..., 0]], 0, -1)
    if samples in (2, 4) and values.shape[-1] in (2, 4):  # grey or colour with transparency
        values = values[..., : samples - 1]
    if values.shape[-1] not in (1, 3):
        raise UnreadableScan(path.name, "channels", channels=values.shape[-1])
    return values.astype(np.float32)

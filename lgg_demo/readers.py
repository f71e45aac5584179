"""Files to a `Scan`: the only way pixels enter, for training, evaluation, the command line and the page.

Every image is a stack of slices (S, H, W, 3), channels pre-contrast / FLAIR / post-contrast as in the LGG MRI
Segmentation data; a single PNG has S = 1. A grey image is taken as FLAIR and copied into the other two channels, which
is what the dataset itself does where a sequence is missing.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from pydicom import Dataset

from lgg_demo.geometry import Grid
from lgg_demo.messages import Sentence

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
TIFF_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
MASK_ENDING = "_mask"
# What a hand corrected in our own report comes first; other programs' endings make a mask beside their image alone.
MASK_ENDINGS = (f"_corrected{MASK_ENDING}", MASK_ENDING, "_gt", "_label", "_seg")
FLAIR = 1  # its place among the three channels

# A slice of a clinical scanner has at most 1024 pixels a side; what is far beyond is a photograph or a bomb. The bounds
# are checked on the header, before any pixel is decoded.
LARGEST_SIDE = 4096
SMALLEST_SIDE = 16
MOST_SLICES = 1000
MOST_VALUES = 400_000_000  # of one file as it is held, three channels padded to a square: 1.6 GB as float32
LARGEST_VALUE = 1e30  # far beyond any intensity; arithmetic on float32 overflows above it

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

# `mask_0` of `img_0`: a word, and what both names share.
_WORDED = re.compile(r"^(?P<word>[^\W\d_]+)(?P<rest>(?:[ _-]|\d).*)$")
_MASK_WORDS = tuple(ending[1:] for ending in MASK_ENDINGS if "_" not in ending[1:])
# Whole names of folders, in lower case. `gt` may be somebody's initials: it counts only beside a word for images.
_MASK_FOLDER = re.compile(
    r"(?:(?:gt|masks?|labels?(?:tr|ts|val)?|segs?|segmentations?|ground[ _-]?truth)(?:[ _-]+(?=[^ _-])|$))+"
)
_INITIALS = "gt"
_IMAGE_WORDS = re.compile(
    r"(?:(?:images?(?:tr|ts|val)?|imgs?|scans?|slices?|flair|inputs?|raw|data)(?:[ _-]+(?=[^ _-])|$))+"
)

# The number that counts the files of a series: before a total, else at the end, bare or as ` (3)`, else the last there is
# where it leads the name or follows a word for slices. Any other may be a patient's, or with four digits a year.
_OF_TOTAL = re.compile(r"^(?P<stem>.*?)[ _-]?\(?(?P<number>\d+)(?P<rest>[ _-]?(?:of|sur)[ _-]?\d+)\)?$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<stem>.*?)(?:(?P<open> \()|[ _-])?(?P<number>\d+)(?(open)\))$")
_LAST_NUMBER = re.compile(
    r"^(?P<stem>(?:.*[ _-])?(?:slice|image|img|im|coupe)|)[ _-]?(?P<number>0*\d{1,3})(?P<rest>\D+)$", re.IGNORECASE
)


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
    grey: the file had one channel, taken as FLAIR. grid: where a volume's slices lie in its own file; None for pictures.
    instances: of a DICOM series the headers, without identity, that a segmentation refers to.
    """

    pixels: np.ndarray
    name: str
    files: tuple[tuple[str, int], ...]
    grey: bool = False
    grid: Grid | None = None
    instances: tuple[Dataset, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Millimetres between slices, rows and columns, where those in the plane are known."""
        return self.grid.spacing_mm if self.grid and self.grid.measured else None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every slice in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def __len__(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Case:
    """A scan with what is known of its reference.

    reference: (S, H, W) bool, or None where no slice has one; `referenced` (S,) bool says which slices do. A slice
    without a reference is never scored: to take it as empty would be a guess. warnings: what its user should know of the
    scan; reference_warnings: of the reference, which go with it.
    """

    scan: Scan
    paths: tuple[Path, ...]
    reference: np.ndarray | None = None
    referenced: np.ndarray | None = None
    warnings: tuple[Sentence, ...] = ()
    reference_warnings: tuple[Sentence, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        return self.scan.size

    @property
    def slices(self) -> tuple[int, ...]:
        """How many slices each file has."""
        return tuple(slices for _, slices in self.scan.files)


class Referable(Protocol):
    """What a reference can be attached to: files of known size and number of slices (`Case`, or a finished result)."""

    @property
    def paths(self) -> tuple[Path, ...]: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def slices(self) -> tuple[int, ...]: ...
    @property
    def reference(self) -> np.ndarray | None: ...
    @property
    def referenced(self) -> np.ndarray | None: ...
    @property
    def reference_warnings(self) -> tuple[Sentence, ...]: ...


R = TypeVar("R", bound=Referable)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which `_2` comes before `_10`."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part.lower()) for part in re.split(r"(\d+)", name)]


def slice_number(path: Path) -> int | None:
    """The number that ends the file's stem (`TCGA_CS_4941_19960909_12` gives 12), or None."""
    match = _NUMBERED.match(path.stem)
    return int(match["number"]) if match else None


def series_stem(path: Path) -> str:
    """The stem without the number that ends it (`TCGA_CS_4941_19960909_12` gives `TCGA_CS_4941_19960909`)."""
    match = _NUMBERED.match(path.stem)
    return match["stem"] if match else path.stem


def is_mask_name(path: Path) -> bool:
    """Whether the stem ends in `_mask`."""
    return path.stem.lower().endswith(MASK_ENDING)


def image_stem(path: Path) -> str:
    """The stem that an image and its mask share."""
    return path.stem[: -len(MASK_ENDING)] if is_mask_name(path) else path.stem


def visible_files(folder: Path) -> list[Path]:
    """Every file below `folder` in natural order; hidden files and folders are passed over."""
    found = (p for p in folder.rglob("*") if p.is_file())
    visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(visible, key=lambda p: natural_key(str(p.relative_to(folder))))


def find_images(folder: Path) -> list[Path]:
    """Every image file below `folder`, masks included, in the order of `visible_files`."""
    return [p for p in visible_files(folder) if p.suffix.lower() in IMAGE_SUFFIXES]


def _folded(stem: str) -> str:
    """A name without the differences that systems make in writing it: case, and accents as signs of their own."""
    return unicodedata.normalize("NFC", stem).casefold()


def _image_names(stem: str) -> list[str]:
    """What an image may be looked up by: its name, and after a sign that no name has what follows its word."""
    match = _WORDED.match(_folded(stem))
    return [_folded(stem), *([f"/{match['rest']}"] if match and match["word"] not in _MASK_WORDS else [])]


def _mask_names(mask: Path, alike: bool) -> list[str]:
    """What a mask's image may be called, in the order of trust, not folded; the last may be what follows its word.

    alike: it is known to be a mask, and may be called the same.
    """
    stem = mask.stem
    match = _WORDED.match(_folded(stem))
    return [
        *([stem] if alike and not is_mask_name(mask) else []),
        *(stem[: -len(e)] for e in MASK_ENDINGS if stem.lower().endswith(e)),
        *([f"/{match['rest']}"] if match and match["word"] in _MASK_WORDS else []),
    ]


class _Stems:
    """The stems of images of one place, to find the one that a mask is called after."""

    def __init__(self, stems: Iterable[str]) -> None:
        self._called: dict[str, set[str]] = {}
        for stem in stems:
            for name in _image_names(stem):
                self._called.setdefault(name, set()).add(stem)

    def meant_by(self, mask: Path, alike: bool) -> str | None:
        """The stem that a mask's name means; None where it is no image's, or that of several. alike: see `_mask_names`."""
        for name in _mask_names(mask, alike):
            found = self._called.get(_folded(name), set())
            one = name if name in found else next(iter(found)) if len(found) == 1 else None
            sure = alike or not name.startswith("/") or not _folded(mask.stem).startswith(_INITIALS)
            if one is not None and (sure or _IMAGE_WORDS.fullmatch(_folded(one).removesuffix(name[1:]))):
                return one
        return None


def _worth(mask: Path) -> int:
    """Sort key of the mask to take of several: by its ending."""
    return next((n for n, ending in enumerate(MASK_ENDINGS) if mask.stem.lower().endswith(ending)), len(MASK_ENDINGS))


def masks_among(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """The images among the files that have masks there, and these; the first is the one to take.

    A mask is called after an image beside it: `NAME_mask` (or `_gt`, `_label`, `_seg`), or `mask_NAME` where there is one
    `img_NAME`, whatever its word. Or it lies in a folder whose name says masks and nothing else, and one sibling of that
    folder has its image at the same place, called so or alike. `gt` may be somebody's initials: of `gt_NAME` and of a
    folder `gt`, the other's word or name must be one for images. Any other file is an image, whatever its name.
    """
    files = list(dict.fromkeys(files))
    images: dict[tuple[Path, str], list[Path]] = {}
    named: dict[Path, list[str]] = {}
    for path in files:
        if not is_mask_name(path):
            images.setdefault((path.parent, path.stem), []).append(path)
            named.setdefault(path.parent, []).append(path.stem)
    stems = {folder: _Stems(own) for folder, own in named.items()}
    # By all but one level of a folder's path, and by the name of an image in it: thousands of patients may have a folder
    # each beside that of the masks.
    twins: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, set[Path]]] = {}
    for folder in stems:
        for n, part in enumerate(folder.parts):
            if not _MASK_FOLDER.fullmatch(part.lower()):
                names = twins.setdefault((folder.parts[:n], folder.parts[n + 1 :]), {})
                for name in {name for stem in named[folder] for name in _image_names(stem)}:
                    names.setdefault(name, set()).add(folder)

    def meant_by(path: Path) -> list[Path]:
        parts = path.parent.parts
        if path.parent in stems and (stem := stems[path.parent].meant_by(path, alike=False)) is not None:
            return images[path.parent, stem]
        for n, part in enumerate(parts):
            if not _MASK_FOLDER.fullmatch(part.lower()):
                continue
            names = twins.get((parts[:n], parts[n + 1 :]), {})
            there = {f for name in _mask_names(path, alike=True) for f in names.get(_folded(name), ())}
            found = [(f, stem) for f in there if (stem := stems[f].meant_by(path, alike=True)) is not None]
            sure = part.lower() != _INITIALS or all(_IMAGE_WORDS.fullmatch(f.parts[n].lower()) for f, _ in found)
            if len(found) == 1 and sure:
                return images[found[0]]
        return []

    masks: dict[Path, list[Path]] = {}
    taken: set[Path] = set()
    for path in sorted(files, key=_worth):
        if path in masks:
            continue  # `brain_seg` that has a `brain_seg_mask` is an image
        own = [image for image in meant_by(path) if image not in taken]
        taken |= {path} if own else set()
        for image in own:
            masks.setdefault(image, []).append(path)
    return masks


def _counted(stem: str) -> tuple[str, str] | None:
    """What the stems of one series share before and after the number that counts them; None without a number."""
    match = _OF_TOTAL.match(stem) or _NUMBERED.match(stem) or _LAST_NUMBER.match(stem)
    return (match["stem"], match.groupdict().get("rest", "")) if match else None


def sort_into_series(images: Iterable[Path]) -> tuple[list[list[Path]], list[Path]]:
    """Series of image files in slice order, and the files that are masks of images among them (`masks_among`).

    Files of one folder and type that differ in nothing but the number that counts them (see `_LAST_NUMBER`) are one series,
    in the order of the numbers; any other file is a series of its own.
    """
    files = list(dict.fromkeys(images))
    masks = dict.fromkeys(mask for own in masks_among(files).values() for mask in own)
    groups: dict[tuple[Path, str, tuple[str, str] | None], list[Path]] = {}
    for path in files:
        if path in masks:
            continue
        shared = _counted(path.stem)
        groups.setdefault((path.parent, path.suffix.lower() if shared else path.name, shared), []).append(path)
    return [sorted(g, key=lambda p: natural_key(p.name)) for g in groups.values()], list(masks)


def read_scan(paths: Path | Sequence[Path], name: str | None = None) -> Scan:
    """Read one file, or several of one patient in the order given, into a `Scan`.

    Raises UnreadableScan, naming the file, where one cannot be read or differs in size from the first.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    return _stack([(path, _read_pages(path)) for path in files], name)


def read_cases(images: Iterable[Path]) -> tuple[list[Case], list[UnreadableScan]]:
    """Read all that can be read: a case for each series of one size, and one error for each file that cannot be used.

    A mask among the images becomes the reference of its own, see `masks_among`.
    """
    images = list(images)
    series, _ = sort_into_series(images)
    cases: list[Case] = []
    problems: list[UnreadableScan] = []
    values_read = 0
    for files in series:
        by_size: dict[tuple[int, ...], list[tuple[Path, np.ndarray]]] = {}
        for path in files:
            try:
                if values_read > MOST_VALUES:
                    raise UnreadableScan(path.name, "too_much_at_once")
                values = _read_pages(path)
            except UnreadableScan as error:
                problems.append(error)
                continue
            values_read += _held(*values.shape[:3])
            by_size.setdefault(values.shape[1:3], []).append((path, values))
        for members in by_size.values():
            try:
                cases.append(Case(_stack(members), tuple(path for path, _ in members)))
            except UnreadableScan as error:
                problems.append(error)
    cases, mask_problems = _with_masks(cases, masks_among(images))
    return cases, problems + mask_problems


def attach_references(cases: Sequence[R], references: Iterable[Path]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the reference masks that belong to their files, by name, as in `masks_among` or the same.

    One image and one reference belong together whatever their names; where several images or several references have
    one name, their folders must have one name too. A mask that cannot be read, does not fit or fits no image becomes an
    error, and its slices stay without one.
    """
    references = list(references)
    pictures = masks_among(references)  # given together with their masks
    references = [p for p in references if p not in pictures]
    images = [path for case in cases for path in case.paths]
    stems = _Stems(image_stem(p) for p in images)
    meant = {p: stems.meant_by(p, alike=True) or image_stem(p) for p in references} | {p: image_stem(p) for p in images}
    times = [Counter(p.name for p in paths) for paths in (images, references)]
    ambiguous = {meant[p] for paths, t in zip((images, references), times, strict=True) for p in paths if t[p.name] > 1}

    def key(path: Path) -> tuple[str, str]:
        return path.parent.name if meant[path] in ambiguous else "", meant[path]

    by_key: dict[tuple[str, str], list[Path]] = {}
    for reference in sorted(references, key=_worth):
        by_key.setdefault(key(images[0] if len(images) == len(references) == 1 else reference), []).append(reference)
    masks = {path: by_key[key(path)] for path in images if key(path) in by_key}
    attached, problems = _with_masks(cases, masks)
    used = {mask for own in masks.values() for mask in own}
    return attached, problems + [UnreadableScan(p.name, "mask_unmatched") for p in references if p not in used]


def _with_masks(cases: Sequence[R], masks: Mapping[Path, Sequence[Path]]) -> tuple[list[R], list[UnreadableScan]]:
    """Cases with the first of the masks of each of their files; one that cannot be read or does not fit is an error."""
    problems: list[UnreadableScan] = []
    attached = []
    for case in cases:
        shape = (sum(case.slices), *case.size)
        reference = np.zeros(shape, dtype=bool) if case.reference is None else case.reference.copy()
        referenced = np.zeros(shape[0], dtype=bool) if case.referenced is None else case.referenced.copy()
        renewed: dict[int, str] = {}  # by slice the mask's name
        several: list[Sentence] = []
        graded: list[str] = []
        start = 0
        for path, slices in zip(case.paths, case.slices, strict=True):
            place = slice(start, start + slices)
            start += slices
            if not masks.get(path):
                continue
            mask, *others = masks[path]
            try:
                values, many = _read_mask(mask, case.size)
                if len(values) != slices:
                    raise UnreadableScan(mask.name, "mask_slices_differ", slices=len(values), expected=slices)
            except UnreadableScan as error:
                problems.append(error)
                continue
            reference[place], referenced[place] = values, True
            renewed |= dict.fromkeys(range(place.start, place.stop), mask.name)
            if many and not is_mask_name(mask):  # it may be an image after all
                graded.append(mask.name)
            if others:
                several.append(Sentence("mask_several", {"file": mask.name, "count": 1 + len(others)}))
        if renewed:
            before = [] if len(renewed) == referenced.sum() else list(case.reference_warnings)
            covering = _covering(reference, renewed, [w for w in before if w.key == "mask_covers"])
            telling = [Sentence("mask_graded", {"file": name}) for name in graded[:1]]
            warnings = (*(w for w in before if w.key != "mask_covers"), *several, *telling, *covering)
            changes = {"reference": reference, "referenced": referenced, "reference_warnings": warnings}
            case = replace(case, **changes)  # type: ignore[type-var]
        attached.append(case)
    return attached, problems


def _covering(reference: np.ndarray, masks: Mapping[int, str], before: Sequence[Sentence]) -> list[Sentence]:
    """What to say where a reference covers slices almost whole, under the name of the first such mask.

    masks: their names by slice; before: what was said when those of other slices were given. The image is not named: the
    name of a DICOM series' file may be its patient's, and what is said goes into the report.
    """
    covered = np.flatnonzero(reference.mean(axis=(1, 2)) > MOST_COVERED).tolist()
    names = [masks[n] for n in covered if n in masks] + [w.values["file"] for w in before]
    return [Sentence("mask_covers", {"file": names[0], "slices": len(covered)})] if covered and names else []


def _stack(members: Sequence[tuple[Path, np.ndarray]], name: str | None = None) -> Scan:
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
        shared = _counted(first.stem) if len(members) > 1 else None
        name = "".join(shared or ()).lstrip(" _-") or first.stem
    return Scan(pixels, name, tuple((path.name, len(values)) for path, values in members), grey)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a reference mask: (S, H, W) bool. `size`: the (height, width) it must have, that of its image.

    Up to eight distinct values are labels, all above 0 taken; more, and any JPEG, are cut at half of the maximum. A
    colour mask counts where any of its channels does, one in colour on white where it is not white; what is transparent
    is no mask. Raises UnreadableScan.
    """
    return _read_mask(path, size)[0]


def _read_mask(path: Path, size: tuple[int, int] | None) -> tuple[np.ndarray, bool]:
    """What `read_mask` gives, and whether the file has more distinct values than labels have."""
    values = _drawn(_read_pages(path, mask=True))
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


def _read_pages(path: Path, mask: bool = False) -> np.ndarray:
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


def _held(slices: int, height: int, width: int) -> int:
    """How many values slices come to on their way to the network: three channels, padded to a square."""
    return slices * 3 * max(height, width) ** 2


def _check_header(path: Path, pages: int, height: int, width: int) -> None:
    if max(height, width) > LARGEST_SIDE:
        raise UnreadableScan(path.name, "too_large", side=LARGEST_SIDE)
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableScan(path.name, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
    if pages > MOST_SLICES:
        raise UnreadableScan(path.name, "too_many_slices", slices=pages, most=MOST_SLICES)
    if _held(pages, height, width) > MOST_VALUES:
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

"""NIfTI files and DICOM series to `Volume`: one sequence on its own grid, without the patient's identity.

Reading goes in two steps: `find_nifti` and `find_dicom` read headers alone and say what is there (`Found`), `Found.load`
reads the voxels. What a header promises is checked before any voxel is touched. Of a DICOM header only the tags named
here are ever read, so that no identity can leak.
"""

from __future__ import annotations

import gzip
import logging
import math
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal, cast

import nibabel as nib
import numpy as np
import pydicom
from pydicom import Dataset, config
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from scipy.ndimage import affine_transform

from lgg_demo.geometry import EVEN, Grid, places_of
from lgg_demo.messages import Sentence
from lgg_demo.readers import LARGEST_VALUE, MOST_SLICES, MOST_VALUES, SMALLEST_SIDE, UnreadableScan, natural_key

Role = Literal["pre", "flair", "post", "mask", "other"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

MOST_VOXELS = MOST_VALUES // 3  # of one volume: three channels of it are held
MOST_BYTES = 1_200_000_000  # of one file; NIfTI is read piece by piece
MOST_DICOM_BYTES = 600_000_000  # pydicom holds a file whole, beside its voxels
MOST_VOLUMES = 8  # of one file or series
WIDEST_SLICE = 2048  # no scanner draws an MR slice of more than 1024
FARTHEST_VOXELS = 16_000_000  # where a NIfTI's voxels may start at the latest
MOST_ALIKE = 3  # sentences of one kind about files of one folder
SAME_PLACE = 0.01  # mm; slices nearer than this share a position
SAME_PLANE = 0.02  # between the direction cosines of slices of one volume
OUTSIDE_SHARE = 0.25  # of the voxels of a skull-stripped volume that are exactly 0, at least
VOXEL_MM = (0.1, 100.0)  # a voxel side beyond these is an error in the header

# Odd values are judged here; pydicom's warnings would quote them, and with them a name.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Volume:
    """One sequence of a study.

    values: (*grid.shape) float32 on the input's own grid, in its own units after rescale. name: what outputs are called:
    a NIfTI's file name without suffix, `series-N` for DICOM; never a patient's. description: what the series says of
    itself (sequence words only), for the user to choose by. role: as its name or description tells. paths: its files in
    slice order. instances: for DICOM the headers that a segmentation must refer to, in the order of the own grid's slice
    axis, with every identity but the UIDs removed; empty for NIfTI. warnings: what the user should know.
    """

    values: np.ndarray
    grid: Grid
    name: str
    description: str
    role: Role
    paths: tuple[Path, ...]
    instances: tuple[Dataset, ...] = ()
    warnings: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class Found:
    """A volume that a header promises, not yet read.

    role: None where neither name nor description tells. study: what the volumes of one study share (StudyInstanceUID, or
    the file name without the words that tell the sequence). `load` raises UnreadableScan; problems: files of the series
    that cannot be used although others can.
    """

    name: str
    description: str
    role: Role | None
    study: str
    paths: tuple[Path, ...]
    grid: Grid
    load: Callable[[], Volume] = field(repr=False)
    dicom: bool = False
    warnings: tuple[Sentence, ...] = ()

    @property
    def voxels(self) -> int:
        return math.prod(self.grid.shape)


# What names and descriptions tell

_MASK = re.compile(
    r"^(seg(m|ment(ation|ations|ed))?\d*|segs|masks?|labels?(tr|ts|val)?|gt|(ground)?truth|annotations?|consensus|glistrboost\w*|"
    r"aseg)$"
)
_ANATOMY = re.compile(r"^(brain|bet|parenchyma|skull|wm|gm|csf)$")  # before a word for mask: hardly a lesion's
_LESION = re.compile(
    r"^(lesions?|tumou?rs?|wmh|[rv]oi|wholetumor|manual)$"
)  # a mask where it ends the name, else a study's subject
# Of these, what a scan's name may have too, as a person's choice or a study's subject.
_SOFT = re.compile(r"^(segm|(ground)?truth|annotations?|consensus|wmh|voi|manual)$")
_OTHER = re.compile(
    r"^(s?t2\w*|adc|dwi|diff\w*|swi|swan|dti|trace\w*|ep2d|asl|perf\w*|pwi|dsc|dce|cbv|rcbv|cbf|mtt|tof|mra|bold|fmri|"
    r"loc\w*|scout|survey|subtr\w*|phase|pha|fa|colfa|eadc|isodwi|b0|b1000|spectro\w*|flow|fiesta|ciss|drive|angio\w*)$"
)
_CHANCE = re.compile(r"^prob(ability|abilities|seg)$")  # what a program, ours too, makes of a scan
_T1 = re.compile(r"^(s?t1\w{0,6}|mprage|mpr|spgr|fspgr|bravo|tfl|vibe|tfe|ffe)$")
_T1_POST = re.compile(r"^s?t1\w*(ce|gd|gad|c|post|km|contrast)$")
_POST = re.compile(
    r"^(post(contrast|gad|gd|c|km)?|gd|gad|gado|gadolinium|gadavist|dotarem|contrast\w*|ce|enhanced|km|inj\w*|"
    r"c\+|\+c|\+gd|gd\+)$"
)
_PRE = re.compile(r"^(pre|precontrast|native|noncontrast|unenhanced)$")
_FLAIR = re.compile(r"flair|^(tirm|darkfluid|t2f|dark)$")
_TECHNIQUE = re.compile(
    r"^(ax|axial|tra|trans|transverse|cor|coronal|sag|sagittal|obl|oblique|2d|3d|iso|fs|fatsat|fse|tse|se|gre|ir|cube|space|"
    r"spc|vista|blade|propeller)$"
)
VISIT = re.compile(r"(?:^|[_-])sub-([a-z0-9]+)(?:_ses-([a-z0-9]+))?", re.IGNORECASE)  # BIDS
_SERIES = re.compile(r"(_\d{14})_\d+[a-z]?(?=_|$)")  # dcm2niix: the study's time and the series' number

# The words of a series description that are kept; anything else might be a name.
SEQUENCE_WORDS = """
ax axial tra trans transverse cor coronal sag sagittal obl oblique 2d 3d t1 t1w t1wi t2 t2w t2wi flair tirm stir dark
fluid darkfluid fs fatsat fat sat fse tse se gre spgr fspgr bravo mprage mpr cube space spc vista vibe tfe ffe tfl blade
propeller pre post contrast gd gad ce c+ +c +gd gd+ dwi adc swi swan dti asl perf trace ep2d pd tof mra loc localizer
scout brain head mask seg segmentation
"""
_WORDS = frozenset(SEQUENCE_WORDS.split())
_PLUS = re.compile(r"(?<![a-z0-9])(c ?\+|\+ ?c|gd ?\+|\+ ?gd)(?![a-z0-9])")
# Modalities of the standard that a sentence may name.
MODALITIES = "CT PT US CR DX MG XA RF NM SC SR PR KO DOC RTDOSE RTPLAN RTSTRUCT REG ECG ES OP SM XC IO"
_MODALITIES = frozenset(MODALITIES.split())


def _tokens(text: str) -> list[str]:
    """The words of a name or description in lower case; `C+`, `+Gd`, dark-fluid, ground-truth are one each."""
    lower = re.sub(r"(dark|ground)[ _-](fluid|truth)", r" \1\2 ", text.lower())
    lower = re.sub(r"(pre|post)[ _-]op", r"\1op", lower)  # before and after surgery: nothing of contrast
    plus = [m.group().replace(" ", "") for m in _PLUS.finditer(lower)]
    return [w for w in re.split(r"[^a-z0-9]+", _PLUS.sub(" ", lower)) if w] + plus


def role_of(text: str, contrast: bool = False, masks: bool = True) -> Role | None:
    """The role that a file name or a series description tells, or None.

    contrast: the header names an agent. masks: whether it may be a mask; an MR series for tumours is none.
    """
    words = _tokens(text)

    def some(*patterns: re.Pattern[str]) -> bool:
        return any(p.search(w) for w in words for p in patterns)

    if some(_CHANCE):
        return "other"
    if masks and (some(_MASK) or (words and _LESION.search(words[-1]))):
        return "mask"
    t1 = some(_T1, _T1_POST)
    if some(_FLAIR) and not (t1 and not any(w.startswith("t2") for w in words)):  # there is a T1 FLAIR too
        return "flair"
    if t1:
        subtraction = any(w == "sub" or w.startswith("subtr") for w in words[1:])  # `sub-01` is a subject
        return "other" if subtraction else "post" if some(_T1_POST, _POST) or contrast else "pre"
    if some(_OTHER):
        return "other"
    if some(_POST):
        return "post"
    return "pre" if some(_PRE) else None


def for_masks(folder: str, alone: bool = False) -> bool:
    """Whether a folder's name says that masks are in it (`masks`, `labelsTr`), not merely patients with a lesion; alone: by
    every word.
    """
    told = [bool(_MASK.search(w)) for w in _tokens(folder)]
    return any(told) and (all(told) or not alone)


def of_anatomy(name: str) -> bool:
    """Whether a mask's name says that it is of the brain or the like, and not of a lesion."""
    words = _tokens(name)
    before = [words[n - 1] for n, w in enumerate(words) if n and _MASK.search(w)]
    return "aseg" in words or any(_ANATOMY.search(w) for w in before)


def subject_of(name: str) -> str:
    """A file name without the words that tell the sequence: what the files of one subject share."""
    patterns = (_MASK, _LESION, _OTHER, _CHANCE, _T1, _T1_POST, _POST, _PRE, _FLAIR)
    return " ".join(w for w in _tokens(name) if not any(p.search(w) for p in patterns))


def literal(name: str) -> str:
    """A name in which the words that a scan's may have too say of no mask, but only of whom it is."""
    return " ".join(f"{w}x" if _SOFT.search(w) else w for w in _tokens(name))


def visit_of(name: str) -> str:
    """Less than `subject_of`, what sequences of one visit share: BIDS's subject and session; else no words of plane and
    technique, which may be initials, nor dcm2niix's series number. Too little to tell whose a mask is; empty if nothing.
    """
    if visit := VISIT.search(name):
        return subject_of(name[: visit.end()])
    return " ".join(w for w in subject_of(_SERIES.sub(r"\1", name)).split() if not _TECHNIQUE.search(w))


def _describe(*texts: str) -> str:
    """The known sequence words of descriptions, the first that has any."""
    for text in texts:
        words = [w for w in _tokens(text) if w in _WORDS]
        if words:
            return " ".join(dict.fromkeys(w.upper() for w in words))
    return ""


# What NIfTI and DICOM share


def _stack_shape(grid: Grid) -> tuple[int, int, int]:
    """(slices, height, width) that the grid's axial stack has."""
    s, h, w = (int(n) for n in grid.to_stack(np.broadcast_to(np.uint8(0), grid.shape)).shape)
    return s, h, w


def _check_grid(file: str, grid: Grid) -> None:
    """Raise UnreadableScan where the axial stack would be no study: too small, too large, not a head's geometry."""
    matrix = grid.affine[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    sane = bool(np.isfinite(grid.affine).all()) and bool((sizes >= VOXEL_MM[0]).all() and (sizes <= VOXEL_MM[1]).all())
    if not sane or abs(np.linalg.det(matrix / sizes)) < 0.2:
        raise UnreadableScan(file, "volume_geometry")
    if math.prod(grid.shape) > MOST_VOXELS:
        raise UnreadableScan(file, "too_much_at_once")
    if max(grid.shape) > WIDEST_SLICE:
        raise UnreadableScan(file, "too_large", side=WIDEST_SLICE)
    slices, height, width = _stack_shape(grid)
    if slices > MOST_SLICES:
        raise UnreadableScan(file, "too_many_slices", slices=slices, most=MOST_SLICES)
    if min(height, width) < SMALLEST_SIDE:
        if min(sorted(grid.shape)[1:]) < SMALLEST_SIDE:
            raise UnreadableScan(file, "too_small", size=f"{width}×{height}", side=SMALLEST_SIDE)
        raise UnreadableScan(file, "volume_few_slices", slices=min(height, width), least=SMALLEST_SIDE)
    if slices * 3 * max(height, width) ** 2 > MOST_VALUES:
        raise UnreadableScan(file, "too_much_at_once")


def _mend(file: str, values: np.ndarray) -> int:
    """Replace, in place, what is no number by the darkest value; returns how many. Raises UnreadableScan where all are."""
    largest, least = float(values.max()), float(values.min())
    if least > -LARGEST_VALUE and largest < LARGEST_VALUE:
        return 0
    usable = np.abs(values) < LARGEST_VALUE
    if not usable.any():
        raise UnreadableScan(file, "damaged")
    values[~usable] = values[usable].min()
    return int(usable.size - usable.sum())


def _darken_outside(values: np.ndarray) -> None:
    """Give the zeros around a z-scored brain the darkest value, in place.

    Skull-stripped volumes are often scaled to mean 0 inside the brain and left at exactly 0 outside, which would then be
    grey, and the brain's darker half darker than air.
    """
    if values.min() < 0 and np.count_nonzero(values == 0) > OUTSIDE_SHARE * values.size:
        values[values == 0] = values.min()


def _guard(path: Path, most: int = MOST_BYTES) -> None:
    """Raise UnreadableScan where there is no file, an empty one, or one beyond what a study has."""
    try:
        if not path.is_file():
            raise UnreadableScan(path.name, "not_found")
        size = path.stat().st_size
    except (OSError, ValueError):
        raise UnreadableScan(path.name, "not_found") from None
    if size == 0:
        raise UnreadableScan(path.name, "empty_file")
    if size > most:
        raise UnreadableScan(path.name, "too_much_at_once")


def _reliable(file: str, read: Callable[[], Volume]) -> Callable[[], Volume]:
    """`read` with every exception turned into UnreadableScan."""

    def load() -> Volume:
        try:
            with np.errstate(all="ignore"):
                return read()
        except UnreadableScan:
            raise
        except MemoryError:
            raise UnreadableScan(file, "too_much_at_once") from None
        except Exception:  # a decoder may raise anything on a broken file; the user needs one sentence whatever it is
            raise UnreadableScan(file, "damaged") from None

    return load


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same voxels, to a hundredth of a millimetre at the corners."""
    if a.shape != b.shape:
        return False
    corners = np.array([[i, j, k, 1] for i in (0, a.shape[0]) for j in (0, a.shape[1]) for k in (0, a.shape[2])])
    return bool(np.abs(corners @ (a.affine - b.affine).T).max() < SAME_PLACE)


def resample(volume: Volume, onto: Grid) -> np.ndarray:
    """The volume on another grid, float32: a mask by nearest neighbour, anything else linear; 0 outside."""
    if same_grid(volume.grid, onto):
        return volume.values
    matrix = np.linalg.inv(volume.grid.affine) @ onto.affine
    order = 0 if volume.role == "mask" else 1
    out = np.empty(onto.shape, dtype=np.float32)
    affine_transform(
        volume.values, matrix[:3, :3], matrix[:3, 3], onto.shape, out, order=order, mode="grid-constant", prefilter=False
    )
    return out


# NIfTI


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its content, or says so by its suffix."""
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return True
    try:
        head = _nifti_head(path)
    except (OSError, EOFError, zlib.error, ValueError):
        return False
    return head[344:347] == b"n+1" or head[4:7] == b"n+2"


def _nifti_open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _nifti_head(path: Path) -> bytes:
    with _nifti_open(path) as file:
        return file.read(540)


def nifti_name(path: Path) -> str:
    """A NIfTI file's name without its ending."""
    lower = path.name.lower()
    for suffix in (".nii.gz", ".nii", ".gz"):
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem or path.name


def read_nifti(path: Path) -> list[Volume]:
    """Every volume of a NIfTI file, eight at most. Raises UnreadableScan."""
    found = find_nifti(path)
    if sum(f.voxels for f in found) > MOST_VOXELS:
        raise UnreadableScan(path.name, "too_much_at_once")
    return [f.load() for f in found]


def find_nifti(path: Path) -> list[Found]:
    """The volumes that a NIfTI header promises, several where it is 4-D or 5-D. Raises UnreadableScan."""
    try:
        _guard(path)
        return _find_nifti(path)
    except UnreadableScan:
        raise
    except Exception:
        raise UnreadableScan(path.name, "damaged") from None


def _find_nifti(path: Path) -> list[Found]:
    head = _nifti_head(path)
    if head[344:347] == b"n+1":
        header = nib.Nifti1Header(head[:348], check=False)
    elif head[4:7] == b"n+2":
        header = nib.Nifti2Header(head[:540], check=False)
    else:
        raise UnreadableScan(path.name, "not_a_nifti")
    code = int(header["datatype"])
    if code in (128, 2304):  # RGB, RGBA
        raise UnreadableScan(path.name, "volume_colour")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UnreadableScan(path.name, "not_a_nifti")
    dims = [int(d) for d in header["dim"]]
    if not 2 <= dims[0] <= 7 or any(d < 1 for d in dims[1 : dims[0] + 1]):
        raise UnreadableScan(path.name, "damaged")
    sides = [*dims[1 : dims[0] + 1], 1][: max(3, dims[0])]
    shape, volumes = (sides[0], sides[1], sides[2]), math.prod(sides[3:])
    offset = int(header.get_data_offset())
    voxels = math.prod(shape)
    if voxels > MOST_VOXELS:
        raise UnreadableScan(path.name, "too_much_at_once")
    if not len(header.binaryblock) <= offset <= FARTHEST_VOXELS:
        raise UnreadableScan(path.name, "damaged")
    grid, warnings = _nifti_grid(path.name, header, shape)
    _check_grid(path.name, grid)
    if voxels * dtype.itemsize > MOST_BYTES:
        raise UnreadableScan(path.name, "too_much_at_once")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed and path.stat().st_size < offset + voxels * dtype.itemsize:
        raise UnreadableScan(path.name, "damaged")

    name = nifti_name(path)
    role = role_of(name)
    if volumes > 1:
        warnings += (Sentence("volumes_several", {"file": path.name, "volumes": volumes}),)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        slope, intercept = 1.0, 0.0
    elif not math.isfinite(intercept):
        intercept = 0.0

    def one(number: int) -> Found:
        own = name if volumes == 1 else f"{name}-{number + 1}"
        own_role: Role | None = role if number == 0 else "mask" if role == "mask" else "other"

        def load() -> Volume:
            values = _nifti_values(path, dtype, shape, offset + number * voxels * dtype.itemsize)
            if (slope, intercept) != (1.0, 0.0):
                values *= np.float32(slope)
                values += np.float32(intercept)
            mended = _mend(path.name, values)
            _darken_outside(values)
            told = (*warnings, Sentence("not_finite", {"file": path.name, "count": mended})) if mended else warnings
            return Volume(values, grid, own, _describe(name), own_role or "flair", (path,), (), told)

        return Found(
            own, _describe(name), own_role, subject_of(name), (path,), grid, _reliable(path.name, load), False, warnings
        )

    return [one(n) for n in range(min(volumes, MOST_VOLUMES))]


def _nifti_values(path: Path, dtype: np.dtype, shape: tuple[int, int, int], start: int) -> np.ndarray:
    """One volume as float32, read piece by piece: no more is unpacked than the header promises."""
    values = np.empty(math.prod(shape), dtype=np.float32)
    with _nifti_open(path) as file:
        file.seek(start)
        done, piece = 0, 4_000_000
        while done < values.size:
            wanted = min(piece, values.size - done)
            data = file.read(wanted * dtype.itemsize)
            if len(data) < wanted * dtype.itemsize:
                raise UnreadableScan(path.name, "damaged")
            values[done : done + wanted] = np.frombuffer(data, dtype)
            done += wanted
    return values.reshape(shape, order="F")


def _nifti_grid(file: str, header: nib.Nifti1Header, shape: tuple[int, int, int]) -> tuple[Grid, tuple[Sentence, ...]]:
    """Where the voxels lie: by sform, qform, or, with a warning, the voxel sizes alone."""
    sform, qform = int(header["sform_code"]), int(header["qform_code"])

    def placed(code: int, make: Callable[[], np.ndarray]) -> tuple[np.ndarray, bool] | None:
        try:
            found = _thick(np.array(make(), dtype=np.float64), shape) if code > 0 else None
        except Exception:  # a quaternion that is none
            return None
        return found if found and _plausible(found[0]) else None

    by_sform, by_qform = placed(sform, header.get_sform), placed(qform, header.get_qform)
    used, warnings = by_sform or by_qform, []
    if used is None:
        if sform > 0 or qform > 0:
            raise UnreadableScan(file, "volume_geometry")
        used = _thick(np.array(header.get_base_affine(), dtype=np.float64), shape)
        warnings.append(Sentence("volume_no_orientation", {"file": file}))
    affine, known = used
    if not known:
        warnings.append(Sentence("no_thickness", {"file": file}))
    # A quaternion that says otherwise must not vouch for what is used.
    agrees = by_qform is not None and np.allclose(by_qform[0], affine, atol=1e-3)
    codes = (sform if by_sform else 0, qform if agrees else 0)
    return Grid(shape, affine, thickness_known=known, codes=codes), tuple(warnings)


def _thick(affine: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, bool]:
    """An affine with 1 mm across for each axis of one voxel that has no size of its own, and whether there was none."""
    known = True
    for axis in range(3):
        if shape[axis] == 1 and not np.linalg.norm(affine[:3, axis]) > VOXEL_MM[0]:
            normal = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
            affine[:3, axis] = normal / max(float(np.linalg.norm(normal)), 1e-9)
            known = False
    return affine, known


def _plausible(affine: np.ndarray) -> bool:
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6:
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / sizes)) >= 0.2)


# DICOM: headers

DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, the list of a disc's files
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_NUMBERS = ("SeriesNumber", "InstanceNumber", "NumberOfFrames")
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_PICTURE = (*_COUNTS, "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames")
_READ = (
    *_UIDS, *_COUNTS, *_NUMBERS, *_LENGTHS, "Modality", "PhotometricInterpretation", "AcquisitionNumber", "EchoTime",
    "TemporalPositionIdentifier", "SeriesDescription", "ProtocolName", "ContrastBolusAgent", "BurnedInAnnotation",
    "ImagerPixelSpacing", "SliceLocation", "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SegmentationType", "MaximumFractionalValue", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
_DATA = (*_PICTURE, "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable")
# Of an enhanced image's groups, what a segmentation copies; every value is a number.
_GROUPS = {
    "PixelMeasuresSequence": ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
}
# Defined terms of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1); whatever else stands there may be anything.
_LOSSY_METHODS = (
    "ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_18181_1", "ISO_13818_2", "ISO_14496_10",
    "ISO_23008_2",
)  # fmt: skip
_IDENTITY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class _Slice:
    """One frame of one file. position, orientation: patient coordinates (LPS) as DICOM has them."""

    path: Path
    frame: int
    order: tuple[float, ...]
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float


@dataclass(frozen=True)
class _Head:
    """What is kept of one file's header."""

    path: Path
    instance: Dataset
    slices: tuple[_Slice, ...]
    size: tuple[int, int]
    study: str
    series: str
    number: int | None
    role: Role | None
    description: str
    inverted: bool
    burned_in: bool
    fraction: float  # of a segmentation: values above this count


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, with or without the preamble, or says so by its suffix."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except (OSError, ValueError):
        return False
    if start[128:] == b"DICM":
        return True
    if start[:2] in (b"\x08\0", b"\0\x08", b"\x02\0"):
        try:
            return str(_dataset(path, ("SOPClassUID",)).get("SOPClassUID", "")).startswith("1.2.840.")
        except Exception:
            return path.suffix.lower() in DICOM_SUFFIXES
    return path.suffix.lower() in DICOM_SUFFIXES


def _dataset(path: Path, keywords: Sequence[str]) -> Dataset:
    """The named tags of a file and no other; the pixels where they are named. Raises whatever pydicom raises."""
    with path.open("rb") as file:
        preamble = file.read(132)[128:] == b"DICM"
        file.seek(0)
        if preamble:
            meta = read_file_meta_info(path)
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                _check_deflated(path)
        tags: list[int] = [tag for k in keywords if (tag := tag_for_keyword(k)) is not None]
        return pydicom.dcmread(file, force=not preamble, specific_tags=tags, stop_before_pixels="PixelData" not in keywords)


def _check_deflated(path: Path) -> None:
    """Raise UnreadableScan where a deflated data set would unpack to more than a study: pydicom unpacks it whole."""
    with path.open("rb") as file:
        file.seek(132)
        head = file.read(12)
        (length,) = struct.unpack("<I", head[8:12])
        file.seek(144 + length)
        inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        data = file.read(1 << 16)
        while data and total <= MOST_DICOM_BYTES // 2:
            total += len(inflate.decompress(data, 1 << 24))
            data = inflate.unconsumed_tail or file.read(1 << 16)
    if total > MOST_DICOM_BYTES // 2:
        raise UnreadableScan(path.name, "too_much_at_once")


def _number(ds: Dataset, keyword: str, default: float = 0.0) -> float:
    try:
        value = float(ds.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return default
    return value if math.isfinite(value) else default


def _numbers(ds: Dataset | None, keyword: str, count: int) -> np.ndarray | None:
    try:
        values = np.array([float(v) for v in ds[keyword].value]) if ds is not None else np.empty(0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return values if values.size == count and bool((np.abs(values) < 1e6).all()) else None


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return value if isinstance(value, str) else ""


def _uid(ds: Dataset, keyword: str) -> str:
    """A UID, or nothing where the value is none (it might be anything, a name too)."""
    value = _text(ds, keyword).strip("\0 ")
    return value if re.fullmatch(r"[0-9.]{3,64}", value) else ""


def _item(ds: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    if ds is None or keyword not in ds:
        return None
    items = ds[keyword].value
    first = items[0] if isinstance(items, pydicom.Sequence) and len(items) else None
    return first if isinstance(first, Dataset) else None


def _read_head(path: Path) -> _Head | None:
    """A file's header; None for a disc's directory. Raises UnreadableScan."""
    try:
        _guard(path, MOST_DICOM_BYTES)
        return _judge_head(path, _dataset(path, _READ))
    except UnreadableScan:
        raise
    except MemoryError:
        raise UnreadableScan(path.name, "too_much_at_once") from None
    except Exception:
        raise UnreadableScan(path.name, "damaged") from None


def _judge_head(path: Path, ds: Dataset) -> _Head | None:
    sop_class = _uid(ds, "SOPClassUID")
    meta_class = str(getattr(ds, "file_meta", Dataset()).get("MediaStorageSOPClassUID", ""))
    if DIRECTORY in (sop_class, meta_class):
        return None
    modality = _text(ds, "Modality").strip()
    segmentation = sop_class in SEGMENTATIONS
    rows, columns = int(_number(ds, "Rows")), int(_number(ds, "Columns"))
    if rows < 1 or columns < 1:
        if not sop_class:
            raise UnreadableScan(path.name, "damaged")
        raise UnreadableScan(path.name, "dicom_no_picture")
    if modality not in ("MR", "", "OT") and not segmentation:
        raise UnreadableScan(path.name, "dicom_modality", modality=modality if modality in _MODALITIES else "?")
    photometric = _text(ds, "PhotometricInterpretation").strip()
    if _number(ds, "SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise UnreadableScan(path.name, "volume_colour")
    if max(rows, columns) > WIDEST_SLICE:
        raise UnreadableScan(path.name, "too_large", side=WIDEST_SLICE)
    frames = max(1, int(_number(ds, "NumberOfFrames", 1)))
    if frames > MOST_SLICES * MOST_VOLUMES:
        raise UnreadableScan(path.name, "too_many_slices", slices=frames, most=MOST_SLICES)
    if frames * rows * columns > MOST_VOXELS * MOST_VOLUMES:
        raise UnreadableScan(path.name, "too_much_at_once")
    agent = bool(_text(ds, "ContrastBolusAgent").strip())
    described = role_of(_text(ds, "SeriesDescription"), agent, masks=False)
    role = "mask" if segmentation else described or role_of(_text(ds, "ProtocolName"), agent, masks=False)
    if segmentation and _text(ds, "SegmentationType").strip() == "FRACTIONAL":
        fraction = _number(ds, "MaximumFractionalValue", 255) / 2
    else:
        fraction = 0.0
    number = int(_number(ds, "SeriesNumber", -1))
    return _Head(
        path,
        _instance(ds),
        _slices(path, ds, frames),
        (rows, columns),
        _uid(ds, "StudyInstanceUID"),
        _uid(ds, "SeriesInstanceUID"),
        number if 0 <= number < 10**9 else None,
        role,
        _describe(_text(ds, "SeriesDescription"), _text(ds, "ProtocolName")),
        photometric == "MONOCHROME1",
        _text(ds, "BurnedInAnnotation").strip().upper() == "YES",
        fraction,
    )


def _slices(path: Path, ds: Dataset, frames: int) -> tuple[_Slice, ...]:
    """The frames of a file, by its functional groups where it has them."""
    shared = _item(ds, "SharedFunctionalGroupsSequence")
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    per_frame = list(groups) if isinstance(groups, pydicom.Sequence) and len(groups) == frames else [None] * frames

    def group(own: Dataset | None, keyword: str) -> Dataset | None:
        return _item(own, keyword) or _item(shared, keyword)

    enhanced = shared is not None or per_frame[0] is not None
    found = []
    for n, own in enumerate(per_frame):
        place = group(own, "PlanePositionSequence") if enhanced else ds
        turn = group(own, "PlaneOrientationSequence") if enhanced else ds
        measures = (group(own, "PixelMeasuresSequence") if enhanced else ds) or ds
        scale = (group(own, "PixelValueTransformationSequence") if enhanced else ds) or ds
        spacing = _numbers(measures, "PixelSpacing", 2)
        if spacing is None:
            spacing = _numbers(ds, "ImagerPixelSpacing", 2)
        sane = spacing is not None and bool((spacing > VOXEL_MM[0]).all() and (spacing < VOXEL_MM[1]).all())
        thickness = _number(measures, "SpacingBetweenSlices") or _number(measures, "SliceThickness")
        orientation = _numbers(turn, "ImageOrientationPatient", 6)
        if orientation is not None:
            lengths = [float(np.linalg.norm(orientation[:3])), float(np.linalg.norm(orientation[3:]))]
            if not all(0.9 < v < 1.1 for v in lengths) or abs(float(orientation[:3] @ orientation[3:])) > 0.05:
                orientation = None
        slope = _number(scale, "RescaleSlope", 1.0) or 1.0
        order = (
            _number(ds, "EchoTime"),
            _number(ds, "TemporalPositionIdentifier"),
            _number(ds, "AcquisitionNumber"),
            _number(ds, "InstanceNumber"),
            float(n),
        )
        found.append(
            _Slice(
                path,
                n,
                order,
                _numbers(place, "ImagePositionPatient", 3) if frames == 1 or enhanced else None,
                orientation,
                (float(spacing[0]), float(spacing[1])) if spacing is not None and sane else None,
                thickness if VOXEL_MM[0] < thickness < VOXEL_MM[1] else None,
                slope,
                _number(scale, "RescaleIntercept"),
            )
        )
    return tuple(found)


def _instance(ds: Dataset) -> Dataset:
    """A header of numbers and UIDs alone: what a segmentation needs to refer to the image, and no identity."""
    out = Dataset()
    for keyword in _UIDS:
        if uid := _uid(ds, keyword):
            setattr(out, keyword, UID(uid))
    for keyword in (*_COUNTS, *_NUMBERS):
        if keyword in ds and ds[keyword].value is not None:
            setattr(out, keyword, int(_number(ds, keyword)))
    _copy_lengths(ds, out, _LENGTHS)
    for keyword in _IDENTITY:
        setattr(out, keyword, "")
    out.Modality = "SEG" if out.get("SOPClassUID") in SEGMENTATIONS else "MR"
    out.PhotometricInterpretation = "MONOCHROME2"
    if _text(ds, "PhotometricInterpretation").strip() == "MONOCHROME1":
        out.PhotometricInterpretation = "MONOCHROME1"
    if _text(ds, "LossyImageCompression").strip() == "01":
        out.LossyImageCompression = "01"
        _copy_lengths(ds, out, ["LossyImageCompressionRatio"])
        methods = ds.get("LossyImageCompressionMethod")
        methods = list(methods) if isinstance(methods, pydicom.multival.MultiValue) else [methods]
        if all(method in _LOSSY_METHODS for method in methods):
            out.LossyImageCompressionMethod = methods
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = ds.get(keyword)
        if isinstance(groups, pydicom.Sequence) and len(groups):
            setattr(out, keyword, [_numbers_of_group(item) for item in groups])
    return out


def _numbers_of_group(item: Dataset) -> Dataset:
    out = Dataset()
    for keyword, kept in _GROUPS.items():
        inner = _item(item, keyword)
        if inner is not None:
            copy = Dataset()
            _copy_lengths(inner, copy, kept)
            setattr(out, keyword, [copy])
    return out


def _copy_lengths(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy numbers as they are written, so that positions stay equal to the digit."""
    for keyword in keywords:
        if keyword not in source:
            continue
        value = source[keyword].value
        parts = list(value) if isinstance(value, pydicom.multival.MultiValue) else [value]
        if parts and all(isinstance(p, int | float) or type(p).__name__ == "DSdecimal" for p in parts):
            setattr(target, keyword, parts if len(parts) > 1 else parts[0])


# DICOM: series


def read_dicom(paths: Iterable[Path]) -> tuple[list[Volume], list[UnreadableScan]]:
    """Every volume of DICOM files, in whatever order, and one error for each file or series that cannot be used."""
    found, problems = find_dicom(paths)
    volumes: list[Volume] = []
    voxels = 0
    for one in found:
        try:
            voxels += one.voxels
            if voxels > MOST_VOXELS:
                raise UnreadableScan(one.paths[0].name, "too_much_at_once")
            volumes.append(one.load())
        except UnreadableScan as error:
            problems.append(error)
    return volumes, problems


def find_dicom(paths: Iterable[Path]) -> tuple[list[Found], list[UnreadableScan]]:
    """The volumes that DICOM headers promise: each series once, or once for each echo, time, size or plane it holds."""
    problems: list[UnreadableScan] = []
    series: dict[tuple[str, str], list[_Head]] = {}
    refused: Counter[tuple[str, str]] = Counter()
    seen: set[tuple[object, ...]] = set()
    for path in dict.fromkeys(paths):
        try:
            head = _read_head(path)
        except UnreadableScan as error:
            key = (error.sentence.key, str(path.parent))
            refused[key] += 1
            if refused[key] <= MOST_ALIKE:  # a CT of 300 files is not 300 sentences
                problems.append(error)
            continue
        if head is None:
            continue
        if uid := str(head.instance.get("SOPInstanceUID", "")):
            # Careless anonymisers give all slices one UID: where they lie tells them apart.
            at = head.slices[0].position
            same = (uid, head.instance.get("InstanceNumber"), None if at is None else tuple(at.tolist()))
            if same in seen:
                continue  # the same image once more, whatever its file is called
            seen.add(same)
        # Without a UID, files of several folders are hardly one series.
        series.setdefault((head.study, head.series or str(path.parent)), []).append(head)
    found: list[Found] = []
    names: Counter[str] = Counter()  # over all studies: a name is what a user chooses a sequence by
    for (study, _), heads in series.items():
        for members in _volumes_of(heads):
            first = members.heads[0]
            base = "series" if first.number is None else f"series-{first.number}"
            names[base] += 1
            name = base if names[base] == 1 else f"{base}-{names[base]}"
            try:
                found.append(_promise(name, study, members))
            except UnreadableScan as error:
                problems.append(error)
            except Exception:
                problems.append(UnreadableScan(first.path.name, "damaged"))
    return found, problems


@dataclass(frozen=True)
class _Members:
    """The slices of one volume in order of position, and their headers.

    placed: the headers say where they lie. repeated: others at the same positions were left out.
    """

    slices: list[_Slice]
    heads: list[_Head]
    placed: bool = True
    repeated: bool = False


def _volumes_of(heads: list[_Head]) -> list[_Members]:
    """A series taken apart: by size and plane of the slices, then by how often each position comes."""
    kinds: list[tuple[_Slice, _Head, list[tuple[_Slice, _Head]]]] = []
    for head in heads:
        for s in head.slices:
            for other, other_head, pairs in kinds:
                if head.size == other_head.size and (head.role == "mask") == (other_head.role == "mask"):
                    if _placed(s) != _placed(other):
                        continue
                    if not _placed(s) or np.abs(s.orientation - other.orientation).max() < SAME_PLANE:  # type: ignore
                        pairs.append((s, head))
                        break
            else:
                kinds.append((s, head, [(s, head)]))
    found: list[_Members] = []
    for first, first_head, pairs in kinds:
        pairs.sort(key=lambda pair: (pair[0].order, pair[0].path.name))
        mask = first_head.role == "mask"
        if not _placed(first):
            pairs.sort(key=lambda pair: (pair[0].order[3:], natural_key(pair[0].path.name)))
            found.append(_Members([s for s, _ in pairs], _heads(pairs), placed=False))
            continue
        if mask:
            found.append(_Members([s for s, _ in pairs], _heads(pairs)))
            continue
        places = _places(pairs)
        copies = {len(place) for place in places}
        if len(copies) == 1:
            for n in range(min(copies.pop(), MOST_VOLUMES)):
                chosen = [place[n] for place in places]
                found.append(_Members([s for s, _ in chosen], _heads(chosen)))
        else:
            chosen = [place[0] for place in places]
            found.append(_Members([s for s, _ in chosen], _heads(chosen), repeated=True))
    return found


def _placed(s: _Slice) -> bool:
    return s.position is not None and s.orientation is not None


def _heads(pairs: list[tuple[_Slice, _Head]]) -> list[_Head]:
    return list({id(head): head for _, head in pairs}.values())


def _normal(s: _Slice) -> np.ndarray:
    orientation = np.array([1.0, 0, 0, 0, 1, 0]) if s.orientation is None else s.orientation
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def _places(pairs: list[tuple[_Slice, _Head]]) -> list[list[tuple[_Slice, _Head]]]:
    """Slices grouped by their position along the normal, from the lowest on."""
    normal = _normal(pairs[0][0])
    along = [float(normal @ s.position) if s.position is not None else 0.0 for s, _ in pairs]
    places: list[list[tuple[_Slice, _Head]]] = []
    last = -math.inf
    for n in sorted(range(len(pairs)), key=lambda n: (along[n], n)):
        if along[n] - last > SAME_PLACE:
            places.append([])
            last = along[n]
        places[-1].append(pairs[n])
    for place in places:
        place.sort(key=lambda pair: (pair[0].order, pair[0].path.name))
    return places


def _promise(name: str, study: str, members: _Members) -> Found:
    """A volume of sorted slices with its grid. Raises UnreadableScan."""
    first, slices = members.heads[0], members.slices
    warnings: list[Sentence] = []
    if not members.placed:
        warnings.append(Sentence("dicom_no_position", {"file": name}))
    if members.repeated:
        warnings.append(Sentence("series_duplicates", {"file": name}))
    if any(head.burned_in for head in members.heads):
        warnings.append(Sentence("burned_in", {"file": name}))
    spacing = slices[0].spacing
    measured = spacing is not None
    if spacing is None:
        spacing = (1.0, 1.0)
        warnings.append(Sentence("dicom_no_spacing", {"file": name}))
    known = members.placed
    rows, columns = first.size
    orientation = slices[0].orientation if known else None
    if orientation is None:
        orientation = np.array([1.0, 0, 0, 0, 1, 0])
    normal = _normal(slices[0]) if known else np.array([0.0, 0, 1])
    origin = slices[0].position if known and slices[0].position is not None else np.zeros(3)
    step_mm = slices[0].thickness or 1.0
    thickness_known = slices[0].thickness is not None or (known and len(slices) > 1)
    if measured and not thickness_known:
        warnings.append(Sentence("no_thickness", {"file": name}))
    places = list(range(len(slices)))
    if first.role == "mask" and known:
        along = np.array([float(normal @ s.position) for s in slices if s.position is not None])
        steps = np.diff(np.unique(np.round(along, 3)))
        step_mm = slices[0].thickness or (float(steps.min()) if steps.size else 1.0)
        if steps.size and abs(round(float(steps.min()) / step_mm) * step_mm - float(steps.min())) > 0.05 * step_mm:
            step_mm = float(steps.min())
        places = [round(v) for v in (along - along.min()) / step_mm]
        lowest = slices[int(along.argmin())].position
        origin = lowest if lowest is not None else origin
        step = normal * step_mm
    elif len(slices) > 1 and known:
        positions = np.array([s.position for s in slices])
        steps = np.diff(positions @ normal)
        step_mm = float(np.median(steps))
        even = places_of(steps)
        if even is not None:
            places = even.tolist()
            step = (positions[-1] - positions[0]) / places[-1]  # along the normal, or sheared by a tilt
            if missing := places[-1] + 1 - len(places):
                warnings.append(Sentence("series_missing", {"file": name, "slices": missing}))
        else:
            gaps = int((np.abs(steps / step_mm - 1) > EVEN).sum())
            warnings.append(Sentence("series_gaps", {"file": name, "gaps": gaps}))
            step = normal * step_mm
    else:
        step = normal * step_mm
    depth = max(places) + 1
    if depth > MOST_SLICES:
        raise UnreadableScan(first.path.name, "too_many_slices", slices=depth, most=MOST_SLICES)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = orientation[3:] * spacing[0], orientation[:3] * spacing[1]
    lps[:3, 2], lps[:3, 3] = step, origin
    grid = Grid((rows, columns, depth), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, measured, thickness_known)
    _check_grid(first.path.name, grid)
    paths = tuple(dict.fromkeys(s.path for s in slices))
    role = first.role
    instances = _instances(members) if known and role != "mask" else ()
    if role != "mask" and known and not instances:
        warnings.append(Sentence("segmentation_left_out", {"file": name}))

    def load() -> Volume:
        values, kept = _dicom_values(name, grid.shape, members, places)
        damaged = len(places) - int(kept.sum()) if role != "mask" else 0
        told = [Sentence("series_damaged", {"file": name, "slices": damaged})] if damaged else []
        if first.inverted:
            np.subtract(values.max(), values, out=values)
        if role != "mask" and not kept.all():  # missing or damaged: their place stays, so that the others keep theirs
            values[..., ~kept] = values[..., kept].min()
        return Volume(values, grid, name, first.description, role or "flair", paths, instances, (*warnings, *told))

    return Found(name, first.description, role, study, paths, grid, _reliable(first.path.name, load), True, tuple(warnings))


def _instances(members: _Members) -> tuple[Dataset, ...]:
    """The headers that a segmentation refers to; none where one of them lacks what it takes, or shares its UID."""
    needed = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    heads = {head.path: head for head in members.heads}
    instances = [heads[path].instance for path in dict.fromkeys(s.path for s in members.slices)]
    if not all(key in ds for ds in instances for key in needed):
        return ()
    return tuple(instances) if len({ds.SOPInstanceUID for ds in instances}) == len(instances) else ()


def _dicom_values(
    name: str, shape: tuple[int, int, int], members: _Members, places: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns, slices) float32, and which slices are there and could be decoded, (slices,) bool.

    Raises UnreadableScan where too many could not.
    """
    rows, columns, depth = shape
    values = np.zeros((depth, rows, columns), dtype=np.float32)
    mask = members.heads[0].role == "mask"
    fraction = members.heads[0].fraction
    by_path: dict[Path, list[tuple[_Slice, int]]] = {}
    for s, place in zip(members.slices, places, strict=True):
        by_path.setdefault(s.path, []).append((s, place))
    kept = np.zeros(depth, dtype=bool)
    problem: UnreadableScan | None = None
    for path, wanted in by_path.items():
        wanted.sort(key=lambda pair: pair[0].frame)
        try:
            pixels = _decode(path, [s.frame for s, _ in wanted], (rows, columns))
            for (s, place), frame in zip(wanted, pixels, strict=True):
                kept[place] = True
                if mask:
                    np.maximum(values[place], frame > fraction, out=values[place])
                    continue
                values[place] = frame
                if (s.slope, s.intercept) != (1.0, 0.0):
                    values[place] *= np.float32(s.slope)
                    values[place] += np.float32(s.intercept)
        except UnreadableScan as error:
            problem = error
        except Exception:
            problem = UnreadableScan(path.name, "damaged")
    if problem is not None and (mask or not kept.any() or len(places) - int(kept.sum()) > len(places) // 4):
        raise problem
    _mend(name, values)
    return np.moveaxis(values, 0, -1), kept


# DICOM: pixels

_MARKERS_OF_SIZE = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def _decode(path: Path, frames: list[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The named frames of a file, as they are stored. Raises UnreadableScan, or whatever pydicom raises."""
    ds = _dataset(path, _DATA)
    meta = getattr(ds, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = ds.original_encoding
        if not little:
            raise UnreadableScan(path.name, "dicom_compression")
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds.file_meta = meta
    if "SamplesPerPixel" not in ds:
        ds.SamplesPerPixel = 1
    if not _text(ds, "PhotometricInterpretation").strip():
        ds.PhotometricInterpretation = "MONOCHROME2"
    if (ds.Rows, ds.Columns) != size or ds.get("BitsAllocated") not in (1, 8, 16, 32, 64):
        raise UnreadableScan(path.name, "damaged")
    syntax = UID(str(meta.TransferSyntaxUID))
    plugin = ""
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise UnreadableScan(path.name, "dicom_compression")
    if syntax.is_encapsulated:
        plugin = "pydicom" if syntax == RLELossless else "pylibjpeg"
        if syntax.name.startswith(("MPEG", "HEVC", "JPIP", "SMPTE", "JPEG XL")):
            raise UnreadableScan(path.name, "dicom_compression")
        _check_coded(path, ds, syntax, size)
    for frame in iter_pixels(ds, indices=frames, raw=True, decoding_plugin=plugin):
        if frame.shape != size:
            raise UnreadableScan(path.name, "damaged")
        yield frame


def _check_coded(path: Path, ds: Dataset, syntax: UID, size: tuple[int, int]) -> None:
    """Raise UnreadableScan where a frame would decode to more than the header says: a picture carries its own size."""
    raw = size[0] * size[1] * ((int(ds.BitsAllocated) + 7) // 8)
    count = max(1, int(_number(ds, "NumberOfFrames", 1)))
    for data in generate_frames(ds.PixelData, number_of_frames=count):
        if syntax == RLELossless:
            if len(data) > 1.1 * raw + 4096:
                raise UnreadableScan(path.name, "damaged")
        elif _coded_size(data) != (*size, 1):
            raise UnreadableScan(path.name, "damaged")


def _coded_size(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, channels) that a JPEG, JPEG-LS or JPEG 2000 stream says of itself."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and not data.startswith(b"\xff\xd8"):
        if len(data) < start + 42:
            return None
        x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
        (channels,) = struct.unpack(">H", data[start + 40 : start + 42])
        return y1 - y0, x1 - x0, channels
    at = 2
    while data.startswith(b"\xff\xd8") and at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if marker in _MARKERS_OF_SIZE:
            height, width, channels = struct.unpack(">HHB", data[at + 5 : at + 10])
            return height, width, channels
        at += 2 + length
    return None


def with_role(volume: Volume, role: Role) -> Volume:
    """The same volume in another role."""
    return replace(volume, role=role)

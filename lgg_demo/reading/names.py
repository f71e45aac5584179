"""Names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from lgg_demo.case import Role
from lgg_demo.reading.limits import IMAGE_SUFFIXES, MASK_ENDING, MASK_ENDINGS

# nnU-Net: `imagesTr/CASE_0000.nii.gz`, `CASE_0001` … for the channels of a case, `labelsTr/CASE.nii.gz` for its mask.
CHANNEL = re.compile(r"^(.+)_(\d{4})$")
IMAGES_FOLDER, LABELS_FOLDER = re.compile(r"^images(Tr|Ts|Val)$"), re.compile(r"^labels(Tr|Ts|Val)$")
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


class Stems:
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


def mask_worth(mask: Path) -> int:
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
    stems = {folder: Stems(own) for folder, own in named.items()}
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
    for path in sorted(files, key=mask_worth):
        if path in masks:
            continue  # `brain_seg` that has a `brain_seg_mask` is an image
        own = [image for image in meant_by(path) if image not in taken]
        taken |= {path} if own else set()
        for image in own:
            masks.setdefault(image, []).append(path)
    return masks


def counted(stem: str) -> tuple[str, str] | None:
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
        shared = counted(path.stem)
        groups.setdefault((path.parent, path.suffix.lower() if shared else path.name, shared), []).append(path)
    return [sorted(g, key=lambda p: natural_key(p.name)) for g in groups.values()], list(masks)


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
MODALITIES = frozenset(
    {
        "RTSTRUCT",
        "NM",
        "REG",
        "OP",
        "XC",
        "RTPLAN",
        "IO",
        "PR",
        "RTDOSE",
        "KO",
        "DX",
        "ECG",
        "RF",
        "SR",
        "MG",
        "SC",
        "CT",
        "ES",
        "CR",
        "DOC",
        "XA",
        "US",
        "SM",
        "PT",
    }
)


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


def describe(*texts: str) -> str:
    """The known sequence words of descriptions, the first that has any."""
    for text in texts:
        words = [w for w in _tokens(text) if w in _WORDS]
        if words:
            return " ".join(dict.fromkeys(w.upper() for w in words))
    return ""


# What NIfTI and DICOM share


def patient_of(path: Path) -> str:
    """Whose a file is: its name without the words that tell the sequence or, where nothing is left, its folder."""
    return own_subject(path) or str(path.parent.absolute())


def own_subject(path: Path) -> str:
    """What the names of a subject's NIfTI files share; empty where they tell the sequence and no more."""
    return subject_of(nifti_name(path))


def nifti_name(path: Path) -> str:
    """A NIfTI file's name without its ending."""
    lower = path.name.lower()
    for suffix in (".nii.gz", ".nii", ".gz"):
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem or path.name

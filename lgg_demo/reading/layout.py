"""What names say, by a grammar: NAME = SUBJECT SEPARATOR SUFFIX.

Only the suffix at the end of a name tells the role; all before it is the subject, verbatim. BIDS, BraTS, UCSF-PDGM,
UPENN-GBM, nnU-Net and kaggle_3m are all of this form. A name without a known suffix has no role and is its own subject;
a suffix alone has the subject of its folder. No word elsewhere in a name counts: it may be somebody's.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from lgg_demo.case import Role
from lgg_demo.reading.limits import MASK_ENDING, NIFTI_SUFFIXES

_SEPARATOR = r"[ _.\-]+"
_PLANE = r"ax|axial|tra|trans|transverse|cor|coronal|sag|sagittal"
_T1 = rf"t1(?:w|n)?(?:{_SEPARATOR}(?:mprage|spgr|fspgr|bravo|tfe|vibe|space|tse|fse|se|gre|3d|2d|fs|{_PLANE}))*"
_BEFORE = rf"(?:(?:{_PLANE}|3d|2d){_SEPARATOR})*"
_AFTER = rf"(?:{_SEPARATOR}(?:{_PLANE}|3d|2d|fs|\d{{1,4}}))*"
# In the order of precedence where two fit as much of a name.
_SUFFIXES: dict[Role, str] = {
    "mask": rf"(?:pred{_SEPARATOR}(?=corrected))?"
    rf"(?:(?:tumou?r|lesions?|automated|approx|manual|corrected|whole|label|final){_SEPARATOR})*"
    r"(?:seg|segm|segmentations?|masks?|labels?|gt|ground[ _.\-]?truth|lesions?|roi)",
    "other": rf"(?:(?:brain|parenchyma|skull|bet){_SEPARATOR})+(?:seg|segm|segmentation|masks?|labels?)"
    rf"|t2(?:w|star)?(?:{_SEPARATOR}(?:tse|fse|fs|3d|2d|{_PLANE}))*|pdw?|adc|dwi|dti|swi|swan|asl|perf|dsc|dce|cbf|r?cbv|mtt|"
    rf"(?:dti{_SEPARATOR}(?:eddy{_SEPARATOR})?)?(?:fa|md|l[123]|noreg)|trace|b\d{{1,4}}|bold|sbref|epi|m0scan|magnitude\d?|"
    rf"phasediff|pred|prob|probability|probabilities|(?:flair|t1\w{{0,4}}|t2|swi|dwi){_SEPARATOR}bias",
    "post": rf"{_BEFORE}(?:t1(?:ce|c|gd|gad|post|wce|km)|{_T1}[ _.\-]*(?:gd|gad|ce|c|post|contrast|km|postcontrast)"
    rf"(?:{_SEPARATOR}contrast)?|post|postcontrast|post[ _.\-]contrast){_AFTER}",
    "flair": rf"(?:(?:{_PLANE}|3d|2d|t2w?){_SEPARATOR})*(?:(?:t2)?flair|t2f){_AFTER}",
    "pre": rf"{_BEFORE}(?:{_T1}(?:{_SEPARATOR}(?:pre|native))?|pre|precontrast){_AFTER}",
}
_PARSED = {role: re.compile(rf"(?:(.*?){_SEPARATOR})??(?:{p})", re.IGNORECASE) for role, p in _SUFFIXES.items()}
_BIDS = re.compile(r"(sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?)(?:_(.*))?_([a-z0-9]+)", re.IGNORECASE)
DATATYPES = ("anat", "dwi", "func", "fmap", "perf", "swi")  # BIDS: folders of one visit
_CONTRAST = re.compile(r"(?:^|_)ce-", re.IGNORECASE)
_BRAIN = re.compile(r"(?:^|_)(?:desc|label)-brain(?:_|$)", re.IGNORECASE)  # a mask of the whole brain, as fMRIPrep has it
_CONVERTED = re.compile(r"(.+)_(\d{14})_\d+[a-z]*", re.IGNORECASE)  # dcm2niix: PROTOCOL_TIME_SERIES, one time a visit
_CHANNELLED = ("imagestr", "imagests", "imagesval")
_CHANNEL = re.compile(r"(.+)_(00\d{2})")  # nnU-Net: imagesTr/CASE_0000, CASE_0001 …

Layout = Literal["auto", "bids", "brats", "nnunet", "kaggle"]
# Of a public layout the form of a name, as a user is told it, and the pattern of the places, with `/`, that have it.
FORMS: dict[Layout, tuple[str, str]] = {
    "bids": (
        "sub-01_ses-1_FLAIR.nii.gz",
        r"sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?(?:_[a-z0-9]+-[a-z0-9+]+)*_[a-z0-9]+\.nii(?:\.gz)?",
    ),
    "brats": ("BraTS2021_00000_flair.nii.gz", r"[^/]+[_-](?:flair|t1|t1ce|t2|t2f|t1n|t1c|t2w|seg)\.nii(?:\.gz)?"),
    "nnunet": (
        "imagesTr/CASE_0000.nii.gz",
        r"(?:images(?:tr|ts|val)/[^/]+_00\d{2}|labels(?:tr|ts|val)/[^/]+)\.nii(?:\.gz)?",
    ),
    "kaggle": ("TCGA_CS_4941_19960909_12.tif", r"TCGA_[a-z0-9]{2}_[a-z0-9]{4}_\d{8}_\d+(?:_mask)?\.tif"),
}

# Whole names of folders. `gt` may be somebody's initials: it counts only where an image of the same name lies beside it.
_REFERENCE_FOLDER = re.compile(r"masks?|labels?(?:tr|ts|val)?|segmentations?|segs?|ground[ _-]?truth|gt", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(r"images?(?:tr|ts|val)?|imgs?|scans?", re.IGNORECASE)

# The number that counts the slices of a series: before a total, else at the end, bare or as ` (3)`, else the last there is
# where it leads the name or follows a word for slices. Any other may be a patient's, or with four digits a year.
_OF_TOTAL = re.compile(r"^(?P<stem>.*?)[ _-]?\(?(?P<number>\d+)(?P<rest>[ _-]?(?:of|sur)[ _-]?\d+)\)?$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<stem>.*?)(?:(?P<open> \()|[ _-])?(?P<number>\d+)(?(open)\))$")
_INNER_NUMBER = re.compile(
    r"^(?P<stem>(?:.*[ _-])?(?:slice|image|img|im|coupe)|)[ _-]?(?P<number>0*\d{1,3})(?P<rest>\D+)$", re.IGNORECASE
)
_SLICE_WORD = re.compile(r"(?:slice|image|img|im|scan|coupe)?", re.IGNORECASE)


@dataclass(frozen=True)
class Name:
    """What a file's name says: whose it is, verbatim (empty: its folder's), and its role, None where it tells none."""

    subject: str
    role: Role | None


@dataclass(frozen=True)
class Key:
    """Whose a file is and, of a picture, which slice: what an image and its reference share.

    folder: without the one that says images or masks. subject: as the name says it; empty where it says none, or the
    folder's own. number: of a slice.
    """

    folder: PurePath
    subject: str
    number: int | None = None

    @property
    def owner(self) -> str:
        """The subject, of a name that says none the folder's."""
        return self.subject or folded(self.folder.name)


def parse(name: str) -> Name:
    """Subject and role of a name without its ending, by the longest known suffix."""
    if bids := _BIDS.fullmatch(name):
        role, entities = _role_at_end(bids[3]).role, bids[2] or ""
        if role == "pre" and _CONTRAST.search(entities):
            role = "post"
        elif role == "mask" and _BRAIN.search(entities):
            role = "other"
        return Name(bids[1], role)
    if (converted := _CONVERTED.fullmatch(name)) and (found := _role_at_end(converted[1])).role:
        return Name(f"{found.subject}_{converted[2]}".strip("_"), found.role)
    found = _role_at_end(name)
    if found.role == "mask" and found.subject:  # `p1_flair_mask` is drawn on `p1_flair`, of p1
        image = _role_at_end(found.subject)
        return Name(image.subject if image.role in ("flair", "pre", "post") else found.subject, "mask")
    return found


def _role_at_end(name: str) -> Name:
    """What stands before the longest known suffix, and its role; the whole name and None without one."""
    found = [Name(m[1] or "", role) for role, p in _PARSED.items() if (m := p.fullmatch(name))]
    return min(found, key=lambda one: len(one.subject)) if found else Name(name, None)


def fits(place: PurePath, layout: Layout) -> bool:
    """Whether a file has a name of a public layout, and of BIDS one that tells what it is; of `auto` each has."""
    if layout == "auto":
        return True
    named = re.fullmatch(rf"(?:.*/)?{FORMS[layout][1]}", place.as_posix(), re.IGNORECASE)
    return bool(named) and (layout != "bids" or parse(nifti_name(place)).role is not None)


def key_of(place: PurePath, told: int = 1) -> Key:
    """The key of a volume by its place. told: how many of its parts, from the end, were given by the user."""
    folder, _ = _home(place, told)
    name = nifti_name(place)
    if _BIDS.fullmatch(name) and folder.name in DATATYPES:
        folder = folder.parent
    channel = channel_of(name) if place.parent.name.lower() in _CHANNELLED else None
    return Key(folder, _own(channel[0] if channel else parse(name).subject, folder))


def key_of_picture(place: PurePath, told: int = 1) -> Key:
    """The key of a picture by its place; see `key_of`."""
    folder, _ = _home(place, told)
    stem, number = numbered(place.stem)
    name = parse(stem)
    if name.role == "mask" and number is None and name.subject:
        stem, number = numbered(_role_at_end(stem).subject)
        name = parse(stem)
    return Key(folder, _own("" if _SLICE_WORD.fullmatch(name.subject) else name.subject, folder), number)


def _own(subject: str, folder: PurePath) -> str:
    return "" if folded(subject) == folded(folder.name) else folded(subject)


def in_reference_folder(place: PurePath, told: int = 1) -> bool:
    """Whether one of the folders that were given is called after masks and nothing else."""
    return bool(_REFERENCE_FOLDER.fullmatch(folder_of_kind(place, told)))


def of_initials(place: PurePath) -> bool:
    """Whether the folder that may say masks may as well be a person's initials."""
    return any(part.lower() == "gt" for part in place.parts[:-1])


def folder_of_kind(place: PurePath, told: int = 1) -> str:
    """The name of the innermost of the folders that were given that says images or masks and nothing else, else nothing."""
    return _home(place, told)[1]


def _home(place: PurePath, told: int) -> tuple[PurePath, str]:
    """A file's folder without the innermost part that says images or masks, and that part."""
    parts = place.parent.parts
    for n in range(len(parts) - 1, max(-1, len(parts) - told), -1):
        if _REFERENCE_FOLDER.fullmatch(parts[n]) or _IMAGE_FOLDER.fullmatch(parts[n]):
            return PurePath(*parts[:n], *parts[n + 1 :]), parts[n]
    return place.parent, ""


def channel_of(name: str) -> tuple[str, int] | None:
    """Case and channel of a name as nnU-Net has it (`BRATS_001_0003` gives BRATS_001 and 3); None for any other."""
    match = _CHANNEL.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def folded(name: str) -> str:
    """A name without the differences that systems make in writing it: case, and accents as signs of their own."""
    return unicodedata.normalize("NFC", name).casefold()


def _count(stem: str) -> re.Match[str] | None:
    return _OF_TOTAL.match(stem) or _NUMBERED.match(stem) or _INNER_NUMBER.match(stem)


def counted(stem: str) -> tuple[str, str] | None:
    """What the stems of one series share before and after the number that counts them; None without a number."""
    match = _count(stem)
    return (match["stem"], match.groupdict().get("rest") or "") if match else None


def numbered(stem: str) -> tuple[str, int | None]:
    """A stem without the number that counts it in its series, and that number."""
    match = _count(stem)
    if not match:
        return stem, None
    return (match["stem"] or match.groupdict().get("rest") or "").strip(" _-."), int(match["number"])


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which `_2` comes before `_10`."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part.lower()) for part in re.split(r"(\d+)", name)]


def slice_number(path: PurePath) -> int | None:
    """The number that ends the file's stem (`TCGA_CS_4941_19960909_12` gives 12), or None."""
    match = _NUMBERED.match(path.stem)
    return int(match["number"]) if match else None


def series_stem(path: PurePath) -> str:
    """The stem without the number that ends it (`TCGA_CS_4941_19960909_12` gives `TCGA_CS_4941_19960909`)."""
    match = _NUMBERED.match(path.stem)
    return match["stem"] if match else path.stem


def is_mask_name(path: PurePath) -> bool:
    """Whether the stem ends in `_mask`, as the data set's masks do."""
    return path.stem.lower().endswith(MASK_ENDING)


def nifti_name(path: PurePath) -> str:
    """A NIfTI file's name without its ending."""
    for suffix in (*reversed(NIFTI_SUFFIXES), ".gz"):
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem or path.name


def visible_files(folder: Path) -> list[Path]:
    """Every file below `folder` in natural order, without hidden files and folders."""
    found = (p for p in folder.rglob("*") if p.is_file())
    visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(visible, key=lambda p: natural_key(str(p.relative_to(folder))))

"""What a DICOM series says of itself: the role and the known sequence words of its description.

A description is written by a scanner's protocol, so words anywhere in it count, unlike those of a file's name
(`layout.py`); whatever is no word for a sequence might be a name, and is never repeated.
"""

from __future__ import annotations

import re

from lgg_demo.case import Role

_OTHER = re.compile(
    r"^(s?t2\w*|adc|dwi|diff\w*|swi|swan|dti|trace\w*|ep2d|asl|perf\w*|pwi|dsc|dce|cbv|rcbv|cbf|mtt|tof|mra|bold|fmri|"
    r"loc\w*|scout|survey|subtr\w*|phase|pha|fa|colfa|eadc|isodwi|b0|b1000|spectro\w*|flow|fiesta|ciss|drive|angio\w*)$"
)
_T1 = re.compile(r"^(s?t1\w{0,6}|mprage|mpr|spgr|fspgr|bravo|tfl|vibe|tfe|ffe)$")
_T1_POST = re.compile(r"^s?t1\w*(ce|gd|gad|c|post|km|contrast)$")
_POST = re.compile(
    r"^(post(contrast|gad|gd|c|km)?|gd|gad|gado|gadolinium|gadavist|dotarem|contrast\w*|ce|enhanced|km|inj\w*|"
    r"c\+|\+c|\+gd|gd\+)$"
)
_SUBTRACTION = re.compile(r"^sub($|tr)")
_T2 = re.compile(r"^t2")
_PRE = re.compile(r"^(pre|precontrast|native|noncontrast|unenhanced)$")
_FLAIR = re.compile(r"flair|^(tirm|darkfluid|t2f|dark)$")

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
MODALITIES = (
    "CT", "PT", "US", "CR", "DX", "MG", "XA", "RF", "NM", "SC", "SR", "PR", "KO", "DOC", "RTDOSE", "RTPLAN",
    "RTSTRUCT", "REG", "ECG", "ES", "OP", "SM", "XC", "IO",
)  # fmt: skip


def _tokens(text: str) -> list[str]:
    """The words of a description in lower case; `C+`, `+Gd`, dark-fluid are one each."""
    lower = re.sub(r"dark[ _-]fluid", " darkfluid ", text.lower())
    lower = re.sub(r"(pre|post)[ _-]op", r"\1op", lower)  # before and after surgery: nothing of contrast
    plus = [m.group().replace(" ", "") for m in _PLUS.finditer(lower)]
    return [w for w in re.split(r"[^a-z0-9]+", _PLUS.sub(" ", lower)) if w] + plus


def role_of(text: str, contrast: bool = False) -> Role | None:
    """The role that a series description tells, or None. contrast: the header names an agent."""
    words = _tokens(text)

    def some(*patterns: re.Pattern[str]) -> bool:
        return any(p.search(w) for w in words for p in patterns)

    t1 = some(_T1, _T1_POST)
    rules: tuple[tuple[Role, bool], ...] = (  # the first that holds
        ("flair", some(_FLAIR) and (some(_T2) or not t1)),  # there is a T1 FLAIR too
        ("other", t1 and some(_SUBTRACTION)),
        ("post", t1 and (contrast or some(_T1_POST, _POST))),
        ("pre", t1),
        ("other", some(_OTHER)),
        ("post", some(_POST)),
        ("pre", some(_PRE)),
    )
    return next((role for role, holds in rules if holds), None)


def describe(*texts: str) -> str:
    """The known sequence words of descriptions, the first that has any."""
    for text in texts:
        words = [w for w in _tokens(text) if w in _WORDS]
        if words:
            return " ".join(dict.fromkeys(w.upper() for w in words))
    return ""

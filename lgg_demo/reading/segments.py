"""Which segments of a DICOM segmentation are the lesion."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from lgg_demo.case import ReadError
from lgg_demo.messages import Sentence
from lgg_demo.reading.tags import item, items, number, text

# SNOMED CT, and its older SRT and SNM3 forms: neoplasm (also primary, secondary, malignant, of the brain), glioma, mass,
# lesion, oedema, necrosis. SRT has morphologies of neoplasms from M-8 to M-9.
_LESION_CODES = (
    "108369006", "86049000", "14799000", "367651003", "363346000", "126952004", "393564001", "4147007", "52988006",
    "79654002", "6574001", "M-01100", "M-03000", "M-36300", "M-54000",
)  # fmt: skip
_NEOPLASM = re.compile(r"M-?[89]\d{3}")
_ALTERED = ("49755003", "M-01000")  # morphologically altered structure
_ANATOMICAL = ("123037004", "91723000", "113343008", "T-D000A")  # anatomical structure, organ; but `tissue` is what all is

_LESION_WORDS = re.compile(
    r"\b((\w*tumou?r|tumeur|lasion|neoplas|gliom|glioblastom|astrocytom|oligodendrogliom|ependymom|carcinom|metasta|"
    r"hyperintens|infiltrat|ne[ck]ro[stz]|malignan)\w*|lesions?|o?edem(a|e)|odeme?|enhanc(ing|ement)|mass|abnormalit(y|ies)|"
    r"anomalie|flair|wmh|gtv\w*|cancer)\b|^(wt|tc|et|ed|ncr|net)$"
)
_HEALTHY_WORDS = re.compile(
    r"\b(without|not|normal|healthy|free|outside|minus|excluding|contralateral|sans|hors|saine?|"
    r"non (tumou?r|lesion|neoplas)\w*)\b"
)
_ANATOMY_WORDS = re.compile(
    r"\b(brain|cerveau|gehirn|encephal\w*|head|skull|scalp|ventric\w*|(white|gr[ae]y) matter|csf|cerebr\w*|cerebell\w*|"
    r"brainstem|cortex|thalam\w*|hippocamp\w*|eyes?|chiasm\w*|optic\w*|pituitary|vessels?|bone|skin|body)\b"
)
_BACKGROUND = re.compile(r"\b(background|fond)\b")
# What a sentence may repeat of a label; whatever else stands there may be a name.
_SHOWN = (
    "tumor", "tumour", "tumeur", "lesion", "lesions", "edema", "oedema", "oedeme", "necrosis", "necrotic", "enhancing",
    "non", "nonenhancing", "peritumoral", "core", "whole", "flair", "abnormality", "mass", "glioma", "glioblastoma",
    "metastasis", "metastases", "infiltration", "hyperintensity", "neoplasm", "gtv", "wt", "tc", "et", "ed", "ncr", "net",
    "brain", "cerveau", "skull", "head", "ventricle", "ventricles", "white", "gray", "grey", "matter", "csf", "cerebellum",
    "brainstem", "healthy", "normal",
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """One segment. number: what its frames, or the pixels of a label map, call it.

    words: those of its label, or of its code, that a sentence may repeat.
    """

    number: int
    words: str
    kind: Literal["lesion", "healthy", "unknown"]

    def __str__(self) -> str:
        return f"{self.number} ({self.words})" if self.words else str(self.number)


def read_segments(ds: Dataset) -> tuple[Segment, ...]:
    """The segments that a segmentation describes, without the background of a label map."""
    found = []
    for described in items(ds, "SegmentSequence"):
        label = _folded(text(described, "SegmentLabel") or text(described, "SegmentDescription"))
        which = int(number(described, "SegmentNumber", -1))
        if which < 1 or _BACKGROUND.search(label):
            continue
        meaning = _folded(text(item(described, "SegmentedPropertyTypeCodeSequence"), "CodeMeaning"))
        words = [w for w in (label or meaning).split() if w in _SHOWN]
        found.append(Segment(which, " ".join(words), _kind(described, label, meaning)))
    return tuple(found)


def _kind(described: Dataset, label: str, meaning: str) -> Literal["lesion", "healthy", "unknown"]:
    """What a segment is of, by its code, else by its words, else by its category."""
    code = text(item(described, "SegmentedPropertyTypeCodeSequence"), "CodeValue")
    category = text(item(described, "SegmentedPropertyCategoryCodeSequence"), "CodeValue")
    if _HEALTHY_WORDS.search(label):
        return "healthy"
    named = any(_LESION_WORDS.search(words) for words in (label, meaning))
    if code in _LESION_CODES or _NEOPLASM.match(code) or named or category in _ALTERED:
        return "lesion"
    return "healthy" if category in _ANATOMICAL or _ANATOMY_WORDS.search(f"{label} {meaning}") else "unknown"


def choose_segments(
    file: str, name: str, described: Sequence[Segment], count: int
) -> tuple[Sequence[Segment] | None, list[Sentence]]:
    """The segments that are the lesion, None for all there is, and what the user should know of the choice.

    Parts of a tumour (enhancing, necrosis, oedema) are the abnormality together. file, name: what sentences call the file
    where it is refused, and the volume. count: how many segments there are, described or not. Raises ReadError where
    there are several and nothing tells which is meant.
    """
    if count < 2:
        strange = [s for s in described if s.kind == "healthy"]
        return None, [Sentence("segment_no_lesion", {"file": name, "which": str(s)}) for s in strange]
    lesions = [s for s in described if s.kind == "lesion"]
    if not lesions:
        raise ReadError(file, "segments_unnamed", segments=count)
    doubtful = len(lesions) > 1 or any(s.kind == "unknown" for s in described)
    values = {"file": name, "taken": len(lesions), "segments": count, "which": ", ".join(map(str, lesions))}
    return lesions, [Sentence("segments_taken", values)] if doubtful else []


def _folded(label: str) -> str:
    """In lower case, without accents, words apart."""
    plain = unicodedata.normalize("NFKD", label.lower().replace("œ", "oe")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", " ", plain).strip()

"""Which segments of a DICOM SEG are the reference: the lesion's by code or word, all of a tumour's parts, never a guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import HEAD, NEOPLASM, PLANTED, Part, one, read_dicom, segmentation, series, warned
from highdicom.sr import CodedConcept
from pydicom import Dataset

from lgg_demo.case import Volume
from lgg_demo.reading.segments import Segment, choose_segments, read_segments
from lgg_demo.reading.volumes import resample

MORPHOLOGY = CodedConcept("49755003", "SCT", "Morphologically Altered Structure")
ANATOMY = CodedConcept("123037004", "SCT", "Anatomical Structure")
TISSUE = CodedConcept("85756007", "SCT", "Tissue")
OEDEMA = CodedConcept("79654002", "SCT", "Edema")
NECROSIS = CodedConcept("6574001", "SCT", "Necrosis")
BRAIN = CodedConcept("12738006", "SCT", "Brain")

LESION = HEAD.mask
WHOLE = np.zeros_like(LESION)
WHOLE[1:11, 10:50, 10:50] = True
CORE, RIM = LESION.copy(), LESION.copy()
CORE[:, :, 32:], RIM[:, :, :32] = False, False


def lesion_of(seg: Volume, volume: Volume) -> np.ndarray:
    """What a segmentation marks on the slices of a volume."""
    return volume.grid.to_stack(resample(seg, volume.grid)) > 0


def test_the_tumour_is_taken_by_its_code_and_the_brain_is_not(tmp_path: Path) -> None:
    volume = one(paths := series(tmp_path / "s"))
    for parts in ([0, 1], [1, 0]):
        both = [("Segment_1", ANATOMY, BRAIN, WHOLE), ("Segment_2", MORPHOLOGY, NEOPLASM, LESION)]
        for kind in ("BINARY", "FRACTIONAL"):
            seg = one([segmentation(tmp_path, paths, [both[n] for n in parts], kind)])
            np.testing.assert_array_equal(lesion_of(seg, volume), LESION)
            assert warned(seg) == []


def test_parts_of_a_tumour_are_one_lesion_and_said(tmp_path: Path) -> None:
    volume = one(paths := series(tmp_path / "s"))
    parts: list[Part] = [
        ("Brain", ANATOMY, BRAIN, WHOLE & ~LESION),
        (f"Core {PLANTED}", MORPHOLOGY, NECROSIS, CORE),
        ("peritumoral oedema", MORPHOLOGY, OEDEMA, RIM),
    ]
    for kind in ("BINARY", "LABELMAP"):
        seg = one([segmentation(tmp_path, paths, parts, kind)])
        np.testing.assert_array_equal(lesion_of(seg, volume), LESION)
        assert warned(seg) == ["segments_taken"]
        assert "2 (core), 3 (peritumoral oedema)" in str(seg.warnings[0]) and "ZZTOP" not in str(seg.warnings).upper()


def test_segments_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    paths = series(tmp_path / "s")
    parts: list[Part] = [(f"Segment_{n}", TISSUE, TISSUE, mask) for n, mask in ((1, WHOLE), (2, LESION))]
    found, problems = read_dicom([segmentation(tmp_path, paths, parts)])
    assert not found and [p.sentence.key for p in problems] == ["segments_unnamed"]


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        (("Segment_1", TISSUE, TISSUE), []),
        (("lesion", TISSUE, TISSUE), []),
        (("Brain", ANATOMY, BRAIN), ["segment_no_lesion"]),
    ],
)
def test_one_segment_is_taken_as_it_is(
    tmp_path: Path, part: tuple[str, CodedConcept, CodedConcept], keys: list[str]
) -> None:
    volume = one(paths := series(tmp_path / "s"))
    seg = one([segmentation(tmp_path, paths, [(*part, LESION)])])
    np.testing.assert_array_equal(lesion_of(seg, volume), LESION)
    assert warned(seg) == keys


def test_an_empty_tumour_beside_a_brain_is_an_empty_reference(tmp_path: Path) -> None:
    parts: list[Part] = [("Brain", ANATOMY, BRAIN, WHOLE), ("Tumor", MORPHOLOGY, NEOPLASM, np.zeros_like(LESION))]
    seg = one([segmentation(tmp_path, series(tmp_path / "s"), parts)])
    assert not seg.values.any()


def described(label: str, code: str = "", meaning: str = "", category: str = "") -> Segment:
    ds, segment = Dataset(), Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, label
    for keyword, value in (
        ("SegmentedPropertyTypeCodeSequence", code),
        ("SegmentedPropertyCategoryCodeSequence", category),
    ):
        item = Dataset()
        item.CodeValue, item.CodeMeaning = value, meaning
        setattr(segment, keyword, [item])
    ds.SegmentSequence = [segment]
    (found,) = read_segments(ds)
    return found


@pytest.mark.parametrize(
    ("kind", "segments"),
    [
        ("lesion", [("1", "M-80003"), ("1", "M-93803"), ("1", "M-36300"), ("1", "", "Enhancing Lesion"),
                    ("1", "", "Anything", "49755003"), ("Tumeur",), ("œdème",), ("Läsion",), ("Non-enhancing tumor core",),
                    ("WT",), ("FLAIR abnormality",), ("Brain tumor", "12738006")]),
        ("healthy", [("Whole brain",), ("cerveau et ventricules",), ("Normal-appearing white matter", "108369006"),
                     ("tumour-free tissue",), ("1", "", "", "123037004")]),
        ("unknown", [("Segment_1", "85756007", "Tissue", "85756007")]),
    ],
)  # fmt: skip
def test_what_a_segment_is_of(kind: str, segments: list[tuple[str, ...]]) -> None:
    assert {segment: described(*segment).kind for segment in segments} == dict.fromkeys(segments, kind)


def test_the_background_of_a_label_map_is_no_segment() -> None:
    ds, background = Dataset(), Dataset()
    background.SegmentNumber, background.SegmentLabel = 1, "Background"
    ds.SegmentSequence = [background]
    assert read_segments(ds) == () and read_segments(Dataset()) == ()


def test_one_lesion_among_anatomy_needs_no_word_but_among_the_unknown_one() -> None:
    lesion = Segment(2, "lesion", "lesion")
    for other, told in (("healthy", []), ("unknown", ["segments_taken"])):
        described = [Segment(1, "", other), lesion]  # type: ignore[arg-type]
        chosen, sentences = choose_segments("f", "n", described, 2)
        assert chosen == [lesion] and [s.key for s in sentences] == told

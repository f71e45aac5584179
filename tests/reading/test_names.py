"""What a series says of itself: any word of a protocol's description counts, unlike those of a file's name."""

from __future__ import annotations

import pytest

from lgg_demo.reading.names import describe, role_of


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("AX T2 FLAIR", "flair"), ("T1 FLAIR", "pre"), ("AX T1 FLAIR POST", "post"), ("AX FLAIR +C", "flair"),
        ("Ax T1 C+", "post"), ("AX T1 +GD", "post"), ("t2_tirm_tra_dark-fluid", "flair"), ("ep2d_diff_ADC", "other"),
        ("SWI", "other"), ("patient 1", None), ("contrast", "post"), ("pre", "pre"), ("T1 SUB", "other"), ("MPRAGE", "pre"),
        ("3D_Brain_VIEW_FLAIR", "flair"), ("localizer", "other"), ("t1_postop", "pre"), ("x_post-op_flair", "flair"),
        ("sT1W_3D_TFE", "pre"), ("T1SE +C", "post"), ("AX FLAIR TUMOR MASK", "flair"), ("T1-Gd", "post"),
        ("T2-FLAIR", "flair"),
        ("", None),
    ],
)  # fmt: skip
def test_role_of_a_description(text: str, role: str | None) -> None:
    assert role_of(text) == role


def test_a_contrast_agent_makes_a_t1_post() -> None:
    assert role_of("AX T1", contrast=True) == "post" and role_of("AX FLAIR", contrast=True) == "flair"


def test_only_words_of_sequences_are_repeated() -> None:
    assert describe("DOE JANE", "AX T2 FLAIR DOE") == "AX T2 FLAIR" and describe("DOE") == ""

"""What the server sends the viewer, and the corrections that it takes back."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_study import study

from lgg_demo.output.display import grey, window
from lgg_demo.output.files import write_outputs
from lgg_demo.output.names import output_names
from lgg_demo.output.report import build_report, slice_rows
from lgg_demo.output.result import ADDED, REMOVED
from lgg_demo.page.payload import pack, read_corrections, viewer_picture


def test_eight_bits_span_more_than_is_shown_at_first() -> None:
    case, _ = study()
    flair = case.scan.pixels[..., 1] * 16  # as a 12-bit scan
    sent, (dark, bright), _ = window(flair)
    assert sent.dtype == np.uint8 and 0 <= dark < bright <= 255
    shown = np.clip((sent.astype(float) - dark) / (bright - dark) * 255, 0, 255)
    same = replace(case.scan, pixels=np.stack([flair] * 3, axis=-1))
    assert np.abs(shown - grey(same)).max() <= 2  # the first look is the report's
    assert window(np.full((1, 4, 4), 7.0))[0].max() == 0


def test_only_sequences_that_differ_are_sent() -> None:
    case, _ = study()
    assert set(viewer_picture(case)["channels"]) == {"pre", "post"}
    pixels = case.scan.pixels.copy()
    pixels[..., 0] = pixels[..., 1]
    assert set(viewer_picture(replace(case, scan=replace(case.scan, pixels=pixels)))["channels"]) == {"post"}
    assert viewer_picture(replace(case, scan=replace(case.scan, grey=True)))["channels"] == {}


def drawn(case: int = 0, slices: tuple[int, ...] = (2,), value: int = 1, size: int = 96 * 96) -> dict[str, Any]:
    return {"case": case, "slices": list(slices), "edits": pack(np.full((len(slices), size), value, np.uint8))}


def test_corrections_are_read() -> None:
    _, result = study()
    assert read_corrections("", "one", [result, result]) == [None, None]
    text = json.dumps({"id": "one", "cases": [drawn(1, (3, 1), 2)]})
    first, second = read_corrections(text, "one", [result, result])
    assert first is None and second is not None
    assert np.flatnonzero(second.any(axis=(1, 2))).tolist() == [1, 3]


BOMB = base64.b64encode(zlib.compress(bytes(10**7))).decode()


@pytest.mark.parametrize(
    "cases",
    [
        [drawn(case=1)], [drawn(case=-1)], [{**drawn(), "case": True}], [drawn(slices=(12,))], [drawn(slices=(-1,))],
        [drawn(slices=())], [drawn(slices=(1, 1))], [drawn(value=3)], [drawn(size=96)], [drawn(size=96 * 97)],
        [{**drawn(), "edits": BOMB}], [{**drawn(), "edits": "no base64!"}], [{**drawn(), "edits": "AAAA"}],
        [drawn(), drawn()],
        [{"case": 0}], [7], 7, [{**drawn(), "slices": 5}], [{**drawn(), "slices": ["1"]}],
    ],
)  # fmt: skip
def test_corrections_that_do_not_fit_are_refused(cases: Any) -> None:
    _, result = study()
    with pytest.raises(ValueError):
        read_corrections(json.dumps({"id": "one", "cases": cases}), "one", [result])


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "other", "cases": []}', "[" * 100_000, "1"])
def test_what_is_no_correction_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_corrections(text, "one", [study()[1]])


def test_a_corrected_mask_goes_out_as_such(tmp_path: Path) -> None:
    _, result = study(grid=False)
    result = replace(result, files=(("a.png", 1), ("b.png", 11)))
    edits = np.zeros_like(result.probability)
    edits[0, :4, :5] = ADDED
    edits[0, 40:44] = REMOVED
    touched = replace(result, edits=edits)
    mask = touched.mask(0.5)
    assert mask[0, :4, :5].all() and not mask[0, 40:44].any()
    assert np.array_equal(mask[1:], result.mask(0.5)[1:])
    report = build_report([touched], 0.5, {})
    first, second = report["images"]
    changed = int((mask != result.mask(0.5)).sum())
    assert (first["corrected"], first["corrected_pixels"], first["mask"]) == (True, changed, "a_corrected_mask.png")
    assert "corrected" not in second and second["mask"] == "b_mask.png"
    assert report["total"]["corrected_pixels"] == changed
    assert any("corrected by hand" in w for w in report["warnings"])
    assert slice_rows([touched], 0.5)[0]["corrected_pixels"] == changed
    assert "corrected_pixels" not in slice_rows([touched], 0.5)[1]
    write_outputs([touched], 0.5, report, tmp_path, documents=True)
    assert (tmp_path / "a_corrected_mask.png").is_file()
    assert (tmp_path / "report.csv").read_text().splitlines()[0].endswith(",corrected_pixels,added_pixels,removed_pixels")
    assert output_names([result])[0][0][0] == "a_mask.png"

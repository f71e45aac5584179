"""The campaign itself: that it draws the same again, that it sees what is wrong, and what it writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `tests.campaign`, from wherever pytest is started

from tests.campaign import page
from tests.campaign.formats import formats
from tests.campaign.malformed import GOOD, mutant, said_of
from tests.campaign.names import found, uploads
from tests.campaign.processes import Peak, run
from tests.campaign.server import Answer
from tests.campaign.tally import Campaign


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(18, True, tmp_path, tmp_path / "keep", part="malformed")


def test_the_same_seed_makes_the_same_mutants(tmp_path: Path) -> None:
    made = formats()
    for name in ("PNG grey", "TIFF LZW", "NIfTI packed", "DICOM", "DICOM enhanced", "zip lzma"):
        once, again = (mutant(Campaign(18, True, tmp_path), name, made[name], 7) for _ in range(2))
        other = mutant(Campaign(19, True, tmp_path), name, made[name], 7)
        assert once == again
        assert [content for _, content in once.files] != [content for _, content in other.files]


def test_a_failure_is_counted_told_and_kept(campaign: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    (campaign.work / "a.png").write_bytes(b"a")
    row = campaign.row("malformed PNG", "a result or a sentence")
    assert campaign.judge("PNG 1", "")
    assert not campaign.judge("PNG 2: 3 bits flipped", "the server died", [campaign.work / "a.png"])
    campaign.finish()
    said = capsys.readouterr().out
    assert (row.tried, len(row.failures)) == (2, 1) and "2 / 1 / 1" in said and "PNG 2: 3 bits flipped" in said
    kept = campaign.work / "keep" / "malformed_PNG-1"
    assert (kept / "a.png").read_bytes() == b"a" and "seed 18" in (kept / "why.txt").read_text()
    path = campaign.work / "reliability.md"
    page.write(campaign, ["malformed", "names"], path)
    written = path.read_text(encoding="utf-8")
    assert "| malformed PNG | 2 | 1 | 1 |" in written and "the server died" in written and "--seed 18" in written


def test_a_part_that_is_tried_again_takes_its_place_in_the_page(campaign: Campaign) -> None:
    path, parts = campaign.work / "reliability.md", ["malformed", "names"]
    for part, name in (("names", "planted names"), ("malformed", "malformed PNG"), ("names", "planted names")):
        again = Campaign(18, False, campaign.work, part=part)
        again.row(name, "right")
        again.judge("one", "")
        page.write(again, parts, path)
    table = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith(f"{page.commit()} |")]
    assert [line.split("|")[1].strip() for line in table] == ["malformed PNG", "planted names"]


def test_silence_about_a_file_is_seen() -> None:
    def answer(images: list[tuple[str, int]], sentences: list[str]) -> Answer:
        listed = [{"file": name, "slices": slices} for name, slices in images]
        return Answer({"images": listed, "unreadable": [{"message": s} for s in sentences], "warnings": []})

    good, bad = (GOOD[0], 1), [("bcd.png", b"")]
    assert said_of(answer([good], []), bad)
    assert not said_of(answer([good], ["bcd.png: damaged."]), bad)
    assert not said_of(answer([good, ("bcd.png", 1)], []), bad)
    three = [(f"IM{n}.dcm", b"") for n in range(3)]
    assert said_of(answer([good, ("series-1", 2)], []), three), "a slice is dropped in silence"
    assert not said_of(answer([good, ("series-1", 2)], ["DICOM: damaged."]), three)


def test_planted_names_are_found_where_they_are() -> None:
    for what, files in uploads().items():
        assert found(files), f"{what}: the row that looks for them can see them"
    assert not found([GOOD])


def test_memory_is_that_of_all_children_and_a_hang_is_ended(tmp_path: Path) -> None:
    child = "a = b'x' * 300_000_000; import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    ran = run(["-c", parent], 3, dict(os.environ), tmp_path)
    assert ran.code is None and ran.peak > 300_000_000
    with Peak(os.getpid(), tmp_path) as peak:
        (tmp_path / "seen").write_bytes(b"")
        ran = run(["-c", "print(1)"], 20, dict(os.environ), tmp_path)
    assert ran.code == 0 and ran.out == "1\n" and any(name.endswith("seen") for name in peak.names)

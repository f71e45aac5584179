"""Reading in a child process: what ends it costs its file alone, and nothing of it stays behind."""

from __future__ import annotations

import bz2
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import BROKEN, HEAD, SCAN, attach, inside, lay, read, series, zipped
from PIL import Image

from lgg_demo.case import Case, Notice, ReadError
from lgg_demo.reading import guard
from lgg_demo.reading.guard import Limits, Stopped
from lgg_demo.reading.studies import Request, read_cases
from lgg_demo.reading.watch import opening

LITTLE = Limits(memory=300_000_000, file_seconds=2.0, seconds=300.0)
Event = Case | ReadError | Notice


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a file of its own in the temporary folder, nor a process."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = children()
    yield
    assert list(folder.iterdir()) == []
    assert children() <= before


def children() -> set[int]:
    """The processes that this one has started and not yet seen to their end, zombies too."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(place.parent.name))
    return found


def events(paths: list[Path] | Path, limits: Limits = LITTLE, **more: Any) -> list[Event]:
    inputs = [paths] if isinstance(paths, Path) else paths
    return list(guard.read(Request(tuple(inputs), **more), limits=limits))


def said(found: list[Event]) -> list[tuple[str, str]]:
    return [(e.file, e.sentence.key) for e in found if not isinstance(e, Case)]


def names(found: list[Event]) -> list[str]:
    return [e.scan.files[0][0] for e in found if isinstance(e, Case)]


def plain(value: Any) -> Any:
    """What an event holds, for NumPy to compare."""
    if isinstance(value, ReadError):
        return value.file, value.sentence
    if is_dataclass(value) and not callable(value):
        return type(value).__name__, {name: plain(inner) for name, inner in vars(value).items()}
    return dict(value) if isinstance(value, Mapping) else value


def test_all_comes_through_the_pipe_as_it_is_read_here(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"ann_flair.nii": SCAN, "ann_t1.nii": SCAN, "ann_seg.nii": 10, "bob_flair.nii": SCAN})
    lay(folder, {"x/flair.nii": BROKEN, "s_1.png": SCAN, "s_1_mask.png": 20, "x_adc.nii": SCAN})
    Image.fromarray(np.dstack([HEAD.flair[5]] * 2 + [HEAD.flair[6]])).save(folder / "colour.png")
    series(folder / "dicom")
    here = read([folder, zipped(tmp_path / "x.zip", inside(folder))])
    there = events([folder, tmp_path / "x.zip"])
    assert {type(e).__name__ for e in there} == {"Study", "Case", "ReadError", "Notice"}
    for kind, wanted in ((Case, here.cases), (ReadError, here.errors), (Notice, here.notices)):
        assert wanted
        np.testing.assert_equal([plain(e) for e in there if isinstance(e, kind)], [plain(e) for e in wanted])
    assert all(e.scan.pixels.strides[-1] == 0 for e in there if isinstance(e, Case) and e.scan.grey)


def bombs(folder: Path) -> dict[str, bytes]:
    """Files of few bytes that take more memory or time than any MRI."""
    packed = bz2.BZ2Compressor()
    block = bytes(10_000_000)
    data = b"".join(packed.compress(block) for _ in range(60)) + packed.flush()
    path = zipped(folder / "lie.zip", {"a.nii": b"x" * len(data)}, zipfile.ZIP_STORED)  # 600 MB, said to be 1,000 bytes
    raw = bytearray(path.read_bytes())
    start = raw.index(b"x" * len(data))
    raw[start : start + len(data)] = data
    for mark, method, size in ((b"PK\1\2", 10, 24), (b"PK\3\4", 8, 22)):
        at = raw.index(mark)
        raw[at + method : at + method + 2] = (12).to_bytes(2, "little")
        raw[at + size : at + size + 4] = (1000).to_bytes(4, "little")
    path.unlink()
    return {"lie.zip": bytes(raw), "scans.jpg": endless_jpeg()}


def endless_jpeg(scans: int = 20_000) -> bytes:
    """A progressive JPEG whose last scan comes over and over again: each goes over the whole picture."""
    data = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (2048, 2048)).astype(np.uint8)
    Image.fromarray(noise).save(data, "JPEG", progressive=True, quality=5)
    raw = data.getvalue()
    last = raw.rindex(b"\xff\xda")
    scan = raw[last : last + 2 + int.from_bytes(raw[last + 2 : last + 4])] + b"\0"
    return raw[:-2] + scan * scans + b"\xff\xd9"


def test_a_bomb_costs_itself_alone(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"a.png": SCAN, "z_flair.nii": SCAN})
    for name, data in bombs(tmp_path).items():
        (folder / name).write_bytes(data)
    begun = time.monotonic()
    found = events(folder)
    assert sorted(names(found)) == ["a.png", "z_flair"]
    assert sorted(file for file, _ in said(found)) == ["lie.zip", "scans.jpg"]
    assert dict(said(found))["scans.jpg"] == "reading_too_long"
    assert dict(said(found))["lie.zip"] in ("zip_too_large", "damaged", "reading_ended")
    assert time.monotonic() - begun < 150


# Children that do what the test says


def deadly(request: Request, work: Path) -> Iterator[Any]:
    """`read_cases` that dies over any file with a word in its name, once all is planned."""
    (work / "litter").write_text("x")
    (folder,) = request.inputs
    for event in read_cases(request, work):
        yield event
        for file in sorted(Path(str(folder)).iterdir()) if event == request.done else []:
            ends = ENDS.get(file.name.split("_")[0].split(".")[0])
            if ends and file not in request.skip:
                opening(file, 0.3)
                ends()


def busy() -> None:
    while True:
        pass


ENDS = {
    "deadly": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "greedy": lambda: bytearray(5_000_000_000),
    "busy": busy,
}


def sleepy(*_: object) -> Iterator[Any]:
    opening(Path("slow.png"))
    time.sleep(600)
    yield 0


def clumsy(*_: object) -> Iterator[Any]:
    opening(Path("odd.png"))
    raise RuntimeError("DOE^JANE")
    yield 0


@pytest.mark.parametrize(
    ("name", "key"),
    [("deadly.png", "reading_ended"), ("greedy.png", "reading_ended"), ("busy.png", "reading_too_long")],
)
def test_a_file_that_ends_its_child_is_told_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    monkeypatch.setattr(guard, "read_cases", deadly)
    folder = lay(tmp_path / "in", {name: SCAN, "a.png": SCAN, "b.png": BROKEN, "c_adc.nii": SCAN, "z_flair.nii": SCAN})
    found = events(folder)
    assert names(found) == ["a.png", "z_flair"]
    assert sorted(said(found)) == sorted([(name, key), ("b.png", "not_an_image"), ("c_adc", "others_beside")]), "once each"


def test_after_many_such_files_the_call_is_given_up_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "read_cases", deadly)
    monkeypatch.setattr(guard, "MOST_DEATHS", 2)
    folder = lay(tmp_path / "in", {f"deadly_{n}x.png": SCAN for n in range(4)} | {"z_flair.nii": SCAN})
    found = events(folder)
    assert said(found) == [
        ("deadly_0x.png", "reading_ended"), ("deadly_1x.png", "reading_ended"), ("deadly_1x.png", "reading_given_up"),
    ]  # fmt: skip


def test_a_case_that_ends_its_child_again_and_again_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "read_cases", deadly)
    monkeypatch.setattr(guard, "CASE_DEATHS", 2)
    folder = lay(tmp_path / "in", {f"deadly_{n}x.png": SCAN for n in range(2)} | {"z_flair.nii": SCAN, "a.png": SCAN})
    assert names(events(folder)) == ["z_flair"], "the first case is not tried again"


def test_a_call_has_a_time_limit_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "read_cases", sleepy)
    found = events(tmp_path, replace(LITTLE, seconds=8.0))  # on a busy machine the child has not yet said what it opens
    assert [key for _, key in said(found)] == ["reading_too_long", "reading_given_up"]


def test_whoever_left_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "read_cases", sleepy)
    left = threading.Event()
    threading.Timer(1.0, left.set).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        list(guard.read(Request((tmp_path,)), left.is_set))
    assert time.monotonic() - begun < 10
    monkeypatch.setattr(guard, "read_references", sleepy)
    with pytest.raises(Stopped):
        guard.attach([], [], lambda: True)


def test_an_answer_that_nobody_takes_ends_the_work(tmp_path: Path) -> None:
    reading = guard.read(Request((lay(tmp_path / "in", {"a.png": SCAN, "b_flair.nii": SCAN}),)))
    assert isinstance(next(reading), Case)
    reading.close()  # type: ignore[attr-defined]


def test_a_fault_of_our_own_is_one_sentence_and_a_line_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "read_cases", clumsy)
    monkeypatch.setattr(guard, "MOST_DEATHS", 1)
    assert said(events(tmp_path))[0] == ("odd.png", "damaged")
    assert "RuntimeError in test_guard.py" in caplog.text and "DOE" not in caplog.text


def test_a_prepared_child_is_the_next_ones(tmp_path: Path) -> None:
    guard.prepare()
    guard.prepare()
    assert len(guard._prepared) == 1
    assert names(events(lay(tmp_path / "in", {"a.png": SCAN}))) == ["a.png"] and not guard._prepared


# References


def test_references_come_through_the_pipe(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"ann_flair.nii": SCAN, "s_1.png": SCAN, "s_2.png": SCAN})
    lay(tmp_path / "truth", {"ann_seg.nii": 10, "s_2_mask.png": 20, "carl.png": 30})
    cases = read(tmp_path / "in").cases
    attached, errors = guard.attach(cases, [tmp_path / "truth"], limits=LITTLE)
    here, told = attach(cases, [tmp_path / "truth"], tmp_path / "work")
    np.testing.assert_equal([plain(case) for case in attached], [plain(case) for case in here])
    assert errors and [plain(e) for e in errors] == [plain(e) for e in told]


def test_a_bomb_among_the_references_costs_itself_alone(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"a.png": SCAN, "b.png": SCAN})
    lay(tmp_path / "truth", {"b_mask.png": 20})
    (tmp_path / "truth" / "a_mask.jpg").write_bytes(endless_jpeg())
    cases = read(tmp_path / "in").cases
    attached, errors = guard.attach(cases, [tmp_path / "truth"], limits=LITTLE)
    assert [c.reference is not None for c in attached] == [False, True]
    assert [(e.file, e.sentence.key) for e in errors] == [("a_mask.jpg", "reading_too_long")]


def test_reading_imports_no_network_and_draws_nothing() -> None:
    code = "import sys, lgg_demo.reading; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "monai", "matplotlib", "gradio", "lightning", "sklearn", "pandas", "highdicom"}
    assert heavy & set(loaded) == set() and "lgg_demo.reading.guard" in loaded

"""The one walk over what is given: files, folders and zips, without what is hidden, hostile or an earlier run's."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest
from helpers import (
    BROKEN,
    PLANTED,
    SCAN,
    STACK,
    attach,
    directory,
    inside,
    lay,
    nifti,
    only,
    read,
    rows_of,
    said,
    series,
    turned,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lgg_demo.messages import CATALOGUE
from lgg_demo.output.files import write_outputs
from lgg_demo.output.report import build_report
from lgg_demo.output.result import REMOVED, result_of
from lgg_demo.reading import archive
from lgg_demo.reading.archive import Given, walk


def keys(paths: list[Path] | Path) -> list[str]:
    """The sentences of an upload of which nothing can be used."""
    found = read(paths)
    assert found.cases == []
    return [key for _, key in said(found)]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_items_have_the_place_that_the_user_knows(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"p/s_10.png": SCAN, "p/s_2.png": SCAN})
    packed = zipped(
        tmp_path / "x.zip", {"p/s_1.png": b"1", "p\\s_2.png": b"2", "__MACOSX/._p.png": b"3", ".DS_Store": b"4"}
    )
    found = walk([tmp_path / "in", packed, Given(tmp_path / "in" / "p" / "s_2.png", "ann", "flair")], tmp_path / "work")
    assert not found.errors and not found.notices and not found.incomplete
    assert [(i.place.relative_to(tmp_path).as_posix(), i.shown, i.told, i.named, i.role) for i in found.items] == [
        ("in/p/s_2.png", "s_2.png", 2, True, "flair"),  # given twice, what is said of it counts
        ("in/p/s_10.png", "p/s_10.png", 3, False, None),
        ("x.zip/p/s_1.png", "s_1.png", 3, False, None),
        ("x.zip/p/s_2.png", "s_2.png", 3, False, None),
    ]
    assert [i.path.read_bytes() for i in found.items[2:]] == [b"1", b"2"]
    assert all((tmp_path / "work") in i.path.parents for i in found.items[2:])


@pytest.mark.parametrize("twice", [["", ""], ["", "s_1.png"], ["s_1.png", ""], ["s_1.png", "s_1.png"]])
def test_a_file_that_is_given_twice_is_read_once(tmp_path: Path, twice: list[str]) -> None:
    lay(tmp_path, {"s_1.png": SCAN})
    found = read([tmp_path / name for name in twice])
    assert [len(c.scan) for c in found.cases] == [1] and not found.errors


def test_zips_of_everything(tmp_path: Path, temporary: Path) -> None:
    series(tmp_path / "s")
    files = {f"DICOM/{PLANTED}/{name}": data for name, data in inside(tmp_path / "s").items()}
    lay(tmp_path / "n", {"sub-01_flair.nii.gz": SCAN, "sub-01_seg.nii.gz": 10, "p_0.png": SCAN, "p_1.png": SCAN})
    files |= {f"brats\\{name}" if "sub" in name else f"png/{name}": data for name, data in inside(tmp_path / "n").items()}
    files |= {"__MACOSX/._p_0.png": b"x", ".DS_Store": b"x", "README.txt": b"x", "empty": b"", "odd.bin": b"PK", "d/": b""}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2):
        found = read(zipped(tmp_path / "all.zip", files, method))
        assert not found.errors and not found.notices
        assert sorted(c.scan.name for c in found.cases) == ["p", "series-3", "sub-01_flair"]
        assert list(temporary.iterdir()) == []


def test_namesakes_in_a_zips_folders(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {f"{p}/{n}": SCAN for p in ("a", "b", "A") for n in ("1.png", "flair.nii")})
    lay(folder, {"a/1_mask.png": 10, "b/1_mask.png": 20, "a/seg.nii": 30, "b/seg.nii": 40})
    found = rows_of(read(zipped(tmp_path / "x.zip", inside(folder))))
    assert set(found) == {"1.png", "1 (2).png", "1 (3).png", "flair", "flair (2)", "flair (3)"}
    assert sorted(found.values(), key=str) == [10, 20, 30, 40, None, None]


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"])
def test_no_path_out_of_a_zip(tmp_path: Path, name: str) -> None:
    assert keys(zipped(tmp_path / "x.zip", {name: b"x"})) == ["zip_unsafe"]
    assert not list(tmp_path.rglob("evil*"))


def test_links_nested_locked_and_broken_zips(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert keys(tmp_path / "link.zip") == ["zip_unsafe"]
    inner = zipped(tmp_path / "inner.zip", {"a.txt": b"x"}).read_bytes()
    for name in ("inner.zip", "inner"):
        assert keys(zipped(tmp_path / "outer.zip", {name: inner})) == ["zip_nested"]
    data = bytearray(zipped(tmp_path / "locked.zip", {"a.png": b"x"}).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    assert keys(tmp_path / "locked.zip") == ["zip_encrypted"]
    assert keys(zipped(tmp_path / "none.zip", {"a.txt": b"x"})) == ["nothing_inside"]
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(50))
    assert keys(tmp_path / "broken.zip") == ["damaged"]


def test_a_compression_that_is_not_read_is_called_that(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "x.zip", {"a.png": b"x" * 100}).read_bytes())
    for mark, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        at = data.index(mark) + place
        data[at : at + 2] = (95).to_bytes(2, "little")  # xz
    (tmp_path / "x.zip").write_bytes(data)
    assert keys(tmp_path / "x.zip") == ["zip_compression"]
    lay(tmp_path / "in", {"ann_flair.nii": SCAN})
    lzma = zipped(tmp_path / "lzma.zip", inside(tmp_path / "in"), zipfile.ZIP_LZMA)
    assert only(lzma).scan.name == "ann_flair", "what Python can unpack is read, or said to be no usual compression"


def test_a_full_disk_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    lay(tmp_path / "in", {"ann_flair.nii": SCAN})
    packed = zipped(tmp_path / "x.zip", inside(tmp_path / "in"))
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", full)
        assert keys(packed) == ["disk_full"]
    assert only(packed).scan.name == "ann_flair", "and the next is read"


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED", 1_000_000)
    bomb = zipped(tmp_path / "bomb.zip", {"a.nii": bytes(2_000_000)})
    assert keys(bomb) == ["zip_too_large"]
    data = bytearray(bomb.read_bytes())
    for mark, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # the directory lies about the size
        at = data.index(mark) + place
        data[at : at + 4] = (1000).to_bytes(4, "little")
    bomb.write_bytes(data)
    assert keys(bomb) in (["zip_too_large"], ["damaged"])
    half = [zipped(tmp_path / f"{n}.zip", {"a.txt": bytes(600_000)}) for n in range(2)]
    assert sorted(keys(half)) == ["nothing_inside", "zip_too_large"]  # together
    monkeypatch.setattr(archive, "MOST_FILES", 5)
    assert keys(zipped(tmp_path / "many.zip", {f"{n}.png": b"" for n in range(6)})) == ["too_many_files"]


def test_too_many_files_are_cut_and_said_to_be(tmp_path: Path) -> None:
    lay(tmp_path, {f"{n}_x.png": SCAN for n in range(4)})
    found = read(tmp_path, most_files=3)
    assert sum(len(c.scan) for c in found.cases) == 3 and said(found) == [("3_x.png", "too_many_files")]


def test_only_a_zip_is_a_zip(tmp_path: Path) -> None:
    """A talk, or NumPy's arrays, are zips by content; what lies beside them, or beside a zip in a zip, is read."""
    lay(tmp_path / "pictures", {"image1.png": SCAN})
    other = zipped(tmp_path / "x", inside(tmp_path / "pictures")).read_bytes()
    folder = lay(tmp_path / "in", {"ann_flair.nii.gz": SCAN, "seg.nii.gz": 10})
    for name in ("talk.pptx", "case.npz"):
        (folder / name).write_bytes(other)
        assert keys(folder / name) == ["unknown_type"]
    for given_paths in (folder, zipped(tmp_path / "y.zip", inside(folder))):
        assert list(rows_of(read(given_paths)).values()) == [10]
    found = read(zipped(tmp_path / "z.zip", inside(folder) | {"bob.zip": other, "carl": other}))
    assert rows_of(found) == {"ann_flair": None}, "the mask may be of a scan in one of the two"
    assert [key for _, key in said(found)] == ["zip_nested", "zip_nested", "mask_unmatched"]


def test_letters_beyond_ascii_in_a_zip(tmp_path: Path) -> None:
    scan = nifti(tmp_path / "x.nii", *turned("LPS")).read_bytes()
    for shown, name, flagged in (("théo", "théo", True), ("théo", "théo", False), ("été", "été", None)):
        packed = zipped(tmp_path / "x.zip", {f"{name}.nii": scan})
        data = packed.read_bytes()
        if flagged is None:  # MS-DOS's own
            data = data.replace(name.encode(), name.encode("cp437") + b"_" * name.count("é"))
        if not flagged:
            for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
                at = data.index(mark) + place
                data = data[:at] + bytes(2) + data[at + 2 :]
        packed.write_bytes(data)
        assert only(packed).scan.name.rstrip("_") == shown


def test_a_name_that_no_disk_holds_costs_nothing(tmp_path: Path) -> None:
    lay(tmp_path / "in", {"flair.nii.gz": SCAN, "bob_flair.nii.gz": SCAN})
    files = inside(tmp_path / "in")
    long = f"{'é' * 250}_flair.nii.gz"
    deep = f"{'d' * 250}/{'e' * 250}/bob_flair.nii.gz"
    found = read(zipped(tmp_path / "x.zip", {long: files["flair.nii.gz"], deep: files["bob_flair.nii.gz"]}))
    assert not found.errors and len(found.cases) == 2
    found = read(tmp_path / f"{'a' * 300}.png")
    assert [key for _, key in said(found)] == ["not_found"]


def test_a_zip_of_no_date(tmp_path: Path) -> None:
    scan = lay(tmp_path, {"ann_flair.nii": SCAN}) / "ann_flair.nii"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        entry = zipfile.ZipInfo("ann_flair.nii")
        entry.date_time = (1980, 0, 0, 31, 63, 62)
        file.writestr(entry, scan.read_bytes())
    assert only(tmp_path / "x.zip").scan.name == "ann_flair"


def test_what_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "a.dcm").touch()
    gone = [tmp_path / "gone.nii", tmp_path / "gone", tmp_path / "gone.png"]
    assert sorted(keys([tmp_path / "notes.txt", tmp_path / "a.dcm", *gone])) == [
        "empty_file", "not_found", "not_found", "not_found", "unknown_type",
    ]  # fmt: skip
    assert read([]) == ([], [], [])
    disc = directory(tmp_path / "DICOMDIR")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("hello")
    assert keys(disc) == ["nothing_inside"] and keys(tmp_path / "bare") == ["no_images"]
    lay(tmp_path / "good", {"ann_flair.nii": SCAN, "broken.nii": BROKEN})
    found = read([tmp_path / "good", tmp_path / "bare"])
    assert len(found.cases) == 1 and said(found) == [("broken.nii", "not_a_nifti"), ("bare", "no_images")]


def test_a_volume_of_another_program_is_not_passed_over(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"ann_flair.nii": SCAN, "bob.mha": BROKEN, "notes.md": BROKEN})
    for upload in (folder, zipped(tmp_path / "x.zip", inside(folder))):
        found = read(upload)
        assert len(found.cases) == 1 and said(found) == [("bob.mha", "unknown_type")]


# What earlier runs wrote


@pytest.mark.parametrize("way", ["folder", "loose", "zip"])
def test_what_an_earlier_run_wrote_is_passed_over_but_for_what_a_hand_corrected(tmp_path: Path, way: str) -> None:
    folder = lay(tmp_path / "in", {"p1/flair.nii": SCAN, "p2/flair.nii": SCAN})
    cases = read(folder).cases
    results = [result_of(c, np.full(c.scan.pixels.shape[:3], 255, np.uint8)) for c in cases]
    edits = np.zeros(results[1].probability.shape, np.uint8)
    edits[:, 10:] = REMOVED
    results[1] = replace(results[1], edits=edits)
    write_outputs(results, 0.5, build_report(results, 0.5, {}), folder)
    files = [p for p in folder.rglob("*") if p.is_file()]
    given_paths = {"folder": [folder], "loose": files}.get(way) or [
        zipped(tmp_path / "x.zip", {f"top/{name}": data for name, data in inside(folder).items()})
    ]
    found = read(given_paths)
    assert [(n.sentence.key, n.sentence.values["files"]) for n in found.notices] == [("outputs_beside", 3)]
    beside = {"report.json", "report.csv", "report.pdf"} if way == "loose" else set()
    assert {file for file, _ in said(found)} <= beside
    assert found.cases[0].reference is None
    np.testing.assert_array_equal(found.cases[1].reference, results[1].mask(0.5))
    (scored, _), errors = attach(found.cases, [folder / "p1" / "flair_mask.nii.gz"], tmp_path / "work")
    assert way == "zip" or (not errors and scored.reference is not None), "given for what it is"


def write_report(folder: Path, *names: str) -> None:
    (folder / "report.json").write_text(json.dumps({"software": "lgg-demo 1", "images": [], "written": names}))


@pytest.mark.parametrize("packed", [False, True])
def test_a_report_hides_nothing_that_no_run_writes(tmp_path: Path, packed: bool) -> None:
    hidden = "p1/x/flair_mask.nii.gz"
    folder = lay(tmp_path / "in", {"p1/x/flair.nii": SCAN, "p2/flair.nii": SCAN, "p2/mask.nii": 10, hidden: 20})
    (folder / "other").mkdir()
    write_report(folder, "p2/flair.nii", "p2/mask.nii", "p1/x/flair.nii", "flair")
    write_report(folder / "other", f"../{hidden}", str(folder / hidden))
    found = read(zipped(tmp_path / "x.zip", inside(folder)) if packed else folder)
    assert not found.errors and not found.notices and sorted(rows_of(found).values()) == [10, 20]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("later", "theirs"), [(-30, False), (30, False), (120, True)])
def test_a_mask_drawn_over_an_earlier_runs_is_the_users(tmp_path: Path, packed: bool, later: int, theirs: bool) -> None:
    folder = lay(tmp_path / "in", {"ann/flair.nii": SCAN, "ann/flair_mask.nii.gz": 10})
    write_report(folder, "ann/flair_mask.nii.gz")
    date = (folder / "report.json").stat().st_mtime
    os.utime(folder / "ann" / "flair_mask.nii.gz", (date + later, date + later))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            file.write(path, path.relative_to(folder))
    found = read(tmp_path / "x.zip" if packed else folder)
    assert [n.sentence.key for n in found.notices] == ([] if theirs else ["outputs_beside"])
    assert (found.cases[0].reference is not None) == theirs


# Whatever comes


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broken_zips(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        member = nifti(Path(folder) / "a.nii.gz", *turned("LPS", STACK[:2])).read_bytes()
        path = zipped(Path(folder) / "x.zip", {"b/a.nii.gz": member, "p.png": b"\x89PNG"})
        raw = bytearray(path.read_bytes())
        ends = st.integers(0, 80) | st.integers(len(raw) - 250, len(raw) - 1)
        for place in data.draw(st.lists(ends, max_size=5)):
            raw[place] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(raw[: data.draw(st.none() | st.integers(0, len(raw)))]))
        found = read(path)
        assert all(key in CATALOGUE for _, key in said(found)) and len(found.cases) <= 1


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["x", "x.nii", "x.nii.gz", "x.dcm", "x.zip", "x.png", "x.tif", "x.jpg", "x_mask.png"]),
    start=st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b\x08", bytes(128) + b"DICM", b"\x08\0", b"II*\0", b"\x89PNG"]),
    content=st.binary(max_size=300),
)
def test_any_bytes_under_any_name(name: str, start: bytes, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(start + content)
        found = read(path)
        assert all(file == name for file, _ in said(found)) and len(found.cases) <= 1
        assert found.cases or found.errors
        _, errors = attach([], [path], Path(folder) / "work")
        assert all(e.sentence.key in CATALOGUE and e.file == PurePath(name).name for e in errors)


def test_names_inside_a_zip_are_said_and_never_on_the_disk(tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", {"Quorvexley/Quorvexley flair.nii": SCAN, "Quorvexley/Quorvexley_2.nii": BROKEN})
    packed = zipped(tmp_path / "x.zip", inside(folder))
    found = walk([packed], tmp_path / "work")
    assert {i.place.name for i in found.items} == {"Quorvexley flair.nii", "Quorvexley_2.nii"}
    assert not [p for p in (tmp_path / "work").rglob("*") if "Quorvexley" in p.name]
    read_all = read([packed])
    assert [c.scan.name for c in read_all.cases] == ["Quorvexley flair"]
    assert [e.file for e in read_all.errors] == ["Quorvexley_2.nii"]
    assert "Quorvexley_2.nii" in str(read_all.errors[0].sentence)

"""Where uploads lie, who may take them, and when they are gone; folders that a killed process leaves; kept results."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import files_below
from loopback import until
from serving import tried

from lgg_demo.output.result import Result
from lgg_demo.page import uploads
from lgg_demo.page.blocks import delete_aside
from lgg_demo.page.session import Kept, Memory
from lgg_demo.page.uploads import IDLE_SECONDS, LONGEST_SECONDS, RESULT_SECONDS, FilesGone, NotAnUpload, UploadFolder
from lgg_demo.scratch import LOCK, PREFIX, UNLOCKED_SECONDS, clear_left_behind, scratch


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    return UploadFolder(tmp_path / "server")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds have gone by: change the one number of the list."""
    gone = [0.0]
    now, clock = time.time, time.monotonic
    monkeypatch.setattr(uploads.time, "time", lambda: now() + gone[0])
    monkeypatch.setattr(uploads.time, "monotonic", lambda: clock() + gone[0])
    return gone


def upload(folder: UploadFolder, sender: str = "me", name: str = "a.png") -> Path:
    with folder.receiving(sender):
        arriving = folder.uploads / "arriving"
        arriving.write_bytes(b"x")
        return folder.keep(arriving, name, sender)


def files(folder: UploadFolder) -> list[Path]:
    return files_below(folder.root)


def test_constants_keep_the_promise() -> None:
    """Nothing that is not in use is there after a minute, with a sweep every ten seconds."""
    from lgg_demo.page.gate import SILENT_SECONDS, SWEEP_SECONDS

    assert IDLE_SECONDS + SWEEP_SECONDS < 60 and SILENT_SECONDS + SWEEP_SECONDS < 60


def test_what_is_no_upload_is_refused_and_nothing_is_moved(folder: UploadFolder) -> None:
    own, other = upload(folder), upload(folder, "other")
    result = folder.new_result() / "a_mask.png"
    result.write_bytes(b"x")
    odd = tried(folder, other, result)
    before = sorted(folder.root.rglob("*"))
    for path in odd:
        with pytest.raises(NotAnUpload):
            folder.take([str(own), path])
    assert sorted(folder.root.rglob("*")) == before


def test_a_path_is_used_once(folder: UploadFolder) -> None:
    path = str(upload(folder))
    first, second = folder.take([path]), folder.take([path, path])
    assert [p.read_bytes() for p in first.paths] == [b"x"] and first.gone == []
    assert second.paths == [] and second.gone == ["a.png"] * 2
    first.delete()
    second.delete()
    assert files(folder) == []
    with pytest.raises(FilesGone), first.reading():
        pass


def test_what_nobody_waits_for_is_swept(folder: UploadFolder, later: list[float]) -> None:
    waits, forgotten = upload(folder), upload(folder, "other")
    held = folder.take([str(upload(folder, "third"))])
    result = folder.new_result() / "a_mask.png"
    result.write_bytes(b"x")
    broken = folder.uploads / "tmp123"  # of an upload that nobody knows of any more
    broken.write_bytes(b"x")
    later[0] = IDLE_SECONDS - 5
    folder.sweep({str(waits)})
    assert all(p.exists() for p in (waits, forgotten, broken, result, held.paths[0]))
    later[0] = IDLE_SECONDS + 1
    folder.sweep({str(waits)})
    assert waits.exists() and result.exists() and held.paths[0].exists()
    assert not forgotten.parent.exists() and not broken.exists()
    later[0] = LONGEST_SECONDS * 10
    folder.sweep({str(waits)})
    assert waits.exists(), "however long the line is"
    assert not result.parent.exists() and later[0] > RESULT_SECONDS
    folder.sweep(set())
    assert files(folder) == held.paths


def test_files_of_one_sender_wait_for_one_another(folder: UploadFolder, later: list[float]) -> None:
    """A study of hundreds of files takes longer than a minute to send; nobody waits for ever, though."""
    first = upload(folder)
    for _ in range(5):
        later[0] += IDLE_SECONDS - 5
        upload(folder)
        folder.sweep(set())
        assert first.exists()
    while later[0] < LONGEST_SECONDS:
        later[0] += IDLE_SECONDS - 5
        upload(folder)
    folder.sweep(set())
    assert not first.exists()


def test_what_is_being_written_is_not_swept_and_not_left(folder: UploadFolder, later: list[float]) -> None:
    with pytest.raises(ConnectionError), folder.receiving("me") as written:
        written.append(folder.uploads / "tmp1")
        written[0].write_bytes(b"x")
        later[0] = LONGEST_SECONDS + 1
        folder.sweep(set())
        assert written[0].exists()
        raise ConnectionError
    assert files(folder) == []


def test_a_sweep_goes_on_past_what_it_cannot_delete(
    folder: UploadFolder, later: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [folder.uploads / "folder" / "in" / "it", folder.results / "file", folder.uploads / "link"]
    odd[0].mkdir(parents=True)
    odd[1].write_bytes(b"x")
    odd[2].symlink_to("/etc/passwd")
    first, second = upload(folder), upload(folder)
    unlink = Path.unlink

    def refuses(path: Path, missing_ok: bool = False) -> None:
        if path == odd[2]:
            raise PermissionError
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuses)
    later[0] = LONGEST_SECONDS + 1
    folder.sweep(set())
    assert not any(p.exists() for p in (odd[0], odd[1], first, second)) and Path("/etc/passwd").exists()


# Folders of a process


HOLD = """
import sys, time
from pathlib import Path
from lgg_demo.scratch import scratch
with scratch(sys.argv[1]) as inside:
    (inside / "patient.png").write_bytes(b"x")
    print(inside, flush=True)
    time.sleep(60)
"""


def test_a_start_clears_what_a_killed_run_left_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / "notes", tmp_path / f"{PREFIX}file"]
    others[0].mkdir()
    others[1].write_bytes(b"x")
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    for unlocked in (young, old):
        unlocked.mkdir()
    os.utime(old, (0, time.time() - UNLOCKED_SECONDS - 10))
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(target)
    runs = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    inside = [Path(str(run.stdout.readline()).strip()) for run in runs if run.stdout]
    try:
        runs[0].send_signal(signal.SIGKILL)
        runs[0].wait()
        assert (inside[0] / "patient.png").exists()
        assert clear_left_behind([tmp_path, tmp_path / "nowhere"]) == 2
        assert not inside[0].parent.exists() and not old.exists()
        assert (
            (inside[1] / "patient.png").exists() and young.exists() and target.exists() and all(p.exists() for p in others)
        )
    finally:
        for run in runs:
            run.kill()
            run.wait()


def test_a_scratch_folder_is_locked_private_and_gone(tmp_path: Path) -> None:
    with scratch(tmp_path) as inside:
        assert list(inside.iterdir()) == [] and (inside.parent / LOCK).exists()
        assert inside.parent.stat().st_mode & 0o777 == inside.stat().st_mode & 0o777 == 0o700
        assert clear_left_behind([tmp_path]) == 0
    assert list(tmp_path.iterdir()) == []


# Kept results


def kept(megabytes: int) -> Kept:
    quantised = np.zeros((megabytes, 1024, 512), dtype=np.uint8)
    return Kept((Result((), (), quantised, None, None),), (quantised.copy(),))


def test_the_longest_unused_results_are_dropped_first() -> None:
    memory = Memory(10 * 2**20)
    some = [kept(3) for _ in range(3)]
    for one in some:
        memory.used(one)
    memory.used(some[0])
    memory.used(kept(3))
    assert [k.dropped for k in some] == [False, True, False]
    assert some[1].results == () and some[1].pictures == () and some[0].results


def test_the_newest_result_is_kept_whatever_its_size() -> None:
    memory = Memory(2**20)
    small, large = kept(1), kept(4)
    memory.used(small)
    memory.used(large)
    assert small.dropped and not large.dropped


def test_what_no_session_has_any_more_is_not_counted() -> None:
    memory = Memory(10 * 2**20)
    first = kept(6)
    memory.used(first)
    memory.used(kept(4))  # at once forgotten
    gc.collect()
    memory.used(third := kept(4))
    assert not first.dropped and not third.dropped


def test_the_size_counts_every_array() -> None:
    quantised = np.zeros((2, 4, 4), dtype=np.uint8)
    reference = np.zeros((2, 4, 4), dtype=bool)
    result = Result((), (), quantised, reference, np.ones(2, dtype=bool), edits=quantised.copy())
    assert Kept((result,), (quantised.copy(),)).size == 4 * 32 + 2


def test_files_that_expire_while_they_are_read_keep_nobody_waiting(folder: UploadFolder) -> None:
    """Gradio deletes what has expired on its event loop, which the run that reads the files needs to go on."""
    held = folder.take([str(upload(folder))])
    with held.reading() as paths:
        delete_aside(held)
        assert paths[0].exists()
    assert until(lambda: not files(folder))
    delete_aside(None)

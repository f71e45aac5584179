"""The server under clients that are not its page: others' files, odd requests, a full line, a full disk, no traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import needs_browser
from gradio_client import Client, handle_file

from lgg_demo.case import Scan
from lgg_demo.messages import say
from lgg_demo.page import gate, gradio_patches, handlers, uploads
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.phantom import draw_head, write_phantom
from lgg_demo.page.server import launch_page

HTTP = httpx.Client(timeout=60)


class Drawn:
    """Stands for a `Segmenter`: outlines what is bright, a slice at a time, as slowly as is asked for."""

    def __init__(self) -> None:
        self.record = {"name": "drawn", "sha256": "0" * 64}
        self.seconds = 0.0
        self.slices = 0

    def segment(self, scan: Scan, progress: Callable[[int, int], None]) -> np.ndarray:
        flair = scan.pixels[..., 1]
        for done in range(len(scan)):
            time.sleep(self.seconds)
            progress(done + 1, len(scan))
            self.slices += 1
        return np.where(flair > 0.8 * flair.max(), 255, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any, Page]]:
    """Where the page is served, its Blocks and its handlers."""
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr(gate, "SWEEP_SECONDS", 0.5)
        page = Page(Drawn())  # type: ignore[arg-type]
        demo = build(page)
        _, url, _ = launch_page(demo, prevent_thread_lock=True, quiet=True)
        yield url.rstrip("/"), demo, page
        demo.close()
    assert not any((folder / name).exists() for name in ("uploads", "taken", "results")), "gone with the server"


@pytest.fixture
def url(served: tuple[str, Any, Page]) -> Iterator[str]:
    served[2].segmenter.seconds = 0.0  # type: ignore[attr-defined]
    yield served[0]


@pytest.fixture
def page(served: tuple[str, Any, Page]) -> Page:
    return served[2]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_phantom(tmp_path, "case", draw_head(1, size=96))[0]


def send(url: str, file: Path, **headers: str) -> str:
    """Upload a file; the path that the server answers."""
    with file.open("rb") as body:
        answer = HTTP.post(f"{url}/gradio_api/upload", files={"files": (file.name, body)}, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0])


def given(path: object) -> dict[str, Any]:
    """A file as Gradio's clients name it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def ask(url: str, fn: int, data: Any, session: str = "", **headers: str) -> dict[str, Any]:
    """What the server answers in the end to a call: the message `process_completed`, or what it said to the request."""
    session = session or os.urandom(6).hex()
    body = json.dumps({"fn_index": fn, "data": data, "session_hash": session})
    headers |= {"content-type": "application/json"}
    joined = HTTP.post(f"{url}/gradio_api/queue/join", content=body, headers=headers)
    if joined.status_code != 200:
        return {"success": False, "status": joined.status_code, "output": {"error": joined.json()["detail"]}}
    with HTTP.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return dict(message)
    raise AssertionError("no answer")


def fn_of(demo: Any, name: str) -> Any:
    return next(fn for fn in demo.fns.values() if fn.name == name)


def ordinary(component: Any) -> Any:
    """What the page sends for an input that nothing is tried with."""
    values = {"state": None, "file": None, "slider": 0.5, "radio": "en"}
    return values.get(component.get_block_name())


@contextmanager
def others(url: str, page: Page, image: Path) -> Iterator[dict[str, Any]]:
    """Another user's files in the server: an upload that waits, a result, and all that may be tried to get at them."""
    upload = Path(send(url, image))
    (answer,) = [
        Client(url, verbose=False, download_files=False).predict([handle_file(image)], None, 0.5, api_name="/segment")
    ]
    result = Path(answer[1][0]["path"] if isinstance(answer[1][0], dict) else answer[1][0])
    own = Path(send(url, image))
    link = own.with_name("link.png")
    link.symlink_to(upload)
    fifo = own.with_name("fifo")
    os.mkfifo(fifo)
    root = page.folder.root
    yield {
        "kept": [upload, result],
        "tried": [
            root, page.folder.uploads, page.folder.results, page.folder.taken, upload.parent, result.parent, own.parent,
            result, "/etc/passwd", link, fifo, own.parent / ".." / upload.parent.name / upload.name,
            f"{own.parent}//{own.name}", f"{upload.parent}/", f"{upload.parent}/.", f"{page.folder.uploads}/", "/", "",
            str(upload).upper(), upload.name, f"file://{upload}", "http://127.0.0.1:9/x.png", f"{upload}\0", None, 7,
            ["x"], {"path": str(upload)}, page.folder.uploads / ("0" * 63) / "x.png", f"{upload}/x.png",
        ],
    }  # fmt: skip
    shutil.rmtree(own.parent, ignore_errors=True)
    page.folder.discard([str(upload)])


def test_no_endpoint_takes_what_the_request_did_not_upload(
    served: tuple[str, Any, Page], url: str, page: Page, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every endpoint that takes a file, so that a new one is not forgotten, with every path of another's."""
    demo = served[1]
    taking = [(fn, n) for fn in demo.fns.values() for n, c in enumerate(fn.inputs) if c.get_block_name() == "file"]
    assert {fn.name for fn, _ in taking} == {"on_scan", "on_reference", "segment"}
    with others(url, page, image) as there:
        before = {p: (stat.S_IMODE(p.parent.stat().st_mode), p.read_bytes()) for p in there["kept"]}
        capfd.readouterr()
        for fn, place in taking:
            for path in there["tried"]:
                data = [ordinary(c) for c in fn.inputs]
                data[place] = [given(str(path) if isinstance(path, Path) else path)]
                answer = ask(url, fn._id, data)
                assert (answer["success"], answer["output"]["error"]) == (False, say("not_an_upload", "en")), path
        told = capfd.readouterr()
        assert str(page.folder.root) not in told.err + told.out and "Traceback" not in told.err
        assert before == {p: (stat.S_IMODE(p.parent.stat().st_mode), p.read_bytes()) for p in there["kept"]}
        assert Path("/etc/passwd").exists()


def test_one_refused_file_moves_none_of_the_others(
    served: tuple[str, Any, Page], url: str, page: Page, image: Path
) -> None:
    with others(url, page, image) as there:
        fn = fn_of(served[1], "segment")
        answer = ask(url, fn._id, [[given(send(url, image)), given(str(there["kept"][0].parent))], None, 0.5])
        assert answer["output"]["error"] == say("not_an_upload", "en")
        assert all(p.is_file() for p in there["kept"])


def test_an_upload_is_used_once(served: tuple[str, Any, Page], url: str, image: Path) -> None:
    fn, path = fn_of(served[1], "segment"), send(url, image)
    assert ask(url, fn._id, [[given(path)], None, 0.5])["success"]
    again = ask(url, fn._id, [[given(path)], None, 0.5])
    assert again["output"]["error"] == say("upload_gone", "en", file=image.name)


def test_nothing_but_results_is_served(url: str, page: Page, image: Path) -> None:
    with others(url, page, image) as there:
        upload, result = there["kept"]
        assert HTTP.get(f"{url}/gradio_api/file={result}").content == result.read_bytes()
        for path in [upload, *there["tried"]]:
            if path != result:
                answer = HTTP.get(f"{url}/gradio_api/file=" + str(path).replace("\0", "%00"))
                assert answer.status_code == 404 and upload.name not in answer.text
        inside = result.parent
        for path in (f"{inside}/../{inside.name}/{result.name}", f"{inside}/./{result.name}", f"{inside}//{result.name}"):
            connection = HTTPConnection(url.removeprefix("http://"))  # httpx would tidy the path up
            connection.request("GET", f"/gradio_api/file={path}")
            assert connection.getresponse().status == 404


def test_folders_are_for_their_user_alone(page: Page, url: str, image: Path) -> None:
    upload = Path(send(url, image))
    folders = [page.folder.uploads, page.folder.taken, page.folder.results, upload.parent, page.folder.new_result()]
    assert {stat.S_IMODE(f.stat().st_mode) for f in folders} == {0o700}
    assert stat.S_IMODE(upload.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "address",
    [
        "POST /gradio_api/component_server", "POST /gradio_api/process_recording", "GET /gradio_api/proxy=http://127.0.0.1:9/",
        "POST /gradio_api/vibe-edit", "GET /gradio_api/deep_link", "GET /gradio_api/file/etc/passwd", "GET /monitoring",
        "POST /gradio_api/run/segment", "GET /gradio_api/custom_component/a/client/b/c", "GET /gradio_api/run_history",
        "POST /login", "GET /gradio_api/dev/reload", "PUT /gradio_api/upload", "GET /gradio_api/file=http://127.0.0.1:9/",
    ],
)  # fmt: skip
def test_no_other_address_is_answered(url: str, address: str) -> None:
    method, _, path = address.partition(" ")
    assert HTTP.request(method, f"{url}{path}").status_code == 404


WRONG = [None, float("nan"), float("inf"), "0.5", True, -0.1, 1.1, [], {}, 10**400]


@pytest.mark.parametrize("value", WRONG, ids=str)
def test_a_wrong_threshold_is_one_sentence(
    served: tuple[str, Any, Page], url: str, image: Path, value: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = send(url, image)
    capfd.readouterr()
    answer = ask(url, fn_of(served[1], "segment")._id, [[given(path)], None, value])
    assert answer["output"]["error"] == say("request_refused", "en")
    assert not Path(path).exists(), "a refused upload is gone at once"
    assert len(capfd.readouterr().err.splitlines()) == 1


def odd_calls(demo: Any) -> Iterator[tuple[Any, Any]]:
    """For every endpoint, also those that are not of the API: values that its page never sends."""
    for fn in demo.fns.values():
        usual = [ordinary(c) for c in fn.inputs]
        for data in ([], [*usual, 1], usual[:-1]):
            if len(data) != len(usual):
                yield fn, data
        for n, component in enumerate(fn.inputs):
            if component.get_block_name() == "state":
                continue
            for odd in (
                7.5,
                {"a": 1},
                ["x"],
                [[[[]]]],
                {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
                True,
            ):
                yield fn, [*usual[:n], odd, *usual[n + 1 :]]
        if fn.fn is None:
            yield fn, usual


def test_odd_requests_are_one_sentence_and_one_line(
    served: tuple[str, Any, Page], url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sentences = {say(key, "fr") for key in ("request_refused", "not_an_upload")}
    for fn, data in odd_calls(served[1]):
        capfd.readouterr()
        answer = ask(url, fn._id, data, **{"accept-language": "fr"})
        assert answer["success"] is False and answer["output"]["error"] in sentences, (fn.name, data)
        told = capfd.readouterr()
        assert len(told.err.splitlines()) == 1 and "/etc" not in told.err and told.out == "", (fn.name, data, told)


def test_states_are_not_taken_from_the_client(served: tuple[str, Any, Page], url: str) -> None:
    demo = served[1]
    for odd in ({"results": [1]}, "x", 7, [1]):
        answer = ask(url, fn_of(demo, "on_download")._id, [odd, 0.5, odd, ""])
        assert answer["output"]["error"] == say("nothing_to_download", "en")


@pytest.mark.parametrize("language", [None, "de", "", 1])
def test_a_language_that_is_not_spoken(served: tuple[str, Any, Page], url: str, language: Any) -> None:
    answer = ask(url, fn_of(served[1], "relabel")._id, [language, None])
    assert answer["output"]["error"] == say("request_refused", "en")


@pytest.mark.parametrize("text", ["x", "{}", "[]", '{"id": 1, "cases": 7}', "[" * 100_000, "null", "\ud800"], ids=range(7))
def test_nonsense_for_corrections(served: tuple[str, Any, Page], url: str, image: Path, text: str) -> None:
    demo, session = served[1], os.urandom(6).hex()
    scan = fn_of(demo, "on_scan")
    data = [ordinary(c) for c in scan.inputs]
    data[0] = [given(send(url, image))]
    assert ask(url, scan._id, data, session)["success"]
    download = fn_of(demo, "on_download")
    answer = ask(url, download._id, [None, 0.5, None, text], session)
    assert answer["output"]["error"] == say("corrections_unusable", "en")
    assert ask(url, download._id, [None, 0.5, None, ""], session)["success"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"data": 1}', b'{"fn_index": 999, "data": [], "session_hash": "x"}', b"[" * 50_000,
     b'{"fn_index": 5, "data": [], "session_hash": null}', b'{"fn_index": "x", "data": [], "session_hash": "x"}'],
    ids=range(8),
)  # fmt: skip
def test_broken_envelopes(url: str, body: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for path in ("queue/join", "call/segment", "cancel"):
        answer = HTTP.post(f"{url}/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code >= 400 or path != "queue/join"
    assert "Traceback" not in capfd.readouterr().err


def test_a_fault_of_our_own_is_one_line_that_says_where(
    served: tuple[str, Any, Page], url: str, image: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError(f"secret {image}")

    monkeypatch.setattr(served[2].segmenter, "segment", fails)
    path = send(url, image)
    capfd.readouterr()
    answer = ask(url, fn_of(served[1], "segment")._id, [[given(path)], None, 0.5])
    assert answer["output"]["error"] == say("server_error", "en")
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(r"segment: failed \(RuntimeError at page/handlers\.py:\d+\)", line) and "secret" not in line


# Those who leave, and those who wait


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Two series, of 12 slices each."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    head = draw_head(12, size=64)
    return [p for f in folders for p in write_phantom(f, f.name, head) if "mask" not in p.name]


def until(true: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def start(url: str, demo: Any, files: list[Path], name: str = "segment") -> tuple[str, str]:
    """Ask for a scan and do not wait: the session, and the event."""
    session, fn = os.urandom(6).hex(), fn_of(demo, name)
    data = [ordinary(c) for c in fn.inputs]
    data[0] = [given(send(url, f)) for f in files]
    joined = HTTP.post(f"{url}/gradio_api/queue/join", json={"fn_index": fn._id, "data": data, "session_hash": session})
    return session, joined.json()["event_id"]


@contextmanager
def listening(url: str, session: str) -> Iterator[None]:
    with httpx.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        lines = stream.iter_lines()  # closes the stream when it is forgotten
        next(lines)
        yield


@pytest.mark.parametrize("name", ["segment", "on_scan"])
def test_a_client_that_left_ends_its_work_at_the_next_slice(
    served: tuple[str, Any, Page], url: str, study: list[Path], image: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn, demo = served[2].segmenter, served[1]
    drawn.seconds, drawn.slices = 0.3, 0  # type: ignore[attr-defined]
    session, _ = start(url, demo, study, name)
    with listening(url, session):
        waits, _ = start(url, demo, [image], name)
        with listening(url, waits):
            assert until(lambda: drawn.slices > 0)  # type: ignore[attr-defined]
        assert until(lambda: len(demo._queue) == 0), "what waits of one who left is dropped"
    left = drawn.slices  # type: ignore[attr-defined]
    assert until(lambda: not demo._queue.event_ids_to_events, 5)
    assert drawn.slices <= left + 3  # type: ignore[attr-defined]
    drawn.seconds = 0.0  # type: ignore[attr-defined]
    assert ask(url, fn_of(demo, "segment")._id, [[given(send(url, image))], None, 0.5])["success"]
    folder = served[2].folder
    assert not list(folder.taken.iterdir())
    assert "Traceback" not in capfd.readouterr().err


def test_a_cancelled_request_does_not_run_beside_the_next(
    served: tuple[str, Any, Page], url: str, study: list[Path], image: Path
) -> None:
    drawn, demo = served[2].segmenter, served[1]
    drawn.seconds, drawn.slices = 0.3, 0  # type: ignore[attr-defined]
    session, event = start(url, demo, study)
    fn = fn_of(demo, "segment")
    with listening(url, session):
        assert until(lambda: drawn.slices > 0)  # type: ignore[attr-defined]
        body = {"session_hash": session, "fn_index": fn._id, "event_id": event}
        HTTP.post(f"{url}/gradio_api/cancel", json=body)
        assert ask(url, fn._id, [[given(send(url, image))], None, 0.5])["success"]
    assert drawn.slices < 6  # type: ignore[attr-defined]


def test_a_request_has_a_time_limit(
    served: tuple[str, Any, Page], url: str, study: list[Path], monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    drawn, demo = served[2].segmenter, served[1]
    monkeypatch.setattr(gradio_patches, "REQUEST_SECONDS", 1)
    drawn.seconds, drawn.slices = 0.3, 0  # type: ignore[attr-defined]
    for name in ("segment", "on_scan"):
        fn = fn_of(demo, name)
        data = [ordinary(c) for c in fn.inputs]
        data[0] = [given(send(url, f)) for f in study]
        answer = ask(url, fn._id, data)
        assert answer["output"]["error"] == say("request_too_long", "en", minutes=0)
    assert drawn.slices < 10 and not list(served[2].folder.taken.iterdir())  # type: ignore[attr-defined]
    monkeypatch.undo()
    drawn.seconds = 0.0  # type: ignore[attr-defined]
    assert ask(url, fn_of(demo, "segment")._id, [[given(send(url, image))], None, 0.5])["success"]


def test_one_who_never_listens_has_left(
    served: tuple[str, Any, Page], url: str, image: Path, study: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, demo = served[2].segmenter, served[1]
    drawn.seconds = 0.3  # type: ignore[attr-defined]
    monkeypatch.setattr(gradio_patches, "UNHEARD_SECONDS", 0)
    sessions = [start(url, demo, files)[0] for files in (study, [image])]
    queue = demo._queue
    assert until(lambda: not set(sessions) & set(queue.pending_messages_per_session))
    assert until(lambda: not queue.event_ids_to_events, 5)


def test_thirty_two_clients_are_all_answered(served: tuple[str, Any, Page], url: str, tmp_path: Path) -> None:
    """Each by what it sent: the heads differ in size."""
    got: dict[int, dict[str, Any]] = {}

    def client(n: int) -> None:
        file = write_phantom(tmp_path, f"head{n}", draw_head(1, size=96 + 4 * n))[0]
        got[n] = ask(url, fn_of(served[1], "segment")._id, [[given(send(url, file))], None, 0.5])

    threads = [Thread(target=client, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, answer in got.items():
        report = answer["output"]["data"][0]
        assert report["images"][0]["file"] == f"head{n}.png"
    assert len(got) == 32


def messages(url: str, session: str) -> Iterator[dict[str, Any]]:
    with httpx.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def test_the_page_says_how_many_wait_in_its_users_language(
    served: tuple[str, Any, Page], url: str, study: list[Path], image: Path
) -> None:
    demo, drawn = served[1], served[2].segmenter
    drawn.seconds = 0.2  # type: ignore[attr-defined]
    first, _ = start(url, demo, study, "on_scan")
    french = os.urandom(6).hex()
    assert ask(url, fn_of(demo, "relabel")._id, ["fr", None], french)["success"]
    fn = fn_of(demo, "on_scan")
    data = [ordinary(c) for c in fn.inputs]
    data[0] = [given(send(url, image))]
    with listening(url, first):
        HTTP.post(f"{url}/gradio_api/queue/join", json={"fn_index": fn._id, "data": data, "session_hash": french})
        told = [m["progress_data"][0] for m in messages(url, french) if m["msg"] == "progress"]
    assert (told[0]["index"], told[0]["unit"]) == (1, say("in_line", "fr", waiting=1))


def test_a_full_line_says_so_and_keeps_the_upload(
    served: tuple[str, Any, Page], url: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradio_patches, "LINE", 0)
    fn, path = fn_of(served[1], "segment"), send(url, image)
    answer = ask(url, fn._id, [[given(path)], None, 0.5], **{"accept-language": "fr"})
    assert (answer["status"], answer["output"]["error"]) == (429, say("line_full", "fr", waiting=0))
    monkeypatch.undo()
    assert ask(url, fn._id, [[given(path)], None, 0.5])["success"]


# Uploads that do not arrive whole, and disks without room


def form(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return b"".join(head + part for part in parts), {"content-type": "multipart/form-data; boundary=x"}


def lying(page: Page) -> list[Path]:
    return [p for p in page.folder.root.rglob("*") if not p.is_dir() and page.folder.results not in p.parents]


def test_uploads_broken_off_leave_nothing(url: str, page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    page.folder.clear()
    body, headers = form(b"y" * 100_000)
    for _ in range(20):
        connection = HTTPConnection(url.removeprefix("http://"))
        connection.putrequest("POST", "/gradio_api/upload")
        for key, value in (headers | {"content-length": str(10**8)}).items():
            connection.putheader(key, value)
        connection.endheaders(body)
        connection.close()
    assert until(lambda: not page.folder._receiving and not lying(page))
    assert "Traceback" not in capfd.readouterr().err


def test_a_silent_upload_is_broken_off(url: str, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SILENT_SECONDS", 0.2)
    page.folder.clear()
    body, headers = form(b"y" * 100_000)
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.putrequest("POST", "/gradio_api/upload")
    for key, value in (headers | {"content-length": str(10**8), "accept-language": "fr"}).items():
        connection.putheader(key, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert (answer.status, answer.read().decode()) == (408, say("upload_broken_off", "fr"))
    assert lying(page) == []


@pytest.mark.parametrize(
    "body",
    [
        form(b"whole?")[0], form(b"one\r\n", b"two")[0], form(b"a\r\n--x--\r\n")[0].replace(b"files", b"other"),
        b"nonsense", b"",
    ],
    ids=["no end", "second has no end", "another field", "nonsense", "empty"],
)  # fmt: skip
def test_forms_that_are_not_whole_leave_nothing(
    url: str, page: Page, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    page.folder.clear()
    answer = HTTP.post(f"{url}/gradio_api/upload?upload_id=1", content=body, headers=form(b"")[1])
    kept = answer.json() if answer.status_code == 200 else []
    assert lying(page) == [Path(p) for p in kept]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/../../b.png", "/etc/passwd", "\\..\\x", "é" * 300 + ".png", "con\x00.png"]
)
def test_odd_file_names_stay_in_their_folder(url: str, page: Page, image: Path, name: str) -> None:
    page.folder.clear()
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\ny\r\n--x--\r\n'
    answer = HTTP.post(f"{url}/gradio_api/upload", content=body, headers=form(b"")[1])
    if answer.status_code == 200:
        (path,) = answer.json() or [None]
        if path is not None:
            assert Path(path).parent.parent == page.folder.uploads and page.folder.check(path) and Path(path).exists()
    assert not [p for p in lying(page) if p.parent.parent != page.folder.uploads]


def test_a_file_too_large_is_refused_in_the_users_language(
    served: tuple[str, Any, Page], url: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.folder.clear()
    monkeypatch.setattr(served[1], "max_file_size", 10**6)
    body, headers = form(b"y" * (10**6 + 1) + b"\r\n--x--\r\n")
    answer = HTTP.post(f"{url}/gradio_api/upload", content=body, headers=headers | {"accept-language": "fr"})
    assert (answer.status_code, answer.text) == (413, say("upload_too_large", "fr", megabytes=1))
    assert lying(page) == []


def test_a_full_disk_is_one_sentence_and_the_server_recovers(
    served: tuple[str, Any, Page], url: str, page: Page, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The upload's own write, the moving to a folder, the reading, and the writing of results: each runs out of room."""

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/patient")

    page.folder.clear()
    fn = fn_of(served[1], "segment")
    sentence = say("server_full", "fr")
    french = {"accept-language": "fr"}
    with pytest.MonkeyPatch.context() as patch, image.open("rb") as file:
        patch.setattr("starlette.datastructures.UploadFile.write", full)
        answer = HTTP.post(f"{url}/gradio_api/upload", files={"files": ("a.png", file)}, headers=french)
        assert (answer.status_code, answer.text) == (507, sentence) and lying(page) == []
    for place, what in (
        (uploads.UploadFolder, "keep"),
        (uploads.UploadFolder, "move"),
        (page, "read"),
        (handlers, "write_outputs"),
    ):
        with pytest.MonkeyPatch.context() as patch, image.open("rb") as file:
            patch.setattr(place, what, full)
            answer = HTTP.post(f"{url}/gradio_api/upload", files={"files": ("a.png", file)}, headers=french)
            if answer.status_code == 507:
                assert what == "keep" and answer.text == sentence
            else:
                told = ask(url, fn._id, [[given(answer.json()[0])], None, 0.5], **french)
                assert told["output"]["error"] == sentence, what
            assert lying(page) == [] and not list(page.folder.taken.iterdir())
    assert not list(page.folder.results.iterdir())
    told_log = capfd.readouterr().err
    assert "secret" not in told_log and "Traceback" not in told_log
    assert ask(url, fn._id, [[given(send(url, image))], None, 0.5])["success"]


def test_a_result_that_had_to_go_is_told(
    served: tuple[str, Any, Page], url: str, page: Page, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = served[1]
    monkeypatch.setattr(page.memory, "most", 1)
    sessions = [os.urandom(6).hex() for _ in range(2)]
    fn = fn_of(demo, "on_scan")
    for session in sessions:
        data = [ordinary(c) for c in fn.inputs]
        data[0] = [given(send(url, image))]
        assert ask(url, fn._id, data, session)["success"]
    download, reference = fn_of(demo, "on_download"), fn_of(demo, "on_reference")
    assert ask(url, download._id, [None, 0.5, None, ""], sessions[0])["output"]["error"] == say("result_dropped", "en")
    mask = [given(send(url, image))]
    assert ask(url, reference._id, [mask, None, 0.5, None], sessions[0])["output"]["error"] == say("result_dropped", "en")
    assert ask(url, download._id, [None, 0.5, None, ""], sessions[1])["success"]


# A server that is killed

SERVE = "from test_server import Drawn; from lgg_demo.page.server import serve; serve(Drawn())"


@contextmanager
def serving(place: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python app.py` in a process of its own, whose temporary files are in a place of ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    own = {"GRADIO_TEMP_DIR": str(place), "TMPDIR": str(place), "GRADIO_SERVER_PORT": port, "PYTHONPATH": paths}
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=os.environ | own, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return HTTP.get(f"{url}/config").status_code == 200
            return False

        assert until(answers, 120), log.read_text()
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_a_killed_server_leaves_nothing_beyond_the_next_start(tmp_path: Path, image: Path) -> None:
    place, log = tmp_path / "place", tmp_path / "log"
    with serving(place, log) as (process, url):
        left = Path(send(url, image))
        assert place in left.parents
        assert {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in place.glob("lgg-demo-*")} == {0}
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.exists()
    with serving(place, log) as (process, url):
        assert not left.exists() and len(list(place.glob("lgg-demo-*"))) == 1
        send(url, image)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert not list(place.glob("lgg-demo-*"))
    assert "Traceback" not in log.read_text() and str(place) not in log.read_text()


# The page in Chromium


@needs_browser
@pytest.mark.browser
def test_the_page_waits_in_line_in_french_and_asks_again_by_itself(
    browser: Any, served: tuple[str, Any, Page], url: str, study: list[Path], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, drawn = served[1], served[2].segmenter
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    drawn.seconds = 0.3  # type: ignore[attr-defined]
    session, _ = start(url, demo, study, "on_scan")
    with listening(url, session):
        page.set_input_files("#scan input[type=file]", str(image))
        page.wait_for_function(
            "(said) => document.querySelector('#messages').innerText.includes(said)",
            arg=f"1 {say('in_line', 'fr', waiting=1)}",
        )
        assert "queue" not in page.inner_text("#messages")
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=30_000)
    drawn.seconds = 0.0  # type: ignore[attr-defined]
    page.click("#clear")
    page.wait_for_selector("#viewer .lgg-empty")
    monkeypatch.setattr(gradio_patches, "LINE", 0)
    page.set_input_files("#scan input[type=file]", str(image))
    page.wait_for_selector("#lgg-line")
    assert page.inner_text("#lgg-line") == say("line_full", "fr", waiting=0)
    monkeypatch.undo()
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=30_000)
    assert page.query_selector("#lgg-line") is None
    context.close()


@needs_browser
@pytest.mark.browser
def test_a_closed_tab_ends_its_work(browser: Any, served: tuple[str, Any, Page], url: str, study: list[Path]) -> None:
    demo, drawn = served[1], served[2].segmenter
    drawn.seconds, drawn.slices = 0.5, 0  # type: ignore[attr-defined]
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")
    page.set_input_files("#scan input[type=file]", [str(f) for f in study])
    assert until(lambda: drawn.slices > 0)  # type: ignore[attr-defined]
    context.close()
    assert until(lambda: not demo._queue.event_ids_to_events, 5)
    assert drawn.slices < 8  # type: ignore[attr-defined]


@needs_browser
@pytest.mark.browser
def test_a_refused_upload_is_told_on_the_page(
    browser: Any, served: tuple[str, Any, Page], url: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#viewer .lgg-empty")

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(uploads.UploadFolder, "keep", full)
    page.set_input_files("#scan input[type=file]", str(image))
    page.wait_for_selector(f"text={say('server_full', 'fr')[:40]}")
    monkeypatch.undo()
    page.set_input_files("#scan input[type=file]", str(image))
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=30_000)
    context.close()

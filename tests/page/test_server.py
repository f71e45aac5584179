"""The server under clients that are not its page: others' files, odd requests, a full line, no traceback."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from conftest import needs_browser
from drawn_heads import draw_head, write_phantom
from loopback import free_port, until
from serving import HTTP, Server, given, served, server, tried

from lgg_demo.messages import say
from lgg_demo.page import gradio_patches, uploads

__all__ = ["served", "server"]  # fixtures
FRENCH = {"accept-language": "fr"}
ODD = [7.5, {"a": 1}, ["x"], [[[[]]]], {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, True]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_phantom(tmp_path, "case", draw_head(1, size=96))[0]


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Two series, of 12 slices each."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    head = draw_head(12, size=64)
    return [p for f in folders for p in write_phantom(f, f.name, head)]


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device", "/secret/patient")


# Files of others


@pytest.fixture
def others(server: Server, image: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Another user's files in the server: an upload that waits, a result, and all that may be tried to get at them."""
    monkeypatch.setattr(uploads, "IDLE_SECONDS", 600)  # on a slow machine it would be forgotten meanwhile
    upload = Path(server.send(image))
    answer = server.ask("segment", server.data(server.fn("segment"), image))
    result = Path(answer["output"]["data"][1][0]["path"])
    return {"kept": [upload, result], "tried": tried(server.folder, upload, result)}


def test_no_endpoint_takes_what_the_request_did_not_upload(
    server: Server, others: dict[str, list[Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Every endpoint that takes a file, so that a new one is not forgotten, with every path of another's."""
    fns = server.demo.fns.values()
    taking = [(fn, n) for fn in fns for n, c in enumerate(fn.inputs) if c.get_block_name() == "file"]
    assert {fn.name for fn, _ in taking} == {"on_scan", "on_reference", "segment"}
    before = {p: (stat.S_IMODE(p.parent.stat().st_mode), p.read_bytes()) for p in others["kept"]}
    capfd.readouterr()
    for fn, place in taking:
        for path in others["tried"]:
            data = server.data(fn)
            data[place] = [given(path)]
            assert server.error(fn, data) == say("not_an_upload", "en"), path
    told = capfd.readouterr()
    assert str(server.folder.root) not in told.err + told.out and "Traceback" not in told.err
    assert before == {p: (stat.S_IMODE(p.parent.stat().st_mode), p.read_bytes()) for p in others["kept"]}


def test_one_refused_file_moves_none_of_the_others(server: Server, others: dict[str, list[Any]], image: Path) -> None:
    wrong = given(str(others["kept"][0].parent))
    assert server.error("segment", [[given(server.send(image)), wrong], None, 0.5]) == say("not_an_upload", "en")
    assert all(p.is_file() for p in others["kept"])


def test_an_upload_is_used_once(server: Server, image: Path) -> None:
    data = server.data(server.fn("segment"), image)
    assert server.ask("segment", data)["success"]
    assert server.error("segment", data) == say("upload_gone", "en", file=image.name)


def test_nothing_but_results_is_served(server: Server, others: dict[str, list[Any]]) -> None:
    upload, result = others["kept"]
    assert HTTP.get(f"{server.api}/file={result}").content == result.read_bytes()
    for path in {str(upload), *map(str, others["tried"])} - {str(result)}:
        answer = HTTP.get(f"{server.api}/file=" + path.replace("\0", "%00"))
        assert answer.status_code == 404 and upload.name not in answer.text
    inside = result.parent
    for path in (f"{inside}/../{inside.name}/{result.name}", f"{inside}/./{result.name}", f"{inside}//{result.name}"):
        connection = HTTPConnection(server.url.removeprefix("http://"))  # httpx would tidy the path up
        connection.request("GET", f"/gradio_api/file={path}")
        assert connection.getresponse().status == 404


def test_folders_are_for_their_user_alone(server: Server, image: Path) -> None:
    upload, folder = Path(server.send(image)), server.folder
    folders = [folder.uploads, folder.taken, folder.results, upload.parent, folder.new_result()]
    assert {stat.S_IMODE(f.stat().st_mode) for f in folders} == {0o700}
    assert stat.S_IMODE(upload.stat().st_mode) == 0o600


# Odd requests


@pytest.mark.parametrize(
    "address",
    [
        "POST /gradio_api/component_server", "POST /gradio_api/process_recording", "GET /gradio_api/proxy=http://127.0.0.1:9/",
        "POST /gradio_api/vibe-edit", "GET /gradio_api/deep_link", "GET /gradio_api/file/etc/passwd", "GET /monitoring",
        "POST /gradio_api/run/segment", "GET /gradio_api/custom_component/a/client/b/c", "GET /gradio_api/run_history",
        "POST /login", "GET /gradio_api/dev/reload", "PUT /gradio_api/upload", "GET /gradio_api/file=http://127.0.0.1:9/",
        "GET /monitoring/summary",
    ],
)  # fmt: skip
def test_no_other_address_is_answered(server: Server, address: str) -> None:
    method, _, path = address.partition(" ")
    assert HTTP.request(method, f"{server.url}{path}").status_code == 404


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.5", True, -0.1, 1.1, [], {}, 10**400], ids=str)
def test_a_wrong_threshold_is_one_sentence(
    server: Server, image: Path, value: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = server.send(image)
    capfd.readouterr()
    assert server.error("segment", [[given(path)], None, value]) == say("request_refused", "en")
    assert not Path(path).exists(), "a refused upload is gone at once"
    assert len(capfd.readouterr().err.splitlines()) == 1


def odd_calls(server: Server) -> Iterator[tuple[Any, list[Any]]]:
    """For every endpoint, also those that are not of the API: values that its page never sends."""
    for fn in server.demo.fns.values():
        usual = server.data(fn)
        yield from ((fn, data) for data in ([], [*usual, 1], usual[:-1]) if len(data) != len(usual))
        for n, component in enumerate(fn.inputs):
            if component.get_block_name() != "state":
                yield from ((fn, [*usual[:n], odd, *usual[n + 1 :]]) for odd in ODD)
        if fn.fn is None:
            yield fn, usual


def test_odd_requests_are_one_sentence_and_one_line(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    sentences = {say(key, "fr") for key in ("request_refused", "not_an_upload")}
    for fn, data in odd_calls(server):
        capfd.readouterr()
        assert server.error(fn, data, **FRENCH) in sentences, (fn.name, data)
        told = capfd.readouterr()
        assert len(told.err.splitlines()) == 1 and "/etc" not in told.err and told.out == "", (fn.name, data, told)


@pytest.mark.parametrize("odd", [{"results": [1]}, "x", 7, [1]], ids=str)
def test_states_are_not_taken_from_the_client(server: Server, odd: Any) -> None:
    assert server.error("on_download", [odd, 0.5, odd, ""]) == say("nothing_to_download", "en")


@pytest.mark.parametrize("language", [None, "de", "", 1])
def test_a_language_that_is_not_spoken(server: Server, language: Any) -> None:
    assert server.error("speak", [language]) == say("request_refused", "en")


def test_nonsense_for_corrections(server: Server, image: Path) -> None:
    session, scan = os.urandom(6).hex(), server.fn("on_scan")
    assert server.ask(scan, server.data(scan, image), session)["success"]
    for text in ("x", "{}", "[]", '{"id": 1, "cases": 7}', "[" * 100_000, "null", "\ud800"):
        assert server.error("on_download", [None, 0.5, None, text], session) == say("corrections_unusable", "en"), text[:30]
    assert server.ask("on_download", [None, 0.5, None, ""], session)["success"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"data": 1}', b'{"fn_index": 999, "data": [], "session_hash": "x"}', b"[" * 50_000,
     b'{"fn_index": 5, "data": [], "session_hash": null}', b'{"fn_index": "x", "data": [], "session_hash": "x"}'],
    ids=range(8),
)  # fmt: skip
def test_broken_envelopes(server: Server, body: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for path in ("queue/join", "call/segment", "cancel"):
        answer = HTTP.post(f"{server.api}/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code >= 400 or path != "queue/join"
    assert "Traceback" not in capfd.readouterr().err


def test_a_fault_of_our_own_is_one_line_that_says_where(
    server: Server, image: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError(f"secret {image}")

    monkeypatch.setattr(server.drawn, "segment", fails)
    data = server.data(server.fn("segment"), image)
    capfd.readouterr()
    assert server.error("segment", data) == say("server_error", "en")
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(r"segment: failed \(RuntimeError at page/handlers\.py:\d+\)", line) and "secret" not in line


# Those who leave, and those who wait


@pytest.mark.parametrize("name", ["segment", "on_scan"])
def test_a_client_that_left_ends_its_work_at_the_next_slice(
    server: Server, study: list[Path], image: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn, queue = server.drawn, server.demo._queue
    drawn.seconds = 0.3
    with server.listening(server.start(name, *study)[0]):
        with server.listening(server.start(name, image)[0]):
            assert until(lambda: drawn.slices > 0)
        assert until(lambda: len(queue) == 0), "what waits of one who left is dropped"
    left = drawn.slices
    assert until(lambda: not queue.event_ids_to_events, 5)
    assert drawn.slices <= left + 3
    drawn.seconds = 0.0
    assert server.segments(image) and not list(server.folder.taken.iterdir())
    assert "Traceback" not in capfd.readouterr().err


def test_a_cancelled_request_does_not_run_beside_the_next(server: Server, study: list[Path], image: Path) -> None:
    server.drawn.seconds = 0.3
    session, event = server.start("segment", *study)
    with server.listening(session):
        assert until(lambda: server.drawn.slices > 0)
        body = {"session_hash": session, "fn_index": server.fn("segment")._id, "event_id": event}
        HTTP.post(f"{server.api}/cancel", json=body)
        assert server.segments(image)
    assert server.drawn.slices < 6


def test_a_request_has_a_time_limit(
    server: Server, study: list[Path], monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    monkeypatch.setattr(gradio_patches, "REQUEST_SECONDS", 1)
    server.drawn.seconds = 0.3
    for name in ("segment", "on_scan"):
        data = server.data(server.fn(name), *study)
        assert server.error(name, data) == say("request_too_long", "en", minutes=0)
    assert server.drawn.slices < 10 and not list(server.folder.taken.iterdir())
    monkeypatch.undo()
    server.drawn.seconds = 0.0
    assert server.segments(image)


def test_one_who_never_listens_has_left(
    server: Server, image: Path, study: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.drawn.seconds = 0.3
    monkeypatch.setattr(gradio_patches, "UNHEARD_SECONDS", 0)
    sessions = {server.start("segment", *files)[0] for files in (study, [image])}
    queue = server.demo._queue
    assert until(lambda: not sessions & set(queue.pending_messages_per_session))
    assert until(lambda: not queue.event_ids_to_events, 5)


def test_many_clients_are_all_answered_by_what_each_sent(server: Server, tmp_path: Path) -> None:
    got: dict[int, str] = {}

    def client(n: int) -> None:
        file = write_phantom(tmp_path, f"head{n}", draw_head(1, size=96 + 4 * n))[0]
        answer = server.ask("segment", server.data(server.fn("segment"), file))
        got[n] = answer["output"]["data"][0]["images"][0]["file"]

    threads = [Thread(target=client, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: f"head{n}.png" for n in range(16)}


def test_the_page_says_how_many_wait_in_its_users_language(server: Server, study: list[Path], image: Path) -> None:
    server.drawn.seconds = 0.2
    first, _ = server.start("on_scan", *study)
    french, fn = os.urandom(6).hex(), server.fn("on_scan")
    assert server.ask("speak", ["fr"], french)["success"]
    data = server.data(fn, image)
    with server.listening(first):
        server.join(fn, data, french)
        told = [m["progress_data"][0] for m in server.messages(french) if m["msg"] == "progress"]
    assert (told[0]["index"], told[0]["unit"]) == (1, say("in_line", "fr", waiting=1))


def test_a_full_line_says_so_and_keeps_the_upload(server: Server, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradio_patches, "LINE", 0)
    data = server.data(server.fn("segment"), image)
    answer = server.ask("segment", data, **FRENCH)
    assert (answer["status"], answer["output"]["error"]) == (429, say("line_full", "fr", waiting=0))
    monkeypatch.undo()
    assert server.ask("segment", data)["success"]


def test_a_result_that_had_to_go_is_told(server: Server, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.page.memory, "most", 1)
    sessions, scan = [os.urandom(6).hex() for _ in range(2)], server.fn("on_scan")
    for session in sessions:
        assert server.ask(scan, server.data(scan, image), session)["success"]
    dropped, mask = say("result_dropped", "en"), [given(server.send(image))]
    assert server.error("on_download", [None, 0.5, None, ""], sessions[0]) == dropped
    assert server.error("on_reference", [mask, None, 0.5, None], sessions[0]) == dropped
    assert server.ask("on_download", [None, 0.5, None, ""], sessions[1])["success"]


# A server that is killed

SERVE = "from serving import Drawn; from lgg_demo.page.server import serve; serve(Drawn())"


@contextmanager
def serving(place: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python app.py` in a process of its own, whose temporary files are in a place of ours."""
    port = str(free_port())
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, *here.parents[:2])))
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

    def send(url: str) -> Path:
        files = {"files": ("case.png", image.read_bytes())}
        return Path(HTTP.post(f"{url}/gradio_api/upload", files=files).json()[0])

    with serving(place, log) as (process, url):
        left = send(url)
        assert place in left.parents
        assert {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in place.glob("lgg-demo-*")} == {0}
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.exists()
    with serving(place, log) as (process, url):
        assert not left.exists() and len(list(place.glob("lgg-demo-*"))) == 1
        send(url)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert not list(place.glob("lgg-demo-*"))
    assert "Traceback" not in log.read_text() and str(place) not in log.read_text()


# The page in Chromium


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#viewer .lgg-empty")
    yield page
    context.close()


def give(page: Any, *files: Path) -> None:
    page.set_input_files('#viewer [data-choose="scan"]', [str(f) for f in files])


def wait_for_result(page: Any) -> None:
    page.wait_for_selector('#viewer [data-figure="predicted"]', timeout=30_000)


@needs_browser
@pytest.mark.browser
def test_the_page_waits_in_line_in_french_and_asks_again_by_itself(
    page: Any, server: Server, study: list[Path], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.drawn.seconds = 0.3
    with server.listening(server.start("on_scan", *study)[0]):
        give(page, image)
        place = f"1 {say('in_line', 'fr', waiting=1)}"
        page.wait_for_function("(said) => document.querySelector('#viewer').innerText.includes(said)", arg=place)
        assert "queue" not in page.inner_text("#viewer")
    wait_for_result(page)
    server.drawn.seconds = 0.0
    page.click("#viewer [data-do=clear]")
    page.wait_for_selector("#viewer .lgg-empty")
    monkeypatch.setattr(gradio_patches, "LINE", 0)
    give(page, image)
    page.wait_for_selector("#lgg-line")
    assert page.inner_text("#lgg-line") == say("line_full", "fr", waiting=0)
    monkeypatch.undo()
    wait_for_result(page)
    assert page.query_selector("#lgg-line") is None


@needs_browser
@pytest.mark.browser
def test_a_closed_tab_ends_its_work(page: Any, server: Server, study: list[Path]) -> None:
    server.drawn.seconds = 0.5
    give(page, *study)
    assert until(lambda: server.drawn.slices > 0)
    page.context.close()
    assert until(lambda: not server.demo._queue.event_ids_to_events, 5)
    assert server.drawn.slices < 8


@needs_browser
@pytest.mark.browser
def test_a_refused_upload_is_told_on_the_page(page: Any, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads.UploadFolder, "keep", full)
    give(page, image)
    page.wait_for_selector(f"text={say('server_full', 'fr')[:40]}")
    page.wait_for_selector("#viewer .lgg-progress", state="hidden")  # or the next files would be asked about
    monkeypatch.undo()
    give(page, image)
    wait_for_result(page)

"""Uploads that do not arrive whole, and disks without room: nothing is left, and each is one sentence."""

from __future__ import annotations

import errno
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from drawn_heads import draw_head, write_phantom
from loopback import until
from serving import HTTP, Server, given, served, server

from lgg_demo.messages import say
from lgg_demo.page import gate, handlers, uploads

__all__ = ["served", "server"]  # fixtures
FRENCH = {"accept-language": "fr"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_phantom(tmp_path, "case", draw_head(1, size=96))[0]


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device", "/secret/patient")


def form(*parts: bytes, field: bytes = b"files", name: bytes = b"a.png") -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="' + field + b'"; filename="' + name + b'"\r\n\r\n'
    return b"".join(head + part for part in parts)


FORM = {"content-type": "multipart/form-data; boundary=x"}
WHOLE = b"\r\n--x--\r\n"


def half_an_upload(server: Server, **headers: str) -> HTTPConnection:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    connection.putrequest("POST", "/gradio_api/upload")
    for key, value in (FORM | {"content-length": str(10**8)} | headers).items():
        connection.putheader(key, value)
    connection.endheaders(form(b"y" * 100_000))
    return connection


def test_uploads_broken_off_leave_nothing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        half_an_upload(server).close()
    assert until(lambda: not server.folder._receiving and not server.lying())
    assert "Traceback" not in capfd.readouterr().err


def test_a_silent_upload_is_broken_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SILENT_SECONDS", 0.2)
    answer = half_an_upload(server, **FRENCH).getresponse()
    assert (answer.status, answer.read().decode()) == (408, say("upload_broken_off", "fr"))
    assert server.lying() == []


@pytest.mark.parametrize(
    "body",
    [form(b"whole?"), form(b"one\r\n", b"two"), form(b"a" + WHOLE, field=b"other"), b"nonsense", b""],
    ids=["no end", "second has no end", "another field", "nonsense", "empty"],
)
def test_forms_that_are_not_whole_leave_nothing(server: Server, body: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    answer = HTTP.post(f"{server.api}/upload?upload_id=1", content=body, headers=FORM)
    assert server.lying() == [Path(p) for p in (answer.json() if answer.status_code == 200 else [])]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/../../b.png", "/etc/passwd", "\\..\\x", "é" * 300 + ".png", "con\x00.png"]
)
def test_odd_file_names_stay_in_their_folder(server: Server, name: str) -> None:
    answer = HTTP.post(f"{server.api}/upload", content=form(b"y" + WHOLE, name=name.encode()), headers=FORM)
    for path in answer.json() if answer.status_code == 200 else []:
        assert server.folder.check(path) and Path(path).exists()
    assert {p.parent.parent for p in server.lying()} <= {server.folder.uploads}


def test_a_file_too_large_is_refused_in_the_users_language(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.demo, "max_file_size", 10**6)
    answer = HTTP.post(f"{server.api}/upload", content=form(b"y" * (10**6 + 1) + WHOLE), headers=FORM | FRENCH)
    assert (answer.status_code, answer.text) == (413, say("upload_too_large", "fr", megabytes=1))
    assert server.lying() == []


@pytest.mark.parametrize("what", ["write", "keep", "move", "read", "write_outputs"])
def test_a_full_disk_is_one_sentence_and_the_server_recovers(
    server: Server, image: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The upload's write, its folder, its taking over, the reading, the writing of results: each runs out of room."""
    places = {"write": "starlette.datastructures.UploadFile.write", "keep": uploads.UploadFolder,
              "move": uploads.UploadFolder, "read": server.page, "write_outputs": handlers}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        place = places[what]
        patch.setattr(*((place, full) if isinstance(place, str) else (place, what, full)))
        answer = HTTP.post(f"{server.api}/upload", files={"files": ("a.png", image.read_bytes())}, headers=FRENCH)
        assert answer.status_code == (507 if what in ("write", "keep") else 200)
        refused = answer.status_code == 507
        said = answer.text if refused else server.error("segment", [[given(answer.json()[0])], None, 0.5], **FRENCH)
        assert said == say("server_full", "fr")
    assert server.lying() == [] and not any(list(f.iterdir()) for f in (server.folder.taken, server.folder.results))
    told = capfd.readouterr().err
    assert "secret" not in told and "Traceback" not in told
    assert server.segments(image)

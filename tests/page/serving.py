"""A page that is served with a drawn network, and a client of it that may send whatever it likes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from folders import files_below

from lgg_demo.case import Scan
from lgg_demo.page import gate
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import launch_page
from lgg_demo.page.uploads import UploadFolder

HTTP = httpx.Client(timeout=60)


class Drawn:
    """Stands for a `Segmenter`: segments what is bright, a slice at a time, as slowly as is asked for."""

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


def given(path: object) -> dict[str, Any]:
    """A file as Gradio's clients name it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def tried(folder: UploadFolder, upload: Path, result: Path) -> list[Any]:
    """All that may be sent to get at another user's upload and result, with links and a FIFO laid among the uploads."""
    own, linked = folder.uploads / ("a" * 64), folder.uploads / ("b" * 64)
    (own / "folder").mkdir(parents=True)
    (own / "link.png").symlink_to(upload)
    os.mkfifo(own / "fifo")
    linked.symlink_to(upload.parent)
    place = upload.parent
    odd = [
        folder.root, folder.uploads, folder.results, folder.taken, place, result.parent, own, result, "/etc/passwd",
        own / "link.png", own / "fifo", own / "folder", linked / upload.name, own / ".." / place.name / upload.name,
        f"{place}/../{place.name}/{upload.name}", f"{place}//{upload.name}", f"{place}/", f"{place}/.", f"{place}/..",
        f"{folder.uploads}/", f"{upload}/", f"{upload}/x.png", f"{upload}\0", "/", "", str(upload).upper(),
        str(upload).replace(place.name, place.name.upper()), upload.name, place.name, f"file://{upload}",
        "http://127.0.0.1:9/x.png", None, 7, ["x"], {"path": str(upload)}, folder.uploads / ("0" * 63) / "x.png",
    ]  # fmt: skip
    return [str(path) if isinstance(path, Path) else path for path in odd]


class Server:
    """Where the page is served, its Blocks, its handlers and its network."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.page = Page(drawn)  # type: ignore[arg-type]
        self.folder = self.page.folder
        self.demo = build(self.page)
        self.url = launch_page(self.demo, prevent_thread_lock=True, quiet=True)[1].rstrip("/")
        self.api = f"{self.url}/gradio_api"

    def fn(self, name: str) -> Any:
        return next(fn for fn in self.demo.fns.values() if fn.name == name)

    def send(self, file: Path) -> str:
        """Upload a file; the path that the server answers."""
        answer = HTTP.post(f"{self.api}/upload", files={"files": (file.name, file.read_bytes())})
        assert answer.status_code == 200, answer.text
        return str(answer.json()[0])

    def data(self, fn: Any, *files: Path) -> list[Any]:
        """What the page sends to a function, with files uploaded for its first input."""
        usual = {"state": None, "file": None, "slider": 0.5, "radio": "en"}
        data = [usual.get(component.get_block_name()) for component in fn.inputs]
        return [[given(self.send(f)) for f in files], *data[1:]] if files else data

    def join(self, fn: Any, data: Any, session: str, **headers: str) -> httpx.Response:
        body = json.dumps({"fn_index": fn._id, "data": data, "session_hash": session})
        return HTTP.post(f"{self.api}/queue/join", content=body, headers=headers | {"content-type": "application/json"})

    def ask(self, name: Any, data: Any, session: str = "", **headers: str) -> dict[str, Any]:
        """What is answered in the end to a call: `process_completed`, or what was said to the request."""
        session = session or os.urandom(6).hex()
        joined = self.join(self.fn(name) if isinstance(name, str) else name, data, session, **headers)
        if joined.status_code != 200:
            return {"success": False, "status": joined.status_code, "output": {"error": joined.json()["detail"]}}
        return next(m for m in self.messages(session) if m["msg"] == "process_completed")

    def error(self, name: Any, data: Any, session: str = "", **headers: str) -> str:
        """The sentence that a call is refused with."""
        answer = self.ask(name, data, session, **headers)
        assert answer["success"] is False, answer
        return str(answer["output"]["error"])

    def segments(self, *files: Path) -> bool:
        """Whether the API segments files, as it does on a good day."""
        return bool(self.ask("segment", self.data(self.fn("segment"), *files))["success"])

    def start(self, name: str, *files: Path) -> tuple[str, str]:
        """Ask for a scan and do not wait: the session, and the event."""
        session = os.urandom(6).hex()
        joined = self.join(self.fn(name), self.data(self.fn(name), *files), session)
        return session, joined.json()["event_id"]

    def messages(self, session: str) -> Iterator[dict[str, Any]]:
        with httpx.stream("GET", f"{self.api}/queue/data?session_hash={session}", timeout=60) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        with httpx.stream("GET", f"{self.api}/queue/data?session_hash={session}", timeout=60) as stream:
            lines = stream.iter_lines()  # closes the stream when it is forgotten
            next(lines)
            yield

    def lying(self) -> list[Path]:
        """Every file that is not a result."""
        return [p for p in files_below(self.folder.root) if self.folder.results not in p.parents]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr(gate, "SWEEP_SECONDS", 0.5)
        server = Server(Drawn())
        yield server
        server.demo.close()
    assert not any((folder / name).exists() for name in ("uploads", "taken", "results")), "gone with the server"


@pytest.fixture
def server(served: Server) -> Server:
    """The server, with a network that is fast and has done nothing."""
    served.drawn.seconds, served.drawn.slices = 0.0, 0
    served.folder.clear()
    served.folder.make()
    return served

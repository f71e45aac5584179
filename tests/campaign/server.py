"""The real server in a process of its own, on a free port of this machine, and what a client sends it: plain HTTP."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.campaign.processes import end
from tests.folders import files_below
from tests.loopback import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180.0
SECONDS = 60.0  # for one request of one small file
MOST_BYTES = 2_000_000_000  # for the server as a whole


def environment(temporary: Path) -> dict[str, str]:
    """Of every process that the campaign starts: all that it writes by itself lies in a folder of its own."""
    temporary.mkdir(parents=True, exist_ok=True)
    own = {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    return {k: v for k, v in os.environ.items() if k not in ("GRADIO_TEMP_DIR", "LGG_DEMO_CHECKPOINT")} | own


@dataclass
class Answer:
    """What came back. report and files: of a result. error: the sentence of a refusal. text: all of it, as it was sent."""

    report: dict[str, Any] | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    text: str = ""
    seconds: float = 0.0


class Server:
    """`python app.py`; its log and its temporary files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.temporary, self.log = folder / "tmp", folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self._read = 0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and wait until it answers. Raises RuntimeError where it does not."""
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        options = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
        variables = environment(self.temporary) | options
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=log, stderr=log, env=variables)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                httpx.get(f"{self.address}/config", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.3)
        raise RuntimeError(f"the server does not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it at once, with all its children, as a power cut does."""
        if self.process is not None:
            end(self.process.pid)
            self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def new_log(self) -> str:
        """What it logged since this was last asked."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            said = log.read()
        self._read += len(said)
        return said.decode(errors="replace")

    def holds(self, marker: bytes) -> list[Path]:
        """The files in its temporary folder that hold these bytes."""
        found = []
        for path in files_below(self.temporary):
            try:
                if path.is_file() and marker in path.read_bytes():
                    found.append(path)
            except OSError:
                continue  # deleted meanwhile
        return found


def upload(http: httpx.Client, files: Sequence[tuple[str, bytes]]) -> list[str]:
    """Send files; the paths that the server gives them."""
    parts = [("files", (name, content, "application/octet-stream")) for name, content in files]
    answer = http.post("/gradio_api/upload", files=parts)
    if answer.status_code != 200:
        raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
    return list(answer.json())


def handed(paths: Sequence[str]) -> list[dict[str, Any]]:
    """Paths as the API takes files."""
    return [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]


def events(http: httpx.Client, address: str, params: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """The events of a stream until it ends: (event, data)."""
    found: list[tuple[str, str]] = []
    with http.stream("GET", address, params=params) as stream:
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                found.append((event, line[6:]))
                if event in ("complete", "error") or '"process_completed"' in line or '"close_stream"' in line:
                    break
    return found


def call(http: httpx.Client, scan: object, reference: object = None, threshold: object = 0.5) -> Answer:
    """Ask /segment; never raises for what the server answers."""
    began = time.monotonic()
    answer = Answer()
    try:
        begun = http.post("/gradio_api/call/segment", json={"data": [scan, reference, threshold]})
        answer.text = begun.text
        if begun.status_code != 200:
            answer.error = said_in(begun.text)
            return answer
        said = events(http, f"/gradio_api/call/segment/{begun.json()['event_id']}")
        answer.text += "\n".join(data for _, data in said)
        event, data = said[-1] if said else ("error", "the stream ended without an answer")
        if event == "complete":
            answer.report, answer.files = json.loads(data)
        else:
            answer.error = said_in(data)
    except httpx.HTTPError as error:
        answer.error = f"{type(error).__name__} {error}"
    finally:
        answer.seconds = time.monotonic() - began
    return answer


def said_in(text: str) -> str:
    """The sentence in an error's JSON, or the text as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        return str(found.get("error") or found.get("detail") or found)
    return str(found)


def join(http: httpx.Client, function: int, data: list[Any]) -> str:
    """Ask a function of the page, as the page does; all that came back."""
    session = secrets.token_hex(5)
    begun = http.post("/gradio_api/queue/join", json={"data": data, "fn_index": function, "session_hash": session})
    if begun.status_code != 200:
        return begun.text
    return begun.text + "\n".join(d for _, d in events(http, "/gradio_api/queue/data", {"session_hash": session}))


def segment(address: str, files: Sequence[tuple[str, bytes]], seconds: float = SECONDS) -> Answer:
    """Upload files and ask /segment, as one client."""
    with httpx.Client(base_url=address, timeout=seconds) as http:
        try:
            paths = upload(http, files)
        except httpx.HTTPStatusError as error:
            return Answer(error=said_in(str(error)), text=str(error))
        except httpx.HTTPError as error:
            return Answer(error=f"{type(error).__name__} {error}")
        return call(http, handed(paths))


def fetch(address: str, file: dict[str, Any]) -> bytes:
    """The content of a file that the API answered with."""
    return httpx.get(f"{address}/gradio_api/file={file['path']}", timeout=SECONDS).raise_for_status().content

"""A real Orthanc with its DICOMweb plugin, on free ports of 127.0.0.1, stopped, killed and started again at will.

The fixture `orthanc` is one server for a whole session: a test has a patient of its own there, or begins with `clear`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import loopback
import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOOP = Path(__file__).with_name("loop.c")
START_SECONDS = 60


def why_no_orthanc() -> str | None:
    """What is missing to run an Orthanc here; None where nothing is."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        return "Orthanc is not installed (Debian's orthanc and orthanc-dicomweb)"
    return None if shutil.which("gcc") else "gcc is not installed, which keeps Orthanc on 127.0.0.1"


until = partial(loopback.until, seconds=60)  # an archive takes its time


class Orthanc:
    """One server. aet, dicom_port: of its DIMSE side; url: of REST; web: of DICOMweb.

    settings: of its configuration, over those that all have; `DicomModalities` says to whom it may send. headers: of
    each request by REST.
    """

    aet = "ORTHANC"

    def __init__(self, folder: Path, headers: Mapping[str, str] | None = None, **settings: Any) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._headers = dict(headers or {})
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # whatever proxy there is for others
        self.dicom_port, self.http_port = loopback.free_port(), loopback.free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.web = f"{self.url}/dicom-web"
        folder.mkdir(parents=True, exist_ok=True)
        web = {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado"}
        self._settings: dict[str, Any] = {
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [str(PLUGIN)],
            "HttpPort": self.http_port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAet": self.aet, "DicomPort": self.dicom_port, "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": False, "OverwriteInstances": False, "UnknownSopClassAccepted": True,
            "DicomWeb": web | {"StudiesMetadata": "Full", "SeriesMetadata": "Full"}, "HttpThreadsCount": 4,
        } | settings  # fmt: skip
        self._loop = folder / "loop.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self._loop, LOOP, "-ldl"], check=True)

    @property
    def peer(self) -> str:
        """As the product's `--peer` takes it."""
        return f"{self.aet}@127.0.0.1:{self.dicom_port}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def configure(self, **settings: Any) -> None:
        """Settings from the next start on."""
        self._settings |= settings

    def start(self) -> None:
        """Start it, and wait until it answers."""
        config = self._folder / "orthanc.json"
        config.write_text(json.dumps(self._settings))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["Orthanc", config], stdout=log, stderr=log, env=os.environ | {"LD_PRELOAD": str(self._loop)}
            )
        if not until(self._answers, seconds=START_SECONDS):
            self.kill()
            raise RuntimeError(f"Orthanc did not start: {self.log[-2000:]}")

    def stop(self) -> None:
        """As its administrator does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """As the system does where memory is short."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, **settings: Any) -> None:
        self.stop()
        self.configure(**settings)
        self.start()

    def know(self, name: str, aet: str, port: int) -> None:
        """Add a modality, until the next stop, to which `send` may send."""
        self.call("PUT", f"/modalities/{name}", {"AET": aet, "Host": "127.0.0.1", "Port": port})

    def call(self, method: str, path: str, content: bytes | Mapping[str, Any] | None = None) -> Any:
        """An answer of REST. Raises urllib.error.HTTPError."""
        data = json.dumps(content).encode() if isinstance(content, Mapping) else content
        request = urllib.request.Request(f"{self.url}{path}", data, self._headers, method=method)
        with self._open(request, timeout=60) as answer:
            got = answer.read()
            return json.loads(got) if "json" in answer.headers.get("Content-Type", "") else got

    def upload(self, files: Iterable[Path]) -> None:
        """Store DICOM files by REST."""
        for file in files:
            self.call("POST", "/instances", file.read_bytes())

    def clear(self) -> None:
        """Delete whatever it holds."""
        for patient in self.call("GET", "/patients"):
            self.call("DELETE", f"/patients/{patient}")

    def patients(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/patients?expand"))

    def studies(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/studies?expand"))

    def series(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/series?expand"))

    def instances(self, modality: str | None = None) -> list[dict[str, Any]]:
        """The main tags of all instances, or of those whose series has this modality, with their REST `ID`."""
        kept = [s for s in self.series() if modality in (None, s["MainDicomTags"].get("Modality"))]
        return [dict(self.call("GET", f"/instances/{i}/simplified-tags"), ID=i) for s in kept for i in s["Instances"]]

    def file(self, instance: str) -> bytes:
        """The DICOM file of an instance by its REST ID."""
        return bytes(self.call("GET", f"/instances/{instance}/file"))

    def send(self, modality: str, resources: Iterable[str] | None = None) -> dict[str, Any]:
        """C-STORE patients, studies, series or instances by their REST IDs, without any all studies; the job's answer.

        Raises urllib.error.HTTPError where the other side refuses one.
        """
        chosen = [s["ID"] for s in self.studies()] if resources is None else list(resources)
        return dict(self.call("POST", f"/modalities/{modality}/store", {"Resources": chosen, "Synchronous": True}))

    def _answers(self) -> bool:
        try:
            self.call("GET", "/system")
            return True
        except OSError:
            return False


def basic(user: str, password: str) -> dict[str, str]:
    """The header of a user of REST."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@contextmanager
def running(folder: Path, headers: Mapping[str, str] | None = None, **settings: Any) -> Iterator[Orthanc]:
    """A server of one's own, see `Orthanc`; skips the test where there is none."""
    if why := why_no_orthanc():
        pytest.skip(why)
    server = Orthanc(folder, headers, **settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """The session's one server; it may hold what earlier tests left."""
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server

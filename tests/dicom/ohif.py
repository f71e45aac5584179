"""OHIF, the viewer, on an Orthanc: fetched once by `python -m tests.dicom.ohif`, served on loopback, driven in Chromium.

With the URL of an Orthanc the command serves it too, until Ctrl-C. The npm package brings the built viewer. It is 46 MB, so
that it is no dependency of anything, and is not in the repository.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import mimetypes
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np

PACKAGE = "@ohif/app@3.12.10"
SHA512 = "0kuF66Mq9c9dMD++bUsTjMrJpXJwaZhz9B4uS244DawAjSkTwIYFU93pxPuRUQixaRi7QAHlF3Fe1qudBlZrmA=="  # as npm lists it
FOLDER = Path(__file__).resolve().parents[2] / ".ohif"
MARK = FOLDER / "version"
TO_ORTHANC = ("/dicom-web", "/wado")
HOP = ("connection", "content-length", "transfer-encoding", "keep-alive", "date", "server")  # of one connection alone
CONFIG = {
    "routerBasename": None, "extensions": [], "modes": [], "customizationService": {}, "showStudyList": True,
    "investigationalUseDialog": {"option": "never"}, "maxNumberOfWebWorkers": 2, "strictZSpacingForVolumeViewport": True,
    "defaultDataSourceName": "orthanc",
    "dataSources": [{
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "orthanc",
        "configuration": {
            "friendlyName": "Orthanc", "name": "orthanc", "qidoRoot": "/dicom-web", "wadoRoot": "/dicom-web",
            "wadoUriRoot": "/wado", "qidoSupportsIncludeField": True, "supportsReject": False, "imageRendering": "wadors",
            "thumbnailRendering": "wadors", "enableStudyLazyLoad": True, "supportsFuzzyMatching": True,
            "supportsWildcard": True, "omitQuotationForMultipartRequest": True, "bulkDataURI": {"enabled": True},
        },
    }],
}  # fmt: skip


def why_no_ohif() -> str | None:
    """Why the viewer cannot be served; None where it is there."""
    there = MARK.exists() and MARK.read_text(encoding="utf-8") == PACKAGE
    return None if there else f"{PACKAGE} is not fetched (python -m tests.dicom.ohif)"


def fetch() -> None:
    """Fetch the built viewer from npm into FOLDER, where it is not there. Raises ValueError where it is another file."""
    if why_no_ohif() is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        pack = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", folder]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        (packed,) = Path(folder).iterdir()
        if base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != SHA512:
            raise ValueError(f"{packed.name} is not the file that {PACKAGE} was")
        MARK.unlink(missing_ok=True)
        with tarfile.open(packed) as archive:
            for member in archive:
                member.name = member.name.removeprefix("package/dist/")
                if member.isfile() and not member.name.startswith("package/") and not member.name.endswith(".map"):
                    archive.extract(member, FOLDER, filter="data")
    MARK.write_text(PACKAGE, encoding="utf-8")


class _Handler(BaseHTTPRequestHandler):
    """Files of the viewer; its configuration; what Orthanc answers. To a browser all is one origin."""

    protocol_version = "HTTP/1.1"
    orthanc: str  # host:port

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(TO_ORTHANC):
            return self._ask_orthanc()
        if path == "/app-config.js":
            return self._send(200, {"Content-Type": "text/javascript"}, f"window.config = {json.dumps(CONFIG)};".encode())
        file = (FOLDER / path.lstrip("/")).resolve()
        if not file.is_file() and "." not in Path(path).name:
            file = FOLDER.resolve() / "index.html"  # a single-page application: /viewer?... is a place in it
        if not file.is_file() or not file.is_relative_to(FOLDER.resolve()):
            return self._send(404, {}, b"")
        kinds = {".wasm": "application/wasm", ".js": "text/javascript"}
        kind = kinds.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return self._send(200, {"Content-Type": kind, "Cache-Control": "no-cache"}, file.read_bytes())

    do_HEAD = do_POST = do_GET

    def _ask_orthanc(self) -> None:
        """Host is passed on, so that the URLs in Orthanc's answers are of this server; its plugin reads no %2C."""
        length = int(self.headers.get("Content-Length") or 0)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "accept-encoding")}
        connection = http.client.HTTPConnection(self.orthanc, timeout=120)
        connection.request(self.command, self.path.replace("%2C", ","), self.rfile.read(length) or None, headers)
        answer = connection.getresponse()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP}
        self._send(answer.status, kept, answer.read())
        connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: what fails is seen in the browser."""


@contextmanager
def served(orthanc: str) -> Iterator[str]:
    """The viewer's address, on the Orthanc at a URL."""
    handler = type("Handler", (_Handler,), {"orthanc": urlsplit(orthanc).netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# What OHIF has in memory. Of the labelmap: by the SOP instance of each image, which pixels are in a segment.
SEGMENTED = """() => { const found = {};
  for (const { representationData } of services.segmentationService.getSegmentations()) {
    const { imageIds, referencedImageIds } = representationData.Labelmap;
    imageIds.forEach((id, n) => { const inside = [];
      cornerstone.cache.getImage(id).voxelManager.getScalarData().forEach((value, at) => value && inside.push([at, value]));
      const { sopInstanceUID } = cornerstone.metaData.get("sopCommonModule", referencedImageIds[n]);
      if (inside.length) found[sopInstanceUID] = inside; }); }
  return found; }"""
MEASURED = """() => cornerstoneTools.annotation.state.getAllAnnotations()
  .filter(({ metadata }) => metadata.toolName === "DICOMSRDisplay")
  .map(({ data }) => ({ uid: data.TrackingUniqueIdentifier, points: data.renderableData.POLYLINE,
                        labels: Object.fromEntries(data.labels.map(({ label, value }) => [label, value])) }))"""
# Of the one viewport: which image it shows, and where on the screen places in mm are.
VIEWED = """() => cornerstone.metaData.get("sopCommonModule",
  cornerstone.getEnabledElements()[0].viewport.getCurrentImageId()).sopInstanceUID"""
PLACED = """(places) => { const { viewport } = cornerstone.getEnabledElements()[0];
  const { left, top } = viewport.element.getBoundingClientRect();
  return places.map((mm) => viewport.worldToCanvas(mm)).map(([x, y]) => [x + left, y + top]); }"""
DOCUMENT = """async () => { const frame = document.querySelector("object[type='application/pdf']");
  const bytes = new Uint8Array(await (await fetch(frame.data)).arrayBuffer());
  return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join("")); }"""


class Viewer:
    """One study, open in a page of Chromium."""

    def __init__(self, page: Any, address: str, study: str) -> None:
        self.page = page
        self.hosts: set[str] = set()  # that were asked for anything
        page.on("request", lambda request: self._asks(urlsplit(request.url)))
        page.add_init_script("""localStorage.setItem("shownTours", '["basicViewerTour"]')""")
        page.goto(f"{address}/viewer?StudyInstanceUIDs={study}")

    def _asks(self, url: SplitResult) -> None:
        if url.scheme in ("http", "https", "ws", "wss"):  # Chromium shows a PDF by an extension of its own
            self.hosts.add(url.netloc)

    def open(self, series: str) -> None:
        """Show a series by the beginning of its description."""
        self.page.get_by_text(series).first.dblclick(timeout=60_000)

    def segmentation(self, series: str) -> dict[str, dict[int, int]]:
        """Load a SEG; which pixels of the image with this SOP instance UID are in which segment, as OHIF holds it."""
        self.open(series)
        self.page.get_by_role("button", name="Yes", exact=True).click(timeout=60_000)
        self.page.wait_for_function("services.segmentationService.getSegmentations().length")
        return {uid: dict(inside) for uid, inside in self.page.evaluate(SEGMENTED).items()}

    def measurements(self, series: str) -> list[dict[str, Any]]:
        """Open an SR; of each measurement its tracking UID, the lines drawn (mm, LPS), and what is written beside it."""
        self.open(series)
        self.page.get_by_text("Volume:").first.wait_for(timeout=60_000)
        return list(self.page.evaluate(MEASURED))

    def document(self, series: str) -> bytes:
        """Open an encapsulated PDF; the bytes that are shown."""
        self.open(series)
        self.page.wait_for_selector("object[type='application/pdf']", state="attached", timeout=60_000)
        return base64.b64decode(self.page.evaluate(DOCUMENT))

    def places(self, points: np.ndarray) -> np.ndarray:
        """Where points in mm (LPS), (N, 3), are on the screen, (N, 2) pixels to the right and down."""
        return np.array(self.page.evaluate(PLACED, points.tolist()))

    @property
    def shown(self) -> str:
        """The SOP instance UID of the image that is shown."""
        return str(self.page.evaluate(VIEWED))


def main(arguments: list[str]) -> None:
    fetch()
    for orthanc in arguments[:1]:
        with served(orthanc) as address, suppress(KeyboardInterrupt):
            print(f"{address} shows what {orthanc} has", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])

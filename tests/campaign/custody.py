"""Row 7: a client that names what is not its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.campaign.malformed import GOOD, Checker, pixels
from tests.campaign.server import ROOT, SECONDS, Server, call, fetch, handed, join, upload
from tests.campaign.tally import Campaign

RIGHT = (
    "refused with a sentence that names no path; the owner's files lie where they did, with their mode, and are segmented "
    "rightly afterwards; no traceback in the log"
)
FEW = ("folder of an upload", "another's result", "file of the system", "what is not there")  # of the short form


@dataclass
class Owner:
    """The client whose files another one asks for. result: of an earlier request, where the server keeps it."""

    server: Server
    http: httpx.Client
    result: str = ""
    pending: str = ""

    def places(self) -> dict[str, list[str]]:
        """What the other client names, paths as the server has them; each time with a new upload that waits."""
        if not Path(self.result).is_file():
            self.result = str(call(self.http, handed(upload(self.http, [GOOD]))).files[0]["path"])
        (self.pending,) = upload(self.http, [GOOD])
        own = Path(self.pending).parent
        outside, link = self.server.temporary.parent / "outside.png", own.parent / "link.png"
        outside.write_bytes(GOOD[1])
        if not link.is_symlink():
            link.symlink_to(outside)
        return {
            "folder of an upload": [str(own)],
            "the same, a slash behind": [f"{own}/"],
            "folder of an upload, dots": [f"{own}/../{own.name}"],
            "another's result": [self.result],
            "folder of a result": [str(Path(self.result).parent)],
            "file of the system": ["/etc/hostname"],
            "file outside": [str(outside)],
            "file outside, dots": [f"{own}/../../../{outside.name}"],
            "link to a file outside": [str(link)],
            "the product's own": [str(ROOT / "weights"), "weights/lgg-unet.json"],
            "what is not there": [str(own.parent / ("0" * 64) / "slice.png")],
            "a device": ["/dev/zero"],
            "nothing": [""],
            "the address of a server": ["http://127.0.0.1:9/slice.png"],
            "folder of all uploads": [str(own.parent)],
            "folder of all uploads, dots": [f"{own}/.."],
            "temporary folder": [str(self.server.temporary)],
        }

    def state(self) -> dict[str, int | None]:
        """The modes of what must not change, None where it is gone."""
        held = [Path(p) for p in (self.pending, self.result)]
        watched = [*held, *(p.parent for p in held), held[0].parent.parent, self.server.temporary.parent / "outside.png"]
        return {str(p): p.stat().st_mode if p.exists() else None for p in watched}


def custody(campaign: Campaign, server: Server) -> None:
    """On /segment, and on every function of the page that takes files."""
    campaign.row("another client's files and folders", RIGHT)
    checker = Checker(server)
    with (
        httpx.Client(base_url=server.address, timeout=SECONDS) as http,
        httpx.Client(base_url=server.address, timeout=SECONDS) as other,
    ):
        owner = Owner(server, http)
        asks: dict[str, Callable[[Any], str]] = {
            "/segment": lambda asked: said_of(call(other, asked)),
            "/segment, as reference": lambda asked: said_of(call(other, handed(upload(other, [GOOD])), asked)),
        }
        for number, data in functions_with_files(other).items():
            asks[f"function {number}"] = lambda asked, n=number, d=data: page_said(  # type: ignore[misc]
                join(other, n, [asked if value == "FILES" else value for value in d])
            )
        for name in FEW if campaign.short else owner.places():
            for way, ask in asks.items():
                campaign.judge(f"{way}: {name}", attempt(owner, name, ask))
        answer = checker.ask([])[1]
        owned = call(http, handed([owner.pending]))
    right = bool(owned.files) and np.array_equal(pixels(fetch(server.address, owned.files[0])), checker.known)
    campaign.judge("the owner's pending upload afterwards", "" if right else f"not segmented rightly: {owned.error[:200]}")
    campaign.judge("the server afterwards", answer)


def attempt(owner: Owner, name: str, ask: Callable[[Any], str]) -> str:
    """Why an attempt was not refused as it should be: by its answer, the disk and the log."""
    try:
        asked = handed(owner.places()[name])
        before = owner.state()
        owner.server.new_log()
        said = ask(asked)
    except (httpx.HTTPError, IndexError) as error:
        return f"the owner is not served any more: {error}"
    log = owner.server.new_log()
    changed = [path for path, mode in owner.state().items() if mode != before[path]]
    if changed:
        return f"gone or changed: {', '.join(Path(p).name for p in changed)}"
    if "Traceback" in log:
        return f"traceback: {log.strip().splitlines()[-1][:200]}"
    if any(path in said for path in (str(owner.server.temporary), "/etc/", "/dev/", str(ROOT))):
        return f"a path is named: {said[:200]}"
    if said.startswith("segmented"):
        return said[:200]
    return "" if len(said.split()) > 2 else f"no sentence: {said!r}"


def said_of(answer: Any) -> str:
    """The sentences of an answer of the API; what was segmented beside the good file is not refused."""
    if answer.report is None:
        return str(answer.error)
    files = [i["file"] for i in answer.report["images"] if i["file"] != GOOD[0]]
    scored = [i["file"] for i in answer.report["images"] if "reference_pixels" in i]
    sentences = [u["message"] for u in answer.report["unreadable"]] + answer.report["warnings"]
    return f"segmented or scored: {files + scored}" if files or scored else " ".join(sentences)


def page_said(text: str) -> str:
    """What a function of the page sent; the viewer's cases are a result."""
    return "segmented" if '"cases": [{' in text or '"cases":[{' in text else text


def functions_with_files(http: httpx.Client) -> dict[int, list[Any]]:
    """Each function of the page that takes files: its number, and its arguments, FILES where the files go."""
    config = http.get("/config").json()
    kinds = {c["id"]: c for c in config["components"]}
    found: dict[int, list[Any]] = {}
    for function in config["dependencies"]:
        inputs = [kinds[i] for i in function["inputs"]]
        if any(c["type"] == "file" for c in inputs):
            values = ["FILES" if c["type"] == "file" else c["props"].get("value") for c in inputs]
            found[function["id"]] = [None if c["type"] == "state" else v for c, v in zip(inputs, values, strict=True)]
    assert len(found) >= 3, "the scan, the reference and the API"
    return found

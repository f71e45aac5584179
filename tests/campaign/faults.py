"""Row 3: a server that is killed, a disk that is full, uploads that break off."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tests.campaign.formats import Files, classic, head, nifti
from tests.campaign.malformed import GOOD, Checker, pixels
from tests.campaign.server import Server, fetch, segment
from tests.campaign.tally import Campaign

LEFT = 60  # seconds after which nothing of an upload may be left
RIGHT_LEFT = f"nothing of them is on the disk {LEFT} seconds later; the server then answers rightly, without a traceback"
RIGHT_KILLED = "started again, nothing of the upload is on the disk, and the good slice gets its known mask"
RIGHT_FULL = "one sentence and no traceback; with room again, the good slice gets its known mask at the first try"


def marker(campaign: Campaign, *what: object) -> bytes:
    """Bytes that are nowhere else."""
    return campaign.random("marker", *what).randbytes(48)


def break_off(server: Server, marked: bytes, said: int, sent: int) -> None:
    """Begin an upload of so many bytes, send some, and hang up."""
    host, port = server.address.removeprefix("http://").split(":")
    head_ = (
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="scan.nii"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    request = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {said}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request + head_ + marked + bytes(max(sent - len(marked), 0)))
        time.sleep(0.05)


class Broken:
    """Uploads that break off, and ones that nobody asks to segment; judged `LEFT` seconds later, other rows in between."""

    def __init__(self, campaign: Campaign, server: Server) -> None:
        self.campaign, self.server = campaign, server
        self.markers = [marker(campaign, "broken", n) for n in range(campaign.size(6, 20))]
        for n, marked in enumerate(self.markers):
            rng = campaign.random("broken", n)
            break_off(server, marked, 30_000_000, rng.choice([100, 70_000, 1_500_000, 6_000_000]))
        refused = marker(campaign, "refused")
        segment(server.address, [("bad.png", refused)])
        self.markers.append(refused)
        self.since = time.monotonic()

    def judge(self) -> None:
        """Wait for what is left of the time, and look."""
        checker = Checker(self.server)
        self.campaign.row(f"{len(self.markers) - 1} broken-off uploads, one refused", RIGHT_LEFT)
        time.sleep(max(0.0, self.since + LEFT - time.monotonic()))
        for n, marked in enumerate(self.markers):
            left = self.server.holds(marked)
            self.campaign.judge(f"upload {n}", f"left: {left[0].relative_to(self.server.temporary)}" if left else "")
        self.campaign.judge("the server afterwards", checker.ask([])[1])


def killed(campaign: Campaign) -> None:
    """A server of its own is killed in the middle of a request, and while an upload comes in."""
    campaign.row("server killed at work", RIGHT_KILLED)
    folder = campaign.work / "killed"
    folder.mkdir()
    with Server(folder) as server:
        known = Checker(server).known
        for n in range(campaign.size(1, 5)):
            rng, marked = campaign.random("killed", n), marker(campaign, "killed", n)
            coming, working = marked[:24], marked[24:]
            volume = nifti(head(n, 40).flair, packed=False) + working
            asks = threading.Thread(target=segment, args=(server.address, [("volume.nii", volume)]))
            asks.start()
            with suppress(OSError):
                break_off(server, coming, 30_000_000, 3_000_000)
            time.sleep(rng.uniform(0.3, 2.5))
            server.kill()
            asks.join()
            held = len(server.holds(working)) + len(server.holds(coming))
            server.start()
            left = server.holds(working) + server.holds(coming)
            why = f"left: {left[0].relative_to(server.temporary)}" if left else wrong(server, known)
            campaign.judge(f"kill {n} ({held} files when it was killed)", why)


def wrong(server: Server, known: np.ndarray) -> str:
    """Why the good slice does not get its known mask."""
    answer = segment(server.address, [GOOD])
    if not answer.files:
        return answer.error[:300] or "no result"
    return "" if np.array_equal(pixels(fetch(server.address, answer.files[0])), known) else "another mask"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own. Raises OSError where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "campaign", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(campaign: Campaign) -> None:
    """A server whose temporary folder has no room: for the upload, for its work, for its result."""
    row = campaign.row("disk full", RIGHT_FULL)
    folder = campaign.work / "full"
    folder.mkdir()
    try:
        with small_disk(folder / "tmp", 64), Server(folder) as server:
            known = Checker(server).known
            for room in [0, 40_000] if campaign.short else [0, 4096, 20_000, 40_000, 100_000, 300_000]:
                campaign.judge(f"{room} bytes free", without_room(server, room, known))
    except (FileNotFoundError, OSError) as error:
        if row.tried:
            raise
        row.skipped = f"not tried: no tmpfs ({error})"


def without_room(server: Server, room: int, known: np.ndarray) -> str:
    """Why requests on a disk with so much room, and one after it, are not answered as they should be."""
    ballast = server.temporary / "ballast"
    free = os.statvfs(server.temporary)
    ballast.write_bytes(bytes(max(free.f_bavail * free.f_frsize - room, 0)))
    uploads: list[Files] = [[GOOD], [("volume.nii", nifti(head(2).flair, packed=False))], classic(f"full {room}")]
    why = ""
    for files in uploads:
        answer = segment(server.address, files)
        log = server.new_log()
        if "Traceback" in log or "Traceback" in answer.text:
            why = f"traceback: {log.strip().splitlines()[-1][:200]}"
        elif answer.report is None and (len(answer.error.split()) < 4 or "Internal Server Error" in answer.error):
            why = f"no sentence: {answer.error[:200]!r}"
        elif not server.alive():
            why = "the server died"
    ballast.unlink()
    return why or wrong(server, known)


def afterwards(campaign: Campaign) -> None:
    """The faults that need a server of their own."""
    killed(campaign)
    full_disk(campaign)

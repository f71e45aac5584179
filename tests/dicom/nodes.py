"""The node as a process of its own, between the tests' Orthanc and itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loopback import free_port
from orthanc import until
from pydicom.uid import MRImageStorage
from pynetdicom import AE

START_SECONDS = 120


class Node:
    """`python -m lgg_demo.dicom node`, which knows ORTHANC on this machine. spool: its folder."""

    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.spool, self._log = free_port(), folder / "spool", folder / "log"
        peers = folder / "peers.toml"
        peers.write_text('[[peer]]\naet = "ORTHANC"\naddress = "127.0.0.1"\n')
        fixed = ["--peers", str(peers), "--spool", str(self.spool), "--port", str(self.port)]
        self.flags = [*fixed, "--settle", "0.5", "--retry", "0.2", *flags]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        before = self.log.count("listens on")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "no_proxy": "*"}
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "lgg_demo.dicom", "node", *self.flags]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        assert until(
            lambda: self.log.count("listens on") > before or self._process.poll() is not None, seconds=START_SECONDS
        )
        assert self._process.poll() is None, self.log

    def end(self, number: int) -> int:
        """Send it a signal; how it ends."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(60)

    def kill(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def inside(self, *folders: str) -> list[str]:
        """The files in some folders of the spool, or in the whole of it but for its lock."""
        # `os.walk` and not `rglob`, which fails where a folder goes meanwhile.
        walks = [os.walk(self.spool / folder) for folder in folders or [""]]
        found = [Path(place, name).relative_to(self.spool) for walk in walks for place, _, names in walk for name in names]
        return [path.as_posix() for path in found if path.name != "lock"]


@contextmanager
def node(folder: Path, *flags: str) -> Iterator[Node]:
    """A node that runs, killed on leaving."""
    own = Node(folder, *flags)
    own.start()
    try:
        yield own
    finally:
        own.kill()


@contextmanager
def caller(port: int, aet: str = "ORTHANC") -> Iterator[Callable[[Path], int]]:
    """An association that stays open meanwhile: what it gives sends a file and returns the status."""
    here = AE(ae_title=aet)
    here.add_requested_context(MRImageStorage)
    association = here.associate("127.0.0.1", port, ae_title="LGGDEMO")
    assert association.is_established
    try:
        yield lambda file: int(association.send_c_store(file).get("Status", -1))
    finally:
        association.release() if association.is_established else association.abort()

"""Certificates for the tests of TLS: an authority, and whoever it signs, each of them 127.0.0.1."""

from __future__ import annotations

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest


class Pair(NamedTuple):
    """PEM files: a certificate, its key, and both in one."""

    cert: Path
    key: Path
    both: Path


class Certificates:
    """An authority. ca: its certificate. Skips the test where there is no OpenSSL."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder, self.ca = folder, folder / "ca.pem"
        self._make("-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests")

    def of(self, name: str) -> Pair:
        """A pair that the authority has signed."""
        pair = Pair(*(self._folder / f"{name}.{end}" for end in ("pem", "key", "both")))
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
        self._make("-x509", *signed, "-keyout", pair.key.name, "-out", pair.cert.name, "-subj", f"/CN={name}")
        pair.both.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
        return pair

    def _make(self, *arguments: str) -> None:
        command = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2", *arguments]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)


@contextmanager
def tunnel(pair: Pair, port: int) -> Iterator[int]:
    """TLS in front of a port of this machine, as a reverse proxy has it; the port to call.

    Debian's Orthanc 1.10.1 ends with a segmentation fault at the first request over its own HTTPS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.both)

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),  # also of a caller that does not trust the certificate
                context.wrap_socket(self.request, server_side=True) as caller,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                thread = threading.Thread(target=_pump, args=(behind, caller), daemon=True)
                thread.start()
                _pump(caller, behind)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

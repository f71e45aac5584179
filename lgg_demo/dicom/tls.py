"""TLS for both roles."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lgg_demo.dicom.archive import DicomError

HANDSHAKE_SECONDS = 10.0


def calling(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """For whoever calls: the other's certificate must be signed by `ca`, or by whom the system trusts, and name its host.

    cert, key: our own, where the other asks for it. Raises DicomError where a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
        return context
    except OSError as error:
        raise DicomError("dicom_certificate", file=_named(ca, cert, key), reason=_reason(error)) from error


def listening(cert: Path, key: Path | None, ca: Path | None, admits: Callable[[str], bool]) -> ssl.SSLContext:
    """For whoever is called: with `ca` the caller must have a certificate that it signed.

    admits: whether an address may call at all. Raises DicomError where a file cannot be used.
    """
    try:
        context = _Listening(ssl.PROTOCOL_TLS_SERVER)
        context.admits = admits
        context.load_cert_chain(cert, key)
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
    except OSError as error:
        raise DicomError("dicom_certificate", file=_named(ca, cert, key), reason=_reason(error)) from error


class _Listening(ssl.SSLContext):
    """pynetdicom shakes hands while nobody else is let in: a caller that says nothing would keep everybody out."""

    admits: Callable[[str], bool]

    def wrap_socket(self, sock: Any, *args: Any, **keywords: Any) -> ssl.SSLSocket:
        if not self.admits(sock.getpeername()[0]):
            sock.close()
            raise ConnectionRefusedError
        before = sock.gettimeout()
        sock.settimeout(HANDSHAKE_SECONDS)
        wrapped = super().wrap_socket(sock, *args, **keywords)
        wrapped.settimeout(before)
        return wrapped


def _named(*files: Path | None) -> str:
    """The files, the missing ones alone where some are."""
    given = [f for f in files if f is not None]
    return ", ".join(str(f) for f in [f for f in given if not f.is_file()] or given)


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__

"""The flags that say where an archive is, and the archive that they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from lgg_demo.command import OptionalFile
from lgg_demo.dicom import tls
from lgg_demo.dicom.archive import Archive, DicomError
from lgg_demo.dicom.dimse import DimsePeer, Listening
from lgg_demo.dicom.web import WebArchive

Url = Annotated[str | None, tyro.conf.arg(metavar="URL")]
Peer = Annotated[str | None, tyro.conf.arg(metavar="AET@HOST:PORT")]
Aet = Annotated[str, tyro.conf.arg(metavar="AET")]
Host = Annotated[str, tyro.conf.arg(metavar="ADDRESS")]
Port = Annotated[int, tyro.conf.arg(metavar="PORT")]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where an archive is: by DICOMweb or by DIMSE."""

    web: Url = None
    """a DICOMweb service, such as https://archive/dicom-web; credentials come from the environment:
    LGG_DEMO_DICOMWEB_USER and LGG_DEMO_DICOMWEB_PASSWORD, or LGG_DEMO_DICOMWEB_TOKEN"""
    peer: Peer = None
    """a DIMSE archive, such as ARCHIVE@10.0.0.5:104"""
    tls: bool = False
    """DIMSE over TLS"""
    ca: OptionalFile = None
    """certificates (PEM) to check the archive's by; those of the system without"""
    cert: OptionalFile = None
    """our own certificate (PEM), where the archive asks for one"""
    key: OptionalFile = None
    """its key; in the same file without"""

    def open(self, aet: str, retrieve: Literal["get", "move"] = "get", listen: Listening | None = None) -> Archive:
        """The archive. aet: our own AE title; retrieve, listen: see `DimsePeer`. Raises DicomError."""
        for file in (self.ca, self.cert, self.key):
            if file is not None and not file.is_file():
                raise DicomError("dicom_certificate", file=str(file), reason="no such file")
        if (self.web is None) == (self.peer is None):
            raise DicomError("dicom_one_archive")
        secure = self.web.startswith("https:") if self.web else self.tls
        if not secure and (self.tls or self.ca or self.cert or self.key):
            raise DicomError("dicom_tls_not_asked")
        if self.web is not None:
            return WebArchive(self.web, self.ca, self.cert, self.key)
        assert self.peer is not None
        context = tls.calling(self.ca, self.cert, self.key) if self.tls else None
        return DimsePeer(self.peer, aet, context, retrieve, listen)

"""An archive by DIMSE: C-FIND, then C-GET or C-MOVE, and C-STORE."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, build_role, evt
from pynetdicom.association import Association

from lgg_demo.atomic import write_whole
from lgg_demo.dicom.archive import DicomError, FoundStudy, Query, Sent, checked_uid
from lgg_demo.dicom.instance import instance_of, kind_of, name_of
from lgg_demo.messages import Sentence

# Its lines quote what it reads, a name too.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
_config.LOG_HANDLER_LEVEL = "none"
_config.STORE_SEND_CHUNKED_DATASET = True  # a file goes out as it is, without being parsed

PLAIN: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
COMPRESSED = [
    JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, RLELossless,
    JPEGBaseline8Bit, JPEGExtended12Bit,
]  # fmt: skip
# What a C-GET may bring, of at most 128 presentation contexts: MR in every compression that can be read, and what may lie
# beside it in a study.
_MR = ["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"]
_BESIDE = [
    "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4.2", "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.4", "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.66.1", "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.59",
    "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.481.3",
]  # fmt: skip
Kind = tuple[UID, UID]  # SOP class and transfer syntax
MOST_CONTEXTS = 128
_STUDY_ROOT = UID("1.2.840.10008.5.1.4.1.2.2")  # query/retrieve information model
FIND, MOVE, GET = (UID(f"{_STUDY_ROOT}.{n}") for n in (1, 2, 3))
SUCCESS, PENDING, CANNOT_UNDERSTAND, NOT_AUTHORISED = 0x0000, (0xFF00, 0xFF01), 0xC000, 0x0124
_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, if not to the last element
_PASSING = (0x0110, 0x0124)
SOME_FAILED = 0xB000  # sub-operations
_PEER = re.compile(r"(?P<aet>[^@\\]{1,16})@(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Listening:
    """Where C-MOVE is to send: an address of this machine, and a port, that the archive knows under our AE title."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class DimsePeer:
    """An archive such as ARCHIVE@10.0.0.5:104. See `Archive`.

    aet: our own AE title. context: of TLS, None without. retrieve, listen: how `fetch` works, and for a C-MOVE where it
    listens meanwhile.
    """

    def __init__(
        self,
        peer: str,
        aet: str,
        context: ssl.SSLContext | None = None,
        retrieve: Literal["get", "move"] = "get",
        listen: Listening | None = None,
    ) -> None:
        match = _PEER.fullmatch(peer)
        if match is None:
            raise DicomError("dicom_peer_form", peer=peer, form="ARCHIVE@10.0.0.5:104")
        self.name, self._aet, self._context = peer, aet, context
        self._peer_aet, self._host, self._port = match["aet"], match["host"].strip("[]"), int(match["port"])
        self._retrieve, self._listen = retrieve, listen

    def find(self, query: Query) -> list[FoundStudy]:
        asked = Dataset()
        if not (query.patient or "").isascii():
            asked.SpecificCharacterSet = "ISO_IR 192"
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = query.study or ""
        asked.PatientID = query.patient or ""
        asked.StudyDate = f"{query.date:%Y%m%d}" if query.date else ""
        asked.StudyDescription = asked.ModalitiesInStudy = asked.NumberOfStudyRelatedInstances = ""
        found = []
        with self._associated([build_context(FIND, PLAIN)]) as association:
            self._offered(association, FIND, "C-FIND")
            for status, row in association.send_c_find(asked, FIND):
                code = self._code(status)
                if code in PENDING and row is not None:
                    found.append(_found(row))
                elif code != SUCCESS:
                    raise DicomError("dicom_status", server=self.name, service="C-FIND", status=f"0x{code:04X}")
        return [study for study in found if query.fits(study)]

    def fetch(self, study: FoundStudy, folder: Path) -> list[Path]:
        received = _Received(folder, study.uid)
        asked = Dataset()
        asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", study.uid
        failed = self._get(asked, received) if self._retrieve == "get" else self._move(asked, received)
        if failed or (study.instances is not None and len(received.files) < study.instances):
            of = max(len(received.files) + failed, study.instances or 0)
            raise DicomError("dicom_fetched_some", server=self.name, got=len(received.files), of=of)
        return sorted(received.files)

    def _get(self, asked: Dataset, received: _Received) -> int:
        """How many instances did not come."""
        contexts = [build_context(GET, PLAIN), *(build_context(kind, PLAIN) for kind in (*_MR, *_BESIDE))]
        contexts += [build_context(kind, [syntax]) for kind in _MR for syntax in COMPRESSED]
        roles = [build_role(UID(kind), scp_role=True) for kind in (*_MR, *_BESIDE)]
        with self._associated(contexts, [(evt.EVT_C_STORE, received)], roles) as association:
            self._offered(association, GET, "C-GET")
            return self._sub_operations(association.send_c_get(asked, GET), "C-GET")

    def _move(self, asked: Dataset, received: _Received) -> int:
        """How many instances did not come."""
        assert self._listen is not None
        here = entity(self._aet)
        here.supported_contexts = storage_contexts()
        here.require_calling_aet = [self._peer_aet]
        handlers: list[Any] = [(evt.EVT_C_STORE, received)]
        address = (self._listen.host, self._listen.port)
        try:
            server = here.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise DicomError("dicom_no_port", address=str(self._listen)) from error
        try:
            with self._associated([build_context(MOVE, PLAIN)]) as association:
                self._offered(association, MOVE, "C-MOVE")
                return self._sub_operations(association.send_c_move(asked, self._aet, MOVE), "C-MOVE")
        finally:
            assert server is not None
            server.shutdown()

    def _sub_operations(self, answers: Iterator[tuple[Dataset, Dataset | None]], service: str) -> int:
        """How many sub-operations failed, once all are over."""
        failed = 0
        for answer, _ in answers:
            code = self._code(answer)
            failed = int(answer.get("NumberOfFailedSuboperations") or 0)
            if code not in (SUCCESS, *PENDING, SOME_FAILED) and not failed:
                status = f"0x{code:04X}"
                if service == "C-MOVE":
                    raise DicomError("dicom_move_refused", server=self.name, aet=self._aet, status=status)
                raise DicomError("dicom_status", server=self.name, service=service, status=status)
        return failed

    def store(self, files: Sequence[Path]) -> Iterator[Sent]:
        kinds = {file: kind_of(file) for file in files}
        distinct = list(dict.fromkeys(kinds.values()))
        for start in range(0, len(distinct), MOST_CONTEXTS):
            some = distinct[start : start + MOST_CONTEXTS]
            yield from self._store([f for f in files if kinds[f] in some], kinds)

    def _store(self, files: Sequence[Path], kinds: Mapping[Path, Kind]) -> Iterator[Sent]:
        """Files of at most as many kinds as an association may have presentation contexts.

        An archive may break off the association over an object that it does not like: the others go in a new one.
        """
        contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in dict.fromkeys(kinds[f] for f in files)]
        left = list(files)
        while left:
            with self._associated(contexts, may_be_empty=True) as association:
                taken = {(UID(c.abstract_syntax or ""), c.transfer_syntax[0]) for c in association.accepted_contexts}
                whole = True
                while left and whole:
                    file = left.pop(0)
                    sent, whole = self._send(association, file, kinds[file], taken)
                    yield sent

    def _send(self, association: Association, file: Path, kind: Kind, taken: set[Kind]) -> tuple[Sent, bool]:
        """What became of a file, and whether the association is still there."""
        values = {"file": file.name, "server": self.name, "kind": name_of(kind[0])}
        if kind not in taken:
            return Sent(file, Sentence("dicom_kind_refused", values)), True
        try:
            code = self._code(association.send_c_store(file))
        except (DicomError, RuntimeError):  # the latter of pynetdicom, where the association has gone before
            return Sent(file, Sentence("dicom_stored_none", values), passing=True), False
        if code == SUCCESS or code in _WARNINGS:
            return Sent(file), True
        refused = Sentence("dicom_not_stored", values | {"status": f"0x{code:04X}"})
        return Sent(file, refused, code in _PASSING or code >> 8 == 0xA7), True

    @contextmanager
    def _associated(
        self,
        contexts: Sequence[Any],
        handlers: Sequence[Any] = (),
        roles: Sequence[Any] = (),
        may_be_empty: bool = False,
    ) -> Iterator[Association]:
        """An association, released on leaving. Raises DicomError where there is none, or it is broken off.

        may_be_empty: so that one in which no context is accepted, which pynetdicom ends, is one all the same.
        """
        here = entity(self._aet)
        here.requested_contexts = list(contexts)
        association = here.associate(
            self._host,
            self._port,
            ae_title=self._peer_aet,
            ext_neg=list(roles),
            evt_handlers=list(handlers),
            tls_args=(self._context, self._host) if self._context else None,
        )
        if not association.is_established and not (may_be_empty and _answered(association)):
            raise self._why_not(association)
        try:
            yield association
        except (RuntimeError, ValueError) as error:  # of pynetdicom, where the other side has gone
            raise DicomError("dicom_broken_off", server=self.name, aet=self._aet) from error
        finally:
            if association.is_established:
                association.release()

    def _why_not(self, association: Association) -> DicomError:
        if association.is_rejected:
            return DicomError("dicom_association_rejected", server=self.name, aet=self._aet)
        if _answered(association):
            return DicomError("dicom_no_service", server=self.name, service="C-FIND, C-GET, C-MOVE")
        return DicomError("dicom_no_answer", server=self.name)

    def _offered(self, association: Association, model: str, service: str) -> None:
        if not any(context.abstract_syntax == model for context in association.accepted_contexts):
            raise DicomError("dicom_no_service", server=self.name, service=service)

    def _code(self, status: Dataset) -> int:
        """Of an answer. Raises DicomError where there was none."""
        if "Status" not in status:
            raise DicomError("dicom_broken_off", server=self.name, aet=self._aet)
        return int(status.Status)


def _answered(association: Association) -> bool:
    """Whether the other side has accepted the association, be it without any of its contexts."""
    return not association.is_rejected and association.acceptor.primitive is not None


class _Received:
    """Writes what a C-GET or C-MOVE brings, of one study, into a folder. files: those that are written."""

    def __init__(self, folder: Path, study: str) -> None:
        self._folder, self._study = folder, study
        self.files: set[Path] = set()

    def __call__(self, event: evt.Event) -> int:
        content = event.encoded_dataset()
        try:
            instance = instance_of(content)
        except ValueError:
            return CANNOT_UNDERSTAND
        if instance.study != self._study:  # sent by somebody who was not asked
            return NOT_AUTHORISED
        file = self._folder / f"{instance.uid}.dcm"
        write_whole(file, content)
        self.files.add(file)
        return SUCCESS


def entity(aet: str) -> AE:
    """An application entity with this software's time limits. Raises DicomError for what is no AE title."""
    try:
        here = AE(ae_title=aet)
    except (TypeError, ValueError) as error:
        raise DicomError("dicom_aet", aet=aet) from error
    here.connection_timeout, here.acse_timeout, here.dimse_timeout, here.network_timeout = 10, 30, 120, 120
    return here


def storage_contexts() -> list[Any]:
    """Every kind of object, plain or in a compression that is read; none deflated, which is unpacked whenever looked at."""
    return [build_context(c.abstract_syntax or "", [*PLAIN, *COMPRESSED]) for c in AllStoragePresentationContexts]


def _found(row: Dataset) -> FoundStudy:
    modalities = row.get("ModalitiesInStudy") or ""
    count = row.get("NumberOfStudyRelatedInstances")
    return FoundStudy(
        checked_uid(row.get("StudyInstanceUID")),
        str(row.get("PatientID") or "").strip(),
        str(row.get("StudyDate") or ""),
        str(row.get("StudyDescription") or "").strip(),
        modalities if isinstance(modalities, str) else "\\".join(modalities),
        None if count in (None, "") else int(count),
    )

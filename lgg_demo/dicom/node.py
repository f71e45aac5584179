"""The node: answers C-ECHO and C-STORE of known peers, and has whole studies segmented and their results sent on."""

from __future__ import annotations

import logging
import signal
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from pydicom.uid import UID
from pynetdicom import evt

from lgg_demo.dicom.archive import DicomError
from lgg_demo.dicom.dimse import CANNOT_UNDERSTAND, PLAIN, SUCCESS, Listening, entity, storage_contexts
from lgg_demo.dicom.instance import instance_of
from lgg_demo.dicom.peers import Peers
from lgg_demo.dicom.spool import Spool, key_of
from lgg_demo.dicom.worker import LOOK_SECONDS, Sender, Worker, where_of

VERIFICATION = UID("1.2.840.10008.1.1")
OUT_OF_RESOURCES, MISMATCH = 0xA700, 0xA900
CALLING_AET_UNKNOWN = 0x01, 0x01, 0x03  # rejected for good, by the service user, calling AE title not recognised
ABORTED_FACTOR = 10  # so many times longer than after a release a study is waited for whose sender broke off
STOP_SECONDS = 20.0
_LOG = logging.getLogger(__name__)


@dataclass
class Reception:
    """Takes instances in, and says when a study is whole: `settle` seconds after its last association was released."""

    spool: Spool
    peers: Peers
    settle: float

    def __post_init__(self) -> None:
        self._alone = threading.Lock()
        self._open: dict[Any, set[str]] = {}  # the studies that each association brings
        self._last: dict[str, float] = {}  # when something last came of a study
        self._since = time.monotonic()
        self._told_full = False

    @property
    def handlers(self) -> list[Any]:
        return [
            (evt.EVT_REQUESTED, self.requested),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_RELEASED, lambda event: self.ended(event, broken=False)),
            (evt.EVT_ABORTED, lambda event: self.ended(event, broken=True)),
            (evt.EVT_CONN_CLOSE, lambda event: self.ended(event, broken=True)),  # where it is the first to be heard
        ]

    def requested(self, event: evt.Event) -> None:
        """Reject an association of a stranger."""
        caller = event.assoc.requestor
        aet, address = str(getattr(caller.primitive, "calling_ae_title", "")), str(caller.address)
        if not self.peers.admit(aet, address):
            _LOG.warning("rejected an association of %r from %s, which is not in the list of peers", aet, address)
            event.assoc.acse.send_reject(*CALLING_AET_UNKNOWN)
            event.assoc.kill()

    def store(self, event: evt.Event) -> int:
        """Keep an instance; on success it is on the disk."""
        content = event.encoded_dataset()
        try:
            instance = instance_of(content)
        except ValueError:
            _LOG.warning("refused what is no DICOM instance")
            return CANNOT_UNDERSTAND
        meta = event.file_meta  # of what was announced
        if (meta.MediaStorageSOPInstanceUID, meta.MediaStorageSOPClassUID) != (instance.uid, instance.sop_class):
            _LOG.warning("study %s: refused an instance that is not the one it was announced as", key_of(instance.study))
            return MISMATCH
        key = key_of(instance.study)
        if not self.spool.has_room(instance.study):
            if not self._told_full:
                _LOG.warning("study %s: refused, as the queue or the disk is full", key)
            self._told_full = True
            return OUT_OF_RESOURCES
        self._told_full = False
        with self._alone:  # before it is kept, so that the study is not taken for whole
            self._open.setdefault(event.assoc, set()).add(key)
        try:
            self.spool.receive(instance, content)
        except OSError as error:
            _LOG.error("study %s: not kept: %s", key, where_of(error))
            return OUT_OF_RESOURCES
        return SUCCESS

    def ended(self, event: evt.Event, broken: bool) -> None:
        """An association is over."""
        with self._alone:
            self._end(event.assoc, broken)

    def _end(self, association: Any, broken: bool) -> None:
        for key in self._open.pop(association, set()):
            self._last[key] = time.monotonic()
            self.spool.interrupt(key, broken)

    def whole(self) -> list[str]:
        """The keys of the studies that have arrived."""
        with self._alone:
            for association in [a for a in self._open if not a.is_alive()]:  # it ended while an instance was being kept
                self._end(association, broken=True)
            arriving = self.spool.arriving()
            self._last = {key: at for key, at in self._last.items() if key in arriving}
            coming = {key for keys in self._open.values() for key in keys}
            now = time.monotonic()
            waits = {key: self.settle * (ABORTED_FACTOR if broken else 1) for key, broken in arriving.items()}
            return [k for k, wait in waits.items() if k not in coming and now - self._last.get(k, self._since) >= wait]


def serve(
    reception: Reception, worker: Worker, sender: Sender, aet: str, listen: Listening, context: ssl.SSLContext | None
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. What is not done then stays in the spool. Raises DicomError."""
    stop, spool = worker.stop, reception.spool
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    here = entity(aet)
    here.supported_contexts = storage_contexts()
    here.add_supported_context(VERIFICATION, PLAIN)
    here.require_called_aet = True
    try:
        server = here.start_server(
            (listen.host, listen.port), block=False, evt_handlers=reception.handlers, ssl_context=context
        )
    except OSError as error:
        raise DicomError("dicom_no_port", address=str(listen)) from error
    assert server is not None
    hands = [_Hand(worker.run, stop), _Hand(sender.run, stop)]
    _LOG.info("%s listens on %s:%d%s", aet, *server.server_address[:2], " with TLS" if context else "")
    while not stop.wait(LOOK_SECONDS):
        for key in reception.whole():
            count = spool.instances(key)
            entry = spool.enqueue(key)
            told = ", but its sender broke off" if entry.aborted else ""
            _LOG.info("study %s: arrived, instances: %d%s; in the queue: %d", key, count, told, len(spool.queue()))
    here.shutdown()
    for hand in hands:
        hand.join(STOP_SECONDS)
    spool.close()
    _LOG.info("stopped; studies in the spool: %d", len(spool.arriving()) + len(spool.queue()) + len(spool.outbox()))
    return 1 if any(hand.failed for hand in hands) else 0


class _Hand(threading.Thread):
    """A thread that stops all others where it fails, so that whoever watches over the program starts it again."""

    def __init__(self, work: Callable[[], None], stop: Event) -> None:
        super().__init__(daemon=True)
        self._work, self._stop_all, self.failed = work, stop, False
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.failed = True
            _LOG.critical("stopping: %s", where_of(error))
            self._stop_all.set()

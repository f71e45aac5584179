"""The command line: `python -m lgg_demo.dicom fetch|store|segment|node`."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated, cast

import tyro

from lgg_demo.command import Checkpoint, Folder, OptionalFile, Threshold, run, threshold_or
from lgg_demo.dicom import tls
from lgg_demo.dicom.archive import DicomError
from lgg_demo.dicom.client import Fetch, Segment, Store
from lgg_demo.dicom.connection import Aet, Connection, Host, Port
from lgg_demo.dicom.dimse import Listening
from lgg_demo.dicom.node import Reception, serve
from lgg_demo.dicom.peers import read_peers
from lgg_demo.dicom.results import Pipeline
from lgg_demo.dicom.spool import Spool
from lgg_demo.dicom.worker import Sender, Worker
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import KINDS, DicomChoice, Kind
from lgg_demo.scratch import clear_left_behind

HOUR = 3600.0
File = Annotated[Path, tyro.conf.arg(metavar="FILE")]
Seconds = Annotated[float, tyro.conf.arg(metavar="S")]
Hours = Annotated[float, tyro.conf.arg(metavar="H")]
Count = Annotated[int, tyro.conf.arg(metavar="N")]


@dataclass(frozen=True, kw_only=True)
class Node:
    """Answer C-ECHO and C-STORE, segment each whole study, and send its results on, until SIGTERM.

    The patient's and the study's attributes go into the results, so that they come into the patient's own study.
    """

    peers: File
    """who may send: a TOML file of [[peer]] tables, each with an aet and an address (an IP address, a network such as
    10.0.0.0/24, or a host's name)"""
    spool: Folder
    """where studies wait, on a local disk; nothing of a study is left there once its results are stored"""
    to: Connection = field(default_factory=Connection)
    """the archive that gets the results"""
    aet: Aet = "LGGDEMO"
    """our own AE title"""
    host: Host = "127.0.0.1"
    """address to listen on; that of the site's network where peers are other machines"""
    port: Port = 11112
    """port to listen on"""
    cert: OptionalFile = None
    """listen with TLS: our certificate (PEM)"""
    key: OptionalFile = None
    """its key; in the same file without"""
    ca: OptionalFile = None
    """certificates (PEM) that must have signed a caller's; any caller in --peers without"""
    settle: Seconds = 30.0
    """a study is whole when nothing has come of it for so long after its last association was released"""
    queue: Count = 20
    """studies in the spool at most, dead letters apart; others are refused as out of resources (0xA700)"""
    retry: Seconds = 5.0
    """pause before results that could not be stored are sent again; each further one is twice as long, up to 10 minutes"""
    give_up: Hours = 24.0
    """after so long results that cannot be stored are a dead letter"""
    dicom: tuple[Kind, ...] = KINDS
    """which results: SEG, SR, encapsulated PDF, secondary capture"""
    threshold: Threshold = None
    """between 0 and 1; the checkpoint's, 0.5 as shipped, without"""
    checkpoint: Checkpoint = None
    """weights to use: a file or a Hub repository; those in weights/ without"""

    def run(self) -> int:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
        logging.getLogger("lgg_demo.dicom").setLevel(logging.INFO)
        clear_left_behind([tempfile.gettempdir()])
        if self.cert is None and (self.key or self.ca):
            raise DicomError("dicom_tls_no_cert")
        peers = read_peers(self.peers)
        archive = self.to.open(self.aet)
        context = tls.listening(self.cert, self.key, self.ca, peers.admits) if self.cert else None
        spool, stop = Spool(self.spool, self.queue), Event()
        segmenter = Segmenter.load(self.checkpoint)
        threshold = threshold_or(self.threshold, segmenter.threshold)
        pipeline = Pipeline(segmenter, threshold, DicomChoice(kinds=self.dicom), keep_patient=True, labelled=True)
        worker = Worker(spool, pipeline, stop)
        sender = Sender(spool, archive, stop, self.retry, self.give_up * HOUR)
        reception = Reception(spool, peers, self.settle)
        return serve(reception, worker, sender, self.aet, Listening(self.host, self.port), context)


Command = (
    Annotated[Fetch, tyro.conf.subcommand("fetch")]
    | Annotated[Store, tyro.conf.subcommand("store")]
    | Annotated[Segment, tyro.conf.subcommand("segment")]
    | Annotated[Node, tyro.conf.subcommand("node")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run("dicom", cast(type[Fetch], Command), lambda given: given.run(), arguments)


if __name__ == "__main__":
    sys.exit(main())

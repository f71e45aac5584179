"""The node and its archive killed at random; some minutes, from the project's root:

    PYTHONPATH=tests:tests/dicom python -m tests.dicom.kills SEED

An Orthanc sends five studies, each until the node has taken it, while node and archive end as the seed has it, by SIGKILL
or as their administrators end them. In the end each study must have each result once, and the spool must be empty. Odd
seeds store by C-STORE, even ones by STOW. Exit code 1 where something is lost or there twice.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from contextlib import suppress
from pathlib import Path

from dicom_files import STACK, series
from nodes import Node
from orthanc import Orthanc, running, until

STUDIES, SLICES, ROUNDS = 5, 3, 8
RESULTS = {"SEG": 1, "SR": 1, "DOC": 1, "OT": SLICES}


def send(source: Orthanc, stop: threading.Event) -> None:
    """Send every study to the node, again and again until it is taken."""
    for study in [s["ID"] for s in source.studies()]:
        while not stop.is_set():
            with suppress(urllib.error.URLError, OSError):
                source.send("node", [study])
                break
            time.sleep(0.5)


def one_round(chance: random.Random, node: Node, archive: Orthanc) -> None:
    """Start what does not run, and end some of it after a while."""
    archive.start()
    node.start()
    time.sleep(chance.random() * 9)
    if chance.random() < 0.6:
        chance.choice([archive.kill, archive.stop])()
        time.sleep(chance.random() * 3)
    code = node.end(signal.SIGKILL if chance.random() < 0.8 else signal.SIGTERM)
    print(
        f"node ended with {code}; in its spool: {dict(Counter(name.split('/')[0] for name in node.inside()))}", flush=True
    )
    archive.stop()


def main(seed: int) -> int:
    chance, stop = random.Random(seed), threading.Event()
    folder = Path(tempfile.mkdtemp())
    with running(folder / "source") as source, running(folder / "archive") as archive:
        node = Node(folder / "node", *(["--to.peer", archive.peer] if seed % 2 else ["--to.web", archive.web]))
        archive.stop()
        for n in range(STUDIES):
            source.upload(series(folder / f"in{n}", STACK[5 : 5 + SLICES], PatientID=f"P{n}"))
        source.know("node", "LGGDEMO", node.port)
        sender = threading.Thread(target=send, args=(source, stop), daemon=True)
        sender.start()
        try:
            for _ in range(ROUNDS):
                one_round(chance, node, archive)
            archive.start()
            node.start()
            sender.join(120)
            empty = until(lambda: not node.inside(), seconds=300)
            found = Counter((i["PatientID"], i["StudyInstanceUID"], i["Modality"]) for i in archive.instances())
        finally:
            stop.set()
            node.kill()
    right = Counter({(f"P{n}", kind): count for n in range(STUDIES) for kind, count in RESULTS.items()})
    good = empty and Counter({key[::2]: count for key, count in found.items()}) == right and len(found) == len(right)
    print("nothing lost, nothing twice" if good else f"spool empty: {empty}; found: {found}; log:\n{node.log}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

"""The node between a real Orthanc and itself: results in the patient's own study, whoever is restarted or killed."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Certificates
from dicom_files import STACK, change, series
from nodes import Node, caller, node
from orthanc import Orthanc, until

from lgg_demo.dicom.__main__ import main

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
STUDY = {"PatientName": "NODE^JANE", "PatientID": "NODE-1", "StudyDate": "20250102", "AccessionNumber": "A1"}
SLICES = 4
RESULTS = {"SEG": 1, "SR": 1, "DOC": 1, "OT": SLICES}


def arrived(orthanc: Orthanc) -> Counter[str]:
    """How many instances of each modality the archive holds."""
    return Counter(s["MainDicomTags"]["Modality"] for s in orthanc.series() for _ in s["Instances"])


def check(orthanc: Orthanc) -> None:
    """One patient, one study, in it the images and each result once."""
    assert until(lambda: arrived(orthanc).total() >= SLICES + sum(RESULTS.values())), arrived(orthanc)
    assert arrived(orthanc) == Counter(RESULTS | {"MR": SLICES})
    (patient,), (study,) = orthanc.patients(), orthanc.studies()
    assert patient["MainDicomTags"]["PatientID"] == "NODE-1" and study["ParentPatient"] == patient["ID"]
    assert study["MainDicomTags"]["AccessionNumber"] == "A1"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return series(tmp_path / "in", STACK[4 : 4 + SLICES], **STUDY)


@pytest.fixture
def study(orthanc: Orthanc, peer: Node, files: list[Path]) -> Orthanc:
    """The archive with one study in it, which knows the node."""
    orthanc.clear()
    orthanc.upload(files)
    orthanc.know("node", "LGGDEMO", peer.port)
    return orthanc


@pytest.fixture(scope="module")
def peer(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that sends its results by C-STORE; it has room for two studies."""
    with node(tmp_path_factory.mktemp("node"), "--to.peer", orthanc.peer, "--queue", "2") as own:
        yield own


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(study: Orthanc, peer: Node, tmp_path: Path) -> None:
    study.send("node")
    with caller(peer.port) as send:
        assert [send(file) for file in series(tmp_path / "t1", SeriesDescription="AX T1")[:3]] == [0, 0, 0]
        assert until(lambda: any(name.endswith("tries") for name in peer.inside("queue")))
        peer.kill()  # while it receives one study and segments another
    assert sum(name.endswith(".dcm") for name in peer.inside("incoming")) == 3, "what was answered is kept"
    assert sum(name.endswith(".dcm") for name in peer.inside("queue")) == SLICES
    study.stop()
    peer.start()
    assert until(lambda: "results wait" in peer.log), peer.log
    peer.kill()  # while it tries to send to an archive that is down
    assert len(peer.inside("outbox")) == sum(RESULTS.values())
    peer.start()
    study.start()
    check(study)
    assert until(lambda: not peer.inside()), peer.inside()
    assert "instances: 3, but its sender broke off" in peer.log and "nothing to segment, removed" in peer.log


def test_results_come_into_the_patients_own_study(study: Orthanc, peer: Node) -> None:
    study.call("POST", "/modalities/node/echo", {})
    study.send("node")
    check(study)
    assert until(lambda: not peer.inside()), peer.inside()
    for word in ("JANE", "NODE-1", "20250102", *(s["MainDicomTags"]["StudyInstanceUID"] for s in study.studies())):
        assert word not in peer.log
    # The archive sends all of it once more, as a rule for whatever is new would: nothing begins anew.
    study.send("node")
    assert until(lambda: "already has results" in peer.log and not peer.inside()), peer.log
    check(study)
    # Nor where it has refused the segmentation and the measurements.
    for one in study.series():
        if one["MainDicomTags"]["Modality"] in ("SEG", "SR"):
            study.call("DELETE", f"/series/{one['ID']}")
    study.send("node")
    assert until(lambda: peer.log.count("already has results") == 2 and not peer.inside()), peer.log
    assert arrived(study) == {"MR": SLICES, "DOC": 1, "OT": SLICES}


def test_strangers_are_rejected(peer: Node, files: list[Path], sentence: Sentence) -> None:
    here = f"127.0.0.1:{peer.port}"
    for called, calling in (("LGGDEMO", "STRANGER"), ("OTHER", "ORTHANC")):
        told = sentence(main, ["store", "--peer", f"{called}@{here}", "--aet", calling, str(files[0])])
        assert "rejected the association" in told
    assert "'STRANGER'" in peer.log and not peer.inside()


def test_a_full_queue_says_so_and_no_more_than_a_flair_is_segmented(peer: Node, tmp_path: Path) -> None:
    t1 = [series(tmp_path / name, SeriesDescription="AX T1") for name in ("a", "b", "c")]
    with caller(peer.port) as send:
        assert [send(t1[n][0]) for n in range(3)] == [0, 0, 0xA700]
        assert send(t1[0][1]) == 0, "what has begun to arrive may end"
    assert until(lambda: peer.log.count("nothing to segment, removed") >= 3 and not peer.inside()), peer.log
    assert "refused, as the queue or the disk is full" in peer.log


def test_bad_instances(study: Orthanc, peer: Node, files: list[Path], tmp_path: Path) -> None:
    """What is none is refused; what only looks like one costs itself, or its study, which is told."""
    nameless = series(tmp_path / "nameless")[0]
    change(nameless, StudyInstanceUID=None)
    damaged = series(tmp_path / "damaged", STACK[:3])
    for file in damaged:
        change(file, PixelData=b"\0\0")
    change(files[0], PixelData=b"\0\0")
    with caller(peer.port) as send:
        assert [send(nameless), *(send(file) for file in damaged)] == [0xC000, 0, 0, 0]
    assert until(lambda: "not segmented" in peer.log), peer.log
    (reason,) = [p.read_text() for p in peer.spool.glob("dead/*/reason.txt")]
    assert "damaged" in reason and len(reason.splitlines()) == 1
    assert len(peer.inside("dead")) == 4
    with caller(peer.port) as send:
        assert [send(file) for file in files] == [0] * SLICES
    check(study)
    assert "damaged" in peer.log


def test_sigterm_leaves_what_is_not_done(peer: Node, files: list[Path]) -> None:
    with caller(peer.port) as send:
        assert send(files[0]) == 0
        assert peer.end(signal.SIGTERM) == 0
    assert len([name for name in peer.inside("incoming") if name.endswith(".dcm")]) == 1


def test_tls_and_stow(orthanc: Orthanc, files: list[Path], tmp_path: Path, sentence: Sentence) -> None:
    certificates = Certificates(tmp_path)
    own, other = certificates.of("node"), certificates.of("caller")
    flags = ["--cert", str(own.cert), "--key", str(own.key), "--ca", str(certificates.ca)]
    orthanc.clear()
    with node(tmp_path / "node", "--to.web", orthanc.web, *flags) as secured:
        store = ["store", "--peer", f"LGGDEMO@127.0.0.1:{secured.port}", "--aet", "ORTHANC", str(tmp_path / "in")]
        sentence(main, store)
        sentence(main, [*store, "--tls", "--ca", str(certificates.ca)])
        assert main([*store, "--tls", "--ca", str(certificates.ca), "--cert", str(other.both)]) == 0
        orthanc.upload(files)
        check(orthanc)

"""The node's state on the disk at every moment at which a process can end, and what becomes of results nobody takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from lgg_demo.dicom.__main__ import main
from lgg_demo.dicom.archive import DicomError, Sent
from lgg_demo.dicom.instance import Instance
from lgg_demo.dicom.node import ABORTED_FACTOR, Reception
from lgg_demo.dicom.peers import Peers, read_peers
from lgg_demo.dicom.results import Outcome
from lgg_demo.dicom.spool import LEAST_FREE_BYTES, Entry, Spool, key_of
from lgg_demo.dicom.worker import MOST_TRIES, Sender, Worker
from lgg_demo.messages import Sentence
from lgg_demo.reading import Stopped

STUDY = "1.2.3"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    own = Spool(tmp_path / "spool", most=2)
    yield own
    own.close()


def again(spool: Spool, tmp_path: Path) -> Spool:
    """The spool as the next process finds it."""
    spool.close()
    return Spool(tmp_path / "spool", most=2)


def come(spool: Spool, *uids: str, study: str = STUDY) -> None:
    for uid in uids:
        spool.receive(Instance("1.2", uid, study, ours=False), uid.encode())


def queued(spool: Spool, *uids: str, study: str = STUDY) -> Entry:
    come(spool, *uids, study=study)
    return spool.enqueue(key_of(study))


def images(entry: Entry) -> set[bytes]:
    return {file.read_bytes() for file in entry.images.iterdir()}


def posted(spool: Spool, *names: str) -> Entry:
    """A study whose results are in the outbox."""
    entry = queued(spool, "1")
    spool.begin(entry)
    for name in names:
        (entry.partial / name).write_bytes(name.encode())
    spool.post(entry)
    return spool.outbox()[0]


def left(tmp_path: Path) -> set[str]:
    """The files of the spool, by folder and name."""
    files = [p.relative_to(tmp_path / "spool") for p in (tmp_path / "spool").rglob("*") if p.is_file() and p.name != "lock"]
    return {f"{p.parts[0]}/{p.name}" for p in files}


class Taking:
    """An archive that keeps what it is sent, but for files of which `answers` says otherwise, by their names."""

    name = "archive"

    def __init__(self, **answers: Any) -> None:
        self.answers, self.sent = answers, list[str]()

    def store(self, files: Sequence[Path]) -> Iterator[Sent]:
        for file in files:
            answer = self.answers.get(file.stem)
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                self.sent.append(file.name)
            yield Sent(file, *(answer or ()))


def sender(spool: Spool, archive: Any, give_up: float = 3600.0) -> Sender:
    return Sender(spool, archive, Event(), pause=0.0, give_up=give_up)


def worker(spool: Spool, pipeline: Any) -> Worker:
    return Worker(spool, pipeline, Event())


def test_one_node_a_spool(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="another node"):
        Spool(tmp_path / "spool", most=2)


def test_what_was_cut_off_while_arriving_is_kept_and_marked(spool: Spool, tmp_path: Path) -> None:
    come(spool, "1", "2")
    (tmp_path / "spool" / "partial" / "x").write_bytes(b"half of one")
    (tmp_path / "spool" / "incoming" / "folder-of-none").mkdir()
    spool = again(spool, tmp_path)
    assert spool.arriving() == {key_of(STUDY): True}
    spool.interrupt(key_of(STUDY), broken=False)  # sent again, to its end
    entry = spool.enqueue(key_of(STUDY))
    assert images(entry) == {b"1", b"2"} and not entry.aborted and spool.arriving() == {}
    assert left(tmp_path) == {f"queue/{key_of(uid)}.dcm" for uid in ("1", "2")}
    spool.close()


def test_what_comes_late_joins_a_study_that_waits_but_not_one_that_is_segmented(spool: Spool) -> None:
    first = queued(spool, "1")
    assert queued(spool, "2") == first and images(first) == {b"1", b"2"}
    spool.begin(first)
    second = queued(spool, "3")
    assert second != first and images(second) == {b"3"} and spool.queue() == [first, second]


def test_room_is_for_so_many_studies_and_for_the_rest_of_each(spool: Spool) -> None:
    queued(spool, "1")
    come(spool, "2", study="1.2.4")
    assert spool.has_room("1.2.4") and not spool.has_room("1.2.5")
    spool.remove(spool.queue()[0])
    assert spool.has_room("1.2.5")


def test_a_disk_that_is_nearly_full_lets_nothing_in(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    come(spool, "1")
    assert spool.has_room(STUDY)
    monkeypatch.setattr("lgg_demo.dicom.spool.shutil.disk_usage", lambda _: SimpleNamespace(free=LEAST_FREE_BYTES - 1))
    assert not spool.has_room(STUDY)


def test_results_that_were_cut_off_are_made_anew(spool: Spool, tmp_path: Path) -> None:
    entry = queued(spool, "1")
    spool.begin(entry)
    (entry.partial / "old.dcm").write_bytes(b"half")
    spool = again(spool, tmp_path)

    def pipeline(images: Path, out: Path, *_: object) -> Outcome:
        (out / "new.dcm").write_bytes(b"whole")
        return Outcome([out / "new.dcm"])

    worker(spool, pipeline)._one(spool.queue()[0])
    assert left(tmp_path) == {"outbox/new.dcm"}
    spool.close()


@pytest.mark.parametrize("images", [0, 1, 2])
def test_whole_results_go_on_whatever_is_left_of_the_images(spool: Spool, tmp_path: Path, images: int) -> None:
    entry = queued(spool, "1", "2")
    spool.begin(entry)
    (entry.partial / "a.dcm").write_bytes(b"whole")
    entry.partial.rename(entry.path / "results")  # and killed here, or while the images were deleted
    for file in sorted(entry.images.iterdir())[images:]:
        file.unlink()
    spool = again(spool, tmp_path)
    assert spool.queue() == [] and left(tmp_path) == {"outbox/a.dcm"}
    spool.close()


def test_a_study_that_ends_the_process_is_not_tried_for_ever(spool: Spool, tmp_path: Path) -> None:
    queued(spool, "1")
    for n in range(MOST_TRIES):
        entry = spool.queue()[0]
        assert entry.tries == n
        spool.begin(entry)
        spool = again(spool, tmp_path)
    worker(spool, None)._one(spool.queue()[0])
    assert spool.queue() == [] and left(tmp_path) == {"dead/reason.txt", f"dead/{key_of('1')}.dcm"}
    spool.close()


def test_a_study_that_is_put_off_keeps_its_place_and_its_tries(spool: Spool) -> None:
    def stopped(*_: object) -> Outcome:
        raise Stopped

    entry = queued(spool, "1")
    worker(spool, stopped)._one(entry)
    assert spool.queue() == [entry] and entry.tries == 0


def test_a_fault_costs_its_study_and_says_no_value(spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def faulty(*_: object) -> Outcome:
        raise KeyError("DOE^JANE")

    worker(spool, faulty)._one(queued(spool, "1"))
    (reason,) = [p.read_text() for p in (tmp_path / "spool").rglob("reason.txt")]
    assert "KeyError in test_spool.py" in reason and "JANE" not in reason + caplog.text


def test_after_a_break_only_what_is_missing_is_sent(spool: Spool, tmp_path: Path) -> None:
    entry = posted(spool, "a.dcm", "b.dcm", "c.dcm")
    archive = Taking(b=DicomError("dicom_broken_off", server="archive", aet="LGGDEMO"))
    own = sender(spool, archive)
    own._one(entry)
    assert archive.sent == ["a.dcm"] and left(tmp_path) == {"outbox/b.dcm", "outbox/c.dcm"}
    archive.answers = {"c": (Sentence("dicom_nothing_to_store"), True)}  # for now
    own._one(entry)
    assert archive.sent == ["a.dcm", "b.dcm"] and left(tmp_path) == {"outbox/c.dcm"}
    archive.answers = {}
    own._one(entry)
    assert archive.sent == ["a.dcm", "b.dcm", "c.dcm"] and left(tmp_path) == set() and spool.outbox() == []


def test_what_the_archive_never_takes_is_a_dead_letter_and_the_rest_arrives(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    entry = posted(spool, "a.dcm", "b.dcm")
    refused = Sentence("dicom_kind_refused", {"file": "b.dcm", "server": "archive", "kind": "Encapsulated PDF"})
    sender(spool, Taking(b=(refused, False)))._one(entry)
    assert left(tmp_path) == {"dead/b.dcm", "dead/reason.txt"} and spool.outbox() == []
    (reason,) = [p.read_text() for p in (tmp_path / "spool").rglob("reason.txt")]
    assert reason == f"{refused}\n" and str(refused) in caplog.text


def test_an_archive_that_is_down_for_too_long(spool: Spool, tmp_path: Path) -> None:
    down = Taking(a=DicomError("dicom_no_answer", server="archive"))
    entry = posted(spool, "a.dcm")
    own = sender(spool, down, give_up=3600.0)
    own._one(entry)
    assert left(tmp_path) == {"outbox/a.dcm"}
    own.give_up = 0.0
    own._one(entry)
    assert left(tmp_path) == {"dead/a.dcm", "dead/reason.txt"}


def test_pauses_grow(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    entry = posted(spool, "a.dcm")
    own = sender(spool, Taking(a=DicomError("dicom_no_answer", server="archive")))
    own.pause = 5.0
    for _ in range(9):
        own._one(entry)
    pauses = [record.args[2] for record in caplog.records]  # type: ignore[index]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]


class Association:
    """As far as the reception looks at it."""

    alive = True

    def is_alive(self) -> bool:
        return self.alive


def test_a_study_whose_sender_broke_off_is_waited_for_longer(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("lgg_demo.dicom.node.time.monotonic", lambda: now)
    reception, key = Reception(spool, Peers(()), settle=30.0), key_of(STUDY)

    def bring() -> Any:
        come(spool, "1")
        association = Association()
        reception._open[association] = {key}
        assert reception.whole() == [], "whatever the time, while an association may bring more"
        return SimpleNamespace(assoc=association)

    reception.ended(bring(), broken=True)
    now += 30 * ABORTED_FACTOR - 1
    assert reception.whole() == []
    bring().assoc.alive = False  # it ended unheard, while an instance was being kept
    assert reception.whole() == []
    now += 30 * ABORTED_FACTOR - 1
    assert reception.whole() == []
    reception.ended(bring(), broken=False)
    now += 29
    assert reception.whole() == []
    now += 1
    assert reception.whole() == [key]


def test_peers_are_known_by_title_and_address(tmp_path: Path) -> None:
    file = tmp_path / "peers.toml"
    file.write_text(
        '[[peer]]\naet = "ONE"\naddress = "10.0.0.5"\n[[peer]]\naet = "NET"\naddress = "10.1.0.0/16"\n'
        '[[peer]]\naet = "NAMED"\naddress = "localhost"\n'
    )
    peers = read_peers(file)
    allowed = [("ONE", "10.0.0.5"), ("ONE ", "::ffff:10.0.0.5"), ("NET", "10.1.200.3"), ("NAMED", "127.0.0.1")]
    refused = [("ONE", "10.0.0.6"), ("NET", "10.2.0.1"), ("TWO", "10.0.0.5"), ("one", "10.0.0.5"), ("NAMED", "10.0.0.5")]
    assert all(peers.admit(*caller) for caller in allowed) and not any(peers.admit(*caller) for caller in refused)
    assert peers.admits("10.1.0.1") and not peers.admits("192.168.0.1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("peer = [", "not TOML"),
        ('[[peer]]\naet = "A"\n', "has tables"),
        ('[[peer]]\naet = "MUCH-TOO-LONG-A-TITLE"\naddress = "10.0.0.1"\n', "has tables"),
        ('[[peer]]\naet = "A"\naddress = "10.0.0.0/99"\n', "has tables"),
        ('[[peer]]\naet = "A"\naddress = "10.0.0.1"\nport = 104\n', "has tables"),
        ('[[pear]]\naet = "A"\naddress = "10.0.0.1"\n', "has tables"),
        ("", "has tables"),
    ],
)
def test_a_list_of_peers_that_cannot_be_used(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "peers.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DicomError, match=told):
        read_peers(file)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "give one archive"),
        (["--to.peer", "A@127.0.0.1:9", "--ca", __file__], "needs a certificate of its own"),
        (["--to.peer", "A@127.0.0.1:9", "--cert", __file__], "cannot be used"),
        (["--to.peer", "A@127.0.0.1:9", "--to.tls", "--to.ca", "none.pem"], "none.pem"),
        (["--to.peer", "A@127.0.0.1:9", "--peers", "none.toml"], "cannot be read"),
    ],
)
def test_a_node_that_cannot_start(
    tmp_path: Path, flags: list[str], told: str, sentence: Callable[[Any, list[str]], str]
) -> None:
    (tmp_path / "peers.toml").write_text('[[peer]]\naet = "A"\naddress = "127.0.0.1"\n')
    fixed = ["--peers", str(tmp_path / "peers.toml"), "--spool", str(tmp_path / "spool")]
    assert told in sentence(main, ["node", *fixed, *flags])

"""Studies out of a real archive and files into it: by DICOMweb, and by DIMSE with C-GET and C-MOVE, once with TLS."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from certificates import Certificates, tunnel
from dicom_files import STACK, change, series
from loopback import free_port
from orthanc import Orthanc, basic, running
from pydicom.uid import MRImageStorage, SegmentationStorage
from pynetdicom import AE, evt

from lgg_demo.dicom.__main__ import main
from lgg_demo.dicom.web import PASSWORD, TOKEN, USER

Sentence = Callable[[Callable[[list[str]], int], list[str]], str]
PATIENT = "FETCH*1"  # a wildcard to some archives


@pytest.fixture(scope="module")
def study(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small study in the archive beside another of the same patient's, of another day, and one of PatientID FETCH-1."""
    orthanc.clear()
    folder = tmp_path_factory.mktemp("fetch")
    own = series(folder / "a", PatientID=PATIENT, StudyDate="20250102")[:4]
    orthanc.upload([*own, *series(folder / "b", PatientID=PATIENT, StudyDate="20250302")[:1]])
    orthanc.upload(series(folder / "c", PatientID="FETCH-1", StudyDate="20250102")[:1])
    return own


def uid_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def ways(orthanc: Orthanc) -> dict[str, list[str]]:
    port = free_port()
    orthanc.know("client", "CLIENT", port)
    peer = ["--peer", orthanc.peer, "--aet", "CLIENT"]
    move = [*peer, "--retrieve", "move", "--port", str(port)]
    return {"web": ["--web", orthanc.web], "get": peer, "move": move}


@pytest.mark.parametrize("way", ["web", "get", "move"])
def test_a_study_comes_as_it_was_stored(orthanc: Orthanc, study: list[Path], tmp_path: Path, way: str) -> None:
    where = ways(orthanc)[way]
    assert main(["fetch", *where, "--patient", PATIENT, "--date", "2025-01-02", "--out", str(tmp_path)]) == 0
    got = {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, tmp_path.iterdir())}
    assert {f"{uid}.dcm" for uid in got} == {p.name for p in tmp_path.iterdir()}
    assert len(got) == len(study) == 4
    for file in study:
        sent = pydicom.dcmread(file)
        assert got[str(sent.SOPInstanceUID)] == sent


@pytest.mark.parametrize("way", ["web", "get"])
def test_of_several_studies_none_is_taken(
    orthanc: Orthanc, study: list[Path], tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [*ways(orthanc)[way], "--out", str(tmp_path / "out")]
    assert main(["fetch", *where, "--patient", PATIENT]) == 2
    said = capsys.readouterr()
    assert uid_of(study[0]) in said.out and len(said.out.splitlines()) == 2 and "2 studies fit" in said.err
    assert main(["fetch", *where, "--patient", PATIENT, "--date", "2024-01-02"]) == 2
    assert "no such study" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["web", "get"])
def test_a_folder_is_stored_without_what_is_no_dicom(
    orthanc: Orthanc, tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ways(orthanc)[way]
    files = series(tmp_path / "in", PatientID=f"STORE-{way}")[:3]
    for file in (tmp_path / "in").iterdir():
        if file not in files:
            file.write_bytes(b"no DICOM")
    assert main(["store", *where, str(tmp_path / "in")]) == 0
    assert "3 of 3 instances stored" in capsys.readouterr().out
    (stored,) = [p for p in orthanc.patients() if p["MainDicomTags"]["PatientID"] == f"STORE-{way}"]
    assert len(orthanc.call("GET", f"/patients/{stored['ID']}/instances")) == 3


@pytest.mark.parametrize("way", ["web", "get"])
def test_each_refused_instance_is_named(
    orthanc: Orthanc, tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = series(tmp_path / "in", PatientID=f"REFUSED-{way}")[:2]
    change(bad, StudyInstanceUID=None)
    assert main(["store", *ways(orthanc)[way], str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert "1 of 2 instances stored" in said.out
    assert said.err.startswith(f"store: {bad.name}: ") and "MR Image" in said.err and len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--web", "http://127.0.0.1:9/dicom-web", "--study", "1.2"], "no answer"),
        (["--peer", "NOBODY@127.0.0.1:9", "--study", "1.2"], "no answer"),
        (["--peer", "127.0.0.1:104", "--study", "1.2"], "not an AE title with host and port"),
        (["--study", "1.2"], "give one archive"),
        (["--web", "http://u:p@127.0.0.1/x", "--study", "1.2"], USER),
        (["--web", "http://127.0.0.1:9/x"], "say which study"),
        (["--web", "http://127.0.0.1:9/x", "--study", "../x"], "not a StudyInstanceUID"),
        (["--web", "http://127.0.0.1:9/x", "--patient", "p", "--date", "2.1.2025"], "not a date"),
        (["--web", "https://127.0.0.1:9/x", "--study", "1.2", "--ca", "none.pem"], "none.pem"),
        (["--web", "http://127.0.0.1:9/x", "--study", "1.2", "--ca", __file__], "not over TLS"),
        (["--peer", "A@127.0.0.1:9", "--study", "1.2", "--cert", __file__], "not over TLS"),
        (["--peer", "A@127.0.0.1:9", "--study", "1.2", "--tls", "--ca", __file__], "cannot be used"),
        (["--peer", "A@127.0.0.1:9", "--aet", "MUCH-TOO-LONG-A-TITLE", "--study", "1.2"], "not an AE title"),
    ],
)
def test_what_cannot_work_is_one_sentence(sentence: Sentence, tmp_path: Path, flags: list[str], told: str) -> None:
    assert told in sentence(main, ["fetch", *flags, "--out", str(tmp_path)])


def test_an_archive_that_does_not_know_us(orthanc: Orthanc, study: list[Path], tmp_path: Path, sentence: Sentence) -> None:
    ask = ["fetch", "--peer", orthanc.peer, "--study", uid_of(study[0]), "--out", str(tmp_path), "--aet", "NOBODY"]
    assert "knows our AE title (NOBODY)" in sentence(main, ask)
    orthanc.know("nobody", "NOBODY", port := free_port())
    orthanc.know("somebody", "SOMEBODY", port)
    told = sentence(main, [*ask, "--retrieve", "move", "--aet", "SOMEBODY", "--port", str(free_port())])
    assert "C-MOVE" in told and "SOMEBODY" in told


def test_an_archive_that_breaks_off_over_one_object_gets_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, last = series(tmp_path / "in")[:3]
    hated = pydicom.dcmread(bad).SOPInstanceUID
    stored = []

    def take(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID == hated:
            event.assoc.abort()
        else:
            stored.append(event.request.AffectedSOPInstanceUID)
        return 0

    archive = AE("ARCHIVE")
    archive.add_supported_context(MRImageStorage)
    server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    where = ["--peer", f"ARCHIVE@127.0.0.1:{server.server_address[1]}"]
    seg = tmp_path / "in" / "seg.dcm"
    shutil.copy(good, seg)
    ds = pydicom.dcmread(seg)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    ds.save_as(seg)
    assert main(["store", *where, *map(str, (good, bad, seg, last))]) == 2
    server.shutdown()
    said = capsys.readouterr()
    assert "2 of 4 instances stored" in said.out and len(stored) == 2
    broken, refused = said.err.splitlines()
    assert bad.name in broken and "broke off" in broken and "seg.dcm" in refused and "Segmentation" in refused


@pytest.mark.parametrize("keep", [True, False])
def test_segment_fetches_segments_and_stores(orthanc: Orthanc, tmp_path: Path, keep: bool) -> None:
    orthanc.clear()
    files = series(tmp_path / "in", STACK[5:8], PatientID="SEGMENT", AccessionNumber="A7")
    orthanc.upload(files)
    where = ["--web", orthanc.web] if keep else ways(orthanc)["get"]
    flags = [] if keep else ["--no-keep-patient", "--dicom", "seg"]
    assert main(["segment", *where, "--study", uid_of(files[0]), *flags]) == 0
    found = Counter(i["Modality"] for i in orthanc.instances())
    assert found == ({"MR": 3, "SEG": 1, "SR": 1, "DOC": 1, "OT": 3} if keep else {"MR": 3, "SEG": 1})
    assert len({i["StudyInstanceUID"] for i in orthanc.instances()}) == 1
    patients = sorted(p["MainDicomTags"].get("PatientID", "") for p in orthanc.patients())
    assert patients == (["SEGMENT"] if keep else ["", "SEGMENT"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An archive that asks for a password on the web, and by DIMSE for TLS with a certificate."""
    own = certificates.of("archive")
    settings = {
        "AuthenticationEnabled": True, "RegisteredUsers": {"reader": "secret"}, "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(own.cert), "DicomTlsPrivateKey": str(own.key),
        "DicomTlsTrustedCertificates": str(certificates.ca), "DicomModalities": {"us": ["CLIENT", "127.0.0.1", 104]},
    }  # fmt: skip
    with running(tmp_path_factory.mktemp("secured"), basic("reader", "secret"), **settings) as server:
        yield server


def test_https_and_a_password(
    secured: Orthanc, certificates: Certificates, tmp_path: Path, sentence: Sentence, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = series(tmp_path, PatientID="HTTPS")[0]
    for name in (USER, PASSWORD, TOKEN):
        monkeypatch.delenv(name, raising=False)
    with tunnel(certificates.of("proxy"), secured.http_port) as port:
        store = ["store", "--web", f"https://127.0.0.1:{port}/dicom-web", str(file), "--ca"]
        assert USER in sentence(main, [*store, str(certificates.ca)])
        monkeypatch.setenv(USER, "reader")
        monkeypatch.setenv(PASSWORD, "secret")
        assert main([*store, str(certificates.ca)]) == 0
        other = Certificates(tmp_path).ca
        assert "no TLS connection" in sentence(main, [*store, str(other)])
    assert [i["PatientID"] for i in secured.instances()].count("HTTPS") == 1


def test_dicom_over_tls(secured: Orthanc, certificates: Certificates, tmp_path: Path, sentence: Sentence) -> None:
    files = series(tmp_path / "in", PatientID="TLS")[:2]
    own = certificates.of("client")
    where = ["--peer", secured.peer, "--aet", "CLIENT", "--tls", "--ca", str(certificates.ca)]
    us = ["--cert", str(own.cert), "--key", str(own.key)]
    assert "no answer" in sentence(main, ["store", *where, str(files[0])]), "it asks for our certificate"
    assert "no answer" in sentence(main, ["store", *where[:-1], str(Certificates(tmp_path).ca), *us, str(files[0])])
    assert main(["store", *where, *us, *map(str, files)]) == 0
    fetch = ["fetch", *where, "--cert", str(own.both), "--study", uid_of(files[0]), "--out", str(tmp_path / "out")]
    assert main(fetch) == 0 and len(list((tmp_path / "out").iterdir())) == 2

"""The Orthanc that the other tests lean on: it listens to this machine alone, and keeps what it holds over a restart."""

from __future__ import annotations

from pathlib import Path

from dicom_files import series
from orthanc import Orthanc


def listening(port: int) -> set[str]:
    """The addresses, as the kernel writes them, on which something listens at a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def test_it_listens_on_loopback_alone_and_keeps_its_files(orthanc: Orthanc, tmp_path: Path) -> None:
    assert [listening(port) for port in (orthanc.http_port, orthanc.dicom_port)] == [{"0100007F"}] * 2
    orthanc.clear()
    orthanc.upload(series(tmp_path, PatientID="KEPT", PatientName="KEPT")[:2])
    orthanc.restart()
    assert [p["MainDicomTags"]["PatientID"] for p in orthanc.patients()] == ["KEPT"]
    orthanc.clear()
    assert orthanc.patients() == orthanc.instances() == []

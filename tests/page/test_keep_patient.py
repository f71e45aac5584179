"""The page's DICOM results: in a download of its own making, and in the patient's own study where the site says so."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import HEAD, series
from helpers import inside, zipped
from serving import Drawn

from lgg_demo.case import LggDemoError
from lgg_demo.messages import say
from lgg_demo.page import server
from lgg_demo.page.handlers import Page
from lgg_demo.page.server import KEEP_PATIENT, keeps_patient

PATIENT = {"PatientID": "Ø-7", "PatientName": "Nuñez^Jörg", "SpecificCharacterSet": "ISO_IR 100", "StudyDate": "20250110"}


@pytest.mark.parametrize("keep", [False, True])
def test_a_download_holds_all_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    page = Page(Drawn(), keep)  # type: ignore[arg-type]
    page.folder.make()
    series(tmp_path / "study", HEAD.flair.astype(np.uint16), **PATIENT)
    packed = zipped(tmp_path / "study.zip", inside(tmp_path / "study"))
    with page.folder.receiving("me"):
        taken = [str(page.folder.keep(packed, packed.name, "me"))]
    *_, (session, _, _, _, _) = page.on_scan(taken, None, None, 0.5, "fr")
    content = zipfile.ZipFile(io.BytesIO(base64.b64decode(page.on_download(session, 0.5, "fr"))))
    (entry,) = json.loads(content.read("lgg-demo/report.json"))["images"]
    names = [entry["segmentation"], entry["measurements"], entry["encapsulated_report"], *entry["capture"]]
    assert sorted(n for n in content.namelist() if n.endswith(".dcm")) == sorted(f"lgg-demo/{name}" for name in names)
    assert len(entry["capture"]) == len(HEAD.flair)
    for name in names:
        ds = pydicom.dcmread(io.BytesIO(content.read(f"lgg-demo/{name}")))
        said = {keyword: str(ds.get(keyword, "")) for keyword in PATIENT}
        assert said == (PATIENT if keep else dict.fromkeys(PATIENT, "") | {"SpecificCharacterSet": "ISO_IR 192"})
    others = [content.read(name) for name in content.namelist() if not name.endswith(".dcm")]
    assert not any("Jörg".encode(charset) in data for data in others for charset in ("utf-8", "latin-1"))


def test_a_site_says_so_of_its_own_server_and_never_of_a_space(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"": False, "0": False, "1": True}
    assert {value: keeps_patient({KEEP_PATIENT: value}) for value in said} == said and not keeps_patient({})
    assert not keeps_patient({"SPACE_ID": "a/b", KEEP_PATIENT: "0"})
    with pytest.raises(LggDemoError, match="is 1 to put"):
        keeps_patient({KEEP_PATIENT: "yes"})
    monkeypatch.setenv(KEEP_PATIENT, "1")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert server.main() == 2
    assert capsys.readouterr().err == f"app: {say('keep_patient_space', 'en', variable=KEEP_PATIENT)}\n"

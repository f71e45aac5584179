"""An archive by DICOMweb: QIDO-RS, WADO-RS and STOW-RS.

Credentials come from the environment, which no list of processes shows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from dicomweb_client.web import DICOMwebClient, _Transaction
from pydicom import Dataset

from lgg_demo.atomic import write_whole
from lgg_demo.dicom.archive import DicomError, FoundStudy, Query, Sent, checked_uid
from lgg_demo.dicom.instance import instance_of, kind_of, name_of
from lgg_demo.messages import Sentence

for _name in ("dicomweb_client", "retrying"):  # their lines quote what they send
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

USER, PASSWORD, TOKEN = "LGG_DEMO_DICOMWEB_USER", "LGG_DEMO_DICOMWEB_PASSWORD", "LGG_DEMO_DICOMWEB_TOKEN"
CONNECT_SECONDS, READ_SECONDS = 10, 120
_TAGS = {"uid": "0020000D", "patient": "00100020", "date": "00080020", "description": "00081030", "modalities": "00080061"}
_INSTANCES = "00201208"
_PLAIN = "*/?:@!$'(),;"  # in a query, RFC 3986
_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_ONE_FILE = 'multipart/related; type="application/dicom"; boundary="7a4b1c5e-5d0e-4f0e-9a57-2f3f0d1c8f31"'
_UNPROCESSABLE = (400, 406, 409, 413, 415, 422)  # of one object; whatever else goes wrong may be over next time
_PASSING_REASONS = (0x0110, 0x0124)  # processing failure, not authorised
_CANNOT_UNDERSTAND = 0xC000


class WebArchive:
    """The service at a URL such as https://archive/dicom-web. See `Archive`.

    ca: of the server's certificate, where the system does not trust it. cert, key: our own, where it asks for one.
    """

    def __init__(self, url: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> None:
        session = _Session()
        session.verify = str(ca) if ca else True
        if cert is not None:
            session.cert = (str(cert), str(key)) if key else str(cert)
        if token := os.environ.get(TOKEN):
            session.headers["Authorization"] = f"Bearer {token}"
        elif user := os.environ.get(USER):
            session.auth = (user, os.environ.get(PASSWORD, ""))
        self.name = url.rstrip("/")
        if "@" in self.name:  # it would be in every list of processes, and in the log
            raise DicomError("dicom_web_credentials", user=USER, password=PASSWORD)
        try:
            self._client = DICOMwebClient(self.name, session, timeout=(CONNECT_SECONDS, READ_SECONDS))
        except ValueError as error:
            raise DicomError("dicom_web_url", server=self.name, form="https://archive/dicom-web") from error
        self._client.set_http_retry_params(retry=False)  # who waits longer than a moment does so elsewhere

    def find(self, query: Query) -> list[FoundStudy]:
        asked = {
            "StudyInstanceUID": query.study,
            "PatientID": query.patient,
            "StudyDate": f"{query.date:%Y%m%d}" if query.date else None,
        }
        fields = ["StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"]
        pairs = [*((k, v) for k, v in asked.items() if v), *(("includefield", field) for field in fields)]
        # The client's own `search_for_studies` escapes what need not be, and some servers (Orthanc's plugin 1.7) undo none.
        search = "&".join(f"{keyword}={quote(value, safe=_PLAIN)}" for keyword, value in pairs)
        with self._answers():
            rows = self._client._http_get_application_json(f"{self._client._get_studies_url(_Transaction.SEARCH)}?{search}")
            return [study for row in rows if query.fits(study := _found(row))]

    def fetch(self, study: FoundStudy, folder: Path) -> list[Path]:
        url = self._client._get_studies_url(_Transaction.RETRIEVE, study.uid)
        files = []
        # The client's own `iter_study` parses what comes, in this process, and writes it anew: here files stay as they are.
        with self._answers():
            response = self._client._http_get(url, headers={"Accept": _AS_STORED}, stream=True)
            for part in self._client._decode_multipart_message(response, stream=True):
                try:
                    instance = instance_of(part)
                    if instance.study != study.uid:
                        raise ValueError("another study's")
                except ValueError as error:
                    raise DicomError("dicom_fetched_none", server=self.name) from error
                files.append(folder / f"{instance.uid}.dcm")
                write_whole(files[-1], part)
        if study.instances is not None and len(set(files)) < study.instances:
            raise DicomError("dicom_fetched_some", server=self.name, got=len(set(files)), of=study.instances)
        return files

    def store(self, files: Sequence[Path]) -> Iterator[Sent]:
        url = self._client._get_studies_url(_Transaction.STORE)
        for file in files:
            body = self._client._encode_multipart_message([file.read_bytes()], _ONE_FILE)
            try:
                with self._answers():
                    answer: requests.Response = self._client._http_post(url, body, {"Content-Type": _ONE_FILE})
            except DicomError as error:
                refused = getattr(error.__cause__, "response", None)
                if refused is None or refused.status_code not in _UNPROCESSABLE:
                    raise
                answer = refused
            yield self._sent(file, _failure_of(answer))

    def _sent(self, file: Path, reason: int | None) -> Sent:
        if reason is None:
            return Sent(file)
        sop_class, _ = kind_of(file)
        values = {"file": file.name, "kind": name_of(sop_class), "server": self.name, "status": f"0x{reason:04X}"}
        return Sent(file, Sentence("dicom_not_stored", values), reason in _PASSING_REASONS or reason >> 8 == 0xA7)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Whatever goes wrong on the way, as one sentence."""
        try:
            yield
        except requests.HTTPError as error:
            assert error.response is not None
            status = error.response.status_code
            if status in (401, 403):
                raise DicomError("dicom_web_login", server=self.name, status=status, user=USER, token=TOKEN) from error
            raise DicomError("dicom_web_status", server=self.name, status=status) from error
        except requests.exceptions.JSONDecodeError as error:
            raise DicomError("dicom_web_answer", server=self.name) from error
        except requests.exceptions.SSLError as error:
            raise DicomError("dicom_tls", server=self.name) from error
        except OSError as error:  # of requests, as all others are: no connection, too late, cut off
            if not isinstance(error, requests.RequestException):
                raise
            raise DicomError("dicom_no_answer", server=self.name) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DicomError("dicom_web_answer", server=self.name) from error


class _Session(requests.Session):
    """For which REQUESTS_CA_BUNDLE of the environment does not stand above the certificates that its user named."""

    def merge_environment_settings(self, *arguments: Any, **keywords: Any) -> Any:
        settings = super().merge_environment_settings(*arguments, **keywords)
        return settings | ({} if self.verify is True else {"verify": self.verify})


def _failure_of(answer: requests.Response) -> int | None:
    """Why the one object of a request was not stored, a Failure Reason (PS3.18 I.2.2); None where it was."""
    try:
        failed = Dataset.from_json(answer.json()).get("FailedSOPSequence")
        if failed:
            return int(failed[0].get("FailureReason") or _CANNOT_UNDERSTAND)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass  # an answer in XML, or none: its status tells
    return None if answer.status_code == 200 else _CANNOT_UNDERSTAND


def _found(row: Mapping[str, Any]) -> FoundStudy:
    values = {field: _values(row, tag) for field, tag in _TAGS.items()}
    count = _values(row, _INSTANCES)
    uid = checked_uid(next(iter(values.pop("uid")), ""))
    told = {field: "\\".join(found).strip() for field, found in values.items()}
    return FoundStudy(uid, **told, instances=int(count[0]) if count else None)


def _values(row: Mapping[str, Any], tag: str) -> list[str]:
    return [str(value) for value in row.get(tag, {}).get("Value", []) if value is not None]

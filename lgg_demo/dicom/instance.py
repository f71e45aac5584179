"""What of an instance's header is read outside of the process that decodes: who it is. No pixel is looked at."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import _read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from lgg_demo.dicom.archive import checked_uid
from lgg_demo.reading.own_objects import MANUFACTURER

_TAGS = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Manufacturer"]


@dataclass(frozen=True)
class Instance:
    """Who an instance is: UIDs, each checked, and whether this software wrote it."""

    sop_class: str
    uid: str
    study: str
    ours: bool


def instance_of(content: bytes) -> Instance:
    """From a Part 10 file. Raises ValueError where it does not say who it is, whatever is wrong with it."""
    try:
        if _meta_of(io.BytesIO(content)).TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            raise ValueError("deflated")  # reading would unpack it here, however large it is
        ds = pydicom.dcmread(io.BytesIO(content), specific_tags=list(_TAGS), stop_before_pixels=True)
        sop_class, uid, study = (checked_uid(ds.get(keyword)) for keyword in _TAGS[:3])
        return Instance(sop_class, uid, study, str(ds.get("Manufacturer", "")).strip() == MANUFACTURER)
    except Exception as error:  # whatever pydicom raises on what is none
        raise ValueError("no DICOM instance") from error


def kind_of(file: Path) -> tuple[UID, UID]:
    """SOP class and transfer syntax of a Part 10 file, by its file meta information. Raises ValueError and OSError."""
    with file.open("rb") as opened:
        try:
            meta = _meta_of(opened)
            checked_uid(meta.MediaStorageSOPInstanceUID)
            return UID(meta.MediaStorageSOPClassUID), UID(meta.TransferSyntaxUID)
        except OSError:
            raise
        except Exception as error:
            raise ValueError("no Part 10 file") from error


def _meta_of(file: BinaryIO) -> FileMetaDataset:
    """The file meta information alone. Raises ValueError for another format, and whatever pydicom raises."""
    if file.read(132)[128:] != b"DICM":
        raise ValueError("no Part 10 file")
    return _read_file_meta_info(file)


def name_of(sop_class: str) -> str:
    """What the standard calls a class, for a sentence."""
    return UID(sop_class).name.removesuffix(" Storage")

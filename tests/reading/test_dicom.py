"""DICOM headers: what a file is, by its content, and what it is not, by its name."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import PLANTED, STACK, change, one, refused, series, stack_of
from pydicom.dataset import FileMetaDataset

from lgg_demo.reading import dicom
from lgg_demo.reading.dicom import is_dicom, read_slices
from lgg_demo.reading.volumes import broken


@pytest.mark.parametrize("ending", [".dcm.gz", ".gz", ""])
@pytest.mark.parametrize("preamble", [True, False])
def test_gzipped_files_are_read(tmp_path: Path, ending: str, preamble: bool) -> None:
    packed = []
    for path in series(tmp_path / "s"):
        data = path.read_bytes()
        packed.append(tmp_path / f"{path.name}{ending}")
        packed[-1].write_bytes(gzip.compress(data if preamble else data[132:]))
    assert all(map(is_dicom, packed))
    np.testing.assert_array_equal(stack_of(one(packed)), STACK)


def test_a_gzip_of_anything_else_is_none_and_a_broken_one_is_damaged(tmp_path: Path) -> None:
    other, broken_one = tmp_path / "notes.gz", tmp_path / "x.dcm.gz"
    other.write_bytes(gzip.compress(b"nothing of the kind" * 99))
    broken_one.write_bytes(gzip.compress(series(tmp_path / "s")[0].read_bytes())[:900])
    assert not is_dicom(other) and is_dicom(broken_one) and refused(broken_one) == "damaged"


def test_what_a_gzip_unpacks_to_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "x.dcm.gz"
    packed.write_bytes(gzip.compress(series(tmp_path / "s")[0].read_bytes() + bytes(1_000_000)))
    monkeypatch.setattr(dicom, "MOST_DICOM_BYTES", 900_000)
    assert refused(packed) == "too_much_at_once"


def test_the_beginning_of_a_preamble_is_dicom(tmp_path: Path) -> None:
    cut, text = tmp_path / "IM0001", tmp_path / "IM0002"
    cut.write_bytes(series(tmp_path / "s")[0].read_bytes()[:100])
    text.write_bytes(b"none")
    assert is_dicom(cut) and refused(cut) == "damaged" and not is_dicom(text)
    named = tmp_path / "x.dcm"  # what has the name of DICOM is never skipped, whatever it begins with
    named.write_bytes(b"\0\x08" + bytes(200))
    assert is_dicom(named) and refused(named) == "damaged"


def object_of(path: Path, sop_class: str, modality: str) -> Path:
    """A file of a class that holds no picture."""
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality, ds.PatientName = sop_class, "1.2.3", modality, PLANTED
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("uid", "modality", "key", "said"),
    [
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", "dicom_contours", "RT Structure Set"),
        ("1.2.840.10008.5.1.4.1.1.66.5", "SEG", "dicom_contours", "Surface Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN", "dicom_no_picture", "RT Plan"),
        ("1.2.840.10008.5.1.4.1.1.88.11", "SR", "dicom_no_picture", "Basic Text SR"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR", "dicom_no_picture", "Grayscale Softcopy Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KO", "dicom_no_picture", "Key Object Selection"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "DOC", "dicom_no_picture", "Encapsulated PDF"),
        ("1.2.840.10008.5.1.4.1.1.66", "MR", "dicom_no_picture", "Raw Data"),
        ("1.2.840.10008.5.1.4.1.1.4.2", "MR", "dicom_no_picture", "MR Spectroscopy"),
        ("1.3.12.2.1107.5.9.1", "MR", "dicom_no_picture", "?"),
        ("1.2.840.10008.5.1.4.1.1.4", "MR", "damaged", ""),  # an image without a size
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG", "damaged", ""),
        ("1.2.840.10008.5.1.4.1", "MR", "damaged", ""),  # cut off within its class
    ],
)
def test_what_holds_no_picture_is_said_by_its_name(tmp_path: Path, uid: str, modality: str, key: str, said: str) -> None:
    path = object_of(tmp_path / "x.dcm", uid, modality)
    assert refused(path) == key
    with pytest.raises(Exception, match="") as error:
        read_slices(path)
    assert said in str(error.value) and "ZZTOP" not in str(error.value)


def test_a_mosaic_is_no_slice(tmp_path: Path) -> None:
    assert refused(series(tmp_path, STACK[:1], ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])[0]) == "dicom_mosaic"


def test_an_error_of_a_library_is_logged_without_its_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError(PLANTED)
        except ValueError as error:
            assert broken("x.dcm", error).sentence.key == "damaged"
    assert "ValueError at " in caplog.text and "test_dicom.py" in caplog.text and "ZZTOP" not in caplog.text


def test_a_decoder_that_raises_costs_a_sentence_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = series(tmp_path, STACK[:1])[0]
    change(path, PixelData=b"\0\0")
    with caplog.at_level(logging.DEBUG, "lgg_demo"):
        assert refused(path) == "damaged"
    assert "Error at " in caplog.text

"""OHIF on Orthanc shows what the product writes: the outline on its lesion, the axes and volumes, the PDF."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import needs_browser
from ohif import Viewer, served, why_no_ohif
from orthanc import Orthanc, until
from PIL import Image

from lgg_demo.experiments.dicom_study import write_study
from lgg_demo.output.dicom import DicomChoice, write_dicom
from lgg_demo.output.display import grey
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of
from lgg_demo.page.patients import files_of
from lgg_demo.reading.studies import Request, read_all

pytestmark = [
    needs_browser,
    pytest.mark.browser,
    pytest.mark.skipif(why_no_ohif() is not None, reason=str(why_no_ohif())),
]
RECORD = {"name": "lgg-unet", "sha256": "ab12" * 16}
THRESHOLD = 0.5
TINT = 25  # by how much blue exceeds red where OHIF fills an outline; the picture itself is grey


@dataclass(frozen=True)
class Stored:
    """A study in Orthanc: the headers of its FLAIR from the feet up, the mask (S, H, W) bool, the report of it."""

    headers: tuple[pydicom.Dataset, ...]
    mask: np.ndarray
    report: dict[str, Any]
    files: dict[str, pydicom.Dataset]  # by modality, one of each


@pytest.fixture(scope="module")
def stored(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The synthetic patient with two lesions, outlined as they are, and all that is written of it."""
    folder = tmp_path_factory.mktemp("study")
    write_study("two_lesions", 1, folder / "images")
    flair = folder / "images" / "AX_FLAIR"
    truth = next(f for f in files_of("two_lesions") if "mask" in f.name)
    ((case,), _, _) = read_all(Request((flair,), (truth,), keep_patient=True))
    assert case.reference is not None
    result = result_of(case, case.reference.astype(np.uint8) * 255)
    report = build_report([result], THRESHOLD, RECORD)
    (folder / "results").mkdir()
    written, failures = write_dicom(result, report, folder / "results", grey(case.scan), DicomChoice(), "en")
    assert failures == []
    orthanc.clear()
    orthanc.upload([*(folder / "images").rglob("*.dcm"), *written])
    headers = sorted((pydicom.dcmread(f) for f in flair.iterdir()), key=lambda h: h.ImagePositionPatient[2])
    objects = [pydicom.dcmread(file) for file in written]
    return Stored(tuple(headers), case.reference, report, {o.Modality: o for o in objects})


@pytest.fixture
def viewer(stored: Stored, orthanc: Orthanc, browser: Any) -> Iterator[Viewer]:
    """OHIF with the study open; it may have asked nobody else."""
    with served(orthanc.url) as address:
        context = browser.new_context(locale="en-US", viewport={"width": 1400, "height": 900})
        viewer = Viewer(context.new_page(), address, stored.headers[0].StudyInstanceUID)
        yield viewer
        context.close()
        assert viewer.hosts <= {address.removeprefix("http://")}


def test_all_of_it_is_in_the_patients_own_study(stored: Stored, orthanc: Orthanc) -> None:
    (patient,), (study,) = orthanc.patients(), orthanc.studies()
    assert patient["MainDicomTags"]["PatientID"] == "SYNTHETIC-2"
    assert study["MainDicomTags"]["StudyInstanceUID"] == stored.headers[0].StudyInstanceUID
    kinds = [s["MainDicomTags"]["Modality"] for s in orthanc.series()]
    assert sorted(kinds) == sorted(["MR", "MR", "MR", *stored.files])
    assert set(stored.files) == {"SEG", "SR", "DOC", "OT"}


def test_the_outline_is_on_its_lesion_to_the_voxel(stored: Stored, viewer: Viewer) -> None:
    """In what OHIF holds of all slices, and on the screen of the slice that it opens."""
    held = viewer.segmentation(stored.files["SEG"].SeriesDescription)
    seen = np.zeros(stored.mask.shape, bool)
    for frame, header in zip(seen, stored.headers, strict=True):
        frame.flat[list(held.get(header.SOPInstanceUID, {}))] = True
    assert stored.mask.any() and np.count_nonzero(seen != stored.mask) == 0

    n = [header.SOPInstanceUID for header in stored.headers].index(viewer.shown)
    rows, columns = np.nonzero(stored.mask[n])
    box = np.s_[rows.min() - 4 : rows.max() + 5, columns.min() - 4 : columns.max() + 5]
    places = middles(stored.headers[n])[box]
    assert until(lambda: np.array_equal(tint(viewer, places), stored.mask[n][box])), "it is drawn a little later"


def middles(header: pydicom.Dataset) -> np.ndarray:
    """Where the middles of an axial image's pixels are, (rows, columns, 3) mm (LPS)."""
    rows, columns = np.mgrid[: header.Rows, : header.Columns]
    down, right = map(float, header.PixelSpacing)
    x, y, z = map(float, header.ImagePositionPatient)
    return np.stack([x + right * columns, y + down * rows, np.full(rows.shape, z)], axis=-1)


def tint(viewer: Viewer, places: np.ndarray) -> np.ndarray:
    """Which of some places in mm (rows, columns, 3) are tinted on the screen, (rows, columns) bool."""
    across, along = np.floor(viewer.places(places.reshape(-1, 3))).astype(int).T
    screen = np.asarray(Image.open(io.BytesIO(viewer.page.screenshot())).convert("RGB")).astype(int)
    return np.asarray(screen[along, across, 2] - screen[along, across, 0] > TINT).reshape(places.shape[:2])


def test_the_measurements_are_those_of_the_report(stored: Stored, viewer: Viewer) -> None:
    """Volume and axes of each lesion: what is written, and where the lines are drawn."""
    shown = viewer.measurements(stored.files["SR"].SeriesDescription)
    measured = stored.report["series"][0]["lesions"]
    assert len(shown) == len(measured) == 2 and len({one["uid"] for one in shown}) == 2
    by_volume = sorted(shown, key=lambda one: -float(one["labels"]["Volume"].removesuffix(" mL")))
    for one, entry in zip(by_volume, measured, strict=True):
        figures = entry["diameters_mm"]
        axes = [figures["longest"], figures["perpendicular"]]
        said = {label: float(value.split()[0]) for label, value in one["labels"].items()}
        assert said == pytest.approx({"Volume": entry["volume_ml"], "Long Axis": axes[0], "Short Axis": axes[1]}, abs=0.01)
        assert [math.dist(*line) for line in one["points"]] == pytest.approx(axes, abs=0.01)
        header, mask = stored.headers[figures["slice"] - 1], stored.mask[figures["slice"] - 1]
        longest, across = np.array(one["points"])
        assert np.allclose([*longest[:, 2], *across[:, 2]], float(header.ImagePositionPatient[2]))
        gaps = np.linalg.norm(longest[:, None, :2] - middles(header)[mask][None, :, :2], axis=-1).min(axis=1)
        assert gaps == pytest.approx(0.5), "it ends on the side of a pixel of 1 mm that is in its lesion"
        assert np.subtract(*longest) @ np.subtract(*across) == pytest.approx(0, abs=0.01 * math.prod(axes))


def test_the_pdf_is_the_report(stored: Stored, viewer: Viewer) -> None:
    encapsulated = stored.files["DOC"]
    shown = viewer.document(encapsulated.SeriesDescription)
    assert shown.startswith(b"%PDF") and shown.rstrip(b"\0") == encapsulated.EncapsulatedDocument.rstrip(b"\0")

"""A synthetic patient as a DICOM study: the same voxels in the same place as the NIfTI that it is made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from lgg_demo.experiments import dicom_study
from lgg_demo.grid import Grid
from lgg_demo.page.patients import files_of
from lgg_demo.reading.studies import Request, read_all


def ends(grid: Grid | None) -> np.ndarray:
    """Of a volume without a tilt: where its first and last voxels lie along each axis of the patient, (2, 3) in mm."""
    assert grid is not None
    corners = grid.affine @ np.array([[0, 0, 0, 1], [*(n - 1 for n in grid.shape), 1]]).T
    return np.asarray(np.sort(corners[:3]).T)


def test_a_study_is_read_as_its_nifti_is(tmp_path: Path) -> None:
    dicom_study.write_study("growing", 1, tmp_path)
    assert len(list(tmp_path.rglob("*.dcm"))) == 3 * 24
    nifti = tuple(f for f in files_of("growing") if "_ses-1_" in f.name and "mask" not in f.name)
    (ours,), (theirs,) = (read_all(Request(paths))[0] for paths in ((tmp_path,), nifti))
    assert np.array_equal(ours.scan.pixels, theirs.scan.pixels)
    assert np.allclose(ends(ours.scan.grid), ends(theirs.scan.grid), atol=1e-4)
    assert ours.warnings == theirs.warnings == ()


def test_a_study_is_the_same_at_each_run_and_each_visit_another(tmp_path: Path) -> None:
    def headers(of: Path) -> set[tuple[str, str, str, str]]:
        read = (pydicom.dcmread(f, stop_before_pixels=True) for f in of.rglob("*.dcm"))
        return {(h.PatientID, h.StudyInstanceUID, h.StudyDate, h.SOPInstanceUID) for h in read}

    for run in ("one", "two"):
        assert dicom_study.main(["--out", str(tmp_path / run)]) == 0
    assert headers(tmp_path / "one") == headers(tmp_path / "two")
    visits = [headers(tmp_path / "one" / f"growing-visit-{n}") for n in (1, 2)]
    assert [len({h[1] for h in visit}) for visit in visits] == [1, 1] and not visits[0] & visits[1]
    assert {h[0] for visit in visits for h in visit} == {"SYNTHETIC-1"}
    assert [min(h[2] for h in visit) for visit in visits] == ["20250110", "20251011"]


def test_a_visit_that_the_patient_has_not_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="healthy has no visit 2"):
        dicom_study.write_study("healthy", 2, tmp_path / "out")
    assert not (tmp_path / "out").exists()

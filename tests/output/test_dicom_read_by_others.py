"""Programs of others read the DICOM objects: validator, dcmqi, SimpleITK, highdicom, and the library inside OHIF."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from dicom_study import SHAPE, SPACING, DicomStudy, study, two_lesions
from test_dicom_seg import dciodvfy

__all__ = ["study"]  # fixture
ROOT = Path(__file__).resolve().parents[2]
KINDS = ("seg", "sr", "pdf", "capture")


def program_of(name: str) -> str:
    """A program of dcmqi, which PyPI brings beside Python's own."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.skip("dcmqi is not installed (tests/requirements.txt)")
    return program


def measured(document: Path, out: Path) -> list[dict[str, Any]]:
    """What dcmqi reads of an SR: its measurement groups."""
    command = [program_of("tid1500reader"), "--inputDICOM", document, "--outputMetadata", out]
    subprocess.run(command, check=True, capture_output=True)
    return list(json.loads(out.read_text(encoding="utf-8"))["Measurements"])


def volume_of(group: dict[str, Any]) -> float:
    (item,) = [i for i in group["measurementItems"] if i["quantity"]["CodeMeaning"] == "Volume"]
    assert item["units"]["CodeValue"] == "mL"
    return float(item["value"])


def _has_volume(group: dict[str, Any]) -> bool:
    return any(item["quantity"]["CodeMeaning"] == "Volume" for item in group["measurementItems"])


@pytest.mark.parametrize("segments", ["whole", "lesions"])
@pytest.mark.parametrize("keep", [False, True])
def test_no_object_has_an_error(study: DicomStudy, tmp_path: Path, segments: str, keep: bool) -> None:
    made = study.write(tmp_path, keep, segments=segments)
    assert tuple(made) == KINDS
    for path in (*tmp_path.glob("*.dcm"), tmp_path / "series-3_capture" / "004.dcm"):
        dciodvfy(path)


@pytest.mark.parametrize("segments", ["whole", "lesions"])
def test_dcmqi_reads_segments_and_measurements(study: DicomStudy, tmp_path: Path, segments: str) -> None:
    study.write(tmp_path, segments=segments)
    entry, (series,) = study.report()["images"][0], study.report()["series"]
    volumes = [entry["volume_ml"]] if segments == "whole" else [one["volume_ml"] for one in series["lesions"]]
    out = tmp_path / "dcmqi"
    out.mkdir()
    command = [program_of("segimage2itkimage"), "--inputDICOM", tmp_path / "series-3_seg.dcm", "-t", "nii"]
    ran = subprocess.run([*command, "--outputDirectory", out], check=True, capture_output=True, text=True)
    assert "ContentCreatorName" not in ran.stdout + ran.stderr
    for number, volume in enumerate(volumes, 1):
        image = nib.load(out / f"{number}.nii.gz")
        voxel = abs(np.linalg.det(image.affine[:3, :3])) / 1000
        assert (np.asarray(image.dataobj) > 0).sum() * voxel == pytest.approx(volume, abs=1e-4)
    groups = measured(tmp_path / "series-3_sr.dcm", tmp_path / "sr.json")
    by_segment = [g for g in groups if "ReferencedSegment" in g]
    own = [one["volume_ml"] for one in series["lesions"]]
    assert [volume_of(g) for g in groups if _has_volume(g)] == own, "to the digit"
    assert [int(g["ReferencedSegment"]) for g in by_segment] == ([1, 2] if segments == "lesions" else [])


def test_simpleitk_reads_the_mask_where_it_lies(study: DicomStudy, tmp_path: Path) -> None:
    """Empty slices between two lesions: without their frames it would push the others together."""
    study.write(tmp_path, kinds=("seg",))
    image = SimpleITK.ReadImage(str(tmp_path / "series-3_seg.dcm"))
    assert image.GetSpacing() == pytest.approx((SPACING[2], SPACING[1], SPACING[0]))
    headers = {i.ImagePositionPatient[2]: n for n, i in enumerate(study.result.instances)}
    read = np.zeros(SHAPE, bool)
    for k, frame in enumerate(SimpleITK.GetArrayFromImage(image)):
        x, y, z = image.TransformIndexToPhysicalPoint((0, 0, k))
        assert (x, y) == (-110, -115)
        read[headers[round(z)]] = frame > 0
    np.testing.assert_array_equal(read, two_lesions())


@pytest.mark.parametrize("kind", ["fractional", "labelmap"])
def test_other_types_of_segmentation_on_request(study: DicomStudy, tmp_path: Path, kind: str) -> None:
    made = study.write(tmp_path, seg_type=kind, segments="lesions")
    assert made["seg"].SegmentationType == kind.upper()
    read = hd.seg.segread(tmp_path / "series-3_seg.dcm")
    uids = [i.SOPInstanceUID for i in study.result.instances]
    pixels = read.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    assert pixels.shape == (*SHAPE, 2)
    np.testing.assert_array_equal(pixels.any(axis=-1), two_lesions())


@pytest.mark.parametrize("segments", ["whole", "lesions"])
def test_the_library_of_ohif_reads_every_voxel(study: DicomStudy, tmp_path: Path, segments: str) -> None:
    node, adapters = shutil.which("node"), ROOT / "node_modules" / "@cornerstonejs" / "adapters"
    if node is None or not adapters.exists():
        pytest.skip("node or node_modules is not installed (npm ci)")
    study.write(tmp_path, kinds=("seg",), segments=segments)
    script = Path(__file__).with_name("read_seg.mjs")
    command = [node, script, tmp_path / "series-3_seg.dcm", *study.sources]
    labels = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    read = [
        np.frombuffer(base64.b64decode(labels[i.SOPInstanceUID]), np.uint8).reshape(SHAPE[1:])
        for i in study.result.instances
    ]
    wanted = two_lesions().astype(int)
    wanted[8:] *= 1 if segments == "whole" else 2
    np.testing.assert_array_equal(read, wanted)

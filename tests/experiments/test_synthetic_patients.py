"""The arithmetic of the maker of synthetic patients; what it has made is tested in tests/page/test_showcase.py."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lgg_demo.experiments import synthetic_patients as maker
from lgg_demo.experiments.synthetic_head import Noise, read_atlas
from lgg_demo.page.patients import PATIENTS
from lgg_demo.reading.layout import nifti_name, parse


def test_what_is_no_wheel_is_said_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("readme", "no atlas")
    with pytest.raises(ValueError, match=r"other\.whl"):
        read_atlas(wheel)
    assert maker.main(["--wheel", str(wheel), "--out", str(tmp_path / "out")]) == 2
    assert "other.whl" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_pose_turns_and_moves_a_head_as_it_says() -> None:
    """A point of the head lies in the slice, row and column where the pose has brought it."""
    pose = maker.Pose((0.0, 0.0, 90.0), (3.0, -2.0, 5.0))
    at = pose() @ [10, 0, 0, 1]  # front becomes left, then everything is moved
    assert at[:3] == pytest.approx([3, 8, 5])
    volume = np.zeros((60, 60, 60), np.float32)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -30
    volume[33, 38, 35] = 1.0
    seen = np.argwhere(maker.sampled(volume, affine, pose, 1) > 0)
    places = seen * [1, 1, maker.THICK] + np.array(maker.CORNER)
    assert np.abs(places - [10, 0, 0]).max(axis=0) == pytest.approx([0.5, 0, 0], abs=maker.THICK / 2)


def test_a_mask_loses_specks_alone() -> None:
    mask = np.zeros((40, 40, 4), bool)
    mask[5:15, 5:15] = True  # 2 mL
    mask[30, 30, 2] = True
    kept = maker.without_specks(mask)
    assert kept.sum() == 400 and not kept[30, 30, 2]


def test_a_volume_is_the_same_at_each_run_and_named_for_its_role(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for role, ending in maker.ENDINGS.items():
        path = tmp_path / f"sub-synthetic1_ses-2_{ending}.nii.gz"
        maker.write_nifti(path, voxels)
        first = path.read_bytes()
        maker.write_nifti(path, voxels)
        assert path.read_bytes() == first
        said = parse(nifti_name(path))
        assert (said.subject, said.role) == ("sub-synthetic1_ses-2", role)
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj), voxels)


def test_noise_is_as_smooth_as_asked_and_the_same_for_a_seed() -> None:
    fine, broad = (Noise((40, 40, 40), 3).field(mm) for mm in (1.5, 8))
    assert np.array_equal(fine, Noise((40, 40, 40), 3).field(1.5))
    steps = [float(np.abs(np.diff(f, axis=0)).mean() / f.std()) for f in (fine, broad)]
    assert steps[0] > 2 * steps[1] > 0


def test_every_patient_that_the_page_opens_has_a_maker() -> None:
    assert tuple(maker.MADE) == PATIENTS
    assert all(len(v.volumes_ml) == len(p.lesions) for p in maker.MADE.values() for v in p.visits)

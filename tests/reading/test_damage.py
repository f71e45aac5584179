"""NIfTI and DICOM of any bytes at all: read, or refused by one sentence."""

from __future__ import annotations

import gzip
import random
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from dicom_files import STACK, enhanced, read_dicom, series
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_files import nifti, read_nifti, turned
from pydicom.pixels import compress
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from lgg_demo.case import ReadError
from lgg_demo.messages import CATALOGUE
from lgg_demo.reading.dicom import is_dicom
from lgg_demo.reading.nifti import is_nifti


def outcome(path: Path) -> None:
    """A file is read or refused; nothing else."""
    try:
        for volume in read_nifti(path) if is_nifti(path) else []:
            assert volume.values.shape == volume.grid.shape and np.isfinite(volume.values).all()
    except ReadError as error:
        assert error.sentence.key in CATALOGUE and str(error)
    is_dicom(path)
    found, problems = read_dicom([path])
    assert all(np.isfinite(v.values).all() and v.values.shape == v.grid.shape for v in found)
    assert all(str(p) for p in problems)


SEEDS: dict[str, bytes] = {}


def seeds() -> dict[str, bytes]:
    if not SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            values, affine = turned("LPS", STACK[:2])
            SEEDS["a.nii"] = nifti(root / "a.nii", values.astype(np.int16), affine).read_bytes()
            SEEDS["b.nii.gz"] = nifti(root / "b.nii.gz", values, affine).read_bytes()
            path = series(root / "s", STACK[:1])[0]
            SEEDS["c.dcm"] = path.read_bytes()
            SEEDS["d.dcm"] = enhanced(root / "e.dcm", STACK[:2]).read_bytes()
            for n, syntax in enumerate((JPEG2000Lossless, JPEGLSLossless, RLELossless)):
                ds = pydicom.dcmread(path)
                compress(ds, syntax)
                ds.save_as(root / "x.dcm")
                SEEDS[f"{n}.dcm"] = (root / "x.dcm").read_bytes()
    return SEEDS


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=700), st.sampled_from(["x.nii", "x.nii.gz", "x.dcm", "x"]), st.sampled_from([b"", b"\x08\0", b"D"])
)
def test_random_bytes(data: bytes, name: str, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(128) + b"DICM" + data if start == b"D" else start + data)
        outcome(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_broken_bytes_of_whole_files(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(seeds())))
    raw = bytearray(seeds()[name])
    near = st.integers(0, min(len(raw), 1800) - 1)
    for place in data.draw(st.lists(near | st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(raw)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(raw[:cut]))
        outcome(path)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), packed=st.booleans())
def test_broken_headers_of_whole_files(seed: int, packed: bool) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        values, affine = turned("LPS", STACK[:2])
        raw = bytearray(nifti(Path(folder) / "a.nii", values.astype(np.int16), affine).read_bytes())
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(352)] = rng.choice([0, 1, 255, rng.randrange(256)])
        path = Path(folder) / ("b.nii.gz" if packed else "b.nii")
        path.write_bytes(gzip.compress(bytes(raw), 1) if packed else bytes(raw))
        outcome(path)

"""Files of any bytes at all, in every format: a finite scan or a sentence, and nothing else."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import tifffile
from dicom_files import STACK, enhanced, series
from helpers import read
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nifti_files import nifti, turned
from PIL import Image
from pydicom.pixels import compress
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from lgg_demo.messages import CATALOGUE

quietly = settings(deadline=None, database=None, derandomize=True)
STARTS = (
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"\x08\0",
    bytes(128) + b"DICM",
)  # fmt: skip


def usable_or_one_sentence(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        found = read([path])
    assert found.cases or found.errors or found.notices
    for case in found.cases:
        assert case.scan.pixels.dtype == np.float32 and case.scan.pixels.shape == (len(case.scan), *case.scan.size, 3)
        assert np.isfinite(case.scan.pixels).all()
    for error in found.errors:
        assert error.sentence.key in CATALOGUE and error.sentence.say("fr") != str(error)


@cache
def whole_files() -> list[tuple[str, bytes]]:
    """Name and content of a valid file of each kind."""
    small = np.random.default_rng(0).integers(0, 256, (2, 20, 24)).astype(np.uint8)
    colour = np.dstack([small[0]] * 3)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        values, affine = turned("LPS", STACK[:2])
        nifti(root / "whole.nii", values.astype(np.int16), affine)
        nifti(root / "packed.nii.gz", values, affine)
        (one,) = series(root / "s", STACK[:1])
        one = one.rename(root / "plain.dcm")
        enhanced(root / "enhanced.dcm", STACK[:2])
        for syntax in (JPEG2000Lossless, JPEGLSLossless, RLELossless):
            ds = pydicom.dcmread(one)
            compress(ds, syntax)
            ds.save_as(root / f"{syntax}.dcm")
        tiffs: dict[str, dict[str, object]] = {
            "plain": {}, "lzw": {"compression": "lzw"}, "deflate": {"compression": "deflate", "predictor": True},
            "packbits": {"compression": "packbits"}, "big": {"bigtiff": True}, "swapped": {"byteorder": ">"},
            "tiles": {"tile": (16, 16), "compression": "zstd"}, "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
        }  # fmt: skip
        for name, how in tiffs.items():
            tifffile.imwrite(root / f"{name}.tif", small, **({"photometric": "minisblack", "metadata": None} | how))
        tifffile.imwrite(root / "colour.tif", colour, photometric="rgb")
        tifffile.imwrite(root / "float.tif", small[0].astype(np.float32), compression="deflate", predictor=True)
        tifffile.imwrite(root / "palette.tif", small[0], photometric="palette", colormap=np.ones((3, 256), np.uint16))
        Image.fromarray(small[0] > 99).save(root / "g4.tif", compression="group4")
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
            Image.fromarray(small[0]).convert(mode).save(root / f"{mode}.png")
        for mode in ("L", "RGB", "CMYK"):
            Image.fromarray(small[0]).convert(mode).save(root / f"{mode}.jpg")
        (root / "deep.png").write_bytes(imagecodecs.png_encode(colour.astype(np.uint16) * 99))
        return [(path.name, path.read_bytes()) for path in sorted(root.iterdir()) if path.is_file()]


@settings(quietly, max_examples=200)
@example(b"\xff\xd8\xff\xe0", b"n+2", "x.dcm")  # says that it is NIfTI-2, and ends
@given(
    st.sampled_from(STARTS),
    st.binary(max_size=700),
    st.sampled_from(["x.nii", "x.nii.gz", "x.dcm", "x", "x.png", "x.jpg", "x.tif"]),
)
def test_random_bytes(start: bytes, content: bytes, name: str) -> None:
    usable_or_one_sentence(name, start + content)


@settings(quietly, max_examples=600)
@given(which=st.integers(0, 2**16), seed=st.integers(0, 2**32))
def test_whole_files_with_broken_bytes_and_cut_off(which: int, seed: int) -> None:
    name, content = whole_files()[which % len(whole_files())]
    rng, changed = random.Random(seed), bytearray(content)
    # Most of the time where headers are: at the beginning, or where Pillow puts a TIFF's tags.
    start, stop = rng.choice([(0, len(content)), (0, 400), (0, 1800), (len(content) - 300, len(content))])
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(max(start, 0), min(stop, len(content)))] = rng.choice([0, 1, 255, rng.randrange(256)])
    usable_or_one_sentence(name, bytes(changed[: rng.choice([None, None, rng.randrange(len(content))])]))

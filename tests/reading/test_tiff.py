"""TIFF stacks of ImageJ and OME: what is a slice, what a sequence, what a time."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from picture_files import GREY, HEIGHT, WIDTH, noise, refused

from lgg_demo.case import ReadError
from lgg_demo.reading.pictures import read_pages, read_scan


def said(path: Path) -> list[str]:
    return [w.key for w in read_pages(path).warnings]


def stack(path: Path, axes: str, *shape: int, ome: bool = False, **metadata: object) -> tuple[Path, np.ndarray]:
    """A TIFF of ImageJ, or of OME, and its values: every plane different."""
    values = noise(*shape, HEIGHT, WIDTH)
    tifffile.imwrite(path, values, imagej=not ome, ome=ome, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path, values


@pytest.mark.parametrize(
    ("ome", "axes", "shape", "order"),
    [
        (False, "ZCYX", (4, 3), (0, 2, 3, 1)),
        (True, "ZCYX", (4, 3), (0, 2, 3, 1)),
        (True, "CZYX", (3, 4), (1, 2, 3, 0)),
        (True, "TCZYX", (1, 3, 4), (0, 2, 3, 4, 1)),
    ],
)
def test_three_channels_are_sequences(
    tmp_path: Path, ome: bool, axes: str, shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    path, values = stack(tmp_path / "a.tif", axes, *shape, ome=ome, **({} if ome else {"mode": "composite"}))
    scan = read_scan(path)
    assert len(scan) == 4 and not scan.grey and said(path) == []
    np.testing.assert_array_equal(scan.pixels, values.transpose(order).reshape(4, HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("ome", [False, True])
@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (4, 2)), ("ZCYX", (4, 4)), ("CYX", (2,)), ("TZCYX", (2, 2, 5))])
def test_other_channels_are_refused(tmp_path: Path, ome: bool, axes: str, shape: tuple[int, ...]) -> None:
    path, _ = stack(tmp_path / "a.tif", axes, *shape, ome=ome)
    assert refused(path) == "channels"


@pytest.mark.parametrize("ome", [False, True])
def test_times(tmp_path: Path, ome: bool) -> None:
    path, values = stack(tmp_path / "a.tif", "TYX", 5, ome=ome)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    assert said(path) == ["times_as_slices"]
    path, values = stack(tmp_path / "b.tif", "TZYX", 3, 4, ome=ome)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values[0])
    assert said(path) == ["first_time"]


def test_images_that_a_program_without_axes_calls_channels(tmp_path: Path) -> None:
    path, values = stack(tmp_path / "a.tif", "CYX", 7)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    assert said(path) == ["channels_as_slices"]
    assert refused(stack(tmp_path / "b.tif", "CYX", 7, mode="composite")[0]) == "channels"


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_an_imagej_stack_with_one_directory_has_all_its_slices(tmp_path: Path, axes: str) -> None:
    path, values = stack(tmp_path / "a.tif", axes, 8)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        first = opened.pages.first.offset
        after = first + 2 + 12 * struct.unpack(f"{opened.byteorder}H", data[first : first + 2])[0]
    data[after : after + 4] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], values)
    path.write_bytes(data[: len(data) * 2 // 3])
    assert refused(path) == "damaged"


def test_an_ome_tiff_does_not_open_other_files(tmp_path: Path) -> None:
    stack(tmp_path / "secret.ome.tif", "ZYX", 2, ome=True)
    xml = (
        tifffile.tiffcomment(tmp_path / "secret.ome.tif")
        .replace('<TiffData IFD="0" PlaneCount="2">', "")
        .replace("</TiffData>", "")
    )
    uid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{n}" PlaneCount="1"><UUID FileName="{f}">{uid[:-1]}{n}</UUID></TiffData>'
        for n, f in enumerate(("a.ome.tif", "secret.ome.tif"))
    )
    head, tail = xml.split("</Pixels>")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, GREY, photometric="minisblack", description=f"{head.split('<TiffData')[0]}{data}</Pixels>{tail}".encode()
    )
    try:
        assert len(read_scan(path)) == 1
    except ReadError as error:
        assert error.sentence.key == "damaged"

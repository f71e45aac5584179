"""Pictures with the outline burned in as Secondary Capture, for viewers that show no segmentation."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import contourpy
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from lgg_demo.messages import say
from lgg_demo.output.dicom_subject import Subject, new_object, reference_to
from lgg_demo.output.display import BLUE

SIDE = 320  # pixels of the shorter side: of a small slice label and outline can be seen, and hundreds of large ones fit
BAND = 22  # pixels below the slice, which the label lies on
LETTERS = 11


def capture_of(subject: Subject, s: int, picture: np.ndarray) -> Dataset:
    """A single-frame capture of slice s of the stack, from 0. picture: that slice, (H, W) uint8, see `display.grey`.

    Square pixels, RGB, without millimetres: nothing is to be measured on it.
    """
    pixels = drawn(subject, s, picture)
    ds = new_object(subject, "capture", SecondaryCaptureImageStorage, f"{s}", subject.language)
    ds.SeriesInstanceUID = subject.uid("capture", "series", subject.language)
    ds.Modality, ds.ConversionType, ds.InstanceNumber = "OT", "SYN", s + 1
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.SeriesDescription = "Outline burned in, not for diagnosis"
    ds.DerivationDescription = "Slice with the outline of the FLAIR abnormality burned in"
    ds.ImageComments = "Not for diagnosis"
    ds.BurnedInAnnotation = subject.burned_in
    ds.PatientOrientation = ["L", "P"]  # of the stack's rows and columns, as all are turned
    ds.BodyPartExamined = "BRAIN"
    if (source := _source_of(subject, s)) is not None:
        ds.SourceImageSequence = [source]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"
    return ds


def _source_of(subject: Subject, s: int) -> Dataset | None:
    """A reference to the image that a slice of the stack is; None where it lies across the images, or one is missing."""
    corners = np.array([[0, 0], subject.result.size]) - [[0, 0], [1, 1]]
    if (on_image := subject.frames.pixels(subject.on_grid(s, corners)[:, :3])) is None:
        return None
    instance, frame = subject.frames.sources[on_image[0]]
    source = reference_to(instance)
    if "PerFrameFunctionalGroupsSequence" in instance:
        source.ReferencedFrameNumber = frame + 1
    return source


def drawn(subject: Subject, s: int, picture: np.ndarray) -> np.ndarray:
    """A slice (H, W) uint8 with its outline and a label below: (rows, columns, 3) uint8."""
    scale, size = _scaled(subject)
    image = Image.new("RGB", (size[0], size[1] + BAND))
    image.paste(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), (0, 0))
    pen = ImageDraw.Draw(image)
    for points in contourpy.contour_generator(z=np.pad(subject.mask[s], 1).astype(float)).lines(0.5):
        # A pixel's middle is a whole number on the mask, and half of one more in the picture.
        pen.line([tuple(p) for p in (np.asarray(points) - 0.5) * scale - 0.5], fill=BLUE, width=1)
    label = f"{say('capture_label', subject.language)}  {s + 1}/{len(subject.mask)}"
    pen.text((3, size[1] + BAND / 2), label, fill=(255, 255, 255), font=_font(), anchor="lm")
    return np.asarray(image)


def _scaled(subject: Subject) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels of the capture a pixel of the slice, (x, y), and the size (width, height) of the picture."""
    height, width = subject.result.size
    _, down, right = subject.grid.spacing_mm
    scale = np.array([right, down]) * SIDE / min(height * down, width * right)
    return scale, (round(width * float(scale[0])), round(height * float(scale[1])))


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as in the PDF."""
    package = find_spec("matplotlib")
    assert package is not None and package.origin is not None
    return ImageFont.truetype(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", LETTERS)

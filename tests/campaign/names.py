"""Row 5: a patient's name, number and birth date planted wherever a file has room for words."""

from __future__ import annotations

import base64
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx
import nibabel as nib
from PIL import Image, PngImagePlugin
from pydicom import Dataset
from pydicom.datadict import DicomDictionary
from pydicom.tag import Tag

from tests.campaign.custody import functions_with_files
from tests.campaign.formats import Files, archive, classic, enhanced, head, nifti, tiff, unchecked
from tests.campaign.processes import Peak, run
from tests.campaign.server import ROOT, SECONDS, Server, environment, fetch, handed, join, segment, upload
from tests.campaign.tally import Campaign

NAME, NUMBER, BIRTH = "Quorvexley", "PX7Q93ZK41", "19370419"
STUDY = "20030817"
PLANTED = (NAME, NUMBER, BIRTH, "1937-04-19", "19.04.1937", "04/19/1937")
STUDIED = (STUDY, "2003-08-17", "17.08.2003", "08/17/2003")  # which the page tells its own user, and nothing else does
ALL = f"{NAME}^Ann {NUMBER} {BIRTH}"
RIGHT = (
    "name, number, birth date and study date are in no output, log, error stream, temporary name or answer, but for the "
    "study date in what the page shows its own user"
)
TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
# Of these the reader's work depends; what is planted in them makes a damaged file, which is tried as well.
NEEDED = {
    "Modality", "ImageType", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient", "InstanceNumber",
    "ImageOrientationPatient", "SliceThickness", "NumberOfFrames", "SpecificCharacterSet", "SeriesNumber", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth", "SpacingBetweenSlices",
}  # fmt: skip


def value_of(vr: str) -> str:
    return {"PN": f"{NAME}^Ann", "DA": BIRTH, "DT": f"{BIRTH}120000", "AS": "087Y", "TM": "120000"}.get(
        vr, f"{NAME} {NUMBER}"
    )


def plant(made: Dataset, damaged: bool = False) -> None:
    """Fill every text element of patient, study, series and equipment; damaged: those of geometry too."""
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if tag >> 16 not in (0x08, 0x10, 0x12, 0x18, 0x20, 0x28, 0x32, 0x38, 0x40) or vr not in TEXT or retired:
            continue
        wanted = value_of(vr) if vr not in ("CS", "DS", "IS") or damaged else None
        if wanted is not None and (damaged or keyword not in NEEDED):
            made[tag] = unchecked(Tag(tag), vr, wanted)
    made.StudyDate = STUDY
    made.SeriesDescription = f"FLAIR {NAME}"
    block = made.private_block(0x11, f"{NAME} {NUMBER}", create=True)
    block.add_new(1, "LO", ALL)
    other, request = Dataset(), Dataset()
    other.PatientID, other.PatientName, request.RequestedProcedureDescription = NUMBER, f"{NAME}^Ann", ALL
    made.OtherPatientIDsSequence, made.RequestAttributesSequence = [other], [request]


def few(made: Dataset) -> None:
    """Only numbers that are none: what a reader may quote when it refuses."""
    for keyword, vr in (("PixelSpacing", "DS"), ("InstanceNumber", "IS"), ("RescaleSlope", "DS"), ("WindowCenter", "DS")):
        made[keyword] = unchecked(Tag(keyword), vr, f"{NAME} {NUMBER}")


def png() -> bytes:
    words, memory = PngImagePlugin.PngInfo(), io.BytesIO()
    words.add_text("Title", ALL)
    words.add_text("Comment", ALL, zip=True)
    words.add_itxt("XML:com.adobe.xmp", f"<x>{ALL}</x>", zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x9C9D] = ALL, ALL, ALL.encode("utf-16-le")
    Image.fromarray(head(3, 1).flair[0]).save(memory, "PNG", pnginfo=words, exif=exif)
    return memory.getvalue()


def jpeg() -> bytes:
    exif, memory = Image.Exif(), io.BytesIO()
    exif[0x010E], exif[0x013B], exif[0x8298] = ALL, ALL, ALL
    Image.fromarray(head(3, 1).flair[0]).save(memory, "JPEG", quality=95, exif=exif, comment=ALL.encode())
    return memory.getvalue()


def planted_nifti() -> bytes:
    """In the header's texts, in an extension, and in the names that gzip keeps."""
    image = nib.Nifti1Image.from_bytes(nifti(head(3).flair, packed=False))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = (
        ALL.encode(),
        NAME.encode(),
        NUMBER.encode(),
    )
    image.header["intent_name"] = NAME.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", ALL.encode()))
    packed = gzip.compress(image.to_bytes(), mtime=0)
    flags = packed[:3] + bytes([0x18]) + packed[4:10]
    return flags + f"{ALL}.nii\0{ALL}\0".encode() + packed[10:]


def planted_zip(files: Files) -> bytes:
    """In the comments and extra fields; DICOM's own names too."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as made:
        made.comment = ALL.encode()
        for name, content in files:
            info = zipfile.ZipInfo(f"{NAME}_{NUMBER}/{NAME} {name}")
            info.comment, info.extra = ALL.encode(), struct.pack("<2H", 0x9999, len(ALL)) + ALL.encode()
            made.writestr(info, content)
    return memory.getvalue()


def uploads() -> dict[str, Files]:
    """What is planted, and the files of one upload. Of names only DICOM's hold it: the others are shown as given."""
    named = [(f"{NAME}_{NUMBER}_{name}", content) for name, content in classic("planted", change=plant)]
    damaged = [(name, content) for name, content in classic("damaged", change=lambda made: plant(made, damaged=True))]
    (whole,) = enhanced("planted")
    tags = [(315, "s", 0, ALL, True), (316, "s", 0, ALL, True), (700, "s", 0, ALL, True), (33432, "s", 0, ALL, True)]
    page = tiff(head(3, 1).flair[0], description=ALL, software=ALL, metadata=None, extratags=tags)
    return {
        "DICOM": named,
        "DICOM, geometry damaged": damaged,
        "DICOM, numbers that are none": classic("few", change=few),
        # A file that is refused must be named, so here its name is anybody's.
        "DICOM cut off": [(name, content[: len(content) // 3]) for name, content in classic("cut", change=plant)],
        "DICOM in a zip": [("study.zip", planted_zip(classic("zipped", change=plant)))],
        "enhanced DICOM by name": [(f"{NAME}.dcm", whole[1])],
        "NIfTI": [("volume.nii.gz", planted_nifti())],
        "PNG": [("slice.png", png())],
        "JPEG": [("slice.jpg", jpeg())],
        "TIFF": [("slice.tif", page)],
        "PNG cut off": [("slice.png", png()[:-400])],
        "zip of a PNG": [("zipped.zip", archive([("slice.png", png())], comment=ALL.encode()))],
    }


def found(where: Iterable[tuple[str, bytes]]) -> str:
    """The first place that holds what was planted, looked for in what is packed too; empty where none does."""
    for name, content in where:
        for text in (name.encode(errors="replace"), *unpacked(content)):
            for word in PLANTED if name == "page" else (*PLANTED, *STUDIED):
                lowered = text.lower()
                if any(word.lower().encode(code) in lowered for code in ("ascii", "utf-16-le", "utf-16-be")):
                    return f"{word} in {name.replace(NAME, '<name>').replace(NUMBER, '<number>')}"
    return ""


def unpacked(content: bytes) -> Iterable[bytes]:
    """Bytes as they are, and what gzip, zip, PDF and base64 hide."""
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if content[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(content)) as made:
            for name in made.namelist():
                yield name.encode()
                yield from unpacked(made.read(name))
    for start in (m.end() for m in re.finditer(rb"stream\r?\n", content)):
        with suppress(zlib.error):
            yield zlib.decompressobj().decompress(content[start:])
    for text in re.findall(rb'"(UEsDB[A-Za-z0-9+/=]+)"', content):
        yield from unpacked(base64.b64decode(text))


def tree(folder: Path) -> list[tuple[str, bytes]]:
    return [(p.relative_to(folder).as_posix(), p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")]


def planted(campaign: Campaign, server: Server) -> None:
    """Through the API, through the page's own function, and through predict."""
    campaign.row("planted names", RIGHT)
    server.new_log()
    with httpx.Client(base_url=server.address, timeout=SECONDS) as http:
        # The upload's own answer gives the client its path, name and all: from here on the names are the server's.
        page, arguments = next(iter(functions_with_files(http).items()))
        for what, files in uploads().items():
            own = {name for name, _ in files}
            with Peak(server.pid, server.temporary) as peak:
                answer = segment(server.address, files)
                files_of = [(f["orig_name"], fetch(server.address, f)) for f in answer.files]
                shown = join(http, page, [handed(upload(http, files)) if a == "FILES" else a for a in arguments])
            said = [("answer", answer.text.encode()), ("page", shown.encode()), ("log", server.new_log().encode())]
            names = [("temporary names", n.encode()) for n in peak.names if Path(n).name not in own]
            campaign.judge(f"{what}, server", found([*files_of, *said, *names]))
    for what, files in uploads().items():
        if not campaign.short or what in ("DICOM", "NIfTI"):
            campaign.judge(f"{what}, predict", by_predict(campaign, what, files))


def by_predict(campaign: Campaign, what: str, files: Files) -> str:
    work = campaign.work / f"planted {what}"
    place = work / "in" / (f"{NAME}_{NUMBER}" if what.startswith("DICOM") else "scan")
    place.mkdir(parents=True)
    for name, content in files:
        (place / name).write_bytes(content)
    arguments = ["-m", "lgg_demo.predict", str(work / "in"), "--out", str(work / "out")]
    ran = run(arguments, 5 * SECONDS, environment(work / "tmp"), ROOT, work / "tmp")
    if ran.code not in (0, 2):
        return f"exit {ran.code}: {ran.err.strip()[-200:]}"
    said = [("stdout", ran.out.encode()), ("stderr", ran.err.encode())]
    return found([*tree(work / "out"), *said, *(("temporary names", n.encode()) for n in ran.names)])

"""Seeded damage: what a bad disk, a broken transfer, a careless program or an attacker makes of a good file."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Callable

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from tests.campaign.formats import unchecked

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
FLOATS = (0.0, -0.0, -1.0, 1e-30, 1e30, 3e38, float("inf"), float("-inf"), float("nan"))
HEADER = 400  # bytes, in which most headers lie
Mutated = tuple[bytes, str]  # content, and what was done in words


def place(rng: random.Random, content: bytes) -> int:
    """Where to strike: half of the time in the header, else anywhere, or near the end, where TIFF and zip list things."""
    first, last = rng.choice([(0, HEADER), (0, len(content)), (len(content) - HEADER, len(content)), (0, HEADER)])
    return rng.randrange(max(first, 0), max(min(last, len(content)), 1))


def flip(rng: random.Random, content: bytes) -> Mutated:
    changed, bits = bytearray(content), rng.choice([1, 1, 4, 32, 256])
    for _ in range(bits):
        changed[place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed), f"{bits} bits flipped"


def truncate(rng: random.Random, content: bytes) -> Mutated:
    kept = rng.choice(
        [rng.randrange(len(content)), rng.randrange(min(HEADER, len(content))), len(content) - rng.randint(1, 40)]
    )
    return content[: max(kept, 0)], f"cut after {kept} bytes"


def extreme(rng: random.Random, content: bytes) -> Mutated:
    """A field of 1, 2, 4 or 8 bytes, either order, is set to what no program expects."""
    size, order = rng.choice([1, 2, 2, 4, 4, 4, 8]), rng.choice(["little", "big"])
    at, value = place(rng, content), rng.choice(EXTREMES) % 256**size
    field = value.to_bytes(size, order)  # type: ignore[arg-type]
    if size in (4, 8) and rng.random() < 0.3:
        value = rng.choice(FLOATS)
        field = struct.pack(("<" if order == "little" else ">") + ("f" if size == 4 else "d"), value)
    return content[:at] + field + content[at + size :], f"{size} bytes at {at} set to {value} ({order})"


def repeat(rng: random.Random, content: bytes) -> Mutated:
    at, size, times = place(rng, content), rng.choice([1, 16, 512, 4096]), rng.choice([2, 3, 300])
    chunk = content[at : at + size]
    return content[:at] + chunk * times + content[at + size :], f"{len(chunk)} bytes at {at} written {times} times"


def splice(rng: random.Random, content: bytes) -> Mutated:
    """A chunk lands somewhere else, is lost, or is overwritten."""
    at, to, size = place(rng, content), place(rng, content), rng.choice([2, 16, 256, 2048])
    chunk = rng.choice([content[at : at + size], b"", bytes(size), b"\xff" * size, rng.randbytes(size)])
    return content[:to] + chunk + content[to + size :], f"{size} bytes at {to} replaced by {len(chunk)} others"


def append(rng: random.Random, content: bytes) -> Mutated:
    more = rng.choice([content, content[rng.randrange(len(content)) :], rng.randbytes(300)])
    return content + more, f"{len(more)} bytes appended"


def chunked(rng: random.Random, content: bytes) -> Mutated:
    """A PNG field is extreme and its checksum right, so that it gets past the checksum."""
    at, chunks = 8, []
    while at + 8 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((at, size))
        at += size + 12
    at, size = rng.choice(chunks[:1] * 3 + chunks)
    body = bytearray(content[at + 4 : at + 8 + size])
    if size == 0:
        return flip(rng, content)
    where, value = 4 + rng.randrange(size), rng.choice([0, 1, 3, 0x7F, 0x80, 0xFF])
    body[where] = value
    checked = bytes(body) + struct.pack(">I", zlib.crc32(body))
    said = f"byte {where - 4} of PNG chunk {bytes(body[:4])!r} set to {value}, checksum right"
    return content[: at + 4] + checked + content[at + 12 + size :], said


NIFTI_FIELDS = {  # offset and form
    **{f"dim[{n}]": (40 + 2 * n, "h") for n in range(8)},
    **{f"pixdim[{n}]": (76 + 4 * n, "f") for n in range(8)},
    **{"datatype": (70, "h"), "bitpix": (72, "h"), "vox_offset": (108, "f"), "slope": (112, "f"), "inter": (116, "f")},
    **{"xyzt_units": (123, "B"), "qform_code": (252, "h"), "sform_code": (254, "h"), "sizeof_hdr": (0, "i")},
    **{f"quatern[{n}]": (256 + 4 * n, "f") for n in range(6)},
    **{f"srow[{n}]": (280 + 4 * n, "f") for n in range(12)},
}


def nifti_field(rng: random.Random, content: bytes) -> Mutated:
    """One to three header fields are extreme, and the compression is intact."""
    packed = content[:2] == b"\x1f\x8b"
    changed, said = bytearray(gzip.decompress(content) if packed else content), []
    for name in rng.sample(sorted(NIFTI_FIELDS), rng.choice([1, 1, 2, 3])):
        offset, form = NIFTI_FIELDS[name]
        whole = rng.choice([-32768, -1, 0, 1, 2, 255, 4096, 32767]) % (256 if form == "B" else 1 << 16)
        value = rng.choice(FLOATS) if form == "f" else whole - (1 << 16 if form != "B" and whole > 32767 else 0)
        struct.pack_into(f"<{form}", changed, offset, value)
        said.append(f"{name} = {value}")
    return gzip.compress(bytes(changed), mtime=0) if packed else bytes(changed), ", ".join(said)


def dicom_element(rng: random.Random, content: bytes) -> Mutated:
    """One to three elements, at any depth, are missing, empty, extreme, of another kind, or repeated."""
    try:
        read = pydicom.dcmread(io.BytesIO(content))
    except Exception:  # of a file that is damaged already
        return flip(rng, content)
    elements = [(d, e.tag) for d in nested(read) for e in d]
    said = []
    for owner, tag in rng.sample(elements, rng.choice([1, 1, 2, 3])):
        if tag not in owner:
            continue
        name, vr = owner[tag].keyword or str(tag), owner[tag].VR
        how = rng.choice(["removed", "empty", "extreme", "extreme", "extreme", "text", "many"])
        values: list[object] = ["0", "-1", "1e308", "NaN", "99999999999", "", "\\\\\\", "x" * 3000]
        if vr in ("US", "SS", "UL", "SL"):
            values = [0, 1, 2, 7, 8, 32, 255, 4096, 65535 if vr[0] == "U" else -32768]
        elif vr in ("FL", "FD"):
            values = list(FLOATS)
        elif vr == "SQ":
            values = [[], [pydicom.Dataset()], [pydicom.Dataset()] * 50]
        elif vr in ("OB", "OW", "OB or OW"):
            values = [b"", b"\0\0", bytes(50_000), owner[tag].value[:-2] if owner[tag].value else b""]
        if how == "removed":
            del owner[tag]
        elif how == "empty":
            owner[tag] = loose(tag, vr, [] if vr == "SQ" else None)
        elif how == "text" and vr not in ("SQ", "OB", "OW", "US", "SS", "UL", "SL", "FL", "FD"):
            owner[tag] = loose(tag, vr, rng.choice(["abc", "1\\abc", "\x00\x1b$B", "é" * 20]))
        else:
            owner[tag] = loose(tag, vr, rng.choice(values))
        said.append(f"{name} {how}")
    memory = io.BytesIO()
    try:
        pydicom.dcmwrite(memory, read, enforce_file_format=False)
    except Exception:  # what pydicom cannot write nobody sends: damage the bytes instead
        return flip(rng, content)
    return memory.getvalue(), ", ".join(said)


def loose(tag: BaseTag, vr: str, value: object) -> DataElement | RawDataElement:
    """An element whose value nobody checks."""
    if isinstance(value, str):
        return unchecked(tag, vr, value)
    return DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)


def nested(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            found += [inner for item in element.value for inner in nested(item)]
    return found


ANY: tuple[Callable[[random.Random, bytes], Mutated], ...] = (flip, truncate, extreme, extreme, repeat, splice, append)


def mutate(rng: random.Random, name: str, content: bytes) -> Mutated:
    """Damage a file in a way that suits what it is."""
    own = {".png": chunked, ".nii": nifti_field, ".gz": nifti_field, ".dcm": dicom_element}.get(name[name.rindex(".") :])
    how = own if own is not None and rng.random() < 0.5 else rng.choice(ANY)
    changed, said = how(rng, content)
    if rng.random() < 0.15:
        changed, more = rng.choice(ANY)(rng, changed or b"\0")
        said = f"{said}, then {more}"
    return changed, said

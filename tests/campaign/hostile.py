"""Row 6: archives, pictures and names made to harm."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from tests.campaign.formats import Files, archive, head, letters, nifti, picture
from tests.campaign.malformed import GOOD, Checker
from tests.campaign.processes import run
from tests.campaign.server import MOST_BYTES, ROOT, SECONDS, Server, environment, segment
from tests.campaign.tally import Campaign

RIGHT = (
    f"a result or one sentence within {SECONDS:.0f} s and {MOST_BYTES / 1e9:.0f} GB of the whole server; no traceback, "
    "nothing written outside of its folder; where the good slice may be served beside it, it has its known mask"
)
NAMES = (
    "a\nb.png", "a\r\n=1+1.png", "\t.png", "\x1b[31mred.png", "=cmd|' /C calc'!A0.png", "-rf.png", "@SUM(1).png",
    "+1.png", "\u202egnp.scan.png", "\u200b.png", "CON.png", "nul.png", "aux", "..", "...png", "..png", ".png", " .png",
    "a .png ", "\U0001f9e0.png", "e\u0301.png", "名前.png", "x" * 240 + ".png", "é" * 200 + ".png", "x" * 5000 + ".png",
    "a\x00b.png", "../../up.png", "..\\..\\up.png", "C:\\up.png", "/etc/up.png", "a/b/c.png", "%2e%2e%2fup.png",
    "a%00b.png", "<b>x</b>.png", "$(touch up).png", "`touch up`.png", "'\";--.png", "a:b|c?d*e.png", "report.json",
    "report.csv", "good_mask.png", "GOOD.PNG",
)  # fmt: skip


def lied(content: bytes, size: int) -> bytes:
    """The same archive, whose list of files says that each holds so many bytes."""
    changed, at = bytearray(content), 0
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = changed.find(signature)
        while at >= 0:
            struct.pack_into("<I", changed, at + offset, size)
            at = changed.find(signature, at + 4)
    return bytes(changed)


def linked(target: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as made:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, target)
    return memory.getvalue()


def overlapping(times: int) -> bytes:
    """Many entries of one archive that share the same compressed bytes."""
    whole = archive([("a.png", bytes(20_000_000))])
    start = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")
    entry = whole[start:end]
    many = [entry.replace(b"a.png", f"{n:05}"[:5].encode()) for n in range(times)]
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, times, times, sum(map(len, many)), start, 0)
    return whole[:start] + b"".join(many) + tail


def encrypted() -> bytes:
    changed = bytearray(archive([GOOD], zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[changed.index(signature) + offset] |= 1
    return bytes(changed)


def nested(content: bytes, depth: int, width: int) -> bytes:
    for level in range(depth):
        content = archive([(f"{level}-{n}.zip", content) for n in range(width)])
    return content


def scans(times: int) -> bytes:
    """A valid progressive JPEG that repeats the scans of its fine detail, each of which a decoder goes through in full."""
    noise = np.random.default_rng(0).integers(0, 255, (2048, 2048), dtype=np.uint8)
    whole = picture(noise // 8 + 100, "JPEG", progressive=True, quality=30)
    starts = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    last = b"\xff\xda\0\x08\1\1\0\1\x3f\x00" + b"\0" * 24  # one component, coefficients 1 to 63
    refine = b"\xff\xc4\0\x14\x10" + b"\x01" + b"\0" * 15 + b"\xe0"  # a table whose one symbol is the longest run of blocks
    return whole[: starts[-1]] + refine + last * times + b"\xff\xd9"


def empty_png(side: int, said: int) -> bytes:
    """A picture of one grey, small on the disk and large in memory; said: the side that the header gives."""
    rows = zlib.compress((b"\0" + b"\x60" * side) * side, 9)
    parts = [(b"IHDR", struct.pack(">2I5B", said, said, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(b)) + kind + b + struct.pack(">I", zlib.crc32(kind + b)) for kind, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def quine_like() -> bytes:
    """An archive that holds itself, as far as can be without a fixed point: its own bytes as its only member, cut."""
    inner = archive([("r.zip", b"")], zipfile.ZIP_STORED)
    return archive([("r.zip", inner + inner)], zipfile.ZIP_STORED)


def hostile_files(short: bool) -> Iterator[tuple[str, Files]]:
    """What it is, and the files of one upload."""
    tiny = picture(head(1, 1).flair[0][::4, ::4], "PNG")
    zeros, much = bytes(1_000_000), 40 if short else 400
    yield "bzip2 bomb with a lying size", [("bomb.zip", lied(archive([("a.png", zeros * much)], zipfile.ZIP_BZIP2), 1000))]
    yield "deflate bomb with a lying size", [("bomb.zip", lied(archive([("a.nii", zeros * much)]), 1000))]
    yield "path traversal", [("up.zip", archive([("../../../up.png", GOOD[1]), ("/tmp/campaign-up.png", GOOD[1])]))]
    yield "link to a file", [("link.zip", linked("/etc/hostname"))]
    yield "encrypted", [("closed.zip", encrypted())]
    yield "entries that overlap", [("overlap.zip", overlapping(50 if short else 2000))]
    yield "zips in a zip", [("nested.zip", nested(archive([GOOD]), 4, 6))]
    yield "a zip that holds zips of its kind", [("r.zip", quine_like())]
    yield "progressive JPEG of many scans", [("scans.jpg", scans(1000 if short else 20_000))]
    yield "names in a zip", [("names.zip", archive([(n.replace("\0", "") or "x", GOOD[1]) for n in NAMES]))]
    if not short:
        yield "one name many times", [("same.zip", archive([("a/a.png", GOOD[1])] * 100))]
        yield "lzma bomb", [("bomb.zip", lied(archive([("a.png", zeros * much)], zipfile.ZIP_LZMA), 1000))]
        yield "3,000 tiny pictures", [("tiny.zip", archive([(f"{n}/{n}.png", tiny) for n in range(3000)]))]
        yield "5,001 empty files", [("empty.zip", archive([(f"{n}.png", b"") for n in range(5001)]))]
        large = empty_png(4096, 4096)
        yield "30 PNGs of 4096 x 4096", [(f"{letters(n)}.png", large) for n in range(30)]
        pictures = archive([(f"{n}/p.png", picture(head(n, 1).flair[0], "PNG")) for n in range(300)])
        yield "300 pictures of 64 x 64", [("many.zip", pictures)]
        yield "PNG of 60,000 x 60,000", [("large.png", empty_png(100, 60_000))]
        yield "NIfTI packed to a thousandth", [("bomb.nii.gz", packed_volume())]


def packed_volume() -> bytes:
    plain = bytearray(nifti(np.zeros((3, 64, 64), np.uint8), packed=False))
    struct.pack_into("<8h", plain, 40, 3, 2000, 2000, 200, 1, 1, 1, 1)
    return gzip.compress(bytes(plain) + bytes(800_000_000), 1)


def hostile(campaign: Campaign, server: Server) -> None:
    """Archives and pictures in one line, names in another."""
    campaign.row("hostile archives and pictures", RIGHT)
    checker = Checker(server)
    for what, files in hostile_files(campaign.short):
        answer, why = checker.ask(files)
        if answer.report is None and len(answer.error.split()) > 3 and why.startswith("the good slice got no result"):
            why = "" if "Timeout" not in answer.error else why  # a whole request may be refused, with a sentence
        planted = [p for p in (server.temporary.parent / "up.png", ROOT / "up.png") if p.exists()]
        campaign.judge(f"{what} ({answer.seconds:.0f} s)", why or (f"written outside: {planted}" if planted else ""))
    campaign.row("hostile names", f"{RIGHT}; report.csv keeps a row a slice, and no cell begins as a formula")
    for name in NAMES[::6] if campaign.short else NAMES:
        answer = segment(server.address, [(name, GOOD[1])])
        why = "" if answer.report or len(answer.error.split()) > 2 else f"no sentence: {answer.error!r}"
        log = server.new_log()
        why = f"traceback: {log.strip().splitlines()[-1][:200]}" if "Traceback" in log else why
        if answer.report and any("/" in str(i["mask"]) or "\\" in str(i["mask"]) for i in answer.report["images"]):
            why = f"a path for a mask: {answer.report['images'][0]['mask']!r}"
        campaign.judge(repr(name)[:80], why)
    campaign.judge("all in one folder, by predict", of_predict(campaign))


def of_predict(campaign: Campaign) -> str:
    """The names that a disk takes, in one call of predict; why it falls short."""
    work = campaign.work / "names"
    (work / "in").mkdir(parents=True)
    for n, name in enumerate(NAMES):
        if "/" not in name and "\0" not in name and name != ".." and len(name.encode()) <= 255:
            (work / "in" / f"d{n}").mkdir()
            (work / "in" / f"d{n}" / name).write_bytes(picture(head(n, 1).flair[0], "PNG"))
    out = work / "out"
    arguments = ["-m", "lgg_demo.predict", str(work / "in"), "--out", str(out)]
    ran = run(arguments, 20 * SECONDS, environment(work / "tmp"), ROOT)
    if ran.code not in (0, 2) or "Traceback" in ran.err:
        return f"exit {ran.code} after {ran.seconds:.0f} s: {ran.err.strip()[-300:]}"
    if not (out / "report.csv").is_file():
        return f"no report: {ran.err.strip()[-300:]}"
    with (out / "report.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.reader(table))
    if len({len(row) for row in rows}) > 1:
        return f"report.csv has rows of {sorted({len(row) for row in rows})} cells"
    formulas = [cell for row in rows for cell in row if cell[:1] in "=+-@\t\r" and cell and not number(cell)]
    if formulas:
        return f"report.csv has a cell that begins as a formula: {formulas[0][:40]!r}"
    outside = [p for p in work.iterdir() if p.name not in ("in", "out", "tmp")]
    return f"written outside: {outside}" if outside else ""


def number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

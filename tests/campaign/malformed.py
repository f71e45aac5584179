"""Row 1: mutants of every format, and the test images that pydicom and nibabel carry."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image

from tests.campaign.formats import Files, archive, classic, formats, head, letters, picture
from tests.campaign.mutations import mutate
from tests.campaign.processes import Peak, Ran, run
from tests.campaign.server import MOST_BYTES, ROOT, SECONDS, Answer, Server, environment, fetch, segment
from tests.campaign.tally import Campaign

RIGHT = (
    f"within {SECONDS:.0f} s and {MOST_BYTES / 1e9:.0f} GB of the whole server: a result, or one sentence that names the "
    "file (or says DICOM, whose names are not kept); no traceback; the good slice beside it has its known mask"
)
RIGHT_PREDICT = (
    f"within {MOST_BYTES / 1e9:.0f} GB: exit code 0 or 2, no traceback; each file has a result or is named in a sentence "
    "(DICOM and zips apart, which go by other names); the good slice among them has its known mask"
)
GOOD = ("good.png", picture(head(5, 1).flair[0], "PNG"))
TOGETHER = 6  # mutants in one request, where each can be told by its name


@dataclass(frozen=True)
class Mutant:
    """files: with the damaged one among them. how: what was done to it."""

    what: str
    files: Files
    how: str


def mutant(campaign: Campaign, format_: str, make: Callable[[object], Files], number: int) -> Mutant:
    rng = campaign.random(format_, number)
    files = make(f"{format_} {number}")
    which = rng.randrange(len(files))
    name, content = files[which]
    changed, how = mutate(rng, name, content)
    files[which] = (name, changed)
    return Mutant(f"{format_} {number}", files, f"{name}: {how}")


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


class Checker:
    """Asks a server, which is started again where it died, and judges the answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.server.new_log()
        known = segment(server.address, [GOOD])
        self.known = pixels(fetch(server.address, known.files[0]))
        assert self.known.any(), "the good slice has something to outline"

    def ask(self, files: Files) -> tuple[Answer, str]:
        """The answer, and what is wrong with the server or with the good file: empty where nothing is."""
        with Peak(self.server.pid) as peak:
            answer = segment(self.server.address, [GOOD, *files])
        log = self.server.new_log()
        if not self.server.alive():
            self.server.start()
            return answer, "the server died"
        if "Traceback" in log or "Traceback" in answer.text:
            return answer, f"traceback: {(log.strip() or answer.text).splitlines()[-1][:300]}"
        if peak.bytes > MOST_BYTES:
            return answer, f"{peak.bytes / 1e9:.1f} GB"
        if answer.report is None:
            return answer, f"the good slice got no result: {answer.error[:300] or 'nothing'} ({answer.seconds:.0f} s)"
        masks = [f for f in answer.files if f["orig_name"] == "good_mask.png"]
        if not masks or not np.array_equal(pixels(fetch(self.server.address, masks[0])), self.known):
            return answer, "the good slice has another mask"
        return answer, ""


def said_of(answer: Answer, files: Files) -> str:
    """Why the answer is none for these files: empty where it names them, or has a result for them."""
    report = answer.report or {}
    sentences = [u["message"] for u in report["unreadable"]] + report["warnings"]
    names = [str(i["file"]) for i in report["images"] if i["file"] != GOOD[0]]
    slices = sum(i["slices"] for i in report["images"] if i["file"] != GOOD[0])
    if any("Traceback" in s or "\n" in s.strip() for s in sentences):
        return "a sentence is no sentence"
    dicom = files[0][0].endswith(".dcm")
    stem = files[0][0].partition(".")[0]
    if not dicom and not any(stem in text for text in (*sentences, *names)) and not files[0][0].endswith(".zip"):
        return "neither a result nor a sentence"
    if not (sentences or names):
        return "neither a result nor a sentence"
    if dicom and slices < len(files) and not sentences:
        return f"{slices} of {len(files)} slices, and nothing is said"
    return ""


def mutants(campaign: Campaign, server: Server) -> None:
    """A line for each family of formats."""
    checker = Checker(server)
    for family, members in groupby(formats().items(), lambda item: item[0].split()[0]):
        campaign.row(f"malformed {family}", RIGHT)
        for name, make in members:
            many = campaign.size(3, 30 if family == "DICOM" else 60)
            try_all(campaign, checker, [mutant(campaign, name, make, n) for n in range(many)])
    campaign.row("malformed DICOM SEG as reference", RIGHT)
    series = classic("reference")
    made = segment(server.address, [("series.zip", archive(series))])
    (seg,) = [fetch(server.address, f) for f in made.files if f["orig_name"].endswith("_seg.dcm")]
    for n in range(campaign.size(3, 60)):
        rng = campaign.random("reference", n)
        changed, how = mutate(rng, "seg.dcm", seg)
        files = [*series, ("seg.dcm", changed)]
        answer, why = checker.ask(files)
        why = why or said_of(answer, series)
        campaign.judge(f"reference {n}: {how}", why, saved(campaign, files) if why else [])


def try_all(campaign: Campaign, checker: Checker, made: Sequence[Mutant]) -> None:
    """Several together, where each can be told by its name; one by one where something is wrong with them, and DICOM."""
    alone = made[0].files[0][0].endswith((".dcm", ".zip"))
    for first in range(0, len(made), 1 if alone else TOGETHER):
        group = made[first : first + (1 if alone else TOGETHER)]
        answer, why = checker.ask([file for m in group for file in m.files])
        reasons = ["" if why else said_of(answer, m.files) for m in group]
        for m, reason in zip(group, reasons, strict=True):
            if why or reason:
                answer, reason = checker.ask(m.files)
                reason = reason or said_of(answer, m.files)
            campaign.judge(f"{m.what}: {m.how}", reason, saved(campaign, m.files) if reason else [])


def saved(campaign: Campaign, files: Files) -> list[Path]:
    """Files on the disk, for a failure to be kept."""
    folder = campaign.work / "failed"
    folder.mkdir(exist_ok=True)
    for name, content in files:
        (folder / name).write_bytes(content)
    return [folder / name for name, _ in files]


def carried(campaign: Campaign, server: Server) -> None:
    """The images in the wheels of pydicom and nibabel, each in a request of its own."""
    checker = Checker(server)
    for package in (pydicom, nib):
        name = str(package.__name__)
        campaign.row(f"test images of {name} {package.__version__}", RIGHT)
        folder = Path(str(package.__file__)).parent
        ours = folder / "data" if package is pydicom else folder / "tests" / "data"
        found = sorted(p for p in ours.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc"))
        for path in campaign.random(name).sample(found, min(campaign.size(8, 1000), len(found))):
            content = path.read_bytes()
            upload = path.name if path.suffix or package is nib else f"{path.name}.dcm"
            answer, why = checker.ask([(upload, content)])
            report = answer.report or {"images": [], "unreadable": []}
            silent = len(report["images"]) < 2 and not report["unreadable"]
            why = why or ("neither a result nor a sentence" if silent and said_of(answer, [(upload, content)]) else "")
            campaign.judge(path.relative_to(folder).as_posix(), why, [path] if why else [])


def on_the_command_line(campaign: Campaign) -> None:
    """All formats' mutants at once, a folder for each, through `python -m lgg_demo.predict`."""
    good = campaign.work / "good" / GOOD[0]
    good.parent.mkdir()
    good.write_bytes(GOOD[1])
    alone = campaign.work / "alone"
    done = run(
        ["-m", "lgg_demo.predict", str(good), "--out", str(alone)], 5 * SECONDS, environment(campaign.work / "tmp"), ROOT
    )
    assert done.code == 0, done.err
    campaign.row("malformed, all at once by predict", RIGHT_PREDICT)
    each = campaign.size(1, 12)
    for round_ in range(campaign.size(1, 6)):
        work, made = campaign.work / f"predict{round_}", list[Mutant]()
        for name, make in formats().items():
            made += [mutant(campaign, name, make, 1000 + round_ * each + n) for n in range(each)]
        for m in made:
            place = work / "in" / letters(m.what)
            place.mkdir(parents=True, exist_ok=True)
            for file, content in m.files:
                (place / file).write_bytes(content)
        command = [
            "-m",
            "lgg_demo.predict",
            *map(str, sorted((work / "in").iterdir())),
            str(good),
            "--out",
            str(work / "out"),
        ]
        ran = run(command, 20 * SECONDS, environment(work / "tmp"), ROOT)
        why = wrong_with(ran, work / "out", pixels((alone / "good_mask.png").read_bytes()))
        named = ran.err if why else ran.err + (work / "out" / "report.json").read_text(encoding="utf-8")
        what = f"round {round_} of {len(made)} mutants ({ran.seconds:.0f} s)"
        campaign.judge(what, why, saved(campaign, [("said.txt", ran.err.encode())]) if why else [])
        for m in [] if why else made:
            told = m.files[0][0].endswith((".dcm", ".zip")) or m.files[0][0].partition(".")[0] in named
            why = "" if told else "neither a result nor a sentence"
            campaign.judge(f"{m.what}: {m.how}", why, saved(campaign, m.files) if why else [])


def wrong_with(ran: Ran, out: Path, known: np.ndarray) -> str:
    """Why a call of predict is not right; empty where it is."""
    if ran.code not in (0, 2) or "Traceback" in ran.err:
        return f"exit {ran.code}: {ran.err.strip().splitlines()[-1][:300] if ran.err.strip() else ''}"
    if ran.peak > MOST_BYTES:
        return f"{ran.peak / 1e9:.1f} GB"
    mask = out / "good_mask.png"
    if not mask.is_file():
        return "the good slice got no mask"
    return "" if np.array_equal(pixels(mask.read_bytes()), known) else "the good slice has another mask"

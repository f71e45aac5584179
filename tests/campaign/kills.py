"""Row 4: a small training that is killed again and again, and resumed each time."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile

from lgg_demo.train.runs import finished
from tests.campaign.processes import end
from tests.campaign.server import ROOT, environment
from tests.campaign.tally import Campaign
from tests.drawn_heads import draw_head
from tests.folders import files_below

SETTINGS = [
    "--slices-per-epoch", "8", "--batch-size", "4", "--crop", "64", "--views", "64", "--encoder-weights", "none",
    "--device", "cpu", "--validation-fraction", "0.34",
]  # fmt: skip
RIGHT = (
    "killed at random moments and given again each time, the same command ends with the weights of a run that nobody "
    "disturbed, to the byte, and the same metrics.csv but for the seconds"
)
TIMING = ("seconds",)  # columns of metrics.csv that no run repeats
LONGEST = 900.0  # seconds for one run


def write_dataset(folder: Path, patients: int = 4, slices: int = 3) -> None:
    """Drawn heads as kaggle_3m has them."""
    for n in range(patients):
        name = f"TCGA_CC_{n:04}_20000101"
        (folder / name).mkdir(parents=True)
        drawn = draw_head(slices, 256, ("frontal", "parietal")[n % 2], n)
        for s, (image, mask) in enumerate(zip(drawn.flair, drawn.mask, strict=True), 1):
            tifffile.imwrite(folder / name / f"{name}_{s}.tif", np.stack([image] * 3, axis=-1), photometric="rgb")
            tifffile.imwrite(folder / name / f"{name}_{s}_mask.tif", mask.astype(np.uint8) * 255)


class Training:
    """One run: the same command, however often."""

    def __init__(self, campaign: Campaign, name: str, epochs: int) -> None:
        self.out, self.log = campaign.work / name, campaign.work / f"{name}.log"
        data = campaign.work / "data"
        self.command = [
            *(sys.executable, "-m", "lgg_demo.train", "--data", str(data), "--out", str(self.out)),
            *("--epochs", str(epochs), *SETTINGS),
        ]
        self.environment = environment(campaign.work / "training") | {"OMP_NUM_THREADS": "1"}  # on a shared machine

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log, env=self.environment)

    def finish(self) -> str:
        """Run to the end, unless the last kill came after it; why it does not get there."""
        if finished(self.out):
            return ""
        process = self.start()
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            end(process.pid)
            return f"not done after {LONGEST:.0f} s"
        said = self.log.read_text(errors="replace")
        if code or "Traceback" in said:
            return f"exit {code}: {said.strip().splitlines()[-1][:300] if said.strip() else ''}"
        return ""

    def changed(self, pattern: str) -> int:
        """The latest change of its files of such names, nanoseconds since 1970."""
        times = [0]
        for path in files_below(self.out):
            if not path.match(pattern):
                continue
            with suppress(OSError):  # a part that was renamed
                times.append(path.stat().st_mtime_ns)
        return max(times)

    def figures(self) -> list[tuple[str, ...]]:
        """metrics.csv without what no run repeats."""
        with (self.out / "metrics.csv").open(encoding="utf-8", newline="") as table:
            return [tuple(v for k, v in row.items() if k not in TIMING) for row in csv.DictReader(table)]


def kills(campaign: Campaign) -> None:
    """One run is left alone, another is killed; a third where the second is done before enough kills."""
    many = campaign.size(2, 20)
    epochs = campaign.size(3, 12)
    write_dataset(campaign.work / "data")
    whole = Training(campaign, "whole", epochs)
    if why := whole.finish():
        campaign.row("training killed", RIGHT)
        campaign.judge("a run that nobody disturbs", why)
        return
    row = campaign.row(f"training killed {many} times", RIGHT)
    weights = (whole.out / "lgg-unet.safetensors").read_bytes()
    done = number = 0
    while done < many:
        number += 1
        disturbed = Training(campaign, f"disturbed{number}", epochs)
        mine = 0
        while (
            done + mine < many and mine < epochs - 1 and (said := kill_once(campaign, disturbed, done + mine)) is not None
        ):
            mine += 1
            if said:
                campaign.judge(f"kill {done + mine}", said)
        why = disturbed.finish()
        if not why and disturbed.figures() != whole.figures():
            differing = [a[0] for a, b in zip(disturbed.figures(), whole.figures(), strict=False) if a != b]
            why = f"other figures, from epoch {differing[0] if differing else '?'} on"
        if not why and (disturbed.out / "lgg-unet.safetensors").read_bytes() != weights:
            why = "the same figures, other weights"
        for n in range(mine):
            campaign.judge(f"kill {done + n + 1}, run {number}", why, [disturbed.log])
        done += max(mine, 1)
    row.note = f"{number} runs of {epochs} epochs"


def kill_once(campaign: Campaign, training: Training, number: int) -> str | None:
    """Start, wait until something is written, kill at a random moment. Why that failed; None where the run was done."""
    rng = campaign.random("kill", number)
    # Most after an epoch of this start, so that there is something to go on from; some before.
    awaited = rng.choice(["metrics.csv", "*.safetensors*", "*.ckpt*", "*"])
    before, process = training.changed(awaited), training.start()
    until = time.monotonic() + LONGEST
    while process.poll() is None and training.changed(awaited) == before and time.monotonic() < until:
        time.sleep(0.002)
    moment = time.monotonic() + rng.choice([rng.uniform(0, 0.05), rng.uniform(0, 0.5), rng.uniform(0, 4)])
    while process.poll() is None and time.monotonic() < moment:
        time.sleep(0.002)
    if (code := process.poll()) is not None:
        return (
            None if code == 0 else f"exit {code}: {training.log.read_text(errors='replace').strip().splitlines()[-1][:300]}"
        )
    end(process.pid)
    process.wait()
    return ""

"""What a row of the campaign counts, and what every row is given."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Failure:
    """what: enough to repeat it (the seed is in the heading). why: in what it fell short."""

    what: str
    why: str


@dataclass
class Row:
    """A line of the table. right: what counts as right. skipped: why nothing was tried, where nothing was. part: which of
    the command's --rows it is of.
    """

    name: str
    right: str
    tried: int = 0
    failures: list[Failure] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0
    note: str = ""
    part: str = ""

    def line(self) -> str:
        counts = self.skipped or f"{self.tried} / {self.tried - len(self.failures)} / {len(self.failures)}"
        return f"{self.name:44} {counts:>18}  {self.seconds:6.0f} s  {self.note}"


@dataclass
class Campaign:
    """work: a temporary folder. keep: where the files of failures are copied. short: the form that CI runs."""

    seed: int
    short: bool
    work: Path
    keep: Path | None = None
    rows: list[Row] = field(default_factory=list)
    part: str = ""
    _began: float = 0.0

    def row(self, name: str, right: str) -> Row:
        """Begin a line of the table."""
        self.finish()
        self.rows.append(Row(name, right, part=self.part))
        self._began = time.monotonic()
        return self.rows[-1]

    def finish(self) -> None:
        """Print the line that was begun last, if it is not printed yet."""
        if self._began:
            self.rows[-1].seconds = time.monotonic() - self._began
            self._began = 0.0
            print(self.rows[-1].line(), flush=True)

    def random(self, *what: object) -> random.Random:
        """Random numbers that depend on the seed and on what they are for, not on what was drawn before."""
        return random.Random("/".join(map(str, (self.seed, *what))))

    def size(self, short: int, long: int) -> int:
        return short if self.short else long

    def judge(self, what: str, why: str, files: Iterable[Path] = ()) -> bool:
        """Count one try of the row that was begun last; why: in what it fell short, empty where it is right."""
        row = self.rows[-1]
        row.tried += 1
        if why:
            row.failures.append(Failure(what, why))
            print(f"  FAILED {row.name}: {what}: {why}", flush=True)
            if self.keep is not None:
                place = self.keep / f"{row.name}-{len(row.failures)}".replace(" ", "_").replace("/", "_")
                place.mkdir(parents=True, exist_ok=True)
                (place / "why.txt").write_text(f"seed {self.seed}\n{what}\n{why}\n", encoding="utf-8")
                for file in files:
                    shutil.copy(file, place / file.name)
        return not why

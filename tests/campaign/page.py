"""docs/reliability.md: the table of a campaign, and what is needed to make it again."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Collection
from datetime import date
from importlib.metadata import version
from pathlib import Path
from string import Template

from tests.campaign.server import MOST_BYTES, ROOT
from tests.campaign.tally import Campaign, Row

PAGE = ROOT / "docs" / "reliability.md"
PACKAGES = ("gradio", "torch", "pydicom", "nibabel", "pillow", "tifffile", "imagecodecs", "highdicom")
TEMPLATE = Template("""\
# Reliability

<!-- written by: python -m tests.campaign; do not edit -->

What must not break the product was tried on it, through its own doors: `python app.py`, asked over HTTP on this machine,
and `python -m lgg_demo.predict` and `lgg_demo.train` in processes of their own. Everything is drawn or damaged by a seeded
program, so the same command tries the same again:

```bash
python -m tests.campaign --seed $seed$short          # $minutes minutes here; CI runs all rows with --short
```

| Tried | tried | right | failed |
|---|---:|---:|---:|
$table
| **all** | **$tried** | **$right** | **$failed** |

$date, seed $seed, commit $commit; Python $python, $packages; $machine.

## What counts as right

$rights

The memory of the server is that of the process with all its children, pages they share counted once, seen ten times a
second; the limit is $limit GB.
$failures""")


def counts(row: Row) -> str:
    name = f"{row.name} ({row.note})" if row.note else row.name
    if row.skipped:
        return f"| {name}: {row.skipped} | | | |"
    return f"| {name} | {row.tried:,} | {row.tried - len(row.failures):,} | {len(row.failures):,} |"


def commit() -> str:
    """Of the checkout, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    short = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout
    return f"{short or 'unknown'}{' with changes' if changed.strip() else ''}"


def page(campaign: Campaign, seconds: float, short: Collection[str]) -> str:
    """The page's text. short: rows of which only a few were tried."""
    rights: dict[str, list[str]] = {}
    for row in campaign.rows:
        rights.setdefault(row.right, []).append(row.name)
    failures = [(row.name, f) for row in campaign.rows for f in row.failures]
    listed = "".join(f"- {name}: {f.what}: {f.why}\n" for name, f in failures)
    tried = sum(row.tried for row in campaign.rows)
    return TEMPLATE.substitute(
        seed=campaign.seed,
        short=f" --short {' '.join(short)}" if short else "",
        minutes=round(seconds / 60),
        table="\n".join(map(counts, campaign.rows)),
        tried=f"{tried:,}",
        right=f"{tried - len(failures):,}",
        failed=f"{len(failures):,}",
        date=f"{date.today().day} {date.today():%B %Y}",
        commit=commit(),
        python=platform.python_version(),
        packages=", ".join(f"{name} {version(name)}" for name in PACKAGES),
        machine=f"{platform.system()}, {os.cpu_count()} cores",
        rights="\n".join(f"- **{'; '.join(names)}**: {right}." for right, names in rights.items()),
        limit=f"{MOST_BYTES / 1e9:.0f}",
        failures=f"\n## What failed\n\n{listed}" if failures else "",
    )


def write(campaign: Campaign, seconds: float, path: Path, short: Collection[str]) -> None:
    path.write_text(page(campaign, seconds, short), encoding="utf-8")

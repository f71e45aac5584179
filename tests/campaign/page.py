"""docs/reliability.md: the table of a campaign, and what is needed to make it again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from tests.campaign.server import MOST_BYTES, ROOT
from tests.campaign.tally import Campaign

PAGE = ROOT / "docs" / "reliability.md"
PACKAGES = ("gradio", "torch", "pydicom", "nibabel", "pillow", "tifffile", "imagecodecs", "highdicom")
TEMPLATE = Template("""\
# Reliability

<!-- written by: python -m tests.campaign; do not edit -->

What must not break the product was tried on it, through its own doors: `python app.py`, asked over HTTP on this machine,
and `python -m lgg_demo.predict` and `lgg_demo.train` in processes of their own. Everything is drawn or damaged by a seeded
program, so the same command tries the same again (about $minutes minutes here; CI runs a short form):

```bash
python -m tests.campaign --seed $seed
python -m tests.campaign --seed $seed --rows clients names  # a part of it again
```

| Tried | tried | right | failed | at commit |
|---|---:|---:|---:|---|
$table
| **all** | **$tried** | **$right** | **$failed** | |

$date; Python $python, $packages; $machine.

## What counts as right

$rights

The memory of the server is that of the process with all its children, pages they share counted once, seen ten times a
second; the limit is $limit GB.
$failures""")


def line(row: dict[str, Any]) -> str:
    name = f"{row['name']} ({row['note']})" if row["note"] else row["name"]
    if row["skipped"]:
        return f"| {name}: {row['skipped']} | | | | {row['commit']} |"
    failed = len(row["failures"])
    return f"| {name} | {row['tried']:,} | {row['tried'] - failed:,} | {failed:,} | {row['commit']} |"


def commit() -> str:
    """Of the checkout, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    short = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout
    return f"{short or 'unknown'}{' with changes' if changed.strip() else ''}"


def page(rows: Sequence[dict[str, Any]], seed: int) -> str:
    """The page's text, from the rows of reliability.json."""
    rights: dict[str, list[str]] = {}
    for row in rows:
        rights.setdefault(row["right"], []).append(row["name"])
    failures = [(row["name"], failure) for row in rows for failure in row["failures"]]
    listed = "".join(f"- {name}: {f['what']}: {f['why']}\n" for name, f in failures)
    tried = sum(row["tried"] for row in rows)
    return TEMPLATE.substitute(
        seed=seed,
        minutes=round(sum(row["seconds"] for row in rows) / 60),
        table="\n".join(map(line, rows)),
        tried=f"{tried:,}",
        right=f"{tried - len(failures):,}",
        failed=f"{len(failures):,}",
        date=f"{date.today().day} {date.today():%B %Y}",
        python=platform.python_version(),
        packages=", ".join(f"{name} {version(name)}" for name in PACKAGES),
        machine=f"{platform.system()}, {os.cpu_count()} cores",
        rights="\n".join(f"- **{'; '.join(names)}**: {right}." for right, names in rights.items()),
        limit=f"{MOST_BYTES / 1e9:.0f}",
        failures=f"\n## What failed\n\n{listed}" if failures else "",
    )


def write(campaign: Campaign, parts: Sequence[str], path: Path) -> None:
    """Put what a campaign has tried in its place among the rows that are known, and write the page from all of them.

    parts: the order of the table. Rows of another seed are forgotten.
    """
    known = path.with_suffix(".json")
    stored = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {"seed": campaign.seed, "rows": []}
    again = {row.part for row in campaign.rows}
    rows = [r for r in stored["rows"] if r["part"] not in again] if stored["seed"] == campaign.seed else []
    rows += [asdict(row) | {"commit": commit(), "seconds": round(row.seconds)} for row in campaign.rows]
    rows.sort(key=lambda r: parts.index(r["part"]))
    text = json.dumps({"seed": campaign.seed, "rows": rows}, indent=1, ensure_ascii=False)
    known.write_text(text + "\n", encoding="utf-8")
    path.write_text(page(rows, campaign.seed), encoding="utf-8")

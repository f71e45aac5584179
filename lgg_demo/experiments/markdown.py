"""Markdown pages from the Jinja templates in templates/, and the files that they are written into."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lgg_demo.atomic import write_json
from lgg_demo.train.runs import flag

ROOT = Path(__file__).resolve().parents[2]
DOCS, README = ROOT / "docs", ROOT / "README.md"
SCIENCE, VIEWER = DOCS / "science.md", DOCS / "viewer.md"
WIDTH = 122  # of a line of a page


def _fixed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _interval(ends: Iterable[float], digits: int = 3, sign: str = "") -> str:
    return " to ".join(f"{v:{sign}.{digits}f}" for v in ends)


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, subsequent_indent=indent, break_on_hyphens=False)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # Markdown, from our own files
)
_ENVIRONMENT.filters |= {"fixed": _fixed, "signed": _signed, "percent": _percent, "interval": _interval, "wrap": _wrap}
_ENVIRONMENT.globals["flag"] = flag


def render(template: str, **facts: Any) -> str:
    """The text of templates/TEMPLATE.md.j2, without a line break at its end; a fact that is missing is an error."""
    return _ENVIRONMENT.get_template(f"{template}.md.j2").render(facts)


def write_page(out: Path, name: str, facts: dict[str, Any], text: str) -> None:
    """Write NAME.json and NAME.md into `out`, which is made where need be, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{name}.json", facts, indent=1)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def read_facts(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises OSError or ValueError."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def with_figures(text: str, figures: str, begin: str, end: str) -> str:
    """A text with what stands between two marks replaced. Raises ValueError where it does not have them."""
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"The page has no marks {begin} and {end}.")
    return f"{before}{begin}\n{figures}\n{end}{after}"

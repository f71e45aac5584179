"""The viewer's modules without a page: their arithmetic by node, and no word in the template."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lgg_demo.page.blocks import VIEWER, viewer_script


def test_arithmetic_by_node() -> None:
    """Counts, corrections, geometry, surface and words, each module alone."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    files = sorted(str(p) for p in Path(__file__).parent.glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True)
    assert len(files) > 4 and done.returncode == 0, done.stdout


def test_the_modules_are_one_script(tmp_path: Path) -> None:
    """A name that two of them declare, each for itself, would be an error of the whole."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "viewer.cjs"
    script.write_text(f"async () => {{\n{viewer_script()}\n}};", encoding="utf-8")
    done = subprocess.run([node, "--check", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_template_has_no_words() -> None:
    text = (VIEWER / "viewer.html").read_text(encoding="utf-8")
    assert not re.search(r">[^<]*[A-Za-z][^<]*<", text)
    assert not re.search(r"\b(aria-label|title|alt|placeholder)=", text)

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


def test_all_modules_are_one_script(tmp_path: Path) -> None:
    """No two of them have a name in common: the second would be a syntax error, or take the place of the first."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = viewer_script()
    (tmp_path / "viewer.js").write_text(script, encoding="utf-8")
    done = subprocess.run([node, "--check", str(tmp_path / "viewer.js")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    functions = re.findall(r"^(?:async )?function\*? (\w+)", script, re.MULTILINE)
    assert sorted(functions) == sorted(set(functions))


def test_the_template_has_no_words() -> None:
    text = (VIEWER / "viewer.html").read_text(encoding="utf-8")
    assert not re.search(r">[^<]*[A-Za-z][^<]*<", text.replace(">LGG Demo<", "><"))  # its name
    assert not re.search(r"\b(aria-label|title|alt|placeholder)=", text)

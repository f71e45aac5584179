"""A pytest plugin: fail when a test is skipped for a reason that nobody expects.

    PYTEST_ADDOPTS="-rs -p tests.expected_skips --expected-skips=.ci/expected-skips" python -m pytest

The file has a regular expression a line; an empty line or one that begins with # says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--expected-skips", type=Path, required=True, metavar="FILE", help="reasons to skip that do not fail")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of xdist: the one that collects what they say judges
        return
    listed: Path = session.config.getoption("--expected-skips")
    expected = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])}
    unexpected = sorted(r for r in reasons if not any(re.search(pattern, r) for pattern in expected))
    reporter.ensure_newline()
    for reason in unexpected:
        reporter.write_line(f"not an expected reason to skip a test ({listed}): {reason}", red=True)
    if unexpected:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

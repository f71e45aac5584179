"""How large the project is: `python -m tests.size`, from the project's root; exit code 1 where a limit is exceeded.

Lines are all lines of Python files. What is served is lgg_demo without its experiments.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE, LONGEST_FUNCTION, MOST_COMPLEX = 450, 60, 15


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length of every function of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        (f"{path.relative_to(ROOT)}: {n.name}", (n.end_lineno or n.lineno) - n.lineno + 1)
        for n in nodes
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def import_seconds() -> float:
    """The best of three imports of the reading half, each in a process of its own; it must not load torch."""
    code = (
        "import time; t = time.perf_counter(); import lgg_demo.reading.studies, lgg_demo.reading.guard; "
        "t = time.perf_counter() - t; import sys; assert 'torch' not in sys.modules; print(t)"
    )
    run = [sys.executable, "-c", code]
    return min(float(subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout) for _ in range(3))


def main() -> int:
    package = sorted((ROOT / "lgg_demo").rglob("*.py"))
    experiments = [p for p in package if "experiments" in p.parts]
    tests = sorted((ROOT / "tests").rglob("*.py"))
    groups = {
        "served package": [p for p in package if p not in experiments],
        "experiments": experiments,
        "tests": [p for p in tests if "campaign" not in p.parts],
        "campaign": [p for p in tests if "campaign" in p.parts],
    }
    for name, files in groups.items():
        print(f"{name:<24}{sum(map(lines, files)):>7} lines in {len(files)} files")
    print(f"{'import lgg_demo.reading':<24}{import_seconds():>7.2f} s")
    longest = [f"{p.relative_to(ROOT)}: {lines(p)} lines" for p in package if lines(p) > LONGEST_FILE]
    longest += [f"{name}: {n} lines" for p in package for name, n in functions(p) if n > LONGEST_FUNCTION]
    complexipy = [str(Path(sys.executable).with_name("complexipy")), "lgg_demo", f"--max-complexity-allowed={MOST_COMPLEX}"]
    complex_ = subprocess.run([*complexipy, "--failed", "--color=no"], cwd=ROOT, capture_output=True, text=True)
    longest += [line.strip() for line in complex_.stdout.splitlines() if "FAILED" in line]
    for line in longest:
        print(f"too large: {line}")
    return 1 if longest or complex_.returncode else 0


if __name__ == "__main__":
    sys.exit(main())

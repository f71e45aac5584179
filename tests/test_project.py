"""The project's own promises: pins, sizes, the way modules import each other."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# Arrows go down this list: each layer may import from those above it and, without a circle, from itself.
LAYERS = (
    ("messages", "atomic", "scratch", "grid", "registration", "case", "intensity", "probability", "rounding", "command"),
    ("reading",),
    ("network",),
    ("measure",),
    ("output",),
    ("page",),
    ("train",),
    ("predict", "evaluate", "dicom"),
    ("experiments",),
)
LAYER_OF = {module: n for n, modules in enumerate(LAYERS) for module in modules}
HEAVY = {"torch", "monai", "matplotlib", "gradio", "lightning"}
# What of these a layer may import; an experiment may import any.
MAY = {"network": {"torch"}, "page": {"gradio"}, "train": HEAVY - {"gradio"},
       "evaluate": {"matplotlib"}, "experiments": HEAVY}  # fmt: skip


def front_matter() -> dict[str, object]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text.split("---")[1]))


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_space_runs_the_pinned_gradio() -> None:
    assert front_matter()["sdk_version"] == pins()["gradio"]
    assert front_matter()["app_file"] == "app.py"
    assert (ROOT / "app.py").exists()


def test_what_the_customer_fixed_is_pinned() -> None:
    wanted = {"gradio", "torch", "segmentation-models-pytorch", "monai", "numpy", "pillow", "huggingface-hub"}
    assert wanted <= set(pins())


def test_tracked_files_are_small_and_hold_no_data() -> None:
    tracked = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    files = [ROOT / name for name in tracked if name and (ROOT / name).exists()]
    assert [p.name for p in files if p.stat().st_size > 10 * 2**20] == []
    synthetic = ROOT / "lgg_demo" / "page" / "patients"
    assert sum(p.stat().st_size for p in files if synthetic in p.parents) < 5 * 2**20
    files = [p for p in files if synthetic not in p.parents or not p.name.startswith("sub-synthetic")]
    assert [p.name for p in files if re.search(r"\.(tiff?|jxl|dcm|nii|gz|npz|npy|pth|pt|ckpt)$", p.name)] == []


def test_ci_installs_every_program_that_a_test_looks_for() -> None:
    installed = set(re.findall(r"\[(\w[\w-]*)\]=", (ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    looked_for = {
        name for p in (ROOT / "tests").rglob("*.py") for name in re.findall(r'which\("([^"]+)"\)', p.read_text("utf-8"))
    }
    assert {"chromium", "pdftotext"} <= looked_for, "or this test sees nothing"
    assert looked_for - {"chromium-browser"} <= installed, "another name of chromium's"


def test_a_skip_that_nobody_expects_fails_ci(tmp_path: Path) -> None:
    """As .ci/run does: PYTEST_ADDOPTS beside the README's command."""
    (tmp_path / "expected").write_text("# a comment\nno GPU\n")
    results = []
    for reason in ("no GPU here", "pdftotext is not installed"):
        (tmp_path / "test_one.py").write_text(f"import pytest\n\n\ndef test_one():\n    pytest.skip({reason!r})\n")
        command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
        options = f"-rs -p tests.expected_skips --expected-skips={tmp_path / 'expected'}"
        environment = os.environ | {"PYTEST_ADDOPTS": options, "PYTHONPATH": str(ROOT)}
        results.append(subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True))
    assert [done.returncode for done in results] == [0, 1], results
    assert "not an expected reason" in results[1].stdout and "pdftotext" in results[1].stdout


def imported(tree: ast.AST) -> set[str]:
    """The modules that some code imports, by their full names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, ast.Module]:
    """The package's modules by their names below it."""
    package = ROOT / "lgg_demo"
    files = {p: p.parent if p.stem == "__init__" else p.with_suffix("") for p in package.rglob("*.py")}
    names = {p: ".".join(module.relative_to(package).parts) for p, module in files.items() if module != package}
    return {name: ast.parse(p.read_text("utf-8")) for p, name in names.items()}


def test_modules_import_only_those_of_layers_above_them_and_in_no_circle() -> None:
    trees = modules()
    assert {name.split(".")[0] for name in trees} == set(LAYER_OF)
    arrows: dict[str, set[str]] = {}
    for name, tree in trees.items():
        named = imported(tree)
        arrows[name] = {m for m in trees if f"lgg_demo.{m}" in named} - {name}
        own = name.split(".")[0]
        for other in arrows[name]:
            assert LAYER_OF[other.split(".")[0]] <= LAYER_OF[own], f"{name} imports {other}"
        heavy = {m.split(".")[0] for m in named} & HEAVY
        assert heavy <= MAY.get(own, set()), f"{name} imports {heavy}"
    list(TopologicalSorter(arrows).static_order())  # raises where there is a circle


def test_no_pickle_is_ever_loaded_as_one() -> None:
    """But those that a child process of ours sends, which unpickles nothing that it reads."""
    for path in (ROOT / "lgg_demo").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text or path.name == "guard.py"
        for call in re.findall(r"torch\.load\([^\n]*\)", text):
            assert "weights_only=True" in call

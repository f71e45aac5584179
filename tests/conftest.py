"""A tiny dataset of drawn heads and one short training on it, shared by the tests. Nothing here comes from a patient."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from drawn_heads import draw_head
from orthanc import orthanc

from lgg_demo.network.segmenter import Segmenter
from lgg_demo.train import cross_validation, training

if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a core of its own; so have the programs that it starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
__all__ = ("orthanc",)  # a fixture of its own file


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

# Patient: fold, number of the first slice, slices, slices with a lesion (the last ones), sequences.
PATIENTS = {
    "TCGA_AA_0001_20000101": (1, 9, 4, 2, "all"),  # _9 comes before _10, where text would sort it after
    "TCGA_AA_0002_20000101": (2, 1, 5, 3, "all"),
    "TCGA_AA_0003_20000101": (3, 1, 3, 1, "flair"),
    "TCGA_AA_0004_20000101": (4, 1, 4, 2, "all"),
    "TCGA_AA_0005_20000101": (0, 1, 3, 1, "all"),
}
TINY = [
    "--epochs", "2", "--slices-per-epoch", "16", "--batch-size", "4", "--crop", "64", "--encoder-weights", "none",
    "--device", "cpu",
]  # fmt: skip
# Faster where it is the run that is tested, and not what its network gives.
FAST = [*TINY, "--encoder", "timm-mobilenetv3_small_minimal_100", "--decoder-channels", "8", "8", "8", "8", "8",
        "--views", "64"]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests one worker of `-n 2 --dist loadgroup` runs: a file's, as they share fixtures, and all of a browser's.

    Two browsers at once would leave the cores to neither, and a page that is waited for then takes too long.
    """
    for item in items:
        in_browser = "browser" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("browser" if in_browser else str(item.path)))


def write_patient(folder: Path, name: str, first: int, slices: int, lesion: int, sequences: str, seed: int) -> None:
    """One patient's folder as kaggle_3m has it."""
    (folder / name).mkdir(parents=True)
    healthy = draw_head(slices - lesion, lesion=None, seed=seed)
    ill = draw_head(lesion, lesion=("frontal", "parietal")[seed % 2], seed=seed)
    flair = np.concatenate([healthy.flair, ill.flair])
    masks = np.concatenate([healthy.mask, ill.mask])
    other = flair if sequences == "flair" else (0.7 * flair).astype(np.uint8)
    for n, (image, mask) in enumerate(zip(np.stack([other, flair, other], axis=-1), masks, strict=True), first):
        tifffile.imwrite(folder / name / f"{name}_{n}.tif", image, photometric="rgb")
        tifffile.imwrite(folder / name / f"{name}_{n}_mask.tif", mask.astype(np.uint8) * 255)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kaggle_3m folder of five drawn patients; only to be read."""
    folder = tmp_path_factory.mktemp("data") / "kaggle_3m"
    for seed, (name, (_, *rest)) in enumerate(PATIENTS.items()):
        write_patient(folder, name, *rest, seed)
    (folder / "data.csv").write_text("Patient\n")  # the real folder has files beside the patients
    return folder


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with the columns patient and fold, of these patients and of one whose files nobody has (in fold 0)."""
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    rows = [f"{name},{fold}" for name, (fold, *_) in PATIENTS.items()]
    path.write_text("\n".join(["patient,fold", *rows, "TCGA_ZZ_9999_20000101,0"]) + "\n")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, dataset: Path, folds: Path) -> Path:
    """A finished training of two epochs, chosen on fold 1; only to be read."""
    out = tmp_path_factory.mktemp("run") / "run"
    before = os.umask(0o022)
    try:
        assert training.main(["--data", str(dataset), "--folds", str(folds), "--out", str(out), *TINY]) == 0
    finally:
        os.umask(before)
    return out


@pytest.fixture(scope="session")
def cv_arguments(tmp_path_factory: pytest.TempPathFactory, dataset: Path, folds: Path) -> list[str]:
    """Of `cv_runs`."""
    out = tmp_path_factory.mktemp("cv") / "runs"
    return ["--data", str(dataset), "--folds", str(folds), "--out", str(out), "--release", str(out / "weights"), *FAST]


@pytest.fixture(scope="session")
def cv_runs(cv_arguments: list[str]) -> Path:
    """A finished cross-validation; only to be read."""
    assert cross_validation.main(cv_arguments) == 0
    return Path(cv_arguments[5])


@pytest.fixture(scope="session")
def segmenter(run: Path) -> Segmenter:
    return Segmenter.load(run)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests that drive one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


Main = Callable[[list[str]], int]


@pytest.fixture
def sentence(capsys: pytest.CaptureFixture[str]) -> Callable[[Main, list[str]], str]:
    """Run a command that must fail: exit code 2, and one line on stderr, which is returned."""

    def fail(main: Main, arguments: list[str]) -> str:
        capsys.readouterr()
        assert main(arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return fail

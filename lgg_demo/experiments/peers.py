"""The networks that ours is timed beside, built as they are published; no weights are needed for a time."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class BrainSegmentationUNet(nn.Module):
    """The U-Net of brain-segmentation-pytorch (Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002; its `unet.py`).

    (N, 3, H, W) float32 to probability (N, 1, H, W); H and W are multiples of 16. width: of the first block, 32 in theirs,
    doubled at each of four halvings; each convolution is followed by batch normalisation. 7.8 million parameters.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**n for n in range(5)]
        self.down = nn.ModuleList(
            _block(inside, outside) for inside, outside in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(_block(2 * w, w) for w in widths[-2::-1])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for n, block in enumerate(self.down):
            x = block(self.pool(x) if n else x)
            kept.append(x)
        for up, merge, beside in zip(self.up, self.merge, kept[-2::-1], strict=True):
            x = merge(torch.cat([up(x), beside], dim=1))
        return torch.sigmoid(self.last(x))


def _block(inside: int, outside: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for n, width in enumerate((inside, outside)):
        layers[f"convolution{n}"] = nn.Conv2d(width, outside, 3, padding=1, bias=False)
        layers[f"normalisation{n}"] = nn.BatchNorm2d(outside)
        layers[f"relu{n}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)

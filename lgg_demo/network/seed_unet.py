"""The student report's U-Net, layer by layer, with Keras's initialisation and way of counting parameters."""

from __future__ import annotations

import torch
from torch import nn

from lgg_demo.network.record import DEPTH, WIDTH


class _Block(nn.Sequential):
    """Convolution, ReLU, convolution, batch normalisation, ReLU: only the second convolution is normalised."""

    def __init__(self, inside: int, filters: int) -> None:
        super().__init__(
            nn.Conv2d(inside, filters, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            # Keras keeps 0.99 of the moving statistics a step, which PyTorch calls a momentum of 0.01.
            nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01),
            nn.ReLU(),
        )


class SeedUNet(nn.Module):
    """(N, 3, H, W) float to logits (N, 1, H, W); H and W are multiples of 32.

    width: filters of the first block, 32 in the report; each of the five halvings doubles them. The last block of the
    decoder has twice as many filters as its transposed convolution (64 after 32), as the report's layer list has it. The
    report ends in a sigmoid; here the loss and the serving apply it.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        filters = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            _Block(inside, outside) for inside, outside in zip([3, *filters[:-2]], filters[:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = _Block(filters[-2], filters[-1])
        ups = filters[-2::-1]
        blocks = [*ups[:-1], 2 * width]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(inside, outside, 2, stride=2)
            for inside, outside in zip([filters[-1], *blocks[:-1]], ups, strict=True)
        )
        self.join = nn.ModuleList(_Block(2 * up, block) for up, block in zip(ups, blocks, strict=True))
        self.head = nn.Conv2d(blocks[-1], 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)  # Keras's glorot_uniform
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        logits: torch.Tensor = self.head(x)
        return logits

"""What a training run draws: slices and their augmentation, by seed, epoch and number of the draw alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, Randomizable, Transform
from torch.utils.data import Dataset, Sampler

from lgg_demo.train.data import SliceDataset


class Draws(Sampler[tuple[int, int]]):
    """What an epoch draws: a slice's place and the seed of its augmentation, by (seed, epoch, number of the draw) alone.

    So a run that continues draws what one that was never killed does, with any number of workers. weights: count slices are
    drawn in these shares (sum 1), with replacement; without them each of count slices once. earlier: epochs that the
    network was trained for before this run.
    """

    def __init__(self, count: int, seed: int, weights: np.ndarray | None = None, earlier: int = 0) -> None:
        self.count, self.seed, self.weights, self.earlier = count, seed, weights, earlier
        self.epoch = 0  # whole ones that this run has done; `loop.Recorder` counts them

    def random(self) -> np.random.Generator:
        """The epoch's own random numbers, from their beginning."""
        return np.random.default_rng((self.seed, self.earlier + self.epoch))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = self.random()
        seeds = random.integers(2**32, size=self.count)
        if self.weights is None:
            places = random.permutation(self.count)
        else:
            places = random.choice(len(self.weights), self.count, p=self.weights)
        yield from zip(places.tolist(), seeds.tolist(), strict=True)


class DrawnSlices(Dataset[dict[str, torch.Tensor]]):
    """Slices as `Draws` names them, each augmented with the random numbers of its own seed."""

    def __init__(self, slices: SliceDataset, augment: Compose) -> None:
        self.slices, self.augment = slices, augment
        self.random = share_random(augment)

    def __getitem__(self, draw: tuple[int, int]) -> dict[str, torch.Tensor]:
        place, seed = draw
        self.random.seed(seed)
        return dict(self.augment(self.slices[place]))


def share_random(transform: Any) -> np.random.RandomState:
    """Let a MONAI transform and all inside it draw from one generator, which is returned.

    To seed it takes 4 microseconds; MONAI's `set_random_state` makes one for each transform anew, 12 ms a slice.
    """
    shared = np.random.RandomState()
    waiting = [transform]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, Transform):
            waiting += vars(one).values()
            if isinstance(one, Randomizable):
                one.R = shared
    return shared

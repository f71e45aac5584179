"""The table of speeds: whose networks it holds, and that it says what was measured."""

from __future__ import annotations

import numpy as np
import torch

from lgg_demo.experiments import speed
from lgg_demo.experiments.markdown import read_facts, render
from lgg_demo.experiments.peers import BrainSegmentationUNet


def test_the_peer_is_the_published_network() -> None:
    network = BrainSegmentationUNet().eval()
    assert sum(p.numel() for p in network.parameters()) == 7_763_041, "as its repository's summary says"
    with torch.inference_mode():
        p = network(torch.rand(1, 3, 64, 96))
    assert p.shape == (1, 1, 64, 96) and 0 <= float(p.min()) <= float(p.max()) <= 1


def test_every_network_takes_its_turn() -> None:
    found = speed.milliseconds(1)
    assert len(found) == 4 and min(found.values()) > 0
    x = np.zeros((1, 3, 256, 256), np.float32)
    for forward in speed.networks().values():
        assert np.asarray(forward(x)).shape == (1, 1, 256, 256)


def test_the_page_says_what_the_file_has() -> None:
    assert speed.said() in speed.PAGE.read_text(encoding="utf-8")
    facts = read_facts(speed.FIGURES)
    ours, *others = facts["network_ms"].values()
    assert f"| {others[-1] / ours:.1f} |" in render("speed", **facts)

"""How long twenty slices take to correct on the real page: `python tests/page/time_correcting.py`, from the project's root.

A lesion that the network has drawn too small on every slice, as in `correcting.py`. The hand outlines every fourth slice
with the lasso, at the pace of a person, and has the slices between filled. Printed: the time of it all, how much of that is
not the hand's (the browser, and the remote control of it), and what the correction was worth.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[n]) for n in (2, 1, 0)]

from conftest import CHROMIUM  # noqa: E402
from correcting import FALSE, FOUND, LESION, Hand, dice, outline, page_of_study  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

FIRST, LAST, EVERY = 2, 21, 4  # slices, from 0: twenty of them
PACE = 200.0  # CSS pixels a second along an outline
PAUSE = 1.5  # seconds to look at a slice before its outline is drawn


def draw_by_hand(hand: Hand, s: int) -> float:
    """Outline the lesion of a slice; the seconds that the hand itself needs for it."""
    points = outline(LESION[s], step=3)
    places = [hand.at(*point) for point in points]
    length = sum(math.dist(a, b) for a, b in itertools.pairwise(places))
    hand.page.mouse.move(*places[0])
    hand.page.mouse.down()
    started = time.perf_counter()
    for n, place in enumerate(places[1:], 1):
        hand.page.mouse.move(*place)
        late = started + length / PACE * n / len(places) - time.perf_counter()
        if late > 0:
            time.sleep(late)
    hand.page.mouse.up()
    return length / PACE


def main() -> None:
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp())
    slices = [*range(FIRST, LAST, EVERY), LAST]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        with page_of_study(browser, Path(tempfile.mkdtemp())) as hand:
            started = time.perf_counter()
            hand.take("lasso")
            by_hand = 0.0
            for s in slices:
                hand.go(s)
                time.sleep(PAUSE)
                by_hand += PAUSE + draw_by_hand(hand, s)
            hand.press("w")
            ended = time.perf_counter()
            mask = hand.mask()
        browser.close()
    place, all_of_it = slice(FIRST, LAST + 1), ended - started
    print(f"{LAST + 1 - FIRST} slices corrected in {all_of_it:.1f} s: {len(slices)} outlined, the others filled between")
    print(f"of these {by_hand:.1f} s are the hand's, {all_of_it - by_hand:.1f} s the browser's")
    before, after = dice(FOUND[place], LESION[place]), dice((mask & ~FALSE)[place], LESION[place])
    print(f"Dice of the lesion in these slices: {before:.3f} before, {after:.3f} after")


if __name__ == "__main__":
    main()

"""What comes of a request step by step, and that nothing of it stays."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from lgg_demo.page.faults import ClientLeft
from lgg_demo.page.steps import stepped


def test_steps_are_told_and_the_result_is_returned() -> None:
    def work(tell):  # type: ignore[no-untyped-def]
        for done in range(1, 4):
            tell(done, 3)
        return "made"

    steps, told = stepped(work), []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            assert end.value == "made"
            break
    assert told[-1] == (3, 3)


def test_a_run_that_fails_keeps_none_of_its_arrays() -> None:
    """The error's traceback would hold the thread, and the thread the scan, until the next collection of garbage."""
    scan = np.zeros(10)
    alive = weakref.ref(scan)

    def work(tell, scan=scan):  # type: ignore[no-untyped-def]
        tell(1, 2)
        raise ClientLeft

    gc.disable()
    try:
        with pytest.raises(ClientLeft):
            list(stepped(work))
        del work, scan
        assert alive() is None
    finally:
        gc.enable()

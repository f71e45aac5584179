"""Which file is being read: the child process that reads tells its parent, so that a file that ends it is known by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

_told: list[Callable[[PurePath, float], None]] = []
PICTURE_SECONDS = 10.0  # of computing for one picture or one file's header
VOLUME_SECONDS = 90.0  # for the voxels of one volume, or one zip


def opening(place: PurePath, seconds: float = VOLUME_SECONDS) -> None:
    """Say that the file at this place is read now, for at most so many seconds of computing."""
    for tell in _told:
        tell(place, seconds)


def tell(listener: Callable[[PurePath, float], None]) -> None:
    """Have a listener told of every file from now on, for as long as the process lives."""
    _told.append(listener)

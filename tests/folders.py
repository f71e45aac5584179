"""What lies in a folder that a server or a training changes meanwhile, where `Path.rglob` would raise."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ("files_below",)


def files_below(folder: Path) -> list[Path]:
    """Everything below a folder but folders; one that is deleted under way is left out."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]

"""Files that are written whole or not at all, whatever ends the process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place first, synchronised to the disk, then rename it into place."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any], indent: int = 2) -> None:
    """Write an object as readable JSON, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode())

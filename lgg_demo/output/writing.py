"""Files written one at a time: what one cannot be costs that file alone."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lgg_demo.messages import Sentence


@dataclass
class Written:
    """Files below a folder, written one at a time, and what is to be said of those that could not be."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    failures: list[Sentence] = field(default_factory=list)

    def write(self, name: str, make: Callable[[Path], None], refused: Sentence | None = None) -> bool:
        """Whether a file is written; what is left of one that is not is deleted.

        refused: what is said where a library, and not the disk or the memory, is why.
        """
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        except Exception as error:  # of a writer, a disk or the memory: it costs this file, whatever it is
            by_library = refused is not None and not isinstance(error, OSError | MemoryError)
            self.failures.append(refused if by_library and refused else Sentence(why_not(error), {"file": name}))
            with suppress(OSError, ValueError):
                path.unlink(missing_ok=True)
            return False
        self.files.append(path)
        return True


def why_not(error: Exception) -> str:
    """The key of the sentence about a file that could not be written."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "output_no_room"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "output_not_allowed"
    if number in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return "output_name_refused"
    return "output_failed"

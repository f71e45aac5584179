"""What every command line shares: flags from a dataclass, one sentence for what its user can mend, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from lgg_demo.case import LggDemoError

Settings = TypeVar("Settings")
Folder = Annotated[Path, tyro.conf.arg(metavar="DIR")]
OptionalFolder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Checkpoint = Annotated[str | None, tyro.conf.arg(metavar="FILE")]
Threshold = Annotated[float | None, tyro.conf.arg(metavar="X")]


def run(
    module: str, settings: type[Settings], body: Callable[[Settings], int], arguments: Sequence[str] | None = None
) -> int:
    """Read `settings` from the flags of `python -m lgg_demo.MODULE`, call `body` and return its exit code.

    Each field of the dataclass is a flag, the string below it the help. What a user can mend (LggDemoError, OSError,
    ValueError) is one sentence on stderr and exit code 2; Ctrl-C is 130. Flags that cannot be read end the process, code 2.
    """
    given = tyro.cli(settings, args=None if arguments is None else list(arguments), prog=f"python -m lgg_demo.{module}")
    name = module.rpartition(".")[2]
    try:
        return body(given)
    except (LggDemoError, OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted.", file=sys.stderr)
        return 130


def threshold_or(given: float | None, usual: float) -> float:
    """A threshold given on a command line, else the checkpoint's. Raises ValueError where it is not in [0, 1]."""
    if given is not None and not 0 <= given <= 1:
        raise ValueError(f"--threshold must lie between 0 and 1, not {given}")
    return usual if given is None else given

"""What can go wrong with a request: a sentence for its user, and a line of the log without a path or a name."""

from __future__ import annotations

import errno
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from lgg_demo.messages import Language, say
from lgg_demo.page.uploads import NotAnUpload

PACKAGE = Path(__file__).resolve().parents[1]


class ClientLeft(Exception):
    """Nobody waits for the result any more."""


class TooLong(Exception):
    """A request has used up its time."""


class NotOurs(Exception):
    """A request that this page does not send."""


FAULTS: dict[type[Exception], tuple[str, str]] = {  # the key of the sentence, and what the log says
    ClientLeft: ("client_left", ""),
    TooLong: ("request_too_long", "stopped, out of time"),
    NotAnUpload: ("not_an_upload", "refused, not an upload"),
    NotOurs: ("request_refused", "refused, not what this page sends"),
}


def language_of(request: Any) -> Language:
    """French where the browser prefers it, else English. request: anything with `headers`, or None."""
    accepted = (request.headers.get("accept-language") or "") if request else ""
    return "fr" if accepted.lower().startswith("fr") else "en"


def refusal(key: str, language: Language, **values: object) -> gr.Error:
    """A sentence for the user, of which nothing is written into the log."""
    return gr.Error(say(key, language, **values), duration=10, print_exception=False)


def log(what: str) -> None:
    """One line for whoever runs the server. It must never hold a path or a value that a client sent."""
    print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {what}", file=sys.stderr, flush=True)


def raised_at(error: BaseException) -> str:
    """The type of an error, and where in this package it was raised, but not what it says: that may name a file."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if PACKAGE in Path(f.filename).parents]
    place = f" at {Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{place}"


def disk_full(error: BaseException | None) -> bool:
    """Whether an error comes of a disk, or a user's share of it, that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def verdict(error: Exception) -> tuple[str, str]:
    """The key of the sentence for the user, and what the log says; empty where that is nothing."""
    if type(error) in FAULTS:
        return FAULTS[type(error)]
    if disk_full(error):
        return "server_full", "the disk is full"
    return "server_error", f"failed ({raised_at(error)})"

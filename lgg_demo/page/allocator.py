"""What is asked of glibc's allocator, for a server of large arrays; other systems' allocators are left alone."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8  # of glibc's malloc.h


def few_arenas() -> None:
    """Two arenas instead of one a thread, each of which keeps what its thread has freed."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Give the system back what is free: glibc itself keeps all that lies below the last piece in use."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

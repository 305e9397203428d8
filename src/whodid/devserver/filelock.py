"""File lock: an advisory `flock` on a file, gone with the last process that holds the open file.

The kernel releases it however a process ends, so a killed process leaves nothing to clean up. The file
itself is never removed: two processes would then hold locks on two files of the same name.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["hold_lock", "is_locked", "take_lock"]

POLL_SECONDS = 0.1


def take_lock(path: Path) -> int | None:
    """Open and lock `path`; returns the descriptor that holds the lock, or None when another process does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock right now."""
    if not path.exists():
        return False
    descriptor = take_lock(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


@contextmanager
def hold_lock(path: Path, timeout: float, on_wait: Callable[[], None]) -> Iterator[int | None]:
    """Hold the lock inside the block; yields None when it could not be had within `timeout` seconds.

    What is yielded is the descriptor: a child process that inherits it goes on holding the lock after the
    block.
    """
    deadline = time.monotonic() + timeout
    descriptor = take_lock(path)
    if descriptor is None:
        on_wait()
    while descriptor is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        descriptor = take_lock(path)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)

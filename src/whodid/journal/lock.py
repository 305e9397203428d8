"""The lock of a journal directory: an advisory file lock, waited for with a deadline, and what changed under it.

The size of the file is the generation: who closes a segment or ends a journal makes it a byte longer first. A writer
that finds it and the size of its segment as it left them can go on without asking for the segment's status, which would
cost more than the write itself (on Linux each look at a file's times makes the next write update them).

A lock lives in an open file description. It is never inherited over `fork` (the journal reopens its files in the
child), and the kernel releases it when its process dies, however it dies.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from ..errors import JournalLocked

__all__ = ["FileLock"]

_EXCLUSIVE_OR_ERROR = LOCK_EX | LOCK_NB

_WIDTH = 96
"""Bytes of the text in the file."""


class FileLock:
    """An exclusive lock on `path`. Not re-entrant and not shared between threads."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fd = -1
        self._path = path
        self._monotonic = monotonic
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def __del__(self) -> None:
        self.close()

    def acquire(self, timeout: float) -> None:
        """Raises `JournalLocked`, naming the holder, when the lock isn't free within `timeout` seconds."""
        if self.try_acquire():
            return
        deadline = self._monotonic() + timeout
        pause = 50e-6
        while not self.try_acquire():
            if self._monotonic() >= deadline:
                raise JournalLocked(
                    f"{self._path} stayed locked by {self.holder()} for {timeout:g} s; nothing was recorded. "
                    "End or resume that process, or raise lock_timeout"
                )
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (spreads contenders, keeps no secret)
            pause = min(pause * 1.5, 1e-3)

    def try_acquire(self) -> bool:
        try:
            flock(self._fd, _EXCLUSIVE_OR_ERROR)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        flock(self._fd, LOCK_UN)

    def generation(self) -> int:
        """Changes whenever a segment was closed or a journal ended."""
        return os.lseek(self._fd, 0, os.SEEK_END)

    def next_generation(self) -> None:
        """Tells every writer of the directory to look again, full disk or not. The lock is held."""
        os.ftruncate(self._fd, self.generation() + 1)

    def content(self) -> bytes:
        """The small text in the file, with spaces up to its width."""
        return os.pread(self._fd, _WIDTH, 0)

    def replace(self, text: str) -> None:
        """Writes the text over the one before, of the same width, so that no reader sees half of each."""
        os.pwrite(self._fd, text.ljust(_WIDTH - 1).encode() + b"\n", 0)

    def close(self) -> None:
        """Closes this process's descriptor, once; in a forked child that leaves the parent's lock alone."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def holder(self) -> str:
        """Who holds the lock, in words, as far as the system tells (Linux does)."""
        inode = os.fstat(self._fd).st_ino
        try:
            for line in Path("/proc/locks").read_text().splitlines():
                parts = line.split()
                if parts[1] == "FLOCK" and parts[5].endswith(f":{inode}"):
                    return f"process {parts[4]} ({_command(parts[4])})"
        except (OSError, IndexError):
            pass
        return "another process"


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "of another container"

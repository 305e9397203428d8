"""Advisory locks on files, and who holds them, found out without making the file.

The kernel releases a lock however a process ends, so a killed process leaves nothing to clean up: a `flock` with the
last process that holds the open file, a POSIX lock with the process that took it. The file itself is never removed:
two processes would then hold locks on two files of the same name. The journal's own locks, which also withstand
exceptions and files that are replaced, are in `whodid.journal.lock`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .files import best_effort

__all__ = ["Holder", "hold_lock", "holder_in_words", "holders", "is_held", "is_locked", "is_stopped", "take_lock"]

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


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


Kind = Literal["FLOCK", "POSIX"]


def holders(path: Path) -> list[Holder]:
    """The processes that the system shows (Linux does, those of this container)."""
    with best_effort():
        inode = path.stat().st_ino
        found = {one.pid: one for kind in _KINDS for one in _holders(kind, inode) if one.pid > 0}
        return [found[pid] for pid in sorted(found)]
    return []


_KINDS: tuple[Kind, ...] = ("FLOCK", "POSIX")


def holder_in_words(kind: Kind, inode: int) -> str:
    """Who holds the lock on a file, as far as the system tells."""
    return str(next(_holders(kind, inode), "another process"))


def _holders(kind: Kind, inode: int) -> Iterator[Holder]:
    lines: list[str] = []
    with best_effort():
        lines = Path("/proc/locks").read_text().splitlines()
    for parts in map(str.split, lines):
        if len(parts) > 5 and parts[1] == kind and parts[5].endswith(f":{inode}"):
            yield Holder(int(parts[4]), _command(int(parts[4])))


def _command(pid: int) -> str:
    with best_effort():
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "of another user or container"


def is_held(path: Path) -> bool:
    """Whether a `ProcessLock` is held by another process, also one that can't be seen from here.

    It is tried for a moment, shared, on a descriptor for reading.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(fd)
    return False


def is_stopped(holder: Holder) -> bool:
    try:
        status = Path(f"/proc/{holder.pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in {"T", "t"}

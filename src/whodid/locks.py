"""Advisory locks on files, and which processes hold them.

The kernel releases a lock when its process ends, however it ends: a `flock` when the last process closes the open file,
a POSIX lock when the process that took it ends. The file itself is never removed, because two processes could then hold
locks on two files of the same name. The locks of the journal are in `whodid.journal.lock`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .files import best_effort, grant_owner, is_there

__all__ = ["Holder", "hold_lock", "holder_in_words", "holders", "is_held", "is_locked", "is_stopped", "take_lock"]

POLL_SECONDS = 0.1


def take_lock(path: Path) -> int | None:
    """Opens and locks `path`; returns the descriptor that holds the lock, or `None` if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        grant_owner(descriptor, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock now."""
    if not is_there(path):
        return False
    descriptor = take_lock(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


@contextmanager
def hold_lock(path: Path, timeout: float, on_wait: Callable[[], None]) -> Iterator[int | None]:
    """Holds the lock inside the block; yields its descriptor, or `None` if the lock stayed taken for `timeout` seconds.

    A child process that inherits the descriptor still holds the lock after the block.
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
    """A process that holds a lock."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


Kind = Literal["FLOCK", "POSIX"]


def holders(path: Path) -> list[Holder]:
    """The processes that hold a lock on the file, as far as the system shows them (on Linux, within this container)."""
    with best_effort():
        inode = path.stat().st_ino
        found = {one.pid: one for kind in get_args(Kind) for one in _holders(kind, inode) if one.pid > 0}
        return [found[pid] for pid in sorted(found)]
    return []


def holder_in_words(kind: Kind, inode: int) -> str:
    """The holder of the lock on a file for a message, as far as the system shows it."""
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
    return "owned by another user or container"


def is_held(path: Path) -> bool:
    """Whether another process holds a `ProcessLock`, even a process of another container.

    Takes a shared lock for a moment, on a descriptor for reading.
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
    """Whether the process is suspended (SIGSTOP) or traced."""
    try:
        status = Path(f"/proc/{holder.pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in {"T", "t"}

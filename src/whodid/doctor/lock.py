"""The lock, seen from outside: who holds a lock file, found out without making the file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fcntl import LOCK_NB, LOCK_SH, lockf
from pathlib import Path

__all__ = ["Holder", "holders", "is_held", "is_stopped"]


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def holders(path: Path) -> list[Holder]:
    """The processes that the system shows (Linux does, those of this container)."""
    try:
        about = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    found = [line.split() for line in lines]
    suffix = f":{about.st_ino}"
    pids = {int(parts[4]) for parts in found if len(parts) > 5 and parts[1] in _KINDS and parts[5].endswith(suffix)}
    return [Holder(pid, _command(pid)) for pid in sorted(pids) if pid > 0]


_KINDS = {"FLOCK", "POSIX"}


def is_held(path: Path) -> bool:
    """Whether a `ProcessLock` is held by another process, also one that can't be seen from here.

    It is tried for a moment, shared, on a descriptor for reading.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        lockf(fd, LOCK_SH | LOCK_NB)
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


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "of another user or container"

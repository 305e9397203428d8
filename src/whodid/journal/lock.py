"""The locks of a journal: one among threads that no exception leaves held, and an advisory one on a file.

A signal handler that raises (Ctrl-C, the time limit of a task queue) does so between any two steps of a call, also
between taking a lock and entering the `try` that would give it back. So a `ThreadLock` belongs to a frame, and only for
as long as that frame runs: what has ended, by whatever exception and in whatever thread, holds nothing any more, and
the next to come notices. A file lock can't know that. Whoever takes one does so inside two nested `try … finally`, as
an exception may come amid one of them, and holds a `ThreadLock` around it.

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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock, lockf
from pathlib import Path
from queue import Empty, SimpleQueue
from sys import _getframe
from threading import get_ident
from types import FrameType
from typing import Any, ClassVar

from ..errors import JournalLocked

__all__ = ["LOOK_AGAIN", "FileLock", "Hold", "ProcessLock", "ThreadLock"]

LOOK_AGAIN = 0.05
"""Seconds after which a waiting thread looks whether the one it waits for has ended without waking it."""

_EXCLUSIVE_OR_ERROR = LOCK_EX | LOCK_NB

_WIDTH = 96
"""Bytes of the text in the file."""


class ThreadLock:
    """A lock among the threads of one process, taken by way of `Hold`.

    Taking it is one `setdefault` in `state`, which nothing divides: a lock that is taken says by whom. Who finds it taken
    by a frame that has ended goes on to the next state, on which all agree by another `setdefault`; a state left behind
    stays taken, so that nobody who still looks at it gets in.
    """

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.waiting: deque[SimpleQueue[None]] = deque()


_HOLDER, _NEXT = "holder", "next"


class Hold:
    """A `ThreadLock`, held by the frame that made this: `with Hold(lock): …`, or `take` and `give_back`. Used once.

    The frame must end when an exception comes: as long as it runs, it counts as inside.
    """

    __slots__ = ("_frame", "_lock", "_state", "_thread")

    def __init__(self, lock: ThreadLock) -> None:
        self._lock = lock
        self._thread = get_ident()
        self._frame: FrameType | None = _getframe(1)
        self._state: dict[str, Any] | None = None

    def __enter__(self) -> Hold:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    @property
    def held(self) -> bool:
        return self._state is not None and self._state.get(_HOLDER) is self

    def take(self, timeout: float = float("inf")) -> bool:
        """Whether the lock was free within `timeout` seconds.

        Raises `JournalLocked` at once when this very thread holds it, in a frame that it will go back to.
        """
        self._state = state = self._lock.state
        return state.setdefault(_HOLDER, self) is self or self._wait(timeout)

    def _wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            self._state = state = self._lock.state
            other = state.setdefault(_HOLDER, self)
            if other is self:
                return True
            if other._ended():
                if state.get(_HOLDER) is other:  # else it gave the lock back before it ended
                    self._lock.state = state.setdefault(_NEXT, {})
                continue
            if other._thread == self._thread:
                raise JournalLocked(
                    "audit() was called while this very thread was recording, from a signal handler or a finalizer; "
                    "the entry is not known to be recorded. Let the handler set a flag, and record from the main line of the program"
                )
            if (left := deadline - time.monotonic()) <= 0:
                return False
            self._await_bell(state, min(left, LOOK_AGAIN))

    def _await_bell(self, state: dict[str, Any], seconds: float) -> None:
        bell: SimpleQueue[None] = SimpleQueue()
        self._lock.waiting.append(bell)
        try:
            if _HOLDER in state:  # else it was given back before the bell hung
                with suppress(Empty):
                    bell.get(timeout=seconds)
        finally:
            with suppress(ValueError):
                self._lock.waiting.remove(bell)

    def _ended(self) -> bool:
        """Whether the frame is left, or the lock given back. A frame that still runs refuses to be cleared."""
        try:
            if self._frame is not None:
                self._frame.clear()
        except RuntimeError:
            return False
        return True

    def give_back(self) -> None:
        """Gives the lock back if it is held; may be done twice, and is to be done also when it was not taken."""
        if self.held:
            assert self._state is not None  # noqa: S101 (for mypy: it is held)
            del self._state[_HOLDER]
            with suppress(IndexError):
                self._lock.waiting.popleft().put(None)
        self._frame = None  # which refers to this: a cycle would keep what it holds until a collection


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
        """May be done twice, and when it was not acquired."""
        if self._fd >= 0:
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
        return _holder("FLOCK", os.fstat(self._fd).st_ino)


class ProcessLock:
    """An exclusive lock on `path` that belongs to this process alone: no child that inherited the descriptor keeps it.

    It is a POSIX lock: the kernel gives it to a process, not to an open file, and so it is free as soon as the process
    has ended, whoever was forked from it. Such a lock is lost when the process closes any descriptor of the file;
    `try_acquire` is therefore repeated while the lock is used, and takes it again or says that another process has it.
    Within the process one object holds it at a time.
    """

    _held: ClassVar[dict[tuple[int, str], ProcessLock]] = {}
    """By process and path: what a parent held is no lock of the child's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._file = (0, 0)
        self._name = os.path.realpath(path)

    def try_acquire(self) -> bool:
        """Whether this process holds the lock now; may be asked again and again. Raises `OSError`."""
        self.let_go_of_inherited()
        if self._held.setdefault(self._key(), self) is not self:
            return False
        try:
            self._open()
            lockf(self._fd, _EXCLUSIVE_OR_ERROR)
        except (BlockingIOError, PermissionError) as error:  # POSIX lets a held lock be either
            self.close()
            if error.filename is not None:  # the file can't be opened
                raise
            return False
        except BaseException:
            self.close()
            raise
        return True

    def close(self) -> None:
        """Gives the lock back, if this object holds it."""
        if self._held.get(self._key()) is self:
            del self._held[self._key()]
        if self._is_file(self._fd):
            os.close(self._fd)
        self._fd = -1

    def holder(self) -> str:
        """As `FileLock.holder`."""
        if self._key() in self._held:
            return f"another thread of this process ({os.getpid()})"
        return _holder("POSIX", self._path.stat().st_ino)

    @classmethod
    def let_go_of_inherited(cls) -> None:
        """Closes what a fork copied from the parent: closed later, it would take the child's own lock along."""
        for key, lock in tuple(cls._held.items()):
            if key[0] != os.getpid():
                del cls._held[key]
                lock.close()

    def _open(self) -> None:
        """Opens the file; again if another one is at the path by now, or the application closed the descriptor."""
        if self._is_file(self._fd):
            if self._is_file(self._path):
                return
            os.close(self._fd)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        about = os.fstat(self._fd)
        self._file = about.st_dev, about.st_ino

    def _is_file(self, place: int | Path) -> bool:
        """Whether a descriptor or path means the file that was opened here."""
        if self._fd < 0:
            return False
        try:
            about = os.fstat(place) if isinstance(place, int) else place.stat()
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == self._file

    def _key(self) -> tuple[int, str]:
        return os.getpid(), self._name


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ProcessLock.let_go_of_inherited)


def _holder(kind: str, inode: int) -> str:
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            parts = line.split()
            if parts[1] == kind and parts[5].endswith(f":{inode}"):
                return f"process {parts[4]} ({_command(parts[4])})"
    except (OSError, IndexError):
        pass
    return "another process"


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "of another container"

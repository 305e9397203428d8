"""The locks of a journal: a lock for threads, which no exception leaves held, and an advisory lock on a file.

A signal handler that raises (Ctrl-C, the time limit of a task queue) does so between any two steps of a call, also
between taking a lock and entering the `try` that would give it back. So a `ThreadLock` belongs to a frame, and only for
as long as that frame runs: what has ended, by whatever exception and in whatever thread, holds nothing any more, and
the next to come notices. A file lock can't know that. Code that takes one does so inside two nested `try … finally`,
as an exception may be raised amid one of them, and holds a `ThreadLock` around it.

The size of the file is the generation: who closes a segment or ends a journal makes it a byte longer first. A writer
that finds it and the size of its segment as it left them can go on without asking for the segment's status, which would
cost more than the write itself (on Linux each look at a file's times makes the next write update them).

A lock lives in an open file description. It is never inherited over `fork` (the journal reopens its files in the
child), and the kernel releases it when its process dies, however it dies.

A lock on a file that was removed or replaced is no lock: another process would take that of the new file. So the path
is compared with the file that was locked, after it was locked, and the file that the path leads to is taken instead.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock, lockf
from os import SEEK_END, lseek
from pathlib import Path
from sys import _getframe, is_finalizing
from threading import Lock, get_ident
from types import FrameType
from typing import Any, ClassVar
from weakref import WeakSet

from ..errors import JournalLocked
from ..files import of_system
from ..locks import holder_in_words
from .descriptor import Descriptor

__all__ = ["LOOK_AGAIN", "FileLock", "Hold", "ProcessLock", "ThreadLock"]

LOOK_AGAIN = 0.05
"""Seconds after which a waiting thread looks whether the one it waits for has ended without waking it."""

_EXCLUSIVE_OR_ERROR = LOCK_EX | LOCK_NB

_WIDTH = 96
"""Bytes of the text in the file."""


class ThreadLock:
    """A lock among the threads of one process, taken by way of `Hold`.

    Taking it is one `setdefault` in `state`, which nothing divides: a lock that is taken says by whom. A thread that
    finds it taken by a frame that has ended moves to the next state, on which all agree by another `setdefault`; a
    state left behind stays taken, so that no thread still looking at it gets in. The `gate` is where threads wait, as
    quick as the system can; whether it is open decides nothing, and the thread that releases the lock opens it.
    """

    __slots__ = ("gate", "state")

    def __init__(self) -> None:
        self.gate = Lock()
        self.state: dict[str, Any] = {}


_HOLDER, _NEXT = "holder", "next"


class Hold:
    """A `ThreadLock`, held by the frame that made this: `with Hold(lock): …`, or `take` and `give_back`. Used once.

    The frame must end when an exception comes: as long as it runs, it counts as inside. The lock is taken right here if
    it is free, which saves nearly every `take`.
    """

    __slots__ = ("_lock", "_state", "_thread", "at_once", "frame")

    def __init__(self, lock: ThreadLock) -> None:
        self._lock = lock
        self._thread = get_ident()
        self._state = state = lock.state
        self.frame: FrameType | None = _getframe(1)
        """`None` once it was given back, to the last step."""
        self.at_once = lock.gate.acquire(False) and state.setdefault(_HOLDER, self) is self
        """Whether the lock was free."""

    def __enter__(self) -> Hold:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self, timeout: float = float("inf")) -> bool:
        """Whether the lock was free within `timeout` seconds.

        Raises `JournalLocked` at once when this very thread holds it, in a frame that it will go back to, or a thread
        that the end of the process has stopped: it would be waited for in vain.
        """
        if self.at_once:
            return True
        deadline = time.monotonic() + timeout
        while True:
            if not self._left_behind(self._lock.state):
                self._await_gate(min(deadline - time.monotonic(), LOOK_AGAIN))
            self._state = self._lock.state
            if self._state.setdefault(_HOLDER, self) is self:
                return True
            if time.monotonic() >= deadline:
                return False

    def _left_behind(self, state: dict[str, Any]) -> bool:
        """Leaves the state behind if who took it has ended; whether it has."""
        other = state.get(_HOLDER)
        if other is None:
            return False
        if other._ended():
            if state.get(_HOLDER) is other:  # else it gave the lock back before it ended
                self._lock.state = state.setdefault(_NEXT, {})
            return True
        if other._thread == self._thread:
            raise JournalLocked(
                "audit() was called while this very thread was recording or configuring, from a signal handler or a "
                "finalizer; the entry is not known to be recorded. Let the handler set a flag, and record from the "
                "main line of the program"
            )
        if is_finalizing():
            raise JournalLocked(
                "audit() was called while the process ends, which stopped another thread amid its call; the entry is "
                "not known to be recorded. Record before the interpreter is shut down, such as in a handler of atexit"
            )
        return False

    def _await_gate(self, seconds: float) -> None:
        if seconds > 0:
            self._lock.gate.acquire(timeout=seconds)

    def _ended(self) -> bool:
        """Whether the frame is left, or the lock given back. A frame that still runs refuses to be cleared."""
        frame = self.frame
        try:
            if frame is not None:
                frame.clear()
        except RuntimeError:
            return False
        return True

    def give_back(self, first: Callable[[], object] | None = None) -> None:
        """Gives the lock back if it is held, after `first`. To be done in any case, and may be done twice."""
        state = self._state
        if state.get(_HOLDER) is self:
            if first is not None:
                first()
            del state[_HOLDER]
            try:  # noqa: SIM105 (`suppress` would cost more than all the rest)
                self._lock.gate.release()
            except RuntimeError:  # it was open
                pass
        self.frame = None  # which refers to this: a cycle would keep what it holds until a collection


_file_locks: WeakSet[FileLock] = WeakSet()


class FileLock:
    """An exclusive lock on `path`. Not re-entrant and not shared between threads."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self.renewals = 0
        """How many times the file was found removed or replaced."""
        self._file = self._open()
        _file_locks.add(self)

    def _open(self) -> Descriptor:
        return Descriptor(self._path, os.O_RDWR | os.O_CREAT)

    def _renew(self) -> None:
        old = self._file
        old.close()
        self._file = self._open()
        self.renewals += not old.is_file_of(self._file)

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

    def try_acquire(self, look: bool = True) -> bool:
        """Whether the lock was free. Without a `look`, the file was compared with its path a moment ago.

        Raises `OSError` when the file can't be opened.
        """
        if look:
            return self._try_where_named()
        try:
            flock(self._file.fd, _EXCLUSIVE_OR_ERROR)
        except OSError as error:
            if not of_system(error):
                raise
            if isinstance(error, BlockingIOError):
                return False
            if error.errno != errno.EBADF:  # the application closed it a moment ago
                raise
            self._renew()
            return self.try_acquire(look=False)
        return True

    def _try_where_named(self) -> bool:
        if self._file.status() is None:
            self._renew()
        acquired = self.try_acquire(look=False)
        while not self._file.is_named():
            self._renew()
            acquired = self.try_acquire(look=False)
        return acquired

    def release(self) -> None:
        """May be done twice, and when it was not acquired."""
        if self._file.fd >= 0 and self._file.status() is not None:
            self.unlock()

    def unlock(self) -> None:
        """As `release`, without a look at what the number stands for."""
        fd = self._file.fd
        if fd >= 0:
            flock(fd, LOCK_UN)

    def generation(self) -> int:
        """Changes whenever a segment was closed or a journal ended."""
        return lseek(self._file.fd, 0, SEEK_END)

    def is_new(self) -> bool:
        """Whether nobody has made the file a byte longer."""
        return self._checked().st_size == 0

    def next_generation(self) -> None:
        """Tells every writer of the directory to look again, full disk or not. The lock is held."""
        size = self._checked().st_size
        os.ftruncate(self._file.fd, size + 1)

    def content(self) -> bytes:
        """The small text in the file, with spaces up to its width."""
        self._checked()
        return os.pread(self._file.fd, _WIDTH, 0)

    def replace(self, text: str) -> None:
        """Writes the text over the one before, of the same width, so that no reader sees half of each."""
        self._checked()
        os.pwrite(self._file.fd, text.ljust(_WIDTH - 1).encode() + b"\n", 0)

    def _checked(self) -> os.stat_result:
        """The status of the file, opened again if its number was given to another."""
        status = self._file.status()
        if status is None:
            self._renew()
            status = os.fstat(self._file.fd)
        return status

    def close(self) -> None:
        """Closes this process's descriptor, once; in a forked child that leaves the parent's lock alone."""
        self._file.close()

    def holder(self) -> str:
        """Who holds the lock, in words, as far as the system tells (Linux does)."""
        return holder_in_words("FLOCK", os.fstat(self._file.fd).st_ino)


class ProcessLock:
    """An exclusive lock on `path` that belongs to this process alone: no child that inherited the descriptor keeps it.

    It is a POSIX lock: the kernel gives it to a process, not to an open file, and so it is free as soon as the process
    has ended, even if processes forked from it still run. Such a lock is lost when the process closes any descriptor of
    the file; `try_acquire` is therefore repeated while the lock is used, and takes it again or says that another
    process has it. Within the process one object holds it at a time.
    """

    _held: ClassVar[dict[tuple[int, str], ProcessLock]] = {}
    """By process and path: what a parent held is no lock of the child's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.path.realpath(path)
        self._file: Descriptor | None = None

    def try_acquire(self) -> bool:
        """Whether this process holds the lock now; may be asked again and again. Raises `OSError`."""
        self.let_go_of_inherited()
        if self._held.setdefault(self._key(), self) is not self:
            return False
        try:
            lockf(self._opened().fd, _EXCLUSIVE_OR_ERROR)
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
        if self._file is not None:
            self._file.close()
            self._file = None

    def holder(self) -> str:
        """As `FileLock.holder`."""
        if self._key() in self._held:
            return f"another thread of this process ({os.getpid()})"
        return holder_in_words("POSIX", self._path.stat().st_ino)

    @classmethod
    def let_go_of_inherited(cls) -> None:
        """Closes what a fork copied from the parent: closed later, it would take the child's own lock along."""
        for key, lock in tuple(cls._held.items()):
            if key[0] != os.getpid():
                del cls._held[key]
                lock.close()

    def _opened(self) -> Descriptor:
        """The file, opened again if another one is at the path by now, or the application closed the descriptor."""
        if self._file is None or self._file.status() is None or not self._file.is_named():
            if self._file is not None:
                self._file.close()
            self._file = Descriptor(self._path, os.O_RDWR | os.O_CREAT)
        return self._file

    def _key(self) -> tuple[int, str]:
        return os.getpid(), self._name


def _let_go_of_inherited() -> None:
    """Closes the copies of locks that other threads of the parent hold: the child would keep them for its life."""
    for lock in tuple(_file_locks):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ProcessLock.let_go_of_inherited)
    os.register_at_fork(after_in_child=_let_go_of_inherited)

"""A file descriptor that is kept between calls: its number, and the file that the number must stand for.

The application may close any number (daemons close all of them), and its next file or socket gets that number. An
operator may rename, remove or replace the file meanwhile. So code that writes to, cuts, syncs or closes a file through
a number that it has kept compares device and inode of the number and of the path with those of the file that it opened.

Invariants:
- A number that stands for another file is never used and never closed: it is forgotten, and the file opened again.
- No number is 0, 1 or 2, to which an application prints also after it has closed its standard streams.
- A number whose `Descriptor` is gone is closed by `close_forgotten`, not by a finalizer: what a signal handler raises
  there (Ctrl-C, `sys.exit`) Python drops, and the application would go on.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import ref

from ..files import best_effort, identity, of_system, open_apart

__all__ = ["Descriptor", "close_forgotten"]


class _Number:
    """An open number, and the file that it was opened on."""

    __slots__ = ("fd", "file", "identity")

    def __init__(self) -> None:
        self.fd = -1
        self.file = (0, 0)
        self.identity: dict[str, int] = {}

    def open(self, path: Path, flags: int) -> None:
        fd = open_apart(path, flags)
        try:
            self.file, self.identity = _numbers(os.fstat(fd)), identity(fd)
            self.fd = fd
        except BaseException:
            os.close(fd)
            raise

    def status(self) -> os.stat_result | None:
        """The status of the file; `None` when the number doesn't stand for it any more."""
        try:
            status = os.fstat(self.fd)
        except OSError as error:
            if not of_system(error):
                raise
            return None
        return status if _numbers(status) == self.file else None

    def is_ours(self) -> bool:
        """As `status`, and for certain: a number may be reused for a file whose inode number is reused, too."""
        return self.status() is not None and identity(self.fd) == self.identity

    def close(self) -> None:
        """Once, if it stands for the file."""
        ours = self.fd >= 0 and self.is_ours()
        fd, self.fd = self.fd, -1  # first: repeated after an interruption, it might close the number of a successor
        if ours:
            os.close(fd)


class _Owner(ref["Descriptor"]):
    """Who uses a number; `None` if its user was gone before it had one."""

    number: _Number | None = None


_open: dict[_Number, _Owner] = {}
_forgotten: deque[Any] = deque()
"""Owners that are gone. Nothing but C puts them here, where no signal handler can raise."""


def close_forgotten() -> None:
    """Closes the numbers whose `Descriptor` is gone."""
    while _forgotten:
        with suppress(IndexError):  # another thread was quicker
            owner = _forgotten.popleft()
            if owner.number is not None:
                owner.number.close()
                _open.pop(owner.number, None)


class Descriptor:
    """The file that `path` led to when it was opened. `close_forgotten` closes it after the last reference."""

    __slots__ = ("__weakref__", "_flags", "_name", "_named", "_number", "fd", "path")

    def __init__(self, path: Path, flags: int) -> None:
        close_forgotten()
        self.path = path
        self._name = str(path)
        self._flags = flags & ~os.O_CREAT
        self._number = _Number()
        owner = _Owner(self, _forgotten.append)
        owner.number = self._number
        _open[self._number] = owner
        self._number.open(path, flags)  # last: wherever a signal handler raises, an open number has an owner
        self.fd = self._number.fd
        self._named = self._number.file
        with best_effort(FileNotFoundError):
            named = _numbers(os.lstat(path))
            if named[0] != self._named[0]:  # overlays of old kernels say something else of a path than of a descriptor
                self._named = named

    def status(self) -> os.stat_result | None:
        """The status of the file; `None` when the number doesn't stand for it any more."""
        return self._number.status()

    def is_named(self) -> bool:
        """Whether the path still leads to this file. Raises `OSError` when that can't be found out."""
        try:
            return _numbers(os.lstat(self._name)) == self._named
        except (FileNotFoundError, NotADirectoryError) as error:
            if not of_system(error):
                raise
            return False

    def recovered(self) -> os.stat_result:
        """As `status`; a file whose number was taken is opened again.

        Raises `FileNotFoundError` when the path doesn't lead to it any more, and `OSError`.
        """
        status = self.status()
        if status is not None:
            return status
        fd = open_apart(self.path, self._flags)
        if identity(fd) != self._number.identity:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "it was renamed, removed or replaced", str(self.path))
        self._number.fd = self.fd = fd
        return os.fstat(fd)

    def is_ours(self) -> bool:
        """As `status`, and for certain: a number may be reused for a file whose inode number is reused, too."""
        return self._number.is_ours()

    def is_file_of(self, other: Descriptor) -> bool:
        """Whether both were opened on one file."""
        ours, others = self._number, other._number
        return (ours.file, ours.identity) == (others.file, others.identity)

    def close(self) -> None:
        """Closes the number, once, if it stands for the file; in a forked child that leaves the parent's alone."""
        self._number.close()
        self.fd = -1
        _open.pop(self._number, None)


def _numbers(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

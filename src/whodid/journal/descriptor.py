"""A remembered descriptor: a number of this process, and the file that it must stand for.

The application may close any number (daemons close all of them), and its next file or socket gets that number. An
operator may rename, remove or replace the file meanwhile. So whoever writes to, cuts, syncs or closes a file through a
number that it has kept compares device and inode of the number and of the path with those of the file that it opened.

Invariants:
- A number that stands for another file is never used and never closed: it is forgotten, and the file opened again.
- No number is 0, 1 or 2, to which an application prints also after it has closed its standard streams.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from .file import identity, of_system, open_apart

__all__ = ["Descriptor"]


class Descriptor:
    """The file that `path` led to when it was opened. Closed with the last reference."""

    __slots__ = ("_file", "_flags", "_identity", "_name", "_named", "fd", "path")

    def __init__(self, path: Path, flags: int) -> None:
        self.fd = -1
        self._identity: dict[str, int] | None = None
        self.path = path
        self._name = str(path)
        self._flags = flags & ~os.O_CREAT
        self.fd = open_apart(path, flags)
        self._file = self._named = _numbers(os.fstat(self.fd))
        self._identity = identity(self.fd)
        with suppress(FileNotFoundError):
            named = _numbers(os.lstat(path))
            if named[0] != self._file[0]:  # overlays of old kernels say something else of a path than of a descriptor
                self._named = named

    def __del__(self) -> None:
        if hasattr(self, "_identity"):  # else it was interrupted before there was anything to close
            self.close()

    def status(self) -> os.stat_result | None:
        """The status of the file; `None` when the number doesn't stand for it any more."""
        try:
            status = os.fstat(self.fd)
        except OSError as error:
            if not of_system(error):
                raise
            return None
        return status if _numbers(status) == self._file else None

    def is_named(self) -> bool:
        """Whether the path still leads to this file. Raises `OSError` when that can't be found out."""
        try:
            return _numbers(os.lstat(self._name)) == self._named
        except (FileNotFoundError, NotADirectoryError):
            return False

    def recovered(self) -> os.stat_result:
        """As `status`; a file whose number was taken is opened again.

        Raises `FileNotFoundError` when the path doesn't lead to it any more, and `OSError`.
        """
        status = self.status()
        if status is not None:
            return status
        fd = open_apart(self.path, self._flags)
        if identity(fd) != self._identity:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "it was renamed, removed or replaced", str(self.path))
        self.fd = fd
        return os.fstat(fd)

    def is_ours(self) -> bool:
        """As `status`, and for certain: a number may be reused for a file whose inode number is reused, too."""
        return self.status() is not None and identity(self.fd) == self._identity

    def is_file_of(self, other: Descriptor) -> bool:
        """Whether both were opened on one file."""
        return (self._file, self._identity) == (other._file, other._identity)

    def close(self) -> None:
        """Closes the number, once, if it stands for the file; in a forked child that leaves the parent's alone."""
        ours = self.fd >= 0 and (self._identity is None or self.is_ours())
        fd, self.fd = self.fd, -1  # first: repeated after an interruption, it might close the number of a successor
        if ours:
            os.close(fd)


def _numbers(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

"""The small files of a journal directory: replaced whole, or appended to by the line; a link in their place is refused.

Crash behaviour: what is replaced is written new, synced, renamed, and the directory synced, so a reader sees the old
file or the new one. A line is appended so that it never merges with half a line that a crash or a full disk left
before it; readers skip that half.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import JournalDamaged
from ..foreign import json_of
from ..owned import why_foreign

__all__ = [
    "append_line",
    "best_effort",
    "dump",
    "identity",
    "linked",
    "make_directory",
    "of_system",
    "open_apart",
    "open_file",
    "open_new",
    "open_to_read",
    "read_file",
    "read_lines",
    "read_objects",
    "read_raw",
    "sync_above",
    "sync_directory",
    "write_all",
    "write_file",
    "write_parts",
]


def open_apart(path: Path, flags: int) -> int:
    """A descriptor for writing to a plain file, which is created with mode 0600 if `flags` say so.

    It is none of 0, 1 and 2: an application that has closed its standard streams still prints to these numbers. Raises
    `OSError`, and `JournalDamaged` for a file of another user.
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        _refuse_foreign(fd, path)
        _hand_over(fd, path)
        apart = fd if fd >= _ABOVE_STANDARD else fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    except BaseException:
        os.close(fd)
        raise
    if apart != fd:
        os.close(fd)
    return apart


_ABOVE_STANDARD = 3


def _hand_over(fd: int, path: Path) -> None:
    """What root creates belongs to the owner of its directory: one call as root must not lock the service out.

    A file with several names is left alone: it may be one that the owner of the directory has no right to.
    """
    if os.geteuid() == 0:
        status, above = os.fstat(fd), path.parent.stat()
        if status.st_uid == 0 != above.st_uid and status.st_nlink == 1:
            with suppress(PermissionError):  # root of a container that may not
                os.fchown(fd, above.st_uid, above.st_gid)


def make_directory(path: Path) -> None:
    """Creates a directory 0700; as root, for the owner of the one that it is in. Raises `OSError`."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        above = path.parent.stat()
        with suppress(PermissionError):
            os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


class open_new:  # noqa: N801 (reads as the verb it is)
    """A descriptor of a new file 0600, closed at the end of the block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._fd = open_apart(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def of_system(error: BaseException) -> bool:
    """Whether the operating system raised it. A signal handler may raise `TimeoutError`, too, which has no number."""
    return isinstance(error, OSError) and error.errno is not None


class best_effort:  # noqa: N801 (reads as the manner it is)
    """A block in which an error of the operating system is let pass."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        return error is not None and of_system(error)


def read_file(path: Path) -> bytes:
    """All of it. Raises `OSError`, and `JournalDamaged` for a link, or a file of another user, in its place."""
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> BinaryIO:
    """Open for reading. Raises as `read_file`."""
    try:
        fd = open_to_read(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise linked(path) from error
        raise
    return os.fdopen(fd, "rb")


def open_to_read(path: Path) -> int:
    """A descriptor for reading. Raises `OSError`, and `JournalDamaged` for a file of another user."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _refuse_foreign(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_foreign(fd: int, path: Path) -> None:
    """Several names are allowed: there are backups that link what was closed."""
    if why := why_foreign(os.fstat(fd), path.parent.stat().st_uid):
        raise JournalDamaged(f"{path} is not trusted: {why}. Find out who put it there, and move it away")


def linked(path: Path | str) -> JournalDamaged:
    return JournalDamaged(f"{path} is a symbolic link; the journal's files must be plain files. Put the real file back")


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it. Raises `OSError`, also where only a part of it fits."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes fit")


def write_file(path: Path, content: bytes) -> None:
    """Replaces a small file so that a crash leaves the old or the new one whole."""
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """As `write_file`, with one part after the other."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with open_new(new) as fd:
            for part in parts:
                write_all(fd, part)
            os.fsync(fd)
        new.replace(path)
    except OSError:
        with best_effort():  # on a full disk each byte counts
            new.unlink()
        raise
    sync_directory(path.parent)


def append_line(path: Path, *lines: bytes) -> None:
    """Appends lines, durable on return. Raises `OSError`; part of a line may then be there, which readers skip."""
    data = b"".join([line.rstrip(b"\n") + b"\n" for line in lines])
    fd = open_apart(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        if os.fstat(fd).st_size == 0:
            sync_directory(path.parent)  # before there is anything in it: who finds a line needn't ask
        write_all(fd, data)
        start = os.lseek(fd, 0, os.SEEK_CUR) - len(data)
        if start and os.pread(fd, 1, start - 1) != b"\n":  # it ran on from half a line
            write_all(fd, b"\n" + data)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole JSON objects of a file made by `append_line`, one by one; a missing file has none."""
    return (line for line, _ in read_objects(path))


def read_objects(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """As `read_lines`, each with what it holds."""
    for line in read_raw(path):
        try:
            content = json_of(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield line, content


def read_raw(path: Path) -> Iterator[bytes]:
    """Every line that has an end, whatever it holds."""
    try:
        file = open_file(path)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def sync_directory(path: Path) -> None:
    """Makes creations and renames in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_above(path: Path) -> None:
    """Makes the name of the directory `path` durable, where this user may."""
    with suppress(PermissionError):
        sync_directory(path.resolve().parent)


def dump(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"


def identity(fd: int) -> dict[str, int]:
    """What tells a file from a copy of it: its inode, and where the file system keeps one, the inode's generation.

    A number alone may be given again, as soon as to the copy that replaces a deleted file.
    """
    found = {"inode": os.fstat(fd).st_ino}
    with best_effort():  # not every file system has generations
        found["generation"] = int.from_bytes(ioctl(fd, _GENERATION, bytes(8))[:4], sys.byteorder)
    return found


_GENERATION = 0x80087601
"""FS_IOC_GETVERSION of Linux; elsewhere an error."""

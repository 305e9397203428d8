"""The disk under attack: each system call by which whodid changes files below a folder, to be counted, failed, noted.

A patch of `os`, undone at the end of the block. Python's own reading of files (`open`, `stat`) passes by unseen.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import whodid.journal.reader
import whodid.journal.segment

__all__ = ["CTRL_C", "Call", "Fault", "Killed", "System", "disk", "failing", "without_syncs"]

System = Callable[..., Any]
"""One of the functions of `os`, as it is."""

_OF_A_PATH = ("open", "mkdir", "rmdir", "unlink", "rename", "replace", "link", "listdir")
_OF_A_DESCRIPTOR = ("write", "pwrite", "pread", "fsync", "ftruncate", "fchmod")
_NEEDS_SPACE = ("open", "mkdir", "write", "pwrite")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name in `os`, the path that it is about, and its arguments."""

    name: str
    path: str
    arguments: tuple[Any, ...]


Through = Callable[[Call, System], Any]
"""Does a call, or what a broken disk would do in its place."""


class Killed(BaseException):
    """In the place of SIGKILL: nothing that this process does reaches the disk any more."""


@contextmanager
def disk(root: Path, through: Through) -> Iterator[None]:
    """All calls about files below `root` go `through`, for the block. Real syncs are left out: nothing loses power."""
    home = f"{root}{os.sep}"

    def instead(name: str, system: System) -> System:
        def call(target: Any, *arguments: Any, **keywords: Any) -> Any:
            path = _path_of(target)
            if path != str(root) and not path.startswith(home):
                return system(target, *arguments, **keywords)
            return through(Call(name, path, (target, *arguments)), lambda *given: system(*given, **keywords))

        return call

    with ExitStack() as stack:
        for name in (*_OF_A_PATH, *_OF_A_DESCRIPTOR):
            system = _no_sync if name == "fsync" else getattr(os, name)
            stack.enter_context(patch.object(os, name, instead(name, system)))
        for module in (whodid.journal.segment, whodid.journal.reader):
            stack.enter_context(patch.object(module, "datasync", instead("fdatasync", _no_sync)))
        yield


def _no_sync(_fd: int) -> None:
    pass


@contextmanager
def without_syncs() -> Iterator[None]:
    """Real syncs are left out for the block, and nothing else: they take most of the time, and nothing loses power."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(os, "fsync", _no_sync))
        for module in (whodid.journal.segment, whodid.journal.reader):
            stack.enter_context(patch.object(module, "datasync", _no_sync))
        yield


def _path_of(target: Any) -> str:
    if not isinstance(target, int):
        return str(target)
    try:
        return str(Path(f"/proc/self/fd/{target}").readlink())
    except OSError:
        return ""


CTRL_C = -1
"""In the place of an error number: a `KeyboardInterrupt`, as Python raises it between two steps."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: an error instead of the call, after it was done all the same, or half of what is to be written.

    `lasting` faults go on from there: no space for whatever needs some, or an error at each call.
    """

    name: str
    number: int = 0
    done: bool = False
    lasting: bool = False

    def applies(self, call: Call) -> bool:
        if self.number == errno.ENOSPC:
            return call.name in _NEEDS_SPACE
        return self.number != 0 or call.name in ("write", "pwrite")

    def __call__(self, call: Call, system: System) -> Any:
        if self.number == 0:
            fd, data, *rest = call.arguments
            return system(fd, data[: len(data) // 2], *rest)
        if self.number == errno.ENOSPC and call.name == "open" and not _makes(call):
            return system(*call.arguments)
        if self.number == errno.ENOSPC and call.name == "pwrite" and _inside(call):
            return system(*call.arguments)
        if self.done:
            result = system(*call.arguments)
            if call.name == "open":
                os.close(result)
        if self.number == CTRL_C:
            raise KeyboardInterrupt
        raise OSError(self.number, os.strerror(self.number), call.path)


def _makes(call: Call) -> bool:
    return bool(call.arguments[1] & os.O_CREAT) and not Path(call.path).exists()


def _inside(call: Call) -> bool:
    """Whether a write goes over what is there, which needs no space."""
    fd, data, offset = call.arguments
    return bool(offset + len(data) <= os.fstat(fd).st_size)


@contextmanager
def failing(root: Path, fault: Fault, number: int) -> Iterator[Callable[[], int]]:
    """The call with that number, of those the fault applies to, meets it; 0 for none. Gives how many there were."""
    count = 0
    lock = threading.Lock()

    def through(call: Call, system: System) -> Any:
        nonlocal count
        if not fault.applies(call):
            return system(*call.arguments)
        with lock:
            count += 1
            mine = count
        if mine == number or (fault.lasting and mine > number > 0):
            return fault(call, system)
        return system(*call.arguments)

    with disk(root, through):
        yield lambda: count

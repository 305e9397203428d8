"""A power loss: what a disk may hold after one, made from each file operation that came before it.

The model is harsher than most file systems. What a file was given since its last sync is there, missing, torn at any
byte, in any order, or a run of zeros; its length may have grown without its content. Each name that was made, moved or
removed since the directory's last sync is so, or still as before, in any combination; only a rename is one step.
A sync of a file says nothing about its name.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.disk import Call, System
from whodid.journal.directory import identity

__all__ = ["Recording"]

Step = Callable[["_Disk"], None]


@dataclass
class _File:
    """What is on disk, and the changes since: each takes the content and gives it changed."""

    durable: bytes = b""
    mode: int = 0o600
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    """Bytes written at an offset, or the length that the file was cut to."""


@dataclass
class _Folder:
    """Names that are on disk, and the changes since: a few names at once, each to a node or to nothing."""

    durable: dict[str, int] = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)

    def names(self) -> dict[str, int]:
        """As a running process sees them."""
        return _applied(self.durable, self.pending)


class _Disk:
    """Every node by its number; 0 is the root, whose own name is never lost."""

    def __init__(self) -> None:
        self.files: dict[int, _File] = {}
        self.folders: dict[int, _Folder] = {0: _Folder()}


class Recording:
    """Passes calls below `root` on (see `disk`), and notes them; `mark` notes what someone was told in between."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._nodes: dict[int, int] = {root.stat().st_ino: 0}  # by inode, whose numbers are used again
        self._made = 0
        self._steps: list[Step] = []
        self._find(root, 0)
        self.length = len(self._steps)

    def __call__(self, call: Call, system: System) -> Any:
        before = self._ino(call.path)
        if call.name == "write":
            offset = os.fstat(call.arguments[0]).st_size  # whatever is written so is appended, or all of a new file
        else:
            offset = call.arguments[2] if call.name == "pwrite" else 0
        result = system(*call.arguments)
        note = getattr(self, f"_{call.name}", None)
        if note:
            note(call, before, offset, result)
        return result

    def _find(self, path: Path, folder: int) -> None:
        """What is there from the beginning is on disk."""
        for found in sorted(path.iterdir()):
            node = self._new(found.stat().st_ino)
            if found.is_dir():
                self._steps.append(partial(_make, folder=folder, name=found.name, node=node))
                self._find(found, node)
            else:
                file = (found.read_bytes(), found.stat().st_mode)
                self._steps.append(partial(_make, folder=folder, name=found.name, node=node, file=file))
                self._steps.append(partial(_sync, node=node))
        self._steps.append(partial(_sync, node=folder))

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self.length = len(self._steps)

    def _ino(self, path: str | Path) -> int:
        try:
            return os.lstat(path).st_ino
        except OSError:
            return 0

    def _fd(self, call: Call) -> int:
        return self._nodes[os.fstat(call.arguments[0]).st_ino]

    def _folder(self, path: str | Path) -> int:
        return self._nodes[Path(path).parent.stat().st_ino]

    def _new(self, ino: int) -> int:
        self._made += 1
        self._nodes[ino] = self._made
        return self._made

    def _open(self, call: Call, before: int, _offset: int, fd: int) -> None:
        if not before:
            node, folder, name = self._new(os.fstat(fd).st_ino), self._folder(call.path), Path(call.path).name
            self._note(partial(_make, folder=folder, name=name, node=node, file=(b"", 0o600)))
        elif call.arguments[1] & os.O_TRUNC:
            node = self._nodes[before]
            self._note(lambda disk: disk.files[node].pending.append(0))

    def _mkdir(self, call: Call, _before: int, _offset: int, _result: None) -> None:
        node, folder, name = self._new(self._ino(call.path)), self._folder(call.path), Path(call.path).name
        self._note(partial(_make, folder=folder, name=name, node=node))

    def _write(self, call: Call, _before: int, offset: int, written: int) -> None:
        node, data = self._fd(call), bytes(call.arguments[1])[:written]
        self._note(lambda disk: disk.files[node].pending.append((offset, data)))

    _pwrite = _write

    def _ftruncate(self, call: Call, _before: int, _offset: int, _result: None) -> None:
        node, size = self._fd(call), call.arguments[1]
        self._note(lambda disk: disk.files[node].pending.append(size))

    def _fchmod(self, call: Call, _before: int, _offset: int, _result: None) -> None:
        node, mode = self._fd(call), call.arguments[1]
        self._note(lambda disk: setattr(disk.files[node], "mode", mode))

    def _fsync(self, call: Call, _before: int, _offset: int, _result: None) -> None:
        node = self._fd(call)
        self._note(lambda disk: _sync(disk, node))

    _fdatasync = _fsync

    def _unlink(self, call: Call, _before: int, _offset: int, _result: None) -> None:
        folder, name = self._folder(call.path), Path(call.path).name
        self._note(lambda disk: disk.folders[folder].pending.append({name: None}))

    _rmdir = _unlink

    def _rename(self, call: Call, before: int, _offset: int, _result: None) -> None:
        old, new = Path(call.path), Path(call.arguments[1])
        assert old.parent == new.parent, "a move between directories is not modelled"
        node, folder = self._nodes[before], self._folder(new)
        self._note(lambda disk: disk.folders[folder].pending.append({old.name: None, new.name: node}))

    _replace = _rename

    def _link(self, call: Call, before: int, _offset: int, _result: None) -> None:
        node, new = self._nodes[before], Path(call.arguments[1])
        folder = self._folder(new)
        self._note(lambda disk: disk.folders[folder].pending.append({new.name: node}))

    def after(self, steps: int, random: Random, into: Path) -> None:
        """Makes `into` what the disk may hold after a power loss that came after so many steps."""
        disk = _Disk()
        for step in self._steps[:steps]:
            step(disk)
        into.mkdir()
        _materialise(disk, 0, into, random)


def _make(disk: _Disk, folder: int, name: str, node: int, file: tuple[bytes, int] | None = None) -> None:
    """A new name: of a file with that content and mode, or of a directory."""
    if file:
        disk.files[node] = _File(*file)
    else:
        disk.folders[node] = _Folder()
    disk.folders[folder].pending.append({name: node})


def _sync(disk: _Disk, node: int) -> None:
    if node in disk.folders:
        folder = disk.folders[node]
        folder.durable, folder.pending = folder.names(), []
    else:
        file = disk.files[node]
        for change in file.pending:
            file.durable = _changed(file.durable, change)
        file.pending = []


def _applied(names: dict[str, int], changes: list[dict[str, int | None]]) -> dict[str, int]:
    found = dict(names)
    for change in changes:
        for name, node in change.items():
            if node is None:
                found.pop(name, None)
            else:
                found[name] = node
    return found


def _changed(content: bytes, change: tuple[int, bytes] | int) -> bytes:
    if isinstance(change, int):
        return content[:change].ljust(change, b"\0")
    offset, data = change
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


def _some(changes: list[Any], random: Random) -> list[Any]:
    """None of them, all, the first few, or any."""
    kind = random.randrange(4)
    if kind < 2:
        return changes * kind
    if kind == 2:
        return changes[: random.randint(0, len(changes))]
    return [change for change in changes if random.random() < 0.5]


def _materialise(disk: _Disk, node: int, into: Path, random: Random) -> None:
    folder = disk.folders[node]
    for name, child in sorted(_applied(folder.durable, _some(folder.pending, random)).items()):
        path = into / name
        if child in disk.folders:
            path.mkdir(0o700)
            _materialise(disk, child, path, random)
        else:
            _write_out(path, disk.files[child], random)


def _write_out(path: Path, file: _File, random: Random) -> None:
    content = file.durable
    for change in _some(file.pending, random):
        content = _changed(content, _torn(change, random))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, _marked(content, fd) if path.name == "journal.json" else content)
    os.fchmod(fd, stat.S_IMODE(file.mode if random.random() < 0.5 else 0o600))
    os.close(fd)


def _torn(change: tuple[int, bytes] | int, random: Random) -> tuple[int, bytes] | int:
    if isinstance(change, int) or random.random() < 0.5:
        return change
    offset, data = change
    cut = random.randint(0, random.choice([len(data), min(len(data), 128)]))
    return offset, random.choice([data[:cut], data[:cut] + b"\0" * (len(data) - cut), b"\0" * cut + data[cut:]])


def _marked(content: bytes, fd: int) -> bytes:
    """A marker says which file it is, which is another one here."""
    try:
        return json.dumps({**json.loads(content), **identity(fd)}).encode()
    except ValueError:
        return content

"""Seeking: an entry of a journal found by its number, without reading what stands before it."""

from __future__ import annotations

import os
from pathlib import Path

from ..files import open_to_read
from ..integrity import read_line
from .directory import segments
from .line import Line

__all__ = ["entry_at"]

_NEAR = 1 << 17
"""Bytes that are searched line by line: two of the longest lines."""


def entry_at(journal: Path, seq: int) -> Line | None:
    """Entry number `seq`, or the first whole one after it in the same segment. Raises `OSError`, `JournalDamaged`."""
    found = [path for path in segments(journal) if int(path.stem) <= seq]
    if not found:
        return None
    fd = open_to_read(found[-1])
    try:
        return _search(fd, seq)
    finally:
        os.close(fd)


def _search(fd: int, seq: int) -> Line | None:
    low, high = 0, os.lseek(fd, 0, os.SEEK_END)
    while high - low > _NEAR:
        middle = (low + high) // 2
        line = _first_line(os.pread(fd, _NEAR, middle).partition(b"\n")[2])
        if line is None or line.seq >= seq:
            high = middle
        else:
            low = middle
    data = os.pread(fd, high - low + 2 * _NEAR, low)
    data = data if low == 0 else data.partition(b"\n")[2]
    while data:
        line = _first_line(data)
        if line is None or line.seq >= seq:
            return line
        data = data[data.index(line.raw) + len(line.raw) + 1 :]
    return None


def _first_line(data: bytes) -> Line | None:
    """The first line in `data` that is an entry, whole and undamaged."""
    for raw in data.split(b"\n")[:-1]:
        try:
            entry = read_line(raw)
        except ValueError:
            continue
        return Line(entry["journal"], entry["seq"], entry["hash"], str(entry.get("creation_date", "")), raw)
    return None

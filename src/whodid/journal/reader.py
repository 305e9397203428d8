"""Readers of a journal's entries, in order, for the shipper and `whodid search --local`.

- Only lines that end in a newline are read. A segment is synced before its lines are returned, so that nothing leaves
  the host that a power loss could undo.
- A line with a hash mismatch is returned as `Damaged`: it is quarantined and counted, and reading continues. So is an
  entry whose number was used before, or that belongs to another journal.
- Missing numbers are returned as `Missing`, before the entry that follows them.
- A segment is identified by its inode. If it was replaced or truncated, it is read again from its start; entries are
  not returned twice.

A line that links to the previous one, in the form that writers produce, is verified from its bytes without parsing, at
half the cost. This is safe: the verified bytes contain the hash of the previous entry, so the line is the next entry of
the same journal. Any other line is parsed.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ..entry import SCHEMA_VERSION
from ..files import open_to_read
from ..integrity import line_hash, read_line
from ..settings import Settings
from .directory import JournalDirectory, segments
from .segment import datasync

__all__ = [
    "Damaged",
    "JournalReader",
    "Line",
    "LineParser",
    "Missing",
    "Read",
    "entry_at",
    "follow_journal",
    "new_entries",
    "read_entries",
]


class Line(NamedTuple):
    """One journalled entry: `raw` is its line without the newline, `date` its creation_date."""

    journal: str
    seq: int
    hash: str
    date: str
    raw: bytes

    @property
    def entry(self) -> dict[str, Any]:
        """The parsed entry."""
        entry: dict[str, Any] = orjson.loads(self.raw)
        return entry


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line with a hash mismatch, or that is not an entry.

    If `line` is set, it is a valid entry with the wrong number or journal for its place; it is shipped too.
    """

    segment: Path
    offset: int
    raw: bytes
    reason: str
    line: Line | None = None


class Missing(NamedTuple):
    """A range of entries that are in no segment; `last` is 0 if a whole segment of unknown content is missing."""

    journal: str
    first: int
    last: int

    def holds(self, seq: int) -> bool:
        return self.first <= seq <= self.last

    @property
    def entries(self) -> int:
        """The number of missing entries; at least 1 if unknown."""
        return max(1, self.last - self.first + 1)


class LineParser:
    """Parses the lines of one journal, in order."""

    def __init__(self) -> None:
        self._last = Line("", 0, "", "", b"")
        self._hash = b"-"

    def parse(self, path: Path, offset: int, data: bytes) -> list[Line | Damaged]:
        """Parses `data`, complete lines of the segment at `path` that start at `offset`."""
        lines: list[Line | Damaged] = []
        for raw in data[:-1].split(b"\n"):
            line = self._next(raw)
            if line is None:
                try:
                    line = self._any(raw)
                except ValueError as error:
                    lines.append(Damaged(path, offset, raw, str(error)[:300]))
            if line is not None:
                self._last, self._hash = line, line.hash.encode()
                lines.append(line)
            offset += len(raw) + 1
        return lines

    def _any(self, raw: bytes) -> Line:
        """Parses any line. Raises `ValueError` for a hash mismatch."""
        entry = read_line(raw)
        if not _ID.fullmatch(entry["journal"]):  # it becomes part of a document's ID
            raise ValueError("its journal ID is not valid")
        return Line(entry["journal"], entry["seq"], entry["hash"], str(entry.get("creation_date", "")), raw)

    def _next(self, raw: bytes) -> Line | None:
        """The line if it links to the last one in the form of this version's writer; else `None`.

        Only strings follow `prev` on the top level, and they contain no unescaped quote, so the last `prev` in the line
        is that of the entry. A `creation_date` before any nested brace is that of the entry too.
        """
        prev = raw.rfind(b'"prev":"') + 8
        if not raw.startswith(self._hash, prev) or raw.find(_VERSION, prev) < 0:
            return None
        hash_ = line_hash(raw)
        date = raw.find(b'"creation_date":"', 75) + 17
        nested = raw.find(b"{", 75, date) >= 0
        if hash_ is None or not raw.startswith(hash_.encode(), 9) or nested or raw.find(b'"', date) != date + 20:
            return None
        return _new(Line, (self._last.journal, self._last.seq + 1, hash_, raw[date : date + 20].decode("latin-1"), raw))


_VERSION = f',"schema_version":"{SCHEMA_VERSION}","seq":'.encode()
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_new = tuple.__new__

_JOURNAL = re.compile(r"[0-9a-f]{16}")

Read = Line | Damaged | Missing


class JournalReader:
    """Reads one journal, starting behind entry `after`; each call continues where the previous one stopped.

    `on_sync` is called with the seconds that each sync took.
    """

    def __init__(
        self, journal: Path, after: int = 0, *, on_sync: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._journal = journal
        self._on_sync = on_sync
        self._after = after
        self._skipping = after > 0
        self._damaged = 0
        self._segment: Path | None = None
        self._file = (0, 0)
        self._offset = 0
        self._parser = LineParser()

    @property
    def last(self) -> int:
        """The highest number that was returned, or the initial `after`."""
        return self._after

    def read(self, max_bytes: int = 1 << 20) -> list[Read]:
        """The next complete lines, about `max_bytes` at most; an empty list if there are none yet."""
        while True:
            found = segments(self._journal)
            if not found:
                return []
            if self._segment is None:
                self._segment = _holding(found, self._after + 1)
                self._skipping = int(self._segment.stem) <= self._after
            # Before reading: nothing is appended to a segment that has a successor.
            successor = next((path for path in found if path.name > self._segment.name), None)
            lines = self._read_segment(self._segment, max_bytes)
            if lines is not None:
                if lines:
                    return lines
                continue
            if successor is None:
                return []
            self._segment, self._offset = successor, 0

    def _read_segment(self, path: Path, max_bytes: int) -> list[Read] | None:
        """The content of the next bytes, empty if all lines are skipped; `None` at the end of the segment."""
        try:
            data = self._synced_bytes(path, max_bytes)
        except FileNotFoundError:  # pruned since it was listed; if it was lost, the next number shows a gap
            return None
        end = data.rfind(b"\n") + 1
        if not end:
            return None
        start = self._offset
        self._offset += end
        lines = self._parser.parse(path, start, data[:end])
        if self._skipping:
            start += sum(len(line.raw) + 1 for line in lines)
            lines = [line for line in lines if self._wanted(line)]
            start -= sum(len(line.raw) + 1 for line in lines)
        return self._steps(path, start, lines)

    def _steps(self, path: Path, offset: int, lines: list[Line | Damaged]) -> list[Read]:
        """The lines, with gaps and errors in their numbers; `offset` is the position of the first line."""
        found: list[Read] = []
        for line in lines:
            if isinstance(line, Damaged):
                self._damaged += 1
                found.append(line)
            elif line.journal != self._journal.name:
                about = f"it is an entry of journal {line.journal[:100]!r}"
                known = line if _JOURNAL.fullmatch(line.journal) else None
                found.append(Damaged(path, offset, line.raw, about, known))
            elif line.seq <= self._after:
                reason = f"number {line.seq} follows number {self._after}: it was used twice, or moved here"
                found.append(Damaged(path, offset, line.raw, reason, line))
            else:
                if line.seq > self._after + 1 + self._damaged:
                    found.append(Missing(line.journal, self._after + 1, line.seq - 1))
                self._after, self._damaged = line.seq, 0
                found.append(line)
            offset += len(line.raw) + 1
        return found

    def _synced_bytes(self, path: Path, max_bytes: int) -> bytes:
        """The next bytes, synced to disk: at least one complete line if there is one."""
        fd = open_to_read(path)
        try:
            status = os.fstat(fd)
            size = status.st_size
            self._restart_if_replaced((status.st_dev, status.st_ino), size)
            offset = self._offset
            if size <= offset:
                return b""
            began = time.perf_counter()
            datasync(fd)
            self._on_sync(time.perf_counter() - began)
            wanted = min(size - offset, max_bytes)
            data = os.pread(fd, wanted, offset)
            while b"\n" not in data and len(data) < size - offset:
                wanted = min(size - offset, 2 * wanted)
                data = os.pread(fd, wanted, offset)
            return data
        finally:
            os.close(fd)

    def _restart_if_replaced(self, file: tuple[int, int], size: int) -> None:
        if self._offset and (file != self._file or size < self._offset):
            self._offset, self._skipping = 0, self._after > 0
        self._file = file

    def _wanted(self, line: Line | Damaged) -> bool:
        """Whether a line follows those that were returned; so does a damaged line directly behind them."""
        if not self._skipping:
            return True
        if isinstance(line, Line) and line.seq >= self._after:
            self._skipping = False
            return line.seq > self._after
        return False


def _holding(found: list[Path], seq: int) -> Path:
    """The segment that holds entry `seq`, or will hold it."""
    return next((path for path in reversed(found) if int(path.stem) <= seq), found[0])


def read_entries(journal_dir: str | Path) -> Iterator[dict[str, Any]]:
    """All entries in the journal directory, journal by journal, oldest first, without damaged lines."""
    return new_entries(JournalDirectory(journal_dir), {})


def new_entries(directory: JournalDirectory, readers: dict[str, JournalReader]) -> Iterator[dict[str, Any]]:
    """As `read_entries`, but continues where `readers` (by journal) stopped, and adds readers of new journals."""
    for journal in directory.journals():
        reader = readers.setdefault(journal, JournalReader(directory.journal(journal)))
        while lines := reader.read():
            for one in lines:
                line = one.line if isinstance(one, Damaged) else one
                if isinstance(line, Line):
                    yield line.entry


_NEAR = 1 << 17
"""Number of bytes that are searched line by line: two lines of maximum length."""


def entry_at(journal: Path, seq: int) -> Line | None:
    """Finds entry `seq`, or the next undamaged one in the same segment, by bisection.

    Raises `OSError` or `JournalDamaged`.
    """
    found = [path for path in segments(journal) if int(path.stem) <= seq]
    if not found:
        return None
    fd = open_to_read(found[-1])
    try:
        return _search(fd, seq)
    finally:
        os.close(fd)


def _search(fd: int, seq: int) -> Line | None:
    low, high = 0, os.fstat(fd).st_size
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
    """The first line in `data` that is a complete and undamaged entry."""
    for raw in data.split(b"\n")[:-1]:
        try:
            entry = read_line(raw)
        except ValueError:
            continue
        return Line(entry["journal"], entry["seq"], entry["hash"], str(entry.get("creation_date", "")), raw)
    return None


def follow_journal(settings: Settings, number: int, pause: Callable[[], None] | None) -> Iterator[list[dict[str, Any]]]:
    """Yields the last `number` entries, oldest first; then, with a `pause`, the new entries after each pause."""
    directory = JournalDirectory(settings.journal_dir)
    readers: dict[str, JournalReader] = {}
    yield list(deque(new_entries(directory, readers), maxlen=number))
    while pause is not None:
        pause()
        yield list(new_entries(directory, readers))

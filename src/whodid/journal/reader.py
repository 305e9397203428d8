"""The reader: the entries of a journal in order, as the shipper and `whodid tail --local` take them.

A reader takes only lines that end in a newline, and syncs a segment before it hands its lines out, so that nothing
leaves the host that a power loss could take back. A line whose hash does not fit is handed out as `Damaged`: it is
quarantined and counted, and stops nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .directory import JournalDirectory, segments
from .line import Damaged, Line, LineParser
from .segment import datasync

__all__ = ["JournalReader", "new_entries", "read_entries"]


class JournalReader:
    """Reads one journal from the entry after `after` on, and goes on from where it stopped at each call.

    `on_sync` is told how many seconds each sync took.
    """

    def __init__(
        self, journal: Path, after: int = 0, *, on_sync: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._journal = journal
        self._on_sync = on_sync
        self._after = after
        self._skipping = after > 0
        self._segment: Path | None = None
        self._offset = 0
        self._parser = LineParser()

    def read(self, max_bytes: int = 1 << 20) -> list[Line | Damaged]:
        """The next whole lines, at most about `max_bytes` of them; an empty list when there are none yet."""
        while True:
            found = segments(self._journal)
            if not found:
                return []
            if self._segment is None:
                self._segment = _holding(found, self._after + 1)
                self._skipping = int(self._segment.stem) <= self._after
            # Looked up before reading: nothing is appended to a segment once it has a successor.
            successor = next((path for path in found if path.name > self._segment.name), None)
            lines = self._read_segment(self._segment, max_bytes)
            if lines is not None:
                if lines:
                    return lines
                continue
            if successor is None:
                return []
            self._segment, self._offset = successor, 0

    def _read_segment(self, path: Path, max_bytes: int) -> list[Line | Damaged] | None:
        """What the next bytes hold, perhaps only lines to skip; `None` at the end of the segment."""
        try:
            start, data = self._offset, self._synced_bytes(path, self._offset, max_bytes)
        except FileNotFoundError:  # pruned since it was listed: everything in it was acknowledged
            return None
        end = data.rfind(b"\n") + 1
        if not end:
            return None
        self._offset += end
        lines = self._parser.parse(path, start, data[:end])
        return [line for line in lines if self._wanted(line)] if self._skipping else lines

    def _synced_bytes(self, path: Path, offset: int, max_bytes: int) -> bytes:
        """Bytes from `offset` on that are on disk: at least one whole line if there is one."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
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

    def _wanted(self, line: Line | Damaged) -> bool:
        """Whether a line comes after `after`; a damaged one right behind it does."""
        if not self._skipping:
            return True
        if isinstance(line, Line) and line.seq >= self._after:
            self._skipping = False
            return line.seq > self._after
        return False


def _holding(found: list[Path], seq: int) -> Path:
    """The segment in which entry `seq` is, or will be."""
    return next((path for path in reversed(found) if int(path.stem) <= seq), found[0])


def read_entries(journal_dir: str | Path) -> Iterator[dict[str, Any]]:
    """Every entry still in the journal directory, journal by journal, oldest first; damaged lines are left out."""
    return new_entries(JournalDirectory(journal_dir), {})


def new_entries(directory: JournalDirectory, readers: dict[str, JournalReader]) -> Iterator[dict[str, Any]]:
    """As `read_entries`, from where `readers` (by journal) stopped; journals that it lacks are added to it."""
    for journal in directory.journals():
        reader = readers.setdefault(journal, JournalReader(directory.journal(journal)))
        while lines := reader.read():
            yield from (line.entry for line in lines if isinstance(line, Line))

"""Lines of a journal: entries that are verified against their hash, damaged lines, and gaps.

A line that links to the previous one, in the form that writers produce, is verified from its bytes without parsing, at
half the cost. This is safe: the verified bytes contain the hash of the previous entry, so the line is the next entry of
the same journal. Any other line is parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ..entry import SCHEMA_VERSION
from ..integrity import line_hash, read_line

__all__ = ["Damaged", "Line", "LineParser", "Missing"]


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

"""The line: one journalled entry as readers hand it out, checked against its hash; or the damage that stands there.

A line that goes on from the one before it, in the form that writers give it, is checked from its bytes alone, at half
the cost of parsing it. That is sound: its bytes hash to what was sealed, commitments included, and what was sealed
names the hash of the entry before; so it is the next entry of the same journal. Any other line is parsed.
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
    """One journalled entry: `raw` is its line without the newline, the rest what it says (`date` its creation_date)."""

    journal: str
    seq: int
    hash: str
    date: str
    raw: bytes

    @property
    def entry(self) -> dict[str, Any]:
        """The whole of it, parsed."""
        entry: dict[str, Any] = orjson.loads(self.raw)
        return entry


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line whose hash does not fit, or that is no entry at all.

    With a `line`, an entry all the same, whose number or journal does not belong there: it is shipped, too.
    """

    segment: Path
    offset: int
    raw: bytes
    reason: str
    line: Line | None = None


class Missing(NamedTuple):
    """Entries that are in no segment; `last` is 0 where a segment is gone, and nobody knows what it held."""

    journal: str
    first: int
    last: int

    def holds(self, seq: int) -> bool:
        return self.first <= seq <= self.last

    @property
    def entries(self) -> int:
        """How many they are, or may be: at least one."""
        return max(1, self.last - self.first + 1)


class LineParser:
    """Parses the lines of one journal, in order."""

    def __init__(self) -> None:
        self._last = Line("", 0, "", "", b"")
        self._hash = b"-"

    def parse(self, path: Path, offset: int, data: bytes) -> list[Line | Damaged]:
        """What `data`, whole lines of the segment at `path` from `offset` on, holds."""
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
        """A line of which nothing is known. Raises `ValueError` when its hash doesn't fit."""
        entry = read_line(raw)
        if not _ID.fullmatch(entry["journal"]):  # it becomes part of a document's ID
            raise ValueError("its journal is none")
        return Line(entry["journal"], entry["seq"], entry["hash"], str(entry.get("creation_date", "")), raw)

    def _next(self, raw: bytes) -> Line | None:
        """The line if it goes on from the last one as a writer of this version sealed it; else `None`.

        On the top level only strings follow `prev`, and none holds an unescaped quote: what is found from the end is
        the entry's own. So is a `creation_date` that is found before any other brace.
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

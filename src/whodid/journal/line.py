"""The line: one journalled entry as readers hand it out, checked against its hash; or the damage that stands there.

A line in the form that writers give it is checked from its bytes alone, which costs half of parsing it. That is sound:
the bytes hash to what was sealed, or the line is parsed and checked as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ..entry import SCHEMA_VERSION
from ..integrity import read_line, sealed_hash

__all__ = ["Damaged", "Line", "parse_lines"]


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
    """A line whose hash does not fit, or that is no entry at all."""

    segment: Path
    offset: int
    raw: bytes
    reason: str


def parse_lines(path: Path, offset: int, data: bytes) -> Iterator[Line | Damaged]:
    """What `data`, whole lines of the segment at `path` from `offset` on, holds."""
    journal = path.parent.name
    for raw in data[:-1].split(b"\n"):
        line = _glance(raw, journal)
        if line is None:
            try:
                line = _line_of(raw, read_line(raw))
            except ValueError as error:
                yield Damaged(path, offset, raw, str(error))
        if line is not None:
            yield line
        offset += len(raw) + 1


def _line_of(raw: bytes, entry: dict[str, Any]) -> Line:
    return Line(entry["journal"], entry["seq"], entry["hash"], str(entry.get("creation_date", "")), raw)


_DATE = b'"creation_date":"'
_SEQ = f',"schema_version":"{SCHEMA_VERSION}","seq":'.encode()


def _glance(raw: bytes, journal: str) -> Line | None:
    """The line if it is as a writer of this version sealed it; `None` when only parsing can tell.

    Keys are in order: after `creation_date`, `journal` and `seq` only strings follow on the top level, whose quotes
    are escaped; so what is found from the end, or before any brace, is the entry's own.
    """
    hash_ = sealed_hash(raw)
    if hash_ is None or raw[9:73] != hash_.encode():
        return None
    date = raw.find(_DATE) + len(_DATE)
    seq = raw.rfind(_SEQ) + len(_SEQ)
    named = raw.startswith(b'"journal":"%b",' % journal.encode(), raw.rfind(b'"journal":"'))
    nested = raw.count(b"{", 0, date) != (2 if raw.startswith(b',"salts":{', 74) else 1)
    if raw[date + 20 : date + 21] != b'"' or seq < len(_SEQ) or nested or not named:
        return None
    try:
        return _new(
            Line, (journal, int(raw[seq : raw.find(b",", seq)]), hash_, raw[date : date + 20].decode("ascii"), raw)
        )
    except ValueError:
        return None


_new = tuple.__new__

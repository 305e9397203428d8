"""The journal: durable, append-only, hash-chained files in one directory.

`directory` defines the files. `lock`, `segment`, `durable`, `chain`, `group`, `once` and `writer` append entries;
`reader`, `damage` and `position` read them for the shipper.
"""

from __future__ import annotations

from .chain import Position
from .directory import JournalDirectory
from .position import Acknowledged, prune
from .reader import Damaged, JournalReader, Line, Missing, read_entries
from .writer import Journal

__all__ = [
    "Acknowledged",
    "Damaged",
    "Journal",
    "JournalDirectory",
    "JournalReader",
    "Line",
    "Missing",
    "Position",
    "prune",
    "read_entries",
]

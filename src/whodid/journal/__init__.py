"""The journal: the durable, hash-chained, append-only local file sequence, one a directory.

`directory` says what lies where; `lock`, `segment`, `durable`, `chain`, `append`, `group` and `writer` append;
`line`, `reader`, `position` and `pruning` serve the shipper.
"""

from __future__ import annotations

from .chain import Position
from .directory import JournalDirectory
from .line import Damaged, Line, Missing
from .position import Acknowledged, prune
from .reader import JournalReader, read_entries
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

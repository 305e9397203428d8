"""The journal: the durable, hash-chained, append-only local file sequence, one a directory.

`directory` says what lies where; `lock`, `segment`, `chain` and `writer` append; `reader`, `position` and `pruning`
serve the shipper.
"""

from __future__ import annotations

from .directory import JournalDirectory
from .position import Acknowledged
from .pruning import prune
from .reader import Damaged, JournalReader, Line, read_entries
from .writer import Journal, Position

__all__ = [
    "Acknowledged",
    "Damaged",
    "Journal",
    "JournalDirectory",
    "JournalReader",
    "Line",
    "Position",
    "prune",
    "read_entries",
]

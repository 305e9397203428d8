"""The memory journal: the chain of `whodid.journal.Journal` without a file.

Nothing survives the process, and a forked child has a copy of its own.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from ..entry import ZERO_HASH
from ..integrity import Draft
from ..journal import Journal, Position

__all__ = ["MemoryJournal"]


class MemoryJournal(Journal):
    """A journal in memory. Safe to share between threads.

    Example:
        >>> journal = MemoryJournal()
        >>> Recorder(settings, journal=journal).record("team_created", {"target": "9", "principal": "42"})
        >>> journal.entries[0]["target"]
        '9'
    """

    lines: list[bytes]
    """The journal lines, as they would be on disk."""
    rejected: list[dict[str, Any]]
    """The calls that broke the catalog, under `on_invalid = "quarantine"`."""

    def __init__(self) -> None:
        super().__init__(os.devnull)  # no directory can ever be made there
        self.lines = []
        self.rejected = []
        self._id = secrets.token_hex(8)
        self._last = ZERO_HASH
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All entries in order; a change to one of these changes nothing here."""
        return [orjson.loads(line) for line in self.lines]

    def append(self, draft: Draft, durability: Literal["disk", "process"] = "disk") -> Position:
        """Makes the entry the next of the chain."""
        with self._lock:
            seq = len(self.lines) + 1
            self._last, line = draft.seal(self._id, seq, self._last)
            self.lines.append(line)
            return Position(self._id, seq, self._last, line)

    def sync(self) -> None:
        """Nothing to do."""

    def quarantine(self, rejected: Mapping[str, object]) -> bool:
        """Keeps a call that broke the catalog."""
        self.rejected.append(orjson.loads(orjson.dumps(rejected)))
        return True

    def close(self) -> None:
        """Nothing to do; a later append goes on."""

    def after_fork_in_child(self) -> None:
        """A thread of the parent may hold the lock."""
        self._lock = threading.Lock()

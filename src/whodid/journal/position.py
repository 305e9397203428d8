"""The acknowledged position: up to which `seq` a journal's entries are stored in OpenSearch, or are dead letters.

One number, with the hash of that entry, so that a rolled-back or copied journal is noticed. It is replaced as a whole
(written new, synced, renamed, the directory synced), so after a crash it is at most a little behind the truth, never
ahead of it: what is shipped again meets its own `_id` and changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..entry import ZERO_HASH
from .directory import write_file

__all__ = ["Acknowledged"]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`hash` is that of entry number `seq`; 0 and 64 zeros before the first."""

    seq: int = 0
    hash: str = ZERO_HASH

    @classmethod
    def read(cls, journal: Path) -> Acknowledged:
        """The position of the journal in that directory; a missing or unreadable file counts as nothing shipped."""
        try:
            content = json.loads((journal / "acknowledged").read_bytes())
            return cls(int(content["seq"]), str(content["hash"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, journal: Path) -> None:
        write_file(journal / "acknowledged", {"seq": self.seq, "hash": self.hash})

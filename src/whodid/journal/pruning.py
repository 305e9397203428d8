"""Pruning: deleting segments once all of their entries are acknowledged.

Never deleted: a segment that may still be written to, and the last one that holds an entry (the chain goes on from it).
"""

from __future__ import annotations

import time
from itertools import accumulate
from pathlib import Path

from .directory import segments
from .file import sync_directory
from .position import Acknowledged
from .segment import is_closed

__all__ = ["prune"]


def prune(journal: Path, keep_days: float = 0.0, *, now: float | None = None) -> list[Path]:
    """Deletes what may go, oldest first, and returns it; `keep_days` counts from a segment's last write."""
    acknowledged = Acknowledged.read(journal)
    oldest_kept = (time.time() if now is None else now) - keep_days * 86400
    gone = []
    for path, successor, written in _candidates(segments(journal)):
        fully_acknowledged = int(successor.stem) <= acknowledged.seq + 1
        if not (is_closed(path.stat()) and fully_acknowledged and written <= oldest_kept):
            break
        path.unlink()
        gone.append(path)
    if gone:
        sync_directory(journal)
    return gone


def _candidates(found: list[Path]) -> list[tuple[Path, Path, float]]:
    """Each segment with its successor and its last write, but for the last one that holds an entry.

    None was written after its successor was: where the file says so, the clock was ahead.
    """
    while found and found[-1].stat().st_size == 0:
        found = found[:-1]
    written = [path.stat().st_mtime for path in found]
    earliest = list(accumulate(reversed(written), min))[::-1]
    return list(zip(found, found[1:], earliest, strict=False))

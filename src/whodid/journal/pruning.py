"""Pruning: deleting segments once all of their entries are acknowledged.

Never deleted: a segment that may still be written to, and the last one that holds an entry (the chain goes on from it).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from itertools import accumulate
from pathlib import Path

from ..files import sync_directory
from .directory import segments
from .line import Missing
from .position import Acknowledged
from .segment import is_closed

__all__ = ["close_restored", "prune"]


def prune(
    journal: Path, keep_days: float = 0.0, *, now: float | None = None, missing: Collection[Missing] = ()
) -> list[Path]:
    """Deletes what may go, oldest first, and returns it; `keep_days` counts from a segment's last write.

    What holds entries that were `missing` stays: somebody put it back, and it was not shipped yet.
    """
    acknowledged = Acknowledged.read(journal)
    oldest_kept = (time.time() if now is None else now) - keep_days * 86400
    gone = []
    for path, successor, written in _candidates(segments(journal)):
        fully_acknowledged = int(successor.stem) <= acknowledged.seq + 1
        if not (is_closed(path.stat()) and fully_acknowledged and written <= oldest_kept):
            break
        if any(one.first < int(successor.stem) and one.last >= int(path.stem) for one in missing):
            continue
        path.unlink()
        gone.append(path)
    if gone:
        sync_directory(journal)
    return gone


def close_restored(journal: Path, found: Collection[Missing]) -> None:
    """Closes segments that somebody put back before others, or they would never be pruned. Raises `OSError`."""
    for path, successor, _ in _candidates(segments(journal)):
        if any(one.first < int(successor.stem) and one.last >= int(path.stem) for one in found):
            path.chmod(0o400)


def _candidates(found: list[Path]) -> list[tuple[Path, Path, float]]:
    """Each segment with its successor and its last write, but for the last one that holds an entry.

    None was written after its successor was: where the file says so, the clock was ahead.
    """
    while found and found[-1].stat().st_size == 0:
        found = found[:-1]
    written = [path.stat().st_mtime for path in found]
    earliest = list(accumulate(reversed(written), min))[::-1]
    return list(zip(found, found[1:], earliest, strict=False))

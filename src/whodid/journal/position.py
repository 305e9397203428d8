"""The acknowledged position: up to which `seq` a journal's entries are stored in OpenSearch, or are dead letters.

The file `acknowledged` is made with its journal, and has two slots of 4096 bytes. Each holds a JSON object, with spaces
up to its end: `seq`; `hash`, that of the entry, so that a rolled-back or copied journal is noticed; and `check`, the
beginning of the SHA-256 of both. Beside a `note` of the shipper's own stand `turn`, which counts the writes, and
`note_check`, that of all of it. Whichever is further counts, and of two the later. The other is overwritten in place,
and synced: that needs no space, since on a full disk it is this position that lets segments be deleted.

Crash behaviour: a slot that was torn doesn't fit its check, and the other one stands. So the position is at most a
little behind the truth, never ahead of it: what is shipped again meets its own `_id` and changes nothing.

Pruning: deleting segments once all of their entries are acknowledged.

Never deleted: a segment that may still be written to, and the last one that holds an entry (the chain goes on from it).
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from ..entry import ZERO_HASH
from ..files import read_file, sync_directory, write_file
from ..text import FOREIGN, json_of, text_of
from .directory import segments
from .line import Missing
from .segment import is_closed

__all__ = ["NOTE_BYTES", "Acknowledged", "close_restored", "prune"]

_NAME = "acknowledged"
_SLOT = 4096
"""A page, and a block of most file systems: what tears one slot leaves the other alone."""
_BOTH = 2 * _SLOT
NOTE_BYTES = 3600
"""What of a slot a note may take, as JSON."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`hash` is that of entry number `seq`; 0 and 64 zeros before the first.

    `note` is what the shipper wants to find again together with the position; printable ASCII, `NOTE_BYTES` as JSON.
    """

    seq: int = 0
    hash: str = ZERO_HASH
    note: str = ""
    turn: int = field(default=0, compare=False)
    """How many times a position with a note was written; `write` counts it."""

    @classmethod
    def read(cls, journal: Path) -> Acknowledged:
        """The position of the journal in that directory; a missing or unreadable file counts as nothing shipped.

        Raises `OSError` when the system doesn't let it be read.
        """
        try:
            content = read_file(journal / _NAME)
        except FileNotFoundError:
            return cls()
        return max(_slots(content), key=_order)

    def write(self, journal: Path) -> None:
        """Durable on return, also on a full disk. The position never goes back. Raises `OSError`."""
        path = journal / _NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return self.reserve(journal)
        try:
            content = os.pread(fd, _BOTH, 0)
            if len(content) == _BOTH:
                first, second = _slots(content)
                turn = max(first.turn, second.turn) + 1
                if os.pwrite(fd, self._slot(turn), _SLOT if _order(first) > _order(second) else 0) != _SLOT:
                    raise OSError(errno.EIO, f"{path} was written in part", str(path))
                return os.fsync(fd)
        finally:
            os.close(fd)
        return self.reserve(journal)  # it was cut

    def reserve(self, journal: Path) -> None:
        """Makes the file anew, with all the space that it will ever need. Raises `OSError`."""
        write_file(journal / _NAME, self._slot(self.turn) * 2)

    def _slot(self, turn: int) -> bytes:
        content: dict[str, object] = {"seq": self.seq, "hash": self.hash, "check": _check(self.seq, self.hash)}
        if self.note:
            noted = _check(self.seq, self.hash, str(turn), self.note)
            content |= {"note": self.note, "turn": turn, "note_check": noted}
        slot = json.dumps(content).encode()
        if len(slot) >= _SLOT:
            raise ValueError(f"the note beside a position has more than {NOTE_BYTES} bytes")
        return slot.ljust(_SLOT - 1) + b"\n"


def _order(slot: Acknowledged) -> tuple[int, int]:
    return slot.seq, slot.turn


def _slots(content: bytes) -> tuple[Acknowledged, Acknowledged]:
    """What the slots say; a damaged one says that nothing was shipped."""
    return _parsed(content[:_SLOT]), _parsed(content[_SLOT:_BOTH])


def _parsed(content: bytes) -> Acknowledged:
    try:
        slot = json_of(content)
        position = Acknowledged(
            _number(slot["seq"]), text_of(slot["hash"]), text_of(slot.get("note", "")), _number(slot.get("turn", 0))
        )
        fits = slot["check"] == _check(position.seq, position.hash)
        if position.note:
            noted = _check(position.seq, position.hash, str(position.turn), position.note)
            fits = fits and slot["note_check"] == noted
    except FOREIGN:
        return Acknowledged()
    return position if fits else Acknowledged()


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("no number of an entry or a turn")
    return value


def _check(seq: int, hash_: str, *noted: str) -> str:
    return sha256(" ".join((str(seq), hash_, *noted)).encode()).hexdigest()[:16]


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

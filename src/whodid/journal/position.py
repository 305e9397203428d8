"""The acknowledged position of a journal (all entries up to it are stored in OpenSearch or dead letters), and pruning.

The file `acknowledged` is created with its journal, and has two slots of 4096 bytes. Each holds a JSON object, padded
with spaces: `seq`; `hash` of that entry, so that a rolled-back or copied journal is noticed; and `check`, the first
digits of the SHA-256 of both. If the shipper stores a `note`, there are also `turn`, a counter of writes, and
`note_check` over all of them. The slot with the higher `seq`, then the higher `turn`, is valid. The other slot is
overwritten in place and synced, which needs no space: on a full disk, this position is what allows segments to be
deleted.

Crash behaviour: a torn slot fails its check, and the other slot is used. So the position may be slightly too low, never
too high: entries that are shipped again have the same `_id` and change nothing.

Pruning deletes segments once all of their entries are acknowledged. It never deletes a segment that may still be
written to, nor the last one that holds an entry, because the next entry links to it.
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
from ..files import of_system, read_file, sync_directory, sync_file, write_file
from ..text import FOREIGN, json_of, text_of
from .directory import segments
from .reader import Missing
from .segment import is_closed

__all__ = ["NOTE_BYTES", "Acknowledged", "close_restored", "prune"]

_NAME = "acknowledged"
_SLOT = 4096
"""Size of a page, and of a block in most file systems: a torn write damages one slot only."""
_BOTH = 2 * _SLOT
NOTE_BYTES = 3600
"""Maximum size of a note as JSON."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The number and hash of the last acknowledged entry; 0 and 64 zeros before the first.

    `note` is stored by the shipper together with the position: printable ASCII, at most `NOTE_BYTES` as JSON.
    """

    seq: int = 0
    hash: str = ZERO_HASH
    note: str = ""
    turn: int = field(default=0, compare=False)
    """The number of times a position was written; set by `write`."""

    @classmethod
    def read(cls, journal: Path) -> Acknowledged:
        """The position of the journal in this directory; if the file is missing or damaged, nothing is acknowledged.

        Raises `OSError` if the file can't be read.
        """
        try:
            content = read_file(journal / _NAME)
        except FileNotFoundError as error:
            if not of_system(error):
                raise
            return cls()
        return max(_slots(content), key=_order)

    def write(self, journal: Path) -> None:
        """Writes the position; durable on return, also on a full disk. It never decreases. Raises `OSError`."""
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
                    raise OSError(errno.EIO, f"{path} was written only partly", str(path))
                return os.fsync(fd)
        finally:
            os.close(fd)
        return self.reserve(journal)  # the file was truncated

    def reserve(self, journal: Path) -> None:
        """Creates or replaces the file, with all the space that it will need. Raises `OSError`."""
        write_file(journal / _NAME, self._slot(self.turn) * 2)

    def _slot(self, turn: int) -> bytes:
        content: dict[str, object] = {"seq": self.seq, "hash": self.hash, "check": _check(self.seq, self.hash)}
        if self.note:
            noted = _check(self.seq, self.hash, str(turn), self.note)
            content |= {"note": self.note, "turn": turn, "note_check": noted}
        slot = json.dumps(content).encode()
        if len(slot) >= _SLOT:
            raise ValueError(f"the note of a position exceeds {NOTE_BYTES} bytes")
        return slot.ljust(_SLOT - 1) + b"\n"


def _order(slot: Acknowledged) -> tuple[int, int]:
    return slot.seq, slot.turn


def _slots(content: bytes) -> tuple[Acknowledged, Acknowledged]:
    """The positions in both slots; a damaged slot counts as position 0."""
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
        raise ValueError("not a valid number")
    return value


def _check(seq: int, hash_: str, *noted: str) -> str:
    return sha256(" ".join((str(seq), hash_, *noted)).encode()).hexdigest()[:16]


def prune(
    journal: Path, keep_days: float = 0.0, *, now: float | None = None, missing: Collection[Missing] = ()
) -> list[Path]:
    """Deletes segments that are no longer needed, oldest first, and returns their paths.

    A segment is kept for `keep_days` after its last write. A segment with `missing` entries is kept: it was restored,
    and is not shipped yet.
    """
    acknowledged = Acknowledged.read(journal)
    oldest_kept = (time.time() if now is None else now) - keep_days * 86400
    gone: list[Path] = []
    for path, successor, written in _candidates(segments(journal)):
        fully_acknowledged = int(successor.stem) <= acknowledged.seq + 1
        if not (is_closed(path.stat()) and fully_acknowledged and written <= oldest_kept):
            break
        if any(one.first < int(successor.stem) and one.last >= int(path.stem) for one in missing):
            continue
        if not gone:
            sync_file(journal / _NAME)  # the process that wrote the position may have been killed before it synced it
        path.unlink()
        gone.append(path)
    if gone:
        sync_directory(journal)
    return gone


def close_restored(journal: Path, found: Collection[Missing]) -> None:
    """Closes restored segments that have successors, so that they can be pruned. Raises `OSError`."""
    for path, successor, _ in _candidates(segments(journal)):
        if any(one.first < int(successor.stem) and one.last >= int(path.stem) for one in found):
            path.chmod(0o400)


def _candidates(found: list[Path]) -> list[tuple[Path, Path, float]]:
    """Each segment with its successor and the time of its last write, without the last one that holds an entry.

    No segment is written after its successor: if its time says so, the clock was wrong.
    """
    while found and found[-1].stat().st_size == 0:
        found = found[:-1]
    written = [path.stat().st_mtime for path in found]
    earliest = list(accumulate(reversed(written), min))[::-1]
    return list(zip(found, found[1:], earliest, strict=False))

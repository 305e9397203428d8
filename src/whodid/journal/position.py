"""The acknowledged position: up to which `seq` a journal's entries are stored in OpenSearch, or are dead letters.

The file `acknowledged` is made with its journal, and has two slots of 4096 bytes. Each holds a JSON object, with spaces
up to its end: `seq`; `hash`, that of the entry, so that a rolled-back or copied journal is noticed; and `check`, the
beginning of the SHA-256 of both. Whichever is further counts. The other is overwritten in place, and synced: that needs
no space, since on a full disk it is this position that lets segments be deleted.

Crash behaviour: a slot that was torn doesn't fit its check, and the other one stands. So the position is at most a
little behind the truth, never ahead of it: what is shipped again meets its own `_id` and changes nothing.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..entry import ZERO_HASH
from .file import read_file, write_file

__all__ = ["Acknowledged"]

_NAME = "acknowledged"
_SLOT = 4096
"""A page, and a block of most file systems: what tears one slot leaves the other alone."""
_BOTH = 2 * _SLOT


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`hash` is that of entry number `seq`; 0 and 64 zeros before the first."""

    seq: int = 0
    hash: str = ZERO_HASH

    @classmethod
    def read(cls, journal: Path) -> Acknowledged:
        """The position of the journal in that directory; a missing or unreadable file counts as nothing shipped.

        Raises `OSError` when the system doesn't let it be read.
        """
        try:
            content = read_file(journal / _NAME)
        except FileNotFoundError:
            return cls()
        return max(_slots(content), key=lambda slot: slot.seq)

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
                if os.pwrite(fd, self._slot(), _SLOT if first.seq > second.seq else 0) != _SLOT:
                    raise OSError(errno.EIO, f"{path} was written in part", str(path))
                return os.fsync(fd)
        finally:
            os.close(fd)
        return self.reserve(journal)  # of a version that had no slots, or cut

    def reserve(self, journal: Path) -> None:
        """Makes the file anew, with all the space that it will ever need. Raises `OSError`."""
        write_file(journal / _NAME, self._slot() * 2)

    def _slot(self) -> bytes:
        content = {"seq": self.seq, "hash": self.hash, "check": _check(self.seq, self.hash)}
        return json.dumps(content).ljust(_SLOT - 1).encode() + b"\n"


def _slots(content: bytes) -> tuple[Acknowledged, Acknowledged]:
    """What the slots say; a damaged one says that nothing was shipped."""
    if len(content) < _SLOT:
        return _parsed(content, checked=False), Acknowledged()  # of a version that had no slots
    return _parsed(content[:_SLOT]), _parsed(content[_SLOT:_BOTH])


def _parsed(content: bytes, *, checked: bool = True) -> Acknowledged:
    try:
        slot = json.loads(content)
        position = Acknowledged(int(slot["seq"]), str(slot["hash"]))
        fits = not checked or slot["check"] == _check(position.seq, position.hash)
    except (ValueError, KeyError, TypeError):
        return Acknowledged()
    return position if fits else Acknowledged()


def _check(seq: int, hash_: str) -> str:
    return sha256(f"{seq} {hash_}".encode()).hexdigest()[:16]

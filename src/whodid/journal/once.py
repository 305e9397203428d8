"""The keys of calls with `once`, and the first entry of each: a call that repeats a key within a day records nothing.

An entry with a key has the field `once`, a hash of its type and key, so one append records both. The open segment is
read as it grows; the file `once` holds what comes before it, as a line of JSON (`format`, `journal`, `segment`: its
first number, `offset` there, `hash` of the entry that ends there, `check`: SHA-256 of the rest) and a record of 64
bytes for each key, oldest first: hash of the key (16), hash of its entry (32), `seq` (8), its second (8, big-endian).

Invariants, for the holder of the journal's lock:
- The file names nothing that is not on disk, and counts only if the next entry of this journal links to that `hash`: no
  key is known without its entry, whatever was copied, rolled back or lost.
- A segment is closed after its keys are in the file, so pruning takes none away. At most `MOST` keys, of one day.
- A file that is missing, damaged or not trusted forgets keys, with an alarm, and is replaced. No call fails by it.

Crash behaviour: the file is replaced as a whole. If it lags behind, the rest is read from the open segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from ..entry import HARD_LIMIT, Once
from ..errors import JournalDamaged
from ..files import dump, is_there, open_file, write_file
from ..integrity import read_line
from ..process import pass_on
from ..text import FOREIGN, json_of
from .directory import FORMAT, JournalDirectory
from .segment import Link, Segment

__all__ = ["MOST", "Keys"]

MOST = 100_000
"""Maximum number of keys; the oldest are forgotten."""

_RECORD = 64
_AT_ONCE = 1024 * 1024
_FAR = 4 * _AT_ONCE
"""Bytes behind the file's position from which a process writes the file, unless another has. Nobody reads many more."""
_FOREIGN = "it is damaged, or of another version or state of the journal"


class Keys:
    """The keys of one journal directory, as far as this process has read them; it begins at its first call with one."""

    def __init__(self, directory: JournalDirectory) -> None:
        self._directory = directory
        self._path = directory.path / "once"
        self._used = False
        self._segment: Path | None = None
        self._offset = self._covered = 0
        self._found: dict[bytes, bytes] = {}

    def find(self, once: Once, segment: Segment) -> Link | None:
        """The entry that was recorded with this key within a day; `segment` is the open one.

        Raises `OSError`, and `NotRecorded` if a sync fails.
        """
        self._follow(segment)
        record = self._found.get(once.key)
        if record is None or not once.repeats(int.from_bytes(record[56:])):
            return None
        return Link(int.from_bytes(record[48:56]), record[16:48].hex())

    def keep(self, segment: Segment) -> None:
        """Writes the file for a synced segment that is about to be closed, if any process uses keys."""
        if self._used or is_there(self._path):
            self._follow(segment)
            self._write(segment)
            self._segment, self._found = None, {}

    def _follow(self, segment: Segment) -> None:
        """Reads what was appended since the last call, by whatever process."""
        if self._segment != segment.path or segment.size - self._covered >= _FAR:
            self._load(segment)
        while data := segment.read(self._offset, min(_AT_ONCE, segment.size - self._offset)):
            end = data.rfind(b"\n") + 1 or len(data)  # no line is that long
            for line in data[:end].split(b"\n"):
                if b',"once":"' in line:
                    self._note(line, segment)
            self._offset += end
        for key in list(islice(self._found, max(0, len(self._found) - MOST))):
            del self._found[key]
        if segment.size - self._covered >= _FAR:
            segment.sync(segment.size)
            self._write(segment)

    def _note(self, line: bytes, segment: Segment) -> None:
        with suppress(ValueError, OverflowError):  # damaged
            entry = read_line(line)
            if (once := Once.of(entry)) and entry["journal"] == segment.path.parent.name:
                place = bytes.fromhex(entry["hash"]) + entry["seq"].to_bytes(8) + once.second.to_bytes(8)
                self._found.pop(once.key, None)  # the last counts, and is the newest
                self._found[once.key] = once.key + place

    def _load(self, segment: Segment) -> None:
        """Takes what the file holds of this journal; without it, the segment is read from its start."""
        used, self._used = self._used, True
        self._segment, self._offset, self._covered, self._found = segment.path, 0, -_FAR, {}
        try:
            with open_file(self._path) as file:
                head, body = json_of(file.readline(_AT_ONCE)), file.read(MOST * _RECORD + 1)
            if head["journal"] == segment.path.parent.name:
                self._read(head, body, segment)
        except (OSError, JournalDamaged, *FOREIGN) as error:
            pass_on(error)
            if used or not isinstance(error, FileNotFoundError):
                self._forgotten(_FOREIGN if isinstance(error, FOREIGN) else error)

    def _read(self, head: Mapping[str, Any], body: bytes, segment: Segment) -> None:
        """Raises one of `FOREIGN` if the file does not fit the chain."""
        offset = int(head["offset"]) if head["segment"] == int(segment.path.stem) else 0
        hash_ = segment.link.hash
        if offset != segment.size:
            hash_ = read_line(segment.read(offset, 2 * HARD_LIMIT).partition(b"\n")[0])["prev"]
        fits = head["format"] == FORMAT and hash_ == head["hash"] and len(body) % _RECORD == 0
        if not fits or sha256(body).hexdigest() != head["check"]:
            raise ValueError(_FOREIGN)
        self._found = {body[at : at + 16]: body[at : at + _RECORD] for at in range(0, len(body), _RECORD)}
        self._offset = self._covered = offset

    def _write(self, segment: Segment) -> None:
        """Replaces the file; the segment is synced, and read to its end."""
        newest = Once(b"", int.from_bytes(next(reversed(self._found.values()), b"")[56:]))
        body = b"".join(record for record in self._found.values() if newest.repeats(int.from_bytes(record[56:])))
        at = {"segment": int(segment.path.stem), "offset": segment.size, "hash": segment.link.hash}
        head = {"format": FORMAT, "journal": segment.path.parent.name, **at, "check": sha256(body).hexdigest()}
        self._covered = segment.size
        try:
            write_file(self._path, dump(head) + body)
        except (OSError, JournalDamaged) as error:
            pass_on(error)
            self._forgotten(error)

    def _forgotten(self, why: object) -> None:
        about = f"{self._path} can't be used ({why}); a call that repeats a key of `once` may be recorded again"
        self._directory.alarm_once("keys forgotten", about)

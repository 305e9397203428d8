"""A segment: one file of a journal, an entry a line; how it is written, cut after a short write, synced and closed.

Invariants, for the holder of the journal's lock:
- The file ends in a newline, or is empty, before anything is appended. Half a line that a crash left is copied to
  `<segment>.torn` and cut; a line that ends in a newline is never cut.
- One `write` an entry, or for several at once, its count checked. A short write is cut back at once.
- Nothing is written, cut, synced or closed unless the number of the descriptor still stands for this file, and nothing
  is written or counted as on disk unless its name still leads to it.
- Closed (mode 0400) means synced, and nothing is ever appended again.

One `fdatasync` is shared by all whose lines it covers (`whodid.journal.durable`). After a failed one, nothing is
retried: Linux marks the pages clean, so a second success would be a lie. The segment is then `failed` for good.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from datetime import datetime
from os import SEEK_END, lseek
from pathlib import Path
from typing import NamedTuple

from ..entry import HARD_LIMIT, ZERO_HASH
from ..errors import JournalFull, JournalLocked, NotRecorded
from ..files import append_line, best_effort, of_system, open_to_read, sync_directory
from ..integrity import read_line
from .descriptor import Descriptor
from .durable import DurableMark, SyncFailed

__all__ = ["NO_SPACE", "Broken", "Link", "Segment", "datasync", "is_closed", "last_link"]

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors that freeing space fixes."""

datasync = getattr(os, "fdatasync", os.fsync)
"""`fdatasync`, or `fsync` where there is none (macOS)."""

_TAIL = HARD_LIMIT + 4096


class Broken(Exception):
    """The chain can't be continued from here; a new journal has to begin. Never leaves `whodid.journal`."""


class Link(NamedTuple):
    """The end of a chain: the next entry is number `seq` + 1 and its `prev` is `hash`."""

    seq: int
    hash: str


class Segment:
    """An open segment. `size` and `link` are as this process last saw them.

    The descriptor is closed with the last reference, so that a thread that still waits for its sync keeps it open.

    Raises `FileNotFoundError` where the file can't be reached any more: its number was given to another, and its name.
    """

    def __init__(self, path: Path, mark: DurableMark, *, before: Link | None = None, create: bool = False) -> None:
        self.path = path
        self._mark = mark
        self._name = f"{path.parent.name}/{path.stem}"
        self.link = before or Link(0, ZERO_HASH)
        self.size = 0
        self.failed: OSError | None = None
        self._synced = 0
        self._file = Descriptor(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0))
        if create:
            sync_directory(path.parent)

    def end(self) -> int:
        """Where the file ends now; -1 when its number stands for something that has no end."""
        try:
            return lseek(self._file.fd, 0, SEEK_END)
        except OSError as error:
            if not of_system(error):
                raise
            return -1

    def whole(self) -> int:
        """Where the last whole line ends. Raises `Broken` if that line is not an entry."""
        return _read_tail(self._file.fd, self.path)[0]

    def age(self) -> float:
        """Seconds since the first entry was recorded, by any process; 0 if unknown."""
        made = _MADE.search(os.pread(self._file.fd, _HEAD, 0))  # a key before it can't be a caller's: those sort after
        if made is None:
            return 0.0
        with suppress(ValueError):
            return max(0.0, time.time() - datetime.fromisoformat(made[1].decode()).timestamp())
        return 0.0

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the file. Raises `OSError`."""
        self._file.recovered()
        return os.pread(self._file.fd, length, start)

    def has_only_grown(self) -> bool:
        """Whether nothing happened but that others may have appended. Raises `Broken` when lines are gone."""
        status = self._file.recovered()
        if status.st_size < self.size:
            raise Broken(f"{self.path.name} was cut from {self.size} to {status.st_size} bytes by someone else")
        if is_closed(status):
            return False
        self._check_name()
        return True

    def was_closed(self) -> bool:
        status = self._file.status()
        return status is not None and is_closed(status)

    def _check_name(self) -> None:
        if not self._file.is_named():
            first, last = int(self.path.stem), self._last_seq()
            held = f"entries {first} to {last} were in it" if last >= first else "it was empty"
            raise Broken(f"{self.path.name} was renamed, removed or replaced while it was in use; {held}")

    def _last_seq(self) -> int:
        """Number of the last entry, of whatever process."""
        with suppress(Broken):
            self.link = _read_tail(self._file.fd, self.path, self.size)[2] or self.link
        return self.link.seq

    def catch_up(self) -> str | None:
        """Reads where the chain stands now, and cuts half a line away; returns what was cut, in words.

        Raises `Broken` if the last whole line is not an entry.
        """
        self._file.recovered()
        end, torn, link = _read_tail(self._file.fd, self.path, self.size)
        if torn:
            self._check_name()
            append_line(self.path.with_name(self.path.name + ".torn"), torn)
            os.ftruncate(self._file.fd, end)
            try:
                self._lower_mark(end)
            except OSError as error:
                if not of_system(error):
                    raise
                raise Broken(f"half a line was cut from {self.path.name}, and {error.strerror}") from error
        self.size = end
        self.link = link or self.link
        return f"{len(torn)} bytes without a newline after {self.path}:{end}, kept in .torn" if torn else None

    def append(self, lines: bytes, link: Link) -> int:
        """Writes one line or several, `link` being the last, and the newline; returns the offset after, for `sync`.

        Raises `JournalFull` (the segment is as before) or `OSError` (it must not be used again).
        """
        data = lines + b"\n"
        try:
            written = os.write(self._file.fd, data)
        except OSError as error:
            if error.errno in NO_SPACE and of_system(error):
                raise JournalFull(_full(self.path, str(error.strerror))) from error
            self._fail(error)
            raise
        if written != len(data):
            self._file.recovered()
            os.ftruncate(self._file.fd, self.size)
            self._lower_mark(self.size)
            raise JournalFull(_full(self.path, f"only {written} of {len(data)} bytes fit"))
        self.link = link
        self.size = end = self.size + written
        return end

    def sync(self, offset: int) -> None:
        """Returns once everything before `offset` is on disk. Raises `NotRecorded`."""
        if self._synced >= offset:
            return
        if self.failed is not None:
            raise NotRecorded(_unsynced(self.path, self.failed)) from self.failed
        try:
            reached = self._put_on_disk(offset)
        except OSError as error:
            self._fail(error)
            raise NotRecorded(_unsynced(self.path, error)) from error
        self._synced = max(self._synced, reached)

    def _fail(self, error: OSError) -> None:
        """For good; raises what a signal handler raised, which is none of the system's."""
        if not of_system(error):
            raise error
        self.failed = self.failed or error

    def _put_on_disk(self, offset: int) -> int:
        """Up to where this process knows it to be on disk: at least `offset`, by a sync here or elsewhere."""

        def seen() -> int:
            """No further than this process has seen: what lies behind may be cut and rewritten by others."""
            return max(self.size, offset)

        def sync() -> int:
            end, target = self._file.recovered().st_size, seen()
            others = end > target and os.pread(self._file.fd, 1, end - 1) == b"\n"  # whole lines of other processes
            self._datasync()
            return end if others else target

        def alone() -> int:
            if self._synced < offset:  # else another thread did so meanwhile
                target = seen()
                self._file.recovered()
                self._datasync()
                self._synced = max(self._synced, target)
            return self._synced

        return min(self._mark.advance(self._name, offset, sync, alone, self.was_closed), seen())

    def _datasync(self) -> None:
        """To be called right after a look at the number; takes another look, and one at the name, afterwards."""
        if self.failed is not None:
            raise self.failed
        try:
            datasync(self._file.fd)
        except OSError as error:
            self._fail(error)  # right here: a signal handler that raises further up must not have it forgotten
            raise
        if not is_closed(self._file.recovered()) and not self._file.is_named():
            # a closed one was synced, and goes once all of it is shipped
            raise FileNotFoundError(errno.ENOENT, "it was renamed, removed or replaced")

    def _lower_mark(self, size: int) -> None:
        """Raises `OSError` when that can't be done: what is appended then might wrongly count as on disk."""
        try:
            self._mark.lower(self._name, size)
        except (OSError, JournalLocked) as error:
            if not (of_system(error) or isinstance(error, JournalLocked)):
                raise
            self.failed = OSError(errno.EBUSY, "the mark of what is on disk is held by another process")
            raise self.failed from error

    def check_mark(self) -> bool:
        """Whether all of it is known to be on disk. Raises `Broken` when a sync of it failed before, or lines are gone.

        To be called once, when the segment is opened.
        """
        try:
            on_disk = self._mark.read(self._name)
        except SyncFailed as error:
            raise Broken(f"{self.path.name}: {error.strerror}") from error
        if on_disk > self.size:
            raise Broken(f"{self.path.name} was on disk up to {on_disk}, and ends at {self.size}: lines are gone")
        return on_disk == self.size

    def shut(self) -> None:
        """Closes the segment for every process, durable or not."""
        with best_effort(FileNotFoundError):
            self._file.recovered()
            if self._file.is_ours():
                os.fchmod(self._file.fd, 0o400)


def is_closed(status: os.stat_result) -> bool:
    """Whether nothing may be appended any more: closing removes the owner's right to write."""
    return not status.st_mode & stat.S_IWUSR


def last_link(path: Path) -> Link | None:
    """The last entry of a segment; `None` when it holds none. Raises `Broken`."""
    fd = open_to_read(path)
    try:
        return _read_tail(fd, path)[2]
    finally:
        os.close(fd)


def _read_tail(fd: int, path: Path, known: int = 0) -> tuple[int, bytes, Link | None]:
    """Offset of the end of the last whole line, the bytes after it, and the entry in that line.

    `known` bytes are whole lines, and needn't be read again; `None` for the entry when no line was added to them. What
    another writer added to them a moment ago is not hashed again, as long as it looks as writers make it.
    """
    size = os.lseek(fd, 0, os.SEEK_END)
    start = max(known, size - 2 * _TAIL)
    tail = os.pread(fd, size - start, start)
    end = tail.rfind(b"\n") + 1
    if end == 0 and start > known:
        raise Broken(f"{path} ends in more than {len(tail)} bytes without a newline")
    if end == 0:
        return start, tail, None
    line = tail[tail.rfind(b"\n", 0, end - 1) + 1 : end - 1]
    return start + end, tail[end:], (_link_as_made(line) if known else None) or _link_of(line, path)


def _link_of(line: bytes, path: Path) -> Link:
    try:
        entry = read_line(line)
    except ValueError as error:
        raise Broken(f"the last line of {path} is not an entry: {error}") from error
    return Link(entry["seq"], entry["hash"])


_MADE = re.compile(rb'"@timestamp":"([^"]+)"')
_HEAD = 4096
"""Bytes in which the first entry's time is, behind its hash and its salts."""

_HASH_FIRST = re.compile(rb'\{"hash":"([0-9a-f]{64})",')
_SEQ = re.compile(rb',"seq":([1-9][0-9]{0,15})[,}]')


def _link_as_made(line: bytes) -> Link | None:
    """The link of a line in the form that writers give it: the hash first, and the last `seq` is the entry's own."""
    hash_ = _HASH_FIRST.match(line)
    seq = _SEQ.match(line, line.rfind(b',"seq":'))
    return Link(int(seq[1]), hash_[1].decode()) if hash_ and seq and line.endswith(b"}") else None


def _full(path: Path, why: str) -> str:
    return (
        f"no space to record the entry in {path} ({why}); nothing already recorded was touched. "
        "Free space, or let `whodid ship` empty the journal"
    )


def _unsynced(path: Path, error: OSError) -> str:
    return f"{path} could not be synced ({error.strerror}): the entry is not known to be recorded. Check the disk"

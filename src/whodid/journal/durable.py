"""The durable mark: up to where the current segment is known to be on disk, for all threads and processes of a journal.

Who waits for the disk at the same time shares one sync: one thread of one process syncs, and the others find in the
mark that their entries were covered. The file `durable` in the journal directory holds `<journal>/<segment> <offset>
<offset>`, or `<journal>/<segment> failed failed`, and is also the lock that the syncing process holds. It is read
without the lock, and is not synced itself: twice the same word shows that it isn't half of one mark and half of
another.

Invariants:
- The mark names an offset only after a sync of that segment began behind it and succeeded; only ends of lines count.
- A failed sync is marked before the lock is given back, and nobody trusts that segment again: the kernel forgets what
  it could not write, so a later sync may succeed without it.
- A closed segment is not marked: nothing is appended to it any more, and the mark may be its successor's by now.
- A process that shortens a segment (half a line, a short write) lowers the mark before anything is appended after it.
  So a segment that ends before the mark has lost lines that were on disk: its journal ends.
- One thread of a process syncs at a time: of two at once on one descriptor, one would miss the error of the other.
- A process that can't get the lock (its holder is stopped, or hangs; the system has no locks left, or none on this file
  system) or can't read the mark syncs by itself: sharing is never needed, and its failure is no failed sync.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..errors import JournalLocked
from ..files import best_effort, of_system, read_file
from .lock import FileLock, Hold, ThreadLock

__all__ = ["DurableMark", "SyncFailed", "on_disk"]

T = TypeVar("T")

_FAILED = "failed"
_PATIENCE = 0.02
"""Seconds until a process stops waiting for another's sync."""
_PAUSE = 300e-6
"""Between looks: about the time of a sync."""


class SyncFailed(OSError):
    """A sync of the segment failed, in whatever process: what it held then may be lost."""


class _Unusable(Exception):
    """The lock or the mark can't be used now, for a reason of the system's. Says nothing about a sync."""


class DurableMark:
    """The mark of one journal directory. A `segment` is named `<journal>/<first seq>`."""

    def __init__(self, path: Path) -> None:
        self._file = FileLock(path)
        self._threads = ThreadLock()

    def close(self) -> None:
        """Lets go of the file; in a forked child that leaves the parent's lock alone."""
        self._file.close()

    def advance(
        self, segment: str, offset: int, sync: Callable[[], int], alone: Callable[[], int], closed: Callable[[], bool]
    ) -> int:
        """Up to where `segment` is on disk, which is at least `offset`: by another's sync, or by one here.

        `sync` syncs for all and returns up to where; `alone` does so when another process holds the lock for too long;
        `closed` says whether the segment is closed by now.

        Raises `OSError` when a sync failed, here or elsewhere, and `JournalLocked` inside another call of this thread.
        """

        def advance() -> int:
            deadline = time.monotonic() + _PATIENCE
            try:
                acquired = self._try_acquire()
                while (known := self._read(segment)) < offset:
                    if acquired:
                        return self._sync(segment, sync, closed)
                    if time.monotonic() > deadline:
                        return self._alone(segment, alone, closed)
                    time.sleep(_PAUSE)
                    acquired = self._try_acquire()
            except _Unusable:
                return alone()
            return known

        end = self._locked(advance, float("inf"))
        assert end is not None  # noqa: S101 - there is no end of waiting
        return end

    def _alone(self, segment: str, alone: Callable[[], int], closed: Callable[[], bool]) -> int:
        """Marks it, too, if the lock is free by now: only a segment that is marked is missed when it goes."""
        end = alone()
        with suppress(_Unusable):
            if self._try_acquire() and self._read(segment) < end:
                self._tell(segment, end, closed)
        return end

    def _sync(self, segment: str, sync: Callable[[], int], closed: Callable[[], bool]) -> int:
        try:
            end = sync()
        except OSError as error:
            if of_system(error):
                self._tell(segment, _FAILED, closed)
            raise
        self._tell(segment, end, closed)
        return end

    def _tell(self, segment: str, offset: int | str, closed: Callable[[], bool]) -> None:
        with best_effort():  # a mark that lags behind costs a sync, nothing else
            if not closed():
                self._file.replace(_mark(segment, offset))

    def lower(self, segment: str, size: int) -> None:
        """Nothing behind `size` counts as on disk any more. Raises `JournalLocked` when that can't be said."""

        def lower() -> bool:
            acquired = self._try_acquire()
            if acquired and self.read(segment) > size:
                self._file.replace(_mark(segment, size))
            return acquired

        deadline = time.monotonic() + _PATIENCE
        try:
            while not self._locked(lower, 0):
                if time.monotonic() > deadline:
                    raise JournalLocked("another process holds the journal's durable mark; end or resume it")
                time.sleep(_PAUSE)
        except _Unusable as error:
            raise JournalLocked(f"the journal's durable mark can't be locked ({error})") from error

    def read(self, segment: str) -> int:
        """Bytes of `segment` known to be on disk. Raises `SyncFailed`, or `OSError` when it can't be read."""
        name, _, offsets = self._file.content().partition(b" ")
        if name != segment.encode():
            return 0
        words = offsets.split()
        if not all(word.isdigit() for word in words):
            raise SyncFailed(errno.EIO, "another process could not sync it")
        return int(words[0]) if len(words) == 2 and words[0] == words[1] else 0

    def first(self, journal: str) -> int:
        """With which entry the segment of `journal` begins that was synced last; 0 when there was none."""
        return _first(self._file.content(), journal)

    def _read(self, segment: str) -> int:
        try:
            return self.read(segment)
        except SyncFailed:
            raise
        except OSError as error:
            raise self._unusable(error) from error

    def _locked(self, work: Callable[[], T], patience: float) -> T | None:
        """What `work` returns, done with no other thread inside; `None` when one stays longer than `patience`.

        `work` may take the file's lock, which is given back.
        """
        hold = Hold(self._threads)
        try:
            try:
                return work() if hold.take(patience) else None
            finally:
                hold.give_back(self._release)
        finally:
            if hold.frame is not None:
                hold.give_back(self._release)

    def _try_acquire(self) -> bool:
        try:
            return self._file.try_acquire()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> Exception:
        return _Unusable(error.strerror) if of_system(error) else error

    def _release(self) -> None:
        with best_effort():
            self._file.release()


def on_disk(path: Path, journal: str) -> tuple[int, int]:
    """With which entry the segment of `journal` begins that was synced last, and up to where; zeros for not known.

    Raises `OSError`.
    """
    content = b""
    with best_effort(FileNotFoundError):
        content = read_file(path)
    words = content.split()
    whole = len(words) == 3 and words[1] == words[2] and words[1].isdigit()
    return _first(content, journal), int(words[1]) if whole else 0


def _first(content: bytes, journal: str) -> int:
    name, _, segment = content.partition(b" ")[0].partition(b"/")
    return int(segment) if name == journal.encode() and segment.isdigit() else 0


def _mark(segment: str, offset: int | str) -> str:
    return f"{segment} {offset} {offset}"

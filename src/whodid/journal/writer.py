"""The writer: appends entries to the journal, shared with every other thread and process of the host.

Append, in order: the thread lock; the file lock; if the segment isn't as this process left it, the chain is picked up
where another process left it; one write; unlock; then, for `disk`, a sync outside the lock that is shared with all who
wait (group commit). The append path never logs and never waits for the network.

What survives: after `append(…, "disk")` returned, a power loss; after `append(…, "process")` returned, `kill -9` of
this process, and a power loss from about a second later on.

After `fork` the child forgets the parent's descriptors and opens its own at its first append.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from ..errors import JournalFull, JournalLocked, NotRecorded
from ..integrity import Draft
from .chain import Chain
from .directory import JournalDirectory, append_line
from .lock import FileLock
from .segment import NO_SPACE, Link, Segment

__all__ = ["Journal", "Position"]

_FLUSH_AFTER = 0.5
"""Seconds until what `process` durability left to the kernel is put on disk."""


class Position(NamedTuple):
    """Where an entry stands: its journal, its place in the chain, its hash."""

    journal: str
    seq: int
    hash: str


class Journal:
    """The journal of one directory, for appending. Safe to use from threads, and from processes at once.

    Parameters
    ----------
    journal_dir
        Made at the first append, with mode 0700.
    segment_bytes, segment_age
        A segment is closed once it holds that many bytes, or has been written to for that many seconds.
    max_bytes
        The most that all segments may hold together; 0 for no limit. Beyond it `append` raises `JournalFull`.
    lock_timeout
        Seconds to wait for another process before `append` raises `JournalLocked`.
    """

    def __init__(
        self,
        journal_dir: str | Path,
        *,
        segment_bytes: int = 64 * 1024 * 1024,
        segment_age: float = 3600.0,
        max_bytes: int = 0,
        lock_timeout: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(journal_dir)
        self._limits = {"segment_bytes": segment_bytes, "segment_age": segment_age, "max_bytes": max_bytes}
        self._lock_timeout = lock_timeout
        self._monotonic = monotonic
        self._forget()
        _journals.add(self)

    def _forget(self) -> None:
        """Nothing is open: at the start, after `close`, and in a forked child."""
        self._thread_lock = threading.Lock()
        self._file_lock: FileLock | None = None
        self._chain: Chain | None = None
        self._unsynced = threading.Event()
        self._flusher: threading.Thread | None = None

    def append(self, draft: Draft, durability: Literal["disk", "process"] = "disk") -> Position:
        """Makes the entry the next of the chain, and as durable as asked for, before it returns.

        Raises `NotRecorded` (`JournalLocked`, `JournalFull`) when the entry is not known to be recorded, and
        `JournalDamaged` when the directory can't be used.
        """
        with _Exclusive(self) as chain:
            segment, offset, position = _append(chain, draft)
        if durability == "disk":
            self._sync(segment, offset)
        else:
            self._sync_soon()
        return position

    def _sync(self, segment: Segment, offset: int) -> None:
        try:
            segment.sync(offset)
        except NotRecorded:
            with _Exclusive(self) as chain:
                if chain.segment is segment:
                    chain.end_if_possible(f"a sync of {segment.path.name} failed")
            raise

    def _sync_soon(self) -> None:
        if not self._unsynced.is_set():
            self._unsynced.set()
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._flush, name="whodid-sync", daemon=True)
                self._flusher.start()

    def _flush(self) -> None:
        while self._unsynced.wait():
            time.sleep(_FLUSH_AFTER)
            self._unsynced.clear()
            self.sync()

    def sync(self) -> None:
        """Puts on disk whatever this process appended. When that fails the journal ends, with an alarm."""
        chain = self._chain
        segment = chain.segment if chain is not None else None
        if chain is not None and segment is not None:
            try:
                self._sync(segment, segment.size)
            except NotRecorded as error:
                chain.directory.alarm("sync failed", f"entries of durability=process may be lost: {error}")

    def quarantine(self, rejected: Mapping[str, object]) -> None:
        """Keeps a call that broke the catalog, durable on return. Raises `NotRecorded`."""
        try:
            append_line(JournalDirectory(self.path, create=True).rejected, orjson.dumps(rejected))
        except OSError as error:
            raise _not_recorded(self.path, error) from error

    def close(self) -> None:
        """Syncs, and closes this process's files. A later append opens them again."""
        self.sync()
        with self._thread_lock:
            self._let_go()

    def _let_go(self) -> None:
        self._chain = None
        if self._file_lock is not None:
            self._file_lock.close()
            self._file_lock = None

    def after_fork_in_child(self) -> None:
        """Lets go of the parent's descriptors, which leaves the parent's lock alone."""
        lock = self._file_lock
        self._forget()
        if lock is not None:
            lock.close()


class _Exclusive:
    """Both locks of a journal held, its directory and chain made at the first use; OS errors become ours."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> Chain:
        journal = self._journal
        if not journal._thread_lock.acquire(timeout=journal._lock_timeout):
            raise JournalLocked(
                f"another thread of this process has been writing to {journal.path} for {journal._lock_timeout:g} s; "
                "nothing was recorded. Check the disk"
            )
        try:
            if journal._chain is None or journal._file_lock is None:
                directory = JournalDirectory(journal.path, create=True)
                journal._file_lock = FileLock(directory.lock, monotonic=journal._monotonic)
                journal._chain = Chain(directory, **journal._limits, monotonic=journal._monotonic)  # type: ignore[arg-type]
            journal._file_lock.acquire(journal._lock_timeout)
        except BaseException as error:
            journal._thread_lock.release()
            if isinstance(error, OSError):
                raise _not_recorded(journal.path, error) from error
            raise
        return journal._chain

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        journal = self._journal
        if journal._file_lock is not None:
            journal._file_lock.release()
        if isinstance(error, OSError):
            journal._let_go()  # the directory may be another one by now
        journal._thread_lock.release()
        if isinstance(error, OSError):
            raise _not_recorded(journal.path, error) from error


def _append(chain: Chain, draft: Draft) -> tuple[Segment, int, Position]:
    segment = chain.current()
    sealed = draft.seal(chain.journal, segment.link.seq + 1, segment.link.hash)
    segment = chain.make_room(segment, len(sealed.line) + 1)
    try:
        offset = segment.append(sealed.line, Link(sealed.seq, sealed.hash))
    except OSError as error:
        chain.end_if_possible(f"a write failed: {error.strerror}")
        raise
    return segment, offset, Position(chain.journal, sealed.seq, sealed.hash)


def _not_recorded(path: Path, error: OSError) -> NotRecorded:
    if error.errno in NO_SPACE:
        return JournalFull(f"no space for the journal in {path} ({error.strerror}); free some")
    return NotRecorded(
        f"the entry could not be written to {path} ({error.strerror}): it is not known to be recorded. "
        "Check that the directory exists, belongs to this user, and is not read-only"
    )


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in tuple(_journals):
        journal.after_fork_in_child()


def _at_exit() -> None:
    for journal in tuple(_journals):
        journal.sync()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

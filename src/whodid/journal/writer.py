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
import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Literal

import orjson

from ..errors import JournalDamaged, JournalFull, JournalLocked, NotRecorded
from ..integrity import Draft
from ..warning import warn
from .append import Position, Written, append_at_once, append_one
from .chain import Chain
from .directory import JournalDirectory
from .file import append_line, linked
from .group import GroupCommit
from .lock import FileLock
from .segment import NO_SPACE, Segment

__all__ = ["Journal", "Position"]

_FLUSH_AFTER = 0.5
"""Seconds until what `process` durability left to the kernel is put on disk."""


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
        self._max_bytes = max_bytes
        self._lock_timeout = lock_timeout
        self._monotonic = monotonic
        self._warned = False
        self._too_open: tuple[Path, ...] = ()
        self._forget()
        _journals.add(self)

    def _forget(self) -> None:
        """Nothing is open: at the start, after `close`, and in a forked child."""
        self._thread_lock = threading.Lock()
        self._inside: set[int] = set()
        self._file_lock: FileLock | None = None
        self._chain: Chain | None = None
        self._group: GroupCommit[Draft, Written] = GroupCommit(self._write, self._try_sync)
        self._unsynced = threading.Event()
        self._flusher: threading.Thread | None = None

    def append(self, draft: Draft, durability: Literal["disk", "process"] = "disk") -> Position:
        """Makes the entry the next of the chain, and as durable as asked for, before it returns.

        Raises `NotRecorded` (`JournalLocked`, `JournalFull`) when the entry is not known to be recorded, and
        `JournalDamaged` when the directory can't be used.
        """
        if durability == "disk":
            position, segment, offset = self._group.submit(draft)
            self._sync(segment, offset)
            self._warn_once()
            return position
        chain = self._enter()
        try:
            position, _, _ = append_one(chain, draft)
        except BaseException as error:
            self._leave(error)
            raise
        self._leave()
        if not self._unsynced.is_set():
            self._sync_soon()
        self._warn_once()
        return position

    def _write(self, drafts: Sequence[Draft]) -> list[Written | Exception]:
        """Each draft's entry, or why there is none."""
        written: list[Written | Exception] = []
        try:
            with _Exclusive(self) as chain:
                if len(drafts) > 1:
                    with suppress(JournalFull):  # one by one, some may fit
                        written += append_at_once(chain, drafts)
                for draft in drafts[len(written) :]:
                    try:
                        written.append(append_one(chain, draft))
                    except NotRecorded as error:
                        written.append(error)
        except (NotRecorded, JournalDamaged) as error:  # of the lock, the directory or the disk: it holds for the rest
            written += [error] * (len(drafts) - len(written))
        return written

    def _try_sync(self, written: Sequence[Written]) -> None:
        """One sync for all of a group; each asks for its own again, and then gets the error."""
        if written:
            with suppress(NotRecorded):
                self._sync(*written[-1][1:])

    def _sync(self, segment: Segment, offset: int) -> None:
        try:
            segment.sync(offset)
        except NotRecorded:
            with _Exclusive(self) as chain:
                if chain.segment is segment:
                    chain.end_if_possible(f"a sync of {segment.path.name} failed")
                    self._let_go()  # the directory may be another one by now
            raise

    def _sync_soon(self) -> None:
        self._unsynced.set()
        if self._flusher is None:
            flusher = threading.Thread(target=self._flush, name="whodid-sync", daemon=True)
            try:
                flusher.start()
            except RuntimeError:  # the interpreter is shutting down, or there are too many threads
                self._unsynced.clear()
                self.sync()
            else:
                self._flusher = flusher

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
            except (NotRecorded, JournalDamaged) as error:
                chain.directory.alarm("sync failed", f"entries of durability=process may be lost: {error}")

    def quarantine(self, rejected: Mapping[str, object]) -> bool:
        """Keeps a call that broke the catalog, durable on return; `False` where there is no more room for such calls.

        They count towards `max_bytes`, and take an eighth of it at most: they must not keep entries out. Raises
        `NotRecorded` and `JournalDamaged`.
        """
        line = orjson.dumps(rejected)
        try:
            directory = JournalDirectory(self.path, create=True)
            if len(line) >= directory.room_for_rejected(self._max_bytes):
                return False
            append_line(directory.rejected, line)
        except OSError as error:
            raise _as_ours(self.path, error) from error
        return True

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
        if self._chain is not None:
            self._chain.after_fork_in_child()
        self._forget()
        if lock is not None:
            lock.close()

    def _enter(self) -> Chain:
        """Takes both locks; `_leave` gives them back. The directory and chain are made at the first use."""
        thread = get_ident()
        again = thread in self._inside
        self._inside.add(thread)  # before the lock is taken: a signal may come between any two steps
        if not self._thread_lock.acquire(False):  # by name it would take three times as long
            self._wait_for_threads(again)
        try:
            if self._chain is None or self._file_lock is None:
                directory = JournalDirectory(self.path, create=True)
                self._too_open = () if self._warned else tuple(directory.too_open())
                self._file_lock = FileLock(directory.lock, monotonic=self._monotonic)
                self._chain = Chain(directory, self._file_lock, **self._limits, monotonic=self._monotonic)  # type: ignore[arg-type]
            if not self._file_lock.try_acquire():
                self._file_lock.acquire(self._lock_timeout)
        except BaseException as error:
            if self._chain is None:
                self._let_go()
            self._inside.discard(thread)
            self._thread_lock.release()
            if isinstance(error, OSError):
                raise _as_ours(self.path, error) from error
            raise
        return self._chain

    def _warn_once(self) -> None:
        """Once the entry is recorded and no lock is held: what hears the warning may audit in its turn."""
        if self._too_open:
            names, self._too_open, self._warned = " ".join(map(str, self._too_open)), (), True
            warn(f"others than their owner may get at {names}; run `chmod go= {names}`", stacklevel=2)

    def _wait_for_threads(self, again: bool) -> None:
        """`again` says that this very thread has begun to take the lock before."""
        if again:
            raise JournalLocked(
                "audit() was called while this very thread was recording, from a signal handler or a finalizer; "
                "nothing was recorded. Let the handler set a flag, and record from the main line of the program"
            )
        if not self._thread_lock.acquire(timeout=self._lock_timeout):
            self._inside.discard(get_ident())
            raise JournalLocked(
                f"another thread of this process has been writing to {self.path} for {self._lock_timeout:g} s; "
                "nothing was recorded. Check the disk"
            )

    def _leave(self, error: BaseException | None = None) -> None:
        """Gives both locks back. Raises an error of the operating system as ours."""
        if self._file_lock is not None:
            self._file_lock.release()
        if isinstance(error, OSError):
            self._let_go()  # the directory may be another one by now
        self._inside.discard(get_ident())
        self._thread_lock.release()
        if isinstance(error, OSError):
            raise _as_ours(self.path, error) from error


class _Exclusive:
    """Both locks of a journal held, for a block."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> Chain:
        return self._journal._enter()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._journal._leave(error)


def _as_ours(path: Path, error: OSError) -> NotRecorded | JournalDamaged:
    if error.errno == errno.ELOOP:
        return linked(error.filename)
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

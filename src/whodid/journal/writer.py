"""The writer: appends entries to the journal, shared with every other thread and process of the host.

Append, in order: the lock among threads; the file lock; if the segment isn't as this process left it, the chain is
picked up where another process left it; one write; unlock; then, for `disk`, a sync outside the lock that is shared
with all who wait (group commit). The append path never logs and never waits for the network.

What survives: after `append(…, "disk")` returned, a power loss; after `append(…, "process")` returned, `kill -9` of
this process, and a power loss from about a second later on.

A signal handler may raise at any point of this. The call that it interrupts gives back both locks, and the next call,
in any thread, process or journal object, proceeds as after a process that was killed there: it reads the chain again.

After `fork` the child forgets the parent's descriptors and opens its own at its first append. Each entrance compares
the process ID as well, since not every `fork` runs Python's handlers.
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
from os import getpid
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar

import orjson

from ..errors import JournalDamaged, JournalFull, JournalLocked, NotRecorded
from ..files import append_line, best_effort, linked, of_system
from ..integrity import Draft
from ..process import forks_unseen, pass_on, suspends_threads, warn
from ..settings import journal_place
from .chain import Chain, Known, Position, Written, append_at_once, append_one
from .descriptor import close_forgotten
from .directory import JournalDirectory
from .group import GroupCommit
from .lock import FileLock, Hold, ThreadLock
from .segment import NO_SPACE, Segment

__all__ = ["Journal", "Position"]

T = TypeVar("T")
A = TypeVar("A")

_FLUSH_AFTER = 0.5
"""Seconds until what `process` durability left to the kernel is put on disk."""

_IDLE = 10.0
"""Seconds without an entry after which the thread that does so ends."""


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
        self.path = journal_place(journal_dir)
        self._limits = {"segment_bytes": segment_bytes, "segment_age": segment_age, "max_bytes": max_bytes}
        self._max_bytes = max_bytes
        self._lock_timeout = lock_timeout
        self._monotonic = monotonic
        self._warned = False
        self._known = Known()
        self._guards: dict[int, ThreadLock] = {}
        self._too_open: tuple[Path, ...] = ()
        self._forget()
        _journals.add(self)

    def _forget(self) -> None:
        """Nothing is open: at the start, after `close`, and in a forked child."""
        self._threads = ThreadLock()
        self._amid = False
        """Whether a call is inside, or was when an exception ended it: what it left can't be trusted then."""
        self._file_lock: FileLock | None = None
        self._unlock: Callable[[], object] | None = None
        self._chain: Chain | None = None
        self._group: GroupCommit[Draft, Written] = GroupCommit(self._write, self._try_sync)
        self._failed: Segment | None = None
        """Whose sync failed, until its journal is ended."""
        self._unsynced: Segment | None = None
        """Where `process` durability appended last; a segment opened since then doesn't know what is to be synced."""
        self._flush_due: SimpleQueue[None] = SimpleQueue()
        """Not empty while a flush is to come. No signal can leave it locked, other than an `Event`."""
        self._flusher: threading.Thread | None = None
        self._pid = getpid()

    def append(self, draft: Draft, durability: Literal["disk", "process"] = "disk") -> Position:
        """Makes the entry the next of the chain, and as durable as asked for, before it returns.

        Raises `NotRecorded` (`JournalLocked`, `JournalFull`) when the entry is not known to be recorded, and
        `JournalDamaged` when the directory can't be used.
        """
        if getpid() != self._pid:
            self._notice_fork()
        if self._failed is not None:  # and what was to end its journal was interrupted
            self._exclusively(self._end, self._failed)
        if durability == "disk":
            position, segment, offset = self._group.submit(draft)
            self._sync(segment, offset)
            if self._too_open:
                self._warn_once()
            return position
        position, self._unsynced, _ = self._exclusively(append_one, draft)
        if self._flush_due.empty():
            self._sync_soon()
        if self._too_open:
            self._warn_once()
        return position

    def _write(self, drafts: Sequence[Draft]) -> list[Written | Exception]:
        """Each draft's entry, or why there is none."""
        written: list[Written | Exception] = []

        def write(chain: Chain, drafts: Sequence[Draft]) -> None:
            if len(drafts) > 1:
                with suppress(JournalFull):  # one by one, some may fit
                    written.extend(append_at_once(chain, drafts))
            for draft in drafts[len(written) :]:
                try:
                    written.append(append_one(chain, draft))
                except JournalFull as error:
                    written.append(error)

        try:
            self._exclusively(write, drafts, look=True)  # beside the sync, that costs nothing
        except (NotRecorded, JournalDamaged) as error:  # of the lock, the directory or the disk: it holds for the rest
            pass_on(error)
            written += [error] * (len(drafts) - len(written))
        return written

    def _try_sync(self, written: Sequence[Written]) -> None:
        """One sync for all of a group; each asks for its own again, and then gets the error."""
        if written:
            _, segment, offset = written[-1]
            with suppress(NotRecorded):
                self._sync(segment, offset)

    def _sync(self, segment: Segment, offset: int) -> None:
        try:
            segment.sync(offset)
        except NotRecorded:
            if segment.failed is not None:
                self._failed = segment
                self._exclusively(self._end, segment)
            raise

    def _end(self, chain: Chain, failed: Segment) -> None:
        if chain.segment is None:  # the chain was reopened meanwhile
            with suppress(NotRecorded):
                chain.current()
        if chain.segment is not None and chain.segment.path == failed.path:
            chain.end_if_possible(f"a sync of {failed.path.name} failed")
        self._failed = None
        self._chain = None  # the directory may be another one by now

    def _sync_soon(self) -> None:
        chain = self._chain
        if chain is not None and chain.left_unsynced:  # and this process may be as short-lived as the one before
            chain.left_unsynced = False
            self.sync()
            return
        if forks_unseen() or suspends_threads():  # no thread may start here, or none would run in time
            self.sync()
            return
        self._flush_due.put(None)
        if self._flusher is None or not self._flusher.is_alive():
            self._flusher = threading.Thread(target=self._flush, name="whodid-sync", daemon=True)
            try:
                self._flusher.start()
            except RuntimeError:  # the interpreter is shutting down, or there are too many threads
                self._flusher = None
                self._all_due()
                self.sync()

    def _flush(self) -> None:
        """Ends when nothing was left to the kernel for a while: a thread that stays keeps the journal in memory."""
        while self._comes():
            time.sleep(_FLUSH_AFTER)
            self._all_due()
            self.sync()

    def _comes(self) -> bool:
        """Whether a flush is due, or becomes due within `_IDLE` seconds."""
        with suppress(Empty):
            self._flush_due.get(timeout=_IDLE)
            return True
        self._flusher = None  # who comes from now on starts another; who came just before is seen below
        return not self._flush_due.empty()

    def _all_due(self) -> None:
        """Clears the queue of flushes: whatever is appended from now on requests another one."""
        with suppress(Empty):
            while True:
                self._flush_due.get_nowait()

    def sync(self) -> None:
        """Puts on disk whatever this process appended. When that fails the journal ends, with an alarm."""
        if getpid() != self._pid:
            self._notice_fork()
        chain = self._chain
        current = chain.segment if chain is not None else None
        for segment in {self._unsynced, current}:
            try:
                if segment is not None:
                    self._sync(segment, segment.size)
            except (NotRecorded, JournalDamaged) as error:
                with best_effort():  # the directory may be another user's by now
                    about = f"entries of durability=process may be lost: {error}"
                    JournalDirectory(self.path).alarm("sync failed", about)

    def close_segment(self) -> None:
        """Closes the segment that is written to, of whatever process: what comes next starts another.

        Raises `NotRecorded` where it can't be made durable, and `JournalDamaged`.
        """
        if getpid() != self._pid:
            self._notice_fork()
        self._exclusively(lambda chain, _: chain.close_segment(chain.current()), None)

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
            if of_system(error):
                raise _as_ours(self.path, error) from error
            raise
        return True

    def close(self) -> None:
        """Syncs, and closes this process's files. A later append opens them again."""
        self.sync()
        hold = Hold(self._threads)
        try:
            hold.take()
            self._unsynced = None
            self._let_go()
        finally:
            hold.give_back()

    def _let_go(self) -> None:
        if self._chain is not None:
            self._known = self._chain.known()
        self._chain = None
        lock, self._file_lock = self._file_lock, None
        if lock is not None:
            lock.close()
        close_forgotten()

    def after_fork_in_child(self) -> None:
        """Lets go of the parent's descriptors, which leaves the parent's lock alone."""
        lock = self._file_lock
        if self._chain is not None:
            self._chain.after_fork_in_child()
        self._forget()
        if lock is not None:
            lock.close()

    def _notice_fork(self) -> None:
        """Does what Python's handlers do after a fork: application servers written in C fork without running them."""
        with Hold(self._guards.setdefault(getpid(), ThreadLock())):  # no lock of the parent's is sure to be free
            if self._pid != getpid():
                self.after_fork_in_child()

    def _exclusively(self, work: Callable[[Chain, A], T], argument: A, look: bool = False) -> T:
        """What `work` returns, done while no other thread or process is inside. Raises the system's errors as ours.

        `look` has all files compared with their names, however short the last look was ago.
        One more `finally` than it seems to need: an exception may come amid the first.
        """
        hold = Hold(self._threads)
        try:
            try:
                if not hold.at_once:
                    self._wait(hold)
                if self._amid:  # a call was cut off
                    self._let_go()
                self._amid = True
                chain = self._chain
                if chain is None or not chain.try_lock(look):
                    chain = self._lock_files(look)
                done = work(chain, argument)
                self._amid = False
            except JournalFull:  # which leaves all as it was
                self._amid = False
                raise
            except OSError as error:
                if of_system(error):
                    raise _as_ours(self.path, error) from error
                raise
            finally:
                hold.give_back(self._unlock)
        finally:
            if hold.frame is not None:
                hold.give_back(self._unlock)
        return done

    def _wait(self, hold: Hold) -> None:
        if not hold.take(self._lock_timeout):
            raise JournalLocked(
                f"another thread of this process has been writing to {self.path} for {self._lock_timeout:g} s; "
                "nothing was recorded. Check the disk"
            )

    def _lock_files(self, look: bool) -> Chain:
        """Waits for the lock among processes, on files that are where their names say. Opens them if need be."""
        try:
            return self._lock_opened(look)
        except FileNotFoundError as error:
            if not of_system(error):
                raise
            self._let_go()  # the directory was moved or removed
            return self._lock_opened(look)

    def _lock_opened(self, look: bool) -> Chain:
        chain, lock = self._chain, self._file_lock
        if chain is None or lock is None:
            directory = JournalDirectory(self.path, create=True)
            self._too_open = () if self._warned else tuple(directory.too_open())
            limits: dict[str, Any] = {**self._limits, "monotonic": self._monotonic, "known": self._known}
            self._file_lock = lock = FileLock(directory.lock, monotonic=self._monotonic)
            self._unlock = lock.unlock
            self._chain = chain = Chain(directory, lock, **limits)
        if not chain.try_lock(look):
            lock.acquire(self._lock_timeout)
        return chain

    def _warn_once(self) -> None:
        """Once the entry is recorded and no lock is held: what hears the warning may audit in its turn."""
        paths, self._too_open, self._warned = self._too_open, (), True
        if paths:  # no other thread was quicker
            names = " ".join(map(str, paths))
            warn(f"accessible to other users: {names}; run `chmod go= {names}`", stacklevel=2)


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

"""The chain of a journal directory: starts a journal, appends to its segment, and ends it when it can't continue.

Everything here is called with the directory's lock held.

A journal ends, and a new one with its own ID begins beside it, when the chain can't be continued with certainty: a
failed write or sync, a damaged last line, a directory that is a copy, lines that are gone, a segment that was renamed,
removed or replaced, an acknowledged position ahead of the data. Each is noted in `alarms.ndjson`; recording continues.

The beginning of a journal: its directory, its marker, and the files that must be there before the disk is full.

Crash behaviour: `current` is replaced last, when all the rest is durable. A crash before that leaves an unused, empty
journal, which is harmless; an error leaves nothing.

Appending: drafts, sealed to become the next entries of the chain, and written to its segment.

Everything here is called with the directory's lock held.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..entry import ZERO_HASH, Stamp
from ..errors import JournalDamaged, JournalFull, NotRecorded
from ..files import (
    best_effort,
    dump,
    identity,
    is_there,
    make_directory,
    of_system,
    open_new,
    sync_above,
    sync_directory,
    write_all,
    write_file,
)
from ..integrity import CHAIN_BYTES, Draft
from .descriptor import close_forgotten
from .directory import FORMAT, JournalDirectory, reserve_counter, segment_name, segments
from .durable import DurableMark, on_disk
from .lock import FileLock
from .once import Keys
from .position import Acknowledged
from .segment import Broken, Link, Segment, is_closed, last_link

__all__ = [
    "LOOK_AGAIN",
    "Chain",
    "Known",
    "Position",
    "Written",
    "append_at_once",
    "append_one",
    "begin_journal",
    "forget_journal",
    "sync_what_was_left",
]


def begin_journal(directory: JournalDirectory) -> str:
    """Makes a new, empty journal the current one and returns its ID. The caller holds the lock. Raises `OSError`."""
    journal = secrets.token_hex(8)
    made = directory.journal(journal)
    unshipped = directory.started()
    try:
        make_directory(made)
        _mark(made)
        Acknowledged().reserve(made)  # which syncs the directory
        with suppress(JournalDamaged):  # then calls that are not recorded are not counted
            reserve_counter(directory.path)
        sync_directory(directory.path)
        sync_above(directory.path)  # the process that created it may have been killed before doing so
        _make_current(directory, journal, unshipped)
    except (OSError, JournalDamaged):
        if directory.current() != journal:
            shutil.rmtree(made, ignore_errors=True)  # else each call on a full disk would leave one more
        raise
    return journal


def forget_journal(directory: JournalDirectory, journal: str) -> None:
    """Removes a journal that is shipped or retired from those that are missing once they are not there.

    Raises `OSError`, `JournalDamaged` and `JournalLocked`.
    """
    lock = FileLock(directory.lock)
    try:
        lock.acquire(_PATIENCE)
        current, started = directory.current(), directory.started()
        if current is not None and journal in started:
            _make_current(directory, current, [one for one in started if one not in (journal, current)])
    finally:
        lock.close()


_PATIENCE = 1.0
"""Seconds to wait for a process that records."""


def _make_current(directory: JournalDirectory, journal: str, unshipped: Sequence[str]) -> None:
    write_file(directory.path / "current", dump({"format": FORMAT, "journal": journal, "unshipped": unshipped}))


def _mark(made: Path) -> None:
    created = Stamp.now().creation_date
    with open_new(made / "journal.json") as fd:
        write_all(fd, dump({"format": FORMAT, "journal": made.name, "created": created, **identity(fd)}))
        os.fsync(fd)


LOOK_AGAIN = 0.01
"""Seconds for which a look at the files holds under `process`: at whether they still are what their names lead to.

A look costs as much as half a call: at this interval less than 1 % of what a process spends that does nothing but
record, on a busy machine too. Nobody can look at a name and write in one step: a thread may lose the processor in
between for about as long. Under `disk` each write is preceded by a look.
"""


class Known(NamedTuple):
    """What this process knows to be recorded: entries up to number `seq` of `journal`."""

    journal: str = ""
    seq: int = 0


class Chain:
    """Where the next entry goes. Limits as in `whodid.journal.Journal`."""

    def __init__(
        self,
        directory: JournalDirectory,
        lock: FileLock,
        *,
        segment_bytes: int,
        segment_age: float,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
        known: Known | None = None,
    ) -> None:
        self.directory = directory
        self.keys = Keys(directory)
        self._lock = lock
        self._mark = DurableMark(directory.durable)
        self._generation = -1
        self._renewals = lock.renewals
        self._current: tuple[int, int] | None = None
        self._look_at = float("-inf")
        self.due = True
        self._now = 0.0
        self._known = known or Known()
        self.journal = ""
        self.segment: Segment | None = None
        self._segment_bytes = segment_bytes
        self._segment_age = segment_age
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self.left_unsynced = False
        """Whether something in the segment was not known to be on disk when it was opened: who wrote it may be dead."""
        self._old_at = 0.0
        self._other_bytes = 0

    def after_fork_in_child(self) -> None:
        self._mark.close()

    def known(self) -> Known:
        """What is recorded as far as this process has seen, to be given to the chain that is made after this one."""
        if self.segment is not None:
            self._known = Known(self.journal, self.segment.link.seq)
        return self._known

    def try_lock(self, look: bool = False) -> bool:
        """Takes the lock for one use, unless it is not free or its directory is gone; notes whether a look is due."""
        self._now = now = self._monotonic()
        self.due = due = look or now >= self._look_at
        try:
            return self._lock.try_acquire(due)
        except FileNotFoundError as error:
            if not of_system(error):
                raise
            return False

    def current(self) -> Segment:
        """The segment to append to, its `link` the end of the chain."""
        segment = self.segment
        generation = self._lock.generation()
        fresh = generation == self._generation and not self.due
        if segment is not None and fresh and segment.failed is None and segment.end() == segment.size:
            return segment
        try:
            segment = self._follow(segment, fresh)
        except Broken as broken:
            segment = self._begin_anew(str(broken))
        if not fresh:
            self._generation = generation
            self._look_at = self._now + LOOK_AGAIN
            close_forgotten()
        return segment

    def _begin_anew(self, reason: str) -> Segment:
        self.end(reason)
        try:
            return self._open()
        except Broken as broken:
            where = self.directory.path
            raise NotRecorded(
                f"the journal in {where} ended ({reason}), nor can the next be used: {broken}"
            ) from broken

    def _follow(self, segment: Segment | None, fresh: bool) -> Segment:
        """Picks the chain up where other processes left it; `fresh` says that none of them closed the segment."""
        if segment is None:
            return self._open()
        if segment.failed is not None:  # and the process that noticed had no time to end the journal
            raise Broken(f"a write or sync of {segment.path.name} failed: {segment.failed.strerror}")
        size = segment.size
        try:
            if (fresh and segment.end() > size) or (self._is_current() and segment.has_only_grown()):
                if segment.end() > size:
                    self._catch_up(segment)
                return segment
        except FileNotFoundError as error:
            if not of_system(error):
                raise
        return self._open()

    def _is_current(self) -> bool:
        """Whether no other journal became the current one."""
        if self._lock.renewals != self._renewals:
            self._report_new_lock()
        return self._current == self.directory.current_file()

    def _report_new_lock(self) -> None:
        self._renewals = self._lock.renewals
        if self._lock.is_new() and is_there(self.directory.journal(self.journal)):  # else all of it is another
            self.directory.alarm("lock replaced", f"{self.directory.lock} was removed or replaced while it was in use")
            self._lock.next_generation()

    def _open(self) -> Segment:
        known = self.known()
        if self.segment is None or not self.segment.was_closed():  # unless that journal ended in good order
            self._report_if_gone(known)
        self.segment = None
        self._current = self.directory.current_file()  # first: what replaces it from now on is noticed
        self.journal = self.directory.current() or self._begin()
        path = self.directory.journal(self.journal)
        self._refuse_to_continue(path)
        found = segments(path)
        acknowledged = Acknowledged.read(path)
        if self._mark.first(self.journal) > max((int(segment.stem) for segment in found), default=0):
            raise Broken(f"the segment that begins with entry number {self._mark.first(self.journal)} is gone")
        if found and not is_closed(found[-1].stat()):
            segment = Segment(found[-1], self._mark)
            self._catch_up(segment)
            if segment.size == 0:
                sync_directory(path)  # the process that created it may have been killed before doing so
                segment.link = _link_before(found, path)
        else:
            end = _link_before([*found, path / segment_name(0)], path)
            segment = self._create(path, end)
        self.left_unsynced = not segment.check_mark()
        if acknowledged.seq > segment.link.seq:
            raise Broken(f"{acknowledged.seq} entries were acknowledged, but the data ends at {segment.link.seq}")
        if known.journal == self.journal and known.seq > segment.link.seq:
            raise Broken(f"{known.seq} entries were recorded, but the data ends at {segment.link.seq}")
        self._adopt(segment)
        return segment

    def _begin(self) -> str:
        """Begins a journal where none is current. The alarm comes first: a crash in between would leave it out."""
        if any(segments(self.directory.journal(journal)) for journal in self.directory.journals()):
            self.directory.alarm("new journal", f"{self.directory.path / 'current'} is missing; a new one is started")
        begun = begin_journal(self.directory)
        self._current = self.directory.current_file()
        return begun

    def _report_if_gone(self, known: Known) -> None:
        """Each process knows another number; the journal is reported once."""
        if known.journal and not is_there(self.directory.journal(known.journal)):
            about = f"journal {known.journal} was moved or removed while it was in use"
            alarms: list[dict[str, Any]] = []
            with best_effort():
                alarms = self.directory.alarms()
            if not any(alarm["about"].startswith(about) for alarm in alarms):
                self.directory.alarm("journal gone", f"{about}, with its entries up to number {known.seq}")
            self._known = Known()

    def _refuse_to_continue(self, path: Path) -> None:
        if is_there(path / "ended"):
            raise Broken("it had ended before")
        if self.directory.is_copy(self.journal):
            raise Broken("the directory is a copy, or was restored from one")

    def _catch_up(self, segment: Segment) -> None:
        cut = segment.catch_up()
        if cut:
            self.directory.alarm("torn tail", cut)

    def _create(self, path: Path, end: Link) -> Segment:
        return Segment(path / segment_name(end.seq + 1), self._mark, before=end, create=True)

    def _adopt(self, segment: Segment) -> None:
        self._old_at = self._monotonic() - segment.age() + self._segment_age
        self._other_bytes = self._bytes_beside(segment)
        self.segment = segment

    def close_segment(self, segment: Segment) -> Segment:
        """Closes the segment, durable; returns its successor. An empty one stays open. Raises `NotRecorded`."""
        if segment.size == 0:
            return segment
        self._lock.next_generation()
        segment.sync(segment.size)
        self.keys.keep(segment)
        segment.shut()
        successor = self._create(segment.path.parent, segment.link)
        self._adopt(successor)
        return successor

    def has_room(self, segment: Segment, needed: int) -> bool:
        """Whether this very segment takes `needed` bytes more. Raises `JournalFull`."""
        if self._max_bytes:
            self._check_max_bytes(segment, needed)
        return segment.size + needed <= self._segment_bytes and self._now <= self._old_at

    def _check_max_bytes(self, segment: Segment, needed: int) -> None:
        if self._other_bytes + segment.size + needed > self._max_bytes:
            self._other_bytes = self._bytes_beside(segment)  # the shipper may have deleted some
            if self._other_bytes + segment.size + needed > self._max_bytes:
                raise JournalFull(
                    f"the journal in {self.directory.path} has reached max_bytes = {self._max_bytes}; nothing already "
                    "recorded was touched. Run `whodid ship`, or raise max_bytes"
                )

    def _bytes_beside(self, segment: Segment) -> int:
        if not self._max_bytes:
            return 0
        return self.directory.bytes_beside(segment.path)

    def end(self, reason: str) -> None:
        """Ends the journal for good and begins the next, unless another process has done so."""
        if self.directory.current() not in {None, self.journal}:
            self.segment = None
            return
        ended = self.directory.journal(self.journal) / "ended"
        known = self.known() if self.segment is None or self.segment.failed is None else Known()
        first, size = on_disk(self.directory.durable, self.journal)
        last = max(known.seq if known.journal == self.journal else 0, first if size else 0)
        self._lock.next_generation()
        if self.segment is not None:
            self.segment.shut()
            self.segment = None
        if not is_there(ended):  # else the alarm was given, before a crash or a full disk came between
            self.directory.alarm("new journal", f"journal {self.journal} ended ({reason}); a new one is started")
            if is_there(ended.parent):
                write_file(ended, dump({"reason": reason, "last": last}))
        begin_journal(self.directory)

    def end_if_possible(self, reason: str) -> None:
        """Ends the journal as far as a failing disk allows: what the caller sees is the error that led here."""
        try:
            with best_effort(), suppress(NotRecorded):
                self.end(reason)
        finally:
            self.segment = None


def sync_what_was_left(directory: JournalDirectory) -> None:
    """Puts on disk what writers that are dead by now left to the kernel. Needs no lock. Raises as a sync does."""
    journal = directory.current()
    found = segments(directory.journal(journal)) if journal else []
    if found and not is_closed(found[-1].stat()):
        segment = Segment(found[-1], DurableMark(directory.durable))
        segment.sync(segment.whole())


def _link_before(found: list[Path], journal: Path) -> Link:
    """The link before the first entry of the last segment in `found`, which may be empty. Raises `Broken`.

    The shipper may delete segments meanwhile: to it, half a line that is about to be cut looked like an entry after
    them. What it deletes was acknowledged before.
    """
    for path in reversed(found[:-1]):
        with best_effort(FileNotFoundError):
            link = last_link(path)
            if link is not None:
                return link
    first = min((int(path.stem) for path in found if is_there(path)), default=1)
    if first <= 1:
        return Link(0, ZERO_HASH)
    acknowledged = Acknowledged.read(journal)
    if acknowledged.seq == first - 1:
        return Link(acknowledged.seq, acknowledged.hash)
    raise Broken(f"the entries before number {first} are gone, and were not acknowledged up to there")


class Position(NamedTuple):
    """Where an entry stands: its journal, its place in the chain, its hash; and its line there, without the newline."""

    journal: str
    seq: int
    hash: str
    line: bytes


Written = tuple[Position, Segment, int]
"""An entry, its segment, and the offset after it: what a sync must cover."""


def append_at_once(chain: Chain, drafts: Sequence[Draft]) -> list[Written]:
    """The entries in one write; none at all where they don't fit into the segment together, or some may repeat."""
    if any(draft.once for draft in drafts):
        return []
    segment = chain.current()
    if not chain.has_room(segment, sum(draft.size + CHAIN_BYTES for draft in drafts)):
        return []
    link, positions = segment.link, []
    for draft in drafts:
        hash_, line = draft.seal(chain.journal, link.seq + 1, link.hash)
        link = Link(link.seq + 1, hash_)
        positions.append(Position(chain.journal, *link, line))
    try:
        offset = segment.append(b"\n".join([position.line for position in positions]), link)
    except OSError as error:
        if of_system(error):
            chain.end_if_possible(f"a write failed: {error.strerror}")
        raise
    return [(position, segment, offset) for position in positions]


def append_one(chain: Chain, draft: Draft) -> Written:
    """The next entry, in a new segment where this one is full or old; or the first with its key. Raises `OSError`."""
    segment = chain.current()
    if draft.once is not None and (first := chain.keys.find(draft.once, segment)) is not None:
        return Position(chain.journal, *first, b""), segment, segment.size
    seq, prev = segment.link
    seq += 1
    hash_, line = draft.seal(chain.journal, seq, prev)
    if not chain.has_room(segment, len(line) + 1):
        segment = chain.close_segment(segment)
    try:
        offset = segment.append(line, _new(Link, (seq, hash_)))
    except OSError as error:
        if of_system(error):
            chain.end_if_possible(f"a write failed: {error.strerror}")
        raise
    return _new(Position, (chain.journal, seq, hash_, line)), segment, offset


_new = tuple.__new__
"""Half of what a named tuple's own constructor costs: for the two that every entry makes."""

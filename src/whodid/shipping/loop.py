"""The loop: reads batches from the journals of one directory, has them stored, and acknowledges them.

Invariants:
- Nothing is sent that is not synced (the reader sees to it).
- A position is acknowledged only when every entry up to it is stored, or durably kept as a dead letter, as damaged or
  as missing: several batches are under way at once, and the oldest is acknowledged first.
- What was missing when those after it were shipped is looked for again whenever files of its journal come or go.
- What waits is sent again for ever, with full-jitter back-off; the rest of the batch is not sent twice on purpose.
- One shipper a directory is active: the others wait for its lock.
- Only its stop ends it: what nobody foresaw is alarmed, and tried again (`guard`).
- No more is held in memory than the batches under way and one more read of `bulk_bytes`, whatever the backlog.

A kill at any point costs a repetition, which meets the same `_id`s: exactly once follows.

When it is stopped, it goes on until all is shipped that was journalled, for `drain_timeout` seconds at most.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter

from ..cluster.bulk import Cause, Document
from ..entry import document_id, partition_name
from ..errors import JournalDamaged, NotRecorded, ShippingError, WhodidError
from ..journal import Acknowledged, Damaged, JournalDirectory, JournalReader, Line, Missing, prune
from ..journal.chain import sync_what_was_left
from ..journal.damage import gap_at_the_end, gone_journal, keep_damaged, keep_missing, read_missing, remove_missing
from ..journal.directory import segment_name
from ..journal.lock import ProcessLock
from ..journal.position import close_restored
from ..journal.reader import Read
from ..journal.segment import Broken
from ..proof.keys import signer_of
from ..settings import Settings
from .checkpointing import Sealing
from .dead_letters import DeadLetter, keep_dead_letters, without_values
from .delivery import (
    Alive,
    Delivery,
    Flight,
    Flow,
    Moved,
    Observation,
    Observe,
    Progress,
    Send,
    Senders,
    Synced,
    Waiting,
)
from .guard import Guard, unforeseen
from .partitioning import Dates, Length, Partitioning
from .witnesses import Courier

__all__ = ["Shipper"]

_LOOK_UP = 0.2
"""Seconds between looks whether to stop, while an answer is waited for."""
_LAST_WORD = 5.0
"""Seconds that requests under way have to be answered, once it is time to end."""


_ALARMING: set[Cause] = {"request", "configuration"}


_new = tuple.__new__
"""Half of what a named tuple's own constructor costs."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines of one journal that are acknowledged together: what is sent of them, and what isn't.

    Entries that are sent without being acknowledged are no `lines`: `found` were noted as missing before.
    """

    journal: str
    lines: list[Line]
    documents: list[Document]
    letters: list[DeadLetter]
    damaged: list[Damaged]
    missing: list[Missing]
    found: list[Missing]

    def partitions(self, refused: Sequence[DeadLetter]) -> Iterable[tuple[str, int]]:
        """How many of the entries were stored in which partition."""
        counts = Counter(map(_PARTITION, self.documents))
        counts.subtract(letter.index for letter in refused)
        return (+counts).items()


_PARTITION = itemgetter(1)


def _numbers(lines: Iterable[Line]) -> list[Missing]:
    return [Missing(line.journal, line.seq, line.seq) for line in lines]


class Shipper:
    """Ships one journal directory. `send` and `dates` are how it meets the cluster; `stop` ends it.

    `observe` is told of each step. `chores` are done between batches. `farewell` is called when all was shipped after a
    stop, and says whether it recorded an entry that should be shipped as well. `courier` brings the checkpoints away,
    `tell` gets why one can't be closed, `guard` what nobody foresaw. Raises `SettingsError` where the key that signs
    them can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        send: Send,
        *,
        dates: Dates | None = None,
        stop: threading.Event | None = None,
        observe: Observe = lambda observation: None,
        chores: Callable[[], None] = lambda: None,
        farewell: Callable[[], bool] = lambda: False,
        courier: Courier | None = None,
        tell: Callable[[str], None] = lambda text: None,
        guard: Guard | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = JournalDirectory(settings.journal_dir, create=True)
        self.stop = stop or threading.Event()
        self.progress = Progress()
        self._settings = settings
        self._dates = dates or Dates.unlimited()
        self._guard = guard or Guard(self.directory.path, tell, monotonic=monotonic)
        self._observer: Observe = lambda observation: self._guard.always("the log", lambda: observe(observation))
        self._chores = chores
        self._farewell = farewell
        self._courier = courier
        self._monotonic = monotonic
        self._reporting = threading.Lock()
        self._alarmed = ""
        self._flow = Flow(settings.bulk_bytes, settings.ship_rate, monotonic=monotonic)
        deliver = Delivery(send, self._flow, self._observe, monotonic=monotonic)
        self._senders: Senders[_Batch, list[DeadLetter] | None] = Senders(
            lambda batch: deliver(batch.documents), settings.bulks_in_flight
        )
        self._flights: deque[Flight[_Batch, list[DeadLetter] | None]] = deque()
        self._batches: Iterator[_Batch] = iter(())
        self._readers: dict[str, JournalReader] = {}
        self._looked_at: dict[str, int] = {}
        self._partitionings: dict[str, Partitioning] = {}
        self._withheld: Exception | None = None
        self._sealing = Sealing(
            self.directory,
            settings,
            signer_of(settings),
            on_closed=courier.wake if courier else lambda closed: None,
            tell=tell,
            monotonic=monotonic,
        )
        self.drain_timeout = settings.drain_timeout
        """Seconds to ship what is left after a stop; may be changed until then."""
        self._drained_by: float | None = None

    def run_once(self, patience: float = 30.0) -> Progress:
        """Ships what is there now and returns; gives up after `patience` seconds without an answer.

        What remains is safe in the journal; `progress.waiting` then says why. Raises `ShippingError` when another
        shipper is active.
        """
        lock = ProcessLock(self.directory.ship_lock)
        try:
            if not lock.try_acquire():
                raise ShippingError(
                    f"{self.directory.path} is already being shipped by {lock.holder()}; it sends what you wanted sent"
                )
            self.drain_timeout = 0.0
            self._begin(patience)
            while self._pass():
                pass
            if self._withheld:
                raise self._withheld
            if not self.progress.waiting:
                self._sealing.close_all()
        except (OSError, WhodidError):
            raise
        except Exception as error:
            raise unforeseen(error) from error
        finally:
            self._end(lock)
        return self.progress

    def run(self) -> Progress:
        """Ships until `stop` is set; waits for its turn when another shipper is active."""
        lock = ProcessLock(self.directory.ship_lock)
        try:
            while not self.stop.is_set():
                if self._has_turn(lock):
                    self._work(lock)
                else:
                    self.stop.wait(self._settings.poll_interval)
        finally:
            self._end(lock)
        return self.progress

    def _has_turn(self, lock: ProcessLock) -> bool:
        """Whether this is the one active shipper, now and still."""
        try:
            if lock.try_acquire():
                return True
            self._report(waiting=f"another shipper is active: {lock.holder()}")
        except OSError as error:
            self._report(waiting=f"{self.directory.ship_lock}: {error.strerror or error}")
        self._observe(Alive())
        return False

    def _work(self, lock: ProcessLock) -> None:
        """Ships until `stop` is set, or another process has the turn."""
        self._begin()
        while not self.stop.is_set():
            if not self._has_turn(lock):
                return self._forget()
            self._guard("retention", self._chores, _nothing)
            self._guard("checkpoints", self._sealing.close_what_is_due, _nothing)
            if not self._pass_or_pause():
                self._observe(Alive(idle=not self._flights and not self.progress.waiting))
                self.stop.wait(self._settings.poll_interval)
        return self._drain()

    def _begin(self, patience: float = float("inf")) -> None:
        self._flow.begin(patience)
        if self._courier:
            self._courier.start()
        self._drained_by = None

    def _end(self, lock: ProcessLock) -> None:
        """What is under way is forgotten: it is sent again by whoever ships next."""
        self._flow.end()
        self._senders.close()
        self._forget()
        if self._courier:
            self._courier.finish(_LAST_WORD)
        lock.close()

    def _forget(self) -> None:
        self._flights.clear()
        self._readers.clear()
        self._looked_at.clear()
        self._partitionings.clear()
        self._sealing.forget()
        self._batches = iter(())

    def _time_is_up(self) -> bool:
        """Whether `stop` was set, and the time to ship what is left is over, too."""
        if not self.stop.is_set():
            return False
        if self._drained_by is None:
            self._drained_by = self._monotonic() + self.drain_timeout
        return self._monotonic() >= self._drained_by

    def _drain(self) -> None:
        """Ships what is left after a stop, and what the farewell adds to it; then closes the checkpoint over it."""
        if not self._emptied(self._settings.poll_interval):
            return
        if not self._guard("closing the journal", self._farewell, lambda: False) or self._emptied(0.0):
            self._guard("checkpoints", self._sealing.close_all, _nothing)

    def _emptied(self, quiet: float) -> bool:
        """Ships until nothing new came for so many seconds; `False` when the time was up first."""
        waited = False
        while not self._time_is_up():
            if self._pass_or_pause():
                waited = False
            elif waited and not self._flights and not self.progress.waiting:
                return True
            else:
                left = (self._drained_by or 0.0) - self._monotonic()
                self._flow.wait(max(0.0, min(_LOOK_UP if self.progress.waiting else quiet, left)))
                waited = True
        return False

    def _pass_or_pause(self) -> bool:
        """As `_pass`; what can't be read or written on this host is waited for, like everything else."""
        return self._guard("shipping", self._careful_pass, self._rest)

    def _careful_pass(self) -> bool:
        try:
            found = self._pass()
        except (OSError, WhodidError) as error:
            self._report(waiting=_words(self.directory, error))
            return False
        if not (found or self._flights):
            if self._withheld:
                self._report(waiting=_words(self.directory, self._withheld))
            elif self.progress.waiting and not self._flow.over:
                self._report()  # nothing waits any more
        return found

    def _rest(self) -> bool:
        """After what nobody foresaw: all is read again, as after a restart."""
        self._forget()
        self._report(waiting=self._guard.why("shipping"))
        return False

    def _pass(self) -> bool:
        """Has the next batches sent, and acknowledges the oldest; whether there was any."""
        while len(self._flights) <= self._settings.bulks_in_flight and not self._time_is_up():
            batch = self._next_batch()
            if batch is None:
                break
            self._flow.admit(len(batch.documents))
            self._flights.append(self._senders.submit(batch))
        return bool(self._flights) and self._settle(self._flights[0])

    def _settle(self, flight: Flight[_Batch, list[DeadLetter] | None]) -> bool:
        """Waits for the oldest batch and acknowledges it; `False` when the end came first."""
        while not flight.landed(_LOOK_UP):
            self._observe(Alive())
            self._sync()
            if self._time_is_up():
                self._flow.end()
                if not flight.landed(_LAST_WORD):
                    return False
        try:
            refused = flight.outcome()
        except BaseException:
            self._forget()
            raise
        if refused is None:
            self._forget()
            return False
        self._acknowledge(flight.batch, refused)
        self._flights.popleft()
        return True

    def _sync(self) -> None:
        """While the cluster is waited for: what is read is on disk already, what was written since may not be."""
        with suppress(OSError, NotRecorded, JournalDamaged, Broken):  # who records next meets it, too, and says so
            sync_what_was_left(self.directory)

    def _acknowledge(self, batch: _Batch, refused: Sequence[DeadLetter]) -> None:
        """Notes that a batch is stored, after what of it is kept elsewhere. Raises `OSError`; may be done again."""
        letters = [*batch.letters, *refused]
        keep_damaged(self.directory, batch.damaged)
        keep_dead_letters(self.directory, letters)
        if batch.missing:
            keep_missing(self.directory, batch.missing)
            self._looked_at.pop(batch.journal, None)
        if batch.lines:
            self._sealing.acknowledge(batch.journal, batch.lines, batch.partitions(refused), len(letters))
        self._prune(batch)
        absent = sum(one.entries for one in batch.missing)
        self._report(len(batch.documents) - len(refused), len(letters), len(batch.damaged), absent)

    def _prune(self, batch: _Batch) -> None:
        """Deletes what may go, after it was noted what of the missing entries was found and stored."""
        path = self.directory.journal(batch.journal)
        noted = [one for one in read_missing(self.directory) if one.journal == batch.journal]
        found = batch.found
        if noted:
            found = [*found, *_numbers(line for line in batch.lines if any(gap.holds(line.seq) for gap in noted))]
        if found:
            remove_missing(self.directory, found)
            close_restored(path, found)
            noted = [one for one in read_missing(self.directory) if one.journal == batch.journal]
        prune(path, self._settings.keep_days, missing=noted)

    def _next_batch(self) -> _Batch | None:
        """The next lines that no batch holds yet, of the first journal that has some.

        A journal that can't be read keeps no other from being shipped.
        """
        batch = next(self._batches, None)
        if batch is None:
            self._withheld = None
            for journal in self.directory.journals():
                try:
                    lines = self._reader(journal).read(self._settings.bulk_bytes)
                except (OSError, WhodidError) as error:
                    self._withheld = error
                    continue
                if lines:
                    self._sealing.begin(journal)
                    self._batches = self._cut(journal, lines)
                    return next(self._batches)
            if self._flights:
                return None
            self._batches = self._odd_ones()
            batch = next(self._batches, None)
        return batch

    def _odd_ones(self) -> Iterator[_Batch]:
        """What no reader comes upon: entries missing at the end of a journal, and those that were and are there again.

        Looked for when all others are acknowledged, and the files of a journal are others than at the last look.
        """
        for journal in self.directory.journals():
            path = self.directory.journal(journal)
            changed = path.stat().st_mtime_ns
            if self._looked_at.get(journal) == changed:
                continue
            self._looked_at[journal] = changed
            noted = [one for one in read_missing(self.directory) if one.journal == journal]
            for gap in noted:
                yield from self._found_again(gap)
            end = gap_at_the_end(self.directory, journal, self._reader(journal).last)
            if end and end not in noted:
                yield _Batch(journal, [], [], [], [], [end], [])
        gone = gone_journal(self.directory)
        if gone and gone not in read_missing(self.directory):
            yield _Batch(gone.journal, [], [], [], [], [gone], [])

    def _found_again(self, gap: Missing) -> Iterator[_Batch]:
        path = self.directory.journal(gap.journal)
        if not gap.last:
            if not gap.first or (path / segment_name(gap.first)).exists():  # and its entries are read like all others
                yield _Batch(gap.journal, [], [], [], [], [], [gap])
            return
        self._reader(gap.journal)  # which knows the partitions
        reader = JournalReader(path, gap.first - 1)
        while lines := reader.read(self._settings.bulk_bytes):
            found = [line for line in lines if isinstance(line, Line) and line.seq <= gap.last]
            if found:
                damaged = [line for line in lines if isinstance(line, Damaged)]
                batch = self._batch(gap.journal, [*found, *damaged])
                yield replace(batch, lines=[], found=_numbers(found))
            if any(isinstance(line, Line) and line.seq > gap.last for line in lines):
                return

    def _cut(self, journal: str, lines: Sequence[Read]) -> Iterator[_Batch]:
        most = self._settings.bulk_entries
        if self._settings.ship_rate:
            most = min(most, self._settings.ship_rate)
        remaining = iter(lines)
        while part := list(islice(remaining, most)):
            yield self._batch(journal, part)

    def _batch(self, journal: str, read: Sequence[Read]) -> _Batch:
        acknowledged = [line for line in read if isinstance(line, Line)]
        damaged = [line for line in read if isinstance(line, Damaged)]
        whole = acknowledged
        if odd := [one.line for one in damaged if one.line]:
            whole = sorted([*acknowledged, *odd], key=lambda line: line.seq)
        dates = {line.date for line in whole}
        refusals = {date: why for date in dates if (why := self._dates.why_refused(date))}
        letters = [
            DeadLetter(document_id(line.journal, line.seq, line.hash), "", refusals[line.date], line.raw.decode())
            for line in whole
            if line.date in refusals
        ]
        sent = [line for line in whole if line.date not in refusals] if refusals else whole
        documents: list[Document] = []
        for length, stretch in self._partitionings[journal].stretches(sent):
            documents += self._documents(stretch, length)
        missing = [one for one in read if isinstance(one, Missing)] if len(acknowledged) < len(read) else []
        return _Batch(journal, acknowledged, documents, letters, damaged, self._unshipped(missing), _numbers(odd))

    def _unshipped(self, gaps: list[Missing]) -> list[Missing]:
        """Without what a checkpoint has: the position was lost, and is behind it."""
        known = {gap.journal: self._sealing.last(gap.journal) for gap in gaps}
        return [
            gap._replace(first=max(gap.first, known[gap.journal] + 1)) for gap in gaps if gap.last > known[gap.journal]
        ]

    def _documents(self, lines: Sequence[Line], length: Length) -> list[Document]:
        partitions = {
            date: partition_name(self._settings.index_prefix, length, date) for date in {line.date for line in lines}
        }
        return [
            _new(Document, (f"{name}-{seq:012d}-{hash_[:16]}", partitions[date], raw))  # `document_id` without the call
            for name, seq, hash_, date, raw in lines
        ]

    def _reader(self, journal: str) -> JournalReader:
        if journal not in self._readers:
            path = self.directory.journal(journal)
            self._partitionings[journal] = Partitioning.of(path, self._settings.partition)
            acknowledged = Acknowledged.read(path)
            self._readers[journal] = JournalReader(
                path, acknowledged.seq, on_sync=lambda seconds: self._observe(Synced(seconds))
            )
        return self._readers[journal]

    def _observe(self, observation: Observation) -> None:
        self._observer(observation)
        if isinstance(observation, Waiting):
            self._report(waiting=observation.reason)
            if observation.cause in _ALARMING:
                self._alarm(without_values(observation.reason))

    def _alarm(self, reason: str) -> None:
        """Of what stays until an operator changes the cluster; it is tried again all the while."""
        if reason != self._alarmed:
            self._alarmed = reason
            self.directory.alarm_once("not stored", f"entries wait: {reason}")

    def _report(
        self, shipped: int = 0, dead_letters: int = 0, damaged: int = 0, missing: int = 0, waiting: str = ""
    ) -> None:
        with self._reporting:
            before = self.progress
            self.progress = progress = Progress(
                before.shipped + shipped,
                before.dead_letters + dead_letters,
                before.damaged + damaged,
                before.missing + missing,
                waiting,
            )
        self._observer(Moved(progress))


def _nothing() -> None:
    pass


def _words(directory: JournalDirectory, error: Exception) -> str:
    return f"{directory.path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)

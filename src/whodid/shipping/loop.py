"""The shipping loop: reads batches from the journals of one directory, has them stored, and acknowledges them.

Invariants:
- Only synced entries are sent (the reader ensures it).
- A position is acknowledged only when every entry up to it is stored, or durably recorded as a dead letter, as damaged
  or as missing. Several batches are in flight at once, and the oldest is acknowledged first.
- Missing entries are looked for again whenever files of their journal are added or removed.
- Waiting entries are retried for as long as the shipper runs, with full-jitter back-off; the rest of the batch is not
  sent twice on purpose.
- One shipper a directory is active; the others wait for its lock.
- Only `stop` ends it: an unexpected error raises an alarm, and the work is retried (`guard`).
- Memory holds at most the batches in flight and one more read of `bulk_bytes`, whatever the backlog.

A kill at any point repeats some requests. They meet the same `_id`s, so every entry is stored exactly once.

After a stop it ships what was journalled, for at most `drain_timeout` seconds.
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
from ..files import is_there
from ..journal import Acknowledged, Damaged, JournalDirectory, JournalReader, Line, Missing, prune
from ..journal.chain import sync_what_was_left
from ..journal.damage import gap_at_the_end, gone_journals, keep_damaged, keep_missing, read_missing, remove_missing
from ..journal.directory import segment_name
from ..journal.lock import ProcessLock
from ..journal.position import close_restored
from ..journal.reader import Read
from ..journal.segment import Broken
from ..proof.keys import signer_of
from ..settings import Settings
from .checkpoint_delivery import CheckpointDelivery
from .checkpointing import Checkpointing
from .dead_letters import DeadLetter, keep_dead_letters, without_values
from .delivery import (
    Alive,
    Delivery,
    FlowControl,
    Moved,
    Observer,
    Progress,
    Send,
    Senders,
    ShippingEvent,
    Submission,
    Synced,
    Waiting,
)
from .guard import Guard, unexpected
from .partitioning import Dates, Length, Partitioning

__all__ = ["Shipper"]

_CHECK_STOP = 0.2
"""Seconds between checks of `stop` while waiting for an answer."""
_GRACE = 5.0
"""Seconds for the answers to requests in flight, once shipping ends."""

_ALARMING: set[Cause] = {"request", "configuration"}

_new = tuple.__new__
"""Takes half the time of a named tuple's own constructor."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines of one journal that are acknowledged together, and how each is handled.

    `found` are entries that were recorded as missing before: they are sent, but are not among the `lines`.
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
    """Ships one journal directory until `stop` is set. `send` stores documents; `dates` says which entries it may send.

    `observe` gets each event. `maintenance` is called between batches. `on_drained` is called when everything was
    shipped after a stop, and returns whether it recorded an entry that should be shipped as well. `checkpoint_delivery`
    delivers closed checkpoints, `notify` gets the reason when one can't be closed, and `guard` handles unexpected
    errors. Raises `SettingsError` if the key that signs checkpoints can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        send: Send,
        *,
        dates: Dates | None = None,
        stop: threading.Event | None = None,
        observe: Observer = lambda observation: None,
        maintenance: Callable[[], None] = lambda: None,
        on_drained: Callable[[], bool] = lambda: False,
        checkpoint_delivery: CheckpointDelivery | None = None,
        notify: Callable[[str], None] = lambda text: None,
        guard: Guard | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = JournalDirectory(settings.journal_dir, create=True)
        self.stop = stop or threading.Event()
        self.progress = Progress()
        self._settings = settings
        self._dates = dates or Dates.unlimited()
        self._guard = guard or Guard(self.directory.path, notify, monotonic=monotonic)
        self._observer: Observer = lambda observation: self._guard.always("the log", lambda: observe(observation))
        self._maintenance = maintenance
        self._on_drained = on_drained
        self._checkpoint_delivery = checkpoint_delivery
        self._monotonic = monotonic
        self._reporting = threading.Lock()
        self._alarmed = ""
        self._flow = FlowControl(settings.bulk_bytes, settings.ship_rate, monotonic=monotonic)
        deliver = Delivery(send, self._flow, self._observe, monotonic=monotonic)
        self._senders: Senders[_Batch, list[DeadLetter] | None] = Senders(
            lambda batch: deliver(batch.documents), settings.bulks_in_flight
        )
        self._submissions: deque[Submission[_Batch, list[DeadLetter] | None]] = deque()
        self._batches: Iterator[_Batch] = iter(())
        self._readers: dict[str, JournalReader] = {}
        self._looked_at: dict[str, int] = {}
        self._partitionings: dict[str, Partitioning] = {}
        self._withheld: Exception | None = None
        self._checkpointing = Checkpointing(
            self.directory,
            settings,
            signer_of(settings),
            on_closed=checkpoint_delivery.wake if checkpoint_delivery else lambda closed: None,
            notify=notify,
            monotonic=monotonic,
        )
        self.drain_timeout = settings.drain_timeout
        """Seconds to ship remaining entries after a stop; may be changed until then."""
        self._drained_by: float | None = None

    def run_once(self, patience: float = 30.0) -> Progress:
        """Ships what is journalled now and returns; gives up after `patience` seconds without an answer.

        Remaining entries are safe in the journal; `progress.waiting` then says why they wait. Raises `ShippingError`
        if another shipper is active.
        """
        lock = ProcessLock(self.directory.ship_lock)
        try:
            if not lock.try_acquire():
                raise ShippingError(
                    f"{self.directory.path} is already being shipped by {lock.holder()}, which sends its entries"
                )
            self.drain_timeout = 0.0
            self._begin(patience)
            while self._pass():
                pass
            if self._withheld:
                raise self._withheld
            if not self.progress.waiting:
                self._checkpointing.close_all()
        except (OSError, WhodidError):
            raise
        except Exception as error:
            raise unexpected(error) from error
        finally:
            self._end(lock)
        return self.progress

    def run(self) -> Progress:
        """Ships until `stop` is set, and then what remains; waits while another shipper is active."""
        lock = ProcessLock(self.directory.ship_lock)
        try:
            while True:  # what remains is shipped even if `stop` was set before
                if self._is_active(lock):
                    self._work(lock)
                if self.stop.wait(self._settings.poll_interval):
                    break
        finally:
            self._end(lock)
        return self.progress

    def _is_active(self, lock: ProcessLock) -> bool:
        """Whether this is the one active shipper; acquires the lock if it is free."""
        try:
            if lock.try_acquire():
                return True
            self._report(waiting=f"another shipper is active: {lock.holder()}")
        except OSError as error:
            self._report(waiting=f"{self.directory.ship_lock}: {error.strerror or error}")
        self._observe(Alive())
        return False

    def _work(self, lock: ProcessLock) -> None:
        """Ships until `stop` is set, or another shipper is active."""
        self._begin()
        while not self.stop.is_set():
            if not self._is_active(lock):
                return self._forget()
            self._guard("retention", self._maintenance, _nothing)
            self._guard("checkpoints", self._checkpointing.close_what_is_due, _nothing)
            if not self._pass_or_pause():
                self._observe(Alive(idle=not self._submissions and not self.progress.waiting))
                self.stop.wait(self._settings.poll_interval)
        return self._drain()

    def _begin(self, patience: float = float("inf")) -> None:
        self._flow.begin(patience)
        if self._checkpoint_delivery:
            self._checkpoint_delivery.start()
        self._drained_by = None

    def _end(self, lock: ProcessLock) -> None:
        """Drops the batches in flight; the next shipper sends them again."""
        self._flow.end()
        self._senders.close()
        self._forget()
        if self._checkpoint_delivery:
            self._checkpoint_delivery.finish(_GRACE)
        lock.close()

    def _forget(self) -> None:
        self._submissions.clear()
        self._readers.clear()
        self._looked_at.clear()
        self._partitionings.clear()
        self._checkpointing.forget()
        self._batches = iter(())

    def _time_is_up(self) -> bool:
        """Whether `stop` was set and `drain_timeout` has passed."""
        if not self.stop.is_set():
            return False
        if self._drained_by is None:
            self._drained_by = self._monotonic() + self.drain_timeout
        return self._monotonic() >= self._drained_by

    def _drain(self) -> None:
        """Ships remaining entries after a stop, and what `on_drained` adds; then closes the last checkpoint."""
        if not self._emptied(self._settings.poll_interval):
            return
        if not self._guard("closing the journal", self._on_drained, lambda: False) or self._emptied(0.0):
            self._guard("checkpoints", self._checkpointing.close_all, _nothing)

    def _emptied(self, quiet: float) -> bool:
        """Ships until no entry was added for `quiet` seconds; `False` if the time was up before that."""
        waited = False
        while not self._time_is_up():
            if self._pass_or_pause():
                waited = False
            elif waited and not self._submissions and not self.progress.waiting:
                return True
            else:
                left = (self._drained_by or 0.0) - self._monotonic()
                self._flow.wait(max(0.0, min(_CHECK_STOP if self.progress.waiting else quiet, left)))
                waited = True
        return False

    def _pass_or_pause(self) -> bool:
        """Does `_pass`; errors of this host's files, and unexpected ones, are reported as a reason for waiting."""
        return self._guard("shipping", self._reported_pass, self._pause)

    def _reported_pass(self) -> bool:
        try:
            found = self._pass()
        except (OSError, WhodidError) as error:
            self._report(waiting=_words(self.directory, error))
            return False
        if not (found or self._submissions):
            if self._withheld:
                self._report(waiting=_words(self.directory, self._withheld))
            elif self.progress.waiting and not self._flow.over:
                self._report()  # nothing is waiting any longer
        return found

    def _pause(self) -> bool:
        """Starts over after an unexpected error, as after a restart."""
        self._forget()
        self._report(waiting=self._guard.why("shipping"))
        return False

    def _pass(self) -> bool:
        """Submits the next batches and acknowledges the oldest; `False` if there was none."""
        while len(self._submissions) <= self._settings.bulks_in_flight and not self._time_is_up():
            batch = self._next_batch()
            if batch is None:
                break
            self._flow.admit(len(batch.documents))
            self._submissions.append(self._senders.submit(batch))
        return bool(self._submissions) and self._settle(self._submissions[0])

    def _settle(self, submission: Submission[_Batch, list[DeadLetter] | None]) -> bool:
        """Waits for the oldest batch and acknowledges it; `False` if shipping ended before that."""
        while not submission.wait(_CHECK_STOP):
            self._observe(Alive())
            self._sync()
            if self._time_is_up():
                self._flow.end()
                if not submission.wait(_GRACE):
                    return False
        try:
            refused = submission.result()
        except BaseException:
            self._forget()
            raise
        if refused is None:
            self._forget()
            return False
        self._acknowledge(submission.batch, refused)
        self._submissions.popleft()
        return True

    def _sync(self) -> None:
        """Syncs entries written since the last read, while waiting for the cluster."""
        with suppress(OSError, NotRecorded, JournalDamaged, Broken):  # the next process to record reports it
            sync_what_was_left(self.directory)

    def _acknowledge(self, batch: _Batch, refused: Sequence[DeadLetter]) -> None:
        """Records dead letters, damaged and missing entries of a stored batch, and then its position.

        Raises `OSError`; safe to repeat.
        """
        letters = [*batch.letters, *refused]
        keep_damaged(self.directory, batch.damaged)
        keep_dead_letters(self.directory, letters)
        if batch.missing:
            keep_missing(self.directory, batch.missing)
            self._looked_at.pop(batch.journal, None)
        if batch.lines:
            self._checkpointing.acknowledge(batch.journal, batch.lines, batch.partitions(refused), len(letters))
        self._prune(batch)
        absent = sum(one.entries for one in batch.missing)
        self._report(len(batch.documents) - len(refused), len(letters), len(batch.damaged), absent)

    def _prune(self, batch: _Batch) -> None:
        """Deletes segments that are no longer needed, after recording which missing entries were found and stored."""
        path = self.directory.journal(batch.journal)
        noted = [one for one in read_missing(self.directory) if one.journal == batch.journal]
        found = batch.found
        if noted:
            found = [*found, *_numbers(line for line in batch.lines if any(gap.holds(line.seq) for gap in noted))]
        if found:
            remove_missing(self.directory, found)
            close_restored(path, found)
            noted = [one for one in read_missing(self.directory) if one.journal == batch.journal]
        if batch.lines or found:  # else its directory may be missing, or unreadable
            prune(path, self._settings.keep_days, missing=noted)

    def _next_batch(self) -> _Batch | None:
        """The next lines that are in no batch yet; a journal that can't be read doesn't delay the others."""
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
                    self._checkpointing.begin(journal)
                    self._batches = self._cut(journal, lines)
                    return next(self._batches)
            if self._submissions:
                return None
            self._batches = self._gaps()
            batch = next(self._batches, None)
        return batch

    def _gaps(self) -> Iterator[_Batch]:
        """Entries missing at the end of a journal, which no reader notices, and missing entries that were found.

        Searched when all others are acknowledged, and the files of a journal have changed since the last search.
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
        for gone in gone_journals(self.directory):
            if gone not in read_missing(self.directory):
                yield _Batch(gone.journal, [], [], [], [], [gone], [])

    def _found_again(self, gap: Missing) -> Iterator[_Batch]:
        path = self.directory.journal(gap.journal)
        if not gap.last:
            if not gap.first or is_there(path / segment_name(gap.first)):  # then the reader finds its entries
                yield _Batch(gap.journal, [], [], [], [], [], [gap])
            return
        self._reader(gap.journal)  # this reads the partitioning
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
        """Removes entries that a checkpoint covers: they were shipped, and the position was lost."""
        known = {gap.journal: self._checkpointing.last(gap.journal) for gap in gaps}
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

    def _observe(self, observation: ShippingEvent) -> None:
        self._observer(observation)
        if isinstance(observation, Waiting):
            self._report(waiting=observation.reason)
            if observation.cause in _ALARMING:
                self._alarm(without_values(observation.reason))

    def _alarm(self, reason: str) -> None:
        """Alarms about a cause that lasts until an operator changes the cluster."""
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

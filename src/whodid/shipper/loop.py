"""The loop: reads batches from the journals of one directory, has them stored, and acknowledges them.

Invariants:
- Nothing is sent that is not synced (the reader sees to it).
- A position is acknowledged only when every entry up to it is stored, or durably kept as a dead letter or as damaged.
- What waits is sent again for ever, with full-jitter back-off; the rest of the batch is not sent twice on purpose.
- One shipper a directory is active: the others wait for its lock.

A kill at any point costs a repetition, which meets the same `_id`s: exactly once follows.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from ..dead_letters import DeadLetter, keep_dead_letters
from ..entry import document_id, partition_name
from ..errors import ShippingError
from ..journal import Acknowledged, Damaged, JournalDirectory, JournalReader, Line, prune
from ..journal.damage import keep_damaged
from ..journal.lock import FileLock
from ..opensearch.bulk import Document, Verdict
from ..settings import Settings
from .dates import Dates
from .observation import Answered, Moved, Observe, Progress, Synced, Waiting

__all__ = ["Shipper"]

Send = Callable[[Sequence[Document]], list[Verdict]]
"""Stores documents and returns a verdict for each: `opensearch.bulk.send_bulk` with its client bound."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SMALLEST_BATCH = 50
"""Entries a request, when the cluster keeps saying that it has too much to do."""


class Shipper:
    """Ships one journal directory. `send` and `dates` are how it meets the cluster; `stop` ends it between requests.

    `observe` is told of each step.
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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = JournalDirectory(settings.journal_dir, create=True)
        self.stop = stop or threading.Event()
        self.progress = Progress()
        self._settings = settings
        self._send = send
        self._dates = dates or Dates.unlimited()
        self._observe = observe
        self._chores = chores
        self._monotonic = monotonic
        self._readers: dict[str, JournalReader] = {}
        self._patience = float("inf")

    def run_once(self, patience: float = 30.0) -> Progress:
        """Ships what is there now and returns; gives up after `patience` seconds without an answer.

        What remains is safe in the journal; `progress.waiting` then says why. Raises `ShippingError` when another
        shipper is active.
        """
        self._patience = patience
        lock = FileLock(self.directory.ship_lock)
        try:
            if not lock.try_acquire():
                raise ShippingError(
                    f"{self.directory.path} is already being shipped by {lock.holder()}; it sends what you wanted sent"
                )
            while self._pass():
                pass
        finally:
            lock.close()
        return self.progress

    def run(self) -> Progress:
        """Ships until `stop` is set; waits for its turn when another shipper is active."""
        lock = FileLock(self.directory.ship_lock)
        try:
            while not lock.try_acquire():
                self._report(waiting=f"another shipper is active: {lock.holder()}")
                if self.stop.wait(self._settings.poll_interval):
                    return self.progress
            while not self.stop.is_set():
                self._chores()
                if not self._pass_or_pause():
                    self.stop.wait(self._settings.poll_interval)
        finally:
            lock.close()
        return self.progress

    def _pass_or_pause(self) -> bool:
        """As `_pass`; a full or failing disk of this host is waited for, like everything else."""
        try:
            return self._pass()
        except OSError as error:
            self._readers.clear()  # what was read is read again from the acknowledged position on
            self._report(waiting=f"{self.directory.path}: {error.strerror or error}")
            return False

    def _pass(self) -> bool:
        """One batch of every journal; whether there was any."""
        found = False
        for journal in self.directory.journals():
            if self.stop.is_set():
                return False
            lines = self._reader(journal).read(self._settings.bulk_bytes)
            for start in range(0, len(lines), self._settings.bulk_entries):
                found = True
                if not self._ship(journal, lines[start : start + self._settings.bulk_entries]):
                    self._readers.pop(journal)
                    return False
            prune(self.directory.journal(journal), self._settings.keep_days)
        return found

    def _reader(self, journal: str) -> JournalReader:
        if journal not in self._readers:
            acknowledged = Acknowledged.read(self.directory.journal(journal))
            self._readers[journal] = JournalReader(
                self.directory.journal(journal),
                acknowledged.seq,
                on_sync=lambda seconds: self._observe(Synced(seconds)),
            )
        return self._readers[journal]

    def _ship(self, journal: str, lines: Sequence[Line | Damaged]) -> bool:
        """Stores a batch and acknowledges it; `False` when `stop` came first and the rest is for the next start."""
        keep_damaged(self.directory, [line for line in lines if isinstance(line, Damaged)])
        entries = [line for line in lines if isinstance(line, Line)]
        addressed = [self._address(line) for line in entries]
        refused = self._deliver([document for document in addressed if isinstance(document, Document)])
        if refused is None:
            return False
        letters = [*(letter for letter in addressed if isinstance(letter, DeadLetter)), *refused]
        keep_dead_letters(self.directory, letters)
        if entries:
            Acknowledged(entries[-1].seq, entries[-1].hash).write(self.directory.journal(journal))
        self._report(shipped=len(entries) - len(letters), dead_letters=len(letters), damaged=len(lines) - len(entries))
        return True

    def _address(self, line: Line) -> Document | DeadLetter:
        """Where an entry goes, or why it may not go anywhere."""
        entry_id = document_id(line.journal, line.seq, line.hash)
        date = line.date
        reason = self._dates.why_refused(date)
        if reason is not None:
            return DeadLetter(entry_id, "", reason, line.raw.decode())
        index = partition_name(self._settings.index_prefix, self._settings.partition, date)
        return Document(entry_id, index, line.raw)

    def _deliver(self, documents: Sequence[Document]) -> list[DeadLetter] | None:
        """Sends until every document is stored or refused; returns the refused, or `None` when `stop` came first."""
        refused: list[DeadLetter] = []
        pause, answered = _FIRST_PAUSE, self._monotonic()
        size = len(documents)
        while documents:
            batch, rest = documents[:size], documents[size:]
            began = self._monotonic()
            judged = list(zip(batch, self._send(batch), strict=True))
            self._observe(Answered(self._monotonic() - began, len(batch), sum(len(item.raw) for item in batch)))
            refused += [_dead_letter(document, verdict) for document, verdict in judged if verdict.kind == "refused"]
            waiting = [(document, verdict) for document, verdict in judged if verdict.kind == "wait"]
            documents = [*(document for document, _ in waiting), *rest]
            if len(waiting) < len(batch):
                pause, answered = _FIRST_PAUSE, self._monotonic()
            else:
                size = max(_SMALLEST_BATCH, len(batch) // 2)
            if waiting:
                first = waiting[0][1]
                self._observe(Waiting(first.cause, first.reason, len(waiting)))
                self._report(waiting=first.reason)
                seconds = random.uniform(0, pause)  # noqa: S311 (spreads retries, keeps no secret)
                if self._monotonic() - answered >= self._patience or self.stop.wait(seconds):
                    return None
                pause = min(2 * pause, _LONGEST_PAUSE)
        return refused

    def _report(self, shipped: int = 0, dead_letters: int = 0, damaged: int = 0, waiting: str = "") -> None:
        self.progress = Progress(
            self.progress.shipped + shipped,
            self.progress.dead_letters + dead_letters,
            self.progress.damaged + damaged,
            waiting,
        )
        self._observe(Moved(self.progress))


def _dead_letter(document: Document, verdict: Verdict) -> DeadLetter:
    return DeadLetter(document.id, document.index, verdict.reason, document.raw.decode())

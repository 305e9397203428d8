"""The delivery: a batch of documents sent until each of them is stored or refused.

The flow: how much goes into a request, how long to pause before the next try, and how many entries go a second.

One flow is shared by all senders of a shipper. Requests get smaller by half when the cluster has too much to do (429,
no answer in time) or finds them too large (413), and larger by an eighth at each that went well. Pauses grow with each
try, with full jitter, to half a minute; when the cluster was away, the first answer ends the pauses of all others.

Observations: what the shipper tells of its own work, for whoever shows it: a log, metrics, a line on a terminal.

They are told from the shipper's threads, several at once; who observes must be quick and raise nothing.
No observation holds a value of an entry but `Waiting.reason`, in which OpenSearch may quote one.

The senders: threads that have batches stored, several at once.

They are daemons: an application that ends doesn't wait for a cluster that hangs. A batch cut off by that is sent again.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..cluster.bulk import STORED, Cause, Document, Verdict
from .dead_letters import DeadLetter

__all__ = [
    "Alive",
    "Answered",
    "Delivery",
    "Flight",
    "Flow",
    "Moved",
    "Observation",
    "Observe",
    "Progress",
    "Send",
    "Senders",
    "Synced",
    "Waiting",
]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SMALLEST = 16 * 1024
"""Bytes a request, when the cluster keeps saying that it has too much to do."""

_TOO_MUCH = {"throttled", "time_out"}
_AWAY = {"no_connection", "time_out", "unavailable"}


class Flow:
    """`largest` is in bytes a request, `rate` in entries a second (0 for no limit), `patience` in seconds."""

    def __init__(
        self,
        largest: int,
        rate: int = 0,
        *,
        patience: float = float("inf"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size = largest
        self.over = False
        self._largest = largest
        self._rate = rate
        self._patience = patience
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._answers = 0
        self._answered_at = monotonic()
        self._free_at = 0.0

    def end(self) -> None:
        """Ends every pause: nobody tries again."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def begin(self, patience: float = float("inf")) -> None:
        """A new run, which gives up after `patience` seconds without an answer."""
        self.over, self._patience, self._answered_at = False, patience, self._monotonic()

    def fitting(self, documents: Sequence[Document]) -> int:
        """How many of the documents make the next request: at least one."""
        if sum([len(raw) for _, _, raw in documents]) <= self.size:
            return len(documents)
        size = 0
        for number, document in enumerate(documents):
            size += len(document.raw)
            if size > self.size and number:
                return number
        return len(documents)

    def answered(self) -> None:
        """Something was stored or refused: the cluster is there."""
        with self._changed:
            self._answered_at = self._monotonic()
            self._answers += 1
            self._changed.notify_all()

    def went_well(self) -> None:
        self.size = min(self._largest, self.size + self.size // 8 + 1)

    def went_badly(self, cause: Cause, sent: int) -> None:
        """A request of `sent` bytes has to be sent again."""
        half = min(self.size, sent) // 2
        if cause == "too_large":  # a limit that stays: there is no use in trying again what was too large once
            self.size = self._largest = max(half, 1)
        elif cause in _TOO_MUCH:
            self.size = max(half, min(_SMALLEST, self._largest))

    def pause(self, tries: int, cause: Cause) -> bool:
        """Waits before another try, `tries` having failed; whether it is worth one."""
        seconds = random.uniform(0, min(_FIRST_PAUSE * 2 ** min(tries, 10), _LONGEST_PAUSE))  # noqa: S311 (spreads retries)
        with self._changed:
            if self._monotonic() - self._answered_at >= self._patience:
                return False
            answers = self._answers
            self._changed.wait_for(lambda: self.over or (cause in _AWAY and self._answers != answers), seconds)
            return not self.over

    def wait(self, seconds: float) -> None:
        """Waits, unless the end comes first."""
        with self._changed:
            self._changed.wait_for(lambda: self.over, seconds)

    def admit(self, entries: int) -> None:
        """Waits until so many more entries may go, by the rate."""
        if self._rate:
            now = self._monotonic()
            self.wait(max(0.0, self._free_at - now))
            self._free_at = max(now, self._free_at) + entries / self._rate


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a shipper is: entries since it started. `waiting` says why it can't go on, in words."""

    shipped: int = 0
    dead_letters: int = 0
    damaged: int = 0
    missing: int = 0
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Entries were acknowledged, or something is waited for: where the shipper is now."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered, after `seconds`: so many entries in it, and bytes of them."""

    seconds: float
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries that have to be sent again; the reason in words, as for a person."""

    cause: Cause
    reason: str
    entries: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A segment was put on disk before its entries were sent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alive:
    """The loop made a step. `idle`: there was nothing to ship."""

    idle: bool = False


Observation = Moved | Answered | Waiting | Synced | Alive
Observe = Callable[[Observation], None]


Send = Callable[[Sequence[Document]], list[Verdict]]
"""Stores documents and returns a verdict for each: `opensearch.bulk.send_bulk` with its client bound."""


class Delivery:
    """Safe to be used by several threads at once, as `send` is."""

    def __init__(
        self, send: Send, flow: Flow, observe: Observe, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._flow = flow
        self._observe = observe
        self._monotonic = monotonic

    def __call__(self, documents: Sequence[Document]) -> list[DeadLetter] | None:
        """The refused; `None` when the flow's end, or that of its patience, came before all were judged."""
        refused: list[DeadLetter] = []
        tries = 0
        while documents:
            if self._flow.over:
                return None
            batch = documents[: self._flow.fitting(documents)]
            rest = documents[len(batch) :]
            verdicts = self._request(batch)
            if verdicts.count(STORED) == len(batch):
                self._flow.went_well()
                documents, tries = rest, 0
                continue
            judged = list(zip(batch, verdicts, strict=True))
            refused += [_dead_letter(document, verdict) for document, verdict in judged if verdict.kind == "refused"]
            waiting = [(document, verdict) for document, verdict in judged if verdict.kind == "wait"]
            documents = [*rest, *(document for document, _ in waiting)]  # one that has to wait holds up no other
            tries = tries + 1 if len(waiting) == len(batch) else 0
            if waiting and not self._try_again(waiting, tries):
                return None
        return refused

    def _request(self, batch: Sequence[Document]) -> list[Verdict]:
        began = self._monotonic()
        verdicts = self._send(batch)
        self._observe(Answered(self._monotonic() - began, len(batch), sum([len(document.raw) for document in batch])))
        if any(verdict.kind != "wait" for verdict in verdicts):
            self._flow.answered()
        return verdicts

    def _try_again(self, waiting: Sequence[tuple[Document, Verdict]], tries: int) -> bool:
        """Says what is waited for, and waits; whether it is worth another try."""
        first = waiting[0][1]
        alone = first.cause == "too_large" and len(waiting) == 1
        if not alone:
            self._flow.went_badly(first.cause, sum(len(document.raw) for document, _ in waiting))
        self._observe(Waiting(first.cause, first.reason, len(waiting)))
        if first.cause == "too_large" and not alone:
            return not self._flow.over  # half of it may go at once
        return self._flow.pause(tries, first.cause)


def _dead_letter(document: Document, verdict: Verdict) -> DeadLetter:
    return DeadLetter(document.id, document.partition, verdict.reason, document.raw.decode())


Batch = TypeVar("Batch")
Outcome = TypeVar("Outcome")


class Flight(Generic[Batch, Outcome]):
    """A batch under way."""

    __slots__ = ("_done", "_error", "_outcome", "batch")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._done = threading.Event()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

    def landed(self, seconds: float) -> bool:
        """Whether there is an outcome, waiting for it at most so long."""
        return self._done.wait(seconds)

    def outcome(self) -> Outcome | None:
        """What delivering it gave, once it has landed; raises what that raised."""
        if self._error is not None:
            raise self._error
        return self._outcome

    def take_off(self, deliver: Callable[[Batch], Outcome]) -> None:
        try:
            self._outcome = deliver(self.batch)
        except BaseException as error:  # noqa: BLE001 (raised again where the outcome is asked for)
            self._error = error
        self._done.set()


class Senders(Generic[Batch, Outcome]):
    """`number` threads that call `deliver`, begun with the first batches."""

    def __init__(self, deliver: Callable[[Batch], Outcome], number: int) -> None:
        self._deliver = deliver
        self._number = number
        self._threads = 0
        self._queue: queue.SimpleQueue[Flight[Batch, Outcome] | None] = queue.SimpleQueue()

    def submit(self, batch: Batch) -> Flight[Batch, Outcome]:
        """Has the batch delivered; here, where no thread can be started."""
        flight: Flight[Batch, Outcome] = Flight(batch)
        if self._threads < self._number:
            with suppress(RuntimeError):  # there are too many threads, or the main one has ended (from Python 3.12 on)
                threading.Thread(target=self._run, name="whodid-send", daemon=True).start()
                self._threads += 1
        if self._threads:
            self._queue.put(flight)
        else:
            flight.take_off(self._deliver)
        return flight

    def close(self) -> None:
        """Each thread ends after what it has under way."""
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = 0

    def _run(self) -> None:
        while (flight := self._queue.get()) is not None:
            flight.take_off(self._deliver)

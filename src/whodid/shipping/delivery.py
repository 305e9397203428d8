"""The delivery of batches: threads that send a batch of documents until each of them is stored or refused.

`FlowControl` is shared by all senders of a shipper. It halves requests when the cluster is overloaded (429, no answer
in time) or finds them too large (413), and enlarges them by an eighth after each success. Pauses grow with each try,
with full jitter, to half a minute. After an outage the first answer ends all pauses.

Events are reported from the shipper's threads, several at once; an observer must be quick and raise nothing. No event
contains a value of an entry, except `Waiting.reason`, in which OpenSearch may quote one.

Senders are daemon threads: a process that exits doesn't wait for a cluster that hangs. An interrupted batch is sent
again.
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
    "FlowControl",
    "Moved",
    "Observer",
    "Progress",
    "Send",
    "Senders",
    "ShippingEvent",
    "Submission",
    "Synced",
    "Waiting",
]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SMALLEST = 16 * 1024
"""The minimum bytes of a request while the cluster is overloaded."""

_OVERLOADED = {"throttled", "time_out"}
_OUTAGE = {"no_connection", "time_out", "unavailable"}


class FlowControl:
    """How much goes into a request, how long to pause after a failure, and how many entries are sent a second.

    `largest` is in bytes a request, `rate` in entries a second (0 for no limit), `patience` in seconds.
    """

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
        """Ends every pause and every retry."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def begin(self, patience: float = float("inf")) -> None:
        """Starts a new run, which gives up after `patience` seconds without an answer."""
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
        """Records that the cluster answered: something was stored or refused."""
        with self._changed:
            self._answered_at = self._monotonic()
            self._answers += 1
            self._changed.notify_all()

    def succeeded(self) -> None:
        self.size = min(self._largest, self.size + self.size // 8 + 1)

    def failed(self, cause: Cause, sent: int) -> None:
        """Records that a request of `sent` bytes has to be sent again."""
        half = min(self.size, sent) // 2
        if cause == "too_large":  # the limit is permanent, so the size never grows again
            self.size = self._largest = max(half, 1)
        elif cause in _OVERLOADED:
            self.size = max(half, min(_SMALLEST, self._largest))

    def pause(self, tries: int, cause: Cause) -> bool:
        """Waits before another try after `tries` failures; `False` if there should be none."""
        seconds = random.uniform(0, min(_FIRST_PAUSE * 2 ** min(tries, 10), _LONGEST_PAUSE))  # noqa: S311 (spreads retries)
        with self._changed:
            if self._monotonic() - self._answered_at >= self._patience:
                return False
            answers = self._answers
            self._changed.wait_for(lambda: self.over or (cause in _OUTAGE and self._answers != answers), seconds)
            return not self.over

    def wait(self, seconds: float) -> None:
        """Waits, or until the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.over, seconds)

    def admit(self, entries: int) -> None:
        """Waits until the rate allows another `entries` entries."""
        if self._rate:
            now = self._monotonic()
            self.wait(max(0.0, self._free_at - now))
            self._free_at = max(now, self._free_at) + entries / self._rate


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of entries since the shipper started; `waiting` says why it is stalled, empty if it is not."""

    shipped: int = 0
    dead_letters: int = 0
    damaged: int = 0
    missing: int = 0
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Entries were acknowledged, or the reason for waiting changed."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with `entries` entries of `bytes` bytes was answered after `seconds`."""

    seconds: float
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries have to be sent again; `reason` is for people."""

    cause: Cause
    reason: str
    entries: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A segment was synced to disk before its entries were sent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alive:
    """The loop made a step; `idle` if there was nothing to ship."""

    idle: bool = False


ShippingEvent = Moved | Answered | Waiting | Synced | Alive
Observer = Callable[[ShippingEvent], None]


Send = Callable[[Sequence[Document]], list[Verdict]]
"""Stores documents and returns a verdict for each, as `send_bulk` does with its client bound."""


class Delivery:
    """Sends documents until each is decided; safe for several threads, as `send` is."""

    def __init__(
        self, send: Send, flow: FlowControl, observe: Observer, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._flow = flow
        self._observe = observe
        self._monotonic = monotonic

    def __call__(self, documents: Sequence[Document]) -> list[DeadLetter] | None:
        """Returns the refused documents; `None` if shipping ended, or patience ran out, before all were decided."""
        refused: list[DeadLetter] = []
        tries = 0
        while documents:
            if self._flow.over:
                return None
            batch = documents[: self._flow.fitting(documents)]
            rest = documents[len(batch) :]
            verdicts = self._request(batch)
            if verdicts.count(STORED) == len(batch):
                self._flow.succeeded()
                documents, tries = rest, 0
                continue
            judged = list(zip(batch, verdicts, strict=True))
            refused += [_dead_letter(document, verdict) for document, verdict in judged if verdict.kind == "refused"]
            waiting = [(document, verdict) for document, verdict in judged if verdict.kind == "wait"]
            documents = [*rest, *(document for document, _ in waiting)]  # those that wait do not delay the others
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
        """Reports the reason and pauses; `False` if there should be no other try."""
        first = waiting[0][1]
        alone = first.cause == "too_large" and len(waiting) == 1
        if not alone:
            self._flow.failed(first.cause, sum(len(document.raw) for document, _ in waiting))
        self._observe(Waiting(first.cause, first.reason, len(waiting)))
        if first.cause == "too_large" and not alone:
            return not self._flow.over  # the smaller request is sent without a pause
        return self._flow.pause(tries, first.cause)


def _dead_letter(document: Document, verdict: Verdict) -> DeadLetter:
    return DeadLetter(document.id, document.partition, verdict.reason, document.raw.decode())


Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Submission(Generic[Batch, Result]):
    """A batch that is being delivered."""

    __slots__ = ("_done", "_error", "_result", "batch")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._done = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds` for the result, and returns whether there is one."""
        return self._done.wait(seconds)

    def result(self) -> Result | None:
        """The result of the delivery, once there is one; raises what the delivery raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def run(self, deliver: Callable[[Batch], Result]) -> None:
        try:
            self._result = deliver(self.batch)
        except BaseException as error:  # noqa: BLE001 (raised again by `result`)
            self._error = error
        self._done.set()


class Senders(Generic[Batch, Result]):
    """`number` threads that call `deliver`, started with the first batches."""

    def __init__(self, deliver: Callable[[Batch], Result], number: int) -> None:
        self._deliver = deliver
        self._number = number
        self._threads = 0
        self._queue: queue.SimpleQueue[Submission[Batch, Result] | None] = queue.SimpleQueue()

    def submit(self, batch: Batch) -> Submission[Batch, Result]:
        """Has the batch delivered by a thread, or by this one if none can be started."""
        submission: Submission[Batch, Result] = Submission(batch)
        if self._threads < self._number:
            with suppress(RuntimeError):  # too many threads, or (from Python 3.12) the main thread has ended
                threading.Thread(target=self._run, name="whodid-send", daemon=True).start()
                self._threads += 1
        if self._threads:
            self._queue.put(submission)
        else:
            submission.run(self._deliver)
        return submission

    def close(self) -> None:
        """Lets each thread finish its batch and end."""
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = 0

    def _run(self) -> None:
        while (submission := self._queue.get()) is not None:
            submission.run(self._deliver)

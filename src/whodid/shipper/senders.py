"""The senders: threads that have batches stored, several at once.

They are daemons: an application that ends doesn't wait for a cluster that hangs. A batch cut off by that is sent again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Flight", "Senders"]

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

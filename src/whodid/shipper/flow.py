"""The flow: how much goes into a request, how long to pause before the next try, and how many entries go a second.

One flow is shared by all senders of a shipper. Requests get smaller by half when the cluster has too much to do (429,
no answer in time) or finds them too large (413), and larger by an eighth at each that went well. Pauses grow with each
try, with full jitter, to half a minute; when the cluster was away, the first answer ends the pauses of all others.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from ..cluster.bulk import Cause, Document

__all__ = ["Flow"]

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

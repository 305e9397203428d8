"""Checkpoint delivery: brings checkpoints to the cluster and to the witnesses, each in a separate thread.

A witness that fails or hangs delays neither the others nor shipping: delivery to it is retried for as long as the
shipper runs, after at most ten minutes, and `status` reports it. What was delivered is recorded, so that each
checkpoint is normally delivered once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..entry import Stamp
from ..errors import WhodidError
from ..journal import JournalDirectory
from ..proof.checkpoint import SignedCheckpoint
from ..proof.witness import Delivered, Deliveries
from .checkpointing import closed_checkpoints
from .guard import Guard

__all__ = ["CheckpointDelivery", "Destination"]

_PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True)
class Destination:
    """A place for checkpoints, under its name in `status`. `keep` raises `WhodidError`.

    Failures of a `quiet` destination are not reported here, since another part reports them.
    """

    name: str
    keep: Callable[[SignedCheckpoint], None]
    quiet: bool = False


class CheckpointDelivery:
    """Delivers the checkpoints of one journal directory while its shipper is active; `notify` gets failures."""

    def __init__(
        self,
        directory: JournalDirectory,
        destinations: Sequence[Destination],
        notify: Callable[[str], None],
        guard: Guard | None = None,
    ) -> None:
        self._directory = directory
        self._guard = guard or Guard(directory.path, notify)
        self._deliveries = Deliveries(directory.path)
        self._notify = notify
        self._recording = threading.Lock()
        self._workers = [_Worker(self, destination) for destination in destinations]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def wake(self, _closed: SignedCheckpoint | None = None) -> None:
        """Says that there are new checkpoints."""
        for worker in self._workers:
            worker.wake()

    def finish(self, patience: float) -> None:
        """Waits at most `patience` seconds until everything is delivered."""
        deadline = time.monotonic() + patience
        for worker in self._workers:
            worker.finish(max(0.0, deadline - time.monotonic()))

    def _known(self, name: str) -> Delivered:
        with self._recording:
            return self._deliveries.read().get(name, Delivered())

    def _record(self, name: str, delivered: Delivered) -> None:
        with self._recording, suppress(OSError, WhodidError):  # not recorded: it is delivered again later
            self._deliveries.note(name, delivered)


class _Worker:
    """The thread of one destination."""

    def __init__(self, delivery: CheckpointDelivery, destination: Destination) -> None:
        self._delivery = delivery
        self._destination = destination
        self._delivered = delivery._known(destination.name)
        self._due = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._over.clear()
        self._thread = None
        self.wake()

    def wake(self) -> None:
        self._due.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="whodid-checkpoints", daemon=True)
            with suppress(RuntimeError):  # too many threads: the next checkpoint tries again
                thread.start()
                self._thread = thread

    def finish(self, patience: float) -> None:
        self._over.set()
        self._due.set()
        if self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        failures = 0
        while True:
            self._due.wait(_PAUSES[min(failures, len(_PAUSES)) - 1] if failures else None)
            self._due.clear()
            over = self._over.is_set()
            done = self._delivery._guard(f"checkpoints to {self._destination.name}", self._deliver, lambda: False)
            failures = 0 if done else failures + 1
            if over:
                return

    def _deliver(self) -> bool:
        """Delivers what is new, and returns whether all of it was delivered."""
        name, quiet, before = self._destination.name, self._destination.quiet, self._delivered
        numbers = dict(before.delivered)
        try:
            for sealed in closed_checkpoints(self._delivery._directory):
                one = sealed.checkpoint
                if one.number > numbers.get(one.journal, 0):
                    self._destination.keep(sealed)
                    numbers[one.journal] = one.number
        except (WhodidError, OSError) as error:
            if not (before.failing or quiet):
                self._delivery._notify(f"could not deliver checkpoints to {name}: {error}")
            self._became(Delivered(numbers, before.failing or Stamp.now().creation_date, str(error)))
            return False
        if before.failing and not quiet:
            self._delivery._notify(f"delivery of checkpoints to {name} recovered")
        self._became(Delivered(numbers))
        return True

    def _became(self, delivered: Delivered) -> None:
        if delivered != self._delivered:
            self._delivered = delivered
            self._delivery._record(self._destination.name, delivered)

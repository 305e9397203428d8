"""The courier: brings checkpoints to the cluster and to the witnesses, each in a thread of its own.

A witness that fails or hangs keeps nobody waiting: it is tried again for ever, at last every ten minutes, `status` says
so, and shipping goes on. What it was told is noted, so that it is told once.
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
from .checkpointing import kept_checkpoints
from .guard import Guard

__all__ = ["Courier", "Destination"]

_PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True)
class Destination:
    """`name` as `status` shows it; `keep` raises `WhodidError`. Of a `quiet` one somebody else says that it is away."""

    name: str
    keep: Callable[[SignedCheckpoint], None]
    quiet: bool = False


class Courier:
    """For one journal directory, while its shipper is active. `tell` gets what a person should know."""

    def __init__(
        self,
        directory: JournalDirectory,
        destinations: Sequence[Destination],
        tell: Callable[[str], None],
        guard: Guard | None = None,
    ) -> None:
        self._directory = directory
        self._guard = guard or Guard(directory.path, tell)
        self._deliveries = Deliveries(directory.path)
        self._tell = tell
        self._noting = threading.Lock()
        self._rounds = [_Round(self, destination) for destination in destinations]

    def start(self) -> None:
        for round_ in self._rounds:
            round_.start()

    def wake(self, _closed: SignedCheckpoint | None = None) -> None:
        """There is something to bring."""
        for round_ in self._rounds:
            round_.wake()

    def finish(self, patience: float) -> None:
        """Ends when all was brought, or the patience is over."""
        deadline = time.monotonic() + patience
        for round_ in self._rounds:
            round_.finish(max(0.0, deadline - time.monotonic()))

    def _known(self, name: str) -> Delivered:
        with self._noting:
            return self._deliveries.read().get(name, Delivered())

    def _note(self, name: str, told: Delivered) -> None:
        with self._noting:
            try:
                self._deliveries.note(name, told)
            except (OSError, WhodidError):
                return  # a full disk, a link in its place: it is told again some day


class _Round:
    """One destination."""

    def __init__(self, courier: Courier, destination: Destination) -> None:
        self._courier = courier
        self._destination = destination
        self._told = courier._known(destination.name)
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
            thread = threading.Thread(target=self._run, name="whodid-courier", daemon=True)
            with suppress(RuntimeError):  # as for the senders; the next checkpoint tries again
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
            brought = self._courier._guard(f"checkpoints to {self._destination.name}", self._bring, lambda: False)
            failures = 0 if brought else failures + 1
            if over:
                return

    def _bring(self) -> bool:
        """Whether all was brought."""
        name = self._destination.name
        told = dict(self._told.delivered)
        try:
            for sealed in kept_checkpoints(self._courier._directory):
                one = sealed.checkpoint
                if one.number > told.get(one.journal, 0):
                    self._destination.keep(sealed)
                    told[one.journal] = one.number
        except (WhodidError, OSError) as error:
            since = self._told.failing or Stamp.now().creation_date
            if not (self._told.failing or self._destination.quiet):
                self._courier._tell(f"{name} can't be told of checkpoints: {error}")
            self._became(Delivered(told, since, str(error)))
            return False
        if self._told.failing and not self._destination.quiet:
            self._courier._tell(f"{name} is told of checkpoints again")
        self._became(Delivered(told))
        return True

    def _became(self, told: Delivered) -> None:
        if told != self._told:
            self._told = told
            self._courier._note(self._destination.name, told)

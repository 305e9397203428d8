"""The background: the shipper that `configure(ship=True)` runs in a thread of the process that records.

Invariants:
- A process has one such thread at most, however often it is configured: it runs one shipper after the other.
- The thread belongs to the process that started it. A forked child, whether or not Python saw the fork, starts its own
  when it first records; it waits for its turn as long as another process ships, and takes over when that has ended.
- What the thread imports is imported before it starts: a child that is forked meanwhile would wait for ever for the
  lock of an import that a thread had begun which it doesn't have.
- Only its own stop ends it. A call that records never fails by it.
- Under uWSGI the thread starts in workers, mules and spoolers alone (`whodid.process` says why).
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from importlib import import_module

from ..cluster.connection import connect
from ..errors import WhodidError
from ..process import forks_unseen, warn
from ..proof.keys import signer_of
from ..proof.witness import witnesses_of
from ..settings import Settings
from .guard import Guard
from .loop import Shipper
from .service import connected_shipper

__all__ = ["import_ahead", "keep_shipping", "ship_in_background", "stop_background_shipping"]

_STOP = 5.0
"""Seconds that a shipper has to end before the next `configure()` returns all the same."""

_wanted: Settings | None = None
_worker: _Worker | None = None
_starting: dict[int, object] = {}
"""By process: who starts its worker just now. No lock: a fork or a signal could leave that held."""


def import_ahead(settings: Settings) -> None:
    """Imports what a shipper with these settings will need, by doing once what it does; nothing is sent."""
    for name in ("encodings.idna", "opensearchpy", "orjson"):  # the first one by the first look-up of a host's name
        import_module(name)
    for make in (connect, signer_of, witnesses_of):
        with suppress(WhodidError):  # the shipper says so, and tries again
            make(settings)


def ship_in_background(settings: Settings | None) -> None:
    """From now on this process ships by these settings; with `None`, not at all.

    The shipper before is stopped, which is waited for `_STOP` seconds at most. What it leaves in the same journal is
    shipped by the new one; another journal is drained first, within its `drain_timeout`.
    """
    global _wanted
    before, _wanted = _wanted, settings
    worker = _worker
    if before != settings and before is not None and worker is not None and worker.pid == os.getpid():
        drains = settings is None or settings.journal_dir != before.journal_dir
        job = worker.job
        job.stop(None if drains else 0.0)
        job.ended.wait(_STOP)
    keep_shipping()


def keep_shipping() -> None:
    """Starts the thread if this process has none and should; called before each record. Never raises."""
    if _wanted is not None and not _at_work() and not forks_unseen():
        _start()


def stop_background_shipping(timeout: float = 10.0) -> None:
    """Ends what `ship_in_background` began, after the request under way; what remains is safe in the journal."""
    global _wanted
    _wanted = None
    worker = _worker
    if worker is not None and worker.pid == os.getpid():
        worker.job.stop(None)
        worker.join(timeout)


def _at_work() -> bool:
    worker = _worker
    return worker is not None and worker.pid == os.getpid() and worker.is_alive()


def _start() -> None:
    global _worker
    process, this = os.getpid(), object()
    try:
        if _starting.setdefault(process, this) is this and not _at_work():
            _worker = _Worker()
            _worker.start()
    except RuntimeError:  # too many threads, or the interpreter is shutting down: the next record tries again
        _worker = None
    finally:
        if _starting.get(process) is this:
            del _starting[process]


class _Job:
    """What one `configure` wants; `ended` is set when it is over."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._stop = threading.Event()
        self._drain_timeout: float | None = None
        self._shipper: Shipper | None = None

    def stop(self, drain_timeout: float | None) -> None:
        """Ends it, after so many seconds for what is left; `None` for those of its settings."""
        self._drain_timeout = drain_timeout
        if self._shipper is not None and drain_timeout is not None:
            self._shipper.drain_timeout = drain_timeout
        self._stop.set()

    def run(self, settings: Settings) -> None:
        guard = Guard(settings.journal_dir, partial(_say, settings))
        while not self._stop.is_set():
            guard("shipping", partial(self._ship, settings, guard), lambda: None)
            self._stop.wait(settings.poll_interval)

    def _ship(self, settings: Settings, guard: Guard) -> None:
        self._shipper = connected_shipper(settings, stop=self._stop, tell=partial(_say, settings), guard=guard)
        if self._drain_timeout is not None:  # it was stopped while it was made
            self._shipper.drain_timeout = self._drain_timeout
        self._shipper.run()


class _Worker(threading.Thread):
    """The thread of one process."""

    def __init__(self) -> None:
        super().__init__(name="whodid-ship", daemon=True)
        self.pid = os.getpid()
        self.job = _Job()
        self.job.ended.set()

    def run(self) -> None:
        while _worker is self and (wanted := _wanted) is not None:
            job = self.job = _Job()
            try:
                if _wanted is wanted:  # else it was changed before anybody could stop this one
                    job.run(wanted)
            finally:
                job.ended.set()


def _say(settings: Settings, text: str) -> None:
    warn(f"shipping of {settings.journal_dir}: {text}", RuntimeWarning, stacklevel=2)

"""Background shipping: the shipper that `configure(ship=True)` runs in a thread of the process that records.

Invariants:
- A process has at most one such thread, however often it is configured: it runs one shipper after the other.
- The thread belongs to the process that started it. A forked child, even if Python did not notice the fork, starts its
  own with its first record. It waits while another process ships, and takes over when that process ends.
- The modules that the thread needs are imported before it starts: a child forked during an import would wait for ever
  for the import lock of a thread that it doesn't have.
- Only `stop_background_shipping` or another `configure` ends it. A call that records never fails because of it.
- Under uWSGI the thread starts only in workers, mules and spoolers (`whodid.process` says why).
"""

from __future__ import annotations

import os
import threading
from collections import deque
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

__all__ = ["ensure_shipping", "preload", "ship_in_background", "stop_background_shipping"]

_STOP = 5.0
"""The maximum number of seconds that `configure()` waits for the previous shipper to end."""

_wanted: Settings | None = None
_worker: _Worker | None = None
_starting: dict[int, object] = {}
"""By process ID, the call that is starting the worker. A lock could stay held after a fork or a signal."""


def preload(settings: Settings) -> None:
    """Imports what a shipper with these settings needs, by making its parts once; nothing is sent."""
    for name in ("encodings.idna", "opensearchpy", "orjson"):  # looking up a host name imports the first
        import_module(name)
    for make in (connect, signer_of, witnesses_of):
        with suppress(WhodidError):  # the shipper reports it and retries
            make(settings)


def ship_in_background(settings: Settings | None) -> None:
    """Ships with these settings from now on; `None` ends shipping.

    Waits at most `_STOP` seconds for the previous shipper to stop. The new one ships what it leaves in the same
    journal; another journal is drained first, within its `drain_timeout`, even if its shipper had not started.
    """
    global _wanted
    before, _wanted = _wanted, settings
    worker = _worker
    if before != settings and worker is not None and _running():
        drains = before is None or settings is None or settings.journal_dir != before.journal_dir
        worker.replace_job(settings, drains=drains, patience=_STOP)
    ensure_shipping()


def ensure_shipping() -> None:
    """Starts the thread if this process should have one and has none; called before each record. Never raises."""
    if _wanted is not None and not _running() and not forks_unseen():
        _start()


def stop_background_shipping(timeout: float = 10.0) -> None:
    """Stops background shipping after the request in flight; remaining entries are safe in the journal."""
    global _wanted
    _wanted = None
    worker = _worker
    if worker is not None and worker.pid == os.getpid():
        worker.replace_job(None, drains=True, patience=0.0)
        worker.join(timeout)


def _running() -> bool:
    worker = _worker
    return worker is not None and worker.pid == os.getpid() and worker.is_alive() and not worker.over


def _start() -> None:
    global _worker
    process, this = os.getpid(), object()
    try:
        wanted = _wanted
        if _starting.setdefault(process, this) is this and not _running() and wanted is not None:
            _worker = _Worker(wanted)
            _worker.start()
    except RuntimeError:  # too many threads, or the interpreter is shutting down: the next record tries again
        _worker = None
    finally:
        if _starting.get(process) is this:
            del _starting[process]


class _Job:
    """The shipping that one `configure` asked for; `ended` is set when it is over."""

    def __init__(self, settings: Settings) -> None:
        self.ended = threading.Event()
        self._settings = settings
        self._stop = threading.Event()
        self._drain_timeout: float | None = None
        self._shipper: Shipper | None = None

    def stop(self, drain_timeout: float | None) -> None:
        """Ends it after at most `drain_timeout` seconds for remaining entries; `None` means that of its settings."""
        self._drain_timeout = drain_timeout
        if self._shipper is not None and drain_timeout is not None:
            self._shipper.drain_timeout = drain_timeout
        self._stop.set()

    def run(self) -> None:
        """Ships until it is stopped; ships what remains even if it was stopped before it started."""
        guard = Guard(self._settings.journal_dir, partial(_warn, self._settings))
        while not (self._stop.is_set() and self._drain_timeout == 0.0):
            guard("shipping", partial(self._ship, guard), lambda: None)
            if self._stop.wait(self._settings.poll_interval):
                return

    def _ship(self, guard: Guard) -> None:
        notify = partial(_warn, self._settings)
        self._shipper = connected_shipper(self._settings, stop=self._stop, notify=notify, guard=guard)
        if self._drain_timeout is not None:  # it was stopped before the shipper existed
            self._shipper.drain_timeout = self._drain_timeout
        self._shipper.run()


class _Worker(threading.Thread):
    """The shipping thread of one process. It does its jobs in order, all but the last of which were stopped."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="whodid-ship", daemon=True)
        self.pid = os.getpid()
        self.over = False
        self._jobs = deque([_Job(settings)])

    def replace_job(self, settings: Settings | None, *, drains: bool, patience: float) -> None:
        """Stops the last job, after which it does one with these settings; waits `patience` seconds for its end."""
        try:
            last = self._jobs[-1]
        except IndexError:  # all jobs are done
            return
        if settings is not None:
            self._jobs.append(_Job(settings))
        last.stop(None if drains else 0.0)
        last.ended.wait(patience)

    def run(self) -> None:
        while self._jobs:
            job = self._jobs[0]
            try:
                job.run()
            finally:
                job.ended.set()
                self._jobs.popleft()
        self.over = True
        ensure_shipping()  # a job that was added after the last look gets another thread


def _warn(settings: Settings, text: str) -> None:
    warn(f"shipping of {settings.journal_dir}: {text}", RuntimeWarning, stacklevel=2)

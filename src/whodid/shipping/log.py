"""The log of a shipper on standard error, as text or JSON lines, and its notifications to systemd.

Each line of the log has a stable event name. None holds a value of an entry: what OpenSearch quotes is removed from
reasons. A problem is logged once, again each minute while it lasts, and once more when it is over.

systemd is notified as sd_notify(3) says: by datagrams to the socket that `NOTIFY_SOCKET` names.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

from .dead_letters import without_values
from .delivery import Alive, Moved, Progress, ShippingEvent, Waiting

__all__ = ["EVENTS", "ShipperLog", "Systemd"]

EVENTS = {
    "started": "the shipper started: its journal directory and hosts",
    "waiting": "shipping is stalled until the cause is fixed: `cause` and `reason`",
    "recovered": "shipping resumed after `seconds`",
    "dead_letters": "OpenSearch refused entries for good: `count`; `whodid dead-letters list` shows the reasons",
    "damaged": "journal lines with a hash mismatch were set aside: `count`",
    "missing": "entries are missing from the journal: `count`; `whodid status` shows which, and what to do",
    "retention": "an expired partition was deleted, or why it could not be",
    "stopping": "a signal was received; remaining entries are shipped first",
    "stopped": "the shipper stopped: entries shipped, and entries waiting in the journal",
}
"""Each event name and what it means."""

_AGAIN = 60.0


class ShipperLog:
    """Writes the events of a shipper as lines; `write` gets each line without a newline."""

    def __init__(
        self,
        write: Callable[[str], None],
        form: Literal["text", "json"] = "text",
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write = write
        self._form = form
        self._monotonic = monotonic
        self._now = now
        self._lock = threading.Lock()
        self._before = Progress()
        self._cause = ""
        self._problem = ""
        self._since = 0.0
        self._logged = 0.0

    def say(self, event: str, text: str, level: str = "info", **facts: object) -> None:
        """Writes one line: `text` for people, or everything as JSON for programs."""
        if self._form == "json":
            line = {"time": self._now().isoformat(timespec="milliseconds"), "level": level, "event": event, **facts}
            self._write(json.dumps({**line, "text": text}))
        else:
            self._write(text)

    def __call__(self, observation: ShippingEvent) -> None:
        with self._lock:
            if isinstance(observation, Waiting):
                self._cause = observation.cause
            elif isinstance(observation, Moved):
                self._moved(observation.progress)

    def _moved(self, progress: Progress) -> None:
        before, self._before = self._before, progress
        if letters := progress.dead_letters - before.dead_letters:
            self.say("dead_letters", f"{letters} dead letters: see `whodid dead-letters list`", "error", count=letters)
        if damaged := progress.damaged - before.damaged:
            self.say("damaged", f"{damaged} damaged lines in the journal: see `whodid status`", "error", count=damaged)
        if missing := progress.missing - before.missing:
            self.say(
                "missing", f"{missing} entries are missing in the journal: see `whodid status`", "error", count=missing
            )
        if progress.waiting:
            self._wait(without_values(progress.waiting))
        elif self._problem:
            seconds = round(self._monotonic() - self._since, 1)
            self._problem = ""
            self.say("recovered", f"recovered after {seconds:g} s", seconds=seconds)

    def _wait(self, reason: str) -> None:
        now = self._monotonic()
        if not self._problem:
            self._since = now
        if reason != self._problem or now - self._logged >= _AGAIN:
            self._problem, self._logged = reason, now
            waited = round(now - self._since, 1)
            self.say("waiting", f"waiting: {reason}", "warning", cause=self._cause, reason=reason, seconds=waited)


class Systemd:
    """Notifies systemd of a shipper's state; does nothing in a process that systemd did not start."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._monotonic = monotonic
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "") if mine else ""
        self._every = int(microseconds) / 2e6 if microseconds.isdecimal() else float("inf")
        self._next = 0.0
        self._ready = False

    def observe(self, observation: ShippingEvent) -> None:
        """Notifies `READY=1` when the journal was first read, and `WATCHDOG=1` as often as the watchdog needs."""
        if isinstance(observation, Alive) and not self._ready:
            self._ready = True
            self.notify("READY=1")
        if self._monotonic() >= self._next and self._every != float("inf"):
            self._next = self._monotonic() + self._every
            self.notify("WATCHDOG=1")

    def notify(self, state: str) -> None:
        """Sends one state; errors are ignored."""
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.sendto(state.encode(), name)
        except OSError:
            return

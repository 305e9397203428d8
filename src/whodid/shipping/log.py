"""The log of a shipper: what it says of its own work on standard error, for people or as JSON lines for programs.

Each line has a stable event name. None holds a value of an entry: reasons are given without what OpenSearch quotes. The
same trouble is told once, and again each minute while it lasts; that it is over is told, too.

Notifications to systemd: ready, still alive, stopping; nothing where systemd didn't start this process.

The protocol is that of sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names.
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
from .delivery import Alive, Moved, Observation, Progress, Waiting

__all__ = ["EVENTS", "ShipperLog", "Systemd"]

EVENTS = {
    "started": "the shipper began: which journal directory, which hosts",
    "waiting": "nothing goes on until something is mended: `cause` and `reason`",
    "recovered": "what was waited for is there, after so many `seconds`",
    "dead_letters": "OpenSearch refused entries for good: how many; `whodid dead-letters list` has the reasons",
    "damaged": "journal lines whose hash does not fit were set aside: how many",
    "missing": "entries are missing from the journal: how many; `whodid status` says which, and what to do",
    "retention": "what the shipper deleted as past its time, or why it could not",
    "stopping": "a signal came: what is left is shipped first",
    "stopped": "the shipper ended: entries shipped, and those that wait in the journal",
}
"""Event names and what they mean."""

_AGAIN = 60.0


class ShipperLog:
    """`write` gets each line, without a newline."""

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
        self._trouble = ""
        self._since = 0.0
        self._told = 0.0

    def say(self, event: str, text: str, level: str = "info", **facts: object) -> None:
        """One line: `text` for people, the rest for programs."""
        if self._form == "json":
            line = {"time": self._now().isoformat(timespec="milliseconds"), "level": level, "event": event, **facts}
            self._write(json.dumps({**line, "text": text}))
        else:
            self._write(text)

    def __call__(self, observation: Observation) -> None:
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
        elif self._trouble:
            seconds = round(self._monotonic() - self._since, 1)
            self._trouble = ""
            self.say("recovered", f"going on after {seconds:g} s", seconds=seconds)

    def _wait(self, reason: str) -> None:
        now = self._monotonic()
        if not self._trouble:
            self._since = now
        if reason != self._trouble or now - self._told >= _AGAIN:
            self._trouble, self._told = reason, now
            waited = round(now - self._since, 1)
            self.say("waiting", f"waiting: {reason}", "warning", cause=self._cause, reason=reason, seconds=waited)


class Systemd:
    """Observes a shipper for systemd."""

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

    def observe(self, observation: Observation) -> None:
        """Says that it is ready at its first look at the journal, and alive as often as the watchdog wants."""
        if isinstance(observation, Alive) and not self._ready:
            self._ready = True
            self.tell("READY=1")
        if self._monotonic() >= self._next and self._every != float("inf"):
            self._next = self._monotonic() + self._every
            self.tell("WATCHDOG=1")

    def tell(self, state: str) -> None:
        """Sends one state; a manager that doesn't listen is no reason to stop."""
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.sendto(state.encode(), name)
        except OSError:
            return

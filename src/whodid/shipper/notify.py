"""Notifications to systemd: ready, still alive, stopping; nothing where systemd didn't start this process.

The protocol is that of sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from .observation import Alive, Observation

__all__ = ["Systemd"]


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

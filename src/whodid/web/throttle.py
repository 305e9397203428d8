"""The throttle: how often somebody may try a password (OWASP ASVS 5.0, V6.3.1).

An attempt counts as a failure before the cluster is asked, so that many at once are no more than many one by one. It is
forgotten when it was none: a sign-in that succeeds clears its address, and what the cluster could not answer takes back
its own. Attempts are counted for the address (an IPv6 network of 64 bits) and for the user name, in a sliding window.
Beyond the limit even the right password is refused until the window has passed. The counts are kept in memory: of this
process, and gone with it.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Throttle"]

WINDOW = 15 * 60.0
PER_ADDRESS = 10
PER_USER = 30
_REMEMBERED = 10_000
_LONGEST = 256
"""Characters of a user name that are remembered."""


class Throttle:
    """`clock` in seconds, only going forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, address: str, user: str) -> int:
        """Counts an attempt and answers 0; or the whole seconds until the next one is allowed, and counts nothing."""
        now = self._clock()
        with self._lock:
            wait = max(self._wait(key, limit, now) for key, limit in _keys(address, user))
            if not wait:
                self._count(address, user, now)
        return wait

    def _count(self, address: str, user: str, now: float) -> None:
        for key, _ in _keys(address, user):
            self._failures[key] = [*self._recent(key, now), now]
            self._failures.move_to_end(key)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def unanswered(self, address: str, user: str) -> None:
        """The cluster could not say whether the password was right."""
        with self._lock:
            for key, _ in _keys(address, user):
                self._failures[key] = self._failures.get(key, [])[:-1]

    def succeeded(self, address: str, user: str) -> None:
        self.unanswered(address, user)
        with self._lock:
            self._failures.pop(_keys(address, user)[0][0], None)

    def _wait(self, key: tuple[str, str], limit: int, now: float) -> int:
        recent = self._recent(key, now)
        return 0 if len(recent) < limit else max(1, round(recent[-limit] + WINDOW - now))

    def _recent(self, key: tuple[str, str], now: float) -> list[float]:
        return [at for at in self._failures.get(key, []) if at > now - WINDOW]


def _keys(address: str, user: str) -> list[tuple[tuple[str, str], int]]:
    return [(("address", _network(address)), PER_ADDRESS), (("user", user.casefold()[:_LONGEST]), PER_USER)]


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))

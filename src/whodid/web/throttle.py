"""The throttle: how often somebody may try a password (OWASP ASVS 5.0, V6.3.1).

Failures are counted for the address (an IPv6 network of 64 bits) and for the user name, in a sliding window; a sign-in
that succeeds clears its address. Beyond the limit even the right password is refused until the window has passed. The
counts are kept in memory: of this process, and gone with it.
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


class Throttle:
    """`clock` in seconds, only going forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str, user: str) -> int:
        """Whole seconds until the next try is allowed; 0 for now."""
        now = self._clock()
        with self._lock:
            waits = [self._wait(key, limit, now) for key, limit in _keys(address, user)]
        return max(waits)

    def failed(self, address: str, user: str) -> None:
        now = self._clock()
        with self._lock:
            for key, _ in _keys(address, user):
                self._failures[key] = [*self._recent(key, now), now]
                self._failures.move_to_end(key)
            while len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, user: str) -> None:
        with self._lock:
            self._failures.pop(_keys(address, user)[0][0], None)

    def _wait(self, key: tuple[str, str], limit: int, now: float) -> int:
        recent = self._recent(key, now)
        return 0 if len(recent) < limit else max(1, round(recent[-limit] + WINDOW - now))

    def _recent(self, key: tuple[str, str], now: float) -> list[float]:
        return [at for at in self._failures.get(key, []) if at > now - WINDOW]


def _keys(address: str, user: str) -> list[tuple[tuple[str, str], int]]:
    return [(("address", _network(address)), PER_ADDRESS), (("user", user.casefold()), PER_USER)]


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))

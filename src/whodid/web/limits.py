"""Limits of concurrent requests per person and in total, and of failed sign-ins (OWASP ASVS 5.0, V6.3.1).

A sign-in counts as failed before the cluster checks its password, so that concurrent attempts can't exceed the limit.
A successful one clears the failures of its address, and one that the cluster could not check is not counted. Attempts
are counted per address (per /64 network for IPv6) and per user name, in a sliding window. Beyond the limit even the
right password is refused. The counts are kept in memory, per process.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..recording.context import current_fields
from .request import refusal

__all__ = ["REQUESTS", "Limits", "RequestLimits", "Throttle", "person_of"]

REQUESTS, ALL_REQUESTS = 16, 200
"""Maximum numbers of concurrent requests per person and in total."""


class Limits:
    """At most `each` uses per person and `together` in total at the same time; thread-safe."""

    def __init__(self, each: int, together: int) -> None:
        self._each = each
        self._together = together
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def acquire(self, person: str) -> bool:
        """Count one use and return True, or return False if a limit is reached; a counted use must be released."""
        with self._lock:
            if self._taken[person] >= self._each or self._taken.total() >= self._together:
                self._taken += Counter()  # removes persons without uses
                return False
            self._taken[person] += 1
            return True

    def release(self, person: str) -> None:
        with self._lock:
            self._taken[person] -= 1
            if self._taken[person] <= 0:
                del self._taken[person]


class RequestLimits:
    """Limits concurrent requests, so that no person can block all threads or the cluster."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limits = Limits(REQUESTS, ALL_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        person = person_of(request)
        if not self._limits.acquire(person):
            answer = refusal(request, 429, "Too many concurrent requests; try again when one has ended.")
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._limits.release(person)


def person_of(request: Request) -> str:
    """Return the principal in the context, or the address of an anonymous one."""
    fields = current_fields()
    principal = str(fields.get("principal", ""))
    if principal and principal != "anonymous":
        return principal
    return str(fields.get("client_ip") or (request.client.host if request.client else ""))


WINDOW = 15 * 60.0
PER_ADDRESS = 10
PER_USER = 30
_REMEMBERED = 10_000
_LONGEST = 256
"""Maximum number of characters of a user name that are stored."""


class Throttle:
    """Limits failed sign-ins. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, address: str, user: str) -> int:
        """Count an attempt and return 0, or return the seconds until the next one is allowed without counting."""
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
        """Do not count an attempt that the cluster could not check."""
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

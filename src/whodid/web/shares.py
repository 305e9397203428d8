"""The shares: how many of something one person, and all of them together, may have under way at once.

The throttle: how often somebody may try a password (OWASP ASVS 5.0, V6.3.1).

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
from collections import Counter, OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..recording.context import current_fields
from .request import refusal

__all__ = ["REQUESTS", "Fair", "Shares", "Throttle", "person_of"]

REQUESTS, ALL_REQUESTS = 16, 200
"""Requests that one person, and all of them together, may have under way."""


class Shares:
    """`each` for one person, `together` for all; counted before the work begins. May be used by several threads."""

    def __init__(self, each: int, together: int) -> None:
        self._each = each
        self._together = together
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, person: str) -> bool:
        """Whether there is one left; then it is taken, and must be given back."""
        with self._lock:
            if self._taken[person] >= self._each or self._taken.total() >= self._together:
                self._taken += Counter()  # forgets who has none
                return False
            self._taken[person] += 1
            return True

    def give_back(self, person: str) -> None:
        with self._lock:
            self._taken[person] -= 1
            if self._taken[person] <= 0:
                del self._taken[person]


class Fair:
    """Behind the gate: nobody keeps the threads, or the cluster, from everybody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._shares = Shares(REQUESTS, ALL_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        person = person_of(request)
        if not self._shares.take(person):
            answer = refusal(request, 429, "Too many requests are under way; try again when one has ended.")
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._shares.give_back(person)


def person_of(request: Request) -> str:
    """Who asks, as the gate has put it into the context; for somebody without a name, their address."""
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

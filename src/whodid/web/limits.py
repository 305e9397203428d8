"""Limits of concurrent requests per person and in total, and of failed sign-ins (OWASP ASVS 5.0, V6.3.1).

A sign-in counts as failed before the cluster checks its password, so that concurrent attempts can't exceed the limit.
One that the cluster could not check takes back this attempt; one that succeeds, also the failures of this user from
this address: of many persons behind one address, each may mistype, and nobody can clear the failures of others.
Attempts are counted per address (per /64 network for IPv6) and per user name, in a sliding window. Beyond the limit
even the right password is refused.

The counts are kept in memory, per process, for at most 10,000 addresses and 10,000 user names. If all of them failed
within the window, the one with the fewest failures is forgotten, the oldest first. Refusing new ones instead would let
an attacker lock everybody out. To make a limit forgotten, an attacker needs as many failures for 10,000 others.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from itertools import count
from typing import NamedTuple

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
"""Maximum number of characters of an address or a user name that are stored."""


Moment = tuple[float, int]
"""When an attempt was counted, and the number that distinguishes it from another at the same time."""


class Attempt(NamedTuple):
    """A sign-in that was counted at `at`, or that must wait `wait` seconds and was not counted."""

    wait: int
    at: Moment
    address: str
    user: str


class Throttle:
    """Limits failed sign-ins. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = count()
        self._by_address = _Failures(PER_ADDRESS)
        self._by_user = _Failures(PER_USER)
        self._lock = threading.Lock()

    def attempt(self, address: str, user: str) -> Attempt:
        """Count an attempt, unless it must wait."""
        now, address, user = self._clock(), _network(address)[:_LONGEST], user.casefold()[:_LONGEST]
        with self._lock:
            at = now, next(self._numbers)
            wait = max(self._by_address.wait(address, now), self._by_user.wait(user, now))
            if not wait:
                self._by_address.add(address, at)
                self._by_user.add(user, at)
        return Attempt(wait, at, address, user)

    def take_back(self, attempt: Attempt) -> None:
        """Do not count an attempt that was not answered."""
        with self._lock:
            self._by_address.remove(attempt.address, [attempt.at])
            self._by_user.remove(attempt.user, [attempt.at])

    def succeeded(self, attempt: Attempt) -> None:
        """Do not count an attempt that succeeded, nor at this address the failures of the same user."""
        with self._lock:
            self._by_address.remove(attempt.address, self._by_user.moments(attempt.user))
            self._by_user.remove(attempt.user, [attempt.at])


class _Failures:
    """When each address, or each user name, failed: at most `limit` times in a window."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._moments: OrderedDict[str, list[Moment]] = OrderedDict()

    def wait(self, key: str, now: float) -> int:
        recent = self._recent(key, now)
        return 0 if len(recent) < self._limit else max(1, round(recent[-self._limit][0] + WINDOW - now))

    def add(self, key: str, at: Moment) -> None:
        self._moments[key] = [*self._recent(key, at[0]), at]
        self._moments.move_to_end(key)
        if len(self._moments) > _REMEMBERED:
            self._forget(key, at[0])

    def _forget(self, spared: str, now: float) -> None:
        """Forget all keys without a failure in the window; if there are none, the oldest with the fewest failures."""
        failures = {key: len(self._recent(key, now)) for key in self._moments if key != spared}
        fewest = min(failures.values())
        fitting = [key for key, number in failures.items() if number == fewest]
        for key in fitting[:1] if fewest else fitting:
            del self._moments[key]

    def remove(self, key: str, moments: Collection[Moment]) -> None:
        left = [at for at in self._moments.get(key, []) if at not in moments]
        if left:
            self._moments[key] = left
        else:
            self._moments.pop(key, None)

    def moments(self, key: str) -> list[Moment]:
        return self._moments.get(key, [])

    def _recent(self, key: str, now: float) -> list[Moment]:
        return [at for at in self._moments.get(key, []) if at[0] > now - WINDOW]


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:  # ::ffff:192.0.2.1 is 192.0.2.1
        return str(ip if ip.version == 4 else ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))

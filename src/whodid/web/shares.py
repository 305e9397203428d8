"""The shares: how many of something one person, and all of them together, may have under way at once."""

from __future__ import annotations

import threading
from collections import Counter

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..recording.context import current_fields
from .rendering import refusal

__all__ = ["REQUESTS", "Fair", "Shares", "person_of"]

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

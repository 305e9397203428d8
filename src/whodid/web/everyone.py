"""The gate where there is nothing to guard: a cluster without accounts, which answers everyone who reaches it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..search import AuditClient
from .reader import Reader
from .visit import Visit, let_in

__all__ = ["Everyone"]


class Everyone:
    """Lets all in. `whodid web` uses it on loopback only."""

    def __init__(self, app: ASGIApp, client: AuditClient) -> None:
        self._app = app
        self._client = client
        self._reader = Reader(client.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        let_in(scope, Visit(self._client))
        with self._reader.operator(Request(scope)):
            await self._app(scope, receive, send)

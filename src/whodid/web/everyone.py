"""The gate where there is nothing to guard: a cluster without accounts, which answers everyone who reaches it."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ..client import AuditClient
from .visit import Visit, let_in

__all__ = ["Everyone"]


class Everyone:
    """Lets all in. `whodid web` uses it on loopback only."""

    def __init__(self, app: ASGIApp, client: AuditClient) -> None:
        self._app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        let_in(scope, Visit(self._client))
        await self._app(scope, receive, send)

"""ASGI middleware (Starlette, FastAPI, …) that sets the principal and the client of each request.

    app.add_middleware(whodid.integrations.asgi.AuditMiddleware, principal=lambda scope: scope.get("user_id"))

It binds the client's address, the user agent, the request ID and the W3C trace ID. `principal` is called at each audit
call, so authentication may run after this middleware. An endpoint that authenticates the user itself calls
`whodid.bind(principal=…)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from ..recording.client_ip import ForwardedHeader
from ..recording.context import scope as open_scope
from .request import RequestFields, with_route

__all__ = ["AuditMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Principal = Callable[[Scope], Mapping[str, object] | str | None]
"""Connection scope → a user ID, entry fields (`principal`, `organization_id`, …), or `None` if unknown."""


class AuditMiddleware:
    """Opens a context for each request. `trusted_proxies` and `forwarded_header` default to the settings."""

    def __init__(
        self,
        app: App,
        *,
        principal: Principal | None = None,
        trusted_proxies: Iterable[str] | None = None,
        forwarded_header: ForwardedHeader | None = None,
    ) -> None:
        self._app = app
        self._principal = principal
        self._fields = RequestFields(trusted_proxies, forwarded_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        principal = self._principal
        resolver = with_route(None if principal is None else lambda: principal(scope), lambda: _route(scope))
        peer = scope.get("client")
        with open_scope(self._fields(_headers(scope), peer[0] if peer else None, scope.get("method")), resolver):
            await self._app(scope, receive, send)


def _route(scope: Scope) -> object:
    """The pattern of the path, as FastAPI names it."""
    return getattr(scope.get("route"), "path", None)


def _headers(scope: Scope) -> dict[str, str]:
    """Header values by lower-case name, repeated ones joined by commas."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers

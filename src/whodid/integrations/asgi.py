"""ASGI (Starlette, FastAPI, …): middleware that binds who and from where to each request.

    app.add_middleware(whodid.integrations.asgi.AuditMiddleware, principal=lambda scope: scope.get("user_id"))

It binds the client's address, the user agent, the request ID and the W3C trace ID. `principal` is asked at the moment
of an audit call, so authentication that runs later than this middleware counts; what an endpoint learns by itself it
says with `whodid.bind(principal=…)`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from ..client_ip import client_ip, networks
from ..context import scope as open_scope
from ..runtime import recorder

__all__ = ["AuditMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Principal = Callable[[Scope], Mapping[str, object] | str | None]
"""From the connection scope: a user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class AuditMiddleware:
    """Binds a request's context. `trusted_proxies` (networks) defaults to the setting of that name."""

    def __init__(
        self, app: App, *, principal: Principal | None = None, trusted_proxies: Iterable[str] | None = None
    ) -> None:
        self._app = app
        self._principal = principal
        self._trusted = None if trusted_proxies is None else networks(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        principal = self._principal
        resolver = None if principal is None else lambda: principal(scope)
        with open_scope(self._fields(scope), resolver):
            await self._app(scope, receive, send)

    def _fields(self, scope: Scope) -> dict[str, object]:
        headers = _headers(scope)
        peer = scope.get("client")
        if self._trusted is None:
            self._trusted = networks(recorder().settings.trusted_proxies)
        trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        fields = {
            "client_ip": client_ip(peer[0] if peer else None, headers.get("x-forwarded-for", ""), self._trusted),
            "user_agent": headers.get("user-agent"),
            "request_id": _request_id(headers.get("x-request-id", "")),
            "trace_id": trace[1] if trace else None,
        }
        return {name: value for name, value in fields.items() if value}


def _request_id(header: str) -> str:
    """The proxy's request ID if it is a sane one, else a new one."""
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex


def _headers(scope: Scope) -> dict[str, str]:
    """Header values by lower-case name, repeated ones joined by commas; without NUL, which an entry can't hold."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").replace("\0", "")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers

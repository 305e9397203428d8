"""WSGI (Flask, Django, Pyramid, Bottle, …): middleware that binds who and from where to each request.

    app = whodid.integrations.wsgi.AuditMiddleware(app, principal=lambda environ: environ.get("REMOTE_USER"))

As for ASGI: `principal` is asked at the moment of an audit call, and `whodid.bind(principal=…)` says what an endpoint
learns by itself. The context lasts until the response is sent, so that a streamed body may record, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context, copy_context
from typing import Any

from ..client_ip import ForwardedHeader
from ..context import enter_scope, in_context
from .request import RequestFields

__all__ = ["AuditMiddleware"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Principal = Callable[[Environ], Mapping[str, object] | str | None]
"""From the WSGI environ: a user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""


class AuditMiddleware:
    """Binds a request's context. `trusted_proxies` and `forwarded_header` default to the settings of those names."""

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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return _Body(copy_context(), lambda: self._enter(environ, start_response))

    def _enter(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        principal = self._principal
        resolver = None if principal is None else lambda: principal(environ)
        enter_scope(self._fields(_headers(environ), environ.get("REMOTE_ADDR") or None), resolver)
        return self._app(environ, start_response)


class _Body:
    """The response of a request that runs in a context of its own, from its start to the end of its body."""

    def __init__(self, context: Context, begin: Callable[[], Iterable[bytes]]) -> None:
        self._context = context
        self._body = context.run(begin)

    def __iter__(self) -> Iterator[bytes]:
        return in_context(self._context, self._body)

    def close(self) -> None:
        if close := getattr(self._body, "close", None):
            self._context.run(close)


def _headers(environ: Environ) -> dict[str, str]:
    """Header values by lower-case name, as the server joined repeated ones."""
    prefix = "HTTP_"
    return {
        name.removeprefix(prefix).replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith(prefix)
    }

"""WSGI middleware (Flask, Django, Pyramid, Bottle, …) that sets the principal and the client of each request.

    app = whodid.integrations.wsgi.AuditMiddleware(app, principal=lambda environ: environ.get("REMOTE_USER"))

`principal` is called at each audit call, as for ASGI. The context lasts until the response is sent, so that a streamed
body may record too. A complete body (a list) or a file that the server sends is passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from ..recording.client_ip import ForwardedHeader
from ..recording.context import Scope, Steps, Within, scope
from .request import RequestFields

__all__ = ["AuditMiddleware"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Principal = Callable[[Environ], Mapping[str, object] | str | None]
"""WSGI environ → a user ID, entry fields (`principal`, `organization_id`, …), or `None` if unknown."""


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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        principal = self._principal
        resolver = None if principal is None else lambda: principal(environ)
        fields = self._fields(_headers(environ), environ.get("REMOTE_ADDR") or None, environ.get("REQUEST_METHOD"))
        with scope(fields, resolver) as opened:
            body = self._app(environ, start_response)
        if _is_complete(body, environ.get("wsgi.file_wrapper")):
            return body
        if isinstance(body, Iterator):
            return _Parts(opened, body)
        return _SizedBody(opened, body) if isinstance(body, Sized) else _Body(opened, body)


def _is_complete(body: Iterable[bytes], file_wrapper: object) -> bool:
    """Whether no code of the application runs while the body is sent, or the server expects this very object."""
    if isinstance(body, list | tuple | bytes) or hasattr(body, "read"):
        return True
    return isinstance(file_wrapper, type) and isinstance(body, file_wrapper)


class _Body:
    """The body of a response, iterated inside the request's scope; other attributes are those of the original."""

    def __init__(self, opened: Scope, body: Iterable[bytes]) -> None:
        self._opened = opened
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return Within(self._opened, self._body)

    def close(self) -> None:
        if close := getattr(self._body, "close", None):
            with Steps(self._opened):
                close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _SizedBody(_Body):
    """A body with a number of parts, from which some servers derive its length."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type] # Sized


class _Parts(_Body):
    """A body that is an iterator."""

    def __init__(self, opened: Scope, body: Iterable[bytes]) -> None:
        super().__init__(opened, body)
        self._parts = Within(opened, body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)


def _headers(environ: Environ) -> dict[str, str]:
    """Header values by lower-case name; the server has joined repeated headers."""
    prefix = "HTTP_"
    return {
        name.removeprefix(prefix).replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith(prefix)
    }

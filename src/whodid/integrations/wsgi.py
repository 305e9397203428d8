"""WSGI (Flask, Django, Pyramid, Bottle, …): middleware that binds who and from where to each request.

    app = whodid.integrations.wsgi.AuditMiddleware(app, principal=lambda environ: environ.get("REMOTE_USER"))

As for ASGI: `principal` is asked at the moment of an audit call, and `whodid.bind(principal=…)` says what an endpoint
learns by itself. The context lasts until the response is sent, so that a streamed body may record, too. A body that is
made already (a list) or is a file for the server to send passes unchanged.
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
        principal = self._principal
        resolver = None if principal is None else lambda: principal(environ)
        with scope(self._fields(_headers(environ), environ.get("REMOTE_ADDR") or None), resolver) as opened:
            body = self._app(environ, start_response)
        if _is_made(body, environ.get("wsgi.file_wrapper")):
            return body
        if isinstance(body, Iterator):
            return _Parts(opened, body)
        return _SizedBody(opened, body) if isinstance(body, Sized) else _Body(opened, body)


def _is_made(body: Iterable[bytes], file_wrapper: object) -> bool:
    """Whether nothing of the application runs while the body is sent, or the server looks for this very object."""
    if isinstance(body, list | tuple | bytes) or hasattr(body, "read"):
        return True
    return isinstance(file_wrapper, type) and isinstance(body, file_wrapper)


class _Body:
    """The body of a response, made within the request's scope to its end; what else it has is as it was."""

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
    """One that says how many parts it has, from which some servers know its length."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type] # Sized


class _Parts(_Body):
    """One that is its own iterator."""

    def __init__(self, opened: Scope, body: Iterable[bytes]) -> None:
        super().__init__(opened, body)
        self._parts = Within(opened, body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)


def _headers(environ: Environ) -> dict[str, str]:
    """Header values by lower-case name, as the server joined repeated ones."""
    prefix = "HTTP_"
    return {
        name.removeprefix(prefix).replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith(prefix)
    }

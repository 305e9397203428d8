"""Flask integration that sets the principal and the client of each request.

    whodid.integrations.flask.init_app(app, principal=lambda: flask.session.get("user_id"))

`principal` is called at each audit call inside the request, so it may use `session`, `g` or `current_user` of
Flask-Login. A view that authenticates the user itself calls `whodid.bind(principal=…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import has_request_context, request

from ..recording.client_ip import ForwardedHeader
from .request import with_route
from .wsgi import AuditMiddleware

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["init_app"]

Principal = Callable[[], Mapping[str, object] | str | None]
"""Returns a user ID, entry fields (`principal`, `organization_id`, …), or `None` if unknown."""


def init_app(
    app: Flask,
    *,
    principal: Principal | None = None,
    trusted_proxies: Iterable[str] | None = None,
    forwarded_header: ForwardedHeader | None = None,
) -> None:
    """Opens a context for each request of `app`.

    `trusted_proxies` and `forwarded_header` default to the settings.
    """
    resolve = with_route(principal, _route)
    inner: Any = app.wsgi_app
    app.wsgi_app = AuditMiddleware(  # type: ignore[method-assign]
        inner, principal=lambda _environ: resolve(), trusted_proxies=trusted_proxies, forwarded_header=forwarded_header
    )


def _route() -> str | None:
    """The pattern of the path, once Flask has chosen the view."""
    return request.url_rule.rule if has_request_context() and request.url_rule else None

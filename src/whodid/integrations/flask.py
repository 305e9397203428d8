"""Flask: binds who and from where to each request.

    whodid.integrations.flask.init_app(app, principal=lambda: flask.session.get("user_id"))

`principal` is asked at the moment of an audit call, inside the request, so that it may use `session`, `g` or
`current_user` of Flask-Login; what a view learns by itself it says with `whodid.bind(principal=…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..recording.client_ip import ForwardedHeader
from .wsgi import AuditMiddleware

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["init_app"]

Principal = Callable[[], Mapping[str, object] | str | None]
"""A user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""


def init_app(
    app: Flask,
    *,
    principal: Principal | None = None,
    trusted_proxies: Iterable[str] | None = None,
    forwarded_header: ForwardedHeader | None = None,
) -> None:
    """Binds the context of each request of `app`.

    `trusted_proxies` and `forwarded_header` default to the settings of those names.
    """
    asked = None if principal is None else lambda _environ: principal()
    inner: Any = app.wsgi_app
    app.wsgi_app = AuditMiddleware(  # type: ignore[method-assign]
        inner, principal=asked, trusted_proxies=trusted_proxies, forwarded_header=forwarded_header
    )

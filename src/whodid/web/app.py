"""The web application: its routes, access control, error pages, security headers and limits on the length of URLs.

Source of the headers: the OWASP Secure Headers Project, and Content Security Policy Level 3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..catalog import Catalog
from ..cluster.connection import connect
from ..errors import (
    JournalDamaged,
    NotAuthenticated,
    NotAuthorized,
    NotRecorded,
    OpenSearchError,
    OpenSearchUnavailable,
    QueryError,
    SettingsError,
    WhodidError,
)
from ..search import AuditClient
from ..search.filter import match
from ..search.value import literal
from ..settings import Settings, journal_place, load_settings
from ..text import one_line
from . import data, pages
from .access import MountedAccess, OpenAccess, Organizations, SessionAccess, SignIn
from .limits import Limits, RequestLimits
from .request import VERSIONS, Frame, IsRootUser, OrganizationsOf, Reader, UserOf, access_or_none, refusal

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["LengthLimit", "SecurityHeaders", "create_app", "create_standalone_app"]

MAX_PATH, MAX_QUERY = 2_000, 8_192
"""Maximum bytes; links of the tab are shorter, and servers and proxies usually accept 8 KB of a URL."""

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a URL contains who is searched for
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_FOR_GOOD = "public, max-age=31536000, immutable"


class SecurityHeaders:
    """Adds the headers that the application did not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fixed = dict(_HEADERS)
        if scope["scheme"] == "https":
            fixed["Strict-Transport-Security"] = "max-age=31536000"
        caching = _caching(scope)

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                found = message["status"] in {200, 206, 304}
                headers.setdefault("Cache-Control", caching if found else "no-store")
                for name, value in fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_hardened)


def _caching(scope: Scope) -> str:
    """Return the Cache-Control value; only files with the version of their content are immutable."""
    path = scope["path"]
    folder = scope.get("root_path", "") + "/static/"
    if not path.startswith(folder):
        return "no-store"
    version = VERSIONS.get(path.removeprefix(folder), "")
    return _FOR_GOOD if version and scope["query_string"] == f"v={version}".encode() else "no-cache"


class LengthLimit:
    """Refuses requests with a URL that is too long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        too_long = len(scope.get("path", "")) > MAX_PATH or len(scope.get("query_string", b"")) > MAX_QUERY
        if scope["type"] == "http" and too_long:
            answer = refusal(Request(scope), 414, f"The URL is too long; a query has at most {MAX_QUERY:,} bytes.")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


_STATUS = {
    QueryError: 400,
    NotAuthorized: 403,
    OpenSearchUnavailable: 503,
    OpenSearchError: 502,
    NotRecorded: 503,
    JournalDamaged: 503,
}
"""Kind of error → status, specific ones first."""

_SCOPES = 256
"""Maximum number of cached clients, one per set of organizations."""

_log = logging.getLogger("whodid.web")
_WITHOUT_ACCESS = "The audit log can't be shown at the moment. See the log of the server for the cause."

_ENTRY = "/entries/{entry_id:str}"


def create_app(
    *,
    is_root_user: IsRootUser,
    settings: Settings | None = None,
    title: str = "Admin panel",
    tabs: Sequence[tuple[str, str]] = (),
    user_of: UserOf | None = None,
    organizations_of: OrganizationsOf | None = None,
    audit_reads: bool = True,
    **keywords: Any,
) -> Starlette:
    """Create the tab to mount in an admin panel: `app.mount("/admin/audit-logs", create_app(is_root_user=…))`.

    `is_root_user` takes each request (a `starlette.requests.Request`) and returns `True` for a root user; it may be
    async. All other requests get 403. `title` and `tabs` (label and link of each) are the header of the panel. Settings
    are those of `AuditClient`; the tab reads with their user, who needs the role `whodid_auditor`.

    `organizations_of` also grants access to administrators of organizations: for a request that is not of a root user,
    it returns the IDs of the organizations whose entries this user may read, or an empty list.

    Searches, views and exports of entries are recorded in the journal of the settings unless `audit_reads` is false; if
    a read can't be recorded, nothing is shown. `user_of` takes the request and returns the ID of the user. Without it,
    the principal of the current context is recorded, or `anonymous` if there is none.
    Raises `SettingsError`.
    """
    if not callable(is_root_user):
        raise SettingsError("is_root_user must be a function that returns whether a request is of a root user")
    if organizations_of is not None and not callable(organizations_of):
        raise SettingsError("organizations_of must be a function that returns the organizations of a user")
    settings = replace(settings or load_settings(**keywords), audit_reads=audit_reads)
    if audit_reads:
        journal_place(settings.journal_dir)

    @lru_cache(maxsize=1)
    def connection() -> OpenSearch:
        return connect(settings)

    @lru_cache(maxsize=_SCOPES)
    def client(organizations: Organizations) -> AuditClient:
        within = None if organizations is None else match("organization_id", [literal(one) for one in organizations])
        return AuditClient(settings, client=connection(), within=within)

    def protect(app: ASGIApp) -> ASGIApp:
        reader = Reader(settings, user_of)
        return MountedAccess(
            app, is_root_user=is_root_user, organizations_of=organizations_of, reader=reader, client=client
        )

    return _application(settings, protect, Frame(title, tuple(tabs)))


def create_standalone_app(
    settings: Settings, *, accounts: bool, secure: bool, allowed_hosts: Sequence[str], notice: str = ""
) -> Starlette:
    """Create the standalone tab that `whodid web` serves.

    With `accounts`, users sign in with their OpenSearch account; without, access is open. `secure` restricts cookies to
    HTTPS. Requests for hosts other than `allowed_hosts` are refused.
    """
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)]
    if not accounts:
        frame = Frame("whodid", notice=notice)
        return _application(settings, lambda app: OpenAccess(app, AuditClient(settings)), frame, middleware=middleware)
    sign_in = SignIn(settings, secure=secure)
    forms = [
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
        Route("/sign-out", sign_in.leave, methods=["POST"]),
    ]
    frame = Frame("whodid", signs_in=True, notice=notice)
    app = _application(settings, lambda app: SessionAccess(app, sign_in), frame, forms, middleware)
    app.add_exception_handler(NotAuthenticated, sign_in.ended)
    return app


def _application(
    settings: Settings,
    protect: Callable[[ASGIApp], ASGIApp],
    frame: Frame,
    open_routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    protected = Router(
        [
            Route("/", pages.entries),
            Route("/entries.json", data.entries_json),
            Route("/newest", pages.newest),
            Route("/complete.json", data.complete_json),
            Route("/export.csv", data.export_csv),
            Route("/export.ndjson", data.export_ndjson),
            Route(_ENTRY + ".json", data.entry_json),
            Route(_ENTRY, pages.entry),
        ],
        redirect_slashes=False,
    )
    app = Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=str(files(__package__) / "static"))),
            *open_routes,
            Mount("/", protect(RequestLimits(protected))),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(LengthLimit), *middleware],
        exception_handlers={WhodidError: _error_page, 404: _not_found, 405: _not_found, Exception: _server_error},
    )
    app.state.frame = frame
    app.state.catalog = Catalog.load(settings.catalog)
    app.state.known = {**Catalog.own().types, **app.state.catalog.types}
    app.state.types = sorted(app.state.known)
    app.state.exports = Limits(data.EXPORTS, data.ALL_EXPORTS)
    return app


def _error_page(request: Request, error: Exception) -> Response:
    """Show the message of an error, which may contain host names, only to requests with access."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    if access_or_none(request):
        return refusal(request, status, str(error))
    _log.error("%s", one_line(str(error)))
    return refusal(request, status, _WITHOUT_ACCESS)


def _not_found(request: Request, error: Exception) -> Response:
    return refusal(request, getattr(error, "status_code", 404), "This page does not exist.")


def _server_error(request: Request, _error: Exception) -> Response:
    """Report an unexpected error without its traceback, which the server logs."""
    return refusal(request, 500, "An unexpected error occurred. See the log of the server.")

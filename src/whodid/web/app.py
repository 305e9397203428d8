"""The application: routes, the gate in front of them, and what every page needs to know.

The hardening: headers of every answer, so that a browser runs nothing but our own files and keeps nothing; and no
work for a request that is too long.

Source: the OWASP Secure Headers Project, and the Content Security Policy Level 3.
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
from .access import Everyone, HostGate, Organizations, SignedInOnly, SignIn
from .request import VERSIONS, Frame, IsRootUser, OrganizationsOf, Reader, UserOf, refusal, visit_if_any
from .shares import Fair, Shares

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Bounded", "Hardened", "create_app", "create_standalone_app"]

LONGEST_PATH, LONGEST_QUESTION = 2_000, 8_192
"""Bytes; no link of the tab is as long, and servers and proxies take no more than 8 KB of a URL."""

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a URL holds whom someone looks for
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_FOR_GOOD = "public, max-age=31536000, immutable"


class Hardened:
    """Adds the headers; what the application set itself stays."""

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
                there = message["status"] in {200, 206, 304}
                headers.setdefault("Cache-Control", caching if there else "no-store")
                for name, value in fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_hardened)


def _caching(scope: Scope) -> str:
    """For good only what is asked for by the name of its content."""
    path = scope["path"]
    folder = scope.get("root_path", "") + "/static/"
    if not path.startswith(folder):
        return "no-store"
    version = VERSIONS.get(path.removeprefix(folder), "")
    return _FOR_GOOD if version and scope["query_string"] == f"v={version}".encode() else "no-cache"


class Bounded:
    """Refuses what is too long before anything is done with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        too_long = len(scope.get("path", "")) > LONGEST_PATH or len(scope.get("query_string", b"")) > LONGEST_QUESTION
        if scope["type"] == "http" and too_long:
            answer = refusal(Request(scope), 414, f"A question has at most {LONGEST_QUESTION:,} bytes in its URL.")
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
"""Kind of error → status, the more particular first."""

_SCOPES = 256
"""Sets of organizations whose clients are kept ready."""

_log = logging.getLogger("whodid.web")
_BEFORE_THE_GATE = "The audit log can't be shown now. The server's log says why."

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
    """The tab, to mount in an admin panel: `app.mount("/admin/audit-logs", create_app(is_root_user=…))`.

    `is_root_user` gets each request (a `starlette.requests.Request`) and answers `True` for a root user, plain or
    async; anyone else is refused with 403, whatever they ask for. `title` and `tabs` (label and link of each) show the
    panel around it. Settings as for `AuditClient`; the tab reads with their user, for whom `whodid_auditor` is enough.

    `organizations_of` opens the tab to administrators of organizations as well: for a request that is not a root user's
    it gives the IDs of the organizations whose entries, and no others, this user may see; an empty list for none.

    Who searches, looks at and exports entries is recorded in the journal of the settings unless `audit_reads` is false:
    what can't be recorded is not shown. `user_of` gets the request and gives the user's ID; without it, the principal
    counts that your middleware has put into the context, else `anonymous`.
    Raises `SettingsError`.
    """
    if not callable(is_root_user):
        raise SettingsError("is_root_user must be a function that says whether a request is a root user's")
    if organizations_of is not None and not callable(organizations_of):
        raise SettingsError("organizations_of must be a function that gives the organizations of a request's user")
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

    def gate(app: ASGIApp) -> ASGIApp:
        reader = Reader(settings, user_of)
        return HostGate(app, is_root_user=is_root_user, organizations_of=organizations_of, reader=reader, client=client)

    return _application(settings, gate, Frame(title, tuple(tabs)))


def create_standalone_app(
    settings: Settings, *, accounts: bool, secure: bool, allowed_hosts: Sequence[str], notice: str = ""
) -> Starlette:
    """The tab by itself, as `whodid web` serves it.

    With `accounts`, people sign in with their OpenSearch account; without (a cluster that answers everyone), there is
    nothing to sign in to. `secure` for HTTPS. Requests for other hosts than `allowed_hosts` are refused.
    """
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)]
    if not accounts:

        def open_gate(app: ASGIApp) -> ASGIApp:
            return Everyone(app, AuditClient(settings))

        return _application(settings, open_gate, Frame("whodid", notice=notice), middleware=middleware)
    sign_in = SignIn(settings, secure=secure)
    forms = [
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
        Route("/sign-out", sign_in.leave, methods=["POST"]),
    ]
    frame = Frame("whodid", signs_in=True, notice=notice)
    app = _application(settings, lambda app: SignedInOnly(app, sign_in), frame, forms, middleware)
    app.add_exception_handler(NotAuthenticated, sign_in.ended)
    return app


def _application(
    settings: Settings,
    gate: Callable[[ASGIApp], ASGIApp],
    frame: Frame,
    open_routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    behind_the_gate = Router(
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
            Mount("/", gate(Fair(behind_the_gate))),
        ],
        middleware=[Middleware(Hardened), Middleware(Bounded), *middleware],
        exception_handlers={WhodidError: _failed, 404: _nowhere, 405: _nowhere, Exception: _broken},
    )
    catalog = Catalog.load(settings.catalog or None, mode=settings.catalog_mode)
    app.state.frame = frame
    app.state.catalog = catalog
    app.state.known = {**Catalog.own().types, **catalog.types}
    app.state.types = sorted(app.state.known)
    app.state.exports = Shares(data.EXPORTS, data.ALL_EXPORTS)
    return app


def _failed(request: Request, error: Exception) -> Response:
    """What went wrong, in the words of the error, which never hold a secret; but they may name hosts, which nobody sees
    who has not come through the gate."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    if visit_if_any(request):
        return refusal(request, status, str(error))
    _log.error("%s", one_line(str(error)))
    return refusal(request, status, _BEFORE_THE_GATE)


def _nowhere(request: Request, error: Exception) -> Response:
    return refusal(request, getattr(error, "status_code", 404), "There is nothing here.")


def _broken(request: Request, _error: Exception) -> Response:
    """A mistake in the program: logged by the server, and no traceback on a page."""
    return refusal(request, 500, "Something went wrong on our side. The server's log says what.")

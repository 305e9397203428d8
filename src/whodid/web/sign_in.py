"""The gate of a tab that runs alone: people sign in with their OpenSearch account and read with its rights.

The form's token must come back with a cookie that only this site can set (double submit), so no other site can sign
somebody in or out.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qs, urlencode

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..cluster.connection import settings_of
from ..errors import NotAuthenticated, OpenSearchError
from ..search import AuditClient
from ..settings import Settings
from ..text import one_line
from .reader import Reader
from .rendering import page, refusal, wants_page
from .sessions import Sessions
from .shares import Shares
from .throttle import PER_ADDRESS, Throttle
from .visit import Visit, let_in

__all__ = ["SignIn", "SignedInOnly"]

_log = logging.getLogger("whodid.web")

_MAX_BODY = 8192
_BODY_WITHIN = 20.0
"""Seconds in which a form must have come."""

_AT_ONCE = 4
"""Passwords that the cluster is asked about at the same time; it takes a while over each, on purpose."""

_WAITING = 100
"""Sign-ins that are under way or wait for it."""

_MOMENT = 60
_PLACE = re.compile(r"(entries/[0-9a-zA-Z-]{1,200})?(\?[\x21-\x7e]{0,4000})?")
"""Where to go after signing in: within this application, or nowhere."""


class SignIn:
    """The forms: `show`, `enter` and `leave` are endpoints. `secure` sets cookies for HTTPS only."""

    def __init__(self, settings: Settings, *, secure: bool) -> None:
        self._settings = settings
        self._secure = secure
        self.reader = Reader(settings)
        self._throttle = Throttle()
        self._under_way = Shares(PER_ADDRESS, _WAITING)
        self.sessions = Sessions()
        self._session_cookie = "__Host-whodid-session" if secure else "whodid-session"
        self._token_cookie = "__Host-whodid-form" if secure else "whodid-form"

    def secret(self, request: Request) -> str:
        """The session ID that the browser sent."""
        return request.cookies.get(self._session_cookie, "")

    async def show(self, request: Request) -> Response:
        return self._form(request, _place(request.query_params.get("to", "")))

    async def enter(self, request: Request) -> Response:
        given = await _form_of(request)
        place, user = _place(given.get("to", "")), given.get("user", "").strip()
        if not _same(given.get("token", ""), request.cookies.get(self._token_cookie, "")):
            return self._form(request, place, 403, "This form is out of date. Please sign in again.", user)
        address = self.reader.address(request)
        if not self._under_way.take(address):
            return self._later(request, place, user, "Too many people are signing in at this moment.", _MOMENT)
        try:
            if wait := self._throttle.attempt(address, user):
                return self._later(request, place, user, "Too many failed attempts.", wait)
            theirs = await to_thread.run_sync(self._ask, user, given.get("password", ""), limiter=self._threads)
        except NotAuthenticated:
            return self._form(request, place, 401, "OpenSearch does not know this user and password.", user)
        except OpenSearchError as error:
            self._throttle.unanswered(address, user)
            _log.error("signing in failed: %s", one_line(str(error)))  # it may name hosts, which strangers don't see
            return self._form(request, place, 503, "Signing in is not possible now: OpenSearch did not answer.", user)
        finally:
            self._under_way.give_back(address)
        self._throttle.succeeded(address, user)
        self.sessions.end(self.secret(request))
        answer = RedirectResponse(_root(request) + place, HTTPStatus.SEE_OTHER)
        self._set(answer, self._session_cookie, self.sessions.begin(user, AuditClient(theirs)), "lax")
        self._set(answer, self._token_cookie, "", "strict")
        return answer

    def _ask(self, user: str, password: str) -> Settings:
        return settings_of(self._settings, user, password)

    @cached_property
    def _threads(self) -> CapacityLimiter:
        """Threads of its own, so that whoever guesses passwords keeps nobody who has signed in from reading."""
        return CapacityLimiter(_AT_ONCE)

    def _later(self, request: Request, place: str, user: str, problem: str, wait: int) -> Response:
        minutes = -(-wait // 60)
        text = f"{problem} Try again in {minutes} minute{'s' * (minutes > 1)}."
        answer = self._form(request, place, 429, text, user)
        answer.headers["Retry-After"] = str(wait)
        return answer

    async def leave(self, request: Request) -> Response:
        given = await _form_of(request)
        session = self.sessions.find(self.secret(request))
        if session and not _same(given.get("token", ""), session.token):
            return refusal(request, 403, "This form is out of date. Go back, reload the page and try again.")
        self.sessions.end(self.secret(request))
        answer = RedirectResponse(_root(request) + "sign-in", HTTPStatus.SEE_OTHER)
        self._set(answer, self._session_cookie, "", "lax")
        return answer

    def ended(self, request: Request, _error: Exception) -> Response:
        """OpenSearch no longer knows who is signed in (another password, say): so does the tab."""
        self.sessions.end(self.secret(request))
        return _led_to_the_form(request)

    def _form(self, request: Request, place: str, status: int = 200, problem: str = "", user: str = "") -> Response:
        token = request.cookies.get(self._token_cookie) or secrets.token_urlsafe(32)
        answer = page(request, "sign_in.html", status, form_token=token, place=place, problem=problem, user=user)
        self._set(answer, self._token_cookie, token, "strict")
        return answer

    def _set(self, answer: Response, name: str, value: str, same_site: Literal["lax", "strict"]) -> None:
        """Sets the cookie; an empty value takes it away."""
        age = None if value else 0
        answer.set_cookie(name, value, age, path="/", secure=self._secure, httponly=True, samesite=same_site)


class SignedInOnly:
    """Lets in who is signed in; others are led to the form, and programs told 401."""

    def __init__(self, app: ASGIApp, sign_in: SignIn) -> None:
        self._app = app
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        session = self._sign_in.sessions.find(self._sign_in.secret(request))
        if session is None:
            await _led_to_the_form(request)(scope, receive, send)
            return
        let_in(scope, Visit(session.client, session.user, session.token))
        with self._sign_in.reader.named(request, session.user):
            await self._app(scope, receive, send)


def _led_to_the_form(request: Request) -> Response:
    if not wants_page(request):
        return refusal(request, 401, "Sign in first.")
    path = request.url.path.removeprefix(_root(request).rstrip("/")).lstrip("/")
    place = _place(path + (f"?{request.url.query}" if request.url.query else ""))
    to = "?" + urlencode({"to": place}) if place else ""
    return RedirectResponse(_root(request) + "sign-in" + to, HTTPStatus.SEE_OTHER)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")) + "/"


def _place(text: str) -> str:
    return text if _PLACE.fullmatch(text) else ""


def _same(one: str, other: str) -> bool:
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())


async def _form_of(request: Request) -> Mapping[str, str]:
    """The form's fields, the last of each name; empty for what is too long to be this form."""
    body = b""
    with move_on_after(_BODY_WITHIN) as waiting:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                return {}
    if waiting.cancelled_caught:
        return {}
    try:
        return {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=20).items()}
    except ValueError:
        return {}

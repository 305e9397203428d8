"""Access control of the tab: middleware that grants a request access to entries or refuses it, sessions and sign-in.

A mounted tab asks the application around it. A standalone tab lets users sign in with their OpenSearch account and
reads with its rights; if the cluster has no accounts, access is open.

Sessions are kept in the memory of this process, for at most eight hours, or 30 minutes without a request. The session
ID is random; only its SHA-256 is stored. The password exists only in the connection, which is closed with the session.
Each form has a token that must match a cookie of this site (double submit), so that no other site can sign users in or
out.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qs, urlencode

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..cluster.connection import settings_of
from ..errors import NotAuthenticated, OpenSearchError
from ..search import AuditClient
from ..settings import Settings
from ..text import one_line
from .limits import PER_ADDRESS, Limits, Throttle
from .request import Access, IsRootUser, OrganizationsOf, Reader, call, grant, page, refusal, wants_page

__all__ = ["MountedAccess", "OpenAccess", "Session", "SessionAccess", "Sessions", "SignIn"]

Organizations = tuple[str, ...] | None
"""IDs of the organizations whose entries may be read; `None` for all entries."""


class MountedAccess:
    """Grants access to root users of the application, and to administrators of organizations for their entries.

    The application is asked at each request, so a revoked right takes effect immediately.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_root_user: IsRootUser,
        organizations_of: OrganizationsOf | None,
        reader: Reader,
        client: Callable[[Organizations], AuditClient],
    ) -> None:
        self._app = app
        self._reader = reader
        self._is_root_user = is_root_user
        self._organizations_of = organizations_of
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        organizations = None if await self._is_root(request) else await self._organizations(request)
        if organizations == ():
            answer = refusal(request, 403, "The audit log is for root users. Ask one of them for what you need.")
            await answer(scope, receive, send)
            return
        client = await run_in_threadpool(self._client, organizations)
        grant(scope, Access(client, organizations=organizations or ()))
        with await self._reader.of(request):
            await self._app(scope, receive, send)

    async def _is_root(self, request: Request) -> bool:
        answer = await call(self._is_root_user, request)
        if not isinstance(answer, bool):
            raise TypeError(f"is_root_user must return True or False, not {type(answer).__name__}: access was refused")
        return answer

    async def _organizations(self, request: Request) -> tuple[str, ...]:
        if self._organizations_of is None:
            return ()
        answer = await call(self._organizations_of, request)
        if isinstance(answer, str | bytes) or not isinstance(answer, Collection):
            raise TypeError(
                f"organizations_of must return a list of IDs, not {type(answer).__name__}: access was refused"
            )
        if not all(isinstance(each, str) and each for each in answer):
            raise TypeError("organizations_of must return a list of IDs, each a string: access was refused")
        return tuple(sorted(set(answer)))


class OpenAccess:
    """Grants access to every request; used only on loopback, for a cluster without accounts."""

    def __init__(self, app: ASGIApp, client: AuditClient) -> None:
        self._app = app
        self._client = client
        self._reader = Reader(client.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        grant(scope, Access(self._client))
        with self._reader.operator(Request(scope)):
            await self._app(scope, receive, send)


LIFETIME = 8 * 3600.0
IDLE = 30 * 60.0
PER_USER = 10
_AT_MOST = 500


@dataclass(slots=True)
class Session:
    """The connection of a signed-in user, and the `token` that forms must send back."""

    user: str
    client: AuditClient
    started: float
    seen: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Sessions:
    """The sessions of this process. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def start(self, user: str, client: AuditClient) -> str:
        """Start a session and return its ID; beyond 10 per user or 500 in total, the longest unused one ends."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._end_old(now)
            theirs = [key for key, session in self._sessions.items() if session.user == user]
            for keys, most in ((theirs, PER_USER), (list(self._sessions), _AT_MOST)):
                if len(keys) >= most:
                    self._end(min(keys, key=lambda key: self._sessions[key].seen))
            self._sessions[_key(secret)] = Session(user, client, now, now)
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session with this ID, if it has not ended."""
        now = self._clock()
        with self._lock:
            self._end_old(now)
            session = self._sessions.get(_key(secret))
            if session:
                session.seen = now
        return session

    def end(self, secret: str) -> None:
        with self._lock:
            self._end(_key(secret))

    def _end_old(self, now: float) -> None:
        for key, session in list(self._sessions.items()):
            if now - session.started > LIFETIME or now - session.seen > IDLE:
                self._end(key)

    def _end(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        if session:
            session.client.close()


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_log = logging.getLogger("whodid.web")

_MAX_BODY = 8192
_BODY_WITHIN = 20.0
"""Seconds within which a form must be received."""

_AT_ONCE = 4
"""Passwords that the cluster checks at the same time; each check is slow by design."""

_WAITING = 100
"""Maximum number of sign-ins that run or wait."""

_MOMENT = 60
_PLACE = re.compile(r"(entries/[0-9a-zA-Z-]{1,200})?(\?[\x21-\x7e]{0,4000})?")
"""Allowed targets of the redirect after signing in, all within this application."""


class SignIn:
    """The endpoints `show`, `enter` and `leave` of the sign-in form. `secure` restricts cookies to HTTPS."""

    def __init__(self, settings: Settings, *, secure: bool) -> None:
        self._settings = settings
        self._secure = secure
        self.reader = Reader(settings)
        self._throttle = Throttle()
        self._under_way = Limits(PER_ADDRESS, _WAITING)
        self.sessions = Sessions()
        self._session_cookie = "__Host-whodid-session" if secure else "whodid-session"
        self._token_cookie = "__Host-whodid-form" if secure else "whodid-form"

    def secret(self, request: Request) -> str:
        """Return the session ID that the browser sent."""
        return request.cookies.get(self._session_cookie, "")

    async def show(self, request: Request) -> Response:
        return self._form(request, _place(request.query_params.get("to", "")))

    async def enter(self, request: Request) -> Response:
        given = await _form_of(request)
        place, user = _place(given.get("to", "")), given.get("user", "").strip()
        if not _same(given.get("token", ""), request.cookies.get(self._token_cookie, "")):
            return self._form(request, place, 403, "This form has expired. Please sign in again.", user)
        address = self.reader.address(request)
        if not self._under_way.acquire(address):
            return self._later(request, place, user, "Too many users are signing in at the moment.", _MOMENT)
        try:
            attempt = self._throttle.attempt(address, user)
            if attempt.wait:
                return self._later(request, place, user, "Too many failed attempts.", attempt.wait)
            theirs = await to_thread.run_sync(self._ask, user, given.get("password", ""), limiter=self._threads)
        except NotAuthenticated:
            return self._form(request, place, 401, "OpenSearch rejected this user name or password.", user)
        except OpenSearchError as error:
            self._throttle.take_back(attempt)
            _log.error("signing in failed: %s", one_line(str(error)))  # may contain host names, so it is not shown
            return self._form(
                request, place, 503, "Signing in failed: OpenSearch did not answer. Try again later.", user
            )
        finally:
            self._under_way.release(address)
        self._throttle.succeeded(attempt)
        self.sessions.end(self.secret(request))
        answer = RedirectResponse(_root(request) + place, HTTPStatus.SEE_OTHER)
        self._set(answer, self._session_cookie, self.sessions.start(user, AuditClient(theirs)), "lax")
        self._set(answer, self._token_cookie, "", "strict")
        return answer

    def _ask(self, user: str, password: str) -> Settings:
        return settings_of(self._settings, user, password)

    @cached_property
    def _threads(self) -> CapacityLimiter:
        """Limit the threads of sign-ins, so that password guessing does not block signed-in users."""
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
            return refusal(request, 403, "This form has expired. Go back, reload the page and try again.")
        self.sessions.end(self.secret(request))
        answer = RedirectResponse(_root(request) + "sign-in", HTTPStatus.SEE_OTHER)
        self._set(answer, self._session_cookie, "", "lax")
        return answer

    def ended(self, request: Request, _error: Exception) -> Response:
        """End the session of a user that OpenSearch no longer accepts, for example after a change of the password."""
        self.sessions.end(self.secret(request))
        return _to_sign_in(request)

    def _form(self, request: Request, place: str, status: int = 200, problem: str = "", user: str = "") -> Response:
        token = request.cookies.get(self._token_cookie) or secrets.token_urlsafe(32)
        answer = page(request, "sign_in.html", status, form_token=token, place=place, problem=problem, user=user)
        self._set(answer, self._token_cookie, token, "strict")
        return answer

    def _set(self, answer: Response, name: str, value: str, same_site: Literal["lax", "strict"]) -> None:
        """Set the cookie, or delete it if the value is empty."""
        age = None if value else 0
        answer.set_cookie(name, value, age, path="/", secure=self._secure, httponly=True, samesite=same_site)


class SessionAccess:
    """Grants access to signed-in users; other users are redirected to the form, and programs get 401."""

    def __init__(self, app: ASGIApp, sign_in: SignIn) -> None:
        self._app = app
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        session = self._sign_in.sessions.find(self._sign_in.secret(request))
        if session is None:
            await _to_sign_in(request)(scope, receive, send)
            return
        grant(scope, Access(session.client, session.user, session.token))
        with self._sign_in.reader.named(request, session.user):
            await self._app(scope, receive, send)


def _to_sign_in(request: Request) -> Response:
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
    """Return the fields of the form, the last of each name; empty if the body is too long, too slow or invalid."""
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

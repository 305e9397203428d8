"""The hardening: headers of every answer, so that a browser runs nothing but our own files and keeps nothing; and no
work for a request that is too long.

Source: the OWASP Secure Headers Project, and the Content Security Policy Level 3.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .rendering import VERSIONS, refusal

__all__ = ["Bounded", "Hardened"]

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

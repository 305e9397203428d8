"""The hardening: headers of every answer, so that a browser runs nothing but our own files and keeps nothing.

Source: the OWASP Secure Headers Project, and the Content Security Policy Level 3.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Hardened"]

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
        ours = scope["path"].startswith(scope.get("root_path", "") + "/static/")
        named = scope["query_string"].startswith(b"v=")  # by its content: another content has another name
        fixed["Cache-Control"] = "no-store" if not ours else _FOR_GOOD if named else "no-cache"

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_hardened)

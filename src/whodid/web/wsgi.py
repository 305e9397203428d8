"""The tab under WSGI: an ASGI application as a WSGI one, to mount it in Flask and the like.

a2wsgi (the extra `whodid[wsgi]`) runs an event loop in a thread. What it leaves open is seen to here: no fork takes
that thread along, so the loop starts at the first request, and `gunicorn --preload` works; what the application raises
is raised, so that an answer which broke off never ends as if it were whole; when a client leaves, the application ends.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import SettingsError

__all__ = ["WSGIApplication"]


class WSGIApplication:
    """`DispatcherMiddleware(app.wsgi_app, {"/admin/audit-logs": WSGIApplication(create_app(…))})`.

    The application finds the WSGI environment in `request.scope["wsgi_environ"]`. Raises `SettingsError` without
    a2wsgi.
    """

    def __init__(self, app: ASGIApp) -> None:
        try:
            from a2wsgi import ASGIMiddleware
        except ImportError:
            raise SettingsError('a tab in a WSGI application needs an extra: pip install "whodid[wsgi]"') from None
        self._make = ASGIMiddleware
        self._app = app
        self._lock = threading.Lock()
        self._bridge: tuple[int, Any] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Generator[bytes, None, None]:
        bridge = self._bridge_of_this_process()
        try:
            yield from bridge(environ, start_response)
        except GeneratorExit:
            bridge.loop.call_soon_threadsafe(environ["whodid.task"].cancel)
            raise
        if "whodid.error" in environ:
            raise environ["whodid.error"]

    def _bridge_of_this_process(self) -> Any:
        with self._lock:
            if self._bridge is None or self._bridge[0] != os.getpid():
                self._bridge = os.getpid(), self._make(self._run)  # type: ignore[arg-type] # narrower than Starlette's
            return self._bridge[1]

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = scope["wsgi_environ"]
        environ["whodid.task"] = asyncio.current_task()
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            environ["whodid.error"] = error
            raise

"""The tab as a WSGI application, to mount it in Flask and other WSGI frameworks.

a2wsgi (the extra `whodid[wsgi]`) runs an event loop in a thread. In addition, this module starts the loop at the first
request of a process, because threads don't survive a fork (`gunicorn --preload`); raises errors of the application, so
that an interrupted answer never looks complete; and cancels the application when the client disconnects.
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
    """Mount with `DispatcherMiddleware(app.wsgi_app, {"/admin/audit-logs": WSGIApplication(create_app(…))})`.

    The WSGI environment is in `request.scope["wsgi_environ"]`. Raises `SettingsError` if a2wsgi is not installed.
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

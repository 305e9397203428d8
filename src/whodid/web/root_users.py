"""The gate of a mounted tab: root users of the host come in, nobody else, and the host says who is one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..client import AuditClient
from .reader import Reader
from .rendering import refusal
from .visit import Visit, let_in

__all__ = ["IsRootUser", "RootUsersOnly"]

IsRootUser = Callable[[Request], "bool | Awaitable[bool]"]
"""Whether the user of a request is a root user. Only `True` lets in; a plain function runs in a thread."""


class RootUsersOnly:
    """Asks at each request, so whoever is no root user any more is out at once."""

    def __init__(
        self, app: ASGIApp, *, is_root_user: IsRootUser, reader: Reader, client: Callable[[], AuditClient]
    ) -> None:
        self._app = app
        self._reader = reader
        self._is_root_user = is_root_user
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if not await self._may_enter(request):
            answer = refusal(request, 403, "The audit log is for root users. Ask one of them for what you need.")
            await answer(scope, receive, send)
            return
        let_in(scope, Visit(await run_in_threadpool(self._client)))
        with await self._reader.of(request):
            await self._app(scope, receive, send)

    async def _may_enter(self, request: Request) -> bool:
        if inspect.iscoroutinefunction(self._is_root_user):
            answer = await self._is_root_user(request)
        else:
            answer = await run_in_threadpool(self._is_root_user, request)
            if inspect.isawaitable(answer):
                answer = await answer
        if not isinstance(answer, bool):
            raise TypeError(f"is_root_user must answer True or False, not {type(answer).__name__}: nobody was let in")
        return answer

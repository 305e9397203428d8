"""The gate of a mounted tab: root users of the host come in, where the host says so its administrators of organizations
come in to the entries of theirs, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..search import AuditClient
from .host import IsRootUser, OrganizationsOf, told
from .reader import Reader
from .rendering import refusal
from .visit import Visit, let_in

__all__ = ["HostGate"]

Organizations = tuple[str, ...] | None
"""Those whose entries may be seen; `None` for all entries."""


class HostGate:
    """Asks at each request, so whoever has no right any more is out at once."""

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
        let_in(scope, Visit(client, organizations=organizations or ()))
        with await self._reader.of(request):
            await self._app(scope, receive, send)

    async def _is_root(self, request: Request) -> bool:
        answer = await told(self._is_root_user, request)
        if not isinstance(answer, bool):
            raise TypeError(f"is_root_user must answer True or False, not {type(answer).__name__}: nobody was let in")
        return answer

    async def _organizations(self, request: Request) -> tuple[str, ...]:
        if self._organizations_of is None:
            return ()
        answer = await told(self._organizations_of, request)
        if isinstance(answer, str | bytes) or not isinstance(answer, Collection):
            raise TypeError(
                f"organizations_of must answer a list of IDs, not {type(answer).__name__}: nobody was let in"
            )
        if not all(isinstance(each, str) and each for each in answer):
            raise TypeError("organizations_of must answer a list of IDs, each a string: nobody was let in")
        return tuple(sorted(set(answer)))

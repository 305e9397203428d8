"""The host: what the application around the tab is asked about a request; plain or async functions of its own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

__all__ = ["IsRootUser", "OrganizationsOf", "UserOf", "told"]

IsRootUser = Callable[[Request], "bool | Awaitable[bool]"]
"""Whether the user of a request is a root user."""

OrganizationsOf = Callable[[Request], "Collection[str] | Awaitable[Collection[str]]"]
"""IDs of the organizations that the user of a request administers; none for anybody else."""

UserOf = Callable[[Request], "str | Awaitable[str]"]
"""The ID of the user of a request."""


async def told(function: Callable[[Request], Any], request: Request) -> Any:
    """What the function says of the request. A plain one runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(request)
    answer = await run_in_threadpool(function, request)
    return await answer if inspect.isawaitable(answer) else answer

"""The reader: who asks, from where, for the record of reads (`whodid.recording.own`)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from starlette.requests import Request

from ..recording.client_ip import Proxies, client_ip
from ..recording.context import context, current_fields, operator
from ..settings import Settings
from .host import UserOf, told

__all__ = ["Reader"]

NOBODY = "anonymous"


class Reader:
    """Puts who asks into the context. The address is the client's, behind proxies that the settings trust."""

    def __init__(self, settings: Settings, user_of: UserOf | None = None) -> None:
        self._proxies = Proxies.of(settings.trusted_proxies, settings.forwarded_header)
        self._user_of = user_of

    def address(self, request: Request) -> str:
        """The client's address; empty where it is not known."""
        peer = request.client.host if request.client else None
        forwarded = ",".join(request.headers.getlist(self._proxies.header))
        return client_ip(peer, forwarded, self._proxies) or ""

    async def of(self, request: Request) -> AbstractContextManager[None]:
        """For the user that the host names, or whoever its own middleware has put into the context."""
        if self._user_of is None:
            return self.named(request, str(current_fields().get("principal", NOBODY)))
        return self.named(request, str(await told(self._user_of, request)))

    def named(self, request: Request, user: str) -> AbstractContextManager[None]:
        """For a user of that name."""
        from_where: dict[str, Any] = {
            "client_ip": self.address(request) or None,
            "user_agent": request.headers.get("user-agent"),
        }
        return context(principal=user or NOBODY, **{name: value for name, value in from_where.items() if value})

    def operator(self, request: Request) -> AbstractContextManager[None]:
        """For the user of the operating system who runs this, where nobody signs in."""
        return self.named(request, operator())

"""Django, Django REST framework included: middleware that binds who and from where, and entries that wait for a commit.

    MIDDLEWARE = ["whodid.integrations.django.AuditMiddleware", …]        # after AuthenticationMiddleware or before
    WHODID_PRINCIPAL = "shop.audit.who"                                   # optional: request → user ID or entry fields

It works under WSGI and ASGI, for plain and `async` views. Who acts is asked at the moment of an audit call; without
`WHODID_PRINCIPAL` it is the primary key of `request.user`, so what REST framework finds out in its view counts as well.

    with transaction.atomic():
        order.pay()
        audit_on_commit("order_paid", target=order.pk)                    # rolled back: no entry
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from ..context import enter_scope, in_context
from ..context import scope as open_scope
from .prepared import PreparedCall
from .request import RequestFields

__all__ = ["AuditMiddleware", "audit_on_commit"]

Principal = Callable[[Any], "Mapping[str, object] | str | None"]
"""From the request: a user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""


class AuditMiddleware:
    """Binds a request's context; who records in a streamed body of a plain view is still within it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._fields = RequestFields()
        self._principal = _principal()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._answer(request)
        context = copy_context()
        response = context.run(self._enter, request)
        if response.streaming:
            response.streaming_content = in_context(context, response.streaming_content)
        return response

    def _enter(self, request: Any) -> Any:
        enter_scope(*self._bound(request))
        return self._get_response(request)

    async def _answer(self, request: Any) -> Any:
        with open_scope(*self._bound(request)):
            answer: Awaitable[Any] = self._get_response(request)
            return await answer

    def _bound(self, request: Any) -> tuple[dict[str, object], Callable[[], Mapping[str, object] | str | None]]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._fields(headers, request.META.get("REMOTE_ADDR") or None), lambda: self._principal(request)


def audit_on_commit(event_type: str, /, *, using: str | None = None, **fields: object) -> None:
    """Records an audit entry once the transaction of `using` (the default database) is committed; at once outside one.

    Who and from where are those of this call. A rollback, of a savepoint too, drops the entry. Raises `InvalidEntry`
    here; what goes wrong in recording is raised by the commit, which has happened then (docs/integrations.md).
    """
    transaction.on_commit(PreparedCall(event_type, fields).record, using=using)


def _principal() -> Principal:
    named = getattr(settings, "WHODID_PRINCIPAL", None)
    if named is None:
        return _user
    found: Principal = import_string(named) if isinstance(named, str) else named
    return found


def _user(request: Any) -> str | None:
    """The signed-in user's primary key. Reading it may ask the database, so async views set `WHODID_PRINCIPAL`."""
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None

"""Django integration: middleware that sets the principal and the client, and entries that wait for a commit.

    MIDDLEWARE = ["whodid.integrations.django.AuditMiddleware", …]        # after AuthenticationMiddleware or before
    WHODID_PRINCIPAL = "shop.audit.who"                                   # optional: request → user ID or entry fields

It works under WSGI and ASGI, for plain and `async` views. The principal is determined at each audit call; without
`WHODID_PRINCIPAL` it is the primary key of `request.user`, so authentication in a view of REST framework works too.

    with transaction.atomic():
        order.pay()
        audit_on_commit("order_paid", target=order.pk)                    # rolled back: no entry
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from ..recording.context import Scope, Steps, Within, scope, within
from .request import PreparedCall, RequestFields, with_route

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import CallFields

__all__ = ["AuditMiddleware", "audit_on_commit"]

Principal = Callable[[Any], "Mapping[str, object] | str | None"]
"""Request → a user ID, entry fields (`principal`, `organization_id`, …), or `None` if unknown."""


class AuditMiddleware:
    """Opens a context for each request, which lasts until a streamed body is sent."""

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
        with scope(*self._bound(request)) as opened:
            response = self._get_response(request)
        return _within(opened, response)

    async def _answer(self, request: Any) -> Any:
        with scope(*self._bound(request)) as opened:
            response = await self._get_response(request)
        return _within(opened, response)

    def _bound(self, request: Any) -> tuple[dict[str, object], Callable[[], Mapping[str, object] | str | None]]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        fields = self._fields(headers, request.META.get("REMOTE_ADDR") or None, request.method)
        return fields, with_route(lambda: self._principal(request), lambda: _route(request))


def audit_on_commit(event_type: str, /, *, using: str | None = None, **fields: Unpack[CallFields]) -> None:
    """Records an audit entry once the transaction is committed; immediately if there is none.

    The context is that of this call. A rollback drops the entry, also the rollback of a savepoint. If recording fails,
    the commit raises the error, but the transaction is committed (`whodid help integrations`).

    Args:
        event_type: A type of the catalog.
        using: The database of the transaction; default: the default database.
        **fields: Fields of the entry, as for `audit`.

    Raises:
        InvalidEntry: The catalog has no such type, or the entry breaks its rules.

    Example:
        >>> with transaction.atomic():
        ...     order.pay()
        ...     audit_on_commit("order_paid", target=order.pk)
    """
    transaction.on_commit(PreparedCall(event_type, fields).record, using=using)


def _within(opened: Scope, response: Any) -> Any:
    """The response; a streamed body is iterated inside the request's scope, unless the server sends a file."""
    if not response.streaming or getattr(response, "file_to_stream", None) is not None:
        return response
    body, close = response.streaming_content, response.close
    response.streaming_content = within(opened, body) if response.is_async else Within(opened, body)

    def close_within() -> None:
        with Steps(opened):
            close()

    response.close = close_within
    return response


def _route(request: Any) -> str | None:
    """The pattern of the path, once Django has chosen the view."""
    match = getattr(request, "resolver_match", None)
    return None if match is None else f"/{match.route}"


def _principal() -> Principal:
    named = getattr(settings, "WHODID_PRINCIPAL", None)
    if named is None:
        return _user
    found: Principal = import_string(named) if isinstance(named, str) else named
    return found


def _user(request: Any) -> str | None:
    """The signed-in user's primary key. This may query the database, so async views set `WHODID_PRINCIPAL`."""
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None

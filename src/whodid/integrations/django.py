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

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from ..recording.context import Scope, Steps, Within, scope, within
from .request import PreparedCall, RequestFields

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import EntryFields

__all__ = ["AuditMiddleware", "audit_on_commit"]

Principal = Callable[[Any], "Mapping[str, object] | str | None"]
"""From the request: a user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""


class AuditMiddleware:
    """Binds a request's context; who records in a streamed body is still within it."""

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
        return self._fields(headers, request.META.get("REMOTE_ADDR") or None), lambda: self._principal(request)


def audit_on_commit(event_type: str, /, *, using: str | None = None, **fields: Unpack[EntryFields]) -> None:
    """Records an audit entry once a transaction is committed; at once outside of one.

    Who and from where are those of this call. A rollback, of a savepoint too, drops the entry. What goes wrong in
    recording is raised by the commit, which has happened then (`whodid help integrations`).

    Args:
        event_type: A type of the catalog.
        using: The database whose transaction it is; by default the default one.
        **fields: Fields of the entry, as for `audit`.

    Raises:
        InvalidEntry: The catalog has no such type, or the entry would break its rules.

    Example:
        >>> with transaction.atomic():
        ...     order.pay()
        ...     audit_on_commit("order_paid", target=order.pk)
    """
    transaction.on_commit(PreparedCall(event_type, fields).record, using=using)


def _within(opened: Scope, response: Any) -> Any:
    """The response, a streamed one made within the request's scope to its end. A file is the server's to send."""
    if not response.streaming or getattr(response, "file_to_stream", None) is not None:
        return response
    body, close = response.streaming_content, response.close
    response.streaming_content = within(opened, body) if response.is_async else Within(opened, body)

    def close_within() -> None:
        with Steps(opened):
            close()

    response.close = close_within
    return response


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

"""SQLAlchemy integration: entries that wait for the commit of their session, so that a rollback leaves none.

    with Session(engine) as session, session.begin():
        order.pay()
        audit_on_commit(session, "order_paid", target=order.id)

An entry belongs to the innermost savepoint at its call. If the savepoint is released, the entry passes to the one
around it; if it is rolled back, the entry is dropped. Entries are recorded in the order of the calls, after the
session's outermost transaction was committed. The session is then idle, so an error from recording leaves it usable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from ..errors import WhodidError
from .request import PreparedCall

if TYPE_CHECKING:
    from typing import Unpack

    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session  # fails where greenlet is not installed

    from ..typing import CallFields

    AnySession = Session | AsyncSession | scoped_session[Any] | async_scoped_session[Any]

__all__ = ["audit_on_commit"]

_INFO = "whodid"
"""The key of the waiting calls in the `info` of a session."""


def audit_on_commit(session: AnySession, event_type: str, /, **fields: Unpack[CallFields]) -> None:
    """Records an audit entry once the transaction of a session is committed.

    The context is that of this call. A rollback drops the entry, also the rollback of a savepoint. If recording fails,
    the commit raises the error, but the transaction is committed (`whodid help integrations`).

    Args:
        session: A session, which may be asynchronous or scoped; a transaction is started if it has none.
        event_type: A type of the catalog.
        **fields: Fields of the entry, as for `audit`.

    Raises:
        InvalidEntry: The catalog has no such type, or the entry breaks its rules.

    Example:
        >>> with Session(engine) as session, session.begin():
        ...     order.pay()
        ...     audit_on_commit(session, "order_paid", target=order.id)
    """
    call = PreparedCall(event_type, fields)
    plain = _plain(session)
    if not plain.in_transaction():
        plain.begin()  # else a rollback before the first statement would go unnoticed
    waiting: _Waiting = plain.info.get(_INFO) or _Waiting(plain)
    waiting.add(plain.get_nested_transaction(), call)


class _Waiting:
    """The calls of one session that wait for its commit, each with its savepoint or `None`."""

    def __init__(self, session: Session) -> None:
        self._calls: list[tuple[SessionTransaction | None, PreparedCall]] = []
        self._committed = False
        session.info[_INFO] = self
        event.listen(session, "after_commit", self._after_commit)
        event.listen(session, "after_transaction_end", self._after_end)

    def add(self, savepoint: SessionTransaction | None, call: PreparedCall) -> None:
        self._calls.append((savepoint, call))

    def _after_commit(self, session: Session) -> None:
        """Handles the release of the innermost savepoint, or the commit of the transaction if there is none."""
        released = session.get_nested_transaction()
        if released is None:
            self._committed = True
        else:
            around = _savepoint_around(released)
            self._calls = [(around if where is released else where, call) for where, call in self._calls]

    def _after_end(self, _session: Session, ended: SessionTransaction) -> None:
        """Handles the end of a transaction or savepoint by a commit, a rollback or a close of the session."""
        if ended.nested:
            self._calls = [(where, call) for where, call in self._calls if where is not ended]
        elif ended.parent is None:
            calls, self._calls = self._calls, []
            committed, self._committed = self._committed, False
            if committed:
                _record([call for _, call in calls])


def _record(calls: list[PreparedCall]) -> None:
    """Records all calls, then raises the first error, if any."""
    errors = []
    for call in calls:
        try:
            call.record()
        except WhodidError as error:
            errors.append(error)
    if errors:
        errors[0].add_note(f"the transaction is committed; {len(errors)} of its {len(calls)} audit entries are missing")
        raise errors[0]


def _savepoint_around(savepoint: SessionTransaction) -> SessionTransaction | None:
    around = savepoint.parent
    while around is not None and not around.nested:
        around = around.parent
    return around


def _plain(session: AnySession) -> Session:
    """The synchronous session behind an asynchronous or scoped session."""
    scoped = not isinstance(session, Session) and not hasattr(session, "sync_session")
    own: Any = session() if scoped else session  # type: ignore[operator] # only scoped sessions are called
    plain: Session = getattr(own, "sync_session", own)
    return plain

"""An action with an entry before it (the intent) and an entry after it (the outcome), joined by an operation ID.

    with log.auditing("workflow_deleted", target="2uJ4") as operation:
        delete(…)

The intent is recorded before the action starts, so an action that can't be audited does not happen. The outcome is
`success`, or `failure` with the class of the exception. An intent without an outcome is an action that was interrupted.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ..entry import Receipt
from ..errors import InvalidEntry
from ..process import pass_on, warn
from .executor import hand_over, off_loop, outcome

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import OperationFields

__all__ = ["Operation", "aauditing", "auditing"]

Record = Callable[[str, Mapping[str, object]], Receipt]
"""How a logger records: event type and fields → receipt."""

_OURS = ("operation", "phase", "outcome")


class Operation:
    """A running action, yielded by `auditing` and `aauditing`.

    Example:
        >>> with log.auditing("workflow_deleted", target="2uJ4") as operation:
        ...     rows = delete("2uJ4")
        ...     operation.add(details={"rows": rows})
    """

    id: str
    """The `operation` field of both entries."""

    def __init__(self, record: Record, event_type: str, fields: Mapping[str, object]) -> None:
        _refuse_ours(fields)
        self.id = uuid.uuid4().hex
        self._record = record
        self._event_type = event_type
        self._fields = dict(fields)

    def add(self, **fields: Unpack[OperationFields]) -> None:
        """Adds fields to the outcome that are known only during or after the action.

        Args:
            **fields: Fields of the entry, as for `audit`; `details` are merged with those that were given before.

        Raises:
            InvalidEntry: `operation`, `phase` or `outcome` was given.

        Example:
            >>> operation.add(status="SUCCEEDED", details={"rows": 4})
        """
        _refuse_ours(fields)
        details = {**_details(self._fields), **_details(fields)}
        self._fields |= {**fields, **({"details": details} if details else {})}

    def begin(self) -> Receipt:
        """Records the intent."""
        return self._entry(phase="intent")

    def succeed(self) -> Receipt:
        """Records the outcome `success`."""
        return self._entry(phase="outcome", outcome="success")

    def fail(self, error: BaseException) -> None:
        """Records the outcome `failure`. Never raises, so that the exception of the action is not replaced."""
        try:
            self.add(details={"error": type(error).__name__})
            self._entry(phase="outcome", outcome="failure")
        except Exception as missing:  # noqa: BLE001 (a resolver of the application may raise anything)
            pass_on(missing)
            error.add_note(f"the outcome of {self._event_type} {self.id} was not recorded: {missing}")
            warn(error.__notes__[-1], stacklevel=4)

    def _entry(self, **phase: object) -> Receipt:
        return self._record(self._event_type, {**self._fields, "operation": self.id, **phase})


def _refuse_ours(fields: Mapping[str, object]) -> None:
    if "once" in fields:
        raise InvalidEntry("once: an action with an outcome can't be skipped; leave it out, or use audit(…, once=…)")
    if given := [name for name in _OURS if name in fields]:
        raise InvalidEntry(f"{', '.join(given)}: set by auditing() itself; leave it out")


@contextmanager
def auditing(record: Record, event_type: str, fields: Mapping[str, object]) -> Iterator[Operation]:
    """Records the intent, runs the block, and records the outcome. Raises what `record` and the block raise."""
    operation = Operation(record, event_type, fields)
    operation.begin()
    try:
        yield operation
    except BaseException as error:
        operation.fail(error)
        raise
    operation.succeed()


@asynccontextmanager
async def aauditing(record: Record, event_type: str, fields: Mapping[str, object]) -> AsyncIterator[Operation]:
    """As `auditing`, but records both entries off the event loop, even if the task is cancelled meanwhile."""
    operation = Operation(record, event_type, fields)
    intent = hand_over(operation.begin)
    try:
        await outcome(intent)
    except (asyncio.CancelledError, GeneratorExit) as error:  # the intent is recorded, but the action does not start
        hand_over(partial(_end_after, intent, operation, error))
        raise
    try:
        yield operation
    except BaseException as error:
        failure = hand_over(partial(operation.fail, error))
        if isinstance(error, GeneratorExit):  # a coroutine that is being closed can't await
            failure.exception()
        else:
            await outcome(failure)
        raise
    await off_loop(operation.succeed)


def _end_after(intent: Future[Receipt], operation: Operation, error: BaseException) -> None:
    if intent.exception() is None:  # waits for the intent, which was submitted first
        operation.fail(error)


def _details(fields: Mapping[str, object]) -> dict[str, object]:
    details = fields.get("details")
    return dict(details) if isinstance(details, Mapping) else {}

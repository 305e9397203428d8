"""The operation: an action with an entry before it (the intent) and one after it (the outcome), joined by one ID.

    with log.auditing("workflow_deleted", target="2uJ4") as operation:
        delete(…)

The intent is recorded before the action begins, so an action that can't be audited does not happen; the outcome says
`success`, or `failure` with the exception's class. An intent without an outcome is an action that was cut off.
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
    """One action under way: what `auditing` and `aauditing` yield.

    Example:
        >>> with log.auditing("workflow_deleted", target="2uJ4") as operation:
        ...     rows = delete("2uJ4")
        ...     operation.add(details={"rows": rows})
    """

    id: str
    """The `operation` of both entries, the intent and the outcome."""

    def __init__(self, record: Record, event_type: str, fields: Mapping[str, object]) -> None:
        _refuse_ours(fields)
        self.id = uuid.uuid4().hex
        self._record = record
        self._event_type = event_type
        self._fields = dict(fields)

    def add(self, **fields: Unpack[OperationFields]) -> None:
        """Adds fields to the outcome: what is known only once the action is under way.

        Args:
            **fields: Fields of the entry, as for `audit`; `details` are merged with those given before.

        Raises:
            InvalidEntry: `operation`, `phase` or `outcome` was given.

        Example:
            >>> operation.add(status="SUCCEEDED", details={"rows": 4})
        """
        _refuse_ours(fields)
        details = {**_details(self._fields), **_details(fields)}
        self._fields |= {**fields, **({"details": details} if details else {})}

    def begin(self) -> Receipt:
        return self._entry(phase="intent")

    def succeed(self) -> Receipt:
        return self._entry(phase="outcome", outcome="success")

    def fail(self, error: BaseException) -> Receipt:
        self.add(details={"error": type(error).__name__})
        return self._entry(phase="outcome", outcome="failure")

    def fail_quietly(self, error: BaseException) -> None:
        """As `fail`; the action's own exception matters more than that its entry is missing."""
        try:
            self.fail(error)
        except Exception as missing:  # noqa: BLE001 (a resolver of the application may raise anything)
            pass_on(missing)
            error.add_note(f"the outcome of {self._event_type} {self.id} is not recorded: {missing}")
            warn(error.__notes__[-1], stacklevel=4)

    def _entry(self, **phase: object) -> Receipt:
        return self._record(self._event_type, {**self._fields, "operation": self.id, **phase})


def _refuse_ours(fields: Mapping[str, object]) -> None:
    if given := [name for name in _OURS if name in fields]:
        raise InvalidEntry(f"{', '.join(given)}: filled by auditing() itself; leave it out")


@contextmanager
def auditing(record: Record, event_type: str, fields: Mapping[str, object]) -> Iterator[Operation]:
    """Records the intent, runs the block, records the outcome. Raises what `record` raises, and what the block does."""
    operation = Operation(record, event_type, fields)
    operation.begin()
    try:
        yield operation
    except BaseException as error:
        operation.fail_quietly(error)
        raise
    operation.succeed()


@asynccontextmanager
async def aauditing(record: Record, event_type: str, fields: Mapping[str, object]) -> AsyncIterator[Operation]:
    """As `auditing`, with both entries recorded off the event loop, whatever is cancelled meanwhile."""
    operation = Operation(record, event_type, fields)
    intent = hand_over(operation.begin)
    try:
        await outcome(intent)
    except (asyncio.CancelledError, GeneratorExit) as error:  # before the action: the intent is recorded all the same
        hand_over(partial(_end_after, intent, operation, error))
        raise
    try:
        yield operation
    except BaseException as error:
        failure = hand_over(partial(operation.fail_quietly, error))
        if isinstance(error, GeneratorExit):  # the coroutine is being closed, and can't await
            failure.exception()
        else:
            await outcome(failure)
        raise
    await off_loop(operation.succeed)


def _end_after(intent: Future[Receipt], operation: Operation, error: BaseException) -> None:
    if intent.exception() is None:  # which waits: the intent was handed over first, so a thread has it
        operation.fail_quietly(error)


def _details(fields: Mapping[str, object]) -> dict[str, object]:
    details = fields.get("details")
    return dict(details) if isinstance(details, Mapping) else {}

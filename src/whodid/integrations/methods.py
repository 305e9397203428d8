"""The four methods of every logger that records: `audit`, `aaudit`, `auditing`, `aauditing`.

An integration provides one function that records for its loggers: logger, event type and fields → receipt. A class of
whodid derives from `AuditMethods` and defines it as `_whodid_audit`; `equip` adds it and the methods to other classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..entry import Receipt
from ..process import warn
from ..recording.executor import off_loop, to_be_awaited
from ..recording.operation import Operation, aauditing, auditing

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import CallFields, OperationFields

__all__ = ["AuditMethods", "equip"]


class AuditMethods:
    """The four methods, for a class that defines `_whodid_audit`."""

    def _whodid_audit(self, event_type: str, fields: Mapping[str, object], /) -> Receipt:
        raise NotImplementedError

    def audit(self, event_type: str, /, **fields: Unpack[CallFields]) -> Receipt:
        """Records an audit entry.

        Arguments take precedence over keys bound to the logger, and these over `whodid.context`. `None` counts as not
        given.

        Args:
            event_type: A type of the catalog (`whodid events list`).
            **fields: Fields of the entry, such as `target`, `status` and `details`; see `whodid.typing.CallFields`.
                A call that repeats the key `once` of another within a day records nothing.

        Returns:
            The receipt, once the entry is as durable as the setting `durability` requires.

        Raises:
            InvalidEntry: The catalog has no such type, or the entry breaks its rules; nothing was recorded.
            NotRecorded: The journal could not make the entry durable.
            JournalDamaged: The journal directory can't be used as it is.

        Example:
            >>> receipt = log.audit("credentials_created", target="6Yk2", status="aws")
            >>> receipt.entry_id
            '4f5cbd6ba8ff60f8-000000000001-b1946ac92492d234'
        """
        return self._whodid_audit(event_type, fields)

    @to_be_awaited
    def aaudit(self, event_type: str, /, **fields: Unpack[CallFields]) -> Coroutine[Any, Any, Receipt]:
        """Records an audit entry off the event loop: `audit` for async code.

        The call records the entry, whether its result is awaited or not.

        Args:
            event_type: As for `audit`.
            **fields: As for `audit`.

        Returns:
            A coroutine that returns the receipt.

        Raises:
            InvalidEntry: As for `audit`, but raised when the result is awaited, like the others.
            NotRecorded: As for `audit`.
            JournalDamaged: As for `audit`.

        Example:
            >>> receipt = await log.aaudit("credentials_created", target="6Yk2", status="aws")
        """
        return off_loop(partial(self._whodid_audit, event_type, fields))

    def auditing(self, event_type: str, /, **fields: Unpack[OperationFields]) -> AbstractContextManager[Operation]:
        """Records the intent before a block and its outcome after it.

        An action whose intent can't be recorded does not happen. The outcome is `success`, or `failure` with the class
        of the exception that ended the block.

        Args:
            event_type: As for `audit`.
            **fields: Fields of both entries, as for `audit`, without `operation`, `phase` and `outcome`.

        Returns:
            A context manager that yields the operation, to which the block may `add` fields of the outcome.

        Raises:
            InvalidEntry: As for `audit`, but raised on entering the block, like the others.
            NotRecorded: As for `audit`; if raised after the block, the action has happened without a recorded outcome.
            JournalDamaged: As for `audit`.

        Example:
            >>> with log.auditing("workflow_deleted", target="2uJ4") as operation:
            ...     rows = delete("2uJ4")
            ...     operation.add(details={"rows": rows})
        """
        return auditing(self._whodid_audit, event_type, fields)

    def aauditing(
        self, event_type: str, /, **fields: Unpack[OperationFields]
    ) -> AbstractAsyncContextManager[Operation]:
        """Records the intent before an `async with` block and its outcome after it, both off the event loop.

        Args:
            event_type: As for `auditing`.
            **fields: As for `auditing`.

        Returns:
            An asynchronous context manager that yields the operation.

        Raises:
            InvalidEntry: As for `auditing`.
            NotRecorded: As for `auditing`.
            JournalDamaged: As for `auditing`.

        Example:
            >>> async with log.aauditing("workflow_deleted", target="2uJ4"):
            ...     await delete("2uJ4")
        """
        return aauditing(self._whodid_audit, event_type, fields)


_METHODS: Mapping[str, Callable[..., Any]] = {
    name: getattr(AuditMethods, name) for name in ("audit", "aaudit", "auditing", "aauditing")
}


def equip(
    classes: Iterable[type], record: Callable[[Any, str, Mapping[str, object]], Receipt], seen: Iterable[Any] = ()
) -> None:
    """Adds the four methods to the classes; `record` is the function that they call.

    A method of the application with one of these names, there or on the classes in `seen`, is kept, with a warning. A
    wrapper around a method of whodid (`functools.wraps`) is kept without a warning.
    """
    taken = set()
    for cls in classes:
        cls._whodid_audit = record  # type: ignore[attr-defined]
    for cls in (*classes, *seen):
        for name, method in _METHODS.items():
            found = getattr(cls, name, None)
            if found is not None and not _is_ours(inspect.unwrap(found)):
                taken.add(f"{cls.__qualname__}.{name}")
            elif cls in classes and (found is None or _is_ours(found)):
                setattr(cls, name, method)
    if taken:
        warn(
            f"{', '.join(sorted(taken))}: defined by the application, so whodid does not replace it, and it records "
            "no entry. Rename it, or record with whodid.get_logger().audit(…)",
            RuntimeWarning,
            stacklevel=4,
        )


def _is_ours(method: Any) -> bool:
    return str(getattr(method, "__module__", "")).startswith("whodid.") and not hasattr(method, "__wrapped__")

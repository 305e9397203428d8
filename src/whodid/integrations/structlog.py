"""structlog: `log.audit(…)` and `await log.aaudit(…)` on any bound logger, and the processor that records.

`audited(YourWrapper)` is your wrapper class with the two methods. `AuditProcessor`, put first in `processors`, records
inside the chain, so that later processors see the `entry_id`; without it the call records before the chain runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from ..call import AuditCall
from ..operation import Operation, aauditing, auditing
from ..receipt import Receipt
from ..runtime import recorder

__all__ = ["AuditProcessor", "audited", "install"]

_CALL = "_whodid_call"

W = TypeVar("W")


class AuditProcessor:
    """The structlog processor: records the audit call that an event dict carries, and leaves all others alone."""

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        call = event_dict.pop(_CALL, None)
        if isinstance(call, AuditCall):
            call.record()
            event_dict.update(call.echo())
        return event_dict


class _Audited:
    """The two methods, mixed into a bound logger."""

    if TYPE_CHECKING:
        _context: dict[str, Any]
        _processors: list[Any]
        info: Any

    def audit(self, event_type: str, /, **fields: object) -> Receipt:
        """Records an audit entry; returns its receipt once it is durable. See `whodid.Recorder.record`."""
        current = recorder()
        if not current.settings.echo:
            return current.record(event_type, fields, self._context)[0]
        call = AuditCall(current, event_type, fields, self._context)
        records = any(isinstance(processor, AuditProcessor) for processor in self._processors)

        def chain() -> None:
            carried = {_CALL: call} if records else {}
            self.info(event_type, **call.echo(), **carried)

        return call.through(chain, records=records, chain_name="the structlog chain")

    async def aaudit(self, event_type: str, /, **fields: object) -> Receipt:
        """As `audit`, off the event loop: the form for async code."""
        return await asyncio.to_thread(self.audit, event_type, **fields)

    def auditing(self, event_type: str, /, **fields: object) -> AbstractContextManager[Operation]:
        """Records the intent before the block and its outcome after it."""
        return auditing(self.audit, event_type, fields)

    def aauditing(self, event_type: str, /, **fields: object) -> AbstractAsyncContextManager[Operation]:
        """As `auditing`, for `async with`."""
        return aauditing(self.audit, event_type, fields)


def audited(wrapper: type[W]) -> type[W]:
    """`wrapper`, a structlog wrapper class, with `audit` and `aaudit`.

    Use it as `structlog.configure(wrapper_class=whodid.audited(structlog.stdlib.BoundLogger))`.
    """
    if issubclass(wrapper, _Audited):
        return wrapper
    return type(f"Audited{wrapper.__name__}", (_Audited, wrapper), {})


def install() -> None:
    """Gives structlog's defaults the methods; does nothing when the application has configured structlog itself."""
    if not structlog.is_configured():
        config = structlog.get_config()
        structlog.configure(
            wrapper_class=audited(config["wrapper_class"]), processors=[AuditProcessor(), *config["processors"]]
        )

"""structlog: `log.audit(…)` and `await log.aaudit(…)` on any bound logger, and the processor that records.

`configure()` gives the methods to structlog's own bound loggers, those made or cached earlier included, and changes
nothing of an application's configuration. `audited(YourWrapper)` is a wrapper class with the methods, for one that does
not derive from structlog's, and for type checkers. `AuditProcessor` records inside the chain, at the place that one
chooses; without it the call records before the chain runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from ..call import AuditCall
from ..executor import off_loop, to_be_awaited
from ..operation import Operation, aauditing, auditing
from ..receipt import Receipt
from ..runtime import recorder
from .stdlib import equip

__all__ = ["AuditProcessor", "audited", "install"]

_CALL = "_whodid_call"

W = TypeVar("W")


class AuditProcessor:
    """The structlog processor: records the audit call that an event dict carries, and leaves all others alone."""

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        call = event_dict.pop(_CALL, None)
        if isinstance(call, AuditCall):
            event_dict["entry_id"] = call.record().entry_id
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
            self.info(call.event, **call.echo(), **carried)

        return call.through(chain, records=records, chain_name="the structlog chain")

    @to_be_awaited
    def aaudit(self, event_type: str, /, **fields: object) -> Coroutine[Any, Any, Receipt]:
        """As `audit`, off the event loop: the form for async code. Once called, it is recorded, awaited or not."""
        return off_loop(partial(self.audit, event_type, **fields))

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
    """Gives every bound logger of structlog the methods, those made or cached earlier included."""
    configured = structlog.get_config()["wrapper_class"]
    equip([structlog.BoundLoggerBase], {name: getattr(_Audited, name) for name in _METHODS}, seen=[configured])
    equip([structlog.stdlib.AsyncBoundLogger], {name: _of_the_logger_within(name) for name in _METHODS})


_METHODS = ("audit", "aaudit", "auditing", "aauditing")


def _of_the_logger_within(name: str) -> Callable[..., Any]:
    """The method of the logger that structlog's (deprecated) asynchronous one wraps: `audit` needs no `await` there."""

    def method(self: Any, event_type: str, /, **fields: object) -> Any:
        return getattr(self.sync_bl, name)(event_type, **fields)

    return method

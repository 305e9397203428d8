"""Standard library logging: `logging.getLogger(…).audit(…)`, and the handler that records.

The call travels as the message of an ordinary log record, so any formatter prints it as type, target and entry ID.

`configure()` adds `audit` to `logging.Logger` itself, so that loggers made earlier have it. `AuditHandler` may stand in
any `dictConfig`; without one the call records before the ordinary handlers see its line.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any

from ..call import AuditCall
from ..executor import off_loop, to_be_awaited
from ..operation import Operation, aauditing, auditing
from ..receipt import Receipt
from ..runtime import recorder

__all__ = ["AuditHandler", "AuditLogger", "audit", "get_logger", "install"]

_LEVEL = logging.INFO
_FRAMES = 7
"""From `_record` up to whoever called `audit`: the place in the code that the ordinary log line names."""


class _NoLock:
    """Has what `logging` and its handlers ask of a lock. The journal has a lock of its own."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass

    def _at_fork_reinit(self) -> None:
        pass


class AuditHandler(logging.Handler):
    """Records the audit call that a log record carries, and leaves all other records alone.

    A failure reaches the caller of `audit()`: it never goes to `handleError`, which would swallow it.
    """

    def createLock(self) -> None:  # noqa: N802 (the name is logging's)
        """A lock that locks nothing: callers must be able to wait for one disk sync together.

        Not `None`: since Python 3.13 `Handler.handle` enters the lock without a look at what it is.
        """
        self.lock = _NoLock()  # type: ignore[assignment]

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, AuditCall):
            record.msg.record()


def audit(logger: logging.Logger, event_type: str, /, **fields: object) -> Receipt:
    """Records an audit entry; returns its receipt once it is durable. Installed as `logging.Logger.audit`."""
    current = recorder()
    if not current.settings.echo:
        return current.record(event_type, fields)[0]
    call = AuditCall(current, event_type, fields)

    def chain() -> None:
        if logger.isEnabledFor(_LEVEL):
            logger.handle(_record(logger, call))

    return call.through(chain, records=_has_handler(logger), chain_name=f"the logger {logger.name!r}")


def _record(logger: logging.Logger, call: AuditCall) -> logging.LogRecord:
    path, line, function, stack = logger.findCaller(stacklevel=_FRAMES)
    return logger.makeRecord(logger.name, _LEVEL, path, line, call, (), None, function, None, stack)


def _has_handler(logger: logging.Logger | None) -> bool:
    while logger is not None:
        if any(isinstance(handler, AuditHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


class AuditLogger:
    """The typed route: what `whodid.get_logger()` returns."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def audit(self, event_type: str, /, **fields: object) -> Receipt:
        """Records an audit entry; returns its receipt once it is durable."""
        return audit(self._logger, event_type, **fields)

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


def get_logger(name: str = "whodid") -> AuditLogger:
    """A logger with nothing but the methods for auditing, known to type checkers; `name` is the ordinary log line's."""
    return AuditLogger(logging.getLogger(name))


@to_be_awaited
def _aaudit_method(self: logging.Logger, event_type: str, /, **fields: object) -> Coroutine[Any, Any, Receipt]:
    return off_loop(partial(audit, self, event_type, **fields))


def _auditing_method(self: logging.Logger, event_type: str, /, **fields: object) -> AbstractContextManager[Operation]:
    return auditing(partial(audit, self), event_type, fields)


def _aauditing_method(
    self: logging.Logger, event_type: str, /, **fields: object
) -> AbstractAsyncContextManager[Operation]:
    return aauditing(partial(audit, self), event_type, fields)


def install() -> None:
    """Adds `audit`, `auditing` and their asynchronous forms to every logger, those made earlier included."""
    methods: Any = {
        "audit": audit,
        "aaudit": _aaudit_method,
        "auditing": _auditing_method,
        "aauditing": _aauditing_method,
    }
    for name, method in methods.items():
        setattr(logging.Logger, name, method)

"""Standard library logging: `logging.getLogger(…).audit(…)`, and the handler that records.

The call travels with the message of an ordinary log record: type, target and entry ID as text, whatever handles it.

`configure()` adds `audit` to `logging.Logger` itself, so that loggers made earlier have it, and to `LoggerAdapter`,
whose `extra` fills the fields of an entry that it names. `AuditHandler` may stand in any `dictConfig`; without one the
call records before the ordinary handlers see its line.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

from ..call import AuditCall, Message
from ..executor import off_loop, to_be_awaited
from ..operation import Operation, aauditing, auditing
from ..receipt import Receipt
from ..runtime import recorder
from ..warning import warn

__all__ = ["AuditHandler", "AuditLogger", "audit", "get_logger", "install"]

Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"
"""What has `audit`."""

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
        message: object = record.msg
        if isinstance(message, Message):
            message.call.record()
            record.msg = message.complete()


def audit(given: Logger, event_type: str, /, **fields: object) -> Receipt:
    """Records an audit entry; returns its receipt once it is durable. Installed as `logging.Logger.audit`.

    Of the `extra` of a `LoggerAdapter` those count that name fields of an entry.
    """
    current = recorder()
    logger, bound = _bound(given) if isinstance(given, logging.LoggerAdapter) else (given, {})
    if not current.settings.echo:
        return current.record(event_type, fields, bound)[0]
    call = AuditCall(current, event_type, fields, bound)

    def chain() -> None:
        if logger.isEnabledFor(_LEVEL):
            logger.handle(_record(given, logger, call))

    return call.through(chain, records=_has_handler(logger), chain_name=f"the logger {logger.name!r}")


def _bound(given: logging.LoggerAdapter[Any]) -> tuple[logging.Logger, Mapping[str, object]]:
    """The logger behind adapters, and what they add to each line: the outermost has the last word."""
    within = given.logger
    logger, bound = _bound(within) if isinstance(within, logging.LoggerAdapter) else (within, {})
    return logger, {**bound, **given.extra} if isinstance(given.extra, Mapping) else bound


def _record(given: Logger, logger: logging.Logger, call: AuditCall) -> logging.LogRecord:
    path, line, function, stack = logger.findCaller(stacklevel=_FRAMES)
    message, extra = _processed(given, call.message())
    if not isinstance(message, Message):
        message = Message(str(message), call)
    return logger.makeRecord(logger.name, _LEVEL, path, line, message, (), None, function, extra, stack)


def _processed(given: Logger, message: Any) -> tuple[Any, Any]:
    """The message and what goes with it, as adapters change them."""
    keywords: Any = {}
    while isinstance(given, logging.LoggerAdapter):
        message, keywords = given.process(message, keywords)
        given = given.logger
    return message, keywords.get("extra")


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
def _aaudit_method(self: Logger, event_type: str, /, **fields: object) -> Coroutine[Any, Any, Receipt]:
    return off_loop(partial(audit, self, event_type, **fields))


def _auditing_method(self: Logger, event_type: str, /, **fields: object) -> AbstractContextManager[Operation]:
    return auditing(partial(audit, self), event_type, fields)


def _aauditing_method(self: Logger, event_type: str, /, **fields: object) -> AbstractAsyncContextManager[Operation]:
    return aauditing(partial(audit, self), event_type, fields)


def install() -> None:
    """Adds `audit`, `auditing` and their asynchronous forms to every logger and adapter, earlier ones included."""
    methods = {"audit": audit, "aaudit": _aaudit_method, "auditing": _auditing_method, "aauditing": _aauditing_method}
    loggers = {type(logger) for logger in tuple(logging.root.manager.loggerDict.values())} - {logging.PlaceHolder}
    equip([logging.Logger, logging.LoggerAdapter], methods, seen=[*loggers, logging.getLoggerClass()])


def equip(classes: Iterable[type], methods: Mapping[str, Callable[..., Any]], seen: Iterable[Any] = ()) -> None:
    """Gives the classes the methods.

    What the application has by such a name, there or on the classes that are only `seen`, is left alone: a warning says
    so. A wrapper around one of ours (`functools.wraps`) is what somebody meant to have.
    """
    taken = set()
    for cls in (*classes, *seen):
        for name, method in methods.items():
            found = getattr(cls, name, None)
            if found is not None and not _is_ours(inspect.unwrap(found)):
                taken.add(f"{cls.__qualname__}.{name}")
            elif cls in classes and (found is None or _is_ours(found)):
                setattr(cls, name, method)
    if taken:
        warn(
            f"{', '.join(sorted(taken))}: the application's own; whodid leaves it alone, and it records no entry. "
            "Rename it, or record with whodid.get_logger().audit(…)",
            RuntimeWarning,
            stacklevel=4,
        )


def _is_ours(method: Any) -> bool:
    return str(getattr(method, "__module__", "")).startswith("whodid.") and not hasattr(method, "__wrapped__")

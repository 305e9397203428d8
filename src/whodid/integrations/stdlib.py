"""Standard library logging: `logging.getLogger(…).audit(…)`, and the handler that records.

The call travels with the message of an ordinary log record: type, target and entry ID as text, whatever handles it.

`configure()` adds `audit` to `logging.Logger` itself, so that loggers made earlier have it, and to `LoggerAdapter`,
whose `extra` fills the fields of an entry that it names. `AuditHandler` may stand in any `dictConfig`; without one the
call records before the ordinary handlers see its line.

The JSON formatter: whole entries as JSON lines on a stream, a python-json-logger formatter for everything else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, TypeAlias

from pythonjsonlogger.orjson import OrjsonFormatter

from ..entry import Receipt
from ..recording.call import AuditCall, Message
from ..recording.runtime import recorder
from .methods import AuditMethods, equip

__all__ = ["AuditHandler", "AuditJsonFormatter", "AuditLogger", "get_logger", "install", "record"]

Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"
"""What has `audit`."""

_LEVEL = logging.INFO


class _NoLock:
    """Provides the methods that `logging` and its handlers expect of a lock. The journal has its own lock."""

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
    """A `logging` handler that records the audit call that a log record carries, and leaves all other records alone.

    It chooses the place at which an entry is recorded among the handlers of a logger; without one, the entry is
    recorded before them. A failure reaches the caller of `audit()`: it never goes to `handleError`, which would swallow
    it.

    Args:
        level: As for each `logging.Handler`; audit calls have the level `INFO`.

    Example:
        >>> logging.getLogger().addHandler(whodid.AuditHandler())
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


def record(given: Logger, event_type: str, fields: Mapping[str, object], /) -> Receipt:
    """Records an audit entry, and sends its ordinary line through the logger's handlers.

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
    caller = _caller()
    message, extra = _processed(given, call.message())
    if not isinstance(message, Message):
        message = Message(str(message), call)
    code, line = caller.f_code, caller.f_lineno
    return logger.makeRecord(logger.name, _LEVEL, code.co_filename, line, message, (), None, code.co_name, extra)


def _caller() -> FrameType:
    """The frame outside of whodid: the place in the code that the ordinary log line names."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_within(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    return frame


def _is_within(module: str) -> bool:
    """Whether it is whodid's, or `contextlib`'s, through which `auditing` records."""
    return module.startswith("whodid.") or module == "contextlib"


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


class AuditLogger(AuditMethods):
    """A logger with nothing but the four methods, known to type checkers: what `whodid.get_logger()` returns.

    Example:
        >>> log: whodid.AuditLogger = whodid.get_logger(__name__)
        >>> log.audit("credentials_created", target="6Yk2", principal="42")
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def _whodid_audit(self, event_type: str, fields: Mapping[str, object], /) -> Receipt:
        return record(self._logger, event_type, fields)


def get_logger(name: str = "whodid") -> AuditLogger:
    """A logger for auditing alone, which type checkers know.

    Args:
        name: Name of the `logging` logger that the ordinary line of an entry goes to.

    Returns:
        A logger with `audit`, `aaudit`, `auditing` and `aauditing`.

    Example:
        >>> log = whodid.get_logger(__name__)
        >>> log.audit("credentials_created", target="6Yk2", principal="42")
    """
    return AuditLogger(logging.getLogger(name))


def install() -> None:
    """Adds `audit`, `auditing` and their asynchronous forms to every logger and adapter, earlier ones included."""
    loggers = {type(logger) for logger in tuple(logging.root.manager.loggerDict.values())} - {logging.PlaceHolder}
    equip([logging.Logger, logging.LoggerAdapter], record, seen=[*loggers, logging.getLoggerClass()])


class AuditJsonFormatter(OrjsonFormatter):
    """A `logging` formatter that prints whole entries as JSON lines, and other records as python-json-logger does.

    It prints personal fields too: point it at a stream that may hold them.

    Example:
        >>> handler = logging.StreamHandler(sys.stdout)
        >>> handler.setFormatter(whodid.AuditJsonFormatter())
    """

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, Message) and record.msg.call.line:
            return record.msg.call.line.decode()
        return super().format(record)

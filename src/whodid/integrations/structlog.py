"""structlog: `log.audit(…)` and `await log.aaudit(…)` on any bound logger, and the processor that records.

`configure()` gives the methods to structlog's own bound loggers, those made or cached earlier included, and changes
nothing of an application's configuration. `audited(YourWrapper)` is a wrapper class with the methods, for one that does
not derive from structlog's, and for type checkers. `AuditProcessor` records inside the chain, at the place that one
chooses; without it the call records before the chain runs.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, TypeVar

import structlog

from ..entry import Receipt
from ..recording.call import AuditCall
from ..recording.runtime import recorder
from .methods import AuditMethods, equip

__all__ = ["AuditMixin", "AuditProcessor", "audited", "install"]

_CALL = "_whodid_call"

W = TypeVar("W")


class AuditProcessor:
    """A structlog processor that records the audit call that an event dict carries, and leaves all others alone.

    It chooses the place at which an entry is recorded in the chain of processors; without one, the entry is recorded
    before the chain runs.

    Example:
        >>> structlog.configure(processors=[whodid.AuditProcessor(), structlog.processors.JSONRenderer()])
    """

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        call = event_dict.pop(_CALL, None)
        if isinstance(call, AuditCall):
            event_dict["entry_id"] = call.record().entry_id
        return event_dict


def _audit(logger: Any, event_type: str, fields: Mapping[str, object], /) -> Receipt:
    """What is bound to the logger counts where it names fields of an entry."""
    current = recorder()
    bound: Mapping[str, object] = logger._context
    if not current.settings.echo:
        return current.record(event_type, fields, bound)[0]
    call = AuditCall(current, event_type, fields, bound)
    records = any(isinstance(processor, AuditProcessor) for processor in logger._processors)

    def chain() -> None:
        carried = {_CALL: call} if records else {}
        logger.info(call.event, **call.echo(), **carried)

    return call.through(chain, records=records, chain_name="the structlog chain")


class AuditMixin(AuditMethods):
    """The four methods for a wrapper class of structlog's, known to type checkers.

    Example:
        >>> class Logger(whodid.AuditMixin, structlog.stdlib.BoundLogger):
        ...     pass
        >>> structlog.configure(wrapper_class=Logger)
        >>> log: Logger = structlog.get_logger()
        >>> log.bind(principal="42").audit("credentials_created", target="6Yk2")
    """

    _whodid_audit = _audit


def audited(wrapper: type[W]) -> type[W]:
    """A structlog wrapper class with the four methods for auditing.

    `whodid.configure()` gives them to structlog's own bound loggers; this is for a class that does not derive from
    those. A type checker sees no more than `wrapper` in the result: for one, derive from `AuditMixin` instead.

    Args:
        wrapper: A wrapper class, such as `structlog.stdlib.BoundLogger` or what `make_filtering_bound_logger` returns.

    Returns:
        A class derived from `AuditMixin` and `wrapper`; `wrapper` itself where it has the methods.

    Example:
        >>> structlog.configure(wrapper_class=whodid.audited(structlog.make_filtering_bound_logger(logging.INFO)))
    """
    if issubclass(wrapper, AuditMixin):
        return wrapper
    return type(f"Audited{wrapper.__name__}", (AuditMixin, wrapper), {})


def install() -> None:
    """Gives every bound logger of structlog the methods, those made or cached earlier included."""
    equip([structlog.BoundLoggerBase], _audit, seen=[structlog.get_config()["wrapper_class"]])
    equip([structlog.stdlib.AsyncBoundLogger], _audit_within)


def _audit_within(logger: Any, event_type: str, fields: Mapping[str, object], /) -> Receipt:
    """By the logger that structlog's (deprecated) asynchronous one wraps: `audit` needs no `await` there."""
    return _audit(logger.sync_bl, event_type, fields)

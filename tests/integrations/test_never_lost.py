"""Never lost by configuration: whatever an application does with its loggers, an audit call is durable or raises.

Each case is a configuration of structlog or logging that a real application has, from harmless to hostile. A call must
return a receipt whose entry is in the journal, or raise a `WhodidError`; where a configuration would have swallowed the
call, a warning names it, once.
"""

from __future__ import annotations

import asyncio
import io
import logging
import logging.config
import logging.handlers
import queue
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import whodid
import whodid.recording.call
from tests.recording import WHO, configured, recorded

Case = Callable[[], Any]
"""Configures logging and returns the application's logger."""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(whodid.recording.call, "_warned", set())
    root = logging.getLogger()
    before = root.handlers[:], root.level
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    logging.disable(logging.NOTSET)
    root.handlers[:], root.level = before
    for name in ("app", "app.part"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.filters.clear()
        logger.propagate, logger.disabled = True, False
        logger.setLevel(logging.NOTSET)


def _structlog(*processors: Any, wrapper: Any = None, **keywords: Any) -> Any:
    structlog.configure(
        processors=[*processors, structlog.processors.JSONRenderer()],
        wrapper_class=wrapper or structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=keywords.pop("logger_factory", structlog.PrintLoggerFactory(io.StringIO())),
        **keywords,
    )
    return structlog.get_logger()


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


def _break(*_: Any) -> Any:
    raise ZeroDivisionError


AUDIT = whodid.AuditProcessor()
AT_CRITICAL = structlog.make_filtering_bound_logger(logging.CRITICAL)


def _cached_before_configure() -> Any:
    """A logger that was used, and so fixed for good, before the application knew of whodid."""
    log = _structlog(cache_logger_on_first_use=True)
    log.info("first use")
    structlog.configure(processors=[AUDIT, structlog.processors.JSONRenderer()])
    return log


def _under_stdlib(level: int, *processors: Any) -> Any:
    """structlog in front of logging, both rendered by ProcessorFormatter, as structlog's docs recommend."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer()))
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *processors,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger("app")


class Plain:
    """A wrapper class that has nothing to do with structlog's."""

    def __init__(self, logger: Any, processors: Any, context: Any) -> None:
        self._logger, self._processors, self._context = logger, processors, context

    def bind(self, **_: Any) -> Plain:
        return self

    def info(self, event: str, **keywords: Any) -> None:
        raise NotImplementedError


STRUCTLOG: dict[str, Case] = {
    "not configured": structlog.get_logger,
    "plain": lambda: _structlog(wrapper=structlog.BoundLogger),
    "plain, with the processor": lambda: _structlog(AUDIT, wrapper=structlog.BoundLogger),
    "filtering": lambda: _structlog(AUDIT),
    "filtering at CRITICAL": lambda: _structlog(wrapper=AT_CRITICAL),
    "filtering at CRITICAL, with the processor": lambda: _structlog(AUDIT, wrapper=AT_CRITICAL),
    "an earlier DropEvent": lambda: _structlog(_drop, AUDIT),
    "a later DropEvent": lambda: _structlog(AUDIT, _drop),
    "a processor that breaks before": lambda: _structlog(_break, AUDIT),
    "a processor that breaks after": lambda: _structlog(AUDIT, _break),
    "a logger that only returns": lambda: _structlog(logger_factory=structlog.ReturnLoggerFactory()),
    "a closed stream": lambda: _structlog(AUDIT, logger_factory=structlog.PrintLoggerFactory(_closed())),
    "cached before configure": _cached_before_configure,
    "stdlib and ProcessorFormatter": lambda: _under_stdlib(logging.INFO),
    "stdlib at ERROR": lambda: _under_stdlib(logging.ERROR),
    "stdlib at ERROR, with the processor": lambda: _under_stdlib(logging.ERROR, AUDIT),
    "a wrapper of one's own": lambda: _structlog(AUDIT, wrapper=whodid.audited(Plain)),
}


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def _logger(*handlers: logging.Handler, **settings: Any) -> Any:
    logger = logging.getLogger("app.part")
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    for name, value in settings.items():
        setattr(logger, name, value)
    return logger


def _disabled_by_dict_config() -> Any:
    logger = _logger(whodid.AuditHandler())
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    return logger


def _disabled_altogether() -> Any:
    logger = _logger(whodid.AuditHandler())
    logging.disable(logging.CRITICAL)
    return logger


def _with_a_filter(on: Any, logger: Any) -> Any:
    (logger if on is None else on).addFilter(lambda _record: False)
    return logger


def _through_a_queue() -> Any:
    """The handler that records is behind a queue, and nobody listens to it."""
    return _logger(logging.handlers.QueueHandler(queue.Queue()))


def _below_a_handler_of_the_root(*, propagate: bool) -> Any:
    logging.getLogger().addHandler(whodid.AuditHandler())
    return _logger(propagate=propagate)


def _handler_at(level: int) -> logging.Handler:
    handler = whodid.AuditHandler()
    handler.setLevel(level)
    return handler


class Breaking(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


STDLIB: dict[str, Case] = {
    "no handler at all": _logger,
    "a handler": lambda: _logger(whodid.AuditHandler()),
    "a handler of the root": lambda: _below_a_handler_of_the_root(propagate=True),
    "logging.disable": _disabled_altogether,
    "a level above": lambda: _logger(whodid.AuditHandler(), level=logging.CRITICAL),
    "a handler's level above": lambda: _logger(_handler_at(logging.ERROR)),
    "a filter of the logger": lambda: _with_a_filter(None, _logger(whodid.AuditHandler())),
    "a filter of the handler": lambda: _with_a_filter(handler := whodid.AuditHandler(), _logger(handler)),
    "propagate=False": lambda: _logger(propagate=False),
    "propagate=False, handler of the root": lambda: _below_a_handler_of_the_root(propagate=False),
    "a queue without a listener": _through_a_queue,
    "disable_existing_loggers": _disabled_by_dict_config,
    "a handler that breaks": lambda: _logger(Breaking()),
    "a handler that breaks before": lambda: _logger(Breaking(), whodid.AuditHandler()),
    "a memory handler that never flushes": lambda: _logger(logging.handlers.MemoryHandler(1000, logging.CRITICAL)),
    "a LoggerAdapter": lambda: logging.LoggerAdapter(_logger(whodid.AuditHandler()), {"x": 1}).logger,
    "the root logger": logging.getLogger,
}

SWALLOWING = {
    "an earlier DropEvent": "the structlog chain swallowed",
    "a processor that breaks before": "the structlog chain failed .* ZeroDivisionError",
    "a processor that breaks after": "the structlog chain failed .* ZeroDivisionError",
    "a closed stream": "the structlog chain failed .* ValueError",
    "filtering at CRITICAL, with the processor": "the structlog chain swallowed",
    "stdlib at ERROR, with the processor": "the structlog chain swallowed",
    "a wrapper of one's own": "the structlog chain failed .* NotImplementedError",
    "logging.disable": r"the logger 'app\.part' swallowed",
    "a level above": r"the logger 'app\.part' swallowed",
    "a handler's level above": r"the logger 'app\.part' swallowed",
    "a filter of the logger": r"the logger 'app\.part' swallowed",
    "a filter of the handler": r"the logger 'app\.part' swallowed",
    "disable_existing_loggers": r"the logger 'app\.part' swallowed",
    "a handler that breaks": r"the logger 'app\.part' failed .* ZeroDivisionError",
    "a handler that breaks before": r"the logger 'app\.part' failed .* ZeroDivisionError",
}
"""What the one warning says, of the configurations that swallow a call or its line. All others warn of nothing."""

CASES = {**STRUCTLOG, **STDLIB}


@pytest.fixture(params=["configured before", "configured after"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], tuple[Any, Path]]:
    """Sets up a case and whodid, in the one order or the other; returns logger and journal directory."""

    def make(case: str) -> tuple[Any, Path]:
        if request.param == "configured before":
            journal_dir = configured(tmp_path)
            return CASES[case](), journal_dir
        logger = CASES[case]()
        return logger, configured(tmp_path)

    return make


@pytest.mark.parametrize("raise_exceptions", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_entry_is_durable_and_its_receipt_returned(
    made: Callable[[str], tuple[Any, Path]], case: str, raise_exceptions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    logger, journal_dir = made(case)
    with warnings.catch_warnings(record=True) as caught, whodid.context(**WHO):
        warnings.simplefilter("always")
        receipts = [logger.audit("credentials_created", target=str(n)) for n in range(3)]
        receipts.append(asyncio.run(logger.aaudit("credentials_created", target="3")))
    assert [(entry["target"], entry["hash"]) for entry in recorded(journal_dir)] == [
        (str(n), receipt.hash) for n, receipt in enumerate(receipts)
    ]
    said = [str(warning.message) for warning in caught]
    assert len(said) == (case in SWALLOWING), said
    if said:
        assert re.search(SWALLOWING[case], said[0])


@pytest.mark.parametrize("case", CASES)
def test_a_call_that_can_not_be_recorded_raises(made: Callable[[str], tuple[Any, Path]], case: str) -> None:
    logger, journal_dir = made(case)
    with warnings.catch_warnings(), whodid.context(**WHO):
        warnings.simplefilter("ignore")
        with pytest.raises(whodid.InvalidEntry):
            logger.audit("credentials_created", target="6Yk2", colour="red")
        with pytest.raises(whodid.InvalidEntry):
            asyncio.run(logger.aaudit("credentials_created"))
        journal_dir.parent.joinpath("file").write_text("")
        whodid.configure(journal_dir=journal_dir.parent / "file")
        with pytest.raises(whodid.JournalDamaged):
            logger.audit("credentials_created", target="6Yk2")
    assert recorded(journal_dir) == []


def test_an_async_bound_logger_records_without_being_awaited(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)

    async def work() -> tuple[whodid.Receipt, whodid.Receipt]:
        log: Any = _under_stdlib(logging.INFO)
        structlog.configure(wrapper_class=structlog.stdlib.AsyncBoundLogger)
        log = structlog.get_logger("app").bind(organization_id="8")
        with whodid.context(**WHO):
            return log.audit("credentials_created", target="1"), await log.aaudit("credentials_created", target="2")

    receipts = asyncio.run(work())
    entries = recorded(journal_dir)
    assert [entry["hash"] for entry in entries] == [receipt.hash for receipt in receipts]
    assert [entry["organization_id"] for entry in entries] == ["8", "8"]

"""Standard library logging: an entry is recorded whatever handlers, levels and filters do."""

from __future__ import annotations

import asyncio
import copy
import functools
import io
import json
import logging
import logging.config
import logging.handlers
import os
import pickle
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whodid
import whodid.recording.call
from tests.recording import WHO, configured, recorded


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whodid.recording.call, "_warned", set())


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    return configured(tmp_path)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.app")
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()
    logger.filters.clear()
    logger.propagate, logger.disabled = True, False
    logger.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)


def audit(logger: Any, **fields: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        receipt = logger.audit("credentials_created", target="6Yk2", **fields)
    assert isinstance(receipt, whodid.Receipt)
    return receipt


def test_a_logger_made_before_configure_has_the_method(tmp_path: Path) -> None:
    early = logging.getLogger("tests.early")
    journal_dir = configured(tmp_path)
    assert audit(early).seq == 1
    assert len(recorded(journal_dir)) == 1


def test_the_ordinary_line_has_type_target_and_entry(
    journal_dir: Path, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        receipt = audit(logger, principal_email="ada@example.org")
    [record] = caplog.records
    assert record.getMessage() == f"credentials_created target=6Yk2 entry_id={receipt.entry_id}"
    assert (record.name, record.levelname, record.filename) == ("tests.app", "INFO", "test_stdlib.py")


def test_the_ordinary_line_names_the_place_of_the_call(
    journal_dir: Path, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    loggers: list[Any] = [logger, logging.LoggerAdapter(logger, {}), whodid.get_logger(logger.name)]
    with whodid.context(**WHO), caplog.at_level(logging.INFO):
        for log in loggers:
            log.audit("credentials_created", target="6Yk2")
            with log.auditing("credentials_deleted", target="6Yk2"):
                pass
    places = {(record.pathname, record.funcName) for record in caplog.records}
    assert places == {(__file__, "test_the_ordinary_line_names_the_place_of_the_call")}
    assert len(caplog.records) == 9


def test_the_handler_records_once_and_leaves_other_records_alone(journal_dir: Path, logger: logging.Logger) -> None:
    logger.addHandler(whodid.AuditHandler())
    logger.addHandler(whodid.AuditHandler())
    logger.info("hello")
    receipt = audit(logger)
    assert [entry["hash"] for entry in recorded(journal_dir)] == [receipt.hash]


def _disable(_logger: logging.Logger) -> None:
    logging.disable(logging.CRITICAL)


def _level(logger: logging.Logger) -> None:
    logger.setLevel(logging.CRITICAL)


def _filter(logger: logging.Logger) -> None:
    logger.addFilter(lambda record: False)


def _handler_level(logger: logging.Logger) -> None:
    logger.handlers[0].setLevel(logging.ERROR)


def _handler_filter(logger: logging.Logger) -> None:
    logger.handlers[0].addFilter(lambda record: False)


def _disabled(logger: logging.Logger) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    logger.addHandler(whodid.AuditHandler())


@pytest.mark.parametrize("swallow", [_disable, _level, _filter, _handler_level, _handler_filter, _disabled])
def test_what_swallows_the_line_does_not_swallow_the_entry_and_is_named_once(
    journal_dir: Path, logger: logging.Logger, swallow: Any
) -> None:
    logger.addHandler(whodid.AuditHandler())
    swallow(logger)
    with pytest.warns(RuntimeWarning, match=r"the logger 'tests\.app' swallowed an audit call"):
        audit(logger)
    audit(logger)
    assert len(recorded(journal_dir)) == 2


def test_a_logger_that_does_not_propagate_records_all_the_same(journal_dir: Path, logger: logging.Logger) -> None:
    logger.propagate = False
    assert audit(logger).recorded
    assert len(recorded(journal_dir)) == 1


def test_a_queue_in_between_does_not_delay_or_lose_the_entry(journal_dir: Path, logger: logging.Logger) -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    logger.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, whodid.AuditHandler())
    listener.start()
    assert audit(logger).recorded
    listener.stop()
    assert len(recorded(journal_dir)) == 1


def test_a_failure_reaches_the_caller_and_never_handle_error(
    journal_dir: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger.addHandler(whodid.AuditHandler())
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with pytest.raises(whodid.InvalidEntry, match="nope is not a field"):
        audit(logger, nope=1)
    assert recorded(journal_dir) == []


def test_names_that_logging_reserves_do_no_harm(journal_dir: Path, logger: logging.Logger) -> None:
    for name in ("name", "message", "args", "exc_info"):
        with pytest.raises(whodid.InvalidEntry, match=f"{name} is not a field"):
            audit(logger, **{name: "x"})
    assert audit(logger, details={"name": "x", "message": "y"}).recorded


def test_the_json_formatter_prints_whole_entries_and_ordinary_records(
    journal_dir: Path, logger: logging.Logger
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(whodid.AuditJsonFormatter("{levelname}{message}", style="{"))
    logger.addHandler(handler)
    audit(logger)
    logger.info("hello")
    entry, ordinary = (json.loads(line) for line in stream.getvalue().splitlines())
    assert entry == recorded(journal_dir)[0]
    assert ordinary == {"levelname": "INFO", "message": "hello"}


def test_dict_config_takes_handler_and_formatter_by_name(journal_dir: Path, logger: logging.Logger) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": "whodid.AuditJsonFormatter"}},
            "handlers": {
                "audit": {"class": "whodid.AuditHandler"},
                "out": {"class": "logging.StreamHandler", "formatter": "json"},
            },
            "loggers": {"tests.app": {"level": "INFO", "handlers": ["audit", "out"]}},
        }
    )
    assert audit(logger).recorded
    assert len(recorded(journal_dir)) == 1


def test_threads_wait_for_the_disk_together_and_lose_nothing(journal_dir: Path, logger: logging.Logger) -> None:
    logger.addHandler(whodid.AuditHandler())
    receipts: list[whodid.Receipt] = []
    threads = [threading.Thread(target=lambda: receipts.extend(audit(logger) for _ in range(10))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry["hash"] for entry in recorded(journal_dir)} == {receipt.hash for receipt in receipts}
    assert len(receipts) == 160


def test_the_typed_route_records_into_the_same_journal(journal_dir: Path) -> None:
    audit(whodid.get_logger())
    assert len(recorded(journal_dir)) == 1


class Kept(logging.Handler):
    """Keeps the records that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 (our own)


FORGED = "6Yk2 entry_id=1\nuser_signed_in\r\x1b[2J\u2028\x85\ud800"


@pytest.mark.parametrize("on_invalid", ["raise", "quarantine"])
@pytest.mark.parametrize("handlers", [[], [whodid.AuditHandler]])
def test_the_ordinary_line_is_one_line_whatever_the_call_holds(
    tmp_path: Path, logger: logging.Logger, on_invalid: str, handlers: list[Any]
) -> None:
    journal_dir = configured(tmp_path, on_invalid=on_invalid)
    kept = Kept()
    for handler in (*(each() for each in handlers), kept):
        logger.addHandler(handler)
    forged = FORGED if on_invalid == "quarantine" else FORGED.replace("\ud800", "")
    with whodid.context(**WHO):
        receipt: Any = logger.audit("credentials_created", target=forged)  # type: ignore[attr-defined]
    [record] = kept.records
    assert record.getMessage().isprintable()
    assert record.getMessage().encode()
    escaped = r"6Yk2 entry_id=1\nuser_signed_in\r\u001b[2J\u2028\u0085" + r"\ud800" * (on_invalid == "quarantine")
    end = f" entry_id={receipt.entry_id}" if receipt else ""
    assert record.getMessage().replace("\\\\", "\\") == f'credentials_created target="{escaped}"{end}'
    assert len(recorded(journal_dir)) == bool(receipt)


@pytest.mark.parametrize("handlers", [[], [whodid.AuditHandler]])
def test_the_message_of_the_record_is_text_for_who_pickles_copies_or_exports_it(
    journal_dir: Path, logger: logging.Logger, handlers: list[Any]
) -> None:
    kept = Kept()
    for handler in (*(each() for each in handlers), kept):
        logger.addHandler(handler)
    receipt = audit(logger)
    [record] = kept.records
    said = f"credentials_created target=6Yk2 entry_id={receipt.entry_id}"
    assert isinstance(record.msg, str)
    assert record.msg == said
    for other in (_pickled(record), copy.deepcopy(record), copy.copy(record)):
        assert (other.msg, other.getMessage()) == (said, said)
    sent = logging.handlers.SocketHandler("127.0.0.1", 9).makePickle(record)
    assert pickle.loads(sent[4:])["msg"] == said  # noqa: S301 (our own)
    assert type(_pickled(record).msg) is str


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its logs are not stable yet
def test_opentelemetry_exports_the_line_as_text(journal_dir: Path, logger: logging.Logger) -> None:
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider()  # type: ignore[no-untyped-call]
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger.addHandler(LoggingHandler(logger_provider=provider))
    receipt = audit(logger)
    [exported] = exporter.get_finished_logs()
    assert exported.log_record.body == f"credentials_created target=6Yk2 entry_id={receipt.entry_id}"
    provider.shutdown()


def test_an_adapter_audits_with_its_extra(journal_dir: Path, logger: logging.Logger) -> None:
    kept = Kept()
    logger.addHandler(kept)
    inner = logging.LoggerAdapter(logger, {"organization_id": "1", "workspace_id": "2", "colour": "red"})
    adapter = logging.LoggerAdapter(inner, {"organization_id": "8"})
    audit(adapter)
    with whodid.context(**WHO), adapter.auditing("credentials_deleted", target="6Yk2"):  # type: ignore[attr-defined]
        pass
    entries = recorded(journal_dir)
    assert [(entry["organization_id"], entry["workspace_id"]) for entry in entries] == [("8", "2")] * 3
    assert [vars(record)["colour"] for record in kept.records] == ["red"] * 3
    assert {record.filename for record in kept.records[:1]} == {"test_stdlib.py"}


async def _aaudit(logger: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        receipt: whodid.Receipt = await logger.aaudit("credentials_created", target="6Yk2")
        async with logger.aauditing("credentials_deleted", target="6Yk2"):
            return receipt


def test_an_adapter_without_extra_audits_as_its_logger(journal_dir: Path, logger: logging.Logger) -> None:
    adapter: Any = logging.LoggerAdapter(logger, None)
    assert asyncio.run(_aaudit(adapter)).seq == 1
    assert len(recorded(journal_dir)) == 3


def test_what_an_adapter_makes_of_the_message_is_kept_and_the_handler_records(
    journal_dir: Path, logger: logging.Logger
) -> None:
    class Prefixing(logging.LoggerAdapter[Any]):
        def process(self, msg: Any, kwargs: Any) -> tuple[str, Any]:
            return f"[9] {msg}", kwargs

    kept = Kept()
    logger.addHandler(whodid.AuditHandler())
    logger.addHandler(kept)
    receipt = audit(Prefixing(logger, {}))
    assert kept.records[0].msg == f"[9] credentials_created target=6Yk2 entry_id={receipt.entry_id}"


class Auditing(logging.Handler):
    """Audits what it sees."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("tests.app").audit(  # type: ignore[attr-defined]
            "credentials_accessed", target=record.getMessage()[:20], principal="system"
        )


@pytest.mark.parametrize("first", [True, False])
def test_a_handler_that_audits_what_it_sees_does_not_recurse(
    journal_dir: Path, logger: logging.Logger, first: bool
) -> None:
    for handler in [Auditing(), whodid.AuditHandler()] if first else [whodid.AuditHandler(), Auditing()]:
        logger.addHandler(handler)
    assert audit(logger).recorded
    assert sorted(entry["type"] for entry in recorded(journal_dir)) == ["credentials_accessed", "credentials_created"]
    logger.info("hello")
    assert [entry["target"] for entry in recorded(journal_dir)][-2:] in (
        ["credentials_accessed", "hello"], ["hello", "credentials_accessed"]
    )  # fmt: skip


def test_a_handler_whose_own_call_fails_fails_nobody_else_s(journal_dir: Path, logger: logging.Logger) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            whodid.get_logger().audit("no_such_type")

    logger.addHandler(Broken())
    with pytest.warns(RuntimeWarning, match="failed on an audit call with InvalidEntry"):
        assert audit(logger).recorded
    assert len(recorded(journal_dir)) == 1


def test_the_handler_has_what_logging_and_other_handlers_ask_of_one(journal_dir: Path, logger: logging.Logger) -> None:
    handler = whodid.AuditHandler()
    for other in (handler, copy.copy(handler), copy.deepcopy(handler), _pickled(handler)):
        lock: Any = other.lock
        with lock:  # what `Handler.handle` does since Python 3.13
            other.acquire()
            other.release()
        lock._at_fork_reinit()
        logger.addHandler(logging.handlers.MemoryHandler(1, target=other))
        logger.addHandler(other)
        assert audit(logger).recorded
        logger.handlers.clear()
    handler.close()
    logging.shutdown([lambda: handler])
    assert len(recorded(journal_dir)) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_records_through_the_handler(journal_dir: Path, logger: logging.Logger) -> None:
    logger.addHandler(whodid.AuditHandler())
    audit(logger)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if audit(logger).recorded else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    audit(logger)
    assert len(recorded(journal_dir)) == 3


METHODS = ("audit", "aaudit", "auditing", "aauditing")


@pytest.mark.parametrize("cls", [logging.Logger, logging.LoggerAdapter])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_application_s_own_is_left_alone_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: Any, name: str
) -> None:
    configured(tmp_path)
    monkeypatch.setattr(cls, name, own := lambda *_, **__: "own")
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=rf"{cls.__name__}\.{name}: defined by the application"):
            configured(tmp_path)
        assert getattr(cls, name) is own
    assert audit(whodid.get_logger()).recorded


def test_a_logger_class_with_an_audit_of_its_own_is_named(tmp_path: Path) -> None:
    class Own(logging.Logger):
        def audit(self, message: str) -> None:
            self.info(message)

    logging.root.manager.loggerDict["tests.own"] = Own("tests.own")
    try:
        with pytest.warns(RuntimeWarning, match=r"Own\.audit: defined by the application"):
            configured(tmp_path)
    finally:
        del logging.root.manager.loggerDict["tests.own"]


def test_a_wrapper_around_the_method_stays_where_it_is(journal_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = vars(logging.Logger)["audit"]

    @functools.wraps(method)
    def wrapped(*args: Any, **fields: Any) -> Any:
        return method(*args, **fields)

    monkeypatch.setattr(logging.Logger, "audit", wrapped, raising=False)
    whodid.configure(journal_dir=journal_dir)
    assert vars(logging.Logger)["audit"] is wrapped

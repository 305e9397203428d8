"""Standard library logging: an entry is recorded whatever handlers, levels and filters do."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import logging.handlers
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whodid
import whodid.call
from tests.recording import WHO, configured, recorded


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whodid.call, "_warned", set())


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

"""Warnings: under `-W error`, and with a hook that fails or audits, a call comes to what it comes to without."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whodid
import whodid.process
import whodid.recording.call
from tests.recording import WHO, configured, recorded
from whodid.files import read_secret
from whodid.process import warn


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, turned_into_errors: list[str]) -> Iterator[None]:
    monkeypatch.setattr(whodid.recording.call, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    turned_into_errors.clear()


def audit(logger: Any = None) -> whodid.Receipt:
    with whodid.context(**WHO):
        receipt = (logger or whodid.get_logger()).audit("credentials_created", target="6Yk2")
    assert isinstance(receipt, whodid.Receipt)
    return receipt


def test_a_warning_that_a_filter_made_an_error_is_shown(turned_into_errors: list[str]) -> None:
    warn("look at this", RuntimeWarning)
    assert turned_into_errors == ["look at this"]


def test_it_is_shown_as_python_shows_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        warn("look at this", RuntimeWarning)
    assert [(str(one.message), one.category, one.filename) for one in shown] == [
        ("look at this", RuntimeWarning, __file__)
    ]


def test_a_hook_that_fails_is_no_failure_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(warnings, "showwarning", broken)
    warnings.simplefilter("always")
    configured(tmp_path, max_bytes=1, on_failure="warn")
    assert not audit().recorded


def test_a_level_and_a_handler_that_fails_cost_no_entry(tmp_path: Path) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    journal_dir = configured(tmp_path)
    for name, handler in (("tests.level", whodid.AuditHandler()), ("tests.failing", Failing())):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.ERROR if name == "tests.level" else logging.INFO)
        assert audit(logger).recorded
    assert len(recorded(journal_dir)) == 2


def test_under_warn_a_call_that_can_not_be_recorded_returns_its_receipt(tmp_path: Path) -> None:
    configured(tmp_path, max_bytes=1, on_failure="warn")
    assert "max_bytes" in audit().error


def test_a_directory_that_is_too_open_is_recorded_into(tmp_path: Path, turned_into_errors: list[str]) -> None:
    journal_dir = configured(tmp_path, durability="process")
    audit()
    journal_dir.chmod(0o755)
    for durability in ("disk", "process"):
        configured(tmp_path, durability=durability)
        assert audit().recorded
    assert len(recorded(journal_dir)) == 3
    assert ["accessible to other users" in said for said in turned_into_errors] == [True, True]


def test_the_action_s_own_error_is_what_leaves_an_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise whodid.JournalFull("no space")

    operation = whodid.get_logger().auditing("credentials_created", target="6Yk2")
    with whodid.context(**WHO), pytest.raises(ZeroDivisionError), operation:
        monkeypatch.setattr(whodid.recording.runtime.recorder(), "record", full)
        raise ZeroDivisionError


def test_settings_are_read_whatever_else_the_environment_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODID_PORT_9200_TCP", "tcp://10.0.0.1:9200")
    configured(tmp_path)
    assert audit().recorded


def test_a_secret_that_others_may_read_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "secret").chmod(0o644)
    assert read_secret("opensearch_password_file", str(tmp_path / "secret")) == "hunter2"


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_a_handler_that_audits_warnings_audits_each_once(tmp_path: Path, durability: str) -> None:
    """Where they were captured, and the journal both warns and takes no entry."""

    class Auditing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            receipts.append(audit())

    receipts: list[whodid.Receipt] = []

    warnings.simplefilter("always")
    configured(tmp_path)
    audit()
    (tmp_path / "journal").chmod(0o755)
    configured(tmp_path, durability=durability)
    handler = Auditing()
    logging.getLogger("py.warnings").addHandler(handler)
    logging.captureWarnings(True)
    try:
        assert audit().recorded
        assert [receipt.recorded for receipt in receipts] == [True]
        configured(tmp_path, max_bytes=1, on_failure="warn")
        assert not audit().recorded
        assert [receipt.recorded for receipt in receipts] == [True, False]
    finally:
        logging.captureWarnings(False)
        logging.getLogger("py.warnings").removeHandler(handler)

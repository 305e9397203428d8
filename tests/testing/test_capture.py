"""The capture: everything that the process records goes to memory, and only as long as the block lasts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

import whodid
from tests import independent
from tests.catalogs import INVOICE
from tests.recording import WHO, configured, recorded
from whodid.recording import runtime
from whodid.recording.recorder import Recorder
from whodid.testing import audit_entries


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runtime, "_recorder", None)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def audit(target: str = "6Yk2") -> whodid.Receipt:
    with whodid.context(**WHO):
        return whodid.get_logger().audit("credentials_created", target=target)


def test_structlog_standard_library_and_typed_loggers_are_captured() -> None:
    with audit_entries() as entries, whodid.context(**WHO):
        structlog.get_logger().audit("credentials_created", target="structlog")
        logging.getLogger("app").audit("credentials_created", target="stdlib")  # type: ignore[attr-defined]
        whodid.get_logger().audit("credentials_created", target="typed")
    assert [entry["target"] for entry in entries] == ["structlog", "stdlib", "typed"]
    assert independent.problems(entries[:]) == []


def test_threads_are_captured() -> None:
    with audit_entries() as entries, ThreadPoolExecutor(8) as pool:
        list(pool.map(audit, map(str, range(100))))
    assert sorted(int(entry["target"]) for entry in entries) == list(range(100))
    assert independent.problems(entries[:]) == []


def test_async_code_is_captured() -> None:
    async def request(user: str) -> None:
        with whodid.context(principal=user):
            await whodid.get_logger().aaudit("credentials_created", target=user)

    async def all_at_once() -> None:
        await asyncio.gather(*(request(str(n)) for n in range(30)))

    with audit_entries() as entries:
        asyncio.run(all_at_once())
    assert len(entries) == 30
    assert all(entry["principal"] == entry["target"] for entry in entries)


def test_the_application_s_settings_and_catalog_stay_in_force_and_its_journal_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(INVOICE)
    journal_dir = configured(tmp_path, catalog=tmp_path / "events.toml", service="shop")
    with audit_entries() as entries, whodid.context(**WHO):
        whodid.get_logger().audit("invoice_refunded", target="2026-117")
    assert entries.assert_recorded(type="invoice_refunded")["service"] == "shop"
    assert not journal_dir.exists()


def test_a_configure_within_is_in_force_and_does_not_escape_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(INVOICE)
    with audit_entries() as entries, whodid.context(**WHO):
        audit()
        journal_dir = configured(tmp_path, catalog=tmp_path / "events.toml", service="shop")
        whodid.get_logger().audit("invoice_refunded", target="2026-117")
    assert [(entry["type"], entry.get("service")) for entry in entries] == [
        ("credentials_created", None),
        ("invoice_refunded", "shop"),
    ]
    assert independent.problems(entries[:]) == []
    assert not journal_dir.exists()
    assert runtime._recorder is None


def test_nothing_is_shipped(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with audit_entries():
        settings = whodid.configure(journal_dir=tmp_path / "journal", ship=True)
    assert not settings.ship
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name == "whodid-ship"] == []


def test_without_a_configure_the_environment_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHODID_SERVICE", "shop")
    with audit_entries() as entries:
        audit()
    assert [entry["service"] for entry in entries] == ["shop"]
    assert list(tmp_path.iterdir()) == []


def test_afterwards_the_recorder_before_is_back(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)
    before = audit("before")
    with audit_entries() as entries:
        audit("within")
    audit("after")
    assert [entry["target"] for entry in recorded(journal_dir)] == ["before", "after"]
    assert [entry["target"] for entry in entries] == ["within"]
    assert entries[0]["journal"] != before.journal


def test_after_an_exception_the_recorder_before_is_back(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)
    with pytest.raises(ZeroDivisionError), audit_entries():
        raise ZeroDivisionError
    audit("after")
    assert [entry["target"] for entry in recorded(journal_dir)] == ["after"]


def test_one_within_another_takes_what_is_recorded_in_it() -> None:
    with audit_entries() as outer:
        audit("1")
        with audit_entries() as inner:
            audit("2")
        audit("3")
    assert [[entry["target"] for entry in entries] for entries in (outer, inner)] == [["1", "3"], ["2"]]


def test_entries_can_be_asked_about_afterwards_and_no_recorder_is_set_up_for_that() -> None:
    with audit_entries() as entries:
        pass
    entries.assert_not_recorded(type="credentials_created")
    assert runtime._recorder is None


def test_a_catalog_is_not_read_again_for_each_test(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(INVOICE)
    configured(tmp_path, catalog=tmp_path / "events.toml")
    with audit_entries() as entries:
        assert entries.catalog is runtime.recorder().catalog
    assert entries.catalog is runtime.recorder().catalog


def test_a_recorder_that_can_t_be_made_leaves_all_as_it_was(tmp_path: Path) -> None:
    configured(tmp_path)
    before = runtime.recorder()

    def fail(*_: object) -> Recorder:
        raise whodid.CatalogError("broken")

    with pytest.raises(whodid.CatalogError), runtime.recorders_from(fail):
        pass
    assert runtime.recorder() is before
    assert whodid.configure(journal_dir=tmp_path / "journal", service="shop").service == "shop"

"""`once`: a repeated call records nothing and returns the first receipt, through every form of the call."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import whodid
from tests.recording import WHO, configured, recorded
from whodid.catalog import Catalog
from whodid.errors import InvalidEntry
from whodid.integrations.request import PreparedCall
from whodid.journal import Journal
from whodid.recording.recorder import Recorder
from whodid.settings import Settings
from whodid.testing import audit_entries

DAY_NS = 86_400 * 10**9


@pytest.fixture
def journal_dir(tmp_path: Path) -> Iterator[Path]:
    structlog.reset_defaults()
    yield configured(tmp_path)
    structlog.reset_defaults()


def audit(event_type: str = "credentials_created", **fields: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        return whodid.get_logger().audit(event_type, **{"target": "6Yk2", **fields})


FORMS: dict[str, Callable[..., whodid.Receipt]] = {
    "typed": lambda **fields: whodid.get_logger().audit("credentials_created", **fields),
    "logging": lambda **fields: logging.getLogger("app").audit("credentials_created", **fields),  # type: ignore[attr-defined]
    "adapter": lambda **fields: logging.LoggerAdapter(logging.getLogger("app")).audit(  # type: ignore[attr-defined]
        "credentials_created", **fields
    ),
    "structlog": lambda **fields: structlog.get_logger().audit("credentials_created", **fields),
    "aaudit": lambda **fields: asyncio.run(whodid.get_logger().aaudit("credentials_created", **fields)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("again", FORMS)
def test_a_repeated_call_returns_the_first_receipt(journal_dir: Path, form: str, again: str) -> None:
    with whodid.context(**WHO):
        first = FORMS[form](target="1", once="refund 7")
        assert FORMS[again](target="2", once="refund 7") == first
        other = FORMS[again](target="1", once="refund 8")
    assert first.recorded
    assert [entry["hash"] for entry in recorded(journal_dir)] == [first.hash, other.hash]


def test_a_key_belongs_to_an_event_type(journal_dir: Path) -> None:
    first = audit("credentials_created", once="a")
    assert audit("credentials_updated", once="a").seq == 2
    assert audit("credentials_created", once="a") == first


def test_the_entry_holds_a_hash_of_the_key_and_nothing_of_it(journal_dir: Path) -> None:
    audit(once="a-secret-key")
    audit(once=None)
    first, second = recorded(journal_dir)
    assert len(first["once"]) == 32
    assert "once" not in second
    of_the_journal = {"journal", "seq", "prev", "hash", "salt", "committed"}
    Catalog.load().check({name: value for name, value in first.items() if name not in of_the_journal})
    assert [file for file in journal_dir.rglob("*") if file.is_file() and b"a-secret-key" in file.read_bytes()] == []


@pytest.mark.parametrize("key", ["", "x" * 513, 7, b"bytes", ["a"], "\0", "\ud800"])
def test_a_key_that_is_no_text_of_1_to_512_characters_is_refused(journal_dir: Path, key: Any) -> None:
    with pytest.raises(InvalidEntry, match="once"):
        audit(once=key)
    assert recorded(journal_dir) == []


def test_the_longest_key_and_text_of_another_class_are_text(journal_dir: Path) -> None:
    class Markup(str):
        __slots__ = ()

    assert audit(once=Markup("ä" * 512)) == audit(once="ä" * 512)


def test_a_key_can_not_be_bound_and_a_bound_one_does_not_count(journal_dir: Path) -> None:
    for bind in (whodid.context, whodid.bind, whodid.system):
        with pytest.raises(InvalidEntry, match=r"audit\(…, once=…\)"):
            bind(once="a")  # type: ignore[call-arg, unused-ignore]
    bound = structlog.get_logger().bind(once="a")
    adapter: Any = logging.LoggerAdapter(logging.getLogger("app"), {"once": "a"})
    with whodid.context(**WHO):
        for logger in (bound, adapter):
            for _ in range(2):
                logger.audit("credentials_created", target="1")
    assert ["once" in entry for entry in recorded(journal_dir)] == [False] * 4


def test_a_pair_has_no_key(journal_dir: Path) -> None:
    log = whodid.get_logger()
    with pytest.raises(InvalidEntry, match="once"), log.auditing("team_deleted", target="9", once="a"):  # type: ignore[call-arg]
        pytest.fail("the action ran")
    with (
        whodid.context(**WHO),
        log.auditing("team_deleted", target="9") as operation,
        pytest.raises(InvalidEntry, match="once"),
    ):
        operation.add(once="a")  # type: ignore[call-arg]
    assert len(recorded(journal_dir)) == 2


def test_an_invalid_call_remembers_no_key_and_keeps_none(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, on_invalid="quarantine")
    assert not audit(once="a-secret-key", colour="red").recorded
    assert not audit(once="y" * 600).recorded
    assert b"a-secret-key" not in (journal_dir / "rejected.ndjson").read_bytes()
    assert b"yyy" not in (journal_dir / "rejected.ndjson").read_bytes()
    assert audit(once="a-secret-key").seq == 1


def test_a_call_that_was_not_recorded_remembers_no_key(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, on_failure="warn")
    audit()
    shutil.move(journal_dir, tmp_path / "away")
    journal_dir.touch()
    with pytest.warns(UserWarning, match="not recorded"):
        assert not audit(once="a").recorded
    journal_dir.unlink()
    shutil.move(tmp_path / "away", journal_dir)
    assert (audit(once="a").recorded, len(recorded(journal_dir))) == (True, 2)


def test_a_misspelt_key_is_suggested() -> None:
    with audit_entries(), pytest.raises(InvalidEntry, match="did you mean once"):
        audit(onec="a")


def test_a_call_that_waits_for_a_commit_has_its_key(journal_dir: Path) -> None:
    with pytest.raises(InvalidEntry, match="once"):
        PreparedCall("credentials_created", {"target": "1", "once": "", **WHO})
    first, second = (PreparedCall("credentials_created", {"target": "1", "once": "a", **WHO}) for _ in range(2))
    first.record()
    second.record()
    PreparedCall("credentials_created", {"target": "1", **WHO}).record()
    assert ["once" in entry for entry in recorded(journal_dir)] == [True, False]


@pytest.mark.parametrize("kind", ["journal", "test"])
def test_a_key_counts_for_a_day(tmp_path: Path, kind: str) -> None:
    now = [1_800_000_000 * 10**9]

    def record() -> int:
        return recorder.record("credentials_created", {"target": "1", "once": "a", **WHO})[0].seq

    with audit_entries() as entries:
        journal = entries.journal if kind == "test" else Journal(tmp_path / "journal")
        recorder = Recorder(Settings(), journal=journal, clock_ns=lambda: now[0])
        seen = [record()]
        for step in (DAY_NS - 10**9, 10**9, DAY_NS // 2, 10**9 - 3 * DAY_NS // 2, -(10**9)):
            now[0] += step
            seen.append(record())
    assert seen == [1, 1, 2, 2, 2, 3]


def test_the_ordinary_line_of_a_repeated_call_names_the_first_entry(
    journal_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        first = audit(once="a")
        audit(once="a")
    assert [first.entry_id in record.getMessage() for record in caplog.records] == [True, True]
    formatted = [whodid.AuditJsonFormatter().format(record) for record in caplog.records]
    assert [first.hash in line for line in formatted] == [True, False]  # one entry, once


def test_tests_of_applications_see_the_same() -> None:
    with audit_entries() as entries:
        first = audit(once="a")
        assert audit(once="a", target="another") == first
        audit("credentials_updated", once="a")
        audit(once="b")
    assert [entry["target"] for entry in entries] == ["6Yk2"] * 3
    entries.assert_recorded(type="credentials_updated")


def test_a_key_counts_under_the_old_names_of_a_type(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text('extends = "platform"\n[aliases]\nold_created = "credentials_created"\n')
    configured(tmp_path, catalog=catalog)
    with pytest.warns(UserWarning, match="old name"):
        first = audit("old_created", once="k")
    assert audit("credentials_created", once="k") == first


def test_the_error_of_a_call_with_a_key_says_nothing_of_the_key(tmp_path: Path) -> None:
    recorder = Recorder(Settings(journal_dir=str(tmp_path / "journal")))
    with pytest.raises(InvalidEntry, match="principal is missing") as error:
        recorder.record("credentials_created", {"target": "x", "client_ip": "192.0.2.7", "once": "k"})
    assert "once" not in str(error.value)

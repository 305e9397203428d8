"""structlog: an entry is recorded whatever the application's chain does, and the ordinary line says so."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import whodid
import whodid.recording.call
from tests.recording import WHO, configured, recorded


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(whodid.recording.call, "_warned", set())
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    return configured(tmp_path)


def keep_lines(lines: list[Any]) -> Any:
    """A renderer that keeps what it is given and prints nothing."""

    def render(_logger: Any, _name: str, event_dict: Any) -> Any:
        lines.append(dict(event_dict))
        raise structlog.DropEvent

    return render


def configure_structlog(lines: list[Any], *before: Any, level: int = logging.NOTSET, **keywords: Any) -> None:
    structlog.configure(
        processors=[*before, keep_lines(lines)],
        wrapper_class=whodid.audited(structlog.make_filtering_bound_logger(level)),
        **keywords,
    )


def audit(**fields: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        receipt = structlog.get_logger().audit("credentials_created", target="6Yk2", status="aws", **fields)
    assert isinstance(receipt, whodid.Receipt)
    return receipt


def test_an_application_without_a_configuration_gets_one(journal_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = audit()
    assert [entry["hash"] for entry in recorded(journal_dir)] == [receipt.hash]
    assert receipt.entry_id in capsys.readouterr().out


def test_an_existing_configuration_is_never_replaced(tmp_path: Path) -> None:
    lines: list[Any] = []
    configure_structlog(lines)
    before = structlog.get_config()
    configured(tmp_path)
    assert structlog.get_config() == before


@pytest.mark.parametrize("processors", [(), (whodid.AuditProcessor(),)], ids=["without", "with"])
def test_the_ordinary_line_has_type_target_and_entry_and_no_personal_field(
    journal_dir: Path, processors: tuple[Any, ...]
) -> None:
    lines: list[Any] = []
    configure_structlog(lines, *processors)
    receipt = audit(principal_email="ada@example.org")
    [line] = lines
    assert line == {"event": "credentials_created", "target": "6Yk2", "entry_id": receipt.entry_id}


def test_ordinary_lines_are_left_alone(journal_dir: Path) -> None:
    lines: list[Any] = []
    configure_structlog(lines, whodid.AuditProcessor())
    structlog.get_logger().info("hello", principal="7")
    assert lines == [{"event": "hello", "principal": "7"}]
    assert recorded(journal_dir) == []


def test_bound_keys_that_name_entry_fields_fill_the_entry(journal_dir: Path) -> None:
    configure_structlog([])
    with whodid.context(**WHO):
        log = structlog.get_logger().bind(organization_id="8", shard=3, level="info")
        log.audit("credentials_created", target="6Yk2")
    [entry] = recorded(journal_dir)
    assert entry["organization_id"] == "8"
    assert "shard" not in entry


def _drop(_logger: Any, _name: str, _event_dict: Any) -> Any:
    raise structlog.DropEvent


def _break(_logger: Any, _name: str, _event_dict: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("processors", "level"),
    [
        ((_drop, whodid.AuditProcessor()), logging.NOTSET),
        ((_break, whodid.AuditProcessor()), logging.NOTSET),
        ((whodid.AuditProcessor(),), logging.CRITICAL),
    ],
    ids=["dropped", "broken", "level"],
)
def test_what_swallows_the_line_does_not_swallow_the_entry_and_is_named_once(
    journal_dir: Path, processors: tuple[Any, ...], level: int
) -> None:
    configure_structlog([], *processors, level=level)
    with pytest.warns(RuntimeWarning, match="the structlog chain .* recorded the entry all the same"):
        receipt = audit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = audit()
    assert [entry["hash"] for entry in recorded(journal_dir)] == [receipt.hash, second.hash]


def test_without_the_processor_a_level_only_hides_the_ordinary_line(journal_dir: Path) -> None:
    lines: list[Any] = []
    configure_structlog(lines, level=logging.CRITICAL)
    assert audit().recorded
    assert lines == []
    assert len(recorded(journal_dir)) == 1


def test_echo_off_records_and_prints_nothing(tmp_path: Path) -> None:
    lines: list[Any] = []
    configure_structlog(lines, whodid.AuditProcessor())
    journal_dir = configured(tmp_path, echo=False)
    assert audit().recorded
    assert lines == []
    assert len(recorded(journal_dir)) == 1


def test_an_invalid_call_raises_through_the_chain_and_records_nothing(journal_dir: Path) -> None:
    lines: list[Any] = []
    configure_structlog(lines, whodid.AuditProcessor())
    with pytest.raises(whodid.InvalidEntry, match="nope is not a field"):
        audit(nope=1)
    assert (lines, recorded(journal_dir)) == ([], [])


def test_stdlib_loggers_under_structlog_record_too(journal_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            whodid.AuditProcessor(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_log_level_number,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=whodid.audited(structlog.stdlib.BoundLogger),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    with caplog.at_level(logging.INFO), whodid.context(**WHO):
        structlog.get_logger("app").audit("credentials_created", target="6Yk2")
    assert [record.getMessage() for record in caplog.records] == ["credentials_created"]
    assert len(recorded(journal_dir)) == 1


def test_aaudit_keeps_the_context_and_the_event_loop_free(journal_dir: Path) -> None:
    configure_structlog([])

    async def request(user: str) -> None:
        with whodid.context(principal=user):
            await structlog.get_logger().aaudit("credentials_created", target=user)

    async def all_at_once() -> None:
        await asyncio.gather(*(request(str(n)) for n in range(30)))

    asyncio.run(all_at_once())
    entries = recorded(journal_dir)
    assert len(entries) == 30
    assert all(entry["principal"] == entry["target"] for entry in entries)


def test_an_audited_class_stays_what_it_was() -> None:
    audited = whodid.audited(structlog.stdlib.BoundLogger)
    assert issubclass(audited, structlog.stdlib.BoundLogger)
    assert whodid.audited(audited) is audited


FORGED = "6Yk2\nuser_signed_in\r\x1b[2J\u2028"


@pytest.mark.parametrize("processors", [[], [whodid.AuditProcessor()]])
def test_the_ordinary_line_is_one_line_whatever_the_call_holds(tmp_path: Path, processors: list[Any]) -> None:
    configured(tmp_path, on_invalid="quarantine")
    lines: list[Any] = []
    configure_structlog(lines, *processors)
    for event_type, target in (("credentials_created", FORGED), ("user\n_created", object())):
        structlog.get_logger().audit(event_type, target=target, principal="42")
    assert [(line["event"], line["target"]) for line in lines] == [
        ("credentials_created", r"6Yk2\nuser_signed_in\r\u001b[2J\u2028"),
        (r"user\n_created", "[object]"),
    ]


@pytest.mark.parametrize("processors", [[], [whodid.AuditProcessor()]])
def test_a_processor_that_audits_what_it_sees_does_not_recurse(journal_dir: Path, processors: list[Any]) -> None:
    def auditing(_logger: Any, _name: str, event_dict: Any) -> Any:
        structlog.get_logger().audit("credentials_accessed", target=event_dict["event"], principal="system")
        return event_dict

    lines: list[Any] = []
    configure_structlog(lines, *processors, auditing)
    assert audit().recorded
    assert [entry["type"] for entry in recorded(journal_dir)] == ["credentials_created", "credentials_accessed"]
    assert [line["event"] for line in lines] == ["credentials_created"]


def test_a_wrapper_class_with_an_audit_of_its_own_is_left_alone_and_named(tmp_path: Path) -> None:
    class Own(structlog.BoundLogger):
        def audit(self, event: str, **fields: Any) -> str:
            return event

    structlog.configure(wrapper_class=Own)
    with pytest.warns(RuntimeWarning, match=r"Own\.audit: defined by the application"):
        configured(tmp_path)
    assert structlog.get_logger().audit("x") == "x"

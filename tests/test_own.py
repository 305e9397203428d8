"""Own entries: part of the application's chain, whatever its catalog is; their names are whodid's."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import whodid
from tests.recording import configured, recorded
from whodid.catalog import Catalog
from whodid.cli import program
from whodid.errors import CatalogError, InvalidEntry, NotRecorded
from whodid.recording.own import record_operation, record_own
from whodid.settings import Settings

CLOSED = "audit_log_journal_closed"


def test_an_own_entry_goes_on_with_the_chain_of_the_application(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        whodid.get_logger().audit("credentials_created", target="6Yk2")
        receipt = record_own(
            Settings(journal_dir=str(journal_dir)), CLOSED, principal="system", target="j", details={"shipped": 1}
        )
        whodid.get_logger().audit("credentials_created", target="6Yk3")
    entries = recorded(journal_dir)
    assert [entry["type"] for entry in entries] == ["credentials_created", CLOSED, "credentials_created"]
    assert (receipt.seq, entries[1]["principal"], "client_ip" in entries[1]) == (2, "system", False)


def test_an_own_entry_is_recorded_whatever_the_catalog_is(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        '[resources.a]\nlabel = "A"\ntarget = "a"\n[types.a_b]\nresource = "a"\nevent = "b"\nabout = "c"'
    )
    journal_dir = configured(tmp_path, catalog=catalog)
    with whodid.context(principal="42"):
        whodid.get_logger().audit("a_b", target="1")
        with pytest.raises(InvalidEntry, match="there is no event type 'team_created'"):
            whodid.get_logger().audit("team_created", target="1")
    for name, known in Catalog.own().types.items():
        principal = known.rules.principal or "42"
        record_own(
            Settings(journal_dir=str(journal_dir), catalog=str(catalog)),
            name,
            principal=principal,
            target="1",
            details={"a": "b"},
        )
    assert [entry["type"] for entry in recorded(journal_dir)] == ["a_b", *Catalog.own().types]


def _recording(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that has a --reason, and its words."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found
            yield from _recording(found, (*path, name))
    elif any(parameter.name == "reason" for parameter in command.params):
        yield path, command


@pytest.mark.parametrize("reason", ["", " \t", "\u200b"])
def test_no_command_records_an_empty_reason(tmp_path: Path, reason: str) -> None:
    found = dict(_recording(program))
    assert len(found) >= 6
    for path, command in found.items():
        needed = [one for one in command.params if one.required and one.name != "reason"]
        given = [word for one in needed for word in ([one.opts[0], "x"] if isinstance(one, click.Option) else ["x"])]
        answer = CliRunner().invoke(program, [*path, *given, "--reason", reason, f"--journal-dir={tmp_path / 'j'}"])
        said = "--reason must not be empty; it is recorded in the audit log" in answer.output
        assert (answer.exit_code, said) == (2, True), path
    assert not (tmp_path / "j").exists()


def test_an_operation_is_that_of_the_systems_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    record_operation(settings, "audit_log_journal_retired", "j", {"reason": "gone"})
    monkeypatch.setenv("SUDO_USER", "alice")
    record_operation(settings, "audit_log_journal_retired", "j", {"reason": "gone"})
    first, second = recorded(tmp_path / "journal")
    assert first["principal"] == second["principal"] == getpass.getuser()
    assert (first["details"], second["details"]) == ({"reason": "gone"}, {"reason": "gone", "sudo_user": "alice"})


def test_what_can_not_be_recorded_is_an_error_even_where_the_application_goes_on(tmp_path: Path) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"), on_failure="warn", max_bytes=1)
    with pytest.raises(NotRecorded, match="max_bytes"):
        record_operation(settings, "audit_log_journal_retired", "j", {"reason": "gone"})


def test_an_application_can_not_record_an_own_type(tmp_path: Path) -> None:
    configured(tmp_path)
    with whodid.context(principal="42"), pytest.raises(InvalidEntry, match="there is no event type"):
        whodid.get_logger().audit(CLOSED, target="j", details={})


@pytest.mark.parametrize(
    "text",
    [
        '[resources.audit_log]\nlabel = "A"\ntarget = "t"\n',
        '[resources.r]\nlabel = "A"\ntarget = "t"\n[types.audit_log_read]\nresource = "r"\nevent = "e"\nabout = "a"\n',
    ],
)
def test_a_catalog_can_not_take_the_names_of_whodid(text: str) -> None:
    with pytest.raises(CatalogError, match="are reserved for whodid itself; choose another"):
        Catalog.parse(text)


def test_own_types_are_none_of_the_default_catalog() -> None:
    assert not set(Catalog.own().types) & set(Catalog.load().types)
    assert {kind.resource for kind in Catalog.own().types.values()} == {"audit_log"}

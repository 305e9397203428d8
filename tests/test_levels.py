"""The setting `record`: what is left out, what is off, and that a change of it is recorded once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner

import whodid
from tests.catalogs import DOOR
from tests.recording import WHO, configured, recorded
from whodid.catalog import Catalog
from whodid.cli import program
from whodid.errors import InvalidEntry, NotRecorded, SettingsError
from whodid.integrations.request import PreparedCall
from whodid.integrity import line_hash
from whodid.journal.directory import not_recorded, segments
from whodid.recording import own
from whodid.recording.own import levels_recorded, record_levels, record_own
from whodid.settings import Level, Settings, load_settings
from whodid.testing import audit_entries

CHANGED = "audit_log_recording_changed"
Levels = dict[str, Level]


def audit(event_type: str, **fields: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        return whodid.get_logger().audit(event_type, **{"target": "6Yk2", **fields})


def applications(journal_dir: Path) -> list[dict[str, Any]]:
    """The entries of the application."""
    return [entry for entry in recorded(journal_dir) if entry["type"] != CHANGED]


def changes(journal_dir: Path) -> list[dict[str, Any]]:
    return [entry["details"] for entry in recorded(journal_dir) if entry["type"] == CHANGED]


def test_a_type_that_is_off_is_not_recorded_and_the_receipt_says_why(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"workflow_created": "off"})
    for _ in range(2):
        receipt = audit("workflow_created")
        assert (receipt.recorded, receipt.entry_id) == (False, "")
        assert receipt.error == "recording of workflow_created is off by the setting record"
    assert audit("workflow_launched").recorded
    assert [entry["type"] for entry in applications(journal_dir)] == ["workflow_launched"]
    assert not_recorded(journal_dir) == 0


def test_a_call_of_a_type_that_is_off_is_not_checked_and_keeps_no_value(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"workflow_created": "off"}, on_invalid="quarantine")
    assert "off" in whodid.get_logger().audit("workflow_created", nonsense=1).error  # type: ignore[call-arg]
    assert not (journal_dir / "rejected.ndjson").exists()
    configured(tmp_path, record={"workflow_created": "off"})
    with pytest.raises(InvalidEntry, match="there is no event type"):
        audit("workflow_creatd")
    with pytest.raises(InvalidEntry, match="must be a name"):
        audit({})  # type: ignore[arg-type]


def test_the_action_of_a_pair_that_is_off_happens(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"team_deleted": "off"})
    with whodid.context(**WHO), whodid.get_logger().auditing("team_deleted", target="9") as operation:
        operation.add(details={"members": 3})
    PreparedCall("team_deleted", {"target": "9", "nonsense": "1"}).record()
    assert applications(journal_dir) == []


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ({"credentials_*": "off"}, "off"),
        ({"c*": "off", "cred*": "metadata"}, "metadata"),
        ({"cred*": "off", "c*": "metadata"}, "off"),
        ({"credentials_updated": "full", "credentials_*": "off"}, "full"),
        ({"credentials_updated*": "off", "credentials_updated": "metadata"}, "metadata"),
        ({"credentials_created": "off", "credentials_d*": "off"}, "full"),
    ],
)
def test_a_name_counts_before_patterns_and_a_longer_pattern_before_a_shorter(
    tmp_path: Path, record: Levels, level: Level
) -> None:
    journal_dir = configured(tmp_path, record=record)
    assert audit("credentials_updated", before={"a": 1}).recorded == (level != "off")
    kept = [("before" in entry, "shortened" in entry) for entry in applications(journal_dir)]
    assert kept == {"off": [], "full": [(True, False)], "metadata": [(False, True)]}[level]


@pytest.mark.parametrize(
    ("record", "old"),
    [({"member_created": "off"}, False), ({"member_created": "off", "member_added": "full"}, True)],
)
@pytest.mark.filterwarnings("ignore:member_added is an old name")
def test_what_is_off_is_off_under_its_old_names_unless_they_are_listed(
    tmp_path: Path, record: Levels, old: bool
) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text('extends = "platform-2"')
    configured(tmp_path, record=record, catalog=catalog)
    assert audit("member_added").recorded == old
    assert not audit("member_created").recorded


def test_metadata_has_no_details_and_no_images_and_the_entry_says_so(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"user_updated": "metadata"})
    assert audit(
        "user_updated", status="by hand", before={"name": "a"}, after={"name": "b"}, details={"why": "x"}
    ).recorded
    assert audit("user_updated").recorded
    first, second = applications(journal_dir)
    assert not {"before", "after", "details"} & first.keys()
    assert first["shortened"] == {name: {"record": "metadata"} for name in ("before", "after", "details")}
    assert (first["status"], first["client_ip"]) == ("by hand", WHO["client_ip"])
    assert "shortened" not in second
    assert b"why" not in b"".join(path.read_bytes() for path in _segments(journal_dir))


def _segments(journal_dir: Path) -> list[Path]:
    [journal] = {entry["journal"] for entry in recorded(journal_dir)}
    return segments(journal_dir / journal)


def test_the_hash_of_such_an_entry_is_known_from_its_line_alone(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"user_updated": "metadata"})
    audit("user_updated", details={"client_ip": "1.2.3.4"}, status="x", user_agent="curl")
    *_, line = _segments(journal_dir)[0].read_bytes().splitlines()
    entry = json.loads(line)
    assert entry["committed"] == ["client_ip", "user_agent"]
    assert line_hash(line) == entry["hash"]


RULED = (
    DOOR
    + """\
requires = ["before", "after"]
details = { required = ["side", "key"], properties = { side = { enum = ["in", "out"] }, key = { type = "string" } } }
"""
)


def test_what_the_catalog_requires_remains_so_that_the_entry_keeps_its_rules(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(RULED)
    journal_dir = configured(tmp_path, catalog=catalog, record={"door_opened": "metadata"})
    large = {"log": "l" * 20_000, "more": "m" * 20_000}
    with pytest.raises(InvalidEntry, match=r"details\.key is required"):
        audit("door_opened", before={}, after={"a": 1}, details={"side": "in"})
    audit("door_opened", before={}, after={"a": 1}, details={"side": "in", "key": "k" * 21_000, **large})
    audit("door_opened", before={}, after={}, details={"side": "in", "key": "k"})
    first, second = applications(journal_dir)
    assert (first["before"], first["after"], first["details"]["side"]) == ({}, {}, "in")
    assert first["details"] == {"side": "in", "key": "k" * 21_000}
    assert {path: sorted(cut) for path, cut in first["shortened"].items()} == {
        "after": ["record"],
        "details": ["record"],
    }
    assert (second["details"], "shortened" in second) == ({"side": "in", "key": "k"}, False)
    validator = jsonschema_rs.validator_for(Catalog.load(catalog).json_schema(), validate_formats=True)
    assert all(validator.is_valid(entry) for entry in (first, second))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([], "record must be a table such as"),
        ("off", "record must be a table such as"),
        ({f"a{n}": "off" for n in range(101)}, "with at most 100 keys"),
        ({"*": "off"}, r"record: '\*' must be an event type, or the start of several: 'credentials_\*'"),
        ({"a*b": "off"}, r"record: 'a\*b' must be an event type"),
        ({"": "off"}, "record: '' must be an event type"),
        ({3: "off"}, "record: 3 must be an event type"),
        ({"team_created": "none"}, "record: team_created must be one of full, metadata, off, not 'none'"),
        ({"team_created": ["off"]}, r"not \['off'\]"),
        ({"audit_log_searched": "off"}, "record: audit_log_searched: what whodid records itself is recorded in full"),
        ({"audit_log*": "off"}, r"record: audit_log\*: what whodid records itself"),
    ],
)
def test_a_bad_value_is_an_error_that_says_what_to_change(record: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(environ={}, record=record)
    with pytest.raises(SettingsError, match=said):
        Settings(record=record)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "workflow_creatd",
            r"record: there is no event type 'workflow_creatd' in the catalog .did you mean 'workflow_cre",
        ),
        ("workflows_*", r"record: there is no event type 'workflows_\*' in the catalog"),
    ],
)
def test_a_type_that_the_catalog_lacks_is_an_error_with_the_one_that_was_meant(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        configured(tmp_path, record={name: "off"})
    assert not (tmp_path / "journal").exists()


def test_it_is_a_table_of_the_file_and_a_list_in_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "whodid.toml"
    file.write_text('[record]\n"credentials_*" = "metadata"\nworkflow_created = "off"\n')
    found = load_settings(file, environ={}).record
    assert found == {"credentials_*": "metadata", "workflow_created": "off"}
    text = "credentials_*=metadata, workflow_created = off,"
    assert load_settings(environ={"WHODID_RECORD": text}).record == found
    with pytest.raises(SettingsError, match="record: workflow_created must be one of full, metadata, off, not ''"):
        load_settings(environ={"WHODID_RECORD": "workflow_created"})
    assert hash(Settings(record={"team_created": "off"}))


def test_what_whodid_records_itself_is_recorded_whatever_the_setting_is(tmp_path: Path) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"), record={"a*": "off", "action_created": "off"})
    assert record_own(settings, "audit_log_searched", target="x", principal="42", details={"query": "*"}).recorded


def test_a_change_is_recorded_once_and_the_way_back_as_well(tmp_path: Path) -> None:
    for _ in range(3):
        journal_dir = configured(tmp_path, service="shop", record={"workflow_created": "off"})
    configured(tmp_path, service="shop", record={"workflow_created": "metadata", "team_*": "off"})
    for _ in range(2):
        configured(tmp_path, service="shop")
    assert changes(journal_dir) == [
        {"from": [], "to": ["workflow_created = off"]},
        {"from": ["workflow_created = off"], "to": ["team_* = off", "workflow_created = metadata"]},
        {"from": ["team_* = off", "workflow_created = metadata"], "to": []},
    ]
    entry = recorded(journal_dir)[0]
    assert (entry["principal"], entry["target"], entry["service"]) == ("system", "shop", "shop")
    assert levels_recorded(journal_dir) == {}


def test_applications_that_share_a_journal_do_not_undo_each_other(tmp_path: Path) -> None:
    for _ in range(3):
        configured(tmp_path, service="shop", record={"workflow_created": "off"})
        journal_dir = configured(tmp_path, service="api", record={"team_created": "metadata"})
        configured(tmp_path)
    assert len(changes(journal_dir)) == 2
    assert levels_recorded(journal_dir) == {"shop": {"workflow_created": "off"}, "api": {"team_created": "metadata"}}


def test_without_the_setting_nothing_is_written_before_the_first_entry(tmp_path: Path) -> None:
    assert not configured(tmp_path).exists()


def test_the_fixture_of_tests_has_no_entry_about_it(tmp_path: Path) -> None:
    with audit_entries() as entries:
        journal_dir = configured(tmp_path, record={"workflow_created": "off"})
        audit("team_created")
        assert [entry["type"] for entry in entries] == ["team_created"]
    assert not journal_dir.exists()


def test_the_file_is_its_owners_alone_and_a_user_of_the_context_did_not_change_the_setting(tmp_path: Path) -> None:
    with whodid.context(**WHO):
        journal_dir = configured(tmp_path, record={"workflow_created": "off"})
    [entry] = recorded(journal_dir)
    assert (entry["principal"], entry["target"], "client_ip" in entry) == ("system", "audit_log", False)
    for name in ("recording.json", "recording.lock"):
        assert stat.S_IMODE((journal_dir / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"3", b'{"": 3}', b'{"": {"a": "x"}}', b'{"": {"\xc3\xa9": "off"}}', b'{"\\ud800": {}}'),
        *(b"\xff", b'{"": {"audit_log_searched": "off"}}', b"[" * 100_000),
    ],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    journal_dir = configured(tmp_path, record={"workflow_created": "off"})
    (journal_dir / "recording.json").write_bytes(content)
    assert levels_recorded(journal_dir) == {}
    configured(tmp_path, record={"workflow_created": "off"})
    assert changes(journal_dir) == [{"from": [], "to": ["workflow_created = off"]}] * 2
    assert levels_recorded(journal_dir) == {"": {"workflow_created": "off"}}


def linked(path: Path) -> None:
    other = path.with_name("other")
    other.write_text('{"": {"team_created": "off"}}')
    path.unlink()
    path.symlink_to(other)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("replace_by", [linked, piped])
def test_a_link_or_a_pipe_in_its_place_is_not_read(tmp_path: Path, replace_by: Callable[[Path], None]) -> None:
    journal_dir = configured(tmp_path, record={"workflow_created": "off"})
    replace_by(journal_dir / "recording.json")
    assert levels_recorded(journal_dir) == {}


def test_a_crash_between_entry_and_file_records_the_change_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    settings = Settings(journal_dir=str(tmp_path / "journal"), record={"workflow_created": "off"})
    with monkeypatch.context() as patched:
        patched.setattr(own, "write_file", crash)
        with pytest.raises(KeyboardInterrupt):
            record_levels(settings)
    record_levels(settings)
    record_levels(settings)
    assert len(changes(tmp_path / "journal")) == 2


def test_a_change_that_cannot_be_recorded_fails_the_start_or_is_warned_of_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"), record={"workflow_created": "off"})
    (tmp_path / "journal").write_text("a file")
    said = r"a change of the setting record could not be recorded: journal_dir .* is a file"
    with pytest.raises(NotRecorded, match=said):
        record_levels(settings)
    with pytest.warns(UserWarning, match=said):
        record_levels(replace(settings, on_failure="warn"))
    (tmp_path / "journal").unlink()
    record_levels(settings)
    assert len(changes(tmp_path / "journal")) == 1


START = (
    "import sys, whodid; sys.stdin.read(); whodid.configure(journal_dir=sys.argv[1], record={'team_created': 'off'})"
)


def test_processes_that_start_together_record_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, str(tmp_path / "journal")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for process in started:
        assert process.stdin
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * 4
    assert len(changes(tmp_path / "journal")) == 1


def test_status_and_doctor_say_what_is_not_recorded_in_full(tmp_path: Path) -> None:
    configured(tmp_path, service="shop", record={"workflow_created": "off", "user_*": "metadata"})
    journal_dir = configured(tmp_path, service="api")
    said = "shop does not record everything in full: workflow_created = off, user_* = metadata"
    status = CliRunner().invoke(program, ["status", "--local", "--journal-dir", str(journal_dir)])
    assert (status.exit_code, said in status.output) == (0, True)
    as_json = CliRunner().invoke(program, ["status", "--local", "--json", "--journal-dir", str(journal_dir)])
    assert json.loads(as_json.output)["reduced"] == [said]
    doctor = CliRunner().invoke(program, ["doctor", "--only", "journal", "--journal-dir", str(journal_dir)])
    assert f"warning: journal: {journal_dir / 'recording.json'}: {said}" in doctor.output
    configured(tmp_path, service="shop")
    status = CliRunner().invoke(program, ["status", "--local", "--journal-dir", str(journal_dir)])
    assert "in full" not in status.output


def test_of_a_name_that_moves_the_cursor_no_status_shows_the_characters(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, record={"workflow_created": "off"})
    (journal_dir / "recording.json").write_text(json.dumps({"\x1b[2J": {"team_created": "off"}}))
    status = CliRunner().invoke(program, ["status", "--local", "--journal-dir", str(journal_dir)])
    assert "�[2J does not record everything in full: team_created = off" in status.output
    assert "\x1b" not in status.output


@pytest.mark.parametrize("hash_key", ["", "k" * 32])
def test_a_change_of_any_type_is_told_in_clear(tmp_path: Path, hash_key: str) -> None:
    names = [*Catalog.load().types, "credentials_*"]
    levels: dict[str, Level] = dict.fromkeys(names, "metadata")
    record_levels(Settings(journal_dir=str(tmp_path / "journal"), record=levels, hash_key=hash_key))
    [change] = [entry["details"] for entry in recorded(tmp_path / "journal")]
    assert change == {"from": [], "to": [f"{name} = metadata" for name in sorted(names)]}


ALIASES = """extends = "platform"
[aliases]
mid_created = "credentials_created"
old_created = "mid_created"
"""


def test_what_is_off_is_off_under_every_older_name(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(ALIASES)
    configured(tmp_path, catalog=catalog, record={"credentials_created": "off"})
    assert not any(audit(name) for name in ("credentials_created", "mid_created", "old_created"))
    configured(tmp_path, catalog=catalog)
    with pytest.warns(UserWarning, match="old_created is an old name of credentials_created, which finds it too"):
        assert audit("old_created")


@pytest.mark.parametrize("rule", ["minProperties = 1", 'anyOf = [{ required = ["a"] }, { required = ["b"] }]'])
def test_what_needs_any_details_keeps_its_rules_without_them(tmp_path: Path, rule: str) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(DOOR + f"details = {{ {rule} }}\n")
    journal_dir = configured(tmp_path, catalog=catalog, record={"door_opened": "metadata"})
    assert audit("door_opened", details={"a": 1})
    [entry] = applications(journal_dir)
    assert (entry["details"], entry["shortened"]) == ({}, {"details": {"record": "metadata"}})
    assert jsonschema_rs.validator_for(Catalog.load(catalog).json_schema(), validate_formats=True).is_valid(entry)


def test_what_was_dropped_for_its_size_is_still_told(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(45)]
    catalog = tmp_path / "events.toml"
    catalog.write_text(DOOR + f"details = {{ required = {json.dumps(keys)} }}\n")
    journal_dir = configured(tmp_path, catalog=catalog, record={"door_opened": "metadata"})
    assert audit("door_opened", details=dict.fromkeys(keys, "x" * 900))
    [entry] = applications(journal_dir)
    assert len(entry["details"]) < 45
    assert entry["shortened"]["details"]["bytes"] > 40_000

"""The 54 event types, recorded for real: what keeps the rules reaches the journal, what breaks one doesn't.

The broken entries are made from the rules of the catalog, so a new type needs one row in `TYPES`, and one in `NEEDS`
where its valid entry is more than a target and a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

import whodid
from whodid.catalog import Catalog
from whodid.errors import InvalidEntry
from whodid.journal import read_entries
from whodid.recording.recorder import Recorder
from whodid.resources import resource_text
from whodid.settings import Settings

CATALOG = Catalog.load()
COMMITTED = jsonschema_rs.validator_for(resource_text("config/audit-entry.schema.json"), validate_formats=True)
NOON = 1_795_435_200_000_000_000
"""2026-11-23T12:00:00Z, in nanoseconds."""
CANARY = "hunter2-canary"

TYPES: Mapping[str, str] = {
    "access_token_created": "access_token",
    "access_token_deleted": "access_token",
    "compute_environment_created": "compute_environment",
    "compute_environment_updated": "compute_environment",
    "compute_environment_deleted": "compute_environment",
    "credentials_created": "credentials",
    "credentials_updated": "credentials",
    "credentials_deleted": "credentials",
    "credentials_accessed": "credentials",
    "data_link_created": "data_link",
    "data_link_updated": "data_link",
    "data_link_deleted": "data_link",
    "data_link_hide": "data_link",
    "data_link_show": "data_link",
    "studio_session_created": "studio_session",
    "studio_session_started": "studio_session",
    "studio_session_connected": "studio_session",
    "studio_session_disconnected": "studio_session",
    "studio_session_stopped": "studio_session",
    "studio_session_deleted": "studio_session",
    "studio_session_build_started": "studio_environment",
    "studio_session_build_succeeded": "studio_environment",
    "studio_session_build_failed": "studio_environment",
    "data_link_file_download": "data_link_file",
    "data_link_file_upload": "data_link_file",
    "data_link_file_preview": "data_link_file",
    "organization_created": "organization",
    "organization_deleted": "organization",
    "participant_created": "participant",
    "participant_role_updated": "participant",
    "participant_deleted": "participant",
    "pipeline_created": "pipeline",
    "pipeline_deleted": "pipeline",
    "action_created": "action",
    "action_deleted": "action",
    "pipeline_secret_created": "pipeline_secret",
    "pipeline_secret_updated": "pipeline_secret",
    "pipeline_secret_deleted": "pipeline_secret",
    "workflow_launched": "workflow",
    "workflow_created": "workflow",
    "workflow_relaunched": "workflow",
    "workflow_resumed": "workflow",
    "workflow_status_changed": "workflow",
    "workflow_completed": "workflow",
    "workflow_deleted": "workflow",
    "workflow_dropped": "workflow",
    "team_created": "team",
    "team_deleted": "team",
    "user_created": "user",
    "user_updated": "user",
    "user_deleted": "user",
    "user_sign_in": "user_session",
    "workspace_created": "workspace",
    "workspace_deleted": "workspace",
}
"""Event type → resource."""

WHO = {"target": "6Yk2", "principal": "42", "client_ip": "203.0.113.9", "organization_id": "7"}
_BUCKET = {"details": {"visibility": "private"}}
_BUILD = {"details": {"wave_enabled": True}}
_RUN = {"details": {"run_id": "4kP8"}}

NEEDS: Mapping[str, Mapping[str, Any]] = {
    **{name: _BUCKET for name, resource in TYPES.items() if resource in {"data_link", "data_link_file"}},
    **{name: _BUILD for name, resource in TYPES.items() if resource == "studio_environment"},
    "workflow_relaunched": _RUN,
    "workflow_resumed": _RUN,
    "workflow_status_changed": {"status": "RUNNING"},
    "workflow_completed": {"status": "SUCCEEDED"},
    "user_sign_in": {"status": "github"},
}
"""What the valid entry of a type has besides `WHO`; `None` leaves a field out."""


def valid(name: str, **change: Any) -> dict[str, Any]:
    return {**WHO, **NEEDS.get(name, {}), **change}


def broken_everywhere(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each rule that all types have: a word for it, the field that the message must name, the entry."""
    yield "no target", "target", valid(name, target=None)
    yield "no principal", "principal", valid(name, principal=None)
    yield "address of the system", "client_ip", valid(name, principal="system", client_ip="203.0.113.9")
    yield "unknown field", "colour", valid(name, colour=CANARY)


def broken(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each rule that the catalog has for this type, in the same form."""
    rules = CATALOG.types[name].rules
    for field in rules.requires:
        yield f"no {field}", field, valid(name, **{field: None})
    for field in rules.forbids:
        yield f"{field} there", field, valid(name, **{field: {"region": CANARY}})
    if rules.status:
        yield "another status", "status", valid(name, status=CANARY)
    for status in rules.not_status:
        yield f"status {status}", "status", valid(name, status=status)
    if rules.principal:
        yield "another principal", "principal", valid(name, principal=CANARY)
    required = {key: rules.details["properties"][key] for key in rules.details.get("required", ())}
    if required:
        yield "no details", "details", valid(name, details=None)
    for key, rule in required.items():
        kept = {other: value for other, value in valid(name)["details"].items() if other != key}
        yield f"no details.{key}", key, valid(name, details={**kept, "path": CANARY})
        for wrong in not_allowed(rule):
            yield f"details.{key} {wrong!r}", key, valid(name, details={**kept, key: wrong})


def not_allowed(rule: Mapping[str, Any]) -> tuple[object, ...]:
    if "const" in rule:
        return not rule["const"], str(rule["const"]).lower(), int(rule["const"])
    return 4, None, (CANARY if "enum" in rule else "")


EVERY_BREAK = [(name, *case) for name in TYPES for case in (*broken_everywhere(name), *broken(name))]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    settings = Settings(journal_dir=str(tmp_path / "journal"), service="platform", host="web-1")
    return Recorder(settings, catalog=CATALOG, clock_ns=lambda: NOON)


def journalled(recorder: Recorder) -> list[dict[str, Any]]:
    return list(read_entries(recorder.settings.journal_dir))


def refusal(recorder: Recorder, name: str, fields: Mapping[str, object]) -> str:
    """What the recorder says, after making sure that nothing was written."""
    with pytest.raises(InvalidEntry) as caught:
        recorder.record(name, fields)
    journal = Path(recorder.settings.journal_dir)
    assert [path for path in journal.rglob("*") if path.suffix == ".ndjson" and path.stat().st_size] == []
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_the_catalog_has_these_54_types_of_17_resources() -> None:
    assert {name: known.resource for name, known in CATALOG.types.items()} == TYPES
    assert set(CATALOG.resources) == set(TYPES.values())
    assert (len(TYPES), len(set(TYPES.values()))) == (54, 17)


@pytest.mark.parametrize("name", TYPES)
def test_a_valid_entry_is_recorded_and_fits_the_committed_schema(recorder: Recorder, name: str) -> None:
    receipt, line = recorder.record(name, valid(name))
    entry = orjson.loads(line)
    assert receipt.recorded
    assert journalled(recorder) == [entry]
    given = {field: value for field, value in valid(name).items() if value is not None}
    assert {field: entry[field] for field in given} == given
    assert (entry["type"], entry["target_type"]) == (name, TYPES[name])
    assert (entry["creation_date"], entry["@timestamp"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00.000000Z")
    COMMITTED.validate(entry)


@pytest.mark.parametrize(
    ("name", "field", "fields"),
    [(name, field, fields) for name, _, field, fields in EVERY_BREAK],
    ids=[f"{name}: {rule}" for name, rule, _, _ in EVERY_BREAK],
)
def test_an_entry_that_breaks_a_rule_is_refused_by_name_and_never_written(
    recorder: Recorder, name: str, field: str, fields: Mapping[str, object]
) -> None:
    assert field in refusal(recorder, name, fields)


def test_what_the_call_refuses_the_committed_schema_refuses_too(recorder: Recorder) -> None:
    for name, rule, _, fields in EVERY_BREAK:
        entry = orjson.loads(recorder.record(name, valid(name))[1])
        changed = {**entry, **fields}
        assert not COMMITTED.is_valid({key: value for key, value in changed.items() if value is not None}), (name, rule)


@pytest.mark.parametrize("field", ["before", "after", "details"])
@pytest.mark.parametrize("image", [{}, {"region": CANARY}])
def test_an_edit_of_a_compute_environment_never_carries_what_was_edited(
    recorder: Recorder, field: str, image: dict[str, str]
) -> None:
    said = refusal(recorder, "compute_environment_updated", valid("compute_environment_updated", **{field: image}))
    assert f"{field} is not allowed" in said
    assert "never carries the edited parameters" in said


@pytest.mark.parametrize("status", ["starting", "stopping", "deleting"])
def test_a_studio_s_temporary_states_are_refused_in_any_case_of_letters(recorder: Recorder, status: str) -> None:
    for name, resource in TYPES.items():
        if resource == "studio_session":
            for written in (status, status.upper(), status.title(), status.swapcase()[:3] + status[3:]):
                assert "temporary states are not recorded" in refusal(recorder, name, valid(name, status=written))


@pytest.mark.parametrize("name", ["workflow_relaunched", "workflow_resumed"])
def test_a_run_launched_again_keeps_its_first_target_and_tells_its_own_id(recorder: Recorder, name: str) -> None:
    assert "run_id" in refusal(recorder, name, valid(name, details=None))
    entry = orjson.loads(recorder.record(name, valid(name, target="first", details={"run_id": "second"}))[1])
    assert (entry["target"], entry["details"]["run_id"]) == ("first", "second")
    assert "ID of the first launch" in CATALOG.types[name].about


@pytest.mark.parametrize("name", [name for name, resource in TYPES.items() if resource == "studio_environment"])
def test_a_build_is_recorded_only_with_wave_enabled(recorder: Recorder, name: str) -> None:
    for details in ({}, {"wave_enabled": False}, {"wave_enabled": "true"}, {"wave_enabled": 1}):
        assert "only for custom environments with Wave enabled" in refusal(recorder, name, valid(name, details=details))


@pytest.mark.parametrize("name", [name for name, resource in TYPES.items() if resource.startswith("data_link")])
def test_an_event_of_a_bucket_says_whether_the_bucket_is_public(recorder: Recorder, name: str) -> None:
    assert "public, private" in refusal(recorder, name, valid(name, details={"visibility": "Public"}))
    for visibility in ("public", "private"):
        recorder.record(name, valid(name, details={"visibility": visibility, "path": "a/b.csv"}))


def test_every_access_to_credentials_is_an_entry_for_a_user_or_by_the_application_itself(recorder: Recorder) -> None:
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        for principal in ("42", "42", "system"):
            recorder.record("credentials_accessed", {"target": "6Yk2", "principal": principal})
    found = [(entry["principal"], entry.get("client_ip"), entry["seq"]) for entry in journalled(recorder)]
    assert found == [("42", "203.0.113.9", 1), ("42", "203.0.113.9", 2), ("system", None, 3)]


def test_a_sign_in_has_an_address_and_may_fail_for_someone_unknown(recorder: Recorder) -> None:
    failed = valid("user_sign_in", principal="anonymous", outcome="failure")
    assert "client_ip is required" in refusal(recorder, "user_sign_in", {**failed, "client_ip": None})
    entry = orjson.loads(recorder.record("user_sign_in", failed)[1])
    assert (entry["principal"], entry["outcome"]) == ("anonymous", "failure")


def test_a_run_s_deletion_is_two_entries_with_one_target(recorder: Recorder) -> None:
    for name in ("workflow_deleted", "workflow_dropped"):
        recorder.record(name, valid(name, target="2uJ4"))
    found = [(entry["type"], entry["target"]) for entry in journalled(recorder)]
    assert found == [("workflow_deleted", "2uJ4"), ("workflow_dropped", "2uJ4")]

"""The 54 event types: their names, one valid entry each, and one entry that breaks each of their rules.

`rules_of` reads the rules from the catalog, so a rule without an entry that breaks it fails here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest

from whodid.catalog import Catalog, EventType
from whodid.entry import ZERO_HASH
from whodid.errors import InvalidEntry

CATALOG = Catalog.load()
WHOLE = jsonschema_rs.Draft202012Validator(CATALOG.json_schema(), validate_formats=True)

NAMES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("access_token", "Access tokens"): {"access_token_created": "add", "access_token_deleted": "delete"},
    ("compute_environment", "Compute environments"): {
        "compute_environment_created": "add",
        "compute_environment_updated": "edit",
        "compute_environment_deleted": "delete",
    },
    ("credentials", "Credentials"): {
        "credentials_created": "add",
        "credentials_updated": "edit",
        "credentials_deleted": "delete",
        "credentials_accessed": "access",
    },
    ("data_link", "Data Explorer cloud buckets"): {
        "data_link_created": "add",
        "data_link_updated": "edit",
        "data_link_deleted": "remove",
        "data_link_hide": "hide",
        "data_link_show": "show",
    },
    ("studio_session", "Studios sessions"): {
        "studio_session_created": "add",
        "studio_session_started": "start",
        "studio_session_connected": "connect",
        "studio_session_disconnected": "disconnect",
        "studio_session_stopped": "stop",
        "studio_session_deleted": "delete",
    },
    ("studio_environment", "Studios custom environments"): {
        "studio_session_build_started": "build start",
        "studio_session_build_succeeded": "build success",
        "studio_session_build_failed": "build fail",
    },
    ("data_link_file", "Data Explorer files"): {
        "data_link_file_download": "download",
        "data_link_file_upload": "upload",
        "data_link_file_preview": "preview",
    },
    ("organization", "Organizations"): {"organization_created": "add", "organization_deleted": "delete"},
    ("participant", "Participants"): {
        "participant_created": "add",
        "participant_role_updated": "update role",
        "participant_deleted": "delete",
    },
    ("pipeline", "Pipelines"): {"pipeline_created": "add", "pipeline_deleted": "delete"},
    ("action", "Pipeline actions"): {"action_created": "add", "action_deleted": "delete"},
    ("pipeline_secret", "Pipeline secrets"): {
        "pipeline_secret_created": "add",
        "pipeline_secret_updated": "edit",
        "pipeline_secret_deleted": "delete",
    },
    ("workflow", "Runs"): {
        "workflow_launched": "launch",
        "workflow_created": "create",
        "workflow_relaunched": "relaunch",
        "workflow_resumed": "resume",
        "workflow_status_changed": "status change",
        "workflow_completed": "complete",
        "workflow_deleted": "delete",
        "workflow_dropped": "drop",
    },
    ("team", "Teams"): {"team_created": "add", "team_deleted": "delete"},
    ("user", "Users"): {"user_created": "add", "user_updated": "edit", "user_deleted": "delete"},
    ("user_session", "User sessions"): {"user_sign_in": "login"},
    ("workspace", "Workspaces"): {"workspace_created": "add", "workspace_deleted": "delete"},
}
"""Resource and its label → event types → what happened: the names of the page that the project started from."""

TYPES = tuple(name for events in NAMES.values() for name in events)
GONE = object()
"""As a value: the field is left out."""
CANARY = "hunter2-canary"

_RUNNING = {"status": "running"}
_BUCKET = {"details": {"visibility": "private"}}
_BUILD = {"details": {"wave_enabled": True}}
_RUN = {"details": {"run_id": "4kP8"}}
_USER = {"principal": "42", "client_ip": "203.0.113.9"}

Changes = Mapping[str, Mapping[str, Any]]


NEEDS: Changes = {
    **dict.fromkeys(NAMES["data_link", "Data Explorer cloud buckets"], _BUCKET),
    **dict.fromkeys(NAMES["data_link_file", "Data Explorer files"], _BUCKET),
    **dict.fromkeys(NAMES["studio_session", "Studios sessions"], _RUNNING),
    **dict.fromkeys(NAMES["studio_environment", "Studios custom environments"], _BUILD),
    "credentials_accessed": {"principal": "system", "client_ip": GONE},
    "workflow_relaunched": _RUN,
    "workflow_resumed": _RUN,
    "workflow_status_changed": {"status": "UNKNOWN"},
    "workflow_completed": {"status": "SUCCEEDED"},
    "user_sign_in": {"status": "github"},
}
"""What a type's valid entry has besides a target, a user and an address."""

_VISIBILITY: Changes = {
    "requires details": {"details": GONE},
    "details.visibility there": {"details": {"path": CANARY}},
    "details.visibility value": {"details": {"visibility": CANARY}},
}
_WAVE: Changes = {
    "requires details": {"details": GONE},
    "details.wave_enabled there": {"details": {"image": CANARY}},
    "details.wave_enabled value": {"details": {"wave_enabled": False}},
}
_RUN_ID: Changes = {
    "requires details": {"details": GONE},
    "details.run_id there": {"details": {"id": CANARY}},
    "details.run_id value": {"details": {"run_id": 4}},
}
_TEMPORARY: Changes = {
    "status is not starting": {"status": "starting"},
    "status is not stopping": {"status": "Stopping"},
    "status is not deleting": {"status": "DELETING"},
}

BREAKS: Mapping[str, Changes] = {
    **dict.fromkeys(NAMES["data_link", "Data Explorer cloud buckets"], _VISIBILITY),
    **dict.fromkeys(NAMES["data_link_file", "Data Explorer files"], _VISIBILITY),
    **dict.fromkeys(NAMES["studio_session", "Studios sessions"], _TEMPORARY),
    **dict.fromkeys(NAMES["studio_environment", "Studios custom environments"], _WAVE),
    "compute_environment_updated": {
        "forbids before": {"before": {"region": CANARY}},
        "forbids after": {"after": {}},
        "forbids details": {"details": {"region": CANARY}},
    },
    "credentials_accessed": {"principal": {"principal": CANARY}},
    "workflow_relaunched": _RUN_ID,
    "workflow_resumed": _RUN_ID,
    "workflow_status_changed": {"requires status": {"status": GONE}, "status": {"status": "running"}},
    "workflow_completed": {"requires status": {"status": GONE}, "status": {"status": "RUNNING"}},
    "user_sign_in": {
        "requires client_ip": {"client_ip": GONE},
        "requires status": {"status": GONE},
        "status": {"status": CANARY},
    },
}
"""Type → rule → the change to the type's valid entry that breaks it."""

BREAKS_EVERYWHERE: Changes = {
    "target": {"target": GONE},
    "principal": {"principal": GONE},
    "client_ip": {"principal": "system", "client_ip": "203.0.113.9"},
    "phase": {"phase": "intent"},
    "outcome": {"outcome": CANARY},
    "organization_id": {"organization_id": 7},
    "colour": {"colour": CANARY},
}
"""The field to be named → the change that breaks a rule of every type."""

CASES = [(name, rule, change) for name, rules in BREAKS.items() for rule, change in rules.items()]
EVERYWHERE = [(name, field, change) for name in TYPES for field, change in BREAKS_EVERYWHERE.items()]


def entry_of(name: str, **change: Any) -> dict[str, Any]:
    """The valid entry of a type as the recorder has it before the journal numbers it, changed."""
    entry = {
        "type": name,
        "target": "6Yk2",
        "target_type": CATALOG.types[name].resource,
        "creation_date": "2026-11-23T08:15:30Z",
        "@timestamp": "2026-11-23T08:15:30.000001Z",
        "service": "platform",
        "host": "web-1",
        "schema_version": "1.0",
        **_USER,
        **NEEDS.get(name, {}),
        **change,
    }
    return {field: value for field, value in entry.items() if value is not GONE}


def stored(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The same entry with its place in a chain."""
    return {**entry, "journal": "8f14e45fceea167a", "seq": 1, "prev": ZERO_HASH, "hash": "f" * 64}


def rules_of(event_type: EventType) -> set[str]:
    """Every rule that the catalog has for a type."""
    rules = event_type.rules
    found = {f"requires {field}" for field in rules.requires} | {f"forbids {field}" for field in rules.forbids}
    found |= {f"status is not {value}" for value in rules.not_status}
    found |= {f"details.{key} {what}" for key in rules.details for what in ("there", "value")}
    found |= {"requires details"} if rules.details else set()
    return found | {rule for rule in ("status", "principal") if getattr(rules, rule)}


def test_there_are_54_types_of_17_resources_with_the_names_of_the_page() -> None:
    assert (len(TYPES), len(NAMES)) == (54, 17)
    assert tuple(CATALOG.types) == TYPES
    assert [(known.name, known.label) for known in CATALOG.resources.values()] == list(NAMES)
    assert {(t.resource, t.name, t.event) for t in CATALOG.types.values()} == {
        (resource, name, event) for (resource, _), events in NAMES.items() for name, event in events.items()
    }


@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_described_in_a_sentence(name: str) -> None:
    about, target = CATALOG.types[name].about, CATALOG.types[name].target
    assert about[0].isupper()
    assert about.endswith(".")
    assert target.startswith("the ")


def test_every_kind_of_rule_is_enumerated() -> None:
    kinds = {field.name for field in dataclasses.fields(CATALOG.types[TYPES[0]].rules)}
    assert kinds == {"requires", "forbids", "status", "not_status", "principal", "details", "because"}


@pytest.mark.parametrize("name", TYPES)
def test_every_rule_of_a_type_has_an_entry_that_breaks_it(name: str) -> None:
    assert set(BREAKS.get(name, {})) == rules_of(CATALOG.types[name])


@pytest.mark.parametrize("name", TYPES)
def test_a_valid_entry_of_each_type_passes_the_check_and_the_published_schema(name: str) -> None:
    CATALOG.check(entry_of(name))
    WHOLE.validate(stored(entry_of(name)))


@pytest.mark.parametrize(("name", "rule", "change"), CASES, ids=[f"{name}: {rule}" for name, rule, _ in CASES])
def test_an_entry_that_breaks_a_rule_of_its_type_is_refused(name: str, rule: str, change: Mapping[str, Any]) -> None:
    field = rule.removeprefix("requires ").removeprefix("forbids ").split()[0].split(".")[0]
    message = refusal(entry_of(name, **change))
    assert message.startswith(f"{name}: ")
    assert field in message
    assert CATALOG.types[name].rules.because in message


@pytest.mark.parametrize(("name", "field", "change"), EVERYWHERE)
def test_an_entry_that_breaks_a_rule_of_all_types_is_refused(name: str, field: str, change: Mapping[str, Any]) -> None:
    assert field in refusal(entry_of(name, **change))


def refusal(entry: Mapping[str, Any]) -> str:
    """What `check` says, after the published schema refused the entry, too."""
    assert not WHOLE.is_valid(stored(entry))
    with pytest.raises(InvalidEntry) as caught:
        CATALOG.check(entry)
    message = str(caught.value)
    assert CANARY not in message
    assert "does not fit" not in message, "the rule has no words in explanation.py"
    return message


def test_a_failed_sign_in_is_of_an_anonymous_principal() -> None:
    CATALOG.check(entry_of("user_sign_in", principal="anonymous", outcome="failure"))


def test_a_studio_s_lasting_states_may_be_said_or_left_out() -> None:
    for status in ("running", "stopped", "errored", "restarting", GONE):
        CATALOG.check(entry_of("studio_session_started", status=status))


@pytest.mark.parametrize("status", ["SUBMITTED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "UNKNOWN"])
def test_a_run_changes_to_these_statuses(status: str) -> None:
    CATALOG.check(entry_of("workflow_status_changed", status=status))


def test_a_deleted_run_has_two_entries_with_one_target() -> None:
    for name in ("workflow_deleted", "workflow_dropped"):
        CATALOG.check(entry_of(name, target="2uJ4", correlation_id="deletion-of-2uJ4"))


def test_the_outcome_of_a_build_is_known_from_its_type() -> None:
    outcomes = {name: known.outcome for name, known in CATALOG.types.items() if known.outcome}
    assert outcomes == {"studio_session_build_succeeded": "success", "studio_session_build_failed": "failure"}

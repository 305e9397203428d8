"""The standards: what becomes of each field, what their readers say of it, and that nothing of an entry is lost.

`test_official.py` checks the same forms against the standards' schemas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from google.protobuf.json_format import Parse
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from tests.export.official import OCSF, parts
from tests.export.samples import EVENT_TYPES, FULL, full, least
from whodid.entry import ZERO_HASH, entry_id
from whodid.export import FORMS
from whodid.export.ecs import cef, cloudevents, ecs, opentelemetry
from whodid.export.ocsf import ocsf, type_uid_of
from whodid.resources import __version__

GOLDEN = Path(__file__).with_name("golden")
STANDARDS = {"cloudevents": cloudevents, "ecs": ecs, "ocsf": ocsf, "otlp": opentelemetry}
MORE: dict[str, Any] = {
    "on_behalf_of": ["17", "18"],
    "roles": ["owner", "launch"],
    "targets": [{"id": "t3", "type": "user", "name": "Zoë"}, {"id": "t4"}],
    "occurred_at": "2026-11-20T07:00:00.5Z",
    "imported_from": "legacy.csv",
}
"""Fields that entries of format 2.1 may have, too."""


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif value is not None:
        yield value


@pytest.mark.parametrize("form", STANDARDS)
def test_nothing_of_an_entry_is_lost(form: str) -> None:
    for entry in [*FULL, *({**entry, **MORE} for entry in FULL)]:
        made = STANDARDS[form](entry)
        found = {str(leaf) for leaf in leaves(made)}
        nanoseconds = int(datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC).timestamp()) * 10**9 + 123_456_000
        for name, value in entry.items():
            if (name, form) == ("@timestamp", "otlp"):
                assert str(nanoseconds) in found
            elif (name, form) != ("outcome", "ocsf") and value != ZERO_HASH:
                assert {str(leaf) for leaf in leaves(value)} <= found, f"{entry['type']}: {name}"


@pytest.mark.parametrize("form", STANDARDS)
def test_an_entry_is_not_changed_by_being_exported(form: str) -> None:
    entry = full("user_created", "user")
    before = orjson.dumps(entry)
    STANDARDS[form](entry)
    assert orjson.dumps(entry) == before


@pytest.mark.parametrize("name", [path.stem for path in sorted(GOLDEN.glob("*.json"))])
def test_the_golden_files(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    for form, made in golden["exported"].items():
        assert json.loads(json.dumps(STANDARDS[form](golden["entry"])).replace(f'"{__version__}"', '"VERSION"')) == made


def test_there_is_a_golden_file_for_each_kind_of_class() -> None:
    shown = {json.loads(path.read_text())["exported"]["ocsf"]["class_uid"] for path in GOLDEN.glob("*.json")}
    assert shown == {int(uid) for uid in OCSF["classes"]}


# OCSF


def test_the_facts_of_the_mapping() -> None:
    """From the reference: what an auditor would look up."""
    expected = {
        "user_sign_in": 300201,
        "credentials_accessed": 600302,
        "credentials_created": 600301,
        "user_created": 300701,
        "user_deleted": 300703,
        "team_created": 300606,
        "team_deleted": 300605,
        "participant_created": 300603,
        "participant_deleted": 300604,
        "data_link_file_upload": 600601,
        "data_link_file_download": 600602,
        "data_link_file_preview": 600609,
        "studio_session_started": 600203,
        "studio_session_stopped": 600204,
        "studio_session_build_started": 600299,
        "workflow_relaunched": 600399,
        "workflow_resumed": 600399,
        "data_link_hide": 600399,
        "data_link_show": 600399,
        "workflow_dropped": 600304,
        "organization_created": 300401,
    }
    assert {name: type_uid_of(name, EVENT_TYPES[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "actor"),
    [
        ({}, {"user": {"uid": "42", "type_id": 1}}),
        ({"principal_type": "service"}, {"user": {"uid": "42", "type_id": 4}}),
        ({"principal_type": "api_key"}, {"user": {"uid": "42", "type_id": 99, "type": "api_key"}}),
        ({"principal": "system"}, {"user": {"uid": "system", "type_id": 3}}),
        ({"principal": "anonymous"}, {"user": {"uid": "anonymous", "type_id": 99, "type": "anonymous"}}),
        ({"on_behalf_of": "17", "principal_type": "user"}, {"user": {"uid": "42", "type_id": 1}}),
        ({"on_behalf_of": "17", "principal_type": "service"}, {"app_uid": "42", "user": {"uid": "17", "type_id": 0}}),
        (
            {"on_behalf_of": ["17", "18"], "principal_type": "agent", "principal_name": "Planner"},
            {"app_uid": "42", "app_name": "Planner", "user": {"uid": "17", "type_id": 0}},
        ),
        (
            {"session_id": "s-1", "roles": ["owner"]},
            {"user": {"uid": "42", "type_id": 1}, "session": {"uid": "s-1"}, "iam_role": {"name": "owner"}},
        ),
    ],
)
def test_the_actor_of_an_event(fields: dict[str, Any], actor: dict[str, Any]) -> None:
    event = ocsf({**least("credentials_created", "credentials"), "principal": "42", **fields})
    assert event["actor"] == actor
    chain = fields.get("on_behalf_of")
    whole = isinstance(chain, list) or fields.get("principal_type") == "user"
    assert event["unmapped"].get("on_behalf_of") == (chain if whole else None)


def test_an_agent_is_named_as_one() -> None:
    event = ocsf({**least("credentials_created", "credentials"), "principal": "a-1", "principal_type": "agent"})
    assert event["ai_agent"] == {"uid": "a-1"}
    assert event["metadata"]["profiles"] == ["record_integrity", "ai_operation"]


def test_participants_are_users_of_a_group_and_their_roles_those_of_a_user() -> None:
    added = ocsf({**least("participant_created", "participant"), "targets": [{"id": "9", "type": "participant"}]})
    assert added["users"] == [{"uid": "the target", "type_id": 1}, {"uid": "9", "type_id": 1}]
    mixed = ocsf({**least("participant_created", "participant"), "targets": [{"id": "9", "type": "team"}]})
    assert (len(mixed["users"]), mixed["unmapped"]["targets"]) == (1, [{"id": "9", "type": "team"}])
    assert type_uid_of("participant_role_updated", "participant") == 300716


def test_how_somebody_signed_in() -> None:
    entry = {**least("user_sign_in", "user_session"), "session_id": "s-1", "auth_method": "oidc"}
    event = ocsf(entry)
    assert event["session"] == {"uid": "s-1"}
    assert (event["auth_protocol_id"], event["auth_protocol"]) == (4, "OpenID")
    assert event["unmapped"]["auth_method"] == "oidc"
    assert ocsf({**entry, "auth_method": "password"})["auth_protocol_id"] == 99


def test_a_request_has_its_method_and_a_value_that_does_not_fit_is_kept() -> None:
    entry = least("credentials_created", "credentials")
    assert ocsf({**entry, "method": "POST", "request_id": "r-1"})["http_request"] == {
        "http_method": "POST",
        "uid": "r-1",
    }
    odd = {"method": "BREW", "client_ip": "here", "principal_email": "nobody"}
    assert odd.items() <= ocsf({**entry, **odd})["unmapped"].items()


def test_the_time_of_what_was_recorded_later() -> None:
    entry = {**least("credentials_created", "credentials"), "occurred_at": "2026-11-20T07:00:00.5Z"}
    recorded = entry["@timestamp"]
    event = ocsf(entry)
    assert (event["time"], event["metadata"]["original_time"]) == (1_795_158_000_500, "2026-11-20T07:00:00.5Z")
    assert event["metadata"]["loggers"] == [{"name": "whodid", "logged_time": 1_795_420_801_123}]
    assert (ecs(entry)["@timestamp"], ecs(entry)["event"]["created"]) == (entry["occurred_at"], recorded)
    assert (cloudevents(entry)["time"], cloudevents(entry)["recordedtime"]) == (entry["occurred_at"], recorded)
    [record] = opentelemetry(entry)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == "1795158000500000000"
    assert record["observedTimeUnixNano"] == "1795420801123456000"
    pairs = parts(cef(entry))[1]
    assert (pairs["start"], pairs["rt"]) == ("1795158000500", "1795420801123")
    assert "start" not in parts(cef({**entry, "occurred_at": "in the morning"}))[1]


def test_the_chain_is_told_in_ocsf_s_words() -> None:
    entry = full("user_created", "user")
    [attestation] = ocsf(entry)["attestation_list"]
    assert attestation["fingerprint"]["value"] == entry["hash"]
    assert attestation["prev_event"]["uid"] == f"5d0c21f3a9b84e67-000000000041-{entry['prev'][:16]}"
    [first] = ocsf(least("user_created", "user"))["attestation_list"]
    assert "prev_event" not in first


# ECS


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("credentials", None),
        ("bucket", ["bucket"]),
        ("studio_session", ["session"]),
        ("user", ["user"]),
        ("user_session", ["user"]),
    ],
)
def test_the_target_is_an_entity_with_our_kind_as_its_sub_type(kind: str, type_: list[str] | None) -> None:
    document = ecs({**least("x_created", kind), "target_name": "The Name"})
    expected = {"id": "the target", "name": "The Name", "sub_type": kind} | ({"type": type_} if type_ else {})
    assert document["entity"]["target"] == expected
    assert document["user"].get("target") == ({"id": "the target", "name": "The Name"} if type_ == ["user"] else None)


def test_who_acted_for_whom_in_ecs() -> None:
    entry = {**least("credentials_created", "credentials"), **MORE, "principal": "a-1", "principal_type": "service"}
    document = ecs(entry)
    assert document["user"] == {
        "id": "a-1",
        "entity": {"type": ["user", "service"], "sub_type": "service"},
        "effective": {"id": "17"},
        "roles": ["owner", "launch"],
    }
    assert document["whodid"]["on_behalf_of"] == ["17", "18"]
    assert document["related"]["user"] == ["a-1", "17", "18", "t3"]
    assert document["event"]["provider"] == "legacy.csv"
    assert "on_behalf_of" not in ecs({**entry, "on_behalf_of": "17"})["whodid"]


def test_the_request_and_the_session_in_ecs() -> None:
    more = {"method": "POST", "route": "/teams/{id}", "session_id": "s-1", "auth_method": "oidc"}
    document = ecs({**least("credentials_created", "credentials"), **more})
    assert document["http"]["request"] == {"method": "POST"}
    assert document["labels"] == {"route": "/teams/{id}", "session_id": "s-1", "auth_method": "oidc"}


# CloudEvents


def test_the_cloudevents_library_reads_our_events() -> None:
    for entry in FULL:
        line = orjson.dumps(cloudevents(entry))
        event = JSONFormat().read(CloudEvent, line)
        assert event.get_data() == entry
        assert (event.get_id(), event.get_type(), event.get_subject()) == (
            entry_id(entry),
            entry["type"],
            entry["target"],
        )
        for name in cloudevents(entry):
            assert name == "data" or re.fullmatch(r"[a-z0-9]{1,20}", name)
        assert event.get_extension("authtype") == ("system" if entry["principal"] == "system" else "user")


@pytest.mark.parametrize(
    ("fields", "authtype"),
    [
        ({"principal": "anonymous"}, "unauthenticated"),
        ({"principal_type": "anonymous"}, "unauthenticated"),
        ({"principal_type": "service"}, "service_account"),
        ({"principal_type": "api_key"}, "api_key"),
        ({"principal_type": "agent"}, "agent"),
        ({"principal_type": "user"}, "user"),
    ],
)
def test_the_kind_of_principal_of_a_cloudevent(fields: dict[str, Any], authtype: str) -> None:
    assert cloudevents({**least("x", "y"), **fields})["authtype"] == authtype


def test_two_documents_that_whodid_did_not_write_are_two_cloudevents() -> None:
    one, two = cloudevents({"a": 1}), cloudevents({"a": 2})
    assert (one["id"], one["source"]) != (two["id"], two["source"])
    assert cloudevents({"a": 1}) == one


# OpenTelemetry


def test_opentelemetry_s_own_messages_read_our_lines() -> None:
    for entry in FULL:
        [lines] = [FORMS["otlp"].lines]
        assert lines is not None
        data = Parse(lines([entry]).decode(), LogsData())  # refuses unknown names and wrong types
        [record] = data.resource_logs[0].scope_logs[0].log_records
        assert record.event_name == entry["type"]
        assert record.time_unix_nano == 1_795_420_801_123_456_000
        attributes = {each.key: each.value for each in record.attributes}
        assert attributes["user.id"].string_value == entry["principal"]
        assert attributes["log.record.uid"].string_value == entry_id(entry)
        assert len(attributes) == len(record.attributes)


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [("success", (9, "INFO")), (None, (9, "INFO")), ("unknown", (13, "WARN")), ("failure", (17, "ERROR"))],
)
def test_the_severity_of_an_outcome(outcome: str | None, severity: tuple[int, str]) -> None:
    [record] = opentelemetry({"type": "x", "outcome": outcome})["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert (record["severityNumber"], record["severityText"]) == severity
    error = {"key": "error.type", "value": {"stringValue": "_OTHER"}}
    assert (error in record["attributes"]) == (outcome == "failure")


def test_the_attributes_of_format_2_1() -> None:
    entry = {**MORE, "method": "BREW", "route": "/teams/{id}", "session_id": "s-1"}
    [record] = opentelemetry(entry)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    found = {each["key"]: each["value"] for each in record["attributes"]}
    assert found["user.roles"] == {"arrayValue": {"values": [{"stringValue": "owner"}, {"stringValue": "launch"}]}}
    assert (found["http.request.method"], found["http.request.method_original"]) == (
        {"stringValue": "_OTHER"},
        {"stringValue": "BREW"},
    )
    assert found["http.route"] == {"stringValue": "/teams/{id}"}
    assert found["session.id"] == {"stringValue": "s-1"}
    assert not {"event.name", "whodid.type", "whodid.roles", "whodid.method"} & found.keys()


@pytest.mark.parametrize("trace", ["0" * 32, "not hex", "4BF92F3577B34DA6A3CE929D0E0E4736", "4bf92f3577b34da6"])
def test_what_is_no_trace_id_is_an_attribute(trace: str) -> None:
    [record] = opentelemetry({"trace_id": trace})["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert "traceId" not in record
    assert {"key": "whodid.trace_id", "value": {"stringValue": trace}} in record["attributes"]


# CEF


def test_a_line_of_cef() -> None:
    entry = {
        **least("credentials_deleted", "credentials"),
        "principal": "42",
        "principal_name": "Zoë",
        "client_ip": "192.0.2.7",
        "outcome": "failure",
        "status": "a=b|c\\d",
        "roles": ["owner", "launch"],
    }
    header, pairs = parts(cef(entry))
    assert header == ["CEF:0", "whodid", "whodid", __version__, "credentials_deleted", "credentials deleted", "6"]
    expected = {
        "act": "delete",
        "outcome": "failure",
        "reason": "a=b|c\\d",
        "suid": "42",
        "suser": "Zoë",
        "spriv": "owner, launch",
        "src": "192.0.2.7",
        "rt": "1795420801123",
        "externalId": "5d0c21f3a9b84e67-000000000001",
        "cat": "credentials",
        "cs1": "the target",
        "cs1Label": "target",
        "cn1": "1",
        "cn1Label": "seq",
        "deviceExternalId": "5d0c21f3a9b84e67",
        "whodidEntryId": entry_id(entry),
        "whodidHash": entry["hash"],
    }
    assert expected.items() <= pairs.items()
    assert r"reason=a\=b|c\\d" in cef(entry)


def test_nothing_of_an_entry_is_lost_in_cef() -> None:
    for entry in [*FULL, *({**entry, **MORE} for entry in FULL)]:
        header, pairs = parts(cef(entry))
        found = {*header, *pairs.values()}
        for name, value in entry.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            others = json.loads(pairs.get("whodidUnmapped", "{}"))
            assert not text or text in found or others.get(name) == value or json.loads(text) in map(_json, found), name


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize(("outcome", "severity"), [("success", "3"), (None, "3"), ("unknown", "4"), ("failure", "6")])
def test_the_severity_of_an_outcome_in_cef(outcome: str | None, severity: str) -> None:
    assert parts(cef({"type": "x", "outcome": outcome}))[0][6] == severity


def test_a_value_that_is_too_long_for_its_key_is_whole_under_our_own() -> None:
    header, pairs = parts(cef({"type": "t" * 2000, "host": "h" * 101, "principal": "p" * 1024, "status": "s" * 1023}))
    assert [len(text) for text in header] == [5, 6, 6, len(__version__), 1023, 512, 1]
    assert (len(pairs["dvchost"]), len(pairs["suid"])) == (100, 1023)
    assert (len(pairs["whodidHost"]), len(pairs["whodidPrincipal"]), len(pairs["whodidType"])) == (101, 1024, 2000)
    assert "whodidStatus" not in pairs


def test_a_value_can_forge_neither_a_field_nor_a_line_of_cef() -> None:
    forged = "x|9|suid=root\\=\nCEF:0|evil|evil|1|y|y|10|suid=root \\"
    header, pairs = parts(cef({"type": forged, "principal": "42", "status": forged}))
    assert (header[4], header[6]) == (forged.replace("\n", " "), "3")
    assert (pairs["suid"], pairs["reason"]) == ("42", forged)


@pytest.mark.parametrize("form", STANDARDS)
@pytest.mark.parametrize("document", [{}, {"type": 5, "target": None}, {"@timestamp": "never", "seq": "x"}])
def test_what_whodid_did_not_write_is_exported_all_the_same(form: str, document: dict[str, Any]) -> None:
    assert orjson.dumps(STANDARDS[form](document))
    assert parts(cef(document))

"""The standards: what their readers and their rules say of each event type, and that nothing of an entry is lost.

`ocsf-1.9.json` has the names, requirements and constraints of https://github.com/ocsf/ocsf-schema (1.9.0) for the
classes used: `name: object`, `!` where required, `@profile` where it belongs to one.
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

from tests.export.samples import EVENT_TYPES, FULL, full, least
from whodid.entry import ZERO_HASH, entry_id
from whodid.export import FORMS
from whodid.export.ecs import cloudevents, ecs, opentelemetry
from whodid.export.ocsf import ocsf, type_uid_of
from whodid.resources import __version__

OCSF = json.loads(Path(__file__).with_name("ocsf-1.9.json").read_text())
GOLDEN = Path(__file__).with_name("golden")
STANDARDS = {"cloudevents": cloudevents, "ecs": ecs, "ocsf": ocsf, "otlp": opentelemetry}


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
    for entry in FULL:
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


def test_an_event_keeps_the_rules_of_its_class() -> None:
    for entry in FULL:
        event = ocsf(entry)
        kind = OCSF["classes"][str(event["class_uid"])]
        assert event["activity_id"] in kind["activities"]
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert event["status_id"] == {"success": 1, "failure": 2}.get(entry.get("outcome", ""), 0)
        _keeps(event, kind, set(event["metadata"]["profiles"]), "event")


def _keeps(event: dict[str, Any], rules: dict[str, Any], profiles: set[str], path: str) -> None:
    """Known names, nothing required missing, one of what must be there at least."""
    required = {name for name, kind in rules["attributes"].items() if "!" in kind}
    assert required <= set(event), f"{path} lacks {required - set(event)}"
    assert not rules["at_least_one"] or set(rules["at_least_one"]) & set(event), path
    for name, value in event.items():
        if name == "unmapped":
            continue
        assert name in rules["attributes"], f"{path}.{name}"
        kind, _, profile = rules["attributes"][name].partition("@")
        assert not profile or profile in profiles, f"{path}.{name} needs the profile {profile}"
        if kind := kind.rstrip("!"):
            for each in value if isinstance(value, list) else [value]:
                _keeps(each, OCSF["objects"][kind], profiles, f"{path}.{name}")


def test_the_chain_is_told_in_ocsf_s_words() -> None:
    entry = full("user_created", "user")
    [attestation] = ocsf(entry)["attestation_list"]
    assert attestation["fingerprint"]["value"] == entry["hash"]
    assert attestation["prev_event"]["uid"] == f"5d0c21f3a9b84e67-000000000041-{entry['prev'][:16]}"
    [first] = ocsf(least("user_created", "user"))["attestation_list"]
    assert "prev_event" not in first


# ECS

_FIELD_SETS = {
    "@timestamp": set(),
    "ecs": {"version"},
    "event": {
        *("kind", "category", "type", "id", "action", "reason", "outcome", "sequence", "hash"),
    },
    "user": {"id", "name", "email", "effective.id", "target.id", "target.name"},
    "entity": {"target.id", "target.name", "target.type"},
    "organization": {"id", "name"},
    "client": {"ip"},
    "source": {"ip"},
    "related": {"ip", "user"},
    "user_agent": {"original"},
    "http": {"request.id"},
    "trace": {"id"},
    "service": {"name"},
    "host": {"name"},
}
"""Names of ECS that are used; each is in its generated/ecs/ecs_flat.yml."""


def test_a_document_has_only_fields_of_ecs_and_our_own() -> None:
    for entry in FULL:
        document = ecs(entry)
        for name in set(document) - {"labels", "whodid"}:
            found = set(_names(document[name])) if isinstance(document[name], dict) else set()
            assert found <= _FIELD_SETS[name], name
        assert all(isinstance(value, str) for value in document.get("labels", {}).values())
        assert document["event"]["id"] == entry_id(entry)


def _names(value: dict[str, Any]) -> Iterator[str]:
    for name, each in value.items():
        yield from (f"{name}.{inner}" for inner in _names(each)) if isinstance(each, dict) else [name]


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
        kinds = {"system": "system", "anonymous": "unauthenticated"}
        assert event.get_extension("authtype") == kinds.get(entry["principal"], "user")


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


@pytest.mark.parametrize("trace", ["0" * 32, "not hex", "4BF92F3577B34DA6A3CE929D0E0E4736", "4bf92f3577b34da6"])
def test_what_is_no_trace_id_is_an_attribute(trace: str) -> None:
    [record] = opentelemetry({"trace_id": trace})["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert "traceId" not in record
    assert {"key": "whodid.trace_id", "value": {"stringValue": trace}} in record["attributes"]


@pytest.mark.parametrize("form", STANDARDS)
@pytest.mark.parametrize("document", [{}, {"type": 5, "target": None}, {"@timestamp": "never", "seq": "x"}])
def test_what_whodid_did_not_write_is_exported_all_the_same(form: str, document: dict[str, Any]) -> None:
    assert orjson.dumps(STANDARDS[form](document))

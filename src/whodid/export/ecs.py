"""Entries in three standards: Elastic Common Schema 9, CloudEvents 1.0 and OpenTelemetry logs.

ECS: fields without a place in the schema are under `labels` (short keywords) or `whodid` (the rest, as recorded).
Categories and types: https://www.elastic.co/docs/reference/ecs/ecs-category-field-values-reference

CloudEvents in JSON: `data` is the whole entry as recorded. The extensions are `authid` and `authtype` (auth context),
`sequence` (as text that sorts), and own ones for organization, workspace and correlation.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

OpenTelemetry: one log record in OTLP/JSON, in the format of the Collector's file exporter. Each line is a complete
`LogsData` with one record. Attributes have the names of the semantic conventions, or else `whodid.…`.
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..entry import entry_id
from ..resources import __version__
from .nested import Verb, nanoseconds, nested, verb_of

__all__ = ["VERSION", "cloudevents", "ecs", "ecs_event", "opentelemetry"]

VERSION = "9.0.0"

_CATEGORY = {
    "access_token": "iam",
    "audit_log": "configuration",
    "data_link_file": "file",
    "organization": "iam",
    "participant": "iam",
    "studio_session": "session",
    "team": "iam",
    "user": "iam",
    "user_session": "authentication",
    "workflow": "process",
    "workspace": "iam",
}
"""Kind of target → `event.category`; `configuration` for others."""

_ALLOWED = {
    "authentication": {"start", "end", "info"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "iam": {"change", "creation", "deletion", "info"},
    "process": {"access", "change", "end", "info", "start"},
    "session": {"start", "end", "info"},
}
"""Category → the types that the schema expects with it; `info` stands for others."""

_KIND = {"participant": "group", "team": "group", "user": "user"}
"""Kind of target → the `event.type` for the kind of account."""

_TYPE: dict[Verb, str] = {
    "create": "creation",
    "read": "access",
    "update": "change",
    "delete": "deletion",
    "start": "start",
    "stop": "end",
    "sign_in": "start",
    "download": "access",
    "upload": "creation",
    "preview": "access",
    "assign": "change",
    "other": "info",
}

_PLACES = {
    "@timestamp": "@timestamp",
    "type": "event.action",
    "status": "event.reason",
    "outcome": "event.outcome",
    "seq": "event.sequence",
    "hash": "event.hash",
    "principal": "user.id",
    "principal_name": "user.name",
    "principal_email": "user.email",
    "on_behalf_of": "user.effective.id",
    "organization_id": "organization.id",
    "organization_name": "organization.name",
    "client_ip": "client.ip",
    "user_agent": "user_agent.original",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "service": "service.name",
    "host": "host.name",
    "workspace_id": "labels.workspace_id",
    "workspace_name": "labels.workspace_name",
    "correlation_id": "labels.correlation_id",
    "operation": "labels.operation",
    "phase": "labels.phase",
    "access_token_id": "labels.access_token_id",
}
_USER = {"target": "user.target.id", "target_name": "user.target.name"}
_ENTITY = {"target": "entity.target.id", "target_name": "entity.target.name", "target_type": "entity.target.type"}


def ecs_event(event_type: str, target_type: str) -> tuple[str, list[str]]:
    """`event.category` and `event.type` of an event type: `iam` and `user`, `creation` for `user_created`."""
    category = _CATEGORY.get(target_type, "configuration")
    what = _TYPE[verb_of(event_type)]
    return category, [
        *([_KIND[target_type]] if target_type in _KIND else []),
        what if what in _ALLOWED[category] else "info",
    ]


def ecs(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an entry to an ECS document."""
    kind = str(entry.get("target_type", ""))
    category, types = ecs_event(str(entry.get("type", "")), kind)
    places = _PLACES | (_USER if kind == "user" else _ENTITY)
    flat: dict[str, Any] = {
        "ecs.version": VERSION,
        "event.kind": "event",
        "event.category": [category],
        "event.type": types,
        "event.id": entry_id(entry) or None,
    }
    flat |= {places.get(name, f"whodid.{name}"): value for name, value in entry.items()}
    if address := entry.get("client_ip"):
        flat |= {"source.ip": address, "related.ip": [address]}
    users = [entry.get("principal"), entry.get("on_behalf_of"), entry.get("target") if kind == "user" else None]
    flat["related.user"] = list(dict.fromkeys(user for user in users if user)) or None
    return nested(flat)


_AUTH = {"system": "system", "anonymous": "unauthenticated"}
"""Principal → `authtype`; `user` for others."""


def cloudevents(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an entry to a CloudEvent."""
    principal = entry.get("principal")
    seq = entry.get("seq")
    event = {
        "specversion": "1.0",
        "id": entry_id(entry) or None,
        "source": f"urn:whodid:journal:{entry['journal']}" if entry.get("journal") else None,
        "type": entry.get("type"),
        "subject": entry.get("target"),
        "time": entry.get("@timestamp"),
        "datacontenttype": "application/json",
        "dataschema": f"urn:whodid:entry:{entry['schema_version']}" if entry.get("schema_version") else None,
        "authid": principal,
        "authtype": _AUTH.get(str(principal), "user") if principal else None,
        "sequence": f"{seq:012d}" if isinstance(seq, int) else None,
        "correlationid": entry.get("correlation_id"),
        "orgid": entry.get("organization_id"),
        "orgname": entry.get("organization_name"),
        "workspaceid": entry.get("workspace_id"),
        "workspacename": entry.get("workspace_name"),
        "data": entry,
    }
    return {name: value for name, value in event.items() if value is not None}


_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_SEVERITY_INFO = 9
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")

_NAMES = {
    "principal": "user.id",
    "principal_name": "user.name",
    "principal_email": "user.email",
    "client_ip": "client.address",
    "user_agent": "user_agent.original",
}
"""Field → attribute; `whodid.` and the field's name for others."""

_ELSEWHERE = ("type", "@timestamp", "service", "host")


def opentelemetry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an entry to OTLP `LogsData`."""
    resource = {"service.name": entry.get("service"), "host.name": entry.get("host")}
    trace = entry.get("trace_id")
    traced = isinstance(trace, str) and _TRACE_ID.fullmatch(trace) is not None
    left_out = {*_ELSEWHERE, "trace_id"} if traced else set(_ELSEWHERE)
    attributes = {_NAMES.get(name, f"whodid.{name}"): value for name, value in entry.items() if name not in left_out}
    record: dict[str, Any] = {
        "timeUnixNano": str(nanoseconds(entry.get("@timestamp"))),
        "observedTimeUnixNano": str(nanoseconds(entry.get("@timestamp"))),
        "severityNumber": _SEVERITY_INFO,
        "severityText": "INFO",
        "eventName": str(entry.get("type", "")),
        "body": _any(f"{entry.get('type', '')} {entry.get('target', '')} by {entry.get('principal', '')}"),
        "attributes": _key_values({"log.record.uid": entry_id(entry) or None, **attributes}),
    }
    if traced:
        record["traceId"] = trace
    scope = {"scope": {"name": "whodid", "version": __version__}, "schemaUrl": _SCHEMA, "logRecords": [record]}
    return {
        "resourceLogs": [
            {"resource": {"attributes": _key_values(resource)}, "scopeLogs": [scope], "schemaUrl": _SCHEMA},
        ]
    }


def _key_values(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any(value)} for name, value in values.items() if value is not None]


def _any(value: object) -> dict[str, Any]:
    """OTLP's AnyValue; 64-bit integers are text in its JSON."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case Mapping():
            return {
                "kvlistValue": {"values": [{"key": str(name), "value": _any(each)} for name, each in value.items()]}
            }
        case list():
            return {"arrayValue": {"values": [_any(each) for each in value]}}
    return {}

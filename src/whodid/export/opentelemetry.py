"""OpenTelemetry: an entry as a log record in OTLP/JSON, the form that the Collector's file exporter writes.

Each line is a whole `LogsData` with one record, so that any line stands alone. Attributes have the names of the
semantic conventions where there is one, else `whodid.…`; the body is what a person reads first.
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..entry import entry_id
from ..resources import __version__
from .moments import nanoseconds

__all__ = ["opentelemetry"]

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
    """The line of an entry."""
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

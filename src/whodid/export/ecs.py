"""Entries in four standards: Elastic Common Schema 9, CloudEvents 1.0, OpenTelemetry logs and Common Event Format.

ECS: fields without a place in the schema, and values that it doesn't allow there, are under `labels` (short keywords)
or `whodid` (the rest, as recorded). The target is an entity; the catalog's kind of it is the entity's sub-type.
Categories and types: https://www.elastic.co/docs/reference/ecs/ecs-category-field-values-reference

CloudEvents in JSON: `data` is the whole entry as recorded. The extensions are `authid` and `authtype` (auth context),
`sequence` (as text that sorts), `recordedtime`, and own ones for organization, workspace and correlation. Attributes
must not contain control characters, so these become U+FFFD there.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

OpenTelemetry: one log record in OTLP/JSON, in the format of the Collector's file exporter. Each line is a complete
`LogsData` with one record. Attributes have the names of the semantic conventions, or else `whodid.…`.
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/

CEF: one line for each entry. Fields without a key in the standard's dictionary have a key that begins with `whodid`,
and so does the whole of a value that is longer than its key allows. A value can end neither its field nor the line:
the separators are escaped, and other control characters are written as `\\u001b`, in the header as a space.
https://www.microfocus.com/documentation/arcsight/arcsight-smartconnectors/pdfdoc/cef-implementation-standard/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from ..entry import FIELDS, entry_id
from ..resources import __version__
from ..text import json_bytes, json_text, printable, texts_of, valid
from .nested import METHODS, ip_version, is_time, milliseconds, nanoseconds, nested, objects, verb_of, when

__all__ = ["CEF_KEYS", "VERSION", "cef", "cloudevents", "ecs", "ecs_event", "opentelemetry"]

VERSION = "9.4.0"

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

_TYPE: dict[str, str] = (
    {"create": "creation", "read": "access", "update": "change", "delete": "deletion", "start": "start", "stop": "end"}
    | {"sign_in": "start", "download": "access", "upload": "creation", "preview": "access", "assign": "change"}
    | {"other": "info"}
)

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
    "principal_type": "user.entity.sub_type",
    "on_behalf_of": "user.effective.id",
    "roles": "user.roles",
    "target": "entity.target.id",
    "target_name": "entity.target.name",
    "target_type": "entity.target.sub_type",
    "organization_id": "organization.id",
    "organization_name": "organization.name",
    "client_ip": "client.ip",
    "user_agent": "user_agent.original",
    "request_id": "http.request.id",
    "method": "http.request.method",
    "trace_id": "trace.id",
    "service": "service.name",
    "host": "host.name",
    "imported_from": "event.provider",
    "workspace_id": "labels.workspace_id",
    "workspace_name": "labels.workspace_name",
    "correlation_id": "labels.correlation_id",
    "operation": "labels.operation",
    "phase": "labels.phase",
    "access_token_id": "labels.access_token_id",
    "session_id": "labels.session_id",
    "auth_method": "labels.auth_method",
    "route": "labels.route",
}

_ENTITY = {"studio_session": "session", "user_session": "user"} | {
    one: one
    for one in ("application", "bucket", "container", "database", "host", "queue", "service", "session", "user")
}
"""Kind of target → `entity.target.type`, which has few values; none for others."""

_FITS: dict[str, Callable[[Any], bool]] = {
    "@timestamp": is_time,
    "client_ip": lambda value: ip_version(value) > 0,
    "outcome": FIELDS["outcome"].values.__contains__,
}
"""Field → whether the schema allows a value in the field's place."""


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
    kind, principal_type = str(entry.get("target_type", "")), entry.get("principal_type")
    category, types = ecs_event(str(entry.get("type", "")), kind)
    flat: dict[str, Any] = {
        "ecs.version": VERSION,
        "event.kind": "event",
        "event.category": [category],
        "event.type": types,
        "event.id": entry_id(entry) or None,
        "entity.target.type": [_ENTITY[kind]] if kind in _ENTITY else None,
        "user.entity.type": ["user", *(["service"] if principal_type == "service" else [])] if principal_type else None,
    }
    for name, value in entry.items():
        fits = value is None or name not in _FITS or _FITS[name](value)
        flat[_PLACES.get(name, f"whodid.{name}") if fits else f"whodid.{name}"] = value
    chain, users = texts_of(entry.get("on_behalf_of")), [entry.get("principal")]
    flat |= {"user.effective.id": chain[0] if chain else None, "user.roles": texts_of(entry.get("roles")) or None}
    if len(chain) > 1:
        flat["whodid.on_behalf_of"] = chain
    if _ENTITY.get(kind) == "user":
        flat |= {"user.target.id": entry.get("target"), "user.target.name": entry.get("target_name")}
        users.append(entry.get("target"))
    if address := flat.get("client.ip"):
        flat |= {"source.ip": address, "related.ip": [address]}
    if (at := when(entry)) != entry.get("@timestamp"):
        flat |= {"@timestamp": at, "event.created": flat.get("@timestamp"), "whodid.occurred_at": None}
    users += [*chain, *(one["id"] for one in objects(entry.get("targets")) if one.get("type") == "user")]
    flat["related.user"] = list(dict.fromkeys(user for user in users if user)) or None
    return nested(flat)


_AUTH = {"service": "service_account", "anonymous": "unauthenticated"}
_AUTH |= {kind: kind for kind in ("agent", "api_key", "system")}
"""Kind of principal → `authtype`; `user` for others."""


def cloudevents(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an entry to a CloudEvent."""
    get = entry.get
    journal, principal, seq, recorded = get("journal"), get("principal"), get("seq"), get("@timestamp")
    version, at = get("schema_version"), when(entry)
    event = {
        "specversion": "1.0",
        "id": entry_id(entry) or sha256(json_bytes(entry)).hexdigest(),
        "source": f"urn:whodid:journal:{quote(valid(str(journal)))}" if journal else "urn:whodid:unknown",
        "type": get("type") or "unknown",
        "subject": get("target"),
        "time": at if is_time(at) else None,
        "datacontenttype": "application/json",
        "dataschema": f"urn:whodid:entry:{quote(valid(str(version)))}" if version else None,
        "authid": principal,
        "authtype": _AUTH.get(str(get("principal_type") or principal), "user") if principal else None,
        "sequence": f"{seq:012d}" if isinstance(seq, int) else None,
        "recordedtime": recorded if at != recorded and is_time(recorded) else None,
        "correlationid": get("correlation_id"),
        "orgid": get("organization_id"),
        "orgname": get("organization_name"),
        "workspaceid": get("workspace_id"),
        "workspacename": get("workspace_name"),
    }
    return {name: printable(value) for name, value in event.items() if value} | {"data": entry}


_SCHEMA = "https://opentelemetry.io/schemas/1.45.0"
_SEVERITY = {"failure": (17, "ERROR"), "unknown": (13, "WARN")}
"""Outcome → severity; INFO for others."""
_LONG = range(-(2**63), 2**63)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")

_NAMES = {
    "principal": "user.id",
    "principal_name": "user.name",
    "principal_email": "user.email",
    "roles": "user.roles",
    "session_id": "session.id",
    "client_ip": "client.address",
    "user_agent": "user_agent.original",
    "route": "http.route",
}
"""Field → attribute; `whodid.` and the field's name for others."""


def opentelemetry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an entry to OTLP `LogsData`."""
    resource = {"service.name": entry.get("service"), "host.name": entry.get("host")}
    trace, method, recorded = entry.get("trace_id"), entry.get("method"), nanoseconds(entry.get("@timestamp"))
    traced = isinstance(trace, str) and _TRACE_ID.fullmatch(trace) is not None
    left_out = {"type", "service", "host", "method", *(["@timestamp"] if recorded else []), *(["trace_id"] * traced)}
    number, text = _SEVERITY.get(str(entry.get("outcome")), (9, "INFO"))
    attributes = {
        "log.record.uid": entry_id(entry) or None,
        **{_NAMES.get(name, f"whodid.{name}"): value for name, value in entry.items() if name not in left_out},
        "user.roles": texts_of(entry.get("roles")) or None,
        "http.request.method": (method if method in METHODS else "_OTHER") if method else None,
        "http.request.method_original": method if method not in METHODS else None,
        "error.type": "_OTHER" if number == _SEVERITY["failure"][0] else None,
    }
    record: dict[str, Any] = {
        "timeUnixNano": str(nanoseconds(when(entry)) or recorded),
        "observedTimeUnixNano": str(recorded),
        "severityNumber": number,
        "severityText": text,
        "eventName": valid(str(entry.get("type", ""))),
        "body": _any(f"{entry.get('type', '')} {entry.get('target', '')} by {entry.get('principal', '')}"),
        "attributes": _key_values(attributes),
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
    return [{"key": valid(name), "value": _any(value)} for name, value in values.items() if value is not None]


def _any(value: object) -> dict[str, Any]:
    """OTLP's AnyValue; 64-bit integers are text in its JSON."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue" if value in _LONG else "stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": valid(value)}
        case Mapping():
            values = [{"key": valid(str(name)), "value": _any(each)} for name, each in value.items()]
            return {"kvlistValue": {"values": values}}
        case list():
            return {"arrayValue": {"values": [_any(each) for each in value]}}
    return {}


CEF_KEYS = (
    {"outcome": "outcome", "status": "reason", "principal": "suid", "target_type": "cat", "method": "requestMethod"}
    | {"user_agent": "requestClientApplication", "service": "sourceServiceName", "host": "dvchost", "seq": "cn1"}
    | {"journal": "deviceExternalId", "target": "cs1", "target_name": "cs2", "organization_id": "cs3"}
    | {"workspace_id": "cs4", "correlation_id": "cs5", "session_id": "cs6"}
)
"""Field → key of the dictionary of CEF. The label of a custom one (`cs1Label`) is the field's name."""

_MOST = {"act": 63, "outcome": 63, "dvchost": 100, "deviceExternalId": 255, "externalId": 40}
"""Key → the most characters that it may have; 1,023 for others."""
_WHOLE = {"type": 512, **{name: _MOST.get(key, 1023) for name, key in CEF_KEYS.items()}}
"""Field → the length up to which a standard key, or the header, has the whole value; an own key has it beyond."""

_OWN = {name: "whodid" + name.lstrip("@").replace("_", " ").title().replace(" ", "") for name in FIELDS}
"""Field → the key that CEF calls user-defined: `whodidTraceId`."""

_CONTROLS = {*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000)} - {ord("\n"), ord("\r")}
_VISIBLE = {code: rf"\u{code:04x}" for code in _CONTROLS}
_IN_HEADER = str.maketrans({"\\": r"\\", "|": r"\|", "\n": " ", "\r": " "})
_IN_EXTENSION = str.maketrans({"\\": r"\\", "=": r"\=", "\n": r"\n", "\r": r"\r"})
_URGENCY = {"failure": 6, "unknown": 4}
"""Outcome → severity of 0 to 10, of which 4 to 6 are medium; 3, which is low, for others."""


def cef(entry: Mapping[str, Any]) -> str:
    """Converts an entry to a line of CEF, without the line's end."""
    whole = {name: one if isinstance(one, str) else json_text(one) for name, one in entry.items() if one is not None}
    given = {name: text if text.isprintable() else text.translate(_VISIBLE) for name, text in whole.items()}
    id_, roles = entry_id(entry).translate(_VISIBLE), ", ".join(texts_of(entry.get("roles"))).translate(_VISIBLE)
    get, event_type, recorded, at = given.get, given.get("type", ""), given.get("@timestamp"), when(given)
    verb, user, address = verb_of(event_type), _ENTITY.get(get("target_type", "")) == "user", get("client_ip", "")
    version = ip_version(address)
    standard = {
        "rt": str(milliseconds(recorded)) if is_time(recorded) else "",
        "start": str(milliseconds(at)) if at != recorded else "",
        "act": event_type if verb == "other" else verb,
        "externalId": id_.rpartition("-")[0],
        "suser": get("principal_name") or get("principal_email") or get("principal", ""),
        "spriv": roles,
        "duid": get("target", "") if user else "",
        "duser": get("target_name", "") if user else "",
        "src": address if version == 4 else "",
        "c6a2": address if version == 6 else "",
        **{key: given[name] for name, key in CEF_KEYS.items() if name in given},
        **{f"{key}Label": name for name, key in CEF_KEYS.items() if key[:2] in {"cs", "cn"} and get(name)},
        "c6a2Label": "Source IPv6 Address" if version == 6 else "",
    }
    own = {_OWN[name]: text for name, text in given.items() if name in _OWN and len(text) > _WHOLE.get(name, 0)}
    others = {name: one for name, one in entry.items() if name not in FIELDS}
    own |= {"whodidEntryId": id_, "whodidUnmapped": json_text(others) if others else ""}
    head = (__version__[:31], event_type[:1023] or "unknown", event_type.replace("_", " ")[:512] or "unknown")
    header = [text.translate(_IN_HEADER) for text in ("CEF:0", "whodid", "whodid", *head)]
    pairs = [*((key, text[: _MOST.get(key, 1023)]) for key, text in standard.items()), *own.items()]
    extension = " ".join(f"{key}={text.translate(_IN_EXTENSION)}" for key, text in pairs if text)
    return "|".join([*header, str(_URGENCY.get(get("outcome", ""), 3)), extension])

"""Elastic Common Schema 9: an entry as a document that Elastic's and OpenSearch's dashboards understand.

What the schema has no field for stands under `labels` (short keywords) or `whodid` (the rest, as journalled).
Categories and types: https://www.elastic.co/docs/reference/ecs/ecs-category-field-values-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..entry import entry_id
from .nested import nested
from .verbs import Verb, verb_of

__all__ = ["VERSION", "ecs", "ecs_event"]

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
"""Kind of target → the `event.type` that says what kind of account was changed."""

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
    """The document of an entry."""
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

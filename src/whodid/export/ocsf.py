"""Entries in the Open Cybersecurity Schema Framework 1.9: the class depends on the verb and the kind of target.

https://schema.ocsf.io. Fields without a place in the class are under `unmapped`, with their names in the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..entry import ZERO_HASH, document_id, entry_id
from ..resources import __version__
from .nested import Verb, milliseconds, nested, verb_of

__all__ = ["VERSION", "ocsf", "type_uid_of"]

VERSION = "1.9.0"

_OTHER = 99
_INFORMATIONAL = 1
_SHA_256 = 3


class _Class(NamedTuple):
    """An OCSF class: its number, its word for each verb, and the attribute that holds the target, if it has one."""

    uid: int
    activities: dict[Verb, int]
    about: Callable[[dict[str, Any]], dict[str, Any]]
    from_where: bool = True
    """Whether the class has places for address and client; `actor` then needs no profile."""


def _user(entry: dict[str, Any]) -> dict[str, Any]:
    return {"user.uid": entry.pop("target", None), "user.name": entry.pop("target_name", None), "user.type_id": 1}


def _sign_in(entry: dict[str, Any]) -> dict[str, Any]:
    service = {"service.name": entry.get("service") or "unknown"}
    return {**_user(entry), **service}


def _group(entry: dict[str, Any]) -> dict[str, Any]:
    return {"group.uid": entry.pop("target", None), "group.name": entry.pop("target_name", None)}


def _member(entry: dict[str, Any]) -> dict[str, Any]:
    """A participant belongs to a workspace, whose group of people is meant."""
    group = entry.pop("workspace_id", None)
    name = entry.pop("workspace_name", None)
    if group is None and name is None:
        group, name = entry.pop("organization_id", None), entry.pop("organization_name", None)
    return {**_user(entry), "group.uid": group, "group.name": name or (None if group else "unknown")}


def _organization(entry: dict[str, Any]) -> dict[str, Any]:
    return {"entity.type_id": 4, "entity.type": "Organization", **_entity(entry)}


def _workspace(entry: dict[str, Any]) -> dict[str, Any]:
    return {"entity.type_id": _OTHER, "entity.type": "workspace", **_entity(entry)}


def _entity(entry: dict[str, Any]) -> dict[str, Any]:
    return {"entity.uid": entry.pop("target", None), "entity.name": entry.pop("target_name", None)}


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    target = entry.pop("target", None)
    name = entry.pop("target_name", None) or target or "unknown"
    return {"file.uid": target, "file.name": name, "file.type_id": 0}


def _app(entry: dict[str, Any]) -> dict[str, Any]:
    return {"app.uid": entry.pop("target", None), "app.name": entry.pop("target_name", None)}


def _resource(entry: dict[str, Any]) -> dict[str, Any]:
    resource = {
        "uid": entry.pop("target", None),
        "name": entry.pop("target_name", None),
        "type": entry.pop("target_type", None),
        "namespace": entry.pop("workspace_id", None),
    }
    filled = {name: value for name, value in resource.items() if value is not None}
    return {"resources": [filled] if filled else None, "api.operation": entry.get("type") or "unknown"}


_API = _Class(6003, {"create": 1, "read": 2, "update": 3, "delete": 4}, _resource)
_ENTITY: dict[Verb, int] = {"create": 1, "read": 2, "update": 3, "delete": 4}
_CLASSES = {
    "user_session": _Class(3002, {"sign_in": 1}, _sign_in),
    "user": _Class(3007, {"create": 1, "update": 2, "delete": 3}, _user),
    "team": _Class(3006, {"create": 6, "delete": 5, "update": 9, "assign": 12}, _group),
    "participant": _Class(3006, {"create": 3, "delete": 4, "update": 9, "assign": 12}, _member),
    "organization": _Class(3004, _ENTITY, _organization),
    "workspace": _Class(3004, _ENTITY, _workspace),
    "data_link_file": _Class(6006, {"upload": 1, "download": 2, "update": 3, "delete": 4, "preview": 9}, _file),
    "studio_session": _Class(6002, {"start": 3, "stop": 4, "update": 8}, _app, from_where=False),
    "studio_environment": _Class(6002, {}, _app, from_where=False),
}
"""Kind of target → class; 6003, a call to the application, for others."""

_STATUS = {"success": 1, "failure": 2, "unknown": 0}
_PRINCIPAL_TYPE = {"system": 3}
"""Principal → `actor.user.type_id`; 1, a user, for others."""


def type_uid_of(event_type: str, target_type: str | None) -> int:
    """`type_uid` of an event type: 600302 for `credentials_accessed`."""
    kind = _class_of(event_type, target_type)
    return kind.uid * 100 + kind.activities.get(verb_of(event_type), _OTHER)


def _class_of(event_type: str, target_type: str | None) -> _Class:
    if event_type == "user_sign_in":
        return _CLASSES["user_session"]
    return _CLASSES.get(target_type or "", _API)


def ocsf(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The event of an entry."""
    event_type = str(entry.get("type", ""))
    kind = _class_of(event_type, entry.get("target_type"))
    activity = kind.activities.get(verb_of(event_type), _OTHER)
    rest = dict(entry)
    flat: dict[str, Any] = {
        "class_uid": kind.uid,
        "category_uid": kind.uid // 1000,
        "activity_id": activity,
        "activity_name": event_type if activity == _OTHER else None,
        "type_uid": kind.uid * 100 + activity,
        "severity_id": _INFORMATIONAL,
        "time": milliseconds(entry.get("@timestamp")),
        **kind.about(rest),
        **_who(rest),
        **(_where(rest) if kind.from_where else {}),
        **_metadata(rest),
        "metadata.profiles": ["record_integrity"] if kind.from_where else ["host", "record_integrity"],
        "attestation_list": _attestations(rest),
        "status_id": _STATUS.get(rest.pop("outcome", ""), 0),
        "status_detail": rest.pop("status", None),
        "unmapped": None,
    }
    rest.pop("type", None)
    if rest:
        flat["unmapped"] = rest
    return nested(flat)


def _who(rest: dict[str, Any]) -> dict[str, Any]:
    principal = rest.pop("principal", None)
    token = rest.pop("access_token_id", None)
    return {
        "actor.user.uid": principal,
        "actor.user.name": rest.pop("principal_name", None) or (None if principal else "unknown"),
        "actor.user.email_addr": rest.pop("principal_email", None),
        "actor.user.type_id": _PRINCIPAL_TYPE.get(str(principal), 1),
        "actor.user.programmatic_credentials": [{"uid": token}] if token else None,
    }


def _where(rest: dict[str, Any]) -> dict[str, Any]:
    address, service = rest.pop("client_ip", None), rest.get("service")
    return {
        "src_endpoint.ip": address,
        "src_endpoint.svc_name": None if address else service or "unknown",
        "http_request.user_agent": rest.pop("user_agent", None),
        "http_request.uid": rest.pop("request_id", None),
    }


def _metadata(rest: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata.version": VERSION,
        "metadata.product.name": "whodid",
        "metadata.product.version": __version__,
        "metadata.log_name": "audit",
        "metadata.log_provider": rest.pop("service", None),
        "metadata.log_version": rest.pop("schema_version", None),
        "metadata.uid": entry_id(rest) or None,
        "metadata.event_code": rest.get("type"),
        "metadata.correlation_uid": rest.pop("correlation_id", None),
        "metadata.tenant_uid": rest.pop("organization_id", None),
        "metadata.original_time": rest.pop("@timestamp", None),
        "metadata.sequence": rest.get("seq"),
    }


def _attestations(rest: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The entry's place in the hash chain, for one that whodid wrote."""
    match rest:
        case {"journal": str(journal), "seq": int(seq), "prev": str(before), "hash": str(own)}:
            pass
        case _:
            return None
    for name in ("journal", "seq", "hash", *(["prev"] if seq > 1 or before == ZERO_HASH else [])):
        del rest[name]
    attestation: dict[str, Any] = {"chain_uid": journal, "fingerprint": _fingerprint(own)}
    if seq > 1:
        attestation["prev_event"] = {"uid": document_id(journal, seq - 1, before), "fingerprint": _fingerprint(before)}
    return [attestation]


def _fingerprint(hash_: str) -> dict[str, Any]:
    return {"algorithm_id": _SHA_256, "value": hash_}

"""Entries in the Open Cybersecurity Schema Framework 1.9: the class depends on the verb and the kind of target.

https://schema.ocsf.io. Fields without a place in the class, and values that the schema doesn't allow there, are under
`unmapped`, with their names in the entry. A service, an API key or an agent that acts on behalf of somebody is the
actor's application, and that person is its user; a person who acts on behalf of another one stays the actor's user.
An attestation is about the entry as recorded and not about the event, which its `serialization` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..entry import ZERO_HASH, document_id, entry_id
from ..resources import __version__
from ..text import texts_of
from .nested import METHODS, Verb, ip_version, milliseconds, nested, objects, verb_of, when

__all__ = ["VERSION", "ocsf", "type_uid_of"]

VERSION = "1.9.0"

_OTHER = 99
_INFORMATIONAL = 1
_SHA_256, _HEX = 3, 1


class _Class(NamedTuple):
    """An OCSF class: its number, its word for each verb, and the attribute that holds the target, if it has one."""

    uid: int
    activities: dict[Verb, int]
    about: Callable[[dict[str, Any]], dict[str, Any]]
    from_where: bool = True
    """Whether the class has places for address and client; `actor` then needs no profile."""


def _thing(entry: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The target, as an object with an ID or a name."""
    uid, name = entry.pop("target", None), entry.pop("target_name", None)
    values = {"uid": uid or (None if name else "unknown"), "name": name, **more}
    return {key: value for key, value in values.items() if value is not None}


def _as(attribute: str, **more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda entry: {attribute: _thing(entry, **more)}


_user = _as("user", type_id=1)


def _sign_in(entry: dict[str, Any]) -> dict[str, Any]:
    method = entry.get("auth_method")
    number, caption = _PROTOCOLS.get(str(method).lower(), (_OTHER, method))
    return {
        **_user(entry),
        "service.name": entry.get("service") or "unknown",
        "session.uid": entry.pop("session_id", None),
        "auth_protocol_id": number if method else None,
        "auth_protocol": caption,
    }


def _member(entry: dict[str, Any]) -> dict[str, Any]:
    """A participant belongs to a workspace, whose group of people is meant."""
    group, name = entry.pop("workspace_id", None), entry.pop("workspace_name", None)
    if group is None and name is None:
        group, name = entry.pop("organization_id", None), entry.pop("organization_name", None)
    users = [_thing(entry, type_id=1)]
    if {one.get("type") for one in objects(entry.get("targets"))} <= {"participant", "user"}:
        users += _further(entry, "name", type_id=1)
    return {"users": users, "group.uid": group, "group.name": name or (None if group else "unknown")}


def _further(entry: dict[str, Any], *names: str, **more: Any) -> list[dict[str, Any]]:
    """Removes the further targets, and returns them as objects with an ID and these names."""
    found = objects(entry.get("targets"))
    if found:
        del entry["targets"]
    return [{"uid": one["id"], **{name: one[name] for name in names if name in one}, **more} for one in found]


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    target = entry.pop("target", None)
    name = entry.pop("target_name", None) or target or "unknown"
    return {"file.uid": target, "file.name": name, "file.type_id": 0}


def _resource(entry: dict[str, Any]) -> dict[str, Any]:
    own = _thing(entry, type=entry.pop("target_type", None), namespace=entry.pop("workspace_id", None))
    return {"resources": [own, *_further(entry, "name", "type")], "api.operation": entry.get("type") or "unknown"}


_API = _Class(6003, {"create": 1, "read": 2, "update": 3, "delete": 4}, _resource)
_ENTITY: dict[Verb, int] = {"create": 1, "read": 2, "update": 3, "delete": 4}
_CLASSES = {
    "user_session": _Class(3002, {"sign_in": 1}, _sign_in),
    "user": _Class(3007, {"create": 1, "update": 2, "delete": 3}, _user),
    "team": _Class(3006, {"create": 6, "delete": 5, "update": 9, "assign": 12}, _as("group")),
    "participant": _Class(3006, {"create": 3, "delete": 4, "update": 9}, _member),
    "organization": _Class(3004, _ENTITY, _as("entity", type_id=4, type="Organization")),
    "workspace": _Class(3004, _ENTITY, _as("entity", type_id=_OTHER, type="workspace")),
    "data_link_file": _Class(6006, {"upload": 1, "download": 2, "update": 3, "delete": 4, "preview": 9}, _file),
    "studio_session": _Class(6002, {"start": 3, "stop": 4, "update": 8}, _as("app"), from_where=False),
    "studio_environment": _Class(6002, {}, _as("app"), from_where=False),
}
"""Kind of target → class; 6003, a call to the application, for others."""
_ROLES = _Class(3007, {"assign": 16}, _user)

_STATUS = {None: 0, "success": 1, "failure": 2, "unknown": 0}
_TYPE = {"user": 1, "system": 3, "service": 4}
"""Kind of principal → `actor.user.type_id`; 99, other, for others."""
_PROGRAMS = {"service", "api_key", "agent"}
_PROTOCOLS = {"kerberos": (2, "Kerberos"), "ldap": (12, "LDAP"), "oidc": (4, "OpenID"), "saml": (5, "SAML")}
"""`auth_method` → `auth_protocol_id` and its caption."""
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+")
"""The schema's own pattern of an `email_t`."""


def type_uid_of(event_type: str, target_type: str | None) -> int:
    """`type_uid` of an event type: 600302 for `credentials_accessed`."""
    kind = _class_of(event_type, target_type)
    return kind.uid * 100 + kind.activities.get(verb_of(event_type), _OTHER)


def _class_of(event_type: str, target_type: str | None) -> _Class:
    if event_type == "user_sign_in":
        return _CLASSES["user_session"]
    if target_type == "participant" and verb_of(event_type) == "assign":
        return _ROLES
    return _CLASSES.get(target_type or "", _API)


def ocsf(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The event of an entry."""
    event_type = str(entry.get("type", ""))
    kind = _class_of(event_type, entry.get("target_type"))
    activity = kind.activities.get(verb_of(event_type), _OTHER)
    rest = dict(entry)
    outcome = rest.pop("outcome", None) or None
    profiles = [*([] if kind.from_where else ["host"]), "record_integrity"]
    flat: dict[str, Any] = {
        "class_uid": kind.uid,
        "category_uid": kind.uid // 1000,
        "activity_id": activity,
        "activity_name": event_type or "unknown" if activity == _OTHER else None,
        "type_uid": kind.uid * 100 + activity,
        "severity_id": _INFORMATIONAL,
        "time": milliseconds(when(entry)),
        **kind.about(rest),
        **_who(rest),
        **(_where(rest) if kind.from_where else {}),
        **_metadata(rest),
        "metadata.profiles": profiles + (["ai_operation"] if entry.get("principal_type") == "agent" else []),
        "attestation_list": _attestations(rest),
        "status_id": _STATUS.get(outcome, _OTHER),
        "status": outcome if outcome not in _STATUS else None,
        "status_detail": rest.pop("status", None),
        "unmapped": None,
    }
    rest.pop("type", None)
    if rest:
        flat["unmapped"] = rest
    return nested(flat)


def _take(rest: dict[str, Any], name: str, fits: Callable[[Any], object]) -> Any:
    """Removes a value that fits its place; any other value stays for `unmapped`."""
    return rest.pop(name) if name in rest and fits(rest[name]) else None


def _who(rest: dict[str, Any]) -> dict[str, Any]:
    principal, name, token = (rest.pop(key, None) for key in ("principal", "principal_name", "access_token_id"))
    kind = rest.get("principal_type") or (principal if principal in {"system", "anonymous"} else "user")
    chain, roles, agent = texts_of(rest.get("on_behalf_of")), texts_of(rest.get("roles")), kind == "agent"
    who: dict[str, Any] = {
        "actor.user.programmatic_credentials": [{"uid": token}] if token else None,
        "actor.session.uid": rest.pop("session_id", None),
        "actor.iam_role.name": roles[0] if len(roles) == 1 and rest.pop("roles") else None,
        "ai_agent.uid": principal if agent else None,
        "ai_agent.name": (name or (None if principal else "unknown")) if agent else None,
    }
    if kind in _PROGRAMS and chain:
        if len(chain) == 1:
            del rest["on_behalf_of"]
        app = {"actor.app_uid": principal, "actor.app_name": name}
        return who | app | {"actor.user.uid": chain[0], "actor.user.type_id": 0}
    return who | {
        "actor.user.uid": principal,
        "actor.user.name": name or (None if principal else "unknown"),
        "actor.user.email_addr": _take(rest, "principal_email", lambda email: _EMAIL.fullmatch(str(email))),
        "actor.user.type_id": _TYPE.get(kind, _OTHER),
        "actor.user.type": None if kind in _TYPE else kind,
    }


def _where(rest: dict[str, Any]) -> dict[str, Any]:
    address, service = _take(rest, "client_ip", ip_version), rest.get("service")
    return {
        "src_endpoint.ip": address,
        "src_endpoint.svc_name": None if address else service or "unknown",
        "http_request.http_method": _take(rest, "method", METHODS.__contains__),
        "http_request.user_agent": rest.pop("user_agent", None),
        "http_request.uid": rest.pop("request_id", None),
    }


def _metadata(rest: dict[str, Any]) -> dict[str, Any]:
    recorded, later = rest.get("@timestamp"), when(rest) != rest.get("@timestamp")
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
        "metadata.log_source": rest.pop("imported_from", None),
        "metadata.original_time": rest.pop("occurred_at" if later else "@timestamp", None),
        "metadata.loggers": [{"name": "whodid", "logged_time": milliseconds(recorded)}] if later else None,
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
    serialization = {"serialization_id": _OTHER, "serialization": "RFC 8785, of the whodid entry"}
    return {"algorithm_id": _SHA_256, "encoding_id": _HEX, **serialization, "value": hash_}

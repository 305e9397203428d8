"""The explanation: what is wrong with an entry, in words that say what to change and never show a value."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from ..entry import FIELDS, Field
from .model import DetailRule, EventType

__all__ = ["violations"]


def violations(event_type: EventType, entry: Mapping[str, Any]) -> list[str]:
    """Every rule that the entry breaks, a sentence each."""
    return [*_missing(event_type, entry), *_fields(entry), *_rules(event_type, entry)]


def _missing(event_type: EventType, entry: Mapping[str, Any]) -> Iterator[str]:
    for name in ("target", "principal", *event_type.rules.requires):
        if name not in entry:
            yield _how_to_give(name, event_type)
    if "phase" in entry and "operation" not in entry:
        yield "phase needs operation, which joins the two entries of a pair; pass operation=…"


def _how_to_give(name: str, event_type: EventType) -> str:
    if name == "target":
        return f"target is missing; pass target=…: {event_type.target}"
    if name == "principal":
        return (
            "principal is missing; bind the user's ID with whodid.context(principal=…) around the request, "
            "or say principal='system' for what the system started"
        )
    if name == "client_ip":
        return (
            f"client_ip is required{_because(event_type)}; bind it with whodid.context(client_ip=…) or pass client_ip=…"
        )
    return f"{name} is required{_because(event_type)}; pass {name}=…"


def _because(event_type: EventType) -> str:
    return f" ({event_type.rules.because})" if event_type.rules.because else ""


def _fields(entry: Mapping[str, Any]) -> Iterator[str]:
    for name, value in entry.items():
        field = FIELDS.get(name)
        if field is None:
            yield f"{name} is not a field of an entry; pass details={{{name!r}: …}}"
        else:
            yield from _field(field, value)


def _field(field: Field, value: object) -> Iterator[str]:
    kind = type(value).__name__
    if field.kind in {"flat_object", "stored"}:
        if not isinstance(value, Mapping):
            yield f"{field.name} must be a dict, not {kind}"
    elif field.kind == "long":
        if type(value) is not int:
            yield f"{field.name} must be an integer, not {kind}"
    elif not isinstance(value, str):
        yield f"{field.name} must be a string, not {kind}; pass str(…)"
    elif type(value) is not str and not isinstance(value, Enum):  # such as Markup; JSON Schema's validator knows none
        yield f"{field.name} must be a string of Python's own type str, not {kind}; pass str.__str__(…)"
    elif field.kind == "ip":
        if not _is_ip(value):
            yield f"{field.name} is no IPv4 or IPv6 address ({len(value)} characters); pass it without port and zone"
    elif not value:
        yield f"{field.name} is empty; leave it out instead"
    elif len(value) > field.max_length:
        yield f"{field.name} has {len(value)} characters, the limit is {field.max_length}"
    elif field.values and value not in field.values:
        yield f"{field.name} must be one of {', '.join(field.values)}"


def _is_ip(text: str) -> bool:
    try:
        return ipaddress.ip_address(text) is not None and "%" not in text
    except ValueError:
        return False


def _rules(event_type: EventType, entry: Mapping[str, Any]) -> Iterator[str]:
    rules = event_type.rules
    why = _because(event_type)
    for name in rules.forbids:
        if name in entry:
            yield f"{name} is not allowed{why}; leave it out"
    status = entry.get("status")
    if isinstance(status, str):
        if rules.status and status not in rules.status:
            yield f"status must be one of {', '.join(rules.status)}{why}"
        if status.lower() in {value.lower() for value in rules.not_status}:
            yield f"status must be none of {', '.join(rules.not_status)}{why}; record the state that follows"
    if rules.principal and "principal" in entry and entry["principal"] != rules.principal:
        yield f"principal must be {rules.principal!r}{why}"
    for name in ("client_ip", "forwarded_for"):
        if entry.get("principal") == "system" and name in entry:
            yield f"{name} must be absent when principal is 'system', which has no address; leave it out"
    details = entry.get("details", {})
    for key, rule in rules.details.items() if isinstance(details, Mapping) else ():
        if key not in details or not _detail_holds(rule, details[key]):
            yield f"details must hold {key!r}: {_detail_words(rule)}{why}; pass details={{{key!r}: …}}"


def _detail_holds(rule: DetailRule, value: object) -> bool:
    if rule is None:
        return isinstance(value, str) and bool(value)
    if isinstance(rule, bool):
        return value is rule
    return value in rule if isinstance(value, str) else False


def _detail_words(rule: DetailRule) -> str:
    if rule is None:
        return "a string"
    return str(rule) if isinstance(rule, bool) else "one of " + ", ".join(rule)

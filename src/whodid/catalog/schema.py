"""The schema: a catalog as JSON Schema (2020-12).

`given_schema` is what a call is checked against: the part of an entry that a caller gives. `type_schema` is the same of
an entry that only lacks its place in the chain.
`entry_schema` is what others may check stored entries against: a complete entry of any type. Both are made of the same
parts.
"""

from __future__ import annotations

from typing import Any

from ..entry import FIELDS, NEVER_COMMITTED, SCHEMA_VERSION, Field
from ..integrity import MAX_DEPTH
from .model import Contents, DetailRule, EventType, Rules

__all__ = ["entry_schema", "given_schema", "type_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ALWAYS = ("type", "target", "principal", "creation_date", "@timestamp", "target_type", "schema_version")
_CHAIN = ("journal", "seq", "prev", "hash")
_PERSONAL = ("committed", "salt", "salts", "erased")
_SYNTAX = frozenset(r"^$\.*+?()[]{}|")
"""Characters that mean something in a pattern."""

_SPECIAL: dict[str, dict[str, Any]] = {
    "creation_date": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"},
    "@timestamp": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"},
    "journal": {"pattern": "^[0-9a-f]{16}$"},
    "prev": {"pattern": "^[0-9a-f]{64}$"},
    "hash": {"pattern": "^[0-9a-f]{64}$"},
    "schema_version": {"pattern": rf"^{SCHEMA_VERSION.split('.')[0]}\.\d+$", "examples": [SCHEMA_VERSION]},
    "committed": {
        "type": "array",
        "items": {"type": "string", "not": {"enum": [name for name in FIELDS if name in NEVER_COMMITTED]}},
        "minItems": 1,
        "uniqueItems": True,
    },
    "salt": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "salts": {"additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    "erased": {"additionalProperties": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}},
}


def type_schema(event_type: EventType) -> dict[str, Any]:
    """An entry of that type without its place in the chain."""
    parts = _type_part(event_type)
    entry = _entry_part()
    properties = {**entry["properties"], **parts["properties"]}
    # Where both say something of a field, both hold.
    for name in parts["properties"].keys() & entry["properties"].keys():
        if isinstance(parts["properties"][name], dict):
            properties[name] = {**entry["properties"][name], **parts["properties"][name]}
    for name in (*_CHAIN, *_PERSONAL):
        properties[name] = False
    return {**entry, "properties": properties, "required": [*entry["required"], *parts.get("required", [])]}


def given_schema(event_type: EventType) -> dict[str, Any]:
    """What a caller gives for an entry of that type: all but the type and what whodid fills in by itself."""
    schema = type_schema(event_type)
    ours = {name for name, field in FIELDS.items() if field.source != "call"} | {"type"}
    return {
        **schema,
        "properties": {name: rule for name, rule in schema["properties"].items() if name not in ours},
        "required": [name for name in schema["required"] if name not in ours],
    }


def entry_schema(contents: Contents) -> dict[str, Any]:
    """A complete entry of any type of the catalog."""
    return {
        "$schema": DIALECT,
        "title": "whodid audit entry",
        "description": "Made from the catalog by `whodid events schema`. Objects nest at most "
        f"{MAX_DEPTH} deep; `whodid help format` says what the hash covers.",
        "type": "object",
        "required": list(_CHAIN),
        "properties": {"type": {"enum": list(contents.types)}},
        "allOf": [
            {"$ref": "#/$defs/entry"},
            *(
                {"if": {"properties": {"type": {"const": name}}}, "then": {"$ref": f"#/$defs/{name}"}}
                for name in contents.types
            ),
        ],
        "$defs": {
            "entry": _stored_entry_part(),
            **{name: _stored_part(known, contents.personal) for name, known in contents.types.items()},
        },
    }


def _entry_part() -> dict[str, Any]:
    """What holds for every entry."""
    return {
        "type": "object",
        "properties": {name: _field(field) for name, field in FIELDS.items()},
        "required": list(_ALWAYS),
        "additionalProperties": False,
        "dependentRequired": {"phase": ["operation"]},
        "if": {"properties": {"principal": {"const": "system"}}},
        "then": {"properties": {"client_ip": False, "forwarded_for": False}},
    }


def _stored_entry_part() -> dict[str, Any]:
    """The same of a stored entry: one of a higher minor version may have fields that aren't known here."""
    major, _, minor = SCHEMA_VERSION.partition(".")
    known = {"schema_version": {"enum": [f"{major}.{number}" for number in range(int(minor) + 1)]}}
    part = {name: rule for name, rule in _entry_part().items() if name != "additionalProperties"}
    part["dependentRequired"] |= {"salt": ["committed"], "salts": ["committed", "erased"], "erased": ["committed"]}
    return {**part, "allOf": [{"if": {"properties": known}, "then": {"propertyNames": {"enum": list(FIELDS)}}}]}


def _field(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": field.about}
    if field.kind == "long":
        return {**schema, "type": "integer", "minimum": 1, "maximum": 2**53 - 1}
    if field.kind in {"flat_object", "stored"}:
        return {**schema, "type": "object", **_SPECIAL.get(field.name, {})}
    if field.kind == "ip":
        return {**schema, "type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
    return {
        **schema,
        "type": "string",
        "minLength": 1,
        "maxLength": field.max_length,
        **({"enum": list(field.values)} if field.values else {}),
        **_SPECIAL.get(field.name, {}),
    }


def _type_part(event_type: EventType) -> dict[str, Any]:
    """What holds for one type, besides."""
    rules = event_type.rules
    properties: dict[str, Any] = {
        "type": {"const": event_type.name},
        "target_type": {"const": event_type.resource},
        **_status(rules),
        **({"principal": {"const": rules.principal}} if rules.principal else {}),
        **dict.fromkeys(rules.forbids, False),
    }
    required = list(dict.fromkeys((*rules.requires, *(["details"] if rules.details else []))))
    if rules.details:
        properties["details"] = {
            "type": "object",
            "required": list(rules.details),
            "properties": {key: _detail(rule) for key, rule in rules.details.items()},
        }
    part: dict[str, Any] = {"description": f"{event_type.about} The target is {event_type.target}."}
    return {**part, "properties": properties, **({"required": required} if required else {})}


def _stored_part(event_type: EventType, personal: frozenset[str]) -> dict[str, Any]:
    """The same of a stored entry: of a personal field, which can be erased, the commitment will do."""
    part = _type_part(event_type)
    if event_type.replaced_by:
        part["deprecated"] = True
        part["description"] += f" Replaced by {event_type.replaced_by}."
    required = part.get("required", [])
    erasable = [name for name in required if name in personal]
    if not erasable:
        return part
    erased = ({"properties": {"erased": {"required": [name]}}, "required": ["erased"]} for name in erasable)
    either = [{"anyOf": [{"required": [name]}, gone]} for name, gone in zip(erasable, erased, strict=True)]
    return {**part, "required": [name for name in required if name not in personal], "allOf": either}


def _status(rules: Rules) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if rules.status:
        status["enum"] = list(rules.status)
    if rules.not_status:
        status["not"] = {"pattern": f"^({'|'.join(map(_in_any_case, rules.not_status))})$"}
    return {"status": status} if status else {}


def _in_any_case(text: str) -> str:
    """A pattern (ECMA 262, as JSON Schema has it) of that text in capitals, small letters, or both."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else f"\\{c}" if c in _SYNTAX else c for c in text)


def _detail(rule: DetailRule) -> dict[str, Any]:
    if rule is None:
        return {"type": "string", "minLength": 1}
    if isinstance(rule, bool):
        return {"const": rule}
    return {"enum": list(rule)}

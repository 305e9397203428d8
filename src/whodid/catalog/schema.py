"""The JSON Schema (2020-12) of a catalog, and messages for the rules that an entry breaks.

- `given_schema`: the part of an entry that a caller gives; calls are checked against it.
- `type_schema`: an entry of one type without its place in the chain.
- `entry_schema`: a complete entry of any type, for other programs that check stored entries.

A message names what to change, and never shows a value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from ..entry import FIELDS, NEVER_COMMITTED, SCHEMA_VERSION, TARGET_KEYS, Field
from ..integrity import MAX_DEPTH
from ..text import did_you_mean, json_text
from .model import DIALECT, Contents, EventType, Fragment, Rules, compiled, words_for

__all__ = ["NO_RULES", "demands", "entry_schema", "given_schema", "in_words", "type_schema", "violations"]

_ALWAYS = ("type", "target", "principal", "creation_date", "@timestamp", "target_type", "schema_version")
_CHAIN = ("journal", "seq", "prev", "hash")
_PERSONAL = ("committed", "salt", "salts", "erased")
_SYNTAX = frozenset(r"^$\.*+?()[]{}|")
"""Characters with a special meaning in a pattern."""

_SPECIAL: dict[str, dict[str, Any]] = {
    "creation_date": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"},
    "occurred_at": {
        "pattern": r"^(19[7-9]|2[01]\d|22[0-5])\d-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?Z$",
        "format": "date-time",
    },
    "@timestamp": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"},
    "journal": {"pattern": "^[0-9a-f]{16}$"},
    "prev": {"pattern": "^[0-9a-f]{64}$"},
    "hash": {"pattern": "^[0-9a-f]{64}$"},
    "schema_version": {"pattern": rf"^{SCHEMA_VERSION.split('.')[0]}\.\d+$", "examples": [SCHEMA_VERSION]},
    "once": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
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
    """The schema of an entry of one type without its place in the chain."""
    parts = _type_part(event_type)
    entry = _entry_part()
    properties = {**entry["properties"], **parts["properties"]}
    # If both have rules for a field, both apply.
    for name in parts["properties"].keys() & entry["properties"].keys():
        if isinstance(parts["properties"][name], dict):
            properties[name] = {**entry["properties"][name], **parts["properties"][name]}
    for name in (*_CHAIN, *_PERSONAL):
        properties[name] = False
    required = [*entry["required"], *parts.get("required", [])]
    agents = {"allOf": parts["allOf"]} if "allOf" in parts else {}
    return {**entry, "properties": properties, "required": required, **agents}


def given_schema(event_type: EventType) -> dict[str, Any]:
    """The schema of the fields that a caller gives for an entry of one type."""
    schema = type_schema(event_type)
    ours = {name for name, field in FIELDS.items() if field.source != "call"} | {"type"}
    return {
        **schema,
        "properties": {name: rule for name, rule in schema["properties"].items() if name not in ours},
        "required": [name for name in schema["required"] if name not in ours],
    }


def entry_schema(contents: Contents) -> dict[str, Any]:
    """The schema of a complete entry of any type of the catalog."""
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
    """The rules of every entry."""
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
    """The rules of every stored entry: one of a higher minor version may have unknown fields."""
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
    if field.kind == "objects":
        keys = {key: {"type": "string", "minLength": 1, "maxLength": most} for key, most in TARGET_KEYS.items()}
        one = {"type": "object", "properties": keys, "required": ["id"], "additionalProperties": False}
        return {**schema, "type": "array", "minItems": 1, "maxItems": field.many, "items": one}
    text = {"type": "string", "minLength": 1, "maxLength": field.max_length}
    if field.many > 1:
        several = {"type": "array", "minItems": 1, "maxItems": field.many, "items": text}
        return {**schema, "anyOf": [text, several]}
    return {
        **schema,
        **text,
        **({"enum": list(field.values)} if field.values else {}),
        **_SPECIAL.get(field.name, {}),
    }


def _type_part(event_type: EventType) -> dict[str, Any]:
    """The additional rules of one type."""
    rules = event_type.rules
    properties: dict[str, Any] = {
        "type": {"const": event_type.name},
        "target_type": {"const": event_type.resource},
        **_status(rules),
        **({"principal": {"const": rules.principal}} if rules.principal else {}),
        **dict.fromkeys(rules.forbids, False),
    }
    required = list(dict.fromkeys((*rules.requires, *(["details"] if demands(rules.details) else []))))
    properties |= dict(rules.fragments())
    part: dict[str, Any] = {"description": f"{event_type.about} The target is {event_type.target}."}
    part |= {"properties": properties, **({"required": required} if required else {})}
    agent = {"properties": {"principal_type": {"const": "agent"}}, "required": ["principal_type"]}
    agents = [{"if": agent, "then": _or_erased(name)} for name in rules.agents_need]
    return {**part, **({"allOf": agents} if agents else {})}


def _stored_part(event_type: EventType, personal: frozenset[str]) -> dict[str, Any]:
    """The additional rules of stored entries of one type: the commitment of an erased personal field is enough."""
    part = _type_part(event_type)
    if event_type.replaced_by:
        part["deprecated"] = True
        part["description"] += f" Replaced by {event_type.replaced_by}."
    required = part.get("required", [])
    erasable = [name for name in required if name in personal]
    whole = [_if_whole(name, part["properties"].pop(name)) for name, _ in event_type.rules.fragments()]
    if erasable:
        part["required"] = [name for name in required if name not in personal]
    rules = [*map(_or_erased, erasable), *part.pop("allOf", ()), *whole]
    return {**part, **({"allOf": rules} if rules else {})}


def _if_whole(name: str, fragment: Fragment) -> dict[str, Any]:
    """The rule that a field keeps its schema, unless it was shortened: a call is checked before its values are cut."""
    cut = {"propertyNames": {"not": {"pattern": rf"^{name}(\.|$)"}}}
    return {"if": {"properties": {"shortened": cut}}, "then": {"properties": {name: fragment}}}


def _or_erased(name: str) -> dict[str, Any]:
    """An entry that has the field, or the commitment of its erased value, which no call gives."""
    erased = {"properties": {"erased": {"required": [name]}}, "required": ["erased"]}
    return {"anyOf": [{"required": [name]}, erased]}


def _status(rules: Rules) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if rules.status:
        status["enum"] = list(rules.status)
    if rules.not_status:
        status["not"] = {"pattern": f"^({'|'.join(map(_in_any_case, rules.not_status))})$"}
    return {"status": status} if status else {}


def _in_any_case(text: str) -> str:
    """A pattern (ECMA 262, as in JSON Schema) that matches the text in upper, lower or mixed case."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else f"\\{c}" if c in _SYNTAX else c for c in text)


def demands(fragment: Fragment) -> bool:
    """Whether a schema of `details` refuses an empty object, and so an entry without details."""
    return bool(fragment) and not compiled(fragment).is_valid({})


def in_words(schema: Any) -> str:
    """The rules of a value in words, such as `a number, minimum = 0`."""
    return ", ".join(filter(None, (_words(*rule) for rule in schema.items()))) if isinstance(schema, dict) else ""


def _words(key: str, rule: Any) -> str:
    """What a value must be by one rule; empty for what is no rule of the value itself."""
    if key in {"format", "type"}:
        return " or ".join(words_for(key).get(one, str(one)) for one in (rule if isinstance(rule, list) else [rule]))
    if key in {"anyOf", "oneOf"}:
        return " or ".join(filter(None, map(in_words, rule)))
    if key in {"const", "enum"}:
        values = rule if key == "enum" else [rule]
        return "one of " * (key == "enum") + ", ".join(v if isinstance(v, str) else json_text(v) for v in values)
    return "" if isinstance(rule, dict | list) or key in NO_RULES else f"{key} = {json_text(rule)}"


NO_RULES = frozenset({"$comment", "default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"})
"""Keywords that allow every value."""


def violations(event_type: EventType, entry: Mapping[str, Any]) -> list[str]:
    """One message for each rule that the entry breaks."""
    found = [*_missing(event_type, entry), *_fields(entry), *_rules(event_type, entry)]
    for name, fragment in event_type.rules.fragments():
        value = entry.get(name, {} if name == "details" else None)
        if isinstance(value, dict):
            found += list(dict.fromkeys(_broken(name, fragment, value, _because(event_type))))[:_MOST]
    return found


def _missing(event_type: EventType, entry: Mapping[str, Any]) -> Iterator[str]:
    for name in ("target", "principal", *event_type.rules.requires):
        if name not in entry:
            yield _how_to_give(name, event_type)
    for name in event_type.rules.agents_need if entry.get("principal_type") == "agent" else ():
        if name not in entry:
            yield f"{name} is required of an agent{_because(event_type)}; pass {name}=…"
    if "phase" in entry and "operation" not in entry:
        yield "phase needs operation, which joins the two entries of a pair; pass operation=…"


def _how_to_give(name: str, event_type: EventType) -> str:
    if name == "target":
        return f"target is missing; pass target=…: {event_type.target}"
    if name == "principal":
        return (
            "principal is missing; bind the user's ID with whodid.context(principal=…) around the request, "
            "or pass principal='system' for actions of the system itself"
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
            yield from _declared_field(field, value)


def _declared_field(field: Field, value: object) -> Iterator[str]:
    kind = type(value).__name__
    if field.kind == "stored":  # by whodid alone
        return
    if field.kind == "flat_object":
        if not isinstance(value, Mapping):
            yield f"{field.name} must be a dict, not {kind}"
    elif field.kind == "long":
        if type(value) is not int:
            yield f"{field.name} must be an integer, not {kind}"
    elif field.kind == "objects":
        yield from _objects(field, value)
    elif field.many > 1 and isinstance(value, list):
        yield from _several(field, value)
    elif not isinstance(value, str):
        wanted = "a string or a list of strings" if field.many > 1 else "a string"
        yield f"{field.name} must be {wanted}, not {kind}; pass str(…)"
    elif type(value) is not str and not isinstance(value, Enum):  # such as Markup, which the validator refuses
        yield f"{field.name} must be a string of Python's own type str, not {kind}; pass str.__str__(…)"
    else:
        yield from _text(field, value)


def _text(field: Field, value: str) -> Iterator[str]:
    if field.kind == "ip":
        if not _is_ip(value):
            yield f"{field.name} is not an IPv4 or IPv6 address ({len(value)} characters); leave out port and zone"
    elif not value:
        yield f"{field.name} is empty; leave it out instead"
    elif len(value) > field.max_length:
        yield f"{field.name} has {len(value)} characters, the limit is {field.max_length}"
    elif field.values and value not in field.values:
        yield f"{field.name} must be one of {', '.join(field.values)}"
    elif field.kind == "date_nanos" and not _is_moment(value):
        yield f"{field.name} must be a datetime with a time zone, or UTC as 2026-11-23T08:00:00Z, from 1970 to 2259"


def _is_moment(text: str) -> bool:
    try:
        return bool(re.fullmatch(_SPECIAL["occurred_at"]["pattern"], text, re.ASCII) and datetime.fromisoformat(text))
    except ValueError:
        return False


def _several(field: Field, values: list[Any]) -> Iterator[str]:
    fitting = (isinstance(value, str) and 0 < len(value) <= field.max_length for value in values)
    if not (0 < len(values) <= field.many and all(fitting)):
        yield f"{field.name} must be a list of 1 to {field.many} strings of 1 to {field.max_length} characters each"


def _objects(field: Field, values: object) -> Iterator[str]:
    keys = ", ".join(TARGET_KEYS)
    if not isinstance(values, list) or not 0 < len(values) <= field.many:
        yield f"{field.name} must be a list of 1 to {field.many} dicts with the keys {keys}"
        return
    for number, value in enumerate(values):
        if not (isinstance(value, Mapping) and "id" in value and value.keys() <= TARGET_KEYS.keys()):
            yield f"{field.name}[{number}] must be a dict with the key id and no others than {keys}"
            return
        for key, text in value.items():
            if not (isinstance(text, str) and 0 < len(text) <= TARGET_KEYS[key]):
                yield f"{field.name}[{number}].{key} must be a string of 1 to {TARGET_KEYS[key]} characters"
                return


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
            yield f"status must not be one of {', '.join(rules.not_status)}{why}; record the resulting state"
    if rules.principal and "principal" in entry and entry["principal"] != rules.principal:
        yield f"principal must be {rules.principal!r}{why}"
    for name in ("client_ip", "forwarded_for"):
        if entry.get("principal") == "system" and name in entry:
            yield f"{name} must be absent when principal is 'system', which has no address; leave it out"


_MOST = 10
"""Messages about one field."""


def _broken(name: str, fragment: Fragment, value: dict[str, Any], why: str) -> Iterator[str]:
    """One message for each rule of its schema that the value of a field breaks."""
    try:
        for error in compiled(fragment).iter_errors(value):
            path = name + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.instance_path)
            schema: Any = fragment
            for key in error.schema_path[:-1]:
                schema = schema[key]
            yield from _broken_rule(path, error.schema_path[-1], schema, error.instance, why)
    except ValueError:
        yield f"{name} holds a value that JSON does not have; pass strings, numbers, booleans, lists and dicts"


def _broken_rule(path: str, key: Any, schema: Any, value: Any, why: str) -> Iterator[str]:
    rule, properties = schema[key], schema.get("properties", {}) if isinstance(schema, dict) else {}
    if rule is False and key == "additionalProperties" and isinstance(value, dict):
        for extra in value.keys() - properties.keys():
            yield f"{path}.{extra} is not allowed{did_you_mean(extra, properties)}{why}; leave it out"
    elif rule is False and key != "const":
        yield f"{path} is not allowed{why}; leave it out"
    elif key == "required":
        for missing in (each for each in rule if each not in value):
            words = in_words(properties.get(missing))
            hint = "" if set(path) & set(".[") else f"; pass {path}={{{missing!r}: …}}"
            yield f"{path}.{missing} is required{why}{words and ': ' + words}{hint}"
    elif key in {"type", "anyOf", "oneOf", "enum", "const", "format"}:
        kind = "None" if value is None else type(value).__name__
        yield f"{path} must be {_words(key, rule)}{f', not {kind}' * (key in ('type', 'anyOf'))}{why}"
    else:
        yield f"{path} breaks the rule {_words(key, rule) or key}{why}"

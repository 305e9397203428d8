"""Compatibility check: what a change of the catalog means for stored entries, found by comparing two JSON Schemas.

Stored entries outlive the catalog that they were checked against. A change that makes a stored entry unreadable is an
error: a type or field was removed, or its resource or kind changed, also of a declared key. A change that refuses calls
that used to be valid is a warning, because it may be intended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..entry import FREE_FIELDS
from ..errors import CatalogError
from ..text import near
from .model import declared, kinds
from .schema import NO_RULES, in_words

__all__ = ["Finding", "compare", "read_schema"]

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One change: the type or field that it affects, and what to do about it."""

    level: Literal["error", "warning"]
    kind: Literal["type gone", "resource changed", "field gone", "field changed", "field added", "stricter", "stale"]
    name: str
    about: str


def read_schema(data: bytes, name: str) -> dict[str, Any]:
    """Parses a schema that `whodid events schema` printed; `name` is for messages. Raises `CatalogError`."""
    import jsonschema_rs

    if not data.strip():
        raise CatalogError(f"{name} is empty; pass the output of `whodid events schema`")
    try:
        schema = json.loads(data)
        known = jsonschema_rs.meta.is_valid(schema) and isinstance(schema["$defs"]["entry"]["properties"], dict)
    except (LookupError, TypeError, RecursionError):
        known = False
    except ValueError as error:
        raise CatalogError(f"{name} is not JSON: {error}; pass the output of `whodid events schema`") from error
    if not known:
        raise CatalogError(f"{name} is not a schema of audit entries; pass the output of `whodid events schema`")
    return dict(schema)


def compare(before: Schema, now: Schema) -> list[Finding]:
    """The changes from one schema to the other that matter, errors first."""
    found = [*_fields(before, now), *_types(before, now), *_stricter(before, now)]
    return sorted(found, key=lambda finding: finding.level)


def _types(before: Schema, now: Schema) -> Iterator[Finding]:
    old, new = _resources(before), _resources(now)
    for name, resource in old.items():
        if name not in new:
            successor = _successor(name, resource, {n: r for n, r in new.items() if n not in old})
            yield Finding(
                "error",
                "type gone",
                name,
                f"the type {name} was removed, but entries of it are stored; restore [types.{name}] with "
                f'resource = "{resource}" and replaced_by = "{successor}"',
            )
        elif new[name] != resource:
            yield Finding(
                "error",
                "resource changed",
                name,
                f"the type {name} changed to resource {new[name]}, but stored entries have {resource}; restore "
                f'resource = "{resource}", and add a type with another name for {new[name]}',
            )


def _successor(name: str, resource: str, added: Mapping[str, str]) -> str:
    """The new type that a removed one was probably renamed to."""
    akin = [new for new, of in added.items() if of == resource]
    guesses = akin if len(akin) == 1 else [*near(name, akin), *near(name, added)]
    return guesses[0] if guesses else "…"


def _resources(schema: Schema) -> dict[str, str]:
    """The resource of each type."""
    parts = {name: part for name, part in schema["$defs"].items() if name != "entry" and isinstance(part, dict)}
    return {name: str(_rule(part, "target_type").get("const")) for name, part in parts.items()}


def _rule(part: Schema, name: str) -> Schema:
    rule = part.get("properties", {}).get(name)
    return rule if isinstance(rule, dict) else {}


def _fields(before: Schema, now: Schema) -> Iterator[Finding]:
    old, new = before["$defs"]["entry"]["properties"], now["$defs"]["entry"]["properties"]
    was, is_ = _version(before), _version(now)
    major = "raise the major number of SCHEMA_VERSION in src/whodid/entry.py"
    for name in old if is_[0] <= was[0] else ():
        if name not in new:
            yield Finding(
                "error", "field gone", name, f"the field {name} of an entry was removed; restore it, or {major}"
            )
        elif _kind(name, old[name]) not in ((kind := _kind(name, new[name])), kind.removesuffix(" or a list")):
            kinds = f"from {_kind(name, old[name])} to {kind}"
            yield Finding("error", "field changed", name, f"the field {name} changed {kinds}; restore it, or {major}")
    for name in new if is_ <= was else ():
        if name not in old:
            about = (
                f"the field {name} of an entry is new; raise the minor number of SCHEMA_VERSION in src/whodid/entry.py"
            )
            yield Finding("error", "field added", name, about)


def _version(schema: Schema) -> tuple[int, int]:
    """Major and minor version of the format of entries; old schemas lack the minor version, which is then 0."""
    rule = _rule(schema["$defs"]["entry"], "schema_version")
    text = str((rule.get("examples") or [str(rule.get("pattern")).removeprefix("^").partition("\\")[0] + ".0"])[0])
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise CatalogError(
            f"the schema's schema_version {text!r} is not major.minor; create the schema again: whodid events schema"
        )
    return int(major), int(minor)


def _kind(name: str, field: Any) -> str:
    """The kind of value that a field holds, for a message."""
    if not isinstance(field, dict):
        return "anything"
    if "type" not in field and "anyOf" in field:
        return " or ".join(_kind(name, each) for each in field["anyOf"])
    kinds = {"object": "an object", "integer": "an integer", "string": "a string", "array": "a list"}
    kind = kinds.get(str(field.get("type")), "other")
    if formats := [str(form.get("format")) for form in field.get("anyOf", ()) if isinstance(form, dict)]:
        kind += f" ({' or '.join(formats)})"
    if "pattern" in field and name != "schema_version":  # its pattern contains the major version
        kind += f" like {field['pattern']}"
    return kind


def _stricter(before: Schema, now: Schema) -> Iterator[Finding]:
    for name, part in now["$defs"].items():
        old = before["$defs"].get(name)
        if not isinstance(old, dict):
            continue
        kinds_changed, rules = _changed(_flat(old), _flat(part), of_every_entry=name == "entry")
        for about in kinds_changed if name != "entry" else ():
            yield Finding("error", "field changed", name, f"{about} in the type {name}; declare it by another name")
        if rules:
            whose = f"the type {name}" if name != "entry" else "an entry"
            about = f"{whose} has stricter rules: {'; '.join(rules)}; make sure that all calls keep them"
            yield Finding("warning", "stricter", name, about)


_Declared = dict[str, tuple[Any, bool]]
"""Path of a field or key → its schema, and whether it is required."""

_ALIKE = {"integer": "number", "date": "string"}


def _flat(part: Any) -> _Declared:
    """The fields and declared keys of a part, including those that a stored entry needs only under a condition."""
    if not isinstance(part, dict):
        return {}
    ways = [rule for rule in part.get("allOf", ()) if isinstance(rule, dict)]
    properties = dict(part.get("properties", {}))
    for rule in ways:
        properties |= rule.get("then", {}).get("properties", {})
    either = (
        f"{name} of an agent" if "then" in rule else name
        for rule in ways
        for way in rule.get("then", rule).get("anyOf", ())[:1]
        for name in way.get("required", ())
    )
    whole = {"properties": properties, "required": [*part.get("required", ()), *either]}
    found = {path[1:]: (schema, required) for path, schema, required in declared("", whole)}
    return {path: one for path, one in found.items() if path not in {"type", "target_type", "schema_version"}}


def _changed(had: _Declared, has: _Declared, *, of_every_entry: bool) -> tuple[list[str], list[str]]:
    """Keys that changed their kind, and stricter rules: a rule that changed counts, and a new optional key doesn't."""
    changed, stricter = [], []
    for path, (schema, required) in has.items():
        is_new = schema if of_every_entry or ("." in path and not required) else _AS_ANY.get(path, {})
        old, was_required = had.get(path, (is_new, False))
        stricter += [f"{path} is required"] if required and not was_required else []
        if schema is False and old is not False:
            stricter.append(f"{path} is not allowed")
        if not isinstance(schema, dict) or old is False:
            continue
        old = old if isinstance(old, dict) else {}
        was, is_ = ({_ALIKE.get(kind, kind) for kind in kinds(one)} for one in (old, schema))
        if was and is_ and not was & is_:
            changed.append(f"{path} changed from {in_words(old)} to {in_words(schema)}")
            continue
        if {key: rule for key, rule in old.items() if key not in NO_RULES} in schema.get("anyOf", ()):
            continue
        for key, rule in schema.items():
            if key not in {*NO_RULES, "properties", "required"} and not _allows(key, rule, old.get(key)):
                stricter.append(f"{path}: {in_words({key: rule}) or f'its rule {key!r} changed'}")
        if schema.get("additionalProperties", True) is not True:
            stricter += [f"{gone} is not allowed" for gone in had if gone.startswith(f"{path}.") and gone not in has]
    return changed, stricter


_AS_ANY = {name: {"type": "object"} for name in FREE_FIELDS}
"""Fields whose schema a type inherits from every entry."""


def _allows(key: str, rule: Any, before: Any) -> bool:
    """Whether a rule allows all that the rule before it allowed, `None` if there was none."""
    if rule == before or before is None:
        return bool(rule == before)
    if key in {"type", "enum"}:
        allowed, had = (one if isinstance(one, list) else [one] for one in (rule, before))
        return all(one in allowed or (one == "integer" and "number" in allowed) for one in had)
    return bool(rule <= before) if "min" in key.lower() else "max" in key.lower() and bool(rule >= before)

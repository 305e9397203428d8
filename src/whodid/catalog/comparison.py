"""Compatibility check: what a change of the catalog means for stored entries, found by comparing two JSON Schemas.

Stored entries outlive the catalog that they were checked against. A change that makes a stored entry unreadable is an
error: a type or field was removed, or its resource or kind changed. A change that refuses calls that used to be valid
is a warning, because it may be intended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import CatalogError
from ..text import near

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
        elif _kind(name, old[name]) != _kind(name, new[name]):
            kinds = f"from {_kind(name, old[name])} to {_kind(name, new[name])}"
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
    kind = {"object": "an object", "integer": "an integer", "string": "a string"}.get(str(field.get("type")), "other")
    if formats := [str(form.get("format")) for form in field.get("anyOf", ()) if isinstance(form, dict)]:
        kind += f" ({' or '.join(formats)})"
    if "pattern" in field and name != "schema_version":  # its pattern contains the major version
        kind += f" like {field['pattern']}"
    return kind


def _stricter(before: Schema, now: Schema) -> Iterator[Finding]:
    for name, part in now["$defs"].items():
        old = before["$defs"].get(name)
        if isinstance(old, dict) and (rules := list(_narrowed("", old, part, {} if name != "entry" else False))):
            whose = f"the type {name}" if name != "entry" else "an entry"
            about = f"{whose} has stricter rules: {'; '.join(rules)}; make sure that all calls keep them"
            yield Finding("warning", "stricter", name, about)


def _narrowed(path: str, before: Any, now: Any, absent: Any) -> Iterator[str]:
    """What `now` refuses and `before` allowed. `absent` is the rule of a property that `before` lacks."""
    if before is False or now is False:
        if before is not False:
            yield f"{path} is not allowed"
        return
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return
    for name in _required(now):
        if name not in _required(before):
            yield f"{path}{name} is required"
    yield from _fewer_values(path.removesuffix("."), before, now)
    for name, rule in now.get("properties", {}).items():
        if name not in {"type", "target_type", "schema_version"}:
            below = f"{path}{name}." if isinstance(rule, dict) and "properties" in rule else f"{path}{name}"
            yield from _narrowed(below, before.get("properties", {}).get(name, absent), rule, {})


def _required(part: Schema) -> list[str]:
    """Required fields, including personal fields, which an erasure may have replaced by their commitment."""
    either = [
        name for rule in part.get("allOf", ()) for way in rule.get("anyOf", ())[:1] for name in way.get("required", ())
    ]
    return [*part.get("required", ()), *either]


def _fewer_values(path: str, before: Schema, now: Schema) -> Iterator[str]:
    had, has = _values(before), _values(now)
    if has is not None and (had is None or not all(value in has for value in had)):
        yield f"{path} must be {' or '.join(json.dumps(value, ensure_ascii=False) for value in has)}"
    if now.get("not") not in (None, before.get("not")):
        yield f"{path} refuses other values"
    if "maxLength" in now and now["maxLength"] < before.get("maxLength", float("inf")):
        yield f"{path} has at most {now['maxLength']} characters"


def _values(rule: Schema) -> list[Any] | None:
    return [rule["const"]] if "const" in rule else rule.get("enum")

"""Resources, event types and their rules, and the parser of events.toml.

Every error names the file, the table, the key and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_type_hints

from ..entry import FIELDS, FREE_FIELDS, PERSONAL_FIELDS
from ..errors import CatalogError, InvalidEntry
from ..integrity import MAX_DEPTH, canonical, plain
from ..recording.masking import names_a_secret
from ..resources import resource_path, resource_text
from ..text import did_you_mean, json_of, levels, toml_of

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = [
    "DIALECT",
    "HOLE",
    "OPTIONAL",
    "Contents",
    "EventType",
    "Fragment",
    "Resource",
    "Rules",
    "compiled",
    "declared",
    "is_name",
    "kinds",
    "load",
    "named_now",
    "own",
    "parse",
    "preset",
    "preset_with",
    "words_for",
]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Fragment = Mapping[str, Any]
"""The JSON Schema of `details`, `before` or `after`, without any `$ref`; empty if everything is allowed."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")

HOLE, OPTIONAL = re.compile(r"\{([^{}]*)\}"), re.compile(r"\[([^\[\]]*)\]")
"""Of a sentence: a field, and a part that is left out if one of its fields is absent."""


def is_name(text: str) -> bool:
    """Whether a resource or an event type may have this name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """The fields that an entry must and must not have, besides type, target and principal."""

    requires: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    not_status: tuple[str, ...] = ()
    principal: str = ""
    agents_need: tuple[str, ...] = ()
    """The fields that an entry must have if its `principal_type` is `agent`."""
    details: Fragment = field(default_factory=dict)
    before: Fragment = field(default_factory=dict)
    after: Fragment = field(default_factory=dict)
    image: tuple[str, ...] = ()
    """The names that are kept in `before` and `after`; empty for all."""
    hashed: tuple[str, ...] = ()
    """Names in `before`, `after` and `details` whose values are kept as keyed hashes."""
    plain: tuple[str, ...] = ()
    """Names that look secret but are not."""
    because: str = ""

    def fragments(self) -> Iterator[tuple[str, Fragment]]:
        """The fields of `details`, `before` and `after` that have a schema, and the schema."""
        return ((name, getattr(self, name)) for name in FREE_FIELDS if getattr(self, name))


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object that events are about; `target` describes the target of its entries."""

    name: str
    label: str
    target: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class EventType:
    """A kind of event of a resource; its rules include those of the resource."""

    name: str
    resource: str
    event: str
    about: str
    target: str
    rules: Rules
    outcome: Literal["success", "failure", "unknown"] | None = None
    durability: Literal["disk", "process"] | None = None
    on_failure: Literal["raise", "warn"] | None = None
    replaced_by: str | None = None
    """The type to record instead. Stored entries of this type stay valid; new ones are refused, unless it is an alias.
    """
    alias: bool = False
    """Whether this is an old name of `replaced_by`: an entry is still recorded, under this name and with a warning."""
    says: str = ""
    """An entry in words, with its fields in braces; empty for a sentence made from `about`."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a validated catalog."""

    resources: Mapping[str, Resource]
    types: Mapping[str, EventType]
    personal: frozenset[str]


_RULE_KEYS = {rule.name for rule in fields(Rules)}
_RESOURCE_KEYS = {"label", "target"} | _RULE_KEYS
_OWN_KEYS = {"resource", "event", "about", "outcome", "durability", "on_failure", "override", "replaced_by", "says"}
_TYPE_KEYS = _OWN_KEYS | _RULE_KEYS
_RULED = {name for name, known in FIELDS.items() if known.source == "call"} - {"type", "target", "principal"}


@cache
def _choices() -> dict[str, tuple[str, ...]]:
    """The allowed values of the keys of a type that are an enumeration."""
    hints = get_type_hints(EventType)
    return {name: get_args(get_args(hints[name])[0]) for name in ("outcome", "durability", "on_failure")}


def load(path: str | Path | None) -> Contents:
    """The catalog of the events.toml at `path`, or the platform's if there is none. Raises `CatalogError`."""
    if not path:
        return preset("platform")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CatalogError(f"the catalog {path} can't be read: {error.strerror}") from error
    return parse(data, str(path))


_PRESETS = {"platform": "config/events.toml", "platform-2": "config/platform-2.toml"}


@cache
def preset(name: str) -> Contents:
    """The types that a catalog may extend: the platform's 54, which hold without an events.toml, or its newer list."""
    return parse(resource_text(_PRESETS[name]), _PRESETS[name])


def preset_with(name: str) -> str | None:
    """The first preset that has the event type."""
    return next((one for one in _PRESETS if name in preset(one).types), None)


@cache
def own() -> Contents:
    """The types that whodid itself records."""
    return parse(resource_text("config/own-events.toml"), "config/own-events.toml", own=True)


def parse(text: str | bytes, file: str, *, own: bool = False) -> Contents:
    """Parses a catalog; `own` for the catalog of whodid itself. Raises `CatalogError`."""
    try:
        document = toml_of(text if isinstance(text, bytes) else text.encode())
    except UnicodeDecodeError as error:
        raise CatalogError(f"the catalog {file} is not UTF-8: {error.reason}") from error
    except ValueError as error:
        raise CatalogError(f"{file} is not TOML: {error}") from error
    top = _Table(document, file, "the top level")
    top.only({"agents_need", "aliases", "extends", "personal", "resources", "types"})
    extends = document.get("extends")
    if extends not in (None, *_PRESETS):
        known = " or ".join(f'"{one}"' for one in _PRESETS)
        raise top.error(f"extends must be {known}; leave it out for a catalog that stands alone")
    base = preset(extends) if extends else None
    resources = dict(base.resources) if base else {}
    types = dict(base.types) if base else {}
    for name, table in top.tables("resources"):
        _check_owner(name, table, own)
        resources[name] = _resource(name, table)
    tables = dict(top.tables("types"))
    for name, table in tables.items():
        _check_owner(name, table, own)
        if not table.flag("override") and name in types:
            raise table.error(f"{name} is a type of the platform; write `override = true` to redefine it")
        types[name] = _event_type(name, table, resources)
    for name, successor in top.mapping("aliases").items():
        _check_owner(name, top, own)
        if not is_name(name) or name == "entry" or name in tables:
            raise top.error(f"aliases: {name!r} can't be an old name, or is a type of this file; choose another")
        if not isinstance(successor, str) or successor not in types:
            meant = did_you_mean(str(successor), types.keys() - {name})
            raise top.error(f'aliases: write {name} = "…", a type or an alias above it, not {successor!r}{meant}')
        types[name] = replace(types.get(name, types[successor]), name=name, replaced_by=successor, alias=True)
    _refuse_dead_ends(types, tables, top)
    of_agents = _rules(top, Rules()).agents_need
    for one in [*types.values()] if of_agents else ():
        needed = _merged(one.rules.agents_need, tuple(field for field in of_agents if field not in one.rules.forbids))
        types[one.name] = replace(one, rules=replace(one.rules, agents_need=needed))
    if "personal" not in document:
        return Contents(resources, types, preset("platform").personal)
    return Contents(resources, types, _personal(top) | (base.personal if base else frozenset()))


def _check_owner(name: str, table: _Table, own: bool) -> None:
    if not own and (name == "audit_log" or name.startswith("audit_log_")):
        raise table.error("names that start with audit_log are reserved for whodid itself; choose another")


def _personal(top: _Table) -> frozenset[str]:
    names = top.strings("personal")
    for name in names:
        if name in {"type", "target", "principal"}:
            raise top.error(f"personal: {name!r} identifies the entry and can't be erased; leave it out")
        if name not in PERSONAL_FIELDS:
            meant = did_you_mean(name, PERSONAL_FIELDS)
            raise top.error(f"personal: {name!r} is not a text field that a caller fills{meant}")
    # forwarded_for contains the client's address.
    return frozenset(names) | ({"forwarded_for"} if "client_ip" in names else frozenset())


def _resource(name: str, table: _Table) -> Resource:
    table.only(_RESOURCE_KEYS)
    return Resource(name, table.text("label"), table.text("target"), _rules(table, Rules()))


def _event_type(name: str, table: _Table, resources: Mapping[str, Resource]) -> EventType:
    table.only(_TYPE_KEYS)
    resource = table.text("resource")
    if resource not in resources:
        known = next((one for one in _PRESETS if resource in preset(one).resources), "")
        hint = f', or write `extends = "{known}"` at the top of the file' if known else ""
        raise table.error(f"there is no [resources.{resource}]{did_you_mean(resource, resources)}; add it{hint}")
    choices: dict[str, Any] = {key: table.choice(key, allowed) for key, allowed in _choices().items()}
    if name == "entry":
        raise table.error("the name is reserved in the JSON Schema; name the event, such as entry_created")
    rules = _rules(table, resources[resource].rules)
    if choices["outcome"] and "outcome" in rules.forbids:
        raise table.error("outcome is both set and forbidden; drop one")
    return EventType(
        name=name,
        resource=resource,
        event=table.text("event"),
        about=table.text("about"),
        target=resources[resource].target,
        rules=rules,
        replaced_by=table.text("replaced_by", "") or None,
        says=_says(table, rules),
        **choices,
    )


def _refuse_dead_ends(types: Mapping[str, EventType], tables: Mapping[str, _Table], top: _Table) -> None:
    """Checks that every `replaced_by` names a type that can be recorded. Raises `CatalogError`."""
    for name, known in types.items():
        successor = known.replaced_by
        if successor is None:
            continue
        table = tables.get(name) or tables.get(successor) or top
        if successor not in types:
            raise table.error(
                f"replaced_by: there is no [types.{successor}]{did_you_mean(successor, types.keys() - {name})}; add it"
            )
        last = _last(types, name)
        if last is None:
            raise table.error(
                f"replaced_by: the successors of {name} form a circle by way of {successor}; "
                "drop the replaced_by of the current type, or its alias"
            )
        if last != successor and not known.alias:
            raise table.error(f"{name} is replaced by {successor}, which is replaced too; write replaced_by = {last!r}")


def _last(types: Mapping[str, EventType], name: str) -> str | None:
    """The last type in a chain of successors; `None` if the chain is a circle."""
    seen = {name}
    while (successor := types[name].replaced_by) and successor in types:
        if successor in seen:
            return None
        seen.add(successor)
        name = successor
    return name


def named_now(types: Mapping[str, EventType], name: str) -> EventType:
    """The type that an alias stands for, over any number of names; any other type itself."""
    while types[name].alias:
        name = str(types[name].replaced_by)
    return types[name]


def _rules(table: _Table, inherited: Rules) -> Rules:
    """The rules of a table, added to those of its resource."""
    rules = Rules(
        requires=_merged(inherited.requires, table.strings("requires")),
        forbids=_merged(inherited.forbids, table.strings("forbids")),
        status=table.strings("status") or inherited.status,
        not_status=_merged(inherited.not_status, table.strings("not_status")),
        principal=table.text("principal", inherited.principal),
        agents_need=_merged(inherited.agents_need, table.strings("agents_need")),
        **{name: _combined(getattr(inherited, name), table.fragment(name)) for name in FREE_FIELDS},
        because=table.text("because", inherited.because),
        image=_merged(inherited.image, table.strings("image")),
        hashed=_merged(inherited.hashed, table.strings("hashed")),
        plain=_merged(inherited.plain, table.strings("plain")),
    )
    for name in (*rules.requires, *rules.forbids, *rules.agents_need):
        if name not in _RULED:
            raise table.error(f"{name!r} is not a field that a rule can name{did_you_mean(name, _RULED)}")
    _refuse_contradictions(table, rules)
    return rules


def _refuse_contradictions(table: _Table, rules: Rules) -> None:
    for name in (*rules.requires, *rules.agents_need):
        if name in rules.forbids:
            raise table.error(f"{name} is both required and forbidden; drop one")
    for name in rules.hashed:
        if name in rules.plain:
            raise table.error(f"{name!r} is both hashed and plain; drop one")
    if rules.image and {"before", "after"} <= set(rules.forbids):
        raise table.error("image lists names in before and after, which are forbidden; drop one")
    for name, fragment in rules.fragments():
        _refuse_contradictions_within(table, rules, name, fragment)
    if "client_ip" in rules.requires and rules.principal == "system":
        raise table.error("client_ip is required, but the system has no address; drop one")
    allowed = [status for status in rules.status if status.lower() not in {s.lower() for s in rules.not_status}]
    if rules.status and not allowed:
        raise table.error("not_status leaves no allowed status; drop one")


def _refuse_contradictions_within(table: _Table, rules: Rules, name: str, fragment: Fragment) -> None:
    if name in rules.forbids:
        raise table.error(f"{name} has rules and is forbidden; drop one")
    for key in fragment.get("required", ()) if name != "details" and rules.image else ():
        if key not in rules.image:
            raise table.error(f"{name}.{key} is required, but image drops it; add it to image")
    for path, schema, _ in declared(name, fragment):
        key = path.rpartition(".")[2]
        if key in rules.hashed:
            raise table.error(f"{path} has a rule, so its value is not hashed; drop one")
        if key not in rules.plain and names_a_secret(key, (kinds(schema) or {""}) <= _NUMBERS):
            hint = f"add {key!r} to plain if it is not secret, or drop the rule"
            raise table.error(f"{path} looks like a secret, which is kept as a hash and can't have a rule; {hint}")


_LONGEST = 300
"""Characters of a sentence with its fields in braces."""


def _says(table: _Table, rules: Rules) -> str:
    says = table.text("says", "")
    fields = {name for name, known in FIELDS.items() if known.kind not in {"flat_object", "objects", "stored"}}
    fields |= {path for name, fragment in rules.fragments() for path, _, _ in declared(name, fragment)}
    rest = OPTIONAL.sub("", HOLE.sub("", says))
    if not says.isprintable() or len(says) > _LONGEST:
        raise table.error(f"says must be one line of at most {_LONGEST} printable characters")
    if set(rest) & set("{}[]") or not all(map(HOLE.search, OPTIONAL.findall(says))):
        raise table.error("says: write {field} for the value of a field, and [ … {field} …] around what may be absent")
    for name in HOLE.findall(says):
        if name not in fields:
            meant = did_you_mean(name, fields)
            raise table.error(f"says: {name!r} is neither a field nor declared in details, before or after{meant}")
    return says


def _merged(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _combined(resource: Fragment, own: Fragment) -> Fragment:
    """The schema of a type on top of its resource's: the properties and required keys of both."""
    if not (resource and own):
        return own or resource
    properties = {**resource.get("properties", {}), **own.get("properties", {})}
    required = _merged(tuple(resource.get("required", ())), tuple(own.get("required", ())))
    return {**resource, **own, "properties": properties, "required": list(required)}


def declared(path: str, fragment: Fragment) -> Iterator[tuple[str, Any, bool]]:
    """The path and the schema of each key in the schema of a field, at any depth, and whether it is required."""
    required = fragment.get("required", ())
    for key, schema in {**dict.fromkeys(required, True), **fragment.get("properties", {})}.items():
        yield f"{path}.{key}", schema, key in required
        if isinstance(schema, dict):
            yield from declared(f"{path}.{key}", schema)


def kinds(schema: Any) -> set[str]:
    """The JSON types of the values that a schema allows, and `date` for a text that is one; empty if unknown."""
    if not isinstance(schema, dict):
        return set()
    if "type" in schema:
        given = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        dated = schema.get("format") in {"date", "date-time"}
        return {"date" if kind == "string" and dated else kind for kind in given}
    return {kind for way in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) for kind in kinds(way) or {""}}


_NUMBERS = {"number", "integer"}

_MAX_SCHEMA, _DEEPEST, _MAX_PATTERN = 64 * 1024, 48, 1024 * 1024
"""Bytes and JSON levels of a schema, and bytes of a compiled pattern."""


def compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator of a schema, which matches patterns in linear time. Raises `ValueError` if it can't."""
    import jsonschema_rs

    linear = jsonschema_rs.RegexOptions(size_limit=_MAX_PATTERN)
    return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True, pattern_options=linear)


@cache
def _of_schemas() -> tuple[dict[str, Any], jsonschema_rs.Validator]:
    """The schema of schemas, which refuses references and what would check nothing, and its validator."""
    rules = json_of(resource_path("config/details.schema.json").read_bytes())
    return rules, compiled(rules)


@cache
def words_for(keyword: str) -> dict[str, str]:
    """The values that `type` or `format` may have, in words."""
    return {one["const"]: one["title"] for one in _of_schemas()[0]["$defs"][keyword]["oneOf"]}


def _problem(key: str, schema: Mapping[str, Any]) -> str:
    """What is wrong with a schema, and where in it; empty if nothing is."""
    rules, validator = _of_schemas()
    keywords = rules["properties"]
    for error in validator.iter_errors(schema):
        path, found = ".".join(map(str, (key, *error.instance_path))), cast("Any", error.instance)
        if isinstance(found, dict) and found.keys() - keywords:
            unknown = next(name for name in found if name not in keywords)
            hint = f"; a rule for the key {unknown} is written properties.{unknown} = {{ … }}"
            if unknown.startswith("$"):
                hint = "; references are not followed, so write the rules in place"
            return f"{path}: unknown keyword {unknown!r}{did_you_mean(unknown, keywords) or hint}"
        last = path.rpartition(".")[2]
        known = words_for(last) if last in {"type", "format"} else {}
        if known and isinstance(found, str) and found not in known:
            return f"{path}: {found!r} is unknown{did_you_mean(found, known)}; known are {', '.join(known)}"
        why = "a keyword beside it has no effect on this type; drop it" if known else str(error).splitlines()[0]
        return f"{path} is not valid: {why}"
    try:
        compiled(schema)
    except ValueError as error:
        path = ".".join(map(str, (key, *getattr(error, "instance_path", ()))))
        return f"{path}: a pattern takes linear time, so it has no look-around, back-references or large repetitions"
    return ""


class _Table:
    """One TOML table, and its place in the file for error messages."""

    def __init__(self, content: Mapping[str, Any], file: str, place: str) -> None:
        self._content = content
        self._file = file
        self._place = place

    def error(self, what: str) -> CatalogError:
        return CatalogError(f"{self._file}, {self._place}: {what}")

    def only(self, keys: Collection[str]) -> None:
        for key in self._content:
            if key not in keys:
                raise self.error(f"unknown key {key!r}{did_you_mean(key, keys)}; keys are {', '.join(sorted(keys))}")

    def tables(self, key: str) -> list[tuple[str, _Table]]:
        found = []
        for name, content in self.mapping(key).items():
            place = f"[{key}.{name}]"
            if not is_name(name):
                raise self.error(f"{place}: a name starts with a letter and has lower-case letters, digits and _ only")
            if not isinstance(content, dict):
                raise self.error(f"{place} must be a table")
            found.append((name, _Table(content, self._file, place)))
        return found

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._content.get(key, default)
        if value is None:
            raise self.error(f'{key} is missing; add {key} = "…"')
        if not isinstance(value, str):
            raise self.error(f"{key} must be a string")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        value = self._content.get(key, [])
        if not (isinstance(value, list) and all(isinstance(item, str) and item for item in value)):
            raise self.error(f"{key} must be a list of strings")
        return tuple(value)

    def fragment(self, key: str) -> Fragment:
        """The schema of one field: a table, or the name of a JSON file beside the catalog; empty if there is none."""
        if key not in self._content:
            return {}
        value = self._content[key]
        value = self._json_file(key, value) if isinstance(value, str) else value
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a JSON Schema: a table, or the name of a JSON file")
        if levels(value) > _DEEPEST:
            raise self.error(f"{key}: the schema nests more than {_DEEPEST} levels deep; describe less of the value")
        try:
            root = plain(value, key, MAX_DEPTH - _DEEPEST - 1)
        except InvalidEntry as error:  # a date of TOML, or a key that no entry can have
            raise self.error(str(error)) from error
        if root.pop("$schema", DIALECT) != DIALECT:
            raise self.error(f"{key}: $schema must be {DIALECT}; convert the schema to it")
        root.pop("$id", None)
        if len(canonical(root)) > _MAX_SCHEMA:
            raise self.error(f"{key}: the schema has more than {_MAX_SCHEMA:,} bytes; describe less of the value")
        if problem := _problem(key, root):
            raise self.error(problem)
        if root.get("type", "object") != "object":
            raise self.error(f'{key}.type must be "object", which may also be left out')
        if key == "details" and root.get("additionalProperties") is False:  # `auditing` adds it if the action fails
            root.setdefault("properties", {}).setdefault("error", {"type": "string"})
        return root and {"type": "object", **root}

    def _json_file(self, key: str, name: str) -> Any:
        path = Path(self._file).parent / name
        try:
            if not path.is_file():
                raise self.error(f"{key}: {path} is not a file; name a JSON Schema, relative to the catalog")
            with path.open("rb") as opened:
                data = opened.read(_MAX_SCHEMA + 1)
            if len(data) > _MAX_SCHEMA:
                raise self.error(f"{key}: {path} has more than {_MAX_SCHEMA:,} bytes; describe less of the value")
            return json_of(data)
        except OSError as error:
            raise self.error(f"{key}: {path} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise self.error(f"{key}: {path} is not JSON: {error}") from error

    def flag(self, key: str) -> bool:
        value = self._content.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key} must be true or false")
        return value

    def choice(self, key: str, allowed: Collection[str]) -> str | None:
        value = self._content.get(key)
        if value is not None and value not in allowed:
            raise self.error(f"{key} must be one of {', '.join(allowed)}")
        return value

"""A catalog as a type stub of the package `whodid`, and as a page of Markdown.

`EventType` is the `Literal` of all names. Event types with the same rules share a shape, named after the first of them:
`Types_team_created` is the `Literal` of their names, and the `TypedDict`s `Fields_team_created` and
`Operation_team_created` are the arguments of `audit` and `auditing`. The methods of loggers have one overload for each
shape. Fields that the context may fill (who, from where, in which organization) are optional. `details` may have
further keys, which mypy can't express, so its keys are checked only with `closed_details`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..entry import FIELDS
from .model import Contents, EventType, Fragment, Resource, Rules, declared
from .schema import demands, in_words

__all__ = ["keys_in_words", "page", "stubs", "value_type"]

_OF_THE_CALL = ("target", "status", "target_name", "outcome", "details", "before", "after")
"""Fields that belong to one event, and so to the call; all others may come from the context."""

_OF_A_PAIR = ("operation", "phase", "outcome")
"""Fields that `auditing` fills itself."""

_METHODS = (
    ("audit", "Receipt"),
    ("aaudit", "Coroutine[Any, Any, Receipt]"),
    ("auditing", "AbstractContextManager[Operation]"),
    ("aauditing", "AbstractAsyncContextManager[Operation]"),
)

_FREE = "Mapping[str, object]"

_Fields = tuple[tuple[str, str], ...]
"""Pairs of the name of a field and its type."""


def stubs(contents: Contents, exports: Mapping[str, str], *, closed_details: bool = False) -> str:
    """The text of `whodid/__init__.pyi`; `exports` maps the public names of the package to their modules."""
    current = [known for known in contents.types.values() if not known.replaced_by]
    free = [name for name in _call_fields() if name not in _ruled(current)]
    details = _Details(closed_details)
    shapes: dict[_Fields, list[str]] = {}
    for known in current:
        shapes.setdefault(_shape(known, free, details), []).append(known.name)
    lines = [
        '"""Made by `whodid events stubs`: the package whodid, with the event types of a catalog. Don\'t edit."""',
        "",
        *_imports(exports),
        "",
        *_typed_dict("_Fields", "TypedDict", ((n, value_type(n)) for n in free if n not in _OF_A_PAIR)),
        *_typed_dict("_Pair", "TypedDict", ((n, value_type(n)) for n in free if n in _OF_A_PAIR)),
        *_typed_dict("_Call", "_Pair", [("once", "str | None")]),
        *details.classes,
    ]
    for shape, types in shapes.items():
        name = types[0]
        lines += [f"Types_{name}: TypeAlias = {_literal(types)}", ""]
        lines += _typed_dict(f"Operation_{name}", "_Fields", (field for field in shape if field[0] not in _OF_A_PAIR))
        ours = (field for field in shape if field[0] in _OF_A_PAIR)
        lines += _typed_dict(f"Fields_{name}", f"Operation_{name}, _Call", ours)
    names = [types[0] for types in shapes.values()]
    lines += [f"EventType: TypeAlias = {' | '.join(f'Types_{name}' for name in names) or 'Never'}", ""]
    lines.append("class _AuditMethods:")
    lines += [line for method, result in _METHODS for line in _method(method, result, names)]
    lines += ["", "class AuditLogger(_AuditMethods): ...", "class AuditMixin(_AuditMethods): ...", ""]
    return "\n".join([*lines, "def get_logger(name: str = ...) -> AuditLogger: ..."]) + "\n"


def _typed_dict(name: str, bases: str, fields: Iterable[tuple[str, str]]) -> list[str]:
    shown = [f"    {field}: {kind}" for field, kind in fields]
    return [f"class {name}({bases}, total=False):", *(shown or ["    pass"]), ""]


def _imports(exports: Mapping[str, str]) -> Iterator[str]:
    yield "from collections.abc import Coroutine, Mapping, Sequence"
    yield "from contextlib import AbstractAsyncContextManager, AbstractContextManager"
    yield "from datetime import datetime"
    yield "from typing import Any, Literal, Never, NotRequired, Required, TypeAlias, TypedDict, Unpack, overload"
    yield ""
    yield "from whodid.recording.operation import Operation"
    yield "from whodid.typing import Target"
    for name, module in sorted(exports.items(), key=lambda export: (export[1], export[0])):
        if name not in {"AuditLogger", "AuditMixin", "get_logger"}:
            yield f"from {module} import {name} as {name}"
    yield ""
    yield "__version__: str"


def _call_fields() -> list[str]:
    return [name for name, field in FIELDS.items() if field.source == "call" and name != "type"]


def _ruled(types: Iterable[EventType]) -> set[str]:
    """Fields whose rules differ between types, and which are therefore part of each shape."""
    ruled = {"target", "status", "details"}
    for known in types:
        ruled |= {*known.rules.requires, *known.rules.forbids, *dict(known.rules.fragments())}
        ruled |= {"principal"} if known.rules.principal else set()
    return ruled


def _shape(known: EventType, free: list[str], details: _Details) -> _Fields:
    return tuple(
        (name, _type(known, name, details))
        for name in _call_fields()
        if name not in free and name not in known.rules.forbids
    )


def _type(known: EventType, name: str, details: _Details) -> str:
    rules = known.rules
    required = name in _OF_THE_CALL and (name == "target" or name in rules.requires)
    kind = value_type(name).removesuffix(" | None")
    if name == "outcome" and known.outcome:
        required = False
    if name == "status" and rules.status:
        kind = _literal(rules.status)
    if name == "principal" and rules.principal:
        kind = _literal((rules.principal,))
    if fragment := dict(rules.fragments()).get(name):
        required, kind = required or (name == "details" and demands(fragment)), details.of(fragment)
    return f"Required[{kind}]" if required else f"{kind} | None"


def value_type(name: str) -> str:
    """The type of what a call may give for a field."""
    field = FIELDS[name]
    objects = {"flat_object": _FREE, "objects": "Sequence[Target]", "date_nanos": "datetime | str"}
    text = "str | list[str] | tuple[str, ...]" if field.many > 1 else _literal(field.values) if field.values else "str"
    return f"{objects.get(field.kind, text)} | None"


def _literal(values: Iterable[object]) -> str:
    return f"Literal[{', '.join(map(repr, values))}]"


class _Details:
    """The types of objects with a schema: one class for each set of rules, if it allows no other keys."""

    def __init__(self, closed: bool) -> None:
        self.classes: list[str] = []
        self._closed = closed
        self._names: dict[str, str] = {}

    def of(self, schema: Any) -> str:
        """The type of the values that a schema allows; `object` if there is no word for it."""
        if not isinstance(schema, dict):
            return "object"
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None:
            return _literal(values) if all(isinstance(v, str | int | None) for v in values) else "object"
        ways = schema.get("anyOf") or schema.get("oneOf")
        types = schema.get("type", []) if isinstance(schema.get("type"), list) else [schema.get("type", "")]
        found = [self.of(way) for way in ways] if ways else [self._of_type(kind, schema) for kind in types]
        return "object" if "object" in found else " | ".join(dict.fromkeys(found)) or "object"

    def _of_type(self, kind: str, schema: Fragment) -> str:
        if kind == "array":
            item = self.of(schema.get("items"))
            return f"list[{item}] | tuple[{item}, ...]"
        return self._object(schema) if kind == "object" else _PYTHON.get(kind, "object")

    def _object(self, schema: Fragment) -> str:
        if "properties" not in schema or not (self._closed or schema.get("additionalProperties") is False):
            return _FREE
        items = ", ".join(
            f"{key!r}: {self.of(rule) if key in schema.get('required', ()) else f'NotRequired[{self.of(rule)}]'}"
            for key, rule in schema["properties"].items()
            if rule is not False
        )
        if items not in self._names:
            self._names[items] = f"_Details{len(self._names) + 1}"
            self.classes += [f"{self._names[items]} = TypedDict({self._names[items]!r}, {{{items}}})", ""]
        return self._names[items]


_PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def _method(name: str, result: str, shapes: list[str]) -> Iterator[str]:
    """A method with one overload for each shape; type checkers refuse a single overload."""
    fields = "Operation" if name.endswith("auditing") else "Fields"
    for shape in shapes:
        yield from ["    @overload"] if len(shapes) > 1 else []
        yield f"    def {name}(self, event_type: Types_{shape}, /, **fields: Unpack[{fields}_{shape}]) -> {result}: ..."
    if not shapes:
        yield f"    def {name}(self, event_type: Never, /) -> {result}: ..."


def page(contents: Contents) -> str:
    """The page of Markdown, ending in a newline."""
    by_resource = {
        name: [known for known in contents.types.values() if known.resource == name and not known.alias]
        for name in contents.resources
    }
    used = {name: types for name, types in by_resource.items() if types}
    lines = [
        "# Event types",
        "",
        f"Event types: {sum(map(len, used.values()))}, resources: {len(used)}. Made "
        "from the catalog by `whodid events docs`.",
        "",
        *_personal(contents.personal),
    ]
    for name, types in used.items():
        lines += _section(contents.resources[name], types)
    lines += _renamed(contents, False, "Replaced types", "stored as | recorded as", _REPLACED)
    lines += _renamed(contents, True, "Old names", "old name | now", _ALIASES)
    return "\n".join(lines).rstrip("\n") + "\n"


def _personal(names: frozenset[str]) -> list[str]:
    if not names:
        return []
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return [f"Personal, so hashed in a way that lets them be erased later: {listed}.", ""]


def _section(resource: Resource, types: list[EventType]) -> list[str]:
    return [
        f"## {_text(resource.label)}",
        "",
        f"`target_type` is `{resource.name}`, `target` is {_text(resource.target)}.",
        "",
        "| type | event | what happened | rules |",
        "| --- | --- | --- | --- |",
        *(f"| `{known.name}` | {_text(known.event)} | {_text(known.about)} | {_cell(known)} |" for known in types),
        "",
    ]


_REPLACED = "Entries under the old names are still valid; new ones are refused."
_ALIASES = "A search for either name finds the entries of both. Recording an old name still works, and warns once."


def _renamed(contents: Contents, alias: bool, title: str, heads: str, about: str) -> list[str]:
    names = {name: known.replaced_by for name, known in contents.types.items() if known.alias is alias}
    rows = [f"| `{name}` | `{successor}` |" for name, successor in names.items() if successor]
    return [f"## {title}", "", about, "", f"| {heads} |", "| --- | --- |", *rows, ""] if rows else []


def _cell(known: EventType) -> str:
    if known.replaced_by:
        return f"replaced by `{known.replaced_by}`"
    return "; ".join([*_rules(known.rules), *_handling(known)])


def _handling(known: EventType) -> Iterator[str]:
    if known.outcome:
        yield f"`outcome` is `{known.outcome}` by default"
    if known.durability:
        yield f"durability `{known.durability}`"
    if known.on_failure:
        yield f"on failure `{known.on_failure}`"


def _rules(rules: Rules) -> Iterator[str]:
    if rules.requires:
        yield f"needs {_codes(rules.requires)}"
    if rules.forbids:
        yield f"never with {_codes(rules.forbids)}"
    if rules.status:
        yield f"`status` one of {_codes(rules.status)}"
    if rules.not_status:
        yield f"`status` none of {_codes(rules.not_status)}"
    if rules.principal:
        yield f"`principal` is {_codes((rules.principal,))}"
    if rules.agents_need:
        yield f"an agent needs {_codes(rules.agents_need)}"
    yield from (f"{_codes((path,))}{words}" for path, words in keys_in_words(rules))
    if rules.image:
        yield f"of `before` and `after` only {_codes(rules.image)} kept"
    if rules.hashed:
        yield f"{_codes(rules.hashed)} kept as keyed hashes"
    if rules.plain:
        yield f"{_codes(rules.plain)} not secret"
    if rules.because:
        yield f"because {_text(rules.because)}"


def keys_in_words(rules: Rules) -> Iterator[tuple[str, str]]:
    """Each declared path in `details`, `before` and `after`, and its rules in words, as far as it has any."""
    for name, fragment in rules.fragments():
        for path, schema, required in declared(name, fragment):
            if required or in_words(schema):
                yield path, f"{'' if required else ' (optional)'}: {_text(in_words(schema)) or 'anything'}"


def _codes(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{_text(word).replace('`', chr(39))}`" for word in words)


def _text(text: str) -> str:
    """Text of a catalog for one cell of a table; a line break or a bar would end the cell."""
    return " ".join(text.split()).replace("|", r"\|")

"""The stubs: a catalog as types, so that a type checker knows the event types and what each of them needs.

They are the stub of the package `whodid` itself, in which `get_logger()` returns a logger whose methods have one
overload for each shape of call; event types that ask for the same share one. What the context may fill (who, from
where, in which organization) is optional. `details` may have further keys, and no type says "these and others" to
mypy, so its keys are checked only where `closed_details` rules others out.

A call that fits no overload would have mypy print all of them, each with all fields. Three more come last, which no
string satisfies but which look near enough for mypy to explain the call by one of them, in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..entry import FIELDS, FREE_FIELDS
from .model import Contents, DetailRule, EventType

__all__ = ["stubs"]

_OF_THE_CALL = ("target", "status", "target_name", "outcome", "details", "before", "after")
"""What belongs to one event, and so to the call; everything else may come from the context."""

_OF_A_PAIR = ("operation", "phase", "outcome")
"""What `auditing` fills itself."""

_METHODS = (
    ("audit", "Receipt"),
    ("aaudit", "Coroutine[Any, Any, Receipt]"),
    ("auditing", "AbstractContextManager[Operation]"),
    ("aauditing", "AbstractAsyncContextManager[Operation]"),
)

_TEXT = "str | None"
_FREE = "Mapping[str, object]"
_KNOWN = "an_event_type_with_what_it_needs__see_whodid_events_show"
_AIMED = "a_call_with_a_target"
_NAMED = "an_event_type_with_fields_of_an_entry__others_go_into_details"


class _Parameter(NamedTuple):
    """One keyword of an overload."""

    name: str
    type: str
    required: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" if self.required else f"{self.name}: {self.type} = None"


_Shape = tuple[_Parameter, ...]


def stubs(contents: Contents, exports: Mapping[str, str], *, closed_details: bool = False) -> str:
    """The text of `whodid/__init__.pyi`. `exports` are the public names of the package and their modules."""
    current = [known for known in contents.types.values() if not known.replaced_by]
    free = [name for name in _call_fields() if name not in _ruled(current)]
    details = _Details(closed_details)
    shapes: dict[_Shape, list[str]] = {}
    for known in current:
        shapes.setdefault(_shape(known, free, details), []).append(known.name)
    lines = [
        '"""Made by `whodid events stubs`: the package whodid, with the event types of a catalog. Don\'t edit."""',
        "",
        *_imports(exports),
        "",
        "class _Fields(TypedDict, total=False):",
        *(f"    {name}: {_any_value(name)}" for name in free if name not in _OF_A_PAIR),
        "",
        "class _FieldsOfOne(_Fields, total=False):",
        *([f"    {name}: {_any_value(name)}" for name in free if name in _OF_A_PAIR] or ["    pass"]),
        "",
        "class _Anything(TypedDict, total=False):",
        *(f"    {name}: object" for name in _call_fields() if name != "target"),
        "",
        *(f"class {name}: ..." for name in (_KNOWN, _AIMED, _NAMED)),
        "",
        *details.classes,
        "class AuditLogger:",
        *(line for method, result in _METHODS for line in _method(method, result, shapes)),
        "",
        "def get_logger(name: str = ...) -> AuditLogger: ...",
    ]
    return "\n".join(lines) + "\n"


def _imports(exports: Mapping[str, str]) -> Iterator[str]:
    yield "from collections.abc import Coroutine, Mapping, Sequence"
    yield "from contextlib import AbstractAsyncContextManager, AbstractContextManager"
    yield "from typing import Any, Literal, TypedDict, Unpack, overload"
    yield ""
    yield "from whodid.operation import Operation"
    for name, module in sorted(exports.items(), key=lambda export: (export[1], export[0])):
        if name not in {"AuditLogger", "get_logger"}:
            yield f"from {module} import {name} as {name}"
    yield ""
    yield "__version__: str"


def _call_fields() -> list[str]:
    return [name for name, field in FIELDS.items() if field.source == "call" and name != "type"]


def _ruled(types: Iterable[EventType]) -> set[str]:
    """Fields that are not the same for all types, and so are written out in each overload."""
    ruled = {"target", "status", "details"}
    for known in types:
        ruled |= {*known.rules.requires, *known.rules.forbids} | ({"principal"} if known.rules.principal else set())
    return ruled


def _shape(known: EventType, free: list[str], details: _Details) -> _Shape:
    return tuple(
        _parameter(known, name, details)
        for name in _call_fields()
        if name not in free and name not in known.rules.forbids
    )


def _parameter(known: EventType, name: str, details: _Details) -> _Parameter:
    rules = known.rules
    required = name in _OF_THE_CALL and (name == "target" or name in rules.requires)
    kind = _any_value(name).removesuffix(" | None")
    if name == "outcome" and known.outcome:
        required = False
    if name == "status" and rules.status:
        kind = _literal(rules.status)
    if name == "principal" and rules.principal:
        kind = _literal((rules.principal,))
    if name == "details" and rules.details:
        required, kind = True, details.of(rules.details)
    return _Parameter(name, kind if required else f"{kind} | None", required)


def _any_value(name: str) -> str:
    if name in FREE_FIELDS:
        return f"{_FREE} | None"
    return f"{_literal(FIELDS[name].values)} | None" if FIELDS[name].values else _TEXT


def _literal(values: Iterable[str]) -> str:
    return f"Literal[{', '.join(map(repr, values))}]"


class _Details:
    """The types of `details`: a class for each set of rules, when they are closed."""

    def __init__(self, closed: bool) -> None:
        self.classes: list[str] = []
        self._closed = closed
        self._names: dict[str, str] = {}

    def of(self, rules: Mapping[str, DetailRule]) -> str:
        if not self._closed:
            return _FREE
        items = ", ".join(f"{key!r}: {_detail(rule)}" for key, rule in rules.items())
        if items not in self._names:
            self._names[items] = f"_Details{len(self._names) + 1}"
            self.classes += [f"{self._names[items]} = TypedDict({self._names[items]!r}, {{{items}}})", ""]
        return self._names[items]


def _detail(rule: DetailRule) -> str:
    if rule is None:
        return "str"
    return f"Literal[{rule}]" if isinstance(rule, bool) else _literal(rule)


def _method(name: str, result: str, shapes: Mapping[_Shape, list[str]]) -> Iterator[str]:
    pair = name.endswith("auditing")
    for shape, types in shapes.items():
        shown = [str(parameter) for parameter in shape if not (pair and parameter.name in _OF_A_PAIR)]
        yield from _overload(name, _literal(types), ["*", *shown, _rest("_Fields" if pair else "_FieldsOfOne")], result)
    yield from _overload(name, f"Sequence[{_KNOWN}]", ["*", "target: object", _rest("_Anything")], result)
    yield from _overload(name, f"Sequence[{_AIMED}]", [_rest("_Anything")], result)
    yield from _overload(name, f"Sequence[{_NAMED}]", ["**fields: object"], result)


def _rest(fields: str) -> str:
    return f"**fields: Unpack[{fields}]"


def _overload(name: str, event_type: str, parameters: list[str], result: str) -> Iterator[str]:
    yield "    @overload"
    yield f"    def {name}(self, event_type: {event_type}, /, {', '.join(parameters)}) -> {result}: ..."

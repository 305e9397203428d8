"""Three compiled validators on one entry: how long each takes, and which broken entries each refuses.

jsonschema-rs and fastjsonschema are given the very schema that whodid checks a call against, fastjsonschema under the
newest dialect it knows; msgspec is given as much of it as its types can say.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Annotated, Any, Union

import fastjsonschema
import jsonschema_rs
import msgspec

from whodid.catalog import Catalog
from whodid.catalog.schema import type_schema
from whodid.entry import FIELDS

from .case import EVENT, FIXED, IN_CALL, REQUEST

__all__ = ["BROKEN", "measure_validators"]

Accepts = Callable[[Mapping[str, Any]], bool]

_ENTRY = {
    "type": EVENT,
    "creation_date": "2026-11-23T08:15:00Z",
    "@timestamp": "2026-11-23T08:15:00.000001Z",
    **IN_CALL,
    **REQUEST,
    **FIXED,
}

BROKEN: dict[str, dict[str, Any]] = {
    "a required field missing": {name: value for name, value in _ENTRY.items() if name != "principal"},
    "an unknown field": {**_ENTRY, "pricipal_name": "Ada"},
    "a number for a string": {**_ENTRY, "workspace_id": 51402},
    "an empty string": {**_ENTRY, "status": ""},
    "a string too long": {**_ENTRY, "principal": "1" * 513},
    "no IP address": {**_ENTRY, "client_ip": "203.0.113.300"},
    "another resource than the type's": {**_ENTRY, "target_type": "workspace"},
    "`phase` without `operation`": {**_ENTRY, "phase": "intent"},
    "`system` with an IP address": {**_ENTRY, "principal": "system"},
}


def measure_validators(rounds: int, calls: int) -> list[dict[str, Any]]:
    """A row for each validator. All run in this process: none has a configuration that others could feel."""
    validators = {"jsonschema-rs": _jsonschema_rs(), "fastjsonschema": _fastjsonschema(), "msgspec": _msgspec()}
    for name, accepts in validators.items():
        assert accepts(_ENTRY), f"{name} refuses a right entry"
        _time(accepts, calls)
    times: dict[str, list[float]] = {name: [] for name in validators}
    for _ in range(rounds):
        for name in random.sample(tuple(validators), len(validators)):
            times[name].append(_time(validators[name], calls))
    return [
        {
            "validator": name,
            "us": median(times[name]),
            "broken": len(BROKEN),
            "accepts": [what for what, entry in BROKEN.items() if accepts(entry)],
        }
        for name, accepts in validators.items()
    ]


def _time(accepts: Accepts, calls: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(calls):
        accepts(_ENTRY)
    return (time.perf_counter_ns() - begin) / calls / 1000


def _schema() -> dict[str, Any]:
    return type_schema(Catalog.load().event_type(EVENT))


def _jsonschema_rs() -> Accepts:
    return jsonschema_rs.Draft202012Validator(_schema(), validate_formats=True).is_valid


def _fastjsonschema() -> Accepts:
    check = fastjsonschema.compile({"$schema": "https://json-schema.org/draft/2019-09/schema", **_schema()})

    def accepts(entry: Mapping[str, Any]) -> bool:
        try:
            check(entry)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return accepts


def _msgspec() -> Accepts:
    schema = _schema()
    fields: list[tuple[str, Any, Any]] = []
    for number, name in enumerate(FIELDS):
        rules = schema["properties"][name]
        if rules is False:
            continue
        hint = _msgspec_type(rules)
        if name in schema["required"]:
            fields.append((f"field_{number}", hint, msgspec.field(name=name)))
        else:
            fields.append(
                (f"field_{number}", hint | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET))
            )
    struct = msgspec.defstruct("Entry", fields, kw_only=True, forbid_unknown_fields=True)

    def accepts(entry: Mapping[str, Any]) -> bool:
        try:
            msgspec.convert(entry, struct)
        except msgspec.ValidationError:
            return False
        return True

    return accepts


def _msgspec_type(rules: Mapping[str, Any]) -> Any:
    if "type" not in rules:
        return Union[tuple(map(_msgspec_type, rules["anyOf"]))]  # noqa: UP007 (of as many as there are)
    if rules["type"] == "array":
        bounds = msgspec.Meta(min_length=rules["minItems"], max_length=rules["maxItems"])
        return Annotated[list[_msgspec_type(rules["items"])], bounds]  # type: ignore[misc]
    if rules["type"] == "object":
        return dict[str, Any]
    if rules["type"] == "integer":
        return int
    meta = {"min_length": rules.get("minLength"), "max_length": rules.get("maxLength"), "pattern": rules.get("pattern")}
    return Annotated[str, msgspec.Meta(**meta)]

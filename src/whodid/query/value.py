"""One value of a field, as it is asked for: how it is written, and whether an entry can have it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeGuard

from ..entry import FIELDS
from ..errors import QueryError
from ..recording.client_ip import network_of
from ..text import near, valid
from .grammar import FILTERS, KEYED, SYNONYMS, TIMES, kind_of

__all__ = [
    "BARE",
    "Value",
    "can_be_asked",
    "checked",
    "literal",
    "no_number",
    "quoted",
    "refuse_what_no_entry_holds",
    "unknown_field",
    "value_of",
    "whole_number",
]

BARE = re.compile(r'[^\s(),"\\*]+')
"""What needs no quotes."""
_LONG = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a field. `literal`: in quotes, so neither another name of an event type nor a beginning."""

    text: str
    kind: Literal["plain", "prefix", "literal"] = "plain"

    def __str__(self) -> str:
        if self.kind == "literal":
            return quoted(self.text)
        text = re.sub(r'([\s(),"\\*])', r"\\\1", self.text)
        return text + "*" if self.kind == "prefix" else text


def literal(text: str) -> Value:
    """Exactly this value: neither a beginning nor another name."""
    return Value(text, "literal")


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unknown_field(name: str) -> QueryError:
    """The error for a name that no field has, with what may have been meant."""
    names = (*FILTERS, *KEYED, *TIMES)
    if name in FIELDS and FIELDS[name].kind == "stored":
        return QueryError(f"{name} is kept with an entry, but can't be searched by")
    meant = [SYNONYMS[name.lower()]] if name.lower() in SYNONYMS else near(name, names, 3)
    hint = f"did you mean {', '.join(meant)}?" if meant else f"fields are {', '.join(names)}."
    return QueryError(f"{name} can't be searched by; {hint}")


def value_of(name: str, value: object) -> Value:
    if isinstance(value, Value):
        return value
    text = _text(name, value)
    return Value(text[:-1], "prefix") if text.endswith("*") else Value(text)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if kind_of(name) == "long" and type(value) is int:
        return str(value)
    if kind_of(name) == "flat_object" and isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind_of(name) is None:
        raise unknown_field(name)
    raise QueryError(f"{name} must be a string, not {type(value).__name__}")


def checked(name: str, kind: str, value: Value) -> Value:
    refuse_what_no_entry_holds(name, value.text)
    if kind == "ip":
        if value.kind == "prefix":
            raise QueryError(f"{name} has no beginnings; write a network such as 10.0.0.0/8 for 10.*")
        return Value(_network(name, value.text))
    if value.kind == "plain" and not BARE.fullmatch(value.text):
        return Value(value.text, "literal")
    return value


def can_be_asked(value: object) -> TypeGuard[str]:
    """Whether a value of a stored document is a text that entries can be looked for by; what is foreign may not be."""
    return isinstance(value, str) and value != "" and "\0" not in value and valid(value) == value


def refuse_what_no_entry_holds(name: str, text: str) -> None:
    if "\0" in text:
        raise QueryError(f"{name} contains a NUL character, which no entry holds")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{name} contains a lone surrogate, which no entry holds") from None


def _network(name: str, value: str) -> str:
    try:
        found = network_of(value.replace("%", "no zone"))  # no entry's address has one
        return str(found if "/" in value else found.network_address)
    except ValueError as error:
        raise QueryError(f"{name} must be an address or a network such as 10.0.0.0/8: {error}") from None


def whole_number(name: str, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) and int(text) <= _LONG:
        return int(text)
    raise no_number(name)


def no_number(name: str) -> QueryError:
    return QueryError(f"{name} must be a whole number such as 1, or from one to another: 1..10")

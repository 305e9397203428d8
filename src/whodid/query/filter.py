"""The filter: what entries must be, as a value that can be combined with `&`, `|` and `~` and written as text.

    team = Filter.of(type="team_*", principal=["42", "43"]) & ~Filter.parse("status:ok")
    str(team)     # 'type:team_* principal:42,43 -status:ok'

A filter is checked when it is made, immutable, and equal to another that says the same in the same order;
`Filter.parse(str(one)) == one`. Times stay as they were written: `-7d` is seven days before whenever it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeGuard

from ..client_ip import network_of
from ..display import valid
from ..entry import FIELDS
from ..errors import QueryError
from ..spelling import near
from .grammar import AND, FILTERS, KEYED, LONGEST_WORD, MOST_VALUES, NOT, OR, SYNONYMS, TIMES, kind_of
from .times import check_order, moment, period

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import FilterFields, Moment

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "All",
    "AnyOf",
    "Everything",
    "Filter",
    "Has",
    "Match",
    "Not",
    "Range",
    "Time",
    "Value",
    "Words",
    "can_be_asked",
    "filter_of",
    "ordered",
]

_BARE = re.compile(r'[^\s(),"\\*]+')
"""What needs no quotes."""
_OPERATORS = frozenset((*AND, *OR, *NOT))
_LONG = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filter:
    """What entries must be: an immutable value, combined with `&`, `|` and `~`. Make one with `of` or `parse`.

    Example:
        >>> team = Filter.of(type="team_*", principal=["42", "43"]) & ~Filter.parse("status:ok")
        >>> str(team)
        'type:team_* principal:42,43 -status:ok'
    """

    @staticmethod
    def of(since: Moment = None, until: Moment = None, **fields: Unpack[FilterFields]) -> Filter:
        """The filter for entries whose fields have these values.

        Args:
            since: Entries from this moment on: an aware datetime, or text such as `2026-11` or `-7d`.
            until: Entries before this moment.
            **fields: Fields, each with a value or several of which any may match; `None` asks for nothing. A value that
                ends in `*` is a prefix, `*` alone any value; `client_ip` takes networks. A key of an object needs
                `**{"details.region": "eu-*"}`. See `whodid.typing.FilterFields`.

        Returns:
            The filter.

        Raises:
            QueryError: No entry can be like that, or no field has that name.

        Example:
            >>> str(Filter.of(since="-7d", type="team_*", client_ip="10.0.0.0/8"))
            'type:team_* client_ip:10.0.0.0/8 since:-7d'
        """
        return filter_of(fields, since, until)

    @staticmethod
    def parse(text: str) -> Filter:
        """The filter that a text of the search language says.

        Args:
            text: The text (docs/language.md); the empty one is everything.

        Returns:
            The filter.

        Raises:
            QueryError: The text can't be understood.

        Example:
            >>> Filter.parse("type:team_* -status:ok")
        """
        from .parser import parse

        return parse(text)

    def __and__(self, other: Filter) -> Filter:
        return both([self, other])

    def __or__(self, other: Filter) -> Filter:
        return either([self, other])

    def __invert__(self) -> Filter:
        return self.part if isinstance(self, Not) else Not(self)

    def __str__(self) -> str:
        """The text that `parse` reads as this filter."""
        raise NotImplementedError


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


@dataclass(frozen=True, slots=True)
class Everything(Filter):
    """Any entry."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class Match(Filter):
    """A field that has one of the values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.field}:{','.join(map(str, self.values))}"


@dataclass(frozen=True, slots=True)
class Has(Filter):
    """A field with any value."""

    field: str

    def __str__(self) -> str:
        return f"{self.field}:*"


@dataclass(frozen=True, slots=True)
class Range(Filter):
    """A number from `low` to `high`, both included; `None` for no bound."""

    field: str
    low: int | None
    high: int | None

    def __str__(self) -> str:
        low, high = ("" if bound is None else bound for bound in (self.low, self.high))
        return f"{self.field}:{low}..{high}"


@dataclass(frozen=True, slots=True)
class Words(Filter):
    """Text somewhere in `WORD_FIELDS`, in any case."""

    text: str

    def __str__(self) -> str:
        plain = _BARE.fullmatch(self.text) and ":" not in self.text and not self.text.startswith("-")
        return self.text if plain and self.text.lower() not in _OPERATORS else quoted(self.text)


@dataclass(frozen=True, slots=True)
class Time(Filter):
    """The time of an entry, as somebody wrote it. `name` is one of `TIMES`."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}:{self.text}"


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """Not that."""

    part: Filter

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, All | AnyOf) else f"-{self.part}"


@dataclass(frozen=True, slots=True)
class All(Filter):
    """All of two parts or more."""

    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """Any of two parts or more."""

    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


EVERYTHING = Everything()
NOTHING = Not(EVERYTHING)


def both(parts: Iterable[Filter]) -> Filter:
    """All of them; of none, everything."""
    flat = [each for part in parts for each in (part.parts if isinstance(part, All) else [part])]
    flat = [part for part in flat if part != EVERYTHING]
    return All(tuple(flat)) if len(flat) > 1 else flat[0] if flat else EVERYTHING


def ordered(asked: Filter) -> Filter:
    """The same. Raises `QueryError` where a `since` and an `until` in it leave no time between them."""
    now = datetime.now(UTC)
    found: dict[str, list[tuple[datetime, str]]] = {"since": [], "until": []}
    for part in asked.parts if isinstance(asked, All) else ():
        if isinstance(part, Time) and part.name != "time" and (at := moment(part.text, part.name, now)):
            found[part.name].append((at, part.text))
    if found["since"] and found["until"]:
        check_order(max(found["since"])[1], min(found["until"])[1], now)
    return asked


def either(parts: Iterable[Filter]) -> Filter:
    """Any of them; of none, nothing."""
    flat = [each for part in parts for each in (part.parts if isinstance(part, AnyOf) else [part])]
    if EVERYTHING in flat:
        return EVERYTHING
    flat = [part for part in flat if part != NOTHING]
    return AnyOf(tuple(flat)) if len(flat) > 1 else flat[0] if flat else NOTHING


def match(name: str, value: object) -> Filter:
    """A field and what Python code gives for it: a value, or several of which any may match."""
    several = isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Value)
    return matching(name, [_value(name, each) for each in (value if several else [value])])  # type: ignore[attr-defined]


def matching(name: str, values: Iterable[Value]) -> Filter:
    """A field that has one of the values, checked. Raises `QueryError`."""
    kind = kind_of(name)
    if kind is None:
        raise unknown_field(name)
    if not (name.isascii() and name.isprintable()):
        raise QueryError(f"{name.partition('.')[0]} has no such key: keys are printable ASCII")
    given = tuple(dict.fromkeys(values))
    if len(given) > MOST_VALUES:
        raise QueryError(f"{name} has {len(given)} values to look for; ask for {MOST_VALUES} at most")
    if any(value == Value("", "prefix") for value in given):
        return Has(name)
    if not given:
        return NOTHING
    if kind == "long":
        return either(_number(name, value.text) for value in given)
    checked = tuple(_checked(name, kind, value) for value in given)
    return Match(name, tuple(dict.fromkeys(checked)))


def words(text: str) -> Filter:
    """Text somewhere in names, e-mail address, status or details. Raises `QueryError` for no text."""
    if not text.strip():
        raise QueryError("there is nothing to look for between the quotes")
    if len(text) > LONGEST_WORD:
        raise QueryError(f"a text to look for has {len(text):,} characters; {LONGEST_WORD} is the most")
    _refuse_what_no_entry_holds("the text", text)
    return Words(text)


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


def _value(name: str, value: object) -> Value:
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


def _time(name: str, value: object) -> str:
    at = moment(value, name)
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return at.isoformat() if at else ""


def _checked(name: str, kind: str, value: Value) -> Value:
    _refuse_what_no_entry_holds(name, value.text)
    if kind == "ip":
        if value.kind == "prefix":
            raise QueryError(f"{name} has no beginnings; write a network such as 10.0.0.0/8 for 10.*")
        return Value(_network(name, value.text))
    if value.kind == "plain" and not _BARE.fullmatch(value.text):
        return Value(value.text, "literal")
    return value


def can_be_asked(value: object) -> TypeGuard[str]:
    """Whether a value of a stored document is a text that entries can be looked for by; what is foreign may not be."""
    return isinstance(value, str) and value != "" and "\0" not in value and valid(value) == value


def _refuse_what_no_entry_holds(name: str, text: str) -> None:
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


def _number(name: str, text: str) -> Filter:
    low, dots, high = text.partition("..")
    bounds = [_whole_number(name, bound) if bound else None for bound in ((low, high) if dots else (text, text))]
    if bounds == [None, None]:
        raise _no_number(name)
    return Range(name, bounds[0], bounds[1]) if bounds[0] != bounds[1] else Match(name, (Value(str(bounds[0])),))


def _whole_number(name: str, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) and int(text) <= _LONG:
        return int(text)
    raise _no_number(name)


def _no_number(name: str) -> QueryError:
    return QueryError(f"{name} must be a whole number such as 1, or from one to another: 1..10")


def time(name: str, text: str) -> Filter:
    """The time of an entry, checked. Raises `QueryError`."""
    if name == "time":
        period(text)
    else:
        moment(text, name)
    return Time(name, text)


def filter_of(fields: Mapping[str, object], since: object = None, until: object = None) -> Filter:
    """As `Filter.of`, for names and values that came from elsewhere."""
    parts = [match(name, value) for name, value in fields.items() if value is not None]
    parts += [Time(name, _time(name, at)) for name, at in (("since", since), ("until", until)) if at is not None]
    check_order(since, until)
    return both(parts)

"""Filters and the parser of queries: immutable values that are combined with `&`, `|` and `~` and written as text.

    team = Filter.of(type="team_*", principal=["42", "43"]) & ~Filter.parse("status:ok")
    str(team)     # 'type:team_* principal:42,43 -status:ok'

A filter is checked when it is made, and equals another with the same parts in the same order;
`Filter.parse(str(one)) == one`. Times stay as written: `-7d` is seven days before each search. `pinned` makes times
absolute, such as for a filter that is stored with its results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..catalog.model import is_name
from ..entry import FIELDS
from ..errors import QueryError
from ..text import near
from .grammar import (
    AND,
    LONGEST,
    LONGEST_WORD,
    MOST_VALUES,
    NOT,
    OR,
    TIMES,
    Piece,
    kind_of,
    misplaced,
    pieces,
    unescaped,
)
from .value import (
    BARE,
    LONG,
    Value,
    check_order,
    check_text,
    checked,
    compares,
    comparison,
    is_address,
    may_identify,
    moment,
    no_number,
    period,
    quoted,
    unknown_field,
    value_of,
    whole_number,
)

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import FilterFields

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "All",
    "AnyOf",
    "Beginning",
    "Compared",
    "Everything",
    "Filter",
    "Has",
    "Match",
    "Not",
    "Range",
    "Time",
    "Words",
    "filter_of",
    "match",
    "near_misses",
    "ordered",
    "pinned",
    "without_times",
]

_OPERATORS = frozenset((*AND, *OR, *NOT))
_DEEPEST = 50
"""Maximum depth of brackets."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries match: an immutable value, combined with `&`, `|` and `~`. Make one with `of` or `parse`.

    Example:
        >>> team = Filter.of(type="team_*", principal=["42", "43"]) & ~Filter.parse("status:ok")
        >>> str(team)
        'type:team_* principal:42,43 -status:ok'
    """

    @staticmethod
    def of(**fields: Unpack[FilterFields]) -> Filter:
        """Makes a filter for entries whose fields have these values.

        Args:
            **fields: Fields, each with a value or several of which any may match; `None` asks for nothing. A value that
                ends in `*` is a prefix, `*` alone any value; `client_ip` takes networks. A key of an object needs
                `**{"details.region": "eu-*"}`. `since` and `until` are aware datetimes, or text such as `2026-11` or
                `-7d`. See `whodid.typing.FilterFields`.

        Returns:
            The filter.

        Raises:
            QueryError: A field is unknown, or a value is impossible.

        Example:
            >>> str(Filter.of(since="-7d", type="team_*", client_ip="10.0.0.0/8"))
            'type:team_* client_ip:10.0.0.0/8 since:-7d'
        """
        return filter_of(fields)

    @staticmethod
    def parse(text: str) -> Filter:
        """Parses a query in the search language.

        Args:
            text: The query (`whodid help search`); an empty one matches everything.

        Returns:
            The filter.

        Raises:
            QueryError: The query is invalid.

        Example:
            >>> Filter.parse("type:team_* -status:ok")
        """
        if len(text) > LONGEST:
            raise QueryError(f"the query has {len(text):,} characters; at most {LONGEST:,} are allowed")
        return _Parser(text).parse()

    def __and__(self, other: Filter) -> Filter:
        return both([self, other])

    def __or__(self, other: Filter) -> Filter:
        return either([self, other])

    def __invert__(self) -> Filter:
        return self.part if isinstance(self, Not) else Not(self)

    def __str__(self) -> str:
        """Returns the query that `parse` reads as this filter."""
        raise NotImplementedError


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
    """A number from `low` to `high`, inclusive; `None` means no bound."""

    field: str
    low: int | None
    high: int | None

    def __str__(self) -> str:
        low, high = ("" if bound is None else bound for bound in (self.low, self.high))
        return f"{self.field}:{low}..{high}"


@dataclass(frozen=True, slots=True)
class Compared(Filter):
    """A key of an object whose value is a number or a date in a range, as written: `>100` or `2026-01..2026-03`."""

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}:{self.text}"


@dataclass(frozen=True, slots=True)
class Words(Filter):
    """A word contained in one of `WORD_FIELDS`, ignoring case, or equal to an identifier in any field.

    If it has the form of an identifier, it is looked for as one alone, unless it is `quoted`.
    """

    text: str
    quoted: bool = False

    def __str__(self) -> str:
        plain = BARE.fullmatch(self.text) and not (":" in self.text and not is_address(self.text))
        bare = plain and not self.text.startswith("-") and self.text.lower() not in _OPERATORS
        return self.text if bare and not self.quoted else quoted(self.text)


@dataclass(frozen=True, slots=True)
class Beginning(Filter):
    """The beginning of an identifier, in one of `ID_FIELDS`."""

    text: str

    def __str__(self) -> str:
        return ("\\" if self.text.startswith("-") else "") + str(Value(self.text, "prefix"))


@dataclass(frozen=True, slots=True)
class Time(Filter):
    """The time of an entry, as written. `name` is one of `TIMES`."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}:{self.text}"


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The negation of a filter."""

    part: Filter

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, All | AnyOf) else f"-{self.part}"


@dataclass(frozen=True, slots=True)
class All(Filter):
    """All of two or more filters."""

    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """Any of two or more filters."""

    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


EVERYTHING = Everything()
NOTHING = Not(EVERYTHING)


def both(parts: Iterable[Filter]) -> Filter:
    """All of the filters; without any, everything matches."""
    flat = [each for part in parts for each in (part.parts if isinstance(part, All) else [part])]
    flat = [part for part in flat if part != EVERYTHING]
    return All(tuple(flat)) if len(flat) > 1 else flat[0] if flat else EVERYTHING


def ordered(asked: Filter) -> Filter:
    """Returns the filter. Raises `QueryError` if its `since` and `until` leave no time between them."""
    now = datetime.now(UTC)
    found: dict[str, list[tuple[datetime, str]]] = {"since": [], "until": []}
    for part in asked.parts if isinstance(asked, All) else ():
        if isinstance(part, Time) and part.name in found and (at := moment(part.text, part.name, now)):
            found[part.name].append((at, part.text))
    if found["since"] and found["until"]:
        check_order(max(found["since"])[1], min(found["until"])[1], now)
    return asked


def without_times(asked: Filter) -> Filter:
    """The filter without its `since`, `until` and `time`."""
    parts = asked.parts if isinstance(asked, All) else (asked,)
    return both(part for part in parts if not isinstance(part, Time) or part.name in FIELDS)


def near_misses(asked: Filter, types: Collection[str]) -> Iterator[str]:
    """Terms that were perhaps meant: similar names for event types that do not exist."""
    match asked:
        case Match("type", values):
            unknown = [
                value.text for value in values[:_LOOKED_AT] if value.kind != "prefix" and value.text not in types
            ]
            yield from (f"type:{other}" for text in unknown if is_name(text) for other in near(text, types))
        case Words(text) if is_name(text.lower()) and text not in types:
            yield from near(text.lower(), types)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from near_misses(part, types)


_LOOKED_AT = 10
"""Values of a query that a similar name is looked for."""


def either(parts: Iterable[Filter]) -> Filter:
    """Any of the filters; without any, nothing matches."""
    flat = [each for part in parts for each in (part.parts if isinstance(part, AnyOf) else [part])]
    if EVERYTHING in flat:
        return EVERYTHING
    flat = [part for part in flat if part != NOTHING]
    return AnyOf(tuple(flat)) if len(flat) > 1 else flat[0] if flat else NOTHING


def match(name: str, value: object) -> Filter:
    """A field with a Python value, or several of which any may match. Raises `QueryError`."""
    several = isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Value)
    return matching(name, [value_of(name, each) for each in (value if several else [value])])  # type: ignore[attr-defined]


def matching(name: str, values: Iterable[Value]) -> Filter:
    """A field with one of the parsed values. Raises `QueryError`."""
    kind = kind_of(name)
    if kind is None:
        raise unknown_field(name)
    if not (name.isascii() and name.isprintable()):
        raise QueryError(f"invalid key of {name.partition('.')[0]}: keys are printable ASCII")
    given = tuple(dict.fromkeys(values))
    if len(given) > MOST_VALUES:
        raise QueryError(f"{name} has {len(given)} values; at most {MOST_VALUES} are allowed")
    if any(value == Value("", "prefix") for value in given):
        return Has(name)
    if kind == "objects":  # of which there can only be some
        raise unknown_field(name)
    if not given:
        return NOTHING
    if kind == "long":
        return either(_number(name, value.text) for value in given)
    ranges = [value for value in given if kind == "flat_object" and value.kind == "plain" and compares(value.text)]
    others = tuple(dict.fromkeys(checked(name, kind, value) for value in given if value not in ranges))
    return either([*(_compared(name, value.text) for value in ranges), *([Match(name, others)] if others else [])])


def words(text: str, *, as_text: bool = False) -> Words:
    """A word in names, e-mail address, status or details, also if it has the form of an identifier (`as_text`).

    Raises `QueryError` if it is empty or too long.
    """
    if not text.strip():
        raise QueryError("the quotes are empty")
    if len(text) > LONGEST_WORD:
        raise QueryError(f"a word has {len(text):,} characters; at most {LONGEST_WORD} are allowed")
    check_text("the text", text)
    return Words(text, as_text and may_identify(text))


def _time(name: str, value: object) -> str:
    at = moment(value, name)
    if isinstance(value, str) and BARE.fullmatch(value):
        return value
    return at.isoformat() if at else ""


def _compared(name: str, text: str) -> Filter:
    comparison(name, text)
    return Compared(name, text)


def _number(name: str, text: str) -> Filter:
    if text.startswith((">", "<")):
        than = "=" if text[1:2] == "=" else ""
        bound, step = whole_number(name, text[1 + len(than) :]), not than
        if text[0] == ">":
            return Range(name, bound + step, None) if bound + step <= LONG else NOTHING
        return Range(name, None, bound - step) if bound >= step else NOTHING
    low, dots, high = text.partition("..")
    bounds = [whole_number(name, bound) if bound else None for bound in ((low, high) if dots else (text, text))]
    if bounds == [None, None]:
        raise no_number(name)
    return Range(name, bounds[0], bounds[1]) if bounds[0] != bounds[1] else Match(name, (Value(str(bounds[0])),))


def time(name: str, text: str) -> Filter:
    """A term for the time of an entry. Raises `QueryError`."""
    if name not in ("since", "until"):
        period(text, name)
    else:
        moment(text, name)
    return Time(name, text)


def _of_time(name: str, value: object) -> Filter:
    """A period from Python. Raises `QueryError`."""
    if value == "*" and name in FIELDS:
        return Has(name)
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a period such as '2026-11' or '2026-01..2026-03', not {type(value).__name__}")
    return time(name, value.strip().replace(" ", "T"))


def filter_of(fields: Mapping[str, object]) -> Filter:
    """As `Filter.of`, for names and values from other code."""
    given = {name: value for name, value in fields.items() if value is not None}
    since, until = given.pop("since", None), given.pop("until", None)
    parts = [_of_time(name, value) if name in TIMES else match(name, value) for name, value in given.items()]
    parts += [Time(name, _time(name, at)) for name, at in (("since", since), ("until", until)) if at is not None]
    check_order(since, until)
    return both(parts)


class _Parser:
    """Parses the tokens of a query in one pass. Every error names the character."""

    def __init__(self, text: str) -> None:
        self._pieces = pieces(text)
        self._next = 0
        self._depth = 0
        self._end = len(text)

    def parse(self) -> Filter:
        if not self._pieces:
            return EVERYTHING
        found = self._either()
        if (left := self._peek()) is not None:
            raise misplaced("this ) has no (" if left.text == ")" else f"{left.text!r} is not expected", left.start)
        return found

    def _peek(self) -> Piece | None:
        return self._pieces[self._next] if self._next < len(self._pieces) else None

    def _is(self, *signs: str) -> bool:
        piece = self._peek()
        return piece is not None and piece.kind == "sign" and piece.text in signs

    def _operator(self, spellings: tuple[str, ...]) -> bool:
        """Consumes the operator if it comes next."""
        piece = self._peek()
        if piece is None or piece.kind != "bare" or piece.text.lower() not in spellings or self._touches(piece):
            return False
        self._next += 1
        return True

    def _touches(self, piece: Piece) -> bool:
        """Whether the same term continues right after a token, without a space."""
        following = self._pieces[self._next + 1] if self._next + 1 < len(self._pieces) else None
        return _adjoins(following, piece.end, "()")

    def _either(self) -> Filter:
        return either(self._joined(self._both, OR))

    def _both(self) -> Filter:
        parts = [self._term()]
        while True:
            if self._operator(AND) or not (self._peek() is None or self._is(")", ",") or self._at(OR)):
                parts.append(self._term())
            else:
                return both(parts)

    def _at(self, spellings: tuple[str, ...]) -> bool:
        before = self._next
        found = self._operator(spellings)
        self._next = before
        return found

    def _joined(self, part: Callable[[], Filter], spellings: tuple[str, ...]) -> list[Filter]:
        parts = [part()]
        while self._operator(spellings):
            parts.append(part())
        return parts

    def _term(self) -> Filter:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"the query has more than {_DEEPEST} levels of brackets")
        try:
            return self._negated() or self._group() or self._simple()
        finally:
            self._depth -= 1

    def _negated(self) -> Filter | None:
        if self._operator(NOT):
            return ~self._term()
        piece = self._peek()
        if piece is None or piece.kind != "bare" or not piece.text.startswith("-"):
            return None
        rest = piece._replace(text=piece.text[1:], start=piece.start + 1)
        if rest.text:
            self._pieces[self._next] = rest
        elif self._touches(piece) or self._opens_after(piece):
            self._next += 1
        else:
            raise misplaced("a - must be right before a term", piece.start)
        return ~self._term()

    def _opens_after(self, piece: Piece) -> bool:
        following = self._pieces[self._next + 1] if self._next + 1 < len(self._pieces) else None
        return following is not None and following.text == "(" and following.start == piece.end

    def _group(self) -> Filter | None:
        if not self._is("("):
            return None
        opened = self._pieces[self._next]
        self._next += 1
        found = self._either()
        if not self._is(")"):
            raise misplaced("this ( is not closed", opened.start)
        self._next += 1
        return found

    def _simple(self) -> Filter:
        piece = self._peek()
        if piece is None:
            raise misplaced("a term is missing", self._end)
        if self._is(")", ","):
            raise misplaced(f"a term is missing before this {piece.text}", piece.start)
        if piece.kind == "bare" and piece.text.lower() in (*AND, *OR) and not self._touches(piece):
            raise misplaced(f"a term is missing next to this {piece.text}", piece.start)
        if piece.kind == "bare" and ":" in piece.text and not (is_address(piece.text) and not self._touches(piece)):
            return self._field(piece)
        value = self._value(piece.start)
        if value == Value("", "prefix"):
            return EVERYTHING
        found = words(value.text, as_text=value.kind == "literal")
        return Beginning(found.text) if value.kind == "prefix" else found

    def _field(self, piece: Piece) -> Filter:
        name, _, rest = piece.text.partition(":")
        at = piece.start + len(name) + 1
        if name in TIMES:
            self._next += 1
            following = self._peek()
            if name in FIELDS and not rest and following is not None and following[1:3] == ("*", piece.end):
                self._next += 1
                return Has(name)
            if not rest or _adjoins(following, piece.end, "()"):
                raise misplaced(f"{name}: needs one time right after it, such as {name}:-7d", at)
            return time(name, rest)
        if kind_of(name) is None:
            raise misplaced(str(unknown_field(name)) + _quotes_hint(piece.text), piece.start)
        if rest:
            self._pieces[self._next] = piece._replace(text=rest, start=at)
        else:
            self._next += 1
        values = [self._field_value(name, at)]
        while self._is(","):
            at = self._pieces[self._next].end
            self._next += 1
            values.append(self._field_value(name, at))
        return matching(name, values)

    def _field_value(self, name: str, at: int) -> Value:
        piece = self._peek()
        if piece is None or piece.start != at or self._is("(", ")", ","):
            raise misplaced(f"{name}: needs a value right after it", at)
        return self._value(at)

    def _value(self, at: int) -> Value:
        """Reads adjacent tokens as one value."""
        piece = self._pieces[self._next]
        self._next += 1
        if piece.kind == "quoted":
            following = self._peek()
            if _adjoins(following, piece.end, "(),"):
                raise misplaced("a space is missing after this quote", piece.end)
            return Value(unescaped(piece.text), "literal")
        text = "" if piece.kind == "sign" else unescaped(piece.text)
        star = piece if piece.kind == "sign" else None
        following = self._peek()
        if star is None and following is not None and following.start == piece.end:
            if following.kind == "quoted":
                raise misplaced("a quote inside a value; quote the whole value", following.start)
            if following.text == "*" and following.kind == "sign":
                star = following
                self._next += 1
                following = self._peek()
        if star is None:
            return Value(text)
        if _adjoins(following, star.end, "(),"):
            raise misplaced("a * must be at the end of a value; quote the value for a literal *", star.start)
        return Value(text, "prefix")


def _adjoins(following: Piece | None, end: int, signs: str) -> bool:
    """Whether a token comes right at `end` that is none of these signs."""
    return (
        following is not None and following.start == end and not (following.kind == "sign" and following.text in signs)
    )


def _quotes_hint(text: str) -> str:
    return f' To search for the text itself, quote it: "{text}"'


def pinned(asked: Filter, now: datetime) -> Filter:
    """The filter with absolute times: at 08:00, `since:-1h` becomes `since:2026-11-23T07:00:00Z`."""
    match asked:
        case Time(name="since" | "until" as name, text=text):
            at = moment(text, name, now)
            return Time(name, _as_text(at)) if at else asked
        case Time(name=name, text=text):
            window = period(text, now=now)
            start, end = ("" if bound is None else _as_text(bound) for bound in window)
            return Time(name, f"{start}..{end}")
        case Not(part=part):
            return ~pinned(part, now)
        case All(parts=parts):
            return both(pinned(part, now) for part in parts)
        case AnyOf(parts=parts):
            return either(pinned(part, now) for part in parts)
    return asked


def _as_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Values of fields and times in a query: how they are written, and whether an entry can have them. Times are UTC.

A moment is ISO 8601 (UTC if there is no zone), a span before now such as `-24h`, or `now`. A period is a year, a month,
a week (`2026-W48`), a day, or one of `PERIODS`. If a moment is required, a period stands for its first moment.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple, TypeGuard

from ..catalog.model import is_name
from ..entry import FIELDS, later
from ..errors import QueryError
from ..recording.client_ip import network_of
from ..text import near, valid
from .grammar import ALIASES, FILTERS, KEYED, OF_TARGETS, PERIODS, SYNONYMS, TIMES, UNITS, kind_of

__all__ = [
    "BARE",
    "ENTRY_ID",
    "IDENTIFIER",
    "LONG",
    "Value",
    "Window",
    "can_be_asked",
    "check_order",
    "check_text",
    "checked",
    "compares",
    "comparison",
    "is_address",
    "literal",
    "may_identify",
    "moment",
    "no_number",
    "period",
    "quoted",
    "unknown_field",
    "value_of",
    "whole_number",
]

BARE = re.compile(r'[^\s(),"\\*]+')
"""Text that needs no quotes."""
LONG = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a field. A `literal` value is quoted: it is no prefix, and has no other names."""

    text: str
    kind: Literal["plain", "prefix", "literal"] = "plain"

    def __str__(self) -> str:
        if self.kind == "literal":
            return quoted(self.text)
        text = re.sub(r'([\s(),"\\*])', r"\\\1", self.text)
        return text + "*" if self.kind == "prefix" else text


def literal(text: str) -> Value:
    """Exactly this value: no prefix, and no other name of an event type."""
    return Value(text, "literal")


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def may_identify(text: str) -> bool:
    """Whether it has the form of an address, an entry ID, a UUID, a hash or an event type of several words."""
    return is_address(text) or IDENTIFIER.fullmatch(text) is not None or ("_" in text and is_name(text))


ENTRY_ID = re.compile(r"[0-9a-f]{16}-[0-9]{12,16}-[0-9a-f]{16}")
IDENTIFIER = re.compile(
    rf"{ENTRY_ID.pattern}|[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}|[0-9a-f]{{32}}|[0-9a-f]{{64}}"
)


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def unknown_field(name: str) -> QueryError:
    """The error for an unknown field, with suggestions."""
    names = (*FILTERS, *OF_TARGETS, *KEYED, *TIMES, *ALIASES)
    if name in FIELDS and FIELDS[name].kind == "stored":
        return QueryError(f"{name} is stored with an entry, but is not searchable")
    meant = [SYNONYMS[name.lower()]] if name.lower() in SYNONYMS else near(name, names, 3)
    hint = f"did you mean {', '.join(meant)}?" if meant else f"fields are {', '.join(names)}."
    return QueryError(f"unknown field {name!r}; {hint}")


def value_of(name: str, value: object) -> Value:
    if isinstance(value, Value):
        return value
    text = _text(name, value)
    if compares(text) and not _can_be_compared(name, text):
        return literal(text)
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
    check_text(name, value.text)
    if kind == "ip":
        if value.kind == "prefix":
            raise QueryError(f"{name} has no prefixes; write a network such as 10.0.0.0/8 for 10.*")
        return Value(_network(name, value.text))
    if value.kind == "plain" and compares(value.text):
        raise QueryError(f"{name} is searched as text, which can't be compared{_or_quote(name, value.text)}")
    if value.kind == "plain" and not BARE.fullmatch(value.text):
        return Value(value.text, "literal")
    return value


def _can_be_compared(name: str, text: str) -> bool:
    try:
        return kind_of(name) == "long" or (kind_of(name) == "flat_object" and bool(comparison(name, text)))
    except QueryError:
        return False


def compares(text: str) -> bool:
    """Whether a value is written as a comparison: `>5`, `<=2027-01-01` or `100..200`."""
    return _COMPARISON.fullmatch(text) is not None


def _or_quote(name: str, text: str) -> str:
    return f"; to search for this very text, quote it: {name}:{quoted(text)}"


_COMPARISON = re.compile(r"[<>]=?.+|-?[0-9][0-9.:TZ-]*\.\.(-?[0-9][0-9.:TZ-]*)?|\.\.-?[0-9][0-9.:TZ-]*", re.DOTALL)


def can_be_asked(value: object) -> TypeGuard[str]:
    """Whether a value of a stored document is a text that can be searched for; foreign values may not be."""
    return isinstance(value, str) and value != "" and "\0" not in value and valid(value) == value


def check_text(name: str, text: str) -> None:
    """Raises `QueryError` for text that no entry can contain."""
    if "\0" in text:
        raise QueryError(f"{name} contains a NUL character, which no entry can contain")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{name} contains a lone surrogate, which no entry can contain") from None


def _network(name: str, value: str) -> str:
    try:
        found = network_of(value.replace("%", "no zone"))  # no entry's address has one
        return str(found if "/" in value else found.network_address)
    except ValueError as error:
        raise QueryError(f"{name} must be an address or a network such as 10.0.0.0/8: {error}") from None


def whole_number(name: str, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) and int(text) <= LONG:
        return int(text)
    raise no_number(name)


def no_number(name: str) -> QueryError:
    return QueryError(f"{name} must be a whole number such as 1, a range such as 1..10, or >1")


_SPAN = re.compile(r"-(\d{1,6})([wdhms])", re.ASCII)
_YEAR, _MONTH, _WEEK, _DAY = (
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (r"(\d{4})", r"(\d{4})-(\d\d)", r"(\d{4})-?W(\d\d)", r"(\d{4})-(\d\d)-(\d\d)")
)
_DECEMBER = 12


class Window(NamedTuple):
    """From `start`, inclusive, to `end`, exclusive; `None` means no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __and__(self, other: Window) -> Window:
        """The intersection of both."""
        starts = [bound for bound in (self.start, other.start) if bound]
        ends = [bound for bound in (self.end, other.end) if bound]
        return Window(max(starts, default=None), min(ends, default=None))

    def hull(self, other: Window) -> Window:
        """The smallest window that contains both."""
        start = min(self.start, other.start) if self.start and other.start else None
        end = max(self.end, other.end) if self.end and other.end else None
        return Window(start, end)


def moment(value: object, name: str, now: datetime | None = None) -> datetime | None:
    """Returns the moment that `since` or `until` names, in UTC. Raises `QueryError`."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise QueryError(f"{name} is a datetime without a zone; add one, such as datetime.now(UTC)")
        return _in_utc(value)
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a datetime or a string, not {type(value).__name__}")
    now = now or datetime.now(UTC)
    try:
        if span := _SPAN.fullmatch(value):
            return now - timedelta(**{UNITS[span[2]]: int(span[1])})
        if value.lower() == "now":
            return now
        if window := _period(value, now):
            return window.start
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise _unknown(name, value) from None
    return _in_utc(found.replace(tzinfo=found.tzinfo or UTC))


def check_order(since: object, until: object, now: datetime | None = None) -> None:
    """Raises `QueryError` if no time is between the two; `until` is exclusive."""
    now = now or datetime.now(UTC)
    start, end = moment(since, "since", now), moment(until, "until", now)
    if start is None or end is None or start < end:
        return
    if start > end:
        raise QueryError(f"since ({_shown(since, start)}) is after until ({_shown(until, end)})")
    whole = _period(since, now) if isinstance(since, str) and since == until else None
    hint = f". For the whole period use time:{since}, or until {whole.end:%Y-%m-%d}" if whole and whole.end else ""
    raise QueryError(
        f"the interval is empty: since and until are both {_shown(since, start)}, and until is exclusive{hint}"
    )


def _shown(given: object, at: datetime) -> str:
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment if not isinstance(given, str) or moment.startswith(given) else f"{given}, {moment}"


def period(value: str, name: str = "time", now: datetime | None = None) -> Window:
    """Returns the window of a period, or of a range (`2026-01..2026-03`, `-7d..`). Raises `QueryError`."""
    now = now or datetime.now(UTC)
    first, dots, last = value.partition("..")
    if not dots:
        return _one(value, name, now)
    if not (first or last):
        raise _unknown(name, value)
    start = moment(first, name, now) if first else None
    end = _one(last, name, now) if last else Window()
    # A moment, unlike a period, ends where it begins.
    return Window(start, end.end if end.end else end.start)


def _one(value: str, name: str, now: datetime) -> Window:
    """The window of a period, or the time since a moment."""
    try:
        window = _period(value, now)
    except (ValueError, OverflowError):
        raise _unknown(name, value) from None
    return window or Window(moment(value, name, now))


def _unknown(name: str, value: str) -> QueryError:
    times = "2026-11-23, 2026-11-23T08:00:00Z, 2026-11, yesterday, last-week or -24h"
    return QueryError(f"{name}: {value!r} is not a valid time; use {times}")


def _period(text: str, now: datetime) -> Window | None:
    """The window of a period; `None` for other text. Raises `ValueError` and `OverflowError` if it does not exist."""
    if text.lower() in PERIODS:
        return _in_words(text.lower(), now.astimezone(UTC).date())
    if found := _YEAR.fullmatch(text):
        year = int(found[1])
        return _days(date(year, 1, 1), date(year + 1, 1, 1))
    if found := _MONTH.fullmatch(text):
        return _month(int(found[1]), int(found[2]))
    if found := _WEEK.fullmatch(text):
        first = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        return _days(first, first + timedelta(days=7))
    if found := _DAY.fullmatch(text):
        day = date(int(found[1]), int(found[2]), int(found[3]))
        return _days(day, day + timedelta(days=1))
    return None


def _in_words(word: str, today: date) -> Window:
    back = word in {"yesterday", "last-week", "last-month", "last-year"}
    if word in {"today", "yesterday"}:
        day = today - timedelta(days=back)
        return _days(day, day + timedelta(days=1))
    if word.endswith("week"):
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return _days(monday, monday + timedelta(days=7))
    if word.endswith("month"):
        first = (today.replace(day=1) - timedelta(days=1)).replace(day=1) if back else today
        return _month(first.year, first.month)
    return _days(date(today.year - back, 1, 1), date(today.year + 1 - back, 1, 1))


def _month(year: int, month: int) -> Window:
    return _days(date(year, month, 1), date(year + month // _DECEMBER, month % _DECEMBER + 1, 1))


def _days(first: date, end: date) -> Window:
    return Window(*(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, end)))


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar, in a zone that is already beyond it
        return time.replace(tzinfo=UTC)


def comparison(name: str, text: str) -> str:
    """The values of a key of an object that `>100`, `1..9.5` or `<2027-01` means, as a regular expression of Lucene's.

    OpenSearch keeps the values of an object as text: numbers as in JSON, dates as `2027-01-31`, and times in UTC with a
    `Z` at the end. Raises `QueryError` for anything but numbers and such dates.
    """
    if "." not in name:
        raise QueryError(f"a comparison needs a key: {name}.KEY:{text}{_or_quote(name, text)}")
    sign = text[: len(text) - len(text.lstrip("<>="))]
    first, dots, last = text[len(sign) :].partition("..")
    low, high = (first, last) if dots else (first, "") if ">" in sign else ("", first)
    given = [bound for bound in (low, high) if bound]
    if given and sign in _SIGNS and all(map(_DECIMAL.fullmatch, given)):
        return _decimals(*(Decimal(bound) if bound else None for bound in (low, high)), strict=sign in {"<", ">"})
    if given and sign in _SIGNS and all(map(_DATED.fullmatch, given)):
        start, end = (_whole(name, bound) if bound else Window() for bound in (low, high))
        return _dates(start.end if sign == ">" else start.start, end.start if sign == "<" else end.end)
    raise QueryError(
        f"{name} can be compared with a number of at most 15 digits (6 after the point) or a date such as 2027-01-31"
        f"{_or_quote(name, text)}"
    )


_SIGNS = ("", "<", ">", "<=", ">=")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")
_DATED = re.compile(r"[0-9]{4}-[0-9W][0-9TWZ:+-]*")
_FRACTION = "([.][0-9]+)?"
_TIME = "(T[0-9:.]+Z)?"


def _decimals(low: Decimal | None, high: Decimal | None, *, strict: bool) -> str:
    """Numbers from `low` up to `high`; if `strict`, without these two."""
    found = []
    if high is None or high >= 0:
        found.append(_unsigned(low if low is not None and low >= 0 else None, high, strict))
    if low is None or low < 0:
        found.append(f"-({_unsigned(-high if high and high < 0 else None, low and -low, strict)})")
    return "|".join(found)


def _unsigned(low: Decimal | None, high: Decimal | None, strict: bool) -> str:
    bounds = [] if low is None else [_upwards(*_parts(low), strict)]
    bounds += [] if high is None else [_downwards(*_parts(high), strict)]
    return "&".join(f"({bound})" for bound in bounds) or f"[0-9]+{_FRACTION}(e[+-][0-9]+)?"


def _parts(number: Decimal) -> tuple[str, str]:
    """The digits before and after the point."""
    whole, _, fraction = f"{number:f}".partition(".")
    return str(int(whole)), fraction.rstrip("0")


def _upwards(whole: str, fraction: str, strict: bool) -> str:
    longer = f"[1-9][0-9]{{{len(whole)},}}{_FRACTION}|[1-9]{_FRACTION}e[+][0-9]+"
    if whole + fraction == "0":
        longer += f"|[1-9]{_FRACTION}e-[0-9]+"  # below 0.000001, and so below any other bound
    beyond = "[0-9]+" if strict else "[0-9]*"
    for digit in reversed(fraction):
        beyond = f"{digit}({beyond})" + (f"|[{int(digit) + 1}-9][0-9]*" if digit < "9" else "")
    same = f"[.]({beyond})" if fraction or strict else _FRACTION
    return f"{longer}|{_beyond(whole, same, _FRACTION, up=True)}"


def _downwards(whole: str, fraction: str, strict: bool) -> str:
    shorter = f"[0-9]{{1,{len(whole) - 1}}}{_FRACTION}" if len(whole) > 1 else _NONE
    if whole + fraction != "0":
        shorter += f"|[1-9]{_FRACTION}e-[0-9]+"
    beyond = ""
    for digit in reversed(fraction):
        same = f"{digit}({beyond})?" if beyond else _NONE if strict else digit
        beyond = same + (f"|[0-{int(digit) - 1}][0-9]*" if digit > "0" else "")
    same = f"([.]({beyond}))?" if fraction else _NONE if strict else ""
    return f"{shorter}|{_beyond(whole, same, _FRACTION, up=False)}"


_NONE = "#"
"""Matches nothing."""


def _beyond(text: str, same: str, tail: str, *, up: bool) -> str:
    """Texts of this form with a higher (`up`) or lower digit somewhere, and `tail`; or the text itself, and `same`."""
    found = _NONE
    for at, digit in reversed([*enumerate(text)]):
        found = digit + (f"({found})" if "|" in found else found)
        if digit.isdigit() and digit != ("9" if up else "0"):
            others = f"[{int(digit) + 1}-9]" if up else f"[0-{int(digit) - 1}]"
            found += "|" + others + re.sub("[0-9]+", lambda run: f"[0-9]{{{len(run[0])}}}", text[at + 1 :])
    return f"({found}){tail}|{text}({same})"


def _dates(start: datetime | None, end: datetime | None) -> str:
    """Dates and times from `start` up to `end`, which is excluded; both at whole seconds."""
    bounds = [] if start is None else [_since(*start.isoformat()[:19].split("T"))]
    bounds += [] if end is None else [_until(*end.isoformat()[:19].split("T"))]
    return "&".join(f"({bound})" for bound in bounds)


def _since(day: str, time: str) -> str:
    same = _TIME if time == "00:00:00" else f"T({_beyond(time, '', '', up=True)})([.][0-9]+)?Z"
    return _beyond(day, same, _TIME, up=True)


def _until(day: str, time: str) -> str:
    same = _NONE if time == "00:00:00" else f"(T({_beyond(time, _NONE, '', up=False)})([.][0-9]+)?Z)?"
    return _beyond(day, same, _TIME, up=False)


def _whole(name: str, text: str) -> Window:
    """The period of a date, or the second of a moment."""
    window = _one(text, name, datetime.now(UTC))
    return window if window.end or not window.start else Window(window.start, later(window.start, timedelta(seconds=1)))

"""A filter in OpenSearch's query DSL, and the other names of event types.

Every clause is in filter context: nothing is scored, and OpenSearch caches repeated clauses. Times become one range on
`@timestamp`, limited to what nanoseconds can represent.

A search for a new event type also finds entries recorded under its old names, and the reverse.
`config/platform-2.toml` has the names that the platform changed; they apply if the catalog has its types. `aliases` and
`replaced_by` of the application's own catalog come on top. Names are followed over any number of steps, but two names
that were merged into the same successor don't stand for each other. If the catalog can't be read, a name stands for
itself alone, and a warning says so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..catalog.model import load, preset
from ..entry import FIELDS, FREE_FIELDS
from ..errors import CatalogError, InvalidEntry, QueryError
from ..integrity import canonical, plain
from ..process import warn
from ..settings import Settings
from .filter import All, AnyOf, Beginning, Compared, Everything, Filter, Has, Match, Not, Range, Time, Words
from .grammar import ALIASES, ID_FIELDS, MOST_PREFIXES, MOST_WORDS, WORD_FIELDS, kind_of
from .value import ENTRY_ID, IDENTIFIER, Value, Window, comparison, is_address, may_identify, moment, period

__all__ = ["Also", "OtherNames", "query_body", "window_of"]

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""The range of OpenSearch's nanoseconds; it rejects comparisons with anything beyond."""

Clause = dict[str, Any]
Also = Callable[[], "OtherNames"]
"""Returns the names of event types; called once a query needs them, as a catalog takes time to read."""


def query_body(asked: Filter, now: datetime | None = None, also: Also = lambda: OtherNames({})) -> Clause:
    """Returns the value of OpenSearch's `query`. Raises `QueryError` for a query that costs the cluster too much."""
    _check_cost(asked, also)
    return _Body(now or datetime.now(UTC), also).clause(asked)


def window_of(asked: Filter, now: datetime | None = None) -> Window:
    """Returns a time window outside of which nothing matches."""
    now = now or datetime.now(UTC)
    match asked:
        case Time(name) if name not in FIELDS:
            return _window(asked, now)
        case All(parts):
            window = Window()
            for part in parts:
                window &= window_of(part, now)
            return window
        case AnyOf(parts):
            first, *rest = (window_of(part, now) for part in parts)
            for other in rest:
                first = first.hull(other)
            return first
    return Window()


def _check_cost(asked: Filter, also: Also) -> None:
    """Limits every query, whether it was written as text or in Python."""
    left, word_count, prefixes = [asked], 0, 0
    while left:
        asked_for = left.pop()
        match asked_for:
            case Words():
                word_count += asked_for.quoted or not _identifies(asked_for.text, also)
            case Beginning():
                prefixes += len(ID_FIELDS)
            case Compared():
                prefixes += 1
            case Match(field, values):
                searched = len(ALIASES[field].fields) if field in ALIASES else 1
                prefixes += sum(value.kind == "prefix" for value in values) * searched
            case Not(part):
                left.append(part)
            case All(parts) | AnyOf(parts):
                left += parts
    for count, most, what in ((word_count, MOST_WORDS, "words"), (prefixes, MOST_PREFIXES, "prefixes")):
        if count > most:
            raise QueryError(f"the query has {count:,} {what}; at most {most} are allowed: name fields, or split it")


class _Body:
    def __init__(self, now: datetime, also: Also) -> None:
        self._now = now
        self._also = also

    def clause(self, asked: Filter) -> Clause:
        match asked:
            case Everything():
                return {"match_all": {}}
            case Match(field) | Has(field) if field in ALIASES:
                return _any_of(self.clause(replace(asked, field=one)) for one in ALIASES[field].fields)
            case Match(field, values):
                return self._match(field, values)
            case Has(field):
                return {"exists": {"field": field}}
            case Range(field, low, high):
                bounds = {"gte": low, "lte": high}
                return {"range": {field: {name: bound for name, bound in bounds.items() if bound is not None}}}
            case Compared(field, text):
                name, _, key = field.partition(".")  # the key, too, becomes a part of the expression
                place = f"{name}.{_SYNTAX.sub(_ESCAPED, key)}"
                return {"regexp": {place: {"value": f"({comparison(field, text)})", "flags": "INTERSECTION|EMPTY"}}}
            case Words() | Beginning():
                return self._identified(asked)
            case Time(name):
                return _between(_window(asked, self._now), name if name in FIELDS else "@timestamp")
            case Not(part):
                return {"bool": {"must_not": [self.clause(part)]}}
            case All(parts):
                return {"bool": {"filter": [self.clause(part) for part in parts]}}
            case AnyOf(parts):
                return _any_of(self.clause(part) for part in parts)
        raise TypeError(f"{type(asked).__name__} is not a filter")

    def _identified(self, asked: Words | Beginning) -> Clause:
        """An ID of any kind; and, if it need not be one, words in a text."""
        if isinstance(asked, Beginning):
            beginning = [Value(asked.text, "prefix")]
            network = _network_of(asked.text)
            return _any_of([*network, *(self._match(field, beginning) for field in ID_FIELDS)])
        spellings = {asked.text, asked.text.lower() if IDENTIFIER.fullmatch(asked.text) else asked.text}
        clauses = [self._match(field, [Value(text) for text in sorted(spellings)]) for field in ID_FIELDS]
        found = _identifies(asked.text, self._also)
        in_texts = [_holds(field, asked.text) for field in WORD_FIELDS] if asked.quoted or not found else []
        return _any_of([*clauses, *found, *in_texts])

    def _match(self, field: str, values: Iterable[Value]) -> Clause:
        exact: list[str] = []
        clauses: list[Clause] = []
        in_object = kind_of(field) == "flat_object"
        for value in values:
            if value.kind == "prefix":
                clauses.append({"prefix": {field: _in_any_case(value.text) if in_object else value.text}})
            elif field == "client_ip" and _holds_ipv4(value.text):
                without = [{"term": {field: "0.0.0.0/0"}}]
                clauses.append({"bool": {"filter": [{"term": {field: value.text}}], "must_not": without}})
            else:
                exact.append(value.text)
                if in_object and value.kind == "plain" and _NUMBER.fullmatch(value.text):
                    exact.append(_as_stored(value.text))
                elif in_object and value.kind == "plain" and value.text.lower() != value.text.upper():
                    clauses.append({"term": {field: _in_any_case(exact.pop())}})
            if field == "type" and value.kind != "literal":
                exact += self._also()(value.text + "*" * (value.kind == "prefix"))
        if exact := list(dict.fromkeys(exact)):
            clauses.append({"terms": {field: exact}} if len(exact) > 1 else {"term": {field: exact[0]}})
        return clauses[0] if len(clauses) == 1 else _any_of(clauses)


def _in_any_case(text: str) -> dict[str, Any]:
    return {"value": text, "case_insensitive": True}


def _identifies(text: str, also: Also) -> list[Clause]:
    """What finds a value in the form of an identifier, besides `ID_FIELDS`; empty for any other text."""
    if not may_identify(text):
        return []
    whole: list[Clause] = [{"term": {field: _in_any_case(text)}} for field in FREE_FIELDS]
    if ENTRY_ID.fullmatch(text):
        return [*whole, {"ids": {"values": [text]}}]
    if is_address(text):
        return [*whole, {"term": {"client_ip": text}}]
    return whole if IDENTIFIER.fullmatch(text) or text in also().types else []


def _network_of(begin: str) -> list[Clause]:
    """The addresses that begin with some numbers of IPv4, such as `10.0.`."""
    if not _NUMBERS.fullmatch(begin) or any(int(number) > 255 for number in begin.split(".")[:-1]):
        return []
    parts = begin.rstrip(".").split(".")
    return [{"term": {"client_ip": f"{'.'.join([*parts, '0', '0', '0'][:4])}/{8 * len(parts)}"}}]


_NUMBERS = re.compile(r"([0-9]{1,3}\.){1,3}")
_SYNTAX = re.compile(r"[^A-Za-z0-9_]")
_ESCAPED = r"\\\g<0>"

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def _as_stored(text: str) -> str:
    """A number as entries write it: `1.5` for `1.50` and `15e-1`."""
    try:
        return canonical(plain(float(text), "")).decode()
    except InvalidEntry:  # no entry holds it
        return text


def _holds_ipv4(network: str) -> bool:
    """Whether OpenSearch counts all IPv4 addresses to an IPv6 network, such as `::/0`, which means IPv6 only."""
    if ":" not in network or "/" not in network:
        return False
    return ipaddress.IPv6Network(network).supernet_of(_IPV4_IN_IPV6)


_IPV4_IN_IPV6 = ipaddress.IPv6Network("::ffff:0:0/96")


def _any_of(clauses: Iterable[Clause]) -> Clause:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _holds(field: str, text: str) -> Clause:
    pattern = re.sub(r"([\\*?])", r"\\\1", text)
    return {"wildcard": {field: {"value": f"*{pattern}*", "case_insensitive": True}}}


def _window(asked: Time, now: datetime) -> Window:
    if asked.name in ("since", "until"):
        at = moment(asked.text, asked.name, now)
        return Window(at, None) if asked.name == "since" else Window(None, at)
    return period(asked.text, now=now)


def _between(window: Window, field: str) -> Clause:
    bounds = {"gte": window.start, "lt": window.end}
    stamps = {name: _stamp(min(max(at, _EARLIEST), _LATEST)) for name, at in bounds.items() if at is not None}
    return {"range": {field: stamps}}


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class OtherNames:
    """Returns the other names of an event type, or of all types with a prefix (`prefix*`)."""

    def __init__(self, replaced_by: Mapping[str, str], types: Collection[str] = ()) -> None:
        self._replaced_by = replaced_by
        self.types = frozenset((*types, *replaced_by))
        """All names of event types, old ones included."""

    @classmethod
    def of(cls, settings: Settings) -> OtherNames:
        """Reads the names from the catalog of the settings; warns, and has none, if it can't be read."""
        try:
            types = load(settings.catalog).types
        except CatalogError as error:
            warn(f"old and new names of event types are not searched for together: {error}")
            return cls({})
        newer = preset("platform-2").types if types.keys() >= preset("platform").types.keys() else {}
        both = {**newer, **types}.items()
        return cls({name: known.replaced_by for name, known in both if known.replaced_by}, types)

    def __call__(self, asked: str) -> tuple[str, ...]:
        if not asked.endswith("*"):
            return tuple(name for name in self._family(asked) if name != asked)
        begin = asked[:-1]
        names = {*self._replaced_by, *self._replaced_by.values()}
        family = {other for name in names if name.startswith(begin) for other in self._family(name)}
        return tuple(sorted(other for other in family if not other.startswith(begin)))

    def _family(self, name: str) -> set[str]:
        family = {name}
        later: str | None = name
        while later := self._replaced_by.get(later or ""):
            family.add(later)
        earlier = {name}
        while earlier := {old for old, new in self._replaced_by.items() if new in earlier}:
            family |= earlier
        return family

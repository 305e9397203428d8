"""The query: filters by field and time, checked, as OpenSearch's query language wants them.

A filter is a field name and one value or several, of which any may match; an empty list matches nothing. A value that
ends in `*` is a prefix; any other character means itself. `client_ip` also takes networks (`10.0.0.0/8`). `since` is
included, `until` is not; both take an aware datetime, ISO 8601 (UTC where no zone is given), or a span back from now
such as `-24h`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .entry import FIELDS
from .errors import QueryError
from .spelling import near

__all__ = ["FILTERS", "Query", "moment"]

FILTERS = tuple(name for name, field in FIELDS.items() if field.kind in {"keyword", "ip", "long"} and name != "prev")
"""Fields that can be filtered by."""

_SPAN = re.compile(r"-(\d{1,6})([wdhms])")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""What OpenSearch can hold in nanoseconds; it refuses to compare with anything beyond."""
_LONG = 2**63
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query: `body` is the value of OpenSearch's `query`."""

    body: dict[str, Any]

    @classmethod
    def of(cls, filters: Mapping[str, object], since: object = None, until: object = None) -> Query:
        """Raises `QueryError` for an unknown field, or a value that the field can't have."""
        clauses = [_clause(name, value) for name, value in filters.items() if value is not None]
        times = {"gte": moment(since, "since"), "lt": moment(until, "until")}
        window = {
            bound: _stamp(min(max(time, _EARLIEST), _LATEST)) for bound, time in times.items() if time is not None
        }
        if window:
            clauses.append({"range": {"@timestamp": window}})
        return cls({"bool": {"filter": clauses}} if clauses else {"match_all": {}})


def _clause(name: str, value: object) -> dict[str, Any]:
    if name not in FILTERS:
        meant = near(name, FILTERS, 3)
        hint = f"did you mean {', '.join(meant)}?" if meant else f"fields are {', '.join(FILTERS)}"
        raise QueryError(f"{name} can't be searched by; {hint}")
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    clauses = [_one(name, item) for item in values]
    exact = [clause["term"][name] for clause in clauses if "term" in clause]
    others = [clause for clause in clauses if "term" not in clause]
    if not others:
        return {"terms": {name: exact}}
    return {"bool": {"should": [*others, *([{"terms": {name: exact}}] if exact else [])], "minimum_should_match": 1}}


def _one(name: str, value: object) -> dict[str, Any]:
    kind = FIELDS[name].kind
    if kind == "long":
        return {"term": {name: _whole_number(name, value)}}
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a string, not {type(value).__name__}")
    if kind == "ip":
        return {"term": {name: _network(name, value)}}
    if not _is_unicode(value):
        raise QueryError(f"{name} contains a lone surrogate, which no entry holds")
    if value.endswith("*"):
        return {"prefix": {name: value[:-1]}}
    return {"term": {name: value}}


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_number(name: str, value: object) -> int:
    if type(value) is int or (isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value)):
        number = int(value)
        if 0 <= number < _LONG:
            return number
    raise QueryError(f"{name} must be a whole number such as 1")


def _network(name: str, value: str) -> str:
    try:
        return str(ipaddress.ip_network(value)) if "/" in value else str(ipaddress.ip_address(value))
    except ValueError as error:
        raise QueryError(f"{name} must be an address or a network such as 10.0.0.0/8: {error}") from None


def moment(value: object, name: str, now: datetime | None = None) -> datetime | None:
    """The moment that `since` or `until` names, in UTC. Raises `QueryError`."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise QueryError(f"{name} is a datetime without a zone; add one, such as datetime.now(UTC)")
        return _in_utc(value)
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a datetime or a string, not {type(value).__name__}")
    span = _SPAN.fullmatch(value)
    try:
        if span:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise QueryError(f"{name} {value!r} is no time; write 2026-11-23, 2026-11-23T08:00:00Z, or -24h") from None
    return _in_utc(found.replace(tzinfo=found.tzinfo or UTC))


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar, in a zone that is already beyond it
        return time.replace(tzinfo=UTC)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

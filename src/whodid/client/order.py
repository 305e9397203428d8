"""The order of entries, and the cursor: where a page of a search ended, as text that can be stored and put into a URL.

A cursor holds the sort values of the last entry shown and a fingerprint of the question, so nothing is kept open in the
cluster between two pages, an entry that arrives meanwhile moves no other to the next page, and the cursor of another
question is refused instead of answered wrongly. It gives no right to anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ..entry import FIELDS
from ..errors import QueryError
from ..query.grammar import FILTERS
from ..text import did_you_mean

__all__ = ["NEWEST", "OLDEST", "Sort", "cursor_of", "is_long", "nanoseconds_of", "sort_of", "sort_values"]

Sort = list[dict[str, Any]]
"""As OpenSearch's `sort`."""

NEWEST, OLDEST = "newest", "oldest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100_000
"""Characters of a cursor: two values of a field, of 32,766 bytes each at most in OpenSearch, in Base64."""

_TIE_BREAKERS = ("@timestamp", "journal", "seq")
"""No two entries agree in all of them, unless a journal was forked."""


def sort_of(order: str) -> Sort:
    """`newest`, `oldest`, or a field (`-field` from the last value to the first), newest first where it is the same.

    Raises `QueryError`.
    """
    if order in (NEWEST, OLDEST):
        direction = "desc" if order == NEWEST else "asc"
        return [{name: direction} for name in _TIE_BREAKERS]
    name = order.removeprefix("-")
    if name not in FILTERS:
        known = (NEWEST, OLDEST, *FILTERS)
        meant = did_you_mean(name, known)
        raise QueryError(f"entries can't be sorted by {name}{meant}; write newest, oldest or a field")
    direction = "desc" if order.startswith("-") else "asc"
    # A partition that an older whodid made may not have the field yet.
    how = {"order": direction, "missing": "_last", "unmapped_type": FIELDS[name].kind}
    return [{name: how}, *sort_of(NEWEST)]


def nanoseconds_of(timestamp: str) -> int | None:
    """The sort value of an entry's `@timestamp`; `None` for one that whodid does not write."""
    try:
        return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, TypeError):
        return None


def cursor_of(sort: list[Any], question: str) -> str:
    """The cursor behind a hit of a question, from the hit's `sort`."""
    content = json.dumps([_fingerprint(question), *sort], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def sort_values(cursor: str, question: str, order: str) -> list[Any]:
    """What `search_after` takes. Raises `QueryError` for text that no search gave, or another one."""
    if len(cursor) > _LONGEST:
        raise QueryError("this is no cursor of a search; start at the first page")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    match values:
        case [str(fingerprint), *sort] if _fits(sort, order):
            if fingerprint != _fingerprint(question):
                raise QueryError("this cursor is of another search; start at the first page of this one")
            return sort
    raise QueryError("this is no cursor of a search; start at the first page")


def _fits(sort: list[Any], order: str) -> bool:
    match sort[-3:]:
        case [time, str() | None, seq] if is_long(time) and is_long(seq):
            first = sort[:-3]
        case _:
            return False
    if order in (NEWEST, OLDEST):
        return not first
    if len(first) != 1 or first[0] is None:
        return len(first) == 1
    return is_long(first[0]) if FIELDS[order.removeprefix("-")].kind == "long" else isinstance(first[0], str)


def is_long(value: object) -> bool:
    """Whether it is a number that a field of the kind `long` can hold."""
    return type(value) is int and -(2**63) <= value < 2**63


def _fingerprint(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:12]

"""The cursor: where a page of a search ended, as text that can be put into a URL and taken up at any time.

It holds the sort values of the last entry shown (time in nanoseconds, journal, seq), so nothing is kept open in the
cluster between two pages, and an entry that arrives meanwhile moves no other to the next page.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from .errors import QueryError

__all__ = ["cursor_of", "sort_values"]


def cursor_of(sort: list[Any]) -> str:
    """The cursor behind a hit, from the hit's `sort`."""
    return base64.urlsafe_b64encode(json.dumps(sort, separators=(",", ":")).encode()).decode().rstrip("=")


def sort_values(cursor: str) -> list[Any]:
    """What `search_after` takes. Raises `QueryError` for text that no search gave."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    match values:
        case [int(time), str() | None, int(seq)] if max(abs(time), abs(seq)) <= 2**63:
            return list(values)
    raise QueryError("this is no cursor of a search; start at the first page")

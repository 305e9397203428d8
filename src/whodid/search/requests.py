"""Search requests: points in time that are always closed, sort orders, cursors, and reading ahead.

A cursor is the text that says where a page of a search ended. It holds the sort values of the last entry and a
fingerprint of the query. The cluster keeps nothing open between two pages, an entry that arrives meanwhile moves no
other to the next page, and a cursor of another query is rejected. A cursor grants no rights.

Reading ahead fetches the next block while the caller works on the one before, as fetching is mostly waiting.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ..cluster.connection import translated
from ..entry import FIELDS
from ..errors import OpenSearchError, OpenSearchUnavailable, QueryError
from ..text import did_you_mean
from .grammar import FILTERS

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "CONTENTLESS",
    "NEWEST",
    "OLDEST",
    "PAGE",
    "SWITCH_INTERVAL",
    "Searcher",
    "Sort",
    "cursor_of",
    "is_long",
    "nanoseconds_of",
    "read_ahead",
    "sort_of",
    "sort_values",
]

Sort = list[dict[str, Any]]
"""The value of OpenSearch's `sort`."""

NEWEST, OLDEST = "newest", "oldest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100_000
"""Maximum length of a cursor: two values of at most 32,766 bytes each, in Base64."""

_TIE_BREAKERS = ("@timestamp", "journal", "seq")
"""No two entries have the same values of these fields, unless a journal was forked."""


def sort_of(order: str) -> Sort:
    """`newest`, `oldest`, or a field (`-field` in descending order); equal values are sorted newest first.

    Raises `QueryError`.
    """
    if order in (NEWEST, OLDEST):
        direction = "desc" if order == NEWEST else "asc"
        return [{name: direction} for name in _TIE_BREAKERS]
    name = order.removeprefix("-")
    if name not in FILTERS:
        known = (NEWEST, OLDEST, *FILTERS)
        meant = did_you_mean(name, known)
        raise QueryError(f"can't sort by {name!r}{meant}; use newest, oldest or a field")
    direction = "desc" if order.startswith("-") else "asc"
    # A partition created by an older whodid may not have the field yet.
    how = {"order": direction, "missing": "_last", "unmapped_type": FIELDS[name].kind}
    return [{name: how}, *sort_of(NEWEST)]


def nanoseconds_of(timestamp: str) -> int | None:
    """The sort value of an entry's `@timestamp`; `None` if it is not a time."""
    try:
        return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, TypeError):
        return None


def cursor_of(sort: list[Any], question: str) -> str:
    """The cursor after a hit, from its `sort`."""
    content = json.dumps([_fingerprint(question), *sort], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def sort_values(cursor: str, question: str, order: str) -> list[Any]:
    """The value of `search_after`. Raises `QueryError` for an invalid cursor, or one of another search."""
    if len(cursor) > _LONGEST:
        raise QueryError("invalid cursor; start at the first page")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    match values:
        case [str(fingerprint), *sort] if _fits(sort, order):
            if fingerprint != _fingerprint(question):
                raise QueryError("this cursor belongs to another search; start at the first page")
            return sort
    raise QueryError("invalid cursor; start at the first page")


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
    """Whether the value is an integer of 64 bits."""
    return type(value) is int and -(2**63) <= value < 2**63


def _fingerprint(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:12]


CONTENTLESS = "stored without its content (_source); run `whodid doctor`"
"""Shown instead of an entry if `_source` is disabled in its partition."""

PAGE = 1000
"""Hits of one request, and the maximum of one page."""

_VALUES = 10_000
"""Field values counted by one request."""

_KEEP_ALIVE = "10m"
"""How long the caller may stop between two pages (`whodid search --json | less`)."""

_MISSING_ALLOWED = {"allow_no_indices": "true", "ignore_unavailable": "true"}
"""Named partitions may be missing: nothing was shipped yet, or retention deleted them."""


_OF_THE_TIMEOUT = 0.9
"""The part of `opensearch_timeout` after which OpenSearch cancels a search, so that it does not continue after
the client has given up."""

_STOPPED = ("cancelled task", "request has been terminated")
"""OpenSearch's messages about a cancelled search (recorded)."""

_TOO_MUCH = {
    "maxclausecount": "the query has more parts than OpenSearch allows; split it",
    "determiniz": "a word is too long for OpenSearch; search for a part of it",
}
"""Part of OpenSearch's message about a query that is too large, in any release → what to do."""


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OpenSearchError as error:
        for said, what in _TOO_MUCH.items():
            if said in str(error).lower():
                raise QueryError(what) from error
        if any(said in str(error) for said in _STOPPED):
            raise OpenSearchUnavailable(
                "the search took too long and was cancelled; search a shorter time, narrow the query, or raise "
                "opensearch_timeout"
            ) from error
        raise


class Searcher:
    """Runs searches over an index expression. An answer without some shard is an error, never a shorter answer."""

    def __init__(self, client: OpenSearch, timeout: float) -> None:
        """`timeout` is that of the client, in seconds."""
        self._client = client
        self._limits = {
            "allow_partial_search_results": "false",
            "cancel_after_time_interval": f"{max(round(timeout * _OF_THE_TIMEOUT * 1000), 1)}ms",
        }

    def search(self, body: Mapping[str, Any], indices: str | None) -> Any:
        """Returns the complete answer of a search; without `indices`, over the point in time that `body` names."""
        params = self._limits | (_MISSING_ALLOWED if indices else {})
        with _explained(), translated("the search"):
            answer = self._client.search(index=indices, body=dict(body), params=params)
            if answer.get("timed_out") or answer["_shards"].get("failed"):
                raise OpenSearchUnavailable(
                    "some shards did not answer in time, so the result would be incomplete; try again"
                )
            for hit in answer["hits"]["hits"]:
                if body.get("_source", True) is not False:
                    hit.setdefault("_source", {"unreadable": CONTENTLESS})
        return answer

    def hits(
        self,
        query: Mapping[str, Any],
        indices: str,
        sort: Sort,
        *,
        limit: int | None = None,
        after: list[Any] | None = None,
        source: bool = True,
    ) -> Generator[dict[str, Any], None, None]:
        """Yields search hits in order, after the sort values `after`; many are read over one point in time."""
        body: dict[str, Any] = {"query": query, "sort": sort, "track_total_hits": False}
        if not source:
            body["_source"] = False
        if limit is not None and limit <= PAGE:
            more = {} if after is None else {"search_after": after}
            yield from self.search({**body, "size": limit, **more}, indices)["hits"]["hits"]
            return
        with self._point_in_time(indices) as pit:
            if pit is None:
                return
            body["pit"] = pit
            remaining = limit
            while remaining is None or remaining > 0:
                size = PAGE if remaining is None else min(PAGE, remaining)
                more = {} if after is None else {"search_after": after}
                page = self.search({**body, "size": size, **more}, None)["hits"]["hits"]
                yield from page
                if len(page) < size:
                    return
                after = page[-1]["sort"]
                remaining = None if remaining is None else remaining - len(page)

    def values(self, query: Mapping[str, Any], indices: str, field: str) -> Iterator[tuple[str, int]]:
        """Yields every value of a field, in order, with the number of its hits, over one point in time."""
        with self._point_in_time(indices) as pit:
            if pit is None:
                return
            pages: dict[str, Any] = {"size": _VALUES, "sources": [{"value": {"terms": {"field": field}}}]}
            body = {"size": 0, "query": query, "track_total_hits": False, "pit": pit}
            while True:
                found = self.search({**body, "aggs": {"values": {"composite": pages}}}, None)["aggregations"]["values"]
                yield from ((bucket["key"]["value"], bucket["doc_count"]) for bucket in found["buckets"])
                if "after_key" not in found:
                    return
                pages["after"] = found["after_key"]

    @contextmanager
    def _point_in_time(self, indices: str) -> Iterator[dict[str, str] | None]:
        """The value of `pit` in a search, closed at the end; `None` if no partition exists yet."""
        if not self.search({"size": 0, "track_total_hits": False}, indices)["_shards"]["total"]:
            yield None
            return
        params = {"keep_alive": _KEEP_ALIVE, "allow_partial_pit_creation": "false", **_MISSING_ALLOWED}
        with translated("the search"):
            pit = str(self._client.create_pit(index=indices, params=params)["pit_id"])
        try:
            yield {"id": pit, "keep_alive": _KEEP_ALIVE}
        finally:
            with suppress(OpenSearchError), translated("closing a point in time"):
                self._client.delete_pit(body={"pit_id": [pit]})


T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Python's thread switch interval, in seconds, for commands that only read: with the default, the fetching thread waits
up to 5 ms for each response."""


def read_ahead(hits: Iterator[T], size: int) -> Generator[list[T], None, None]:
    """Yields the hits in lists of `size`, fetched in a thread, one list ahead. Closing it closes `hits`."""
    blocks = _blocks(hits, size)
    with ThreadPoolExecutor(1, "whodid-read-ahead") as thread:
        try:
            coming = thread.submit(next, blocks, None)
            while (block := coming.result()) is not None:
                coming = thread.submit(next, blocks, None)
                yield block
        finally:
            thread.submit(blocks.close)


def _blocks(hits: Iterator[T], size: int) -> Generator[list[T], None, None]:
    while block := list(islice(hits, size)):
        yield block

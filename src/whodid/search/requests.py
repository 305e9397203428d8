"""The searcher: requests to the cluster, whole answers, and points in time that are closed however a search ends.

The order of entries, and the cursor: where a page of a search ended, as text that can be stored and put into a URL.

A cursor holds the sort values of the last entry shown and a fingerprint of the question, so nothing is kept open in the
cluster between two pages, an entry that arrives meanwhile moves no other to the next page, and the cursor of another
question is refused instead of answered wrongly. It gives no right to anything.

Reading ahead: the next block is fetched while the one before it is written, as that is mostly waiting.
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


CONTENTLESS = "stored without its content (_source); `whodid doctor` says where"
"""Instead of the entry, where somebody turned `_source` off in its partition."""

PAGE = 1000
"""Hits of one request, and the most of one page."""

_VALUES = 10_000
"""Values of a field that one request counts."""

_KEEP_ALIVE = "10m"
"""How long whoever iterates may stop between two pages (`whodid search --json | less`)."""

_MISSING_ALLOWED = {"allow_no_indices": "true", "ignore_unavailable": "true"}
"""Partitions that are named, but not there: nothing was shipped, or retention has deleted them."""


_OF_THE_TIMEOUT = 0.9
"""The part of `opensearch_timeout` after which OpenSearch stops a search. Who waits then gets its answer; without this
limit the cluster works on for somebody who is gone."""

_STOPPED = ("cancelled task", "request has been terminated")
"""What OpenSearch says of a search that it has stopped (recorded)."""

_TOO_MUCH = {
    "maxclausecount": "the query has more parts than this OpenSearch takes at once; ask for less at a time",
    "determiniz": "a text to look for is too long for this OpenSearch; look for a part of it",
}
"""What OpenSearch says of a query that is too large for it, in one release or another → what to do."""


@contextmanager
def _too_much_named() -> Iterator[None]:
    try:
        yield
    except OpenSearchError as error:
        for said, what in _TOO_MUCH.items():
            if said in str(error).lower():
                raise QueryError(what) from error
        if any(said in str(error) for said in _STOPPED):
            raise OpenSearchUnavailable(
                "the search took too long and was stopped; ask for a shorter time or for less, or raise "
                "opensearch_timeout"
            ) from error
        raise


class Searcher:
    """Searches over an index expression. An answer that some shard is missing from is an error, never a shorter one."""

    def __init__(self, client: OpenSearch, timeout: float) -> None:
        """`timeout` is the client's, in seconds."""
        self._client = client
        self._limits = {
            "allow_partial_search_results": "false",
            "cancel_after_time_interval": f"{max(round(timeout * _OF_THE_TIMEOUT * 1000), 1)}ms",
        }

    def search(self, body: Mapping[str, Any], indices: str | None) -> Any:
        """The answer of a search, all of it; without `indices`, over the point in time that `body` names."""
        params = self._limits | (_MISSING_ALLOWED if indices else {})
        with _too_much_named(), translated("the search"):
            answer = self._client.search(index=indices, body=dict(body), params=params)
        if answer.get("timed_out") or answer["_shards"].get("failed"):
            raise OpenSearchUnavailable(
                "the search found only part of the entries, as some shards did not answer in time; try again"
            )
        if body.get("_source", True) is not False:
            for hit in answer["hits"]["hits"]:
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
        """Search hits in order, from behind the sort values `after`; over one point in time if they are many."""
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
        """Every value of a field, in order, with how many hits have it, over one point in time."""
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
        """As a search names it, closed at the end; `None` when there is no partition yet."""
        pit = self._open_point_in_time(indices)
        try:
            yield {"id": pit, "keep_alive": _KEEP_ALIVE} if pit else None
        finally:
            if pit:
                with suppress(OpenSearchError), translated("closing a point in time"):
                    self._client.delete_pit(body={"pit_id": [pit]})

    def _open_point_in_time(self, indices: str) -> str | None:
        """`None` when there is no partition yet."""
        if not self.search({"size": 0, "track_total_hits": False}, indices)["_shards"]["total"]:
            return None
        params = {"keep_alive": _KEEP_ALIVE, "allow_partial_pit_creation": "false", **_MISSING_ALLOWED}
        with translated("the search"):
            answer = self._client.create_pit(index=indices, params=params)
        return str(answer["pit_id"])


T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python should change threads where nothing else runs in the process: by default, who fetches
waits up to 5 ms whenever something comes."""


def read_ahead(hits: Iterator[T], size: int) -> Generator[list[T], None, None]:
    """The hits in lists of `size`, fetched in a thread, one list ahead; ended, and what they hold closed, with this."""
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

"""The query client: finds entries in OpenSearch.

Searches page by a point in time and `search_after`, so they see one consistent state however long they take, skip and
double nothing, and need the memory of one page. An answer that some shard is missing from is an error, never a shorter
answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .cursor import cursor_of, sort_values
from .entry import FIELDS
from .errors import OpenSearchError, OpenSearchUnavailable, QueryError
from .opensearch.connection import connect, translated
from .opensearch.retention import RetentionView, retention_in_force
from .opensearch.template import index_pattern
from .query import Query
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["AuditClient", "Entry", "Page"]

Entry = dict[str, Any]
"""An entry as it was journalled."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, newest first; `next` is the cursor of the page of older ones, `None` at the end."""

    entries: list[Entry]
    next: str | None


_PAGE = 1000
_KEEP_ALIVE = "10m"
"""How long whoever iterates may stop between two pages (`whodid search --json | less`)."""
_NEWEST_FIRST = [{"@timestamp": "desc"}, {"journal": "desc"}, {"seq": "desc"}]


class AuditClient:
    """Searches, counts and gets entries. Settings as for `whodid.configure`; `client` replaces the connection.

    Every method raises `QueryError` for a question that can't be asked and `OpenSearchError` for a cluster that can't
    answer. Where nothing was shipped yet, nothing is found. Filters are the fields of `whodid.query.FILTERS`, each with
    one value or a list of which any may match; `prefix*` matches a prefix, `client_ip` takes networks. `since` is
    included, `until` is not: aware datetimes, ISO 8601, or spans such as `-24h`.
    """

    def __init__(self, settings: Settings | None = None, *, client: OpenSearch | None = None, **keywords: Any) -> None:
        self.settings = settings or load_settings(**keywords)
        self._client = client or connect(self.settings)
        self._pattern = index_pattern(self.settings)

    def __enter__(self) -> AuditClient:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def search(
        self, *, since: object = None, until: object = None, limit: int | None = None, **filters: object
    ) -> Iterator[Entry]:
        """Entries that match, newest first, as they are needed; `limit` at most."""
        query = Query.of(filters, since, until)
        if limit is not None and limit < 1:
            raise QueryError("limit must be at least 1")
        return (hit["_source"] for hit in self.hits(query, _NEWEST_FIRST, limit))

    def orphans(
        self, *, since: object = None, until: object = None, limit: int | None = None, **filters: object
    ) -> Iterator[Entry]:
        """Intents without an outcome, newest first: actions that were cut off, or are still under way.

        The outcome is looked for in all partitions. `until="-1h"` leaves out what began within the last hour.
        """
        query = Query.of({**filters, "phase": "intent"}, since, until)
        intents = (hit["_source"] for hit in self.hits(query, _NEWEST_FIRST))
        found = (entry for entries in _batched(intents, _PAGE) for entry in self._without_outcome(entries))
        return islice(found, limit)

    def _without_outcome(self, intents: Sequence[Entry]) -> list[Entry]:
        operations = [entry["operation"] for entry in intents]
        ended = self.counts_by("operation", phase="outcome", operation=operations, limit=len(operations))
        return [entry for entry in intents if entry["operation"] not in ended]

    def page(
        self, *, after: str | None = None, size: int = 50, since: object = None, until: object = None, **filters: object
    ) -> Page:
        """At most `size` entries that match, newest first, older than those of the page whose `next` is `after`.

        Each page is a search of its own: entries that arrive between two pages are met where their time puts them.
        """
        if not 1 <= size <= _PAGE:
            raise QueryError(f"size must be 1 to {_PAGE}")
        body = {"size": size + 1, "query": Query.of(filters, since, until).body, "sort": _NEWEST_FIRST}
        if after is not None:
            body["search_after"] = sort_values(after)
        hits = self._ask({**body, "track_total_hits": False}, index=self._pattern)["hits"]["hits"]
        more = len(hits) > size
        return Page([hit["_source"] for hit in hits[:size]], cursor_of(hits[size - 1]["sort"]) if more else None)

    def count(self, *, since: object = None, until: object = None, **filters: object) -> int:
        """How many entries match."""
        query = Query.of(filters, since, until)
        answer = self._ask({"size": 0, "query": query.body, "track_total_hits": True}, index=self._pattern)
        return int(answer["hits"]["total"]["value"])

    def counts_by(
        self, field: str, *, since: object = None, until: object = None, limit: int = 1000, **filters: object
    ) -> dict[str, int]:
        """How many entries match for each value of a field, most first, `limit` values at most."""
        if field not in FIELDS or FIELDS[field].kind not in {"keyword", "ip"}:
            raise QueryError(f"{field} can't be counted by; take a field such as type, target or principal")
        aggregations = {"by": {"terms": {"field": field, "size": limit}}}
        buckets = self.aggregate(Query.of(filters, since, until), aggregations)["by"]["buckets"]
        return {bucket["key"]: bucket["doc_count"] for bucket in buckets}

    def get(self, entry_id: str) -> Entry | None:
        """The entry of that ID (a receipt's `entry_id`), or `None`."""
        hit = self.hit(entry_id)
        return hit["_source"] if hit else None

    def hit(self, entry_id: str) -> dict[str, Any] | None:
        """The search hit of that entry: with `_index`, its partition."""
        answer = self._ask({"size": 1, "query": {"ids": {"values": [entry_id]}}}, index=self._pattern)
        return next(iter(answer["hits"]["hits"]), None)

    def retention(self) -> RetentionView:
        """The retention in force, as far as this user may see it."""
        return retention_in_force(self._client, self.settings)

    def aggregate(self, query: Query, aggregations: dict[str, Any]) -> Any:
        """The answer's aggregations; without any index, those of no entries."""
        body = {"size": 0, "query": query.body, "aggs": aggregations}
        answer = self._ask(body, index=self._pattern)
        return answer.get("aggregations") or {name: {"buckets": []} for name in aggregations}

    def hits(self, query: Query, sort: list[dict[str, str]], limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Search hits (`_id`, `_index`, `_source`) in order, over one point in time, closed at the end."""
        pit = self._open_point_in_time()
        if pit is None:
            return
        after: list[Any] | None = None
        remaining = limit
        try:
            while remaining is None or remaining > 0:
                size = _PAGE if remaining is None else min(_PAGE, remaining)
                page = self._page(pit, query, sort, size, after)
                yield from page
                if len(page) < size:
                    return
                after = page[-1]["sort"]
                remaining = None if remaining is None else remaining - len(page)
        finally:
            with suppress(OpenSearchError), translated("closing a point in time"):
                self._client.delete_pit(body={"pit_id": [pit]})

    def _open_point_in_time(self) -> str | None:
        """`None` when there is no partition yet."""
        if not self._ask({"size": 0, "track_total_hits": False}, index=self._pattern)["_shards"]["total"]:
            return None
        with translated("the search"):
            answer = self._client.create_pit(
                index=self._pattern, params={"keep_alive": _KEEP_ALIVE, "allow_partial_pit_creation": "false"}
            )
        return str(answer["pit_id"])

    def _page(
        self, pit: str, query: Query, sort: list[dict[str, str]], size: int, after: list[Any] | None
    ) -> list[dict[str, Any]]:
        body: dict[str, Any] = {
            "size": size,
            "query": query.body,
            "sort": sort,
            "pit": {"id": pit, "keep_alive": _KEEP_ALIVE},
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        hits: list[dict[str, Any]] = self._ask(body)["hits"]["hits"]
        return hits

    def _ask(self, body: dict[str, Any], *, index: str | None = None) -> Any:
        """The answer of a search, all of it; without an index, over the point in time that `body` names."""
        params = {"allow_partial_search_results": "false"} | ({"allow_no_indices": "true"} if index else {})
        with translated("the search"):
            answer = self._client.search(index=index, body=body, params=params)
        if answer.get("timed_out") or answer["_shards"].get("failed"):
            raise OpenSearchUnavailable(
                "the search found only part of the entries, as some shards did not answer in time; try again"
            )
        return answer


def _batched(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """The entries in lists of `size` (`itertools.batched` comes with Python 3.12)."""
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch

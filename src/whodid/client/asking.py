"""The asking: requests to the cluster, whole answers, and points in time that are closed however a search ends."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..cluster.connection import translated
from ..errors import OpenSearchError, OpenSearchUnavailable, QueryError
from .order import Sort

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["CONTENTLESS", "PAGE", "Asking"]

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


class Asking:
    """Searches over an index expression. An answer that some shard is missing from is an error, never a shorter one."""

    def __init__(self, client: OpenSearch, timeout: float) -> None:
        """`timeout` is the client's, in seconds."""
        self._client = client
        self._limits = {
            "allow_partial_search_results": "false",
            "cancel_after_time_interval": f"{max(round(timeout * _OF_THE_TIMEOUT * 1000), 1)}ms",
        }

    def ask(self, body: Mapping[str, Any], indices: str | None) -> Any:
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
            yield from self.ask({**body, "size": limit, **more}, indices)["hits"]["hits"]
            return
        with self._point_in_time(indices) as pit:
            if pit is None:
                return
            body["pit"] = pit
            remaining = limit
            while remaining is None or remaining > 0:
                size = PAGE if remaining is None else min(PAGE, remaining)
                more = {} if after is None else {"search_after": after}
                page = self.ask({**body, "size": size, **more}, None)["hits"]["hits"]
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
                found = self.ask({**body, "aggs": {"values": {"composite": pages}}}, None)["aggregations"]["values"]
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
        if not self.ask({"size": 0, "track_total_hits": False}, indices)["_shards"]["total"]:
            return None
        params = {"keep_alive": _KEEP_ALIVE, "allow_partial_pit_creation": "false", **_MISSING_ALLOWED}
        with translated("the search"):
            answer = self._client.create_pit(index=indices, params=params)
        return str(answer["pit_id"])

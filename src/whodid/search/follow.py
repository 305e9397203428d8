"""Following: the last entries stored in OpenSearch, and then new ones as they are stored.

An entry is new if it comes after the last shown `seq` of its journal, not if it has a later time. An entry that was
shipped late is shown, and none is shown twice. Entries of one journal become visible in any order, as each shard
refreshes by itself, so a gap delays what follows it for at most `_PATIENCE` looks. Whatever was visible that many looks
ago is shown despite gaps before it, so that many gaps delay no longer than one: a reader of one organization sees every
journal full of gaps. Skipped gaps are remembered, and what fills one later, such as a retried dead letter, is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any, Protocol

from ..entry import Entry
from ..errors import OpenSearchUnavailable
from .body import Also, query_body
from .filter import EVERYTHING, Filter
from .requests import PAGE, Searcher

__all__ = ["follow"]

_PATIENCE = 10
_GAPS = 200
"""How many skipped gaps are remembered of each journal, the newest ones."""

_CLAUSES = 800
"""Clauses of one search; OpenSearch allows 1,024, and the query needs some, too."""

_JOURNALS = {"journals": {"terms": {"field": "journal", "size": 10_000}, "aggs": {"last": {"max": {"field": "seq"}}}}}
_ORDER = [{"journal": "asc"}, {"seq": "asc"}]
_WANTED = "wanted"


class Newest(Protocol):
    """The newest entries that match, newest first."""

    def __call__(self, where: Filter, /, *, limit: int) -> Iterator[Entry]: ...


def follow(
    searcher: Searcher,
    indices: str,
    asked: Filter,
    newest: Newest,
    last: int,
    pause: Callable[[], None] | None,
    also: Also,
    on_away: Callable[[OpenSearchUnavailable], None] | None,
) -> Iterator[list[Entry]]:
    """Yields the `last` entries, oldest first; then, if there is a `pause`, the new ones after each pause.

    `also` returns other names of an event type. `on_away` is called with the error if OpenSearch is unavailable; the
    request is repeated after the next pause.
    """
    following = _Following(searcher, indices, asked, also)
    yield following.begin(list(newest(asked, limit=last))[::-1] if last else [])
    while pause is not None:
        pause()
        try:
            found = following.look()
        except OpenSearchUnavailable as error:
            if on_away is None:
                raise
            on_away(error)
            continue
        yield found


class _Following:
    """The state of following: the last seen `seq` of each journal, and in `_looks` the last stored at recent looks."""

    def __init__(self, searcher: Searcher, indices: str, asked: Filter, also: Also) -> None:
        self._searcher = searcher
        self._indices = indices
        self._asked = asked
        self._also = also
        self._seen, self._counts = self._journals()
        self._looks: deque[dict[str, int]] = deque(maxlen=_PATIENCE)
        self._gaps: dict[str, deque[tuple[int, int]]] = {}

    def begin(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:  # some may have arrived after `_journals` was read
            journal, seq = entry.get("journal"), entry.get("seq")
            if isinstance(journal, str) and type(seq) is int:
                self._seen[journal] = max(seq, self._seen.get(journal, 0))
        return entries

    def look(self) -> list[Entry]:
        """Returns the new entries; after an error, the next look returns them."""
        before = dict(self._seen), dict(self._counts), self._looks.copy(), {k: v.copy() for k, v in self._gaps.items()}
        try:
            return list(self._news())
        except OpenSearchUnavailable:
            self._seen, self._counts, self._looks, self._gaps = before
            raise

    def _news(self) -> Iterator[Entry]:
        settled = self._looks[0] if len(self._looks) == _PATIENCE else {}
        last_seqs, counts = self._journals()
        self._looks.append(last_seqs)
        before, self._counts = self._counts, counts
        more = [name for name in self._gaps if counts.get(name, 0) > before.get(name, 0)]
        longer = [name for name, last in last_seqs.items() if last > self._seen.get(name, 0)]
        if not longer and not more:
            return
        for positions in self._positions(dict.fromkeys([*longer, *more])):
            hits = self._hits(_any_of(positions))
            wanted = (
                hit
                for name, found in groupby(hits, key=lambda hit: str(hit["sort"][0]))
                for hit in self._in_order(name, found, settled.get(name, 0))
            )
            yield from self._entries(wanted)

    def _positions(self, names: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
        """Clauses for the new entries of these journals, in lists that OpenSearch accepts at once."""
        clauses = 0
        positions: list[dict[str, Any]] = []
        for name in names:
            needed = 2 + len(self._gaps.get(name, ()))
            if clauses + needed > _CLAUSES:
                yield positions
                clauses, positions = 0, []
            clauses += needed
            positions.append(self._after(name))
        yield positions

    def _hits(self, positions: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All new entries in order, as their numbers matter; matching ones are marked."""
        if self._asked == EVERYTHING:
            return self._searcher.hits(positions, self._indices, _ORDER)
        marked = {"bool": {"filter": [query_body(self._asked, also=self._also)], "_name": _WANTED}}
        query = {"bool": {"filter": [positions], "should": [marked], "minimum_should_match": 0}}
        return self._searcher.hits(query, self._indices, _ORDER, source=False)

    def _entries(self, hits: Iterable[dict[str, Any]]) -> Iterator[Entry]:
        if self._asked == EVERYTHING:
            yield from (hit["_source"] for hit in hits)
            return
        ids = (hit["_id"] for hit in hits if _WANTED in hit.get("matched_queries", ()))
        while batch := list(islice(ids, PAGE)):
            body = {"size": len(batch), "query": {"ids": {"values": batch}}, "sort": _ORDER}
            yield from (hit["_source"] for hit in self._searcher.search(body, self._indices)["hits"]["hits"])

    def _in_order(self, journal: str, found: Iterator[dict[str, Any]], settled: int) -> Iterator[dict[str, Any]]:
        for hit in found:
            seq = hit["sort"][1]
            seen = self._seen.get(journal, 0)
            if seq <= seen:
                self._fill(journal, seq)
            elif seq > max(seen + 1, settled):
                return
            else:
                if seq > seen + 1:
                    self._gaps.setdefault(journal, deque(maxlen=_GAPS)).append((seen + 1, seq - 1))
                self._seen[journal] = seq
            yield hit

    def _fill(self, journal: str, seq: int) -> None:
        """Removes a number from its gap. If it is in none, the entry is a copy of another with that number."""
        parts: list[tuple[int, int]] = []
        for low, high in self._gaps.get(journal, ()):
            parts += [(low, seq - 1), (seq + 1, high)] if low <= seq <= high else [(low, high)]
        self._gaps[journal] = deque([(low, high) for low, high in parts if low <= high], maxlen=_GAPS)

    def _after(self, journal: str) -> dict[str, Any]:
        ranges = [{"gt": self._seen.get(journal, 0)}]
        ranges += [{"gte": low, "lte": high} for low, high in self._gaps.get(journal, ())]
        return {
            "bool": {"filter": [{"term": {"journal": journal}}, _any_of({"range": {"seq": one}} for one in ranges)]}
        }

    def _journals(self) -> tuple[dict[str, int], dict[str, int]]:
        """The last `seq` and the number of entries of each journal."""
        body = {"size": 0, "aggs": _JOURNALS}
        found = self._searcher.search(body, self._indices).get("aggregations") or {"journals": {"buckets": []}}
        buckets: list[dict[str, Any]] = found["journals"]["buckets"]
        return (
            {bucket["key"]: int(bucket["last"]["value"]) for bucket in buckets},
            {bucket["key"]: bucket["doc_count"] for bucket in buckets},
        )


def _any_of(clauses: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}

"""Following: the last entries stored in OpenSearch, and new ones as they are stored.

New is what comes after the last shown `seq` of its journal, not what has a later time: an entry that was shipped late
is shown all the same, and none twice. Entries of one journal become visible in any order, as each shard refreshes by
itself; so a gap holds back what follows it, for at most `_PATIENCE` looks (an entry may never come: a dead letter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from .client import AuditClient, Entry
from .query import Query
from .settings import Settings

__all__ = ["follow_stored"]

_PATIENCE = 10
_JOURNALS = {"journals": {"terms": {"field": "journal", "size": 10_000}, "aggs": {"last": {"max": {"field": "seq"}}}}}


def follow_stored(settings: Settings, number: int, pause: Callable[[], None] | None) -> Iterator[list[Entry]]:
    """The last `number` entries, oldest first; then, if there is a `pause` to make, each time the new ones."""
    with AuditClient(settings) as client:
        following = _Following(client)
        yield following.newest(number)
        while pause is not None:
            pause()
            yield list(following.news())


class _Following:
    """What was shown of each journal: entries up to `_shown`; `_held` counts the looks at which a gap held it back."""

    def __init__(self, client: AuditClient) -> None:
        self._client = client
        self._shown = self._last_seqs()
        self._held: dict[str, int] = {}

    def newest(self, number: int) -> list[Entry]:
        entries = list(self._client.search(limit=number))[::-1] if number else []
        for entry in entries:  # some may have come after the look at what is there
            journal, seq = entry.get("journal"), entry.get("seq")
            if isinstance(journal, str) and type(seq) is int:
                self._shown[journal] = max(seq, self._shown.get(journal, 0))
        return entries

    def news(self) -> Iterator[Entry]:
        ahead = [name for name, last in self._last_seqs().items() if last > self._shown.get(name, 0)]
        self._held = {name: looks for name, looks in self._held.items() if name in ahead}
        if not ahead:
            return
        query = Query({"bool": {"should": [self._after(name) for name in ahead], "minimum_should_match": 1}})
        hits = self._client.hits(query, [{"journal": "asc"}, {"seq": "asc"}])
        for name, found in groupby(hits, key=lambda hit: str(hit["sort"][0])):
            yield from self._in_order(name, found)

    def _in_order(self, journal: str, found: Iterator[dict[str, Any]]) -> Iterator[Entry]:
        for hit in found:
            seq, last = hit["sort"][1], self._shown.get(journal, 0)
            held = self._held.get(journal, 0)
            if seq > last + 1 and held < _PATIENCE:
                self._held[journal] = held + 1
                return
            self._held.pop(journal, None)
            self._shown[journal] = seq
            yield hit["_source"]

    def _after(self, journal: str) -> dict[str, Any]:
        seen = {"range": {"seq": {"gt": self._shown.get(journal, 0)}}}
        return {"bool": {"filter": [{"term": {"journal": journal}}, seen]}}

    def _last_seqs(self) -> dict[str, int]:
        buckets: list[dict[str, Any]] = self._client.aggregate(Query.of({}), _JOURNALS)["journals"]["buckets"]
        return {bucket["key"]: int(bucket["last"]["value"]) for bucket in buckets}

"""Following: the last entries stored in OpenSearch, and new ones as they are stored.

New is what comes after the last shown `seq` of its journal, not what has a later time: an entry that was shipped late
is shown all the same, and none twice. Entries of one journal become visible in any order, as each shard refreshes by
itself; so a gap holds back what follows it, for at most `_PATIENCE` looks (an entry may never come: a dead letter, or
one of another organization). What was there that many looks ago is shown whatever is missing before it, so that many
gaps hold back no longer than one: a reader of one organization sees every journal full of them.
"""

from __future__ import annotations

from collections import deque
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
    """What was shown of each journal: entries up to `_shown`; `_looks` has how far each went at the last looks."""

    def __init__(self, client: AuditClient) -> None:
        self._client = client
        self._shown = self._last_seqs()
        self._looks: deque[dict[str, int]] = deque(maxlen=_PATIENCE)

    def newest(self, number: int) -> list[Entry]:
        entries = list(self._client.search(limit=number))[::-1] if number else []
        for entry in entries:  # some may have come after the look at what is there
            journal, seq = entry.get("journal"), entry.get("seq")
            if isinstance(journal, str) and type(seq) is int:
                self._shown[journal] = max(seq, self._shown.get(journal, 0))
        return entries

    def news(self) -> Iterator[Entry]:
        settled = self._looks[0] if len(self._looks) == _PATIENCE else {}
        last_seqs = self._last_seqs()
        self._looks.append(last_seqs)
        ahead = [name for name, last in last_seqs.items() if last > self._shown.get(name, 0)]
        if not ahead:
            return
        query = Query({"bool": {"should": [self._after(name) for name in ahead], "minimum_should_match": 1}})
        hits = self._client.hits(query, [{"journal": "asc"}, {"seq": "asc"}])
        for name, found in groupby(hits, key=lambda hit: str(hit["sort"][0])):
            yield from self._in_order(name, found, settled.get(name, 0))

    def _in_order(self, journal: str, found: Iterator[dict[str, Any]], settled: int) -> Iterator[Entry]:
        for hit in found:
            seq = hit["sort"][1]
            if seq > max(self._shown.get(journal, 0) + 1, settled):
                return
            self._shown[journal] = seq
            yield hit["_source"]

    def _after(self, journal: str) -> dict[str, Any]:
        seen = {"range": {"seq": {"gt": self._shown.get(journal, 0)}}}
        return {"bool": {"filter": [{"term": {"journal": journal}}, seen]}}

    def _last_seqs(self) -> dict[str, int]:
        buckets: list[dict[str, Any]] = self._client.aggregate(Query.of({}), _JOURNALS)["journals"]["buckets"]
        return {bucket["key"]: int(bucket["last"]["value"]) for bucket in buckets}

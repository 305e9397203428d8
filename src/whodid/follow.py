"""Following: the last entries stored in OpenSearch, and new ones as they are stored.

New is what has a higher `seq` than was seen of its journal, not a later time: an entry that another host shipped late
is shown all the same, and none twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .client import AuditClient, Entry
from .query import Query
from .settings import Settings

__all__ = ["follow_stored"]

_JOURNALS = {"journals": {"terms": {"field": "journal", "size": 10_000}, "aggs": {"last": {"max": {"field": "seq"}}}}}


def follow_stored(settings: Settings, number: int, pause: Callable[[], None] | None) -> Iterator[list[Entry]]:
    """The last `number` entries, oldest first; then, if there is a `pause` to make, each time the new ones."""
    with AuditClient(settings) as client:
        seen = _last_seqs(client)
        yield list(client.search(limit=number))[::-1] if number else []
        while pause is not None:
            pause()
            now = _last_seqs(client)
            yield _between(client, seen, now)
            seen = now


def _last_seqs(client: AuditClient) -> dict[str, int]:
    buckets: list[dict[str, Any]] = client.aggregate(Query.of({}), _JOURNALS)["journals"]["buckets"]
    return {bucket["key"]: int(bucket["last"]["value"]) for bucket in buckets}


def _between(client: AuditClient, seen: dict[str, int], now: dict[str, int]) -> list[Entry]:
    """Entries of each journal after what was seen, up to what is there now."""
    news = [
        {
            "bool": {
                "filter": [
                    {"term": {"journal": journal}},
                    {"range": {"seq": {"gt": seen.get(journal, 0), "lte": last}}},
                ]
            }
        }
        for journal, last in now.items()
        if last > seen.get(journal, 0)
    ]
    if not news:
        return []
    query = Query({"bool": {"should": news, "minimum_should_match": 1}})
    return [hit["_source"] for hit in client.hits(query, [{"@timestamp": "asc"}, {"journal": "asc"}, {"seq": "asc"}])]

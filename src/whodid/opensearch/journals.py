"""The journals that a cluster knows: who wrote them, how far, and since when each is silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings import Settings
from .connection import translated
from .template import index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["StoredJournal", "stored_journals"]

_CLOSED, _RETIRED = "audit_log_journal_closed", "audit_log_journal_retired"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """One journal as far as it is stored: its last entry, when that was, and whether silence after it was announced."""

    journal: str
    host: str
    service: str
    entries: int
    last_seq: int
    last_hash: str
    last_time: str
    closed: bool
    retired: bool


def stored_journals(client: OpenSearch, settings: Settings) -> Iterator[StoredJournal]:
    """All of them, by ID; those with entries within the retention. Raises `OpenSearchError`."""
    retired = _retired(client, settings)
    after: dict[str, Any] = {}
    while True:
        sources = [{"journal": {"terms": {"field": "journal"}}}]
        last = {"top_hits": {"size": 1, "sort": [{"seq": "desc"}], "_source": _SHOWN}}
        by_journal = {"composite": {"size": _AT_ONCE, "sources": sources, **after}, "aggs": {"last": last}}
        found = _search(client, settings, {"size": 0, "aggs": {"journals": by_journal}})["aggregations"]["journals"]
        for bucket in found["buckets"]:
            yield _journal(bucket, retired)
        if "after_key" not in found:
            return
        after = {"after": found["after_key"]}


_SHOWN = ["host", "service", "type", "seq", "hash", "@timestamp"]


def _journal(bucket: dict[str, Any], retired: set[str]) -> StoredJournal:
    [hit] = bucket["last"]["hits"]["hits"]
    last, name = hit.get("_source", {}), bucket["key"]["journal"]
    return StoredJournal(
        journal=name,
        host=last.get("host", ""),
        service=last.get("service", ""),
        entries=bucket["doc_count"],
        last_seq=last.get("seq", 0),
        last_hash=last.get("hash", ""),
        last_time=last.get("@timestamp", ""),
        closed=last.get("type") == _CLOSED,
        retired=name in retired,
    )


def _retired(client: OpenSearch, settings: Settings) -> set[str]:
    query = {"term": {"type": _RETIRED}}
    by_target = {"terms": {"field": "target", "size": 10_000}}
    answer = _search(client, settings, {"size": 0, "query": query, "aggs": {"targets": by_target}})
    return {bucket["key"] for bucket in answer["aggregations"]["targets"]["buckets"]}


def _search(client: OpenSearch, settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    with translated("the journals in OpenSearch"):
        answer: dict[str, Any] = client.search(
            index=index_pattern(settings), body=body, params={"ignore_unavailable": "true"}
        )
    return answer

"""The partitions and journals in a cluster: creation dates, `_meta`, counts of entries, and each journal's last entry.

Indices of the pattern whose names are not those of partitions are ignored everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..entry import partition_start
from ..errors import OpenSearchError
from ..settings import Settings
from .connection import translated
from .template import MARK, index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "StoredJournal",
    "bytes_per_entry",
    "creation_dates",
    "entry_count",
    "is_immutable",
    "marks",
    "metas",
    "stored_journals",
    "uuids",
]

_ENOUGH = 1000
"""The minimum number of entries for an estimate: with fewer, the overhead of each index distorts it."""


@translated("the partitions")
def creation_dates(client: OpenSearch, settings: Settings) -> dict[str, datetime]:
    """When each partition was created, by the name of its index and in the order of the entries' dates.

    Raises `OpenSearchError`.
    """
    made = _values(client, settings, "index.creation_date")
    return {name: datetime.fromtimestamp(int(milliseconds) / 1000, UTC) for name, milliseconds in made.items()}


@translated("the partitions")
def uuids(client: OpenSearch, settings: Settings) -> dict[str, str]:
    """The UUID of each partition's index, in the same order; one created again has another. Raises as above."""
    return _values(client, settings, "index.uuid")


def _values(client: OpenSearch, settings: Settings, setting: str) -> dict[str, str]:
    pattern = index_pattern(settings)
    with translated(f"the settings of {pattern}"):
        answer = client.indices.get_settings(
            index=pattern,
            name=setting,
            params={"allow_no_indices": "true", "expand_wildcards": "all", "flat_settings": "true"},
        )
    return {name: answer[name]["settings"][setting] for name in _in_order(settings, answer)}


@translated("the partitions")
def metas(client: OpenSearch, settings: Settings) -> dict[str, Mapping[str, Any]]:
    """The `_meta` of each partition that carries our mark, in the same order. Raises `OpenSearchError`."""
    pattern = index_pattern(settings)
    with translated(f"the mappings of {pattern}"):
        answer = client.indices.get_mapping(
            index=pattern, params={"allow_no_indices": "true", "expand_wildcards": "all"}
        )
    found = {name: answer[name]["mappings"].get("_meta", {}) for name in _in_order(settings, answer)}
    return {name: meta for name, meta in found.items() if meta.get("managed_by") == MARK["managed_by"]}


def marks(client: OpenSearch, settings: Settings) -> dict[str, tuple[str, ...]]:
    """The IDs of the holds in the mark of each held partition. Raises `OpenSearchError`."""
    found = {name: tuple(meta.get("holds", ())) for name, meta in metas(client, settings).items()}
    return {name: ids for name, ids in found.items() if ids}


@translated("the partitions")
def entry_count(client: OpenSearch, partition: str) -> int:
    """The number of entries in a partition; 0 for a closed one. Raises `OpenSearchError`."""
    with translated(f"counting {partition}"):
        return int(client.count(index=partition, params={"ignore_unavailable": "true"})["count"])


def is_immutable(client: OpenSearch, partition: str) -> bool:
    """Whether the Security plugin forbids changes of a partition (`plugins.security.compliance.immutable_indices`).

    Tested by an update of a document that doesn't exist, which changes nothing but is refused if immutable.
    """
    from opensearchpy import OpenSearchException

    try:
        client.update(index=partition, id="whodid-asks", body={"doc": {}})
    except OpenSearchException as error:
        return "immutable" in str(error).lower()
    return False


def bytes_per_entry(client: OpenSearch, settings: Settings) -> int:
    """The average bytes of an entry in the primary store. Raises `OpenSearchError`, also for too few entries."""
    pattern = index_pattern(settings)
    with translated(f"the size of {pattern}"):
        answer = client.indices.stats(index=pattern, metric="docs,store", params={"level": "indices"})
    found = [answer["indices"][name]["primaries"] for name in _in_order(settings, answer["indices"])]
    entries = sum(int(one["docs"]["count"]) for one in found)
    if entries < _ENOUGH:
        raise OpenSearchError(
            f"the partitions {pattern} hold {entries:,} entries, too few for an estimate (at least {_ENOUGH:,}); leave "
            "--from-cluster out"
        )
    return -(-sum(int(one["store"]["size_in_bytes"]) for one in found) // entries)


def _in_order(settings: Settings, names: Iterable[str]) -> list[str]:
    starts = {name: partition_start(settings.index_prefix, name) for name in names}
    return [name for _, name in sorted((start, name) for name, start in starts.items() if start)]


_CLOSED, _RETIRED = "audit_log_journal_closed", "audit_log_journal_retired"
_AT_ONCE = 500
_JOURNALS = "the journals in OpenSearch"


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """The stored part of a journal: its last entry, and whether it was closed or retired after that."""

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
    """All journals with entries in the cluster, by ID. Raises `OpenSearchError`."""
    retired = _retired(client, settings)
    after: dict[str, Any] = {}
    while True:
        sources = [{"journal": {"terms": {"field": "journal"}}}]
        last = {"top_hits": {"size": 1, "sort": [{"seq": "desc"}], "_source": _SHOWN}}
        by_journal = {"composite": {"size": _AT_ONCE, "sources": sources, **after}, "aggs": {"last": last}}
        with translated(_JOURNALS):
            found = _search(client, settings, {"size": 0, "aggs": {"journals": by_journal}})["journals"]
            journals = [_journal(bucket, retired) for bucket in found["buckets"]]
        yield from journals
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
    with translated(_JOURNALS):
        found = _search(client, settings, {"size": 0, "query": query, "aggs": {"targets": by_target}})
        return {bucket["key"] for bucket in found["targets"]["buckets"]}


def _search(client: OpenSearch, settings: Settings, body: dict[str, Any]) -> Any:
    """The aggregations of a search."""
    return client.search(index=index_pattern(settings), body=body, params={"ignore_unavailable": "true"})[
        "aggregations"
    ]

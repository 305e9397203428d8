"""Destruction records: the contents of a partition, written into the ledger before the partition is deleted.

With the record, which names each journal's first and last `seq` and their hashes, a later verification can distinguish
entries deleted by retention from entries that somebody removed. If ISM deletes the partition, the record is written in
advance and updated when the partition changes; after the deletion it is completed, with the name of the snapshot.

Invariant: whodid deletes no partition without a record of exactly the entries in it: writing to the partition is
blocked before they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.connection import translated
from ..cluster.ledger import Ledger, Page
from ..entry import Stamp, parse_creation_date
from ..errors import OpenSearchError
from ..settings import Settings
from ..text import FOREIGN

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "DESTROYED",
    "NEVER",
    "Contents",
    "Destruction",
    "JournalPart",
    "count_contents",
    "destructions",
    "moment_text",
    "write_destruction",
]

NEVER = "9999-12-31T23:59:59Z"
"""`due` of a partition that nothing deletes any more, such as a held one."""

DESTROYED = "audit_log_partition_destroyed"
"""The type of the entry that records a deletion."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class JournalPart:
    """The part of one journal in a partition; complete if `entries` = `last_seq` - `first_seq` + 1."""

    journal: str
    entries: int
    first_seq: int
    first_hash: str
    last_seq: int
    last_hash: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a partition contains: `first` and `last` are `creation_date`s, empty without entries."""

    entries: int
    first: str = ""
    last: str = ""
    journals: tuple[JournalPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Destruction:
    """One record. `uuid` is that of the index: a partition that is created again has its own record.

    `state` is `ahead` (ISM is about to delete it), `deleting` (whodid is deleting it) or `deleted`. `due` is when
    retention deletes it; `rule` is the retention in days and, with ISM, the policy and version of the job. `time` is
    when the record was written; `deleted` is when whodid deleted the partition, or noticed that ISM had. `missing` is
    when it noticed that the partition had disappeared before it was due: such a record stays `ahead`. `snapshot` is the
    `repository/name` of the snapshot made before.
    """

    partition: str
    uuid: str
    state: Literal["ahead", "deleting", "deleted"]
    due: str
    rule: Mapping[str, Any]
    account: Contents
    time: str = ""
    deleted: str = ""
    snapshot: str = ""
    missing: str = ""

    @property
    def key(self) -> str:
        return f"destruction-{self.partition}-{self.uuid}"

    def brief(self) -> dict[str, Any]:
        """The details for an entry of the audit log; the rest is in the ledger."""
        account = self.account
        about = {"entries": account.entries, "journals": len(account.journals), "due": self.due, "ledger": self.key}
        return about | ({"first": account.first, "last": account.last} if account.entries else {})


@translated("counting a partition's entries")
def count_contents(client: OpenSearch, partition: str) -> Contents:
    """Counts the entries of a partition. Raises `OpenSearchError`, also for a closed one, which can't be counted."""
    with translated(f"counting the entries of {partition}"):
        client.indices.refresh(index=partition)
        answer = _search(client, partition, {"size": 0, "track_total_hits": True, "aggs": _DATES})
    dates = answer["aggregations"]
    parts = tuple(_parts(client, partition))
    entries = answer["hits"]["total"]["value"]
    if sum(part.entries for part in parts) != entries:
        raise OpenSearchError(f"{partition} changed while its entries were counted, or holds some without a journal")
    return Contents(entries, dates["first"].get("value_as_string", ""), dates["last"].get("value_as_string", ""), parts)


def write_destruction(client: OpenSearch, settings: Settings, record: Destruction) -> Destruction:
    """Writes the record if it is new or has changed, and returns the stored one. Raises `OpenSearchError`."""
    ledger = Ledger(client, settings)
    known = ledger.page(record.key)
    before = _record(known) if known else None
    if before and replace(before, time="") == replace(record, time=""):
        return before
    record = replace(record, time=Stamp.now().creation_date)
    ledger.write(record.key, "destruction", asdict(record), known=known, partition=record.partition)
    return record


def destructions(client: OpenSearch, settings: Settings) -> list[Destruction]:
    """All valid records, in the order of their partitions' names. Raises `OpenSearchError`."""
    found = (_record(page) for page in Ledger(client, settings).pages("destruction"))
    return [record for record in found if record]


def moment_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_DATES = {"first": {"min": {"field": "creation_date"}}, "last": {"max": {"field": "creation_date"}}}


def _parts(client: OpenSearch, partition: str) -> Iterator[JournalPart]:
    after: dict[str, Any] = {}
    while True:
        by_journal = {
            "composite": {"size": _AT_ONCE, "sources": [{"journal": {"terms": {"field": "journal"}}}], **after},
            "aggs": {"first": _end("asc"), "last": _end("desc")},
        }
        with translated(f"the journals in {partition}"):
            found = _search(client, partition, {"size": 0, "aggs": {"journals": by_journal}})["aggregations"][
                "journals"
            ]
        for bucket in found["buckets"]:
            first, last = (_place(bucket[end]["hits"]["hits"][0]) for end in ("first", "last"))
            yield JournalPart(
                bucket["key"]["journal"], bucket["doc_count"], first["seq"], first["hash"], last["seq"], last["hash"]
            )
        if "after_key" not in found or not found["buckets"]:
            return
        after = {"after": found["after_key"]}


def _place(hit: dict[str, Any]) -> dict[str, Any]:
    """The number and hash of an entry, whose content may not be stored."""
    return hit["_source"] if "_source" in hit else {"seq": hit["sort"][0], "hash": ""}


def _end(order: str) -> dict[str, Any]:
    sort = [{"seq": {"order": order, "unmapped_type": "long"}}]
    return {"top_hits": {"size": 1, "sort": sort, "_source": ["seq", "hash"]}}


def _search(client: OpenSearch, partition: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.search(index=partition, body=body)
    if answer["_shards"]["failed"]:
        raise OpenSearchError(f"{partition} can't be read completely: a shard failed")
    return answer


def _record(page: Page) -> Destruction | None:
    """The record in a page; `None` if it is not valid, as one that somebody else wrote."""
    try:
        return _read(page)
    except FOREIGN:
        return None


def _read(page: Page) -> Destruction:
    body = dict(page.body)
    account = dict(body["account"])
    parts = tuple(JournalPart(**part) for part in account["journals"])
    numbers = [number for part in parts for number in (part.entries, part.first_seq, part.last_seq)]
    dated = parse_creation_date(body["due"]) is not None
    if type(body["partition"]) is not str or not dated or not all(type(number) is int for number in numbers):
        raise ValueError(f"{page.key} is not a destruction record")
    return Destruction(**{**body, "account": Contents(**{**account, "journals": parts})})

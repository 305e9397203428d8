"""The destruction records: what a partition held, written into the ledger before the partition goes.

So a verification that meets a gap later can tell what retention deleted from what somebody removed: the record names
each journal's first and last `seq` and their hashes. Where ISM deletes by itself, it is written ahead, and again each
time the partition changed meanwhile; once ISM has deleted it, the record says so, and names the snapshot.

Invariant: whodid deletes no partition without a record that counts exactly the entries that go with it: writing into
it is blocked before they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.connection import translated
from ..cluster.ledger import Ledger, Page
from ..entry import Stamp
from ..errors import OpenSearchError
from ..settings import Settings
from ..text import FOREIGN

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "DESTROYED",
    "Account",
    "Destruction",
    "JournalPart",
    "destructions",
    "moment_text",
    "take_account",
    "write_destruction",
]

DESTROYED = "audit_log_partition_destroyed"
"""The type of the entry that records a deletion."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class JournalPart:
    """What a partition holds of one journal. With `entries` = `last_seq` - `first_seq` + 1 nothing is missing."""

    journal: str
    entries: int
    first_seq: int
    first_hash: str
    last_seq: int
    last_hash: str


@dataclass(frozen=True, slots=True)
class Account:
    """What a partition holds: `first` and `last` are `creation_date`s, empty where it has no entries."""

    entries: int
    first: str = ""
    last: str = ""
    journals: tuple[JournalPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Destruction:
    """One record. `uuid` is that of the index: a partition made anew has a record of its own.

    `state`: `ahead` (ISM is about to delete it), `deleting` (whodid is), `deleted`. `due` is when retention deletes it,
    `rule` which retention (days) and, with ISM, which policy and version of the job say so; `time` is when the record
    was written, `deleted` when whodid deleted it, or saw that ISM had. `snapshot` is `repository/name` of the one made
    first.
    """

    partition: str
    uuid: str
    state: Literal["ahead", "deleting", "deleted"]
    due: str
    rule: Mapping[str, Any]
    account: Account
    time: str = ""
    deleted: str = ""
    snapshot: str = ""

    @property
    def key(self) -> str:
        return f"destruction-{self.partition}-{self.uuid}"

    def brief(self) -> dict[str, Any]:
        """What an entry of the audit log says of it; the rest is in the ledger."""
        account = self.account
        about = {"entries": account.entries, "journals": len(account.journals), "due": self.due, "ledger": self.key}
        return about | ({"first": account.first, "last": account.last} if account.entries else {})


@translated("counting a partition's entries")
def take_account(client: OpenSearch, partition: str) -> Account:
    """Counts what a partition holds now. Raises `OpenSearchError`, also for a closed one, which can't be counted."""
    with translated(f"counting the entries of {partition}"):
        client.indices.refresh(index=partition)
        answer = _search(client, partition, {"size": 0, "track_total_hits": True, "aggs": _DATES})
    dates = answer["aggregations"]
    parts = tuple(_parts(client, partition))
    entries = answer["hits"]["total"]["value"]
    if sum(part.entries for part in parts) != entries:
        raise OpenSearchError(f"{partition} changed while its entries were counted, or holds some without a journal")
    return Account(entries, dates["first"].get("value_as_string", ""), dates["last"].get("value_as_string", ""), parts)


def write_destruction(client: OpenSearch, settings: Settings, record: Destruction) -> Destruction:
    """Writes the record, or what is new of it, and returns it as it then stands. Raises `OpenSearchError`."""
    ledger = Ledger(client, settings)
    known = ledger.page(record.key)
    before = _record(known) if known else None
    if before and replace(before, time="") == replace(record, time=""):
        return before
    record = replace(record, time=Stamp.now().creation_date)
    ledger.write(record.key, "destruction", asdict(record), known=known, partition=record.partition)
    return record


def destructions(client: OpenSearch, settings: Settings) -> list[Destruction]:
    """All records, in the order of their partitions' names; what is none is left out. Raises `OpenSearchError`."""
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
    """Number and hash of an entry, of which the content may not be stored."""
    return hit["_source"] if "_source" in hit else {"seq": hit["sort"][0], "hash": ""}


def _end(order: str) -> dict[str, Any]:
    sort = [{"seq": {"order": order, "unmapped_type": "long"}}]
    return {"top_hits": {"size": 1, "sort": sort, "_source": ["seq", "hash"]}}


def _search(client: OpenSearch, partition: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.search(index=partition, body=body)
    if answer["_shards"]["failed"]:
        raise OpenSearchError(f"{partition} can't be read as a whole: a shard failed")
    return answer


def _record(page: Page) -> Destruction | None:
    """`None` for what is none: somebody else wrote it, and it explains nothing."""
    try:
        return _read(page)
    except FOREIGN:
        return None


def _read(page: Page) -> Destruction:
    body = dict(page.body)
    account = dict(body["account"])
    parts = tuple(JournalPart(**part) for part in account["journals"])
    numbers = [number for part in parts for number in (part.entries, part.first_seq, part.last_seq)]
    if type(body["partition"]) is not str or not all(type(number) is int for number in numbers):
        raise ValueError(f"{page.key} is no record of destruction")
    return Destruction(**{**body, "account": Account(**{**account, "journals": parts})})
